//! Which member an operation goes to: pure, so that it can be held to its rules by any input.

use super::health::MemberHealth;

/// How a set chooses among members that are equally well and of the same priority.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Choice {
    /// The first one, in the order they were added: failover. Each operation is routed anew, so they come back to the
    /// first by themselves as soon as it is well.
    #[default]
    InOrder,
    /// One after the other.
    RoundRobin,
    /// The one with the fewest operations in flight.
    Fewest,
    /// The one whose probes and openings take the least time: the nearest.
    Nearest,
    /// Of two picked at random, the one that answers sooner, by a moving average of its latency times what it has to
    /// do. Spreads load by what each can bear, without all running to the same one.
    Latency,
    /// At random, in proportion to their weights (RFC 2782).
    Weighted,
}

/// Where a member stands in its set.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "what an SRV record says")]
pub struct Place {
    /// Members of a higher number are used when none of a lower one is well.
    pub priority: u16,
    /// The share of the load among those of the same priority, for [`Choice::Weighted`].
    pub weight: u16,
}

impl Default for Place {
    /// The first priority, and the same weight for all.
    fn default() -> Self {
        Self { priority: 0, weight: 1 }
    }
}

/// What is looked at in a member.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Sight {
    pub(super) health: MemberHealth,
    pub(super) place: Place,
    pub(super) load: usize,
    /// Microseconds, as are those below.
    pub(super) latency: u64,
    pub(super) nearness: u64,
}

/// Chances of one choice: where the turn stands, and a random number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lot {
    pub(super) turn: usize,
    pub(super) random: u64,
}

/// The best of `count` members but for those already tried. The better health goes first, then the lower priority, then
/// `choice` decides.
pub(super) fn choose(
    choice: Choice,
    count: usize,
    see: impl Fn(usize) -> Option<Sight>,
    is_write: bool,
    lot: Lot,
) -> Option<usize> {
    let rank = |sight: &Sight| {
        // Busy is said to reads.
        let health = match sight.health {
            MemberHealth::Busy if is_write => MemberHealth::Well,
            health => health,
        };
        (health, sight.place.priority)
    };
    let seen = || (0..count).filter_map(|index| Some((index, see(index)?)));
    let (first, best) = seen().map(|(index, sight)| (index, rank(&sight))).min_by_key(|(_, rank)| *rank)?;
    // Health and load change under this; then the first of the first look is good enough.
    let equals = || seen().filter(move |(_, sight)| rank(sight) == best);
    let many = equals().count();
    let nth = |n: usize| equals().nth(n).map(|(index, _)| index);
    // Where nothing tells two apart they take turns.
    let start = lot.turn.checked_rem(many).unwrap_or(0);
    let least = |of: fn(&Sight) -> u64| {
        let turned = equals().skip(start).chain(equals().take(start));
        turned.min_by_key(|(_, sight)| of(sight)).map(|(index, _)| index)
    };
    let chosen = match choice {
        Choice::InOrder => Some(first),
        Choice::RoundRobin => nth(start),
        Choice::Fewest => least(|sight| sight.load as u64),
        Choice::Nearest => least(|sight| sight.nearness),
        Choice::Latency => quicker_of_two(equals, many, lot.random),
        Choice::Weighted => by_weight(equals, lot.random),
    };
    chosen.or(Some(first))
}

/// The power of two choices.
fn quicker_of_two<I: Iterator<Item = (usize, Sight)>>(
    equals: impl Fn() -> I,
    many: usize,
    random: u64,
) -> Option<usize> {
    let below = |random: u64, bound: usize| {
        usize::try_from(random.checked_rem(bound as u64).unwrap_or(0)).unwrap_or(0)
    };
    let one = below(random & 0xffff_ffff, many);
    // Another one: so many further on, round the corner.
    let step = below(random >> 32, many.saturating_sub(1)).saturating_add(1);
    let other = one.saturating_add(step).checked_rem(many).unwrap_or(0);
    let (one, other) = (equals().nth(one)?, equals().nth(other)?);
    let cost = |sight: &Sight| sight.latency.max(1).saturating_mul(sight.load as u64 + 1);
    Some(if cost(&other.1) < cost(&one.1) { other.0 } else { one.0 })
}

