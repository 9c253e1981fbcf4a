//! Building and removing indexes while the store serves.
//!
//! The writer does a slice when nothing waits for it, and in between where much does: some thousand rows or entries, then
//! a commit, which says how far it is. What is being built is kept up by writes from the first slice on, so entries are
//! looked at once, in the order of their ids; when the last one was, searches may ask the index. After a crash the next
//! open goes on from the last commit.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering, mpsc::SyncSender},
    time::{Duration, Instant},
};

use flext_ldap_directory::Error;
use redb::Durability;

use super::{
    Index, IndexConfig, Indexes, Pending, Standing,
    deferred::{BUSY, IDLE, MOVED},
    key, progress,
    standing::{One, Stage},
};
use crate::{
    contain::contained,
    context::Context,
    hashing::closed,
    row::{Id, ROOT},
    tables::{Failure, Name, Writable, storage_error},
    writer::{Engine, snapshot, write_error},
};

/// What one slice works before its commit, at the most.
const SLICE: Duration = Duration::from_millis(20);
/// Entries of one slice. Few keys are common to fewer.
const ENTRIES: usize = 4_096;
/// Values of a large attribute that are read at once. All of them are of the slice that its entry is of.
const VALUES: usize = 4_096;
/// Octets of changes that are held before they are written: of large attributes there can be more.
const GATHERED: usize = 64 << 20;
/// Rows deleted in one slice.
const ROWS: usize = 4_096;

/// What becomes of an index that is not wanted.
const GONE: Stage = Stage::Removing { again: false };

impl Standing {
    /// Whether these are the indexes there are or are to be.
    fn is_of(&self, indexes: &Indexes) -> bool {
        let wanted: HashSet<&[u8]> = indexes.all().map(|index| &*index.prefix).collect();
        let is_there = |one: &One, index: &Index| one.definition == index.definition && one.stage != GONE;
        indexes.all().all(|index| self.get(&index.prefix).is_some_and(|one| is_there(one, index)))
            && self.iter().all(|(prefix, one)| wanted.contains(prefix) || one.stage == GONE)
    }
}

/// Indexes that are asked for instead of those there are.
#[derive(Debug)]
pub(crate) struct Reindex {
    pub(crate) config: IndexConfig,
    /// Told whether they are in force; nothing where they are not and storage is the reason.
    pub(crate) answer: SyncSender<Result<bool, Error>>,
}

/// When the writer does its next slice.
#[derive(Debug, Default)]
pub(crate) struct Maintenance {
    /// Not before, where writes wait.
    next: Option<Instant>,
}

impl Engine {
    /// Whether there is something to build, remove or move. `busy` is whether writes wait: then only what must be, and
    /// no more than a third of the time.
    pub(crate) fn has_slice(&self, busy: bool) -> bool {
        if self.broken.is_some() || self.database.is_none() {
            return false;
        }
        let deferred = self.counts.deferred.load(Ordering::Relaxed);
        let settled = self.published.get().map_or(true, |snapshot| snapshot.standing.is_settled());
        if busy {
            let is_time = self.maintenance.next.is_none_or(|next| next <= Instant::now());
            deferred >= BUSY || (!settled && is_time)
        } else {
            deferred >= IDLE || !settled
        }
    }

    /// Does a slice, in a commit of its own.
    pub(crate) fn do_slice(&mut self) {
        let started = Instant::now();
        let done = contained("the building of an index", || self.try_slice());
        let done = match (done, self.storage.failure()) {
            (Ok(()), Some(error)) => Err(write_error(error)),
            (done, _) => done.map_err(Failure::into_error),
        };
        if let Err(error) = done {
            self.stop_idle(&error);
        }
        self.maintenance.next = Some(Instant::now() + started.elapsed() * 2);
    }

    /// Has what `asked` wants from now on.
    pub(crate) fn reindex(&mut self, asked: &Reindex) {
        let done = self.try_reindex(&asked.config);
        // Who stopped waiting does not hear it.
        let _ = asked.answer.send(done);
    }

