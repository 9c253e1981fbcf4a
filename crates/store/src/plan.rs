//! Which entries can match a filter, as far as the indexes tell, and which of them are worth asking.
//!
//! A filter is turned so that negation stands at leaves only: not (a and b) is not a, or not b, in three-valued logic
//! too. Then every list is an intersection or a union of what its parts come to, and a leaf is the entries under some
//! keys, or all but these where that is sure: where every entry under them matches or is undefined. A part that nothing
//! is known of stands for every entry.
//!
//! Planning counts first, and only as far as it takes to know what is small. It then reads the smallest part of an
//! intersection, and others where reading them costs less than looking at the entries they rule out. The result may
//! have entries that do not match, never too few.

mod choose;
mod evaluate;
mod explain;
mod source;

use flext_ldap_proto::filter::{Filter, Node};
use roaring::RoaringBitmap;

pub(crate) use self::explain::one_line;
pub use self::explain::{ExplainedPart, ExplainedRun, Explanation, PartUse, ScopeStrategy};
use self::{choose::Children, evaluate::Value, source::Source};
use crate::{
    context::Context,
    index::{Budget, Count, Deferred, IndexKind, Part, Span, Untold},
    meter::{Meter, ROW},
    tables::{Failure, Rows, Tables},
};

/// Rows that counting reads at most, and reading.
const COUNTED: u64 = 65_536;
const READ: u64 = 65_536;

/// Leaves of one filter that ask for a range of values: each may read much of an index. Further ones tell nothing.
const RANGES: usize = 64;

/// Keys of one union; one of more is not looked up.
const KEYS: usize = 10_000;

/// So few candidates need no better plan.
const FEW: u64 = 256;

/// How far one leaf is counted: entries, rows.
#[derive(Clone, Copy)]
struct Effort {
    entries: u64,
    rows: u64,
}

const LITTLE: Effort = Effort { entries: 2 * FEW, rows: 32 };
const MUCH: Effort = Effort { entries: u64::MAX, rows: 4_096 };

/// What was found out about one node of a filter, for whoever wants to know why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    pub(crate) told: Result<IndexKind, Option<Untold>>,
    pub(crate) keys: usize,
    pub(crate) count: Count,
    /// Whether it stands for all entries but these.
    pub(crate) but: bool,
    /// Whether it, and its opposite, is true of no entry.
    pub(crate) undefined: bool,
    pub(crate) part: PartUse,
}

/// What the indexes say to a filter.
#[derive(Debug)]
pub(crate) struct Planned {
    /// Every entry that can match is among these; `None` where it may be any.
    pub(crate) candidates: Option<RoaringBitmap>,
    /// For each node of the filter.
    pub(crate) notes: Vec<Note>,
}

/// What a node comes to.
#[derive(Debug)]
enum Step {
    Everything,
    Nothing,
    /// Entries found otherwise than by keys.
    Set {
        ids: RoaringBitmap,
        but: bool,
    },
    /// Entries under keys: of any member, of all its parts.
    Read {
        members: Vec<Vec<Part>>,
        but: bool,
    },
    /// Of these nodes, in this order.
    Intersection(Vec<usize>),
    Union(Vec<usize>),
}

/// What a node would bring.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    count: Count,
    /// Entries, also where counting stopped.
    likely: u64,
    /// Rows to read, where nothing narrows it.
    cost: u64,
}

/// A plan being made.
struct Planner<'a, T> {
    context: &'a Context,
    tables: &'a Tables<T>,
    filter: &'a Filter,
    /// What planning may spend.
    meter: &'a Meter,
    deferred: Option<Deferred>,
    /// Entries there are.
    total: u64,
    steps: Vec<Step>,
    notes: Vec<Note>,
}

/// Finds the candidates of a filter, as long as `meter` lets it.
pub(crate) fn candidates<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    filter: &Filter,
    meter: &Meter,
) -> Result<Planned, Failure> {
    let total = tables.entries()?;
    let mut planner = Planner {
        context,
        tables,
        filter,
        meter,
        deferred: None,
        total,
        steps: Vec::new(),
        notes: Vec::new(),
    };
    let little = planner.estimate(LITTLE)?;
    if little.is_some_and(|one| one.count.more || one.count.entries > FEW) {
        planner.estimate(MUCH)?;
    }
    let value = planner.evaluate()?;
    let candidates = planner.settle(value)?;
    Ok(Planned { candidates, notes: planner.notes })
}

