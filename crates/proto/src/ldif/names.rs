//! The attribute descriptions of a file: each is checked once, and then expected behind the one it followed.
//!
//! Records of one file tend to look alike, so the name on a line most often is that of the line before, or what came
//! after that name the last time. Only where it is neither is it searched for.

use std::cmp::Ordering;

use super::LdifErrorKind;
use crate::attribute::check_description;

/// How many are remembered from one record to the next, at the most.
const REMEMBERED: usize = 1_000;

/// Attribute descriptions met so far, each once in whichever case it is spelt.
#[derive(Debug, Default)]
pub(super) struct Names {
    text: Vec<u8>,
    names: Vec<Name>,
    /// All of them, as [`order`] has them.
    sorted: Vec<usize>,
    /// What the last record began with.
    first: usize,
    /// The number of the record that is read.
    record: u64,
}

#[derive(Debug)]
struct Name {
    /// Octets of `text`.
    start: usize,
    end: usize,
    /// What came after it the last time.
    next: usize,
    /// The last record that has it, and which of that record's attributes it is.
    record: u64,
    attribute: usize,
}

impl Names {
    /// Goes to the next record, and forgets all names where they are many.
    pub(super) fn next_record(&mut self) {
        self.record = self.record.wrapping_add(1);
        if self.names.len() > REMEMBERED {
            self.text.clear();
            self.names.clear();
            self.sorted.clear();
        }
    }

    /// The line as that name and what follows it, from the colon on, if it has the name with this number, spelt the same.
    #[inline]
    pub(super) fn split<'a>(&self, line: &'a [u8], number: usize) -> Option<(&'a [u8], &'a [u8])> {
        let name = self.text(number)?;
        let (found, rest) = line.split_at_checked(name.len())?;
        // The colon tells most names apart without a look at them.
        (rest.first() == Some(&b':') && found == name).then_some((found, rest))
    }

    /// What is expected after the name with this number, or else at the start of a record.
    #[inline]
    pub(super) fn after(&self, number: Option<usize>) -> usize {
        number.and_then(|number| self.names.get(number)).map_or(self.first, |name| name.next)
    }

    /// Notes what came after the name with this number, or at the start of a record.
    #[inline]
    pub(super) fn expect(&mut self, next: usize, number: Option<usize>) {
        match number.and_then(|number| self.names.get_mut(number)) {
            Some(name) => name.next = next,
            None => self.first = next,
        }
    }

    /// The number of this name, which may be new.
    ///
    /// # Errors
    ///
    /// When it is not an attribute description.
    pub(super) fn number(&mut self, name: &[u8]) -> Result<usize, LdifErrorKind> {
        let place =
            self.sorted.binary_search_by(|number| order(self.text(*number).unwrap_or_default(), name));
        match place {
            Ok(place) => Ok(self.sorted.get(place).copied().unwrap_or_default()),
            Err(place) => {
                let description = str::from_utf8(name).map_err(|_| LdifErrorKind::Utf8)?;
                check_description(description).map_err(LdifErrorKind::Description)?;
                let (number, start) = (self.names.len(), self.text.len());
                self.text.extend_from_slice(name);
                // No record has it yet.
                let record = self.record.wrapping_sub(1);
                self.names.push(Name { start, end: self.text.len(), next: number, record, attribute: 0 });
                self.sorted.insert(place, number);
                Ok(number)
            }
        }
    }

    /// Which of this record's attributes has the name with this number.
    pub(super) fn attribute(&self, number: usize) -> Option<usize> {
        let name = self.names.get(number)?;
        (name.record == self.record).then_some(name.attribute)
    }

    /// Notes which of this record's attributes has the name with this number.
    pub(super) fn set_attribute(&mut self, number: usize, attribute: usize) {
        if let Some(name) = self.names.get_mut(number) {
            (name.record, name.attribute) = (self.record, attribute);
        }
    }

    #[inline]
    fn text(&self, number: usize) -> Option<&[u8]> {
        let name = self.names.get(number)?;
        self.text.get(name.start..name.end)
    }
}

/// By length, which most often decides, then by letters in lower case.
fn order(one: &[u8], other: &[u8]) -> Ordering {
    let lower = u8::to_ascii_lowercase;
    one.len().cmp(&other.len()).then_with(|| one.iter().map(lower).cmp(other.iter().map(lower)))
}
