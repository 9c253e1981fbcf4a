//! Who sees and changes what.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use flext_ldap_directory::{
    Actor, BindReply, BindStep, Deadline, Directory, ErrorKind, External, Identity, Op, Peer, PeerAddress,
    Protection, Request, Sessions,
};
use flext_ldap_proto::{
    control::Controls,
    extended::{ExtendedOperation, WhoAmI},
    filter::Filter,
    message::{Change, ChangeKind, Compare, Delete, Modify, Rename, Scope, Search},
    result::ResultCode,
};
use flext_ldap_store::{StandardPolicy, Store, StoreOptions};

use crate::{explaining::Log, support::*};

const ANNA: &str = "uid=anna,ou=people,dc=harbourlane,dc=example";
const BERT: &str = "uid=bert,ou=people,dc=harbourlane,dc=example";

fn user(name: &str) -> Actor {
    Actor::User(Identity::from_successful_bind(dn(name)))
}

fn replace(name: &str, attribute_name: &str, value: &str) -> Modify {
    Modify {
        dn: dn(name),
        changes: vec![Change {
            kind: ChangeKind::Replace,
            attribute: attribute(attribute_name),
            values: vec![Bytes::copy_from_slice(value.as_bytes())],
        }],
    }
}

async fn code_as(store: &Store, op: impl Into<Op>, actor: &Actor) -> ResultCode {
    ask(store, op, actor.clone()).await.unwrap().result.code
}

#[tokio::test]
async fn anonymous_reads_root_and_schema_only() {
    let store = small().await;
    let root = Search::new(dn(""), Scope::Base, Filter::any());
    assert_eq!(find(&store, root, Actor::Anonymous).await.0, [""]);
    let (names, outcome) = find(&store, subtree("(objectClass=*)"), Actor::Anonymous).await;
    assert_eq!((names.len(), outcome.result.code), (0, ResultCode::NO_SUCH_OBJECT));
    assert_eq!(outcome.result.matched_dn, "");
    // From the root nothing comes either, by any way of looking.
    for text in ["(objectClass=*)", "(uid=anna)", "(description=x)", "(!(uid=anna))"] {
        let all = Search::new(dn(""), Scope::Subtree, filter(text));
        assert_eq!(find(&store, all, Actor::Anonymous).await.0.len(), 0, "{text}");
    }
    let compare = Compare { dn: dn(ANNA), attribute: attribute("cn"), value: Bytes::from_static(b"x") };
    assert_eq!(code_as(&store, compare, &Actor::Anonymous).await, ResultCode::NO_SUCH_OBJECT);
    let writes: Vec<Op> = vec![
        person("eve").into(),
        Delete { dn: dn(ANNA) }.into(),
        replace(ANNA, "title", "x").into(),
        replace(ANNA, "userPassword", "x").into(),
    ];
    for op in writes {
        let code = code_as(&store, op.clone(), &Actor::Anonymous).await;
        assert!(
            matches!(code, ResultCode::NO_SUCH_OBJECT | ResultCode::INSUFFICIENT_ACCESS_RIGHTS),
            "{op:?}: {code}"
        );
    }
    let open = Store::open(options().policy(Arc::new(StandardPolicy::default().anonymous_read()))).unwrap();
    fill(&open).await;
    assert_eq!(find(&open, subtree("(uid=anna)"), Actor::Anonymous).await.0, [ANNA]);
}

