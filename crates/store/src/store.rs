//! The store: opening, closing, and answering requests.

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    future::poll_fn,
    io::{self, Read, Seek, Write as _},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::Poll,
};

use flext_ldap_directory::{
    AccessPolicy, BoxFuture, Directory, Error, ErrorKind, Op, Outcome, Peer, Reply, Request, Session,
    Sessions,
};
use flext_ldap_proto::dn::Dn;
use redb::{StorageBackend, backends::InMemoryBackend};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::{
    backend::{Plain, Steady},
    check,
    constraint::Constraints,
    contain::{contained, damaged},
    context::{Administrator, Caller, Context, Current},
    controls::{self, On},
    hashing::Hashers,
    index::{self, IndexProgress, Indexes, Maintenance, Reindex},
    lists::Lists,
    migrate,
    options::{Location, StoreOptions},
    ppolicy::{self, Attempts, PasswordPolicy},
    project::is_computed_name,
    row::{Id, ROOT, tree_key},
    search::{SearchEvents, Searching},
    session::StoreSession,
    shares::Shares,
    subschema::Subschema,
    tables::{Counts, Failure, Name, Snapshot, Writable, storage_error},
    values::rekey,
    writer::{self, Engine, Job, Published, State, Writer},
};

/// By what rules the keys of names were made.
pub(crate) const NAMES_ROW: &[u8] = b"names";
/// What earlier versions keep in its place, of names and indexes. Where it is, one of them has made the indexes.
const INDEX_ROW: &[u8] = b"index";
const PAGE_KEY_ROW: &[u8] = b"page-key";

/// The files in a store's folder.
pub(crate) const DATA_FILE: &str = "directory.redb";
const LOCK_FILE: &str = "lock";

/// An embedded directory. Cheap to copy; all copies are the same store.
///
/// When the last copy is dropped, all accepted writes are finished and the threads are joined: that blocks for as long
/// as a commit takes.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    context: Arc<Current>,
    published: Arc<Published>,
    counts: Arc<Counts>,
    writer: Writer,
    hashers: Hashers,
    lists: Lists,
    /// Persistent searches that there may be.
    followers: Shares,
    /// Threads on which searches do what takes more than a turn.
    apart: Shares,
    attempts: Attempts,
    /// Held for as long as the store is open.
    _lock: Option<File>,
}

/// What a store has done since it was opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// Entries read from storage.
    pub entries_read: u64,
    /// Values of large attributes read from storage, looked up or passed.
    pub values_read: u64,
    /// Rows written or deleted.
    pub rows_written: u64,
    /// Commits.
    pub commits: u64,
    /// Operations that changed something.
    pub writes: u64,
    /// Passwords compared with the stored ones of an entry. Those of locked and unknown ones are not.
    pub passwords_verified: u64,
    /// Steps of searches that took more than a turn, and were done on a thread apart.
    pub steps_apart: u64,
    /// Filters of searches that were made ready for a schema.
    pub filters_prepared: u64,
}

impl Store {
    /// Opens a store.
    ///
    /// # Errors
    ///
    /// When the folder cannot be used, another process has it open, it was written by a newer version, or the options
    /// contradict each other.
    pub fn open(options: StoreOptions) -> Result<Self, Error> {
        match options.location.clone() {
            Location::Memory => Self::start(Arc::new(InMemoryBackend::new()), options, None),
            Location::Folder(folder) => {
                let lock = lock(&folder)?;
                let path = folder.join(DATA_FILE);
                let file = private_file(&path).map_err(|error| unusable(&path, error))?;
                Self::start(Arc::new(Plain(file)), options, Some(lock))
            }
        }
    }

