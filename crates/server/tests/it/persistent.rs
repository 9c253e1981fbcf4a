//! Searches that do not end by themselves: they take nobody's place, and end with a result.

use std::sync::atomic::Ordering::SeqCst;

use flext_ldap_proto::{
    control::{ChangeTypes, Controls, PersistentSearch},
    extended::{Cancel, ExtendedOperation as _},
    message::{MessageId, Request, Response},
    result::ResultCode,
};
use flext_ldap_server::ServerLimits;
use tokio::{net::TcpStream, time::timeout};

use crate::peer::{LONG, Lab, PeerSide, search};

fn follow() -> Controls {
    let asked = PersistentSearch { change_types: ChangeTypes::ANY, changes_only: true, return_ecs: true };
    Controls::none().critical(&asked)
}

/// A peer with persistent searches of these ids under way.
async fn following(lab: &Lab, ids: std::ops::Range<u32>) -> PeerSide<TcpStream> {
    let mut peer = lab.peer().await;
    let many = ids.len();
    for id in ids {
        peer.send_with(id, &search("cn=never"), &follow()).await;
    }
    lab.state.until(|state| state.alive.load(SeqCst) == many).await;
    peer
}

async fn expect_done(peer: &mut PeerSide<TcpStream>, id: u32, code: ResultCode) {
    let (answered, response) = peer.receive().await.unwrap();
    let Response::SearchDone(result) = response else { panic!("not the end of a search: {response:?}") };
    assert_eq!((answered, result.code), (id, code));
}

#[tokio::test]
async fn they_leave_the_places_of_others_alone() {
    let limits = ServerLimits { operations: 1, persistent_searches: 2, ..ServerLimits::default() };
    let lab = Lab::limited(limits).await;
    let mut peer = following(&lab, 1..3).await;
    assert_eq!(peer.who_am_i(3).await, "");
    peer.send_with(4, &search("cn=never"), &follow()).await;
    expect_done(&mut peer, 4, ResultCode::ADMIN_LIMIT_EXCEEDED).await;
    // A place is given back by an abandon, and by a cancel.
    peer.send(5, &Request::Abandon(MessageId(1))).await;
    let cancel = Request::Extended(Cancel(MessageId(2)).request());
    peer.send(6, &cancel).await;
    expect_done(&mut peer, 2, ResultCode::CANCELED).await;
    let Some((6, Response::Extended(canceled))) = peer.receive().await else { panic!("no answer") };
    assert_eq!(canceled.result.code, ResultCode::SUCCESS);
    lab.state.until(|state| state.alive.load(SeqCst) == 0).await;
    peer.send_with(7, &search("cn=never"), &follow()).await;
    lab.state.until(|state| state.alive.load(SeqCst) == 1).await;
    drop(peer);
    lab.state.until(|state| state.alive.load(SeqCst) == 0).await;
}

#[tokio::test]
async fn a_bind_ends_them() {
    let lab = Lab::new().await;
    let mut peer = following(&lab, 1..2).await;
    peer.send(2, &crate::peer::bind("", "")).await;
    expect_done(&mut peer, 1, ResultCode::UNWILLING_TO_PERFORM).await;
    let Some((2, Response::Bind(bound))) = peer.receive().await else { panic!("no answer to the bind") };
    assert_eq!(bound.result.code, ResultCode::SUCCESS);
    assert_eq!(lab.state.alive.load(SeqCst), 0);
}

#[tokio::test]
async fn the_end_of_the_server_ends_them() {
    let lab = Lab::new().await;
    let mut peer = following(&lab, 1..3).await;
    timeout(LONG, lab.server.shutdown(LONG)).await.unwrap();
    expect_done(&mut peer, 1, ResultCode::UNAVAILABLE).await;
    expect_done(&mut peer, 2, ResultCode::UNAVAILABLE).await;
    peer.expect_notice(ResultCode::UNAVAILABLE).await;
    assert_eq!((lab.state.alive.load(SeqCst), lab.state.sessions.load(SeqCst)), (0, 0));
}
