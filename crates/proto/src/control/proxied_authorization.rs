//! Proxied authorization (RFC 4370): the operation is done on behalf of somebody else.

use super::{ControlScope, ControlValue};
use crate::{
    ber::{DecodeError, DecodeErrorKind, Reader, Writer},
    message::Limits,
    oid::Oid,
};

/// On whose behalf: an authorization id (RFC 4513 §5.2.1.8), `dn:…` or `u:…`, or nothing for anonymous.
///
/// It must be critical (RFC 4370 §3): send it with [`Controls::critical`](super::Controls::critical).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the value of RFC 4370")]
pub struct ProxiedAuthorization(pub String);

impl ControlValue for ProxiedAuthorization {
    const OID: Oid = Oid::from_static("2.16.840.1.113730.3.4.18");
    const SCOPE: ControlScope = ControlScope::Identity;

    /// The id as it is, without a header of its own (RFC 4370 §3).
    fn encode(&self, writer: &mut Writer) {
        writer.raw(self.0.as_bytes());
    }

    fn decode(reader: &mut Reader<'_>, _limits: &Limits) -> Result<Self, DecodeError> {
        let start = reader.position();
        let octets = reader.rest();
        let text = std::str::from_utf8(&octets).map_err(|error| DecodeError {
            offset: start.saturating_add(error.valid_up_to()),
            kind: DecodeErrorKind::InvalidUtf8,
        })?;
        Ok(Self(text.to_owned()))
    }
}
