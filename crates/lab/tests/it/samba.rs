//! Signing in at Samba, and what our client meets there that it meets nowhere else.

use std::{sync::Arc, time::Duration};

use flext_ldap_client::{
    Capabilities, Connector, ConnectorBuilder, Credentials, Pool, ServerKind, TlsOptions,
};
use flext_ldap_directory::{
    Actor, BindStep, Blame, Deadline, DirectoryExt as _, ErrorKind, Request, Session as _, SessionExt as _,
    proto::{
        attribute::Attributes,
        control::ManageDsaIt,
        dn::Dn,
        entry::Entry,
        filter::Filter,
        message::{Add, ChangeKind, Modify, Scope, Search},
        result::ResultCode,
        secret::Secret,
    },
};
use flext_ldap_identity::{
    Authenticator, AuthenticatorBuilder, ChangeReason, GroupSearch, Locator, Offers, PrincipalName, Reason,
    Refusal, RefusalKind, SignedIn, UserSearch,
};
use flext_ldap_lab::{DEFAULT_SUFFIX, Samba, Tool};

const RIGHT: &str = "Low-water-7";
const LONG: Duration = Duration::from_secs(60);

fn secured(samba: &Samba) -> ConnectorBuilder {
    Connector::builder()
        .ldaps(TlsOptions::new().ca_pem(samba.ca_pem()))
        .url(&samba.ldaps_url().parse().unwrap())
}

/// The administrator's connections.
fn pool(samba: &Samba) -> Pool {
    let credentials = Credentials::simple(samba.root_dn(), samba.root_password());
    Pool::builder(secured(samba).credentials(credentials).build().unwrap()).max(2).build().unwrap()
}

fn request<O: flext_ldap_directory::Operation>(op: O) -> Request<O> {
    Request::new(op, Actor::Service).until(Deadline::after(LONG))
}

/// What is below an entry of its own, which no other test has: Samba is shared.
struct Unit {
    pool: Pool,
    name: &'static str,
}

impl Unit {
    async fn new(pool: Pool, name: &'static str) -> Self {
        let unit = Self { pool, name };
        unit.add("", &[("objectClass", b"organizationalUnit")]).await;
        unit
    }

    fn base(&self) -> Dn {
        format!("ou={},{DEFAULT_SUFFIX}", self.name).parse().unwrap()
    }

    fn dn(&self, cn: &str) -> Dn {
        format!("cn={cn},{}", self.base()).parse().unwrap()
    }

    async fn add(&self, cn: &str, attributes: &[(&str, &[u8])]) {
        let mut builder = Attributes::builder();
        for (name, value) in attributes {
            builder.push(name, [*value]);
        }
        let dn = if cn.is_empty() { self.base() } else { self.dn(cn) };
        self.pool.add(request(Add::new(dn, builder.build()))).await.unwrap();
    }

    /// Somebody who may sign in, with more attributes.
    async fn add_person(&self, cn: &str, attributes: &[(&str, &[u8])]) {
        let password: Vec<u8> = format!("\"{RIGHT}\"").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut all: Vec<(&str, &[u8])> =
            vec![("objectClass", b"user"), ("sAMAccountName", cn.as_bytes()), ("unicodePwd", &password)];
        if !attributes.iter().any(|(name, _)| *name == "userAccountControl") {
            all.push(("userAccountControl", b"512"));
        }
        all.extend(attributes);
        self.add(cn, &all).await;
    }

    async fn add_group(&self, cn: &str, members: &[&str]) {
        self.add(cn, &[("objectClass", b"group"), ("sAMAccountName", cn.as_bytes())]).await;
        let names = members.iter().map(|member| self.dn(member).to_string());
        self.change(cn, ChangeKind::Add, "member", names).await;
    }

    async fn change(
        &self,
        cn: &str,
        kind: ChangeKind,
        attribute: &str,
        values: impl IntoIterator<Item = String>,
    ) {
        let values: Vec<_> = values.into_iter().collect();
        let modify = Modify::new(self.dn(cn)).change(kind, attribute.parse().unwrap(), values);
        self.pool.modify(request(modify)).await.unwrap();
    }

    async fn read(&self, cn: &str, attribute: &str) -> Entry {
        let search = Search::new(self.dn(cn), Scope::Base, Filter::any()).attributes([attribute]);
        self.pool.search_one(request(search)).await.unwrap()
    }

