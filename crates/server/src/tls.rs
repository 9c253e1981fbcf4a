//! The server's side of TLS.

use std::{fmt, sync::Arc};

use flext_ldap_directory::{AgreedTls, External};
use flext_ldap_proto::{certificate::CertificateNames, channel_binding::ChannelBindings};
use rustls::{
    ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio_rustls::TlsAcceptor;

use crate::TlsError;

/// A certificate chain and its key, ready for `ldaps://` and StartTLS: TLS 1.2 and 1.3.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    /// What the certificate is told by (RFC 5929 §4).
    end_point: Option<Vec<u8>>,
}

impl ServerTls {
    /// Reads both from PEM. The server's own certificate comes first in the chain.
    ///
    /// # Errors
    ///
    /// When either cannot be read, or they do not go together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Self::new(chain, key, Arc::new(NoClientAuth))
    }

    /// As [`from_pem`](Self::from_pem); besides, clients may show a certificate that one of these authorities (PEM) has
    /// issued, and sign in with it by SASL EXTERNAL. One that cannot be verified ends the handshake; none at all is as
    /// good as before.
    ///
    /// # Errors
    ///
    /// When something cannot be read, or does not go together.
    pub fn with_client_authorities(chain: &[u8], key: &[u8], authorities: &[u8]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authorities) {
            roots.add(certificate.map_err(TlsError::Authority)?).map_err(TlsError::Unusable)?;
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(TlsError::NoAuthority)?;
        Self::new(chain, key, verifier)
    }

    fn new(chain: &[u8], key: &[u8], clients: Arc<dyn ClientCertVerifier>) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(TlsError::Certificate)?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let end_point = chain.first().and_then(|certificate| flext_ldap_sasl::server_end_point(certificate));
        let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .map_err(TlsError::Unusable)?;
        Ok(Self { config: Arc::new(config), end_point })
    }

    /// What a connection can be told by once its handshake is done.
    pub(crate) fn bindings(&self, agreed: &ServerConnection) -> ChannelBindings {
        // RFC 9266 §4.2: of older versions only where the handshake has extended master secrets, which is not told.
        let is_unique = agreed.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let exporter = || agreed.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok();
        ChannelBindings {
            exporter: is_unique.then(exporter).flatten().map(|octets: [u8; 32]| octets.to_vec()),
            server_end_point: self.end_point.clone(),
        }
    }

    /// What both ends have agreed on.
    pub(crate) fn agreed(agreed: &ServerConnection) -> Option<AgreedTls> {
        let version = match agreed.protocol_version()? {
            ProtocolVersion::TLSv1_2 => "1.2",
            ProtocolVersion::TLSv1_3 => "1.3",
            _ => return None,
        };
        let cipher = agreed.negotiated_cipher_suite()?.suite().as_str()?;
        // RFC 8446 §B.4 names those of 1.3 as all others.
        Some(AgreedTls { version, cipher: cipher.replacen("TLS13_", "TLS_", 1) })
    }

    /// Who the client is by its certificate, if it has shown one.
    pub(crate) fn client(agreed: &ServerConnection) -> Option<External> {
        let certificate = agreed.peer_certificates()?.first()?;
        let names = CertificateNames::parse(certificate);
        if names.is_none() {
            tracing::debug!("a client certificate has names that cannot be read: it is nobody's");
        }
        names.map(|names| External::Certificate(Arc::new(names)))
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls(..)")
    }
}
