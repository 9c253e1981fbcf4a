//! `AbandonRequest` (RFC 4511 §4.11).

use super::{ABANDON_REQUEST, MessageId};
use crate::ber::{DecodeError, Reader, Writer};

/// Reads the whole operation: it is an integer with a tag of its own, not a sequence.
pub(super) fn decode(mut op: Reader<'_>) -> Result<MessageId, DecodeError> {
    op.unsigned_tagged(ABANDON_REQUEST).map(MessageId)
}

pub(super) fn encode(id: MessageId, writer: &mut Writer) {
    writer.integer_tagged(ABANDON_REQUEST, i64::from(id.0));
}