#[tokio::test]
async fn users_read_and_change_their_own_password_only() {
    let store = small().await;
    let anna = user(ANNA);
    assert_eq!(find(&store, subtree("(uid=*)"), anna.clone()).await.0.len(), 3);
    let denied = ResultCode::INSUFFICIENT_ACCESS_RIGHTS;
    assert_eq!(code_as(&store, person("eve"), &anna).await, denied);
    assert_eq!(code_as(&store, Delete { dn: dn(BERT) }, &anna).await, denied);
    let rename = Rename {
        dn: dn(ANNA),
        new_rdn: "uid=admin".parse().unwrap(),
        delete_old_rdn: true,
        new_superior: None,
    };
    assert_eq!(code_as(&store, rename, &anna).await, denied);
    assert_eq!(code_as(&store, replace(ANNA, "title", "x"), &anna).await, denied);
    assert_eq!(code_as(&store, replace(BERT, "userPassword", "x"), &anna).await, denied);
    assert_eq!(
        code_as(&store, replace(ANNA, "userPassword", "spring tide"), &anna).await,
        ResultCode::SUCCESS
    );
    assert!(bind(&store, ANNA, "spring tide").await.is_ok());
    // A hash could be a weak one, or one that costs the directory much to verify.
    let hash = "{SSHA}6Uj6JpXmLXAYTdOQ9JgTfmOTCpFzYWx0";
    assert_eq!(
        code_as(&store, replace(ANNA, "userPassword", hash), &anna).await,
        ResultCode::CONSTRAINT_VIOLATION
    );
}

/// Secrets leak neither by filters nor by selections, to nobody.
#[tokio::test]
async fn passwords_are_not_seen() {
    let store = small().await;
    ok(&store, replace(ANNA, "userPassword", "spring tide")).await;
    let admin = bind(&store, ADMIN, ADMIN_PASSWORD).await.unwrap();
    for actor in [user(ANNA), user(BERT), admin, Actor::Service] {
        for text in [
            "(userPassword=*)",
            "(!(userPassword=*))",
            "(userPassword=spring tide)",
            "(userPassword={ARGON2}*)",
            "(userPassword>=a)",
            "(2.5.4.35=*)",
            "(userPassword;x-a=*)",
            "(|(userPassword=*)(userPassword=a*))",
            "(:octetStringMatch:=spring tide)",
        ] {
            assert_eq!(find(&store, subtree(text), actor.clone()).await.0.len(), 0, "{text} {actor:?}");
        }
        let all = subtree("(uid=anna)").attributes(["*", "+", "userPassword", "2.5.4.35", "@person"]);
        let (found, _) = entries(&store, all, actor).await;
        assert_eq!(found.len(), 1);
        for attribute in found[0].attributes().iter() {
            assert!(!attribute.description().to_ascii_lowercase().contains("password"));
            assert!(!attribute.values().any(|value| value.windows(6).any(|part| part == b"argon2")));
        }
    }
}

/// DN comparison bypass (Authelia, Vault by CN): who is administrator is decided by normalised names.
#[tokio::test]
async fn the_administrator_is_found_by_name_not_by_spelling() {
    let store = small().await;
    for name in [
        ADMIN,
        "CN=Admin,DC=HarbourLane,dc=example",
        "cn = admin , dc=harbourlane,dc=example",
        r"cn=\61dmin,dc=harbourlane,dc=example",
        "2.5.4.3=admin,dc=harbourlane,dc=example",
    ] {
        assert!(bind(&store, name, ADMIN_PASSWORD).await.is_ok(), "{name}");
    }
    for name in [
        "cn=admin",
        r"cn=admin\,dc\=harbourlane,dc=example",
        "cn=admin,cn=admin,dc=harbourlane,dc=example",
        "uid=admin,dc=harbourlane,dc=example",
        "cn=admin+sn=x,dc=harbourlane,dc=example",
    ] {
        assert_eq!(bind(&store, name, ADMIN_PASSWORD).await, Err(ResultCode::INVALID_CREDENTIALS), "{name}");
        assert_eq!(
            code_as(&store, Delete { dn: dn(ANNA) }, &user(name)).await,
            ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
            "{name}"
        );
    }
    assert_eq!(
        code_as(&store, Delete { dn: dn(ANNA) }, &user("CN=ADMIN, dc=harbourlane,dc=example")).await,
        ResultCode::SUCCESS
    );
}

fn peer(uid: Option<u32>) -> Peer {
    Peer {
        address: PeerAddress::Unix,
        protection: Protection::Local,
        external: uid.map(|uid| External::UnixUser { uid, gid: 0 }),
        bindings: None,
        tls: None,
    }
}

