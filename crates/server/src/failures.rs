//! How many failures of operations are logged as errors: a disk that is full fails every write of everybody, and the log
//! may be on it. What is too many is left out, counted, and the count told with the next one.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// So many, in a while.
const MOST: u32 = 10;
const WHILE: Duration = Duration::from_secs(10);

/// What was logged lately, of all connections.
#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<Lately>);

#[derive(Debug, Default)]
struct Lately {
    since: Option<Instant>,
    logged: u32,
    left_out: u64,
}

impl Failures {
    /// Whether one more is to be logged; if so, how many were left out since the last one.
    pub(crate) fn count(&self, now: Instant) -> Option<u64> {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lately.since.is_none_or(|since| now.saturating_duration_since(since) >= WHILE) {
            (lately.since, lately.logged) = (Some(now), 0);
        }
        if lately.logged >= MOST {
            lately.left_out = lately.left_out.saturating_add(1);
            return None;
        }
        lately.logged += 1;
        Some(std::mem::take(&mut lately.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_a_few_lines_and_a_number() {
        let (failures, start) = (Failures::default(), Instant::now());
        let told: Vec<_> = (0..100).filter_map(|_| failures.count(start)).collect();
        assert_eq!(told, [0; 10]);
        assert_eq!(failures.count(start + WHILE / 2), None);
        assert_eq!(failures.count(start + WHILE), Some(91));
        assert_eq!(failures.count(start + WHILE), Some(0));
    }
}
