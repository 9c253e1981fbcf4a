//! `IntermediateResponse` (RFC 4511 §4.13).

use bytes::Bytes;

use crate::{
    ber::{DecodeError, Reader, Tag, Writer},
    control::decode_oid,
    oid::Oid,
};

const NAME: Tag = Tag::context(0);
const VALUE: Tag = Tag::context(1);

/// Something an extension sends before the result.
#[derive(Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the response of RFC 4511")]
pub struct IntermediateResponse {
    /// Which one.
    pub oid: Option<Oid>,
    /// Its contents.
    pub value: Option<Bytes>,
}

impl IntermediateResponse {
    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let oid = match reader.peek() {
            Some(NAME) => Some(decode_oid(&mut reader, NAME)?),
            _ => None,
        };
        let value = match reader.peek() {
            Some(VALUE) => Some(reader.primitive(VALUE)?),
            _ => None,
        };
        reader.finish_extensible()?;
        Ok(Self { oid, value })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        if let Some(oid) = &self.oid {
            writer.primitive(NAME, oid.as_str().as_bytes());
        }
        if let Some(value) = &self.value {
            writer.primitive(VALUE, value);
        }
    }
}

impl std::fmt::Debug for IntermediateResponse {
    /// Leaves the value out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntermediateResponse").field("oid", &self.oid).finish_non_exhaustive()
    }
}
