//! Records: entries in wire form to JSON, one line each, without anything in between.

use flext_ldap_proto::{
    attribute::{AttributeDescription, AttributeRef},
    entry::EntryRef,
    schema::Schema,
};

use crate::{
    TapError,
    json::{push_text, push_value},
    property::{Kind, Property},
    stream::Stream,
};

/// Writes the records of one stream.
pub(crate) struct RecordWriter<'s> {
    stream: &'s str,
    schema: &'s Schema,
    columns: Vec<Column>,
    /// Everything up to the first property.
    head: Vec<u8>,
    /// Where each attribute goes, as far as seen, in the order of the entry before: the next one is likely the same.
    places: Vec<(Box<str>, Option<usize>)>,
    pub(crate) records: u64,
}

/// One property that is selected.
struct Column {
    /// `"name":`
    lead: Vec<u8>,
    name: String,
    attribute: Option<AttributeDescription>,
    kind: Kind,
    single: bool,
    is_key: bool,
    /// Values left out.
    misfits: u64,
}

/// Spellings of attributes whose place is remembered, and the longest such spelling: a directory could send ever new
/// ones, each as long as a message.
const REMEMBERED: usize = 1_000;
const REMEMBERED_LENGTH: usize = 255;

impl<'s> RecordWriter<'s> {
    pub(crate) fn new<'p>(
        stream: &'s Stream,
        schema: &'s Schema,
        properties: impl IntoIterator<Item = &'p Property>,
    ) -> Self {
        let mut head = br#"{"type":"RECORD","stream":"#.to_vec();
        push_text(&mut head, &stream.name);
        head.extend_from_slice(br#","record":{"#);
        let columns = properties.into_iter().map(|property| Column {
            lead: property.lead(),
            name: property.name.clone(),
            attribute: property.attribute.clone(),
            kind: property.kind,
            single: property.single,
            is_key: property.is_key,
            misfits: 0,
        });
        Self {
            stream: &stream.name,
            schema,
            columns: columns.collect(),
            head,
            places: Vec::new(),
            records: 0,
        }
    }

    /// Appends the records of these entries, extracted at `time` (RFC 3339).
    ///
    /// # Errors
    ///
    /// When an entry has no key, or only a part of an attribute's values. Nothing of it is appended.
    pub(crate) fn entries<'e>(
        &mut self,
        out: &mut Vec<u8>,
        entries: impl Iterator<Item = EntryRef<'e>>,
        time: &[u8],
    ) -> Result<(), TapError> {
        let mut slots: Vec<Option<AttributeRef<'_>>> = vec![None; self.columns.len()];
        // What goes to a property that has something already: `cn;lang-en` beside `cn`.
        let mut more: Vec<(usize, AttributeRef<'_>)> = Vec::new();
        for entry in entries {
            slots.fill(None);
            more.clear();
            self.sort(entry, &mut slots, &mut more)?;
            let start = out.len();
            if let Err(error) = self.record(out, entry, &slots, &more, time) {
                out.truncate(start);
                return Err(error);
            }
            self.records = self.records.saturating_add(1);
        }
        Ok(())
    }

    /// The properties with values left out.
    pub(crate) fn misfits(&self) -> Vec<(String, u64)> {
        let misfits = self.columns.iter().filter(|column| column.misfits > 0);
        misfits.map(|column| (column.name.clone(), column.misfits)).collect()
    }

    /// Puts each attribute of an entry where it goes.
    fn sort<'e>(
        &mut self,
        entry: EntryRef<'e>,
        slots: &mut [Option<AttributeRef<'e>>],
        more: &mut Vec<(usize, AttributeRef<'e>)>,
    ) -> Result<(), TapError> {
        for (number, attribute) in entry.attributes().iter().enumerate() {
            let description = attribute.description();
            let Some(place) = self.place(number, description) else { continue };
            if is_partial(description) {
                return Err(TapError::Partial {
                    stream: self.stream.to_owned(),
                    dn: entry.dn_str().to_owned(),
                    attribute: description.to_owned(),
                });
            }
            match slots.get_mut(place) {
                Some(slot @ None) => *slot = Some(attribute),
                _ => more.push((place, attribute)),
            }
        }
        Ok(())
    }

    /// Which property an attribute belongs to: the one of its name, or else of a supertype.
    fn place(&mut self, number: usize, description: &str) -> Option<usize> {
        if let Some((spelt, place)) = self.places.get(number)
            && **spelt == *description
        {
            return *place;
        }
        if let Some((_, place)) = self.places.iter().find(|(spelt, _)| **spelt == *description) {
            return *place;
        }
        let attributes = || {
            self.columns
                .iter()
                .enumerate()
                .filter_map(|(number, column)| Some((number, column.attribute.as_ref()?)))
        };
        let place = attributes()
            .find(|(_, attribute)| attribute.as_str().eq_ignore_ascii_case(description))
            .or_else(|| attributes().find(|(_, attribute)| self.schema.is_within(description, attribute)))
            .map(|(number, _)| number);
        if self.places.len() < REMEMBERED && description.len() <= REMEMBERED_LENGTH {
            let at = number.min(self.places.len());
            self.places.insert(at, (description.into(), place));
        }
        place
    }

    fn record(
        &mut self,
        out: &mut Vec<u8>,
        entry: EntryRef<'_>,
        slots: &[Option<AttributeRef<'_>>],
        more: &[(usize, AttributeRef<'_>)],
        time: &[u8],
    ) -> Result<(), TapError> {
        out.extend_from_slice(&self.head);
        for (number, (column, slot)) in self.columns.iter_mut().zip(slots).enumerate() {
            if number > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&column.lead);
            if column.attribute.is_none() {
                push_text(out, entry.dn_str());
                continue;
            }
            let also = more.iter().filter(|(place, _)| *place == number).map(|(_, attribute)| attribute);
            let values = slot.iter().chain(also).flat_map(|attribute| attribute.values());
            let written = column.values(out, values);
            if column.is_key && written != Some(1) {
                return Err(TapError::NoKey {
                    stream: self.stream.to_owned(),
                    dn: entry.dn_str().to_owned(),
                    key: column.name.clone(),
                });
            }
            if written.is_none() {
                out.extend_from_slice(b"null");
            }
        }
        out.extend_from_slice(br#"},"time_extracted":""#);
        out.extend_from_slice(time);
        out.extend_from_slice(b"\"}\n");
        Ok(())
    }
}

impl Column {
    /// Appends values, and says how many there were; `None` if nothing was appended, since none fits.
    fn values<'v>(&mut self, out: &mut Vec<u8>, values: impl Iterator<Item = &'v [u8]>) -> Option<usize> {
        let mut written = 0_usize;
        let mut all = 0_usize;
        for value in values {
            all = all.saturating_add(1);
            let start = out.len();
            if !self.single {
                out.push(if written == 0 { b'[' } else { b',' });
            } else if written > 0 {
                self.misfits = self.misfits.saturating_add(1);
                continue;
            }
            if push_value(out, self.kind, value) {
                written = written.saturating_add(1);
            } else {
                out.truncate(start);
                self.misfits = self.misfits.saturating_add(1);
            }
        }
        if written == 0 {
            return None;
        }
        if !self.single {
            out.push(b']');
        }
        Some(all)
    }
}

/// Whether an attribute says that it has only some of its values: Active Directory's `member;range=0-1499`. With a `*`
/// at the end it goes to the end.
fn is_partial(description: &str) -> bool {
    description.split(';').skip(1).any(|option| {
        option.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("range="))
            && !(option.get(6..).is_some_and(|range| range.starts_with("0-")) && option.ends_with("-*"))
    })
}
