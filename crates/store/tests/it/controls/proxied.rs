//! Proxied authorization (RFC 4370).

use std::sync::Arc;

use flext_ldap_directory::{
    AccessPolicy, Actor, AttributeRight, EntryRight, Error, Lookup, Requester, Rights, Target,
};
use flext_ldap_proto::{
    control::{Control, ControlValue, Controls, ProxiedAuthorization},
    extended::{ExtendedOperation, WhoAmI},
    message::Delete,
    result::ResultCode,
};
use flext_ldap_store::{StandardPolicy, Store};

use super::*;

fn proxied(authorization: &str) -> Controls {
    Controls::none().critical(&ProxiedAuthorization(authorization.to_owned()))
}

async fn who(store: &Store, authorization: &str, actor: &Actor) -> Result<String, ResultCode> {
    let outcome = ask_with(store, WhoAmI.request(), proxied(authorization), actor.clone()).await;
    match outcome.result.code {
        ResultCode::SUCCESS => Ok(String::from_utf8(outcome.value.unwrap().to_vec()).unwrap()),
        code => Err(code),
    }
}

#[tokio::test]
async fn administrators_act_for_others() {
    let store = small().await;
    let admin = bind(&store, ADMIN, ADMIN_PASSWORD).await.unwrap();
    let (anna, denied) = (format!("dn:uid=anna,ou=people,{SUFFIX}"), Err(ResultCode::AUTHORIZATION_DENIED));
    ok(&store, person("twin")).await;
    ok(&store, {
        let unit = format!("ou=groups,{SUFFIX}");
        entry(&format!("uid=twin,{unit}"), &["objectClass: account"])
    })
    .await;
    let table: &[(&str, &Actor, Result<&str, ResultCode>)] = &[
        (&anna, &admin, Ok(&anna)),
        ("u:anna", &admin, Ok(&anna)),
        ("u:ANNA", &admin, Ok(&anna)),
        ("dn:UID=Anna, ou=people,dc=harbourlane,dc=example", &admin, Ok(&anna)),
        ("", &admin, Ok("")),
        ("dn:", &admin, Ok("")),
        ("", &user("bert"), Ok("")),
        // One's own rights are nothing new.
        (&anna, &user("anna"), Ok(&anna)),
        (&anna, &user("bert"), denied),
        ("u:anna", &user("bert"), denied),
        ("u:anna", &Actor::Anonymous, denied),
        ("u:nobody", &admin, denied),
        ("u:*", &admin, denied),
        ("u:", &admin, denied),
        // Two have this name.
        ("u:twin", &admin, denied),
        ("dn:uid=nobody,ou=people,dc=harbourlane,dc=example", &admin, denied),
        ("dn:nonsense", &admin, denied),
        ("anna", &admin, denied),
        ("dn:cn=admin,dc=harbourlane,dc=example", &user("anna"), denied),
        ("dn:cn=admin,dc=harbourlane,dc=example", &admin, Ok("dn:cn=admin,dc=harbourlane,dc=example")),
    ];
    for (authorization, actor, want) in table {
        let got = who(&store, authorization, actor).await;
        assert_eq!(got.as_deref().map_err(|code| *code), *want, "{authorization} {actor:?}");
    }
}

/// Nobody but themselves acts for the store's administrator, whoever else may do everything.
#[tokio::test]
async fn nobody_becomes_the_administrator() {
    let policy = StandardPolicy::default().administrator(dn(&format!("uid=bert,ou=people,{SUFFIX}")));
    let store = Store::open(options().policy(Arc::new(policy))).unwrap();
    fill(&store).await;
    assert!(who(&store, "u:anna", &user("bert")).await.is_ok());
    let denied = Err(ResultCode::AUTHORIZATION_DENIED);
    assert_eq!(who(&store, &format!("dn:{ADMIN}"), &user("bert")).await, denied);
    ok(&store, entry(ADMIN, &["objectClass: organizationalRole", "cn: admin"])).await;
    assert_eq!(who(&store, &format!("dn:{ADMIN}"), &user("bert")).await, denied);
}

