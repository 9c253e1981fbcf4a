//! `DelRequest` (RFC 4511 §4.8).

use super::{DEL_REQUEST, Spelt};
use crate::{
    ber::{DecodeError, Reader, Writer},
    dn::Dn,
};

/// Deletes an entry that has no children.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the request of RFC 4511")]
pub struct Delete {
    /// The entry.
    pub dn: Dn,
}

impl Delete {
    /// Reads the whole operation: it is a name with a tag of its own, not a sequence.
    pub(super) fn decode(mut op: Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { dn: Spelt::read(&mut op, DEL_REQUEST)?.dn()? })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.primitive(DEL_REQUEST, self.dn.as_str().as_bytes());
    }
}
