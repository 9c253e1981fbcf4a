//! Relax rules (draft-zeilenga-ldap-relax): what the directory sets by itself may be set, and what is obsolete may be used.

use super::{ControlScope, ControlValue};
use crate::{
    ber::{DecodeError, Reader, Writer},
    message::Limits,
    oid::Oid,
};

/// The control; it has no value.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "it has no value")]
pub struct RelaxRules;

impl ControlValue for RelaxRules {
    const OID: Oid = Oid::from_static("1.3.6.1.4.1.4203.666.5.12");
    const SCOPE: ControlScope = ControlScope::EndToEnd;
    const HAS_VALUE: bool = false;

    fn encode(&self, _writer: &mut Writer) {}

    fn decode(_reader: &mut Reader<'_>, _limits: &Limits) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}
