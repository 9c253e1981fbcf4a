//! Search filters: text (RFC 4515), wire form (RFC 4511 §4.5.1.7), a builder that cannot inject, and evaluation.
//!
//! A filter is a flat list of nodes in prefix order, so building, printing, dropping, comparing and evaluating one
//! take no recursion however deep it is.

mod matcher;
mod redacted;
#[cfg(test)]
mod tests;
mod text;
mod wire;

use std::{fmt, str::FromStr, sync::Arc};

use bytes::Bytes;

pub use self::{
    matcher::{LargeAttribute, Matcher, Prepared, Truth},
    redacted::Redacted,
};
use crate::{
    attribute::{AttributeDescription, InvalidAttributeDescription},
    ber::{DecodeError, Reader, Writer},
    message::Limits,
    oid::check_numeric_oid,
};

/// Nodes and parts of substring assertions, together. A node is some hundred octets, a part some thirty, and a peer can
/// spell a node in two octets and a part in three.
const MAX_NODES: usize = 100_000;

/// A search filter. A clone shares it, and allocates nothing.
#[derive(Clone, Hash, PartialEq)]
pub struct Filter(Arc<[Node]>);

/// One node of a [`Filter`], as [`Filter::nodes`] gives it.
#[derive(Clone, Debug, Hash, PartialEq)]
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
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
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
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
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
    /// Deeper than 1,000 levels.
    #[error("nested deeper than the limit")]
    TooDeep,
    /// More than 100,000 nodes and parts of substring assertions.
    #[error("more parts than the limit")]
    TooLarge,
}

impl Filter {
    /// Entries for which all of `filters` are true; with none, every entry (RFC 4526).
    ///
    /// Filters deeper or larger than [`decode`](Self::decode) takes can be built, but a server refuses them.
    #[must_use]
    pub fn and(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::list(Node::And { children: 0 }, filters)
    }

    /// Entries for which any of `filters` is true; with none, no entry (RFC 4526).
    #[must_use]
    pub fn or(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::list(Node::Or { children: 0 }, filters)
    }

    /// Entries for which `filter` is false. Those for which it is undefined match neither it nor its opposite.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "the field's term; it takes no self")]
    pub fn not(filter: Self) -> Self {
        Self::list(Node::Not, [filter])
    }

    /// Entries that have this value. Any octets are safe.
    #[must_use]
    pub fn equality(attribute: AttributeDescription, value: impl Into<Vec<u8>>) -> Self {
        Self(Arc::new([Node::Equality(asserted(attribute), value.into().into())]))
    }

    /// Entries that have the attribute.
    #[must_use]
    pub fn present(attribute: AttributeDescription) -> Self {
        Self(Arc::new([Node::Present(asserted(attribute))]))
    }

    /// `(objectClass=*)`: every entry.
    #[must_use]
    pub fn any() -> Self {
        match "objectClass".parse() {
            Ok(attribute) => Self::present(attribute),
            Err(InvalidAttributeDescription { .. }) => Self::and([]),
        }
    }

    /// A filter of one node. Nodes with children are made with [`and`](Self::and), [`or`](Self::or) and
    /// [`not`](Self::not).
    ///
    /// Returns `None` for what has no string form that means it: a node that wants children, a substring assertion
    /// without parts or with an empty one, an extensible match with neither attribute nor rule, and one with a rule
    /// that is neither a short name other than `dn` nor a dotted-decimal identifier.
    #[must_use]
    pub fn leaf(node: Node) -> Option<Self> {
        let valid = match &node {
            Node::And { .. } | Node::Or { .. } | Node::Not => false,
            Node::Substrings(_, parts) => {
                let mut all = parts.initial.iter().chain(&parts.any).chain(&parts.last).peekable();
                all.peek().is_some() && all.all(|part| !part.is_empty())
            }
            Node::Extensible(Extensible { attribute, rule, .. }) => match rule {
                Some(rule) => is_matching_rule(rule),
                None => attribute.is_some(),
            },
            Node::Equality(..)
            | Node::GreaterOrEqual(..)
            | Node::LessOrEqual(..)
            | Node::Present(..)
            | Node::Approximate(..) => true,
        };
        valid.then(|| Self(Arc::new([node.asserted()])))
    }

    fn list(mut parent: Node, filters: impl IntoIterator<Item = Self>) -> Self {
        let mut nodes = vec![parent.clone()];
        let mut count = 0;
        for filter in filters {
            nodes.extend_from_slice(&filter.0);
            count += 1;
        }
        parent.set_children(count);
        if let Some(first) = nodes.first_mut() {
            *first = parent;
        }
        Self(nodes.into())
    }

