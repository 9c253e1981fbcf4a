//! Evaluation (RFC 4511 §4.5.1.7): three-valued, on entries in wire form, with a schema.
//!
//! Everything that does not depend on the entry is done once: attributes are resolved to the names they and their
//! subtypes have, asserted values are normalised, and the end of each list is noted. Evaluation then walks the list of
//! nodes and leaves a list as soon as its outcome is known. Which node is cheap is for a planner to know, not for this
//! module: nodes are tried in the order they have.

mod leaf;
mod subject;
#[cfg(test)]
mod tests;

use std::{cell::Cell, fmt, sync::Arc};

use self::leaf::Leaf;
use super::{Filter, Node};
use crate::{
    attribute::AttributesRef,
    dn::Dn,
    schema::{MatchingRule, Schema},
};

/// What a filter says of an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "three-valued logic")]
pub enum Truth {
    /// It matches.
    True,
    /// It does not.
    False,
    /// It cannot be told: an unknown attribute, a rule that does not apply, a value that does not fit its syntax.
    Undefined,
}

/// A filter made ready for one schema: asserted values are normalised once, attributes are resolved once.
pub struct Matcher<'s> {
    schema: &'s Schema,
    /// As many as the filter has nodes, in the same order.
    steps: Arc<[Step]>,
}

/// A filter made ready, kept without the schema it was made ready for.
#[derive(Clone)]
pub struct Prepared(Arc<[Step]>);

impl Prepared {
    /// The matcher again. `schema` must be the very one it was made for: what attributes are is kept by their places in
    /// it.
    #[must_use]
    pub fn matcher<'s>(&self, schema: &'s Schema) -> Matcher<'s> {
        Matcher { schema, steps: Arc::clone(&self.0) }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared({} nodes)", self.0.len())
    }
}

/// A node made ready.
enum Step {
    List {
        kind: ListKind,
        /// The index after the last node of the list.
        end: usize,
    },
    Leaf(Leaf),
}

#[derive(Clone, Copy)]
enum ListKind {
    And,
    Or,
    Not,
}

/// An attribute of an entry that has at least one value and whose values are kept elsewhere, because they are many.
///
/// Nothing here can fail, since evaluation cannot: who implements it over storage keeps the failure, answers with
/// whatever it likes, and looks for it once the filter is evaluated.
pub trait LargeAttribute {
    /// The attribute description, as the entry spells it.
    fn description(&self) -> &str;

    /// Whether one of the values has this normal form by this rule; `None` where only a look at each of them tells.
    fn contains(&self, rule: MatchingRule, normal: &[u8]) -> Option<bool>;

    /// Whether one of the values passes the test. Values need not be shown to it once one has passed.
    fn any(&self, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

/// What an entry is to a filter.
struct Candidate<'e> {
    dn: &'e Dn,
    segments: &'e [AttributesRef<'e>],
    large: &'e [&'e dyn LargeAttribute],
    readable: &'e dyn Fn(&str) -> bool,
    spend: &'e dyn Fn(usize) -> bool,
    /// Octets looked at that `spend` was not told of yet.
    owed: Cell<usize>,
    /// Whether `spend` has ended the evaluation.
    has_ended: Cell<bool>,
}

/// Octets that are looked at between two calls of `spend`.
const TOLD: usize = 4 << 10;

impl Candidate<'_> {
    /// To be called before so many octets are looked at. Says whether they may be.
    fn pay(&self, octets: usize) -> bool {
        let owed = self.owed.get().saturating_add(octets);
        if owed < TOLD {
            self.owed.set(owed);
            return true;
        }
        self.owed.set(0);
        let goes_on = (self.spend)(owed);
        if !goes_on {
            self.has_ended.set(true);
        }
        goes_on
    }
}

impl<'s> Matcher<'s> {
    /// Makes `filter` ready. Nothing is refused: what the schema does not know evaluates to undefined.
    #[must_use]
    pub fn new(filter: &Filter, schema: &'s Schema) -> Self {
        let mut resolver = subject::Resolver::new(schema);
        let list = |kind| Step::List { kind, end: 0 };
        let mut steps: Vec<Step> = filter
            .nodes()
            .iter()
            .map(|node| match node {
                Node::And { .. } => list(ListKind::And),
                Node::Or { .. } => list(ListKind::Or),
                Node::Not => list(ListKind::Not),
                leaf => Step::Leaf(Leaf::new(leaf, schema, &mut resolver)),
            })
            .collect();
        note_ends(filter.nodes(), &mut steps);
        Self { schema, steps: steps.into() }
    }

    /// What can be kept, and be a matcher again later.
    #[must_use]
    pub fn prepared(&self) -> Prepared {
        Prepared(Arc::clone(&self.steps))
    }

