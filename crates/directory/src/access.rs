//! Who may do what. The store asks where it evaluates filters and returns values, since a wrapper around it could not
//! stop a filter, a sort or a compare from telling what it must not.
//!
//! A policy is asked twice: once for each operation, for what does not depend on an entry
//! ([`AccessPolicy::rights_of`]), and then for every entry and attribute ([`Rights`]).

use std::sync::Arc;

use flext_ldap_proto::{dn::DnKey, filter::Filter, schema::Schema};

use crate::{Actor, Error, Peer};

/// Decides about access.
pub trait AccessPolicy: Send + Sync + 'static {
    /// What `who` may do, made ready for one operation. What `lookup` tells is good for all of it.
    ///
    /// # Errors
    ///
    /// Those of `lookup`: what is not known must be taken neither for a yes nor for a no.
    fn rights_of(&self, who: Requester<'_>, lookup: &dyn Lookup) -> Result<Arc<dyn Rights>, Error>;

    /// The filters that entries are held against, by the numbers that [`Entry::matches`] takes. They are evaluated
    /// with all rights. None, unless a policy has some.
    fn filters(&self) -> &[Filter] {
        &[]
    }

    /// The same policy for a directory of this schema: a store asks when it is opened and when its schema changes, since
    /// which attributes are subtypes of others can change what a policy means. `None`: this one will do.
    fn for_schema(&self, schema: &Schema) -> Option<Arc<dyn AccessPolicy>> {
        let _ = schema;
        None
    }
}

/// What one requester may do. Asked for every entry and attribute: answers must be quick.
pub trait Rights: Send + Sync + 'static {
    /// Whether an answer can depend on what is in an entry. If so, a store reads an entry before it asks, which costs
    /// nothing where it is read anyway; if not, it may leave out reading what is not seen.
    fn look_at_entries(&self) -> bool;

    /// Whether `right` to the entry is theirs.
    fn entry(&self, target: Target<'_>, right: EntryRight) -> bool;

    /// Whether `right` to the attribute `attribute` (its preferred name, as the schema spells it) of the entry is
    /// theirs.
    fn attribute(&self, target: Target<'_>, attribute: &str, right: AttributeRight) -> bool;
}

/// What a policy may ask about the one who asks.
pub trait Lookup {
    /// Of which of `groups` the requester is a member, in the same order.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    fn memberships(&self, groups: &[Group]) -> Result<Vec<bool>, Error>;
}

/// A group that a policy asks about.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "policies make it, stores read it")]
pub struct Group {
    /// Its entry. Members are the values of its `member` and `uniqueMember`.
    pub dn: DnKey,
    /// Whether members of groups that are its members count too.
    pub nested: bool,
}

/// Who asks for access.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "stores make it, policies read it")]
pub struct Requester<'a> {
    /// On whose behalf.
    pub actor: &'a Actor,
    /// Their name as the directory compares it, if they have one.
    pub dn: Option<&'a DnKey>,
    /// How they are connected.
    pub peer: &'a Peer,
}

/// What access is asked to.
#[derive(Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "stores make it, policies read it")]
pub struct Target<'a> {
    /// The entry.
    pub dn: &'a DnKey,
    /// Whether it is the actor's own entry.
    pub is_self: bool,
    /// What is in it.
    pub entry: &'a dyn Entry,
}

/// What a policy may ask about an entry. The answer costs nothing until it is asked for.
pub trait Entry {
    /// Whether the policy's own filter of this number ([`AccessPolicy::filters`]) is true of the entry.
    fn matches(&self, filter: usize) -> bool;

    /// Whether a value of this attribute is this name.
    fn names(&self, attribute: &str, dn: &DnKey) -> bool;
}

/// An entry of which nothing is known: it matches no filter and names nobody.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing in it")]
pub struct Blank;

impl Entry for Blank {
    fn matches(&self, _filter: usize) -> bool {
        false
    }

    fn names(&self, _attribute: &str, _dn: &DnKey) -> bool {
        false
    }
}

/// What can be done to an entry.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a policy must decide for each")]
pub enum EntryRight {
    /// Learn that it is there.
    Disclose,
    /// Add it: asked of the entry as it would be.
    Add,
    /// Delete it.
    Delete,
    /// Rename or move it: asked of the entry as it is, and under the name it would have.
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
    /// Use its values to bind as this entry. Asked for whoever is not bound yet, of `userPassword`.
    Authenticate,
    /// Use it in a filter.
    Search,
    /// Have its values returned.
    Read,
    /// Compare a value with it.
    Compare,
    /// Change it in any way.
    Write,
    /// Add values to it.
    AddValues,
    /// Take values from it.
    DeleteValues,
    /// Add one's own name to it, or take it away.
    WriteOwnName,
}
