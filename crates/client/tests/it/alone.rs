//! An operation that is alone on its connection is moved by its caller, and nobody else ever waits for that caller.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use flext_ldap_directory::{Directory, DirectoryExt, ErrorKind, Event, Reply};
use tokio::time::timeout;

use crate::support::*;

const SOON: Duration = Duration::from_secs(30);

/// Counts how often it is woken, and does nothing.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls a reply once, as somebody who will not come again.
fn poll_once(reply: &mut Reply) -> Poll<()> {
    let waker = Waker::from(Arc::new(Counting::default()));
    let mut next = std::pin::pin!(reply.next());
    next.as_mut().poll(&mut Context::from_waker(&waker)).map(|event| drop(event.unwrap()))
}

#[tokio::test]
async fn many_in_turn_are_answered_and_none_is_taken_for_another() {
    let (connection, mut peer) = pair().await;
    let server = async {
        for number in 0..200 {
            let (id, _) = peer.request().await;
            let octets = [&entry(id, &format!("cn={number}"), 1)[..], &encoded(id, &done())].concat();
            // In one piece, or cut in the middle.
            let (first, rest) =
                octets.split_at(if number % 3 == 0 { octets.len() / 2 } else { octets.len() });
            peer.raw(first).await;
            settle().await;
            peer.raw(rest).await;
        }
        peer
    };
    let client = async {
        for number in 0..200 {
            let found = connection.search_one(search("cn=a")).await.unwrap();
            assert_eq!(found.dn_str(), format!("cn={number}"));
        }
    };
    let (_peer, ()) = timeout(SOON, async { tokio::join!(server, client) }).await.unwrap();
    assert_eq!((connection.unread(), connection.late_answers()), (0, 0));
}