    /// Opens a store on storage of the caller's own; the location in `options` is not looked at. For tests that want
    /// storage to fail.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_on(backend: impl StorageBackend, options: StoreOptions) -> Result<Self, Error> {
        Self::start(Arc::new(backend), options, None)
    }

    fn start(
        backend: Arc<dyn StorageBackend>,
        options: StoreOptions,
        lock: Option<File>,
    ) -> Result<Self, Error> {
        let counts = Arc::new(Counts::default());
        let storage = Arc::new(Steady::new(backend));
        let verify = options.verify_pages;
        let database = writer::open(Arc::clone(&storage) as _, options.limits.cache, verify)?;
        let (context, state) = contained("the opening of the store", || prepare(&database, options, &counts))
            .map_err(Failure::into_error)?;
        if let Some(error) = storage.failure() {
            return Err(storage_error(redb::StorageError::from(error)));
        }
        let snapshot = writer::snapshot(&database, &counts)?;
        let published = Arc::new(Published::new(snapshot));
        let limits = context.limits.clone();
        let context = Arc::new(Current::new(context));
        let hashers = Hashers::start(limits.hashing_threads, limits.hashing_queue)?;
        let engine = Engine {
            database: Some(database),
            storage,
            context: Arc::clone(&context),
            published: Arc::clone(&published),
            counts: Arc::clone(&counts),
            state,
            broken: None,
            maintenance: Maintenance::default(),
            later: Vec::new(),
            doubtful: None,
            unsettled: false,
        };
        let writer = Writer::start(engine, limits.write_queue)?;
        let lists = Lists::new(limits.sort_memory);
        let followers = Shares::new(limits.persistent_searches, limits.persistent_searches / 8);
        let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().max(2));
        let apart = Shares::new(threads, threads / 2);
        let attempts = Attempts::default();
        let inner = Inner {
            context,
            published,
            counts,
            writer,
            hashers,
            lists,
            followers,
            apart,
            attempts,
            _lock: lock,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Refuses operations from now on, finishes those accepted, and joins the threads. Dropping the last copy does the
    /// same.
    pub fn close(&self) {
        self.0.close();
    }

    /// What the store has done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let Counts {
            entries_read,
            values_read,
            rows_written,
            commits,
            writes,
            passwords_verified,
            steps_apart,
            filters_prepared,
            deferred: _,
        } = &*self.0.counts;
        Counters {
            entries_read: entries_read.load(Ordering::Relaxed),
            values_read: values_read.load(Ordering::Relaxed),
            rows_written: rows_written.load(Ordering::Relaxed),
            commits: commits.load(Ordering::Relaxed),
            writes: writes.load(Ordering::Relaxed),
            passwords_verified: passwords_verified.load(Ordering::Relaxed),
            steps_apart: steps_apart.load(Ordering::Relaxed),
            filters_prepared: filters_prepared.load(Ordering::Relaxed),
        }
    }

    /// How far each index is, by attribute.
    ///
    /// # Errors
    ///
    /// When the store is closed or storage fails.
    pub fn index_progress(&self) -> Result<Vec<IndexProgress>, Error> {
        let read = || {
            let context = self.context();
            let tables = self.snapshot()?;
            let total = State::read(&*tables)?.next_id.saturating_sub(1);
            Ok(tables.standing.progress(&context.schema, total))
        };
        read().map_err(Failure::into_error)
    }

    /// The names the store serves.
    #[must_use]
    pub fn naming_contexts(&self) -> Vec<Dn> {
        self.context().suffixes.iter().map(|(dn, _)| dn.clone()).collect()
    }

    /// Decides about access by this policy from now on. Operations under way go on as they began.
    pub fn set_policy(&self, policy: Arc<dyn AccessPolicy>) {
        self.0.context.set_policy(policy);
    }

    pub(crate) fn reindex(&self, asked: Reindex) -> Result<(), Error> {
        self.0.writer.send(Job::Reindex(asked))
    }

    pub(crate) fn change_context(&self, change: impl FnOnce(&mut Context)) {
        self.0.context.change(change);
    }

    /// What is settled at present. To be asked for once in an operation: it can be settled anew between two.
    pub(crate) fn context(&self) -> Arc<Context> {
        self.0.context.get()
    }

    pub(crate) fn snapshot(&self) -> Result<Arc<Snapshot>, Failure> {
        self.0.published.get()
    }

    /// Changes with every commit. What is read after this is not older.
    pub(crate) fn generation(&self) -> u64 {
        self.0.published.generation()
    }

    pub(crate) fn followers(&self) -> &Shares {
        &self.0.followers
    }

    pub(crate) fn apart(&self) -> &Shares {
        &self.0.apart
    }

    pub(crate) fn count_prepared(&self) {
        self.0.counts.filters_prepared.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_apart(&self) {
        self.0.counts.steps_apart.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells of commits from now on, and of the end.
    pub(crate) fn commits(&self) -> watch::Receiver<()> {
        self.0.published.commits()
    }

    pub(crate) fn lists(&self) -> &Lists {
        &self.0.lists
    }

    /// Has tables read. Where that fails the writer looks at storage; where it panics nothing is written any more.
    pub(crate) fn reading<R>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Err(Failure::Failed(error))) if error.kind() == ErrorKind::Storage => {
                self.0.writer.look();
                Err(Failure::Failed(error))
            }
            Ok(done) => done,
            Err(panic) => {
                let error = damaged(what, &*panic);
                self.0.published.damaged(&error);
                Err(Failure::Failed(error))
            }
        }
    }

    /// The same for what waits between two looks at tables.
    pub(crate) async fn contained<R>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<R, Failure>>,
    ) -> Result<R, Failure> {
        let mut work = pin!(work);
        poll_fn(|cx| match self.reading(what, || Ok(work.as_mut().poll(cx))) {
            Ok(Poll::Ready(Err(Failure::Failed(error)))) if error.kind() == ErrorKind::Storage => {
                self.0.writer.look();
                Poll::Ready(Err(Failure::Failed(error)))
            }
            Ok(polled) => polled,
            Err(failure) => Poll::Ready(Err(failure)),
        })
        .await
    }

    pub(crate) fn hashers(&self) -> &Hashers {
        &self.0.hashers
    }

    pub(crate) fn attempts(&self) -> &Attempts {
        &self.0.attempts
    }

    pub(crate) fn count_verification(&self) {
        self.0.counts.passwords_verified.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.0.writer
    }

    /// Answers a request of `caller`, whatever actor it names.
    pub(crate) fn answer(&self, request: Request, caller: Caller) -> Reply {
        let Request { op, controls, deadline, .. } = request;
        let admitted = controls::admitted(controls, On::Operation(op.kind()));
        let (caller, controls) = match admitted.and_then(|controls| self.proxied(caller, controls)) {
            Ok(admitted) => admitted,
            Err(failure) => return Reply::ready(failure.into_reply()),
        };
        let store = self.clone();
        let asked = ppolicy::is_asked(&controls);
        match op {
            Op::Search(op) => match Searching::new(store, op, &controls, caller, deadline) {
                Ok(searching) => Reply::events(SearchEvents::new(searching)),
                Err(failure) => Reply::ready(failure.into_reply()),
            },
            Op::Compare(op) => {
                let answer = store.reading("a compare", || store.compare(&op, &controls, &caller));
                Reply::ready(answer.or_else(Failure::into_reply))
            }
            Op::Extended(op) => Reply::pending(async move {
                let done = store.extended(op, caller, deadline);
                let done = store.contained("an extended operation", done).await;
                done.or_else(Failure::into_reply).map(|outcome| ppolicy::told(outcome, asked))
            }),
            op => Reply::pending(async move {
                let done = store.change(op, &controls, caller, deadline);
                let done = store.contained("a write", done).await;
                done.or_else(Failure::into_reply).map(|outcome| ppolicy::told(outcome, asked))
            }),
        }
    }
}

