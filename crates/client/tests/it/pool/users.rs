//! Binds of users: on connections of their own, one after another, and nobody finds himself somebody else.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use flext_ldap_client::{Pool, Server};
use flext_ldap_directory::{
    Actor, Applied, BindReply, BindStep, Directory, DirectoryExt, Error, ErrorKind, Peer, Request, Session,
    Sessions,
    proto::{
        control::Controls,
        extended::{ExtendedOperation as _, WhoAmI},
        message::{Authentication, ExtendedRequest, ExtendedResponse, Request as Message, Response},
        oid::Oid,
        result::{LdapResult, ResultCode},
        secret::Secret,
    },
};
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use super::server::*;
use crate::support::{Cancellable, Server as Raw, bound, search, settle};

fn user(number: usize) -> String {
    format!("uid=user{number},dc=harbourlane,dc=example")
}

fn password(number: usize) -> String {
    format!("correct horse {number} battery")
}

fn bind_of(number: usize) -> BindStep {
    BindStep::simple(user(number), password(number).as_str().into())
}

async fn with_users(users: usize) -> Fake {
    let fake = Fake::start().await;
    for number in 0..users {
        fake.script.set_password(&user(number), &password(number));
    }
    fake
}

/// Who binds on each connection, in order.
fn names(fake: &Fake) -> Vec<Vec<String>> {
    let name = |message| match message {
        Message::Bind(bind) => Some(bind.name),
        _ => None,
    };
    fake.script.wires().iter().map(|wire| wire.requests().into_iter().filter_map(name).collect()).collect()
}

