//! A search that nobody reads: its memory has an end, and its neighbours are told.

use std::time::Duration;

use flext_ldap_directory::{Directory, DirectoryExt, ErrorKind, Event, proto::message::Request as Message};

use crate::support::*;

const BOUND: usize = 256 << 10;
/// What one read may bring on top.
const ONE_READ: usize = 256 << 10;

/// Sends entries until the client takes no more for a while, and gives how many octets it took.
async fn flood(
    peer: &mut Peer<tokio::net::TcpStream>,
    id: flext_ldap_directory::proto::message::MessageId,
) -> usize {
    let message = entry(id, "cn=a", 10_000);
    let mut sent = 0;
    loop {
        let Ok(written) = tokio::time::timeout(Duration::from_secs(1), peer.raw(&message)).await else {
            return sent;
        };
        let () = written;
        sent += message.len();
        assert!(sent < 512 << 20, "nothing holds the server back");
    }
}

#[tokio::test(start_paused = true)]
async fn invariant_8_what_nobody_reads_stays_within_its_bound_and_is_named_to_neighbours() {
    let (connection, mut peer) = pair_with(|builder| builder.unread(BOUND)).await;
    let mut unread = connection.call(search("cn=a").into_any());
    let (id, _) = peer.request().await;
    let sent = flood(&mut peer, id).await;
    assert!(sent > connection.unread(), "the socket buffers hold some too");
    assert!(
        (BOUND..=BOUND + ONE_READ).contains(&connection.unread()),
        "{} octets unread",
        connection.unread()
    );

    let neighbour = connection.call(delete("cn=b").within(Duration::from_secs(5)).into_any());
    let error = neighbour.outcome().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("answers wait behind an unread search on this connection"), "{error}");

    // An hour later it can still be read: nobody waited for the server meanwhile.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    // From here on the sockets take the time they take.
    tokio::time::resume();
    let mut octets = 0;
    while octets < sent / 2 {
        let Event::Batch(batch) = unread.next().await.unwrap() else { panic!("the end") };
        octets += batch.size();
    }
    drop(unread);
    assert_eq!(connection.unread(), 0);
    assert!(!connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn dropping_an_unread_search_frees_its_neighbours() {
    let (connection, mut peer) = pair_with(|builder| builder.unread(BOUND)).await;
    let unread = connection.call(search("cn=a").into_any());
    let (id, _) = peer.request().await;
    // As much as the client takes, and then exactly one whole message that is on its way.
    let mut octets = Vec::new();
    for _ in 0..40 {
        octets.extend_from_slice(&entry(id, "cn=a", 10_000));
    }
    peer.raw(&octets).await;
    let neighbour = connection.call(search("cn=b").into_any());
    let (next, _) = peer.request().await;
    peer.answer(next, done()).await;
    settle().await;
    drop(unread);
    neighbour.outcome().await.unwrap();
    assert_eq!(connection.unread(), 0);
    assert!(matches!(peer.request().await, (_, Message::Abandon(gone)) if gone == id));
}

/// While a bulk result streams in large pieces, lookups come and go: reads turn eager for them and gather again after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lookups_are_answered_in_the_midst_of_a_bulk_result() {
    const LOOKUPS: usize = 200;
    let (connection, mut peer) = pair().await;
    let connection = std::sync::Arc::new(connection);
    let mut entries = connection.search(search("ou=people"));
    let (bulk, _) = peer.request().await;
    let server = tokio::spawn(async move {
        let hundred: Vec<u8> = (0..100).flat_map(|_| entry(bulk, "uid=maja,ou=people", 200)).collect();
        let mut sent = 0;
        for _ in 0..LOOKUPS {
            for _ in 0..4 {
                peer.raw(&hundred).await;
                sent += 100;
            }
            let (id, request) = peer.request().await;
            assert!(matches!(request, Message::Search(_)));
            peer.answer(id, done()).await;
        }
        peer.answer(bulk, done()).await;
        (peer, sent)
    });
    let reader = tokio::spawn(async move {
        let mut found = 0;
        while let Some(batch) = entries.next_batch().await.unwrap() {
            found += batch.len();
        }
        found
    });
    for _ in 0..LOOKUPS {
        connection.search_all(search("cn=a")).await.unwrap();
    }
    let (_peer, sent) = server.await.unwrap();
    assert_eq!(reader.await.unwrap(), sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_entries_pass_through_little_memory() {
    const N: usize = 1_000_000;
    let (connection, mut peer) = pair_with(|builder| builder.unread(BOUND)).await;
    let server = tokio::spawn(async move {
        let (id, _) = peer.request().await;
        let thousand: Vec<u8> = (0..1_000).flat_map(|_| entry(id, "uid=maja,ou=people", 8)).collect();
        for _ in 0..N / 1_000 {
            peer.raw(&thousand).await;
        }
        peer.answer(id, done()).await;
        peer
    });
    let mut entries = connection.search(search("ou=people"));
    let (mut found, mut most) = (0, 0);
    while let Some(batch) = entries.next_batch().await.unwrap() {
        found += batch.len();
        most = most.max(connection.unread() + batch.size());
    }
    assert_eq!(found, N);
    assert!(most <= BOUND + 2 * ONE_READ, "{most} octets held");
    drop(server.await.unwrap());
}
