//! The writer.

use std::io::{self, Write};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{ChangeRecord, Record};
use crate::{
    attribute::{AttributesRef, Values, check_description},
    control::{Control, Controls},
    entry::EntryRef,
    message::{ChangeKind, Modify, Rename},
};

/// Writes records, one after another. Put a buffer below it.
///
/// A value that is not a `SAFE-STRING` (RFC 2849), or that ends with a space, or that has control characters, is written
/// in base64.
///
/// ```
/// use flext_ldap_proto::{attribute::Attributes, entry::Entry, ldif::LdifWriter};
///
/// let description = "cn".parse()?;
/// let attributes = Attributes::builder().attribute(&description, ["Ada Quill", "Zo\u{eb} Quill"]).build();
/// let entry = Entry::new(&"cn=Ada Quill,dc=harbourlane,dc=example".parse()?, attributes);
/// let mut writer = LdifWriter::new(Vec::new());
/// writer.entry(entry.as_ref())?;
/// assert_eq!(
///     writer.into_inner(),
///     b"dn: cn=Ada Quill,dc=harbourlane,dc=example\ncn: Ada Quill\ncn:: Wm/DqyBRdWlsbA==\n\n",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LdifWriter<W> {
    output: W,
    width: usize,
}

impl<W: Write> LdifWriter<W> {
    /// Writes to `output`, folding lines at 76 columns.
    pub fn new(output: W) -> Self {
        Self { output, width: 76 }
    }

    /// Folds lines at `columns`, which is at least 2; 0 does not fold.
    #[must_use]
    pub fn width(mut self, columns: usize) -> Self {
        // The space at the start of a continued line takes one, and something must fit beside it.
        self.width = if columns == 0 { 0 } else { columns.max(2) };
        self
    }

    /// Writes `version: 1` and an empty line.
    ///
    /// # Errors
    ///
    /// When the output fails.
    pub fn version(&mut self) -> io::Result<()> {
        self.output.write_all(b"version: 1\n\n")
    }

    /// Writes a comment, folded. Each line of `text` becomes a comment; control characters are replaced by U+FFFD, since a
    /// server may have chosen them for a terminal to obey.
    ///
    /// # Errors
    ///
    /// When the output fails.
    pub fn comment(&mut self, text: &str) -> io::Result<()> {
        for text in text.lines().flat_map(|line| line.split('\r')) {
            let mut line = Line::new(&mut self.output, self.width);
            line.put(b"# ")?;
            let mut octets = [0; 4];
            for character in text.chars() {
                let character = if character.is_control() { char::REPLACEMENT_CHARACTER } else { character };
                line.put_whole(character.encode_utf8(&mut octets).as_bytes())?;
            }
            line.end()?;
        }
        Ok(())
    }

    /// Writes an entry and an empty line.
    ///
    /// # Errors
    ///
    /// When the output fails, or when the entry has an attribute description that is none: a hostile server could
    /// make one that reads as a record of its own.
    pub fn entry(&mut self, entry: EntryRef<'_>) -> io::Result<()> {
        self.entry_with(entry, |_, _| Ok(None))
    }

    /// The same, of which some values are kept elsewhere: `elsewhere` is given each with its attribute description, and
    /// returns the URL it is written as (`jpegPhoto:< file:///tmp/portrait`), or nothing for one that is written itself. The
    /// description may have been chosen by a hostile server.
    ///
    /// # Errors
    ///
    /// As [`entry`](Self::entry), and those of `elsewhere`.
    pub fn entry_with(
        &mut self,
        entry: EntryRef<'_>,
        mut elsewhere: impl FnMut(&str, &[u8]) -> io::Result<Option<String>>,
    ) -> io::Result<()> {
        self.value("dn", entry.dn_str().as_bytes())?;
        // The first attribute must not be taken for the word that makes a record a change.
        let first = entry.attributes().iter().next().map_or("", |attribute| attribute.description());
        if first.eq_ignore_ascii_case("changetype") || first.eq_ignore_ascii_case("control") {
            self.output.write_all(b"changetype: add\n")?;
        }
        for attribute in entry.attributes().iter() {
            let description = attribute.description();
            described(description)?;
            for value in attribute.values() {
                match elsewhere(description, value)? {
                    None => self.value(description, value)?,
                    Some(url) => self.url(description, &url)?,
                }
            }
        }
        self.output.write_all(b"\n")
    }

    /// Writes any record and an empty line.
    ///
    /// # Errors
    ///
    /// As [`entry`](Self::entry).
    pub fn record(&mut self, record: &Record) -> io::Result<()> {
        let (controls, change) = match record {
            Record::Entry(entry) => return self.entry(entry.as_ref()),
            Record::Change(controls, change) => (controls, change),
        };
        match change {
            ChangeRecord::Add(add) => {
                self.change(add.dn.as_str(), controls, "add")?;
                self.attributes(add.attributes.as_ref())?;
            }
            ChangeRecord::Delete(delete) => self.change(delete.dn.as_str(), controls, "delete")?,
            ChangeRecord::Modify(modify) => {
                self.change(modify.dn.as_str(), controls, "modify")?;
                self.modify(modify)?;
            }
            ChangeRecord::Rename(rename) => {
                self.change(rename.dn.as_str(), controls, "modrdn")?;
                self.rename(rename)?;
            }
        }
        self.output.write_all(b"\n")
    }

