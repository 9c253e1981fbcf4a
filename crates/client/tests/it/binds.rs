//! Binds: exclusive, never with an empty password, and what they allow afterwards.

use std::time::Duration;

use flext_ldap_client::{Connector, Credentials};
use flext_ldap_directory::{
    Actor, Applied, BindReply, BindStep, Deadline, Directory, DirectoryExt, Error, ErrorKind, Identity,
    Request, Session,
    proto::{
        message::{Authentication, BindRequest, BindResponse, Request as Message, Response},
        result::{LdapResult, ResultCode},
        secret::Secret,
    },
};

use crate::support::*;

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

fn answer(code: ResultCode, credentials: Option<&'static [u8]>) -> Response {
    Response::Bind(BindResponse {
        result: LdapResult::new(code),
        server_credentials: credentials.map(bytes::Bytes::from_static),
    })
}

fn who(authorization: &'static str) -> Response {
    Response::Extended(flext_ldap_directory::proto::message::ExtendedResponse {
        result: LdapResult::success(),
        oid: None,
        value: Some(bytes::Bytes::from_static(authorization.as_bytes())),
    })
}

#[tokio::test]
async fn invariant_6_an_empty_password_is_never_sent() {
    let table: &[(&str, &[u8], Option<ErrorKind>)] = &[
        ("cn=maja", b"", Some(ErrorKind::EmptyPassword)),
        ("cn=maja", b"\0", Some(ErrorKind::EmptyPassword)),
        ("cn=maja", b"\0\0\0", Some(ErrorKind::EmptyPassword)),
        ("   ", b"", Some(ErrorKind::EmptyPassword)),
        ("", b"a password", Some(ErrorKind::Misuse)),
        (" \t ", b"a password", Some(ErrorKind::Misuse)),
        ("cn=maja", b"   ", None),
        ("cn=maja", b"\0a", None),
        ("", b"", None),
    ];
    for (name, password, refusal) in table {
        let step = BindStep::simple(*name, Secret::new(*password));
        let (mut connection, mut peer) = pair().await;
        if let Some(kind) = refusal {
            // The server would say success.
            let error = connection.bind(step, soon()).await.unwrap_err();
            assert_eq!((error.kind(), error.applied()), (*kind, Applied::No), "{name:?} {password:?}");
            let ((), rest) = tokio::join!(connection.close(), peer.rest());
            assert_eq!(rest, [Message::Unbind], "{name:?} {password:?}");
        } else {
            let server = async {
                let (id, request) = peer.request().await;
                peer.answer(id, bound()).await;
                request
            };
            let (reply, request) = tokio::join!(connection.bind(step, soon()), server);
            assert!(matches!(reply.unwrap(), BindReply::Done { .. }));
            let Message::Bind(BindRequest {
                version: 3,
                name: sent,
                authentication: Authentication::Simple(secret),
            }) = request
            else {
                panic!("{request:?}")
            };
            assert_eq!((sent.as_str(), secret.expose()), (*name, *password));
        }
    }
    let error = Connector::builder()
        .clear()
        .address("localhost", 389)
        .credentials(Credentials::simple("cn=maja", ""))
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EmptyPassword);
}

#[tokio::test]
async fn a_connection_acts_for_whom_it_is_bound_as_and_for_nobody_else() {
    let (mut connection, mut peer) = pair().await;
    let maja = Identity::from_successful_bind("cn=maja".parse().unwrap());
    let tomas = Identity::from_successful_bind("cn=tomas".parse().unwrap());
    // Whether each actor is carried; refused ones send nothing, others are answered.
    async fn carried(
        connection: &flext_ldap_client::Connection,
        peer: &mut Peer<tokio::net::TcpStream>,
        actors: [Actor; 4],
    ) -> Vec<bool> {
        let mut all = Vec::new();
        for actor in actors {
            let reply = connection.call(Request::new(delete("cn=a").op, actor).into_any());
            let server = async {
                loop {
                    let (id, _) = peer.request().await;
                    peer.answer(id, Response::Delete(LdapResult::success())).await;
                }
            };
            let outcome =
                tokio::select! { outcome = reply.outcome() => outcome, () = server => unreachable!() };
            if let Err(error) = &outcome {
                assert_eq!(error.kind(), ErrorKind::NotCarried, "{error}");
            }
            all.push(outcome.is_ok());
        }
        all
    }
    let actors = || [Actor::Service, Actor::Anonymous, Actor::User(maja.clone()), Actor::User(tomas.clone())];
    assert_eq!(carried(&connection, &mut peer, actors()).await, [true, true, false, false]);
    for (code, want) in [
        (ResultCode::SUCCESS, [true, false, true, false]),
        (ResultCode::INVALID_CREDENTIALS, [true, true, false, false]),
    ] {
        let server = async {
            let (id, _) = peer.request().await;
            peer.answer(id, answer(code, None)).await;
        };
        let (reply, ()) =
            tokio::join!(connection.bind(BindStep::simple("cn=maja", "a password".into()), soon()), server);
        match reply.unwrap() {
            BindReply::Done { actor, .. } => assert_eq!(actor, Actor::User(maja.clone())),
            BindReply::Refused(outcome) => assert_eq!(outcome.result.code, code),
            BindReply::Continue { .. } => panic!("no such step"),
        }
        assert_eq!(carried(&connection, &mut peer, actors()).await, want);
    }
}