impl Inner {
    fn close(&self) {
        self.writer.close();
        self.hashers.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl Directory for Store {
    fn call(&self, request: Request) -> Reply {
        let caller = Caller::new(request.actor.clone(), Peer::in_process());
        self.answer(request, caller)
    }
}

impl Sessions for Store {
    fn open(&self, peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        let session = StoreSession::new(self.clone(), peer);
        Box::pin(async move { Ok(Box::new(session) as Box<dyn Session>) })
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

impl From<Outcome> for Failure {
    fn from(outcome: Outcome) -> Self {
        Self::Refused(outcome.result)
    }
}

/// Makes the tables if there are none, and settles what depends on them and on the options.
fn prepare(
    database: &redb::Database,
    options: StoreOptions,
    counts: &Arc<Counts>,
) -> Result<(Context, State), Failure> {
    let mut transaction = database.begin_write().map_err(storage_error)?;
    // A crash before the first write then needs no recovery.
    transaction.set_quick_repair(true);
    let (context, state) = {
        let mut tables = Writable::open(&transaction, Arc::clone(counts))?;
        migrate::migrate(&mut tables)?;
        if options.rebuild {
            check::rebuild(&mut tables, NAMES_ROW)?;
            index::clear(&mut tables)?;
        }
        let state = State::read(&tables)?;
        let (subschema, schema) = Subschema::open(options.schema, &tables)?;
        let passwords = Context::password_types(&schema);
        let config = options.indexes.unwrap_or_else(|| tables.standing.config());
        let is_apart = |name: &str| is_computed_name(name) || passwords.contains(&name.to_ascii_lowercase());
        let mut indexes = Indexes::new(&schema, &config, &is_apart).map_err(misuse)?;
        let constraints = Constraints::new(options.constraints, &schema, &indexes)?;
        constraints.need(&schema, &mut indexes);
        let mut context = Context {
            suffixes: Vec::new(),
            policy: options.policy.for_schema(&schema).unwrap_or(options.policy),
            administrator: None,
            peer_administrators: options.peer_administrators,
            limits: options.limits,
            ppolicy: options.ppolicy,
            time: options.time,
            page_key: page_key(&mut tables)?,
            marks: Arc::default(),
            passwords,
            subschema,
            constraints,
            indexes,
            index_listener: options.index_listener,
            unindexed: options.unindexed,
            slow: options.slow,
            long_work: options.long_work,
            schema,
        };
        let mut suffixes = options.suffixes;
        for (_, id) in tables.children(ROOT, None, usize::MAX)? {
            let stored = tables.existing_node(id)?.name;
            suffixes.push(stored.parse().map_err(|_| Failure::damaged("a naming context"))?);
        }
        for suffix in suffixes {
            add_suffix(&mut context, suffix)?;
        }
        if let Some((dn, password)) = options.administrator {
            let key = context
                .schema
                .dn_key(&dn)
                .map_err(|error| misuse(format!("the administrator's name: {error}")))?;
            let salt = uuid::Uuid::new_v4().into_bytes().to_vec();
            let digest =
                Sha256::new().chain_update(&salt).chain_update(password.expose()).finalize().to_vec();
            if password.is_empty() {
                return Err(misuse("the administrator's password is empty".to_owned()));
            }
            context.administrator = Some(Administrator { dn, key, salt, digest });
        }
        rebuild_keys(&context, &mut tables)?;
        if tables.meta.get(INDEX_ROW)?.is_some() {
            index::clear(&mut tables)?;
            tables.put(Name::Meta, INDEX_ROW, None)?;
        }
        PasswordPolicy::seek_default(&context, &tables)?;
        counts.deferred.store(tables.deferred()?.ids().count() as u64, Ordering::Relaxed);
        index::reconcile(&mut tables, &context.indexes)?;
        index::settle_needed(&context, &mut tables)?;
        if options.rebuild {
            index::settle_all(&context, &mut tables)?;
        }
        (context, state)
    };
    transaction.commit().map_err(storage_error)?;
    Ok((context, state))
}

fn misuse(message: String) -> Failure {
    Failure::Failed(Error::new(ErrorKind::Misuse, message))
}

fn add_suffix(context: &mut Context, suffix: Dn) -> Result<(), Failure> {
    let key = context
        .schema
        .dn_key(&suffix)
        .map_err(|error| misuse(format!("the naming context `{suffix}`: {error}")))?;
    if key.is_root() {
        return Err(misuse("the root cannot be a naming context".to_owned()));
    }
    for (other, other_key) in &context.suffixes {
        if *other_key == key {
            return Ok(());
        }
        if key.is_within(other_key) || other_key.is_within(&key) {
            return Err(misuse(format!(
                "the naming contexts `{other}` and `{suffix}` stand one below the other"
            )));
        }
    }
    context.suffixes.push((suffix, key));
    Ok(())
}

fn page_key(tables: &mut Writable<'_>) -> Result<Vec<u8>, Failure> {
    if let Some(row) = tables.meta.get(PAGE_KEY_ROW)? {
        return Ok(row.value().to_vec());
    }
    let key = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat();
    tables.put(Name::Meta, PAGE_KEY_ROW, Some(&key))?;
    Ok(key)
}

/// Makes the keys of names, and of the values of large attributes, anew where they were made by other rules than today's.
fn rebuild_keys(context: &Context, tables: &mut Writable<'_>) -> Result<(), Failure> {
    const AT_ONCE: usize = 1_000;
    let wanted = Indexes::names_definition(&context.schema);
    if tables.meta.get(NAMES_ROW)?.is_some_and(|row| row.value() == wanted) {
        return Ok(());
    }
    let mut from = ROOT + 1;
    loop {
        let ids = tables.ids(from, AT_ONCE)?;
        let Some(last) = ids.last() else { break };
        from = last.saturating_add(1);
        for id in ids {
            rename_key(context, tables, id)?;
            let Some(stored) = tables.stored(id)? else { continue };
            for large in stored.large() {
                rekey(context, tables, large)?;
            }
        }
    }
    tables.put(Name::Meta, NAMES_ROW, Some(&wanted))
}

/// Makes the key of one name anew.
fn rename_key(context: &Context, tables: &mut Writable<'_>, id: Id) -> Result<(), Failure> {
    let mut node = tables.existing_node(id)?;
    let unnamed = || {
        Failure::Failed(Error::new(
            ErrorKind::Misuse,
            format!(
                "the schema given cannot compare the stored name `{}`; open the store with its own",
                node.name
            ),
        ))
    };
    let name: Dn = node.name.parse().map_err(|_| unnamed())?;
    let key = context.schema.dn_key(&name).map_err(|_| unnamed())?.rdns().to_vec();
    if key == node.key {
        return Ok(());
    }
    if tables.child(node.parent, &key)?.is_some() {
        return Err(Failure::Failed(Error::new(
            ErrorKind::Misuse,
            format!(
                "by the schema given, two entries have the name `{}`; open the store with its own",
                node.name
            ),
        )));
    }
    tables.put(Name::Tree, &tree_key(node.parent, &node.key), None)?;
    tables.put(Name::Tree, &tree_key(node.parent, &key), Some(&id.to_be_bytes()))?;
    node.key = key;
    tables.put(Name::Node, &id.to_be_bytes(), Some(&node.encode()))
}

/// Makes the folder and takes it for this process.
pub(crate) fn lock(folder: &Path) -> Result<File, Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| unusable(folder, error))?;
    let path = folder.join(LOCK_FILE);
    let mut file = private_file(&path).map_err(|error| unusable(&path, error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who holds it is told if it can be.
            let _ = (&mut file).take(64).read_to_string(&mut holder);
            let holder = holder.trim();
            let holder = if holder.is_empty() { String::new() } else { format!(" ({holder})") };
            return Err(Error::new(
                ErrorKind::Storage,
                format!(
                    "the folder `{}` is in use by another process{holder}; stop it first",
                    folder.display()
                ),
            ));
        }
        Err(TryLockError::Error(error)) => return Err(unusable(&path, error)),
    }
    let named = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "process {}", std::process::id()));
    // The lock holds whether or not its holder's name could be written: the disk may be full.
    if let Err(error) = named {
        tracing::warn!(error = %error, "the lock file cannot be written");
    }
    Ok(file)
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// A file that is there.
pub(crate) fn existing(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

pub(crate) fn unusable(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("`{}` cannot be used ({})", path.display(), error.kind()))
        .with_source(error)
}
