//! WhoAmI (RFC 4532).

use super::ExtendedOperation;
use crate::{
    ber::{DecodeError, Writer},
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