    fn try_reindex(&mut self, config: &IndexConfig) -> Result<bool, Error> {
        self.can_write()?;
        let context = self.context.get();
        let Some((indexes, constraints)) = context.with_indexes(config).map_err(Failure::into_error)? else {
            return Ok(false);
        };
        let done = contained("the settling of indexes", || self.write_wanted(&indexes));
        let done = done.map_err(Failure::into_error);
        match done.and_then(|is_other| if is_other { self.publish() } else { Ok(()) }) {
            Ok(()) => {
                // After the snapshot that says how far they are.
                self.context
                    .change(|context| (context.indexes, context.constraints) = (indexes, constraints));
                Ok(true)
            }
            Err(error) => {
                // Whether they are on disk is seen before anything else is written.
                self.doubtful = Some((indexes, constraints));
                self.stop_idle(&error);
                Err(error)
            }
        }
    }

    /// Puts indexes in force of which it was not known whether they were written down, if they were: `standing` says so.
    pub(crate) fn settle_doubtful(&mut self, standing: &Standing) {
        if let Some((indexes, constraints)) = self.doubtful.take()
            && standing.is_of(&indexes)
        {
            self.context.change(|context| (context.indexes, context.constraints) = (indexes, constraints));
        }
    }

    /// Writes down what is to be built and removed, and says whether there is anything.
    fn write_wanted(&mut self, indexes: &Indexes) -> Result<bool, Failure> {
        let Some(database) = &self.database else { return Err(closed().into()) };
        let mut transaction = database.begin_write().map_err(storage_error)?;
        transaction.set_durability(Durability::Immediate).map_err(storage_error)?;
        let is_other = {
            let mut tables = Writable::open(&transaction, Arc::clone(&self.counts))?;
            let before = Arc::clone(&tables.standing);
            reconcile(&mut tables, indexes)?;
            before != tables.standing
        };
        if is_other {
            transaction.commit().map_err(storage_error)?;
        } else {
            transaction.abort().map_err(storage_error)?;
        }
        Ok(is_other)
    }

    /// Shows readers what was committed.
    fn publish(&mut self) -> Result<(), Error> {
        self.unsettled = true;
        self.counts.commits.fetch_add(1, Ordering::Relaxed);
        if let Some(error) = self.storage.failure() {
            return Err(write_error(error));
        }
        let database = self.database.as_ref().ok_or_else(closed)?;
        self.published.set(Some(snapshot(database, &self.counts)?));
        Ok(())
    }

    fn try_slice(&mut self) -> Result<(), Failure> {
        let Some(database) = &self.database else { return Ok(()) };
        let context = self.context.get();
        let mut transaction = database.begin_write().map_err(storage_error)?;
        transaction.set_durability(Durability::Immediate).map_err(storage_error)?;
        let (before, after) = {
            let mut tables = Writable::open(&transaction, Arc::clone(&self.counts))?;
            let before = Arc::clone(&tables.standing);
            slice(&context, &mut tables, &|_| true)?;
            (before, Arc::clone(&tables.standing))
        };
        if let Some(error) = self.storage.failure() {
            return Err(write_error(error).into());
        }
        transaction.commit().map_err(storage_error)?;
        if let Some(error) = self.storage.failure() {
            return Err(write_error(error).into());
        }
        self.unsettled = true;
        self.counts.commits.fetch_add(1, Ordering::Relaxed);
        let published = snapshot(database, &self.counts)?;
        self.published.set(Some(published));
        let total = self.state.next_id.saturating_sub(1);
        for (prefix, old) in before.iter() {
            let new = after.get(prefix).map(|one| one.stage);
            if new == Some(old.stage) {
                continue;
            }
            // What is gone was wanted no more: nothing is to be told of it.
            let Some(stage) = new else { continue };
            if let Some(progress) = progress::progress(&context.schema, prefix, stage, total) {
                if stage == Stage::Ready {
                    tracing::info!(attribute = %progress.attribute, kind = %progress.kind, "the index is built");
                }
                context.index_listener.tell(&progress);
            }
        }
        Ok(())
    }
}

