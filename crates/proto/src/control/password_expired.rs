//! Password expired (draft-vchu-ldap-pwd-policy-00 §4.1, Netscape's and its heirs'): comes unasked with the answer to a
//! bind. With a success it lets its owner in to change the password and for nothing else.

use super::{ControlScope, ControlValue};
use crate::{
    ber::{DecodeError, Reader, Writer},
    message::Limits,
    oid::Oid,
};

/// The control. Its value is the text `0`, which says nothing; whatever stands there is read as that.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "its value says nothing")]
pub struct PasswordExpired;

impl ControlValue for PasswordExpired {
    const OID: Oid = Oid::from_static("2.16.840.1.113730.3.4.4");
    const SCOPE: ControlScope = ControlScope::EndToEnd;

    fn encode(&self, writer: &mut Writer) {
        writer.raw(b"0");
    }

    fn decode(reader: &mut Reader<'_>, _limits: &Limits) -> Result<Self, DecodeError> {
        let _ = reader.rest();
        Ok(Self)
    }
}
