//! Lists of attributes with their values, in wire form (RFC 4511 §4.1.7).

use std::fmt;

use bytes::Bytes;

use super::{
    AttributeDescription,
    known::{KEY, PADDING, known_description},
};
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
        let mut list = self.0;
        std::iter::from_fn(move || {
            if let Some(Plain { behind, length, set, rest }) = Plain::split(list)
                && let Some(values) = values_of(set)
            {
                list = rest;
                let description =
                    known_description(behind, length).unwrap_or_else(|| text_of(behind, length));
                return Some(AttributeRef { description, values });
            }
            let (description, values, rest) = split_any(list)?;
            list = rest;
            Some(AttributeRef { description: text_of(description, description.len()), values })
        })
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

/// Checks, in one pass, that `source[at..end]` is the contents of an attribute list.
///
/// Trailing elements of an attribute's `SEQUENCE` that carry context-specific tags are passed over (RFC 4511 §4).
pub(crate) fn check_list(source: &[u8], at: usize, end: usize, limits: &Limits) -> Result<(), DecodeError> {
    // An attribute and a value have two octets at the least, so there cannot be too many in a short list.
    let short = |list: &&[u8]| list.len() / 2 <= limits.attributes.min(limits.values);
    let Some(mut list) = source.get(at..end).filter(short) else {
        return check_attributes(source, at, end, limits);
    };
    let mut names = 0;
    while !list.is_empty() {
        let Some(rest) = pass_plain(list, &mut names).or_else(|| pass_any(source, end - list.len(), end))
        else {
            return check_attributes(source, at, end, limits);
        };
        list = rest;
    }
    // A name that is not ASCII is seen by all of them together being not, and looked at again.
    if names & NOT_ASCII == 0 { Ok(()) } else { check_attributes(source, at, end, limits) }
}

/// As [`check_list`], attribute by attribute, with the exact error.
#[cold]
fn check_attributes(source: &[u8], at: usize, end: usize, limits: &Limits) -> Result<(), DecodeError> {
    let mut count = Count::default();
    let mut next = at;
    while next < end {
        next = check_attribute(source, next, end, limits, &mut count)?;
    }
    Ok(())
}

/// What follows the attribute at `next`, in whatever form that is, of a list too short to have too many. `None` where something
/// is wrong.
#[inline(never)]
fn pass_any(source: &[u8], next: usize, end: usize) -> Option<&[u8]> {
    let next = check_attribute(source, next, end, &Limits::DEFAULT, &mut Count::default()).ok()?;
    source.get(next..end)
}

/// What follows the first attribute of a list, where that is well formed and of the kind most are: every length in the short
/// form, the name ASCII, nothing behind the values. `None` says nothing: [`check_attribute`] decides. Neither does anything else if
/// [`NOT_ASCII`] is in what is added to `names`.
#[inline(always)]
fn pass_plain<'a>(list: &'a [u8], names: &mut u128) -> Option<&'a [u8]> {
    let Plain { behind, length, set, rest } = Plain::split(list)?;
    match (behind.first_chunk(), PADDING.get(length)) {
        (Some(first), Some(padding)) => *names |= u128::from_le_bytes(*first) & !padding,
        _ if behind.get(..length)?.is_ascii() => {}
        _ => return None,
    }
    // One value, as most attributes have: then the length of the set, which is below 0x80, tells all of both headers.
    if let Some(headers) = set.first_chunk() {
        let octets = set.len() as u8;
        if u32::from_le_bytes(*headers) == headers_of(Tag::SET, octets - 2, Tag::OCTET_STRING, octets - 4) {
            return Some(rest);
        }
    }
    let (&[tag, octets], mut values) = set.split_first_chunk()?;
    if tag != Tag::SET.0 || usize::from(octets) != values.len() {
        return None;
    }
    while let Some((&[tag, length], value)) = values.split_first_chunk() {
        if tag != Tag::OCTET_STRING.0 || length >= 0x80 {
            return None;
        }
        values = value.get(usize::from(length)..)?;
    }
    values.is_empty().then_some(rest)
}

