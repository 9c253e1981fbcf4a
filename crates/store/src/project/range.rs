//! An attribute in parts: `member;range=0-1499` (Active Directory's range option, MS-ADTS 3.1.1.3.1.3.3).
//!
//! What is answered is spelt `member;range=0-1499` where more follows and `member;range=1500-*` where nothing does, so
//! whoever reads a group in parts knows where to go on. Positions are those in the order in which the store keeps values:
//! what is added or removed between two parts moves those behind it. A part that begins behind the last value is left
//! out. Where values are to be matched (RFC 3876), a part has those of its values that match.

use std::ops::ControlFlow;

use flext_ldap_proto::{
    attribute::{AttributeDescription, AttributeRef},
    ber::{Tag, Writer},
};

use crate::{
    context::Context,
    matched_values::ValueFilter,
    row::Stored,
    tables::Failure,
    values::{Large, ValueRows},
};

/// Values of one part, at the most; who asks for more gets so many and is told where they end.
const MOST: u64 = 5_000;

/// A part that is asked for.
#[derive(Clone, Debug)]
pub(super) struct Range {
    /// Without the range.
    pub(super) attribute: AttributeDescription,
    first: u64,
    /// The last one that is wanted; `None` for all that follow.
    last: Option<u64>,
}

impl Range {
    /// The part that a description asks for, if it has the option and the option makes sense.
    pub(super) fn of(description: &AttributeDescription) -> Option<Self> {
        let mut range = None;
        let mut attribute = description.attribute_type().to_owned();
        for option in description.options() {
            match option.split_at_checked(6) {
                Some((name, bounds)) if name.eq_ignore_ascii_case("range=") && range.is_none() => {
                    let (first, last) = bounds.split_once('-')?;
                    let last = if last == "*" { None } else { Some(last.parse().ok()?) };
                    range = Some((first.parse().ok()?, last));
                }
                _ => {
                    attribute.push(';');
                    attribute.push_str(option);
                }
            }
        }
        let (first, last) = range?;
        if last.is_some_and(|last| last < first) {
            return None;
        }
        Some(Self { attribute: attribute.parse().ok()?, first, last })
    }

    /// How many values are wanted.
    fn wanted(&self) -> u64 {
        let asked = self.last.map_or(MOST, |last| (last - self.first).saturating_add(1));
        asked.min(MOST)
    }

    /// Writes the part of an attribute whose values are at hand.
    pub(super) fn write(
        &self,
        attribute: AttributeRef<'_>,
        filter: Option<&ValueFilter<'_>>,
        writer: &mut Writer,
    ) {
        let count = attribute.values().count() as u64;
        let (first, wanted) = (usize::try_from(self.first), usize::try_from(self.wanted()));
        let (Ok(first), Ok(wanted)) = (first, wanted) else { return };
        let mut values = Writer::new();
        let mut written = 0;
        for value in attribute.values().skip(first).take(wanted) {
            if filter.is_none_or(|filter| filter.passes(attribute.description(), value)) {
                values.octets(value);
            }
            written += 1;
        }
        self.part(attribute.description(), &values, written, count, writer);
    }

    /// Writes the part of a large attribute. Rows before it are passed, unless it goes on where another part of the
    /// same entry ended.
    pub(super) fn write_large(
        &self,
        context: &Context,
        rows: &dyn ValueRows,
        stored: &Stored,
        large: &Large,
        filter: Option<&ValueFilter<'_>>,
        writer: &mut Writer,
    ) -> Result<(), Failure> {
        let wanted = self.wanted();
        let mut values = Writer::new();
        let csn = stored.operational().get("entryCSN").and_then(|one| one.first()).unwrap_or_default();
        let mark = context.marks.before(large.prefix(), csn, self.first);
        let (mut place, mut written) = (mark.as_ref().map_or(0, |(place, _)| *place), 0);
        let mut last = Vec::new();
        if self.first < large.count {
            let after = mark.as_ref().map(|(_, key)| key.as_slice());
            large.visit(rows, after, &mut |key, value| {
                if place < self.first {
                    place += 1;
                    return Ok(ControlFlow::Continue(()));
                }
                // One value always fits: it came in a message.
                if written > 0 && values.len().saturating_add(value.len()) > context.limits.entry / 2 {
                    return Ok(ControlFlow::Break(()));
                }
                if filter.is_none_or(|filter| filter.passes(&large.description, value)) {
                    values.octets(value);
                }
                filter.map_or(Ok(()), ValueFilter::settled)?;
                written += 1;
                last.clear();
                last.extend_from_slice(key);
                Ok(if written < wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
        }
        let end = self.first.saturating_add(written);
        if written > 0 && end < large.count {
            context.marks.set(large.prefix(), csn, end, last);
        }
        self.part(&large.description, &values, written, large.count, writer);
        Ok(())
    }

    /// Writes `written` values of `count`, if there are any.
    fn part(&self, description: &str, values: &Writer, written: u64, count: u64, writer: &mut Writer) {
        let Some(last) = written.checked_sub(1).map(|more| self.first.saturating_add(more)) else { return };
        let name = if last.saturating_add(1) >= count {
            format!("{description};range={}-*", self.first)
        } else {
            format!("{description};range={}-{last}", self.first)
        };
        writer.sequence(|writer| {
            writer.octets(name.as_bytes());
            writer.constructed(Tag::SET, |writer| writer.raw(values.as_slice()));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let table = [
            ("member", None),
            ("member;range=0-1499", Some(("member", 0, 1_500))),
            ("member;RANGE=0-1499", Some(("member", 0, 1_500))),
            ("member;range=1500-*", Some(("member", 1_500, MOST))),
            ("member;x-a;range=3-3", Some(("member;x-a", 3, 1))),
            ("member;range=0-99999", Some(("member", 0, MOST))),
            ("member;range=7-3", None),
            ("member;range=0", None),
            ("member;range=*-3", None),
            ("member;range=0-18446744073709551615", Some(("member", 0, MOST))),
            ("member;range=0-18446744073709551616", None),
        ];
        for (text, want) in table {
            let got = Range::of(&text.parse().unwrap());
            let got = got.as_ref().map(|one| (one.attribute.as_str(), one.first, one.wanted()));
            assert_eq!(got, want, "{text}");
        }
    }
}
