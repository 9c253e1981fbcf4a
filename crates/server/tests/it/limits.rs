//! Bounds: what one peer may cost, and that others do not notice.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use bytes::Bytes;
use flext_ldap_proto::{
    message::{Compare, Request, Response},
    result::ResultCode,
};
use flext_ldap_server::ServerLimits;
use tokio::{io::AsyncReadExt as _, time::timeout};

use crate::{
    peer::{LONG, Lab, delete, done, encoded, search},
    toy::VALUE,
};

/// Short enough to wait for; whatever a test expects not to happen meanwhile has its own long limit.
const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_connection_too_many_is_told_so() {
    let lab = Lab::limited(ServerLimits { connections: 1, ..ServerLimits::default() }).await;
    let mut first = lab.peer().await;
    assert_eq!(first.who_am_i(1).await, "");
    lab.peer().await.expect_notice(ResultCode::BUSY).await;
    assert_eq!(first.who_am_i(2).await, "");
    drop(first);
    timeout(LONG, async {
        while lab.server.connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(lab.peer().await.who_am_i(1).await, "");
}

#[tokio::test]
async fn connections_from_one_address_are_counted() {
    let lab =
        Lab::limited(ServerLimits { connections_per_address: Some(2), ..ServerLimits::default() }).await;
    let mut peers = [lab.peer().await, lab.peer().await];
    for peer in &mut peers {
        assert_eq!(peer.who_am_i(1).await, "");
    }
    lab.peer().await.expect_notice(ResultCode::BUSY).await;
    assert_eq!(lab.server.connections(), 2);
}

#[tokio::test]
async fn operations_in_flight_hold_back_the_next() {
    let lab = Lab::limited(ServerLimits { operations: 2, ..ServerLimits::default() }).await;
    let mut peer = lab.peer().await;
    for id in 1..=3 {
        peer.send(id, &search("cn=never")).await;
    }
    lab.state.until(|state| state.calls.load(SeqCst) == 2).await;
    assert_eq!(lab.peer().await.who_am_i(1).await, "");
    assert_eq!(lab.state.alive.load(SeqCst), 2);
    lab.state.release.add_permits(3);
    let mut ids = [0; 3];
    for id in &mut ids {
        *id = peer.receive().await.unwrap().0;
    }
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3]);
}

#[tokio::test]
async fn an_unread_result_does_not_grow_and_is_ended() {
    let lab = Lab::limited(ServerLimits { stall: SHORT, ..ServerLimits::default() }).await;
    let mut peer = lab.peer().await;
    peer.send(1, &search("cn=many")).await;
    lab.state.until(|state| state.batches.load(SeqCst) > 0 && state.alive.load(SeqCst) == 0).await;
    // What the listener holds, and what two kernels' buffers took.
    let delivered = lab.state.batches.load(SeqCst) * 10 * VALUE;
    assert!(delivered < 24 << 20, "{delivered} octets for a peer that reads nothing");
    assert_eq!(lab.peer().await.who_am_i(1).await, "");
}

#[tokio::test]
async fn a_long_result_is_read_at_the_pace_of_the_peer() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    peer.send(1, &search("cn=many")).await;
    let mut entries = 0;
    while entries < 20_000 {
        assert_eq!(peer.receive().await.unwrap(), (1, Response::SearchItem));
        entries += 1;
    }
    // Another operation gets its turn beside it.
    peer.send(2, &delete("cn=x")).await;
    loop {
        match peer.receive().await.unwrap() {
            (1, Response::SearchItem) => {}
            (2, response) => break assert_eq!(response, Response::Delete(done(ResultCode::SUCCESS))),
            other => panic!("{other:?}"),
        }
    }
    peer.send(3, &Request::Abandon(flext_ldap_proto::message::MessageId(1))).await;
    peer.send(4, &delete("cn=x")).await;
    loop {
        match peer.receive().await.unwrap() {
            (1, Response::SearchItem) => {}
            (4, _) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(lab.state.alive.load(SeqCst), 0);
}

#[tokio::test]
async fn requests_without_end_from_a_peer_that_does_not_read_are_held_back() {
    let lab = Lab::limited(ServerLimits { unread: 1000, ..ServerLimits::default() }).await;
    let tcp = lab.tcp().await;
    let (mut read, mut write) = tcp.into_split();
    const REQUESTS: u32 = 50_000;
    let writing = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        for first in (1..=REQUESTS).step_by(1000) {
            let octets: Vec<u8> = (first..first + 1000).flat_map(|id| encoded(id, &delete("cn=x"))).collect();
            write.write_all(&octets).await.unwrap();
        }
        write
    });
    // Whoever writes waits for us to read; when all is read, all was answered.
    let mut octets = 0;
    let mut buffer = vec![0; 64 << 10];
    let expected: usize = (1..=REQUESTS)
        .map(|id| {
            let mut writer = flext_ldap_proto::ber::Writer::new();
            Response::Delete(done(ResultCode::SUCCESS)).encode(
                flext_ldap_proto::message::MessageId(id),
                &flext_ldap_proto::control::Controls::none(),
                &mut writer,
            );
            writer.len()
        })
        .sum();
    while octets < expected {
        octets += timeout(LONG, read.read(&mut buffer)).await.unwrap().unwrap();
    }
    assert_eq!(octets, expected);
    drop(writing.await.unwrap());
}

