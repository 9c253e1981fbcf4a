//! Pre-read and post-read (RFC 4527): the target as it was before, or is after, the change, in the same step.

use bytes::Bytes;

use super::{ControlScope, ControlValue};
use crate::{
    attribute::{Attributes, Selection},
    ber::{DecodeError, Reader, Tag, Writer},
    entry::Entry,
    message::{Limits, SEARCH_RESULT_ENTRY},
    oid::Oid,
};

/// Asks for the entry before the change.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the value of RFC 4527")]
pub struct PreRead(pub Selection);

/// Asks for the entry after the change.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the value of RFC 4527")]
pub struct PostRead(pub Selection);

impl ControlValue for PreRead {
    const OID: Oid = Oid::from_static("1.3.6.1.1.13.1");
    const SCOPE: ControlScope = ControlScope::EndToEnd;

    fn encode(&self, writer: &mut Writer) {
        self.0.encode(writer);
    }

    fn decode(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        Selection::decode(reader, limits).map(Self)
    }
}

impl ControlValue for PostRead {
    const OID: Oid = Oid::from_static("1.3.6.1.1.13.2");
    const SCOPE: ControlScope = ControlScope::EndToEnd;

    fn encode(&self, writer: &mut Writer) {
        self.0.encode(writer);
    }

    fn decode(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        Selection::decode(reader, limits).map(Self)
    }
}

/// The answer to either: a `SearchResultEntry`.
#[derive(Clone, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the value of RFC 4527")]
pub struct ReadEntry(pub Entry);

impl ReadEntry {
    /// Reads the value of a response control.
    ///
    /// # Errors
    ///
    /// When it is not an entry.
    pub fn decode(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        // RFC 4527 §3.1 wants the tag of a SearchResultEntry; some servers leave a plain SEQUENCE.
        let tag = if reader.peek() == Some(Tag::SEQUENCE) { Tag::SEQUENCE } else { SEARCH_RESULT_ENTRY };
        let mut entry = reader.constructed(tag)?;
        let dn = entry.text()?;
        let dn = Bytes::copy_from_slice(dn.as_bytes());
        let attributes = Attributes::decode(&mut entry, limits)?;
        entry.finish_extensible()?;
        Ok(Self(Entry::from_checked(dn, attributes)))
    }

    /// Writes the value of a response control.
    pub fn encode(&self, writer: &mut Writer) {
        writer.constructed(SEARCH_RESULT_ENTRY, |writer| {
            writer.octets(self.0.dn_str().as_bytes());
            writer.primitive(Tag::SEQUENCE, self.0.attributes().as_bytes());
        });
    }
}

impl std::fmt::Debug for ReadEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ReadEntry").field(&self.0).finish()
    }
}
