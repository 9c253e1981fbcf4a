//! Conversations of who has not signed in: so many at a time, and lent.
//!
//! Whoever can connect could hold all conversations otherwise, and leave none for who has a password. Nothing is tied to
//! one at rest but the cookies it gave, which are refused afterwards as when its server is lost. So who needs one while all
//! are lent gets that which has rested longest. Those of who has signed in are no business of this module.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use flext_ldap_directory::{Deadline, Error, ErrorKind};
use tokio::{sync::Mutex as AsyncMutex, time::timeout_at};

use crate::talk::Talk;

/// How long is waited for one at most, and how often it is looked whether one has come to rest.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// So many conversations.
pub(crate) struct Lent {
    most: usize,
    state: Mutex<State>,
    /// Held by who is the next to get one: only that one looks.
    next: AsyncMutex<()>,
}

#[derive(Default)]
struct State {
    numbers: u64,
    holders: BTreeMap<u64, Weak<Talk>>,
}

/// Leave to have a conversation, as long as this lives.
pub(crate) struct Loan {
    lent: Arc<Lent>,
    number: u64,
}

impl Lent {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, state: Mutex::default(), next: AsyncMutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for leave to have one.
    pub(crate) async fn take(self: &Arc<Self>, talk: &Arc<Talk>, by: Deadline) -> Result<Loan, Error> {
        // Who waits goes before who comes.
        if self.next.try_lock().is_ok()
            && let Some(loan) = self.try_take(talk)
        {
            return Ok(loan);
        }
        let taken = async {
            let _next = self.next.lock().await;
            loop {
                if let Some(loan) = self.try_take(talk) {
                    return loan;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        timeout_at(by.earlier(Deadline::after(PATIENCE)).instant(), taken).await.map_err(|_| {
            let message = "as many conversations as clients may have that have not signed in were in use: sign in, or ask later";
            Error::new(ErrorKind::Timeout, message)
        })
    }

    /// The same, if one is to be had at once.
    pub(crate) fn try_take(self: &Arc<Self>, talk: &Arc<Talk>) -> Option<Loan> {
        let loan = self.lend(talk);
        if loan.is_some() {
            return loan;
        }
        self.take_back();
        self.lend(talk)
    }

    fn lend(self: &Arc<Self>, talk: &Arc<Talk>) -> Option<Loan> {
        let mut state = self.lock();
        if state.holders.len() >= self.most {
            return None;
        }
        state.numbers += 1;
        let number = state.numbers;
        state.holders.insert(number, Arc::downgrade(talk));
        drop(state);
        Some(Loan { lent: Arc::clone(self), number })
    }

    /// Takes the one back that has rested longest, if any rests.
    fn take_back(&self) {
        // Looked at once the lock is given back: whoever goes meanwhile goes here, and gives a loan back.
        let holders: Vec<_> = self.lock().holders.values().filter_map(Weak::upgrade).collect();
        let resting = holders.iter().filter_map(|holder| Some((holder.rests_since()?, holder)));
        if let Some((_, holder)) = resting.min_by_key(|(since, _)| *since) {
            holder.give_back();
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.lent.lock().holders.remove(&self.number);
    }
}
