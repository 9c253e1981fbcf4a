//! Lists of attributes with their values, in wire form (RFC 4511 §4.1.7).

mod check;
mod owned;

use std::fmt;

use bytes::Bytes;

pub(crate) use self::check::{check_extension, check_list};
pub use self::owned::{Attributes, AttributesBuilder};
use super::known::{KEY, known_description};
use crate::{
    ber::{DecodeError, Tag, split_checked},
    message::Limits,
};

/// A checked list of attributes in wire form, borrowed: the contents of `PartialAttributeList` (RFC 4511 §4.5.2),
/// that is any number of `SEQUENCE { type LDAPString, vals SET OF OCTET STRING }`.
///
/// It was checked when it was decoded or built, so reading it cannot fail and allocates nothing.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct AttributesRef<'a>(&'a [u8]);

/// One attribute of an [`AttributesRef`].
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct AttributeRef<'a> {
    description: &'a str,
    values: &'a [u8],
}

/// The values of one attribute, each as the octets sent.
#[derive(Clone, Debug)]
pub struct Values<'a>(&'a [u8]);

impl<'a> AttributesRef<'a> {
    /// Checks octets that should be the contents of an attribute list (without the outer `SEQUENCE` header).
    ///
    /// # Errors
    ///
    /// When they are malformed, a description is not UTF-8, or a limit is passed. Offsets count from `octets`.
    pub fn check(octets: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        check_list(octets, 0, octets.len(), limits)?;
        Ok(Self(octets))
    }

    /// A list that [`check_list`] has passed, or that this crate wrote.
    pub(crate) const fn from_checked(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// The octets: the contents of the list, without the outer header.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The attributes in the order they have on the wire.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = AttributeRef<'a>> {
        let mut list = self;
        std::iter::from_fn(move || {
            let (first, rest) = list.split_first()?;
            list = rest;
            Some(first)
        })
    }

    /// The first attribute, and the list of the others.
    #[must_use]
    #[inline(always)]
    pub fn split_first(self) -> Option<(AttributeRef<'a>, Self)> {
        if let Some(Plain { behind, length, set, rest }) = Plain::split(self.0)
            && let Some(values) = values_of(set)
        {
            let description = known_description(behind, length).unwrap_or_else(|| text_of(behind, length));
            return Some((AttributeRef { description, values }, Self(rest)));
        }
        let (description, values, rest) = split_any(self.0)?;
        Some((AttributeRef { description: text_of(description, description.len()), values }, Self(rest)))
    }

    /// The first attribute spelt `description`, without regard to ASCII case.
    ///
    /// Spelling only: `cn` finds neither `commonName` nor `cn;lang-en`. Ask the schema for those.
    #[must_use]
    pub fn get(self, description: &str) -> Option<AttributeRef<'a>> {
        let wanted = description.as_bytes();
        let mut list = self.0;
        loop {
            let (name, values, rest) = match Plain::split(list) {
                Some(Plain { behind, length, set, rest }) if values_of(set).is_some() => {
                    (behind.get(..length)?, values_of(set)?, rest)
                }
                _ => split_any(list)?,
            };
            if name.eq_ignore_ascii_case(wanted) {
                return Some(AttributeRef { description: text_of(name, name.len()), values });
            }
            list = rest;
        }
    }

    /// The first value of the attribute spelt `description`, if that value is UTF-8.
    #[must_use]
    pub fn text(self, description: &str) -> Option<&'a str> {
        self.get(description)?.text()
    }

    /// A copy that shares no buffer.
    #[must_use]
    pub fn to_attributes(self) -> Attributes {
        Attributes::from_checked(Bytes::copy_from_slice(self.0))
    }

    /// Whether there are no attributes.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> AttributeRef<'a> {
    /// The attribute description, as spelt by the sender.
    #[must_use]
    #[inline]
    pub const fn description(self) -> &'a str {
        self.description
    }

    /// The values, in the order they have on the wire (which means nothing: they are a set).
    #[must_use]
    pub const fn values(self) -> Values<'a> {
        Values(self.values)
    }

    /// The first value.
    #[must_use]
    pub fn first(self) -> Option<&'a [u8]> {
        self.values().next()
    }

    /// The first value, if it is UTF-8.
    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.first()?).ok()
    }
}

impl<'a> Values<'a> {
    /// The values in wire form: the contents of the `SET`.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (_, value, rest) = split_checked(self.0)?;
        self.0 = rest;
        Some(value)
    }
}

/// An attribute whose headers are in the short form and have the tags they should, as nearly all do, taken apart but for its
/// values. Neither its name nor its values are checked.
struct Plain<'a> {
    /// The list from the description on.
    behind: &'a [u8],
    /// How many octets of that are the description.
    length: usize,
    /// The `SET` of values with its header, up to the end of the attribute.
    set: &'a [u8],
    /// What follows the attribute.
    rest: &'a [u8],
}

