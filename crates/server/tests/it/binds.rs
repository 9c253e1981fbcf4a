//! Binds: their order, their steps, and what is refused before the directory is asked.

use std::sync::atomic::Ordering::SeqCst;

use flext_ldap_proto::{
    message::{Authentication, BindRequest, BindResponse, MessageId, Request, Response},
    result::ResultCode,
    secret::Secret,
};

use crate::peer::{Lab, bind, delete, sasl, search};

#[tokio::test]
async fn a_bind_says_who_and_a_failed_one_says_nobody() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    assert_eq!(peer.who_am_i(1).await, "");
    assert_eq!(peer.bind(2, "cn=ada", "korrekt").await, ResultCode::SUCCESS);
    assert_eq!(peer.who_am_i(3).await, "dn:cn=ada");
    assert_eq!(peer.bind(4, "cn=ada", "falsch").await, ResultCode::INVALID_CREDENTIALS);
    assert_eq!(peer.who_am_i(5).await, "");
    assert_eq!(peer.bind(6, "cn=ada", "korrekt").await, ResultCode::SUCCESS);
    assert_eq!(peer.bind(7, "", "").await, ResultCode::SUCCESS);
    assert_eq!(peer.who_am_i(8).await, "");
}

#[tokio::test]
async fn a_name_without_a_password_never_reaches_the_directory() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    assert_eq!(peer.bind(1, "cn=ada", "korrekt").await, ResultCode::SUCCESS);
    assert_eq!(peer.bind(2, "cn=ada", "").await, ResultCode::UNWILLING_TO_PERFORM);
    // Refused by the listener, and still nobody is bound, on either side of the seam.
    assert_eq!(peer.who_am_i(3).await, "");
    assert_eq!(*lab.state.binds.lock().unwrap(), ["cn=ada true", " false"]);
    // On a session that nobody has bound there is nothing to reset.
    let mut fresh = lab.peer().await;
    assert_eq!(fresh.bind(1, "cn=ada", "").await, ResultCode::UNWILLING_TO_PERFORM);
    assert_eq!(lab.state.binds.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn only_version_three() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    for (id, version) in [(1, 2), (2, 4), (3, 1)] {
        let request = BindRequest {
            version,
            name: "cn=ada".to_owned(),
            authentication: Authentication::Simple(Secret::from("korrekt")),
        };
        let Response::Bind(response) = peer.ask(id, &Request::Bind(request)).await else { panic!("no bind") };
        assert_eq!(response.result.code, ResultCode::PROTOCOL_ERROR, "version {version}");
    }
    assert!(lab.state.binds.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_bind_waits_for_what_is_under_way_and_holds_back_what_comes_after() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    peer.send(1, &delete("cn=never")).await;
    peer.send(2, &bind("cn=ada", "korrekt")).await;
    peer.send(3, &delete("cn=x")).await;
    lab.state.until(|state| state.alive.load(SeqCst) == 1).await;
    assert!(lab.state.binds.lock().unwrap().is_empty());
    lab.state.release.add_permits(1);
    let ids =
        [peer.receive().await.unwrap().0, peer.receive().await.unwrap().0, peer.receive().await.unwrap().0];
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(peer.who_am_i(4).await, "dn:cn=ada");
}

#[tokio::test]
async fn steps_of_a_sasl_exchange() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    let step = |response| match response {
        Response::Bind(BindResponse { result, server_credentials }) => (
            result.code,
            server_credentials.map(|credentials| String::from_utf8(credentials.to_vec()).unwrap()),
        ),
        other => panic!("{other:?}"),
    };
    let in_progress = ResultCode::SASL_BIND_IN_PROGRESS;
    assert_eq!(step(peer.ask(1, &sasl("STEPS")).await), (in_progress, Some("challenge 1".to_owned())));
    // RFC 4511 §4.2.1: nothing else meanwhile.
    let Response::SearchDone(result) = peer.ask(2, &search("cn=one")).await else { panic!("no search") };
    assert_eq!(result.code, ResultCode::OPERATIONS_ERROR);
    assert_eq!(lab.state.calls.load(SeqCst), 0);
    peer.send(3, &Request::Abandon(MessageId(1))).await;
    assert_eq!(step(peer.ask(4, &sasl("STEPS")).await), (in_progress, Some("challenge 2".to_owned())));
    assert_eq!(step(peer.ask(5, &sasl("STEPS")).await), (ResultCode::SUCCESS, Some("bye".to_owned())));
    assert_eq!(peer.who_am_i(6).await, "u:steps");
    assert_eq!(step(peer.ask(7, &sasl("UNHEARD-OF")).await), (ResultCode::AUTH_METHOD_NOT_SUPPORTED, None));
    assert_eq!(peer.who_am_i(8).await, "");
}

#[tokio::test]
async fn a_bind_in_the_middle_of_an_exchange_ends_the_exchange() {
    let lab = Lab::new().await;
    let mut peer = lab.peer().await;
    let _ = peer.ask(1, &sasl("STEPS")).await;
    assert_eq!(peer.bind(2, "cn=ada", "korrekt").await, ResultCode::SUCCESS);
    assert_eq!(peer.who_am_i(3).await, "dn:cn=ada");
}
