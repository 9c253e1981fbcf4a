//! SASL mechanisms (RFC 4422) without I/O, for both ends of a conversation.
//!
//! A mechanism takes the octets of one message and gives those of the next. It knows no socket, no clock, no runtime and
//! no LDAP: who carries the messages, looks accounts up and counts failures stands around it. Random numbers are given,
//! by [`nonce`] or, in tests, by the vectors of the RFCs.
//!
//! - [`scram`]: SCRAM-SHA-1, SCRAM-SHA-256 and SCRAM-SHA-512, with channel binding and without (RFC 5802, RFC 7677).
//! - [`plain`]: PLAIN (RFC 4616).
//! - [`digest_md5`]: DIGEST-MD5 (RFC 2831), the client's end only.
//! - [`oauth_bearer`]: OAUTHBEARER (RFC 7628), the client's end only.
//! - [`gssapi`]: GSSAPI (RFC 4752) and GSS-SPNEGO by Kerberos, the client's end only.
//! - [`ClientExchange`]: whichever mechanism a client has chosen, behind one type.
//!
//! [`server_end_point`] is what a server's certificate is told by, for channel binding.
//!
//! Those by Kerberos alone have security layers; what protects the conversation otherwise is TLS.

mod certificate;
mod client;
pub mod digest_md5;
mod error;
pub mod gssapi;
mod mechanism;
pub mod oauth_bearer;
pub mod plain;
mod prepare;
pub mod scram;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::rand::{SecureRandom as _, SystemRandom};

pub use flext_ldap_proto::{channel_binding, secret};

pub use self::{
    certificate::server_end_point, client::ClientExchange, error::SaslError, mechanism::Mechanism,
    prepare::saslprep,
};

/// A random text for one exchange: 18 octets in base64.
///
/// # Errors
///
/// [`SaslError::NoRandomness`] when the system has none.
pub fn nonce() -> Result<String, SaslError> {
    Ok(STANDARD.encode(random::<18>()?))
}

fn random<const N: usize>() -> Result<[u8; N], SaslError> {
    let mut octets = [0; N];
    SystemRandom::new().fill(&mut octets).map_err(|_| SaslError::NoRandomness)?;
    Ok(octets)
}
