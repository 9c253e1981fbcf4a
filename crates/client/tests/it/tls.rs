//! TLS: whom the client trusts, what it says when it does not, and what it never sends before (invariant 5).

use std::{net::SocketAddr, sync::Arc};

use flext_ldap_client::{
    Connector, Credentials, TlsOptions,
    inspection::{self, DistrustKind},
};
use flext_ldap_directory::{
    DirectoryExt, ErrorKind,
    proto::{
        message::{ExtendedResponse, Request as Message, Response},
        result::{LdapResult, ResultCode},
    },
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ED25519, date_time_ymd,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::support::*;

const HOST: &str = "ldap.harbourlane.example";

const NAME: &str = "Harbour Lane Instruments test authority";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    authority_with(name, KeyPair::generate().unwrap())
}

fn authority_with(name: &str, key: KeyPair) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, key).unwrap()
}

/// A certificate for these names, as `change` makes it, with its key.
fn certificate(
    issuer: &Authority,
    names: &[&str],
    change: impl FnOnce(&mut CertificateParams),
) -> (CertificateDer<'static>, KeyPair) {
    let mut params =
        CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, issuer).unwrap().der().clone(), key)
}

fn acceptor(certificate: CertificateDer<'static>, key: &KeyPair, clients: Option<&Authority>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap(),
            )
        }
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![certificate], key).unwrap()))
}

fn ldaps(address: SocketAddr, options: TlsOptions) -> Connector {
    Connector::builder().ldaps(options).address("127.0.0.1", address.port()).build().unwrap()
}

async fn serve_one(server: &Server, acceptor: &TlsAcceptor) -> std::io::Result<Peer<TlsStream<TcpStream>>> {
    Ok(Peer::new(acceptor.accept(server.accept().await.stream).await?))
}