#[tokio::test]
async fn external() {
    let store = Store::open(options().peer_administrator(4242)).unwrap();
    fill(&store).await;
    let by = || Deadline::after(Duration::from_secs(30));
    for (uid, allowed) in [(Some(0), true), (Some(4242), true), (Some(4_000_000), false), (None, false)] {
        let mut session = Sessions::open(&store, peer(uid)).await.unwrap();
        let root = Search::new(dn(""), Scope::Base, Filter::any()).attributes(["supportedSASLMechanisms"]);
        let (found, _) = entries(&session, root, Actor::Anonymous).await;
        let offered = found[0].attributes().get("supportedSASLMechanisms").unwrap();
        assert_eq!(offered.values().any(|name| name == b"EXTERNAL"), uid.is_some());
        match session.bind(BindStep::external(), by()).await.unwrap() {
            BindReply::Done { actor, .. } => {
                assert!(allowed, "{uid:?}");
                assert_eq!(actor, user(ADMIN));
                assert_eq!(
                    session
                        .call(Request::new(person("eve"), actor).into_any())
                        .outcome()
                        .await
                        .unwrap()
                        .result
                        .code
                        .0
                        & !68,
                    0
                );
            }
            BindReply::Refused(outcome) => {
                assert!(!allowed, "{uid:?}: {outcome:?}");
            }
            BindReply::Continue { .. } => panic!("EXTERNAL has one step"),
        }
    }
}

/// Who is refused is told no more than after a wrong password, and the log why.
#[tokio::test]
async fn why_external_is_refused_is_logged() {
    let other = BindStep::Sasl {
        mechanism: "EXTERNAL".to_owned(),
        credentials: Some(format!("dn:{ANNA}").as_str().into()),
        controls: Controls::none(),
    };
    let table = [
        (options(), 4_000_000, BindStep::external(), "only root and the user who serves are"),
        (StoreOptions::memory().suffix(dn(SUFFIX)), 0, BindStep::external(), "there is no administrator"),
        (options(), 0, other, "it asks to act for somebody else"),
    ];
    for (options, uid, step, why) in table {
        let store = Store::open(options).unwrap();
        let log = Log::default();
        let _guard = tracing::subscriber::set_default(log.clone());
        for round in 0..3 {
            let mut session = Sessions::open(&store, peer(Some(uid))).await.unwrap();
            let by = Deadline::after(Duration::from_secs(30));
            let BindReply::Refused(outcome) = session.bind(step.clone(), by).await.unwrap() else {
                panic!("{why}")
            };
            assert_eq!(outcome.result.code, ResultCode::INVALID_CREDENTIALS);
            assert!(!outcome.result.diagnostic.contains("administrator"), "{outcome:?}");
            // Whoever asks again and again does not fill the log.
            let lines = log.of("flext_ldap_store::session");
            assert_eq!(lines.len(), 1, "{round}: {lines:?}");
            let start = "flext_ldap_store::session message=a bind by EXTERNAL over a Unix socket is refused";
            assert!(lines[0].starts_with(&format!("{start} uid={uid} why=\"{why}")), "{lines:?}");
        }
    }
}

#[tokio::test]
async fn a_peer_acts_for_whom_it_has_bound_as() {
    let store = small().await;
    let mut session = Sessions::open(&store, peer(Some(4_000_000))).await.unwrap();
    for actor in [Actor::Service, user(ADMIN)] {
        let error = ask(&session, person("eve"), actor).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotCarried);
    }
    let by = Deadline::after(Duration::from_secs(30));
    let reply = session.bind(BindStep::simple(ADMIN, ADMIN_PASSWORD.into()), by).await.unwrap();
    let BindReply::Done { actor, .. } = reply else { panic!("{reply:?}") };
    assert_eq!(ask(&session, person("eve"), actor.clone()).await.unwrap().result.code, ResultCode::SUCCESS);
    // A bind that fails leaves nobody bound (RFC 4511 §4.2.1).
    let reply = session.bind(BindStep::simple(ADMIN, "wrong".into()), by).await.unwrap();
    assert!(matches!(reply, BindReply::Refused(_)));
    assert_eq!(ask(&session, person("mallory"), actor).await.unwrap_err().kind(), ErrorKind::NotCarried);
}

