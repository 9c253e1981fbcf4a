//! Loading LDIF in bulk: large commits, hashes and operational attributes kept as given.

mod prepare;

use std::{
    collections::VecDeque,
    io::BufRead,
    num::NonZero,
    sync::{
        Arc,
        atomic::AtomicBool,
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread,
};

use bytes::Bytes;
use flext_ldap_directory::{Applied, Error, ErrorKind};
use flext_ldap_proto::ldif::{ChangeRecord, LdifError, LdifErrorKind, LdifReader, ReadOptions, Record};

use self::prepare::Preparing;
use crate::{
    Store,
    writer::{Job, Load, Loaded, Permit, Writer},
};

/// How LDIF is loaded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImportOptions {
    /// Whether clear-text passwords are hashed (27 ms of work each). Unless it is so they are refused.
    pub hash_clear_passwords: bool,
    /// Whether a record that is refused or is no LDIF is counted and passed over. Unless it is so the import stops there.
    pub continue_on_error: bool,
    /// The line of the first record to load; records that start before it are passed over. An import that stopped
    /// says which line to go on from.
    pub start_line: u64,
    /// Records after which a commit is asked for. 1,000,000. There are more commits where entries and their keys take
    /// much memory, where somebody else has something to write, and where records come slowly.
    pub commit_every: usize,
    /// What the LDIF may hold.
    pub read: ReadOptions,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            hash_clear_passwords: false,
            continue_on_error: false,
            start_line: 0,
            commit_every: 1_000_000,
            read: ReadOptions::default(),
        }
    }
}

/// What an import did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ImportReport {
    /// Records applied.
    pub applied: u64,
    /// Records refused and passed over.
    pub refused: u64,
    /// The first refused records: line and reason. At most 100.
    pub refusals: Vec<(u64, String)>,
}

/// An import that stopped. What was committed before stays.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {reason}; {applied} records before it are applied")]
#[non_exhaustive]
pub struct ImportError {
    /// Where the first record that was not applied starts.
    pub line: u64,
    /// Records applied, all of them before `line`.
    pub applied: u64,
    /// What is wrong.
    #[source]
    pub reason: ImportFailure,
}

/// What can be wrong with a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportFailure {
    /// It is not LDIF.
    #[error("{}", .0.kind)]
    Ldif(#[source] LdifError),
    /// The directory refuses it.
    #[error("{0}")]
    Refused(String),
    /// A password in clear text.
    #[error(
        "`{0}` has a password in clear text; give its hash, or ask for clear-text passwords to be hashed"
    )]
    ClearPassword(String),
    /// Storage failed.
    #[error("{0}")]
    Storage(#[source] Error),
}

impl ImportFailure {
    /// Whether those that follow can be loaded.
    const fn is_of_one_record(&self) -> bool {
        !matches!(self, Self::Storage(_) | Self::Ldif(LdifError { kind: LdifErrorKind::Io(_), .. }))
    }
}

impl Store {
    /// Loads LDIF: entries, and change records if there are some. `progress` hears now and then how many records are
    /// applied.
    ///
    /// Entries are checked as an add is, but operational attributes (entryUUID, time stamps) are kept where they are
    /// given. Blocks the thread; other writes wait between commits.
    ///
    /// # Errors
    ///
    /// When a record is refused or storage fails: at which line, what is applied, and how to go on.
    pub fn import(
        &self,
        reader: impl BufRead,
        options: &ImportOptions,
        progress: &mut dyn FnMut(u64),
    ) -> Result<ImportReport, ImportError> {
        let (permit, permits) = sync_channel(BATCHES);
        Import {
            options,
            reader: LdifReader::new(reader, options.read.clone()),
            report: ImportReport::default(),
            gathered: Batch::default(),
            uncommitted: 0,
            writer: self.writer(),
            stop: Arc::default(),
            permit,
            permits,
            handed_over: 0,
            waiting: VecDeque::new(),
        }
        .run(self, progress)
    }
}

/// Records that are read before a worker gets them, and octets.
const CHUNK: usize = 128;
const CHUNK_OCTETS: usize = 1 << 20;

/// Chunks for each worker that are read and not yet gathered.
const CHUNKS: usize = 2;

/// Records that are handed to the writer together, and octets.
const BATCH: usize = 1_000;
const BATCH_OCTETS: usize = 4 << 20;

/// Batches that the writer has not begun with.
const BATCHES: usize = 3;

/// Threads that check records and make them ready, at the most. The writer is busy with what two bring.
const WORKERS: usize = 3;

/// Refusals that are remembered; further ones are counted only.
const REFUSALS: usize = 100;

/// Records as they were read, with the lines they start at.
#[derive(Default)]
struct Chunk {
    records: Vec<(u64, Result<Record, ImportFailure>)>,
    /// Whether a commit is to be asked for after them.
    commit: bool,
}