#[tokio::test]
async fn an_idle_connection_is_told_to_go_and_a_busy_one_is_not() {
    let lab = Lab::limited(ServerLimits { idle: SHORT, ..ServerLimits::default() }).await;
    lab.peer().await.expect_notice(ResultCode::ADMIN_LIMIT_EXCEEDED).await;
    let mut busy = loop {
        let mut peer = lab.peer().await;
        peer.send(1, &search("cn=never")).await;
        tokio::select! {
            () = lab.state.until(|state| state.alive.load(SeqCst) == 1) => break peer,
            // On a machine this slow it was told to go before it could ask: once more.
            _ = peer.receive() => {}
        }
    };
    // However long the directory takes.
    tokio::time::sleep(SHORT * 3).await;
    lab.state.release.add_permits(1);
    assert_eq!(busy.receive().await.unwrap(), (1, Response::SearchDone(done(ResultCode::SUCCESS))));
    busy.expect_notice(ResultCode::ADMIN_LIMIT_EXCEEDED).await;
}

#[tokio::test]
async fn a_message_that_does_not_end_is_not_waited_for() {
    let lab = Lab::limited(ServerLimits { receive: SHORT, ..ServerLimits::default() }).await;
    let mut peer = lab.peer().await;
    peer.send_octets(&[0x30, 0x82, 0x10, 0x00, 0x02, 0x01]).await;
    peer.expect_notice(ResultCode::ADMIN_LIMIT_EXCEEDED).await;
}

#[tokio::test]
async fn octet_after_octet_does_not_extend_the_time() {
    let lab = Lab::limited(ServerLimits { receive: SHORT * 2, ..ServerLimits::default() }).await;
    let tcp = lab.tcp().await;
    let (read, mut write) = tcp.into_split();
    let dripping = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let _ = write.write_all(&[0x30, 0x83, 0x03, 0x00, 0x00]).await;
        while write.write_all(&[0x02]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut peer = crate::peer::PeerSide::new(tokio::io::join(read, tokio::io::sink()));
    peer.expect_notice(ResultCode::ADMIN_LIMIT_EXCEEDED).await;
    timeout(LONG, dripping).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_bind_that_hangs_ends_its_connection() {
    // The toy does not look at deadlines, so the listener has to.
    let lab = Lab::limited(ServerLimits { bind: SHORT, ..ServerLimits::default() }).await;
    let mut peer = lab.peer().await;
    peer.send(1, &crate::peer::bind("cn=slow", "korrekt")).await;
    peer.expect_notice(ResultCode::UNAVAILABLE).await;
    lab.state.until(|state| state.sessions.load(SeqCst) == 0).await;
}

#[tokio::test]
async fn strangers_send_smaller_messages() {
    let lab = Lab::limited(ServerLimits { anonymous_message: 1000, ..ServerLimits::default() }).await;
    let large = Request::Compare(Compare {
        dn: "cn=x".parse().unwrap(),
        attribute: "cn".parse().unwrap(),
        value: Bytes::from(vec![b'x'; 5000]),
    });
    let mut peer = lab.peer().await;
    peer.send(1, &large).await;
    peer.expect_notice(ResultCode::PROTOCOL_ERROR).await;
    let mut peer = lab.peer().await;
    assert_eq!(peer.bind(1, "cn=ada", "korrekt").await, ResultCode::SUCCESS);
    assert_eq!(peer.ask(2, &large).await, Response::Compare(done(ResultCode::COMPARE_TRUE)));
}
