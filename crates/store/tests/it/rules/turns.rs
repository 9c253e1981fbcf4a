//! Writes that wait behind others: what each may is decided at its turn, on what those before it left.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::atomic::AtomicBool,
    task::Poll,
    time::{Duration, SystemTime},
};

use flext_ldap_directory::{BoxFuture, Directory, Outcome, Request, Session};
use flext_ldap_proto::{
    control::{Controls, ProxiedAuthorization, TreeDelete},
    extended::{ExtendedOperation, PasswordModify},
    secret::Secret,
};

use super::*;

const DORA: &str = "uid=dora,ou=people,dc=harbourlane,dc=example";
const PASSWORD: &str = "spring tide";
/// Of `harbour light`.
const RESET: &str = "{SHA}d8nPuPS9RbPexXqsHNjslGz35aA=";
const DENIED: ResultCode = ResultCode::INSUFFICIENT_ACCESS_RIGHTS;

/// The help desk does everything, also as others; everybody writes themselves, who is suspended nothing.
const RULES: &str = "
- to: {subtree: 'ou=people,dc=harbourlane,dc=example', attributes: '*'}
  allow:
    - 'group cn=suspended,ou=groups,dc=harbourlane,dc=example': none
    - 'nested-group cn=help desk,ou=groups,dc=harbourlane,dc=example': [manage, proxy]
    - self: write
    - anonymous: auth
- allow:
    - 'nested-group cn=help desk,ou=groups,dc=harbourlane,dc=example': [manage, proxy]
    - users: read
";

/// Keeps the writer waiting, which looks at the clock for each write.
#[derive(Clone, Default)]
struct Gate(Arc<AtomicBool>);

