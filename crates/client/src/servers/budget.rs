//! How much a set may try again: a share of what it is asked, so that retries never become the load that keeps servers
//! down.

use std::sync::{Mutex, PoisonError};

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
    tokens: Mutex<(u64, Instant)>,
}

impl Budget {
    /// Full at the start: so many retries at once.
    pub(crate) fn new(retries: u32) -> Self {
        let most = u64::from(retries) * RETRY;
        Self { most, tokens: Mutex::new((most, Instant::now())) }
    }

    /// An operation was asked for.
    pub(crate) fn earn(&self) {
        let mut bucket = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.0 = bucket.0.saturating_add(OPERATION).min(self.most);
    }

    /// Whether it may be tried again.
    pub(crate) fn spend(&self) -> bool {
        let now = Instant::now();
        let mut bucket = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, since) = *bucket;
        let waited = u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX);
        let tokens = tokens.saturating_add(waited.saturating_mul(MILLISECOND)).min(self.most);
        let rest = tokens.checked_sub(RETRY);
        *bucket = (rest.unwrap_or(tokens), now);
        rest.is_some()
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
