//! Binds, stored passwords, Password Modify.

use bytes::Bytes;
use flext_ldap_directory::{Actor, Identity, Outcome};
use flext_ldap_proto::{
    extended::{ExtendedOperation, PasswordModify, WhoAmI},
    message::{Change, ChangeKind, ExtendedResponse, Modify},
    result::ResultCode,
    secret::Secret,
};

use crate::support::*;

const ANNA: &str = "uid=anna,ou=people,dc=harbourlane,dc=example";

fn anna() -> Actor {
    Actor::User(Identity::from_successful_bind(dn(ANNA)))
}

fn passwords(kind: ChangeKind, values: &[&str]) -> Modify {
    let values = values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect();
    Modify { dn: dn(ANNA), changes: vec![Change { kind, attribute: attribute("userPassword"), values }] }
}

#[tokio::test]
async fn binds() {
    let store = small().await;
    ok(&store, passwords(ChangeKind::Replace, &["low water"])).await;
    let refused = |code| Err::<Actor, _>(code);
    for (name, password, want) in [
        (ADMIN, ADMIN_PASSWORD, Ok(Actor::User(Identity::from_successful_bind(dn(ADMIN))))),
        (ADMIN, "wrong", refused(ResultCode::INVALID_CREDENTIALS)),
        (ADMIN, "", refused(ResultCode::UNWILLING_TO_PERFORM)),
        ("", "", Ok(Actor::Anonymous)),
        ("", "x", refused(ResultCode::INVALID_CREDENTIALS)),
        (ANNA, "low water", Ok(anna())),
        ("UID=Anna, ou=PEOPLE,dc=harbourlane,dc=example", "low water", Ok(anna())),
        (ANNA, "low water ", refused(ResultCode::INVALID_CREDENTIALS)),
        (ANNA, "low water\0", refused(ResultCode::INVALID_CREDENTIALS)),
        (ANNA, " ", refused(ResultCode::INVALID_CREDENTIALS)),
        (ANNA, "", refused(ResultCode::UNWILLING_TO_PERFORM)),
        ("uid=bert,ou=people,dc=harbourlane,dc=example", "x", refused(ResultCode::INVALID_CREDENTIALS)),
        ("uid=nobody,ou=people,dc=harbourlane,dc=example", "x", refused(ResultCode::INVALID_CREDENTIALS)),
        ("nonesuch=x", "x", refused(ResultCode::INVALID_CREDENTIALS)),
        ("dc=elsewhere", "x", refused(ResultCode::INVALID_CREDENTIALS)),
        ("anna", "low water", refused(ResultCode::INVALID_DN_SYNTAX)),
    ] {
        assert_eq!(bind(&store, name, password).await, want, "{name} {password:?}");
    }
    assert_eq!(bind(&store, ANNA, &"x".repeat(5_000_000)).await, refused(ResultCode::INVALID_CREDENTIALS));
}

#[tokio::test]
async fn several_passwords_and_their_ends() {
    let store = small().await;
    let hash = "{SSHA}6Uj6JpXmLXAYTdOQ9JgTfmOTCpFzYWx0";
    ok(&store, passwords(ChangeKind::Replace, &["one", hash])).await;
    ok(&store, passwords(ChangeKind::Add, &["two"])).await;
    for password in ["one", "two"] {
        assert!(bind(&store, ANNA, password).await.is_ok(), "{password}");
    }
    assert_eq!(code(&store, passwords(ChangeKind::Delete, &["three"])).await, ResultCode::NO_SUCH_ATTRIBUTE);
    ok(&store, passwords(ChangeKind::Delete, &["one"])).await;
    ok(&store, passwords(ChangeKind::Delete, &[hash])).await;
    assert!(bind(&store, ANNA, "one").await.is_err());
    assert!(bind(&store, ANNA, "two").await.is_ok());
    ok(&store, passwords(ChangeKind::Delete, &[])).await;
    assert!(bind(&store, ANNA, "two").await.is_err());
    assert_eq!(code(&store, passwords(ChangeKind::Delete, &[])).await, ResultCode::NO_SUCH_ATTRIBUTE);
    assert_eq!(code(&store, passwords(ChangeKind::Replace, &[""])).await, ResultCode::CONSTRAINT_VIOLATION);
    let long = "x".repeat(5_000);
    assert_eq!(
        code(&store, passwords(ChangeKind::Replace, &[&long])).await,
        ResultCode::CONSTRAINT_VIOLATION
    );
}

fn ask_for(
    user: Option<&str>,
    old: Option<&str>,
    new: Option<&str>,
) -> flext_ldap_proto::message::ExtendedRequest {
    PasswordModify { user: user.map(str::to_owned), old: old.map(Secret::from), new: new.map(Secret::from) }
        .request()
}

