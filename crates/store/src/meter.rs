//! How much work the evaluation of filters may be, and where it is done.
//!
//! Evaluation counts the octets it looks at, once for each assertion that looks at them ([`Matcher::evaluate_with`]), so
//! that its work is bounded whatever a filter and an entry are: one search of many parts on one long value would else
//! hold a thread for minutes. A search has a turn's worth of it; a candidate that takes more is looked at on a thread
//! apart, where time and abandonment are looked at as it goes on. What has to be answered at once has a budget.
//!
//! [`Matcher::evaluate_with`]: flext_ldap_proto::filter::Matcher::evaluate_with

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use flext_ldap_proto::result::{LdapResult, ResultCode};
use tokio::time::Instant;

use crate::{shares::Place, tables::Failure};

/// Octets of one turn: a few milliseconds.
const TURN: u64 = 4 << 20;

/// Octets of what has to be answered at once.
const BUDGET: u64 = 64 << 20;

/// What looking at one row costs besides its octets.
pub(crate) const ROW: usize = 16;

/// Counts work, and ends it. What has ended stays so.
#[derive(Debug)]
pub(crate) struct Meter {
    spent: AtomicU64,
    has_ended: AtomicBool,
    bound: Bound,
}

#[derive(Debug)]
enum Bound {
    /// So many octets.
    Octets { most: u64, until: Option<Instant> },
    /// A time, and that somebody waits for the outcome; meanwhile others have their turns.
    Clock { until: Option<Instant>, aside: Aside },
}

/// What work on a thread apart looks at as it goes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aside {
    /// Whether nobody waits for it any more.
    pub(crate) is_abandoned: Arc<AtomicBool>,
    /// Where it is done.
    pub(crate) place: Option<Arc<Place>>,
}

impl Meter {
    const fn new(bound: Bound) -> Self {
        Self { spent: AtomicU64::new(0), has_ended: AtomicBool::new(false), bound }
    }

    /// For one turn of a search.
    pub(crate) const fn turn(until: Option<Instant>) -> Self {
        Self::new(Bound::Octets { most: TURN, until })
    }

    /// For what is answered at once.
    pub(crate) const fn budget() -> Self {
        Self::new(Bound::Octets { most: BUDGET, until: None })
    }

    /// For what is bounded otherwise.
    pub(crate) const fn unbounded() -> Self {
        Self::new(Bound::Octets { most: u64::MAX, until: None })
    }

    /// For a thread apart.
    pub(crate) const fn apart(until: Option<Instant>, aside: Aside) -> Self {
        Self::new(Bound::Clock { until, aside })
    }

    /// To be called before so many octets are looked at. Says whether they may be.
    pub(crate) fn spend(&self, octets: usize) -> bool {
        if self.has_ended() {
            return false;
        }
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        let before = self.spent.fetch_add(octets, Ordering::Relaxed);
        let spent = before.saturating_add(octets);
        let is_late = |until: &Option<Instant>| until.is_some_and(|until| Instant::now() >= until);
        // Clocks are looked at every 64 KiB.
        let looks = before >> 16 != spent >> 16;
        let ends = match &self.bound {
            Bound::Octets { most, until } => spent > *most || (looks && is_late(until)),
            Bound::Clock { until, aside } => {
                if looks && let Some(place) = &aside.place {
                    place.give_way();
                }
                looks && (aside.is_abandoned.load(Ordering::Relaxed) || is_late(until))
            }
        };
        if ends {
            self.has_ended.store(true, Ordering::Relaxed);
        }
        !ends
    }

    /// As [`spend`](Self::spend).
    ///
    /// # Errors
    ///
    /// Why it has ended.
    pub(crate) fn look(&self, octets: usize) -> Result<(), Failure> {
        if self.spend(octets) { Ok(()) } else { Err(self.why()) }
    }

    /// Fails if work was ended, so that what came of it means nothing.
    ///
    /// # Errors
    ///
    /// Why it has ended.
    pub(crate) fn settled(&self) -> Result<(), Failure> {
        if self.has_ended() { Err(self.why()) } else { Ok(()) }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// Whether a turn was not enough, though there is time.
    pub(crate) fn needs_more(&self) -> bool {
        self.has_ended() && self.is_over_octets()
    }

    /// Whether so much of a turn is spent that another candidate is left to the next.
    pub(crate) fn is_well_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed) > TURN / 4
    }

    fn is_over_octets(&self) -> bool {
        matches!(self.bound, Bound::Octets { most, .. } if self.spent.load(Ordering::Relaxed) > most)
    }

    fn why(&self) -> Failure {
        if self.is_over_octets() {
            return Failure::refused(
                ResultCode::ADMIN_LIMIT_EXCEEDED,
                "a filter compares more than is done in one step; give it fewer parts, or ask in several requests",
            );
        }
        Failure::Refused(LdapResult::new(ResultCode::TIME_LIMIT_EXCEEDED))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn work_ends_by_octets_by_time_and_by_abandonment() {
        let turn = Meter::turn(None);
        assert!(turn.spend(4 << 20) && !turn.has_ended() && turn.is_well_spent());
        assert!(!turn.spend(1) && turn.needs_more());
        assert!(!turn.spend(0), "what has ended stays so");
        let Err(Failure::Refused(result)) = turn.settled() else { panic!("it was not refused") };
        assert_eq!(result.code, ResultCode::ADMIN_LIMIT_EXCEEDED);

        let late = Meter::apart(Some(Instant::now() - Duration::from_secs(1)), Aside::default());
        assert!(late.spend(65_535), "clocks are not looked at for little");
        assert!(!late.spend(1) && !late.needs_more());
        let Err(Failure::Refused(result)) = late.look(1) else { panic!("it was not refused") };
        assert_eq!(result.code, ResultCode::TIME_LIMIT_EXCEEDED);

        let aside = Aside::default();
        let apart = Meter::apart(None, aside.clone());
        assert!(apart.spend(1 << 40));
        aside.is_abandoned.store(true, Ordering::Relaxed);
        assert!(!apart.spend(1 << 16));
    }
}
