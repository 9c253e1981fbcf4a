//! Password expiring (draft-vchu-ldap-pwd-policy-00 §4.2, Netscape's and its heirs'): comes unasked with the answer to a
//! bind when the password expires before long.

use super::{ControlScope, ControlValue};
use crate::{
    ber::{DecodeError, DecodeErrorKind, Reader, Writer},
    message::Limits,
    oid::Oid,
};

/// How many seconds there are still; on the wire that is text.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the value of the draft")]
pub struct PasswordExpiring(pub u32);

impl ControlValue for PasswordExpiring {
    const OID: Oid = Oid::from_static("2.16.840.1.113730.3.4.5");
    const SCOPE: ControlScope = ControlScope::EndToEnd;

    fn encode(&self, writer: &mut Writer) {
        writer.raw(self.0.to_string().as_bytes());
    }

    fn decode(reader: &mut Reader<'_>, _limits: &Limits) -> Result<Self, DecodeError> {
        let invalid = reader.error(DecodeErrorKind::IntegerOutOfRange);
        let rest = reader.rest();
        let text = std::str::from_utf8(&rest).map_err(|_| invalid)?;
        // Some servers end the text as C does.
        text.trim_end_matches('\0').trim().parse().map(Self).map_err(|_| invalid)
    }
}
