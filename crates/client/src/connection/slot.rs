//! Where the task leaves an answer and its caller picks it up.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use flext_ldap_directory::{
    Deadline, Error, Event, Outcome,
    proto::{batch::Batch, message::MessageId},
};
use tokio::time::Instant;

/// The meeting place of one operation.
#[derive(Debug)]
pub(super) struct Slot(Mutex<State>);

#[derive(Debug)]
pub(super) struct State {
    /// Under which the operation is in flight; the task's to set.
    pub(super) id: Option<MessageId>,
    items: VecDeque<Batch>,
    /// How many of the items have entries: only for these the clock stands. References and intermediate answers without
    /// end, which many callers pass over, are no reason to wait for ever.
    with_entries: usize,
    /// Octets of the items.
    pub(super) unread: usize,
    end: Option<Result<Outcome, Error>>,
    waker: Option<Waker>,
    /// When the caller's patience ends, unless the clock stands.
    pub(super) deadline: Instant,
    /// Since when the clock stands, because the caller has entries to read.
    pub(super) standing_since: Option<Instant>,
    /// Whether the task wants to hear when the clock goes on.
    pub(super) tell_when_waiting: bool,
    /// Whether the task wants to hear when no more than this is unread.
    pub(super) tell_when_below: Option<usize>,
    /// Whether the caller has gone.
    pub(super) gone: bool,
    /// Whether a word to the task is under way.
    pub(super) told: bool,
}

/// What a caller sees when it looks.
pub(super) struct Look {
    pub(super) event: Poll<Result<Event, Error>>,
    /// Octets that are read now.
    pub(super) read: usize,
    /// Whether the task is to be told to look too.
    pub(super) tell: bool,
}

impl Slot {
    pub(super) fn new(deadline: Deadline) -> Self {
        Self(Mutex::new(State {
            id: None,
            items: VecDeque::new(),
            with_entries: 0,
            unread: 0,
            end: None,
            waker: None,
            deadline: deadline.instant(),
            standing_since: None,
            tell_when_waiting: false,
            tell_when_below: None,
            gone: false,
            told: false,
        }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in this module can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The caller takes what is there, or waits.
    pub(super) fn look(&self, cx: &Context<'_>) -> Look {
        let mut state = self.lock();
        if let Some(batch) = state.items.pop_front() {
            let read = batch.size();
            state.unread -= read;
            match has_entries(&batch) {
                true => state.with_entries -= 1,
                // Whoever comes back for this is done with the entries before it.
                false if state.with_entries == 0 => state.start_clock(),
                false => {}
            }
            let goes_on = state.tell_when_waiting && state.standing_since.is_none();
            let is_below = state.tell_when_below.is_some_and(|mark| state.unread <= mark);
            let tell = (goes_on || is_below) && state.tell();
            return Look { event: Poll::Ready(Ok(Event::Batch(batch))), read, tell };
        }
        if let Some(end) = state.end.take() {
            return Look { event: Poll::Ready(end.map(Event::Done)), read: 0, tell: false };
        }
        state.start_clock();
        let tell = state.tell_when_waiting && state.tell();
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Look { event: Poll::Pending, read: 0, tell }
    }

    /// The caller goes. Returns the octets it left unread, and whether the task is to be told.
    pub(super) fn leave(&self) -> (usize, bool) {
        let mut state = self.lock();
        state.gone = true;
        let items = std::mem::take(&mut state.items);
        let unread = std::mem::take(&mut state.unread);
        state.with_entries = 0;
        // A write goes on, and nobody reads any more.
        state.start_clock();
        let tell = state.end.take().is_none() && state.tell();
        drop(state);
        drop(items);
        (unread, tell)
    }
}

impl State {
    /// Whether the task must be told, which at most one word at a time does.
    fn tell(&mut self) -> bool {
        !std::mem::replace(&mut self.told, true)
    }

    /// Whether there is something for the caller to take.
    pub(super) fn has_news(&self) -> bool {
        !self.items.is_empty() || self.end.is_some()
    }

    /// The clock goes on from where it stood.
    fn start_clock(&mut self) {
        if let Some(since) = self.standing_since.take() {
            self.deadline += since.elapsed();
        }
    }

    /// Leaves items. Returns the octets that are unread now.
    pub(super) fn put(&mut self, batch: Batch) -> usize {
        self.unread += batch.size();
        if has_entries(&batch) {
            self.with_entries += 1;
            self.standing_since.get_or_insert_with(Instant::now);
        }
        self.items.push_back(batch);
        self.unread
    }

    /// Leaves the end.
    pub(super) fn finish(&mut self, end: Result<Outcome, Error>) {
        if !self.gone {
            self.end = Some(end);
        }
    }

    /// Whom to wake, once the lock is given back.
    pub(super) const fn waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }
}

fn has_entries(batch: &Batch) -> bool {
    batch.entries().next().is_some()
}
