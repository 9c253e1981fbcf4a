//! StartTls (RFC 4511 §4.14).

use super::ExtendedOperation;
use crate::{
    ber::{DecodeError, Writer},
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

    fn encode(&self, writer: &mut Writer) -> bool {
        let _ = writer;
        todo!()
    }

    fn decode(request: &ExtendedRequest) -> Result<Self, DecodeError> {
        todo!("{request:?}")
    }

    fn decode_response(response: &ExtendedResponse) -> Result<Self::Response, DecodeError> {
        todo!("{response:?}")
    }
}
