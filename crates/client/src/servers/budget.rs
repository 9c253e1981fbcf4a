//! How much a set may try again: a share of what it is asked, so that retries never become the load that keeps servers
//! down.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::time::Instant;

/// Tokens, in thousandths: a retry costs one whole one.
const RETRY: u64 = 1_000;
/// What each operation that is asked for adds: one retry in ten operations.
const OPERATION: u64 = 100;
/// What each millisecond adds, so that a set with little to do can try again too: ten retries a second.
const MILLISECOND: u64 = 10;

/// A bucket of tokens, shared by all operations of a set.
#[derive(Debug)]
pub(crate) struct Budget {
    most: u64,
    tokens: AtomicU64,
    /// Until when the time is counted.
    counted: Mutex<Instant>,
}

impl Budget {
    /// Full at the start: so many retries at once.
    pub(crate) fn new(retries: u32) -> Self {
        let most = u64::from(retries) * RETRY;
        Self { most, tokens: AtomicU64::new(most), counted: Mutex::new(Instant::now()) }
    }

    /// An operation was asked for. The bucket is full most of the time, and this then only looks at it.
    pub(crate) fn earn(&self) {
        if self.tokens.load(Ordering::Relaxed) < self.most {
            self.add(OPERATION);
        }
    }

    /// Whether it may be tried again.
    pub(crate) fn spend(&self) -> bool {
        let now = Instant::now();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = now.saturating_duration_since(std::mem::replace(&mut *counted, now));
        drop(counted);
        self.add(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX).saturating_mul(MILLISECOND));
        let take = |tokens: u64| tokens.checked_sub(RETRY);
        self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    fn add(&self, tokens: u64) {
        let add = |there: u64| Some(there.saturating_add(tokens).min(self.most));
        // It always adds.
        let _: Result<u64, u64> = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn retries_are_a_share_of_what_is_asked() {
        let budget = Budget::new(3);
        assert_eq!((0..10).filter(|_| budget.spend()).count(), 3);
        for _ in 0..25 {
            budget.earn();
        }
        assert_eq!((0..10).filter(|_| budget.spend()).count(), 2);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!((0..10).filter(|_| budget.spend()).count(), 1);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!((0..10).filter(|_| budget.spend()).count(), 3, "no more than it holds");
    }

    #[tokio::test(start_paused = true)]
    async fn none_means_none() {
        let budget = Budget::new(0);
        budget.earn();
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert!(!budget.spend());
    }
}
