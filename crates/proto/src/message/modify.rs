//! `ModifyRequest` (RFC 4511 §4.6), with increment (RFC 4525).

use bytes::Bytes;

use super::{Limits, Spelt};
use crate::{
    attribute::AttributeDescription,
    ber::{DecodeError, DecodeErrorKind, Reader, Tag, Writer},
    dn::Dn,
};

/// Values of one request. Each is kept by itself, at sixteen times what a peer needs to spell the shortest, so this is
/// below [`Limits::values`], which counts what stays in wire form.
pub(crate) const MAX_VALUES: usize = 1 << 20;

/// Changes an entry, all changes or none, in order.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the request of RFC 4511")]
pub struct Modify {
    /// The entry.
    pub dn: Dn,
    /// The changes.
    pub changes: Vec<Change>,
}

/// One change of one attribute.
#[derive(Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the request of RFC 4511")]
pub struct Change {
    /// What to do.
    pub kind: ChangeKind,
    /// To which attribute.
    pub attribute: AttributeDescription,
    /// With which values.
    pub values: Vec<Bytes>,
}

/// What a [`Change`] does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// Adds the values; one that is there already is an error.
    Add,
    /// Deletes the values, or the attribute if none are listed; one that is not there is an error.
    Delete,
    /// Makes these the values; none removes the attribute if it is there.
    Replace,
    /// Adds a number to every value (RFC 4525).
    Increment,
}

impl ChangeKind {
    const fn from_wire(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Add),
            1 => Some(Self::Delete),
            2 => Some(Self::Replace),
            3 => Some(Self::Increment),
            _ => None,
        }
    }

    const fn to_wire(self) -> i32 {
        match self {
            Self::Add => 0,
            Self::Delete => 1,
            Self::Replace => 2,
            Self::Increment => 3,
        }
    }
}

impl Modify {
    pub(super) fn decode(mut reader: Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        let dn = Spelt::read(&mut reader, Tag::OCTET_STRING)?;
        let mut list = reader.sequence()?;
        reader.finish_extensible()?;
        let mut changes = Vec::new();
        // What the operation alone can be refused for waits until all of it is known to be well formed.
        let mut refused = None;
        let mut values_left = limits.values.min(MAX_VALUES);
        while !list.is_empty() {
            if changes.len() >= limits.attributes {
                return Err(list.error(DecodeErrorKind::TooManyAttributes));
            }
            let mut change = list.sequence()?;
            let at = change.position();
            let number = change.enumerated()?;
            let unknown = DecodeError { offset: at, kind: DecodeErrorKind::UnknownEnumerated(number) };
            let mut modification = change.sequence()?;
            let attribute = Spelt::read(&mut modification, Tag::OCTET_STRING)?;
            let mut set = modification.constructed(Tag::SET)?;
            let mut values = Vec::new();
            while !set.is_empty() {
                values_left = match values_left.checked_sub(1) {
                    Some(left) => left,
                    None => return Err(set.error(DecodeErrorKind::TooManyValues)),
                };
                values.push(set.octets()?);
            }
            modification.finish_extensible()?;
            change.finish_extensible()?;
            match (ChangeKind::from_wire(number).ok_or(unknown), attribute.description()) {
                (Ok(kind), Ok(attribute)) => changes.push(Change { kind, attribute, values }),
                (Err(error), _) | (_, Err(error)) => refused = refused.or(Some(error)),
            }
        }
        match refused {
            Some(error) => Err(error),
            None => Ok(Self { dn: dn.dn()?, changes }),
        }
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.octets(self.dn.as_str().as_bytes());
        writer.sequence(|writer| {
            for change in &self.changes {
                writer.sequence(|writer| {
                    writer.enumerated(change.kind.to_wire());
                    writer.sequence(|writer| {
                        writer.octets(change.attribute.as_str().as_bytes());
                        writer.constructed(Tag::SET, |writer| {
                            for value in &change.values {
                                writer.octets(value);
                            }
                        });
                    });
                });
            }
        });
    }

    /// Changes nothing yet.
    #[must_use]
    pub const fn new(dn: Dn) -> Self {
        Self { dn, changes: Vec::new() }
    }

    /// Adds a change.
    #[must_use]
    pub fn change<V: Into<Vec<u8>>>(
        mut self,
        kind: ChangeKind,
        attribute: AttributeDescription,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values = values.into_iter().map(|value| Bytes::from(value.into())).collect();
        self.changes.push(Change { kind, attribute, values });
        self
    }
}

impl std::fmt::Debug for Change {
    /// Prints how many values there are, never which: they may be passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}: {} values", self.kind, self.attribute, self.values.len())
    }
}
