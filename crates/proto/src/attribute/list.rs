//! Lists of attributes with their values, in wire form (RFC 4511 §4.1.7).

use std::fmt;

use bytes::Bytes;

use super::AttributeDescription;
use crate::{
    ber::{DecodeError, DecodeErrorKind, Header, Reader, Tag, Writer, check_text, split_checked},
    message::Limits,
};

/// A checked list of attributes in wire form, borrowed: the contents of `PartialAttributeList` (RFC 4511 §4.5.2),
/// that is any number of `SEQUENCE { type LDAPString, vals SET OF OCTET STRING }`.
///
/// It was checked when it was decoded or built, so reading it cannot fail and allocates nothing.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct AttributesRef<'a>(&'a [u8]);

/// Octets up to which a whole list is looked at before its parts are.
const SMALL: usize = 4096;

/// One attribute of an [`AttributesRef`].
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct AttributeRef<'a> {
    description: &'a str,
    values: &'a [u8],
}

/// One attribute as it is found in a list.
struct Part<'a> {
    description: &'a [u8],
    values: &'a [u8],
    /// One past the description, counted from the start of the list.
    end: usize,
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
        let list = self.0;
        // Without long or binary values the whole list happens to be UTF-8, headers included. To check that once and
        // cut the names out of it is several times cheaper than to check each name for itself.
        let text = if list.len() <= SMALL { std::str::from_utf8(list).ok() } else { None };
        let mut parts = self.parts();
        std::iter::from_fn(move || {
            let Part { description, values, end } = parts.next()?;
            let description = match text {
                Some(text) => text.get(end.saturating_sub(description.len())..end).unwrap_or_default(),
                None => std::str::from_utf8(description).unwrap_or_default(),
            };
            Some(AttributeRef { description, values })
        })
    }

    /// The attributes as they are found, names not looked at as text.
    #[inline]
    fn parts(self) -> impl Iterator<Item = Part<'a>> {
        let list = self.0;
        let mut octets = list;
        std::iter::from_fn(move || {
            let (_, attribute, rest) = split_checked(octets)?;
            octets = rest;
            let (_, description, set) = split_checked(attribute)?;
            let (_, values, _) = split_checked(set)?;
            let end = list.len().saturating_sub(rest.len()).saturating_sub(set.len());
            Some(Part { description, values, end })
        })
    }

    /// The first attribute spelt `description`, without regard to ASCII case.
    ///
    /// Spelling only: `cn` finds neither `commonName` nor `cn;lang-en`. Ask the schema for those.
    #[must_use]
    pub fn get(self, description: &str) -> Option<AttributeRef<'a>> {
        let wanted = description.as_bytes();
        let Part { description, values, .. } =
            self.parts().find(|part| part.description.eq_ignore_ascii_case(wanted))?;
        Some(AttributeRef { description: std::str::from_utf8(description).unwrap_or_default(), values })
    }

    /// The first value of the attribute spelt `description`, if that value is UTF-8.
    #[must_use]
    pub fn text(self, description: &str) -> Option<&'a str> {
        self.get(description)?.text()
    }

    /// A copy that shares no buffer.
    #[must_use]
    pub fn to_attributes(self) -> Attributes {
        Attributes(Bytes::copy_from_slice(self.0))
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

/// Checks, in one pass, that `source[at..end]` is the contents of an attribute list.
///
/// Trailing elements of an attribute's `SEQUENCE` that carry context-specific tags are passed over (RFC 4511 §4).
#[inline]
pub(crate) fn check_list(source: &[u8], at: usize, end: usize, limits: &Limits) -> Result<(), DecodeError> {
    match source.get(at..end) {
        Some(list) if is_plain(list, limits).unwrap_or(false) => Ok(()),
        _ => check_any_list(source, at, end, limits),
    }
}

/// Whether a list is well formed and of the kind most are: small, every length in the short form, every name ASCII. `None`
/// and `Some(false)` say nothing: [`check_any_list`] decides.
#[inline]
fn is_plain(list: &[u8], limits: &Limits) -> Option<bool> {
    // An attribute and a value have two octets at the least, so there cannot be too many of them either.
    if list.len() > SMALL || list.len() / 2 > limits.attributes.min(limits.values) {
        return Some(false);
    }
    // Where all of it is ASCII, nothing needs to be looked at for itself.
    if list.is_ascii() { has_plain_shape::<true>(list) } else { has_plain_shape::<false>(list) }
}

#[inline(always)]
fn has_plain_shape<const ASCII: bool>(list: &[u8]) -> Option<bool> {
    let mut list = list;
    while !list.is_empty() {
        let (attribute, rest) = split_plain::<ASCII>(list, Tag::SEQUENCE)?;
        list = rest;
        let (name, set) = split_plain::<ASCII>(attribute, Tag::OCTET_STRING)?;
        let (mut values, behind) = split_plain::<ASCII>(set, Tag::SET)?;
        if !behind.is_empty() || !(ASCII || name.is_ascii()) {
            return Some(false);
        }
        while !values.is_empty() {
            (_, values) = split_plain::<ASCII>(values, Tag::OCTET_STRING)?;
        }
    }
    Some(true)
}

/// Splits a value of `tag` with a length in the short form off octets: its contents, and what follows. In octets that are ASCII
/// throughout there is no other form.
#[inline(always)]
fn split_plain<const ASCII: bool>(octets: &[u8], tag: Tag) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = octets.split_first_chunk()?;
    if found == tag.0 && (ASCII || length < 0x80) { rest.split_at_checked(usize::from(length)) } else { None }
}

