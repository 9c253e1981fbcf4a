//! `BindRequest` and `BindResponse` (RFC 4511 §4.2).

use bytes::Bytes;

use super::{
    Limits,
    answer::{Answer, encode_result},
};
use crate::{
    ber::{DecodeError, Reader, Tag, Writer},
    result::LdapResult,
    secret::Secret,
};

const SIMPLE: Tag = Tag::context(0);
const SASL: Tag = Tag::context_constructed(3);
/// `serverSaslCreds [7]`.
pub(super) const SERVER_SASL_CREDS: Tag = Tag::context(7);

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
    /// Another choice, such as the ones Windows makes for NTLM; the answer to it is `authMethodNotSupported`
    /// (RFC 4511 §4.2.2). What it held is not kept.
    Unknown(Tag),
}

impl BindRequest {
    pub(super) fn decode(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let version = reader.unsigned()?;
        let name = reader.text()?.to_owned();
        let authentication = match reader.peek() {
            Some(SASL) => {
                let mut sasl = reader.constructed(SASL)?;
                let mechanism = sasl.text()?.to_owned();
                let credentials = match sasl.peek() {
                    Some(Tag::OCTET_STRING) => Some(Secret::new(sasl.primitive_slice(Tag::OCTET_STRING)?)),
                    _ => None,
                };
                sasl.finish_extensible()?;
                Authentication::Sasl { mechanism, credentials }
            }
            Some(tag) if tag != SIMPLE && tag.is_context() => {
                reader.any()?;
                Authentication::Unknown(tag)
            }
            _ => Authentication::Simple(Secret::new(reader.primitive_slice(SIMPLE)?)),
        };
        reader.finish_extensible()?;
        Ok(Self { version, name, authentication })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.integer(i64::from(self.version));
        writer.octets(self.name.as_bytes());
        match &self.authentication {
            Authentication::Simple(password) => writer.primitive(SIMPLE, password.expose()),
            Authentication::Sasl { mechanism, credentials } => writer.constructed(SASL, |writer| {
                writer.octets(mechanism.as_bytes());
                if let Some(credentials) = credentials {
                    writer.octets(credentials.expose());
                }
            }),
            Authentication::Unknown(tag) => writer.primitive(*tag, b""),
        }
    }

    /// Octets that the whole message surely fits, so that no memory with a password in it is given back half-way.
    pub(super) fn size_bound(&self) -> usize {
        let proof = match &self.authentication {
            Authentication::Simple(password) => password.expose().len(),
            Authentication::Sasl { mechanism, credentials } => {
                mechanism.len() + credentials.as_ref().map_or(0, |credentials| credentials.expose().len())
            }
            Authentication::Unknown(_) => 0,
        };
        self.name.len() + proof + 64
    }
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
            (Self::Unknown(one), Self::Unknown(two)) => one == two,
            _ => false,
        }
    }
}

/// The answer to a bind.
#[derive(Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the response of RFC 4511")]
pub struct BindResponse {
    /// The result; `saslBindInProgress` asks for the next step.
    pub result: LdapResult,
    /// What the mechanism sends back.
    pub server_credentials: Option<Bytes>,
}

impl BindResponse {
    pub(super) fn decode(reader: Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        let Answer { result, credentials, .. } = Answer::decode(reader, limits)?;
        Ok(Self { result, server_credentials: credentials })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        encode_result(&self.result, writer);
        if let Some(credentials) = &self.server_credentials {
            writer.primitive(SERVER_SASL_CREDS, credentials);
        }
    }
}

impl std::fmt::Debug for BindResponse {
    /// Leaves out what the mechanism sends back.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BindResponse").field("result", &self.result).finish_non_exhaustive()
    }
}
