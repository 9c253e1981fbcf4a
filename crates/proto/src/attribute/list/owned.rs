//! A list that is kept, and how one is made.

use std::fmt;

use bytes::Bytes;

use super::{super::AttributeDescription, AttributesRef, check_list};
use crate::{
    ber::{DecodeError, Reader, Tag, Writer},
    message::Limits,
};

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

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}