/// Settles what is to be done so that what is there becomes what is wanted.
pub(crate) fn reconcile(tables: &mut Writable<'_>, indexes: &Indexes) -> Result<(), Failure> {
    let mut standing = Standing::clone(&tables.standing);
    let empty = tables.entries()? == 0;
    for prefix in prefixes(tables)? {
        if standing.get(&prefix).is_none() {
            standing.set(&prefix, One { definition: Default::default(), stage: GONE });
        }
    }
    let mut wanted = HashSet::new();
    for index in indexes.all() {
        wanted.insert(&*index.prefix);
        let stage = match standing.get(&index.prefix) {
            Some(one) if one.definition == index.definition && one.stage != GONE => one.stage,
            Some(_) => Stage::Removing { again: true },
            None if empty => Stage::Ready,
            None => Stage::Building(ROOT + 1),
        };
        standing.set(&index.prefix, One { definition: index.definition, stage });
    }
    let unwanted: Vec<(Box<[u8]>, One)> = standing
        .iter()
        .filter(|(prefix, _)| !wanted.contains(prefix))
        .map(|(prefix, one)| (prefix.into(), One { stage: GONE, ..*one }))
        .collect();
    for (prefix, one) in unwanted {
        standing.set(&prefix, one);
    }
    if standing == *tables.standing {
        return Ok(());
    }
    let unsettled = standing.iter().filter(|(_, one)| one.stage != Stage::Ready).count();
    if unsettled > 0 {
        tracing::info!(indexes = unsettled, "indexes are built or removed while the store serves");
    }
    standing.write(tables)
}

/// What the keys of each index that has rows start with.
fn prefixes(tables: &Writable<'_>) -> Result<Vec<Box<[u8]>>, Failure> {
    let mut prefixes: Vec<Box<[u8]>> = Vec::new();
    // What waits stands first and is of no attribute.
    let mut from = vec![1];
    loop {
        let Some(row) = tables.index.range::<&[u8]>(from.as_slice()..)?.next() else { return Ok(prefixes) };
        let prefix: Box<[u8]> = key::prefix_of(row?.0.value()).into();
        if prefix.is_empty() {
            return Err(Failure::damaged("the key of an index"));
        }
        from = key::after(&prefix);
        prefixes.push(prefix);
    }
}

/// Takes all rows away, and what is known of them: every index is then built anew.
pub(crate) fn clear(tables: &mut Writable<'_>) -> Result<(), Failure> {
    loop {
        let rows = tables.index.range::<&[u8]>(..)?.take(ROWS);
        let keys: Vec<Vec<u8>> =
            rows.map(|row| Ok(row?.0.value().to_vec())).collect::<Result<_, Failure>>()?;
        if keys.is_empty() {
            break;
        }
        for key in keys {
            tables.put(Name::Index, &key, None)?;
        }
    }
    tables.counts.deferred.store(0, Ordering::Relaxed);
    Standing::default().write(tables)
}

/// Builds, in this transaction, what the directory itself needs.
pub(crate) fn settle_needed(context: &Context, tables: &mut Writable<'_>) -> Result<(), Failure> {
    let needed: HashSet<&[u8]> =
        context.indexes.all().filter(|index| index.is_needed).map(|index| &*index.prefix).collect();
    settle(context, tables, &|prefix| needed.contains(prefix))
}

/// Builds everything in this transaction.
pub(crate) fn settle_all(context: &Context, tables: &mut Writable<'_>) -> Result<(), Failure> {
    settle(context, tables, &|_| true)
}

fn settle(
    context: &Context,
    tables: &mut Writable<'_>,
    is_needed: &dyn Fn(&[u8]) -> bool,
) -> Result<(), Failure> {
    let is_unsettled = |standing: &Standing| {
        standing.iter().any(|(prefix, one)| is_needed(prefix) && one.stage != Stage::Ready)
    };
    if is_unsettled(&tables.standing) {
        tracing::info!("indexes are built before the store serves");
    }
    while is_unsettled(&tables.standing) {
        slice(context, tables, is_needed)?;
    }
    Ok(())
}

