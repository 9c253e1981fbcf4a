//! What is done in one commit: single writes that wait, or much of an import.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender},
    },
    time::Duration,
};

use flext_ldap_directory::{Error, ErrorKind, Outcome, proto::result::ResultCode};

use super::{Held, Job, write_error};
use crate::{
    backend::Steady,
    index::Reindex,
    tables::Failure,
    write::{Bundle, Operation, Prepared, Write, WriteOp},
};

/// Jobs of one commit, at the most, where there are single writes among them.
const GROUP: usize = 512;

/// Octets of index keys that one commit gathers before it writes them. Larger commits write each page of the index less
/// often.
const PENDING: usize = 64 << 20;

/// How many times the rows that one transaction of several stores would fill the memory for pages.
const STEPS: usize = 32;

/// How long an import's commit waits for more of it: as long as nobody else has something to write.
const LINGER: Duration = Duration::from_secs(1);

/// How an import wants some of its writes done.
#[derive(Debug)]
pub(crate) struct Load {
    /// Whether what comes after a refusal is done.
    pub(crate) go_on: bool,
    /// Set at a refusal after which nothing is done; nothing of the import is done once it is set.
    pub(crate) stop: Arc<AtomicBool>,
    /// Whether to commit after this.
    pub(crate) commit: bool,
    pub(crate) permit: Permit,
}

/// Says, when it is dropped, that there is room for another batch.
#[derive(Debug)]
pub(crate) struct Permit(SyncSender<()>);

impl Permit {
    pub(crate) fn new(room: SyncSender<()>) -> Self {
        Self(room)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // There is room for as many as there are batches; an import that is gone needs none.
        let _ = self.0.try_send(());
    }
}

/// What an import has to be written, as it was made ready beside the writer.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// New entries that need nothing but their rows.
    Bundle(Bundle),
    Write(Box<Write>, Option<Prepared>),
}

/// An open transaction and what is done in it.
pub(super) struct Doing<'d, 'a, 't> {
    pub(super) storage: &'d Steady,
    pub(super) operation: Operation<'a, 't>,
    /// Whether a load is stored in several transactions.
    pub(super) in_steps: bool,
    /// What is to be done after this commit.
    pub(super) later: &'d mut Vec<Reindex>,
}

impl Doing<'_, '_, '_> {
    /// Does `first` and what waits behind it; answers with what is to be done in another transaction of the same commit.
    /// Fails where storage does: then all of it has failed.
    pub(super) fn all(
        &mut self,
        first: Job,
        receiver: &Receiver<Job>,
        held: &mut Vec<Held>,
    ) -> Result<Option<Job>, Failure> {
        let (mut singles, mut loads) = (0_usize, 0_usize);
        let mut next = Some(first);
        while let Some(job) = next {
            let mut commit = false;
            match job {
                Job::One { write, deadline, answer } => {
                    singles += 1;
                    let done = if deadline.has_passed() {
                        Err(Failure::Failed(Error::new(
                            ErrorKind::Timeout,
                            "the deadline passed before the write was begun",
                        )))
                    } else {
                        self.ready_for_single(loads > 0).and_then(|()| self.operation.write(&write, None))
                    };
                    if let Some(error) = self.storage.failure() {
                        held.push(Held::One(answer, Ok(Outcome::success())));
                        return Err(write_error(error).into());
                    }
                    match done {
                        // Storage that failed under one operation has failed for all of the commit.
                        Err(Failure::Failed(error)) if error.kind() == ErrorKind::Storage => {
                            held.push(Held::One(answer, Ok(Outcome::success())));
                            return Err(error.into());
                        }
                        done => held.push(Held::One(answer, done)),
                    }
                }
                Job::Many { writes, load, answer } => {
                    loads += 1;
                    let (stop, asked) = (Arc::clone(&load.stop), load.commit);
                    let mut results = Vec::with_capacity(writes.len());
                    let done = self.many(writes, load, &mut results);
                    // The import hears of its end with the commit.
                    commit = asked || stop.load(Ordering::Relaxed);
                    held.push(Held::Many(answer, results));
                    done?;
                }
                // The transaction that was begun has told that storage can be used.
                Job::Look => {}
                Job::Reindex(asked) => {
                    self.later.push(asked);
                    commit = true;
                }
            }
            let full =
                self.operation.pending.octets() >= PENDING || singles >= GROUP || held.len() >= 2 * GROUP;
            next = if commit || full || (singles > 0 && loads > 1) {
                None
            } else if loads > 0 && singles == 0 {
                receiver.recv_timeout(LINGER).ok()
            } else {
                receiver.try_recv().ok()
            };
            let step = self.operation.context.limits.cache / STEPS;
            if self.in_steps
                && singles == 0
                && next.is_some()
                && self.operation.tables.staged.has_written(step)
            {
                return Ok(next);
            }
        }
        Ok(None)
    }

    /// Single writes look at indexes and ranges of tables.
    fn ready_for_single(&mut self, loaded: bool) -> Result<(), Failure> {
        if loaded {
            self.operation.flush()?;
        }
        self.operation.ask(true)
    }

    /// Does some writes of an import: `results` has one for each that was begun with.
    fn many(
        &mut self,
        writes: Vec<Loaded>,
        load: Load,
        results: &mut Vec<Result<(), String>>,
    ) -> Result<(), Failure> {
        let Load { go_on, stop, permit, .. } = load;
        drop(permit);
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let storage = self.storage;
        let mut done = |result: Result<(), Failure>| -> Result<bool, Failure> {
            if let Some(error) = storage.failure() {
                return Err(write_error(error).into());
            }
            match result {
                Ok(()) => results.push(Ok(())),
                Err(Failure::Refused(result)) => {
                    let code = result.code;
                    let text = match (result.diagnostic.is_empty(), result.matched_dn.is_empty()) {
                        (false, _) => format!("{code}: {}", result.diagnostic),
                        (true, false) => {
                            format!("{code}: of this name there is only `{}`", result.matched_dn)
                        }
                        (true, true) if code == ResultCode::NO_SUCH_OBJECT => {
                            format!("{code}: no entry above it is there; those go before it")
                        }
                        (true, true) => code.to_string(),
                    };
                    results.push(Err(text));
                    if !go_on {
                        stop.store(true, Ordering::Relaxed);
                        return Ok(false);
                    }
                }
                Err(failure @ Failure::Failed(_)) => return Err(failure),
            }
            Ok(true)
        };
        for loaded in writes {
            match loaded {
                Loaded::Bundle(bundle) => {
                    self.operation.ask(self.operation.context.constraints.ask_of_adds())?;
                    self.operation.load(bundle, &mut done)?;
                }
                Loaded::Write(write, prepared) => {
                    let result = self.one(&write, prepared)?;
                    done(result)?;
                }
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(())
    }

    /// Does one write of an import.
    fn one(&mut self, write: &Write, prepared: Option<Prepared>) -> Result<Result<(), Failure>, Failure> {
        let adds = matches!(write.op, WriteOp::Add(_));
        self.operation.ask(!adds || self.operation.context.constraints.ask_of_adds())?;
        let tables = &mut *self.operation.tables;
        if adds {
            tables.begin_load()?;
            tables.ease_load()?;
        } else {
            tables.settle_load()?;
        }
        Ok(self.operation.write(write, prepared).map(drop))
    }
}
