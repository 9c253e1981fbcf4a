//! Which connection operations go onto, and who waits.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use flext_ldap_client::{Pool, Server};
use flext_ldap_directory::{
    Actor, Applied, BindStep, Directory, DirectoryExt, ErrorKind, Session, SessionExt,
    proto::{control::PagedResults, message::Request as Message},
};
use tokio::time::Instant;

use super::server::*;
use crate::support::{Cancellable, delete, search, settle};

#[tokio::test(start_paused = true)]
async fn one_after_another_go_over_one_connection() {
    let fake = Fake::start().await;
    let pool = fake.pool().build().unwrap();
    for _ in 0..50 {
        assert_eq!(pool.search_one(lookup("cn=a")).await.unwrap().dn_str(), named("cn=a"));
        pool.search_all(search("cn=b")).await.unwrap();
        pool.delete(delete("cn=c")).await.unwrap();
    }
    let stats = pool.stats();
    assert_eq!((stats.open, stats.opened, stats.in_flight, pool.load()), (1, 1, 0, 0));
    assert_eq!(fake.script.wires().len(), 1);
    assert_eq!(fake.script.wires()[0].searches().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn more_connections_are_opened_when_all_are_busy_and_never_too_many() {
    let fake = Fake::start().await;
    let pool = fake.pool().max(3).busy(4).build().unwrap();
    pool.ready(soon()).await.unwrap();
    let mut replies = Vec::new();
    for _ in 0..100 {
        replies.push(pool.call(lookup("cn=slow").into_any()));
        settle().await;
    }
    let stats = pool.stats();
    assert_eq!((stats.open, stats.in_flight, pool.load()), (3, 100, 100));
    for reply in replies {
        reply.outcome().await.unwrap();
    }
    let loads: Vec<_> = fake.script.wires().iter().map(|wire| wire.searches().len()).collect();
    assert_eq!((loads.len(), loads.iter().sum::<usize>()), (3, 100));
    assert!(loads.iter().all(|load| *load >= 25), "{loads:?}");
}

#[tokio::test(start_paused = true)]
async fn an_unread_result_never_holds_back_a_lookup() {
    let fake = Fake::start().await;
    let pool = fake.pool().min(2).max(3).build().unwrap();
    pool.ready(soon()).await.unwrap();
    // As many as there may be, none of them read.
    let unread = [pool.call(search("cn=much").into_any()), pool.call(search("cn=much").into_any())];
    settle().await;
    for number in 0..100 {
        let rdn = format!("cn=a{number}");
        assert_eq!(pool.search_one(lookup(&rdn)).await.unwrap().dn_str(), named(&rdn));
        pool.delete(delete("cn=c")).await.unwrap();
    }
    assert_eq!(pool.stats().open, 3);
    for wire in fake.script.wires() {
        let searches = wire.searches();
        assert!(searches.len() <= 1 || !searches.contains(&named("cn=much")), "{searches:?}");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    // A third one waits for one of those to end, and says so when it has waited long enough.
    let error = pool.search_all(search("cn=b")).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::No));
    assert!(error.to_string().contains("all are taken: read results to their end or drop them"), "{error}");
    drop(unread);
    pool.search_all(search("cn=b")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn results_that_may_be_long_share_once_no_more_connections_can_be_had() {
    let fake = Fake::start().await;
    let pool = fake.pool().max(3).build().unwrap();
    pool.ready(soon()).await.unwrap();
    let begun = Instant::now();
    let slow = (0..20).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.search_all(search("cn=slow")).await })
    });
    for reply in slow.collect::<Vec<_>>() {
        reply.await.unwrap().unwrap();
    }
    assert!(begun.elapsed() < Duration::from_millis(1_500), "{:?}", begun.elapsed());
    assert!(pool.stats().open <= 3);
    let used = fake.script.wires().iter().filter(|wire| !wire.searches().is_empty()).count();
    assert_eq!(used, 2, "one stays for lookups");
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_served_in_order_and_only_so_many_may() {
    let fake = Fake::start().await;
    let connector = fake.connector().in_flight(1).build().unwrap();
    let pool = Pool::builder(connector).max(1).waiting(3).build().unwrap();
    pool.ready(soon()).await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..4 {
        let (pool, order) = (pool.clone(), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            pool.search_one(lookup("cn=slow")).await.unwrap();
            order.lock().unwrap().push(number);
        }));
        settle().await;
    }
    assert_eq!(pool.stats().waiting, 3);
    let error = pool.search_one(lookup("cn=a")).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Overloaded, Applied::No));
    assert!(error.to_string().contains(&fake.address.to_string()), "{error}");
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
    let stats = pool.stats();
    assert_eq!((stats.waiting, stats.waited, stats.turned_away), (0, 3, 1));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_the_deadline_or_the_pools_own_and_leaves_nothing_behind() {
    let fake = Fake::start().await;
    let connector = fake.connector().in_flight(1).build().unwrap();
    let pool = Pool::builder(connector).max(1).acquire(Duration::from_secs(3)).build().unwrap();
    pool.ready(soon()).await.unwrap();
    let never = pool.call(lookup("cn=never").into_any());
    for (within, want, text) in [(1, 1, "its deadline"), (60, 3, "the time allowed for that")] {
        let begun = Instant::now();
        let error = pool.search_one(lookup("cn=a").within(Duration::from_secs(within))).await.unwrap_err();
        assert_eq!((begun.elapsed().as_secs(), error.kind()), (want, ErrorKind::Timeout));
        assert!(error.to_string().contains(text), "{error}");
        assert!(error.to_string().contains(&fake.address.to_string()), "{error}");
    }
    // Dropped at any moment, in the queue or when its turn has come.
    for polls in 0..6 {
        let waiting = Cancellable::after(polls, pool.search_one(lookup("cn=a")));
        let _ = waiting.await;
        assert_eq!(pool.stats().waiting, 0);
    }
    let mut queued = Box::pin(pool.search_one(lookup("cn=a")));
    assert!(futures_poll(queued.as_mut()).is_none());
    assert_eq!(pool.stats().waiting, 1);
    drop(never);
    // Its turn has come, and it does not come to take it.
    drop(queued);
    pool.search_one(lookup("cn=a")).await.unwrap();
    assert_eq!((pool.stats().waiting, pool.stats().in_flight), (0, 0));
}

