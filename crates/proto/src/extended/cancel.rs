//! Cancel (RFC 3909).

use super::ExtendedOperation;
use crate::{
    ber::{DecodeError, Writer},
    message::{ExtendedRequest, ExtendedResponse},
    oid::Oid,
};

/// Asks for an operation to end now, and for an answer from both (unlike Abandon).
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the parameters of RFC 3909")]
pub struct Cancel(pub crate::message::MessageId);

impl ExtendedOperation for Cancel {
    const OID: Oid = Oid::from_static("1.3.6.1.1.8");
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
