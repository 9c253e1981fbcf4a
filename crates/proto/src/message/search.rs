//! `SearchRequest` (RFC 4511 §4.5.1).

use crate::{attribute::Selection, dn::Dn, filter::Filter};

/// Asks for entries.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Search {
    /// Where to start.
    pub base: Dn,
    /// How far to go from there.
    pub scope: Scope,
    /// Whether aliases are followed. Never, unless asked.
    pub deref: DerefAliases,
    /// The most entries to return; 0 leaves it to the server.
    pub size_limit: u32,
    /// The most seconds to take; 0 leaves it to the server.
    pub time_limit: u32,
    /// Only names of attributes, no values.
    pub types_only: bool,
    /// Which entries.
    pub filter: Filter,
    /// Which attributes of them.
    pub attributes: Selection,
}

/// How far a search goes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Scope {
    /// The base alone.
    Base,
    /// The children of the base.
    One,
    /// The base and all below it.
    Subtree,
    /// All below the base, without it (draft-sermersheim-ldap-subordinate-scope; OpenLDAP and others).
    Children,
}

/// Where aliases are followed.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DerefAliases {
    /// Nowhere.
    #[default]
    Never,
    /// Below the base, not for the base itself.
    InSearching,
    /// For the base only.
    FindingBase,
    /// Everywhere.
    Always,
}

impl Search {
    /// All user attributes of the entries under `base` that match, without limits of its own.
    #[must_use]
    pub fn new(base: Dn, scope: Scope, filter: Filter) -> Self {
        Self {
            base,
            scope,
            deref: DerefAliases::Never,
            size_limit: 0,
            time_limit: 0,
            types_only: false,
            filter,
            attributes: Selection::default(),
        }
    }

    /// Asks for these attributes.
    #[must_use]
    pub fn attributes(mut self, attributes: impl Into<Selection>) -> Self {
        self.attributes = attributes.into();
        self
    }

    /// Asks for at most this many entries; 0 leaves it to the server.
    #[must_use]
    pub const fn size_limit(mut self, entries: u32) -> Self {
        self.size_limit = entries;
        self
    }

    /// Asks the server to spend at most this many seconds; 0 leaves it to the server.
    #[must_use]
    pub const fn time_limit(mut self, seconds: u32) -> Self {
        self.time_limit = seconds;
        self
    }

    /// Follows aliases as told.
    #[must_use]
    pub const fn deref(mut self, deref: DerefAliases) -> Self {
        self.deref = deref;
        self
    }
}