/// Polls a future once.
fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_cookie_goes_nowhere_and_a_pinned_connection_is_nobody_elses() {
    let fake = Fake::start().await;
    let pool = fake.pool().build().unwrap();
    let page = PagedResults { size: 10, cookie: "a cookie".into() };
    let error = pool.search_all(search("cn=a").critical(&page)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert!(error.to_string().contains("Server::pin"), "{error}");

    let mut pinned = pool.pin(soon()).await.unwrap();
    let mut pages = pinned.search_pages(search("cn=pages"), 10);
    while pages.next().await.unwrap().is_some() {}
    drop(pages);
    let error = pinned.bind(BindStep::simple("cn=maja", "hers".into()), soon()).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Misuse, Applied::No));
    pool.search_one(lookup("cn=a")).await.unwrap();
    for wire in fake.script.wires() {
        let searches = wire.searches();
        assert!(searches.len() <= 1, "{searches:?}");
        assert!(!wire.has(b"hers") && !wire.has(b"a cookie"));
    }
    drop(pinned);
    settle().await;
    assert_eq!(pool.stats().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_pool_acts_for_its_own_account_and_for_nobody_else() {
    let fake = Fake::start().await;
    let pool = fake.pool().build().unwrap();
    let who = pool.search_one(lookup("cn=who")).await.unwrap();
    assert_eq!(who.dn_str(), READER);
    let mut anonymous = lookup("cn=who");
    anonymous.actor = Actor::Anonymous;
    let error = pool.search_one(anonymous).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotCarried);
    assert_eq!(pool.stats().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn many_tasks_get_each_its_own_answer() {
    let fake = Fake::start().await;
    let pool = fake.pool().max(4).build().unwrap();
    let mut tasks = Vec::new();
    for task in 0..64 {
        let pool = pool.clone();
        tasks.push(tokio::spawn(async move {
            for number in 0..20 {
                let rdn = format!("cn=t{task}n{number}");
                let found = match number % 3 {
                    0 => pool.search_one(lookup(&rdn)).await.unwrap().dn_str().to_owned(),
                    _ => pool.search_all(search(&rdn)).await.unwrap()[0].dn_str().to_owned(),
                };
                assert_eq!(found, named(&rdn));
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let stats = pool.stats();
    assert_eq!((stats.in_flight, stats.waiting, stats.open), (0, 0, 4));
    let binds = |message: &Message| matches!(message, Message::Bind(_));
    for wire in fake.script.wires() {
        assert_eq!(wire.requests().iter().filter(|message| binds(message)).count(), 1);
    }
}

/// Real threads, real time, and a server that ends all connections again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_operation_is_lost_or_answered_to_another_while_connections_come_and_go() {
    let fake = Fake::start().await;
    let pool = fake.pool().max(4).busy(4).build().unwrap();
    pool.ready(soon()).await.unwrap();
    let tasks: Vec<_> = (0..32)
        .map(|task| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut answered = 0;
                for number in 0..150 {
                    let rdn = format!("cn=t{task}n{number}");
                    let found = match number % 3 {
                        0 => pool.search_one(lookup(&rdn)).await,
                        1 => pool.search_one(search(&rdn)).await,
                        _ => pool.search_all(search(&rdn)).await.map(|mut all| all.remove(0)),
                    };
                    match found {
                        Ok(entry) => {
                            assert_eq!(entry.dn_str(), named(&rdn));
                            answered += 1;
                        }
                        Err(error) => {
                            let kinds = [ErrorKind::Closed, ErrorKind::Unreachable];
                            assert!(kinds.contains(&error.kind()), "{error:?}");
                            assert_eq!(error.applied(), Applied::No);
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    }
                }
                answered
            })
        })
        .collect();
    while tasks.iter().any(|task| !task.is_finished()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        fake.cut();
    }
    let mut answered = 0;
    for task in tasks {
        answered += task.await.unwrap();
    }
    assert!(answered > 1_000, "{answered} of 4800");
    let stats = pool.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    assert!(stats.open <= 4 && stats.lost > 0, "{stats:?}");
    // The last cut may have come after the last operation.
    pool.ready(soon()).await.ok();
    pool.shutdown(soon()).await;
}
