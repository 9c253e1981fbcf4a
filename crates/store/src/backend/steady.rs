//! Storage that stays readable when it cannot be written, and goes on when it can.
//!
//! redb refuses everything, reads too, once its storage has failed under it, and wants the file recovered, which reads
//! all of it. So it is never told of a failed write: from the first one on, all that is written stays in memory, over
//! what storage has, and reads see both. Whoever commits asks [`Steady::failure`] before believing that a commit is safe,
//! and [`Steady::resume`] writes what was held back, once storage takes it.
//!
//! What a failed sync leaves of the writes before it nobody knows: a kernel may drop them and call the next sync a
//! success. They are therefore kept until a sync has succeeded, and written again before the next one is believed. Of a
//! commit that writes more than [`KEPT`] that is not so, and a failed sync of it is final until the store is opened anew.
//!
//! A read that fails is not hidden: there is nothing to answer with.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::StorageBackend;

use super::Overlay;

/// Octets of writes that are kept until the next sync.
const KEPT: usize = 64 << 20;

/// Octets that are held back in memory while storage cannot be written; nothing is begun then, so it is one commit.
const HELD: usize = 256 << 20;

/// Storage, and what it owes.
#[derive(Debug)]
pub(crate) struct Steady {
    base: Arc<dyn StorageBackend>,
    /// Whether there is a failure, so that reads need not look.
    failed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What was written since the last sync, in order.
    unsynced: Vec<Write>,
    octets: usize,
    /// Whether more was written than is kept.
    forgotten: bool,
    failure: Option<Failure>,
}

#[derive(Debug)]
enum Write {
    Octets(u64, Vec<u8>),
    Len(u64),
}

#[derive(Debug)]
struct Failure {
    kind: io::ErrorKind,
    said: String,
    /// What was written since.
    overlay: Overlay,
    /// Whether something is lost, so that nothing that is written now would make a whole.
    lost: bool,
}

impl Steady {
    pub(crate) fn new(base: Arc<dyn StorageBackend>) -> Self {
        Self { base, failed: AtomicBool::new(false), state: Mutex::default() }
    }

    /// Why nothing is written at present.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        if !self.failed.load(Ordering::Acquire) {
            return None;
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failure.as_ref().map(|failure| io::Error::new(failure.kind, failure.said.clone()))
    }

    /// Whether [`resume`](Self::resume) can ever succeed.
    pub(crate) fn is_lost(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failure.as_ref().is_some_and(|failure| failure.lost)
    }

    /// Writes what was held back. After success storage holds all that was ever written to this.
    pub(crate) fn resume(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let Some(failure) = &mut state.failure else { return Ok(()) };
        if failure.lost {
            return Err(io::Error::new(failure.kind, failure.said.clone()));
        }
        let written = (|| {
            for write in &state.unsynced {
                match write {
                    Write::Octets(offset, data) => self.base.write(*offset, data)?,
                    Write::Len(len) => self.base.set_len(*len)?,
                }
            }
            // A sync that fails may drop what was written before the failure and is not kept.
            self.base.sync_data().inspect_err(|_| failure.lost = state.forgotten)?;
            failure.overlay.flush()?;
            self.base.sync_data()
        })();
        match written {
            Ok(()) => {
                *state = State::default();
                self.failed.store(false, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                failure.kind = error.kind();
                failure.said = error.to_string();
                Err(error)
            }
        }
    }

    /// Begins to hold back.
    fn fail(&self, state: &mut State, error: &io::Error, lost: bool) -> io::Result<()> {
        let overlay = Overlay::new(Arc::clone(&self.base))?;
        state.failure = Some(Failure { kind: error.kind(), said: error.to_string(), overlay, lost });
        self.failed.store(true, Ordering::Release);
        Ok(())
    }
}

impl State {
    fn keep(&mut self, write: Write) {
        if let Write::Octets(_, data) = &write {
            self.octets = self.octets.saturating_add(data.len());
        }
        if self.octets > KEPT {
            self.forgotten = true;
            self.unsynced = Vec::new();
        }
        if !self.forgotten {
            self.unsynced.push(write);
        }
    }
}

impl StorageBackend for Steady {
    fn len(&self) -> io::Result<u64> {
        if self.failed.load(Ordering::Acquire) {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(failure) = &state.failure {
                return failure.overlay.len();
            }
        }
        self.base.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.failed.load(Ordering::Acquire) {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(failure) = &state.failure {
                return failure.overlay.read(offset, out);
            }
        }
        self.base.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failure.is_none() {
            match self.base.set_len(len) {
                Ok(()) => {
                    state.keep(Write::Len(len));
                    return Ok(());
                }
                Err(error) => self.fail(&mut state, &error, false)?,
            }
        }
        state.failure.as_ref().map_or(Ok(()), |failure| failure.overlay.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failure.is_some() {
            return Ok(());
        }
        match self.base.sync_data() {
            Ok(()) => {
                *state = State::default();
                Ok(())
            }
            Err(error) => {
                let lost = state.forgotten;
                self.fail(&mut state, &error, lost)
            }
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failure.is_none() {
            match self.base.write(offset, data) {
                Ok(()) => {
                    state.keep(Write::Octets(offset, data.to_vec()));
                    return Ok(());
                }
                Err(error) => self.fail(&mut state, &error, false)?,
            }
        }
        let Some(failure) = &state.failure else { return Ok(()) };
        if failure.overlay.held() > HELD {
            return Err(io::Error::new(failure.kind, failure.said.clone()));
        }
        failure.overlay.write(offset, data)
    }
}
