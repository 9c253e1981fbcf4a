//! How far each index is: ready, being built, or being removed. One row of `meta` says so, written in the same commit as
//! the index rows it speaks of, and every snapshot carries what its own row says. So no reader asks an index that its
//! snapshot does not have in full.

use std::collections::BTreeMap;

use super::{Definition, IndexConfig, Indexes, key};
use crate::{
    row::{Id, put_octets, take_octets, take_u32},
    tables::{Failure, Name, Rows, Writable},
};

/// The name of the row of `meta`.
const ROW: &[u8] = b"indexes";

/// What is true of each index, by what its keys start with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Standing(BTreeMap<Box<[u8]>, One>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct One {
    /// By what rules its keys are made.
    pub(super) definition: Definition,
    pub(super) stage: Stage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// Writes keep it up, and searches ask it.
    Ready,
    /// Writes keep it up. Entries from this id on are still to be looked at.
    Building(Id),
    /// Its rows are being deleted; and then it is built again, or not.
    Removing { again: bool },
}

impl Standing {
    pub(crate) fn read(meta: &impl Rows) -> Result<Self, Failure> {
        let Some(row) = meta.get(ROW)? else { return Ok(Self::default()) };
        Self::decode(row.value()).ok_or_else(|| Failure::damaged("the list of indexes"))
    }

    fn decode(mut row: &[u8]) -> Option<Self> {
        let mut all = BTreeMap::new();
        while !row.is_empty() {
            let prefix = take_octets(&mut row)?;
            let definition = take_octets(&mut row)?.try_into().ok()?;
            let (stage, rest) = row.split_first()?;
            row = rest;
            let from = take_u32(&mut row)?;
            let stage = match stage {
                0 => Stage::Ready,
                1 => Stage::Building(from),
                2 => Stage::Removing { again: from == 1 },
                _ => return None,
            };
            all.insert(prefix.into(), One { definition, stage });
        }
        Some(Self(all))
    }

    fn encode(&self) -> Vec<u8> {
        let mut row = Vec::new();
        for (prefix, one) in &self.0 {
            put_octets(&mut row, prefix);
            put_octets(&mut row, &one.definition);
            let (stage, from) = match one.stage {
                Stage::Ready => (0, 0),
                Stage::Building(from) => (1, from),
                Stage::Removing { again } => (2, u32::from(again)),
            };
            row.push(stage);
            row.extend_from_slice(&from.to_be_bytes());
        }
        row
    }

    /// Writes it, for this transaction and for the snapshots to come.
    pub(super) fn write(self, tables: &mut Writable<'_>) -> Result<(), Failure> {
        tables.put(Name::Meta, ROW, Some(&self.encode()))?;
        tables.standing = self.into();
        Ok(())
    }

    /// The row that says the same of indexes by a schema in which all that is used means what it did. An index that was
    /// not there is of an attribute that no entry can have.
    pub(crate) fn by(&self, indexes: &Indexes) -> (Vec<u8>, Vec<u8>) {
        let mut standing = self.clone();
        for index in indexes.all() {
            let stage = self.get(&index.prefix).map_or(Stage::Ready, |one| one.stage);
            standing.set(&index.prefix, One { definition: index.definition, stage });
        }
        (ROW.to_vec(), standing.encode())
    }

    /// Whether an index made by these rules can be asked.
    pub(super) fn is_ready(&self, prefix: &[u8], definition: &Definition) -> bool {
        self.0.get(prefix).is_some_and(|one| one.stage == Stage::Ready && one.definition == *definition)
    }

    /// Whether writes keep up the index of this key.
    pub(super) fn keeps(&self, key: &[u8]) -> bool {
        self.0.get(key::prefix_of(key)).is_some_and(|one| !matches!(one.stage, Stage::Removing { .. }))
    }

    /// Whether the index of this key is being built or removed.
    pub(crate) fn is_under_way(&self, key: &[u8]) -> bool {
        self.0.get(key::prefix_of(key)).is_some_and(|one| one.stage != Stage::Ready)
    }

    /// Whether nothing is to be built or removed.
    pub(super) fn is_settled(&self) -> bool {
        self.0.values().all(|one| one.stage == Stage::Ready)
    }

    /// The indexes there are or are to be, as a configuration; the default in a store that never had one.
    pub(crate) fn config(&self) -> IndexConfig {
        if self.0.is_empty() {
            return IndexConfig::default();
        }
        let kept = self.iter().filter(|(_, one)| one.stage != Stage::Removing { again: false });
        IndexConfig::of(kept.filter_map(|(prefix, _)| key::index_of(prefix)))
    }

    pub(super) fn get(&self, prefix: &[u8]) -> Option<&One> {
        self.0.get(prefix)
    }

    pub(super) fn set(&mut self, prefix: &[u8], one: One) {
        self.0.insert(prefix.into(), one);
    }

    pub(super) fn forget(&mut self, prefix: &[u8]) {
        self.0.remove(prefix);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &One)> {
        self.0.iter().map(|(prefix, one)| (&**prefix, one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut standing = Standing::default();
        for (prefix, stage) in [
            (&b"2.5.4.3\0="[..], Stage::Ready),
            (b"2.5.4.3\0~", Stage::Building(70_000)),
            (b"2.5.4.4\0*", Stage::Removing { again: false }),
            (b"2.5.4.5\0*", Stage::Removing { again: true }),
        ] {
            standing.set(prefix, One { definition: [7; 16], stage });
        }
        let row = standing.encode();
        assert_eq!(Standing::decode(&row), Some(standing.clone()));
        for length in 1..row.len() {
            assert_ne!(Standing::decode(&row[..length]), Some(standing.clone()), "{length}");
        }
        assert!(standing.is_ready(b"2.5.4.3\0=", &[7; 16]));
        assert!(!standing.is_ready(b"2.5.4.3\0=", &[8; 16]));
        assert!(!standing.is_ready(b"2.5.4.3\0~", &[7; 16]));
        assert!(standing.keeps(b"2.5.4.3\0~abc"));
        assert!(!standing.keeps(b"2.5.4.4\0*\0"));
    }
}
