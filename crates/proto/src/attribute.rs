//! Attributes: descriptions (RFC 4512 §2.5), selections (RFC 4511 §4.5.1.8), and lists of values in wire form.

use std::{fmt, str::FromStr};

use bytes::Bytes;

use crate::ber::{DecodeError, Reader, Writer};

/// An attribute description: a type and options, e.g. `cn`, `2.5.4.3`, `userCertificate;binary`, `cn;lang-en`.
///
/// `Eq` compares spelling. Whether two descriptions mean the same attribute, and whether one is a subtype of the
/// other, is asked of the schema.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct AttributeDescription(Box<str>);

/// Text that is not an attribute description.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an attribute description: unexpected character at offset {offset}")]
pub struct InvalidAttributeDescription {
    /// Octets from the start of the text.
    pub offset: usize,
}

impl AttributeDescription {
    /// The whole description as spelt.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The attribute type: a short name or a dotted-decimal identifier.
    #[must_use]
    pub fn attribute_type(&self) -> &str {
        todo!()
    }

    /// The options, in the order they are spelt, without the semicolons.
    pub fn options(&self) -> impl Iterator<Item = &str> {
        self.0.split(';').skip(1)
    }
}

impl FromStr for AttributeDescription {
    type Err = InvalidAttributeDescription;

    /// Parses a description. Underscores and a leading digit are accepted in names, as directories in the field do.
    fn from_str(text: &str) -> Result<Self, InvalidAttributeDescription> {
        todo!("{text}")
    }
}

impl fmt::Display for AttributeDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a search, or a read-entry control, asks to be returned.
///
/// An empty selection means all user attributes, as on the wire.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Selection(Vec<Selector>);

/// One element of a [`Selection`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Selector {
    /// `*`: all user attributes.
    AllUser,
    /// `+`: all operational attributes (RFC 3673).
    AllOperational,
    /// `1.1`: none, where nothing else is asked for.
    None,
    /// `@class`: all attributes of an object class (RFC 4529).
    ObjectClass(Box<str>),
    /// An attribute with its subtypes.
    Attribute(AttributeDescription),
    /// What is none of these; a server ignores it (RFC 4511 §4.5.1.8).
    Unrecognised(Box<str>),
}

impl Selection {
    /// Nothing but names: `1.1`.
    #[must_use]
    pub fn none() -> Self {
        Self(vec![Selector::None])
    }

    /// All user and all operational attributes: `*` and `+`.
    #[must_use]
    pub fn everything() -> Self {
        Self(vec![Selector::AllUser, Selector::AllOperational])
    }

    /// The elements.
    #[must_use]
    pub fn selectors(&self) -> &[Selector] {
        &self.0
    }

    /// Reads an `AttributeSelection`.
    ///
    /// # Errors
    ///
    /// When it is malformed or longer than [`crate::message::Limits::attributes`].
    pub fn decode(reader: &mut Reader<'_>, limits: &crate::message::Limits) -> Result<Self, DecodeError> {
        let _ = (reader, limits);
        todo!()
    }

    /// Writes an `AttributeSelection`.
    pub fn encode(&self, writer: &mut Writer) {
        let _ = writer;
        todo!()
    }
}

impl<S: AsRef<str>> FromIterator<S> for Selection {
    /// Reads each element as it is spelt on the wire. Nothing is refused: see [`Selector::Unrecognised`].
    fn from_iter<I: IntoIterator<Item = S>>(elements: I) -> Self {
        let _ = elements.into_iter();
        todo!()
    }
}

impl<S: AsRef<str>, const N: usize> From<[S; N]> for Selection {
    fn from(elements: [S; N]) -> Self {
        elements.into_iter().collect()
    }
}

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
    pub fn check(octets: &'a [u8], limits: &crate::message::Limits) -> Result<Self, DecodeError> {
        let _ = limits;
        todo!("{octets:?}")
    }

    /// The octets: the contents of the list, without the outer header.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The attributes in the order they have on the wire.
    pub fn iter(self) -> impl Iterator<Item = AttributeRef<'a>> {
        std::iter::from_fn(|| todo!())
    }

    /// The first attribute spelt `description`, without regard to ASCII case.
    ///
    /// Spelling only: `cn` finds neither `commonName` nor `cn;lang-en`. Ask the schema for those.
    #[must_use]
    pub fn get(self, description: &str) -> Option<AttributeRef<'a>> {
        todo!("{description}")
    }

    /// The first value of the attribute spelt `description`, if that value is UTF-8.
    #[must_use]
    pub fn text(self, description: &str) -> Option<&'a str> {
        self.get(description)?.text()
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

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        todo!("{:?}", self.0)
    }
}

/// An owned list of attributes in wire form; see [`AttributesRef`].
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Attributes(Bytes);

impl Attributes {
    /// Starts an empty list to be filled.
    #[must_use]
    pub fn builder() -> AttributesBuilder {
        AttributesBuilder::default()
    }

    /// Checks octets, as [`AttributesRef::check`], and keeps them.
    ///
    /// # Errors
    ///
    /// As [`AttributesRef::check`].
    pub fn check(octets: Bytes, limits: &crate::message::Limits) -> Result<Self, DecodeError> {
        AttributesRef::check(&octets, limits)?;
        Ok(Self(octets))
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
        let _ = (description, values.into_iter(), &self.writer);
        todo!()
    }

    /// The list.
    #[must_use]
    pub fn build(self) -> Attributes {
        todo!()
    }
}

impl fmt::Debug for AttributesRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|attribute| (attribute.description, attribute.values().count())))
            .finish()
    }
}

impl fmt::Debug for AttributeRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} values", self.description, self.values().count())
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}
