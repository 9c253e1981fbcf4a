//! The one thread that writes. It takes all that waits, applies each operation in turn, commits once, then answers.

mod group;

use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::Ordering,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use flext_ldap_directory::{Applied, Deadline, Error, ErrorKind, Outcome};
use flext_ldap_proto::result::ResultCode;
use redb::{Database, Durability, ReadableDatabase, StorageBackend};
use tokio::sync::oneshot;

pub(crate) use self::group::{Load, Permit};
use self::group::Doing;
use crate::{
    backend::{Overlay, Shared},
    clock::Clock,
    context::Current,
    hashing::closed,
    index::Pending,
    row::{put_octets, take_octets, take_u32, take_u64},
    tables::{Counts, Failure, Name, Rows, Snapshot, Tables, Writable, storage_error},
    write::Write,
};

/// Rows of `change` that are kept; older ones are deleted as new ones come.
const CHANGES_KEPT: u64 = 1_000_000;

/// The name of the row of `meta` that every commit writes.
const STATE: &[u8] = b"state";

/// What waits for the writer.
pub(crate) enum Job {
    One {
        write: Box<Write>,
        deadline: Deadline,
        answer: oneshot::Sender<Result<Outcome, Error>>,
    },
    /// Some of many, from an import.
    Many {
        writes: Vec<Write>,
        load: Load,
        answer: SyncSender<Result<Vec<Result<(), String>>, Error>>,
    },
}

/// The last commit, for readers.
pub(crate) struct Published(RwLock<Option<Arc<Snapshot>>>);

impl Published {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self(RwLock::new(Some(Arc::new(snapshot))))
    }

    /// The tables as of the last commit. Not to be kept while waiting for anybody.
    pub(crate) fn get(&self) -> Result<Arc<Snapshot>, Failure> {
        let snapshot = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        snapshot.ok_or_else(|| closed().into())
    }

    fn set(&self, snapshot: Option<Snapshot>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = snapshot.map(Arc::new);
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
    pub(crate) backend: Arc<dyn StorageBackend>,
    pub(crate) context: Arc<Current>,
    pub(crate) published: Arc<Published>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) state: State,
    /// Why nothing is written any more.
    pub(crate) broken: Option<String>,
}

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
    pub(crate) async fn write(&self, write: Write, deadline: Deadline) -> Result<Outcome, Failure> {
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
        while let Ok(first) = receiver.recv() {
            self.group(first, receiver);
        }
        // Readers that are left must not keep the file's pages in use.
        self.published.set(None);
    }

    /// Does a job and what waits behind it in one commit.
    fn group(&mut self, first: Job, receiver: &Receiver<Job>) {
        if let Some(reason) = &self.broken {
            first.fail(&|| Error::new(ErrorKind::Storage, reason.clone()));
            return;
        }
        let mut held = Vec::new();
        let mut state = self.state.clone();
        let outcome = self.commit(first, receiver, &mut held, &mut state);
        match outcome {
            Ok(()) => {
                self.state = state;
                held.into_iter().for_each(Held::answer);
            }
            Err((error, applied)) => {
                tracing::error!(error = %error, "the store stopped writing");
                let reason = format!("nothing is written any more since storage failed: {error}");
                // First, so that whoever is told can read.
                self.read_on();
                for one in held {
                    one.fail(&|| Error::new(ErrorKind::Storage, error.to_string()).with_applied(applied));
                }
                self.broken = Some(reason);
            }
        }
    }

    fn commit(
        &mut self,
        first: Job,
        receiver: &Receiver<Job>,
        held: &mut Vec<Held>,
        state: &mut State,
    ) -> Result<(), (Error, Applied)> {
        let before = |failure: Failure| (failure.into_error(), Applied::No);
        let begun = self.database.as_ref().ok_or_else(closed).and_then(|database| {
            let mut transaction = database.begin_write().map_err(storage_error)?;
            transaction.set_durability(Durability::Immediate).map_err(storage_error)?;
            Ok((database, transaction))
        });
        let (database, transaction) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                held.push(first.hold());
                return Err((error, Applied::No));
            }
        };
        let first_change = state.next_change;
        let changed = {
            let tables = match Writable::open(&transaction, Arc::clone(&self.counts)) {
                Ok(tables) => tables,
                Err(error) => {
                    held.push(first.hold());
                    return Err((storage_error(error), Applied::No));
                }
            };
            let context = self.context.get();
            let mut doing = Doing { context: &context, tables, pending: Pending::default(), state: &mut *state };
            doing.all(first, receiver, held).map_err(before)?;
            let Doing { mut tables, pending, .. } = doing;
            let changed = state.next_change != first_change;
            if changed {
                tables.settle().map_err(before)?;
                pending.flush(&mut tables).map_err(before)?;
                forget_changes(&mut tables, state).map_err(before)?;
                state.write(&mut tables).map_err(before)?;
            }
            changed
        };
        if !changed {
            // Nothing but refusals: nothing to commit.
            return transaction.abort().map_err(|error| (storage_error(error), Applied::No));
        }
        transaction.commit().map_err(|error| (storage_error(error), Applied::Unknown))?;
        self.counts.commits.fetch_add(1, Ordering::Relaxed);
        self.counts.writes.fetch_add(state.next_change - first_change, Ordering::Relaxed);
        let snapshot = snapshot(database, &self.counts).map_err(|error| (error, Applied::Yes))?;
        self.published.set(Some(snapshot));
        Ok(())
    }

    /// Opens what is on disk again for reading, with whatever recovery writes kept in memory.
    fn read_on(&mut self) {
        self.published.set(None);
        self.database = None;
        let again = Overlay::new(Arc::clone(&self.backend))
            .map_err(|error| storage_error(redb::StorageError::from(error)))
            .and_then(|overlay| open(Arc::new(overlay), self.context.get().limits.cache));
        match again.and_then(|database| Ok((snapshot(&database, &self.counts)?, database))) {
            Ok((snapshot, database)) => {
                self.database = Some(database);
                self.published.set(Some(snapshot));
            }
            Err(error) => tracing::error!(error = %error, "the store cannot be read either"),
        }
    }
}

pub(crate) fn open(backend: Arc<dyn StorageBackend>, cache: usize) -> Result<Database, Error> {
    Database::builder().set_cache_size(cache).create_with_backend(Shared(backend)).map_err(storage_error)
}

pub(crate) fn snapshot(database: &Database, counts: &Arc<Counts>) -> Result<Snapshot, Error> {
    let transaction = database.begin_read().map_err(storage_error)?;
    Snapshot::open(&transaction, Arc::clone(counts)).map_err(storage_error)
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
    /// The answer to a job that was not begun.
    fn hold(self) -> Held {
        match self {
            Self::One { answer, .. } => Held::One(answer, Ok(Outcome::success())),
            Self::Many { answer, .. } => Held::Many(answer, Vec::new()),
        }
    }

    fn fail(self, error: &dyn Fn() -> Error) {
        match self {
            Self::One { answer, .. } => drop(answer.send(Err(error()))),
            Self::Many { answer, .. } => drop(answer.send(Err(error()))),
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
            Self::Failed(error) => Err(error),
        }
    }

    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Refused(result) => Error::rejected(Outcome::new(result)),
            Self::Failed(error) => error,
        }
    }
}
