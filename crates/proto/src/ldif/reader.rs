//! The streaming reader: the grammar of records.

use std::{io::BufRead, ops::Range, str::FromStr};

use bytes::Bytes;

use super::{
    ChangeRecord, LdifError, LdifErrorKind, Record,
    line::{Found, Lines, Place, whole_line},
    list::AttributeList,
    value::{Spelt, octets, split, value_spec},
};
use crate::{
    attribute::{AttributeDescription, Attributes},
    control::{Control, Controls},
    dn::{Dn, Rdn},
    entry::Entry,
    message::{Add, Change, ChangeKind, Delete, Limits, MAX_VALUES_OF_MODIFY, Modify, Rename},
    oid::Oid,
};

/// Reads records one after another. Memory is bounded by the largest record.
#[derive(Debug)]
pub struct LdifReader<R> {
    lines: Lines<R>,
    options: ReadOptions,
    /// The first line of the record.
    first: u64,
    /// Whether the line last found ended a record.
    ended: bool,
    /// Whether the rest of a record that could not be read is still to be left behind.
    broken: bool,
    /// Octets of the record so far.
    used: usize,
    scratch: Scratch,
}

/// Buffers that are reused from record to record.
#[derive(Debug, Default)]
struct Scratch {
    list: AttributeList,
    /// A value that does not stand in the line as it is.
    value: Vec<u8>,
}

impl Scratch {
    /// Adds the value that a line of an entry has, and what it takes beside the line to `used`.
    fn add(&mut self, line: &[u8], options: &ReadOptions, used: &mut usize) -> Result<(), LdifErrorKind> {
        if let Some((number, name, rest)) = self.list.expected(line) {
            let value = octets(value_spec(rest), &mut self.value, options, used)?;
            return self.list.add(number, name, value);
        }
        let (name, spelt) = split(line)?;
        if name.eq_ignore_ascii_case(b"dn") {
            return Err(LdifErrorKind::Expected("an empty line before the next record"));
        }
        let value = octets(spelt, &mut self.value, options, used)?;
        let number = self.list.number(name)?;
        self.list.add(number, name, value)
    }
}

/// What a reader accepts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Octets of one record, at the most. 256 MiB.
    pub record_limit: usize,
    /// Whether `attribute:< file:///…` reads that file. No, unless asked: an LDIF file from elsewhere could otherwise
    /// put any file of this machine into the directory. Such a file counts towards `record_limit`.
    pub read_files: bool,
    /// Whether a record without `changetype`, which RFC 2849 has for entries alone, is a modification that begins at
    /// once, as OpenLDAP's ldapmodify takes it. No, unless asked: then there are no entries.
    pub changes_only: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { record_limit: 256 << 20, read_files: false, changes_only: false }
    }
}

const EMPTY_LINE: LdifErrorKind = LdifErrorKind::Expected("an empty line after the record");

impl<R: BufRead> LdifReader<R> {
    /// Reads from `input`.
    pub fn new(input: R, options: ReadOptions) -> Self {
        Self {
            lines: Lines::new(input),
            options,
            first: 0,
            ended: false,
            broken: false,
            used: 0,
            scratch: Scratch::default(),
        }
    }

    /// The next record, or `None` at the end of the input.
    ///
    /// # Errors
    ///
    /// When the record is malformed. Reading can go on: the next call starts at the next record. When the input fails
    /// the next call gives `None`.
    pub fn next_record(&mut self) -> Result<Option<Record>, LdifError> {
        let result = if std::mem::take(&mut self.broken) { self.lines.skip_record() } else { Ok(()) };
        result.and_then(|()| self.read()).map_err(|kind| {
            self.broken = !self.ended;
            LdifError { line: self.lines.number(), kind }
        })
    }