#[tokio::test]
async fn certificates_are_taken_or_refused_with_the_mend() {
    let trusted = authority(NAME);
    let stranger = authority("Somebody else");
    let namesake = authority(NAME);
    let expired = |params: &mut CertificateParams| {
        (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
    };
    let future = |params: &mut CertificateParams| {
        (params.not_before, params.not_after) = (date_time_ymd(2090, 1, 1), date_time_ymd(2091, 1, 1));
    };
    let common_name =
        |params: &mut CertificateParams| params.distinguished_name.push(DnType::CommonName, HOST);
    let for_clients = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]
    };
    let for_servers = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]
    };
    let plain = |_: &mut CertificateParams| {};
    let self_signed = || {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().der().clone(), key)
    };
    // What the certificate is, what name is expected, and the beginning of the refusal.
    let table = [
        ("right host", certificate(&trusted, &[HOST], plain), HOST, None),
        (
            "right host, spelt otherwise",
            certificate(&trusted, &[HOST], plain),
            "LDAP.HarbourLane.example",
            None,
        ),
        ("final dot", certificate(&trusted, &[HOST], plain), "ldap.harbourlane.example.", None),
        ("one of several", certificate(&trusted, &["a.example", HOST], plain), HOST, None),
        ("for servers", certificate(&trusted, &[HOST], for_servers), HOST, None),
        ("wildcard", certificate(&trusted, &["*.harbourlane.example"], plain), HOST, None),
        ("address", certificate(&trusted, &["127.0.0.1"], plain), "127.0.0.1", None),
        (
            "wildcard too high",
            certificate(&trusted, &["*.example"], plain),
            HOST,
            Some("the server's certificate is for *.example, not for `ldap.harbourlane.example`"),
        ),
        (
            "wildcard for the bare domain",
            certificate(&trusted, &["*.harbourlane.example"], plain),
            "harbourlane.example",
            Some("the server's certificate is for "),
        ),
        (
            "another host",
            certificate(&trusted, &["mail.harbourlane.example"], plain),
            HOST,
            Some("the server's certificate is for "),
        ),
        (
            "another address",
            certificate(&trusted, &["127.0.0.2"], plain),
            "127.0.0.1",
            Some(
                "the server's certificate is for 127.0.0.2, not for `127.0.0.1`: connect to a name that is in it",
            ),
        ),
        (
            "a name where an address is expected",
            certificate(&trusted, &["localhost"], plain),
            "127.0.0.1",
            Some("the server's certificate is for "),
        ),
        (
            "common name only",
            certificate(&trusted, &[], common_name),
            HOST,
            Some(
                "the server's certificate names no host in its subjectAltName (a common name does not count)",
            ),
        ),
        (
            "expired",
            certificate(&trusted, &[HOST], expired),
            HOST,
            Some("the server's certificate has expired: have it renewed"),
        ),
        (
            "not valid yet",
            certificate(&trusted, &[HOST], future),
            HOST,
            Some("the server's certificate is not valid yet: check the clock"),
        ),
        (
            "unknown authority",
            certificate(&stranger, &[HOST], plain),
            HOST,
            Some("the server's certificate was issued by nobody this client trusts: name the CA file"),
        ),
        (
            "authority of the same name",
            certificate(&namesake, &[HOST], plain),
            HOST,
            Some(
                "the server's certificate was signed by another than the authority this client trusts under that name",
            ),
        ),
        (
            "self-signed",
            self_signed(),
            HOST,
            Some("the server's certificate was issued by nobody this client trusts: name the CA file"),
        ),
        (
            "for clients",
            certificate(&trusted, &[HOST], for_clients),
            HOST,
            Some(
                "the server's certificate is not for servers: have one issued with the purpose `serverAuth`",
            ),
        ),
        (
            "that of an authority, as `openssl req -x509` makes it",
            certificate(&trusted, &[HOST], |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            HOST,
            Some(
                "the server's certificate is that of an authority, as `openssl req -x509` makes them unless",
            ),
        ),
    ];
    for (name, (der, key), expected, refusal) in table {
        let server = Server::start().await;
        let acceptor = acceptor(der, &key, None);
        let options = TlsOptions::new().ca_pem(trusted.pem()).server_name(expected);
        let connector = ldaps(server.address, options);
        let (connected, peer) = tokio::join!(connector.connect(), serve_one(&server, &acceptor));
        match refusal {
            None => {
                let connection = connected.unwrap_or_else(|error| panic!("{name}: {}", chain(&error)));
                let mut peer = peer.unwrap();
                let answering = async {
                    let (id, _) = peer.request().await;
                    peer.answer(id, done()).await;
                };
                let (found, ()) = tokio::join!(connection.search_all(search("cn=a")), answering);
                assert!(found.unwrap().is_empty());
                assert!(connection.is_guarded());
                // Unbind, then TLS's own goodbye: the stream ends cleanly.
                let ((), request) = tokio::join!(connection.close(), peer.request());
                assert_eq!(request.1, Message::Unbind);
                assert_eq!(peer.stream.read(&mut [0]).await.unwrap(), 0);
            }
            Some(refusal) => {
                let error = connected.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Tls, "{name}");
                let text = error.to_string();
                let want = format!("no TLS with {}: {refusal}", server.address);
                assert!(text.starts_with(&want), "{name}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn any_certificate_is_taken_only_by_the_dangerous_setting() {
    let (der, key) = certificate(&authority(NAME), &["mail.harbourlane.example"], |_| {});
    let server = Server::start().await;
    let acceptor = acceptor(der, &key, None);
    let connector = ldaps(server.address, TlsOptions::new().dangerous_accept_any_certificate());
    let (connected, peer) = tokio::join!(connector.connect(), serve_one(&server, &acceptor));
    connected.unwrap();
    peer.unwrap();
}

/// The server goes over to another authority, and the file of the client's follows without a restart.
#[tokio::test]
async fn a_replaced_file_counts_from_the_next_connection_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let (old, new) = (authority("Old authority"), authority("New authority"));
    std::fs::write(&path, old.pem()).unwrap();
    let server = Server::start().await;
    let connector = ldaps(server.address, TlsOptions::new().ca_file(&path));
    let acceptor_of = |issuer| {
        let (der, key) = certificate(issuer, &["127.0.0.1"], |_| {});
        acceptor(der, &key, None)
    };
    let (of_old, of_new) = (acceptor_of(&old), acceptor_of(&new));
    let server = &server;
    let connects = async |acceptor: &TlsAcceptor| {
        let (connected, _) = tokio::join!(connector.connect(), serve_one(server, acceptor));
        connected.map(|connection| connection.tls_version()).map_err(|error| error.kind())
    };
    assert_eq!(connects(&of_old).await, Ok(Some("TLS 1.3")));
    assert_eq!(connects(&of_new).await, Err(ErrorKind::Tls));
    // Half of a file, and none at all, change nothing.
    std::fs::write(&path, new.pem().chars().take(100).collect::<String>()).unwrap();
    assert_eq!(connects(&of_old).await, Ok(Some("TLS 1.3")));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(connects(&of_old).await, Ok(Some("TLS 1.3")));
    std::fs::write(&path, new.pem()).unwrap();
    assert_eq!(connects(&of_new).await, Ok(Some("TLS 1.3")));
    assert_eq!(connects(&of_old).await, Err(ErrorKind::Tls));
}

#[tokio::test]
async fn client_certificates_are_shown() {
    let trusted = authority(NAME);
    let (der, key) = certificate(&trusted, &["127.0.0.1"], |_| {});
    let acceptor = acceptor(der, &key, Some(&trusted));
    let (client_der, client_key) = certificate(&trusted, &["reader"], |_| {});
    let client_pem = pem(&client_der);
    let server = Server::start().await;
    let options = TlsOptions::new()
        .ca_pem(trusted.pem())
        .client_certificate_pem(client_pem, client_key.serialize_pem().as_str().into());
    let connector = ldaps(server.address, options);
    let (connected, peer) = tokio::join!(connector.connect(), serve_one(&server, &acceptor));
    let shown = peer.unwrap().stream.get_ref().1.peer_certificates().unwrap().to_vec();
    assert_eq!(shown, [client_der]);
    drop(connected.unwrap());

    // Without one the server's refusal is heard when the connection is used: TLS 1.3 ends the handshake before.
    let connector = ldaps(server.address, TlsOptions::new().ca_pem(trusted.pem()));
    let (connected, peer) = tokio::join!(connector.connect(), serve_one(&server, &acceptor));
    assert!(peer.is_err());
    let error = match connected {
        Ok(connection) => connection.search_all(search("cn=a")).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(chain(&error).contains("CertificateRequired"), "{}", chain(&error));
}

fn pem(der: &CertificateDer<'_>) -> String {
    use std::fmt::Write as _;
    // PEM is base64 in lines (RFC 7468).
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let bits = group.iter().fold(0_u32, |bits, octet| bits << 8 | u32::from(*octet))
                << (8 * (3 - group.len()));
            for place in 0..4 {
                let digit = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
                text.push(if place <= group.len() { digit as char } else { '=' });
            }
        }
        writeln!(text).unwrap();
    }
    text + "-----END CERTIFICATE-----\n"
}

#[tokio::test]
async fn a_server_without_tls_is_recognised() {
    let server = Server::start().await;
    let connector = ldaps(server.address, TlsOptions::new().dangerous_accept_any_certificate());
    let answering = async {
        let mut peer = server.accept().await;
        peer.raw(&encoded(
            flext_ldap_directory::proto::message::MessageId(0),
            &notice(ResultCode::PROTOCOL_ERROR, ""),
        ))
        .await;
        peer
    };
    let (connected, _peer) = tokio::join!(connector.connect(), answering);
    let error = connected.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls);
    assert!(
        error
            .to_string()
            .ends_with("the server does not speak TLS on this port: use StartTLS, or the port for ldaps"),
        "{error}"
    );

    let connector = ldaps(server.address, TlsOptions::new().dangerous_accept_any_certificate());
    let answering = async { drop(server.accept().await) };
    let (connected, ()) = tokio::join!(connector.connect(), answering);
    assert_eq!(connected.unwrap_err().kind(), ErrorKind::Tls);
}