#[tokio::test]
async fn it_must_be_critical_and_have_a_value() {
    let store = small().await;
    let control = |critical, value: Option<&'static [u8]>| {
        let mut controls = Controls::none();
        controls.push_raw(Control {
            oid: ProxiedAuthorization::OID,
            critical,
            value: value.map(Bytes::from_static),
        });
        controls
    };
    for (controls, code) in [
        (control(false, Some(b"u:anna")), ResultCode::PROTOCOL_ERROR),
        (control(true, None), ResultCode::PROTOCOL_ERROR),
        (control(true, Some(b"u:\xff")), ResultCode::PROTOCOL_ERROR),
        (control(true, Some(b"u:anna")), ResultCode::SUCCESS),
    ] {
        let got = code_with(&store, people(), controls.clone(), Actor::Service).await;
        assert_eq!(got, code, "{controls:?}");
    }
}

fn people() -> Search {
    subtree("(objectClass=inetOrgPerson)")
}

/// All that is done is done with the rights, and in the name, of whom it is for.
#[tokio::test]
async fn operations_are_theirs() {
    let store = small().await;
    let anna = format!("uid=anna,ou=people,{SUFFIX}");
    let bert = format!("uid=bert,ou=people,{SUFFIX}");
    let admin = bind(&store, ADMIN, ADMIN_PASSWORD).await.unwrap();
    let as_anna = || proxied("u:anna");
    let denied = ResultCode::INSUFFICIENT_ACCESS_RIGHTS;
    assert_eq!(code_with(&store, Delete { dn: dn(&bert) }, as_anna(), admin.clone()).await, denied);
    assert_eq!(code_with(&store, replace(&bert, "title", &["x"]), as_anna(), admin.clone()).await, denied);
    assert_eq!(code_with(&store, person("eve"), as_anna(), admin.clone()).await, denied);
    let own = replace(&anna, "userPassword", &["spring tide"]);
    assert_eq!(code_with(&store, own, as_anna(), admin.clone()).await, ResultCode::SUCCESS);
    assert_eq!(read(&store, &anna).await.unwrap().text("modifiersName"), Some(anna.as_str()));
    let (entries, _) = found_with(&store, people(), as_anna(), admin.clone()).await;
    assert_eq!(entries.len(), 3);
    let (entries, _) = found_with(&store, people(), proxied(""), admin).await;
    assert_eq!(entries.len(), 0);
}

/// Lets a help desk act for people, and nobody for anybody else.
struct Desk;

/// What one has who is at the desk, or is not.
struct AtDesk(bool);

impl AccessPolicy for Desk {
    fn rights_of(&self, who: Requester<'_>, _: &dyn Lookup) -> Result<Arc<dyn Rights>, Error> {
        let is_desk = matches!(who.actor, Actor::User(one) if one.authorization().contains("uid=bert"));
        Ok(Arc::new(AtDesk(is_desk)))
    }
}

impl Rights for AtDesk {
    fn look_at_entries(&self) -> bool {
        false
    }

    fn entry(&self, target: Target<'_>, right: EntryRight) -> bool {
        match right {
            EntryRight::Disclose => true,
            EntryRight::Proxy => self.0 && target.dn.rdns().len() == 4,
            _ => false,
        }
    }

    fn attribute(&self, _: Target<'_>, _: &str, _: AttributeRight) -> bool {
        true
    }
}

#[tokio::test]
async fn the_right_is_on_whom_it_is_for() {
    let store = Store::open(options().policy(Arc::new(Desk))).unwrap();
    fill(&store).await;
    assert!(who(&store, "u:anna", &user("bert")).await.is_ok());
    let denied = Err(ResultCode::AUTHORIZATION_DENIED);
    assert_eq!(who(&store, "u:anna", &user("cleo")).await, denied);
    assert_eq!(who(&store, &format!("dn:ou=people,{SUFFIX}"), &user("bert")).await, denied);
}
