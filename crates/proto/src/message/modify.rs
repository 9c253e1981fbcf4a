//! `ModifyRequest` (RFC 4511 §4.6), with increment (RFC 4525).

use bytes::Bytes;

use crate::{attribute::AttributeDescription, dn::Dn};

/// Changes an entry, all changes or none, in order.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the request of RFC 4511")]
pub struct Modify {
    /// The entry.
    pub dn: Dn,
    /// The changes.
    pub changes: Vec<Change>,
}

/// One change of one attribute.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the request of RFC 4511")]
pub struct Change {
    /// What to do.
    pub kind: ChangeKind,
    /// To which attribute.
    pub attribute: AttributeDescription,
    /// With which values.
    pub values: Vec<Bytes>,
}

/// What a [`Change`] does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// Adds the values; one that is there already is an error.
    Add,
    /// Deletes the values, or the attribute if none are listed; one that is not there is an error.
    Delete,
    /// Makes these the values; none removes the attribute if it is there.
    Replace,
    /// Adds a number to every value (RFC 4525).
    Increment,
}

impl Modify {
    /// Changes nothing yet.
    #[must_use]
    pub const fn new(dn: Dn) -> Self {
        Self { dn, changes: Vec::new() }
    }

    /// Adds a change.
    #[must_use]
    pub fn change<V: Into<Vec<u8>>>(
        mut self,
        kind: ChangeKind,
        attribute: AttributeDescription,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values = values.into_iter().map(|value| Bytes::from(value.into())).collect();
        self.changes.push(Change { kind, attribute, values });
        self
    }
}
