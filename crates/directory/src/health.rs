//! How well a server is, from how its last calls went: healthy, degraded, unhealthy. There is no clock, no lock and no
//! socket here; who probes, and what is done about it, is somebody else's.

mod lag;

use std::{fmt, time::Duration};

pub use self::lag::ReplicationLag;

/// Signs that are looked back on.
const WINDOW: usize = 10;

/// How well a server is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "the three of every health check")]
pub enum HealthStatus {
    /// It answers, and in time.
    Healthy,
    /// It answers late, or answers that it cannot.
    Degraded,
    /// It does not answer.
    Unhealthy,
}

impl HealthStatus {
    /// `healthy`, `degraded` or `unhealthy`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl fmt::Display for HealthStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How one call to a server, or one check of it, went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "who observes decides for each")]
pub enum HealthSign {
    /// It answered after this time. Whether the answer was yes or no does not matter.
    Answered(Duration),
    /// It answered that it cannot: `busy`, `unavailable`, `other`.
    Refused,
    /// It was not reached, or did not answer.
    Silent,
}

/// What a [`Health`] goes by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "any values are right; new ones have a default to start from")]
pub struct HealthOptions {
    /// An answer that takes longer is a sign of a degraded server. 5 s.
    pub slow: Duration,
    /// Until a server that has been slow is well again, an answer must not take longer than this. 4 s; not more than
    /// `slow`.
    pub quick: Duration,
    /// Signs in a row that settle that it is worse than thought. 3; from 1 to 10.
    pub worse_after: u32,
    /// Signs in a row that settle that it is better than thought. 3; from 1 to 10.
    pub better_after: u32,
    /// Of the last ten signs, how many settle that it is worse even if better ones are among them. 5; from 1 to 10.
    pub worse_among: u32,
}

impl Default for HealthOptions {
    fn default() -> Self {
        Self {
            slow: Duration::from_secs(5),
            quick: Duration::from_secs(4),
            worse_after: 3,
            better_after: 3,
            worse_among: 5,
        }
    }
}

/// The health of one server.
///
/// Each sign by itself says healthy, degraded or unhealthy; the first one settles the status. After that one sign
/// changes nothing. The status gets worse when as many signs in a row, or as many among the last ten, say so as the
/// options want: to the least bad thing that all of those say. It gets better when as many in a row say so: to the worst
/// thing any of them says, or to what the last ten make of it if that is worse. So a server that fails every other time
/// is not healthy, and none changes with every call.
///
/// ```
/// use std::time::Duration;
/// use flext_ldap_directory::health::{Health, HealthOptions, HealthSign, HealthStatus};
///
/// let mut health = Health::new(HealthOptions::default());
/// assert_eq!(health.status(), None, "nobody has looked yet");
/// health.observe(HealthSign::Answered(Duration::from_millis(2)));
/// health.observe(HealthSign::Silent);
/// health.observe(HealthSign::Silent);
/// assert_eq!(health.status(), Some(HealthStatus::Healthy), "two failures are not enough");
/// assert_eq!(health.observe(HealthSign::Silent), Some(HealthStatus::Unhealthy));
/// ```
#[derive(Clone, Debug)]
pub struct Health {
    options: HealthOptions,
    status: Option<HealthStatus>,
    /// What the last signs say, the latest first.
    signs: [Option<HealthStatus>; WINDOW],
}

impl Health {
    /// Of a server nobody has looked at.
    #[must_use]
    pub fn new(options: HealthOptions) -> Self {
        let within = |number: u32| number.clamp(1, WINDOW as u32);
        let options = HealthOptions {
            quick: options.quick.min(options.slow),
            worse_after: within(options.worse_after),
            better_after: within(options.better_after),
            worse_among: within(options.worse_among),
            ..options
        };
        Self { options, status: None, signs: [None; WINDOW] }
    }

    /// How it is; `None` before the first sign.
    #[must_use]
    pub const fn status(&self) -> Option<HealthStatus> {
        self.status
    }

    /// Takes in a sign. Returns the new status if that changed it.
    pub fn observe(&mut self, sign: HealthSign) -> Option<HealthStatus> {
        let says = self.says(sign);
        self.signs.rotate_right(1);
        if let Some(latest) = self.signs.first_mut() {
            *latest = Some(says);
        }
        let next = self.next(says);
        let changed = self.status != Some(next);
        self.status = Some(next);
        changed.then_some(next)
    }

    fn says(&self, sign: HealthSign) -> HealthStatus {
        let limit = match self.status {
            None | Some(HealthStatus::Healthy) => self.options.slow,
            Some(_) => self.options.quick,
        };
        match sign {
            HealthSign::Answered(time) if time <= limit => HealthStatus::Healthy,
            HealthSign::Answered(_) | HealthSign::Refused => HealthStatus::Degraded,
            HealthSign::Silent => HealthStatus::Unhealthy,
        }
    }

