//! Persistent search (draft-ietf-ldapext-psearch-03): a search that goes on, and delivers what changes.

use std::ops::BitOr;

use super::{ControlScope, ControlValue};
use crate::{
    ber::{DecodeError, DecodeErrorKind, Reader, Tag, Writer},
    message::Limits,
    oid::Oid,
};

/// Kinds of changes: any of [`ADD`](Self::ADD), [`DELETE`](Self::DELETE), [`MODIFY`](Self::MODIFY) and
/// [`MOD_DN`](Self::MOD_DN).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ChangeTypes(u8);

impl ChangeTypes {
    /// Entries that are added.
    pub const ADD: Self = Self(1);
    /// Entries that are deleted.
    pub const DELETE: Self = Self(2);
    /// Entries that are modified.
    pub const MODIFY: Self = Self(4);
    /// Entries that get another name.
    pub const MOD_DN: Self = Self(8);
    /// All of them.
    pub const ANY: Self = Self(15);

    /// The kinds that these bits stand for; `None` where one stands for nothing.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits <= 15 { Some(Self(bits as u8)) } else { None }
    }

    /// As on the wire.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }

    /// Whether all of `other` are among these.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for ChangeTypes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Asks for what changes: `SEQUENCE { changeTypes INTEGER, changesOnly BOOLEAN, returnECs BOOLEAN }`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the value of the draft")]
pub struct PersistentSearch {
    /// Which changes.
    pub change_types: ChangeTypes,
    /// Whether what is there already is left out.
    pub changes_only: bool,
    /// Whether [`EntryChangeNotification`] goes with each changed entry.
    pub return_ecs: bool,
}

/// What happened to an entry that a persistent search delivers: goes with the entry.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the value of the draft")]
pub struct EntryChangeNotification {
    /// The change: one kind.
    pub change_type: ChangeTypes,
    /// The name before, of an entry that got another.
    pub previous_dn: Option<String>,
    /// The number of the change in a change log that can be searched, where there is one.
    pub change_number: Option<u32>,
}

impl ControlValue for PersistentSearch {
    const OID: Oid = Oid::from_static("2.16.840.1.113730.3.4.3");
    const SCOPE: ControlScope = ControlScope::EndToEnd;

    fn encode(&self, writer: &mut Writer) {
        writer.sequence(|writer| {
            writer.integer(i64::from(self.change_types.bits()));
            writer.boolean(self.changes_only);
            writer.boolean(self.return_ecs);
        });
    }

    fn decode(reader: &mut Reader<'_>, _limits: &Limits) -> Result<Self, DecodeError> {
        let mut search = reader.sequence()?;
        let unknown = search.error(DecodeErrorKind::IntegerOutOfRange);
        let change_types = ChangeTypes::from_bits(search.unsigned()?).ok_or(unknown)?;
        let value = Self { change_types, changes_only: search.boolean()?, return_ecs: search.boolean()? };
        search.finish()?;
        Ok(value)
    }
}

impl ControlValue for EntryChangeNotification {
    const OID: Oid = Oid::from_static("2.16.840.1.113730.3.4.7");
    const SCOPE: ControlScope = ControlScope::EndToEnd;

    fn encode(&self, writer: &mut Writer) {
        writer.sequence(|writer| {
            writer.integer_tagged(Tag::ENUMERATED, i64::from(self.change_type.bits()));
            if let Some(dn) = &self.previous_dn {
                writer.octets(dn.as_bytes());
            }
            if let Some(number) = self.change_number {
                writer.integer(i64::from(number));
            }
        });
    }

    fn decode(reader: &mut Reader<'_>, _limits: &Limits) -> Result<Self, DecodeError> {
        let mut change = reader.sequence()?;
        let at = change.position();
        let kind = change.enumerated()?;
        let unknown = DecodeError { offset: at, kind: DecodeErrorKind::UnknownEnumerated(kind) };
        let change_type = match kind {
            1 | 2 | 4 | 8 => u32::try_from(kind).ok().and_then(ChangeTypes::from_bits).ok_or(unknown)?,
            _ => return Err(unknown),
        };
        let previous_dn = match change.peek() {
            Some(Tag::OCTET_STRING) => Some(change.text()?.to_owned()),
            _ => None,
        };
        let change_number = match change.peek() {
            Some(Tag::INTEGER) => Some(change.unsigned()?),
            _ => None,
        };
        change.finish_extensible()?;
        Ok(Self { change_type, previous_dn, change_number })
    }
}
