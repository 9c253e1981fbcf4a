//! Octets that are not what they should be (RFC 4511 §4.1.1, §5.1): the connection ends with a notice, and no other
//! connection hears of it. Where only the contents of a request are wrong, the request alone is refused.

use flext_ldap_proto::{
    attribute::Attributes,
    ber::{Tag, Writer},
    control::{Control, Controls},
    extended::{ExtendedOperation as _, WhoAmI},
    filter::Filter,
    message::{Add, ChangeKind, MessageId, Modify, Rename, Request, Response},
    oid::Oid,
    result::ResultCode,
};

use crate::peer::{Lab, bind, delete, encoded, search, search_for};

/// The contents of a message, without its outer header.
fn contents(message: &[u8]) -> Vec<u8> {
    let header = if message[1] < 0x80 { 2 } else { 2 + usize::from(message[1] & 0x7f) };
    message[header..].to_vec()
}

/// A message with these contents.
fn message(contents: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.sequence(|writer| writer.raw(contents));
    writer.take().to_vec()
}

#[tokio::test]
async fn malformed_messages_end_the_connection_and_nothing_else() {
    let lab = Lab::new().await;
    let mut bystander = lab.peer().await;
    bystander.send(1, &search("cn=never")).await;
    let table: &[(&str, &[u8])] = &[
        ("not a sequence", b"GET / HTTP/1.1\r\n\r\n"),
        ("a TLS hello", &[0x16, 0x03, 0x01, 0x00, 0x05, 1, 0, 0, 1, 0]),
        ("indefinite length", &[0x30, 0x80, 0x02, 0x01, 0x01, 0x42, 0x00, 0x00, 0x00]),
        ("length of nine octets", &[0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        ("length of eight octets", &[0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("reserved length", &[0x30, 0xff]),
        ("two gigabytes", &[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff]),
        ("one octet above the limit", &[0x30, 0x83, 0x04, 0x00, 0x00]),
        ("empty", &[0x30, 0x00]),
        ("null for an id", &[0x30, 0x02, 0x05, 0x00]),
        ("id without an operation", &[0x30, 0x03, 0x02, 0x01, 0x01]),
        ("id of five octets", &[0x30, 0x09, 0x02, 0x05, 1, 0, 0, 0, 0, 0x42, 0x00]),
        ("negative id", &[0x30, 0x05, 0x02, 0x01, 0xff, 0x42, 0x00]),
        ("inner indefinite length", &[0x30, 0x07, 0x02, 0x01, 0x01, 0x63, 0x80, 0x00, 0x00]),
        ("inner length too long", &[0x30, 0x07, 0x02, 0x01, 0x01, 0x63, 0x7f, 0x04, 0x00]),
        ("a result", &[0x30, 0x0c, 0x02, 0x01, 0x01, 0x65, 0x07, 0x0a, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00]),
        ("an operation nobody knows", &[0x30, 0x05, 0x02, 0x01, 0x01, 0x5e, 0x00]),
        ("message id 0", &[0x30, 0x05, 0x02, 0x01, 0x00, 0x42, 0x00]),
        ("unbind with contents", &[0x30, 0x06, 0x02, 0x01, 0x01, 0x42, 0x01, 0x00]),
        ("name that is not UTF-8", b"\x30\x0e\x02\x01\x01\x60\x09\x02\x01\x03\x04\x02\xc3\x28\x80\x00"),
    ];
    for (name, octets) in table {
        let mut peer = lab.peer().await;
        println!("{name}");
        peer.send_octets(octets).await;
        peer.expect_notice(ResultCode::PROTOCOL_ERROR).await;
    }
    lab.state.release.add_permits(1);
    let (id, response) = bystander.receive().await.unwrap();
    assert_eq!((id, response), (1, Response::SearchDone(crate::peer::done(ResultCode::SUCCESS))));
}

#[tokio::test]
async fn every_prefix_in_a_right_outer_length_ends_the_connection() {
    let lab = Lab::new().await;
    let mut attributes = Attributes::builder();
    attributes.push("sn", ["b"]);
    let modify = Modify::new("cn=a".parse().unwrap()).change(ChangeKind::Add, "sn".parse().unwrap(), ["b"]);
    let requests = [
        search_for("dc=example", "(&(cn=a)(!(sn=b*c))(x:dn:2.4:=d))".parse().unwrap()),
        bind("cn=a", "b"),
        crate::peer::sasl("STEPS"),
        crate::peer::compare("cn=a"),
        delete("cn=a"),
        Request::Add(Add::new("cn=a".parse().unwrap(), attributes.build())),
        Request::Modify(modify),
        Request::Rename(Rename {
            dn: "cn=a".parse().unwrap(),
            new_rdn: "cn=b".parse().unwrap(),
            delete_old_rdn: true,
            new_superior: Some("dc=c".parse().unwrap()),
        }),
        Request::Extended(WhoAmI.request()),
        Request::Abandon(MessageId(3)),
    ];
    for request in requests {
        let whole = contents(&encoded(7, &request));
        for length in 0..whole.len() {
            let mut peer = lab.peer().await;
            peer.send_octets(&message(&whole[..length])).await;
            peer.expect_notice(ResultCode::PROTOCOL_ERROR).await;
        }
    }
}

#[tokio::test]
async fn deep_filters_are_refused_and_the_conversation_goes_on() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    // 40,000 times "not", four octets each, innermost first.
    let mut filter = vec![0x87, 0x02, b'c', b'n'];
    for _ in 0..40_000 {
        let mut head = vec![0xa2, 0x84];
        head.extend_from_slice(&u32::try_from(filter.len()).unwrap().to_be_bytes());
        filter.extend(head.iter().rev());
    }
    // It was built back to front past its core.
    let core = filter[..4].to_vec();
    let filter: Vec<u8> = filter[4..].iter().rev().copied().chain(core).collect();
    let mut writer = Writer::new();
    writer.sequence(|message| {
        message.integer(5);
        message.constructed(Tag::application_constructed(3), |search| {
            search.octets(b"");
            search.enumerated(2);
            search.enumerated(0);
            search.integer(0);
            search.integer(0);
            search.boolean(false);
            search.raw(&filter);
            search.sequence(|_| ());
        });
    });
    peer.send_octets(&writer.take()).await;
    let (id, response) = peer.receive().await.unwrap();
    let Response::SearchDone(result) = response else { panic!("{response:?}") };
    assert_eq!((id, result.code), (5, ResultCode::ADMIN_LIMIT_EXCEEDED));
    assert_eq!(peer.who_am_i(6).await, "");
}

#[tokio::test]
async fn too_many_controls_are_refused() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    let mut controls = Controls::none();
    for _ in 0..5000 {
        controls.push_raw(Control { oid: Oid::from_static("1.2.3"), critical: false, value: None });
    }
    let mut writer = Writer::new();
    delete("cn=x").encode(MessageId(3), &controls, &mut writer);
    peer.send_octets(&writer.take()).await;
    let (id, response) = peer.receive().await.unwrap();
    let Response::Delete(result) = response else { panic!("{response:?}") };
    assert_eq!((id, result.code), (3, ResultCode::ADMIN_LIMIT_EXCEEDED));
    assert_eq!(lab.state.calls.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_invalid_name_refuses_the_operation_alone() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    let mut writer = Writer::new();
    writer.sequence(|message| {
        message.integer(9);
        message.primitive(Tag::application(10), b"no name at all");
    });
    peer.send_octets(&writer.take()).await;
    let (id, response) = peer.receive().await.unwrap();
    let Response::Delete(result) = response else { panic!("{response:?}") };
    assert_eq!((id, result.code), (9, ResultCode::INVALID_DN_SYNTAX));
    assert!(!result.diagnostic.is_empty());
    assert_eq!(peer.ask(10, &delete("cn=x")).await, Response::Delete(crate::peer::done(ResultCode::SUCCESS)));
}

#[tokio::test]
async fn a_message_may_come_octet_by_octet_and_many_at_once() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    for octet in encoded(1, &search_for("cn=one", Filter::any())) {
        peer.send_octets(&[octet]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(peer.receive().await.unwrap(), (1, Response::SearchItem));
    assert_eq!(peer.receive().await.unwrap().0, 1);
    let many: Vec<u8> = (2..200).flat_map(|id| encoded(id, &delete("cn=x"))).collect();
    peer.send_octets(&many).await;
    for id in 2..200 {
        assert_eq!(peer.receive().await.unwrap().0, id);
    }
}

#[tokio::test]
async fn a_message_id_under_way_cannot_be_used_again() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    peer.send(4, &search("cn=never")).await;
    peer.send(4, &delete("cn=x")).await;
    peer.expect_notice(ResultCode::PROTOCOL_ERROR).await;
    // What was under way is given up, and the delete was never asked.
    lab.state.until(|state| state.alive.load(std::sync::atomic::Ordering::SeqCst) == 0).await;
    assert_eq!(lab.state.calls.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_answered_message_id_can_be_used_again() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    for _ in 0..3 {
        assert_eq!(
            peer.ask(1, &delete("cn=x")).await,
            Response::Delete(crate::peer::done(ResultCode::SUCCESS))
        );
    }
}

#[tokio::test]
async fn unbind_and_end_of_stream_end_the_session() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    peer.send(1, &search("cn=never")).await;
    peer.send(2, &Request::Unbind).await;
    peer.expect_end().await;
    let peer = lab.peer().await;
    drop(peer);
    lab.state
        .until(|state| {
            state.sessions.load(std::sync::atomic::Ordering::SeqCst) == 0
                && state.peers.lock().unwrap().len() == 2
        })
        .await;
}

/// Octets without pattern, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[tokio::test]
async fn damaged_messages_cost_no_more_than_their_connection() {
    use tokio::io::AsyncWriteExt as _;

    let lab = Lab::new().await;
    let mut bystander = lab.peer().await;
    let mut random = Random(7);
    let whole = [
        search_for("dc=example", "(&(cn=a)(|(sn=b*c*d)(!(x:dn:2.4:=d)))(uid>=1))".parse().unwrap()),
        bind("cn=a", "b"),
        crate::peer::sasl("STEPS"),
        crate::peer::compare("cn=a,dc=example"),
        delete("cn=a"),
        Request::Abandon(MessageId(3)),
    ]
    .map(|request| contents(&encoded(7, &request)));
    for round in 0..1500 {
        let mut octets = whole[round % whole.len()].clone();
        for _ in 0..=random.below(3) {
            let place = random.below(octets.len());
            let octet = u8::try_from(random.below(256)).unwrap();
            match random.below(4) {
                0 => octets[place] ^= 1 << random.below(8),
                1 => octets[place] = octet,
                2 => octets.insert(place, octet),
                _ => drop(octets.remove(place)),
            }
        }
        let mut peer = lab.peer().await;
        // Once with the outer length right, once as it comes.
        let sent = if round % 2 == 0 { message(&octets) } else { octets };
        peer.send_octets(&sent).await;
        peer.stream.shutdown().await.unwrap();
        // Whatever comes is well formed, and it ends.
        while peer.receive().await.is_some() {}
    }
    assert_eq!(bystander.who_am_i(1).await, "");
}