#[tokio::test]
async fn a_bind_waits_for_what_is_in_flight_and_is_alone() {
    let (mut connection, mut peer) = pair().await;
    let before = connection.call(delete("cn=a").into_any());
    let bind = connection.bind(BindStep::simple("user@harbourlane.example", "a password".into()), soon());
    let server = async {
        let (id, first) = peer.request().await;
        assert!(matches!(first, Message::Delete(_)));
        settle().await;
        let mut octet = [0];
        assert_eq!(
            Cancellable::after(1, peer.stream.peek(&mut octet)).await.map(|read| read.unwrap()),
            Err(Cancelled)
        );
        peer.answer(id, Response::Delete(LdapResult::success())).await;
        let (id, second) = peer.request().await;
        assert!(matches!(second, Message::Bind(_)));
        peer.answer(id, bound()).await;
    };
    let (reply, ()) = tokio::join!(bind, server);
    let BindReply::Done { actor: Actor::User(identity), .. } = reply.unwrap() else { panic!("not bound") };
    assert_eq!((identity.authorization(), identity.dn()), ("u:user@harbourlane.example", None));
    before.outcome().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_bind_that_is_not_sent_in_time_changes_nothing() {
    let (mut connection, mut peer) = pair().await;
    let before = connection.call(delete("cn=a").into_any());
    let by = Deadline::after(Duration::from_secs(2));
    let error = connection.bind(BindStep::simple("cn=maja", "a password".into()), by).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::No));
    assert!(error.to_string().ends_with("operations before it have not ended"), "{error}");
    assert_eq!(connection.actor(), Some(Actor::Anonymous));
    // From here on the sockets take the time they take.
    tokio::time::resume();
    let (id, _) = peer.request().await;
    peer.answer(id, Response::Delete(LdapResult::success())).await;
    before.outcome().await.unwrap();
    let ((), rest) = tokio::join!(connection.close(), peer.rest());
    assert_eq!(rest, [Message::Unbind]);
}

#[tokio::test(start_paused = true)]
async fn a_bind_that_is_given_up_half_way_ends_the_connection() {
    // Late.
    let (mut connection, mut peer) = pair().await;
    let by = Deadline::after(Duration::from_secs(2));
    let (reply, _) =
        tokio::join!(connection.bind(BindStep::simple("cn=maja", "a password".into()), by), peer.request());
    let error = reply.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::Unknown));
    assert!(connection.closed().await.to_string().contains("given up half-way"));
    assert_eq!(connection.actor(), None);

    // Dropped.
    // From here on the sockets take the time they take.
    tokio::time::resume();
    let (mut connection, mut peer) = pair().await;
    tokio::select! {
        _ = connection.bind(BindStep::simple("cn=maja", "a password".into()), soon()) => panic!("nobody answered"),
        _ = peer.request() => {}
    }
    assert!(connection.closed().await.to_string().contains("given up half-way"));
    assert_eq!(peer.rest().await, [Message::Unbind]);
}

