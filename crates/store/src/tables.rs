//! The tables, and how rows are reached: the same reading code runs on a snapshot and inside a write transaction.
//!
//! | table | key | value |
//! |---|---|---|
//! | meta | name | format, index definition, counters, contextCSN, definitions added to the schema |
//! | node | id | parent, number of children, normalised RDN, RDN as written |
//! | tree | parent, normalised RDN | id |
//! | entry | id | what is large of it, user attributes, operational attributes, these in wire form |
//! | value | id, attribute, normalised value or its hash | the value as given, of attributes with many |
//! | secret | id | password hashes |
//! | index | attribute, kind, normalised value, id >> 12 | which of 4,096 ids: a sorted list or a bitmap |
//! | change | sequence number | what was changed, by whom |
//!
//! All integers in keys are big-endian, so that keys sort as numbers do. Ids are never used again.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flext_ldap_directory::{Error, ErrorKind};
use flext_ldap_proto::result::{LdapResult, ResultCode};
use redb::{CursorError, ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use crate::{index::Standing, known::Known, rows::Table, staged::Staged};

/// Rows of octets under keys of octets.
pub(crate) type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

const META: Definition = TableDefinition::new("meta");
const NODE: Definition = TableDefinition::new("node");
const TREE: Definition = TableDefinition::new("tree");
const ENTRY: Definition = TableDefinition::new("entry");
const VALUE: Definition = TableDefinition::new("value");
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
    Value,
    Secret,
    Index,
    Change,
}

impl Name {
    /// All tables, in the order backups have them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Meta,
        Self::Node,
        Self::Tree,
        Self::Entry,
        Self::Value,
        Self::Secret,
        Self::Index,
        Self::Change,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Node => "node",
            Self::Tree => "tree",
            Self::Entry => "entry",
            Self::Value => "value",
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
    pub(crate) meta: Table<T>,
    pub(crate) node: Table<T>,
    pub(crate) tree: Table<T>,
    pub(crate) entry: Table<T>,
    pub(crate) value: Table<T>,
    pub(crate) secret: Table<T>,
    pub(crate) index: Table<T>,
    pub(crate) change: Table<T>,
    /// Which indexes these tables have in full.
    pub(crate) standing: Arc<Standing>,
    pub(crate) counts: Arc<Counts>,
    /// The load under way, in a write transaction.
    pub(crate) staged: Staged,
    /// What readers know, of a snapshot.
    pub(crate) known: Option<Known>,
}

/// The tables as of one commit. Shared by all readers until the next commit.
pub(crate) type Snapshot = Tables<ReadOnlyTable<&'static [u8], &'static [u8]>>;

/// The tables inside the one write transaction.
pub(crate) type Writable<'t> = Tables<redb::Table<'t, &'static [u8], &'static [u8]>>;

/// What was done, counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) entries_read: AtomicU64,
    pub(crate) values_read: AtomicU64,
    pub(crate) rows_written: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) passwords_verified: AtomicU64,
    pub(crate) steps_apart: AtomicU64,
    pub(crate) filters_prepared: AtomicU64,
    /// Entries whose changes of substring indexes wait.
    pub(crate) deferred: AtomicU64,
}

impl<T> Tables<T> {
    /// One of the tables.
    pub(crate) fn of(&self, name: Name) -> &Table<T> {
        match name {
            Name::Meta => &self.meta,
            Name::Node => &self.node,
            Name::Tree => &self.tree,
            Name::Entry => &self.entry,
            Name::Value => &self.value,
            Name::Secret => &self.secret,
            Name::Index => &self.index,
            Name::Change => &self.change,
        }
    }
}

impl Snapshot {
    pub(crate) fn open(transaction: &ReadTransaction, counts: Arc<Counts>) -> Result<Self, Failure> {
        let meta = transaction.open_table(META).map_err(storage_error)?;
        Ok(Self {
            standing: Standing::read(&meta)?.into(),
            meta: meta.into(),
            node: transaction.open_table(NODE).map_err(storage_error)?.into(),
            tree: transaction.open_table(TREE).map_err(storage_error)?.into(),
            entry: transaction.open_table(ENTRY).map_err(storage_error)?.into(),
            value: transaction.open_table(VALUE).map_err(storage_error)?.into(),
            secret: transaction.open_table(SECRET).map_err(storage_error)?.into(),
            index: transaction.open_table(INDEX).map_err(storage_error)?.into(),
            change: transaction.open_table(CHANGE).map_err(storage_error)?.into(),
            counts,
            staged: Staged::default(),
            known: Some(Known::default()),
        })
    }
}