/// As [`check_list`], for every list.
#[inline(never)]
fn check_any_list(source: &[u8], at: usize, end: usize, limits: &Limits) -> Result<(), DecodeError> {
    let mut next = at;
    let mut attributes = 0_usize;
    let mut values = 0_usize;
    while next < end {
        if attributes == limits.attributes {
            return Err(DecodeError { offset: next, kind: DecodeErrorKind::TooManyAttributes });
        }
        attributes += 1;
        let attribute = Header::expect(source, next, end, Tag::SEQUENCE)?;
        next = attribute.end;
        let description = Header::expect(source, attribute.start, attribute.end, Tag::OCTET_STRING)?;
        check_text(source, description)?;
        let set = Header::expect(source, description.end, attribute.end, Tag::SET)?;
        let mut value = set.start;
        while value < set.end {
            if values == limits.values {
                return Err(DecodeError { offset: value, kind: DecodeErrorKind::TooManyValues });
            }
            values += 1;
            value = Header::expect(source, value, set.end, Tag::OCTET_STRING)?.end;
        }
        check_extension(source, set.end, attribute.end)?;
    }
    Ok(())
}

/// Checks that only parts with context-specific tags are at `source[at..end]`: later standards may append them, and
/// who does not know them passes over them (RFC 4511 §4).
#[inline]
pub(crate) fn check_extension(source: &[u8], at: usize, end: usize) -> Result<(), DecodeError> {
    let mut next = at;
    while next < end {
        let header = Header::read(source, next, end)?;
        if !header.tag.is_context() {
            return Err(DecodeError { offset: next, kind: DecodeErrorKind::TrailingBytes });
        }
        next = header.end;
    }
    Ok(())
}

/// An owned list of attributes in wire form; see [`AttributesRef`].
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Attributes(Bytes);

impl Attributes {
    /// Starts an empty list to be filled.
    pub fn builder() -> AttributesBuilder {
        AttributesBuilder::default()
    }

    /// As [`builder`](Self::builder), with room for so many octets.
    pub fn builder_with_room(octets: usize) -> AttributesBuilder {
        AttributesBuilder { writer: Writer::with_room(octets) }
    }

    /// Checks octets, as [`AttributesRef::check`], and keeps them.
    ///
    /// # Errors
    ///
    /// As [`AttributesRef::check`].
    pub fn check(octets: Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        AttributesRef::check(&octets, limits)?;
        Ok(Self(octets))
    }

    /// Reads an `AttributeList` or `PartialAttributeList`, without copying.
    ///
    /// # Errors
    ///
    /// As [`AttributesRef::check`].
    pub fn decode(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        let mut list = reader.sequence()?;
        let (source, start, end) = list.left();
        check_list(source, start, end, limits)?;
        Ok(Self(list.rest()))
    }

    /// A list that [`check_list`] has passed, or that this crate wrote.
    pub(crate) const fn from_checked(octets: Bytes) -> Self {
        Self(octets)
    }

    /// The list, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> AttributesRef<'_> {
        AttributesRef(&self.0)
    }

    /// The octets, without the outer header.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// Collects attributes into wire form.
#[derive(Debug, Default)]
#[must_use = "call `build` to get the attributes"]
pub struct AttributesBuilder {
    writer: Writer,
}

