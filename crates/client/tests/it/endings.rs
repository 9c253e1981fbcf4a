//! The end of a connection is never taken for the end of an answer (invariant 2).

use flext_ldap_directory::{
    Applied, Directory, DirectoryExt, ErrorKind, Event,
    proto::{
        message::{MessageId, Request as Message},
        result::ResultCode,
    },
};

use crate::support::*;

#[tokio::test]
async fn invariant_2_a_connection_lost_at_any_octet_of_an_answer_is_an_error() {
    let whole =
        |id: MessageId| [&entry(id, "cn=1", 20)[..], &entry(id, "cn=2", 20), &encoded(id, &done())].concat();
    let length = whole(MessageId(1 << 12)).len();
    for cut in 0..=length {
        let (connection, mut peer) = pair().await;
        let mut reply = connection.call(search("ou=people").into_any());
        let (id, _) = peer.request().await;
        assert_eq!(whole(id).len(), length);
        peer.raw(&whole(id)[..cut]).await;
        drop(peer);
        let mut entries = 0;
        let end = loop {
            match reply.next().await {
                Ok(Event::Batch(batch)) => entries += batch.len(),
                Ok(Event::Done(outcome)) => break Ok(outcome),
                Err(error) => break Err(error),
            }
        };
        match end {
            Ok(outcome) => {
                assert_eq!((cut, entries, outcome.result.code), (length, 2, ResultCode::SUCCESS));
            }
            Err(error) => {
                assert!(cut < length, "{error}");
                assert_eq!((error.kind(), error.applied()), (ErrorKind::Closed, Applied::No), "cut at {cut}");
            }
        }
    }
}

#[tokio::test]
async fn every_waiting_caller_is_told_and_later_ones_too() {
    let (connection, mut peer) = pair_with(|builder| builder.in_flight(3)).await;
    let replies: Vec<_> = (0..5).map(|n| connection.call(search(&format!("cn={n}")).into_any())).collect();
    for _ in 0..3 {
        peer.request().await;
    }
    let address = peer.stream.local_addr().unwrap();
    drop(peer);
    for reply in replies {
        let error = reply.outcome().await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Closed, Applied::No));
        assert!(!error.is_connection_usable());
        assert!(error.to_string().contains(&format!("{address} closed the connection")), "{error}");
    }
    let error = connection.search_all(search("cn=later")).await.unwrap_err();
    assert_eq!(error.to_string(), format!("the connection has ended: {address} closed the connection"));
    assert_eq!(connection.closed().await.to_string(), error.to_string());
    assert!(connection.is_closed());
    connection.close().await;
    connection.close().await;
}

#[tokio::test]
async fn a_notice_of_disconnection_is_heard_and_named() {
    let (connection, mut peer) = pair().await;
    let reply = connection.call(search("cn=a").into_any());
    let write = connection.call(delete("cn=a").into_any());
    peer.request().await;
    peer.request().await;
    let address = peer.stream.local_addr().unwrap();
    peer.answer(MessageId::UNSOLICITED, notice(ResultCode::UNAVAILABLE, "shutting down")).await;
    let error = reply.outcome().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(
        error.to_string(),
        format!(
            "{address} ended the connection with a Notice of Disconnection, unavailable (52): shutting down"
        )
    );
    let error = write.outcome().await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Closed, Applied::Unknown));
    assert!(connection.closed().await.to_string().contains("Notice of Disconnection"));
}

/// Active Directory writes the name of the notice beside the operation instead of into it.
#[tokio::test]
async fn a_notice_with_its_name_in_the_wrong_place_is_heard() {
    let (connection, mut peer) = pair().await;
    let mut octets = vec![0x30, 0x26, 0x02, 0x01, 0x00];
    octets.extend_from_slice(&[0x78, 0x07, 0x0a, 0x01, 0x34, 0x04, 0x00, 0x04, 0x00]);
    octets.extend_from_slice(&[0x8a, 0x16]);
    octets.extend_from_slice(b"1.3.6.1.4.1.1466.20036");
    octets[1] = (octets.len() - 2) as u8;
    peer.raw(&octets).await;
    let ending = connection.closed().await.to_string();
    assert!(ending.contains("Notice of Disconnection, unavailable (52)"), "{ending}");
}

#[tokio::test]
async fn a_notice_is_heard_although_a_write_fails_first() {
    let (connection, mut peer) = pair().await;
    peer.answer(MessageId::UNSOLICITED, notice(ResultCode::OTHER, "idle for too long")).await;
    drop(peer);
    // The request may go out before the notice is read, or not at all.
    let error = connection.search_all(search("cn=a")).await.unwrap_err();
    assert!(error.to_string().contains("idle for too long"), "{error}");
}

#[tokio::test]
async fn closing_says_goodbye_and_ends_what_is_in_flight() {
    let (connection, mut peer) = pair().await;
    let reply = connection.call(search("cn=a").into_any());
    peer.request().await;
    let ((), rest) = tokio::join!(connection.close(), peer.rest());
    assert_eq!(rest, [Message::Unbind]);
    let error = reply.outcome().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().ends_with("was closed"), "{error}");
}

#[tokio::test]
async fn invariant_8_dropping_the_connection_ends_its_task() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let (connection, mut peer) = pair().await;
    let reply = connection.call(search("cn=a").into_any());
    peer.request().await;
    assert_eq!(tasks(), before + 1);
    drop(connection);
    assert_eq!(peer.rest().await, [Message::Unbind]);
    assert_eq!(reply.outcome().await.unwrap_err().kind(), ErrorKind::Closed);
    settle().await;
    assert_eq!(tasks(), before);
}

#[test]
fn nobody_waits_for_a_task_whose_runtime_is_gone() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (connection, reply, _peer) = runtime.block_on(async {
        let (connection, mut peer) = pair().await;
        let reply = connection.call(search("cn=a").into_any());
        peer.request().await;
        (connection, reply, peer)
    });
    runtime.shutdown_background();
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = other.block_on(reply.outcome()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().contains("was shut down"), "{error}");
    other.block_on(connection.close());
}
