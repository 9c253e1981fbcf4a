//! `AddRequest` (RFC 4511 §4.7).

use super::{Limits, Spelt};
use crate::{
    attribute::Attributes,
    ber::{DecodeError, Reader, Tag, Writer},
    dn::Dn,
    entry::Entry,
};

/// Adds an entry.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the request of RFC 4511")]
pub struct Add {
    /// The name of the new entry. Its parent exists; it does not.
    pub dn: Dn,
    /// The attributes, those of the name included.
    pub attributes: Attributes,
}

impl Add {
    /// Adds an entry with this name and these attributes.
    #[must_use]
    pub const fn new(dn: Dn, attributes: Attributes) -> Self {
        Self { dn, attributes }
    }

    pub(super) fn decode(mut reader: Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        let dn = Spelt::read(&mut reader, Tag::OCTET_STRING)?;
        let attributes = Attributes::decode(&mut reader, limits)?;
        reader.finish_extensible()?;
        Ok(Self { dn: dn.dn()?, attributes })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.octets(self.dn.as_str().as_bytes());
        writer.primitive(Tag::SEQUENCE, self.attributes.as_ref().as_bytes());
    }
}

impl TryFrom<&Entry> for Add {
    type Error = crate::dn::DnError;

    fn try_from(entry: &Entry) -> Result<Self, Self::Error> {
        Ok(Self { dn: entry.dn()?, attributes: entry.attributes().to_attributes() })
    }
}
