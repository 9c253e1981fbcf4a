//! Storage that stays readable when it cannot be written, and goes on when it can.
//!
//! redb refuses everything, reads too, once its storage has failed under it, and wants the file recovered, which reads
//! all of it. So it is never told of a failed write: from the first one on, all that is written stays in memory, over
//! what storage has, and reads see both. Whoever commits asks [`Steady::failure`] before believing that a commit is safe,
//! and [`Steady::resume`] writes what was held back, once storage takes it.
//!
//! What a failed sync leaves of the writes before it nobody knows: a kernel may drop them and call the next sync a
//! success. They are therefore kept until a sync has succeeded, and written again before the next one is believed. Of a
//! commit that writes more than is kept that is not so, and a failed sync of it is final until the store is opened anew.
//! As they are kept anyway, they are written when a sync is asked for, those that lie together at once.
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

use super::{Overlay, unsynced::Unsynced};

/// Octets of writes that are kept until the next sync, at the least.
const KEPT: usize = 64 << 20;

/// Octets of writes that wait for others to lie beside, where they are not kept.
const WINDOW: usize = 4 << 20;

/// Octets that are held back in memory while storage cannot be written; nothing is begun then, so it is one commit.
const HELD: usize = 256 << 20;

/// Storage, and what it owes.
#[derive(Debug)]
pub(crate) struct Steady {
    base: Arc<dyn StorageBackend>,
    /// Octets of writes that are kept until the next sync.
    kept: usize,
    /// Whether storage is not all there is to read: something waits to be written, or cannot be.
    is_behind: AtomicBool,
    /// Whether there is a failure.
    failed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What was written since the last sync.
    unsynced: Unsynced,
    /// Whether more was written than is kept.
    forgotten: bool,
    failure: Option<Failure>,
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
    /// A commit of up to `room` octets can be written again after a sync that failed.
    pub(crate) fn new(base: Arc<dyn StorageBackend>, room: usize) -> Self {
        let (is_behind, failed) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { base, kept: std::env::var("KEPT_MB").map(|k| k.parse::<usize>().unwrap()<<20).unwrap_or(room.max(KEPT)), is_behind, failed, state: Mutex::default() }
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
            state.unsynced.write_again(&*self.base)?;
            // A sync that fails may drop what was written before the failure and is not kept.
            self.base.sync_data().inspect_err(|_| failure.lost = state.forgotten)?;
            failure.overlay.flush()?;
            self.base.sync_data()
        })();
        match written {
            Ok(()) => {
                *state = State::default();
                self.failed.store(false, Ordering::Release);
                self.is_behind.store(false, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                failure.kind = error.kind();
                failure.said = error.to_string();
                Err(error)
            }
        }
    }

    /// Begins to hold back, with what waits.
    fn fail(&self, state: &mut State, error: &io::Error, lost: bool) -> io::Result<()> {
        let overlay = Overlay::new(Arc::clone(&self.base))?;
        state.unsynced.write_waiting(&overlay)?;
        state.failure = Some(Failure { kind: error.kind(), said: error.to_string(), overlay, lost });
        self.failed.store(true, Ordering::Release);
        self.is_behind.store(true, Ordering::Release);
        Ok(())
    }

    /// Writes what waits.
    fn write_out(&self, state: &mut State) -> io::Result<()> {
        if state.failure.is_some() {
            return Ok(());
        }
        match state.unsynced.write_out(&*self.base) {
            Ok(()) => {
                self.is_behind.store(false, Ordering::Release);
                Ok(())
            }
            Err(error) => self.fail(state, &error, false),
        }
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        // What nobody had synced nobody relies on, but a store that was closed is opened without being recovered.
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.failure.is_none() {
            let _ = state.unsynced.write_out(&*self.base);
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
        if self.is_behind.load(Ordering::Acquire) {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.failure.is_none() && state.unsynced.waits_within(offset, out.len()) {
                self.write_out(&mut state)?;
            }
            if let Some(failure) = &state.failure {
                return failure.overlay.read(offset, out);
            }
        }
        self.base.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // What is cut off is not written behind the end.
        self.write_out(&mut state)?;
        if state.failure.is_none() {
            match self.base.set_len(len) {
                Ok(()) => {
                    state.unsynced.cut(len);
                    return Ok(());
                }
                Err(error) => self.fail(&mut state, &error, false)?,
            }
        }
        state.failure.as_ref().map_or(Ok(()), |failure| failure.overlay.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_out(&mut state)?;
        if state.failure.is_some() {
            return Ok(());
        }
        match self.base.sync_data() {
            Ok(()) => {
                state.unsynced.clear();
                state.forgotten = false;
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
        let room = if state.forgotten { WINDOW } else { self.kept };
        if state.failure.is_none() && state.unsynced.octets().saturating_add(data.len()) > room {
            self.write_out(&mut state)?;
            if state.failure.is_none() {
                state.unsynced.clear();
                state.forgotten = true;
            }
        }
        let Some(failure) = &state.failure else {
            state.unsynced.write(offset, data);
            self.is_behind.store(true, Ordering::Release);
            return Ok(());
        };
        if failure.overlay.held() > HELD {
            return Err(io::Error::new(failure.kind, failure.said.clone()));
        }
        failure.overlay.write(offset, data)
    }
}
