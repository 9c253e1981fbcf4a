//! What a server shows in a TLS handshake, trusted or not: for those who look for what is wrong with a way.
//!
//! Nothing is asked of the server and no password goes anywhere over what is opened here: a handshake, and goodbye. What
//! carries operations is a [`Connector`](crate::Connector)'s, which talks to no one it does not trust.

mod certificate;

use std::sync::Arc;

use flext_ldap_directory::{Error, ErrorKind};
use rustls::{
    CertificateError, ClientConfig,
    client::{danger::ServerCertVerifier, verify_server_name},
    crypto::ring,
    server::ParsedCertificate,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::TlsConnector;

pub use self::certificate::Certificate;
use crate::{
    TlsOptions, start_tls,
    tls::{self, LetPass, Seen},
};

/// What a server showed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsInspection {
    /// What was agreed on: `TLS 1.3`, say.
    pub version: String,
    /// The certificates it sent, its own first. One that cannot be read is left out.
    pub certificates: Vec<Certificate>,
    /// Why they are not to be trusted, if they are not.
    pub distrust: Option<Distrust>,
    /// Whether the server's own is for the host that was asked for.
    pub is_for_host: bool,
}

/// Why a certificate is not to be trusted: the first of what may be several reasons.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Distrust {
    /// Which kind of reason.
    pub kind: DistrustKind,
    /// In words, with what to do.
    pub message: String,
}

/// A kind of reason.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DistrustKind {
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It is for another host.
    OtherHost,
    /// Nobody who is trusted has issued it, or whoever has is not among the certificates sent.
    UnknownIssuer,
    /// Anything else.
    Other,
}

/// Asks for StartTLS (RFC 4511 §4.14) on a stream nothing was sent on. `server` is what messages call it.
///
/// # Errors
///
/// [`ErrorKind::Tls`] where the server refuses it, [`ErrorKind::Closed`] where the connection is lost, and
/// [`ErrorKind::Protocol`] where what answers does not speak LDAP.
///
/// # Cancel safety
///
/// Not cancel-safe: a part of the answer may have been read. Drop the stream too.
pub async fn start_tls(stream: &mut TcpStream, server: &str) -> Result<(), Error> {
    start_tls::ask(stream, server).await
}

/// Does a handshake, looks at what the server shows, and closes. `host` is the name that the certificate must be for,
/// unless `options` names another.
///
/// # Errors
///
/// [`ErrorKind::Tls`] where there is no TLS with this server, whatever its certificate; [`ErrorKind::Misuse`] where
/// `options` are of no use.
///
/// # Cancel safety
///
/// Cancel-safe: the connection is closed.
pub async fn handshake(
    stream: TcpStream,
    options: &TlsOptions,
    host: &str,
    server: &str,
) -> Result<TlsInspection, Error> {
    let provider = Arc::new(ring::default_provider());
    let name = options.name_for(host)?;
    let witness = Arc::new(LetPass::seen_by(options.verifier(&provider)?, Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Misuse, "TLS cannot be set up").with_source(error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let connected = TlsConnector::from(Arc::new(config)).connect(name.clone(), stream).await;
    let mut stream = connected.map_err(|error| {
        let message = format!("no TLS with {server}: {}", tls::explain(&error));
        Error::new(ErrorKind::Tls, message).with_source(error)
    })?;
    let version = match stream.get_ref().1.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
        other => format!("{other:?}"),
    };
    if let Err(error) = stream.shutdown().await {
        // It has said what it was asked for; who hangs up first is nobody's matter.
        tracing::debug!(server, %error, "the end of a look at TLS was not heard");
    }
    let Seen { chain, verdict } = witness.take();
    let is_for_host = chain.first().is_some_and(|own| {
        ParsedCertificate::try_from(own).is_ok_and(|own| verify_server_name(&own, &name).is_ok())
    });
    let certificates = chain.iter().filter_map(|der| Certificate::decode(der.to_vec()).ok()).collect();
    Ok(TlsInspection { version, certificates, distrust: verdict.as_ref().map(distrust), is_for_host })
}

fn distrust(refusal: &rustls::Error) -> Distrust {
    use CertificateError as Refusal;
    let rustls::Error::InvalidCertificate(refusal) = refusal else {
        return Distrust { kind: DistrustKind::Other, message: refusal.to_string() };
    };
    let kind = match refusal {
        Refusal::Expired | Refusal::ExpiredContext { .. } => DistrustKind::Expired,
        Refusal::NotValidYet | Refusal::NotValidYetContext { .. } => DistrustKind::NotYetValid,
        Refusal::NotValidForName | Refusal::NotValidForNameContext { .. } => DistrustKind::OtherHost,
        Refusal::UnknownIssuer
        | Refusal::BadSignature
        | Refusal::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => DistrustKind::UnknownIssuer,
        _ => DistrustKind::Other,
    };
    Distrust { kind, message: tls::explain_certificate(refusal) }
}
