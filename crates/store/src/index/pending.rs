//! Changes of index rows, gathered until the commit.
//!
//! They are kept as octets one after another, by attribute and kind, and sorted once: each row is then read and
//! written once, in the order of the keys, and runs of new rows that stand between two old ones go in together.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError, mpsc::sync_channel},
    thread,
};

use roaring::RoaringBitmap;

use super::{
    batch::Batch,
    chunk::CHUNK_BITS,
    deferred::Deferring,
    grams::{Gained, Grams, GramsOf},
    key,
    keys::{Keyed, Keys},
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
    /// New entries under keys that many have, by what these begin with.
    shared: BTreeMap<Box<[u8]>, Shared>,
    octets: usize,
}

/// Whole keys, and the entries that come under each.
type Shared = BTreeMap<Box<[u8]>, RoaringBitmap>;

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
    first: u128,
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

    /// Puts new entries under keys they have in common. Whatever else is done to one of them comes later.
    pub(crate) fn share(&mut self, keys: &Keys, ids: impl Iterator<Item = Id>) {
        let ids: Vec<Id> = ids.collect();
        for keyed in keys.iter() {
            match keyed {
                Keyed::One(key) => self.rows.share(key, &ids),
                Keyed::Grams(..) => ids.iter().for_each(|id| self.gain(keyed, *id)),
            }
        }
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
    /// other threads.
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

/// Octets of changes from which on other threads sort them.
const MUCH: usize = 1 << 20;

/// Threads that do so, each an index.
const SORTERS: usize = 2;

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

    /// See [`Pending::share`].
    fn share(&mut self, key: &[u8], ids: &[Id]) {
        let prefix = key::prefix_of(key);
        let shared = match self.shared.get_mut(prefix) {
            Some(shared) => shared,
            None => self.shared.entry(prefix.into()).or_default(),
        };
        match shared.get_mut(key) {
            Some(there) => there.extend(ids),
            None => {
                self.octets = self.octets.saturating_add(key.len());
                shared.insert(key.into(), ids.iter().collect());
            }
        }
        self.octets = self.octets.saturating_add(size_of_val(ids) / 2);
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
        let much = self.octets >= MUCH;
        let parts = self.parts(&tables.standing);
        if !much {
            before(tables)?;
            return parts.into_iter().try_for_each(|part| part.put_all(tables));
        }
        let (sorters, batches): (Vec<_>, Vec<_>) = parts
            .into_iter()
            .map(|part| {
                let (sender, batches) = sync_channel(AHEAD);
                ((part, sender), batches)
            })
            .unzip();
        // Taken in turn, so that what is put next is sorted first.
        let sorters = Mutex::new(sorters.into_iter());
        let next = || sorters.lock().unwrap_or_else(PoisonError::into_inner).next();
        let sort = || {
            while let Some((part, sender)) = next() {
                if !part.batches(&mut |batch| sender.send(batch).is_ok()) {
                    break;
                }
            }
        };
        thread::scope(|scope| {
            let start = || thread::Builder::new().name("ldap-sort".to_owned()).spawn_scoped(scope, sort).is_ok();
            let sorting = (0..SORTERS).filter(|_| start()).count() > 0;
            before(tables)?;
            if !sorting {
                // No thread can be started.
                return std::iter::from_fn(next).try_for_each(|(part, _)| part.put_all(tables));
            }
            batches.into_iter().flatten().try_for_each(|batch| batch.put(tables))
        })
    }

    /// What becomes of the indexes that are kept.
    fn parts(self, standing: &Standing) -> Vec<Part> {
        let Self { buckets, grams, shared, .. } = self;
        let of_shared = shared.into_iter().map(|(prefix, shared)| Part::Shared(prefix, shared));
        let of_keys = buckets.into_iter().map(|(prefix, bucket)| Part::Keys(prefix, bucket));
        let of_grams = grams.0.into_iter().map(|(prefix, grams)| Part::Grams(prefix, grams));
        // What is shared was there first.
        of_shared.chain(of_keys).chain(of_grams).filter(|part| standing.keeps(part.prefix())).collect()
    }
}

/// The changes of one index, with what its keys begin with.
enum Part {
    Shared(Box<[u8]>, Shared),
    Keys(Box<[u8]>, Bucket),
    Grams(Box<[u8]>, Grams),
}

impl Part {
    fn prefix(&self) -> &[u8] {
        match self {
            Self::Shared(prefix, _) | Self::Keys(prefix, _) | Self::Grams(prefix, _) => prefix,
        }
    }

    /// The rows, some at a time in the order of their keys, as long as `put` is true.
    fn batches(self, put: &mut dyn FnMut(Batch) -> bool) -> bool {
        match self {
            Self::Shared(_, shared) => batches_of_shared(shared, put),
            Self::Keys(prefix, bucket) => bucket.batches(&prefix, put),
            Self::Grams(prefix, grams) => grams.batches(&prefix, put),
        }
    }

    fn put_all(self, tables: &mut Writable<'_>) -> Result<(), Failure> {
        let mut result = Ok(());
        self.batches(&mut |batch| {
            result = batch.put(tables);
            result.is_ok()
        });
        result
    }
}

fn batches_of_shared(shared: Shared, put: &mut dyn FnMut(Batch) -> bool) -> bool {
    let mut rows = Batch::default();
    for (key, ids) in shared {
        let ids: Vec<Id> = ids.iter().collect();
        for chunk in ids.chunk_by(|one, other| one >> CHUNK_BITS == other >> CHUNK_BITS) {
            let Some(id) = chunk.first() else { continue };
            rows.add(&[&key], *id, chunk.iter().map(|id| (*id, true)));
            if rows.is_full() && !put(std::mem::take(&mut rows)) {
                return false;
            }
        }
    }
    put(rows)
}

impl Bucket {
    fn batches(mut self, prefix: &[u8], put: &mut dyn FnMut(Batch) -> bool) -> bool {
        let Self { octets, changes } = &mut self;
        let common = common(octets, changes);
        for change in changes.iter_mut() {
            let mut first = [0; size_of::<u128>()];
            let rest = change.rest(octets).get(common..).unwrap_or_default();
            first.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            change.first = u128::from_be_bytes(first);
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
