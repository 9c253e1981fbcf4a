//! Changes of index rows, gathered until the commit.

use std::collections::HashMap;

use super::{
    chunk::{CHUNK_BITS, Chunk},
    deferred::Deferring,
    key,
};
use crate::{
    row::Id,
    tables::{Failure, Name, Writable},
};

/// Changes of index rows in the open transaction. Each row is read and written once, at the end and in the order of the
/// keys: the pages of one are then at hand for the next.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    rows: HashMap<Vec<u8>, Vec<(u16, bool)>>,
    deferring: Deferring,
}

impl Pending {
    /// Puts an entry under `key`, or takes it away.
    pub(crate) fn set(&mut self, key: Vec<u8>, id: Id, present: bool) {
        if key::is_substring(&key) {
            self.deferring.set(key, id, present);
        } else {
            set(&mut self.rows, key, id, present);
        }
    }

    /// Rows that are to be changed.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Makes changes that wait in earlier commits, those of up to `limit` entries. Says of how many.
    pub(super) fn take_deferred(
        &mut self,
        tables: &mut Writable<'_>,
        limit: usize,
    ) -> Result<usize, Failure> {
        tables.move_deferred(limit, &mut |key, id, present| set(&mut self.rows, key, id, present))
    }

    pub(crate) fn flush(mut self, tables: &mut Writable<'_>) -> Result<(), Failure> {
        let rows = &mut self.rows;
        self.deferring.flush(tables, &mut |key, id, present| set(rows, key, id, present))?;
        let standing = std::sync::Arc::clone(&tables.standing);
        let mut rows: Vec<_> = self.rows.into_iter().filter(|(key, _)| standing.keeps(key)).collect();
        rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (key, changes) in rows {
            let stored = tables.index.get(key.as_slice())?;
            let mut chunk =
                stored.as_ref().map_or_else(|| Chunk::Sparse(Vec::new()), |row| Chunk::decode(row.value()));
            drop(stored);
            for (id, present) in changes {
                chunk.set(id, present);
            }
            tables.put(Name::Index, &key, chunk.encode().as_deref())?;
        }
        Ok(())
    }
}

fn set(rows: &mut HashMap<Vec<u8>, Vec<(u16, bool)>>, mut key: Vec<u8>, id: Id, present: bool) {
    key.extend_from_slice(&(id >> CHUNK_BITS).to_be_bytes());
    let low = u16::try_from(id & ((1 << CHUNK_BITS) - 1)).unwrap_or_default();
    rows.entry(key).or_default().push((low, present));
}
