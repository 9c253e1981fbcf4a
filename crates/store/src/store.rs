//! The store: opening, closing, and answering requests.

mod prepare;

use std::{
    fmt,
    fs::File,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    task::Poll,
    time::{Duration, Instant},
};

use flext_ldap_directory::{
    AccessPolicy, BoxFuture, Directory, Error, ErrorKind, Op, Outcome, Peer, Reply, Request, Session,
    Sessions,
};
use flext_ldap_proto::dn::Dn;
use redb::{StorageBackend, backends::InMemoryBackend};
use tokio::sync::watch;

use self::prepare::prepare;
use crate::{
    backend::{Plain, Steady, forget_unfinished},
    contain::{contained, damaged},
    context::{Caller, Context, Current},
    controls::{self, On},
    folder::{DATA_FILE, lock, private_file, unusable},
    hashing::Hashers,
    index::{IndexProgress, Maintenance, Reindex},
    lists::Lists,
    options::{Location, StoreOptions},
    ppolicy::{self, Attempts},
    search::{SearchEvents, Searching},
    session::StoreSession,
    shares::Shares,
    tables::{Counts, Failure, Snapshot, storage_error},
    writer::{self, Engine, Job, Published, State, Writer},
};

/// By what rules the keys of names were made.
pub(crate) const NAMES_ROW: &[u8] = b"names";

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
    /// When a refused bind by EXTERNAL was logged last.
    external_told: Mutex<Option<Instant>>,
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
        let in_steps = options.in_steps;
        forget_unfinished(&*backend).map_err(|error| storage_error(redb::StorageError::from(error)))?;
        let storage = Arc::new(Steady::new(backend, in_steps));
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
            in_steps,
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
            external_told: Mutex::default(),
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

    /// Whether a bind by EXTERNAL that is refused is logged now: one a second is.
    pub(crate) fn tells_of_external(&self) -> bool {
        let mut told = self.0.external_told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = told.is_none_or(|told| told.elapsed() >= Duration::from_secs(1));
        if is_due {
            *told = Some(Instant::now());
        }
        is_due
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
