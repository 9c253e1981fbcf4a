//! What protects the way to a server, and what goes wrong with it, in words (RFC 4513 §3.1.3).

mod let_pass;

use std::{
    fmt,
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use flext_ldap_directory::{Error, ErrorKind, proto::secret::Secret};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, InvalidMessage, RootCertStore, WantsVerifier,
    client::{WantsClientCert, WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(crate) use self::let_pass::{LetPass, Seen};
use crate::gather::GatheringTcp;

/// How TLS is done: 1.2 or newer; certificate and host name are verified.
///
/// Without more, servers are trusted whom the operating system trusts.
#[derive(Clone, Default)]
#[must_use = "hand it to `ldaps` or `start_tls`"]
pub struct TlsOptions {
    trust: Trust,
    identity: Option<(Pem, Pem)>,
    server_name: Option<String>,
}

#[derive(Clone, Default)]
enum Trust {
    #[default]
    System,
    Only(Pem),
    Anyone,
}

/// Where PEM text is. A key among it is wiped when dropped.
#[derive(Clone)]
enum Pem {
    File(PathBuf),
    Text(Secret),
}

impl TlsOptions {
    /// Trusts whom the operating system trusts; no client certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificate authorities in this PEM file, and nobody else.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.trust = Trust::Only(Pem::File(path.into()));
        self
    }

    /// Trusts the certificate authorities in this PEM text, and nobody else.
    pub fn ca_pem(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.trust = Trust::Only(Pem::Text(Secret::new(text)));
        self
    }

    /// Shows this certificate chain to the server, with its private key (PKCS #8, PKCS #1 or SEC 1): PEM files.
    pub fn client_certificate_files(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some((Pem::File(chain.into()), Pem::File(key.into())));
        self
    }

    /// Shows this certificate chain to the server, with its private key: PEM text.
    pub fn client_certificate_pem(mut self, chain: impl Into<Vec<u8>>, key: Secret) -> Self {
        self.identity = Some((Pem::Text(Secret::new(chain)), Pem::Text(key)));
        self
    }

    /// Expects this name in the server's certificate, whatever host was connected to.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Takes any certificate from anyone: whoever is on the way can read and change everything, passwords included.
    pub fn dangerous_accept_any_certificate(mut self) -> Self {
        self.trust = Trust::Anyone;
        self
    }

    /// Reads the files and settles the configuration.
    pub(crate) fn settle(&self) -> Result<Tls, Error> {
        let server_name = self.server_name.as_deref().map(parse_name).transpose()?;
        // What changes while it is read is read once more.
        let stamps = self.stamps();
        let settled = Settled { connector: self.read()?, stamps };
        Ok(Tls(Arc::new(Shared { options: self.clone(), server_name, settled: Mutex::new(settled) })))
    }

    /// When each file was written, or that it cannot be looked at.
    fn stamps(&self) -> Vec<Option<Stamp>> {
        let authority = match &self.trust {
            Trust::Only(pem) => Some(pem),
            Trust::System | Trust::Anyone => None,
        };
        let identity = self.identity.iter().flat_map(|(chain, key)| [chain, key]);
        let files = authority.into_iter().chain(identity).filter_map(|pem| match pem {
            Pem::File(path) => Some(path),
            Pem::Text(_) => None,
        });
        files.map(|path| std::fs::metadata(path).ok().map(|file| Stamp::of(&file))).collect()
    }

    fn read(&self) -> Result<TlsConnector, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable("TLS cannot be set up").with_source(error))?;
        let builder = self.trust.apply(builder, &provider)?;
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain_of = chain.certificates("client certificate")?;
                let key =
                    PrivateKeyDer::from_pem_slice(key.read("client key")?.expose()).map_err(|error| {
                        unusable(format!("the client key {key} is not a private key in PEM form"))
                            .with_source(error)
                    })?;
                builder.with_client_auth_cert(chain_of, key).map_err(|error| {
                    unusable(format!("the client certificate {chain} does not go with its key"))
                        .with_source(error)
                })?
            }
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// Who says whether a server is trusted, for a look at one.
    pub(crate) fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        Ok(match &self.trust {
            Trust::System => {
                let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(provider));
                Arc::new(verifier.map_err(no_system_authorities)?)
            }
            Trust::Only(pem) => {
                let roots = Arc::new(pem.roots()?);
                let builder = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider));
                builder
                    .build()
                    .map_err(|error| unusable(format!("the CA {pem} is of no use")).with_source(error))?
            }
            Trust::Anyone => Arc::new(LetPass::unseen(Arc::clone(provider))),
        })
    }

    /// The name that the certificate of `host` must be for.
    pub(crate) fn name_for(&self, host: &str) -> Result<ServerName<'static>, Error> {
        parse_name(self.server_name.as_deref().unwrap_or(host))
    }
}

