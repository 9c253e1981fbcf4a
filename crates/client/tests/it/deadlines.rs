//! Every wait has an end (invariant 8).

use std::time::Duration;

use flext_ldap_client::{Connector, Credentials};
use flext_ldap_directory::{
    Applied, Directory, DirectoryExt, ErrorKind, Event,
    proto::message::{IntermediateResponse, Request as Message, Response},
};
use tokio::{io::AsyncWriteExt as _, time::Instant};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_late_search_is_abandoned_and_its_answers_dropped() {
    let (connection, mut peer) = pair().await;
    let begun = Instant::now();
    let late = connection.call(search("cn=a").within(Duration::from_secs(7)).into_any());
    let (id, _) = peer.request().await;
    let error = late.outcome().await.unwrap_err();
    assert_eq!(begun.elapsed().as_secs(), 7);
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::No));
    assert!(error.is_connection_usable() && error.is_retryable());
    assert!(error.to_string().ends_with("timed out: the server did not answer"), "{error}");
    // From here on the sockets take the time they take.
    tokio::time::resume();
    let (_, abandon) = peer.request().await;
    assert_eq!(abandon, Message::Abandon(id));
    peer.entry(id, "cn=late").await;
    peer.answer(id, done()).await;
    let reply = connection.call(search("cn=b").into_any());
    let (next, _) = peer.request().await;
    assert_ne!(next, id);
    peer.answer(next, done()).await;
    reply.outcome().await.unwrap();
    assert_eq!(connection.late_answers(), 2);
}

#[tokio::test]
async fn a_dropped_search_or_compare_is_abandoned() {
    let (connection, mut peer) = pair().await;
    for request in [search("cn=a").into_any(), compare("cn=a").into_any()] {
        let reply = connection.call(request);
        let (id, _) = peer.request().await;
        drop(reply);
        let (_, abandon) = peer.request().await;
        assert_eq!(abandon, Message::Abandon(id));
    }
}

#[tokio::test(start_paused = true)]
async fn a_search_counts_only_the_time_it_waits_for_the_server() {
    let (connection, mut peer) = pair().await;
    let mut reply = connection.call(search("cn=a").within(Duration::from_secs(10)).into_any());
    let (id, _) = peer.request().await;
    for round in 0..5 {
        // The server takes one second each time, the caller an hour.
        let server = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            peer.entry(id, &format!("cn={round}")).await;
        };
        let (event, ()) = tokio::join!(reply.next(), server);
        assert!(matches!(event.unwrap(), Event::Batch(_)));
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    let begun = Instant::now();
    let error = reply.next().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let waited = begun.elapsed();
    assert!((4..=6).contains(&waited.as_secs()), "10 s less the 5 s waited before, not {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_never_gets_its_turn_is_told_so() {
    let (connection, _peer) = pair_with(|builder| builder.in_flight(1)).await;
    let first = connection.call(search("cn=a").into_any());
    let second = connection.call(search("cn=b").within(Duration::from_secs(2)).into_any());
    let error = second.outcome().await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::No));
    assert!(error.to_string().contains("it waited for its turn"), "{error}");
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn one_deadline_covers_connecting_tls_and_bind_together() {
    // At each step the server falls silent; in all cases the caller waits as long as it said, once.
    for (step, expected) in [("StartTLS", "the answer to StartTLS"), ("TLS", "the TLS handshake")] {
        let server = Server::start().await;
        let options = flext_ldap_client::TlsOptions::new().dangerous_accept_any_certificate();
        let builder = match step {
            "StartTLS" => Connector::builder().start_tls(options),
            _ => Connector::builder().ldaps(options),
        };
        let connector = builder.address("127.0.0.1", server.address.port()).build().unwrap();
        let begun = Instant::now();
        let (connected, _peer) = tokio::join!(connector.connect(), server.accept());
        let error = connected.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (ErrorKind::Timeout, 10), "{error}");
        assert!(error.to_string().ends_with(expected), "{error}");
    }

    let server = Server::start().await;
    let connector = server
        .clear()
        .credentials(Credentials::simple("cn=reader", "a password"))
        .connect_timeout(Duration::from_secs(4))
        .build()
        .unwrap();
    let begun = Instant::now();
    let (connected, mut peer) = tokio::join!(connector.connect(), server.accept());
    let error = connected.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed().as_secs()), (ErrorKind::Timeout, 4), "{error}");
    assert!(error.to_string().contains("the bind on "), "{error}");
    assert!(matches!(peer.request().await, (_, Message::Bind(_))));
}