    fn next(&self, latest: HealthStatus) -> HealthStatus {
        let Some(status) = self.status else { return latest };
        if let Some(worse) = self.settled_worse(status) {
            return worse;
        }
        let last = self.last(self.options.better_after);
        let enough = last.clone().count() as u32 == self.options.better_after;
        match last.max().filter(|worst| enough && *worst < status) {
            // No better than the last ten would have it be.
            Some(better) => self.settled_worse(better).unwrap_or(better).min(status),
            None => status,
        }
    }

    /// What it is at best, if that is worse than `status`.
    fn settled_worse(&self, status: HealthStatus) -> Option<HealthStatus> {
        let among = |limit: HealthStatus| {
            let bad = self.signs.iter().flatten().filter(|sign| **sign >= limit).count();
            bad as u32 >= self.options.worse_among
        };
        let in_a_row = |limit: HealthStatus| {
            self.last(self.options.worse_after).filter(|sign| *sign >= limit).count() as u32
                == self.options.worse_after
        };
        [HealthStatus::Unhealthy, HealthStatus::Degraded]
            .into_iter()
            .find(|limit| *limit > status && (among(*limit) || in_a_row(*limit)))
    }

    fn last(&self, number: u32) -> impl Iterator<Item = HealthStatus> + Clone {
        self.signs.iter().take(number as usize).flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashSet, VecDeque};

    use super::{HealthStatus::*, *};

    const QUICK: HealthSign = HealthSign::Answered(Duration::from_millis(3));
    const SLOW: HealthSign = HealthSign::Answered(Duration::from_millis(5_001));
    /// Slow enough for a server that has been slow, quick enough for one that has not.
    const BETWEEN: HealthSign = HealthSign::Answered(Duration::from_millis(4_500));

    /// The status after each sign.
    fn after(signs: &[HealthSign]) -> Vec<HealthStatus> {
        let mut health = Health::new(HealthOptions::default());
        signs
            .iter()
            .map(|sign| {
                let before = health.status();
                let changed = health.observe(*sign);
                assert_eq!(changed.is_some(), before != health.status());
                health.status().unwrap()
            })
            .collect()
    }

    #[test]
    fn what_signs_make_of_it() {
        use HealthSign::{Refused, Silent};
        let table: &[(&str, &[HealthSign], &[HealthStatus])] = &[
            ("the first settles", &[Silent], &[Unhealthy]),
            ("a slow first", &[SLOW], &[Degraded]),
            ("two are not enough", &[QUICK, Silent, Silent, QUICK], &[Healthy; 4]),
            ("three are", &[QUICK, Silent, Silent, Silent], &[Healthy, Healthy, Healthy, Unhealthy]),
            (
                "the least bad of three",
                &[QUICK, Silent, SLOW, Silent],
                &[Healthy, Healthy, Healthy, Degraded],
            ),
            ("busy is degraded", &[QUICK, Refused, Refused, Refused], &[Healthy, Healthy, Healthy, Degraded]),
            (
                "every other one",
                &[QUICK, Silent, QUICK, Silent, QUICK, Silent, QUICK, Silent, QUICK, Silent],
                &[Healthy, Healthy, Healthy, Healthy, Healthy, Healthy, Healthy, Healthy, Healthy, Unhealthy],
            ),
            (
                "three in a row make it better",
                &[Silent, QUICK, QUICK, QUICK],
                &[Unhealthy, Unhealthy, Unhealthy, Healthy],
            ),
            (
                "to the worst of the three",
                &[Silent, QUICK, SLOW, QUICK],
                &[Unhealthy, Unhealthy, Unhealthy, Degraded],
            ),
            ("between, from below", &[QUICK, BETWEEN, BETWEEN, BETWEEN], &[Healthy; 4]),
            ("between, from above", &[SLOW, BETWEEN, BETWEEN, BETWEEN], &[Degraded; 4]),
        ];
        for (name, signs, want) in table {
            assert_eq!(after(signs), *want, "{name}");
        }
    }

    /// Every state with a window of ten, of which the statuses are what counts.
    #[test]
    fn it_settles_whatever_came_before() {
        let options = HealthOptions::default();
        let start = Health::new(options);
        let mut seen = HashSet::from([(start.status, start.signs)]);
        let mut open = VecDeque::from([start]);
        while let Some(health) = open.pop_front() {
            // From every state, what goes on for ten signs is what it is.
            for (sign, want) in [(QUICK, Healthy), (SLOW, Degraded), (HealthSign::Silent, Unhealthy)] {
                let mut settling = health.clone();
                let changes = (0..WINDOW).filter(|_| settling.observe(sign).is_some()).count();
                assert_eq!(settling.status(), Some(want), "{health:?} and then {sign:?}");
                assert!(changes <= 2, "{changes} changes from {health:?} by {sign:?}");
            }
            // All statuses and the last five signs: more would be 3 to the tenth states three times.
            let signs = [QUICK, HealthSign::Refused, HealthSign::Silent];
            for sign in signs {
                let mut next = health.clone();
                next.observe(sign);
                next.signs.iter_mut().skip(6).for_each(|sign| *sign = None);
                if seen.insert((next.status, next.signs)) {
                    open.push_back(next);
                }
            }
        }
        println!("health: {} states", seen.len());
        assert!(seen.len() > 700);
    }
}
