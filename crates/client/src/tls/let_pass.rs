//! A verifier to whom every certificate is good enough: for [`super::TlsOptions::dangerous_accept_any_certificate`], and for
//! those who only look at what a server shows. Signatures of the handshake are verified, so that what was shown is of who
//! showed it.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// Lets every certificate pass.
#[derive(Debug)]
pub(crate) struct LetPass {
    provider: Arc<CryptoProvider>,
    watch: Option<Watch>,
}

#[derive(Debug)]
struct Watch {
    judge: Arc<dyn ServerCertVerifier>,
    seen: Mutex<Seen>,
}

/// What was shown, and what the true verifier said of it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) verdict: Option<rustls::Error>,
}

impl LetPass {
    /// Nobody looks at what passes.
    pub(crate) fn unseen(provider: Arc<CryptoProvider>) -> Self {
        Self { provider, watch: None }
    }

    /// Keeps what passes, with what `judge` says of it.
    pub(crate) fn seen_by(judge: Arc<dyn ServerCertVerifier>, provider: Arc<CryptoProvider>) -> Self {
        Self { provider, watch: Some(Watch { judge, seen: Mutex::default() }) }
    }

    /// What was seen last, once.
    pub(crate) fn take(&self) -> Seen {
        let seen = self.watch.as_ref().map(|watch| &watch.seen);
        let seen = seen.map(|seen| std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner)));
        seen.unwrap_or_default()
    }
}

impl ServerCertVerifier for LetPass {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(Watch { judge, seen }) = &self.watch {
            let judged = judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
            let chain = std::iter::once(end_entity).chain(intermediates);
            let chain = chain.map(|one| one.clone().into_owned()).collect();
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen { chain, verdict: judged.err() };
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
