//! Permissive modify (MS-ADTS §3.1.1.3.4.1.8): adding a value that is there and deleting one that is not succeed.

use super::{ControlScope, ControlValue};
use crate::{
    ber::{DecodeError, Reader, Writer},
    message::Limits,
    oid::Oid,
};

/// The control; it has no value.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "it has no value")]
pub struct PermissiveModify;

impl ControlValue for PermissiveModify {
    const OID: Oid = Oid::from_static("1.2.840.113556.1.4.1413");
    const SCOPE: ControlScope = ControlScope::EndToEnd;
    const HAS_VALUE: bool = false;

    fn encode(&self, _writer: &mut Writer) {}

    fn decode(_reader: &mut Reader<'_>, _limits: &Limits) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}
