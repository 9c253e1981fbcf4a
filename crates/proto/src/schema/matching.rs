//! Matching rules (RFC 4517 §4, RFC 4530, and Active Directory's bit rules).

use std::borrow::Cow;

use super::SyntaxError;
use crate::filter::Substrings;

/// A matching rule this project implements. A small number: copy it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct MatchingRule(u8);

/// What a rule decides.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "closed in RFC 4517")]
pub enum RuleKind {
    /// Whether values are equal, or fulfil an assertion.
    Equality,
    /// Which value comes first.
    Ordering,
    /// Whether a value has parts.
    Substrings,
}

impl MatchingRule {
    /// The rule with this name or OID, without regard to case.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        todo!("{name}")
    }

    /// All rules.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..0).map(Self)
    }

    /// Its name, e.g. `caseIgnoreMatch`.
    #[must_use]
    pub fn name(self) -> &'static str {
        todo!("{}", self.0)
    }

    /// Its OID.
    #[must_use]
    pub fn oid(self) -> &'static str {
        todo!()
    }

    /// What it decides.
    #[must_use]
    pub fn kind(self) -> RuleKind {
        todo!()
    }

    /// A value in the form this rule compares: equal values have equal octets, and for ordering rules the octets sort
    /// as the values do.
    ///
    /// # Errors
    ///
    /// When the value does not fit the rule's syntax.
    pub fn normalize<'v>(self, value: &'v [u8]) -> Result<Cow<'v, [u8]>, SyntaxError> {
        todo!("{value:?}")
    }

    /// The parts of a substring assertion in the form this rule compares (RFC 4518 §2.6.1: a part keeps its spaces).
    ///
    /// # Errors
    ///
    /// When a part does not fit.
    pub fn normalize_substrings(self, parts: &Substrings) -> Result<Substrings, SyntaxError> {
        todo!("{parts:?}")
    }

    /// Whether a normalised value has the normalised parts.
    #[must_use]
    pub fn has_substrings(normalized: &[u8], parts: &Substrings) -> bool {
        todo!("{normalized:?} {parts:?}")
    }

    /// Whether a value fulfils an assertion: equality for most rules, and what the rule says for the others
    /// (`integerFirstComponentMatch`, the bit rules).
    ///
    /// # Errors
    ///
    /// When either does not fit its syntax.
    pub fn matches(self, value: &[u8], assertion: &[u8]) -> Result<bool, SyntaxError> {
        todo!("{value:?} {assertion:?}")
    }
}