/// Does some of what is to be done about the indexes that `is_meant` is true of.
fn slice(
    context: &Context,
    tables: &mut Writable<'_>,
    is_meant: &dyn Fn(&[u8]) -> bool,
) -> Result<(), Failure> {
    let deferred = tables.counts.deferred.load(Ordering::Relaxed);
    let standing = Arc::clone(&tables.standing);
    let removed =
        standing.iter().find(|(prefix, one)| matches!(one.stage, Stage::Removing { .. }) && is_meant(prefix));
    // An index is removed when nothing waits for it any more, so that nothing late is done to its successor.
    if deferred >= BUSY || (deferred > 0 && (removed.is_some() || standing.is_settled())) {
        let mut pending = Pending::default();
        pending.take_deferred(tables, MOVED)?;
        return pending.flush(tables);
    }
    match removed {
        Some((prefix, one)) => remove(tables, prefix, one),
        None => build(context, tables, &standing, is_meant),
    }
}

fn remove(tables: &mut Writable<'_>, prefix: &[u8], one: &One) -> Result<(), Failure> {
    if !delete_rows(tables, prefix)? {
        return Ok(());
    }
    let mut standing = Standing::clone(&tables.standing);
    if one.stage != GONE {
        standing.set(prefix, One { stage: Stage::Building(ROOT + 1), ..*one });
    } else {
        standing.forget(prefix);
    }
    standing.write(tables)
}

/// Deletes some rows of an index. Says whether they were the last.
fn delete_rows(tables: &mut Writable<'_>, prefix: &[u8]) -> Result<bool, Failure> {
    let after = key::after(prefix);
    let mut keys = Vec::new();
    for row in tables.index.range::<&[u8]>(prefix..after.as_slice())?.take(ROWS) {
        keys.push(row?.0.value().to_vec());
    }
    for key in &keys {
        tables.put(Name::Index, key, None)?;
    }
    Ok(keys.len() < ROWS)
}

/// Looks at the next entries, for all indexes that are as far.
fn build(
    context: &Context,
    tables: &mut Writable<'_>,
    standing: &Standing,
    is_meant: &dyn Fn(&[u8]) -> bool,
) -> Result<(), Failure> {
    const AT_ONCE: usize = 256;
    let built = |one: &One| match one.stage {
        Stage::Building(from) => Some(from),
        Stage::Ready | Stage::Removing { .. } => None,
    };
    let meant = standing.iter().filter(|(prefix, _)| is_meant(prefix));
    let Some(first) = meant.filter_map(|(_, one)| built(one)).min() else { return Ok(()) };
    let as_far = |prefix: &[u8]| is_meant(prefix) && standing.get(prefix).and_then(built) == Some(first);
    let started = Instant::now();
    let mut pending = Pending::default();
    let mut from = Some(first);
    let mut done = 0;
    while let Some(next) = from
        && done < ENTRIES
        && started.elapsed() < SLICE
    {
        let ids: Vec<Id> = tables.ids(next, AT_ONCE)?;
        done += ids.len();
        from = ids.last().and_then(|last| last.checked_add(1));
        for id in ids {
            let Some(stored) = tables.stored(id)? else { continue };
            let Context { schema, indexes, .. } = context;
            let keys = indexes.row_keys(schema, &stored, &as_far);
            keys.iter().for_each(|keyed| pending.gain(keyed, id));
            for large in stored.large().iter().filter(|one| indexes.looks_at_values(schema, &one.description))
            {
                let mut after: Option<Vec<u8>> = None;
                loop {
                    let page = large.page(tables, after.as_deref(), VALUES)?;
                    let Some((last, _)) = page.last() else { break };
                    after = Some(last.clone());
                    for (_, value) in &page {
                        for key in indexes.value_keys_of(schema, &large.description, value, &as_far) {
                            pending.set(&key, id, true);
                        }
                    }
                    if pending.octets() >= GATHERED {
                        std::mem::take(&mut pending).flush(tables)?;
                    }
                }
            }
        }
    }
    pending.flush(tables)?;
    let mut next = standing.clone();
    for (prefix, one) in standing.iter().filter(|(prefix, _)| as_far(prefix)) {
        next.set(prefix, One { stage: from.map_or(Stage::Ready, Stage::Building), ..*one });
    }
    next.write(tables)
}
