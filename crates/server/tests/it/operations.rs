//! Operations side by side, Abandon, Cancel, and what becomes of failures.

use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use flext_ldap_proto::{
    attribute::Attributes,
    control::{Control, Controls},
    extended::{Cancel, ExtendedOperation as _},
    message::{Add, MessageId, Modify, Rename, Request, Response},
    oid::Oid,
    result::ResultCode,
};

use flext_ldap_server::ServerLimits;

use crate::peer::{Lab, compare, delete, done, encoded, search};

fn cancel(id: u32) -> Request {
    Request::Extended(Cancel(MessageId(id)).request())
}

fn code(response: &Response) -> ResultCode {
    match response {
        Response::Extended(extended) => extended.result.code,
        Response::SearchDone(result) | Response::Compare(result) | Response::Delete(result) => result.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_request_has_its_own_kind_of_answer() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    let success = || done(ResultCode::SUCCESS);
    let dn = || "cn=x".parse().unwrap();
    let rename =
        Rename { dn: dn(), new_rdn: "cn=y".parse().unwrap(), delete_old_rdn: true, new_superior: None };
    let table = [
        (search("cn=x"), Response::SearchDone(success())),
        (compare("cn=x"), Response::Compare(done(ResultCode::COMPARE_TRUE))),
        (Request::Add(Add::new(dn(), Attributes::default())), Response::Add(success())),
        (Request::Modify(Modify::new(dn())), Response::Modify(success())),
        (delete("cn=x"), Response::Delete(success())),
        (Request::Rename(rename), Response::Rename(success())),
    ];
    for (index, (request, want)) in (1..).zip(table) {
        assert_eq!(peer.ask(index, &request).await, want);
    }
    assert_eq!(peer.who_am_i(90).await, "");
}

#[tokio::test]
async fn a_directory_that_answers_a_compare_with_entries_is_not_believed() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    let Response::Compare(result) = peer.ask(1, &compare("cn=items")).await else { panic!("not a compare") };
    assert_eq!(result.code, ResultCode::OTHER);
}

#[tokio::test]
async fn operations_do_not_wait_for_each_other() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    peer.send(1, &search("cn=never")).await;
    peer.send(2, &search("cn=three")).await;
    peer.send(3, &compare("cn=x")).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(peer.receive().await.unwrap().0);
    }
    ids.sort_unstable();
    assert_eq!(ids, [2, 2, 2, 2, 3]);
    lab.state.release.add_permits(1);
    assert_eq!(peer.receive().await.unwrap(), (1, Response::SearchDone(done(ResultCode::SUCCESS))));
}

#[tokio::test]
async fn a_connection_full_of_scans_holds_up_nobody_on_the_same_thread() {
    const SCANS: usize = 400;
    let limits = ServerLimits { operations: SCANS, ..ServerLimits::default() };
    let lab = Lab::limited(limits).await;
    let (mut busy, mut other) = (lab.peer().await, lab.peer().await);
    let scans: Vec<u8> = (1..).take(SCANS).flat_map(|id| encoded(id, &search("cn=busy"))).collect();
    busy.send_octets(&scans).await;
    lab.state.until(|state| state.calls.load(SeqCst) > 0).await;
    for id in 1..=20 {
        let worked = lab.state.worked.load(SeqCst);
        other.send(id, &search("cn=one")).await;
        assert_eq!(other.receive().await.unwrap(), (id, Response::SearchItem));
        assert_eq!(other.receive().await.unwrap(), (id, Response::SearchDone(done(ResultCode::SUCCESS))));
        let worked = lab.state.worked.load(SeqCst) - worked;
        assert!(worked <= 60, "{worked} ms of scans before the answer {id}");
    }
}

#[tokio::test]
async fn abandon_ends_a_search_without_an_answer() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    peer.send(1, &search("cn=never")).await;
    lab.state.until(|state| state.alive.load(SeqCst) == 1).await;
    peer.send(2, &Request::Abandon(MessageId(1))).await;
    lab.state.until(|state| state.alive.load(SeqCst) == 0).await;
    peer.send(3, &Request::Abandon(MessageId(77))).await;
    assert_eq!(peer.who_am_i(4).await, "");
}

