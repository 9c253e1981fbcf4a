//! How often one address may connect, bind and ask; and that limits can change while a server runs.

use std::sync::atomic::Ordering::SeqCst;

use flext_ldap_proto::{message::Response, result::ResultCode};
use flext_ldap_server::{Rate, RateLimits, ServerLimits};

use crate::peer::{Lab, delete, done};

/// Nothing comes back while a test runs.
fn only(burst: u32) -> Option<Rate> {
    Some(Rate { per_second: 1, burst })
}

fn limits(rates: RateLimits) -> ServerLimits {
    ServerLimits { rates, ..ServerLimits::default() }
}

const NONE: RateLimits = RateLimits { connections: None, binds: None, operations: None, loopback: true };

#[tokio::test(start_paused = true)]
async fn connections_too_often_are_refused() {
    let lab = Lab::limited(limits(RateLimits { connections: only(2), ..NONE })).await;
    let mut peers = [lab.peer().await, lab.peer().await];
    for peer in &mut peers {
        assert_eq!(peer.who_am_i(1).await, "");
    }
    lab.peer().await.expect_notice(ResultCode::BUSY).await;
    assert_eq!(peers[0].who_am_i(2).await, "", "who is there is not disturbed");
    // Loopback does not count by default, and limits can change while it runs.
    lab.server.set_limits(limits(RateLimits { connections: only(2), loopback: false, ..NONE }));
    for _ in 0..5 {
        assert_eq!(lab.peer().await.who_am_i(1).await, "");
    }
}

#[tokio::test(start_paused = true)]
async fn binds_too_often_are_busy_and_unbind() {
    let lab = Lab::limited(limits(RateLimits { binds: only(2), ..NONE })).await;
    let mut peer = lab.peer().await;
    assert_eq!(peer.bind(1, "cn=ada", "korrekt").await, ResultCode::SUCCESS);
    assert_eq!(peer.bind(2, "cn=ada", "korrekt").await, ResultCode::SUCCESS);
    assert_eq!(peer.who_am_i(3).await, "dn:cn=ada");
    let mut other = lab.peer().await;
    assert_eq!(other.bind(1, "cn=ada", "korrekt").await, ResultCode::BUSY);
    assert_eq!(peer.bind(4, "cn=ada", "korrekt").await, ResultCode::BUSY);
    // RFC 4511 §4.2.1: a bind that fails leaves nobody bound.
    assert_eq!(peer.who_am_i(5).await, "");
    let seen: Vec<_> = lab.state.binds.lock().unwrap().clone();
    assert_eq!(seen, ["cn=ada true", "cn=ada true", " false"], "the last one only ends what was bound");
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    assert_eq!(peer.bind(6, "cn=ada", "korrekt").await, ResultCode::SUCCESS);
}

#[tokio::test(start_paused = true)]
async fn operations_too_often_are_busy() {
    let lab = Lab::limited(limits(RateLimits { operations: only(2), ..NONE })).await;
    let mut peer = lab.peer().await;
    for (id, want) in [(1, ResultCode::SUCCESS), (2, ResultCode::SUCCESS), (3, ResultCode::BUSY)] {
        let Response::Delete(result) = peer.ask(id, &delete("cn=x")).await else { panic!() };
        assert_eq!(result.code, want, "{id}");
        if want == ResultCode::SUCCESS {
            assert_eq!(result, done(want));
        }
    }
    assert_eq!(lab.state.calls.load(SeqCst), 2);
    assert_eq!(
        peer.bind(4, "cn=ada", "korrekt").await,
        ResultCode::SUCCESS,
        "binds have a rate of their own"
    );
}
