//! What a breaker decides, without clock, lock or chance: times are given in milliseconds from some start, chance as a
//! number.
//!
//! ```text
//! closed ── enough calls, enough of them failed ──▶ open ── its time is over, somebody asks ──▶ half open
//!    ▲                                               ▲                                            │
//!    │                                               └───── a probe failed; longer than before ───┤
//!    └───────────────────────────── as many probes as wanted were answered ───────────────────────┘
//! ```
//!
//! A failure is *certain* where it says something about the server whatever was asked (it cannot be reached), and
//! *doubtful* where the question may have been the reason (it answered `busy`, or hung up). Doubtful ones count once they
//! come from more than one question, so no question can open a circuit however often it is asked.

/// What a circuit goes by. Times in milliseconds, none of them zero; `percent` from 1 to 100.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) window: u64,
    pub(super) minimum: u32,
    pub(super) percent: u32,
    pub(super) shortest: u64,
    pub(super) longest: u64,
    pub(super) probes: u32,
    pub(super) patience: u64,
}

/// How one call went, as far as it tells of the server.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Verdict {
    /// The server answered; whatever it answered, it is there.
    Good,
    /// The server cannot be had, whatever is asked.
    Failed,
    /// It failed, perhaps because of what was asked.
    Doubtful,
    /// Nothing came in a time that should have been enough. Says nothing if somebody else was answered meanwhile.
    Late,
    /// It tells nothing: the caller left, or was too short of time, or failed before the server was asked.
    Nothing,
}

/// What a call that may be made carries to its end.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Ticket {
    pub(super) generation: u32,
    pub(super) started: u64,
    pub(super) question: u64,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Phase {
    Closed,
    /// Nobody asks before then.
    Open {
        until: u64,
    },
    /// Some ask. `out` have not come back, `good` were answered; if none comes back until `next` one more may ask.
    /// `doubt` is the question of a doubtful failure.
    HalfOpen {
        out: u32,
        good: u32,
        next: u64,
        doubt: Option<u64>,
    },
}

/// The calls that made a circuit open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Count {
    pub(super) failed: u32,
    pub(super) all: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Circuit<const BUCKETS: usize> {
    rules: Rules,
    phase: Phase,
    /// Goes up with every change of phase; what was asked in another phase is passed over.
    generation: u32,
    window: [Bucket; BUCKETS],
    last_good: u64,
    /// How many times in a row it has opened.
    grown: u32,
    closed_at: u64,
}

/// The calls that ended in one part of the window.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Bucket {
    /// Which part, counted from the start of time; 0 is none.
    pub(super) part: u64,
    pub(super) good: u32,
    pub(super) failed: u32,
    pub(super) doubtful: u32,
    /// The first doubtful question.
    pub(super) question: u64,
    /// Whether there was a second one.
    pub(super) mixed: bool,
}

impl<const BUCKETS: usize> Circuit<BUCKETS> {
    pub(super) const fn new(rules: Rules) -> Self {
        let empty = Bucket { part: 0, good: 0, failed: 0, doubtful: 0, question: 0, mixed: false };
        Self {
            rules,
            phase: Phase::Closed,
            generation: 0,
            window: [empty; BUCKETS],
            last_good: 0,
            grown: 0,
            closed_at: 0,
        }
    }

    pub(super) const fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether `question` may be asked; if not, when it is worth trying again.
    pub(super) fn admit(&mut self, now: u64, question: u64) -> Result<Ticket, u64> {
        let later = now.saturating_add(self.rules.patience);
        match &mut self.phase {
            Phase::Closed => {}
            Phase::Open { until } if now < *until => return Err(*until),
            Phase::Open { .. } => self.enter(Phase::HalfOpen { out: 1, good: 0, next: later, doubt: None }),
            Phase::HalfOpen { out, good, next, .. } => {
                if out.saturating_add(*good) < self.rules.probes {
                    *out = out.saturating_add(1);
                } else if now < *next {
                    return Err(*next);
                }
                *next = later;
            }
        }
        Ok(Ticket { generation: self.generation, started: now, question })
    }