    /// Whether the outcome can depend on the entry's name: whether there is a `dn` match in the filter. Where there is
    /// none, any name will do for [`evaluate`](Self::evaluate).
    #[must_use]
    pub fn looks_at_name(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Leaf(leaf) if leaf.looks_at_name()))
    }

    /// Evaluates the filter on an entry.
    ///
    /// `segments` together are the entry's attributes; operational ones are found if they are among them. `readable`
    /// tells whether an attribute may be looked at, by the preferred name of its type. What is asserted of one that may
    /// not is undefined whether or not the entry has it, so neither a filter nor its opposite tells that; one that is
    /// found only as a subtype of what is asserted counts as not there.
    ///
    /// Where the entry has several values, one that fulfils the assertion is enough. A value that does not fit the
    /// syntax of its attribute fulfils none. An approximate match is a match for equality.
    #[must_use]
    pub fn evaluate(
        &self,
        dn: &Dn,
        segments: &[AttributesRef<'_>],
        readable: &dyn Fn(&str) -> bool,
    ) -> Truth {
        self.evaluate_with(dn, segments, &[], readable, &|_| None, &|_| true)
    }

    /// As [`evaluate`](Self::evaluate), on an entry that also has `large` attributes, and where the outcome of some
    /// assertions is known otherwise.
    ///
    /// Of large attributes, presence is answered without a look at their values and equality by asking for the one;
    /// anything else is asked of each value. `known` is asked first, with the place of the assertion among
    /// [`Filter::nodes`], for what depends on other entries: membership, chains of references.
    ///
    /// `spend` is told of the work before it is done, some thousand octets or one value at a time: the octets of each
    /// value for each assertion that looks at it, and a few for every attribute that is looked for. Where it says no,
    /// evaluation ends, and the outcome means nothing: who bounds the work looks for that afterwards.
    #[must_use]
    pub fn evaluate_with(
        &self,
        dn: &Dn,
        segments: &[AttributesRef<'_>],
        large: &[&dyn LargeAttribute],
        readable: &dyn Fn(&str) -> bool,
        known: &dyn Fn(usize) -> Option<Truth>,
        spend: &dyn Fn(usize) -> bool,
    ) -> Truth {
        let (owed, has_ended) = (Cell::new(0), Cell::new(false));
        let entry = Candidate { dn, segments, large, readable, spend, owed, has_ended };
        // The lists that were entered, with what is known of them.
        let mut open: Vec<(ListKind, usize, Truth)> = Vec::new();
        let mut next = 0;
        while let Some(step) = self.steps.get(next) {
            next += 1;
            let mut truth = match step {
                Step::List { kind, end } if *end > next => {
                    open.push((*kind, *end, kind.of_none()));
                    continue;
                }
                Step::List { kind, .. } => kind.of_none(),
                Step::Leaf(leaf) => known(next - 1).unwrap_or_else(|| leaf.evaluate(self.schema, &entry)),
            };
            if entry.has_ended.get() {
                return Truth::Undefined;
            }
            loop {
                let Some((kind, end, so_far)) = open.last_mut() else { return truth };
                *so_far = kind.with(*so_far, truth);
                if next < *end && !kind.is_decided_by(*so_far) {
                    break;
                }
                (next, truth) = (*end, *so_far);
                open.pop();
            }
        }
        Truth::Undefined
    }
}

/// Goes from the last node to the first with the ends of the subtrees met, the nearest on top.
fn note_ends(nodes: &[Node], steps: &mut [Step]) {
    let mut ends: Vec<usize> = Vec::new();
    for (index, (node, step)) in nodes.iter().zip(steps).enumerate().rev() {
        let first_child = ends.len();
        let last_child = first_child.saturating_sub(node.children());
        let end_of_subtree = match ends.get(last_child) {
            Some(end) if last_child < first_child => *end,
            _ => index + 1,
        };
        ends.truncate(last_child);
        ends.push(end_of_subtree);
        if let Step::List { end, .. } = step {
            *end = end_of_subtree;
        }
    }
}

impl ListKind {
    /// What a list without filters says (RFC 4526); what is known before the first is looked at.
    fn of_none(self) -> Truth {
        match self {
            Self::And => Truth::True,
            Self::Or => Truth::False,
            Self::Not => Truth::Undefined,
        }
    }

    fn with(self, so_far: Truth, truth: Truth) -> Truth {
        match (self, so_far, truth) {
            (Self::And, Truth::False, _) | (Self::And, _, Truth::False) => Truth::False,
            (Self::Or, Truth::True, _) | (Self::Or, _, Truth::True) => Truth::True,
            (Self::And | Self::Or, Truth::Undefined, _) => Truth::Undefined,
            (Self::And | Self::Or, _, truth) => truth,
            (Self::Not, _, Truth::True) => Truth::False,
            (Self::Not, _, Truth::False) => Truth::True,
            (Self::Not, _, Truth::Undefined) => Truth::Undefined,
        }
    }

    /// Whether no further filter can change it.
    fn is_decided_by(self, truth: Truth) -> bool {
        matches!((self, truth), (Self::And, Truth::False) | (Self::Or, Truth::True))
    }
}

impl fmt::Debug for Matcher<'_> {
    /// Prints the size only: the schema would be pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matcher({} nodes)", self.steps.len())
    }
}