impl<T: Rows> Planner<'_, T> {
    /// Plans every node, the last first: filters are lists in prefix order, so a node finds its children on the stack.
    fn estimate(&mut self, effort: Effort) -> Result<Option<Estimate>, Failure> {
        let nodes = self.filter.nodes();
        let negated = negations(nodes);
        let (mut budget, mut ranges) = (Budget(COUNTED), RANGES);
        let mut planned: Vec<(usize, Step, Note)> = Vec::with_capacity(nodes.len());
        // The parts whose parents are still to come: node, what it would bring, whether it is nothing.
        let mut stack: Vec<(usize, Option<Estimate>)> = Vec::new();
        self.steps.clear();
        self.notes.clear();
        for ((number, node), negated) in nodes.iter().enumerate().zip(negated).rev() {
            let (step, note, estimate) = match node {
                Node::Not => {
                    let child = stack.pop();
                    let estimate = child.and_then(|(_, estimate)| estimate);
                    (Step::Union(child.into_iter().map(|(number, _)| number).collect()), Note::LIST, estimate)
                }
                Node::And { children } | Node::Or { children } => {
                    let first = stack.len().saturating_sub(*children);
                    let mut list = Children { parts: stack.split_off(first), total: self.total };
                    // The stack has the first child on top.
                    list.parts.reverse();
                    let intersects = matches!(node, Node::And { .. }) != negated;
                    let (step, estimate) = if intersects { list.intersection() } else { list.union() };
                    (step, Note::LIST, estimate)
                }
                leaf => self.leaf(leaf, negated, effort, &mut budget, &mut ranges)?,
            };
            planned.push((number, step, note));
            stack.push((number, estimate));
        }
        planned.reverse();
        for (_, step, note) in planned {
            self.steps.push(step);
            self.notes.push(note);
        }
        self.mark();
        Ok(stack.pop().and_then(|(_, estimate)| estimate))
    }

    /// Plans a leaf.
    fn leaf(
        &mut self,
        node: &Node,
        negated: bool,
        effort: Effort,
        budget: &mut Budget,
        ranges: &mut usize,
    ) -> Result<(Step, Note, Option<Estimate>), Failure> {
        self.meter.look(ROW)?;
        let note = Note { but: negated, ..Note::LIST };
        let (kind, mut members, exact) = match source::of(self.context, self.tables, node)? {
            Source::Untold(untold) => {
                return Ok((Step::Everything, Note { told: Err(untold), ..note }, None));
            }
            Source::Nothing => {
                let note = Note { undefined: true, ..note };
                return Ok((Step::Nothing, note, Some(Estimate::NOTHING)));
            }
            Source::Set(ids) => {
                let count = Count { entries: ids.len(), rows: 1, more: false };
                let estimate = self.estimate_of(count, negated);
                let note = Note { told: Ok(IndexKind::Equality), count, keys: 1, ..note };
                return Ok((Step::Set { ids, but: negated }, note, Some(estimate)));
            }
            Source::Keys(told) => (told.kind, told.members, told.exact),
        };
        if negated && !exact {
            let note = Note { told: Ok(kind), ..note };
            return Ok((Step::Everything, note, None));
        }
        if kind == IndexKind::Ordering {
            let Some(left) = ranges.checked_sub(1) else {
                return Ok((Step::Everything, Note { told: Err(Some(Untold::TooMany)), ..note }, None));
            };
            *ranges = left;
        }
        // What one key is counted by is read: where that is all and little, it is kept.
        if kind != IndexKind::Substring
            && let Some(key @ Span::Key(_)) = sole(&members)
        {
            let rows = Budget(effort.rows.min(budget.0));
            let (count, ids) = self.tables.count_key(key, FEW, effort.entries, rows, self.meter)?;
            budget.0 = budget.0.saturating_sub(count.rows.max(1));
            let estimate = self.estimate_of(count, negated);
            let note = Note { told: Ok(kind), keys: 1, count, ..note };
            let step = match ids {
                Some(ids) => Step::Set { ids, but: negated },
                None => Step::Read { members, but: negated },
            };
            return Ok((step, note, Some(estimate)));
        }
        if kind == IndexKind::Substring && self.deferred.is_none() {
            self.deferred = Some(self.tables.deferred()?);
        }
        let none = Deferred::default();
        let deferred = self.deferred.as_ref().unwrap_or(&none);
        let (mut count, mut keys) = (Count::default(), 0);
        for parts in &mut members {
            let mut counted = Vec::with_capacity(parts.len());
            for part in std::mem::take(parts) {
                keys += part.len();
                counted.push((count_part(self.tables, &part, deferred, effort, budget, self.meter)?, part));
            }
            counted.sort_by_key(|(count, _)| (count.more, count.entries));
            let smallest = counted.first().map(|(count, _)| *count).unwrap_or_default();
            count.add(smallest);
            *parts = choose::parts(counted);
        }
        let estimate = self.estimate_of(count, negated);
        let note = Note { told: Ok(kind), keys, count, ..note };
        Ok((Step::Read { members, but: negated }, note, Some(estimate)))
    }

    fn estimate_of(&self, count: Count, but: bool) -> Estimate {
        // Where counting stopped, there may be any number.
        let likely = if count.more { count.entries.max(self.total / 2) } else { count.entries };
        let cost = if count.more { count.rows.max(self.total / 4_096) } else { count.rows };
        if !but {
            return Estimate { count, likely, cost };
        }
        let entries = self.total.saturating_sub(likely);
        Estimate { count: Count { entries, ..count }, likely: entries, cost }
    }

    /// Notes which parts are read: those that all above them take.
    fn mark(&mut self) {
        let mut live = vec![false; self.steps.len()];
        if let Some(root) = live.first_mut() {
            *root = true;
        }
        for number in 0..self.steps.len() {
            if !live.get(number).copied().unwrap_or_default() {
                continue;
            }
            match self.steps.get(number) {
                Some(Step::Intersection(children) | Step::Union(children)) => {
                    let children = children.clone();
                    for child in &children {
                        if let Some(live) = live.get_mut(*child) {
                            *live = true;
                        }
                    }
                }
                Some(Step::Read { .. } | Step::Set { .. } | Step::Nothing) => {
                    if let Some(note) = self.notes.get_mut(number) {
                        note.part = PartUse::Read;
                    }
                }
                Some(Step::Everything) | None => {}
            }
        }
    }

    /// The candidates a value stands for.
    fn settle(&self, value: Value) -> Result<Option<RoaringBitmap>, Failure> {
        match value {
            Value::Everything => Ok(None),
            Value::Ids(ids) => Ok(Some(ids)),
            // Taking a few out of all is not worth the set of all.
            Value::But(ids) if ids.len().saturating_mul(2) < self.total => Ok(None),
            Value::But(ids) => {
                let last = self.tables.last_id()?;
                let mut all = RoaringBitmap::new();
                all.insert_range(crate::row::ROOT + 1..=last);
                Ok(Some(all - ids))
            }
        }
    }
}

