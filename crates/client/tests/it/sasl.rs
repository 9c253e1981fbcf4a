//! SASL on the wire: which mechanism is chosen, and servers that do not prove what they must.

use std::num::NonZeroU32;

use flext_ldap_client::{Connector, Credentials, Mechanism, Sasl, ScramHash};
use flext_ldap_directory::{
    Error, ErrorKind,
    proto::{
        batch::BatchWriter,
        ber::{Tag, Writer},
        channel_binding::ChannelBindings,
        control::Controls,
        message::{Authentication, BindResponse, MessageId, Request as Message, Response, encode_item},
        result::{LdapResult, ResultCode},
    },
};
use flext_ldap_sasl::scram::{ScramKeys, ScramServer};
use tokio::net::TcpStream;

use crate::support::*;

const PASSWORD: &str = "tide gauge";
const SCRAM: Mechanism = Mechanism::Scram { hash: ScramHash::Sha256, plus: false };

/// What a scripted server does wrong, if anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    None,
    /// It says yes without looking.
    YesAtOnce,
    /// It says yes to the proof, and proves nothing.
    YesToTheProof,
    /// It proves that it knows another password.
    OtherKeys,
    /// It sends its proof before its yes, as RFC 4422 has it for protocols that cannot send both.
    ProofFirst,
    /// It asks for a single iteration.
    OneIteration,
    /// It asks again and again.
    NoEnd,
}

async fn sasl(peer: &mut Peer<TcpStream>) -> Option<(MessageId, String, Vec<u8>)> {
    let (id, message, _) = peer.next().await?;
    let Message::Bind(bind) = message else { return None };
    assert_eq!(bind.name, "");
    let Authentication::Sasl { mechanism, credentials } = bind.authentication else { return None };
    Some((id, mechanism, credentials.map(|secret| secret.expose().to_vec()).unwrap_or_default()))
}

fn answer(code: ResultCode, credentials: Vec<u8>) -> Response {
    let server_credentials = (!credentials.is_empty()).then(|| credentials.into());
    Response::Bind(BindResponse { result: LdapResult::new(code), server_credentials })
}

/// The server's end of SCRAM-SHA-256, with a fault.
async fn serve(peer: &mut Peer<TcpStream>, fault: Fault) {
    let more = ResultCode::SASL_BIND_IN_PROGRESS;
    let Some((id, mechanism, first)) = sasl(peer).await else { return };
    assert_eq!(mechanism, "SCRAM-SHA-256");
    if fault == Fault::YesAtOnce {
        return peer.answer(id, answer(ResultCode::SUCCESS, Vec::new())).await;
    }
    let (mut server, asked) = ScramServer::begin(false, &ChannelBindings::none(), &first).unwrap();
    assert_eq!(asked.user, "ada");
    let password = if fault == Fault::OtherKeys { "another" } else { PASSWORD };
    let count = NonZeroU32::new(if fault == Fault::OneIteration { 1 } else { 4096 }).unwrap();
    let keys = ScramKeys::derive(ScramHash::Sha256, password.as_bytes(), b"salt", count);
    peer.answer(id, answer(more, server.challenge(keys.clone(), "more"))).await;
    let Some((id, _, proof)) = sasl(peer).await else { return };
    let last = server.proof(&proof).unwrap().verify();
    match fault {
        Fault::YesToTheProof => peer.answer(id, answer(ResultCode::SUCCESS, Vec::new())).await,
        Fault::OtherKeys => {
            assert_eq!(last, None);
            peer.answer(id, answer(ResultCode::SUCCESS, b"v=AAAA".to_vec())).await;
        }
        Fault::ProofFirst => {
            peer.answer(id, answer(more, last.unwrap())).await;
            let Some((id, _, empty)) = sasl(peer).await else { return };
            assert!(empty.is_empty());
            peer.answer(id, answer(ResultCode::SUCCESS, Vec::new())).await;
        }
        Fault::NoEnd => {
            peer.answer(id, answer(more, last.unwrap())).await;
            while let Some((id, ..)) = sasl(peer).await {
                peer.answer(id, answer(more, b"v=AAAA".to_vec())).await;
            }
        }
        _ => peer.answer(id, answer(ResultCode::SUCCESS, last.unwrap())).await,
    }
}

/// Answers "Who am I?".
async fn tell_who(peer: &mut Peer<TcpStream>) {
    if let Some((id, Message::Extended(_), _)) = peer.next().await {
        let response = flext_ldap_directory::proto::message::ExtendedResponse {
            result: LdapResult::success(),
            oid: None,
            value: Some(bytes::Bytes::from_static(b"dn:cn=ada")),
        };
        peer.answer(id, Response::Extended(response)).await;
    }
}

fn connector(server: &Server, sasl: Sasl) -> Connector {
    server.clear().credentials(sasl).build().unwrap()
}

#[tokio::test]
async fn a_server_that_does_not_prove_itself_is_refused() {
    let refused = Some(ErrorKind::Protocol);
    for (fault, want) in [
        (Fault::None, None),
        (Fault::ProofFirst, None),
        (Fault::YesAtOnce, refused),
        (Fault::YesToTheProof, refused),
        (Fault::OtherKeys, refused),
        (Fault::OneIteration, refused),
        (Fault::NoEnd, refused),
    ] {
        let server = Server::start().await;
        let connector = connector(&server, Sasl::password("ada", PASSWORD).only(SCRAM));
        let script = async {
            let mut peer = server.accept().await;
            serve(&mut peer, fault).await;
            tell_who(&mut peer).await;
            peer.rest().await
        };
        let client = async {
            let connection = connector.connect().await;
            if let Ok(connection) = &connection {
                assert!(format!("{:?}", connection.actor().unwrap()).contains("cn=ada"));
                connection.close().await;
            }
            connection.map(drop)
        };
        let (result, rest) = tokio::join!(client, script);
        let got = result.as_ref().err().map(Error::kind);
        assert_eq!(got, want, "{fault:?} {result:?}");
        assert_eq!(
            rest,
            if rest.is_empty() { vec![] } else { vec![Message::Unbind] },
            "{fault:?}: a goodbye at most"
        );
        if let Err(error) = result {
            assert!(!format!("{error:?} {error}").contains(PASSWORD));
        }
    }
}