#[tokio::test]
async fn it_is_sent_without_being_polled() {
    let (connection, mut peer) = pair().await;
    let reply = connection.call(search("cn=a").into_any());
    let (id, _) = timeout(SOON, peer.request()).await.unwrap();
    peer.answer(id, done()).await;
    timeout(SOON, reply.outcome()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_second_operation_does_not_wait_for_a_first_whose_caller_never_polls_again() {
    let (connection, mut peer) = pair().await;
    settle().await;
    let mut first = connection.call(search("cn=a").into_any());
    assert_eq!(poll_once(&mut first), Poll::Pending);
    let (first_id, _) = peer.request().await;
    let second = connection.search_all(search("cn=b"));
    let server = async {
        let (second_id, _) = peer.request().await;
        // The first one's answer stands before the second's on the same socket.
        peer.entry(first_id, "cn=first").await;
        peer.answer(first_id, done()).await;
        peer.entry(second_id, "cn=second").await;
        peer.answer(second_id, done()).await;
    };
    let (found, ()) = timeout(SOON, async { tokio::join!(second, server) }).await.unwrap();
    assert_eq!(found.unwrap().len(), 1);
    let Event::Batch(batch) = timeout(SOON, first.next()).await.unwrap().unwrap() else { panic!("no entry") };
    assert_eq!(batch.entries().next().unwrap().dn_str(), "cn=first");
    assert!(matches!(first.next().await, Ok(Event::Done(_))));
}

#[tokio::test]
async fn an_answer_that_nobody_polls_for_is_taken_by_the_task() {
    let (connection, mut peer) = pair().await;
    settle().await;
    let mut reply = connection.call(search("cn=a").into_any());
    assert_eq!(poll_once(&mut reply), Poll::Pending);
    let (id, _) = peer.request().await;
    peer.raw(&entry(id, "cn=a", 5_000)).await;
    timeout(SOON, async {
        while connection.unread() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
    peer.answer(id, done()).await;
    assert!(matches!(timeout(SOON, reply.next()).await.unwrap(), Ok(Event::Batch(_))));
    assert!(matches!(timeout(SOON, reply.next()).await.unwrap(), Ok(Event::Done(_))));
}

/// A server that is slow for a moment does not part a search from its caller; one that is silent for long does.
#[tokio::test(start_paused = true)]
async fn a_caller_who_waits_for_the_server_is_relieved_after_long() {
    for (silence, is_relieved) in [(500, false), (2_000, true)] {
        let (connection, mut peer) = pair().await;
        settle().await;
        let mut reply = connection.call(search("cn=a").into_any());
        let woken = Arc::new(Counting::default());
        {
            let mut next = std::pin::pin!(reply.next());
            let waker = Waker::from(Arc::clone(&woken));
            assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let (id, _) = peer.request().await;
        tokio::time::sleep(Duration::from_millis(silence)).await;
        assert_eq!(woken.0.load(Ordering::SeqCst), 0, "nothing has happened");
        peer.raw(&entry(id, "cn=a", 1_000)).await;
        // The clock stands while somebody is busy, so no tick comes in between.
        while woken.0.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(connection.unread() > 0, is_relieved, "{silence} ms");
        peer.answer(id, done()).await;
        assert!(matches!(timeout(SOON, reply.next()).await.unwrap(), Ok(Event::Batch(_))));
        assert!(matches!(timeout(SOON, reply.next()).await.unwrap(), Ok(Event::Done(_))));
    }
}

#[tokio::test]
async fn a_caller_who_has_moved_its_search_for_long_and_stops_is_relieved() {
    let (connection, mut peer) = pair().await;
    let mut reply = connection.call(search("cn=a").into_any());
    let (id, _) = peer.request().await;
    let began = std::time::Instant::now();
    let mut found = 0;
    while began.elapsed() < Duration::from_millis(50) {
        peer.raw(&entry(id, "cn=a", 20_000).repeat(10)).await;
        found += 10;
        while found > 0 {
            let event = timeout(SOON, reply.next()).await.unwrap().unwrap();
            let Event::Batch(batch) = event else { panic!("the end") };
            found -= batch.len();
        }
    }
    assert_eq!(connection.unread(), 0);
    peer.raw(&entry(id, "cn=b", 20_000).repeat(10)).await;
    timeout(SOON, async {
        while connection.unread() < 10 * 20_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
    peer.answer(id, done()).await;
    timeout(SOON, reply.outcome()).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_end_of_an_idle_connection_is_heard_after_lone_operations() {
    let (connection, mut peer) = pair().await;
    for _ in 0..3 {
        let server = async {
            let (id, _) = peer.request().await;
            peer.answer(id, done()).await;
        };
        let (found, ()) = tokio::join!(connection.search_all(search("cn=a")), server);
        assert_eq!(found.unwrap().len(), 0);
    }
    drop(peer);
    let error = timeout(SOON, connection.closed()).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(connection.is_closed());
}

#[tokio::test]
async fn a_connection_that_ends_under_a_lone_caller_ends_for_everybody() {
    let (connection, mut peer) = pair().await;
    let server = async {
        peer.request().await;
        drop(peer);
    };
    let (found, ()) = tokio::join!(connection.search_all(search("cn=a")), server);
    assert_eq!(found.unwrap_err().kind(), ErrorKind::Closed);
    timeout(SOON, connection.closed()).await.unwrap();
    assert_eq!(connection.search_all(search("cn=b")).await.unwrap_err().kind(), ErrorKind::Closed);
    timeout(SOON, connection.close()).await.unwrap();
}

#[tokio::test]
async fn it_is_abandoned_when_its_reply_is_dropped() {
    use flext_ldap_directory::proto::message::Request as Message;
    let (connection, mut peer) = pair().await;
    let mut reply = connection.call(search("cn=a").into_any());
    assert_eq!(poll_once(&mut reply), Poll::Pending);
    let (id, _) = peer.request().await;
    drop(reply);
    let (_, request) = timeout(SOON, peer.request()).await.unwrap();
    assert_eq!(request, Message::Abandon(id));
}

#[tokio::test(start_paused = true)]
async fn its_deadline_passes_whether_it_is_polled_or_not() {
    let (connection, mut peer) = pair().await;
    settle().await;
    let reply = connection.call(search("cn=a").within(Duration::from_millis(5)).into_any());
    peer.request().await;
    assert_eq!(reply.outcome().await.unwrap_err().kind(), ErrorKind::Timeout);

    let mut held = connection.call(search("cn=b").within(Duration::from_secs(5)).into_any());
    assert_eq!(poll_once(&mut held), Poll::Pending);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let Err(error) = held.next().await else { panic!("an answer from nowhere") };
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[test]
fn lone_callers_in_many_threads_share_a_connection() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let (connection, mut peer) = pair().await;
        let connection = Arc::new(connection);
        let server = tokio::spawn(async move {
            while let Some((id, _, _)) = peer.next().await {
                let octets = [&entry(id, "cn=a", 1)[..], &encoded(id, &done())].concat();
                peer.raw(&octets).await;
            }
        });
        // Sometimes alone, sometimes not.
        let callers: Vec<_> = (0..4)
            .map(|caller| {
                let connection = Arc::clone(&connection);
                tokio::spawn(async move {
                    for number in 0..500 {
                        if number % (caller + 2) == 0 {
                            tokio::task::yield_now().await;
                        }
                        assert_eq!(connection.search_all(search("cn=a")).await.unwrap().len(), 1);
                    }
                })
            })
            .collect();
        for caller in callers {
            timeout(SOON, caller).await.unwrap().unwrap();
        }
        connection.close().await;
        timeout(SOON, server).await.unwrap().unwrap();
    });
}

#[test]
fn a_runtime_that_goes_leaves_nobody_waiting() {
    let gone = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (connection, mut peer) = gone.block_on(pair());
    let mut reply = connection.call(search("cn=a").into_any());
    gone.block_on(async {
        assert_eq!(poll_once(&mut reply), Poll::Pending);
        peer.request().await;
    });
    drop(gone);
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = other.block_on(async { timeout(SOON, reply.outcome()).await.unwrap().unwrap_err() });
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(connection.is_closed());
}
