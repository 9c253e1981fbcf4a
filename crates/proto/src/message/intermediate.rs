//! `IntermediateResponse` (RFC 4511 §4.13).

use bytes::Bytes;

use crate::oid::Oid;

/// Something an extension sends before the result.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the response of RFC 4511")]
pub struct IntermediateResponse {
    /// Which one.
    pub oid: Option<Oid>,
    /// Its contents.
    pub value: Option<Bytes>,
}
