//! `ExtendedRequest` and `ExtendedResponse` (RFC 4511 §4.12).

use bytes::Bytes;

use super::{
    Limits,
    answer::{Answer, encode_result},
};
use crate::{
    ber::{DecodeError, Reader, Tag, Writer},
    control::decode_oid,
    oid::Oid,
    result::LdapResult,
};

const REQUEST_NAME: Tag = Tag::context(0);
const REQUEST_VALUE: Tag = Tag::context(1);
/// `responseName [10]`.
pub(super) const RESPONSE_NAME: Tag = Tag::context(10);
/// `responseValue [11]`.
pub(super) const RESPONSE_VALUE: Tag = Tag::context(11);

/// An operation named by an object identifier. Typed ones are in [`crate::extended`].
///
/// The value can hold a password, so `Debug` does not show it.
#[derive(Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the request of RFC 4511")]
pub struct ExtendedRequest {
    /// Which operation.
    pub oid: Oid,
    /// Its parameters.
    pub value: Option<Bytes>,
}

impl ExtendedRequest {
    pub(super) fn decode(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let oid = decode_oid(&mut reader, REQUEST_NAME)?;
        let value = match reader.peek() {
            Some(REQUEST_VALUE) => Some(reader.primitive(REQUEST_VALUE)?),
            _ => None,
        };
        reader.finish_extensible()?;
        Ok(Self { oid, value })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.primitive(REQUEST_NAME, self.oid.as_str().as_bytes());
        if let Some(value) = &self.value {
            writer.primitive(REQUEST_VALUE, value);
        }
    }
}

impl std::fmt::Debug for ExtendedRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExtendedRequest").field("oid", &self.oid).finish_non_exhaustive()
    }
}

/// The answer to an extended operation, or a notice (with id 0).
#[derive(Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the response of RFC 4511")]
pub struct ExtendedResponse {
    /// The result.
    pub result: LdapResult,
    /// Which response.
    pub oid: Option<Oid>,
    /// Its contents; may hold a generated password.
    pub value: Option<Bytes>,
}

impl ExtendedResponse {
    /// Reads the contents of the operation. `outside` is what stands behind it in the message: Active Directory puts
    /// the name of its Notice of Disconnection there.
    pub(super) fn decode(
        reader: Reader<'_>,
        mut outside: Reader<'_>,
        limits: &Limits,
    ) -> Result<Self, DecodeError> {
        let Answer { result, name, value, .. } = Answer::decode(reader, limits)?;
        let oid = match name {
            None if outside.peek() == Some(RESPONSE_NAME) => Some(decode_oid(&mut outside, RESPONSE_NAME)?),
            name => name,
        };
        Ok(Self { result, oid, value })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        encode_result(&self.result, writer);
        if let Some(oid) = &self.oid {
            writer.primitive(RESPONSE_NAME, oid.as_str().as_bytes());
        }
        if let Some(value) = &self.value {
            writer.primitive(RESPONSE_VALUE, value);
        }
    }
}

impl std::fmt::Debug for ExtendedResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExtendedResponse")
            .field("result", &self.result)
            .field("oid", &self.oid)
            .finish_non_exhaustive()
    }
}
