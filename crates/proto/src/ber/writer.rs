//! The writer. It cannot fail: lengths are patched in when a value ends.

use bytes::{Bytes, BytesMut};

use super::Tag;

/// Writes values one after another into a buffer that can be reused.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: BytesMut,
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Octets written since the last [`take`](Self::take).
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether nothing has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// What has been written.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes what has been written, leaving the writer empty.
    #[must_use]
    pub fn take(&mut self) -> Bytes {
        self.buffer.split().freeze()
    }

    /// Writes a value with `tag` whose contents `body` writes.
    pub fn constructed(&mut self, tag: Tag, body: impl FnOnce(&mut Self)) {
        let _ = body;
        todo!("{tag:?}")
    }

    /// Writes a `SEQUENCE` whose contents `body` writes.
    pub fn sequence(&mut self, body: impl FnOnce(&mut Self)) {
        self.constructed(Tag::SEQUENCE, body);
    }

    /// Writes a primitive value.
    pub fn primitive(&mut self, tag: Tag, contents: &[u8]) {
        todo!("{tag:?} {contents:?}")
    }

    /// Writes an `OCTET STRING`.
    pub fn octets(&mut self, contents: &[u8]) {
        self.primitive(Tag::OCTET_STRING, contents);
    }

    /// Writes an `INTEGER`, in the fewest octets.
    pub fn integer(&mut self, value: i64) {
        self.integer_tagged(Tag::INTEGER, value);
    }

    /// Writes an integer with `tag`, in the fewest octets.
    pub fn integer_tagged(&mut self, tag: Tag, value: i64) {
        todo!("{tag:?} {value}")
    }

    /// Writes an `ENUMERATED`.
    pub fn enumerated(&mut self, value: i32) {
        self.integer_tagged(Tag::ENUMERATED, i64::from(value));
    }

    /// Writes a `BOOLEAN`; true is 0xFF (RFC 4511 §5.1).
    pub fn boolean(&mut self, value: bool) {
        self.boolean_tagged(Tag::BOOLEAN, value);
    }

    /// Writes a boolean with `tag`.
    pub fn boolean_tagged(&mut self, tag: Tag, value: bool) {
        self.primitive(tag, if value { &[0xff] } else { &[0] });
    }

    /// Copies octets that are encoded already.
    pub fn raw(&mut self, encoded: &[u8]) {
        self.buffer.extend_from_slice(encoded);
    }
}
