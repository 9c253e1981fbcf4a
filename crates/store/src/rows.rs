//! One table as an operation of several parts sees it: what is stored and, over that, the rows its parts have put so far.
//!
//! redb cannot undo one operation of an open transaction. An operation that is computed in one go is put at once; one of
//! several parts (a deletion and the references that go with it, a subtree, a transaction) stages its rows here, so that
//! later parts read what earlier ones put, and all are kept or none. What is put while nothing is staged goes to storage
//! directly, and reading costs one comparison more than without this.

use std::{
    borrow::{Borrow, Cow},
    collections::{BTreeMap, btree_map},
    iter::Peekable,
    ops::{Bound, RangeBounds},
};

use redb::{AccessGuard, CursorError, ReadableTable, StorageError};

use crate::tables::Rows;

/// Rows that are put but not stored: a value, or none where the row is deleted.
type Staged = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A table, and what is staged over it.
pub(crate) struct Table<T> {
    stored: T,
    staged: Option<Staged>,
}

/// The octets of a key or of a value.
pub(crate) enum Row<'t> {
    Stored(AccessGuard<'t, &'static [u8]>),
    Staged(&'t [u8]),
}

/// Rows in the order of their keys.
pub(crate) struct Range<'t> {
    stored: Peekable<redb::Range<'t, &'static [u8], &'static [u8]>>,
    staged: Option<Peekable<StagedRange<'t>>>,
}

type StagedRange<'t> = btree_map::Range<'t, Vec<u8>, Option<Vec<u8>>>;

impl Row<'_> {
    pub(crate) fn value(&self) -> &[u8] {
        match self {
            Self::Stored(guard) => guard.value(),
            Self::Staged(octets) => octets,
        }
    }
}

impl<T> From<T> for Table<T> {
    fn from(stored: T) -> Self {
        Self { stored, staged: None }
    }
}

impl<T: Rows> Table<T> {
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Row<'_>>, StorageError> {
        match self.staged.as_ref().and_then(|staged| staged.get(key)) {
            Some(row) => Ok(row.as_deref().map(Row::Staged)),
            None => Ok(self.stored.get(key)?.map(Row::Stored)),
        }
    }

    /// The first row.
    pub(crate) fn first(&self) -> Result<Option<(Row<'_>, Row<'_>)>, StorageError> {
        self.range::<&[u8]>(..)?.next().transpose()
    }

    /// The last row.
    pub(crate) fn last(&self) -> Result<Option<(Row<'_>, Row<'_>)>, StorageError> {
        let staged = self.staged.as_ref();
        let own = staged.and_then(|staged| {
            staged.iter().rev().find_map(|(key, value)| Some((key.as_slice(), value.as_deref()?)))
        });
        for row in self.stored.range::<&[u8]>(..)?.rev() {
            let (key, value) = row?;
            if own.is_some_and(|(last, _)| last >= key.value()) {
                break;
            }
            if !staged.is_some_and(|staged| staged.contains_key(key.value())) {
                return Ok(Some((Row::Stored(key), Row::Stored(value))));
            }
        }
        Ok(own.map(|(key, value)| (Row::Staged(key), Row::Staged(value))))
    }

    /// How many rows are stored.
    pub(crate) fn len(&self) -> Result<u64, StorageError> {
        self.stored.len()
    }

    pub(crate) fn range<'k, K: Borrow<&'k [u8]> + 'k>(
        &self,
        range: impl RangeBounds<K> + 'k,
    ) -> Result<Range<'_>, StorageError> {
        let staged = self.staged.as_ref().filter(|staged| !staged.is_empty()).map(|staged| {
            let bounds = (octets(range.start_bound()), octets(range.end_bound()));
            if is_void(bounds) { btree_map::Range::default() } else { staged.range::<[u8], _>(bounds) }
                .peekable()
        });
        Ok(Range { stored: self.stored.range(range)?.peekable(), staged })
    }
}

