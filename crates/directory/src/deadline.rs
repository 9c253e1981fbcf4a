//! Until when somebody waits.

use std::time::Duration;

use tokio::time::Instant;

/// Until when the caller waits for the directory.
///
/// For a search it bounds the time spent waiting for the directory: while the caller holds what was delivered and does
/// not ask for more, the time does not count.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Deadline(Instant);

impl Deadline {
    /// This long from now.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        let now = Instant::now();
        // A caller may say "for ever" with Duration::MAX; thirty years is that.
        Self(now.checked_add(time).unwrap_or_else(|| now + Duration::from_secs(30 * 365 * 86_400)))
    }

    /// At this instant.
    #[must_use]
    pub const fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The instant.
    #[must_use]
    pub const fn instant(self) -> Instant {
        self.0
    }

    /// How long there is still; zero once it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    #[must_use]
    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }

    /// The earlier of this and another one.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        self.min(other)
    }
}
