//! `AddRequest` (RFC 4511 §4.7).

use crate::{attribute::Attributes, dn::Dn, entry::Entry};

/// Adds an entry.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the request of RFC 4511")]
pub struct Add {
    /// The name of the new entry. Its parent exists; it does not.
    pub dn: Dn,
    /// The attributes, those of the name included.
    pub attributes: Attributes,
}

impl Add {
    /// Adds an entry with this name and these attributes.
    #[must_use]
    pub const fn new(dn: Dn, attributes: Attributes) -> Self {
        Self { dn, attributes }
    }
}

impl TryFrom<&Entry> for Add {
    type Error = crate::dn::DnError;

    fn try_from(entry: &Entry) -> Result<Self, Self::Error> {
        todo!("{}", entry.dn_str())
    }
}