    fn authenticator(&self, people: impl Into<Locator>) -> AuthenticatorBuilder {
        let groups = GroupSearch::new(DEFAULT_SUFFIX.parse().unwrap());
        Authenticator::builder(self.pool.clone(), self.pool.clone(), people)
            .groups(groups.filter("(objectClass=group)".parse().unwrap()))
            .timeout(LONG)
    }
}

async fn tries(authenticator: &Authenticator, name: &str, password: &str) -> Result<SignedIn, Refusal> {
    authenticator.sign_in(name, Secret::from(password)).await
}

async fn reason(authenticator: &Authenticator, name: &str, password: &str) -> String {
    format!("{:?}", tries(authenticator, name, password).await.unwrap_err().reason())
}

#[tokio::test]
async fn what_samba_says_of_accounts() {
    let samba = Samba::shared().unwrap();
    let unit = Unit::new(pool(&samba), "signing-in").await;
    unit.add_person("ada", &[("userPrincipalName", b"ada.byrne@harbourlane.example")]).await;
    unit.add_person("ben", &[]).await;
    unit.add_person("clerk", &[]).await;
    unit.add_person("off", &[("userAccountControl", b"514")]).await;
    unit.add_person("gone", &[("accountExpires", b"132223104000000000")]).await;
    unit.add_person("fresh", &[("pwdLastSet", b"0")]).await;
    unit.add_group("tugs", &["ada"]).await;
    unit.add_group("pilots", &["tugs"]).await;
    unit.add_group("circle", &["pilots"]).await;
    unit.change("pilots", ChangeKind::Add, "member", [unit.dn("circle").to_string()]).await;

    let by_search = || UserSearch::new(unit.base(), "sAMAccountName".parse().unwrap());
    let by_principal = || PrincipalName::new(unit.base(), "harbourlane.example").unwrap();
    let ad = Offers::active_directory();
    let in_chain = Offers { token_groups: false, ..ad };
    let searching = unit.authenticator(by_search()).offers(ad).build();
    let chained = unit.authenticator(by_search()).offers(in_chain).build();
    let walking = unit.authenticator(by_search()).build();
    let principals = unit.authenticator(by_principal()).offers(ad).build();

    let names = ["tugs", "pilots", "circle"].map(|cn| unit.dn(cn));
    for (way, authenticator, name) in [
        ("tokenGroups", &searching, "ADA"),
        ("the rule", &chained, "ada"),
        ("level by level", &walking, "ada"),
        ("account name", &principals, "ada"),
        ("principal name", &principals, "ada.byrne@harbourlane.example"),
    ] {
        let ada = tries(authenticator, name, RIGHT)
            .await
            .unwrap_or_else(|refusal| panic!("{way}: {}", refusal.log()));
        assert_eq!(ada.account.dn.to_string().to_lowercase(), unit.dn("ada").to_string(), "{way}");
        assert!(ada.account.id.as_str().starts_with("objectGUID:"), "{way}: {}", ada.account.id);
        assert!(names.iter().all(|group| ada.groups.contains(group)), "{way}: {:?}", ada.groups);
        assert!(ada.groups.is_complete(), "{way}");
        // tokenGroups tells of the primary group and of those of the system too.
        let users: Dn = format!("cn=Domain Users,cn=Users,{DEFAULT_SUFFIX}").parse().unwrap();
        let computed = !["the rule", "level by level"].contains(&way);
        assert_eq!(ada.groups.contains(&users), computed, "{way}");
    }

    // 52e, 533, 701 and 773. Samba tells the state of an account to whoever knows its password only.
    for authenticator in [&searching, &principals] {
        for (name, password, want) in [
            ("ben", "high water 7", "WrongPassword"),
            ("off", RIGHT, "Disabled"),
            ("gone", RIGHT, "AccountExpired"),
            ("fresh", RIGHT, "MustChange"),
        ] {
            assert_eq!(reason(authenticator, name, password).await, want, "{name}");
        }
    }
    assert_eq!(reason(&searching, "nobody", RIGHT).await, "UnknownUser");
    assert_eq!(reason(&principals, "nobody", RIGHT).await, "WrongPassword");
    assert_eq!(tries(&searching, "ada", "").await.unwrap_err().kind(), RefusalKind::Rejected);

    // A password typed once is one failure, whichever way it went; the third locks (775).
    let failures = async || unit.read("ben", "badPwdCount").await.text("badPwdCount").map(str::to_owned);
    assert_eq!(failures().await.as_deref(), Some("2"), "one by search, one by principal name");
    assert_eq!(reason(&searching, "ben", "high water 7").await, "WrongPassword");
    assert_eq!(reason(&searching, "ben", RIGHT).await, "Locked");
    let locked = tries(&principals, "ben", RIGHT).await.unwrap_err();
    assert_eq!((locked.kind(), locked.told()), (RefusalKind::Locked, RefusalKind::Rejected));
    assert_eq!(failures().await.as_deref(), Some("3"));

    // A change of one's own; and of a password that lets nobody in until it is changed.
    let change = async |authenticator: &Authenticator, name: &str, old: &str, new: &str| {
        authenticator.change_password(name, Secret::from(old), Secret::from(new)).await
    };
    let refusal = change(&searching, "ada", RIGHT, "short").await.unwrap_err();
    assert!(matches!(refusal.reason(), ChangeReason::AgainstRules), "{refusal:?}");
    let refusal = change(&searching, "ada", "high water 7", "Neap-tide-8").await.unwrap_err();
    assert!(matches!(refusal.reason(), ChangeReason::NotSignedIn(_)), "{refusal:?}");
    change(&searching, "ada", RIGHT, "Neap-tide-8").await.unwrap();
    tries(&principals, "ada", "Neap-tide-8").await.unwrap();
    assert_eq!(reason(&searching, "ada", RIGHT).await, "WrongPassword");
    let refusal = change(&searching, "fresh", RIGHT, "Neap-tide-8").await.unwrap_err();
    assert!(matches!(refusal.reason(), ChangeReason::NotSignedIn(_)), "{refusal:?}");
    let clerk = (unit.dn("clerk").to_string(), Secret::from(RIGHT));
    let changing = unit.authenticator(by_search()).offers(ad).password_changer(clerk.0, clerk.1).build();
    change(&changing, "fresh", RIGHT, "Neap-tide-8").await.unwrap();
    tries(&searching, "fresh", "Neap-tide-8").await.unwrap();
}