/// Who may write an entry of the administrator's name gets nothing by it.
#[tokio::test]
async fn the_password_of_an_entry_is_not_the_administrators() {
    let store = small().await;
    let lines =
        ["objectClass: organizationalRole", "objectClass: simpleSecurityObject", "userPassword: mine"];
    ok(&store, entry(ADMIN, &lines)).await;
    assert_eq!(bind(&store, ADMIN, "mine").await, Err(ResultCode::INVALID_CREDENTIALS));
    assert!(bind(&store, ADMIN, ADMIN_PASSWORD).await.is_ok());
}

/// A conversation is that of an entry: who gets its name gets nothing, and who had it loses what they had.
#[tokio::test]
async fn a_conversation_ends_with_its_entry() {
    let store = small().await;
    let (anna, bert) =
        ("uid=anna,ou=people,dc=harbourlane,dc=example", "uid=bert,ou=people,dc=harbourlane,dc=example");
    for name in [anna, bert] {
        let values = vec![Bytes::from_static(b"spring tide")];
        let change = Change { kind: ChangeKind::Replace, attribute: attribute("userPassword"), values };
        ok(&store, Modify { dn: dn(name), changes: vec![change] }).await;
    }
    let rename = |from: &str, to: &str| Rename {
        dn: dn(from),
        new_rdn: to.parse().unwrap(),
        delete_old_rdn: true,
        new_superior: None,
    };
    let mut of_anna = session(&store).await;
    let by = Deadline::after(Duration::from_secs(60));
    let bound = of_anna.bind(BindStep::simple(ANNA, "spring tide".into()), by).await.unwrap();
    let BindReply::Done { actor, .. } = bound else { panic!("{bound:?}") };
    let asks = async || {
        let request = Request::new(Op::from(WhoAmI.request()), actor.clone());
        of_anna.call(request).outcome().await.unwrap().result.code
    };
    let denied = ResultCode::INSUFFICIENT_ACCESS_RIGHTS;
    assert_eq!(asks().await, ResultCode::SUCCESS);
    ok(&store, rename(ANNA, "uid=anne")).await;
    assert_eq!(asks().await, denied);
    ok(&store, rename(BERT, "uid=anna")).await;
    assert_eq!(asks().await, denied);
    ok(&store, rename(ANNA, "uid=bert")).await;
    ok(&store, rename("uid=anne,ou=people,dc=harbourlane,dc=example", "uid=anna")).await;
    assert_eq!(asks().await, ResultCode::SUCCESS);
    ok(&store, Delete { dn: dn(ANNA) }).await;
    assert_eq!(asks().await, denied);
}

#[tokio::test]
async fn other_administrators() {
    let policy = StandardPolicy::default().administrator(dn("UID=Anna, ou=people,dc=harbourlane,dc=example"));
    let store = Store::open(options().policy(Arc::new(policy))).unwrap();
    fill(&store).await;
    let anna = user(ANNA);
    assert_eq!(code_as(&store, person("eve"), &anna).await, ResultCode::SUCCESS);
    assert_eq!(
        code_as(&store, replace(BERT, "userPassword", "{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="), &anna).await,
        ResultCode::SUCCESS
    );
    assert_eq!(code_as(&store, person("mallory"), &user(BERT)).await, ResultCode::INSUFFICIENT_ACCESS_RIGHTS);
    let (found, _) = entries(&store, subtree("(uid=eve)").attributes(["creatorsName"]), anna).await;
    assert_eq!(found[0].text("creatorsName"), Some(ANNA));
}

#[tokio::test]
async fn an_add_does_not_tell_whether_there_is_such_an_entry() {
    let store = small().await;
    let mut answers = Vec::new();
    for uid in ["anna", "nobody"] {
        let outcome = ask(&store, person(uid), Actor::Anonymous).await.unwrap();
        answers.push((outcome.result.code, outcome.result.diagnostic, outcome.result.matched_dn));
    }
    assert_eq!(answers[0], answers[1]);
}
