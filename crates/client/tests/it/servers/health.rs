//! Who counts as sick, who comes back, and whom operations go to meanwhile.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use flext_ldap_client::{Choice, MemberHealth, Place, Server, ServerSet};
use flext_ldap_directory::{DirectoryExt as _, proto::result::ResultCode};
use tokio::time::Instant;

use super::played::{Mood, Played, QUICK, pass, set, who, who_within};
use crate::support::search;

const SLUGGISH: Mood = Mood::Answers(Duration::from_millis(1_500));

fn two() -> [Arc<Played>; 2] {
    [Played::new("one", QUICK), Played::new("two", QUICK)]
}

fn health(set: &ServerSet) -> Vec<MemberHealth> {
    set.statistics().members.iter().map(|member| member.health).collect()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_back_is_used_again_by_itself() {
    let servers = two();
    let set = set(&servers, |builder| builder);
    assert_eq!(who(&set).await.unwrap(), "cn=one");
    servers[0].turns(Mood::Refuses);
    assert_eq!(who(&set).await.unwrap(), "cn=two");
    pass(Duration::from_secs(60)).await;
    assert_eq!(health(&set), [MemberHealth::Down, MemberHealth::Well]);
    let asked = servers[0].asked();
    assert_eq!(who(&set).await.unwrap(), "cn=two");
    assert_eq!(servers[0].asked(), asked, "nobody asks who is down while another is well");
    servers[0].turns(QUICK);
    let back = Instant::now();
    while who(&set).await.unwrap() != "cn=one" {
        pass(Duration::from_millis(10)).await;
    }
    assert!(back.elapsed() <= Duration::from_millis(1_100), "{:?}", back.elapsed());
    let statistics = set.statistics();
    assert_eq!(statistics.members[0].last_error.as_deref(), Some("one refused the connection"));
    assert!(statistics.members[0].failed_probes >= 30, "{statistics:?}");
}

#[tokio::test(start_paused = true)]
async fn one_reset_is_no_illness() {
    let servers = two();
    let set = set(&servers, |builder| builder);
    pass(Duration::from_secs(1)).await;
    servers[0].turns(Mood::Resets);
    servers[0].probes_as(QUICK);
    assert_eq!(who(&set).await.unwrap(), "cn=two");
    assert_eq!(health(&set)[0], MemberHealth::Suspect);
    servers[0].turns(QUICK);
    pass(Duration::from_millis(100)).await;
    assert_eq!(health(&set)[0], MemberHealth::Well);
    assert_eq!(who(&set).await.unwrap(), "cn=one");
}

#[tokio::test(start_paused = true)]
async fn one_callers_broken_search_condemns_nobody() {
    let servers = two();
    let set = set(&servers, |builder| builder);
    pass(Duration::from_secs(1)).await;
    servers[0].turns(Mood::Resets);
    servers[1].turns(Mood::Resets);
    servers[0].probes_as(QUICK);
    servers[1].probes_as(QUICK);
    for _ in 0..1_000 {
        assert!(who(&set).await.is_err());
        let health = health(&set);
        assert!(health.iter().all(|health| *health <= MemberHealth::Suspect), "{health:?}");
    }
    let (checks, time) = (servers[0].checks.load(Ordering::SeqCst), Duration::from_secs(1));
    for _ in 0..1_000 {
        let _ = who(&set).await;
        pass(time / 1_000).await;
    }
    let probes = servers[0].checks.load(Ordering::SeqCst) - checks;
    assert!(probes <= 80, "{probes} probes while {time:?} and a little more passed");
}

#[tokio::test(start_paused = true)]
async fn a_caller_in_a_hurry_condemns_nobody() {
    let servers = two();
    let set = set(&servers, |builder| builder);
    servers[0].turns(Mood::Answers(Duration::from_millis(20)));
    for _ in 0..100 {
        assert!(who_within(&set, Duration::from_millis(5)).await.is_err());
    }
    assert_eq!(health(&set), [MemberHealth::Well, MemberHealth::Well]);
}

#[tokio::test(start_paused = true)]
async fn slow_is_sick_until_it_is_quick_for_a_while() {
    let servers = two();
    let set = set(&servers, |builder| builder);
    pass(Duration::from_secs(1)).await;
    servers[0].turns(SLUGGISH);
    // The probes are quick: only operations are slow.
    servers[0].probes_as(QUICK);
    let mut answered = Vec::new();
    for _ in 0..20 {
        answered.push(who(&set).await.unwrap());
    }
    // Eight, and one more for every three points that quick probes took away meanwhile.
    let slow = answered.iter().filter(|name| *name == "cn=one").count();
    assert!((8..=10).contains(&slow), "{answered:?}");
    assert!(answered[slow..].iter().all(|name| name == "cn=two"), "{answered:?}");
    assert_eq!(health(&set)[0], MemberHealth::Slow);
    // Three quick probes bring it back, and it is slow again: each time it takes longer.
    let mut pauses = Vec::new();
    for _ in 0..4 {
        let sick = Instant::now();
        while who(&set).await.unwrap() == "cn=two" {
            pass(Duration::from_millis(50)).await;
        }
        pauses.push(sick.elapsed());
        while health(&set)[0] == MemberHealth::Well {
            who(&set).await.unwrap();
        }
    }
    assert!(pauses[3] > pauses[0] * 3, "{pauses:?}");
    servers[0].turns(QUICK);
    pass(Duration::from_secs(120)).await;
    assert_eq!(health(&set)[0], MemberHealth::Well);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_probes_and_nothing_else_is_found_out() {
    let servers = two();
    let set = set(&servers, |builder| builder);
    servers[0].turns(Mood::Silent);
    servers[0].probes_as(QUICK);
    let mut failed = 0;
    for _ in 0..40 {
        failed += usize::from(who_within(&set, Duration::from_secs(2)).await.is_err());
        pass(Duration::from_millis(100)).await;
    }
    assert!((8..=16).contains(&failed), "{failed}");
    // So is one whose callers give up by themselves.
    let servers = two();
    let other = super::played::set(&servers, |builder| builder);
    servers[0].turns(Mood::Silent);
    servers[0].probes_as(QUICK);
    for _ in 0..40 {
        let read = tokio::time::timeout(Duration::from_secs(2), who(&other));
        let _: Result<_, tokio::time::error::Elapsed> = read.await;
        pass(Duration::from_millis(100)).await;
    }
    assert!(servers[1].asked() >= 24, "{}", servers[1].asked());
}

#[tokio::test(start_paused = true)]
async fn slower_than_all_others_is_slow_too() {
    let servers = [Played::new("one", QUICK), Played::new("two", QUICK), Played::new("three", QUICK)];
    let set = set(&servers, |builder| builder.choice(Choice::RoundRobin));
    for _ in 0..60 {
        who(&set).await.unwrap();
    }
    // A second is far away, but the others take a millisecond.
    servers[1].turns(Mood::Answers(Duration::from_millis(300)));
    for _ in 0..100 {
        who(&set).await.unwrap();
        pass(Duration::from_millis(200)).await;
    }
    assert_eq!(health(&set), [MemberHealth::Well, MemberHealth::Slow, MemberHealth::Well]);
    // What all are, nobody is.
    servers[0].turns(Mood::Answers(Duration::from_millis(300)));
    servers[2].turns(Mood::Answers(Duration::from_millis(300)));
    for _ in 0..600 {
        who(&set).await.unwrap();
    }
    assert!(
        health(&set).iter().filter(|health| **health == MemberHealth::Well).count() >= 2,
        "{:?}",
        health(&set)
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_resort_is_tried_and_found_to_be_well() {
    let servers = two();
    let set = set(&servers, |builder| builder.recheck_every(Duration::from_secs(3_600)));
    for server in &servers {
        server.turns(Mood::Refuses);
    }
    who(&set).await.unwrap_err();
    pass(Duration::from_secs(1)).await;
    assert_eq!(health(&set), [MemberHealth::Down, MemberHealth::Down]);
    servers[1].turns(QUICK);
    assert_eq!(who(&set).await.unwrap(), "cn=two");
    pass(Duration::from_millis(200)).await;
    assert_eq!(health(&set), [MemberHealth::Down, MemberHealth::Well], "its answer brought a probe");
    // A last resort that is silent is not waited for to the end.
    servers[1].turns(Mood::Silent);
    let started = Instant::now();
    assert!(who_within(&set, Duration::from_secs(60)).await.is_err());
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_is_busy_is_left_to_others_for_a_while() {
    let servers = two();
    let set = set(&servers, |builder| builder);
    pass(Duration::from_secs(1)).await;
    servers[0].turns(Mood::Says(ResultCode::BUSY));
    assert_eq!(who(&set).await.unwrap(), "cn=two");
    assert_eq!(health(&set)[0], MemberHealth::Busy);
    servers[0].turns(QUICK);
    assert_eq!(who(&set).await.unwrap(), "cn=two");
    pass(Duration::from_millis(1_100)).await;
    assert_eq!(who(&set).await.unwrap(), "cn=one");
}

#[tokio::test(start_paused = true)]
async fn probes_do_not_all_come_at_once() {
    let servers: Vec<_> = (0..50).map(|number| Played::new(&number.to_string(), QUICK)).collect();
    let set = set(&servers, |builder| builder.check_every(Duration::from_secs(10)));
    pass(Duration::from_secs(3)).await;
    let checks = || servers.iter().map(|server| server.checks.load(Ordering::SeqCst)).sum::<usize>();
    let mut busiest = 0;
    for _ in 0..400 {
        let before = checks();
        pass(Duration::from_millis(100)).await;
        busiest = busiest.max(checks() - before);
    }
    assert!(busiest <= 10, "{busiest} of 50 probes within a tenth of a second");
    let probes = set.statistics().members.iter().map(|member| member.probes).sum::<u64>();
    assert!((250..400).contains(&probes), "{probes}");
}

#[tokio::test(start_paused = true)]
async fn choices_choose() {
    let servers = two();
    let fewest = set(&servers, |builder| builder.choice(Choice::Fewest));
    servers[0].turns(Mood::Answers(Duration::from_secs(5)));
    servers[0].probes_as(QUICK);
    let long = fewest.search(search("ou=people"));
    let other = fewest.search(search("ou=people"));
    assert_eq!((servers[0].asked(), servers[1].asked()), (1, 1));
    drop((long, other));

    let servers = two();
    servers[0].turns(Mood::Answers(Duration::from_millis(20)));
    let nearest = set(&servers, |builder| builder.choice(Choice::Nearest));
    pass(Duration::from_secs(1)).await;
    for _ in 0..10 {
        assert_eq!(who(&nearest).await.unwrap(), "cn=two");
    }

    let servers = two();
    servers[0].turns(Mood::Answers(Duration::from_millis(20)));
    let latency = set(&servers, |builder| builder.choice(Choice::Latency));
    for _ in 0..100 {
        who(&latency).await.unwrap();
    }
    assert!(servers[1].asked() > 90, "{}", servers[1].asked());

    let [one, two] = two();
    let weighted = ServerSet::builder("weighted")
        .server_at(Arc::clone(&one) as Arc<dyn Server>, Place { priority: 0, weight: 1 })
        .server_at(Arc::clone(&two) as Arc<dyn Server>, Place { priority: 0, weight: 9 })
        .server_at(Played::new("spare", QUICK), Place { priority: 1, weight: 100 })
        .choice(Choice::Weighted)
        .build()
        .unwrap();
    for _ in 0..1_000 {
        assert_ne!(who(&weighted).await.unwrap(), "cn=spare");
    }
    assert!((50..200).contains(&one.asked()), "{}", one.asked());
    one.turns(Mood::Refuses);
    two.turns(Mood::Refuses);
    assert_eq!(who(&weighted).await.unwrap(), "cn=spare");
}
