//! Whether a write was applied: no, yes, or nobody can tell.

use std::time::Duration;

use flext_ldap_directory::{
    Applied, Directory, ErrorKind,
    proto::{
        extended::{Cancel, ExtendedOperation as _},
        message::{ExtendedResponse, Request as Message, Response},
        result::{LdapResult, ResultCode},
    },
};

use crate::support::*;

/// More than the socket buffers of both ends take.
const TOO_MUCH: usize = 32 << 20;

#[tokio::test]
async fn a_write_that_was_sent_and_not_answered_has_an_unknown_outcome() {
    let (connection, mut peer) = pair().await;
    let reply = connection.call(delete("cn=a").into_any());
    peer.request().await;
    drop(peer);
    let error = reply.outcome().await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Closed, Applied::Unknown));
    assert!(!error.is_retryable());
    assert!(
        error.to_string().ends_with("whether it was applied is unknown, look before sending it again"),
        "{error}"
    );
}

#[tokio::test]
async fn a_write_of_which_nothing_left_was_not_applied() {
    let (connection, peer) = pair().await;
    // The first fills the way to the server, so the second cannot leave.
    let stuck = connection.call(modify("cn=a", vec![b'x'; TOO_MUCH]).into_any());
    let behind = connection.call(delete("cn=b").into_any());
    let mut octet = [0];
    peer.stream.peek(&mut octet).await.unwrap();
    drop(peer);
    let error = stuck.outcome().await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Closed, Applied::Unknown));
    let error = behind.outcome().await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Closed, Applied::No));
    assert!(error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn a_late_write_is_unknown_and_one_that_never_left_is_taken_back() {
    let (connection, mut peer) = pair().await;
    let stuck =
        connection.call(modify("cn=a", vec![b'x'; TOO_MUCH]).within(Duration::from_secs(3)).into_any());
    let behind = connection.call(delete("cn=b").within(Duration::from_secs(2)).into_any());
    let last = connection.call(delete("cn=c").within(Duration::from_secs(500)).into_any());
    let error = behind.outcome().await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::No));
    assert!(error.to_string().ends_with("timed out: the server does not read what is sent to it"), "{error}");
    let error = stuck.outcome().await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::Unknown));
    // From here on the sockets take the time they take.
    tokio::time::resume();
    // What was reported as not applied must never arrive; what was begun must arrive whole.
    let server = async {
        let (_, first) = peer.request().await;
        assert!(matches!(first, Message::Modify(modify) if modify.dn == dn("cn=a")));
        let (id, second) = peer.request().await;
        assert!(matches!(second, Message::Delete(ref delete) if delete.dn == dn("cn=c")), "{second:?}");
        peer.answer(id, Response::Delete(LdapResult::success())).await;
    };
    let (outcome, ()) = tokio::join!(last.outcome(), server);
    assert_eq!(outcome.unwrap().result, LdapResult::success());
}

#[tokio::test]
async fn a_write_is_never_abandoned_and_its_late_answer_is_dropped() {
    let (connection, mut peer) = pair().await;
    drop(connection.call(delete("cn=a").into_any()));
    let (id, request) = peer.request().await;
    assert!(matches!(request, Message::Delete(_)));
    peer.answer(id, Response::Delete(LdapResult::success())).await;
    let reply = connection.call(search("cn=b").into_any());
    let (id, request) = peer.request().await;
    assert!(matches!(request, Message::Search(_)), "no abandon in between: {request:?}");
    peer.answer(id, done()).await;
    reply.outcome().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_write_that_timed_out_is_not_abandoned() {
    let (connection, mut peer) = pair().await;
    let late = connection.call(delete("cn=a").within(Duration::from_secs(2)).into_any());
    let (id, _) = peer.request().await;
    let error = late.outcome().await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::Unknown));
    assert!(
        error.to_string().contains("the modrdn") || error.to_string().contains("the delete on "),
        "{error}"
    );
    // From here on the sockets take the time they take.
    tokio::time::resume();
    peer.answer(id, Response::Delete(LdapResult::success())).await;
    let reply = connection.call(search("cn=b").into_any());
    let (id, request) = peer.request().await;
    assert!(matches!(request, Message::Search(_)), "{request:?}");
    peer.answer(id, done()).await;
    reply.outcome().await.unwrap();
    assert_eq!(connection.late_answers(), 1);
}

#[tokio::test]
async fn a_late_write_is_settled_by_what_the_server_makes_of_cancel() {
    let canceled = LdapResult::new(ResultCode::CANCELED);
    // What the server answers to the write once it is asked to cancel it, and what the caller hears.
    let table = [
        (Some(canceled), Err((ErrorKind::Timeout, Applied::No))),
        (Some(LdapResult::success()), Ok(ResultCode::SUCCESS)),
        (None, Err((ErrorKind::Timeout, Applied::Unknown))),
    ];
    for (answer, expected) in table {
        let settling = Duration::from_millis(if answer.is_some() { 20_000 } else { 50 });
        let (connection, mut peer) = pair_with(|builder| builder.settle_writes(settling)).await;
        let reply = connection.call(delete("cn=a").within(Duration::from_millis(50)).into_any());
        let server = async {
            let (id, _) = peer.request().await;
            let (own, request) = peer.request().await;
            let Message::Extended(request) = request else { panic!("{request:?}") };
            assert_eq!(Cancel::decode(&request).unwrap(), Cancel(id));
            if let Some(result) = answer {
                peer.answer(id, Response::Delete(result)).await;
            }
            peer.answer(
                own,
                Response::Extended(ExtendedResponse {
                    result: LdapResult::success(),
                    oid: None,
                    value: None,
                }),
            )
            .await;
            peer
        };
        let (outcome, peer) = tokio::join!(reply.outcome(), server);
        let heard =
            outcome.map(|outcome| outcome.result.code).map_err(|error| (error.kind(), error.applied()));
        assert_eq!(heard, expected);
        drop(peer);
    }
}

#[tokio::test]
async fn many_requests_go_out_together() {
    let (connection, peer) = pair().await;
    let replies: Vec<_> = (0..100).map(|n| connection.call(delete(&format!("cn={n}")).into_any())).collect();
    let mut octets = vec![0; 1 << 16];
    peer.stream.readable().await.unwrap();
    let length = peer.stream.peek(&mut octets).await.unwrap();
    let mut requests = 0;
    let mut at = 0;
    while let Some(size) =
        flext_ldap_directory::proto::ber::frame_length(&octets[at..length], 1 << 20).unwrap()
    {
        at += size;
        requests += 1;
        if at == length {
            break;
        }
    }
    assert_eq!((requests, at), (100, length), "one segment holds them all");
    drop(replies);
    connection.close().await;
}
