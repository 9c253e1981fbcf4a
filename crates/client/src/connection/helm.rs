//! Who moves the connection: its task, or the caller of an operation that is alone on it.
//!
//! A lone caller writes its request and polls the socket itself, so its answer crosses from no task to another. The
//! connection's task takes over as soon as there is anything else to do: a second operation, a reply that is dropped,
//! the end of the connection, and a caller who has not polled for a short while although there was something to poll for
//! (he may hold the reply without polling it, and nobody else must wait for that).
//!
//! While lone callers come and go, or poll, the task looks at them by a tick and leaves the socket alone. When a tick
//! passes without a sign of one it listens to the socket again: what a server says unasked is heard that much later.

use std::{
    fmt,
    future::Future,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, atomic::Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};

use flext_ldap_sasl::gssapi::SecurityLayer;
use tokio::time::Instant;

use super::{
    Shared,
    slot::Slot,
    task::{Call, Task},
};
use crate::ending::Ending;

/// How long a lone operation is left to a caller who does not poll, and how late the task hears what the server says
/// unasked.
const TICK: Duration = Duration::from_millis(100);

/// The state of the connection, for whoever moves it. Empty once the task has ended.
#[derive(Default)]
pub(super) struct Helm(Mutex<Option<Task>>);

/// The task's hold on the helm. When the runtime drops the task, its state is dropped with it, and everybody is told.
pub(super) struct Hold(pub(super) Arc<Shared>);

/// After how many ticks a lone caller is relieved who only waits for the server: then the task need not look any more.
const PATIENCE: u32 = 10;

/// Whom the task has left the socket to.
#[derive(Debug, Default)]
pub(super) struct Lone {
    /// The operation whose caller polls the socket.
    slot: Option<Arc<Slot>>,
    /// Signs of life of lone callers so far, and how many there were at the last tick.
    signs: u64,
    seen: u64,
    /// Whether the last of them was a caller who found nothing, and how many ticks have passed since.
    waits: bool,
    quiet: u32,
    /// What wakes the task.
    task: Option<Waker>,
    /// Why the connection has ended under a lone caller.
    ending: Option<Ending>,
}

impl Helm {
    fn lock(&self) -> MutexGuard<'_, Option<Task>> {
        // Nothing that holds it can panic half-way through a change that others rely on.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn give(&self, task: Task) {
        *self.lock() = Some(task);
    }

    /// Starts an operation without the task, if it is alone on the connection. Gives it back if not.
    pub(super) fn start(&self, call: Call) -> Option<Call> {
        let mut helm = match self.0.try_lock() {
            Ok(helm) => helm,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // The task, or another caller, is at it.
            Err(TryLockError::WouldBlock) => return Some(call),
        };
        match &mut *helm {
            Some(task) => task.start_lone(call),
            None => Some(call),
        }
    }

    /// Whether the server has said nothing that nobody has heard.
    pub(super) fn is_silent(&self) -> bool {
        match self.0.try_lock() {
            Ok(mut helm) => helm.as_mut().is_some_and(Task::is_silent),
            Err(TryLockError::Poisoned(poisoned)) => {
                poisoned.into_inner().as_mut().is_some_and(Task::is_silent)
            }
            // Whoever is at it hears what there is.
            Err(TryLockError::WouldBlock) => true,
        }
    }

    /// Whether the runtime knows of something that nobody has heard.
    pub(super) fn may_have_news(&self) -> bool {
        let Ok(helm) = self.0.try_lock() else { return false };
        helm.as_ref().is_some_and(|task| task.is_idle() && task.transport.has_news())
    }

    /// Goes on reading after the success of a bind, inside `layer` from there on, if there is one.
    pub(super) fn go_on(&self, layer: Option<SecurityLayer>) {
        if let Some(task) = &mut *self.lock() {
            task.go_on(layer);
            task.lone.wake_task();
        }
    }

    /// Has the caller of `slot` poll the socket. Says whether the operation is still left to it.
    pub(super) fn drive(&self, slot: &Arc<Slot>, cx: &mut Context<'_>) -> bool {
        let mut helm = self.lock();
        helm.as_mut().is_some_and(|task| task.drive(slot, cx))
    }
}

impl fmt::Debug for Helm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Helm").finish_non_exhaustive()
    }
}

impl Hold {
    /// The task's turn.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Ending> {
        match &mut *self.0.helm.lock() {
            Some(task) => task.poll(cx),
            None => Poll::Ready(Ending::runtime_gone(&self.0.server)),
        }
    }

    /// Takes the state out, for the end.
    pub(super) fn take(&self) -> Option<Task> {
        self.0.helm.lock().take()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Dropped after the lock is given back: it wakes callers.
        drop(self.take());
    }
}

