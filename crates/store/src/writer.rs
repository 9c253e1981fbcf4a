//! The one thread that writes. It takes all that waits, applies each operation in turn, commits once, then answers.

mod group;

use std::{
    cell::Cell,
    error::Error as _,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use flext_ldap_directory::{Applied, Deadline, Error, ErrorKind, Outcome};
use flext_ldap_proto::result::ResultCode;
use redb::{Database, Durability, ReadableDatabase, StorageBackend, WriteTransaction};
use tokio::sync::{oneshot, watch};

use self::group::Doing;
pub(crate) use self::group::{Load, Loaded, Permit};
use crate::{
    backend::{Overlay, Shared, Steady},
    clock::Clock,
    constraint::Constraints,
    contain::{contained, damaged},
    context::Current,
    hashing::closed,
    index::{Indexes, Maintenance, Reindex},
    row::{put_octets, take_octets, take_u32, take_u64},
    tables::{Counts, Failure, Name, Rows, Snapshot, Tables, Writable, storage_error},
    write::{Carried, Operation, Write},
};

/// Rows of `change` that are kept; older ones are deleted as new ones come.
const CHANGES_KEPT: u64 = 1_000_000;

/// The name of the row of `meta` that every commit writes.
const STATE: &[u8] = b"state";

/// The name of the row of `meta` that is there between the steps of a load: what can be derived is not there yet.
pub(crate) const STEPS: &[u8] = b"steps";

/// What waits for the writer.
pub(crate) enum Job {
    One {
        write: Box<Write>,
        deadline: Deadline,
        answer: oneshot::Sender<Result<Outcome, Error>>,
    },
    /// Some of many, from an import.
    Many {
        writes: Vec<Loaded>,
        load: Load,
        answer: SyncSender<Result<Vec<Result<(), String>>, Error>>,
    },
    /// Storage is to be looked at: a read failed.
    Look,
    /// Other indexes are wanted.
    Reindex(Reindex),
}

/// The last commit, for readers.
pub(crate) struct Published {
    snapshot: RwLock<Option<Arc<Snapshot>>>,
    /// Wakes whoever waits for a commit.
    commits: watch::Sender<()>,
    /// Counts them. It is raised when a snapshot is there to be read.
    generation: AtomicU64,
    /// What somebody met who could not go on reading.
    damage: OnceLock<String>,
}

impl Published {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot: RwLock::new(Some(Arc::new(snapshot))),
            commits: watch::Sender::new(()),
            generation: AtomicU64::new(0),
            damage: OnceLock::new(),
        }
    }

    /// Tells of commits from now on, and of the end.
    pub(crate) fn commits(&self) -> watch::Receiver<()> {
        self.commits.subscribe()
    }

    /// Has nothing written from now on.
    pub(crate) fn damaged(&self, error: &Error) {
        let _ = self.damage.set(error.to_string());
    }

    /// The tables as of the last commit. Not to be kept while waiting for anybody.
    pub(crate) fn get(&self) -> Result<Arc<Snapshot>, Failure> {
        let snapshot = self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone();
        snapshot.ok_or_else(|| closed().into())
    }

    pub(crate) fn set(&self, snapshot: Option<Snapshot>) {
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = snapshot.map(Arc::new);
        self.generation.fetch_add(1, Ordering::Release);
        self.commits.send_replace(());
    }

    /// Changes with every commit. What is read after this is not older.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

/// What every commit carries on.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) clock: Clock,
    pub(crate) next_id: u32,
    /// Of the next row of `change`.
    pub(crate) next_change: u64,
    pub(crate) first_change: u64,
    pub(crate) csn: String,
}

impl Default for State {
    fn default() -> Self {
        Self { clock: Clock::default(), next_id: 1, next_change: 1, first_change: 1, csn: String::new() }
    }
}