fn start_tls(server: &Server, options: TlsOptions) -> Connector {
    Connector::builder()
        .start_tls(options)
        .address("127.0.0.1", server.address.port())
        .credentials(Credentials::simple("cn=reader", "korrekt Pferd"))
        .build()
        .unwrap()
}

fn start_tls_answer(code: ResultCode) -> Response {
    Response::Extended(ExtendedResponse { result: LdapResult::new(code), oid: None, value: None })
}

#[tokio::test]
async fn start_tls_comes_before_the_bind() {
    let trusted = authority(NAME);
    let (der, key) = certificate(&trusted, &["127.0.0.1"], |_| {});
    let acceptor = acceptor(der, &key, None);
    let server = Server::start().await;
    let connector = start_tls(&server, TlsOptions::new().ca_pem(trusted.pem()));
    let answering = async {
        let mut peer = server.accept().await;
        let (id, request) = peer.request().await;
        let Message::Extended(extended) = request else { panic!("{request:?}") };
        assert_eq!(extended.oid.as_str(), "1.3.6.1.4.1.1466.20037");
        peer.answer(id, start_tls_answer(ResultCode::SUCCESS)).await;
        let mut peer = Peer::new(acceptor.accept(peer.stream).await.unwrap());
        let (id, request) = peer.request().await;
        assert!(matches!(request, Message::Bind(_)));
        peer.answer(id, bound()).await;
        peer
    };
    let (connected, _peer) = tokio::join!(connector.connect(), answering);
    assert!(connected.unwrap().is_guarded());
}

