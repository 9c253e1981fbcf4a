//! The wire form (RFC 4511 §4.5.1.7).

use super::Filter;
use crate::{
    ber::{DecodeError, Reader, Writer},
    message::Limits,
};

pub(super) fn decode(reader: &mut Reader<'_>, limits: &Limits) -> Result<Filter, DecodeError> {
    let _ = (reader, limits);
    todo!()
}

pub(super) fn encode(filter: &Filter, writer: &mut Writer) {
    let _ = (filter, writer);
    todo!()
}
