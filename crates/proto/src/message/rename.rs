//! `ModifyDNRequest` (RFC 4511 §4.9).

use crate::dn::{Dn, Rdn};

/// Renames an entry, moves it with all below it, or both.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the request of RFC 4511")]
pub struct Rename {
    /// The entry.
    pub dn: Dn,
    /// Its name among its siblings from now on.
    pub new_rdn: Rdn,
    /// Whether values of the old name that are not in the new one are removed from the entry.
    pub delete_old_rdn: bool,
    /// The new parent; absent, the entry stays where it is.
    pub new_superior: Option<Dn>,
}
