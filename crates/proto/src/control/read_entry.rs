//! Pre-read and post-read (RFC 4527): the target as it was before, or is after, the change, in the same step.

use super::{ControlScope, ControlValue};
use crate::{
    attribute::Selection,
    ber::{DecodeError, Reader, Writer},
    entry::Entry,
    message::Limits,
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
        let _ = (reader, limits);
        todo!()
    }

    /// Writes the value of a response control.
    pub fn encode(&self, writer: &mut Writer) {
        let _ = (&self.0, writer);
        todo!()
    }
}

impl std::fmt::Debug for ReadEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ReadEntry").field(&self.0).finish()
    }
}
