//! A server that breaks the rules costs one connection (invariant 1).

use std::time::{Duration, Instant};

use bytes::Bytes;
use flext_ldap_directory::{
    Applied, Blame, Directory, ErrorKind, Event,
    proto::{
        batch::Item,
        message::{Limits, MessageId, Response},
        result::{LdapResult, ResultCode},
    },
};

use proptest::{prelude::*, test_runner::TestRunner};

use crate::support::*;

/// What the server answers to a search with this id.
type Answer = Box<dyn Fn(MessageId) -> Vec<u8>>;

/// The error a search ends with when the server answers with these octets, made from its id.
async fn answered_with(octets: impl FnOnce(MessageId) -> Vec<u8>) -> String {
    let (connection, mut peer) =
        pair_with(|builder| builder.limits(Limits::DEFAULT.with_message(1 << 20))).await;
    let write = connection.call(delete("cn=neighbour").into_any());
    let reply = connection.call(search("cn=a").into_any());
    peer.request().await;
    let (id, _) = peer.request().await;
    let address = peer.stream.local_addr().unwrap().to_string();
    peer.raw(&octets(id)).await;
    let error = reply.outcome().await.unwrap_err();
    assert_eq!((error.kind(), error.blame()), (ErrorKind::Protocol, Blame::Peer), "{error}");
    assert!(!error.is_connection_usable());
    let neighbour = write.outcome().await.unwrap_err();
    assert_eq!((neighbour.kind(), neighbour.applied()), (ErrorKind::Protocol, Applied::Unknown));
    assert_eq!(connection.closed().await.kind(), ErrorKind::Closed);
    chain(&error).replace(&address, "SERVER")
}

#[tokio::test]
async fn invariant_1_broken_rules_end_the_connection_with_an_error_that_names_them() {
    let never = MessageId((7 << 12) + 9);
    let table: Vec<(&str, Answer, &str)> = vec![
        ("no message inside", Box::new(|_| vec![0x30, 0x02, 0x05, 0x00]), "malformed"),
        ("garbage", Box::new(|_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), "malformed"),
        (
            "an alert of TLS",
            Box::new(|_| vec![0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x32]),
            "malformed message (it may speak TLS on this port: ldaps://), connection ended",
        ),
        (
            "two gigabytes claimed",
            Box::new(|_| vec![0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x02]),
            "message larger than the limit",
        ),
        (
            "larger than the limit",
            Box::new(|id| entry(id, "cn=a", 1 << 20).to_vec()),
            "message larger than the limit",
        ),
        ("indefinite length", Box::new(|_| vec![0x30, 0x80, 0x02, 0x01, 0x01]), "indefinite length"),
        (
            "length of nine octets",
            Box::new(|_| [&[0x30, 0x89][..], &[0xff; 9]].concat()),
            "length of too many octets",
        ),
        ("cut inside", Box::new(cut_inside), "malformed"),
        (
            "an id that was never used",
            Box::new(move |_| encoded(never, &done()).to_vec()),
            "an answer to a request that was never made",
        ),
        (
            "no notice with id 0",
            Box::new(|_| encoded(MessageId(0), &done()).to_vec()),
            "an answer with message id 0",
        ),
        (
            "another operation's answer",
            Box::new(|id| encoded(id, &Response::Delete(LdapResult::success())).to_vec()),
            "a wrong kind of answer to a search (tag 0x6b)",
        ),
        (
            "success of another operation",
            Box::new(|id| encoded(id, &notice(ResultCode::SUCCESS, "")).to_vec()),
            "a wrong kind of answer to a search (tag 0x78)",
        ),
        (
            "a request",
            Box::new(|id| vec![0x30, 0x06, 0x02, 0x02, (id.0 >> 8) as u8, id.0 as u8, 0x42, 0x00]),
            "unknown operation",
        ),
        ("nested a hundred thousand deep", Box::new(|id| deep(id, 100_000)), "malformed"),
        (
            "a hundred thousand controls",
            Box::new(|id| controlled(id, 100_000)),
            "more controls than the limit",
        ),
        ("a hundred thousand attributes", Box::new(|id| wide(id, 100_000)), "more attributes than the limit"),
        (
            "length of eight octets",
            Box::new(|_| [&[0x30, 0x88][..], &[0xff; 8]].concat()),
            "message larger than the limit",
        ),
    ];
    for (name, octets, want) in table {
        let text = answered_with(octets).await;
        assert!(text.starts_with("SERVER sent "), "{name}: {text}");
        assert!(text.contains(want), "{name}: {text}");
    }
}

/// Inner truncation: what is missing inside a right outer length is not waited for.
#[tokio::test]
async fn invariant_1_every_prefix_in_a_right_outer_length_is_an_error() {
    let answers: [fn(MessageId) -> Bytes; 2] = [|id| entry(id, "cn=a", 4), |id| encoded(id, &done())];
    for answer in answers {
        // The id is the first thing in there, of two octets here; what follows is cut everywhere.
        let whole = answer(MessageId(4097)).len();
        for left in 0..whole - 6 {
            let text = answered_with(|id| {
                let octets = answer(id);
                let op = octets.iter().position(|octet| matches!(octet, 0x64 | 0x65)).unwrap();
                message(id, &octets[op..][..left])
            })
            .await;
            assert!(text.starts_with("SERVER sent "), "{left} octets: {text}");
        }
    }
}

