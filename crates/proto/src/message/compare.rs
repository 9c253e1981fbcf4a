//! `CompareRequest` (RFC 4511 §4.10).

use bytes::Bytes;

use super::Spelt;
use crate::{
    attribute::AttributeDescription,
    ber::{DecodeError, Reader, Tag, Writer},
    dn::Dn,
};

/// Asks whether an entry has a value.
#[derive(Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the request of RFC 4511")]
pub struct Compare {
    /// The entry.
    pub dn: Dn,
    /// The attribute.
    pub attribute: AttributeDescription,
    /// The value.
    pub value: Bytes,
}

impl Compare {
    pub(super) fn decode(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let dn = Spelt::read(&mut reader, Tag::OCTET_STRING)?;
        let mut assertion = reader.sequence()?;
        let attribute = Spelt::read(&mut assertion, Tag::OCTET_STRING)?;
        let value = assertion.octets()?;
        assertion.finish_extensible()?;
        reader.finish_extensible()?;
        Ok(Self { dn: dn.dn()?, attribute: attribute.description()?, value })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.octets(self.dn.as_str().as_bytes());
        writer.sequence(|writer| {
            writer.octets(self.attribute.as_str().as_bytes());
            writer.octets(&self.value);
        });
    }
}

impl std::fmt::Debug for Compare {
    /// Leaves the value out: it may be a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compare")
            .field("dn", &self.dn)
            .field("attribute", &self.attribute)
            .finish_non_exhaustive()
    }
}