    /// The first line of the record last returned, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.first
    }

    fn read(&mut self) -> Result<Option<Record>, LdifErrorKind> {
        let Some(dn) = self.read_dn()? else { return Ok(None) };
        let mut controls = Controls::none();
        let mut found = self.advance()?;
        while let Some(place) = found
            && self.is_at(found, b"control")?
        {
            if controls.iter().count() >= Limits::DEFAULT.controls {
                return Err(LdifErrorKind::TooManyControls(Limits::DEFAULT.controls));
            }
            controls.push_raw(self.control(place)?);
            found = self.advance()?;
        }
        let is_change = self.is_at(found, b"changetype")?;
        let Some(place) = found.filter(|_| is_change) else {
            if self.options.changes_only {
                if !self.is_change_kind(found)? {
                    return Err(LdifErrorKind::NoChange);
                }
                return Ok(Some(Record::Change(controls, ChangeRecord::Modify(self.modify(dn, found)?))));
            }
            let attributes = self.attributes(found)?;
            // With controls it is a request, and without a word on which one, it adds.
            return Ok(Some(if controls.is_empty() {
                Record::Entry(Entry::new(&dn, attributes))
            } else {
                Record::Change(controls, ChangeRecord::Add(Add::new(dn, attributes)))
            }));
        };
        let kind = self.text(place)?.trim_ascii_end();
        let change = if kind.eq_ignore_ascii_case("add") {
            let found = self.advance()?;
            ChangeRecord::Add(Add::new(dn, self.attributes(found)?))
        } else if kind.eq_ignore_ascii_case("delete") {
            if self.advance()?.is_some() {
                return Err(EMPTY_LINE);
            }
            ChangeRecord::Delete(Delete { dn })
        } else if kind.eq_ignore_ascii_case("modify") {
            let found = self.advance()?;
            ChangeRecord::Modify(self.modify(dn, found)?)
        } else if kind.eq_ignore_ascii_case("modrdn") || kind.eq_ignore_ascii_case("moddn") {
            ChangeRecord::Rename(self.rename(dn)?)
        } else {
            return Err(LdifErrorKind::Expected(
                "`add`, `delete`, `modify`, `modrdn` or `moddn` as the changetype",
            ));
        };
        Ok(Some(Record::Change(controls, change)))
    }

    /// Goes to the next record and reads its name.
    fn read_dn(&mut self) -> Result<Option<Dn>, LdifErrorKind> {
        loop {
            self.ended = false;
            match self.lines.advance(self.options.record_limit)? {
                Found::End => {
                    self.ended = true;
                    return Ok(None);
                }
                Found::Empty => {}
                Found::Line(place) => {
                    let line = self.lines.text(place)?;
                    self.used = line.len();
                    let (name, _) = split(line)?;
                    if name.eq_ignore_ascii_case(b"version") {
                        if self.text(place)?.trim_ascii_end() != "1" {
                            return Err(LdifErrorKind::Expected("version 1"));
                        }
                    } else if name.eq_ignore_ascii_case(b"dn") {
                        self.first = self.lines.number();
                        return self.parsed(place, LdifErrorKind::Dn).map(Some);
                    } else {
                        return Err(LdifErrorKind::Expected("`dn:` at the start of a record"));
                    }
                }
            }
        }
    }

    /// Goes to the next line of the record, or `None` where the record ends.
    fn advance(&mut self) -> Result<Option<Place>, LdifErrorKind> {
        let limit = self.options.record_limit;
        self.ended = false;
        let found = self.lines.advance(limit.saturating_sub(self.used)).map_err(|error| match error {
            LdifErrorKind::TooLarge(_) => LdifErrorKind::TooLarge(limit),
            error => error,
        })?;
        match found {
            Found::Line(place) => {
                self.used = self.used.saturating_add(self.lines.length(place));
                Ok(Some(place))
            }
            Found::Empty | Found::End => {
                self.ended = true;
                Ok(None)
            }
        }
    }

    /// Whether the line, if there is one, has this name.
    fn is_at(&mut self, found: Option<Place>, name: &[u8]) -> Result<bool, LdifErrorKind> {
        let Some(place) = found else { return Ok(false) };
        let (found, _) = split(self.lines.text(place)?)?;
        Ok(found.eq_ignore_ascii_case(name))
    }

    /// Whether the line, if there is one, begins a modification.
    fn is_change_kind(&mut self, found: Option<Place>) -> Result<bool, LdifErrorKind> {
        let Some(place) = found else { return Ok(false) };
        let (name, _) = split(self.lines.text(place)?)?;
        Ok(change_kind(name).is_ok())
    }

    /// The value of a line, as text.
    fn text(&mut self, place: Place) -> Result<&str, LdifErrorKind> {
        let (_, spelt) = split(self.lines.text(place)?)?;
        let value = octets(spelt, &mut self.scratch.value, &self.options, &mut self.used)?;
        str::from_utf8(value).map_err(|_| LdifErrorKind::Utf8)
    }

    /// The value of a line, as what it is the text of.
    fn parsed<T: FromStr>(
        &mut self,
        place: Place,
        error: impl FnOnce(T::Err) -> LdifErrorKind,
    ) -> Result<T, LdifErrorKind> {
        self.text(place)?.parse().map_err(error)
    }

    /// Reads attributes as far as lines stand whole in memory and nothing is unusual: no end of the record, no comment,
    /// nothing wrong. What it stops at is for [`advance`](Self::advance).
    fn whole_lines(&mut self) -> Result<(), LdifErrorKind> {
        let ahead = self.lines.ahead()?;
        let (mut left, mut count) = (ahead, 0_u64);
        while let Some((line, behind)) = whole_line(left)
            && !matches!(line.first(), None | Some(b' ' | b'#'))
            && line.len() <= self.options.record_limit.saturating_sub(self.used)
        {
            let mut used = self.used.saturating_add(line.len());
            if self.scratch.add(line, &self.options, &mut used).is_err() {
                break; // It is found again, and gives the same error with its line.
            }
            (self.used, left) = (used, behind);
            count = count.saturating_add(1);
        }
        let passed = ahead.len().saturating_sub(left.len());
        self.lines.pass(passed, count);
        Ok(())
    }

    /// Reads the attributes of an entry, from this line to the end of the record.
    fn attributes(&mut self, mut found: Option<Place>) -> Result<Attributes, LdifErrorKind> {
        self.scratch.list.clear();
        while let Some(place) = found {
            self.scratch.add(self.lines.text(place)?, &self.options, &mut self.used)?;
            self.whole_lines()?;
            found = self.advance()?;
        }
        Ok(self.scratch.list.build())
    }

    /// Reads `change-modify`, from this line, the first after `changetype`.
    fn modify(&mut self, dn: Dn, mut found: Option<Place>) -> Result<Modify, LdifErrorKind> {
        // Each change with the number of values up to its end; all values; where each of them stands.
        let mut changes: Vec<(ChangeKind, AttributeDescription, usize)> = Vec::new();
        let mut places: Vec<Range<usize>> = Vec::new();
        let mut values = Vec::new();
        while let Some(place) = found {
            let (name, _) = split(self.lines.text(place)?)?;
            let kind = change_kind(name)?;
            let attribute: AttributeDescription = self.parsed(place, LdifErrorKind::Description)?;
            if changes.len() >= Limits::DEFAULT.attributes {
                return Err(LdifErrorKind::TooManyAttributes(Limits::DEFAULT.attributes));
            }
            found = self.advance()?;
            while let Some(place) = found {
                let line = self.lines.text(place)?;
                if line.trim_ascii_end() == b"-" {
                    found = self.advance()?;
                    break;
                }
                let (name, spelt) = split(line)?;
                if !name.eq_ignore_ascii_case(attribute.as_str().as_bytes()) {
                    return Err(LdifErrorKind::Expected("a value of the attribute that is changed, or `-`"));
                }
                if places.len() >= MAX_VALUES_OF_MODIFY {
                    return Err(LdifErrorKind::TooManyValues(MAX_VALUES_OF_MODIFY));
                }
                let start = values.len();
                let value = octets(spelt, &mut self.scratch.value, &self.options, &mut self.used)?;
                values.extend_from_slice(value);
                places.push(start..values.len());
                found = self.advance()?;
            }
            changes.push((kind, attribute, places.len()));
        }
        let values = Bytes::from(values);
        let mut places = places.into_iter();
        let changes = changes.into_iter().scan(0, |before, (kind, attribute, end)| {
            let count = end.saturating_sub(std::mem::replace(before, end));
            let values = places.by_ref().take(count).map(|place| values.slice(place)).collect();
            Some(Change { kind, attribute, values })
        });
        Ok(Modify { dn, changes: changes.collect() })
    }

    /// Reads `change-moddn`, from the line after `changetype`.
    fn rename(&mut self, dn: Dn) -> Result<Rename, LdifErrorKind> {
        const NEW_RDN: LdifErrorKind = LdifErrorKind::Expected("`newrdn:`");
        const DELETE_OLD_RDN: LdifErrorKind =
            LdifErrorKind::Expected("`deleteoldrdn: 0` or `deleteoldrdn: 1`");

        let place = self.advance()?.ok_or(NEW_RDN)?;
        if !self.is_at(Some(place), b"newrdn")? {
            return Err(NEW_RDN);
        }
        let new_rdn: Rdn = self.parsed(place, LdifErrorKind::Dn)?;
        let place = self.advance()?.ok_or(DELETE_OLD_RDN)?;
        if !self.is_at(Some(place), b"deleteoldrdn")? {
            return Err(DELETE_OLD_RDN);
        }
        let delete_old_rdn = match self.text(place)?.trim_ascii_end() {
            "0" => false,
            "1" => true,
            _ => return Err(DELETE_OLD_RDN),
        };
        let mut new_superior = None;
        if let Some(place) = self.advance()? {
            if !self.is_at(Some(place), b"newsuperior")? {
                return Err(LdifErrorKind::Expected("`newsuperior:` or an empty line"));
            }
            new_superior = Some(self.parsed(place, LdifErrorKind::Dn)?);
            if self.advance()?.is_some() {
                return Err(EMPTY_LINE);
            }
        }
        Ok(Rename { dn, new_rdn, delete_old_rdn, new_superior })
    }

    /// Reads `control`: an identifier, perhaps a word on whether it is critical, perhaps a value.
    fn control(&mut self, place: Place) -> Result<Control, LdifErrorKind> {
        let (_, Spelt::Plain(rest)) = split(self.lines.text(place)?)? else {
            return Err(LdifErrorKind::Expected("an object identifier after `control:`"));
        };
        let (oid, rest) = word(rest);
        let oid: Oid =
            str::from_utf8(oid).map_err(|_| LdifErrorKind::Utf8)?.parse().map_err(LdifErrorKind::Oid)?;
        let (criticality, rest) = word(rest);
        let critical = match criticality {
            b"true" => true,
            b"false" | b"" => false,
            _ => return Err(LdifErrorKind::Expected("`true` or `false` after the control's identifier")),
        };
        let value = match rest {
            [] => None,
            [b':', ..] => {
                let spelt = value_spec(rest);
                let value = octets(spelt, &mut self.scratch.value, &self.options, &mut self.used)?;
                Some(Bytes::copy_from_slice(value))
            }
            _ => return Err(LdifErrorKind::Expected("`:` before the control's value")),
        };
        Ok(Control { oid, critical, value })
    }
}

fn change_kind(name: &[u8]) -> Result<ChangeKind, LdifErrorKind> {
    let kinds: [(&[u8], ChangeKind); 4] = [
        (b"add", ChangeKind::Add),
        (b"delete", ChangeKind::Delete),
        (b"replace", ChangeKind::Replace),
        (b"increment", ChangeKind::Increment), // RFC 4525 §2.
    ];
    kinds
        .into_iter()
        .find_map(|(spelt, kind)| name.eq_ignore_ascii_case(spelt).then_some(kind))
        .ok_or(LdifErrorKind::Expected("`add:`, `delete:`, `replace:` or `increment:`"))
}

/// What stands before the next space or colon, and what follows the spaces after it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|octet| matches!(octet, b' ' | b':')).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end).unwrap_or((text, b""));
    (word, rest.trim_ascii_start())
}