/// StartTLS stripping, and "NO STARTTLS" response injection: every octet the client ever sends is captured.
#[tokio::test]
async fn invariant_5_start_tls_refused_or_tampered_with_sends_no_bind() {
    let injected = encoded(flext_ldap_directory::proto::message::MessageId(2), &bound());
    let table: [(&str, Response, &[u8], ErrorKind, &str); 5] = [
        (
            "refused",
            start_tls_answer(ResultCode::UNAVAILABLE),
            b"",
            ErrorKind::Tls,
            "refused StartTLS with unavailable (52)",
        ),
        (
            "unknown",
            start_tls_answer(ResultCode::PROTOCOL_ERROR),
            b"",
            ErrorKind::Tls,
            "refused StartTLS with protocolError (2)",
        ),
        (
            "injection",
            start_tls_answer(ResultCode::SUCCESS),
            &injected,
            ErrorKind::Protocol,
            "octets in clear followed",
        ),
        (
            "injection of one octet",
            start_tls_answer(ResultCode::SUCCESS),
            b"0",
            ErrorKind::Protocol,
            "octets in clear followed",
        ),
        ("another answer", bound(), b"", ErrorKind::Protocol, "answered something else than StartTLS"),
    ];
    for (name, response, after, kind, want) in table {
        let server = Server::start().await;
        let connector = start_tls(&server, TlsOptions::new().dangerous_accept_any_certificate());
        let answering = async {
            let mut stream = server.accept().await.stream;
            let mut captured = vec![0; 1 << 10];
            let length = stream.read(&mut captured).await.unwrap();
            captured.truncate(length);
            let id = flext_ldap_directory::proto::message::MessageId(1);
            stream.write_all(&[&encoded(id, &response)[..], after].concat()).await.unwrap();
            // Whatever else comes until the client hangs up.
            let _ = stream.read_to_end(&mut captured).await;
            captured
        };
        let (connected, captured) = tokio::join!(connector.connect(), answering);
        let error = connected.unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().contains(want), "{name}: {error}");
        // Exactly the one request: id 1, StartTLS without a value.
        assert_eq!(
            captured,
            [&[0x30, 0x1d, 0x02, 0x01, 0x01, 0x77, 0x18, 0x80, 0x16][..], b"1.3.6.1.4.1.1466.20037"].concat(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_look_at_a_server_shows_what_is_wrong_and_sends_nothing() {
    let (trusted, stranger) = (authority(NAME), authority("Somebody else"));
    let (namesake, other_kind) =
        (authority(NAME), authority_with(NAME, KeyPair::generate_for(&PKCS_ED25519).unwrap()));
    let plain = |_: &mut CertificateParams| {};
    let expired = |params: &mut CertificateParams| {
        (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
    };
    let table = [
        ("good", certificate(&trusted, &[HOST], plain), true, None),
        ("another's", certificate(&stranger, &[HOST], plain), true, Some(DistrustKind::UnknownIssuer)),
        ("a namesake's", certificate(&namesake, &[HOST], plain), true, Some(DistrustKind::UnknownIssuer)),
        ("another kind's", certificate(&other_kind, &[HOST], plain), true, Some(DistrustKind::UnknownIssuer)),
        ("expired", certificate(&trusted, &[HOST], expired), true, Some(DistrustKind::Expired)),
        ("another host", certificate(&trusted, &["a.example"], plain), false, Some(DistrustKind::OtherHost)),
    ];
    for (what, (certificate, key), is_for_host, distrust) in table {
        let server = Server::start().await;
        let acceptor = acceptor(certificate, &key, None);
        let options = TlsOptions::new().ca_pem(trusted.pem());
        let stream = TcpStream::connect(server.address).await.unwrap();
        let looking = inspection::handshake(stream, &options, HOST, "the server");
        let serving = async {
            let mut stream = acceptor.accept(server.accept().await.stream).await.unwrap();
            let mut octets = Vec::new();
            stream.read_to_end(&mut octets).await.unwrap();
            octets
        };
        let (shown, octets) = tokio::join!(looking, serving);
        let shown = shown.unwrap();
        assert_eq!(octets, b"", "{what}: a handshake, and goodbye");
        assert_eq!(shown.distrust.map(|distrust| distrust.kind), distrust, "{what}");
        assert_eq!((shown.version.as_str(), shown.is_for_host), ("TLS 1.3", is_for_host), "{what}");
        assert_eq!(shown.certificates.len(), 1, "{what}");
    }
    let server = Server::start().await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    drop(server.accept().await);
    let error = inspection::handshake(stream, &TlsOptions::new(), HOST, "the server").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls);
    let closed = "no TLS with the server: the server closed the connection during the handshake";
    let lost = "no TLS with the server: the connection was lost during the handshake";
    assert!(error.to_string().starts_with(closed) || error.to_string().starts_with(lost), "{error}");
}