/// Counts a part: the sum of its keys.
fn count_part<T: Rows>(
    tables: &Tables<T>,
    part: &[Span],
    deferred: &Deferred,
    effort: Effort,
    budget: &mut Budget,
    meter: &Meter,
) -> Result<Count, Failure> {
    let mut count = Count::default();
    for span in part {
        let rows = Budget(effort.rows.min(budget.0));
        let one = tables.count_span(span, deferred, effort.entries, rows, meter)?;
        budget.0 = budget.0.saturating_sub(one.rows.max(1));
        count.add(one);
    }
    Ok(count)
}

/// What is to be read where that is one thing.
fn sole(members: &[Vec<Part>]) -> Option<&Span> {
    let [parts] = members else { return None };
    let [part] = parts.as_slice() else { return None };
    let [span] = part.as_slice() else { return None };
    Some(span)
}

/// For each node whether it stands under an odd number of negations.
fn negations(nodes: &[Node]) -> Vec<bool> {
    let mut negated = Vec::with_capacity(nodes.len());
    // Lists that were entered: how many of their parts are still to come, and what holds in them.
    let mut open: Vec<(usize, bool)> = Vec::new();
    for node in nodes {
        let own = open.last().is_some_and(|(_, negated)| *negated);
        negated.push(own);
        if let Some((left, _)) = open.last_mut() {
            *left = left.saturating_sub(1);
        }
        match node {
            Node::And { children } | Node::Or { children } => open.push((*children, own)),
            Node::Not => open.push((1, !own)),
            _ => {}
        }
        while open.last().is_some_and(|(left, _)| *left == 0) {
            open.pop();
        }
    }
    negated
}

impl Estimate {
    const NOTHING: Self = Self { count: Count { entries: 0, rows: 0, more: false }, likely: 0, cost: 0 };
}

impl Note {
    const LIST: Self = Self {
        told: Err(None),
        keys: 0,
        count: Count { entries: 0, rows: 0, more: false },
        but: false,
        undefined: false,
        part: PartUse::NotRead,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negations_are_counted_down_to_the_leaves() {
        let table: [(&str, &[bool]); 4] = [
            ("(a=b)", &[false]),
            ("(!(a=b))", &[false, true]),
            ("(&(!(|(a=b)(!(c=d))))(e=f))", &[false, false, true, true, true, false, false]),
            ("(&(&)(!(&))(e=f))", &[false, false, false, true, false]),
        ];
        for (text, want) in table {
            let filter: Filter = text.parse().unwrap();
            assert_eq!(negations(filter.nodes()), want, "{text}");
        }
    }
}
