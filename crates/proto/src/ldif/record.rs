//! What an LDIF file holds.

use crate::{
    control::Controls,
    entry::Entry,
    message::{Add, Delete, Modify, Rename},
};

/// One record.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "closed in RFC 2849")]
pub enum Record {
    /// An entry.
    Entry(Entry),
    /// A change, with the controls it asks for.
    Change(Controls, ChangeRecord),
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "closed in RFC 2849")]
pub enum ChangeRecord {
    /// `changetype: add`.
    Add(Add),
    /// `changetype: modify`.
    Modify(Modify),
    /// `changetype: delete`.
    Delete(Delete),
    /// `changetype: modrdn` or `moddn`.
    Rename(Rename),
}
