//! `BindRequest` and `BindResponse` (RFC 4511 §4.2).

use bytes::Bytes;

use crate::{result::LdapResult, secret::Secret};

/// Asks to be authenticated.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the request of RFC 4511")]
pub struct BindRequest {
    /// The protocol version; only 3 is spoken, others are decoded so that they can be refused with protocolError.
    pub version: u32,
    /// The name, as sent: a DN, or what some directories take instead (`user@example.com`). Often empty with SASL.
    pub name: String,
    /// The proof.
    pub authentication: Authentication,
}

/// How a bind proves who it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Authentication {
    /// A password; an empty one means anonymous (RFC 4513 §5.1).
    Simple(Secret),
    /// One step of a SASL exchange.
    Sasl {
        /// The mechanism, e.g. `EXTERNAL`.
        mechanism: String,
        /// What the mechanism sends; absent and empty are different.
        credentials: Option<Secret>,
    },
}

impl PartialEq for BindRequest {
    /// For tests of codecs; not in constant time.
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version
            && self.name == other.name
            && self.authentication == other.authentication
    }
}

impl PartialEq for Authentication {
    /// For tests of codecs; not in constant time.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Simple(one), Self::Simple(two)) => one.expose() == two.expose(),
            (
                Self::Sasl { mechanism: one, credentials: first },
                Self::Sasl { mechanism: two, credentials: second },
            ) => one == two && first.as_ref().map(Secret::expose) == second.as_ref().map(Secret::expose),
            _ => false,
        }
    }
}

/// The answer to a bind.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the response of RFC 4511")]
pub struct BindResponse {
    /// The result; `saslBindInProgress` asks for the next step.
    pub result: LdapResult,
    /// What the mechanism sends back.
    pub server_credentials: Option<Bytes>,
}
