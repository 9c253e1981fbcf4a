//! The check of a list, once, before it is read: quick where attributes look as most do, thorough elsewhere.

use super::{
    super::known::{KEY, PADDING},
    Plain, headers_of,
};
use crate::{
    ber::{DecodeError, DecodeErrorKind, Header, Tag, check_text},
    message::Limits,
};

/// Checks, in one pass, that `source[at..end]` is the contents of an attribute list.
///
/// Trailing elements of an attribute's `SEQUENCE` that carry context-specific tags are passed over (RFC 4511 §4).
pub(crate) fn check_list(source: &[u8], at: usize, end: usize, limits: &Limits) -> Result<(), DecodeError> {
    // An attribute and a value have two octets at the least, so there cannot be too many in a short list.
    let short = |list: &&[u8]| list.len() / 2 <= limits.attributes.min(limits.values);
    let Some(mut list) = source.get(at..end).filter(short) else {
        return check_attributes(source, at, end, limits);
    };
    let mut names = 0;
    while !list.is_empty() {
        let Some(rest) = pass_plain(list, &mut names).or_else(|| pass_any(source, end - list.len(), end))
        else {
            return check_attributes(source, at, end, limits);
        };
        list = rest;
    }
    // A name that is not ASCII is seen by all of them together being not, and looked at again.
    if names & NOT_ASCII == 0 { Ok(()) } else { check_attributes(source, at, end, limits) }
}

/// As [`check_list`], attribute by attribute, with the exact error.
#[cold]
fn check_attributes(source: &[u8], at: usize, end: usize, limits: &Limits) -> Result<(), DecodeError> {
    let mut count = Count::default();
    let mut next = at;
    while next < end {
        next = check_attribute(source, next, end, limits, &mut count)?;
    }
    Ok(())
}

/// What follows the attribute at `next`, in whatever form that is, of a list too short to have too many. `None` where something
/// is wrong.
#[inline(never)]
fn pass_any(source: &[u8], next: usize, end: usize) -> Option<&[u8]> {
    let next = check_attribute(source, next, end, &Limits::DEFAULT, &mut Count::default()).ok()?;
    source.get(next..end)
}

/// What follows the first attribute of a list, where that is well formed and of the kind most are: every length in the short
/// form, the name ASCII, nothing behind the values. `None` says nothing: [`check_attribute`] decides. Neither does anything else if
/// [`NOT_ASCII`] is in what is added to `names`.
#[inline(always)]
fn pass_plain<'a>(list: &'a [u8], names: &mut u128) -> Option<&'a [u8]> {
    let Plain { behind, length, set, rest } = Plain::split(list)?;
    match (behind.first_chunk(), PADDING.get(length)) {
        (Some(first), Some(padding)) => *names |= u128::from_le_bytes(*first) & !padding,
        _ if behind.get(..length)?.is_ascii() => {}
        _ => return None,
    }
    // One value, as most attributes have: then the length of the set, which is below 0x80, tells all of both headers.
    if let Some(headers) = set.first_chunk() {
        let octets = set.len() as u8;
        if u32::from_le_bytes(*headers) == headers_of(Tag::SET, octets - 2, Tag::OCTET_STRING, octets - 4) {
            return Some(rest);
        }
    }
    let (&[tag, octets], mut values) = set.split_first_chunk()?;
    if tag != Tag::SET.0 || usize::from(octets) != values.len() {
        return None;
    }
    while let Some((&[tag, length], value)) = values.split_first_chunk() {
        if tag != Tag::OCTET_STRING.0 || length >= 0x80 {
            return None;
        }
        values = value.get(usize::from(length)..)?;
    }
    values.is_empty().then_some(rest)
}

/// The bits that are not set in ASCII.
const NOT_ASCII: u128 = u128::from_le_bytes([0x80; KEY]);

/// What a list has had so far.
#[derive(Default)]
struct Count {
    attributes: usize,
    values: usize,
}

/// Checks the attribute at `next` of a list that ends at `end`, in whatever form it is: where the next one starts.
fn check_attribute(
    source: &[u8],
    next: usize,
    end: usize,
    limits: &Limits,
    count: &mut Count,
) -> Result<usize, DecodeError> {
    if count.attributes == limits.attributes {
        return Err(DecodeError { offset: next, kind: DecodeErrorKind::TooManyAttributes });
    }
    count.attributes += 1;
    let attribute = Header::expect(source, next, end, Tag::SEQUENCE)?;
    let description = Header::expect(source, attribute.start, attribute.end, Tag::OCTET_STRING)?;
    check_text(source, description)?;
    let set = Header::expect(source, description.end, attribute.end, Tag::SET)?;
    let mut value = set.start;
    while value < set.end {
        if count.values == limits.values {
            return Err(DecodeError { offset: value, kind: DecodeErrorKind::TooManyValues });
        }
        count.values += 1;
        value = Header::expect(source, value, set.end, Tag::OCTET_STRING)?.end;
    }
    check_extension(source, set.end, attribute.end)?;
    Ok(attribute.end)
}

