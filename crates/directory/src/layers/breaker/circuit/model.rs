//! Every state a small circuit can get into, found by trying everything in each of them.
//!
//! Small: a window of two parts, two questions, at most two calls at once and two asked in one tick. What happens in a tick
//! is any order of asking, ending and waiting. What must hold is checked on every step; that a circuit closes again
//! once the server is well is checked from every state.

use std::collections::{HashSet, VecDeque};

use super::*;

const PARTS: usize = 2;
const QUESTIONS: [u64; 2] = [1, 2];
const CHANCES: [u32; 2] = [0, u32::MAX];
const VERDICTS: [Verdict; 5] =
    [Verdict::Good, Verdict::Failed, Verdict::Doubtful, Verdict::Late, Verdict::Nothing];
const AT_ONCE: usize = 2;
const PER_TICK: u32 = 2;

fn rules() -> Rules {
    Rules { window: 2, minimum: 2, percent: 60, shortest: 2, longest: 4, probes: 2, patience: 2 }
}

/// A circuit, the calls that are out, and what is needed to judge it without looking into it.
#[derive(Clone, Debug)]
struct World {
    circuit: Circuit<PARTS>,
    now: u64,
    out: Vec<Ticket>,
    asked: u32,
    /// Calls that ended while it was closed, with the tick they ended in.
    ended: Vec<(u64, Verdict, u64)>,
}

/// What decides about the future of a world. Times count from now, and a call of an earlier generation is like any other.
#[derive(Eq, Hash, PartialEq)]
struct Key {
    phase: Phase,
    window: Vec<(u64, Bucket)>,
    out: Vec<(bool, bool, bool, u64)>,
    asked: u32,
    grown: u32,
    closed: u64,
}

impl World {
    fn key(&self) -> Key {
        let Circuit { phase, generation, last_good, grown, closed_at, .. } = self.circuit;
        let phase = match phase {
            Phase::Open { until } => Phase::Open { until: until.saturating_sub(self.now) },
            Phase::HalfOpen { out, good, next, doubt } => {
                Phase::HalfOpen { out, good, next: next.saturating_sub(self.now), doubt }
            }
            Phase::Closed => Phase::Closed,
        };
        let part = self.circuit.part(self.now);
        let live = self.circuit.live(self.now);
        let mut window: Vec<_> =
            live.map(|bucket| (part - bucket.part, Bucket { part: 0, ..*bucket })).collect();
        window.sort_by_key(|(age, _)| *age);
        let mut out: Vec<_> = self
            .out
            .iter()
            .map(|ticket| {
                let same = ticket.generation == generation;
                let (question, started) = (ticket.question, ticket.started);
                if same {
                    (true, last_good > started, started < self.now, question)
                } else {
                    (false, false, false, 0)
                }
            })
            .collect();
        out.sort_unstable();
        // From the fourth doubling on, the time stays what it is.
        let closed = (self.now - closed_at).min(self.circuit.rules.window);
        Key { phase, window, out, asked: self.asked, grown: grown.min(4), closed }
    }

    /// Everything that can happen next.
    fn steps(&self) -> Vec<Self> {
        let mut steps = Vec::new();
        let mut waited = self.clone();
        waited.now += 1;
        waited.asked = 0;
        steps.push(waited);
        if self.out.len() < AT_ONCE && self.asked < PER_TICK {
            steps.extend(QUESTIONS.map(|question| self.ask(question)));
        }
        for index in 0..self.out.len() {
            for verdict in VERDICTS {
                let [least, most] = CHANCES;
                let ended = self.end(index, verdict, least);
                // Chance plays a part only where it opens.
                if ended.circuit.phase != self.circuit.phase {
                    steps.push(self.end(index, verdict, most));
                }
                steps.push(ended);
            }
        }
        steps
    }

