//! How many passwords of one account are tried at the same time: never more than failed binds are left until it is
//! locked. So parallel guesses are no more than guesses in turn, while a service whose password is right is not slowed.
//!
//! Only what is under way is kept here; what has failed is in the account, on disk, before anybody hears of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use flext_ldap_proto::result::ResultCode;
use tokio::sync::Notify;

use super::Micros;
use crate::{row::Id, tables::Failure};

/// The longest wait for others who try passwords of the same account.
const PATIENCE: Duration = Duration::from_secs(30);

/// Failures of one account that could not be written and are kept here. More are not needed to lock it.
const UNRECORDED: usize = 64;

/// The accounts whose passwords are being tried.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<HashMap<Id, Slot>>);

#[derive(Debug, Default)]
struct Slot {
    under_way: usize,
    /// Failures that storage did not take.
    unrecorded: Vec<Micros>,
    ended: Arc<Notify>,
}

/// What an account has room for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Room<T> {
    /// Nothing: it is locked.
    Locked,
    /// So many at the same time.
    For(usize, T),
}

/// A password that is being tried.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    attempts: &'a Attempts,
    id: Id,
}

impl Attempts {
    /// Waits until a password of `id` may be tried; `None` once the account is locked.
    ///
    /// `judge` is asked with the failures that storage did not take. It is asked anew each time another attempt ends,
    /// so it must look at the latest commit.
    pub(crate) async fn enter<T>(
        &self,
        id: Id,
        mut judge: impl FnMut(&[Micros]) -> Result<Room<T>, Failure> + Send,
    ) -> Result<Option<(Attempt<'_>, T)>, Failure> {
        let by = tokio::time::Instant::now() + PATIENCE;
        loop {
            let ended = Arc::clone(&self.slots().entry(id).or_default().ended);
            // Whoever ends from here on is heard of.
            let another = ended.notified();
            match self.try_enter(id, &ended, &mut judge)? {
                Tried::Entered(attempt, found) => return Ok(Some((attempt, found))),
                Tried::Locked => return Ok(None),
                Tried::Again => continue,
                Tried::Full => {}
            }
            tokio::time::timeout_at(by, another).await.map_err(|_| {
                Failure::refused(ResultCode::BUSY, "too many bind to this account at the same time")
            })?;
        }
    }

    fn try_enter<T>(
        &self,
        id: Id,
        ended: &Arc<Notify>,
        judge: &mut impl FnMut(&[Micros]) -> Result<Room<T>, Failure>,
    ) -> Result<Tried<'_, T>, Failure> {
        let mut slots = self.slots();
        let slot = slots.entry(id).or_default();
        if !Arc::ptr_eq(&slot.ended, ended) {
            return Ok(Tried::Again);
        }
        let room = judge(&slot.unrecorded);
        if let Ok(Room::For(most, found)) = room {
            if slot.under_way >= most {
                return Ok(Tried::Full);
            }
            slot.under_way += 1;
            return Ok(Tried::Entered(Attempt { attempts: self, id }, found));
        }
        forget_if_idle(&mut slots, id);
        room.map(|_| Tried::Locked)
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Id, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Tried<'a, T> {
    Entered(Attempt<'a>, T),
    Locked,
    Full,
    /// The slot was forgotten and made anew meanwhile.
    Again,
}

impl Attempt<'_> {
    /// Remembers a failure that storage did not take.
    pub(crate) fn unrecorded(&self, at: Micros) {
        if let Some(slot) = self.attempts.slots().get_mut(&self.id)
            && slot.unrecorded.len() < UNRECORDED
        {
            slot.unrecorded.push(at);
        }
    }

    /// Forgets what storage did not take: the password was right.
    pub(crate) fn succeeded(&self) {
        if let Some(slot) = self.attempts.slots().get_mut(&self.id) {
            slot.unrecorded.clear();
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut slots = self.attempts.slots();
        if let Some(slot) = slots.get_mut(&self.id) {
            slot.under_way = slot.under_way.saturating_sub(1);
            slot.ended.notify_waiters();
        }
        forget_if_idle(&mut slots, self.id);
    }
}

fn forget_if_idle(slots: &mut HashMap<Id, Slot>, id: Id) {
    if slots.get(&id).is_some_and(|slot| slot.under_way == 0 && slot.unrecorded.is_empty()) {
        slots.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_enter_than_there_is_room_for() {
        let attempts = Attempts::default();
        let enter = || attempts.enter(7, |_| Ok(Room::For(2, ())));
        let first = enter().await.unwrap().unwrap();
        let second = enter().await.unwrap().unwrap();
        let mut third = Box::pin(enter());
        assert!(futures_poll(&mut third).await.is_none());
        // Another account is none of their business.
        assert!(attempts.enter(8, |_| Ok(Room::For(1, ()))).await.unwrap().is_some());
        drop(first);
        let third = third.await.unwrap().unwrap();
        drop((second, third));
        assert!(attempts.slots().is_empty());
    }

    #[tokio::test]
    async fn who_waits_hears_that_the_account_is_locked() {
        let attempts = Attempts::default();
        let locked = std::sync::atomic::AtomicBool::new(false);
        let judge = |_: &[Micros]| {
            let locked = locked.load(std::sync::atomic::Ordering::Relaxed);
            Ok(if locked { Room::Locked } else { Room::For(1, ()) })
        };
        let first = attempts.enter(7, judge).await.unwrap().unwrap();
        let mut second = Box::pin(attempts.enter(7, judge));
        assert!(futures_poll(&mut second).await.is_none());
        locked.store(true, std::sync::atomic::Ordering::Relaxed);
        drop(first);
        assert!(second.await.unwrap().is_none());
        assert!(attempts.slots().is_empty());
    }

    #[tokio::test]
    async fn what_storage_did_not_take_is_remembered_until_a_success() {
        let attempts = Attempts::default();
        let seen = |unrecorded: &[Micros]| Ok(Room::For(1, unrecorded.to_vec()));
        let (attempt, before) = attempts.enter(7, seen).await.unwrap().unwrap();
        assert_eq!(before, [0_i64; 0]);
        attempt.unrecorded(5);
        drop(attempt);
        let (attempt, before) = attempts.enter(7, seen).await.unwrap().unwrap();
        assert_eq!(before, [5]);
        attempt.succeeded();
        drop(attempt);
        assert!(attempts.slots().is_empty());
    }

    /// Polls once.
    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