    /// The output, with nothing held back.
    pub fn into_inner(self) -> W {
        self.output
    }

    fn change(&mut self, dn: &str, controls: &Controls, kind: &str) -> io::Result<()> {
        self.value("dn", dn.as_bytes())?;
        for control in controls.iter() {
            self.control(control)?;
        }
        self.value("changetype", kind.as_bytes())
    }

    fn control(&mut self, control: &Control) -> io::Result<()> {
        let mut line = Line::new(&mut self.output, self.width);
        line.put(b"control: ")?;
        line.put(control.oid.as_str().as_bytes())?;
        line.put(if control.critical { b" true" } else { b" false" })?;
        if let Some(value) = &control.value {
            line.value_spec(value)?;
        }
        line.end()
    }

    fn attributes(&mut self, attributes: AttributesRef<'_>) -> io::Result<()> {
        for attribute in attributes.iter() {
            self.values(attribute.description(), attribute.values())?;
        }
        Ok(())
    }

    fn values(&mut self, description: &str, values: Values<'_>) -> io::Result<()> {
        described(description)?;
        for value in values {
            self.value(description, value)?;
        }
        Ok(())
    }

    fn modify(&mut self, modify: &Modify) -> io::Result<()> {
        for change in &modify.changes {
            let kind = match change.kind {
                ChangeKind::Add => "add",
                ChangeKind::Delete => "delete",
                ChangeKind::Replace => "replace",
                ChangeKind::Increment => "increment",
            };
            let attribute = change.attribute.as_str();
            self.value(kind, attribute.as_bytes())?;
            for value in &change.values {
                self.value(attribute, value)?;
            }
            self.output.write_all(b"-\n")?;
        }
        Ok(())
    }

    fn rename(&mut self, rename: &Rename) -> io::Result<()> {
        self.value("newrdn", rename.new_rdn.as_str().as_bytes())?;
        self.value("deleteoldrdn", if rename.delete_old_rdn { b"1" } else { b"0" })?;
        if let Some(superior) = &rename.new_superior {
            self.value("newsuperior", superior.as_str().as_bytes())?;
        }
        Ok(())
    }

    /// Writes `name: value` or `name:: base64`.
    fn value(&mut self, name: &str, value: &[u8]) -> io::Result<()> {
        let mut line = Line::new(&mut self.output, self.width);
        line.put(name.as_bytes())?;
        line.value_spec(value)?;
        line.end()
    }

    /// Writes `name:< url`.
    fn url(&mut self, name: &str, url: &str) -> io::Result<()> {
        let mut line = Line::new(&mut self.output, self.width);
        line.put(name.as_bytes())?;
        line.put(b":< ")?;
        line.put(url.as_bytes())?;
        line.end()
    }
}

/// That an attribute description is one.
fn described(description: &str) -> io::Result<()> {
    check_description(description).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// One logical line on its way out.
struct Line<'a, W> {
    output: &'a mut W,
    /// Columns to fold at, at least 2; 0 does not fold.
    width: usize,
    column: usize,
}

impl<'a, W: Write> Line<'a, W> {
    fn new(output: &'a mut W, width: usize) -> Self {
        Self { output, width, column: 0 }
    }

    /// Writes octets, folding wherever the line is full.
    fn put(&mut self, mut octets: &[u8]) -> io::Result<()> {
        if self.width != 0 {
            while let Some((fits, rest)) = octets.split_at_checked(self.width.saturating_sub(self.column))
                && !rest.is_empty()
            {
                self.output.write_all(fits)?;
                self.fold()?;
                octets = rest;
            }
        }
        self.column = self.column.saturating_add(octets.len());
        self.output.write_all(octets)
    }

    /// As [`put`](Self::put), but folds before the octets rather than inside them, wherever that helps.
    fn put_whole(&mut self, octets: &[u8]) -> io::Result<()> {
        if self.width != 0 && self.column > 1 && self.column.saturating_add(octets.len()) > self.width {
            self.fold()?;
        }
        self.put(octets)
    }

    fn fold(&mut self) -> io::Result<()> {
        self.column = 1;
        self.output.write_all(b"\n ")
    }

    fn end(self) -> io::Result<()> {
        self.output.write_all(b"\n")
    }

    /// Writes the colon, and the value as it is or in base64.
    fn value_spec(&mut self, value: &[u8]) -> io::Result<()> {
        if value.is_empty() {
            return self.put(b":");
        }
        if is_safe(value) {
            self.put(b": ")?;
            return self.put(value);
        }
        self.put(b":: ")?;
        let mut encoded = [0; 1024];
        // A multiple of three, so that padding is needed at the end only.
        for part in value.chunks(768) {
            let length = STANDARD.encode_slice(part, &mut encoded).map_err(io::Error::other)?;
            self.put(encoded.get(..length).unwrap_or_default())?;
        }
        Ok(())
    }
}

/// Whether a value is a `SAFE-STRING` that no reader could change and no terminal obeys: it does not end with a space
/// either, and it has no control characters. OpenLDAP's tools take a tab at the start for a space, and leave it out.
fn is_safe(value: &[u8]) -> bool {
    let safe_start = !matches!(value.first(), Some(b' ' | b':' | b'<'));
    let unsafe_octets =
        value.iter().fold(0_u8, |seen, octet| seen | u8::from(matches!(octet, ..0x20 | 0x7f..)));
    safe_start && unsafe_octets == 0 && value.last() != Some(&b' ')
}