/// Checks that only parts with context-specific tags are at `source[at..end]`: later standards may append them, and
/// who does not know them passes over them (RFC 4511 §4).
#[inline]
pub(crate) fn check_extension(source: &[u8], at: usize, end: usize) -> Result<(), DecodeError> {
    let mut next = at;
    while next < end {
        let header = Header::read(source, next, end)?;
        if !header.tag.is_context() {
            return Err(DecodeError { offset: next, kind: DecodeErrorKind::TrailingBytes });
        }
        next = header.end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{Attributes, AttributesRef};

    #[test]
    fn lists_are_checked_once_with_offsets() {
        use DecodeErrorKind::{
            InvalidUtf8, TooManyAttributes, TooManyValues, TrailingBytes, Truncated, UnexpectedTag,
        };
        let limits = Limits { attributes: 2, values: 3, ..Limits::DEFAULT };
        let err = |offset, kind| Err(DecodeError { offset, kind });
        let unexpected = |expected, found| UnexpectedTag { expected, found: Tag(found) };
        let table: &[(&str, &[u8], Result<(), DecodeError>)] = &[
            ("empty", b"", Ok(())),
            ("one", b"\x30\x09\x04\x02cn\x31\x03\x04\x01A", Ok(())),
            ("no values", b"\x30\x06\x04\x02cn\x31\x00", Ok(())),
            ("an extension", b"\x30\x09\x04\x02cn\x31\x00\x80\x01A", Ok(())),
            ("trailing", b"\x30\x09\x04\x02cn\x31\x00\x04\x01A", err(8, TrailingBytes)),
            ("no set", b"\x30\x04\x04\x02cn", err(6, Truncated)),
            ("a sequence of values", b"\x30\x06\x04\x02cn\x30\x00", err(6, unexpected(Tag::SET, 0x30))),
            (
                "an integer value",
                b"\x30\x09\x04\x02cn\x31\x03\x02\x01A",
                err(8, unexpected(Tag::OCTET_STRING, 2)),
            ),
            ("name not UTF-8", b"\x30\x06\x04\x02c\xff\x31\x00", err(5, InvalidUtf8)),
            (
                "name not UTF-8 before another mistake",
                b"\x30\x0e\x04\x02c\xff\x31\x08\x04\x06values\x30\x06\x04\x02cn\x30\x00",
                err(5, InvalidUtf8),
            ),
            ("value past the set", b"\x30\x09\x04\x02cn\x31\x03\x04\x02A", err(9, Truncated)),
            (
                "three attributes",
                b"\x30\x06\x04\x02cn\x31\x00\x30\x06\x04\x02sn\x31\x00\x30\x06\x04\x02ou\x31\x00",
                err(16, TooManyAttributes),
            ),
            (
                "four values",
                b"\x30\x12\x04\x02cn\x31\x0c\x04\x01A\x04\x01B\x04\x01C\x04\x01D",
                err(17, TooManyValues),
            ),
        ];
        for (name, bytes, want) in table {
            assert_eq!(AttributesRef::check(bytes, &limits).map(|_| ()), *want, "{name}");
        }
    }

    proptest::proptest! {
        /// The quick look never accepts what the thorough one refuses, and misses nothing that it is for.
        #[test]
        fn plain_attributes_are_attributes(
            values in proptest::collection::vec("[ -~]{0,9}", 0..4),
            name in "[a-z]{0,20}",
            at in 0..60_usize,
            octet in 0..=0xff_u8,
        ) {
            let mut builder = Attributes::builder();
            builder.push(&name, &values);
            builder.push("sn", ["Byrne"]);
            let mut octets = builder.build().into_bytes().to_vec();
            let second = octets.len() - 15;
            let plain = |octets: &[u8]| {
                let mut names = 0;
                let left = pass_plain(octets, &mut names).map(<[u8]>::len);
                left.filter(|_| names & NOT_ASCII == 0)
            };
            assert_eq!(plain(&octets), Some(15));
            if let Some(place) = octets.get_mut(at) {
                *place = octet;
            }
            let limits = Limits::DEFAULT;
            let exact = check_attribute(&octets, 0, octets.len(), &limits, &mut Count::default());
            if let Some(left) = plain(&octets) {
                assert_eq!(exact, Ok(octets.len() - left));
            } else if at >= second {
                assert_eq!(exact, Ok(second));
            }
        }

        /// Of several things that are wrong the first is told, wherever they are.
        #[test]
        fn lists_are_checked_as_their_attributes_are(
            names in proptest::collection::vec("[a-zé]{0,20}", 1..4),
            changes in proptest::collection::vec((0..90_usize, 0..=0xff_u8), 0..4),
        ) {
            let mut builder = Attributes::builder();
            names.iter().for_each(|name| builder.push(name, ["Ada", "Byrne"]));
            let mut octets = builder.build().into_bytes().to_vec();
            for (at, octet) in changes {
                if let Some(place) = octets.get_mut(at) {
                    *place = octet;
                }
            }
            for limits in [Limits::DEFAULT, Limits { attributes: 2, values: 3, ..Limits::DEFAULT }] {
                let exact = check_attributes(&octets, 0, octets.len(), &limits);
                assert_eq!(check_list(&octets, 0, octets.len(), &limits), exact);
            }
        }
    }
}