#[tokio::test]
async fn a_write_is_not_abandoned() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    peer.send(1, &delete("cn=never")).await;
    peer.send(2, &Request::Abandon(MessageId(1))).await;
    assert_eq!(peer.who_am_i(3).await, "");
    assert_eq!(lab.state.alive.load(SeqCst), 1);
    lab.state.release.add_permits(1);
    assert_eq!(peer.receive().await.unwrap(), (1, Response::Delete(done(ResultCode::SUCCESS))));
}

#[tokio::test]
async fn cancel_answers_for_both() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    peer.send(1, &search("cn=never")).await;
    peer.send(2, &cancel(1)).await;
    let (id, response) = peer.receive().await.unwrap();
    assert_eq!((id, code(&response)), (1, ResultCode::CANCELED));
    let (id, response) = peer.receive().await.unwrap();
    assert_eq!((id, code(&response)), (2, ResultCode::SUCCESS));
    assert_eq!(lab.state.alive.load(SeqCst), 0);
    assert_eq!(code(&peer.ask(3, &cancel(1)).await), ResultCode::NO_SUCH_OPERATION);
}

#[tokio::test]
async fn what_cannot_be_cancelled() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    peer.send(1, &delete("cn=never")).await;
    assert_eq!(code(&peer.ask(2, &cancel(1)).await), ResultCode::CANNOT_CANCEL);
    let mut malformed = Cancel(MessageId(1)).request();
    malformed.value = Some(Bytes::from_static(&[0x30, 0x05, 0x02]));
    assert_eq!(code(&peer.ask(3, &Request::Extended(malformed)).await), ResultCode::PROTOCOL_ERROR);
    // The search and its cancel arrive together: the answer is there, and not sent yet.
    let mut both = encoded(4, &search("cn=x")).to_vec();
    both.extend(encoded(5, &cancel(4)));
    peer.send_octets(&both).await;
    assert_eq!(peer.receive().await.unwrap(), (4, Response::SearchDone(done(ResultCode::SUCCESS))));
    let (id, response) = peer.receive().await.unwrap();
    assert_eq!((id, code(&response)), (5, ResultCode::TOO_LATE));
}

#[tokio::test]
async fn what_the_listener_answers_itself_understands_no_control() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    let mut controls = Controls::none();
    controls.push_raw(Control { oid: Oid::from_static("1.2.3"), critical: true, value: None });
    let mut writer = flext_ldap_proto::ber::Writer::new();
    cancel(1).encode(MessageId(2), &controls, &mut writer);
    peer.send_octets(&writer.take()).await;
    let (_, response) = peer.receive().await.unwrap();
    assert_eq!(code(&response), ResultCode::UNAVAILABLE_CRITICAL_EXTENSION);
}

#[tokio::test]
async fn the_cause_of_a_failure_stays_here() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    let Response::Delete(result) = peer.ask(1, &delete("cn=storage")).await else { panic!("not a delete") };
    assert_eq!(result.code, ResultCode::UNAVAILABLE);
    assert!(!result.diagnostic.contains("secret") && !result.diagnostic.contains("sector"), "{result:?}");
}

#[tokio::test]
async fn a_panic_costs_one_connection() {
    let lab = Lab::new().await;
    let mut bystander = lab.peer().await;
    bystander.send(1, &search("cn=never")).await;
    lab.state.until(|state| state.alive.load(SeqCst) == 1).await;
    let mut peer = lab.peer().await;
    peer.send(1, &search("cn=panic")).await;
    peer.expect_end().await;
    lab.state.release.add_permits(1);
    assert_eq!(bystander.receive().await.unwrap().0, 1);
    assert_eq!(lab.peer().await.who_am_i(1).await, "");
}
