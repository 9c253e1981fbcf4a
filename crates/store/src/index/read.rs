//! Counting and reading the entries under keys.

use roaring::RoaringBitmap;

use super::{
    Deferred, Span,
    chunk::{CHUNK_BITS, Chunk},
    key,
};
use crate::{
    meter::Meter,
    row::Id,
    tables::{Failure, Rows, Tables},
};

/// How many rows may be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget(pub(crate) u64);

/// What reading a row costs besides its octets, in octets looked at.
const READ: usize = 1_024;

/// Entries under keys, as far as they were counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Count {
    /// Entries; of several keys the sum, so one that is under two counts twice.
    pub(crate) entries: u64,
    /// Rows they are in.
    pub(crate) rows: u64,
    /// Whether there are more, which were not counted.
    pub(crate) more: bool,
}

impl Count {
    pub(crate) fn add(&mut self, other: Self) {
        self.entries = self.entries.saturating_add(other.entries);
        self.rows = self.rows.saturating_add(other.rows);
        self.more |= other.more;
    }
}

impl<T: Rows> Tables<T> {
    /// How many entries are under these keys; counting stops beyond `enough`.
    pub(crate) fn count(&self, keys: &[Vec<u8>], enough: u64) -> Result<u64, Failure> {
        let mut count = 0;
        for key in keys {
            let span = Span::Key(key.clone());
            count += self
                .count_span(&span, &Deferred::default(), enough, Budget(u64::MAX), &Meter::unbounded())?
                .entries;
            if count > enough {
                break;
            }
        }
        Ok(count)
    }

    /// The entries under these keys.
    pub(crate) fn candidates(&self, keys: &[Vec<u8>]) -> Result<RoaringBitmap, Failure> {
        let mut ids = RoaringBitmap::new();
        for key in keys {
            let span = Span::Key(key.clone());
            let (mut budget, meter) = (Budget(u64::MAX), Meter::unbounded());
            self.read_span(&span, None, &Deferred::default(), &mut budget, &meter, &mut ids)?;
        }
        Ok(ids)
    }

    /// Whether an entry's rows of the index say that it is under any of these keys.
    pub(crate) fn has(&self, keys: &[Vec<u8>], id: Id) -> Result<bool, Failure> {
        let low = u16::try_from(id & ((1 << CHUNK_BITS) - 1)).unwrap_or_default();
        for key in keys {
            let row = self.index.get(&key::row(key, id >> CHUNK_BITS))?;
            if row.is_some_and(|row| Chunk::decode(row.value()).has(low)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many entries are under these keys. Counting stops beyond `enough` entries or `budget` rows.
    pub(crate) fn count_span(
        &self,
        span: &Span,
        deferred: &Deferred,
        enough: u64,
        budget: Budget,
        meter: &Meter,
    ) -> Result<Count, Failure> {
        self.count_rows(span, deferred.count(span), enough, budget, meter, |_, _| ())
    }

    /// How many entries are under a key whose changes do not wait, and which ones unless there are more than `few`.
    pub(crate) fn count_key(
        &self,
        key: &Span,
        few: u64,
        enough: u64,
        budget: Budget,
        meter: &Meter,
    ) -> Result<(Count, Option<RoaringBitmap>), Failure> {
        let mut ids = RoaringBitmap::new();
        let count = self.count_rows(key, 0, enough, budget, meter, |row_key, row| {
            if ids.len() <= few
                && let Some((_, chunk)) = key::split(row_key)
            {
                add(&mut ids, chunk, row);
            }
        })?;
        let is_all = !count.more && count.entries <= few;
        Ok((count, is_all.then_some(ids)))
    }

    /// Counts on from `entries`, showing the rows that are counted.
    fn count_rows(
        &self,
        span: &Span,
        entries: u64,
        enough: u64,
        budget: Budget,
        meter: &Meter,
        mut see: impl FnMut(&[u8], &[u8]),
    ) -> Result<Count, Failure> {
        let mut count = Count { entries, ..Count::default() };
        let (first, last) = span.rows();
        for row in self.index.range::<&[u8]>(first.as_slice()..=last.as_slice())? {
            if count.rows >= budget.0 || count.entries > enough {
                count.more = true;
                break;
            }
            let (row_key, row) = row?;
            count.rows += 1;
            meter.look(READ + row_key.value().len() + row.value().len())?;
            count.entries += Chunk::decode(row.value()).len();
            see(row_key.value(), row.value());
        }
        Ok(count)
    }

    /// Adds the entries under these keys to `ids`; where `within` is given, others than those in it may be left out.
    /// Says whether the budget was enough.
    pub(crate) fn read_span(
        &self,
        span: &Span,
        within: Option<&RoaringBitmap>,
        deferred: &Deferred,
        budget: &mut Budget,
        meter: &Meter,
        ids: &mut RoaringBitmap,
    ) -> Result<bool, Failure> {
        deferred.read(span, ids);
        if let (Span::Key(key), Some(within)) = (span, within) {
            return self.read_chunks(key, within, budget, meter, ids);
        }
        let (first, last) = span.rows();
        for row in self.index.range::<&[u8]>(first.as_slice()..=last.as_slice())? {
            let Some(left) = budget.0.checked_sub(1) else { return Ok(false) };
            budget.0 = left;
            let (row_key, row) = row?;
            meter.look(READ + row_key.value().len() + row.value().len())?;
            let Some((_, chunk)) = key::split(row_key.value()) else { continue };
            add(ids, chunk, row.value());
        }
        Ok(true)
    }

    /// The rows of one key for the chunks that `within` has ids of.
    fn read_chunks(
        &self,
        key: &[u8],
        within: &RoaringBitmap,
        budget: &mut Budget,
        meter: &Meter,
        ids: &mut RoaringBitmap,
    ) -> Result<bool, Failure> {
        let mut next = within.min();
        while let Some(id) = next {
            let Some(left) = budget.0.checked_sub(1) else { return Ok(false) };
            budget.0 = left;
            let chunk = id >> CHUNK_BITS;
            meter.look(READ)?;
            if let Some(row) = self.index.get(key::row(key, chunk).as_slice())? {
                add(ids, chunk, row.value());
            }
            let after = chunk.checked_add(1).and_then(|chunk| chunk.checked_mul(1 << CHUNK_BITS));
            next = after.and_then(|id| within.range(id..).next());
        }
        Ok(true)
    }
}

fn add(ids: &mut RoaringBitmap, chunk: u32, row: &[u8]) {
    let base = chunk << CHUNK_BITS;
    ids.extend(Chunk::decode(row).ids().map(|id| base | Id::from(id)));
}
