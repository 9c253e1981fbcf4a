//! The end of a server: what is under way finishes, peers are told, and no task is left.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use flext_ldap_proto::{message::Response, result::ResultCode};
use tokio::{net::TcpStream, time::timeout};

use crate::peer::{LONG, Lab, delete, done, search};

#[tokio::test]
async fn peers_are_told_and_nobody_can_connect_any_more() {
    let lab = Lab::new().await;
    let mut peers = [lab.peer().await, lab.peer().await];
    for peer in &mut peers {
        assert_eq!(peer.who_am_i(1).await, "");
    }
    let port = lab.server.urls()[0].port();
    timeout(LONG, lab.server.shutdown(LONG)).await.unwrap();
    assert_eq!(lab.state.sessions.load(SeqCst), 0);
    for peer in &mut peers {
        peer.expect_notice(ResultCode::UNAVAILABLE).await;
    }
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[tokio::test]
async fn what_is_under_way_finishes() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    peer.send(1, &delete("cn=never")).await;
    lab.state.until(|state| state.alive.load(SeqCst) == 1).await;
    let state = lab.state.clone();
    let shutdown = tokio::spawn(lab.server.shutdown(LONG));
    // What comes now is not taken any more.
    peer.send(2, &delete("cn=x")).await;
    state.release.add_permits(1);
    let mut answered = Vec::new();
    while let Some((id, response)) = peer.receive().await {
        answered.push((id, response));
    }
    assert_eq!(answered[0], (1, Response::Delete(done(ResultCode::SUCCESS))));
    let (id, Response::Extended(notice)) = answered.last().unwrap() else { panic!("{answered:?}") };
    assert_eq!((*id, notice.result.code), (0, ResultCode::UNAVAILABLE));
    timeout(LONG, shutdown).await.unwrap().unwrap();
    assert_eq!(state.sessions.load(SeqCst), 0);
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_given_up() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    peer.send(1, &search("cn=never")).await;
    // One that takes nothing: it cannot even be told.
    let mut deaf = lab.peer().await;
    deaf.send(1, &search("cn=many")).await;
    lab.state.until(|state| state.alive.load(SeqCst) == 2).await;
    timeout(LONG, lab.server.shutdown(Duration::from_millis(50))).await.unwrap();
    peer.expect_notice(ResultCode::UNAVAILABLE).await;
    assert_eq!((lab.state.alive.load(SeqCst), lab.state.sessions.load(SeqCst)), (0, 0));
}

#[tokio::test]
async fn a_dropped_server_ends_at_once() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    peer.send(1, &search("cn=never")).await;
    lab.state.until(|state| state.alive.load(SeqCst) == 1).await;
    drop(lab.server);
    peer.expect_end().await;
    lab.state.until(|state| state.sessions.load(SeqCst) == 0).await;
}
