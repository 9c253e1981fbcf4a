//! Search filters: text (RFC 4515), wire form (RFC 4511 §4.5.1.7), a builder that cannot inject, and evaluation.
//!
//! A filter is a flat list of nodes in prefix order, so building, printing, dropping, comparing and evaluating one
//! take no recursion however deep it is.

mod matcher;
mod text;
mod wire;

use std::{fmt, str::FromStr};

use bytes::Bytes;

pub use self::matcher::{Matcher, Truth};
use crate::{
    attribute::AttributeDescription,
    ber::{DecodeError, Reader, Writer},
    message::Limits,
};

/// A search filter.
#[derive(Clone, PartialEq)]
pub struct Filter(Vec<Node>);

/// One node of a [`Filter`], as [`Filter::nodes`] gives it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Node {
    /// All of the next `children` subtrees; with none, true (RFC 4526).
    And {
        /// The number of subtrees that follow.
        children: usize,
    },
    /// Any of the next `children` subtrees; with none, false (RFC 4526).
    Or {
        /// The number of subtrees that follow.
        children: usize,
    },
    /// Not the next subtree.
    Not,
    /// `(attribute=value)`.
    Equality(AttributeDescription, Bytes),
    /// `(attribute=initial*any*final)`.
    Substrings(AttributeDescription, Substrings),
    /// `(attribute>=value)`.
    GreaterOrEqual(AttributeDescription, Bytes),
    /// `(attribute<=value)`.
    LessOrEqual(AttributeDescription, Bytes),
    /// `(attribute=*)`.
    Present(AttributeDescription),
    /// `(attribute~=value)`.
    Approximate(AttributeDescription, Bytes),
    /// `(attribute:dn:rule:=value)`.
    Extensible(Extensible),
}

/// The parts of a substring assertion, in order; at least one is there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the parts of RFC 4511")]
pub struct Substrings {
    /// What the value starts with.
    pub initial: Option<Bytes>,
    /// What follows, in this order, without overlap.
    pub any: Vec<Bytes>,
    /// What the value ends with.
    pub last: Option<Bytes>,
}

/// An extensible match (RFC 4511 §4.5.1.7.7). At least one of `attribute` and `rule` is there.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the parts of RFC 4511")]
pub struct Extensible {
    /// The attribute; absent, every attribute the rule applies to.
    pub attribute: Option<AttributeDescription>,
    /// Whether the values of the entry's name count too.
    pub dn_attributes: bool,
    /// The matching rule by name or OID; absent, the attribute's equality rule.
    pub rule: Option<Box<str>>,
    /// The asserted value.
    pub value: Bytes,
}

/// Text that is not a filter.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a filter: {kind} at offset {offset}")]
pub struct FilterError {
    /// Octets from the start of the text.
    pub offset: usize,
    /// What was wrong there.
    pub kind: FilterErrorKind,
}

/// The ways in which text can fail to be a filter.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterErrorKind {
    /// No `(` where one must be.
    #[error("expected `(`")]
    ExpectedOpen,
    /// No `)` where one must be.
    #[error("expected `)`")]
    ExpectedClose,
    /// No attribute description where one must be.
    #[error("expected an attribute description")]
    ExpectedAttribute,
    /// No comparison after the attribute description.
    #[error("expected one of `=`, `>=`, `<=`, `~=`, `:=`")]
    ExpectedComparison,
    /// No matching rule where one must be.
    #[error("expected a matching rule")]
    ExpectedRule,
    /// A `\` that is not followed by two hexadecimal digits.
    #[error("invalid escape; write `\\` and two hexadecimal digits")]
    InvalidEscape,
    /// A character that must be escaped.
    #[error("unescaped special character; write `\\28` for `(`, `\\29` for `)`, `\\2a` for `*`")]
    UnescapedSpecial,
    /// Text after the end of the filter.
    #[error("text after the end of the filter")]
    TrailingText,
    /// Deeper than the limit.
    #[error("nested deeper than the limit")]
    TooDeep,
}

impl Filter {
    /// Entries for which all of `filters` are true; with none, every entry (RFC 4526).
    #[must_use]
    pub fn and(filters: impl IntoIterator<Item = Self>) -> Self {
        let _ = filters.into_iter();
        todo!()
    }

    /// Entries for which any of `filters` is true; with none, no entry (RFC 4526).
    #[must_use]
    pub fn or(filters: impl IntoIterator<Item = Self>) -> Self {
        let _ = filters.into_iter();
        todo!()
    }

    /// Entries for which `filter` is false. Those for which it is undefined match neither it nor its opposite.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "the field's term; it takes no self")]
    pub fn not(filter: Self) -> Self {
        let _ = filter;
        todo!()
    }

    /// Entries that have this value. Any octets are safe.
    #[must_use]
    pub fn equality(attribute: AttributeDescription, value: impl Into<Vec<u8>>) -> Self {
        let _ = (attribute, value.into());
        todo!()
    }

    /// Entries that have the attribute.
    #[must_use]
    pub fn present(attribute: AttributeDescription) -> Self {
        let _ = attribute;
        todo!()
    }

    /// `(objectClass=*)`: every entry.
    #[must_use]
    pub fn any() -> Self {
        todo!()
    }

    /// A filter of one node. Nodes with children are made with [`and`](Self::and), [`or`](Self::or) and
    /// [`not`](Self::not).
    ///
    /// Returns `None` for a node that wants children, for a substring assertion without parts, and for an extensible
    /// match with neither attribute nor rule.
    #[must_use]
    pub fn leaf(node: Node) -> Option<Self> {
        todo!("{node:?}")
    }

    /// The nodes in prefix order: each is followed by its children.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.0
    }

    /// Reads a filter, up to [`Limits::depth`] levels.
    ///
    /// # Errors
    ///
    /// When it is malformed or too deep.
    pub fn decode(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        wire::decode(reader, limits)
    }

    /// Writes the filter.
    pub fn encode(&self, writer: &mut Writer) {
        wire::encode(self, writer);
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    /// Parses the string form, up to 1,000 levels. The outermost parentheses may be left out, as in OpenLDAP's tools.
    fn from_str(text: &str) -> Result<Self, FilterError> {
        text::parse(text)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::print(self, f)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({self})")
    }
}