fn cut_inside(id: MessageId) -> Vec<u8> {
    // An entry whose outer length is right and whose inner length is not.
    let mut octets = entry(id, "cn=a", 4).to_vec();
    let at = octets.iter().position(|octet| *octet == 0x64).unwrap();
    octets[at + 1] += 1;
    octets
}

/// An entry whose attributes are a nest of sequences.
fn deep(id: MessageId, levels: usize) -> Vec<u8> {
    let inner: Vec<u8> = (0..levels).rev().flat_map(|level| header(0x30, level * 5)).collect();
    let op = [&[0x04, 0x00][..], &header(0x30, inner.len()), &inner].concat();
    message(id, &[&header(0x64, op.len())[..], &op].concat())
}

/// An end of a search with so many controls.
fn controlled(id: MessageId, controls: usize) -> Vec<u8> {
    let control = [0x30, 0x07, 0x04, 0x05, b'1', b'.', b'2', b'.', b'3'].repeat(controls);
    let done = [0x65, 0x07, 0x0a, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00];
    message(id, &[&done[..], &header(0xa0, control.len()), &control].concat())
}

/// An entry with so many attributes.
fn wide(id: MessageId, attributes: usize) -> Vec<u8> {
    let list = [0x30, 0x06, 0x04, 0x02, b'c', b'n', 0x31, 0x00].repeat(attributes);
    let op = [&[0x04, 0x00][..], &header(0x30, list.len()), &list].concat();
    message(id, &[&header(0x64, op.len())[..], &op].concat())
}

/// A message with this after its id.
fn message(id: MessageId, rest: &[u8]) -> Vec<u8> {
    let id = [0x02, 0x02, (id.0 >> 8) as u8, id.0 as u8];
    [&header(0x30, id.len() + rest.len())[..], &id, rest].concat()
}

fn header(tag: u8, length: usize) -> Vec<u8> {
    let [.., b2, b1, b0] = length.to_be_bytes();
    vec![tag, 0x83, b2, b1, b0]
}

/// Whatever a server sends, the client neither panics nor waits for ever, and every caller hears of the end.
#[test]
fn invariant_1_mangled_answers_end_in_an_answer_or_an_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mangling = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6);
    let config = ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&(mangling, any::<proptest::sample::Index>()), |(mangling, cut)| {
            runtime.block_on(async {
                let (connection, mut peer) = pair().await;
                let reply = connection.call(search("cn=a").into_any());
                let neighbour = connection.call(delete("cn=b").into_any());
                let (id, _) = peer.request().await;
                let (other, _) = peer.request().await;
                let mut octets = [
                    &entry(id, "cn=1,ou=people", 9)[..],
                    &encoded(other, &Response::Delete(LdapResult::success())),
                    &encoded(id, &done()),
                ]
                .concat();
                for (at, octet) in &mangling {
                    let at = at.index(octets.len());
                    octets[at] = *octet;
                }
                octets.truncate(cut.index(octets.len() + 1));
                peer.raw(&octets).await;
                drop(peer);
                for outcome in [reply.outcome().await, neighbour.outcome().await] {
                    if let Err(error) = outcome {
                        assert!(matches!(error.kind(), ErrorKind::Closed | ErrorKind::Protocol), "{error:?}");
                    }
                }
                connection.closed().await;
                Ok(())
            })
        })
        .unwrap();
}

#[tokio::test]
async fn an_item_for_a_write_is_a_wrong_answer() {
    let (connection, mut peer) = pair().await;
    let write = connection.call(delete("cn=a").into_any());
    let (id, _) = peer.request().await;
    peer.entry(id, "cn=a").await;
    let error = write.outcome().await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Protocol, Applied::Unknown));
    assert!(error.to_string().contains("a wrong kind of answer to a delete (tag 0x64)"), "{error}");
}

#[tokio::test]
async fn what_came_before_the_malformed_message_is_delivered() {
    let (connection, mut peer) = pair().await;
    let mut reply = connection.call(search("cn=a").into_any());
    let (id, _) = peer.request().await;
    peer.raw(&[&entry(id, "cn=1", 1)[..], &entry(id, "cn=2", 1), &[0x30, 0x02, 0x05, 0x00]].concat()).await;
    let Event::Batch(batch) = reply.next().await.unwrap() else { panic!("no batch") };
    assert_eq!(batch.len(), 2);
    assert_eq!(reply.next().await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_large_entry_in_single_octets_is_looked_at_once() {
    // Both entries go through the same test; the slow one is given in single octets to the same decoder, so its cost
    // per octet is that of a read. Were it looked at again each time, this would not end.
    let (connection, mut peer) = pair().await;
    let mut reply = connection.call(search("cn=a").into_any());
    let (id, _) = peer.request().await;
    let message: Bytes = entry(id, "cn=a", 5 << 20);
    let (slow, fast) = message.split_at(200_000);
    let server = async {
        peer.stream.set_nodelay(true).unwrap();
        for octet in slow.chunks(1) {
            peer.raw(octet).await;
        }
        peer.raw(fast).await;
    };
    let begun = Instant::now();
    let (event, ()) = tokio::join!(reply.next(), server);
    let Event::Batch(batch) = event.unwrap() else { panic!("no batch") };
    let Item::Entry(found) = batch.item(0).unwrap().get() else { panic!("no entry") };
    assert_eq!(found.attributes().iter().next().unwrap().first().unwrap().len(), 5 << 20);
    assert!(begun.elapsed() < Duration::from_secs(60));
}
