//! Signing in through our client against slapd and 389-ds with their password policies: what each says of an account
//! comes out as the same type.

use std::{sync::Arc, time::Duration};

use flext_ldap_client::{Connector, ConnectorBuilder, Credentials, TlsOptions};
use flext_ldap_directory::proto::secret::Secret;
use flext_ldap_identity::{
    Authenticator, ChangeReason, GroupSearch, Refusal, RefusalKind, SignedIn, UserSearch,
};
use flext_ldap_lab::{Content, DEFAULT_SUFFIX, NsSlapd, Slapd, SlapdOptions, Tool};

const RIGHT: &str = "low water 7";
const DAY: Duration = Duration::from_secs(86_400);

/// People by their uid, groups by their members.
async fn authenticator(connector: impl Fn() -> ConnectorBuilder, root: (String, &str)) -> Authenticator {
    let (root, password) = root;
    let reader = connector().credentials(Credentials::simple(root, password)).build().unwrap();
    let reader = Arc::new(reader.connect().await.unwrap());
    let below = |unit: &str| format!("ou={unit},{DEFAULT_SUFFIX}").parse().unwrap();
    let people = UserSearch::new(below("people"), "uid".parse().unwrap());
    Authenticator::builder(connector().build().unwrap(), reader, people)
        .groups(GroupSearch::new(below("groups")))
        .attributes(["cn"])
        .build()
}

async fn tries(authenticator: &Authenticator, name: &str, password: &str) -> Result<SignedIn, Refusal> {
    authenticator.sign_in(name, Secret::from(password)).await
}

async fn kind(authenticator: &Authenticator, name: &str, password: &str) -> RefusalKind {
    tries(authenticator, name, password).await.unwrap_err().kind()
}

fn person(uid: &str, more: &str) -> String {
    format!(
        "dn: uid={uid},ou=people,{DEFAULT_SUFFIX}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid} Quay\nsn: Quay\n\
         userPassword: {RIGHT}\n{more}\n"
    )
}

/// The suffix, the units, and a group in a group in the first.
fn frame() -> String {
    let group = |cn: &str, member: &str| {
        format!(
            "dn: cn={cn},ou=groups,{DEFAULT_SUFFIX}\nobjectClass: groupOfNames\ncn: {cn}\n\
             member: {member},{DEFAULT_SUFFIX}\n\n"
        )
    };
    format!(
        "dn: {DEFAULT_SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Harbour Lane\ndc: harbourlane\n\n\
         dn: ou=people,{DEFAULT_SUFFIX}\nobjectClass: organizationalUnit\nou: people\n\n\
         dn: ou=groups,{DEFAULT_SUFFIX}\nobjectClass: organizationalUnit\nou: groups\n\n{}{}{}",
        group("tugs", "uid=anna,ou=people"),
        group("pilots", "cn=tugs,ou=groups"),
        group("circle", "cn=circle,ou=groups"),
    )
}

#[tokio::test]
async fn what_slapd_says_of_accounts() {
    let policy = |cn: &str, rules: &str| {
        format!(
            "dn: cn={cn},{DEFAULT_SUFFIX}\nobjectClass: device\nobjectClass: pwdPolicy\ncn: {cn}\n\
             pwdAttribute: userPassword\npwdAllowUserChange: TRUE\n{rules}\n"
        )
    };
    let ldif = [
        frame(),
        policy(
            "default",
            "pwdLockout: TRUE\npwdMaxFailure: 3\npwdMustChange: TRUE\npwdMinLength: 8\npwdCheckQuality: 1\n",
        ),
        policy("ageing", "pwdMaxAge: 86400\npwdGraceAuthNLimit: 1\n"),
        policy("warning", "pwdMaxAge: 2000000000\npwdExpireWarning: 2000000000\n"),
        person("anna", ""),
        person("bert", ""),
        person("reset", "pwdReset: TRUE\n"),
        person("gone", "pwdAccountLockedTime: 000001010000Z\n"),
        person(
            "old",
            &format!("pwdPolicySubentry: cn=ageing,{DEFAULT_SUFFIX}\npwdChangedTime: 20200101000000Z\n"),
        ),
        person(
            "warned",
            &format!("pwdPolicySubentry: cn=warning,{DEFAULT_SUFFIX}\npwdChangedTime: 20200101000000Z\n"),
        ),
    ];
    let default = format!("ppolicy_default \"cn=default,{DEFAULT_SUFFIX}\"");
    let slapd = Slapd::start(SlapdOptions {
        content: Content::Text(ldif.concat()),
        database_lines: vec![
            "access to attrs=userPassword by self =wx by anonymous auth".to_owned(),
            "access to * by users read".to_owned(),
        ],
        overlays: vec![("ppolicy".to_owned(), vec!["ppolicy_use_lockout".to_owned(), default])],
        ..SlapdOptions::default()
    })
    .unwrap();
    let url = slapd.ldap_url().parse().unwrap();
    let connector = || Connector::builder().clear().url(&url);
    let authenticator = authenticator(connector, (slapd.root_dn(), slapd.root_password())).await;

    let anna = tries(&authenticator, "ANNA", RIGHT).await.unwrap();
    assert!(anna.account.id.as_str().starts_with("entryUUID:"), "{}", anna.account.id);
    assert_eq!(anna.account.text("cn"), Some("anna Quay"));
    let groups: Vec<_> = anna.groups.names().filter_map(|name| name.rdn()).collect();
    assert_eq!(groups, ["cn=tugs".parse().unwrap(), "cn=pilots".parse().unwrap()]);
    for wrong in [("anna", "high water 7"), ("nobody", RIGHT), ("*", RIGHT)] {
        let refusal = tries(&authenticator, wrong.0, wrong.1).await.unwrap_err();
        assert_eq!(refusal.to_string(), "The name or the password is wrong.");
    }

    for _ in 0..3 {
        assert_eq!(kind(&authenticator, "bert", "x").await, RefusalKind::Rejected);
    }
    assert_eq!(kind(&authenticator, "bert", RIGHT).await, RefusalKind::Locked);
    assert_eq!(kind(&authenticator, "gone", RIGHT).await, RefusalKind::Locked);

    let grace = tries(&authenticator, "old", RIGHT).await.unwrap();
    assert_eq!(grace.warnings.grace_left, Some(0));
    assert_eq!(kind(&authenticator, "old", RIGHT).await, RefusalKind::PasswordExpired);
    assert_eq!(kind(&authenticator, "old", "x").await, RefusalKind::Rejected);
    let warned = tries(&authenticator, "warned", RIGHT).await.unwrap();
    assert!(warned.warnings.expires_in.is_some_and(|left| left > 1_000 * DAY), "{:?}", warned.warnings);

    assert_eq!(kind(&authenticator, "reset", RIGHT).await, RefusalKind::MustChange);
    let change = async |new: &str| {
        authenticator.change_password("reset", Secret::from(RIGHT), Secret::from(new)).await
    };
    let refusal = change("short").await.unwrap_err();
    assert!(matches!(refusal.reason(), ChangeReason::TooShort | ChangeReason::TooWeak), "{refusal:?}");
    change("neap tide 8").await.unwrap();
    tries(&authenticator, "reset", "neap tide 8").await.unwrap();
    assert_eq!(kind(&authenticator, "reset", RIGHT).await, RefusalKind::Rejected);

    drop(slapd);
    assert_eq!(kind(&authenticator, "anna", RIGHT).await, RefusalKind::Unavailable);
}

