//! The attributes of one entry on their way from lines to wire form.
//!
//! Values are written down as `OCTET STRING`s as they come, so that an attribute whose lines stand together, as they
//! nearly always do, is one stretch to copy. A name is compared with the one before it first, and then with the one
//! at the same place of the record before: records of one file tend to look alike. Only where neither helps is it
//! searched for.

use std::cmp::Ordering;

use bytes::Bytes;

use super::LdifErrorKind;
use crate::{
    attribute::{Attributes, check_description},
    ber::{Tag, Writer},
    message::Limits,
};

/// Collects values by attribute; reused from record to record.
#[derive(Debug, Default)]
pub(super) struct AttributeList {
    names: Vec<u8>,
    values: Writer,
    attributes: Vec<Attribute>,
    /// The first so many attributes as [`order`] has them, so that lines that take turns among many attributes are cheap.
    sorted: Vec<usize>,
    stretches: Vec<Stretch>,
    /// The attribute that the last stretch belongs to.
    current: usize,
    /// The names of the record before and its attributes.
    last_names: Vec<u8>,
    last_attributes: Vec<Attribute>,
    /// Whether all names so far are those of the record before, in the same order.
    follows: bool,
    /// The list as it is put together.
    out: Writer,
}

/// One attribute.
#[derive(Debug)]
struct Attribute {
    /// Its name, in `names`.
    name: (usize, usize),
    /// Octets of all its values with their headers.
    size: usize,
    /// Its first stretch of values and its last.
    first: usize,
    last: usize,
}

/// Values of one attribute that were given one after another: octets of `values`.
#[derive(Debug)]
struct Stretch {
    start: usize,
    end: usize,
    /// The attribute's next one.
    next: Option<usize>,
}

impl AttributeList {
    pub(super) fn clear(&mut self) {
        std::mem::swap(&mut self.names, &mut self.last_names);
        std::mem::swap(&mut self.attributes, &mut self.last_attributes);
        self.follows = true;
        self.names.clear();
        self.values.clear();
        self.attributes.clear();
        self.sorted.clear();
        self.stretches.clear();
        self.current = 0;
    }

    /// Adds a value to the attribute with this name, in whichever case the name is spelt this time.
    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), LdifErrorKind> {
        let start = self.values.len();
        self.values.octets(value);
        let end = self.values.len();
        let size = end.saturating_sub(start);

        if let Some(attribute) = self.attributes.get_mut(self.current)
            && is_named(&self.names, attribute, name)
        {
            attribute.size = attribute.size.saturating_add(size);
            if let Some(stretch) = self.stretches.last_mut() {
                stretch.end = end;
            }
            return Ok(());
        }
        let stretch = self.stretches.len();
        self.stretches.push(Stretch { start, end, next: None });
        // The names of a record differ from each other, so the one that comes next in the record before is new here.
        let last = self.last_attributes.get(self.attributes.len()).map(|last| named(&self.last_names, last));
        if !self.follows || last != Some(name) {
            if let Some(known) = self.find(name)
                && let Some(attribute) = self.attributes.get_mut(known)
            {
                attribute.size = attribute.size.saturating_add(size);
                if let Some(last) = self.stretches.get_mut(attribute.last) {
                    last.next = Some(stretch);
                }
                attribute.last = stretch;
                self.current = known;
                return Ok(());
            }
            let description = str::from_utf8(name).map_err(|_| LdifErrorKind::Utf8)?;
            check_description(description).map_err(LdifErrorKind::Description)?;
            self.follows = false;
        }
        if self.attributes.len() >= Limits::DEFAULT.attributes {
            return Err(LdifErrorKind::TooManyAttributes(Limits::DEFAULT.attributes));
        }
        let name_start = self.names.len();
        self.names.extend_from_slice(name);
        self.current = self.attributes.len();
        self.attributes.push(Attribute {
            name: (name_start, self.names.len()),
            size,
            first: stretch,
            last: stretch,
        });
        Ok(())
    }

    /// The attribute with this name.
    fn find(&mut self, name: &[u8]) -> Option<usize> {
        let Self { names, attributes, sorted, .. } = self;
        let search = |sorted: &[usize], name: &[u8]| {
            sorted.binary_search_by(|place| {
                attributes
                    .get(*place)
                    .map_or(Ordering::Less, |attribute| order(named(names, attribute), name))
            })
        };
        while let Some(next) = attributes.get(sorted.len()) {
            let (Ok(place) | Err(place)) = search(sorted, named(names, next));
            sorted.insert(place, sorted.len());
        }
        sorted.get(search(sorted, name).ok()?).copied()
    }

    /// The list in wire form (RFC 4511 §4.5.2), in a buffer of its own.
    pub(super) fn build(&mut self) -> Attributes {
        let Self { names, values, attributes, stretches, out, .. } = self;
        out.clear();
        for attribute in attributes {
            out.sequence(|out| {
                out.octets(named(names, attribute));
                out.header(Tag::SET, attribute.size);
                let mut next = stretches.get(attribute.first);
                while let Some(stretch) = next {
                    out.raw(values.as_slice().get(stretch.start..stretch.end).unwrap_or_default());
                    next = stretch.next.and_then(|next| stretches.get(next));
                }
            });
        }
        Attributes::from_checked(Bytes::copy_from_slice(out.as_slice()))
    }
}

fn named<'a>(names: &'a [u8], attribute: &Attribute) -> &'a [u8] {
    names.get(attribute.name.0..attribute.name.1).unwrap_or_default()
}

/// By length, which most often decides, then by letters in lower case.
fn order(one: &[u8], other: &[u8]) -> Ordering {
    let lower = u8::to_ascii_lowercase;
    one.len().cmp(&other.len()).then_with(|| one.iter().map(lower).cmp(other.iter().map(lower)))
}

fn is_named(names: &[u8], attribute: &Attribute, name: &[u8]) -> bool {
    let known = named(names, attribute);
    known == name || known.eq_ignore_ascii_case(name)
}