impl Trust {
    fn apply(
        &self,
        builder: ConfigBuilder<ClientConfig, WantsVerifier>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
        match self {
            Self::System => builder.with_platform_verifier().map_err(no_system_authorities),
            Self::Only(pem) => Ok(builder.with_root_certificates(pem.roots()?)),
            Self::Anyone => {
                let verifier = Arc::new(LetPass::unseen(Arc::clone(provider)));
                Ok(builder.dangerous().with_custom_certificate_verifier(verifier))
            }
        }
    }
}

impl Pem {
    fn read(&self, what: &str) -> Result<Secret, Error> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => std::fs::read(path).map(Secret::new).map_err(|error| {
                unusable(format!("the {what} file {} cannot be read", path.display())).with_source(error)
            }),
        }
    }

    fn roots(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates("CA")? {
            roots.add(certificate).map_err(|error| {
                unusable(format!("a certificate in the CA {self} is malformed")).with_source(error)
            })?;
        }
        Ok(roots)
    }

    fn certificates(&self, what: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
        let text = self.read(what)?;
        let certificates = CertificateDer::pem_slice_iter(text.expose())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unusable(format!("the {what} {self} is not in PEM form")).with_source(error))?;
        if certificates.is_empty() {
            return Err(unusable(format!("the {what} {self} holds no certificate in PEM form")));
        }
        Ok(certificates)
    }
}

impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Text(_) => f.write_str("text"),
        }
    }
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trust = match &self.trust {
            Trust::System => "system".to_owned(),
            Trust::Only(pem) => format!("CA {pem}"),
            Trust::Anyone => "anyone".to_owned(),
        };
        f.debug_struct("TlsOptions")
            .field("trust", &trust)
            .field("client_certificate", &self.identity.as_ref().map(|(chain, _)| chain.to_string()))
            .field("server_name", &self.server_name)
            .finish()
    }
}

/// A settled configuration. A file that is replaced counts from the next connection on, so that authorities and client
/// certificates are renewed without a restart.
#[derive(Clone)]
pub(crate) struct Tls(Arc<Shared>);

struct Shared {
    options: TlsOptions,
    server_name: Option<ServerName<'static>>,
    settled: Mutex<Settled>,
}

struct Settled {
    connector: TlsConnector,
    /// Of the files that were read, in their order.
    stamps: Vec<Option<Stamp>>,
}

/// What tells a file from the one that takes its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    written: (i64, i64),
    size: u64,
    number: (u64, u64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        let (written, number) = ((file.mtime(), file.mtime_nsec()), (file.dev(), file.ino()));
        Self { written, size: file.size(), number }
    }
}

impl Tls {
    /// What connects now. Files that are of no use, half-written ones among them, leave all as it was.
    fn connector(&self) -> TlsConnector {
        let stamps = self.0.options.stamps();
        let mut settled = self.0.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if settled.stamps != stamps {
            match self.0.options.read() {
                Ok(connector) => {
                    tracing::info!("the files of certificates have changed, and were read again");
                    settled.connector = connector;
                }
                Err(error) => {
                    tracing::warn!(%error, "the files of certificates have changed, and those before stay in use");
                }
            }
            settled.stamps = stamps;
        }
        settled.connector.clone()
    }