#[tokio::test(start_paused = true)]
async fn several_servers_share_the_time_there_is() {
    let (silent, good) = (Server::start().await, Server::start().await);
    let options = flext_ldap_client::TlsOptions::new().dangerous_accept_any_certificate();
    let connector = Connector::builder()
        .start_tls(options)
        .address("127.0.0.1", silent.address.port())
        .address("127.0.0.1", good.address.port())
        .build()
        .unwrap();
    let begun = Instant::now();
    let (connected, ..) = tokio::join!(connector.connect(), silent.accept(), good.accept());
    let error = connected.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed().as_secs()), (ErrorKind::Timeout, 10));
    let text = error.to_string();
    assert!(text.starts_with("none of the servers answered: "), "{text}");
    assert!(text.contains(&silent.address.to_string()) && text.contains(&good.address.to_string()), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_already_sends_nothing_that_stays() {
    let (connection, mut peer) = pair().await;
    let error = connection.delete(delete("cn=a").within(Duration::ZERO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    drop(connection);
    let rest = peer.rest().await;
    assert_eq!(
        rest.contains(&Message::Delete(delete("cn=a").op)),
        error.applied() == Applied::Unknown,
        "{rest:?}"
    );
}

/// A thread that is kept busy cannot hear an answer; once it listens again, the answer counts and not the hour.
#[tokio::test]
async fn an_answer_that_came_in_time_is_heard_by_a_thread_that_was_busy() {
    let mut patience = Duration::from_millis(100);
    loop {
        let (connection, mut peer) = pair().await;
        let deadline = Instant::now() + patience;
        let early = connection.call(search("cn=a").within(patience).into_any());
        let (id, _) = peer.request().await;
        peer.answer(id, done()).await;
        if Instant::now() >= deadline {
            // Too slow a machine for this much patience.
            patience *= 2;
            continue;
        }
        while Instant::now() < deadline {
            std::thread::yield_now();
        }
        // This wakes the connection before anybody has looked at its socket.
        let later = connection.call(delete("cn=b").into_any());
        early.outcome().await.unwrap();
        drop(later);
        return;
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_dropped_with_something_unread_still_has_a_deadline() {
    let (connection, mut peer) = pair_with(|builder| builder.in_flight(1)).await;
    let reply = connection.call(delete("cn=a").within(Duration::from_secs(10)).into_any());
    let (id, _) = peer.request().await;
    peer.answer(id, Response::Intermediate(IntermediateResponse { oid: None, value: None })).await;
    settle().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    drop(reply);
    // Its place is free once its time is up.
    let next = connection.call(search("cn=b").within(Duration::from_secs(60)).into_any());
    let error = next.outcome().await.unwrap_err();
    assert!(error.to_string().ends_with("the server did not answer"), "{error}");
}

/// What callers pass over comes faster than they can: it keeps no lookup, no write and no extended operation for ever.
#[tokio::test]
async fn answers_without_end_that_are_no_entries_do_not_put_off_the_deadline() {
    let patience = Duration::from_millis(300);
    // A reference, an intermediate response without contents.
    let (reference, intermediate): (&[u8], &[u8]) = (b"\x73\x08\x04\x06ldap:/", b"\x79\x00");
    for (request, answer) in [
        (search("cn=a").within(patience).into_any(), reference),
        (search("cn=a").within(patience).into_any(), intermediate),
        (compare("cn=a").within(patience).into_any(), intermediate),
        (delete("cn=a").within(patience).into_any(), intermediate),
    ] {
        let (connection, mut peer) = pair().await;
        let flood = async {
            let (id, asked) = peer.request().await;
            if matches!(asked, Message::Search(_)) {
                // An entry that was read long ago is no reason to wait either.
                peer.entry(id, "cn=a").await;
            }
            let id = i16::try_from(id.0).unwrap().to_be_bytes();
            let message = [&[0x30, 4 + answer.len() as u8, 0x02, 0x02][..], &id, answer].concat();
            let octets = message.repeat(1_000);
            while peer.stream.write_all(&octets).await.is_ok() {}
        };
        let asked = async {
            let error = connection.call(request).outcome().await.unwrap_err();
            drop(connection);
            error
        };
        let (error, ()) = tokio::join!(asked, flood);
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    }
}
