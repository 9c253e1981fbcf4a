//! The pull reader.

use std::ops::Range;

use bytes::Bytes;

use super::{DecodeError, DecodeErrorKind, Tag};

/// The length of the next whole message in `buffer`, header included, or `None` while its header is incomplete.
///
/// Only the header is looked at; the body may not have arrived yet.
///
/// # Errors
///
/// When the buffer does not start with a `SEQUENCE` of definite length, or the message is larger than `limit` octets,
/// its header included.
pub fn frame_length(buffer: &[u8], limit: usize) -> Result<Option<usize>, DecodeError> {
    let Some(&first) = buffer.first() else { return Ok(None) };
    if first != Tag::SEQUENCE.0 {
        let kind = DecodeErrorKind::UnexpectedTag { expected: Tag::SEQUENCE, found: Tag(first) };
        return Err(DecodeError { offset: 0, kind });
    }
    let (length, start) = match read_length(buffer, 1) {
        Ok(read) => read,
        Err(DecodeError { kind: DecodeErrorKind::Truncated, .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    match start.checked_add(length) {
        Some(end) if end <= limit => Ok(Some(end)),
        _ => Err(DecodeError { offset: 1, kind: DecodeErrorKind::MessageTooLarge }),
    }
}

/// Identifier and length of one value, checked: `start..end` lies within what was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) tag: Tag,
    /// First octet of the contents.
    pub(crate) start: usize,
    /// One past the contents.
    pub(crate) end: usize,
}

impl Header {
    /// Reads the header at `at` of a value that must end at or before `end`.
    #[inline]
    pub(crate) fn read(source: &[u8], at: usize, end: usize) -> Result<Self, DecodeError> {
        // The short form, as nearly every value has it, and two octets of length, as entries have it.
        let octets = source.get(at..).unwrap_or_default();
        let (tag, header, length) = match octets {
            [tag, length @ ..0x80, ..] => (*tag, 2, usize::from(*length)),
            [tag, 0x82, high, low, ..] => (*tag, 4, usize::from(u16::from_be_bytes([*high, *low]))),
            _ => return Self::read_any(source, at, end),
        };
        let start = at.wrapping_add(header);
        let stop = start.wrapping_add(length);
        if tag & 0x1f != 0x1f && stop <= end {
            return Ok(Self { tag: Tag(tag), start, end: stop });
        }
        Self::read_any(source, at, end)
    }

    /// As [`read`](Self::read), for every form, with the exact error.
    #[inline(never)]
    fn read_any(source: &[u8], at: usize, end: usize) -> Result<Self, DecodeError> {
        let source = source.get(..end).unwrap_or(source);
        let error = |offset, kind| Err(DecodeError { offset, kind });
        let Some(&tag) = source.get(at) else { return error(source.len(), DecodeErrorKind::Truncated) };
        if tag & 0x1f == 0x1f {
            return error(at, DecodeErrorKind::LongTag);
        }
        let (length, start) = read_length(source, at.saturating_add(1))?;
        match start.checked_add(length) {
            Some(stop) if stop <= source.len() => Ok(Self { tag: Tag(tag), start, end: stop }),
            _ => error(at.saturating_add(1), DecodeErrorKind::Truncated),
        }
    }

    /// As [`read`](Self::read), with the tag that must be there.
    #[inline]
    pub(crate) fn expect(source: &[u8], at: usize, end: usize, tag: Tag) -> Result<Self, DecodeError> {
        let header = Self::read(source, at, end);
        match header {
            Ok(header) if header.tag == tag => Ok(header),
            _ => Err(Self::unexpected(source, at, end, tag, header)),
        }
    }

    /// Another tag is the first thing wrong with a value, whatever else is.
    #[cold]
    fn unexpected(
        source: &[u8],
        at: usize,
        end: usize,
        expected: Tag,
        header: Result<Self, DecodeError>,
    ) -> DecodeError {
        match (source.get(at), header) {
            (Some(&found), _) if at < end && found != expected.0 && found & 0x1f != 0x1f => DecodeError {
                offset: at,
                kind: DecodeErrorKind::UnexpectedTag { expected, found: Tag(found) },
            },
            (_, Err(error)) => error,
            (_, Ok(header)) => DecodeError {
                offset: at,
                kind: DecodeErrorKind::UnexpectedTag { expected, found: header.tag },
            },
        }
    }
}

/// Reads the length octets at `at`: the length, and where the contents start.
///
/// The long form may be padded with zeros up to eight octets, as BER allows (X.690 §8.1.3.5); more octets than that,
/// the reserved 0xFF among them, are refused.
fn read_length(source: &[u8], at: usize) -> Result<(usize, usize), DecodeError> {
    let error = |offset, kind| Err(DecodeError { offset, kind });
    let Some(&first) = source.get(at) else { return error(source.len(), DecodeErrorKind::Truncated) };
    let start = at.saturating_add(1);
    if first < 0x80 {
        return Ok((usize::from(first), start));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 {
        return error(at, DecodeErrorKind::IndefiniteLength);
    }
    if count > size_of::<u64>() {
        return error(at, DecodeErrorKind::LengthTooLong);
    }
    let stop = start.saturating_add(count);
    let Some(octets) = source.get(start..stop) else {
        return error(source.len(), DecodeErrorKind::Truncated);
    };
    let length = octets.iter().fold(0_u64, |length, octet| length << 8 | u64::from(*octet));
    match usize::try_from(length) {
        Ok(length) => Ok((length, stop)),
        Err(_) => error(at, DecodeErrorKind::LengthTooLong),
    }
}

/// Splits the first value off octets that were checked before: its tag, its contents, and what follows.
///
/// Returns `None` at the end. Octets that were not checked give `None` or nonsense, never a panic.
#[inline]
pub(crate) fn split_checked(octets: &[u8]) -> Option<(Tag, &[u8], &[u8])> {
    let (tag, length, rest) = match octets {
        [tag, length @ ..0x80, rest @ ..] => (*tag, usize::from(*length), rest),
        [tag, 0x82, high, low, rest @ ..] => (*tag, usize::from(u16::from_be_bytes([*high, *low])), rest),
        [tag, _, ..] => return split_long(Tag(*tag), octets),
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((Tag(tag), contents, rest))
}

fn split_long(tag: Tag, octets: &[u8]) -> Option<(Tag, &[u8], &[u8])> {
    let (length, start) = read_length(octets, 1).ok()?;
    let (contents, rest) = octets.get(start..)?.split_at_checked(length)?;
    Some((tag, contents, rest))
}

/// Checks that the contents of a value are UTF-8.
#[inline]
pub(crate) fn check_text(source: &[u8], header: Header) -> Result<(), DecodeError> {
    let octets = source.get(header.start..header.end).unwrap_or_default();
    if octets.is_ascii() { Ok(()) } else { check_wide_text(octets, header.start) }
}

#[inline(never)]
fn check_wide_text(octets: &[u8], start: usize) -> Result<(), DecodeError> {
    match std::str::from_utf8(octets) {
        Ok(_) => Ok(()),
        Err(error) => {
            let offset = start.saturating_add(error.valid_up_to());
            Err(DecodeError { offset, kind: DecodeErrorKind::InvalidUtf8 })
        }
    }
}

/// Pulls values out of a region of reference-counted bytes. Offsets in errors count from the start of the bytes.
#[derive(Clone)]
pub struct Reader<'a> {
    source: &'a Bytes,
    position: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// Reads all of `source`.
    #[must_use]
    pub fn new(source: &'a Bytes) -> Self {
        Self { source, position: 0, end: source.len() }
    }

    /// Reads a part of `source`.
    pub(crate) fn within_range(source: &'a Bytes, range: Range<usize>) -> Self {
        let end = range.end.min(source.len());
        Self { source, position: range.start.min(end), end }
    }

    /// The source and the part of it that is left.
    pub(crate) fn left(&self) -> (&'a [u8], usize, usize) {
        (self.source, self.position, self.end)
    }

    /// Octets from the start of the source to the next value.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.position >= self.end
    }

    /// The tag of the next value, or `None` at the end.
    #[must_use]
    pub fn peek(&self) -> Option<Tag> {
        if self.is_empty() { None } else { self.source.get(self.position).copied().map(Tag) }
    }

    /// The error `kind` at this position, to return from a decoder built on this reader.
    #[must_use]
    pub fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { offset: self.position, kind }
    }

    /// Reads one value of any tag: its tag and a reader over its contents.
    ///
    /// # Errors
    ///
    /// When the header is malformed or the contents do not fit.
    pub fn any(&mut self) -> Result<(Tag, Self), DecodeError> {
        let header = Header::read(self.source, self.position, self.end)?;
        self.position = header.end;
        Ok((header.tag, self.within(header)))
    }

    /// Reads a value with `tag`: a reader over its contents.
    ///
    /// # Errors
    ///
    /// When the next value has another tag, is malformed, or does not fit.
    pub fn constructed(&mut self, tag: Tag) -> Result<Self, DecodeError> {
        let header = self.expect(tag)?;
        Ok(self.within(header))
    }

    /// Reads a `SEQUENCE`: a reader over its contents.
    ///
    /// # Errors
    ///
    /// As [`constructed`](Self::constructed).
    pub fn sequence(&mut self) -> Result<Self, DecodeError> {
        self.constructed(Tag::SEQUENCE)
    }

    /// Reads the contents of a primitive value with `tag`, without copying.
    ///
    /// # Errors
    ///
    /// As [`constructed`](Self::constructed).
    pub fn primitive(&mut self, tag: Tag) -> Result<Bytes, DecodeError> {
        let header = self.expect(tag)?;
        Ok(self.source.slice(header.start..header.end))
    }

    /// As [`primitive`](Self::primitive), borrowed.
    ///
    /// # Errors
    ///
    /// As [`constructed`](Self::constructed).
    pub fn primitive_slice(&mut self, tag: Tag) -> Result<&'a [u8], DecodeError> {
        let header = self.expect(tag)?;
        Ok(self.octets_of(header))
    }

    /// Reads an `OCTET STRING`.
    ///
    /// # Errors
    ///
    /// As [`constructed`](Self::constructed).
    pub fn octets(&mut self) -> Result<Bytes, DecodeError> {
        self.primitive(Tag::OCTET_STRING)
    }

    /// Reads an `OCTET STRING` that is UTF-8 text.
    ///
    /// # Errors
    ///
    /// As [`constructed`](Self::constructed), or when it is not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        self.text_tagged(Tag::OCTET_STRING)
    }

    /// Reads UTF-8 text with `tag`.
    ///
    /// # Errors
    ///
    /// As [`constructed`](Self::constructed), or when it is not UTF-8.
    pub fn text_tagged(&mut self, tag: Tag) -> Result<&'a str, DecodeError> {
        let header = self.expect(tag)?;
        std::str::from_utf8(self.octets_of(header)).map_err(|error| DecodeError {
            offset: header.start.saturating_add(error.valid_up_to()),
            kind: DecodeErrorKind::InvalidUtf8,
        })
    }

    /// Reads an `INTEGER` that fits 64 bits.
    ///
    /// # Errors
    ///
    /// As [`constructed`](Self::constructed), or when it is empty or does not fit.
    pub fn integer(&mut self) -> Result<i64, DecodeError> {
        self.integer_tagged(Tag::INTEGER)
    }

    /// Reads an integer with `tag`.
    ///
    /// # Errors
    ///
    /// As [`integer`](Self::integer).
    pub fn integer_tagged(&mut self, tag: Tag) -> Result<i64, DecodeError> {
        let out_of_range = self.error(DecodeErrorKind::IntegerOutOfRange);
        let header = self.expect(tag)?;
        let octets = self.octets_of(header);
        match octets.first() {
            Some(first) if octets.len() <= size_of::<i64>() => {
                let sign = if first & 0x80 == 0 { 0 } else { -1 };
                Ok(octets.iter().fold(sign, |value, octet| value << 8 | i64::from(*octet)))
            }
            _ => Err(out_of_range),
        }
    }

    /// Reads an `INTEGER (0 .. maxInt)` (RFC 4511 §4.1.1).
    ///
    /// # Errors
    ///
    /// As [`integer`](Self::integer), or when it is negative or above 2³¹ − 1.
    pub fn unsigned(&mut self) -> Result<u32, DecodeError> {
        self.unsigned_tagged(Tag::INTEGER)
    }

    /// Reads an `INTEGER (0 .. maxInt)` with `tag`.
    ///
    /// # Errors
    ///
    /// As [`unsigned`](Self::unsigned).
    pub fn unsigned_tagged(&mut self, tag: Tag) -> Result<u32, DecodeError> {
        let out_of_range = self.error(DecodeErrorKind::IntegerOutOfRange);
        let value = i32::try_from(self.integer_tagged(tag)?).map_err(|_| out_of_range)?;
        u32::try_from(value).map_err(|_| out_of_range)
    }

    /// Reads an `ENUMERATED`.
    ///
    /// # Errors
    ///
    /// As [`integer`](Self::integer).
    pub fn enumerated(&mut self) -> Result<i32, DecodeError> {
        let out_of_range = self.error(DecodeErrorKind::IntegerOutOfRange);
        i32::try_from(self.integer_tagged(Tag::ENUMERATED)?).map_err(|_| out_of_range)
    }

    /// Reads a `BOOLEAN`. Any octet but zero is true (RFC 4511 §5.1 asks writers for 0xFF; readers are lenient).
    ///
    /// # Errors
    ///
    /// As [`constructed`](Self::constructed), or when it is not one octet.
    pub fn boolean(&mut self) -> Result<bool, DecodeError> {
        self.boolean_tagged(Tag::BOOLEAN)
    }

    /// Reads a boolean with `tag`.
    ///
    /// # Errors
    ///
    /// As [`boolean`](Self::boolean).
    pub fn boolean_tagged(&mut self, tag: Tag) -> Result<bool, DecodeError> {
        let invalid = self.error(DecodeErrorKind::InvalidBoolean);
        let header = self.expect(tag)?;
        match self.octets_of(header) {
            [octet] => Ok(*octet != 0),
            _ => Err(invalid),
        }
    }

    /// All that is left, without copying; nothing is left afterwards.
    #[must_use]
    pub fn rest(&mut self) -> Bytes {
        let rest = self.source.slice(self.position.min(self.end)..self.end);
        self.position = self.end;
        rest
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    ///
    /// When octets are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(self.error(DecodeErrorKind::TrailingBytes)) }
    }

    /// Passes over values with context-specific tags that are left: later standards may append them, and who does
    /// not know them ignores them (RFC 4511 §4).
    ///
    /// # Errors
    ///
    /// When something else is left, or they are malformed.
    pub fn finish_extensible(mut self) -> Result<(), DecodeError> {
        while let Some(tag) = self.peek() {
            if !tag.is_context() {
                return Err(self.error(DecodeErrorKind::TrailingBytes));
            }
            self.any()?;
        }
        Ok(())
    }

    /// Reads the header of a value that must have `tag`, and goes past the value.
    fn expect(&mut self, tag: Tag) -> Result<Header, DecodeError> {
        let header = Header::expect(self.source, self.position, self.end, tag)?;
        self.position = header.end;
        Ok(header)
    }

    fn within(&self, header: Header) -> Self {
        Self { source: self.source, position: header.start, end: header.end }
    }

    fn octets_of(&self, header: Header) -> &'a [u8] {
        self.source.get(header.start..header.end).unwrap_or_default()
    }
}

impl std::fmt::Debug for Reader<'_> {
    /// Prints the place, never the octets: they may be a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("position", &self.position).field("end", &self.end).finish()
    }
}