impl State {
    pub(crate) fn read<T: Rows>(tables: &Tables<T>) -> Result<Self, Failure> {
        let Some(row) = tables.meta.get(STATE)? else { return Ok(Self::default()) };
        let mut row = row.value();
        let state = (|| {
            let next_id = take_u32(&mut row)?;
            let next_change = take_u64(&mut row)?;
            let first_change = take_u64(&mut row)?;
            let csn = std::str::from_utf8(take_octets(&mut row)?).ok()?.to_owned();
            Some(Self { clock: Clock::after(&csn), next_id, next_change, first_change, csn })
        })();
        state.ok_or_else(|| Failure::damaged("the state of the store"))
    }

    pub(crate) fn write(&self, tables: &mut Writable<'_>) -> Result<(), Failure> {
        let mut row = self.next_id.to_be_bytes().to_vec();
        row.extend_from_slice(&self.next_change.to_be_bytes());
        row.extend_from_slice(&self.first_change.to_be_bytes());
        put_octets(&mut row, self.csn.as_bytes());
        tables.put(Name::Meta, STATE, Some(&row))
    }
}

/// The way to the writer.
pub(crate) struct Writer {
    sender: Mutex<Option<SyncSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer thread owns.
pub(crate) struct Engine {
    pub(crate) database: Option<Database>,
    pub(crate) storage: Arc<Steady>,
    pub(crate) context: Arc<Current>,
    pub(crate) published: Arc<Published>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) state: State,
    /// Why nothing is written at present.
    pub(crate) broken: Option<Broken>,
    /// Whether a load is stored in several transactions that make up one commit. If one of them fails, the store is to be
    /// opened anew.
    pub(crate) in_steps: bool,
    /// Whether the last commit left it to recovery which pages are free.
    pub(crate) unsettled: bool,
    pub(crate) maintenance: Maintenance,
    /// What is to be done after the commit under way.
    pub(crate) later: Vec<Reindex>,
    /// Indexes that may have been written down by a commit that failed.
    pub(crate) doubtful: Option<(Indexes, Constraints)>,
}

/// Why nothing is written, and what is to be done about it.
pub(crate) struct Broken {
    reason: String,
    cause: Cause,
    again: Instant,
    pause: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cause {
    /// Storage takes no writes. They are held back, and it is asked again.
    Held,
    /// A read failed. What is read is read anew, and the store is opened again.
    Unread,
    /// Nothing helps but to open the store anew.
    Final,
}

/// Between two attempts to go on writing: the first, and at the most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// After so long without a write it is noted which pages are free, so that a crash from then on needs no recovery that
/// reads the whole file.
const IDLE: Duration = Duration::from_secs(1);

impl Writer {
    pub(crate) fn start(engine: Engine, queue: usize) -> Result<Self, Error> {
        let (sender, receiver) = sync_channel(queue.max(1));
        let thread = std::thread::Builder::new()
            .name("ldap-write".to_owned())
            .spawn(move || engine.run(&receiver))
            .map_err(|error| {
                Error::new(ErrorKind::Overloaded, "the writer thread cannot be started").with_source(error)
            })?;
        Ok(Self { sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    /// Has `write` done. Answers `busy` at once where too much waits.
    pub(crate) async fn write(&self, mut write: Write, deadline: Deadline) -> Result<Outcome, Failure> {
        write.caller = write.caller.without_keys();
        let (answer, answered) = oneshot::channel();
        let job = Job::One { write: Box::new(write), deadline, answer };
        let sent = match &*self.sender.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(sender) => sender.try_send(job),
            None => Err(TrySendError::Disconnected(job)),
        };
        match sent {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Err(Failure::refused(ResultCode::BUSY, "too many writes wait; try again"));
            }
            Err(TrySendError::Disconnected(_)) => return Err(closed().into()),
        }
        match tokio::time::timeout_at(deadline.instant(), answered).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(_)) => Err(Error::new(ErrorKind::Bug, "the writer thread ended without an answer")
                .with_applied(Applied::Unknown)
                .into()),
            Err(_) => {
                Err(Error::new(ErrorKind::Timeout, "the deadline passed before the write was committed")
                    .with_applied(Applied::Unknown)
                    .into())
            }
        }
    }