impl Lone {
    /// Forgets an operation that is over.
    pub(super) fn forget(&mut self, slot: &Arc<Slot>) {
        if self.slot.as_ref().is_some_and(|one| Arc::ptr_eq(one, slot)) {
            self.slot = None;
        }
    }

    /// Notes that a lone caller has come.
    fn show_sign(&mut self) {
        self.signs += 1;
        (self.waits, self.quiet) = (false, 0);
    }

    fn wake_task(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }
}

impl Task {
    /// Takes `call` in and sends it, if nothing else is going on.
    fn start_lone(&mut self, call: Call) -> Option<Call> {
        if !self.is_idle() || self.lone.ending.is_some() || self.lone.task.is_none() {
            return Some(call);
        }
        let slot = Arc::clone(&call.slot);
        self.lone.show_sign();
        if !self.shared.is_left.swap(true, Ordering::Relaxed) {
            self.lone.seen = self.lone.signs;
            self.tick.as_mut().reset(Instant::now() + TICK);
            self.lone.wake_task();
        }
        self.lone.slot = Some(slot);
        self.admit(call);
        // What does not fit the socket at once is written when the caller polls, or by the task.
        let written = self.write(&mut Context::from_waker(Waker::noop()));
        if let Err(ending) = written {
            self.end_under_caller(ending);
        }
        self.wake();
        None
    }

    /// Rounds for the caller of `slot`, until it has news or nothing changes.
    fn drive(&mut self, slot: &Arc<Slot>, cx: &mut Context<'_>) -> bool {
        if !self.lone.slot.as_ref().is_some_and(|one| Arc::ptr_eq(one, slot)) {
            return false;
        }
        self.lone.show_sign();
        // Whoever polls need not be woken.
        drop(slot.lock().waker());
        loop {
            match self.turn(cx) {
                Ok(changed) => {
                    if self.lone.slot.is_none() {
                        return false;
                    }
                    let has_news = slot.lock().has_news();
                    if !changed || has_news {
                        self.lone.waits = !has_news;
                        return true;
                    }
                }
                Err(ending) => {
                    self.end_under_caller(ending);
                    return false;
                }
            }
        }
    }

    /// Looks at the socket without reading, if nothing is in flight: whoever waits for an answer hears the end itself.
    fn is_silent(&mut self) -> bool {
        if self.lone.ending.is_some() {
            return false;
        }
        if !self.is_idle() {
            return true;
        }
        let ending = match self.transport.peek() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Ok(0) => Ending::by_server(&self.shared.server),
            Ok(_) => {
                // A notice, or the end of TLS: the task reads it.
                self.take_over();
                self.lone.wake_task();
                return false;
            }
            Err(error) => Ending::lost(&self.shared.server, error),
        };
        self.end_under_caller(ending);
        false
    }

    fn end_under_caller(&mut self, ending: Ending) {
        self.lone.slot = None;
        self.end(&ending);
        self.lone.ending = Some(ending);
        self.lone.wake_task();
    }

    /// What a lone caller has left to the task to tell.
    pub(super) fn ended_under_caller(&mut self) -> Option<Ending> {
        self.lone.ending.take()
    }

    /// Notes how the task is woken.
    pub(super) fn note_waker(&mut self, cx: &Context<'_>) {
        match &mut self.lone.task {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Whether the socket is left to lone callers until the next tick.
    pub(super) fn is_left_to_callers(&mut self, cx: &mut Context<'_>) -> bool {
        while self.shared.is_left.load(Ordering::Relaxed) {
            if self.tick.as_mut().poll(cx).is_pending() {
                return true;
            }
            let stays = self.lone.signs != self.lone.seen || self.has_patience();
            self.shared.is_left.store(stays, Ordering::Relaxed);
            self.lone.seen = self.lone.signs;
            self.tick.as_mut().reset(Instant::now() + TICK);
        }
        false
    }

    /// Whether a lone caller does not come because there is nothing to come for, and has not been waiting for long.
    fn has_patience(&mut self) -> bool {
        self.lone.quiet += 1;
        self.lone.waits
            && self.lone.slot.is_some()
            && self.lone.quiet < PATIENCE
            && self.is_written()
            && self.timers.first().is_none_or(|(at, _)| *at > Instant::now())
            && !self.transport.has_news()
    }

    /// The task takes the socket over.
    pub(super) fn take_over(&mut self) {
        self.shared.is_left.store(false, Ordering::Relaxed);
        self.lone.slot = None;
    }
}
