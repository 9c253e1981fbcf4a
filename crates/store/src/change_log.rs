//! The change log as it is read: what happened to which entry, in the order of the commits.

use crate::{
    row::{Id, take_octets, take_u32},
    tables::{Failure, Rows, Tables},
};

/// A row of `change`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Logged {
    pub(crate) kind: LoggedKind,
    pub(crate) id: Id,
    /// Where the entry stood before.
    pub(crate) parent: Id,
    /// What it was called below that.
    pub(crate) name: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LoggedKind {
    Add,
    Modify,
    Delete,
    Rename,
    /// What does not say which entries it was about.
    Other,
}

impl Logged {
    fn decode(row: &[u8]) -> Result<Self, Failure> {
        let logged = (|| {
            let (kind, mut row) = row.split_first()?;
            let kind = match kind {
                1 => LoggedKind::Add,
                2 => LoggedKind::Modify,
                3 => LoggedKind::Delete,
                4 => LoggedKind::Rename,
                _ => return Some(Self { kind: LoggedKind::Other, id: 0, parent: 0, name: String::new() }),
            };
            take_octets(&mut row)?; // The CSN.
            let id = take_u32(&mut row)?;
            take_octets(&mut row)?; // The entryUUID.
            let parent = take_u32(&mut row)?;
            let name = std::str::from_utf8(take_octets(&mut row)?).ok()?.to_owned();
            Some(Self { kind, id, parent, name })
        })();
        logged.ok_or_else(|| Failure::damaged("the change log"))
    }
}

impl<T: Rows> Tables<T> {
    /// Up to `limit` changes from the one numbered `from` on, each with its number.
    pub(crate) fn changes(&self, from: u64, limit: usize) -> Result<Vec<(u64, Logged)>, Failure> {
        let rows = self.change.range::<&[u8]>(from.to_be_bytes().as_slice()..)?;
        rows.take(limit)
            .map(|row| {
                let (key, row) = row?;
                let number = key.value().first_chunk().map(|number| u64::from_be_bytes(*number));
                let number = number.ok_or_else(|| Failure::damaged("the change log"))?;
                Ok((number, Logged::decode(row.value())?))
            })
            .collect()
    }
}
