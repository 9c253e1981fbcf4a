//! WhoAmI (RFC 4532).

use super::ExtendedOperation;
use crate::{
    ber::{DecodeError, DecodeErrorKind, Reader, Writer},
    message::{ExtendedRequest, ExtendedResponse},
    oid::Oid,
};

/// Asks for the authorization identity: empty, `dn:…` or `u:…`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the parameters of RFC 4532")]
pub struct WhoAmI;

impl ExtendedOperation for WhoAmI {
    const OID: Oid = Oid::from_static("1.3.6.1.4.1.4203.1.11.3");
    type Response = String;

    fn encode(&self, _writer: &mut Writer) -> bool {
        false
    }

    fn decode(request: &ExtendedRequest) -> Result<Self, DecodeError> {
        // RFC 4532 §2.1 wants no value; an empty one says the same.
        let value = request.value.clone().unwrap_or_default();
        Reader::new(&value).finish()?;
        Ok(Self)
    }

    fn decode_response(response: &ExtendedResponse) -> Result<Self::Response, DecodeError> {
        let octets = response.value.as_deref().unwrap_or_default();
        match std::str::from_utf8(octets) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => {
                Err(DecodeError { offset: error.valid_up_to(), kind: DecodeErrorKind::InvalidUtf8 })
            }
        }
    }
}