impl Table<redb::Table<'_, &'static [u8], &'static [u8]>> {
    /// Writes or, without a value, deletes one row.
    pub(crate) fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StorageError> {
        match (&mut self.staged, value) {
            (Some(staged), value) => {
                staged.insert(key.to_vec(), value.map(<[u8]>::to_vec));
            }
            (None, Some(value)) => drop(self.stored.insert(key, value)?),
            (None, None) => drop(self.stored.remove(key)?),
        }
        Ok(())
    }

    /// As [`put`](Self::put), of a row that is not needed any more.
    pub(crate) fn put_owned(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<(), StorageError> {
        match &mut self.staged {
            Some(staged) => {
                staged.insert(key, value);
                Ok(())
            }
            None => self.put(&key, value.as_deref()),
        }
    }

    /// What was held back, in the order of its keys. Nothing is held back any more.
    pub(crate) fn take_staged(&mut self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        self.staged.take().unwrap_or_default().into_iter().collect()
    }

    /// Stores rows that are in the order of their keys, each key once. `value` says what becomes of a row, given what
    /// is stored under its key. Of new rows those that stand between two old ones go in together, which costs a
    /// fraction of one after another.
    pub(crate) fn put_in_order<R>(
        &mut self,
        mut rows: &[R],
        key: impl Fn(&R) -> &[u8],
        value: impl for<'r> Fn(&'r R, Option<&[u8]>) -> Option<Cow<'r, [u8]>>,
    ) -> Result<(), CursorError> {
        /// So few new rows are put in one after another.
        const FEW: usize = 3;
        let table = &mut self.stored;
        while let Some((first, rest)) = rows.split_first() {
            let next = table.range::<&[u8]>(key(first)..)?.next().transpose()?;
            if let Some((found, stored)) = &next
                && found.value() == key(first)
            {
                let new = value(first, Some(stored.value()));
                drop(next);
                match new {
                    Some(new) => drop(table.insert(key(first), &*new)?),
                    None => drop(table.remove(key(first))?),
                }
                rows = rest;
                continue;
            }
            let bound = next.map(|(found, _)| found.value().to_vec());
            let stands_here = |row: &&R| bound.as_deref().is_none_or(|bound| key(row) < bound);
            let count = rows.iter().take_while(stands_here).count();
            let Some((new, rest)) = rows.split_at_checked(count) else { break };
            if count <= FEW {
                for row in new {
                    if let Some(value) = value(row, None) {
                        table.insert(key(row), &*value)?;
                    }
                }
            } else {
                let mut cursor = table.lower_bound_mut(Bound::Included(key(first)))?;
                for row in new {
                    if let Some(value) = value(row, None) {
                        cursor.insert_before(key(row), &*value)?;
                    }
                }
                cursor.close()?;
            }
            rows = rest;
        }
        Ok(())
    }

    /// Deletes all rows before a key.
    pub(crate) fn delete_before(&mut self, key: &[u8]) -> Result<(), StorageError> {
        self.stored.retain_in::<&[u8], _>(..key, |_, _| false)
    }

    /// Holds back what is put from now on.
    pub(crate) fn stage(&mut self) {
        self.staged = Some(Staged::new());
    }

    /// Stores what was held back.
    pub(crate) fn keep(&mut self) -> Result<(), StorageError> {
        for (key, value) in self.staged.take().unwrap_or_default() {
            self.put(&key, value.as_deref())?;
        }
        Ok(())
    }

    /// Forgets what was held back.
    pub(crate) fn discard(&mut self) {
        self.staged = None;
    }
}

fn octets<'k, K: Borrow<&'k [u8]>>(bound: Bound<&K>) -> Bound<&'k [u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key.borrow()),
        Bound::Excluded(key) => Bound::Excluded(key.borrow()),
        Bound::Unbounded => Bound::Unbounded,
    }
}

/// Whether there is nothing between the bounds: a map would panic over them.
fn is_void(bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match bounds {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(first), Bound::Included(last)) => first > last,
        (Bound::Included(first) | Bound::Excluded(first), Bound::Included(last) | Bound::Excluded(last)) => {
            first >= last
        }
    }
}

