//! Distinguished names (RFC 4514, with the liberties of RFC 2253 §4 in reading).
//!
//! A [`Dn`] is one text and a list of places in it; values are unescaped when they are asked for. `Eq` on names
//! compares spelling. Names mean the same when their keys are equal: see [`DnKey`] and
//! [`Schema::dn_key`](crate::schema::Schema::dn_key). Whether one name is below another is asked of keys only.
//!
//! Read beside the grammar of RFC 4514: spaces around `,`, `;`, `+` and `=`, `;` in the place of `,`, values in `"`,
//! and `oid.` before a dotted-decimal type. Names are never joined as text: [`Rdn::new`] escapes, so no value can add
//! a component or change one.

mod escape;
mod key;
mod parse;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

pub use self::key::{DnKey, RdnKey};
use crate::attribute::AttributeDescription;

/// A distinguished name, parsed once, printed as it was spelt (without spaces around the whole). A clone shares it, and
/// allocates nothing.
#[derive(Clone)]
pub struct Dn {
    text: Arc<str>,
    /// One for each `type=value`, leaf first. The first starts at 0 and the last ends with the text.
    avas: Arc<[AvaPlace]>,
}

/// A relative distinguished name: one or more `type=value` joined by `+`. Owned, of one [`Dn`] component.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Rdn(Dn);

/// Where one `type=value` stands in the text.
#[derive(Clone, Copy, Debug, Default)]
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
    /// Neither a separator nor the end after a value in `"`.
    #[error("expected `,`, `;`, `+` or the end")]
    ExpectedSeparator,
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
    /// A value whose octets are not UTF-8 (RFC 4514 §3). Such a value is written in the `#` form.
    #[error("text that is not UTF-8")]
    InvalidUtf8,
    /// More than 64 KiB of text or 1,000 pairs of type and value.
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
        Self { text: Arc::default(), avas: Arc::default() }
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
        let mut rest = &*self.avas;
        std::iter::from_fn(move || {
            let (avas, after) = split_first_rdn(rest)?;
            rest = after;
            Some(RdnRef { text: &self.text, avas })
        })
    }

    /// The first component, or `None` for the root.
    #[must_use]
    pub fn rdn(&self) -> Option<Rdn> {
        self.rdns().next().map(RdnRef::to_rdn)
    }

    /// The name without its first component, or `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = split_first_rdn(&self.avas)?;
        Some(RdnRef { text: &self.text, avas: rest }.to_dn())
    }

    /// The name of `rdn` below this one, both as spelt.
    ///
    /// The result may be longer than what [`FromStr`] takes; a server refuses such a name.
    #[must_use]
    pub fn child(&self, rdn: &Rdn) -> Self {
        rdn.0.joined_with(self, ",", false)
    }

    /// This name with `rdn` in the place of its first component, or `None` for the root.
    #[must_use]
    pub fn with_rdn(&self, rdn: &Rdn) -> Option<Self> {
        self.parent().map(|parent| parent.child(rdn))
    }

    /// This text, `separator` and `other`; `joined` tells whether they make one component.
    fn joined_with(&self, other: &Self, separator: &str, joined: bool) -> Self {
        if other.is_root() {
            return self.clone();
        }
        let shift = saturating_u32(self.text.len() + separator.len());
        let mut avas = Vec::with_capacity(self.avas.len() + other.avas.len());
        avas.extend_from_slice(&self.avas);
        if let Some(last) = avas.last_mut() {
            last.joined = joined;
        }
        avas.extend(other.avas.iter().map(|ava| ava.shifted_right(shift)));
        Self { text: [&self.text, separator, &other.text].concat().into(), avas: avas.into() }
    }
}

impl Rdn {
    /// `attribute=value`, with whatever escapes `value` needs (RFC 4514 §2.4).
    ///
    /// Octets that are not UTF-8 are written in the `#` form, as a BER `OCTET STRING`. Names have no attribute options:
    /// those of `attribute` are left out.
    #[must_use]
    pub fn new(attribute: &AttributeDescription, value: &[u8]) -> Self {
        let attribute_type = attribute.as_str().split(';').next().unwrap_or_default();
        let mut text = String::with_capacity(attribute_type.len() + 1 + value.len());
        text.push_str(attribute_type);
        text.push('=');
        escape::write_value(value, &mut text);
        let place = AvaPlace {
            start: 0,
            equals: saturating_u32(attribute_type.len()),
            end: saturating_u32(text.len()),
            joined: false,
        };
        Self(Dn { text: text.into(), avas: [place].into() })
    }

