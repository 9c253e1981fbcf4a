//! `CompareRequest` (RFC 4511 §4.10).

use bytes::Bytes;

use crate::{attribute::AttributeDescription, dn::Dn};

/// Asks whether an entry has a value.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the request of RFC 4511")]
pub struct Compare {
    /// The entry.
    pub dn: Dn,
    /// The attribute.
    pub attribute: AttributeDescription,
    /// The value.
    pub value: Bytes,
}