#[tokio::test]
async fn what_389_ds_says_of_accounts() {
    let server = NsSlapd::start().unwrap();
    let run = |tool: &str, input: String| {
        let (url, root) = (server.ldap_url(), server.root_dn());
        let arguments = ["-x", "-H", &url, "-D", &root, "-w", server.root_password()];
        Tool::new(tool).unwrap().args(arguments).input(input).run().unwrap().success().unwrap();
    };
    let ldif = [
        frame(),
        person("anna", ""),
        person("bert", ""),
        person("off", ""),
        person("old", ""),
        person("soon", ""),
    ];
    run("ldapadd", ldif.concat());
    let set = |dn: &str, attribute: &str, value: &str| {
        format!("dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n\n")
    };
    let settings = [
        ("passwordLockout", "on"),
        ("passwordMaxFailure", "3"),
        ("passwordMustChange", "on"),
        ("passwordCheckSyntax", "on"),
        ("passwordMinLength", "8"),
        ("passwordExp", "on"),
        ("passwordGraceLimit", "1"),
    ];
    run("ldapmodify", settings.map(|(name, value)| set("cn=config", name, value)).concat());
    let dn = |uid: &str| format!("uid={uid},ou=people,{DEFAULT_SUFFIX}");
    let accounts = [
        set(&dn("off"), "nsAccountLock", "true"),
        set(&dn("old"), "passwordExpirationTime", "20200101000000Z"),
        // Set by the administrator, from now on to be changed.
        set(&dn("soon"), "userPassword", RIGHT),
        format!(
            "dn: {DEFAULT_SUFFIX}\nchangetype: modify\nadd: aci\naci: (targetattr=\"userPassword\")(version 3.0; acl \"own\"; \
             allow (write) userdn=\"ldap:///self\";)\n\n"
        ),
    ];
    run("ldapmodify", accounts.concat());

    let url = server.ldaps_url().parse().unwrap();
    let connector = || Connector::builder().ldaps(TlsOptions::new().ca_pem(server.ca_pem())).url(&url);
    let authenticator = authenticator(connector, (server.root_dn(), server.root_password())).await;
    let anna = tries(&authenticator, "anna", RIGHT).await.unwrap();
    assert_eq!(anna.groups.names().len(), 2);
    assert_eq!(kind(&authenticator, "anna", "high water 7").await, RefusalKind::Rejected);
    assert_eq!(kind(&authenticator, "nobody", RIGHT).await, RefusalKind::Rejected);
    for _ in 0..3 {
        assert_eq!(kind(&authenticator, "bert", "x").await, RefusalKind::Rejected);
    }
    assert_eq!(kind(&authenticator, "bert", RIGHT).await, RefusalKind::Locked);
    let off = tries(&authenticator, "off", RIGHT).await.unwrap_err();
    assert_eq!((off.kind(), off.told()), (RefusalKind::Disabled, RefusalKind::Rejected), "{off:?}");
    let grace = tries(&authenticator, "old", RIGHT).await.unwrap();
    assert!(grace.warnings.grace_left.is_some(), "{:?}", grace.warnings);
    assert_eq!(kind(&authenticator, "old", RIGHT).await, RefusalKind::PasswordExpired);
    assert_eq!(kind(&authenticator, "old", "x").await, RefusalKind::Rejected);

    assert_eq!(kind(&authenticator, "soon", RIGHT).await, RefusalKind::MustChange);
    let change =
        async |new: &str| authenticator.change_password("soon", Secret::from(RIGHT), Secret::from(new)).await;
    let refusal = change("short").await.unwrap_err();
    assert!(
        matches!(
            refusal.reason(),
            ChangeReason::TooShort | ChangeReason::TooWeak | ChangeReason::AgainstRules
        ),
        "{refusal:?}"
    );
    change("neap tide 8").await.unwrap();
    tries(&authenticator, "soon", "neap tide 8").await.unwrap();
}