    /// Hands many over; waits for room. The answer comes through `answer`.
    pub(crate) fn send(&self, job: Job) -> Result<(), Error> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sender.and_then(|sender| sender.send(job).ok()).ok_or_else(closed)
    }

    /// Has storage looked at, unless much waits anyway: what is wrong will be met by it.
    pub(crate) fn look(&self) {
        if let Some(sender) = &*self.sender.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = sender.try_send(Job::Look);
        }
    }

    pub(crate) fn close(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic in there was told to whoever waited for its answer.
            let _ = thread.join();
        }
    }
}

/// An answer that is held until its operation is on disk.
pub(crate) enum Held {
    One(oneshot::Sender<Result<Outcome, Error>>, Result<Outcome, Failure>),
    Many(SyncSender<Result<Vec<Result<(), String>>, Error>>, Vec<Result<(), String>>),
}

impl Engine {
    fn run(mut self, receiver: &Receiver<Job>) {
        loop {
            let first = if self.has_slice(false) {
                receiver.try_recv().map_err(|error| match error {
                    TryRecvError::Empty => RecvTimeoutError::Timeout,
                    TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                })
            } else {
                match self.patience() {
                    None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                    Some(patience) => receiver.recv_timeout(patience),
                }
            };
            match first {
                Ok(first) => {
                    self.group(first, receiver);
                    for asked in std::mem::take(&mut self.later) {
                        self.reindex(&asked);
                    }
                    if self.has_slice(true) {
                        self.do_slice();
                    }
                }
                Err(RecvTimeoutError::Timeout) if self.has_slice(false) => self.do_slice(),
                Err(RecvTimeoutError::Timeout) if self.broken.is_some() => self.go_on(),
                Err(RecvTimeoutError::Timeout) => self.settle(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // Readers that are left must not keep the file's pages in use.
        self.published.set(None);
    }

    /// How long to wait for a write before there is something else to do.
    fn patience(&self) -> Option<Duration> {
        match &self.broken {
            Some(Broken { cause: Cause::Final, .. }) => None,
            Some(broken) => Some(broken.again.saturating_duration_since(Instant::now())),
            None => self.unsettled.then_some(IDLE),
        }
    }

    /// Does a job and what waits behind it in one commit.
    fn group(&mut self, first: Job, receiver: &Receiver<Job>) {
        if self.broken.as_ref().is_some_and(|broken| broken.again <= Instant::now()) {
            self.go_on();
        }
        if self.broken.is_none()
            && let Some(damage) = self.published.damage.get()
        {
            self.broken = Some(Broken::new(damage, Cause::Final));
        }
        if let Some(broken) = &self.broken {
            first.fail(&|| Error::new(ErrorKind::Storage, broken.reason.clone()));
            return;
        }
        let mut held = Vec::new();
        let mut state = self.state.clone();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.commit(first, receiver, &mut held, &mut state)));
        match outcome {
            Ok(Ok(())) => {
                self.state = state;
                held.into_iter().for_each(Held::answer);
            }
            Ok(Err((error, applied))) => self.stop(&error, applied, held),
            Err(panic) => {
                let error = damaged("a write", &*panic);
                self.published.damaged(&error);
                self.broken = Some(Broken::new(&error, Cause::Final));
                let told = || Error::new(ErrorKind::Storage, error.to_string());
                held.into_iter().for_each(|one| one.fail(&|| told().with_applied(Applied::Unknown)));
            }
        }
    }

    /// Why nothing can be written, if so.
    pub(crate) fn can_write(&self) -> Result<(), Error> {
        let broken = self.broken.as_ref().map(|broken| Error::new(ErrorKind::Storage, broken.reason.clone()));
        broken.map_or(Ok(()), Err)
    }

    /// Writes nothing for the time being, after work that nobody waits for.
    pub(crate) fn stop_idle(&mut self, error: &Error) {
        self.stop(error, Applied::No, Vec::new());
    }

    /// Writes nothing for the time being, and tells those who wait.
    fn stop(&mut self, error: &Error, applied: Applied, held: Vec<Held>) {
        let cause = match self.storage.failure() {
            Some(_) if self.in_steps || self.storage.is_lost() => Cause::Final,
            Some(_) => Cause::Held,
            None => {
                // First, so that whoever is told can read.
                self.read_on();
                if self.in_steps { Cause::Final } else { Cause::Unread }
            }
        };
        tracing::error!(error = %error, cause = ?error.source().map(ToString::to_string), "the store stopped writing");
        let broken = Broken::new(error, cause);
        for one in held {
            one.fail(&|| Error::new(ErrorKind::Storage, error.to_string()).with_applied(applied));
        }
        self.broken = Some(broken);
    }

    /// Tries to go on writing.
    fn go_on(&mut self) {
        let Some(broken) = &mut self.broken else { return };
        broken.pause = (broken.pause * 2).min(PAUSE.1);
        broken.again = Instant::now() + broken.pause;
        let again = match broken.cause {
            Cause::Final => return,
            Cause::Held => {
                let written = self.storage.resume();
                if self.storage.is_lost() {
                    broken.cause = Cause::Final;
                    tracing::error!(
                        "what was written is lost; writing goes on when the store is opened again"
                    );
                }
                written.map_err(|error| storage_error(redb::StorageError::from(error)))
            }
            // What is read meanwhile is read from the last commit, of which nothing is overwritten before the commit
            // after the next.
            Cause::Unread => open(Arc::clone(&self.storage) as _, self.context.get().limits.cache, false)
                .map(|database| self.database = Some(database)),
        };
        let again = again.and_then(|()| {
            contained("the writer", || {
                let database = self.database.as_ref().ok_or_else(closed)?;
                let snapshot = snapshot(database, &self.counts)?;
                // What the commit that failed had counted is not so.
                let deferred = snapshot.deferred()?.ids().count();
                self.counts.deferred.store(deferred as u64, Ordering::Relaxed);
                Ok((State::read(&snapshot)?, snapshot))
            })
            .map_err(Failure::into_error)
        });
        if let Ok((state, snapshot)) = again {
            self.state = state;
            let standing = Arc::clone(&snapshot.standing);
            self.published.set(Some(snapshot));
            self.settle_doubtful(&standing);
            self.broken = None;
            tracing::warn!("storage takes writes again; the store goes on");
        }
    }

    /// Notes which pages are free.
    fn settle(&mut self) {
        self.unsettled = false;
        let Some(database) = &self.database else { return };
        let settled = contained("the writer", || {
            let mut transaction = database.begin_write().map_err(storage_error)?;
            transaction.set_quick_repair(true);
            transaction.commit().map_err(storage_error)?;
            Ok(snapshot(database, &self.counts)?)
        })
        .map_err(Failure::into_error)
        .and_then(|snapshot| self.storage.failure().map_or(Ok(snapshot), |error| Err(write_error(error))));
        match settled {
            Ok(snapshot) => self.published.set(Some(snapshot)),
            Err(error) => self.stop_idle(&error),
        }
    }

    fn commit(
        &mut self,
        first: Job,
        receiver: &Receiver<Job>,
        held: &mut Vec<Held>,
        state: &mut State,
    ) -> Result<(), (Error, Applied)> {
        // Once there was a step, what it stored may come to be there.
        let applied = Cell::new(Applied::No);
        let before = |failure: Failure| (failure.into_error(), applied.get());
        let begun = self.database.as_ref().ok_or_else(closed).and_then(|database| {
            let mut transaction = database.begin_write().map_err(storage_error)?;
            transaction.set_durability(Durability::Immediate).map_err(storage_error)?;
            Ok((database, transaction))
        });
        let (database, mut transaction) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                held.extend(first.hold());
                return Err((error, Applied::No));
            }
        };
        let first_change = state.next_change;
        let (mut job, mut carried) = (first, Carried::new(self.context.get()));
        let changed = loop {
            let mut tables = match Writable::open(&transaction, Arc::clone(&self.counts)) {
                Ok(tables) => tables,
                Err(error) => {
                    held.extend(job.hold());
                    return Err(before(error));
                }
            };
            let mut doing = Doing {
                storage: &self.storage,
                operation: Operation::new(carried, &mut tables, &mut *state),
                in_steps: self.in_steps,
                later: &mut self.later,
            };
            let next = doing.all(job, receiver, held).map_err(before)?;
            let Some(next) = next else {
                let Operation { pending, context, schema_changed, .. } = doing.operation;
                let changed = state.next_change != first_change;
                if changed {
                    pending.flush_after(&mut tables, Writable::settle_load).map_err(before)?;
                    forget_changes(&mut tables, state).map_err(before)?;
                    state.write(&mut tables).map_err(before)?;
                    if applied.get() == Applied::Unknown {
                        tables.put(Name::Meta, STEPS, None).map_err(before)?;
                    }
                }
                break changed.then(|| schema_changed.then_some(context));
            };
            carried = doing.operation.carry();
            // What one step leaves may come to be all there is, if the next ones fail.
            state.write(&mut tables).map_err(before)?;
            tables.put(Name::Meta, STEPS, Some(b"")).map_err(before)?;
            drop(tables);
            transaction = match step(database, transaction) {
                Ok(transaction) => transaction,
                Err(error) => {
                    held.extend(next.hold());
                    return Err((error, Applied::Unknown));
                }
            };
            applied.set(Applied::Unknown);
            job = next;
        };
        let Some(settled) = changed else {
            // Nothing but refusals: nothing to commit.
            return transaction.abort().map_err(|error| (storage_error(error), Applied::No));
        };
        if let Some(error) = self.storage.failure() {
            return Err((write_error(error), applied.get()));
        }
        transaction.commit().map_err(|error| (storage_error(error), Applied::Unknown))?;
        if let Some(error) = self.storage.failure() {
            return Err((write_error(error), Applied::Unknown));
        }
        self.unsettled = true;
        self.counts.commits.fetch_add(1, Ordering::Relaxed);
        self.counts.writes.fetch_add(state.next_change - first_change, Ordering::Relaxed);
        let snapshot = snapshot(database, &self.counts).map_err(|error| (error, Applied::Yes))?;
        if let Some(context) = settled {
            self.context.set_schema(&context);
        }
        self.published.set(Some(snapshot));
        Ok(())
    }

    /// Opens what is on disk again for reading, with whatever recovery writes kept in memory.
    fn read_on(&mut self) {
        self.published.set(None);
        self.database = None;
        let again = Overlay::new(Arc::clone(&self.storage) as _)
            .map_err(|error| storage_error(redb::StorageError::from(error)))
            .and_then(|overlay| open(Arc::new(overlay), self.context.get().limits.cache, false));
        match again.and_then(|database| Ok((snapshot(&database, &self.counts)?, database))) {
            Ok((snapshot, database)) => {
                self.database = Some(database);
                self.published.set(Some(snapshot));
            }
            Err(error) => tracing::error!(error = %error, "the store cannot be read either"),
        }
    }
}

