//! Connections that die, grow old, lie idle or fall silent.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use flext_ldap_client::Server;
use flext_ldap_directory::{Applied, Directory, DirectoryExt, ErrorKind, proto::message::Request as Message};
use tokio::time::{Instant, sleep};

use super::server::*;
use crate::support::{chain, delete, search, settle};

#[tokio::test(start_paused = true)]
async fn a_connection_the_server_has_closed_is_not_written_to() {
    let fake = Fake::start().await;
    let pool = fake.pool().build().unwrap();
    // Right after an operation nobody listens to the socket for a while.
    for rest in [0, 1, 50, 250, 5_000] {
        pool.search_one(lookup("cn=a")).await.unwrap();
        fake.cut();
        settle().await;
        sleep(Duration::from_millis(rest)).await;
        pool.delete(delete("cn=b")).await.unwrap();
        fake.cut();
        settle().await;
        sleep(Duration::from_millis(rest)).await;
        pool.search_one(lookup("cn=a")).await.unwrap();
    }
    assert_eq!(pool.stats().lost, 10);
}

#[tokio::test(start_paused = true)]
async fn a_dead_connection_is_replaced_before_other_idle_ones_are_tried() {
    let fake = Fake::start().await;
    let pool = fake.pool().min(3).build().unwrap();
    pool.ready(soon()).await.unwrap();
    assert_eq!(fake.script.open(), 3);
    fake.cut();
    settle().await;
    sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    pool.search_one(lookup("cn=a")).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(250), "{:?}", begun.elapsed());
    sleep(Duration::from_secs(2)).await;
    assert_eq!((pool.stats().open, fake.script.open()), (3, 3));
    assert_eq!(fake.script.wires()[3].searches(), [named("cn=a")]);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_down_to_the_minimum() {
    let fake = Fake::start().await;
    let pool = fake.pool().min(1).max(4).busy(1).build().unwrap();
    for _ in 0..5 {
        let slow: Vec<_> = (0..8).map(|_| pool.call(lookup("cn=slow").into_any())).collect();
        for reply in slow {
            reply.outcome().await.unwrap();
        }
    }
    assert_eq!(pool.stats().open, 4);
    sleep(Duration::from_secs(8 * 60)).await;
    assert_eq!(pool.stats().open, 4);
    sleep(Duration::from_secs(4 * 60)).await;
    let stats = pool.stats();
    assert_eq!((stats.open, stats.pruned, stats.lost, fake.script.open()), (1, 3, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn old_connections_are_replaced_one_at_a_time_and_nobody_waits() {
    let fake = Fake::start().await;
    let pool = fake.pool().min(2).build().unwrap();
    pool.ready(soon()).await.unwrap();
    let begun = Instant::now();
    let mut fewest = usize::MAX;
    while begun.elapsed() < Duration::from_secs(70 * 60) {
        let asked = Instant::now();
        pool.search_one(lookup("cn=a")).await.unwrap();
        assert_eq!(asked.elapsed(), Duration::ZERO);
        fewest = fewest.min(pool.stats().open);
        sleep(Duration::from_secs(10)).await;
    }
    let stats = pool.stats();
    assert_eq!((stats.aged, stats.opened, stats.open, stats.lost), (2, 4, 2, 0));
    assert!(fewest >= 1);
}

#[tokio::test(start_paused = true)]
async fn the_only_connection_leaves_when_another_has_taken_its_place() {
    let fake = Fake::start().await;
    let pool = fake.pool().age(Duration::from_secs(600)).build().unwrap();
    pool.ready(soon()).await.unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(700) {
        pool.search_one(lookup("cn=a")).await.unwrap();
        assert!(pool.stats().open >= 1);
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!((pool.stats().aged, pool.stats().opened), (1, 2));
    // Where there may be one only, it goes when nothing is in flight.
    let one = fake.pool().max(1).age(Duration::from_secs(600)).build().unwrap();
    sleep(Duration::from_secs(700)).await;
    one.search_one(lookup("cn=a")).await.unwrap();
    assert_eq!((one.stats().aged, one.stats().opened), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_lay_idle_is_checked_before_it_is_used() {
    let fake = Fake::start().await;
    let pool = fake.pool().check_every(Duration::from_secs(3_600)).build().unwrap();
    pool.search_one(lookup("cn=a")).await.unwrap();
    let before = fake.script.checks.load(Ordering::SeqCst);
    sleep(Duration::from_secs(20)).await;
    pool.search_one(lookup("cn=a")).await.unwrap();
    assert_eq!(fake.script.checks.load(Ordering::SeqCst), before);
    sleep(Duration::from_secs(40)).await;
    pool.search_one(lookup("cn=a")).await.unwrap();
    assert_eq!(fake.script.checks.load(Ordering::SeqCst), before + 1);
    let requests = fake.script.wires()[0].requests();
    assert!(matches!(&requests[requests.len() - 2], Message::Search(search) if search.base.is_root()));

    // A server that has fallen silent is given up after the check's time, and asked again on a new connection.
    sleep(Duration::from_secs(40)).await;
    fake.script.is_mute.store(true, Ordering::SeqCst);
    let asked = Instant::now();
    let reply = tokio::spawn({
        let pool = pool.clone();
        async move { pool.search_one(lookup("cn=a")).await }
    });
    sleep(Duration::from_millis(100)).await;
    fake.script.is_mute.store(false, Ordering::SeqCst);
    reply.await.unwrap().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    sleep(Duration::from_secs(3)).await;
    assert_eq!((pool.stats().lost, pool.stats().check_failures), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_checked_now_and_then_and_replaced_when_they_fail() {
    let fake = Fake::start().await;
    let pool = fake.pool().min(2).build().unwrap();
    pool.ready(soon()).await.unwrap();
    sleep(Duration::from_secs(10 * 60)).await;
    let checks = pool.stats().checks;
    assert!((16..=24).contains(&checks), "{checks}");
    fake.script.is_sick.store(true, Ordering::SeqCst);
    sleep(Duration::from_secs(3 * 60)).await;
    assert_eq!(pool.stats().open, 0);
    let error = pool.search_one(lookup("cn=a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(chain(&error).contains("unavailable"), "{}", chain(&error));
    fake.script.is_sick.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(pool.stats().open, 2);
    // The pool itself is asked how the server is.
    pool.check(soon()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_look_well_has_the_connection_checked() {
    let fake = Fake::start().await;
    let pool = fake.pool().max(1).build().unwrap();
    pool.ready(soon()).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    let before = pool.stats().checks;
    for _ in 0..100 {
        let error = pool.search_one(lookup("cn=other")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
    }
    sleep(Duration::from_millis(100)).await;
    // A flood of bad answers is no flood of checks, and costs no connection.
    assert_eq!((pool.stats().checks, pool.stats().lost), (before + 1, 0));
    // A deadline that passed is one too; a server that answers nothing at all is given up.
    sleep(Duration::from_secs(2)).await;
    fake.script.is_mute.store(true, Ordering::SeqCst);
    let error = pool.search_one(lookup("cn=a").within(Duration::from_secs(1))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    sleep(Duration::from_secs(3)).await;
    assert_eq!((pool.stats().lost, pool.stats().open), (1, 0));
    // The connection that was being opened meanwhile has a bind on it that is never answered.
    fake.script.is_mute.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(10)).await;
    pool.search_one(lookup("cn=a")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_said_at_once_and_found_again_without_a_stampede() {
    let mut fake = Fake::start().await;
    let pool = fake.pool().min(4).build().unwrap();
    pool.ready(soon()).await.unwrap();
    let running: Vec<_> = (0..4).map(|_| pool.call(lookup("cn=never").into_any())).collect();
    settle().await;
    fake.die().await;
    for reply in running {
        let error = reply.outcome().await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Closed, Applied::No));
        assert!(error.to_string().contains(&fake.address.to_string()), "{error}");
    }
    for _ in 0..1_000 {
        let begun = Instant::now();
        let error = pool.delete(delete("cn=a")).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Unreachable, Applied::No));
        let text = chain(&error);
        assert!(
            text.contains(&fake.address.to_string()) && text.contains("refused the connection"),
            "{text}"
        );
        assert!(begun.elapsed() < Duration::from_millis(50));
    }
    sleep(Duration::from_secs(60)).await;
    let failures = pool.stats().open_failures;
    assert!((50..=150).contains(&failures), "{failures} attempts in a minute");
    fake.listen().await;
    let accepted = fake.script.accepted.load(Ordering::SeqCst);
    sleep(Duration::from_secs(2)).await;
    assert_eq!((pool.stats().open, fake.script.accepted.load(Ordering::SeqCst) - accepted), (4, 4));
    pool.search_one(lookup("cn=a")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn where_the_server_lets_in_no_more_operations_share_what_there_is() {
    let fake = Fake::start().await;
    let pool = fake.pool().busy(1).build().unwrap();
    pool.ready(soon()).await.unwrap();
    fake.script.most.store(1, Ordering::SeqCst);
    // Nobody has anything against lookups, nor against searches that turn out to be short.
    let slow: Vec<_> = (0..10).map(|_| pool.call(lookup("cn=slow").into_any())).collect();
    for reply in slow {
        reply.outcome().await.unwrap();
    }
    let slow: Vec<_> = (0..10).map(|_| pool.call(search("cn=slow").into_any())).collect();
    for reply in slow {
        reply.outcome().await.unwrap();
    }
    let stats = pool.stats();
    assert_eq!((stats.open, stats.lost), (1, 0));
    assert!(stats.open_failures > 0);
}

#[tokio::test(start_paused = true)]
async fn shutting_down_lets_operations_end_and_says_goodbye() {
    let fake = Fake::start().await;
    let pool = fake.pool().min(2).build().unwrap();
    pool.ready(soon()).await.unwrap();
    let slow = pool.call(lookup("cn=slow").into_any());
    let never = pool.call(lookup("cn=never").into_any());
    let begun = Instant::now();
    let down = tokio::spawn({
        let pool = pool.clone();
        async move { pool.shutdown(flext_ldap_directory::Deadline::after(Duration::from_secs(3))).await }
    });
    settle().await;
    let error = pool.search_one(lookup("cn=a")).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Closed, Applied::No));
    slow.outcome().await.unwrap();
    assert_eq!(never.outcome().await.unwrap_err().kind(), ErrorKind::Closed);
    down.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 3);
    settle().await;
    for wire in fake.script.wires() {
        assert_eq!(wire.requests().last(), Some(&Message::Unbind));
    }
    // Again it does nothing more.
    pool.shutdown(soon()).await;
    assert_eq!(pool.stats().open, 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_ends_everything() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    struct Alive;
    impl Drop for Alive {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let fake = Fake::start().await;
    ALIVE.fetch_add(1, Ordering::SeqCst);
    let alive = Alive;
    let source = move || {
        let _alive = &alive;
        Ok(flext_ldap_client::Credentials::simple(READER, READERS_PASSWORD))
    };
    let pool = fake.pool().min(2).credentials_from(source).build().unwrap();
    pool.ready(soon()).await.unwrap();
    let clone = pool.clone();
    drop(pool);
    let slow = clone.call(lookup("cn=slow").into_any());
    drop(clone);
    // The task has gone with all it held; the operation's connection goes when it has ended.
    settle().await;
    assert_eq!((ALIVE.load(Ordering::SeqCst), fake.script.open()), (0, 1));
    slow.outcome().await.unwrap();
    settle().await;
    assert_eq!(fake.script.open(), 0);
}
