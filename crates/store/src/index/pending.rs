//! Changes of index rows, gathered until the commit.
//!
//! They are kept as octets one after another, by attribute and kind, and sorted once: each row is then read and
//! written once, in the order of the keys, and runs of new rows that stand between two old ones go in together.

use std::{borrow::Cow, collections::BTreeMap, sync::atomic::Ordering};

use super::chunk::{CHUNK_BITS, Chunk};
use crate::{
    row::Id,
    tables::{Failure, Writable},
};

/// Changes of index rows in the open transaction.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// By what keys begin with: the attribute and the kind. None is the beginning of another, so this order and that
    /// within each make up the order of the keys.
    buckets: BTreeMap<Box<[u8]>, Bucket>,
    octets: usize,
}

/// The changes under keys that begin alike.
#[derive(Debug, Default)]
struct Bucket {
    /// For each change whether the entry is to be there, and the rest of the key.
    octets: Vec<u8>,
    changes: Vec<Change>,
}

/// Puts an entry under a key, or takes it away.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// The first octets of the rest of the key after what all in the bucket have in common, which most often decide
    /// the order. Filled in before sorting.
    first: u64,
    /// Where the change stands in the octets. Later changes stand further on.
    start: usize,
    /// Octets of the rest of the key.
    len: u32,
    id: Id,
}

/// Rows put in at once.
const ROWS: usize = 4096;

impl Pending {
    /// Puts an entry under `key`, or takes it away.
    pub(crate) fn set(&mut self, key: &[u8], id: Id, present: bool) {
        // The identifier of an attribute ends at the first zero, and the kind is one octet.
        let zero = key.iter().position(|octet| *octet == 0);
        let kind = zero.map_or(key.len(), |zero| zero.saturating_add(2));
        let (prefix, rest) = key.split_at_checked(kind).unwrap_or((key, &[]));
        let bucket = match self.buckets.get_mut(prefix) {
            Some(bucket) => bucket,
            None => self.buckets.entry(prefix.into()).or_default(),
        };
        // Keys are of bounded length: long values are hashed.
        let len = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let change = Change { first: 0, start: bucket.octets.len(), len, id };
        bucket.octets.push(u8::from(present));
        bucket.octets.extend_from_slice(rest);
        bucket.changes.push(change);
        self.octets = self.octets.saturating_add(size_of::<Change>() + 1 + rest.len());
    }

    /// Octets of memory that are used.
    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    /// Writes all rows.
    pub(crate) fn flush(self, tables: &mut Writable<'_>) -> Result<(), Failure> {
        for (prefix, bucket) in self.buckets {
            bucket.flush(&prefix, tables)?;
        }
        Ok(())
    }
}

/// Changes of one row, and the row's key.
struct Row {
    key: Vec<u8>,
    /// Of 4,096 ids the one, and whether it is to be there; each once, in their order.
    ids: Vec<(u16, bool)>,
}

impl Bucket {
    fn flush(mut self, prefix: &[u8], tables: &mut Writable<'_>) -> Result<(), Failure> {
        let Self { octets, changes } = &mut self;
        let common = common(octets, changes);
        for change in changes.iter_mut() {
            let mut first = [0; 8];
            let rest = change.rest(octets).get(common..).unwrap_or_default();
            first.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            change.first = u64::from_be_bytes(first);
        }
        changes.sort_unstable_by(|one, other| {
            one.first
                .cmp(&other.first)
                .then_with(|| one.rest(octets).cmp(other.rest(octets)))
                .then_with(|| one.id.cmp(&other.id))
                .then_with(|| one.start.cmp(&other.start))
        });
        let same = |one: &Change, other: &Change| {
            one.first == other.first
                && one.id >> CHUNK_BITS == other.id >> CHUNK_BITS
                && one.rest(octets) == other.rest(octets)
        };
        let mut rows = Vec::with_capacity(ROWS.min(changes.len()));
        for group in changes.chunk_by(same) {
            let Some(change) = group.first() else { continue };
            let rest = change.rest(octets);
            let mut key = Vec::with_capacity(prefix.len() + rest.len() + 4);
            key.extend_from_slice(prefix);
            key.extend_from_slice(rest);
            key.extend_from_slice(&(change.id >> CHUNK_BITS).to_be_bytes());
            let mut ids: Vec<(u16, bool)> = Vec::with_capacity(group.len());
            for change in group {
                let low = u16::try_from(change.id & ((1 << CHUNK_BITS) - 1)).unwrap_or_default();
                let present = octets.get(change.start) == Some(&1);
                match ids.last_mut() {
                    // Of two changes the later one counts.
                    Some(last) if last.0 == low => last.1 = present,
                    _ => ids.push((low, present)),
                }
            }
            rows.push(Row { key, ids });
            if rows.len() == ROWS {
                put(&mut rows, tables)?;
            }
        }
        put(&mut rows, tables)
    }
}

impl Change {
    fn rest<'o>(&self, octets: &'o [u8]) -> &'o [u8] {
        let start = self.start.saturating_add(1);
        octets.get(start..start.saturating_add(self.len as usize)).unwrap_or_default()
    }
}

/// How many octets all rests of keys have in common at their beginning.
fn common(octets: &[u8], changes: &[Change]) -> usize {
    let Some((first, others)) = changes.split_first() else { return 0 };
    let first = first.rest(octets);
    others.iter().fold(first.len(), |common, change| {
        let same = |(one, other): &(&u8, &u8)| one == other;
        first.iter().take(common).zip(change.rest(octets)).take_while(same).count()
    })
}

fn put(rows: &mut Vec<Row>, tables: &mut Writable<'_>) -> Result<(), Failure> {
    tables.counts.rows_written.fetch_add(rows.len() as u64, Ordering::Relaxed);
    tables.index.put_in_order(
        rows,
        |row| &row.key,
        |row, stored| {
            let mut chunk = stored.map_or_else(|| Chunk::Sparse(Vec::new()), Chunk::decode);
            for (id, present) in &row.ids {
                chunk.set(*id, *present);
            }
            chunk.encode().map(Cow::Owned)
        },
    )?;
    rows.clear();
    Ok(())
}
