//! Changes of substring indexes that wait.
//!
//! An entry stands under some eighty keys of parts, each a row in a page of its own; writing them with every add would
//! make a commit four times what it is. So a small commit writes one row for each entry that changed, with all its
//! changes, and the writer moves many of them at once when it has nothing else to do: rows and pages are shared then. It
//! is what PostgreSQL's GIN indexes do (`fastupdate`). Searches look at what waits too, so nothing is missed. A commit
//! of many entries, as an import's, changes the index at once.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::Ordering,
};

use roaring::RoaringBitmap;

use super::{Span, key};
use crate::{
    row::{Id, put_octets, take_octets},
    tables::{Failure, Name, Rows, Tables, Writable},
};

/// Entries of one commit from which on nothing waits.
const MANY: usize = 128;

/// Entries that wait until the writer moves them when it has nothing else to do.
pub(super) const IDLE: u64 = 256;
/// Entries that wait until it moves them whatever else there is to do.
pub(super) const BUSY: u64 = 2_048;
/// Entries moved in one commit.
pub(super) const MOVED: usize = 1_024;

/// The last octet of the last gram and of the first: what keys of grams end in.
const GRAM: usize = 3;

/// Changes of keys: whether the entry is under each. Later ones replace earlier ones.
type Changes = BTreeMap<Vec<u8>, bool>;

/// The changes of a transaction, by entry.
#[derive(Debug, Default)]
pub(super) struct Deferring(HashMap<Id, Changes>);

impl Deferring {
    pub(super) fn set(&mut self, key: Vec<u8>, id: Id, present: bool) {
        self.0.entry(id).or_default().insert(key, present);
    }

    /// Has an entry come under a key, as the first change of it.
    pub(super) fn gain(&mut self, key: Vec<u8>, id: Id) {
        self.0.entry(id).or_default().entry(key).or_insert(true);
    }

    /// Whether nothing waits, with so many `more` entries.
    pub(super) fn is_at_once(&self, more: usize) -> bool {
        self.0.len().saturating_add(more) >= MANY
    }

