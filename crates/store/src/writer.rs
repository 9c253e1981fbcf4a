//! The one thread that writes. It takes all that waits, applies each operation in turn, commits once, then answers.

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

use crate::{
    backend::{Overlay, Shared},
    clock::Clock,
    context::{Context, Current},
    hashing::closed,
    index::Pending,
    row::{put_octets, take_octets, take_u32, take_u64},
    tables::{Counts, Failure, Name, Rows, Snapshot, Tables, Writable, storage_error},
    write::{Work, Write},
};

/// Operations of one commit, at the most.
const GROUP: usize = 512;

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
    /// Many at once, from an import.
    Many {
        writes: Vec<Write>,
        go_on: bool,
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
enum Held {
    One(oneshot::Sender<Result<Outcome, Error>>, Result<Outcome, Failure>),
    Many(SyncSender<Result<Vec<Result<(), String>>, Error>>, Vec<Result<(), String>>),
}

impl Engine {
    fn run(mut self, receiver: &Receiver<Job>) {
        while let Ok(first) = receiver.recv() {
            let mut jobs = vec![first];
            while jobs.len() < GROUP
                && let Ok(job) = receiver.try_recv()
            {
                jobs.push(job);
            }
            self.group(jobs);
        }
        // Readers that are left must not keep the file's pages in use.
        self.published.set(None);
    }

    /// Does all of `jobs` in one commit.
    fn group(&mut self, jobs: Vec<Job>) {
        if let Some(reason) = &self.broken {
            for job in jobs {
                job.fail(&|| Error::new(ErrorKind::Storage, reason.clone()));
            }
            return;
        }
        let mut held = Vec::with_capacity(jobs.len());
        let mut waiting = jobs.into_iter();
        let mut state = self.state.clone();
        let outcome = self.commit(&mut waiting, &mut held, &mut state);
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
                for job in waiting {
                    job.fail(&|| Error::new(ErrorKind::Storage, reason.clone()));
                }
                self.broken = Some(reason);
            }
        }
    }

    fn commit(
        &mut self,
        jobs: &mut std::vec::IntoIter<Job>,
        held: &mut Vec<Held>,
        state: &mut State,
    ) -> Result<(), (Error, Applied)> {
        let before = |failure: Failure| (failure.into_error(), Applied::No);
        let database = self.database.as_ref().ok_or_else(|| (closed(), Applied::No))?;
        let mut transaction = database.begin_write().map_err(|error| (storage_error(error), Applied::No))?;
        transaction
            .set_durability(Durability::Immediate)
            .map_err(|error| (storage_error(error), Applied::No))?;
        let first = state.next_change;
        {
            let mut tables = Writable::open(&transaction, Arc::clone(&self.counts))
                .map_err(|error| (storage_error(error), Applied::No))?;
            let context = self.context.get();
            let mut pending = Pending::default();
            for job in jobs.by_ref() {
                match job {
                    Job::One { write, deadline, answer } => {
                        let done = if deadline.has_passed() {
                            Err(Failure::Failed(Error::new(
                                ErrorKind::Timeout,
                                "the deadline passed before the write was begun",
                            )))
                        } else {
                            one(&context, &mut tables, &mut pending, state, &write)
                        };
                        match done {
                            // Storage that failed under one operation has failed for all of the commit.
                            Err(Failure::Failed(error)) if error.kind() == ErrorKind::Storage => {
                                held.push(Held::One(answer, Ok(Outcome::success())));
                                return Err((error, Applied::No));
                            }
                            done => held.push(Held::One(answer, done)),
                        }
                    }
                    Job::Many { writes, go_on, answer } => {
                        let mut results = Vec::with_capacity(writes.len());
                        for write in writes {
                            match one(&context, &mut tables, &mut pending, state, &write) {
                                Ok(_) => results.push(Ok(())),
                                Err(Failure::Refused(result)) => {
                                    let code = result.code;
                                    let text = if result.diagnostic.is_empty() {
                                        code.to_string()
                                    } else {
                                        format!("{code}: {}", result.diagnostic)
                                    };
                                    results.push(Err(text));
                                    if !go_on {
                                        break;
                                    }
                                }
                                Err(Failure::Failed(error)) => {
                                    held.push(Held::Many(answer, results));
                                    return Err((error, Applied::No));
                                }
                            }
                        }
                        held.push(Held::Many(answer, results));
                    }
                }
            }
            if state.next_change == first {
                // Nothing but refusals: nothing to commit.
                drop(tables);
                return transaction.abort().map_err(|error| (storage_error(error), Applied::No));
            }
            pending.flush(&mut tables).map_err(before)?;
            while state.next_change - state.first_change > CHANGES_KEPT {
                tables.put(Name::Change, &state.first_change.to_be_bytes(), None).map_err(before)?;
                state.first_change += 1;
            }
            state.write(&mut tables).map_err(before)?;
        }
        transaction.commit().map_err(|error| (storage_error(error), Applied::Unknown))?;
        self.counts.commits.fetch_add(1, Ordering::Relaxed);
        self.counts.writes.fetch_add(state.next_change - first, Ordering::Relaxed);
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

/// Does one operation, or nothing.
fn one(
    context: &Context,
    tables: &mut Writable<'_>,
    pending: &mut Pending,
    state: &mut State,
    write: &Write,
) -> Result<Outcome, Failure> {
    let mut clock = state.clock.clone();
    let stamp = clock.next();
    if state.next_id == u32::MAX {
        return Err(Failure::refused(
            ResultCode::UNWILLING_TO_PERFORM,
            "the store has given out all its ids; export it and import it into a new one",
        ));
    }
    let work = Work { context, tables, stamp: &stamp, next_id: state.next_id };
    let mut effect = work.effect(write)?;
    effect.apply(context, tables, pending, state.next_change, &stamp, &write.caller.actor)?;
    state.clock = clock;
    state.csn = stamp.csn;
    state.next_change += 1;
    if effect.takes_id {
        state.next_id += 1;
    }
    Ok(effect.outcome)
}

impl Job {
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