    fn ask(&self, question: u64) -> Self {
        let mut next = self.clone();
        next.asked += 1;
        let asked = next.circuit.admit(self.now, question);
        match (self.circuit.phase, &asked) {
            (Phase::Closed, asked) => assert!(asked.is_ok(), "refused while closed: {self:?}"),
            (Phase::Open { until }, asked) => {
                assert_eq!(asked.is_ok(), until <= self.now, "{self:?}");
                assert!(
                    until <= self.now + self.circuit.rules.longest,
                    "open for longer than the longest: {self:?}"
                );
            }
            (Phase::HalfOpen { .. }, Ok(_)) => {}
            (Phase::HalfOpen { .. }, Err(next)) => {
                assert!(*next > self.now && *next <= self.now + self.circuit.rules.patience, "{self:?}");
            }
        }
        if let Ok(ticket) = asked {
            next.out.push(ticket);
        } else {
            assert_eq!(next.circuit.phase, self.circuit.phase, "a refusal changed something: {self:?}");
        }
        next
    }

    fn end(&self, index: usize, verdict: Verdict, chance: u32) -> Self {
        let mut next = self.clone();
        let ticket = next.out.remove(index);
        let current = ticket.generation == self.circuit.generation;
        let opened = next.circuit.report(self.now, ticket, verdict, chance);
        assert_eq!(
            opened.is_some(),
            matches!(next.circuit.phase, Phase::Open { .. }) && self.circuit.phase != next.circuit.phase
        );
        if !current {
            assert_eq!(
                self.circuit.phase, next.circuit.phase,
                "a call of another phase changed something: {self:?}"
            );
            return next;
        }
        if self.circuit.phase == Phase::Closed {
            let late = verdict == Verdict::Late;
            let verdict = match verdict {
                Verdict::Late if self.circuit.last_good > ticket.started => Verdict::Nothing,
                Verdict::Late => Verdict::Doubtful,
                verdict => verdict,
            };
            next.ended.push((self.now, verdict, ticket.question));
            let (failed, all) = next.plain_count();
            let enough =
                all >= self.circuit.rules.minimum && failed * 100 >= self.circuit.rules.percent * all;
            let bad = matches!(verdict, Verdict::Failed | Verdict::Doubtful);
            assert_eq!(opened.is_some(), enough && bad && failed > 0, "late {late}: {self:?} {verdict:?}");
            if let Some(count) = opened {
                assert_eq!((count.failed, count.all), (failed, all), "{self:?}");
            }
        }
        match (self.circuit.phase, next.circuit.phase) {
            (Phase::Closed, Phase::HalfOpen { .. })
            | (Phase::Open { .. }, Phase::Closed | Phase::HalfOpen { .. }) => {
                panic!("the end of a call went from {self:?} to {next:?}");
            }
            (Phase::HalfOpen { good, .. }, Phase::Closed) => {
                assert_eq!((verdict, good + 1), (Verdict::Good, self.circuit.rules.probes), "{self:?}");
            }
            (Phase::HalfOpen { doubt, .. }, Phase::Open { .. }) => {
                let other = doubt.is_some_and(|doubt| doubt != ticket.question);
                assert!(verdict == Verdict::Failed || other, "one question opened it: {self:?} {verdict:?}");
            }
            _ => {}
        }
        if let Phase::Open { until } = next.circuit.phase
            && opened.is_some()
        {
            let least = self.circuit.rules.shortest / 2;
            assert!((self.now + least..=self.now + self.circuit.rules.longest).contains(&until), "{next:?}");
        }
        if next.circuit.phase != Phase::Closed || self.circuit.phase != Phase::Closed {
            next.ended.clear();
        }
        next
    }

    /// What the window holds, from a list of all that happened.
    fn plain_count(&self) -> (u32, u32) {
        let live = |at: &u64| self.now - at < PARTS as u64;
        let seen: Vec<_> = self.ended.iter().filter(|(at, ..)| live(at)).collect();
        let of = |wanted| seen.iter().filter(|(_, verdict, _)| *verdict == wanted).count() as u32;
        let questions: HashSet<_> = seen
            .iter()
            .filter(|(_, verdict, _)| *verdict == Verdict::Doubtful)
            .map(|(.., question)| *question)
            .collect();
        let doubtful = if questions.len() > 1 { of(Verdict::Doubtful) } else { 0 };
        let failed = of(Verdict::Failed) + doubtful;
        (failed, failed + of(Verdict::Good))
    }

