//! Rows of the index on their way to it, in the order of their keys.

use std::{borrow::Cow, sync::atomic::Ordering};

use super::chunk::{CHUNK_BITS, Chunk};
use crate::{
    row::Id,
    tables::{Failure, Writable},
};

/// Rows put in at once.
const ROWS: usize = 4096;

/// Changes of some rows.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Where each row's key and its changes end.
    rows: Vec<(usize, usize)>,
    keys: Vec<u8>,
    /// Of 4,096 ids the one, and whether it is to be there; of a row each once, in their order.
    ids: Vec<(u16, bool)>,
}

/// One row: its key, and what becomes of it.
struct Row<'b> {
    key: &'b [u8],
    ids: &'b [(u16, bool)],
}

impl Batch {
    /// Adds a row by the parts of its key, one of its ids, and its changes in the order of the ids. Of two changes the
    /// later one counts.
    pub(super) fn add(&mut self, key: &[&[u8]], id: Id, changes: impl Iterator<Item = (Id, bool)>) {
        key.iter().for_each(|part| self.keys.extend_from_slice(part));
        self.keys.extend_from_slice(&(id >> CHUNK_BITS).to_be_bytes());
        let start = self.ids.len();
        for (id, present) in changes {
            let low = u16::try_from(id & ((1 << CHUNK_BITS) - 1)).unwrap_or_default();
            let is_first = self.ids.len() == start;
            match self.ids.last_mut() {
                Some(last) if !is_first && last.0 == low => last.1 = present,
                _ => self.ids.push((low, present)),
            }
        }
        self.rows.push((self.keys.len(), self.ids.len()));
    }

    /// Whether it is to be put before more is added.
    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= ROWS
    }

    /// Writes the rows.
    pub(super) fn put(self, tables: &mut Writable<'_>) -> Result<(), Failure> {
        let (mut keys, mut ids) = (0, 0);
        let mut rows = Vec::with_capacity(self.rows.len());
        for (keys_end, ids_end) in &self.rows {
            rows.push(Row {
                key: self.keys.get(keys..*keys_end).unwrap_or_default(),
                ids: self.ids.get(ids..*ids_end).unwrap_or_default(),
            });
            (keys, ids) = (*keys_end, *ids_end);
        }
        tables.counts.rows_written.fetch_add(rows.len() as u64, Ordering::Relaxed);
        tables.index.put_in_order(
            &rows,
            |row| row.key,
            |row, stored| {
                let mut chunk = match stored {
                    // Most rows of a load are new, and of one entry.
                    None if let [(id, true)] = row.ids => return Some(Cow::Owned(id.to_be_bytes().to_vec())),
                    None => Chunk::Sparse(Vec::with_capacity(row.ids.len())),
                    Some(stored) => Chunk::decode(stored),
                };
                for (id, present) in row.ids {
                    chunk.set(*id, *present);
                }
                chunk.encode().map(Cow::Owned)
            },
        )?;
        Ok(())
    }
}
