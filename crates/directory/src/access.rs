//! Who may do what. The store asks where it evaluates filters and returns values, since a wrapper around it could not
//! stop a filter, a sort or a compare from telling what it must not.

use flext_ldap_proto::dn::DnKey;

use crate::{Actor, Peer};

/// Decides about access. Asked for every entry and attribute: answers must be quick.
pub trait AccessPolicy: Send + Sync + 'static {
    /// Whether `who` may do `right` to the entry.
    fn entry(&self, who: Requester<'_>, target: Target<'_>, right: EntryRight) -> bool;

    /// Whether `who` may do `right` to the attribute `attribute` (its preferred name, as the schema spells it) of
    /// the entry.
    fn attribute(
        &self,
        who: Requester<'_>,
        target: Target<'_>,
        attribute: &str,
        right: AttributeRight,
    ) -> bool;
}

/// Who asks for access.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "stores make it, policies read it")]
pub struct Requester<'a> {
    /// On whose behalf.
    pub actor: &'a Actor,
    /// How they are connected.
    pub peer: &'a Peer,
}

/// What access is asked to.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "stores make it, policies read it")]
pub struct Target<'a> {
    /// The entry.
    pub dn: &'a DnKey,
    /// Whether it is the actor's own entry.
    pub is_self: bool,
}

/// What can be done to an entry.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a policy must decide for each")]
pub enum EntryRight {
    /// Learn that it is there.
    Disclose,
    /// Add it.
    Add,
    /// Delete it.
    Delete,
    /// Rename it, move it, or have something moved below it.
    Rename,
    /// Act on behalf of whom it stands for (RFC 4370).
    Proxy,
    /// Set on it what otherwise the directory alone sets (draft-zeilenga-ldap-relax).
    Manage,
}

/// What can be done to an attribute.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a policy must decide for each")]
pub enum AttributeRight {
    /// Use it in a filter.
    Search,
    /// Have its values returned.
    Read,
    /// Compare a value with it.
    Compare,
    /// Change it.
    Write,
}
