//! How a member of a set is, as a state machine without clock, lock or server: what is heard goes in, what to think of
//! the member comes out.
//!
//! Operations give hints, probes decide. An operation that failed makes a member suspect, which takes it out of the
//! first choice until a probe has looked, some milliseconds later: so one caller's broken search cannot condemn a server,
//! and a dead one is left at once all the same. Only many slow answers count without a probe, since a server can be slow
//! for operations and quick for probes.

/// Points at which a member counts as slow. A slow answer is three points, a quick one takes one away, so that eight slow
/// ones in a row do it, or any run with more than a quarter of them, and one slow search among quick ones does not.
const SLOW_AT: u8 = 24;
const SLOW_ANSWER: u8 = 3;
/// Quick probes in a row after which a slow member is well again.
const QUICK_PROBES: u8 = 3;
/// Good probes in a row after which it is forgotten that a member was sick before.
const STEADY_AT: u8 = 3;
/// Relapses that are told apart.
const MOST_RELAPSES: u8 = 5;

/// What a set thinks of a member, best first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "who draws it must draw each")]
pub enum MemberHealth {
    /// It answers.
    Well,
    /// An operation on it failed; a probe is on its way to find out.
    Suspect,
    /// It answers, but much later than the others or than is bearable.
    Slow,
    /// It has said that it is busy or unavailable. Writes go to it as before.
    Busy,
    /// It did not answer the last probe.
    Down,
}

/// What is heard of a member.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Heard {
    /// An operation was answered.
    Answer(Pace),
    /// An operation was answered with busy or unavailable.
    Busy,
    /// An operation was not answered, and that may be the member's fault.
    Failure,
    /// An operation was not answered in all the time that would have made its answer a slow one.
    Late,
    /// The member said that it is well.
    Probe(Pace),
    /// It did not say so.
    ProbeFailure,
}

/// How quick an answer was, against the bar of the moment.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Pace {
    /// Below half of the bar.
    Quick,
    /// Below the bar, but not by much: not slow enough to be taken out, not quick enough to come back.
    Middling,
    Slow,
}

/// The state.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Health {
    state: State,
    /// How often the member fell sick soon after it had come back.
    relapses: u8,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum State {
    /// `steady`: good probes since it was sick.
    Well {
        points: u8,
        steady: u8,
    },
    Suspect {
        points: u8,
        steady: u8,
    },
    Slow {
        quick: u8,
    },
    Busy,
    Down,
}

impl Health {
    /// A member of which nothing has been heard is taken to be well.
    pub(crate) const NEW: Self = Self { state: State::Well { points: 0, steady: STEADY_AT }, relapses: 0 };

    pub(crate) const fn class(self) -> MemberHealth {
        match self.state {
            State::Well { .. } => MemberHealth::Well,
            State::Suspect { .. } => MemberHealth::Suspect,
            State::Slow { .. } => MemberHealth::Slow,
            State::Busy => MemberHealth::Busy,
            State::Down => MemberHealth::Down,
        }
    }

    /// Whether a quick answer would change nothing.
    pub(crate) const fn is_settled(self) -> bool {
        matches!(self.state, State::Well { points: 0, .. })
    }

    /// How often the pause between probes is doubled: a member that comes and goes is asked less often.
    pub(crate) const fn doublings(self) -> u32 {
        self.relapses as u32
    }

    /// Whether the next probe is wanted now.
    pub(crate) const fn wants_probe(self, heard: Heard) -> bool {
        match (self.state, heard) {
            (State::Suspect { .. }, _) => true,
            // It answered although it was given up.
            (State::Down, Heard::Answer(_)) => true,
            _ => false,
        }
    }

