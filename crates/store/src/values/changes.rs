//! Changes of a large attribute that are worked out but not made: some rows put, some removed.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Large, ValueRows, encoded_length};
use crate::tables::Failure;

/// What becomes of the rows of one attribute.
#[derive(Clone, Debug)]
pub(crate) struct Changes {
    /// Whether rows that are not named stay; otherwise those named are all that will be there.
    pub(crate) over: bool,
    /// By the key of the value.
    pub(crate) rows: BTreeMap<Vec<u8>, Changed>,
    /// Values there will be, and their octets as [`Large`] counts them.
    pub(crate) count: u64,
    pub(crate) octets: u64,
}

/// What becomes of one row.
#[derive(Clone, Debug)]
pub(crate) enum Changed {
    /// It holds this value.
    Put(Bytes),
    /// It goes; this is the value it held.
    Removed(Bytes),
}

impl Changes {
    /// Starts from nothing: whatever is stored goes.
    pub(crate) fn anew() -> Self {
        Self { over: false, rows: BTreeMap::new(), count: 0, octets: 0 }
    }

    /// All rows of an attribute that is new. Of equal values the first counts.
    pub(crate) fn of_new(mut rows: Vec<(Vec<u8>, Bytes)>) -> Self {
        rows.sort_by(|(one, _), (other, _)| one.cmp(other));
        rows.dedup_by(|(later, _), (first, _)| later == first);
        let octets = rows.iter().map(|(_, value)| encoded_length(value.len() as u64)).sum();
        let count = rows.len() as u64;
        let rows = rows.into_iter().map(|(key, value)| (key, Changed::Put(value))).collect();
        Self { over: false, rows, count, octets }
    }

    /// Starts from what is stored.
    pub(crate) fn of(stored: &Large) -> Self {
        Self { over: true, rows: BTreeMap::new(), count: stored.count, octets: stored.octets }
    }

    /// Puts a value, unless there is one with its key. Says whether there was none.
    pub(crate) fn insert(
        &mut self,
        beneath: &Beneath<'_>,
        key: Vec<u8>,
        value: Bytes,
    ) -> Result<bool, Failure> {
        if self.get(beneath, &key)?.is_some() {
            return Ok(false);
        }
        self.count = self.count.saturating_add(1);
        self.octets = self.octets.saturating_add(encoded_length(value.len() as u64));
        self.rows.insert(key, Changed::Put(value));
        Ok(true)
    }

    /// Removes the value with this key. Says whether there was one.
    pub(crate) fn remove(&mut self, beneath: &Beneath<'_>, key: &[u8]) -> Result<bool, Failure> {
        let Some(value) = self.get(beneath, key)? else { return Ok(false) };
        self.count = self.count.saturating_sub(1);
        self.octets = self.octets.saturating_sub(encoded_length(value.len() as u64));
        self.rows.insert(key.to_vec(), Changed::Removed(value));
        Ok(true)
    }

    /// The value with this key, once the changes are made.
    pub(crate) fn get(&self, beneath: &Beneath<'_>, key: &[u8]) -> Result<Option<Bytes>, Failure> {
        match self.rows.get(key) {
            Some(Changed::Put(value)) => Ok(Some(value.clone())),
            Some(Changed::Removed(_)) => Ok(None),
            None if self.over => beneath.get(key),
            None => Ok(None),
        }
    }

    /// The values that are put.
    pub(crate) fn put(&self) -> impl Iterator<Item = &Bytes> {
        self.rows.values().filter_map(|change| match change {
            Changed::Put(value) => Some(value),
            Changed::Removed(_) => None,
        })
    }
}

/// What is stored of an attribute that is being changed; nothing for one of a new entry, or one that is not large yet.
pub(crate) struct Beneath<'a> {
    pub(crate) large: Option<&'a Large>,
    pub(crate) rows: Option<&'a dyn ValueRows>,
}

impl Beneath<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Failure> {
        match (self.large, self.rows) {
            (Some(large), Some(rows)) => large.get(rows, key),
            _ => Ok(None),
        }
    }
}
