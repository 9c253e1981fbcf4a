//! Each operation and its result codes.

use flext_ldap_directory::Actor;
use flext_ldap_proto::{
    message::{Scope, Search},
    result::ResultCode,
};

use crate::support::*;

#[tokio::test]
async fn what_is_added_is_found() {
    let store = small().await;
    let (names, outcome) = find(&store, subtree("(uid=anna)"), Actor::Service).await;
    assert_eq!(outcome.result.code, ResultCode::SUCCESS);
    assert_eq!(names, [format!("uid=anna,ou=people,{SUFFIX}")]);
    let (names, _) = find(&store, subtree("(objectClass=person)"), Actor::Service).await;
    assert_eq!(names.len(), 3);
    let one = Search::new(dn(SUFFIX), Scope::One, filter("(objectClass=*)"));
    let (names, _) = find(&store, one, Actor::Service).await;
    assert_eq!(names, [format!("ou=groups,{SUFFIX}"), format!("ou=people,{SUFFIX}")]);
    let (names, _) = find(&store, subtree("(objectClass=*)"), Actor::Service).await;
    assert_eq!(names.len(), 6);
}

#[tokio::test]
async fn binds() {
    let store = small().await;
    assert!(bind(&store, ADMIN, ADMIN_PASSWORD).await.is_ok());
    assert_eq!(bind(&store, ADMIN, "wrong").await, Err(ResultCode::INVALID_CREDENTIALS));
    assert_eq!(bind(&store, ADMIN, "").await, Err(ResultCode::UNWILLING_TO_PERFORM));
    assert_eq!(bind(&store, "", "").await, Ok(Actor::Anonymous));
    assert_eq!(
        bind(&store, "uid=nobody,dc=harbourlane,dc=example", "x").await,
        Err(ResultCode::INVALID_CREDENTIALS)
    );
    let mut dora = person("dora");
    dora.attributes = {
        let mut attributes = flext_ldap_proto::attribute::Attributes::builder();
        for one in dora.attributes.as_ref().iter() {
            attributes.push(one.description(), one.values());
        }
        attributes.push("userPassword", ["low water"]);
        attributes.build()
    };
    ok(&store, dora).await;
    let name = format!("UID=Dora, ou=People,{SUFFIX}");
    assert!(bind(&store, &name, "low water").await.is_ok());
    assert_eq!(bind(&store, &name, "high water").await, Err(ResultCode::INVALID_CREDENTIALS));
    let stored = read(&store, &name).await.unwrap();
    assert!(stored.attributes().get("userPassword").is_none());
    assert!(stored.text("entryUUID").is_some());
}