impl Gate {
    fn close(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn open(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    fn now(&self) -> SystemTime {
        while self.0.load(Ordering::SeqCst) && std::thread::current().name() == Some("ldap-write") {
            std::thread::sleep(Duration::from_millis(1));
        }
        SystemTime::now()
    }
}

/// What is done first, by whom the next is asked, what, and what it is answered.
type Turn<'a> = (&'a str, Vec<Op>, &'a str, Op, Controls, ResultCode);

async fn harbour() -> (Store, Gate) {
    let gate = Gate::default();
    let clock = gate.clone();
    let store = Store::open(options().policy(Arc::new(rules(RULES))).clock(move || clock.now())).unwrap();
    fill(&store).await;
    let group = |name: &str, member: &str| {
        entry(
            &format!("cn={name},ou=groups,{SUFFIX}"),
            &["objectClass: groupOfNames", &format!("member: {member}")],
        )
    };
    ok(&store, group("watch", ANNA)).await;
    ok(&store, group("help desk", &format!("cn=watch,ou=groups,{SUFFIX}"))).await;
    ok(&store, group("suspended", "cn=nobody")).await;
    for name in [ANNA, BERT, CLEO] {
        ok(&store, change(name, ChangeKind::Replace, "userPassword", &[PASSWORD])).await;
    }
    (store, gate)
}

async fn signed_in(store: &Store, name: &str) -> (Box<dyn Session>, Actor) {
    let mut session = session(store).await;
    let by = Deadline::after(Duration::from_secs(60));
    match session.bind(BindStep::simple(name, PASSWORD.into()), by).await.unwrap() {
        BindReply::Done { actor, .. } => (session, actor),
        other => panic!("{other:?}"),
    }
}

type Answer = BoxFuture<'static, Result<Outcome, Error>>;

fn asked(of: &dyn Directory, op: Op, actor: &Actor, controls: Controls) -> Answer {
    Box::pin(of.call(Request { controls, ..Request::new(op, actor.clone()) }).outcome())
}

/// Asks for the first time: a write is handed over.
async fn hand_over(answer: &mut Answer) {
    poll_fn(|cx| {
        assert!(Pin::new(&mut *answer).poll(cx).is_pending(), "the writer waits");
        Poll::Ready(())
    })
    .await;
}

fn title(name: &str) -> Op {
    change(name, ChangeKind::Replace, "title", &["Harbour master"]).into()
}

#[tokio::test]
async fn what_a_write_may_is_decided_at_its_turn() {
    let watch = format!("cn=watch,ou=groups,{SUFFIX}");
    let suspended = format!("cn=suspended,ou=groups,{SUFFIX}");
    let acting_for = |name: &str| Controls::none().critical(&ProxiedAuthorization(format!("dn:{name}")));
    let none = Controls::none;
    let away = || vec![Op::from(rename(CLEO, "uid=dora", None))];
    let replaced = || vec![rename(CLEO, "uid=dora", None).into(), rename(BERT, "uid=cleo", None).into()];
    let expelled = || vec![Op::from(change(&watch, ChangeKind::Replace, "member", &["cn=nobody"]))];
    let denied = ResultCode::AUTHORIZATION_DENIED;
    let tree = || Controls::none().critical(&TreeDelete);
    let delete = |name: &str| Op::from(Delete { dn: dn(name) });
    let table: Vec<Turn<'_>> = vec![
        ("nothing", vec![title(BERT)], ANNA, title(CLEO), none(), ResultCode::SUCCESS),
        ("a name that is another's", replaced(), CLEO, title(CLEO), none(), DENIED),
        ("a name that is nobody's", away(), CLEO, title(DORA), none(), DENIED),
        ("an account that is gone", vec![delete(ANNA)], ANNA, title(CLEO), none(), DENIED),
        ("a tree, for one who is gone", vec![delete(ANNA)], ANNA, delete(CLEO), tree(), DENIED),
        ("a membership that has ended", expelled(), ANNA, title(CLEO), none(), DENIED),
        ("a tree, after a membership", expelled(), ANNA, delete(CLEO), tree(), DENIED),
        (
            "a membership that keeps from it",
            vec![change(&suspended, ChangeKind::Add, "member", &[CLEO]).into()],
            CLEO,
            title(CLEO),
            none(),
            DENIED,
        ),
        ("somebody to act for", vec![title(BERT)], ANNA, title(CLEO), acting_for(CLEO), ResultCode::SUCCESS),
        ("a right to act for them", expelled(), ANNA, title(CLEO), acting_for(CLEO), denied),
        ("somebody else of that name", replaced(), ANNA, title(CLEO), acting_for(CLEO), DENIED),
        ("nobody of that name", vec![delete(CLEO)], ANNA, title(BERT), acting_for(CLEO), DENIED),
    ];
    for (what, first, who, op, controls, expected) in table {
        let (store, gate) = harbour().await;
        let (session, actor) = signed_in(&store, who).await;
        let before = store.counters().commits;
        let mut answers = Vec::new();
        let mut asks = |op: Op, of: &dyn Directory, actor: &Actor, controls| {
            answers.push(asked(of, op, actor, controls));
        };
        for op in first {
            asks(op, &store, &Actor::Service, none());
        }
        asks(op, &*session, &actor, controls);
        gate.close();
        for answer in &mut answers {
            hand_over(answer).await;
        }
        gate.open();
        let mut codes = Vec::new();
        for answer in answers {
            codes.push(answer.await.unwrap().result.code);
        }
        let last = codes.pop();
        assert_eq!(codes, vec![ResultCode::SUCCESS; codes.len()], "{what}");
        assert_eq!(last, Some(expected), "{what}");
        assert_eq!(store.counters().commits, before + 1, "{what}: one commit");
        let titles = find(&store, subtree("(title=Harbour master)"), Actor::Service).await.0;
        assert_eq!(titles.is_empty(), expected != ResultCode::SUCCESS, "{what}: {titles:?}");
    }
}

/// A password proved is the one that is replaced: who lost theirs to a reset does not get it back.
#[tokio::test]
async fn a_proof_is_of_the_password_at_its_turn() {
    let (store, gate) = harbour().await;
    let (session, actor) = signed_in(&store, CLEO).await;
    let verified = store.counters().passwords_verified;
    gate.close();
    let reset = change(CLEO, ChangeKind::Replace, "userPassword", &[RESET]);
    let mut reset = asked(&store, reset.into(), &Actor::Service, Controls::none());
    hand_over(&mut reset).await;
    let op = PasswordModify {
        user: None,
        old: Some(Secret::from(PASSWORD)),
        new: Some(Secret::from("neap tide")),
    };
    let mut own = asked(&*session, Op::from(op.request()), &actor, Controls::none());
    while store.counters().passwords_verified == verified {
        hand_over(&mut own).await;
        tokio::task::yield_now().await;
    }
    gate.open();
    assert_eq!(reset.await.unwrap().result.code, ResultCode::SUCCESS);
    assert_eq!(own.await.unwrap().result.code, ResultCode::UNWILLING_TO_PERFORM);
    assert_eq!(bind(&store, CLEO, "neap tide").await, Err(ResultCode::INVALID_CREDENTIALS));
    assert!(bind(&store, CLEO, "harbour light").await.is_ok());
}
