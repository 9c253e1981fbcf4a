//! The tables, and how rows are reached: the same reading code runs on a snapshot and inside a write transaction.
//!
//! | table | key | value |
//! |---|---|---|
//! | meta | name | format, index definition, counters, contextCSN |
//! | node | id | parent, number of children, normalised RDN, RDN as written |
//! | tree | parent, normalised RDN | id |
//! | entry | id | user attributes, operational attributes, both in wire form |
//! | secret | id | password hashes |
//! | index | attribute, kind, normalised value, id >> 12 | which of 4,096 ids: a sorted list or a bitmap |
//! | change | sequence number | what was changed, by whom |
//!
//! All integers in keys are big-endian, so that keys sort as numbers do. Ids are never used again.

use std::{
    borrow::Cow,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flext_ldap_directory::{Error, ErrorKind};
use flext_ldap_proto::result::{LdapResult, ResultCode};
use redb::{CursorError, ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use crate::staged::Staged;

/// Rows of octets under keys of octets.
pub(crate) type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

const META: Definition = TableDefinition::new("meta");
const NODE: Definition = TableDefinition::new("node");
const TREE: Definition = TableDefinition::new("tree");
const ENTRY: Definition = TableDefinition::new("entry");
const SECRET: Definition = TableDefinition::new("secret");
const INDEX: Definition = TableDefinition::new("index");
const CHANGE: Definition = TableDefinition::new("change");

/// Names a table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Name {
    Meta,
    Node,
    Tree,
    Entry,
    Secret,
    Index,
    Change,
}

impl Name {
    /// All tables, in the order backups have them.
    pub(crate) const ALL: [Self; 7] =
        [Self::Meta, Self::Node, Self::Tree, Self::Entry, Self::Secret, Self::Index, Self::Change];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Node => "node",
            Self::Tree => "tree",
            Self::Entry => "entry",
            Self::Secret => "secret",
            Self::Index => "index",
            Self::Change => "change",
        }
    }

    pub(crate) const fn definition(self) -> Definition {
        TableDefinition::new(self.as_str())
    }
}

/// What a table can be read as, in a snapshot or in a write transaction.
pub(crate) trait Rows: ReadableTable<&'static [u8], &'static [u8]> {}
impl<T: ReadableTable<&'static [u8], &'static [u8]>> Rows for T {}

/// All tables of one transaction.
pub(crate) struct Tables<T> {
    pub(crate) meta: T,
    pub(crate) node: T,
    pub(crate) tree: T,
    pub(crate) entry: T,
    pub(crate) secret: T,
    pub(crate) index: T,
    pub(crate) change: T,
    pub(crate) counts: Arc<Counts>,
    /// Rows that are not in their tables yet, in a write transaction that loads many.
    pub(crate) staged: Staged,
}

/// The tables as of one commit. Shared by all readers until the next commit.
pub(crate) type Snapshot = Tables<ReadOnlyTable<&'static [u8], &'static [u8]>>;

/// The tables inside the one write transaction.
pub(crate) type Writable<'t> = Tables<redb::Table<'t, &'static [u8], &'static [u8]>>;

/// What was done, counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) entries_read: AtomicU64,
    pub(crate) rows_written: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) writes: AtomicU64,
}

impl<T> Tables<T> {
    /// One of the tables.
    pub(crate) fn of(&self, name: Name) -> &T {
        match name {
            Name::Meta => &self.meta,
            Name::Node => &self.node,
            Name::Tree => &self.tree,
            Name::Entry => &self.entry,
            Name::Secret => &self.secret,
            Name::Index => &self.index,
            Name::Change => &self.change,
        }
    }
}

impl Snapshot {
    pub(crate) fn open(transaction: &ReadTransaction, counts: Arc<Counts>) -> Result<Self, redb::Error> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            node: transaction.open_table(NODE)?,
            tree: transaction.open_table(TREE)?,
            entry: transaction.open_table(ENTRY)?,
            secret: transaction.open_table(SECRET)?,
            index: transaction.open_table(INDEX)?,
            change: transaction.open_table(CHANGE)?,
            counts,
            staged: Staged::default(),
        })
    }
}