    pub(crate) fn hear(self, heard: Heard) -> Self {
        match (self.state, heard) {
            (State::Well { points, steady }, Heard::Answer(pace)) => self.paced(points, steady, pace),
            (State::Well { points, steady }, Heard::Probe(pace)) => {
                // While its answers are slow a member is not steady, however quick its probes.
                let more = u8::from(points == 0);
                self.paced(points, steady.saturating_add(more).min(STEADY_AT), pace)
            }
            (State::Well { points, steady }, Heard::Failure) => {
                Self { state: State::Suspect { points, steady }, ..self }
            }
            // A failure, and as slow as an answer can be: a server may let operations hang and answer probes.
            (State::Well { points, steady } | State::Suspect { points, steady }, Heard::Late) => {
                match points.saturating_add(SLOW_ANSWER) {
                    SLOW_AT.. => self.fallen(State::Slow { quick: 0 }, steady),
                    points => Self { state: State::Suspect { points, steady }, ..self },
                }
            }
            // The probe decides, not the answers to what was asked before.
            (State::Suspect { .. }, Heard::Answer(_) | Heard::Failure) => self,
            (State::Suspect { points, steady }, Heard::Probe(Pace::Slow)) => {
                self.paced(points, steady, Pace::Slow)
            }
            // It is there; that its answers were slow is not forgotten by that.
            (State::Suspect { points, steady }, Heard::Probe(_)) => {
                Self { state: State::Well { points, steady }, ..self }
            }
            (State::Well { steady, .. } | State::Suspect { steady, .. }, Heard::Busy) => {
                self.fallen(State::Busy, steady)
            }
            (State::Well { steady, .. } | State::Suspect { steady, .. }, Heard::ProbeFailure) => {
                self.fallen(State::Down, steady)
            }
            (State::Slow { .. }, Heard::Probe(Pace::Quick)) => self.quicker(),
            (State::Slow { .. }, Heard::Probe(Pace::Middling | Pace::Slow)) => {
                Self { state: State::Slow { quick: 0 }, ..self }
            }
            (State::Busy | State::Down, Heard::Probe(Pace::Quick | Pace::Middling)) => {
                Self { state: State::Well { points: 0, steady: 0 }, ..self }
            }
            (State::Busy | State::Down, Heard::Probe(Pace::Slow)) => {
                Self { state: State::Slow { quick: 0 }, ..self }
            }
            (State::Slow { .. }, Heard::Busy) => Self { state: State::Busy, ..self },
            (State::Slow { .. } | State::Busy, Heard::ProbeFailure) => Self { state: State::Down, ..self },
            // The last resort was asked: a probe will tell.
            (State::Slow { .. } | State::Busy | State::Down, _) => self,
        }
    }

    /// After one more answer of this pace.
    fn paced(self, points: u8, steady: u8, pace: Pace) -> Self {
        let points = match pace {
            Pace::Quick | Pace::Middling => points.saturating_sub(1),
            Pace::Slow => points.saturating_add(SLOW_ANSWER),
        };
        if points >= SLOW_AT {
            return self.fallen(State::Slow { quick: 0 }, steady);
        }
        Self { state: State::Well { points, steady }, ..self }
    }

    fn fallen(self, state: State, steady: u8) -> Self {
        let relapses =
            if steady >= STEADY_AT { 0 } else { self.relapses.saturating_add(1).min(MOST_RELAPSES) };
        Self { state, relapses }
    }