impl<'a> Plain<'a> {
    #[inline(always)]
    fn split(list: &'a [u8]) -> Option<Self> {
        // With this much there, nobody needs to ask again before a name is looked at as a whole.
        let [sequence, octets, string, length, ..] = *list.first_chunk::<{ 4 + KEY }>()?;
        let headers = u32::from_le_bytes([sequence, octets, string, length]);
        if headers & SHAPE != headers_of(Tag::SEQUENCE, 0, Tag::OCTET_STRING, 0) {
            return None;
        }
        let (attribute, rest) = list.split_at_checked((headers >> 8 & 0xff) as usize + 2)?;
        let length = (headers >> 24) as usize;
        Some(Self { behind: list.get(4..)?, length, set: attribute.get(length + 4..)?, rest })
    }
}

/// The values in a `SET` with its header, if that is in the short form and nothing is behind it.
#[inline(always)]
fn values_of(set: &[u8]) -> Option<&[u8]> {
    let [_, octets, values @ ..] = set else { return None };
    (usize::from(*octets) == values.len()).then_some(values)
}

/// The description and the values of the first attribute of a checked list, in whatever form it is, and what follows.
#[inline(never)]
fn split_any(list: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (_, attribute, rest) = split_checked(list)?;
    let (_, description, set) = split_checked(attribute)?;
    let (_, values, _) = split_checked(set)?;
    Some((description, values, rest))
}

/// Of two headers in a row: the tags, and the bits that are set in lengths in the long form.
const SHAPE: u32 = headers_of(Tag(0xff), 0x80, Tag(0xff), 0x80);

/// Two headers in a row as one number.
const fn headers_of(first: Tag, length: u8, second: Tag, other: u8) -> u32 {
    u32::from_le_bytes([first.0, length, second.0, other])
}

/// The first `length` octets, which were checked, as text.
fn text_of(octets: &[u8], length: usize) -> &str {
    octets.get(..length).and_then(|octets| std::str::from_utf8(octets).ok()).unwrap_or_default()
}

impl fmt::Debug for AttributesRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|attribute| (attribute.description(), attribute.values().count())))
            .finish()
    }
}

impl fmt::Debug for AttributeRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} values", self.description(), self.values().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(attributes: &[(&str, &[&[u8]])]) -> Attributes {
        let mut builder = Attributes::builder();
        for (description, values) in attributes {
            builder.push(description, *values);
        }
        builder.build()
    }

    #[test]
    fn lists_are_read_as_they_were_built() {
        let long = vec![b'x'; 300];
        let attributes = list(&[("cn", &[b"Ada Byrne", b"Ada"]), ("jpegPhoto", &[&long]), ("mail", &[])]);
        let checked = Attributes::check(attributes.clone().into_bytes(), &Limits::DEFAULT).unwrap();
        assert_eq!(checked, attributes);
        let list = checked.as_ref();
        let names: Vec<_> = list.iter().map(AttributeRef::description).collect();
        assert_eq!(names, ["cn", "jpegPhoto", "mail"]);
        assert_eq!(list.text("CN"), Some("Ada Byrne"));
        assert_eq!(list.get("cn").unwrap().values().collect::<Vec<_>>(), [b"Ada Byrne".as_slice(), b"Ada"]);
        assert_eq!(list.get("jpegphoto").unwrap().first(), Some(long.as_slice()));
        assert_eq!(list.get("mail").unwrap().first(), None);
        assert_eq!(list.get("sn"), None);
        assert!(!list.is_empty() && Attributes::default().as_ref().is_empty());
        assert_eq!(format!("{list:?}"), r#"{"cn": 2, "jpegPhoto": 1, "mail": 0}"#);
    }

    /// Whether a name is well known, and what is behind it, changes nothing.
    #[test]
    fn names_of_any_kind_are_read() {
        let names =
            ["l", "cn", "departmentNumber", "preferredLanguage", "lieblingsfarbe", "größe", "cn;lang-en", ""];
        for value in ["", "x", "and as much as a key can hold"] {
            let mut builder = Attributes::builder();
            names.iter().for_each(|name| builder.push(name, [value]));
            let octets = builder.build().into_bytes();
            let list = AttributesRef::check(&octets, &Limits::DEFAULT).unwrap();
            assert_eq!(list.iter().map(AttributeRef::description).collect::<Vec<_>>(), names);
            for (name, attribute) in names.iter().zip(list.iter()) {
                assert_eq!((attribute.text(), list.get(name)), (Some(value), Some(attribute)), "{name}");
            }
        }
    }

    #[test]
    fn a_list_is_gone_on_with() {
        let cn: (&str, &[&[u8]]) = ("cn", &[b"Ada Byrne"]);
        let sn: (&str, &[&[u8]]) = ("sn", &[b"Byrne"]);
        let first = list(&[cn]);
        let shared = first.clone();
        for one in [first, list(&[cn]), shared] {
            let mut builder = one.into_builder();
            builder.push(sn.0, sn.1);
            assert_eq!(builder.build(), list(&[cn, sn]));
        }
    }
}