    /// This name joined with another `attribute=value` by `+`.
    #[must_use]
    pub fn and(&self, attribute: &AttributeDescription, value: &[u8]) -> Self {
        Self(self.0.joined_with(&Self::new(attribute, value).0, "+", true))
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
        match (self.avas.first(), self.avas.last()) {
            (Some(first), Some(last)) => span(self.text, first.start, last.end),
            _ => "",
        }
    }

    /// A copy.
    #[must_use]
    pub fn to_rdn(self) -> Rdn {
        Rdn(self.to_dn())
    }

    /// A copy of these places, and of the text they span.
    fn to_dn(self) -> Dn {
        let shift = self.avas.first().map_or(0, |first| first.start);
        Dn { text: self.as_str().into(), avas: self.avas.iter().map(|ava| ava.shifted_left(shift)).collect() }
    }
}

impl<'a> Ava<'a> {
    /// The attribute type as spelt; `oid.` prefixes (RFC 2253 §4) are left out.
    #[must_use]
    pub fn attribute_type(self) -> &'a str {
        parse::without_oid_prefix(span(self.text, self.place.start, self.place.equals).trim_end_matches(' '))
    }

    /// The value with its escapes undone; for the `#` form the contents of the BER value.
    #[must_use]
    pub fn value(self) -> Cow<'a, [u8]> {
        escape::read_value(
            span(self.text, self.place.equals.saturating_add(1), self.place.end).trim_start_matches(' '),
        )
    }
}

impl AvaPlace {
    fn shifted_left(self, by: u32) -> Self {
        Self {
            start: self.start.saturating_sub(by),
            equals: self.equals.saturating_sub(by),
            end: self.end.saturating_sub(by),
            joined: self.joined,
        }
    }

    fn shifted_right(self, by: u32) -> Self {
        Self {
            start: self.start.saturating_add(by),
            equals: self.equals.saturating_add(by),
            end: self.end.saturating_add(by),
            joined: self.joined,
        }
    }
}

/// The places of the first component, and those after it; `None` if there are none.
fn split_first_rdn(avas: &[AvaPlace]) -> Option<(&[AvaPlace], &[AvaPlace])> {
    let last = avas.iter().position(|ava| !ava.joined)?;
    avas.split_at_checked(last + 1)
}

/// `text[start..end]`; empty where the text has no such place, which no place kept here is.
fn span(text: &str, start: u32, end: u32) -> &str {
    text.get(start as usize..end as usize).unwrap_or_default()
}

/// Names of 4 GiB are never parsed, only built; their places past that are lost, their text is not.
fn saturating_u32(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

impl FromStr for Dn {
    type Err = DnError;

    /// Parses a name in one pass, with two allocations. Text without any component, not even a space, is the root.
    fn from_str(text: &str) -> Result<Self, DnError> {
        parse::parse(text)
    }
}

impl FromStr for Rdn {
    type Err = DnError;

    fn from_str(text: &str) -> Result<Self, DnError> {
        let dn: Dn = text.parse()?;
        match split_first_rdn(&dn.avas) {
            Some((_, [])) => Ok(Self(dn)),
            Some((_, [second, ..])) => {
                let leading = text.bytes().take_while(|octet| *octet == b' ').count();
                Err(DnError { offset: leading + second.start as usize, kind: DnErrorKind::NotOneComponent })
            }
            None => Err(DnError { offset: 0, kind: DnErrorKind::NotOneComponent }),
        }
    }
}

impl From<Rdn> for Dn {
    /// The name directly below the root.
    fn from(rdn: Rdn) -> Self {
        rdn.0
    }
}

impl FromIterator<Rdn> for Dn {
    /// The name of these components, leaf first.
    fn from_iter<I: IntoIterator<Item = Rdn>>(rdns: I) -> Self {
        let (mut text, mut avas) = (String::new(), Vec::new());
        for rdn in rdns {
            if !avas.is_empty() {
                text.push(',');
            }
            let shift = saturating_u32(text.len());
            avas.extend(rdn.0.avas.iter().map(|ava| ava.shifted_right(shift)));
            text.push_str(&rdn.0.text);
        }
        Self { text: text.into(), avas: avas.into() }
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

impl fmt::Debug for RdnRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RdnRef({:?})", self.as_str())
    }
}

impl fmt::Display for RdnRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Ava<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ava({:?})", span(self.text, self.place.start, self.place.end))
    }
}
