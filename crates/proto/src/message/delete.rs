//! `DelRequest` (RFC 4511 §4.8).

use crate::dn::Dn;

/// Deletes an entry that has no children.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the request of RFC 4511")]
pub struct Delete {
    /// The entry.
    pub dn: Dn,
}
