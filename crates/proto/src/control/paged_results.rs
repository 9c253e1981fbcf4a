//! Simple paged results (RFC 2696).

use bytes::Bytes;

use super::{ControlScope, ControlValue};
use crate::{
    ber::{DecodeError, Reader, Writer},
    message::Limits,
    oid::Oid,
};

/// `realSearchControlValue ::= SEQUENCE { size INTEGER (0..maxInt), cookie OCTET STRING }`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the value of RFC 2696")]
pub struct PagedResults {
    /// Asked: the most entries of the next page, 0 to end paging. Answered: an estimate of all, 0 if unknown.
    pub size: u32,
    /// Empty at the start, and in the answer after the last page. Valid on its own connection only.
    pub cookie: Bytes,
}

impl ControlValue for PagedResults {
    const OID: Oid = Oid::from_static("1.2.840.113556.1.4.319");
    const SCOPE: ControlScope = ControlScope::Connection;

    fn encode(&self, writer: &mut Writer) {
        writer.sequence(|writer| {
            writer.integer(i64::from(self.size));
            writer.octets(&self.cookie);
        });
    }

    fn decode(reader: &mut Reader<'_>, _limits: &Limits) -> Result<Self, DecodeError> {
        let mut sequence = reader.sequence()?;
        let value = Self { size: sequence.unsigned()?, cookie: sequence.octets()? };
        sequence.finish()?;
        Ok(value)
    }
}
