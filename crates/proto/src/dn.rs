//! Distinguished names (RFC 4514, with the liberties of RFC 2253 in reading).
//!
//! A [`Dn`] is one text and a list of places in it; values are unescaped when they are asked for. `Eq` on names
//! compares spelling. Names mean the same when their keys are equal: see [`DnKey`] and
//! [`Schema::dn_key`](crate::schema::Schema::dn_key).

use std::{borrow::Cow, fmt, str::FromStr};

use crate::attribute::AttributeDescription;

/// A distinguished name, parsed once, printed as it was spelt.
#[derive(Clone)]
pub struct Dn {
    text: Box<str>,
    /// One for each `type=value`, leaf first.
    avas: Box<[AvaPlace]>,
}

/// A relative distinguished name: one or more `type=value` joined by `+`. Owned, of one [`Dn`] component.
#[derive(Clone, Eq, PartialEq)]
pub struct Rdn(Dn);

/// Where one `type=value` stands in the text.
#[derive(Clone, Copy, Debug)]
struct AvaPlace {
    /// First octet of the type.
    start: u32,
    /// The `=`.
    equals: u32,
    /// One past the value as spelt.
    end: u32,
    /// Whether another one of the same RDN follows.
    joined: bool,
}

/// One component of a [`Dn`], borrowed.
#[derive(Clone, Copy)]
pub struct RdnRef<'a> {
    text: &'a str,
    avas: &'a [AvaPlace],
}

/// One `type=value`, borrowed.
#[derive(Clone, Copy)]
pub struct Ava<'a> {
    text: &'a str,
    place: AvaPlace,
}

/// Text that is not a distinguished name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a distinguished name: {kind} at offset {offset}")]
pub struct DnError {
    /// Octets from the start of the text.
    pub offset: usize,
    /// What was wrong there.
    pub kind: DnErrorKind,
}

/// The ways in which text can fail to be a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DnErrorKind {
    /// No attribute type where one must be.
    #[error("expected an attribute type")]
    ExpectedType,
    /// No `=` after the attribute type.
    #[error("expected `=`")]
    ExpectedEquals,
    /// A character that must be escaped.
    #[error("unescaped special character")]
    UnescapedSpecial,
    /// A `\` that is followed by neither a special character nor two hexadecimal digits.
    #[error("invalid escape")]
    InvalidEscape,
    /// A `#` that is not followed by pairs of hexadecimal digits that are one BER value.
    #[error("invalid hexadecimal value")]
    InvalidHex,
    /// A `"` without its partner.
    #[error("unterminated quotation")]
    UnterminatedQuote,
    /// A value whose octets are not UTF-8.
    #[error("text that is not UTF-8")]
    InvalidUtf8,
    /// More than 64 KiB of text or 1,000 components.
    #[error("name too long")]
    TooLong,
    /// More, or fewer, than one component where a relative name must be.
    #[error("expected exactly one component")]
    NotOneComponent,
}

impl Dn {
    /// The name of the root: empty.
    #[must_use]
    pub fn root() -> Self {
        Self { text: "".into(), avas: Box::default() }
    }

    /// The name as spelt.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this is the name of the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.avas.is_empty()
    }

    /// The number of components.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.avas.iter().filter(|ava| !ava.joined).count()
    }

    /// The components, leaf first.
    pub fn rdns(&self) -> impl Iterator<Item = RdnRef<'_>> {
        std::iter::from_fn(|| todo!())
    }

    /// The first component, or `None` for the root.
    #[must_use]
    pub fn rdn(&self) -> Option<Rdn> {
        todo!()
    }

    /// The name without its first component, or `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        todo!()
    }

    /// The name of `rdn` below this one.
    #[must_use]
    pub fn child(&self, rdn: &Rdn) -> Self {
        todo!("{rdn}")
    }
}

impl Rdn {
    /// `attribute=value`, with whatever escapes `value` needs.
    #[must_use]
    pub fn new(attribute: &AttributeDescription, value: &[u8]) -> Self {
        todo!("{attribute} {value:?}")
    }

    /// This name joined with another `attribute=value` by `+`.
    #[must_use]
    pub fn and(&self, attribute: &AttributeDescription, value: &[u8]) -> Self {
        todo!("{attribute} {value:?}")
    }

    /// The name as spelt.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The name, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> RdnRef<'_> {
        RdnRef { text: &self.0.text, avas: &self.0.avas }
    }
}

impl<'a> RdnRef<'a> {
    /// Each `type=value`, in the order spelt.
    pub fn avas(self) -> impl Iterator<Item = Ava<'a>> {
        self.avas.iter().map(move |place| Ava { text: self.text, place: *place })
    }

    /// The component as spelt.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        todo!()
    }

    /// A copy.
    #[must_use]
    pub fn to_rdn(self) -> Rdn {
        todo!()
    }
}

impl<'a> Ava<'a> {
    /// The attribute type as spelt; `oid.` prefixes (RFC 2253 §4) are left out.
    #[must_use]
    pub fn attribute_type(self) -> &'a str {
        let _ = (self.place.start, self.place.equals, self.place.end);
        todo!("{}", self.text)
    }

    /// The value with its escapes undone; for the `#` form the contents of the BER value.
    #[must_use]
    pub fn value(self) -> Cow<'a, [u8]> {
        todo!()
    }
}

impl FromStr for Dn {
    type Err = DnError;

    fn from_str(text: &str) -> Result<Self, DnError> {
        todo!("{text}")
    }
}

impl FromStr for Rdn {
    type Err = DnError;

    fn from_str(text: &str) -> Result<Self, DnError> {
        todo!("{text}")
    }
}

impl PartialEq for Dn {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Dn {}

impl std::hash::Hash for Dn {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dn({:?})", self.text)
    }
}

impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Rdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rdn({:?})", self.0.text)
    }
}

impl fmt::Display for Rdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

/// One component, normalised by a schema: types by OID, values by their equality rules, multi-valued ones sorted.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RdnKey(Box<[u8]>);

/// A name normalised by a schema: the only form that is looked up or compared. Leaf first.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct DnKey(Vec<RdnKey>);

impl RdnKey {
    /// A key of octets that a schema made.
    #[must_use]
    pub fn from_normalized(octets: impl Into<Box<[u8]>>) -> Self {
        Self(octets.into())
    }

    /// The octets; they sort and compare as keys of a table.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl DnKey {
    /// The key of these components, leaf first.
    #[must_use]
    pub fn from_rdns(rdns: Vec<RdnKey>) -> Self {
        Self(rdns)
    }

    /// The components, leaf first.
    #[must_use]
    pub fn rdns(&self) -> &[RdnKey] {
        &self.0
    }

    /// Whether this is the key of the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this name is `base` or below it.
    #[must_use]
    pub fn is_within(&self, base: &Self) -> bool {
        self.0.ends_with(&base.0)
    }

    /// The key of the parent, or `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_first()?;
        Some(Self(rest.to_vec()))
    }
}