impl<'t> Writable<'t> {
    pub(crate) fn open(transaction: &'t WriteTransaction, counts: Arc<Counts>) -> Result<Self, Failure> {
        let meta = transaction.open_table(META).map_err(storage_error)?;
        Ok(Self {
            standing: Standing::read(&meta)?.into(),
            meta: meta.into(),
            node: transaction.open_table(NODE).map_err(storage_error)?.into(),
            tree: transaction.open_table(TREE).map_err(storage_error)?.into(),
            entry: transaction.open_table(ENTRY).map_err(storage_error)?.into(),
            value: transaction.open_table(VALUE).map_err(storage_error)?.into(),
            secret: transaction.open_table(SECRET).map_err(storage_error)?.into(),
            index: transaction.open_table(INDEX).map_err(storage_error)?.into(),
            change: transaction.open_table(CHANGE).map_err(storage_error)?.into(),
            counts,
            staged: Staged::default(),
            known: None,
        })
    }

    /// Writes or, without a value, deletes one row. Every change of storage passes here and is counted.
    pub(crate) fn put(&mut self, name: Name, key: &[u8], value: Option<&[u8]>) -> Result<(), Failure> {
        self.counts.rows_written.fetch_add(1, Ordering::Relaxed);
        self.staged.count(name, key.len() + value.map_or(0, <[u8]>::len));
        Ok(self.table(name).put(key, value)?)
    }

    /// As [`put`](Self::put), of a row that is not needed any more.
    pub(crate) fn put_owned(
        &mut self,
        name: Name,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    ) -> Result<(), Failure> {
        self.counts.rows_written.fetch_add(1, Ordering::Relaxed);
        self.staged.count(name, key.len() + value.as_ref().map_or(0, Vec::len));
        Ok(self.table(name).put_owned(key, value)?)
    }

    /// Writes rows that are in the order of their keys, each key once. Nothing is held back of the table.
    pub(crate) fn put_all<R>(
        &mut self,
        name: Name,
        rows: &[R],
        key: impl Fn(&R) -> &[u8],
        value: impl Fn(&R) -> &[u8],
    ) -> Result<(), Failure> {
        self.counts.rows_written.fetch_add(rows.len() as u64, Ordering::Relaxed);
        self.staged.count_written(rows.iter().map(|row| key(row).len() + value(row).len()).sum());
        Ok(self.table(name).put_in_order(rows, key, |row, _| Some(Cow::Borrowed(value(row))))?)
    }

    /// Deletes all rows before `key`; there are about `count`.
    pub(crate) fn delete_before(&mut self, name: Name, key: &[u8], count: u64) -> Result<(), Failure> {
        self.counts.rows_written.fetch_add(count, Ordering::Relaxed);
        Ok(self.table(name).delete_before(key)?)
    }

    pub(crate) fn table(&mut self, name: Name) -> &mut Table<redb::Table<'t, &'static [u8], &'static [u8]>> {
        match name {
            Name::Meta => &mut self.meta,
            Name::Node => &mut self.node,
            Name::Tree => &mut self.tree,
            Name::Entry => &mut self.entry,
            Name::Value => &mut self.value,
            Name::Secret => &mut self.secret,
            Name::Index => &mut self.index,
            Name::Change => &mut self.change,
        }
    }

    /// Holds back what is put from now on, until [`keep`](Self::keep) or [`discard`](Self::discard).
    pub(crate) fn stage(&mut self) {
        self.all().into_iter().for_each(Table::stage);
    }

    /// Stores what was held back.
    pub(crate) fn keep(&mut self) -> Result<(), Failure> {
        for table in self.all() {
            table.keep()?;
        }
        Ok(())
    }

    /// Forgets what was held back.
    pub(crate) fn discard(&mut self) {
        self.all().into_iter().for_each(Table::discard);
    }

    fn all(&mut self) -> [&mut Table<redb::Table<'t, &'static [u8], &'static [u8]>>; 8] {
        let Self { meta, node, tree, entry, value, secret, index, change, .. } = self;
        [meta, node, tree, entry, value, secret, index, change]
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

impl From<CursorError> for Failure {
    fn from(error: CursorError) -> Self {
        match error {
            CursorError::Storage(error) => error.into(),
            error => Self::Failed(
                Error::new(ErrorKind::Bug, "rows were not in the order of their keys").with_source(error),
            ),
        }
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
            "no space is left for the store; once there is some, writing can go on".to_owned()
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
