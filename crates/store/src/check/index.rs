//! Whether every entry is under exactly its keys.
//!
//! To look each key up would read the index in random order, once for every key of every entry. Instead two sums are
//! made for each entry: of the keys it should be under, from its own row, and of those it is under, from all rows of the
//! index in their order. Where the sums are the same so are the keys, but for a chance of one in 2⁶⁴ that the key of the
//! hash, which is drawn anew for each check, makes independent of the data. Only entries whose sums differ are looked
//! at key by key.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher, RandomState},
    ops::ControlFlow,
};

use roaring::RoaringBitmap;

use super::{Check, Remedy};
use crate::{
    context::Context,
    index::{describe, entries, is_deferred, split},
    row::{Id, Stored},
    tables::{Failure, Rows, Tables},
    writer::State,
};

/// Ids summed up at a time: 8 octets each.
const WINDOW: u32 = 1 << 20;

/// Entries of a window that are looked at key by key; of those beyond, the number is told.
const SUSPECTS: usize = 1_000;

/// The sums of one window of ids.
struct Sums {
    hasher: RandomState,
    first: Id,
    sums: Vec<u64>,
}

impl Sums {
    fn at(&mut self, id: Id) -> Option<&mut u64> {
        self.sums.get_mut(usize::try_from(id.checked_sub(self.first)?).ok()?)
    }
}

/// Gathers the ids that stand under one key of the index of entryUUID, of keys that have more than one.
struct Twins {
    /// What its keys start with.
    prefix: Vec<u8>,
    /// The key last seen.
    key: Vec<u8>,
    ids: RoaringBitmap,
    found: Vec<RoaringBitmap>,
}

impl Twins {
    fn new(context: &Context) -> Self {
        let oid = context.schema.attribute_type("entryUUID").map_or("entryUUID", |kind| &*kind.oid);
        let prefix = [oid.as_bytes(), b"\0="].concat();
        Self { prefix, key: Vec::new(), ids: RoaringBitmap::new(), found: Vec::new() }
    }

    /// Takes a row; those of one key follow each other.
    fn take(&mut self, key: &[u8], ids: &[Id]) {
        if !key.starts_with(&self.prefix) {
            return;
        }
        if self.key != key {
            self.end();
            key.clone_into(&mut self.key);
        }
        self.ids.extend(ids);
    }

    fn end(&mut self) {
        let ids = std::mem::take(&mut self.ids);
        if ids.len() > 1 {
            self.found.push(ids);
        }
    }

    fn all(mut self) -> Vec<RoaringBitmap> {
        self.end();
        self.found
    }
}

