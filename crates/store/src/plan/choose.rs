//! Which parts of a list are worth reading.

use super::{Estimate, FEW, KEYS, Step};
use crate::index::{Count, Part};

/// What looking at one entry costs, in rows of an index.
const LOOK: u64 = 10;

/// So few candidates are looked at rather than narrowed.
const ENOUGH: u64 = 8;

/// Sets of three octets that are read for one part of a value, at the most.
const GRAMS: usize = 6;

/// The parts of a list: node, and what it would bring if anything is known of it.
pub(super) struct Children {
    pub(super) parts: Vec<(usize, Option<Estimate>)>,
    /// Entries there are.
    pub(super) total: u64,
}

impl Children {
    pub(super) fn intersection(mut self) -> (Step, Option<Estimate>) {
        let total = self.total.max(1);
        self.parts.retain(|(_, estimate)| estimate.is_some());
        self.parts.sort_by_key(|(_, estimate)| estimate.map(|one| (one.likely, one.cost)));
        let mut parts = self.parts.into_iter().filter_map(|(number, estimate)| Some((number, estimate?)));
        let Some((number, mut sum)) = parts.next() else { return (Step::Everything, None) };
        let mut taken = vec![number];
        for (number, estimate) in parts {
            if sum.likely <= ENOUGH {
                break;
            }
            let left = left(sum.likely, estimate.likely, total);
            // Only rows of the chunks that candidates are in are read.
            let cost = estimate.cost.min(sum.likely.max(1));
            if (sum.likely - left) * LOOK > cost * 2 {
                taken.push(number);
                sum.likely = left;
                sum.cost = sum.cost.saturating_add(cost);
            }
        }
        // What was counted is a bound; what is likely is less.
        (Step::Intersection(taken), Some(sum))
    }

    pub(super) fn union(self) -> (Step, Option<Estimate>) {
        let mut sum = Estimate::NOTHING;
        let mut taken = Vec::with_capacity(self.parts.len());
        for (number, estimate) in self.parts {
            let Some(estimate) = estimate else { return (Step::Everything, None) };
            sum.count.add(estimate.count);
            sum.likely = sum.likely.saturating_add(estimate.likely);
            sum.cost = sum.cost.saturating_add(estimate.cost);
            taken.push(number);
        }
        if taken.len() > KEYS {
            return (Step::Everything, None);
        }
        (Step::Union(taken), Some(sum))
    }
}

/// Candidates that are left when a set is known that `of` the `total` entries are in.
fn left(candidates: u64, of: u64, total: u64) -> u64 {
    let left = u128::from(candidates) * u128::from(of.min(total)) / u128::from(total);
    u64::try_from(left).unwrap_or(candidates).min(candidates)
}

/// The parts of an assertion that are read, the smallest first: one, and more as long as it is large.
pub(super) fn parts(counted: Vec<(Count, Part)>) -> Vec<Part> {
    let mut taken = Vec::with_capacity(counted.len().min(GRAMS));
    let smallest = counted.first().map(|(count, _)| *count).unwrap_or_default();
    for (count, part) in counted {
        // Parts of one value go together, so there is no telling what one more rules out.
        let worth = taken.is_empty()
            || (taken.len() < GRAMS
                && (smallest.more || smallest.entries > ENOUGH)
                && count.rows <= smallest.entries.max(FEW));
        if worth {
            taken.push(part);
        }
    }
    taken
}