/// Records to be applied together, with the lines they start at.
#[derive(Default)]
struct Batch {
    writes: Vec<Loaded>,
    lines: Vec<u64>,
    octets: usize,
    /// Records that cannot be applied, and why. Unless these are passed over there is one, and it comes last.
    failed: Vec<(u64, ImportFailure)>,
    commit: bool,
}

/// A batch at the writer: its lines and where the answer comes.
type Waiting = (Vec<u64>, Receiver<Result<Vec<Result<(), String>>, Error>>);

/// One who reads, some who check and make ready, one who writes; records stay in their order throughout. Only as much
/// is under way as the bounds above say.
struct Import<'a, R> {
    options: &'a ImportOptions,
    reader: LdifReader<R>,
    report: ImportReport,
    gathered: Batch,
    /// Records read since a commit was asked for.
    uncommitted: usize,
    writer: &'a Writer,
    /// Whether a record was refused that ends the import.
    stop: Arc<AtomicBool>,
    permit: SyncSender<()>,
    /// One for each batch that the writer has begun with.
    permits: Receiver<()>,
    handed_over: usize,
    waiting: VecDeque<Waiting>,
}

/// A thread that makes records ready: the way to it and back.
struct Worker {
    chunks: SyncSender<Chunk>,
    ready: Receiver<Batch>,
}