impl<'t> Writable<'t> {
    pub(crate) fn open(transaction: &'t WriteTransaction, counts: Arc<Counts>) -> Result<Self, redb::Error> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            node: transaction.open_table(NODE)?,
            tree: transaction.open_table(TREE)?,
            entry: transaction.open_table(ENTRY)?,
            secret: transaction.open_table(SECRET)?,
            index: transaction.open_table(INDEX)?,
            change: transaction.open_table(CHANGE)?,
            counts,
            staged: Staged::default(),
        })
    }

    /// Writes or, without a value, deletes one row. Every change of storage passes here and is counted.
    pub(crate) fn put(&mut self, name: Name, key: &[u8], value: Option<&[u8]>) -> Result<(), Failure> {
        if self.staged.is_on() {
            return self.put_owned(name, key.to_vec(), value.map(<[u8]>::to_vec));
        }
        self.put_now(name, key, value)
    }

    /// As [`put`](Self::put), of a row that is not needed any more.
    pub(crate) fn put_owned(
        &mut self,
        name: Name,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    ) -> Result<(), Failure> {
        match self.staged.put(name, key, value) {
            Ok(()) => Ok(()),
            Err((key, value)) => self.put_now(name, &key, value.as_deref()),
        }
    }

    fn put_now(&mut self, name: Name, key: &[u8], value: Option<&[u8]>) -> Result<(), Failure> {
        self.counts.rows_written.fetch_add(1, Ordering::Relaxed);
        let table = self.table(name);
        match value {
            Some(value) => table.insert(key, value).map(|_| ())?,
            None => table.remove(key).map(|_| ())?,
        }
        Ok(())
    }

    /// Writes rows that are in the order of their keys, each key once. `value` says what becomes of a row, given what
    /// is stored under its key. Of new rows those that stand between two old ones go in together, which costs a
    /// fraction of one after another.
    pub(crate) fn put_in_order<R>(
        &mut self,
        name: Name,
        mut rows: &[R],
        key: impl Fn(&R) -> &[u8],
        value: impl for<'r> Fn(&'r R, Option<&[u8]>) -> Option<Cow<'r, [u8]>>,
    ) -> Result<(), Failure> {
        /// So few new rows are put in one after another.
        const FEW: usize = 3;
        self.counts.rows_written.fetch_add(rows.len() as u64, Ordering::Relaxed);
        let table = self.table(name);
        while let Some((first, rest)) = rows.split_first() {
            let next = table.range::<&[u8]>(key(first)..)?.next().transpose()?;
            if let Some((found, stored)) = &next
                && found.value() == key(first)
            {
                let new = value(first, Some(stored.value()));
                drop(next);
                match new {
                    Some(new) => table.insert(key(first), &*new).map(|_| ())?,
                    None => table.remove(key(first)).map(|_| ())?,
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
                        cursor.insert_before(key(row), &*value).map_err(|error| match error {
                            CursorError::Storage(error) => Failure::from(error),
                            _ => Failure::Failed(
                                Error::new(ErrorKind::Bug, "rows were not in the order of their keys")
                                    .with_source(error),
                            ),
                        })?;
                    }
                }
                cursor.close()?;
            }
            rows = rest;
        }
        Ok(())
    }

    /// Deletes all rows before `key`; there are about `count`.
    pub(crate) fn delete_before(&mut self, name: Name, key: &[u8], count: u64) -> Result<(), Failure> {
        self.counts.rows_written.fetch_add(count, Ordering::Relaxed);
        self.table(name).retain_in::<&[u8], _>(..key, |_, _| false)?;
        Ok(())
    }

    fn table(&mut self, name: Name) -> &mut redb::Table<'t, &'static [u8], &'static [u8]> {
        match name {
            Name::Meta => &mut self.meta,
            Name::Node => &mut self.node,
            Name::Tree => &mut self.tree,
            Name::Entry => &mut self.entry,
            Name::Secret => &mut self.secret,
            Name::Index => &mut self.index,
            Name::Change => &mut self.change,
        }
    }
}

/// Why an operation was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The directory's answer is no.
    Refused(LdapResult),
    /// The directory could not answer.
    Failed(Error),
}

impl Failure {
    pub(crate) fn refused(code: ResultCode, diagnostic: impl Into<String>) -> Self {
        Self::Refused(LdapResult::with_diagnostic(code, diagnostic))
    }

    /// A row that is not what this program writes.
    pub(crate) fn damaged(what: &'static str) -> Self {
        Self::Failed(Error::new(
            ErrorKind::Storage,
            format!("the store is damaged: {what} cannot be read; restore it from an export or a backup"),
        ))
    }
}

impl From<redb::StorageError> for Failure {
    fn from(error: redb::StorageError) -> Self {
        Self::Failed(storage_error(error))
    }
}

impl From<redb::Error> for Failure {
    fn from(error: redb::Error) -> Self {
        Self::Failed(storage_error(error))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What failed storage means for the one who runs the store.
pub(crate) fn storage_error(error: impl Into<redb::Error>) -> Error {
    let error = error.into();
    let message = match &error {
        redb::Error::Io(io) if is_full(io) => {
            "no space is left for the store; free space, and it goes on".to_owned()
        }
        redb::Error::Io(io) => format!("the store cannot be read or written ({})", io.kind()),
        redb::Error::PreviousIo => {
            "an earlier failure of storage stopped the store; it goes on when its cause is mended".to_owned()
        }
        redb::Error::Corrupted(_) => "the store is damaged; restore it from an export or a backup".to_owned(),
        _ => "the store failed".to_owned(),
    };
    Error::new(ErrorKind::Storage, message).with_source(error)
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::FileTooLarge
    )
}