/// The bits that are not set in ASCII.
const NOT_ASCII: u128 = u128::from_le_bytes([0x80; KEY]);

/// What a list has had so far.
#[derive(Default)]
struct Count {
    attributes: usize,
    values: usize,
}

/// Checks the attribute at `next` of a list that ends at `end`, in whatever form it is: where the next one starts.
fn check_attribute(
    source: &[u8],
    next: usize,
    end: usize,
    limits: &Limits,
    count: &mut Count,
) -> Result<usize, DecodeError> {
    if count.attributes == limits.attributes {
        return Err(DecodeError { offset: next, kind: DecodeErrorKind::TooManyAttributes });
    }
    count.attributes += 1;
    let attribute = Header::expect(source, next, end, Tag::SEQUENCE)?;
    let description = Header::expect(source, attribute.start, attribute.end, Tag::OCTET_STRING)?;
    check_text(source, description)?;
    let set = Header::expect(source, description.end, attribute.end, Tag::SET)?;
    let mut value = set.start;
    while value < set.end {
        if count.values == limits.values {
            return Err(DecodeError { offset: value, kind: DecodeErrorKind::TooManyValues });
        }
        count.values += 1;
        value = Header::expect(source, value, set.end, Tag::OCTET_STRING)?.end;
    }
    check_extension(source, set.end, attribute.end)?;
    Ok(attribute.end)
}

/// The first `length` octets, which were checked, as text.
fn text_of(octets: &[u8], length: usize) -> &str {
    octets.get(..length).and_then(|octets| std::str::from_utf8(octets).ok()).unwrap_or_default()
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

    /// Goes on with the list: without a copy where nobody shares its buffer and that has room.
    pub fn into_builder(self) -> AttributesBuilder {
        AttributesBuilder { writer: Writer::after(self.0.into()) }
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
            (
                "name not UTF-8 before another mistake",
                b"\x30\x0e\x04\x02c\xff\x31\x08\x04\x06values\x30\x06\x04\x02cn\x30\x00",
                err(5, InvalidUtf8),
            ),
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
        fn plain_attributes_are_attributes(
            values in proptest::collection::vec("[ -~]{0,9}", 0..4),
            name in "[a-z]{0,20}",
            at in 0..60_usize,
            octet in 0..=0xff_u8,
        ) {
            let mut builder = Attributes::builder();
            builder.push(&name, &values);
            builder.push("sn", ["Byrne"]);
            let mut octets = builder.build().into_bytes().to_vec();
            let second = octets.len() - 15;
            let plain = |octets: &[u8]| {
                let mut names = 0;
                let left = pass_plain(octets, &mut names).map(<[u8]>::len);
                left.filter(|_| names & NOT_ASCII == 0)
            };
            assert_eq!(plain(&octets), Some(15));
            if let Some(place) = octets.get_mut(at) {
                *place = octet;
            }
            let limits = Limits::DEFAULT;
            let exact = check_attribute(&octets, 0, octets.len(), &limits, &mut Count::default());
            if let Some(left) = plain(&octets) {
                assert_eq!(exact, Ok(octets.len() - left));
            } else if at >= second {
                assert_eq!(exact, Ok(second));
            }
        }

        /// Of several things that are wrong the first is told, wherever they are.
        #[test]
        fn lists_are_checked_as_their_attributes_are(
            names in proptest::collection::vec("[a-zé]{0,20}", 1..4),
            changes in proptest::collection::vec((0..90_usize, 0..=0xff_u8), 0..4),
        ) {
            let mut builder = Attributes::builder();
            names.iter().for_each(|name| builder.push(name, ["Ada", "Byrne"]));
            let mut octets = builder.build().into_bytes().to_vec();
            for (at, octet) in changes {
                if let Some(place) = octets.get_mut(at) {
                    *place = octet;
                }
            }
            for limits in [Limits::DEFAULT, Limits { attributes: 2, values: 3, ..Limits::DEFAULT }] {
                let exact = check_attributes(&octets, 0, octets.len(), &limits);
                assert_eq!(check_list(&octets, 0, octets.len(), &limits), exact);
            }
        }
    }
}
