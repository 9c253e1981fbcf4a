//! Changes of index rows, gathered until the commit.
//!
//! They are kept as octets one after another, by attribute and kind, and sorted once: each row is then read and
//! written once, in the order of the keys, and runs of new rows that stand between two old ones go in together.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, mpsc::sync_channel},
    thread,
};

use super::{
    batch::Batch,
    chunk::CHUNK_BITS,
    deferred::Deferring,
    grams::{Gained, GramsOf},
    key,
    keys::Keyed,
    standing::Standing,
};
use crate::{
    row::Id,
    tables::{Failure, Writable},
};

/// Changes of index rows in the open transaction.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    rows: Rows,
    /// Keys of substring indexes that entries come under, before what is deferred.
    gained: Gained,
    deferring: Deferring,
}

/// Changes that become rows of the index.
#[derive(Debug, Default)]
struct Rows {
    /// By what keys begin with: the attribute and the kind. None is the beginning of another, so this order and that
    /// within each make up the order of the keys.
    buckets: BTreeMap<Box<[u8]>, Bucket>,
    grams: GramsOf,
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

impl Pending {
    /// Puts an entry under `key`, or takes it away.
    pub(crate) fn set(&mut self, key: &[u8], id: Id, present: bool) {
        if key::is_substring(key) {
            self.deferring.set(key.to_vec(), id, present);
        } else {
            self.rows.set(key, id, present);
        }
    }

    /// Puts an entry under keys. Whatever else is done to the entry comes later, or does not contradict.
    pub(crate) fn gain(&mut self, keys: Keyed<'_>, id: Id) {
        match keys {
            Keyed::One(key) => self.rows.set(key, id, true),
            Keyed::Grams(prefix, grams) => self.gained.put(prefix, grams, id),
        }
    }

    /// Takes over what entries come under whose ids were not known: `other` has their places in `ids` instead. Entries
    /// without an id are left out.
    pub(crate) fn absorb(&mut self, other: Self, ids: &[Option<Id>]) {
        let id = |place: Id| ids.get(place as usize).copied().flatten();
        self.rows.absorb(other.rows, &id);
        self.gained.absorb(other.gained, &id);
    }

    /// Makes changes that wait in earlier commits, those of up to `limit` entries. Says of how many.
    pub(super) fn take_deferred(
        &mut self,
        tables: &mut Writable<'_>,
        limit: usize,
    ) -> Result<usize, Failure> {
        tables.move_deferred(limit, &mut |key, id, present| self.rows.set(&key, id, present))
    }

    /// Octets of memory that are used.
    pub(crate) fn octets(&self) -> usize {
        self.rows.octets.saturating_add(self.gained.octets())
    }

    /// Writes all rows.
    pub(crate) fn flush(self, tables: &mut Writable<'_>) -> Result<(), Failure> {
        self.flush_after(tables, |_| Ok(()))
    }

    /// As [`flush`](Self::flush), once `before` is done, which other tables are written in: while it is, much is sorted by
    /// another thread.
    pub(crate) fn flush_after<'t>(
        self,
        tables: &mut Writable<'t>,
        before: impl FnOnce(&mut Writable<'t>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Self { mut rows, gained, mut deferring } = self;
        let at_once = deferring.is_at_once(gained.entries);
        if at_once {
            rows.octets = rows.octets.saturating_add(gained.octets());
            rows.grams = gained.grams;
        } else {
            gained.each(|key, id| deferring.gain(key, id));
        }
        deferring.flush(tables, at_once, &mut |key, id, present| rows.set(&key, id, present))?;
        rows.flush(tables, before)
    }
}

/// Octets of changes from which on another thread sorts them.
const MUCH: usize = 1 << 20;

/// Batches that are sorted and not yet written.
const AHEAD: usize = 4;

impl Rows {
    fn set(&mut self, key: &[u8], id: Id, present: bool) {
        let prefix = key::prefix_of(key);
        let rest = key.get(prefix.len()..).unwrap_or_default();
        if key::is_substring(key)
            && let Ok(gram) = rest.try_into()
        {
            self.grams.set(prefix, gram, id, present);
            self.octets = self.octets.saturating_add(size_of::<u64>());
            return;
        }
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

    /// See [`Pending::absorb`]. Parts of values are not among these.
    fn absorb(&mut self, other: Self, id: &dyn Fn(Id) -> Option<Id>) {
        for (prefix, mut from) in other.buckets {
            let to = self.buckets.entry(prefix).or_default();
            let before = to.octets.len();
            to.octets.append(&mut from.octets);
            to.changes.extend(from.changes.iter().filter_map(|change| {
                let start = before.saturating_add(change.start);
                Some(Change { id: id(change.id)?, start, ..*change })
            }));
        }
        self.octets = self.octets.saturating_add(other.octets);
    }

    fn flush<'t>(
        self,
        tables: &mut Writable<'t>,
        before: impl FnOnce(&mut Writable<'t>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let standing = Arc::clone(&tables.standing);
        if self.octets < MUCH {
            before(tables)?;
            return self.put_all(&standing, tables);
        }
        // Left here if the thread cannot be started.
        let rows = Mutex::new(Some(self));
        let take = || rows.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (sender, batches) = sync_channel(AHEAD);
        let kept = Arc::clone(&standing);
        let sort = move || take().map(|rows| rows.batches(&kept, &mut |batch| sender.send(batch).is_ok()));
        thread::scope(|scope| {
            let sorting = thread::Builder::new().name("ldap-sort".to_owned()).spawn_scoped(scope, sort);
            before(tables)?;
            match sorting {
                Ok(_) => batches.into_iter().try_for_each(|batch: Batch| batch.put(tables)),
                Err(_) => take().map_or(Ok(()), |rows| rows.put_all(&standing, tables)),
            }
        })
    }

    fn put_all(self, standing: &Standing, tables: &mut Writable<'_>) -> Result<(), Failure> {
        let mut result = Ok(());
        self.batches(standing, &mut |batch| {
            result = batch.put(tables);
            result.is_ok()
        });
        result
    }

    /// The rows of the indexes that are kept, some at a time in the order of their keys, as long as `put` is true.
    fn batches(self, standing: &Standing, put: &mut dyn FnMut(Batch) -> bool) -> bool {
        let Self { buckets, grams, .. } = self;
        let keeps = |prefix: &[u8]| standing.keeps(prefix);
        buckets.into_iter().all(|(prefix, bucket)| !keeps(&prefix) || bucket.batches(&prefix, put))
            && grams.0.into_iter().all(|(prefix, grams)| !keeps(&prefix) || grams.batches(&prefix, put))
    }
}

impl Bucket {
    fn batches(mut self, prefix: &[u8], put: &mut dyn FnMut(Batch) -> bool) -> bool {
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
        let mut rows = Batch::default();
        for group in changes.chunk_by(same) {
            let Some(change) = group.first() else { continue };
            let is_there = |change: &Change| octets.get(change.start) == Some(&1);
            let ids = group.iter().map(|change| (change.id, is_there(change)));
            rows.add(&[prefix, change.rest(octets)], change.id, ids);
            if rows.is_full() && !put(std::mem::take(&mut rows)) {
                return false;
            }
        }
        put(rows)
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