    /// Takes in how a call went. Says so if that opened the circuit. `chance` is any number.
    pub(super) fn report(
        &mut self,
        now: u64,
        ticket: Ticket,
        verdict: Verdict,
        chance: u32,
    ) -> Option<Count> {
        if ticket.generation != self.generation {
            return None;
        }
        let verdict = match verdict {
            Verdict::Late if self.last_good > ticket.started => Verdict::Nothing,
            Verdict::Late => Verdict::Doubtful,
            verdict => verdict,
        };
        if verdict == Verdict::Good {
            self.last_good = now;
        }
        match &mut self.phase {
            Phase::Closed => {
                self.note(now, verdict, ticket.question);
                let count = self.count(now);
                let share = u64::from(count.failed).saturating_mul(100);
                let opens = matches!(verdict, Verdict::Failed | Verdict::Doubtful)
                    && count.all >= self.rules.minimum
                    && share >= u64::from(self.rules.percent).saturating_mul(u64::from(count.all))
                    && count.failed > 0;
                if !opens {
                    return None;
                }
                let again = self.grown > 0 && now < self.closed_at.saturating_add(self.rules.window);
                self.grown = if again { self.grown.saturating_add(1) } else { 1 };
                self.open(now, chance);
                Some(count)
            }
            Phase::Open { .. } => None,
            Phase::HalfOpen { out, good, doubt, .. } => {
                *out = out.saturating_sub(1);
                match verdict {
                    Verdict::Good => {
                        *good = good.saturating_add(1);
                        if *good >= self.rules.probes {
                            self.window = [Bucket::default(); BUCKETS];
                            self.closed_at = now;
                            self.enter(Phase::Closed);
                        }
                        return None;
                    }
                    Verdict::Doubtful if doubt.is_none_or(|first| first == ticket.question) => {
                        *doubt = Some(ticket.question);
                        return None;
                    }
                    Verdict::Failed | Verdict::Doubtful => {}
                    Verdict::Late | Verdict::Nothing => return None,
                }
                let count = Count { failed: 1, all: good.saturating_add(1) };
                self.grown = self.grown.saturating_add(1);
                self.open(now, chance);
                Some(count)
            }
        }
    }

    /// Opens for between a half and the whole of its time, which doubles from one opening to the next.
    fn open(&mut self, now: u64, chance: u32) {
        let doublings = self.grown.saturating_sub(1).min(32);
        let whole = self.rules.shortest.saturating_mul(1 << doublings).min(self.rules.longest);
        let half = whole / 2;
        let more = u128::from(whole - half) * u128::from(chance) / u128::from(u32::MAX);
        let time = half.saturating_add(u64::try_from(more).unwrap_or(half)).max(1);
        self.enter(Phase::Open { until: now.saturating_add(time) });
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation = self.generation.wrapping_add(1);
    }

    fn note(&mut self, now: u64, verdict: Verdict, question: u64) {
        let part = self.part(now);
        let Some(bucket) = self.window.get_mut((part % BUCKETS as u64) as usize) else { return };
        if bucket.part != part {
            *bucket = Bucket { part, ..Bucket::default() };
        }
        match verdict {
            Verdict::Good => bucket.good = bucket.good.saturating_add(1),
            Verdict::Failed => bucket.failed = bucket.failed.saturating_add(1),
            Verdict::Doubtful => {
                bucket.mixed |= bucket.doubtful > 0 && bucket.question != question;
                if bucket.doubtful == 0 {
                    bucket.question = question;
                }
                bucket.doubtful = bucket.doubtful.saturating_add(1);
            }
            Verdict::Late | Verdict::Nothing => {}
        }
    }

    fn count(&self, now: u64) -> Count {
        let (mut good, mut failed, mut doubtful) = (0_u32, 0_u32, 0_u32);
        let (mut first, mut mixed) = (None, false);
        for bucket in self.live(now) {
            good = good.saturating_add(bucket.good);
            failed = failed.saturating_add(bucket.failed);
            doubtful = doubtful.saturating_add(bucket.doubtful);
            if bucket.doubtful > 0 {
                mixed |= bucket.mixed || *first.get_or_insert(bucket.question) != bucket.question;
            }
        }
        if mixed {
            failed = failed.saturating_add(doubtful);
        }
        Count { failed, all: good.saturating_add(failed) }
    }

    /// The parts that are in the window.
    fn live(&self, now: u64) -> impl Iterator<Item = &Bucket> {
        let part = self.part(now);
        let oldest = part.saturating_sub(BUCKETS as u64 - 1).max(1);
        self.window.iter().filter(move |bucket| bucket.part >= oldest)
    }

    fn part(&self, now: u64) -> u64 {
        (now / (self.rules.window / BUCKETS as u64).max(1)).saturating_add(1)
    }
}

#[cfg(test)]
mod model;
