//! Changes of index rows, gathered until the commit.

use std::collections::HashMap;

use super::chunk::{CHUNK_BITS, Chunk};
use crate::{
    row::Id,
    tables::{Failure, Name, Writable},
};

/// Changes of index rows in the open transaction. Each row is read and written once, at the end and in the order of the
/// keys: the pages of one are then at hand for the next.
#[derive(Debug, Default)]
pub(crate) struct Pending(HashMap<Vec<u8>, Vec<(u16, bool)>>);

impl Pending {
    /// Puts an entry under `key`, or takes it away.
    pub(crate) fn set(&mut self, mut key: Vec<u8>, id: Id, present: bool) {
        key.extend_from_slice(&(id >> CHUNK_BITS).to_be_bytes());
        let low = u16::try_from(id & ((1 << CHUNK_BITS) - 1)).unwrap_or_default();
        self.0.entry(key).or_default().push((low, present));
    }

    /// Rows that are to be changed.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn flush(self, tables: &mut Writable<'_>) -> Result<(), Failure> {
        let mut rows: Vec<_> = self.0.into_iter().collect();
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