    /// The nodes in prefix order: each is followed by its children.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.0
    }

    /// The filter as a log may have it: with `***` for the values of [secret](crate::attribute::is_secret) attributes, and
    /// of assertions that any attribute can match.
    #[must_use]
    pub const fn redacted(&self) -> Redacted<'_> {
        Redacted(self)
    }

    /// The same filter with `map` done to every asserted value: how a pattern is filled in. Whatever `map` returns is a
    /// value or a part of one, so the filter keeps its shape; a part of a substring assertion that becomes empty is
    /// left out, and the assertion asks for presence when none is left.
    #[must_use]
    pub fn map_values(&self, mut map: impl FnMut(&[u8]) -> Vec<u8>) -> Self {
        let mut map = |value: &Bytes| Bytes::from(map(value));
        let mut nodes = self.0.to_vec();
        for node in &mut nodes {
            match node {
                Node::Equality(_, value)
                | Node::GreaterOrEqual(_, value)
                | Node::LessOrEqual(_, value)
                | Node::Approximate(_, value)
                | Node::Extensible(Extensible { value, .. }) => *value = map(value),
                Node::Substrings(attribute, parts) => {
                    let mut part = |part: &Bytes| Some(map(part)).filter(|part| !part.is_empty());
                    let filled = Substrings {
                        initial: parts.initial.as_ref().and_then(&mut part),
                        any: parts.any.iter().filter_map(&mut part).collect(),
                        last: parts.last.as_ref().and_then(&mut part),
                    };
                    *node = if filled == Substrings::default() {
                        Node::Present(attribute.clone())
                    } else {
                        Node::Substrings(attribute.clone(), filled)
                    };
                }
                Node::And { .. } | Node::Or { .. } | Node::Not | Node::Present(_) => {}
            }
        }
        Self(nodes.into())
    }

    /// Reads a filter, up to [`Limits::depth`] levels, and 100,000 nodes and parts of substring assertions together.
    ///
    /// # Errors
    ///
    /// When it is malformed, too deep or too large.
    pub fn decode(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        wire::decode(reader, limits)
    }

    /// Writes the filter.
    pub fn encode(&self, writer: &mut Writer) {
        wire::encode(self, writer);
    }
}

impl Node {
    /// The number of subtrees that follow this node.
    #[must_use]
    pub fn children(&self) -> usize {
        match self {
            Self::And { children } | Self::Or { children } => *children,
            Self::Not => 1,
            _ => 0,
        }
    }

    /// This node with an attribute as filters have it.
    fn asserted(self) -> Self {
        match self {
            Self::Equality(attribute, value) => Self::Equality(asserted(attribute), value),
            Self::Substrings(attribute, parts) => Self::Substrings(asserted(attribute), parts),
            Self::GreaterOrEqual(attribute, value) => Self::GreaterOrEqual(asserted(attribute), value),
            Self::LessOrEqual(attribute, value) => Self::LessOrEqual(asserted(attribute), value),
            Self::Present(attribute) => Self::Present(asserted(attribute)),
            Self::Approximate(attribute, value) => Self::Approximate(asserted(attribute), value),
            Self::Extensible(Extensible { attribute, dn_attributes, rule, value }) => {
                Self::Extensible(Extensible {
                    attribute: attribute.map(asserted),
                    dn_attributes,
                    rule,
                    value,
                })
            }
            list @ (Self::And { .. } | Self::Or { .. } | Self::Not) => list,
        }
    }

    /// Sets the number of subtrees of a node that counts them.
    fn set_children(&mut self, count: usize) {
        if let Self::And { children } | Self::Or { children } = self {
            *children = count;
        }
    }
}

/// `oid` (RFC 4512 §1.4), but not `dn`, which means something else where a rule is spelt (RFC 4515 §3). An underscore
/// and a leading digit are accepted in names, as in attribute descriptions.
fn is_matching_rule(rule: &str) -> bool {
    if rule.contains('.') {
        return check_numeric_oid(rule).is_ok();
    }
    let is_name_octet =
        |(at, octet): (usize, u8)| octet.is_ascii_alphanumeric() || octet == b'_' || at > 0 && octet == b'-';
    !rule.is_empty() && rule.bytes().enumerate().all(is_name_octet) && !rule.eq_ignore_ascii_case("dn")
}

/// A description as filters have it: without Active Directory's `range=0-1499`, which says how many values to return,
/// not which attribute is meant, and whose `=` would be read as the comparison.
fn asserted(attribute: AttributeDescription) -> AttributeDescription {
    if !attribute.as_str().contains('=') {
        return attribute;
    }
    let parts: Vec<&str> = attribute.as_str().split(';').filter(|part| !part.contains('=')).collect();
    parts.join(";").parse().unwrap_or(attribute)
}

impl FromStr for Filter {
    type Err = FilterError;

    /// Parses the string form, up to 1,000 levels, and 100,000 nodes and parts of substring assertions together. The
    /// outermost parentheses may be left out, as in OpenLDAP's tools.
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