fn generated(outcome: &Outcome) -> Option<Secret> {
    let response = ExtendedResponse {
        result: outcome.result.clone(),
        oid: outcome.oid.clone(),
        value: outcome.value.clone(),
    };
    PasswordModify::decode_response(&response).unwrap().generated
}

#[tokio::test]
async fn password_modify() {
    let store = small().await;
    let modify = |request, actor: Actor| {
        let store = store.clone();
        async move { ask(&store, request, actor).await.unwrap() }
    };
    // An administrator needs no old password.
    let set = modify(ask_for(Some(ANNA), None, Some("ebb")), Actor::Service).await;
    assert_eq!(set.result.code, ResultCode::SUCCESS, "{set:?}");
    assert!(generated(&set).is_none());
    // Nor does a user, unless the policy says so; one that is given has to be right.
    for (old, want) in [
        (Some("flood"), ResultCode::UNWILLING_TO_PERFORM),
        (Some(""), ResultCode::UNWILLING_TO_PERFORM),
        (Some("ebb"), ResultCode::SUCCESS),
        (None, ResultCode::SUCCESS),
    ] {
        let outcome = modify(ask_for(None, old, Some("neap")), anna()).await;
        assert_eq!(outcome.result.code, want, "{old:?}: {outcome:?}");
    }
    assert!(bind(&store, ANNA, "neap").await.is_ok());
    assert!(bind(&store, ANNA, "ebb").await.is_err());
    let made = modify(ask_for(Some(&format!("dn:{ANNA}")), Some("neap"), None), anna()).await;
    assert_eq!(made.result.code, ResultCode::SUCCESS);
    let password = generated(&made).unwrap();
    let password = std::str::from_utf8(password.expose()).unwrap();
    assert!(bind(&store, ANNA, password).await.is_ok());

    let bert = "uid=bert,ou=people,dc=harbourlane,dc=example";
    let table = [
        (ask_for(Some(bert), Some("x"), Some("y")), anna(), ResultCode::INSUFFICIENT_ACCESS_RIGHTS),
        (ask_for(Some(bert), None, Some("y")), Actor::Anonymous, ResultCode::NO_SUCH_OBJECT),
        (ask_for(None, None, Some("y")), Actor::Anonymous, ResultCode::UNWILLING_TO_PERFORM),
        (
            ask_for(Some("uid=nobody,dc=harbourlane,dc=example"), None, Some("y")),
            Actor::Service,
            ResultCode::NO_SUCH_OBJECT,
        ),
        (ask_for(Some("not a name"), None, Some("y")), Actor::Service, ResultCode::INVALID_DN_SYNTAX),
        (ask_for(Some(bert), None, Some("")), Actor::Service, ResultCode::CONSTRAINT_VIOLATION),
    ];
    for (request, actor, want) in table {
        assert_eq!(modify(request, actor).await.result.code, want);
    }
}

#[tokio::test]
async fn who_am_i_and_what_is_not_known() {
    let store = small().await;
    let who = ask(&store, WhoAmI.request(), anna()).await.unwrap();
    assert_eq!(who.value.as_deref(), Some(format!("dn:{ANNA}").as_bytes()));
    let who = ask(&store, WhoAmI.request(), Actor::Anonymous).await.unwrap();
    assert_eq!(who.value.as_deref(), Some(b"".as_slice()));
    let unknown = flext_ldap_proto::message::ExtendedRequest { oid: "1.2.3".parse().unwrap(), value: None };
    assert_eq!(code(&store, unknown).await, ResultCode::PROTOCOL_ERROR);
}

#[tokio::test]
async fn an_entry_has_few_passwords() {
    let store = small().await;
    let many: Vec<String> = (0..11).map(|number| format!("password {number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let refused = ResultCode::CONSTRAINT_VIOLATION;
    let by_anna = async |op: Modify| ask(&store, op, anna()).await.unwrap().result.code;
    for kind in [ChangeKind::Add, ChangeKind::Replace, ChangeKind::Delete] {
        assert_eq!(by_anna(passwords(kind, &many)).await, refused, "{kind:?}");
    }
    assert_eq!(by_anna(passwords(ChangeKind::Replace, &many[..2])).await, ResultCode::SUCCESS);
    // Nor by one after the other.
    let hash = "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=";
    for number in 0..9 {
        let salted = format!("{{SSHA}}2jmj7l5rSw0yVb/vlWAYkK/YBwl{number}YWI=");
        let code = code(&store, passwords(ChangeKind::Add, &[&salted])).await;
        assert_eq!(code, if number < 8 { ResultCode::SUCCESS } else { refused }, "{number}");
    }
    assert_eq!(code(&store, passwords(ChangeKind::Add, &[hash])).await, refused);
}
