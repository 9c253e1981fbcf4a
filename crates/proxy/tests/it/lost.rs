//! What becomes of a session whose server is lost: on a paused clock, over an upstream that does what it is told.

use std::{future::poll_fn, task::Poll, time::Duration};

use flext_ldap_directory::{
    Actor, Applied, Directory as _, Error, ErrorKind, Event, Outcome, Peer, Request, Session, Sessions as _,
};
use flext_ldap_proto::{
    control::{ChangeTypes, PagedResults, PersistentSearch},
    extended::{ExtendedOperation as _, PasswordModify, WhoAmI},
    message::Limits,
    result::{LdapResult, ResultCode},
};
use tokio::time::Instant;

use crate::toy::{Fate, MAJA, Toy, add, bind, search, signed_in};

async fn ask(
    session: &dyn Session,
    op: impl flext_ldap_directory::Operation,
    actor: &Actor,
) -> Result<Outcome, Error> {
    session.call(Request::new(op, actor.clone()).into_any()).outcome().await
}

/// What the client would be told as its session ends, if it does.
async fn end(session: &mut Box<dyn Session>) -> Option<LdapResult> {
    poll_fn(|cx| {
        Poll::Ready(match session.poll_end(cx) {
            Poll::Ready(why) => Some(why),
            Poll::Pending => None,
        })
    })
    .await
}

fn told(toy: &Toy) -> Vec<String> {
    toy.heard().into_iter().map(|(number, what)| format!("{number} {what}")).collect()
}

