//! Don't use copy (RFC 6171): the answer is to come from the original, not from a copy of it.

use super::{ControlScope, ControlValue};
use crate::{
    ber::{DecodeError, Reader, Writer},
    message::Limits,
    oid::Oid,
};

/// The control; it has no value.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "it has no value")]
pub struct DontUseCopy;

impl ControlValue for DontUseCopy {
    const OID: Oid = Oid::from_static("1.3.6.1.1.22");
    const SCOPE: ControlScope = ControlScope::EndToEnd;
    const HAS_VALUE: bool = false;

    fn encode(&self, _writer: &mut Writer) {}

    fn decode(_reader: &mut Reader<'_>, _limits: &Limits) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}
