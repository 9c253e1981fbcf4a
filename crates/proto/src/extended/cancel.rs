//! Cancel (RFC 3909).

use super::ExtendedOperation;
use crate::{
    ber::{DecodeError, Reader, Writer},
    message::{ExtendedRequest, ExtendedResponse, MessageId},
    oid::Oid,
};

/// Asks for an operation to end now, and for an answer from both (unlike Abandon).
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the parameters of RFC 3909")]
pub struct Cancel(pub MessageId);

impl ExtendedOperation for Cancel {
    const OID: Oid = Oid::from_static("1.3.6.1.1.8");
    type Response = ();

    fn encode(&self, writer: &mut Writer) -> bool {
        writer.sequence(|writer| writer.integer(i64::from(self.0.0)));
        true
    }

    fn decode(request: &ExtendedRequest) -> Result<Self, DecodeError> {
        let value = request.value.clone().unwrap_or_default();
        let mut reader = Reader::new(&value);
        let mut sequence = reader.sequence()?;
        let id = MessageId(sequence.unsigned()?);
        sequence.finish_extensible()?;
        reader.finish()?;
        Ok(Self(id))
    }

    fn decode_response(_response: &ExtendedResponse) -> Result<Self::Response, DecodeError> {
        Ok(())
    }
}
