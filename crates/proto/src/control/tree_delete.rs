//! Tree delete (draft-armijo-ldap-treedelete): an entry is deleted with all that stands below it.

use super::{ControlScope, ControlValue};
use crate::{
    ber::{DecodeError, Reader, Writer},
    message::Limits,
    oid::Oid,
};

/// The control; it has no value.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "it has no value")]
pub struct TreeDelete;

impl ControlValue for TreeDelete {
    const OID: Oid = Oid::from_static("1.2.840.113556.1.4.805");
    const SCOPE: ControlScope = ControlScope::EndToEnd;
    const HAS_VALUE: bool = false;

    fn encode(&self, _writer: &mut Writer) {}

    fn decode(_reader: &mut Reader<'_>, _limits: &Limits) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}
