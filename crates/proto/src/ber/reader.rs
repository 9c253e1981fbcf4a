//! The pull reader.

use bytes::Bytes;

use super::{DecodeError, Tag};

/// The length of the next whole message in `buffer`, header included, or `None` while its header is incomplete.
///
/// Only the header is looked at; the body may not have arrived yet.
///
/// # Errors
///
/// When the buffer does not start with a `SEQUENCE` of definite length, or the message is larger than `limit` octets.
pub fn frame_length(buffer: &[u8], limit: usize) -> Result<Option<usize>, DecodeError> {
    todo!("{buffer:?} {limit}")
}

/// Pulls values out of a region of reference-counted bytes. Offsets in errors count from the start of the bytes.
#[derive(Clone, Debug)]
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
        todo!()
    }

    /// The error `kind` at this position, to return from a decoder built on this reader.
    #[must_use]
    pub fn error(&self, kind: super::DecodeErrorKind) -> DecodeError {
        DecodeError { offset: self.position, kind }
    }

    /// Reads one value of any tag: its tag and a reader over its contents.
    ///
    /// # Errors
    ///
    /// When the header is malformed or the contents do not fit.
    pub fn any(&mut self) -> Result<(Tag, Self), DecodeError> {
        todo!()
    }

    /// Reads a value with `tag`: a reader over its contents.
    ///
    /// # Errors
    ///
    /// When the next value has another tag, is malformed, or does not fit.
    pub fn constructed(&mut self, tag: Tag) -> Result<Self, DecodeError> {
        todo!("{tag:?}")
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
        todo!("{tag:?}")
    }

    /// As [`primitive`](Self::primitive), borrowed.
    ///
    /// # Errors
    ///
    /// As [`constructed`](Self::constructed).
    pub fn primitive_slice(&mut self, tag: Tag) -> Result<&'a [u8], DecodeError> {
        todo!("{tag:?}")
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
        todo!("{tag:?}")
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
        todo!("{tag:?}")
    }

    /// Reads an `INTEGER (0 .. maxInt)` (RFC 4511 §4.1.1).
    ///
    /// # Errors
    ///
    /// As [`integer`](Self::integer), or when it is negative or above 2³¹ − 1.
    pub fn unsigned(&mut self) -> Result<u32, DecodeError> {
        todo!()
    }

    /// Reads an `ENUMERATED`.
    ///
    /// # Errors
    ///
    /// As [`integer`](Self::integer).
    pub fn enumerated(&mut self) -> Result<i32, DecodeError> {
        todo!()
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
        todo!("{tag:?}")
    }

    /// All that is left, without copying; nothing is left afterwards.
    #[must_use]
    pub fn rest(&mut self) -> Bytes {
        todo!()
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    ///
    /// When octets are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        todo!()
    }
}