#[tokio::test]
async fn a_sasl_exchange_goes_step_by_step() {
    let (mut connection, mut peer) = pair().await;
    let step = |text: &'static str| BindStep::Sasl {
        mechanism: "SCRAM-SHA-256".to_owned(),
        credentials: Some(Secret::from(text)),
        controls: flext_ldap_directory::proto::control::Controls::none(),
    };
    let server = async {
        let (id, _) = peer.request().await;
        peer.answer(id, answer(ResultCode::SASL_BIND_IN_PROGRESS, Some(b"challenge"))).await;
    };
    let (reply, ()) = tokio::join!(connection.bind(step("first"), soon()), server);
    let BindReply::Continue { credentials, .. } = reply.unwrap() else { panic!("no challenge") };
    assert_eq!(credentials.as_deref(), Some(&b"challenge"[..]));
    let error: Error = connection.search_all(search("cn=a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    let server = async {
        let (id, request) = peer.request().await;
        assert!(matches!(request, Message::Bind(_)));
        peer.answer(id, answer(ResultCode::SUCCESS, Some(b"proof"))).await;
        let (id, request) = peer.request().await;
        assert!(matches!(request, Message::Extended(_)));
        peer.answer(id, who("u:maja")).await;
    };
    let (reply, ()) = tokio::join!(connection.bind(step("second"), soon()), server);
    let BindReply::Done { actor: Actor::User(identity), credentials, .. } = reply.unwrap() else {
        panic!("not bound")
    };
    assert_eq!((identity.authorization(), credentials.as_deref()), ("u:maja", Some(&b"proof"[..])));
}

#[tokio::test]
async fn external_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ldapi");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let connector =
        Connector::builder().clear().socket(&path).credentials(Credentials::External).build().unwrap();
    for (answered, authorization) in [
        (
            who("dn:gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth"),
            "dn:gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth",
        ),
        (
            Response::Extended(flext_ldap_directory::proto::message::ExtendedResponse {
                result: LdapResult::new(ResultCode::PROTOCOL_ERROR),
                oid: None,
                value: None,
            }),
            "sasl:EXTERNAL",
        ),
    ] {
        let server = async {
            let mut peer = Peer::new(listener.accept().await.unwrap().0);
            let (id, request) = peer.request().await;
            let Message::Bind(BindRequest {
                name,
                authentication: Authentication::Sasl { mechanism, .. },
                ..
            }) = request
            else {
                panic!("{request:?}")
            };
            assert_eq!((name.as_str(), mechanism.as_str()), ("", "EXTERNAL"));
            peer.answer(id, bound()).await;
            let (id, _) = peer.request().await;
            peer.answer(id, answered).await;
            peer
        };
        let (connection, _peer) = tokio::join!(connector.connect(), server);
        let connection = connection.unwrap();
        let Some(Actor::User(identity)) = connection.actor() else { panic!("not bound") };
        assert_eq!(identity.authorization(), authorization);
        assert!(connection.is_guarded());
    }
}

#[tokio::test]
async fn a_refused_bind_on_opening_is_the_servers_answer_and_not_tried_elsewhere() {
    let (first, second) = (Server::start().await, Server::start().await);
    let connector = first
        .clear()
        .address("127.0.0.1", second.address.port())
        .credentials(Credentials::simple("cn=maja", "a wrong password"))
        .build()
        .unwrap();
    let server = async {
        let mut peer = first.accept().await;
        let (id, _) = peer.request().await;
        peer.answer(id, answer(ResultCode::INVALID_CREDENTIALS, None)).await;
        peer.rest().await
    };
    let (connected, rest) = tokio::join!(connector.connect(), server);
    let error = connected.unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::INVALID_CREDENTIALS));
    assert_eq!(rest, [Message::Unbind]);
    assert!(matches!(Cancellable::after(1, second.accept()).await, Err(Cancelled)));
}

/// A wrong password may have been counted by the first server, whatever becomes of the answer.
#[tokio::test]
async fn a_bind_that_was_sent_and_not_answered_goes_to_no_other_server() {
    let (first, second) = (Server::start().await, Server::start().await);
    let connector = first
        .clear()
        .address(second.address.ip().to_string(), second.address.port())
        .credentials(Credentials::simple("cn=maja", "a password"))
        .build()
        .unwrap();
    let played = async {
        let mut peer = first.accept().await;
        assert!(matches!(peer.request().await.1, Message::Bind(_)));
    };
    let (connected, ()) = tokio::join!(connector.connect(), played);
    let error = connected.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Closed, Applied::Unknown), "{error}");
    tokio::time::timeout(Duration::from_millis(50), second.accept()).await.err().unwrap();
}