impl Broken {
    fn new(error: impl std::fmt::Display, cause: Cause) -> Self {
        let reason = match cause {
            Cause::Final => {
                format!("nothing is written any more, and will be when the store is opened again: {error}")
            }
            Cause::Held | Cause::Unread => {
                format!("nothing is written at present, and will be when storage can be used again: {error}")
            }
        };
        Self { reason, cause, again: Instant::now() + PAUSE.0, pause: PAUSE.0 }
    }
}

/// What it means that storage does not take a write.
pub(crate) fn write_error(error: std::io::Error) -> Error {
    storage_error(redb::StorageError::from(error))
}

/// Ends a transaction that a crash undoes as long as none after it is committed for good, and begins the next.
fn step(database: &Database, mut transaction: WriteTransaction) -> Result<WriteTransaction, Error> {
    transaction.set_durability(Durability::None).map_err(storage_error)?;
    transaction.commit().map_err(storage_error)?;
    let mut transaction = database.begin_write().map_err(storage_error)?;
    transaction.set_durability(Durability::Immediate).map_err(storage_error)?;
    Ok(transaction)
}

/// Opens the tables' file, recovering it where it was not closed.
pub(crate) fn open(backend: Arc<dyn StorageBackend>, cache: usize, verify: bool) -> Result<Database, Error> {
    let told = AtomicBool::new(false);
    contained("the opening of the store", || {
        let mut builder = Database::builder();
        builder.set_cache_size(cache).set_check_integrity_on_open(verify).set_repair_callback(move |_| {
            if !verify && !told.swap(true, Ordering::Relaxed) {
                tracing::warn!("the store was not closed: all of its pages are read");
            }
        });
        builder.create_with_backend(Shared(backend)).map_err(|error| storage_error(error).into())
    })
    .map_err(Failure::into_error)
}

