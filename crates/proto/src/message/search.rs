//! `SearchRequest` (RFC 4511 §4.5.1).

use super::{Limits, Spelt};
use crate::{
    attribute::Selection,
    ber::{DecodeError, DecodeErrorKind, Reader, Tag, Writer},
    dn::Dn,
    filter::Filter,
};

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

impl Scope {
    const fn from_wire(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Base),
            1 => Some(Self::One),
            2 => Some(Self::Subtree),
            3 => Some(Self::Children),
            _ => None,
        }
    }

    const fn to_wire(self) -> i32 {
        match self {
            Self::Base => 0,
            Self::One => 1,
            Self::Subtree => 2,
            Self::Children => 3,
        }
    }
}

impl DerefAliases {
    const fn from_wire(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Never),
            1 => Some(Self::InSearching),
            2 => Some(Self::FindingBase),
            3 => Some(Self::Always),
            _ => None,
        }
    }

    const fn to_wire(self) -> i32 {
        match self {
            Self::Never => 0,
            Self::InSearching => 1,
            Self::FindingBase => 2,
            Self::Always => 3,
        }
    }
}

/// Reads an `ENUMERATED`; the inner error is a value the grammar does not have, to be returned once the rest of the
/// message is known to be well formed.
fn choice<T>(
    reader: &mut Reader<'_>,
    from_wire: impl FnOnce(i32) -> Option<T>,
) -> Result<Result<T, DecodeError>, DecodeError> {
    let offset = reader.position();
    let number = reader.enumerated()?;
    let kind = DecodeErrorKind::UnknownEnumerated(number);
    Ok(from_wire(number).ok_or(DecodeError { offset, kind }))
}

impl Search {
    pub(super) fn decode(mut reader: Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        let base = Spelt::read(&mut reader, Tag::OCTET_STRING)?;
        let scope = choice(&mut reader, Scope::from_wire)?;
        let deref = choice(&mut reader, DerefAliases::from_wire)?;
        let size_limit = reader.unsigned()?;
        let time_limit = reader.unsigned()?;
        let types_only = reader.boolean()?;
        let filter = match Filter::decode(&mut reader.clone(), limits) {
            Err(error) if !error.kind.is_operation_error() => return Err(error),
            filter => filter,
        };
        reader.any()?;
        let attributes = Selection::decode(&mut reader, limits)?;
        reader.finish_extensible()?;
        Ok(Self {
            base: base.dn()?,
            scope: scope?,
            deref: deref?,
            size_limit,
            time_limit,
            types_only,
            filter: filter?,
            attributes,
        })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.octets(self.base.as_str().as_bytes());
        writer.enumerated(self.scope.to_wire());
        writer.enumerated(self.deref.to_wire());
        writer.integer(i64::from(self.size_limit));
        writer.integer(i64::from(self.time_limit));
        writer.boolean(self.types_only);
        self.filter.encode(writer);
        self.attributes.encode(writer);
    }

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
