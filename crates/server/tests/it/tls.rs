//! TLS: ldaps and StartTLS, what is forgotten, what is refused, and octets that do not belong.

use std::{sync::Arc, time::Duration};

use flext_ldap_directory::Protection;
use flext_ldap_proto::{
    extended::{ExtendedOperation as _, StartTls},
    message::{Request, Response},
    result::ResultCode,
};
use flext_ldap_server::{Server, ServerLimits, ServerTls, StartError};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    peer::{Lab, PeerSide, encoded, search},
    toy::Toy,
};

struct Keys {
    server: ServerTls,
    client: TlsConnector,
}

fn keys() -> Keys {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let server =
        ServerTls::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Keys { server, client: TlsConnector::from(Arc::new(config)) }
}

impl Keys {
    async fn shake(&self, stream: TcpStream) -> PeerSide<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        PeerSide::new(self.client.connect(name, stream).await.unwrap())
    }
}

/// The lab's first address is ldap, the second ldaps.
async fn lab(keys: &Keys, limits: ServerLimits) -> Lab {
    Lab::with(|builder| {
        builder.listen("ldaps://127.0.0.1:0".parse().unwrap()).tls(keys.server.clone()).limits(limits)
    })
    .await
}

async fn ldaps(lab: &Lab) -> TcpStream {
    TcpStream::connect(("127.0.0.1", lab.server.urls()[1].port())).await.unwrap()
}

fn start_tls() -> Request {
    Request::Extended(StartTls.request())
}

fn extended(response: Response) -> ResultCode {
    let Response::Extended(extended) = response else { panic!("{response:?}") };
    assert_eq!(extended.oid, Some(StartTls::OID));
    extended.result.code
}

#[tokio::test]
async fn ldaps_from_the_first_octet() {
    let keys = keys();
    let lab = lab(&keys, ServerLimits::default()).await;
    let mut peer = keys.shake(ldaps(&lab).await).await;
    assert_eq!(peer.bind(1, "cn=ada", "korrekt").await, ResultCode::SUCCESS);
    assert_eq!(peer.who_am_i(2).await, "dn:cn=ada");
    assert_eq!(lab.state.peers.lock().unwrap()[0].protection, Protection::Tls);
    assert_eq!(extended(peer.ask(3, &start_tls()).await), ResultCode::OPERATIONS_ERROR);
    peer.send(4, &search("cn=three")).await;
    for _ in 0..3 {
        assert_eq!(peer.receive().await.unwrap(), (4, Response::SearchItem));
    }
    assert_eq!(peer.receive().await.unwrap().0, 4);
    peer.send(5, &Request::Unbind).await;
    peer.expect_end().await;
}

#[tokio::test]
async fn nothing_said_in_clear_is_known_after_start_tls() {
    let keys = keys();
    let lab = lab(&keys, ServerLimits::default()).await;
    let mut peer = lab.peer().await;
    assert_eq!(peer.bind(1, "cn=ada", "korrekt").await, ResultCode::SUCCESS);
    assert_eq!(extended(peer.ask(2, &start_tls()).await), ResultCode::SUCCESS);
    let mut peer = keys.shake(peer.stream).await;
    // Nobody is bound, and message ids start anew.
    assert_eq!(peer.who_am_i(2).await, "");
    assert_eq!(peer.bind(3, "cn=ada", "korrekt").await, ResultCode::SUCCESS);
    assert_eq!(peer.who_am_i(4).await, "dn:cn=ada");
    assert_eq!(extended(peer.ask(5, &start_tls()).await), ResultCode::OPERATIONS_ERROR);
    let protections: Vec<_> = lab.state.peers.lock().unwrap().iter().map(|peer| peer.protection).collect();
    assert_eq!(protections, [Protection::Clear, Protection::Tls]);
}

#[tokio::test]
async fn octets_in_clear_behind_start_tls_end_the_connection() {
    let keys = keys();
    let lab = lab(&keys, ServerLimits::default()).await;
    let mut peer = lab.peer().await;
    let mut octets = encoded(1, &start_tls()).to_vec();
    octets.extend(encoded(2, &search("cn=one")));
    peer.send_octets(&octets).await;
    peer.expect_notice(ResultCode::PROTOCOL_ERROR).await;
    assert_eq!(lab.state.calls.load(std::sync::atomic::Ordering::SeqCst), 0);
    // A single octet is enough.
    let mut peer = lab.peer().await;
    let mut octets = encoded(1, &start_tls()).to_vec();
    octets.push(0x30);
    peer.send_octets(&octets).await;
    peer.expect_notice(ResultCode::PROTOCOL_ERROR).await;
}