/// Answers the search of the root DSE, and gives the mechanism that is asked for then.
async fn choose(offered: &[&str]) -> Result<String, Error> {
    let server = Server::start().await;
    let connector = connector(&server, Sasl::password("ada", PASSWORD));
    let script = async {
        let mut peer = server.accept().await;
        let (id, message) = peer.request().await;
        assert!(matches!(message, Message::Search(_)), "{message:?}");
        let mut batch = BatchWriter::new();
        batch.entry("", &Controls::none(), |writer| {
            writer.sequence(|attribute| {
                attribute.octets(b"supportedSASLMechanisms");
                attribute.constructed(Tag::SET, |values| {
                    offered.iter().for_each(|name| values.octets(name.as_bytes()));
                });
            });
        });
        let mut writer = Writer::new();
        encode_item(id, batch.take().item(0).unwrap(), &mut writer);
        peer.raw(&writer.take()).await;
        peer.answer(id, done()).await;
        let (id, mechanism, _) = sasl(&mut peer).await?;
        peer.answer(id, answer(ResultCode::INVALID_CREDENTIALS, Vec::new())).await;
        Some(mechanism)
    };
    let (result, mechanism) = tokio::join!(connector.connect(), script);
    let error = result.map(drop).unwrap_err();
    match mechanism {
        Some(mechanism) => {
            assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
            Ok(mechanism)
        }
        None => Err(error),
    }
}

#[tokio::test]
async fn the_strongest_that_is_offered_is_chosen() {
    let table: [(&[&str], &str); 5] = [
        (&["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "DIGEST-MD5"], "SCRAM-SHA-256"),
        (&["scram-sha-512", "SCRAM-SHA-256"], "SCRAM-SHA-512"),
        // There is no TLS here to bind to.
        (&["SCRAM-SHA-512-PLUS", "SCRAM-SHA-1"], "SCRAM-SHA-1"),
        // Loopback: nobody listens.
        (&["EXTERNAL", "PLAIN"], "PLAIN"),
        (&["PLAIN", "SCRAM-SHA-256", "GSSAPI"], "SCRAM-SHA-256"),
    ];
    for (offered, want) in table {
        assert_eq!(choose(offered).await.unwrap(), want, "{offered:?}");
    }
    for offered in [&["EXTERNAL", "GSSAPI"][..], &["SCRAM-SHA-512-PLUS"]] {
        let error = choose(offered).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse);
        assert!(error.to_string().contains(offered[0]), "{error}");
    }
}

#[tokio::test]
async fn a_token_is_sent_once_and_a_refusal_is_heard_to_its_end() {
    let server = Server::start().await;
    let connector = connector(&server, Sasl::oauth_bearer("ada", "token"));
    let script = async {
        let mut peer = server.accept().await;
        let (id, mechanism, first) = sasl(&mut peer).await.unwrap();
        let port = server.address.port();
        let wanted = format!("n,a=ada,\u{1}host=127.0.0.1\u{1}port={port}\u{1}auth=Bearer token\u{1}\u{1}");
        assert_eq!((mechanism.as_str(), first), ("OAUTHBEARER", wanted.into_bytes()));
        let why = b"{\"status\":\"invalid_token\"}".to_vec();
        peer.answer(id, answer(ResultCode::SASL_BIND_IN_PROGRESS, why)).await;
        let (id, _, dummy) = sasl(&mut peer).await.unwrap();
        assert_eq!(dummy, b"\x01");
        peer.answer(id, answer(ResultCode::INVALID_CREDENTIALS, Vec::new())).await;
    };
    let (result, ()) = tokio::join!(connector.connect(), script);
    assert_eq!(result.unwrap_err().result_code(), Some(ResultCode::INVALID_CREDENTIALS));
}

#[tokio::test]
async fn what_must_not_be_sent_is_not() {
    let plain = Sasl::password("ada", PASSWORD).only(Mechanism::Plain);
    // 192.0.2.0/24 is nobody's: nothing is connected to.
    for sasl in [plain, Sasl::oauth_bearer("ada", "token")] {
        let far = Connector::builder().clear().address("192.0.2.1", 389).credentials(sasl).build().unwrap();
        assert_eq!(far.connect().await.unwrap_err().kind(), ErrorKind::Confidentiality);
    }
    for (sasl, want) in [
        (Sasl::password("ada", ""), ErrorKind::EmptyPassword),
        (Sasl::password("ada", "\0"), ErrorKind::EmptyPassword),
        (Sasl::password(" ", PASSWORD), ErrorKind::Misuse),
    ] {
        let credentials = Credentials::from(sasl);
        assert!(!format!("{credentials:?}").contains(PASSWORD));
        let built = Connector::builder().clear().address("localhost", 389).credentials(credentials).build();
        assert_eq!(built.unwrap_err().kind(), want);
    }
    // Nothing to bind to.
    let server = Server::start().await;
    let plus = Mechanism::Scram { hash: ScramHash::Sha256, plus: true };
    let connector = connector(&server, Sasl::password("ada", PASSWORD).only(plus));
    let (result, mut peer) = tokio::join!(connector.connect(), server.accept());
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Misuse);
    assert_eq!(peer.rest().await, [Message::Unbind]);
}