impl<'t> Iterator for Range<'t> {
    type Item = Result<(Row<'t>, Row<'t>), StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { stored, staged } = self;
        let Some(staged) = staged else { return stored.next().map(from_storage) };
        loop {
            let Some((key, _)) = staged.peek() else { return stored.next().map(from_storage) };
            match stored.peek() {
                Some(Ok((there, _))) if there.value() == key.as_slice() => {
                    // The staged row stands in its place.
                    drop(stored.next());
                }
                Some(Ok((there, _))) if there.value() > key.as_slice() => {}
                Some(_) => return stored.next().map(from_storage),
                None => {}
            }
            if let Some((key, Some(value))) = staged.next() {
                return Some(Ok((Row::Staged(key), Row::Staged(value))));
            }
        }
    }
}

type Stored<'t> = (AccessGuard<'t, &'static [u8]>, AccessGuard<'t, &'static [u8]>);

fn from_storage(row: Result<Stored<'_>, StorageError>) -> Result<(Row<'_>, Row<'_>), StorageError> {
    row.map(|(key, value)| (Row::Stored(key), Row::Stored(value)))
}

#[cfg(test)]
mod tests {
    use redb::{Database, TableDefinition, backends::InMemoryBackend};

    use super::*;

    const TABLE: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("t");

    fn rows<T: Rows>(table: &Table<T>, range: (Bound<&[u8]>, Bound<&[u8]>)) -> String {
        let mut text = String::new();
        for row in table.range::<&[u8]>(range).unwrap() {
            let (key, value) = row.unwrap();
            text.push_str(std::str::from_utf8(key.value()).unwrap());
            text.push_str(std::str::from_utf8(value.value()).unwrap());
        }
        text
    }

    #[test]
    fn staged_rows_are_read_over_stored_ones_and_kept_or_forgotten_together() {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut table = Table::from(transaction.open_table(TABLE).unwrap());
        for (key, value) in [(b"b", b"1"), (b"d", b"1"), (b"f", b"1")] {
            table.put(key, Some(value)).unwrap();
        }
        let all = (Bound::Unbounded, Bound::Unbounded);
        for kept in [false, true] {
            table.stage();
            table.put(b"a", Some(b"2")).unwrap();
            table.put(b"b", Some(b"2")).unwrap();
            table.put(b"d", None).unwrap();
            table.put(b"e", Some(b"2")).unwrap();
            table.put(b"e", None).unwrap();
            table.put(b"g", Some(b"2")).unwrap();
            assert_eq!(rows(&table, all), "a2b2f1g2");
            let ends = |table: &Table<_>| {
                let key = |row: Option<(Row<'_>, Row<'_>)>| row.map(|(key, _)| key.value().to_vec());
                (key(Table::first(table).unwrap()), key(Table::last(table).unwrap()))
            };
            assert_eq!(ends(&table), (Some(b"a".to_vec()), Some(b"g".to_vec())));
            table.put(b"g", None).unwrap();
            assert_eq!(ends(&table).1, Some(b"f".to_vec()));
            table.put(b"f", None).unwrap();
            assert_eq!(ends(&table).1, Some(b"b".to_vec()));
            table.put(b"f", Some(b"1")).unwrap();
            table.put(b"g", Some(b"2")).unwrap();
            assert_eq!(table.get(b"d").unwrap().map(|row| row.value().to_vec()), None);
            assert_eq!(table.get(b"a").unwrap().map(|row| row.value().to_vec()), Some(b"2".to_vec()));
            assert_eq!(table.get(b"f").unwrap().map(|row| row.value().to_vec()), Some(b"1".to_vec()));
            type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);
            let bounds: [(Bounds<'_>, &str); 5] = [
                ((Bound::Excluded(b"a"), Bound::Excluded(b"g")), "b2f1"),
                ((Bound::Included(b"a"), Bound::Included(b"a")), "a2"),
                ((Bound::Excluded(b"a"), Bound::Excluded(b"a")), ""),
                ((Bound::Included(b"a"), Bound::Excluded(b"a")), ""),
                ((Bound::Included(b"c"), Bound::Unbounded), "f1g2"),
            ];
            for (range, want) in bounds {
                assert_eq!(rows(&table, range), want, "{range:?}");
            }
            if kept {
                table.keep().unwrap()
            } else {
                table.discard()
            }
            assert_eq!(rows(&table, all), if kept { "a2b2f1g2" } else { "b1d1f1" });
        }
    }
}