    /// Lets the changes wait, or makes them `at_once`, with what waits for these entries, by `apply`.
    pub(super) fn flush(
        self,
        tables: &mut Writable<'_>,
        at_once: bool,
        apply: &mut dyn FnMut(Vec<u8>, Id, bool),
    ) -> Result<(), Failure> {
        let waits = tables.counts.deferred.load(Ordering::Relaxed) > 0;
        let mut entries: Vec<_> = self.0.into_iter().collect();
        entries.sort_unstable_by_key(|(id, _)| *id);
        for (id, new) in entries {
            let row = if waits {
                tables.index.get(row_key(id).as_slice())?.map(|row| row.value().to_vec())
            } else {
                None
            };
            let known = row.is_some();
            let mut changes = row.map_or_else(|| Ok(Changes::new()), |row| decode(&row))?;
            changes.extend(new);
            if at_once {
                changes.into_iter().for_each(|(key, present)| apply(key, id, present));
                if known {
                    tables.put(Name::Index, &row_key(id), None)?;
                    tables.counts.deferred.fetch_sub(1, Ordering::Relaxed);
                }
            } else {
                tables.put(Name::Index, &row_key(id), Some(&encode(&changes)))?;
                if !known {
                    tables.counts.deferred.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }
}

impl Writable<'_> {
    /// Makes the changes of up to `limit` entries that wait, by `apply`. Says how many.
    pub(super) fn move_deferred(
        &mut self,
        limit: usize,
        apply: &mut dyn FnMut(Vec<u8>, Id, bool),
    ) -> Result<usize, Failure> {
        let mut rows = Vec::new();
        for row in self.index.range::<&[u8]>(..FIRST_ATTRIBUTE)?.take(limit) {
            let (key, row) = row?;
            rows.push((read_key(key.value())?, row.value().to_vec()));
        }
        for (id, row) in &rows {
            for (key, present) in decode(row)? {
                apply(key, *id, present);
            }
            self.put(Name::Index, &row_key(*id), None)?;
            self.counts.deferred.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(rows.len())
    }
}

/// What waits, in one snapshot.
#[derive(Debug, Default)]
pub(crate) struct Deferred(Vec<(Id, Vec<u8>)>);

impl<T: Rows> Tables<T> {
    pub(crate) fn deferred(&self) -> Result<Deferred, Failure> {
        let mut deferred = Vec::new();
        for row in self.index.range::<&[u8]>(..FIRST_ATTRIBUTE)? {
            let (key, row) = row?;
            deferred.push((read_key(key.value())?, row.value().to_vec()));
        }
        Ok(Deferred(deferred))
    }
}

impl Deferred {
    /// Adds the entries that come under these keys by what waits. What leaves them is left in: it is looked at.
    pub(super) fn read(&self, span: &Span, ids: &mut RoaringBitmap) {
        if span.is_deferrable() {
            ids.extend(self.0.iter().filter(|(_, row)| comes_under(row, span)).map(|(id, _)| *id));
        }
    }

    pub(super) fn count(&self, span: &Span) -> u64 {
        if !span.is_deferrable() {
            return 0;
        }
        self.0.iter().filter(|(_, row)| comes_under(row, span)).count() as u64
    }

    /// For each entry with changes that wait, what keys it is to be under and what not.
    pub(crate) fn changes(&self) -> Result<HashMap<Id, BTreeMap<Vec<u8>, bool>>, Failure> {
        self.0.iter().map(|(id, row)| Ok((*id, decode(row)?))).collect()
    }

    /// The entries with changes that wait.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Id> {
        self.0.iter().map(|(id, _)| *id)
    }
}

/// Whether a row of the index table is one of changes that wait.
pub(crate) fn is_deferred(row_key: &[u8]) -> bool {
    row_key < FIRST_ATTRIBUTE
}

/// What sorts after all that waits and before all keys of attributes, whose OIDs start with a digit.
const FIRST_ATTRIBUTE: &[u8] = b"\x01";

fn row_key(id: Id) -> [u8; 5] {
    let [a, b, c, d] = id.to_be_bytes();
    [0, a, b, c, d]
}

fn read_key(row: &[u8]) -> Result<Id, Failure> {
    let id = row.split_first().and_then(|(_, id)| id.try_into().ok());
    id.map(Id::from_be_bytes).ok_or_else(damaged)
}

fn damaged() -> Failure {
    Failure::damaged("the changes of an index that wait")
}

/// Changes as octets: for each index what its keys start with, how many, and for each whether it is there and its end.
fn encode(changes: &Changes) -> Vec<u8> {
    let mut row = Vec::new();
    let mut changes = changes.iter().peekable();
    while let Some((key, _)) = changes.peek() {
        let prefix = key::prefix_of(key).to_vec();
        put_octets(&mut row, &prefix);
        let mut block = Vec::new();
        while let Some((key, present)) = changes.next_if(|(key, _)| key.starts_with(&prefix)) {
            block.push(u8::from(*present));
            block.extend_from_slice(key.get(prefix.len()..).unwrap_or_default());
        }
        put_octets(&mut row, &block);
    }
    row
}

fn decode(row: &[u8]) -> Result<Changes, Failure> {
    let mut changes = Changes::new();
    for block in blocks(row) {
        let (prefix, block) = block?;
        for change in block.chunks(1 + GRAM) {
            let (present, gram) = change.split_first().ok_or_else(damaged)?;
            changes.insert([prefix, gram].concat(), *present == 1);
        }
    }
    Ok(changes)
}

/// The blocks of a row, each with what its keys start with.
fn blocks(mut row: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), Failure>> {
    std::iter::from_fn(move || {
        if row.is_empty() {
            return None;
        }
        let block = take_octets(&mut row).zip(take_octets(&mut row));
        if block.is_none() {
            row = &[];
        }
        Some(block.ok_or_else(damaged))
    })
}

/// Whether an entry comes under these keys by what waits. A row that cannot be read is one that may.
fn comes_under(row: &[u8], span: &Span) -> bool {
    let (Span::Key(first) | Span::Range(first, _)) = span;
    let wanted = key::prefix_of(first);
    blocks(row).any(|block| match block {
        Err(_) => true,
        Ok((prefix, _)) if prefix != wanted => false,
        Ok((prefix, block)) => block.chunks(1 + GRAM).any(|change| match (change, span) {
            ([1, gram @ ..], Span::Key(key)) => key.get(prefix.len()..) == Some(gram),
            ([1, gram @ ..], Span::Range(first, last)) => {
                first.get(prefix.len()..).is_some_and(|first| first <= gram)
                    && last.get(prefix.len()..).is_some_and(|last| gram <= last)
            }
            _ => false,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_survive_their_row() {
        let mut changes = Changes::new();
        for (key, present) in [
            (&b"2.5.4.3\0~ann"[..], true),
            (b"2.5.4.3\0~nna", false),
            (b"2.5.4.4\0~qua", true),
            (b"2.5.4.42\0~ann", true),
        ] {
            changes.insert(key.to_vec(), present);
        }
        let row = encode(&changes);
        assert_eq!(decode(&row).unwrap(), changes);
        let key = |key: &[u8]| Span::Key(key.to_vec());
        assert!(comes_under(&row, &key(b"2.5.4.3\0~ann")));
        assert!(!comes_under(&row, &key(b"2.5.4.3\0~nna")), "it leaves");
        assert!(!comes_under(&row, &key(b"2.5.4.4\0~ann")));
        let range = |last: &[u8]| Span::Range(b"2.5.4.4\0~q\0\0".to_vec(), last.to_vec());
        assert!(comes_under(&row, &range(b"2.5.4.4\0~q\xff\xff")));
        assert!(!comes_under(&row, &range(b"2.5.4.4\0~qtz")));
        for length in 1..row.len() {
            if decode(&row[..length]).is_ok() {
                assert_eq!(blocks(&row[..length]).count() * 2 % 2, 0);
            }
        }
    }
}