#[tokio::test]
async fn what_only_samba_answers() {
    let samba = Samba::shared().unwrap();
    let unit = Unit::new(pool(&samba), "answers").await;
    for number in 0..50 {
        unit.add(&format!("p{number:02}"), &[("objectClass", b"contact")]).await;
    }
    let members: Vec<_> = (0..50).map(|number| format!("p{number:02}")).collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    unit.add_group("answerers", &members).await;
    let people = || Search::new(unit.base(), Scope::One, "(objectClass=contact)".parse().unwrap());

    // Pages, of any size; and one whole, which a size limit does not end there.
    let pinned = unit.pool.pin(Deadline::after(LONG)).await.unwrap();
    for size in [1, 7, 50, 5_000] {
        let found = pinned.search_pages(request(people()), size).all().await.unwrap();
        assert_eq!(found.len(), 50, "pages of {size}");
    }
    drop(pinned);
    let found = unit.pool.search_all(request(people().size_limit(5))).await.unwrap();
    assert_eq!(found.len(), 50);
    // From the root of the domain a continuation comes besides. Other tests have people of these names there, no such group.
    let below =
        Search::new(DEFAULT_SUFFIX.parse().unwrap(), Scope::Subtree, "(cn=answerers)".parse().unwrap());
    assert_eq!(unit.pool.search_all(request(below)).await.unwrap().len(), 1);

    // A part of the values, where one is asked for.
    for (asked, came, count) in [
        ("member", "member", 50),
        ("member;range=0-9", "member;range=0-9", 10),
        ("member;range=45-*", "member;range=45-*", 5),
    ] {
        let group = unit.read("answerers", asked).await;
        let list = group.attributes().get(came).unwrap_or_else(|| panic!("{asked}: no {came}"));
        assert_eq!(list.values().count(), count, "{asked}");
    }
    let past = unit.read("answerers", "member;range=50-*").await;
    let past: Vec<_> =
        past.attributes().iter().map(|one| (one.description().to_owned(), one.values().count())).collect();
    assert_eq!(past, [("member;range=50-*".to_owned(), 0)], "past the end");

    // A refusal as of an extended operation costs nothing but the operation.
    let before = unit.pool.stats();
    let refused = unit.pool.search_all(request(people()).critical(&ManageDsaIt)).await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.result_code()),
        (ErrorKind::Rejected, Some(ResultCode::UNAVAILABLE_CRITICAL_EXTENSION))
    );
    assert!(refused.is_connection_usable());
    let unit = Arc::new(unit);
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let unit = Arc::clone(&unit);
            tokio::spawn(async move {
                for number in (0..50).map(|number| (number + task * 7) % 50) {
                    let cn = format!("p{number:02}");
                    assert_eq!(unit.read(&cn, "cn").await.text("cn"), Some(cn.as_str()));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let after = unit.pool.stats();
    assert_eq!((after.lost, after.open_failures), (before.lost, 0));
    assert!(after.open <= 2, "{after:?}");

    // StartTLS works though it is not announced, and what can be done by it is told.
    let connector = Connector::builder().start_tls(TlsOptions::new().ca_pem(samba.ca_pem()));
    let connection =
        connector.url(&samba.ldap_url().parse().unwrap()).build().unwrap().connect().await.unwrap();
    let said = Capabilities::read(&connection, Actor::Anonymous, Deadline::after(LONG)).await.unwrap();
    assert_eq!((said.kind, said.start_tls, said.who_am_i), (ServerKind::Samba, true, false));
    connection.close().await;
}

#[tokio::test]
async fn a_server_that_demands_protection_is_told_apart_from_a_wrong_password() {
    let samba = Samba::start_demanding().unwrap();
    let url = samba.ldap_url().parse().unwrap();
    let clear = || Connector::builder().clear().url(&url);
    let credentials = || Credentials::simple(samba.root_dn(), samba.root_password());

    // On loopback our client sends a password in clear; the server will not have it.
    let error = clear().credentials(credentials()).build().unwrap().connect().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.result_code()),
        (ErrorKind::Rejected, Some(ResultCode::STRONGER_AUTH_REQUIRED))
    );
    assert_ne!(error.blame(), Blame::Bug);
    assert!(error.to_string().contains("Transport encryption required"), "{error}");

    // Whoever signs in is not at fault.
    let reader = secured(&samba).credentials(credentials()).build().unwrap().connect().await.unwrap();
    let people = UserSearch::new(DEFAULT_SUFFIX.parse().unwrap(), "sAMAccountName".parse().unwrap());
    let authenticator = Authenticator::builder(clear().build().unwrap(), Arc::new(reader), people).build();
    let refusal = tries(&authenticator, "Administrator", samba.root_password()).await.unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::Unavailable);
    let Reason::Directory(cause) = refusal.reason() else { panic!("{refusal:?}") };
    assert_eq!(cause.result_code(), Some(ResultCode::STRONGER_AUTH_REQUIRED));

    // Protected, the same name and password are right, from the start and by StartTLS.
    let tls = || TlsOptions::new().ca_pem(samba.ca_pem());
    for connector in [secured(&samba), Connector::builder().start_tls(tls()).url(&url)] {
        let mut connection = connector.build().unwrap().connect().await.unwrap();
        let step = BindStep::simple(samba.root_dn(), samba.root_password().into());
        connection.bind(step, Deadline::after(LONG)).await.unwrap();
        connection.close().await;
    }
}

/// By libldap, which signs and seals unless it is told not to.
#[test]
fn kerberos_has_to_sign_or_seal_where_protection_is_demanded() {
    let samba = Samba::start_demanding().unwrap();
    let administrator = samba.sign_in("Administrator", samba.root_password()).unwrap();
    let search = |options: &[&str]| {
        let url = samba.ldap_url();
        let arguments =
            ["-LLL", "-Q", "-Y", "GSSAPI", "-N", "-H", &url, "-s", "base", "-b", DEFAULT_SUFFIX, "1.1"];
        Tool::new("ldapsearch").unwrap().args(options).args(arguments).envs(&administrator).run().unwrap()
    };
    assert_eq!(search(&[]).success().unwrap(), "dn: DC=harbourlane,DC=example\n\n");
    let refused = search(&["-O", "maxssf=0"]);
    assert_eq!(refused.code, Some(8), "{}", refused.said());
    assert!(refused.said().contains("Sign or Seal are required"), "{}", refused.said());
}
