//! The attributes of one entry on their way from lines to wire form.
//!
//! The list is written as the lines come: an attribute's lengths are filled in where its lines end. Lines of an attribute
//! that was left before stand apart until the record has ended; hardly any file has them.

use bytes::Bytes;

use super::{LdifErrorKind, names::Names};
use crate::{
    attribute::{Attributes, AttributesRef},
    ber::{Tag, Writer},
    message::Limits,
};

/// Collects values by attribute; reused from record to record.
#[derive(Debug, Default)]
pub(super) struct AttributeList {
    names: Names,
    /// The list so far.
    list: Writer,
    /// Its attributes.
    count: usize,
    /// The name of the line before, in this record.
    current: Option<usize>,
    open: Open,
    /// Values that came when their attribute had been left.
    late: Writer,
    runs: Vec<Run>,
}

/// Where the next value goes if its name is that of the line before.
#[derive(Debug, Default)]
enum Open {
    #[default]
    Nowhere,
    /// To the end of the list; the contents of the last attribute and of its set of values begin there.
    Attribute { attribute: usize, values: usize },
    /// To those that came late.
    Late,
}

/// Late values of one attribute that were given one after another: octets of `late`.
#[derive(Debug)]
struct Run {
    attribute: usize,
    start: usize,
    end: usize,
}

impl AttributeList {
    pub(super) fn clear(&mut self) {
        self.names.next_record();
        self.list.clear();
        self.count = 0;
        self.current = None;
        self.open = Open::Nowhere;
        self.late.clear();
        self.runs.clear();
    }

    /// The number of the name that the line has, that name, and what follows it, from the colon on, where the name is one
    /// of the two that are expected.
    #[inline]
    pub(super) fn expected<'a>(&self, line: &'a [u8]) -> Option<(usize, &'a [u8], &'a [u8])> {
        let is_of = |number| {
            let (name, rest) = self.names.split(line, number)?;
            Some((number, name, rest))
        };
        self.current.and_then(is_of).or_else(|| is_of(self.names.after(self.current)))
    }

    /// The number of this name.
    ///
    /// # Errors
    ///
    /// When it is not an attribute description.
    pub(super) fn number(&mut self, name: &[u8]) -> Result<usize, LdifErrorKind> {
        self.names.number(name)
    }

    /// Adds a value to the attribute whose name has this number, in whichever case the name is spelt this time.
    ///
    /// # Errors
    ///
    /// When the record has too many attributes.
    #[inline]
    pub(super) fn add(&mut self, number: usize, name: &[u8], value: &[u8]) -> Result<(), LdifErrorKind> {
        if self.current != Some(number) {
            self.turn_to(number, name)?;
        }
        if let Open::Late = self.open {
            self.late.octets(value);
            if let Some(run) = self.runs.last_mut() {
                run.end = self.late.len();
            }
        } else {
            self.list.octets(value);
        }
        Ok(())
    }

    /// Makes the attribute whose name has this number the one that is added to.
    fn turn_to(&mut self, number: usize, name: &[u8]) -> Result<(), LdifErrorKind> {
        if let Some(attribute) = self.names.attribute(number) {
            self.close();
            let start = self.late.len();
            self.runs.push(Run { attribute, start, end: start });
            self.open = Open::Late;
        } else {
            if self.count >= Limits::DEFAULT.attributes {
                return Err(LdifErrorKind::TooManyAttributes(Limits::DEFAULT.attributes));
            }
            self.close();
            self.names.set_attribute(number, self.count);
            self.count = self.count.saturating_add(1);
            let attribute = self.list.open(Tag::SEQUENCE);
            self.list.octets(name);
            self.open = Open::Attribute { attribute, values: self.list.open(Tag::SET) };
        }
        self.names.expect(number, self.current);
        self.current = Some(number);
        Ok(())
    }

    /// Fills in the lengths of the last attribute, unless that is done.
    fn close(&mut self) {
        if let Open::Attribute { attribute, values } = std::mem::take(&mut self.open) {
            self.list.close(values);
            self.list.close(attribute);
        }
    }

    /// The list in wire form (RFC 4511 §4.5.2), in a buffer of its own.
    pub(super) fn build(&mut self) -> Attributes {
        self.close();
        if self.runs.is_empty() {
            return Attributes::from_checked(Bytes::copy_from_slice(self.list.as_slice()));
        }
        // Those of one attribute stay in their order.
        self.runs.sort_by_key(|run| run.attribute);
        let mut runs = self.runs.iter().peekable();
        let mut list = Writer::with_room(self.list.len().saturating_add(self.late.len()));
        for (place, attribute) in AttributesRef::from_checked(self.list.as_slice()).iter().enumerate() {
            list.sequence(|list| {
                list.octets(attribute.description().as_bytes());
                list.constructed(Tag::SET, |list| {
                    list.raw(attribute.values().as_bytes());
                    while let Some(run) = runs.next_if(|run| run.attribute == place) {
                        list.raw(self.late.as_slice().get(run.start..run.end).unwrap_or_default());
                    }
                });
            });
        }
        Attributes::from_checked(list.take())
    }
}