/// The selection of RFC 2782: a running sum over the weights, those of weight 0 first, and a number up to all of it.
fn by_weight<I: Iterator<Item = (usize, Sight)>>(equals: impl Fn() -> I, random: u64) -> Option<usize> {
    let sum: u64 = equals().map(|(_, sight)| u64::from(sight.place.weight)).sum();
    let number = random.checked_rem(sum + 1).unwrap_or(0);
    if number == 0 && sum > 0 {
        // Those without a weight share this one chance; where there are none it is the first one's.
        if let Some((index, _)) = equals().find(|(_, sight)| sight.place.weight == 0) {
            return Some(index);
        }
    }
    if sum == 0 {
        let many = equals().count() as u64;
        return equals().nth(usize::try_from(random.checked_rem(many)?).ok()?).map(|(index, _)| index);
    }
    let mut running = 0;
    equals()
        .filter(|(_, sight)| sight.place.weight > 0)
        .find(|(_, sight)| {
            running += u64::from(sight.place.weight);
            running >= number
        })
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEALTH: [MemberHealth; 5] = [
        MemberHealth::Well,
        MemberHealth::Suspect,
        MemberHealth::Slow,
        MemberHealth::Busy,
        MemberHealth::Down,
    ];
    const CHOICES: [Choice; 6] = [
        Choice::InOrder,
        Choice::RoundRobin,
        Choice::Fewest,
        Choice::Nearest,
        Choice::Latency,
        Choice::Weighted,
    ];

    fn sight(health: usize, priority: u16, weight: u16, load: usize, latency: u64) -> Sight {
        let place = Place { priority, weight };
        Sight { health: HEALTH[health], place, load, latency, nearness: latency / 2 }
    }

    prop_compose! {
        fn any_sight()(
            health in 0..HEALTH.len(), priority in 0..3_u16, weight in 0..4_u16, load in 0..4_usize, latency in 0..5_u64,
        ) -> Sight {
            sight(health, priority, weight, load, latency)
        }
    }

    proptest! {
        /// The one chosen is never less well than one passed over, nor of a worse priority where they are equally well,
        /// is never one that was tried, and there is one whenever one is left.
        #[test]
        fn the_best_is_chosen(
            sights in prop::collection::vec((any_sight(), any::<bool>()), 0..8),
            choice in prop::sample::select(CHOICES.to_vec()),
            is_write in any::<bool>(),
            turn in any::<usize>(),
            random in any::<u64>(),
        ) {
            let see = |index: usize| {
                let (sight, tried): (Sight, bool) = sights[index];
                (!tried).then_some(sight)
            };
            let rank = |sight: &Sight| match sight.health {
                MemberHealth::Busy if is_write => (MemberHealth::Well, sight.place.priority),
                health => (health, sight.place.priority),
            };
            let chosen = choose(choice, sights.len(), see, is_write, Lot { turn, random });
            let left: Vec<_> = (0..sights.len()).filter_map(|index| Some((index, see(index)?))).collect();
            let Some(chosen) = chosen else {
                prop_assert!(left.is_empty());
                return Ok(());
            };
            let of_chosen = see(chosen).expect("one that was tried");
            for (_, other) in &left {
                prop_assert!(rank(&of_chosen) <= rank(other), "{of_chosen:?} before {other:?}");
            }
            let equals = || left.iter().filter(|(_, other)| rank(other) == rank(&of_chosen));
            match choice {
                Choice::InOrder => prop_assert_eq!(equals().next().map(|(index, _)| *index), Some(chosen)),
                Choice::Fewest => {
                    prop_assert!(equals().all(|(_, other)| other.load >= of_chosen.load));
                }
                Choice::Nearest => {
                    prop_assert!(equals().all(|(_, other)| other.nearness >= of_chosen.nearness));
                }
                _ => {}
            }
        }
    }

    fn shares(choice: Choice, sights: &[Sight], throws: usize) -> Vec<usize> {
        let dice = crate::chance::Dice::seeded(2782);
        let mut counts = vec![0; sights.len()];
        for turn in 0..throws {
            let lot = Lot { turn, random: dice.throw() };
            counts[choose(choice, sights.len(), |index| Some(sights[index]), false, lot).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn turns_are_taken_by_all_alike() {
        let sights = [sight(0, 0, 0, 0, 1), sight(0, 0, 0, 0, 1), sight(0, 0, 0, 0, 1), sight(0, 1, 0, 0, 1)];
        for choice in [Choice::RoundRobin, Choice::Fewest, Choice::Nearest] {
            assert_eq!(shares(choice, &sights, 300), [100, 100, 100, 0], "{choice:?}");
        }
    }

    #[test]
    fn weights_are_shares() {
        let sights =
            [sight(0, 0, 10, 0, 1), sight(0, 0, 30, 0, 1), sight(0, 0, 60, 0, 1), sight(0, 0, 0, 0, 1)];
        let counts = shares(Choice::Weighted, &sights, 100_000);
        for (count, percent) in counts.iter().zip([10, 30, 60, 1]) {
            assert!(count.abs_diff(percent * 1_000) < 1_000, "{counts:?}");
        }
        assert!(counts[3] > 0, "without a weight the chance is small, but not none: {counts:?}");
        let none = [sight(0, 0, 0, 0, 1), sight(0, 0, 0, 0, 1)];
        assert!(shares(Choice::Weighted, &none, 10_000).iter().all(|count| count.abs_diff(5_000) < 500));
    }

    #[test]
    fn of_two_the_quicker_one_is_taken() {
        let sights = [sight(0, 0, 1, 0, 1_000), sight(0, 0, 1, 0, 100), sight(0, 0, 1, 9, 100)];
        let counts = shares(Choice::Latency, &sights, 9_000);
        // The quick idle one wins each of its pairs; the other two cost the same, and the one drawn first is taken.
        assert!(counts[1].abs_diff(6_000) < 300, "{counts:?}");
        assert!(counts[0] > 1_000 && counts[2] > 1_000, "{counts:?}");
        assert_eq!(shares(Choice::Latency, &sights[..1], 10), [10]);
    }
}
