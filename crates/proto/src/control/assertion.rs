//! Assertion (RFC 4528): the operation is done only if a filter is true of its target.

use super::{ControlScope, ControlValue};
use crate::{
    ber::{DecodeError, Reader, Writer},
    filter::Filter,
    message::Limits,
    oid::Oid,
};

/// The filter that must be true.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the value of RFC 4528")]
pub struct Assertion(pub Filter);

impl ControlValue for Assertion {
    const OID: Oid = Oid::from_static("1.3.6.1.1.12");
    const SCOPE: ControlScope = ControlScope::EndToEnd;

    fn encode(&self, writer: &mut Writer) {
        self.0.encode(writer);
    }

    fn decode(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        Filter::decode(reader, limits).map(Self)
    }
}
