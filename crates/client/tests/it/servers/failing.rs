//! What happens to operations whose server fails: who goes on, who must not, and for how long.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use flext_ldap_client::{Choice, Server as _, WhenDown};
use flext_ldap_directory::{
    Applied, Deadline, Directory as _, DirectoryExt as _, ErrorKind, Event, Peer, Sessions as _,
    proto::result::ResultCode,
};
use tokio::time::Instant;

use super::played::{Mood, Played, QUICK, pass, set, who, who_within};
use crate::support::{Cancellable, Cancelled, compare, delete, modify, search};

fn three() -> [Arc<Played>; 3] {
    [Played::new("one", QUICK), Played::new("two", QUICK), Played::new("three", QUICK)]
}

#[tokio::test(start_paused = true)]
async fn a_read_goes_on_at_once_when_its_server_fails() {
    for mood in [
        Mood::Refuses,
        Mood::Resets,
        Mood::Full,
        Mood::Says(ResultCode::BUSY),
        Mood::Says(ResultCode::UNAVAILABLE),
    ] {
        let servers = three();
        let set = set(&servers, |builder| builder);
        servers[0].turns(mood.clone());
        let started = Instant::now();
        assert_eq!(who(&set).await.unwrap(), "cn=two", "{mood:?}");
        assert!(started.elapsed() < Duration::from_millis(10), "{mood:?}: {:?}", started.elapsed());
        servers[0].turns(mood);
        assert!(set.compare(compare("uid=ada")).await.is_err() || servers[1].asked() == 2);
        assert!(set.statistics().retries >= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_has_delivered_does_not_begin_anew() {
    let servers = three();
    let set = set(&servers, |builder| builder);
    servers[0].turns(Mood::ResetsLater);
    let mut reply = set.call(search("ou=people").into_any());
    assert!(matches!(reply.next().await, Ok(Event::Batch(_))));
    let error = reply.next().await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Closed, "one closed the connection"));
    assert_eq!(servers[1].asked(), 0);
}

/// What a lookup brings is little, and nobody has seen it before its end.
#[tokio::test(start_paused = true)]
async fn a_lookup_cut_off_before_its_end_goes_on() {
    let servers = three();
    let set = set(&servers, |builder| builder);
    servers[0].turns(Mood::ResetsLater);
    let entry = set.search_one(search("ou=people")).await.unwrap();
    assert_eq!((entry.dn_str(), servers[0].asked(), servers[1].asked()), ("cn=two", 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_write_goes_on_only_where_nothing_of_it_left() {
    let servers = three();
    let set = set(&servers, |builder| builder);
    for mood in [Mood::Refuses, Mood::Full] {
        servers[0].turns(mood);
        set.modify(modify("uid=ada", "x")).await.unwrap();
    }
    assert_eq!(servers[1].asked(), 2);
    pass(Duration::from_secs(20)).await;
    servers[0].turns(QUICK);
    pass(Duration::from_secs(20)).await;
    // It left, and nobody knows what became of it.
    servers[0].turns(Mood::Resets);
    let error = set.delete(delete("uid=ada")).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Closed, Applied::Unknown));
    assert_eq!(
        error.to_string(),
        "one closed the connection; whether it was applied is unknown, look before sending it again"
    );
    assert_eq!(servers[1].asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn busy_is_no_reason_to_send_a_write_elsewhere() {
    let servers = three();
    let set = set(&servers, |builder| builder);
    servers[0].turns(Mood::Says(ResultCode::BUSY));
    let error = set.modify(modify("uid=ada", "x")).await.unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::BUSY));
    // Reads keep away from it, writes do not.
    assert_eq!(who(&set).await.unwrap(), "cn=two");
    let error = set.modify(modify("uid=ada", "x")).await.unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::BUSY));
    assert_eq!((servers[0].asked(), servers[1].asked()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_is_an_answer() {
    let servers = three();
    let set = set(&servers, |builder| builder);
    for code in [ResultCode::NO_SUCH_OBJECT, ResultCode::INVALID_CREDENTIALS, ResultCode::OTHER] {
        servers[0].turns(Mood::Says(code));
        let error = set.search_all(search("ou=people")).await.unwrap_err();
        assert_eq!(error.result_code(), Some(code));
    }
    assert_eq!((servers[0].asked(), servers[1].asked()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn when_none_answers_the_error_tells_of_each() {
    let servers = three();
    let set = set(&servers, |builder| builder);
    servers[0].turns(Mood::Refuses);
    servers[1].turns(Mood::Resets);
    servers[1].probes_as(QUICK);
    servers[2].turns(Mood::Full);
    let error = who(&set).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert_eq!(
        error.to_string(),
        "no server of the set `directory` answered: one refused the connection; two closed the connection; three has too \
         much to do"
    );
    // All busy: the answer of the last one is the answer.
    for server in &servers {
        server.turns(Mood::Says(ResultCode::BUSY));
    }
    let error = set.search_all(search("ou=people")).await.unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::BUSY));
}

#[tokio::test(start_paused = true)]
async fn who_is_told_to_wait_waits_until_a_server_is_back() {
    let servers = three();
    let set = Arc::new(set(&servers, |builder| builder.when_down(WhenDown::Wait)));
    for server in &servers {
        server.turns(Mood::Refuses);
    }
    pass(Duration::from_secs(30)).await;
    let asked = || servers.iter().map(|server| server.asked()).sum::<usize>();
    let waiting: Vec<_> = (0..64)
        .map(|_| {
            let set = Arc::clone(&set);
            tokio::spawn(async move { who_within(&*set, Duration::from_secs(60)).await })
        })
        .collect();
    pass(Duration::from_secs(20)).await;
    // One last resort each, and no hammering while all are down.
    assert_eq!(asked(), 64);
    servers[1].turns(QUICK);
    let back = Instant::now();
    for one in waiting {
        assert_eq!(one.await.unwrap().unwrap(), "cn=two");
    }
    assert!(back.elapsed() < Duration::from_secs(3), "{:?}", back.elapsed());
    assert_eq!(set.statistics().refused_retries, 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_waits_no_longer_than_the_deadline() {
    let servers = three();
    let set = set(&servers, |builder| builder.when_down(WhenDown::Wait));
    for server in &servers {
        server.turns(Mood::Refuses);
    }
    let started = Instant::now();
    let error = who_within(&set, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(started.elapsed().as_secs(), 5);
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().starts_with("no server of the set `directory` answered in time: "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_left_before_the_deadline_of_those_who_wait_for_it() {
    let servers = three();
    let set = Arc::new(set(&servers, |builder| builder));
    pass(Duration::from_secs(1)).await;
    servers[0].turns(Mood::Silent);
    let started = Instant::now();
    let reads: Vec<_> = (0..64)
        .map(|_| {
            let set = Arc::clone(&set);
            tokio::spawn(async move { who_within(&*set, Duration::from_secs(60)).await })
        })
        .collect();
    let write = tokio::spawn({
        let set = Arc::clone(&set);
        async move { set.modify(modify("uid=ada", "x").within(Duration::from_secs(60))).await }
    });
    for read in reads {
        assert_eq!(read.await.unwrap().unwrap(), "cn=two");
    }
    // Silent for a second, seen within another, probed for two.
    assert!(started.elapsed() <= Duration::from_millis(4_200), "{:?}", started.elapsed());
    assert_eq!(servers[0].abandoned.load(Ordering::SeqCst), 64);
    // The write waits: nobody knows what became of it.
    let error = write.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::Unknown));
    assert_eq!(started.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_busy_servers_is_told_that_they_were() {
    let servers = three();
    let set = set(&servers, |builder| builder.when_down(WhenDown::Wait).retries(20));
    for server in &servers {
        server.turns(Mood::Says(ResultCode::BUSY));
    }
    let started = Instant::now();
    let error = who_within(&set, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(started.elapsed().as_secs(), 5);
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().ends_with("answered busy (51)"), "{error}");
    // 20 at once, ten a second.
    let asked: usize = servers.iter().map(|server| server.asked()).sum();
    assert!((5..=75).contains(&asked), "{asked}");
    servers[2].turns(QUICK);
    assert_eq!(who(&set).await.unwrap(), "cn=three");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_silent_server_keeps_its_answer_where_there_is_no_other() {
    // Both too busy even for probes; the answers come all the same.
    let servers = [Played::new("one", Mood::Silent), Played::new("two", Mood::Silent)];
    let set = set(&servers, |builder| builder.when_down(WhenDown::Wait));
    let late = Mood::Answers(Duration::from_secs(30));
    for server in &servers {
        server.turns(late.clone());
        server.probes_as(Mood::Silent);
    }
    let started = Instant::now();
    assert_eq!(who_within(&set, Duration::from_secs(60)).await.unwrap(), "cn=one");
    assert_eq!(started.elapsed().as_secs(), 30);
    assert_eq!(servers[1].asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_dropped_leaves_nothing_behind() {
    for mood in [QUICK, Mood::Resets, Mood::Refuses, Mood::Silent, Mood::Says(ResultCode::BUSY)] {
        for polls in 0..6 {
            let servers = three();
            let set = set(&servers, |builder| builder.when_down(WhenDown::Wait));
            servers[0].turns(mood.clone());
            servers[0].probes_as(QUICK);
            let read = set.search_all(search("ou=people"));
            let _: Result<_, Cancelled> = Cancellable::after(polls, read).await;
            pass(Duration::from_millis(200)).await;
            let statistics = set.statistics();
            assert!(
                statistics.members.iter().all(|member| member.in_flight == 0),
                "{mood:?} {polls}: {statistics:?}"
            );
            assert!(servers.iter().all(|server| server.load() == 0), "{mood:?} {polls}");
            servers[0].turns(QUICK);
            assert!(who(&set).await.is_ok(), "{mood:?} {polls}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_event_is_no_reason_to_probe_all_the_time() {
    let servers = three();
    let set = set(&servers, |builder| builder);
    servers[0].turns(Mood::Silent);
    servers[0].probes_as(QUICK);
    let waiting = tokio::spawn({
        let reply = set.call(search("ou=people").within(Duration::from_secs(600)).into_any());
        async move { reply.outcome().await.map(|_| ()) }
    });
    pass(Duration::from_secs(100)).await;
    // Every 5 to 10 s, and once for the silence.
    let probes = set.statistics().members[0].probes;
    assert!((10..=22).contains(&probes), "{probes}");
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn retries_end_where_the_budget_does() {
    let servers = three();
    let set = set(&servers, |builder| builder.retries(5));
    servers[0].turns(Mood::Says(ResultCode::NO_SUCH_OBJECT));
    servers[0].probes_as(QUICK);
    for server in &servers {
        server.turns(Mood::Full);
    }
    let mut budget_named = 0;
    for _ in 0..20 {
        let error = who(&set).await.unwrap_err();
        budget_named += usize::from(error.to_string().contains("too much is being tried again already"));
    }
    let statistics = set.statistics();
    let asked: usize = servers.iter().map(|server| server.asked()).sum();
    // Five, one for every ten operations, and a few for the time that passes in pauses.
    assert!((5..=9).contains(&statistics.retries), "{statistics:?}");
    assert_eq!(asked as u64, 20 + statistics.retries);
    assert_eq!(statistics.refused_retries, budget_named as u64);
    assert!(budget_named >= 15, "{budget_named}");
}

#[tokio::test(start_paused = true)]
async fn a_conversation_is_opened_with_who_is_well() {
    let servers = three();
    let set = set(&servers, |builder| builder);
    for mood in [Mood::Refuses, Mood::Full, Mood::Silent] {
        servers[0].turns(mood.clone());
        let started = Instant::now();
        let session = set.open(Peer::in_process()).await.unwrap();
        let outcome = session.call(search("ou=people").into_any()).outcome().await.unwrap();
        assert_eq!(outcome.result.diagnostic, "two", "{mood:?}");
        assert!(started.elapsed() < Duration::from_secs(4), "{mood:?}: {:?}", started.elapsed());
    }
    // What is refused for the credentials is not tried with them elsewhere: that locks accounts.
    let servers = three();
    let other = super::played::set(&servers, |builder| builder);
    servers[0].turns(Mood::Says(ResultCode::INVALID_CREDENTIALS));
    let error = other.open(Peer::in_process()).await.map(|_| ()).unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::INVALID_CREDENTIALS));
    assert_eq!(servers[1].opened.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn sets_nest() {
    let [one, two, three] = three();
    let near = set(&[Arc::clone(&one), Arc::clone(&two)], |builder| builder.choice(Choice::RoundRobin));
    let all = flext_ldap_client::ServerSet::builder("all sites")
        .server(Arc::new(near))
        .server(Arc::clone(&three) as Arc<dyn flext_ldap_client::Server>)
        .build()
        .unwrap();
    let mut near = [who(&all).await.unwrap(), who(&all).await.unwrap()];
    near.sort();
    assert_eq!(near, ["cn=one", "cn=two"]);
    one.turns(Mood::Refuses);
    two.turns(Mood::Refuses);
    assert_eq!(who(&all).await.unwrap(), "cn=three");
    all.check(Deadline::after(Duration::from_secs(1))).await.unwrap();
    three.turns(Mood::Refuses);
    let error = all.check(Deadline::after(Duration::from_secs(1))).await.unwrap_err();
    assert!(error.to_string().starts_with("no server of the set `all sites` answered: "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn after_shutdown_nothing_is_taken() {
    let servers = three();
    let set = Arc::new(set(&servers, |builder| builder.when_down(WhenDown::Wait)));
    for server in &servers {
        server.turns(Mood::Refuses);
    }
    pass(Duration::from_secs(5)).await;
    let waiting = tokio::spawn({
        let set = Arc::clone(&set);
        async move { who(&*set).await }
    });
    pass(Duration::from_secs(1)).await;
    set.shutdown(Deadline::after(Duration::from_secs(1))).await;
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the set of servers `directory` was shut down");
    assert_eq!(who(&*set).await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(set.open(Peer::in_process()).await.is_err());
    assert!(servers.iter().all(|server| server.is_shut_down.load(Ordering::SeqCst)));
    let checks = || servers.iter().map(|server| server.checks.load(Ordering::SeqCst)).sum::<usize>();
    let before = checks();
    pass(Duration::from_secs(60)).await;
    assert_eq!(checks(), before, "probes have ended");
}

#[tokio::test(start_paused = true)]
async fn a_set_that_is_dropped_probes_nobody() {
    let servers = three();
    let set = set(&servers, |builder| builder);
    pass(Duration::from_secs(30)).await;
    drop(set);
    let checks = || servers.iter().map(|server| server.checks.load(Ordering::SeqCst)).sum::<usize>();
    let before = checks();
    pass(Duration::from_secs(60)).await;
    assert_eq!(checks(), before);
    assert_eq!(Arc::strong_count(&servers[0]), 1, "nobody holds on to the servers");
}

#[tokio::test]
async fn a_set_without_servers_is_none() {
    let error = flext_ldap_client::ServerSet::builder("empty").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert_eq!(error.to_string(), "the set `empty` has no servers: add one, or let them be discovered");
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_sent_as_often_as_is_said() {
    let (alone, two) = (Played::new("one", Mood::Resets), three());
    alone.probes_as(QUICK);
    let set_of_one =
        set(&[Arc::clone(&alone)], |builder| builder.attempts(4).longest_pause(Duration::from_millis(20)));
    let started = Instant::now();
    assert_eq!(who(&set_of_one).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(alone.asked(), 4);
    assert!(started.elapsed() < Duration::from_millis(4 * 21), "{:?}", started.elapsed());
    // A write of which something may have left is not sent again.
    assert_eq!(set_of_one.modify(modify("uid=ada", "x")).await.unwrap_err().applied(), Applied::Unknown);
    assert_eq!(alone.asked(), 5);
    // One try is one try, wherever else it would have gone.
    two[0].turns(Mood::Refuses);
    two[0].probes_as(QUICK);
    let set_of_three = set(&two, |builder| builder.attempts(1));
    assert!(who(&set_of_three).await.is_err());
    assert_eq!([two[0].asked(), two[1].asked()], [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn on_demand_nobody_is_asked_how_they_are_without_need() {
    let servers = three();
    let set = set(&servers, |builder| builder.on_demand());
    pass(Duration::from_secs(3_600)).await;
    assert_eq!(who(&set).await.unwrap(), "cn=one");
    let checks = || servers.each_ref().map(|server| server.checks.load(Ordering::SeqCst));
    assert_eq!(checks(), [0, 0, 0]);
    servers[0].turns(Mood::Resets);
    assert_eq!(who(&set).await.unwrap(), "cn=two");
    pass(Duration::from_secs(10)).await;
    let [first, second, third] = checks();
    assert!(first > 1 && second == 0 && third == 0, "{:?}", checks());
    servers[0].turns(QUICK);
    pass(Duration::from_secs(60)).await;
    assert_eq!(who(&set).await.unwrap(), "cn=one");
}