    /// The handshake. `host` is the name the certificate must be for, `server` what messages call the server.
    pub(crate) async fn handshake(
        &self,
        stream: TcpStream,
        host: &str,
        server: &str,
    ) -> Result<TlsStream<GatheringTcp>, Error> {
        let name = match &self.0.server_name {
            Some(name) => name.clone(),
            None => parse_name(host)?,
        };
        self.connector().connect(name, GatheringTcp::new(stream)).await.map_err(|error| {
            let message = format!("no TLS with {server}: {}", explain(&error));
            Error::new(ErrorKind::Tls, message).with_source(error)
        })
    }
}

fn parse_name(name: &str) -> Result<ServerName<'static>, Error> {
    // A fully qualified name may end in a dot; names in certificates never do.
    let bare = name.strip_suffix('.').unwrap_or(name);
    ServerName::try_from(bare.to_owned()).map_err(|error| {
        unusable(format!("`{name}` is neither a host name nor an address, so no certificate can be for it"))
            .with_source(error)
    })
}

fn no_system_authorities(error: rustls::Error) -> Error {
    unusable("the certificate authorities of this system cannot be read: name a CA file instead")
        .with_source(error)
}

fn unusable(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Misuse, message)
}

/// What went wrong in a handshake, and the mend.
pub(crate) fn explain(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(refusal)) => explain_certificate(refusal),
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "the server does not speak TLS on this port: use StartTLS, or the port for ldaps".to_owned()
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            format!(
                "the server refused with the alert {alert:?}: see its log, and whether it wants a client certificate"
            )
        }
        Some(rustls::Error::PeerIncompatible(_)) => {
            "the server offers nothing this client takes: TLS 1.2 or newer is needed".to_owned()
        }
        Some(rustls::Error::NoCertificatesPresented) => "the server showed no certificate".to_owned(),
        Some(_) => "the server broke the rules of TLS".to_owned(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the server closed the connection during the handshake: is TLS set up on this port?".to_owned()
        }
        None => "the connection was lost during the handshake".to_owned(),
    }
}

pub(crate) fn explain_certificate(refusal: &CertificateError) -> String {
    use CertificateError as Refusal;
    match refusal {
        Refusal::Expired | Refusal::ExpiredContext { .. } => {
            "the server's certificate has expired: have it renewed, or check the clock of this machine"
                .to_owned()
        }
        Refusal::NotValidYet | Refusal::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: check the clock of this machine".to_owned()
        }
        Refusal::NotValidForName => {
            "the server's certificate is for another name: connect to a name that is in it".to_owned()
        }
        Refusal::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            if presented.is_empty() {
                format!(
                    "the server's certificate names no host in its subjectAltName (a common name does not count), so \
                     it is not for `{expected}`: have one issued that does"
                )
            } else {
                format!(
                    "the server's certificate is for {}, not for `{expected}`: connect to a name that is in it",
                    presented.iter().map(|name| bare_name(name)).collect::<Vec<_>>().join(", ")
                )
            }
        }
        Refusal::UnknownIssuer => {
            "the server's certificate was issued by nobody this client trusts: name the CA file of its issuer"
                .to_owned()
        }
        Refusal::Revoked => "the server's certificate has been revoked: have it replaced".to_owned(),
        Refusal::InvalidPurpose | Refusal::InvalidPurposeContext { .. } => {
            "the server's certificate is not for servers: have one issued with the purpose `serverAuth`"
                .to_owned()
        }
        // A key of another kind than the signature: two authorities of one name, as for a wrong signature.
        Refusal::BadSignature | Refusal::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the server's certificate was signed by another than the authority this client trusts under that name: name \
             the CA file of its issuer"
                .to_owned()
        }
        Refusal::Other(other) if other.0.to_string() == "CaUsedAsEndEntity" => {
            "the server's certificate is that of an authority, as `openssl req -x509` makes them unless it is told `-addext \
             basicConstraints=critical,CA:FALSE`: have one issued for a server"
                .to_owned()
        }
        other => format!("the server's certificate was refused: {other}"),
    }
}

/// A name of a certificate without the kind rustls writes around it: `DnsName("host")`, `IpAddress(1.2.3.4)`.
fn bare_name(presented: &str) -> &str {
    let inside = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.unwrap_or(presented).trim_matches('"')
}