impl<T: Rows> Check<'_, T> {
    /// Looks at all entries, and at the whole index once for every million of them.
    pub(super) fn windows(&mut self, state: &State) -> Result<(), Failure> {
        let size = usize::try_from(WINDOW).unwrap_or_default();
        let mut indexed = RoaringBitmap::new();
        for number in 0..=Id::MAX / WINDOW {
            let first = number * WINDOW;
            let last = first.saturating_add(WINDOW - 1);
            if number > 0 && !indexed.contains(number) && !self.has_any(first, last)? {
                continue;
            }
            let mut sums = Sums { hasher: RandomState::new(), first, sums: vec![0; size] };
            let context = self.context;
            let tables = self.tables;
            self.places(first..=last, state.next_id, &mut |id, stored| {
                let hasher = sums.hasher.clone();
                let Some(sum) = sums.at(id) else { return Ok(()) };
                each_key(context, tables, stored, &mut |key| {
                    *sum = sum.wrapping_add(hasher.hash_one(key));
                })
            })?;
            self.index(&mut sums, (number == 0).then_some(&mut indexed))?;
            self.suspects(&sums)?;
        }
        Ok(())
    }

    /// Whether an id of a window has a row anywhere.
    fn has_any(&self, first: Id, last: Id) -> Result<bool, Failure> {
        let (first, last) = (first.to_be_bytes(), last.to_be_bytes());
        for table in [&self.tables.node, &self.tables.entry, &self.tables.secret] {
            if table.range::<&[u8]>(first.as_slice()..=last.as_slice())?.next().is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes from the sums what index rows say. Rows themselves are looked at where it is noted which windows they are of.
    fn index(&mut self, sums: &mut Sums, mut windows: Option<&mut RoaringBitmap>) -> Result<(), Failure> {
        let tables = self.tables;
        let hasher = sums.hasher.clone();
        let mut twins = Twins::new(self.context);
        for row in tables.index.range::<&[u8]>(..)? {
            self.pass()?;
            let (key, row) = row?;
            if is_deferred(key.value()) || tables.standing.is_under_way(key.value()) {
                continue;
            }
            let found = split(key.value()).and_then(|(key, chunk)| Some((key, entries(chunk, row.value())?)));
            let Some((key, ids)) = found else {
                if windows.is_some() {
                    let what = format!("the row {} cannot be read", describe(self.context, key.value()));
                    self.of_table("index", what, Remedy::Rebuild);
                }
                continue;
            };
            if let Some(windows) = &mut windows {
                self.report.index_rows += 1;
                windows.extend(ids.iter().map(|id| id / WINDOW));
                twins.take(key, &ids);
            }
            let hash = hasher.hash_one(key);
            for id in ids {
                if let Some(sum) = sums.at(id) {
                    *sum = sum.wrapping_sub(hash);
                }
            }
        }
        // What waits counts as done.
        for (id, changes) in tables.deferred()?.changes()? {
            let Some(sum) = sums.at(id) else { continue };
            for (key, present) in changes {
                let hash = hasher.hash_one(key.as_slice());
                match (tables.has(std::slice::from_ref(&key), id)?, present) {
                    _ if tables.standing.is_under_way(&key) => {}
                    (false, true) => *sum = sum.wrapping_sub(hash),
                    (true, false) => *sum = sum.wrapping_add(hash),
                    (true, true) | (false, false) => {}
                }
            }
        }
        twins.all().into_iter().try_for_each(|ids| self.twins(&ids))
    }

    /// Looks at entries that the index has under one entryUUID, and tells each that shares it with another.
    fn twins(&mut self, ids: &RoaringBitmap) -> Result<(), Failure> {
        let mut holders: HashMap<Vec<u8>, Vec<Id>> = HashMap::new();
        for id in ids {
            let row = self.tables.entry.get(id.to_be_bytes().as_slice())?;
            let stored = row.and_then(|row| Stored::decode(id, row.value()).ok());
            let uuid = stored.iter().find_map(|one| one.operational().get("entryUUID")?.first());
            if let Some(uuid) = uuid {
                holders.entry(uuid.to_ascii_lowercase()).or_default().push(id);
            }
        }
        for holders in holders.into_values() {
            let [first, second, ..] = *holders.as_slice() else { continue };
            for id in holders {
                let other = self.shown(if id == first { second } else { first })?.unwrap_or_default();
                let dn = self.shown(id)?;
                let what = format!("its entryUUID is that of `{other}` too");
                self.of_entry("entry", id, dn.as_deref(), what, Remedy::Modify);
            }
        }
        Ok(())
    }

    /// Looks at entries whose sums are not zero, key by key.
    fn suspects(&mut self, sums: &Sums) -> Result<(), Failure> {
        let mut suspects: HashMap<Id, BTreeSet<Vec<u8>>> = HashMap::new();
        let mut beyond = 0_u64;
        for (id, sum) in (sums.first..).zip(&sums.sums) {
            if *sum == 0 {
                continue;
            }
            if suspects.len() >= SUSPECTS {
                beyond += 1;
                continue;
            }
            let row = self.tables.entry.get(id.to_be_bytes().as_slice())?;
            // What has no place is told as such; whether it is found under its keys says nothing more.
            if row.is_some() && self.readable_node(id)?.is_none() {
                continue;
            }
            let stored = row.and_then(|row| Stored::decode(id, row.value()).ok());
            let mut wanted = BTreeSet::new();
            if let Some(stored) = stored {
                each_key(self.context, self.tables, &stored, &mut |key| {
                    wanted.insert(key.to_vec());
                })?;
            }
            suspects.insert(id, wanted);
        }
        if suspects.is_empty() {
            return Ok(());
        }
        let tables = self.tables;
        let waiting = tables.deferred()?.changes()?;
        let waits = |id: Id, key: &[u8]| waiting.get(&id).and_then(|changes| changes.get(key)).copied();
        for row in tables.index.range::<&[u8]>(..)? {
            self.pass()?;
            let (key, row) = row?;
            if is_deferred(key.value()) || tables.standing.is_under_way(key.value()) {
                continue;
            }
            let Some((key, chunk)) = split(key.value()) else { continue };
            for id in entries(chunk, row.value()).into_iter().flatten() {
                let Some(wanted) = suspects.get_mut(&id) else { continue };
                if !wanted.remove(key) && waits(id, key) != Some(false) {
                    let dn = self.shown(id)?;
                    let what = format!("it is under {}, which it does not have", describe(self.context, key));
                    self.of_entry("index", id, dn.as_deref(), what, Remedy::Rebuild);
                }
            }
        }
        let mut suspects: Vec<_> = suspects.into_iter().collect();
        suspects.sort_unstable();
        for (id, missing) in suspects {
            let dn = self.shown(id)?;
            for key in missing.into_iter().filter(|key| waits(id, key) != Some(true)) {
                let what = format!("it is not under {}, which it has", describe(self.context, &key));
                self.of_entry("index", id, dn.as_deref(), what, Remedy::Rebuild);
            }
        }
        if beyond > 0 {
            let what = format!("{beyond} more entries are not under their keys");
            self.of_table("index", what, Remedy::Rebuild);
        }
        Ok(())
    }
}

/// Names each key an entry is to be found under, once: but for what several large attributes of one type have in common,
/// which is named for each of them, so that the entry is looked at key by key.
fn each_key<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    stored: &Stored,
    each: &mut dyn FnMut(&[u8]),
) -> Result<(), Failure> {
    let Context { indexes, schema, .. } = context;
    let is_settled = |prefix: &[u8]| !tables.standing.is_under_way(prefix);
    let keys = indexes.row_keys(schema, stored, &is_settled).to_set();
    for key in &keys {
        each(key);
    }
    for large in stored.large().iter().filter(|one| indexes.looks_at_values(schema, &one.description)) {
        large.visit(tables, None, &mut |_, value| {
            for key in indexes.value_keys_of(schema, &large.description, value, &is_settled) {
                if !keys.contains(&key) {
                    each(&key);
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(())
}