impl<R: BufRead> Import<'_, R> {
    fn run(mut self, store: &Store, progress: &mut dyn FnMut(u64)) -> Result<ImportReport, ImportError> {
        let options = self.options;
        let number = thread::available_parallelism().map_or(1, NonZero::get).clamp(1, WORKERS);
        thread::scope(|scope| {
            let mut workers = Vec::with_capacity(number);
            for _ in 0..number {
                let (chunks, receiver) = sync_channel::<Chunk>(CHUNKS);
                let (sender, ready) = sync_channel(CHUNKS);
                let work = move || {
                    let mut preparing = Preparing::new(store.context(), options);
                    for chunk in receiver {
                        preparing = preparing.by(store.context());
                        if sender.send(preparing.all(chunk)).is_err() {
                            break;
                        }
                    }
                };
                let started = thread::Builder::new().name("ldap-import".to_owned()).spawn_scoped(scope, work);
                if let Err(cause) = started {
                    let error = Error::new(ErrorKind::Overloaded, "a thread cannot be started");
                    return Err(self.failed(options.start_line, error.with_source(cause)));
                }
                workers.push(Worker { chunks, ready });
            }
            self.pass_through(&workers, progress)?;
            // Nothing more comes.
            self.gathered.commit = true;
            self.hand_over(progress)?;
            while !self.waiting.is_empty() {
                self.settle(progress)?;
            }
            Ok(self.report)
        })
    }

    /// Takes all records through the workers to the writer.
    fn pass_through(&mut self, workers: &[Worker], progress: &mut dyn FnMut(u64)) -> Result<(), ImportError> {
        let mut coming = workers.iter().cycle();
        let mut going = workers.iter().cycle();
        let mut under_way = 0;
        loop {
            let chunk = self.read();
            let ended = chunk.records.is_empty();
            if let Some(worker) = coming.next().filter(|_| !ended) {
                worker.chunks.send(chunk).map_err(|_| self.ended("a worker"))?;
                under_way += 1;
            }
            // Each worker has room for so many chunks, and gets them in turn: nobody waits for anybody here but this
            // thread for the oldest chunk.
            while under_way > 0 && (ended || under_way >= workers.len() * CHUNKS) {
                let Some(worker) = going.next() else { break };
                let ready = worker.ready.recv().map_err(|_| self.ended("a worker"))?;
                under_way -= 1;
                self.gather(ready, progress)?;
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Reads some records; none at the end.
    fn read(&mut self) -> Chunk {
        let mut chunk = Chunk::default();
        let mut octets = 0;
        while chunk.records.len() < CHUNK && octets < CHUNK_OCTETS && !chunk.commit {
            match self.reader.next_record() {
                Ok(None) => break,
                Ok(Some(_)) if self.reader.line() < self.options.start_line => {}
                Ok(Some(record)) => {
                    octets += size_of_record(&record);
                    chunk.records.push((self.reader.line(), Ok(record)));
                    self.uncommitted += 1;
                    chunk.commit = self.uncommitted >= self.options.commit_every;
                }
                // Whoever says where to go on from has seen what is wrong before.
                Err(LdifError { line, kind })
                    if line < self.options.start_line && !matches!(kind, LdifErrorKind::Io(_)) => {}
                Err(error) => {
                    chunk.records.push((error.line, Err(ImportFailure::Ldif(error))));
                    if !self.options.continue_on_error {
                        break;
                    }
                }
            }
        }
        if chunk.commit {
            self.uncommitted = 0;
        }
        chunk
    }

    fn gather(&mut self, ready: Batch, progress: &mut dyn FnMut(u64)) -> Result<(), ImportError> {
        let Batch { writes, lines, octets, failed, commit } = ready;
        self.gathered.writes.extend(writes);
        self.gathered.lines.extend(lines);
        self.gathered.octets += octets;
        self.gathered.commit |= commit;
        for (line, failure) in failed {
            self.stop(line, failure, progress)?;
        }
        let Batch { lines, octets, commit, .. } = &self.gathered;
        if *commit || lines.len() >= BATCH || *octets >= BATCH_OCTETS {
            self.hand_over(progress)?;
        }
        Ok(())
    }

    /// A record that cannot be applied: passed over, or the end.
    fn stop(
        &mut self,
        line: u64,
        reason: ImportFailure,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ImportError> {
        if self.options.continue_on_error && reason.is_of_one_record() {
            self.refused(line, reason.to_string());
            return Ok(());
        }
        self.gathered.commit = true;
        self.hand_over(progress)?;
        while !self.waiting.is_empty() {
            self.settle(progress)?;
        }
        Err(ImportError { line, applied: self.report.applied, reason })
    }

    fn refused(&mut self, line: u64, reason: String) {
        self.report.refused += 1;
        if self.report.refusals.len() < REFUSALS {
            self.report.refusals.push((line, reason));
            // The writer's come later than those that need no writer.
            self.report.refusals.sort_by_key(|(line, _)| *line);
        }
    }

    /// Gives what is gathered to the writer, once it has begun with what was given to it before.
    fn hand_over(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), ImportError> {
        let Batch { writes, lines, commit, .. } = std::mem::take(&mut self.gathered);
        let first = match lines.first() {
            Some(first) => *first,
            // The writer waits for more unless it is told.
            None if commit && !self.waiting.is_empty() => self.reader.line(),
            None => return Ok(()),
        };
        if self.handed_over < BATCHES {
            self.handed_over += 1;
        } else {
            // Whoever ends without beginning gives the permit back too.
            self.permits.recv().map_err(|_| self.ended("the writer"))?;
        }
        while let Some((_, answered)) = self.waiting.front() {
            match answered.try_recv() {
                Ok(results) => self.take_results(results, progress)?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(self.ended("the writer")),
            }
        }
        let (answer, answered) = sync_channel(1);
        let load = Load {
            go_on: self.options.continue_on_error,
            stop: Arc::clone(&self.stop),
            commit,
            permit: Permit::new(self.permit.clone()),
        };
        let job = Job::Many { writes, load, answer };
        self.writer.send(job).map_err(|error| self.failed(first, error))?;
        self.waiting.push_back((lines, answered));
        Ok(())
    }

    /// Waits for the writer's next answer.
    fn settle(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), ImportError> {
        let Some((_, answered)) = self.waiting.front() else { return Ok(()) };
        match answered.recv() {
            Ok(results) => self.take_results(results, progress),
            Err(_) => Err(self.ended("the writer")),
        }
    }

    /// What became of the batch that waits longest.
    fn take_results(
        &mut self,
        results: Result<Vec<Result<(), String>>, Error>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ImportError> {
        let Some((lines, _)) = self.waiting.pop_front() else { return Ok(()) };
        let first = lines.first().copied().unwrap_or_default();
        let results = results.map_err(|error| self.failed(first, error))?;
        for (line, result) in lines.into_iter().zip(results) {
            match result {
                Ok(()) => self.report.applied += 1,
                Err(reason) if self.options.continue_on_error => self.refused(line, reason),
                Err(reason) => {
                    let reason = ImportFailure::Refused(reason);
                    return Err(ImportError { line, applied: self.report.applied, reason });
                }
            }
        }
        progress(self.report.applied);
        Ok(())
    }

    fn failed(&self, line: u64, error: Error) -> ImportError {
        ImportError { line, applied: self.report.applied, reason: ImportFailure::Storage(error) }
    }

    /// A thread is gone, which it never is.
    fn ended(&self, who: &str) -> ImportError {
        let first = self.waiting.front().and_then(|(lines, _)| lines.first().copied());
        let line =
            first.or_else(|| self.gathered.lines.first().copied()).unwrap_or_else(|| self.reader.line());
        let error = Error::new(ErrorKind::Bug, format!("{who} of the import ended without an answer"));
        self.failed(line, error.with_applied(Applied::Unknown))
    }
}

/// Octets of what a record holds, more or less.
fn size_of_record(record: &Record) -> usize {
    match record {
        Record::Entry(entry) => entry.attributes().as_bytes().len(),
        Record::Change(_, ChangeRecord::Add(add)) => add.attributes.as_ref().as_bytes().len(),
        Record::Change(_, ChangeRecord::Modify(modify)) => {
            modify.changes.iter().flat_map(|change| &change.values).map(Bytes::len).sum()
        }
        Record::Change(..) => 0,
    }
}