/// What must hold of every connection, whatever went on: see the names.
fn assert_apart(fake: &Fake, users: usize) {
    for wire in fake.script.wires() {
        let binds: Vec<_> = wire
            .requests()
            .into_iter()
            .filter_map(|message| match message {
                Message::Bind(bind) => Some(bind),
                _ => None,
            })
            .collect();
        let is_service = binds.first().is_some_and(|bind| bind.name == READER);
        if is_service {
            assert_eq!(binds.len(), 1, "a service connection is never bound anew");
            for number in 0..users {
                assert!(!wire.has(password(number).as_bytes()), "a password on a service connection");
                assert!(!wire.has(user(number).as_bytes()), "an octet of a bind on a service connection");
            }
        } else {
            assert!(!wire.has(READERS_PASSWORD.as_bytes()) && !wire.has(READER.as_bytes()));
            for name in wire.searches() {
                assert!(!name.contains("service"), "service traffic among users: {name}");
            }
            for bind in binds {
                let Authentication::Simple(secret) = &bind.authentication else { panic!("no such bind") };
                assert!(!bind.name.is_empty() || secret.is_empty());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn invariant_4_one_password_after_another_over_a_connection_for_binds() {
    let fake = with_users(3).await;
    let pool = fake.pool().build().unwrap();
    pool.ready(soon()).await.unwrap();
    for number in [0, 1, 0, 2] {
        let BindReply::Done { actor, .. } = pool.bind(bind_of(number), soon()).await.unwrap() else {
            panic!()
        };
        let Actor::User(identity) = actor else { panic!("{actor:?}") };
        assert_eq!(identity.dn().unwrap().to_string(), user(number));
        pool.search_one(lookup("cn=service")).await.unwrap();
    }
    let wrong = pool.bind(BindStep::simple(user(0), "wrong".into()), soon()).await.unwrap();
    let BindReply::Refused(outcome) = wrong else { panic!("{wrong:?}") };
    assert_eq!(outcome.result.code, ResultCode::INVALID_CREDENTIALS);
    assert_eq!(names(&fake), [vec![READER.to_owned()], [0, 1, 0, 2, 0].map(user).to_vec()]);
    assert_apart(&fake, 3);
    let error = pool.bind(BindStep::simple(user(0), "".into()), soon()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EmptyPassword);
    let stats = pool.stats();
    assert_eq!((stats.binds.binds, stats.binds.opened, stats.binds.idle, stats.binds.binding), (5, 1, 1, 0));
    // Nobody stays bound for long.
    sleep(Duration::from_secs(62)).await;
    assert_eq!((pool.stats().binds.idle, fake.script.open()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_bind_is_sent_once() {
    let mut fake = with_users(1).await;
    let pool = fake.pool().build().unwrap();
    pool.bind(bind_of(0), soon()).await.unwrap();
    // The kept connection has been closed: that is seen before an octet leaves.
    fake.cut();
    settle().await;
    assert!(matches!(pool.bind(bind_of(0), soon()).await.unwrap(), BindReply::Done { .. }));
    let wires = fake.script.wires();
    assert_eq!(names(&fake).concat().iter().filter(|name| **name == user(0)).count(), 2);
    assert!(wires.len() >= 3);
    // A server that takes the password and says nothing is not asked again.
    fake.script.is_mute.store(true, Ordering::SeqCst);
    let error = pool.bind(bind_of(0), soon()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(names(&fake).concat().iter().filter(|name| **name == user(0)).count(), 3);
    fake.die().await;
    let error = pool.bind(bind_of(0), soon()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
}

/// A connection that is lost between the answer to a SASL bind and to the question who that has made it.
#[tokio::test(start_paused = true)]
async fn a_bind_that_was_answered_is_not_sent_again_since_nobody_says_whom_it_made() {
    let server = Raw::start().await;
    let pool = Pool::builder(server.clear().build().unwrap()).min(0).build().unwrap();
    let plain = || BindStep::Sasl {
        mechanism: "PLAIN".to_owned(),
        credentials: Some(Secret::from(format!("\0{}\0{}", user(0), password(0)).as_str())),
        controls: Controls::none(),
    };
    let played = async {
        let mut peer = server.accept().await;
        // One that is kept, on which the next is sent first.
        let (id, _) = peer.request().await;
        peer.answer(id, bound()).await;
        let (id, _) = peer.request().await;
        let who =
            ExtendedResponse { result: LdapResult::success(), oid: None, value: Some("dn:cn=x".into()) };
        peer.answer(id, Response::Extended(who)).await;
        let (id, _) = peer.request().await;
        peer.answer(id, bound()).await;
        let (_, question) = peer.request().await;
        assert!(matches!(question, Message::Extended(_)), "{question:?}");
    };
    let binds = async {
        assert!(matches!(pool.bind(plain(), soon()).await.unwrap(), BindReply::Done { .. }));
        pool.bind(plain(), soon()).await.unwrap_err()
    };
    let (error, ()) = tokio::join!(binds, played);
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Closed, Applied::Unknown), "{error}");
}

#[tokio::test(start_paused = true)]
async fn conversations_start_as_nobody_and_refuse_the_programs_own_operations() {
    let fake = with_users(2).await;
    let pool = fake.pool().build().unwrap();
    let who = |actor: &Actor| {
        let mut request = lookup("cn=who");
        request.actor = actor.clone();
        request
    };
    for number in [0, 1, 0] {
        let mut session = pool.open(Peer::in_process()).await.unwrap();
        assert_eq!(session.search_one(who(&Actor::Anonymous)).await.unwrap().dn_str(), "cn=nobody");
        let BindReply::Done { actor, .. } = session.bind(bind_of(number), soon()).await.unwrap() else {
            panic!()
        };
        assert_eq!(session.search_one(who(&actor)).await.unwrap().dn_str(), user(number));
        let error = session.search_one(lookup("cn=service")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotCarried);
        assert_eq!(pool.stats().binds.conversations, 1);
        drop(session);
        sleep(Duration::from_millis(10)).await;
    }
    // One connection, cleared after each of them.
    let all =
        names(&fake).into_iter().filter(|names| !names.contains(&READER.to_owned())).collect::<Vec<_>>();
    let nobody = String::new;
    assert_eq!(all, [[user(0), nobody(), user(1), nobody(), user(0), nobody()]]);
    assert_apart(&fake, 2);
    // Where the server clears nobody, no connection is used again.
    fake.script.refuses_anonymous.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let mut session = pool.open(Peer::in_process()).await.unwrap();
        session.bind(bind_of(0), soon()).await.unwrap();
        drop(session);
        sleep(Duration::from_millis(10)).await;
        assert_eq!(pool.stats().binds.idle, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_operation_may_have_changed_on_a_connection_reaches_nobody_else() {
    let fake = with_users(1).await;
    let pool = fake.pool().build().unwrap();
    // The fast concurrent bind of Active Directory: whoever binds on such a connection afterwards gets no rights.
    let fast = ExtendedRequest { oid: Oid::from_static("1.2.840.113556.1.4.1781"), value: None };
    for (request, is_kept) in [(fast, false), (WhoAmI.request(), true)] {
        let session = pool.open(Peer::in_process()).await.unwrap();
        session.call(Request::new(request, Actor::Anonymous).into_any()).outcome().await.unwrap();
        drop(session);
        settle().await;
        assert_eq!(pool.stats().binds.idle, usize::from(is_kept));
    }
}

#[tokio::test(start_paused = true)]
async fn a_conversation_with_something_under_way_gives_no_connection_back() {
    let fake = with_users(1).await;
    let pool = fake.pool().build().unwrap();
    for bound in [true, false] {
        let mut session = pool.open(Peer::in_process()).await.unwrap();
        let mut actor = Actor::Anonymous;
        if bound && let BindReply::Done { actor: user, .. } = session.bind(bind_of(0), soon()).await.unwrap()
        {
            actor = user;
        }
        let reply = session.call(Request { actor, ..search("cn=never") }.into_any());
        settle().await;
        drop(session);
        settle().await;
        assert_eq!(pool.stats().binds.idle, 0);
        assert_eq!(reply.outcome().await.unwrap_err().kind(), ErrorKind::Closed);
    }
    // Given up in the middle of a bind, at any moment.
    for polls in 0..5 {
        let mut session = pool.open(Peer::in_process()).await.unwrap();
        let _ = Cancellable::after(polls, session.bind(bind_of(0), soon())).await;
        drop(session);
        let _ = Cancellable::after(polls, pool.bind(bind_of(0), soon())).await;
        settle().await;
        let mut next = pool.open(Peer::in_process()).await.unwrap();
        let mut who = lookup("cn=who");
        who.actor = Actor::Anonymous;
        assert_eq!(next.search_one(who).await.unwrap().dn_str(), "cn=nobody");
        let _ = next.bind(BindStep::anonymous(), soon()).await.unwrap();
    }
    let stats = pool.stats();
    assert_eq!((stats.binds.binding, stats.binds.conversations), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn only_so_many_binds_and_conversations_at_a_time() {
    let fake = with_users(1).await;
    let pool = fake.pool().binds(2).conversations(2).waiting(2).build().unwrap();
    pool.ready(soon()).await.unwrap();
    fake.script.is_mute.store(true, Ordering::SeqCst);
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let pool = pool.clone();
        tasks.push(tokio::spawn(async move { pool.bind(bind_of(0), soon()).await }));
        settle().await;
    }
    let stats = pool.stats().binds;
    assert_eq!((stats.binding, stats.waiting, fake.script.open()), (2, 2, 3));
    assert_eq!(pool.bind(bind_of(0), soon()).await.unwrap_err().kind(), ErrorKind::Overloaded);
    let begun = Instant::now();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    }
    assert!(begun.elapsed() <= Duration::from_secs(20));
    fake.script.is_mute.store(false, Ordering::SeqCst);
    let _both = (pool.open(Peer::in_process()).await.unwrap(), pool.open(Peer::in_process()).await.unwrap());
    let begun = Instant::now();
    let error = pool.open(Peer::in_process()).await.err().unwrap();
    assert_eq!((error.kind(), begun.elapsed().as_secs()), (ErrorKind::Timeout, 5));
    assert!(error.to_string().contains(&fake.address.to_string()), "{error}");
}

#[tokio::test(start_paused = true)]
async fn shutting_down_ends_conversations() {
    let fake = with_users(1).await;
    let pool = fake.pool().build().unwrap();
    let session = pool.open(Peer::in_process()).await.unwrap();
    pool.shutdown(flext_ldap_directory::Deadline::after(Duration::from_secs(1))).await;
    settle().await;
    assert_eq!(fake.script.open(), 0);
    let mut who = lookup("cn=who");
    who.actor = Actor::Anonymous;
    assert_eq!(session.search_one(who).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(pool.open(Peer::in_process()).await.err().unwrap().kind(), ErrorKind::Closed);
    assert_eq!(pool.bind(bind_of(0), soon()).await.unwrap_err().kind(), ErrorKind::Closed);
}

const USERS: usize = 5;

/// What a task of a random schedule does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Lookup,
    Broad,
    Write,
    Bind { user: usize, is_right: bool },
    Converse { user: usize, asks_first: bool },
    Pin,
    Cut,
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Lookup),
        2 => Just(Act::Broad),
        1 => Just(Act::Write),
        4 => (0..USERS, any::<bool>()).prop_map(|(user, is_right)| Act::Bind { user, is_right }),
        4 => (0..USERS, any::<bool>()).prop_map(|(user, asks_first)| Act::Converse { user, asks_first }),
        1 => Just(Act::Pin),
        1 => Just(Act::Cut),
    ]
}

/// What came of it, unless the way to the server was to blame: no other error has a place here.
fn got<T>(result: Result<T, Error>) -> Option<T> {
    use ErrorKind::{Closed, Overloaded, Timeout, Unreachable};
    if let Err(error) = &result {
        assert!([Closed, Overloaded, Timeout, Unreachable].contains(&error.kind()), "{error:?}");
    }
    result.ok()
}

async fn act(pool: Pool, fake: Arc<Fake>, act: Act) {
    match act {
        Act::Lookup => {
            if let Some(entry) = got(pool.search_one(lookup("cn=who")).await) {
                assert_eq!(entry.dn_str(), READER);
            }
        }
        Act::Broad => drop(got(pool.search_all(search("cn=service")).await)),
        Act::Write => drop(got(pool.delete(crate::support::delete("cn=service")).await)),
        Act::Bind { user: number, is_right } => {
            let secret = if is_right { password(number) } else { "wrong".to_owned() };
            match got(pool.bind(BindStep::simple(user(number), secret.as_str().into()), soon()).await) {
                Some(BindReply::Done { .. }) => assert!(is_right),
                Some(BindReply::Refused(_)) => assert!(!is_right),
                Some(BindReply::Continue { .. }) => panic!("no such step"),
                None => {}
            }
        }
        Act::Converse { user: number, asks_first } => {
            let Some(mut session) = got(pool.open(Peer::in_process()).await) else { return };
            let who = |actor: &Actor| Request { actor: actor.clone(), ..lookup("cn=who") };
            if asks_first && let Some(entry) = got(session.search_one(who(&Actor::Anonymous)).await) {
                assert_eq!(entry.dn_str(), "cn=nobody");
            }
            if let Some(BindReply::Done { actor, .. }) = got(session.bind(bind_of(number), soon()).await)
                && let Some(entry) = got(session.search_one(who(&actor)).await)
            {
                assert_eq!(entry.dn_str(), user(number));
            }
        }
        Act::Pin => {
            if let Some(pinned) = got(pool.pin(soon()).await)
                && let Some(entry) = got(pinned.search_one(lookup("cn=who")).await)
            {
                assert_eq!(entry.dn_str(), READER);
            }
        }
        Act::Cut => fake.cut(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any number of tasks, begun and given up at random moments.
    #[test]
    fn invariant_4_whatever_happens_when_users_and_service_stay_apart(
        acts in prop::collection::vec((any_act(), 0..8_u64, prop::option::weighted(0.3, 0..12_usize)), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let fake = Arc::new(with_users(USERS).await);
            let pool = fake.pool().max(3).binds(3).conversations(4).build().unwrap();
            let mut tasks = Vec::new();
            for (what, pause, gives_up) in acts {
                let doing = act(pool.clone(), Arc::clone(&fake), what);
                tasks.push(tokio::spawn(async move {
                    match gives_up {
                        Some(polls) => drop(Cancellable::after(polls, doing).await),
                        None => doing.await,
                    }
                }));
                match pause {
                    0..5 => {}
                    5 => tokio::task::yield_now().await,
                    6 => settle().await,
                    _ => sleep(Duration::from_millis(700)).await,
                }
            }
            for task in tasks {
                task.await.unwrap();
            }
            sleep(Duration::from_secs(5)).await;
            let stats = pool.stats();
            assert_eq!((stats.in_flight, stats.waiting), (0, 0));
            assert_eq!((stats.binds.binding, stats.binds.conversations, stats.binds.waiting), (0, 0, 0));
            assert_apart(&fake, USERS);
            pool.shutdown(soon()).await;
        });
    }
}

/// The same on real threads, in real time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_4_on_real_threads_users_and_service_stay_apart() {
    let fake = Arc::new(with_users(USERS).await);
    let pool = fake.pool().max(3).binds(3).conversations(4).build().unwrap();
    pool.ready(soon()).await.unwrap();
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let (pool, fake) = (pool.clone(), Arc::clone(&fake));
            tokio::spawn(async move {
                for number in 0..60 {
                    let user = (task + number) % USERS;
                    let what = match (task + number) % 7 {
                        0 => Act::Lookup,
                        1 => Act::Broad,
                        2 => Act::Bind { user, is_right: number % 2 == 0 },
                        3 | 4 => Act::Converse { user, asks_first: number % 2 == 0 },
                        5 => Act::Pin,
                        _ if task == 0 => Act::Cut,
                        _ => Act::Write,
                    };
                    let doing = act(pool.clone(), Arc::clone(&fake), what);
                    if number % 5 == 4 {
                        drop(Cancellable::after(number % 11, doing).await);
                    } else {
                        doing.await;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_apart(&fake, USERS);
    pool.shutdown(soon()).await;
    let stats = pool.stats();
    assert_eq!((stats.open, stats.in_flight, stats.waiting, stats.binds.conversations), (0, 0, 0, 0));
}
