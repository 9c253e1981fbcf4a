//! StartTls (RFC 4511 §4.14).

use super::ExtendedOperation;
use crate::{
    ber::{DecodeError, Reader, Writer},
    message::{ExtendedRequest, ExtendedResponse},
    oid::Oid,
};

/// Asks for TLS on this connection. Belongs to the connection: no directory answers it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the parameters of RFC 4511 §4.14")]
pub struct StartTls;

impl ExtendedOperation for StartTls {
    const OID: Oid = Oid::from_static("1.3.6.1.4.1.1466.20037");
    type Response = ();

    fn encode(&self, _writer: &mut Writer) -> bool {
        false
    }

    fn decode(request: &ExtendedRequest) -> Result<Self, DecodeError> {
        // RFC 4511 §4.14.1 wants no value; an empty one says the same.
        let value = request.value.clone().unwrap_or_default();
        Reader::new(&value).finish()?;
        Ok(Self)
    }

    fn decode_response(_response: &ExtendedResponse) -> Result<Self::Response, DecodeError> {
        Ok(())
    }
}
