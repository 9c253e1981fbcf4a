//! Evaluation (RFC 4511 §4.5.1.7): three-valued, on entries in wire form, with a schema.

use super::Filter;
use crate::{attribute::AttributesRef, dn::Dn, schema::Schema};

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
#[derive(Debug)]
pub struct Matcher<'s> {
    schema: &'s Schema,
}

impl<'s> Matcher<'s> {
    /// Makes `filter` ready. Nothing is refused: what the schema does not know evaluates to undefined.
    #[must_use]
    pub fn new(filter: &Filter, schema: &'s Schema) -> Self {
        let _ = filter;
        Self { schema }
    }

    /// Evaluates the filter on an entry.
    ///
    /// `segments` together are the entry's attributes. `readable` tells whether the attribute spelt so may be looked
    /// at; one that may not counts as not there (so a filter cannot leak it, and `Not` over it is undefined).
    #[must_use]
    pub fn evaluate(
        &self,
        dn: &Dn,
        segments: &[AttributesRef<'_>],
        readable: &dyn Fn(&str) -> bool,
    ) -> Truth {
        let _ = (dn, segments, readable, self.schema);
        todo!()
    }
}