impl AttributesBuilder {
    /// Adds an attribute with these values. The same description twice gives two attributes; most servers refuse that.
    pub fn attribute<V: AsRef<[u8]>>(
        mut self,
        description: &AttributeDescription,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        self.push(description.as_str(), values);
        self
    }

    /// As [`attribute`](Self::attribute), in place, with a description that is known to be one (a schema's name, or
    /// one read from an attribute list).
    pub fn push<V: AsRef<[u8]>>(&mut self, description: &str, values: impl IntoIterator<Item = V>) {
        self.writer.sequence(|writer| {
            writer.octets(description.as_bytes());
            writer.constructed(Tag::SET, |writer| {
                for value in values {
                    writer.octets(value.as_ref());
                }
            });
        });
    }

    /// Adds all attributes of another list, as they are.
    pub fn extend(&mut self, list: AttributesRef<'_>) {
        self.writer.raw(list.as_bytes());
    }

    /// The list.
    #[must_use]
    pub fn build(mut self) -> Attributes {
        Attributes(self.writer.take())
    }
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

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
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

    #[test]
    fn lists_are_checked_once_with_offsets() {
        use DecodeErrorKind::{
            InvalidUtf8, TooManyAttributes, TooManyValues, TrailingBytes, Truncated, UnexpectedTag,
        };
        let limits = Limits { attributes: 2, values: 3, ..Limits::DEFAULT };
        let err = |offset, kind| Err(DecodeError { offset, kind });
        let unexpected = |expected, found| UnexpectedTag { expected, found: Tag(found) };
        let table: &[(&str, &[u8], Result<(), DecodeError>)] = &[
            ("empty", b"", Ok(())),
            ("one", b"\x30\x09\x04\x02cn\x31\x03\x04\x01A", Ok(())),
            ("no values", b"\x30\x06\x04\x02cn\x31\x00", Ok(())),
            ("an extension", b"\x30\x09\x04\x02cn\x31\x00\x80\x01A", Ok(())),
            ("trailing", b"\x30\x09\x04\x02cn\x31\x00\x04\x01A", err(8, TrailingBytes)),
            ("no set", b"\x30\x04\x04\x02cn", err(6, Truncated)),
            ("a sequence of values", b"\x30\x06\x04\x02cn\x30\x00", err(6, unexpected(Tag::SET, 0x30))),
            (
                "an integer value",
                b"\x30\x09\x04\x02cn\x31\x03\x02\x01A",
                err(8, unexpected(Tag::OCTET_STRING, 2)),
            ),
            ("name not UTF-8", b"\x30\x06\x04\x02c\xff\x31\x00", err(5, InvalidUtf8)),
            ("value past the set", b"\x30\x09\x04\x02cn\x31\x03\x04\x02A", err(9, Truncated)),
            (
                "three attributes",
                b"\x30\x06\x04\x02cn\x31\x00\x30\x06\x04\x02sn\x31\x00\x30\x06\x04\x02ou\x31\x00",
                err(16, TooManyAttributes),
            ),
            (
                "four values",
                b"\x30\x12\x04\x02cn\x31\x0c\x04\x01A\x04\x01B\x04\x01C\x04\x01D",
                err(17, TooManyValues),
            ),
        ];
        for (name, bytes, want) in table {
            assert_eq!(AttributesRef::check(bytes, &limits).map(|_| ()), *want, "{name}");
        }
    }

    proptest::proptest! {
        /// The quick look never accepts what the thorough one refuses, and misses nothing that it is for.
        #[test]
        fn plain_lists_are_lists(
            values in proptest::collection::vec("[ -~]{0,9}", 0..4),
            at in 0..60_usize,
            octet in 0..0x80_u8,
        ) {
            let mut builder = Attributes::builder();
            builder.push("cn", &values);
            builder.push("sn", ["Byrne"]);
            let mut octets = builder.build().into_bytes().to_vec();
            let limits = Limits::DEFAULT;
            assert_eq!(is_plain(&octets, &limits), Some(true));
            if let Some(place) = octets.get_mut(at) {
                *place = octet;
            }
            let exact = check_any_list(&octets, 0, octets.len(), &limits);
            assert_eq!(check_list(&octets, 0, octets.len(), &limits), exact);
            if is_plain(&octets, &limits) == Some(true) {
                assert_eq!(exact, Ok(()));
            }
        }
    }
}