#[tokio::test]
async fn octets_in_clear_instead_of_a_handshake_end_the_connection() {
    let keys = keys();
    let lab = lab(&keys, ServerLimits::default()).await;
    let mut peer = lab.peer().await;
    assert_eq!(extended(peer.ask(1, &start_tls()).await), ResultCode::SUCCESS);
    let mut stream = peer.stream;
    stream.write_all(&encoded(2, &search("cn=one"))).await.unwrap();
    expect_no_answer(stream).await;
    assert_eq!(lab.state.calls.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn start_tls_waits_for_nothing() {
    let keys = keys();
    let lab = lab(&keys, ServerLimits::default()).await;
    let mut peer = lab.peer().await;
    peer.send(1, &search("cn=never")).await;
    assert_eq!(extended(peer.ask(2, &start_tls()).await), ResultCode::OPERATIONS_ERROR);
    lab.state.release.add_permits(1);
    assert_eq!(peer.receive().await.unwrap().0, 1);
    assert_eq!(extended(peer.ask(3, &start_tls()).await), ResultCode::SUCCESS);
    assert_eq!(keys.shake(peer.stream).await.who_am_i(1).await, "");
}

#[tokio::test]
async fn start_tls_that_is_not_offered_or_not_well_formed() {
    let plain = Lab::new().await;
    let mut peer = plain.peer().await;
    assert_eq!(extended(peer.ask(1, &start_tls()).await), ResultCode::PROTOCOL_ERROR);
    assert_eq!(peer.who_am_i(2).await, "");

    let keys = keys();
    let lab = lab(&keys, ServerLimits::default()).await;
    let mut peer = lab.peer().await;
    let mut request = StartTls.request();
    request.value = Some(bytes::Bytes::from_static(b"now"));
    assert_eq!(extended(peer.ask(1, &Request::Extended(request)).await), ResultCode::PROTOCOL_ERROR);
    assert_eq!(peer.who_am_i(2).await, "");
}

#[tokio::test]
async fn garbage_on_ldaps_costs_that_connection() {
    let keys = keys();
    let lab = lab(&keys, ServerLimits::default()).await;
    let mut bystander = keys.shake(ldaps(&lab).await).await;
    let table: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\n\r\n",
        &[0; 512],
        &[0x16, 0x03, 0x03, 0xff, 0xff],
        &[0x16, 0x03, 0x01, 0x00, 0x04, 0x01, 0xff, 0xff, 0xff],
        &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28],
        &[0x30, 0x05, 0x02, 0x01, 0x01, 0x42, 0x00],
    ];
    for octets in table {
        let mut stream = ldaps(&lab).await;
        stream.write_all(octets).await.unwrap();
        stream.shutdown().await.unwrap();
        expect_no_answer(stream).await;
    }
    // Inside TLS it is a malformed message, and a broken record is an end.
    let mut peer = keys.shake(ldaps(&lab).await).await;
    peer.send_octets(b"GET / HTTP/1.1\r\n\r\n").await;
    peer.expect_notice(ResultCode::PROTOCOL_ERROR).await;
    let peer = keys.shake(ldaps(&lab).await).await;
    let (mut stream, _) = peer.stream.into_inner();
    stream.write_all(&[0x17, 0x03, 0x03, 0x00, 0x20]).await.unwrap();
    stream.write_all(&[0xaa; 0x20]).await.unwrap();
    expect_no_answer(stream).await;
    assert_eq!(bystander.who_am_i(1).await, "");
}

#[tokio::test]
async fn a_handshake_has_a_deadline() {
    let keys = keys();
    let limits = ServerLimits { handshake: Duration::from_millis(100), ..ServerLimits::default() };
    let lab = lab(&keys, limits).await;
    expect_no_answer(ldaps(&lab).await).await;
    let mut peer = lab.peer().await;
    assert_eq!(extended(peer.ask(1, &start_tls()).await), ResultCode::SUCCESS);
    expect_no_answer(peer.stream).await;
}

#[tokio::test]
async fn keys_that_cannot_be_used() {
    let keys = keys();
    let error = Server::builder(Arc::new(Toy::default()))
        .listen("ldaps://127.0.0.1:0".parse().unwrap())
        .start()
        .await
        .unwrap_err();
    assert!(matches!(error, StartError::NoCertificate(_)), "{error}");
    drop(keys);
    let one = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let two = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key, other) =
        (one.cert.pem(), one.signing_key.serialize_pem(), two.signing_key.serialize_pem());
    for (chain, key, want) in [
        ("", key.as_str(), "the certificate chain is empty"),
        (chain.as_str(), "", "cannot read the private key"),
        (chain.as_str(), other.as_str(), "cannot be used together"),
    ] {
        let error = ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}

/// Reads to the end: a TLS alert at most, nothing that is LDAP.
async fn expect_no_answer(mut stream: TcpStream) {
    use tokio::io::AsyncReadExt as _;
    let mut octets = Vec::new();
    let read = tokio::time::timeout(crate::peer::LONG, stream.read_to_end(&mut octets)).await;
    // A reset is an end too.
    let _ = read.expect("the server closes");
    assert!(octets.first() != Some(&0x30), "{octets:02x?}");
}

#[tokio::test]
async fn a_renewed_certificate_is_for_those_who_come() {
    let (before, after) = (keys(), keys());
    let lab = lab(&before, ServerLimits::default()).await;
    let mut old = before.shake(ldaps(&lab).await).await;
    assert_eq!(old.who_am_i(1).await, "");
    let mut clear = lab.peer().await;
    assert_eq!(clear.who_am_i(1).await, "");
    lab.server.set_tls(after.server.clone());
    let mut new = after.shake(ldaps(&lab).await).await;
    assert_eq!(new.who_am_i(1).await, "");
    let name = ServerName::try_from("localhost").unwrap();
    assert!(before.client.connect(name, ldaps(&lab).await).await.is_err(), "the old one is not offered");
    assert_eq!(old.who_am_i(2).await, "", "who was there keeps it");
    // A connection goes by what was settled when it began.
    assert_eq!(extended(clear.ask(2, &start_tls()).await), ResultCode::SUCCESS);
    let mut shaken = before.shake(clear.stream).await;
    assert_eq!(shaken.who_am_i(3).await, "");
}
