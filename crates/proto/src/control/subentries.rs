//! Subentries (RFC 3672 §3): which of subentries and other entries a search sees.

use super::{ControlScope, ControlValue};
use crate::{
    ber::{DecodeError, Reader, Writer},
    message::Limits,
    oid::Oid,
};

/// `Visibility ::= BOOLEAN`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the value of RFC 3672")]
pub struct Subentries {
    /// Whether subentries are seen and nothing else, or everything but them.
    pub visible: bool,
}

impl ControlValue for Subentries {
    const OID: Oid = Oid::from_static("1.3.6.1.4.1.4203.1.10.1");
    const SCOPE: ControlScope = ControlScope::EndToEnd;

    fn encode(&self, writer: &mut Writer) {
        writer.boolean(self.visible);
    }

    fn decode(reader: &mut Reader<'_>, _limits: &Limits) -> Result<Self, DecodeError> {
        Ok(Self { visible: reader.boolean()? })
    }
}