    fn quicker(self) -> Self {
        let State::Slow { quick } = self.state else { return self };
        let state = match quick.saturating_add(1) {
            QUICK_PROBES.. => State::Well { points: 0, steady: 0 },
            quick => State::Slow { quick },
        };
        Self { state, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashSet, VecDeque};

    use super::*;

    const ALL: [Heard; 10] = [
        Heard::Answer(Pace::Quick),
        Heard::Answer(Pace::Middling),
        Heard::Answer(Pace::Slow),
        Heard::Busy,
        Heard::Failure,
        Heard::Late,
        Heard::Probe(Pace::Quick),
        Heard::Probe(Pace::Middling),
        Heard::Probe(Pace::Slow),
        Heard::ProbeFailure,
    ];

    /// Every state that can be reached at all.
    fn reachable() -> HashSet<Health> {
        let (mut seen, mut queue) = (HashSet::from([Health::NEW]), VecDeque::from([Health::NEW]));
        while let Some(health) = queue.pop_front() {
            for heard in ALL {
                let next = health.hear(heard);
                if seen.insert(next) {
                    queue.push_back(next);
                }
            }
        }
        seen
    }

    #[test]
    fn whatever_happens_the_rules_hold() {
        let states = reachable();
        println!("health of a member: {} states, {} transitions", states.len(), states.len() * ALL.len());
        // A change of the machine changes this on purpose.
        assert_eq!(states.len(), EXPECTED_STATES);
        for health in states {
            let class = health.class();
            // A probe that fails condemns, from anywhere.
            assert_eq!(health.hear(Heard::ProbeFailure).class(), MemberHealth::Down, "{health:?}");
            // What fails on an operation never condemns by itself, and never heals.
            let failed = health.hear(Heard::Failure);
            match class {
                MemberHealth::Well => assert_eq!(failed.class(), MemberHealth::Suspect),
                _ => assert_eq!(failed, health, "{health:?}"),
            }
            // Whoever becomes or stays suspect is asked at once, and no answer to an operation ends it.
            for heard in ALL {
                let next = health.hear(heard);
                assert!(
                    next.class() != MemberHealth::Suspect || next.wants_probe(heard),
                    "{health:?} {heard:?}"
                );
            }
            if class == MemberHealth::Suspect {
                assert_eq!(health.hear(Heard::Answer(Pace::Quick)), health);
            }
            // Operations answered quickly make nobody worse, and nobody who is sick well.
            let answered = health.hear(Heard::Answer(Pace::Quick));
            assert_eq!(answered.class(), class, "{health:?}");
            // From everywhere there is a way back, of at most three quick probes.
            let mut healing = health;
            for _ in 0..QUICK_PROBES {
                healing = healing.hear(Heard::Probe(Pace::Quick));
            }
            assert_eq!(healing.class(), MemberHealth::Well, "{health:?}");
            // And from there a bounded number of good probes forgets that there was anything.
            for _ in 0..SLOW_AT {
                healing = healing.hear(Heard::Probe(Pace::Quick));
            }
            assert_eq!(healing.hear(Heard::ProbeFailure).doublings(), 0, "{health:?}");
            assert!(healing.is_settled());
            // What is settled does not change by quick answers, so they need not be told to it.
            if health.is_settled() {
                assert_eq!(answered, health);
            }
            // A slow member comes back by quick probes only: that is what keeps it from coming and going.
            if class == MemberHealth::Slow {
                for heard in ALL.into_iter().filter(|heard| *heard != Heard::Probe(Pace::Quick)) {
                    assert_ne!(health.hear(heard).class(), MemberHealth::Well, "{health:?} {heard:?}");
                }
            }
            assert!(health.doublings() <= u32::from(MOST_RELAPSES));
        }
    }

    /// How many there are.
    const EXPECTED_STATES: usize = 1_182;

    fn after(heard: impl IntoIterator<Item = Heard>) -> Health {
        heard.into_iter().fold(Health::NEW, Health::hear)
    }

    #[test]
    fn one_slow_answer_among_quick_ones_is_no_sickness() {
        let (slow, quick) = (Heard::Answer(Pace::Slow), Heard::Answer(Pace::Quick));
        let mixed = (0..1_000).flat_map(|_| [slow, quick, quick, quick]);
        assert_eq!(after(mixed).class(), MemberHealth::Well);
        let more = (0..1_000).flat_map(|_| [slow, quick, quick]);
        assert_eq!(after(more).class(), MemberHealth::Slow);
        assert_eq!(after([slow; 7]).class(), MemberHealth::Well);
        assert_eq!(after([slow; 8]).class(), MemberHealth::Slow);
        // Operations that hang, and a probe that is good after each.
        let hangs = |times| after((0..times).flat_map(|_| [Heard::Late, Heard::Probe(Pace::Quick)]));
        assert_eq!(hangs(7).class(), MemberHealth::Well);
        assert_eq!(hangs(8).class(), MemberHealth::Slow);
    }

    #[test]
    fn who_comes_and_goes_is_asked_less_and_less_often_until_steady() {
        let (good, bad) = (Heard::Probe(Pace::Quick), Heard::ProbeFailure);
        assert_eq!(after([bad]).doublings(), 0);
        assert_eq!(after([bad, good, bad]).doublings(), 1);
        assert_eq!(after([bad, good, bad, good, good, bad]).doublings(), 2);
        assert_eq!(after((0..40).flat_map(|_| [bad, good])).doublings(), 5);
        assert_eq!(after([bad, good, bad, good, good, good, good, bad]).doublings(), 0);
    }
}