pub(crate) fn snapshot(database: &Database, counts: &Arc<Counts>) -> Result<Snapshot, Error> {
    let transaction = database.begin_read().map_err(storage_error)?;
    Snapshot::open(&transaction, Arc::clone(counts)).map_err(Failure::into_error)
}

/// Deletes the oldest rows of `change` beyond those that are kept.
fn forget_changes(tables: &mut Writable<'_>, state: &mut State) -> Result<(), Failure> {
    let first = state.next_change.saturating_sub(CHANGES_KEPT);
    if first <= state.first_change {
        return Ok(());
    }
    tables.delete_before(Name::Change, &first.to_be_bytes(), first - state.first_change)?;
    state.first_change = first;
    Ok(())
}

impl Job {
    /// The answer to a job that was not begun, if it has one.
    fn hold(self) -> Option<Held> {
        match self {
            Self::One { answer, .. } => Some(Held::One(answer, Ok(Outcome::success()))),
            Self::Many { answer, .. } => Some(Held::Many(answer, Vec::new())),
            // Whoever waits is told by the end of the wait.
            Self::Look | Self::Reindex(_) => None,
        }
    }

    fn fail(self, error: &dyn Fn() -> Error) {
        match self {
            Self::One { answer, .. } => drop(answer.send(Err(error()))),
            Self::Many { answer, .. } => drop(answer.send(Err(error()))),
            Self::Reindex(Reindex { answer, .. }) => drop(answer.send(Err(error()))),
            Self::Look => {}
        }
    }
}

impl Held {
    fn answer(self) {
        match self {
            Self::One(answer, done) => {
                // Who stopped waiting does not hear it.
                drop(answer.send(done.or_else(Failure::into_reply)));
            }
            Self::Many(answer, results) => drop(answer.send(Ok(results))),
        }
    }

    fn fail(self, error: &dyn Fn() -> Error) {
        match self {
            // A refusal stands whatever became of the others.
            Self::One(answer, Err(failure)) => drop(answer.send(failure.into_reply())),
            Self::One(answer, Ok(_)) => drop(answer.send(Err(error()))),
            Self::Many(answer, _) => drop(answer.send(Err(error()))),
        }
    }
}

impl Failure {
    /// The answer to the one who asked.
    pub(crate) fn into_reply(self) -> Result<Outcome, Error> {
        match self {
            Self::Refused(result) => Ok(Outcome::new(result)),
            // An answer with controls.
            Self::Failed(error) => error.outcome().cloned().ok_or(error),
        }
    }

    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Refused(result) => Error::rejected(Outcome::new(result)),
            Self::Failed(error) => error,
        }
    }
}