/// The same without what looks whether a server answers, which comes before anything is sent again.
fn told_of_clients(toy: &Toy) -> Vec<String> {
    told(toy).into_iter().filter(|what| !what.starts_with("0 ") && !what.ends_with("probe")).collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_opened_before_it_is_needed_and_anonymous_stays_anonymous() {
    let toy = Toy::default();
    let session = toy.proxy().build().open(Peer::in_process()).await.unwrap();
    assert_eq!(toy.0.lock().unwrap().opened, 0);
    ask(&*session, search(), &Actor::Anonymous).await.unwrap();
    ask(&*session, search(), &Actor::Anonymous).await.unwrap();
    assert_eq!(told_of_clients(&toy), ["1 search", "1 search"]);
}

#[tokio::test(start_paused = true)]
async fn a_read_goes_on_elsewhere_as_the_same_user() {
    let toy = Toy::default();
    let (mut session, maja) = signed_in(&toy.proxy().build()).await;
    toy.then([Fate::Lost(Applied::No)]);
    ask(&*session, search(), &maja).await.unwrap();
    let bind = format!("1 bind {MAJA}");
    assert_eq!(told_of_clients(&toy), [&bind, "1 search", &bind.replace('1', "2"), "2 search"]);
    assert_eq!(end(&mut session).await, None);
    // Who Am I changes nothing either.
    toy.then([Fate::Lost(Applied::No)]);
    ask(&*session, WhoAmI.request(), &maja).await.unwrap();
    assert_eq!(told_of_clients(&toy).last().unwrap(), "3 extended");
}

/// A read's answer, as it comes: what it is, and when.
async fn hear(session: &dyn Session, actor: &Actor) -> Vec<(String, u128)> {
    let mut reply = session.call(Request::new(search(), actor.clone()).into_any());
    let (began, mut heard) = (Instant::now(), Vec::new());
    loop {
        let event = reply.next().await;
        let what = match &event {
            Ok(Event::Batch(batch)) => format!("{} entries", batch.entries().count()),
            Ok(Event::Done(outcome)) => outcome.result.code.to_string(),
            Err(error) => format!("{:?}", error.kind()),
        };
        heard.push((what, began.elapsed().as_millis()));
        if !matches!(event, Ok(Event::Batch(_))) {
            return heard;
        }
    }
}

fn as_heard(heard: &[(&str, u128)]) -> Vec<(String, u128)> {
    heard.iter().map(|(what, at)| ((*what).to_owned(), *at)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_lost_between_its_entry_and_its_end_goes_on_elsewhere() {
    let toy = Toy::default();
    let (mut session, maja) = signed_in(&toy.proxy().build()).await;
    let entry = |after, is_lost| Fate::Entry { after: Duration::from_millis(after), is_lost };
    for (fates, want) in [
        // Nothing is held longer than it takes to come.
        (vec![entry(0, false)], [("1 entries", 0), ("success (0)", 0)]),
        (vec![entry(400, false)], [("1 entries", 400), ("success (0)", 400)]),
        (vec![entry(400, true), entry(0, false)], [("1 entries", 400), ("success (0)", 400)]),
        // What takes longer than a conversation may be silent is not kept from who waits; then it cannot go on elsewhere.
        (vec![entry(3_000, false)], [("1 entries", 1_000), ("success (0)", 3_000)]),
        (vec![entry(3_000, true)], [("1 entries", 1_000), ("Closed", 3_000)]),
    ] {
        toy.then(fates);
        assert_eq!(hear(&*session, &maja).await, as_heard(&want));
    }
    assert_eq!(end(&mut session).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_came_is_delivered_before_why_no_more_came() {
    let toy = Toy::default();
    let (session, maja) = signed_in(&toy.proxy().build()).await;
    toy.then([Fate::Entry { after: Duration::from_millis(400), is_lost: true }]);
    let request = Request::new(search(), maja).within(Duration::from_millis(400)).into_any();
    let mut reply = session.call(request);
    assert!(matches!(reply.next().await, Ok(Event::Batch(_))));
    assert!(reply.next().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_lost_its_server_is_signed_in_elsewhere_once_each_and_few_at_a_time() {
    let toy = Toy::default();
    let proxy = toy.proxy().build();
    let mut sessions = Vec::new();
    for _ in 0..64 {
        sessions.push(signed_in(&proxy).await);
    }
    toy.heard();
    toy.0.lock().unwrap().bind_takes = Duration::from_millis(50);
    toy.then([Fate::Lost(Applied::No); 64]);
    let mut asked = tokio::task::JoinSet::new();
    for (session, maja) in sessions {
        asked.spawn(async move {
            let request = Request::new(search(), maja).within(Duration::from_secs(60)).into_any();
            session.call(request).outcome().await.map(|_| session)
        });
    }
    while let Some(answered) = asked.join_next().await {
        answered.unwrap().unwrap();
    }
    let binds = toy.heard().into_iter().filter(|(_, what)| what.starts_with("bind")).count();
    assert_eq!((binds, toy.0.lock().unwrap().binding), (64, (0, 16)));
}

#[tokio::test(start_paused = true)]
async fn a_bind_that_takes_long_is_waited_for_and_not_sent_again() {
    let toy = Toy::default();
    let (mut session, maja) = signed_in(&toy.proxy().build()).await;
    toy.heard();
    toy.0.lock().unwrap().bind_takes = Duration::from_secs(18);
    toy.then([Fate::Lost(Applied::No)]);
    let short = Request::new(search(), maja.clone()).within(Duration::from_secs(5)).into_any();
    let error = session.call(short).outcome().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    // Who has more time has the conversation that the other one waited for.
    let long = Request::new(search(), maja).within(Duration::from_secs(60)).into_any();
    session.call(long).outcome().await.unwrap();
    let want = ["1 search".to_owned(), format!("2 bind {MAJA}"), "2 search".to_owned()];
    assert_eq!(told_of_clients(&toy), want);
    assert_eq!(end(&mut session).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_write_goes_on_only_if_it_was_not_sent() {
    let toy = Toy::default();
    let (session, maja) = signed_in(&toy.proxy().build()).await;
    toy.then([Fate::Lost(Applied::No)]);
    ask(&*session, add(), &maja).await.unwrap();
    toy.heard();
    toy.then([Fate::Lost(Applied::Unknown)]);
    let error = ask(&*session, add(), &maja).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Closed, Applied::Unknown));
    let answer = error.answer();
    assert_eq!(answer.code, ResultCode::OTHER);
    assert!(answer.diagnostic.contains("unknown whether the change was made"), "{}", answer.diagnostic);
    assert_eq!(told_of_clients(&toy), ["2 add"]);
    // The session goes on.
    ask(&*session, add(), &maja).await.unwrap();
    assert_eq!(told_of_clients(&toy), [format!("3 bind {MAJA}"), "3 add".to_owned()]);
}

#[tokio::test(start_paused = true)]
async fn operations_that_lose_one_conversation_share_the_next() {
    let toy = Toy::default();
    let (session, maja) = signed_in(&toy.proxy().build()).await;
    toy.heard();
    toy.then([Fate::Lost(Applied::No); 8]);
    let replies: Vec<_> =
        (0..8).map(|_| session.call(Request::new(search(), maja.clone()).into_any()).outcome()).collect();
    for reply in replies {
        reply.await.unwrap();
    }
    let binds = toy.heard().into_iter().filter(|(_, what)| what.starts_with("bind")).count();
    assert_eq!(binds, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_session_and_is_never_repeated() {
    let toy = Toy::default();
    let (mut session, maja) = signed_in(&toy.proxy().build()).await;
    toy.heard();
    toy.then([Fate::Lost(Applied::No)]);
    toy.then_binds([Fate::Answered(ResultCode::INVALID_CREDENTIALS)]);
    for _ in 0..3 {
        let error = ask(&*session, search(), &maja).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    }
    assert_eq!(told_of_clients(&toy), ["1 search".to_owned(), format!("2 bind {MAJA}")]);
    let why = end(&mut session).await.unwrap();
    assert_eq!(why.code, ResultCode::STRONGER_AUTH_REQUIRED);
    assert!(why.diagnostic.contains("invalidCredentials"), "{}", why.diagnostic);
    // Not by a bind either: the client has been told to go.
    assert!(bind(&mut session).await.is_err());
    assert_eq!(told_of_clients(&toy), [] as [String; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_verdict_is_tried_again_and_what_was_not_answered_once() {
    let toy = Toy::default();
    let (mut session, maja) = signed_in(&toy.proxy().build()).await;
    toy.heard();
    toy.then([Fate::Lost(Applied::No)]);
    toy.then_binds([
        Fate::Answered(ResultCode::BUSY),
        Fate::Lost(Applied::No),
        Fate::Lost(Applied::Unknown),
        Fate::Answered(ResultCode::SUCCESS),
    ]);
    let binds = || toy.heard().iter().filter(|(_, what)| what.starts_with("bind")).count();
    ask(&*session, search(), &maja).await.unwrap();
    assert_eq!(binds(), 4);
    toy.then([Fate::Lost(Applied::No)]);
    toy.then_binds([Fate::Lost(Applied::Unknown); 2]);
    ask(&*session, search(), &maja).await.unwrap_err();
    assert_eq!(binds(), 2);
    assert_eq!(end(&mut session).await.unwrap().code, ResultCode::UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn without_passwords_the_session_ends_with_its_server() {
    let toy = Toy::default();
    let (mut session, maja) = signed_in(&toy.proxy().keep_passwords(false).build()).await;
    ask(&*session, search(), &maja).await.unwrap();
    toy.heard();
    toy.then([Fate::Lost(Applied::No)]);
    ask(&*session, search(), &maja).await.unwrap_err();
    assert_eq!(told_of_clients(&toy), ["1 search"]);
    let why = end(&mut session).await.unwrap();
    assert_eq!(why.code, ResultCode::UNAVAILABLE);
    assert!(why.diagnostic.contains("bind again"), "{}", why.diagnostic);
}

#[tokio::test(start_paused = true)]
async fn a_bind_is_sent_twice_only_if_the_first_was_not() {
    let toy = Toy::default();
    let mut session = toy.proxy().build().open(Peer::in_process()).await.unwrap();
    toy.then_binds([Fate::Lost(Applied::Unknown)]);
    bind(&mut session).await.unwrap_err();
    assert_eq!(told_of_clients(&toy).len(), 1);
    toy.then_binds([Fate::Answered(ResultCode::INVALID_CREDENTIALS)]);
    bind(&mut session).await.unwrap_err();
    assert_eq!(told_of_clients(&toy).len(), 1);
    bind(&mut session).await.unwrap();
    toy.heard();
    // On a connection that had ended while nobody used it.
    toy.then_binds([Fate::Lost(Applied::No)]);
    bind(&mut session).await.unwrap();
    assert_eq!(told_of_clients(&toy), [format!("3 bind {MAJA}"), format!("4 bind {MAJA}")]);
}

#[tokio::test(start_paused = true)]
async fn when_all_are_down_it_is_said_at_once_and_over_when_it_is_over() {
    let toy = Toy::default();
    let mut session = toy.proxy().build().open(Peer::in_process()).await.unwrap();
    toy.0.lock().unwrap().is_down = true;
    let began = Instant::now();
    for error in [
        bind(&mut session).await.unwrap_err(),
        ask(&*session, search(), &Actor::Anonymous).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.answer().code), (ErrorKind::Unreachable, ResultCode::UNAVAILABLE));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    toy.0.lock().unwrap().is_down = false;
    bind(&mut session).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_has_lost_a_server_waits_a_moment_for_another() {
    let toy = Toy::default();
    let (mut session, maja) = signed_in(&toy.proxy().build()).await;
    for (down_for, is_answered) in [(1, true), (60, false)] {
        toy.then([Fate::Lost(Applied::No)]);
        toy.0.lock().unwrap().is_down = true;
        let script = toy.clone();
        let back = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(down_for)).await;
            script.0.lock().unwrap().is_down = false;
        });
        let began = Instant::now();
        assert_eq!(ask(&*session, search(), &maja).await.is_ok(), is_answered);
        // As long as a probe at most, and a pause.
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        back.await.unwrap();
    }
    // It was no more than an answer that the operation had: the client goes on.
    ask(&*session, search(), &maja).await.unwrap();
    assert_eq!(end(&mut session).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_left_after_a_probe() {
    let toy = Toy::default();
    let (session, maja) = signed_in(&toy.proxy().build()).await;
    toy.heard();
    // The next conversation is with a server that says nothing either: no password is sent there.
    toy.0.lock().unwrap().silent.extend([1, 2]);
    let began = Instant::now();
    ask(&*session, search(), &maja).await.unwrap();
    // A second of silence, a probe of two, and one of two on the second conversation.
    assert_eq!(began.elapsed().as_millis() / 100, 50);
    assert_eq!(told(&toy), ["0 search", "0 search", "3 probe", &format!("3 bind {MAJA}"), "3 search"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_waited_for_while_the_server_says_something() {
    let toy = Toy::default();
    let (session, maja) = signed_in(&toy.proxy().build()).await;
    toy.heard();
    toy.then([Fate::Silent]);
    let request = Request::new(search(), maja).within(Duration::from_secs(20)).into_any();
    let error = session.call(request).outcome().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let heard = told(&toy);
    assert!(heard.len() > 10 && heard.iter().skip(1).all(|what| what == "1 probe"), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_write_is_never_left() {
    let toy = Toy::default();
    let (session, maja) = signed_in(&toy.proxy().build()).await;
    toy.heard();
    toy.then([Fate::Silent]);
    let error = ask(&*session, add(), &maja).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::Unknown));
    assert_eq!(error.answer().code, ResultCode::OTHER);
    assert_eq!(told_of_clients(&toy), ["1 add"]);
}

#[tokio::test(start_paused = true)]
async fn a_cookie_is_good_on_its_conversation_only() {
    let toy = Toy::default();
    let (session, maja) = signed_in(&toy.proxy().build()).await;
    let page =
        |cookie| Request::new(search(), maja.clone()).critical(&PagedResults { size: 2, cookie }).into_any();
    let cookie_of =
        |outcome: &Outcome| outcome.controls.get::<PagedResults>(&Limits::DEFAULT).unwrap().unwrap().cookie;
    let first = session.call(page(bytes::Bytes::new())).outcome().await.unwrap();
    let second = session.call(page(cookie_of(&first))).outcome().await.unwrap();
    assert_eq!(second.result.code, ResultCode::SUCCESS);
    // A first page goes on elsewhere, a further one does not.
    toy.then([Fate::Lost(Applied::No)]);
    let again = session.call(page(bytes::Bytes::new())).outcome().await.unwrap();
    toy.heard();
    let lost = session.call(page(cookie_of(&second))).outcome().await.unwrap();
    assert_eq!(lost.result.code, ResultCode::UNWILLING_TO_PERFORM);
    assert!(lost.result.diagnostic.contains("start the search again"), "{}", lost.result.diagnostic);
    assert_eq!(told_of_clients(&toy), [] as [String; 0]);
    assert_eq!(
        session.call(page(cookie_of(&again))).outcome().await.unwrap().result.code,
        ResultCode::SUCCESS
    );
    toy.then([Fate::Lost(Applied::No)]);
    session.call(page(cookie_of(&again))).outcome().await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_search_that_stays_is_not_begun_anew() {
    let toy = Toy::default();
    let (session, maja) = signed_in(&toy.proxy().build()).await;
    toy.then([Fate::Lost(Applied::No)]);
    let stays = PersistentSearch { change_types: ChangeTypes::ANY, changes_only: true, return_ecs: false };
    let request = Request::new(search(), maja).critical(&stays).into_any();
    assert_eq!(session.call(request).outcome().await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_is_abandoned_leaves_a_bind_alone() {
    let toy = Toy::default();
    let (mut session, maja) = signed_in(&toy.proxy().build()).await;
    toy.heard();
    toy.then([Fate::Lost(Applied::No)]);
    toy.then_binds([Fate::Silent]);
    let reply = session.call(Request::new(search(), maja.clone()).into_any()).outcome();
    tokio::time::timeout(Duration::from_secs(1), reply).await.unwrap_err();
    // The bind that was sent goes on until its time is over; then there is one more.
    ask(&*session, search(), &maja).await.unwrap();
    let bind = |number| format!("{number} bind {MAJA}");
    assert_eq!(told_of_clients(&toy), ["1 search".to_owned(), bind(2), bind(3), "3 search".to_owned()]);
    assert_eq!(end(&mut session).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_password_that_was_changed_is_not_sent_again() {
    let toy = Toy::default();
    let (mut session, maja) = signed_in(&toy.proxy().build()).await;
    ask(&*session, PasswordModify::default().request(), &maja).await.unwrap();
    toy.heard();
    toy.then([Fate::Lost(Applied::No)]);
    ask(&*session, search(), &maja).await.unwrap_err();
    assert_eq!(told_of_clients(&toy), ["1 search"]);
    assert_eq!(end(&mut session).await.unwrap().code, ResultCode::UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_password_that_may_have_been_changed_is_not_sent_again_either() {
    let change = || PasswordModify::default().request();
    // Nobody knows what became of it, or nobody has waited to know.
    for (fate, waits) in [(Fate::Lost(Applied::Unknown), true), (Fate::Silent, true), (Fate::Silent, false)] {
        let toy = Toy::default();
        let (mut session, maja) = signed_in(&toy.proxy().build()).await;
        toy.then([fate]);
        let reply =
            session.call(Request::new(change(), maja.clone()).within(Duration::from_secs(5)).into_any());
        match waits {
            true => drop(reply.outcome().await.unwrap_err()),
            false => drop(reply),
        }
        toy.heard();
        toy.then([Fate::Lost(Applied::No)]);
        ask(&*session, search(), &maja).await.unwrap_err();
        let heard = told_of_clients(&toy);
        assert!(heard.iter().all(|what| !what.contains("bind")), "{fate:?}: {heard:?}");
        assert_eq!(end(&mut session).await.unwrap().code, ResultCode::UNAVAILABLE);
    }
    // One that was refused, or has not left, has changed nothing.
    for fate in [Fate::Answered(ResultCode::CONSTRAINT_VIOLATION), Fate::Lost(Applied::No)] {
        let toy = Toy::default();
        let (session, maja) = signed_in(&toy.proxy().build()).await;
        toy.then([fate, Fate::Answered(ResultCode::CONSTRAINT_VIOLATION)]);
        let outcome = session.call(Request::new(change(), maja.clone()).into_any()).outcome().await;
        assert_eq!(outcome.unwrap().result.code, ResultCode::CONSTRAINT_VIOLATION);
        toy.0.lock().unwrap().operations.clear();
        toy.then([Fate::Lost(Applied::No)]);
        ask(&*session, search(), &maja).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_bind_waits_for_nothing_that_is_opened_for_who_was_bound_before() {
    let toy = Toy::default();
    let (mut session, maja) = signed_in(&toy.proxy().build()).await;
    toy.heard();
    toy.then([Fate::Lost(Applied::No)]);
    toy.then_binds([Fate::Silent]);
    let reply = session.call(Request::new(search(), maja).within(Duration::from_secs(1)).into_any());
    assert_eq!(reply.outcome().await.unwrap_err().kind(), ErrorKind::Timeout);
    let began = Instant::now();
    let maja = bind(&mut session).await.unwrap();
    ask(&*session, search(), &maja).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    let bind = |number| format!("{number} bind {MAJA}");
    assert_eq!(told_of_clients(&toy), ["1 search".to_owned(), bind(2), bind(3), "3 search".to_owned()]);
}
