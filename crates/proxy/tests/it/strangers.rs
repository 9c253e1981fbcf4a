//! Clients that have not signed in: they hold so many conversations and no more, on a paused clock.

use std::time::Duration;

use bytes::Bytes;
use flext_ldap_directory::{
    Actor, BindReply, BindStep, Deadline, Directory as _, Error, ErrorKind, Outcome, Peer, Request, Session,
    Sessions as _,
};
use flext_ldap_proto::{
    control::{Controls, PagedResults},
    message::Limits,
    result::ResultCode,
    secret::Secret,
};
use flext_ldap_proxy::Proxy;
use tokio::time::Instant;

use crate::toy::{Fate, MAJA, Toy, search, signed_in};

async fn stranger(proxy: &Proxy) -> Box<dyn Session> {
    proxy.open(Peer::in_process()).await.unwrap()
}

fn find(session: &dyn Session, within: u64) -> impl Future<Output = Result<Outcome, Error>> + use<> {
    let request = Request::new(search(), Actor::Anonymous).within(Duration::from_secs(within)).into_any();
    session.call(request).outcome()
}

/// A step of a bind by SCRAM.
async fn step(session: &mut Box<dyn Session>, credentials: Option<&str>) -> Result<BindReply, Error> {
    let step = BindStep::Sasl {
        mechanism: "SCRAM-SHA-256".to_owned(),
        credentials: credentials.map(Secret::from),
        controls: Controls::none(),
    };
    session.bind(step, Deadline::after(Duration::from_secs(30))).await
}

#[tokio::test(start_paused = true)]
async fn one_at_rest_goes_to_who_needs_one_and_one_in_use_does_not() {
    let toy = Toy::default();
    let proxy = toy.proxy().anonymous(2).build();
    let (one, two, three) = (stranger(&proxy).await, stranger(&proxy).await, stranger(&proxy).await);
    find(&*one, 60).await.unwrap();
    tokio::time::advance(Duration::from_millis(1)).await;
    find(&*two, 60).await.unwrap();
    // The one that has rested longest.
    find(&*three, 60).await.unwrap();
    assert_eq!(toy.0.lock().unwrap().ended, [1]);
    // The first again: now it is the second one's that goes.
    find(&*one, 60).await.unwrap();
    assert_eq!(toy.0.lock().unwrap().ended, [1, 2]);
    // In use: whoever comes waits for an end, ten seconds at most, and who signs in does not wait at all.
    toy.then([Fate::Silent; 2]);
    let mut slow = tokio::task::JoinSet::new();
    slow.spawn(find(&*one, 30));
    slow.spawn(find(&*three, 25));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    let error = find(&*two, 60).await.unwrap_err();
    assert_eq!((error.kind(), error.answer().code), (ErrorKind::Timeout, ResultCode::TIME_LIMIT_EXCEEDED));
    assert!(error.to_string().contains("sign in, or ask later"), "{error}");
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    let began = Instant::now();
    signed_in(&proxy).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(10)).await;
    find(&*two, 60).await.unwrap();
    assert_eq!(slow.len(), 2);
    assert!(slow.join_next().await.unwrap().unwrap().is_err());
    assert_eq!(toy.0.lock().unwrap().ended, [1, 2, 5, 3]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_and_goes_leaves_nothing_behind() {
    let toy = Toy::default();
    let proxy = toy.proxy().anonymous(1).build();
    let (one, two) = (stranger(&proxy).await, stranger(&proxy).await);
    toy.then([Fate::Silent]);
    let mut slow = Box::pin(find(&*one, 60));
    tokio::time::timeout(Duration::from_secs(1), &mut slow).await.unwrap_err();
    // Abandoned while it waits, with its turn to be the next.
    for _ in 0..3 {
        tokio::time::timeout(Duration::from_secs(1), find(&*two, 60)).await.unwrap_err();
    }
    drop(slow);
    find(&*two, 60).await.unwrap();
    drop(two);
    find(&*one, 60).await.unwrap();
    drop((one, proxy));
    let script = toy.0.lock().unwrap();
    let counts = (script.opened, script.peak, script.ended.len());
    drop(script);
    assert_eq!(counts, (3, 1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_cookie_of_one_that_was_given_back_is_refused() {
    let toy = Toy::default();
    let proxy = toy.proxy().anonymous(1).build();
    let (one, two) = (stranger(&proxy).await, stranger(&proxy).await);
    let page = |cookie: Bytes| {
        let request = Request::new(search(), Actor::Anonymous).critical(&PagedResults { size: 2, cookie });
        one.call(request.into_any()).outcome()
    };
    let outcome = page(Bytes::new()).await.unwrap();
    let cookie = outcome.controls.get::<PagedResults>(&Limits::DEFAULT).unwrap().unwrap().cookie;
    assert_eq!(page(cookie.clone()).await.unwrap().result.code, ResultCode::SUCCESS);
    find(&*two, 60).await.unwrap();
    let refused = page(cookie).await.unwrap().result;
    assert_eq!(refused.code, ResultCode::UNWILLING_TO_PERFORM);
    assert!(refused.diagnostic.contains("start the search again"), "{}", refused.diagnostic);
}

#[tokio::test(start_paused = true)]
async fn sign_ins_half_way_have_their_own_and_go_for_newer_ones() {
    let toy = Toy::default();
    let proxy = toy.proxy().anonymous(1).build();
    let (mut one, mut two, three) = (stranger(&proxy).await, stranger(&proxy).await, stranger(&proxy).await);
    toy.then([Fate::Silent]);
    let mut slow = Box::pin(find(&*three, 60));
    tokio::time::timeout(Duration::from_secs(1), &mut slow).await.unwrap_err();
    // Nobody who asks something keeps them out.
    assert!(matches!(step(&mut one, None).await, Ok(BindReply::Continue { .. })));
    assert!(matches!(step(&mut two, None).await, Ok(BindReply::Continue { .. })));
    let error = step(&mut one, Some("proof")).await.unwrap_err();
    assert!(error.to_string().contains("begin it again"), "{error}");
    assert!(matches!(step(&mut two, Some("proof")).await, Ok(BindReply::Done { actor: Actor::User(_), .. })));
    // Who has signed in has given it back.
    assert!(matches!(step(&mut one, None).await, Ok(BindReply::Continue { .. })));
    assert!(matches!(step(&mut one, Some("proof")).await, Ok(BindReply::Done { actor: Actor::User(_), .. })));
    let of_binds: Vec<_> = toy.heard().into_iter().filter(|(number, _)| *number > 1).collect();
    let bind = format!("bind {MAJA}");
    let want = [(2, "challenge"), (3, "challenge"), (3, &bind), (4, "challenge"), (4, &bind)];
    assert_eq!(of_binds, want.map(|(number, what)| (number, what.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn nobody_goes_before_those_who_wait() {
    let toy = Toy::default();
    let proxy = toy.proxy().anonymous(1).build();
    let (one, two, three) = (stranger(&proxy).await, stranger(&proxy).await, stranger(&proxy).await);
    toy.then([Fate::Silent]);
    let mut slow = Box::pin(find(&*one, 60));
    tokio::time::timeout(Duration::from_secs(1), &mut slow).await.unwrap_err();
    let mut waits = Box::pin(find(&*two, 60));
    tokio::time::timeout(Duration::from_millis(1), &mut waits).await.unwrap_err();
    drop(slow);
    tokio::select! {
        biased;
        _ = find(&*three, 60) => panic!("who came last was served first"),
        served = waits => assert_eq!(served.unwrap().result.code, ResultCode::SUCCESS),
    }
}