    /// Whether it closes if the calls that are out never end and all others are answered at once.
    fn recovers(&self) -> bool {
        let mut world = self.clone();
        let rules = world.circuit.rules;
        for _ in 0..=rules.longest + rules.patience * u64::from(rules.probes + 1) {
            while let Ok(ticket) = world.circuit.admit(world.now, 1) {
                if world.circuit.phase == Phase::Closed {
                    return true;
                }
                world.circuit.report(world.now, ticket, Verdict::Good, u32::MAX);
            }
            world.now += 1;
        }
        false
    }
}

#[test]
fn every_state_of_a_small_circuit() {
    let start =
        World { circuit: Circuit::new(rules()), now: 1, out: Vec::new(), asked: 0, ended: Vec::new() };
    let (mut seen, mut open) = (HashSet::from([start.key()]), VecDeque::from([start]));
    let (mut steps, mut closed, mut opened, mut half) = (0_u64, 0_u64, 0_u64, 0_u64);
    while let Some(world) = open.pop_front() {
        match world.circuit.phase {
            Phase::Closed => closed += 1,
            Phase::Open { .. } => opened += 1,
            Phase::HalfOpen { .. } => half += 1,
        }
        assert!(world.recovers(), "it never closes: {world:?}");
        for mut next in world.steps() {
            steps += 1;
            next.ended.retain(|(at, ..)| next.now - at < PARTS as u64);
            if seen.insert(next.key()) {
                open.push_back(next);
            }
        }
    }
    println!(
        "breaker: {} states ({closed} closed, {opened} open, {half} half open), {steps} steps",
        seen.len()
    );
    assert!(closed > 1_000 && opened > 100 && half > 1_000, "the model does not get around");
}

/// One question that fails for ever does not open a circuit, and one that is slow among others does not.
#[test]
fn what_does_not_open_it() {
    let table: &[(&str, Verdict, bool)] =
        &[("one doubtful question", Verdict::Doubtful, false), ("one that times out", Verdict::Late, true)];
    for (name, verdict, others) in table {
        let mut circuit = Circuit::<PARTS>::new(rules());
        for now in 1..1_000 {
            let ticket = circuit.admit(now, 7).unwrap();
            if *others {
                let other = circuit.admit(now, now).unwrap();
                circuit.report(now + 1, other, Verdict::Good, 0);
            }
            assert_eq!(circuit.report(now + 1, ticket, *verdict, 0), None, "{name} at {now}");
        }
        assert_eq!(circuit.phase(), Phase::Closed, "{name}");
    }
}

#[test]
fn the_time_grows_and_shrinks_again() {
    let rules = Rules { shortest: 100, longest: 450, window: 1_000, probes: 1, ..rules() };
    let mut circuit = Circuit::<PARTS>::new(rules);
    let fail = |circuit: &mut Circuit<PARTS>, now: u64| -> u64 {
        loop {
            let ticket = circuit.admit(now, now).unwrap();
            circuit.report(now, ticket, Verdict::Failed, u32::MAX);
            if let Phase::Open { until } = circuit.phase() {
                return until - now;
            }
        }
    };
    let mut now = 1;
    for wanted in [100, 200, 400, 450, 450] {
        let time = fail(&mut circuit, now);
        assert_eq!(time, wanted);
        now += time;
    }
    // It was closed for a moment only: that is the same trouble still.
    let ticket = circuit.admit(now, 1).unwrap();
    circuit.report(now, ticket, Verdict::Good, 0);
    assert_eq!(circuit.phase(), Phase::Closed);
    assert_eq!(fail(&mut circuit, now + 999), 450);
    // It was closed for a window: that is another trouble.
    now += 999 + 450;
    let ticket = circuit.admit(now, 1).unwrap();
    circuit.report(now, ticket, Verdict::Good, 0);
    assert_eq!(fail(&mut circuit, now + 1_000), 100);
}
