//! The writer. It cannot fail: lengths are patched in when a value ends.

use bytes::{BufMut, Bytes, BytesMut};
use zeroize::Zeroize;

use super::Tag;

/// Writes values one after another into a buffer that can be reused.
#[derive(Default)]
pub struct Writer {
    buffer: BytesMut,
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty writer with room for so many octets.
    #[must_use]
    pub fn with_room(octets: usize) -> Self {
        Self { buffer: BytesMut::with_capacity(octets) }
    }

    /// A writer that goes on after these octets.
    pub(crate) const fn after(buffer: BytesMut) -> Self {
        Self { buffer }
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
        let start = self.open(tag);
        body(self);
        self.close(start);
    }

    /// Begins a value with `tag`: where its contents start. They are written next, then comes [`close`](Self::close).
    #[inline]
    pub(crate) fn open(&mut self, tag: Tag) -> usize {
        self.buffer.put_slice(&[tag.0, 0]);
        self.buffer.len()
    }

    /// Writes a `SEQUENCE` whose contents `body` writes.
    pub fn sequence(&mut self, body: impl FnOnce(&mut Self)) {
        self.constructed(Tag::SEQUENCE, body);
    }

    /// Writes a primitive value.
    pub fn primitive(&mut self, tag: Tag, contents: &[u8]) {
        self.header(tag, contents.len());
        self.buffer.extend_from_slice(contents);
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
        let octets = value.to_be_bytes();
        // An octet can go while it only repeats the sign of the next one (X.690 §8.3.2).
        let spare = octets
            .windows(2)
            .take_while(|pair| {
                matches!(pair, [0, next] if next & 0x80 == 0)
                    || matches!(pair, [0xff, next] if next & 0x80 != 0)
            })
            .count();
        self.primitive(tag, octets.get(spare..).unwrap_or(&octets));
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

    /// Forgets what was written after the first `length` octets.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.buffer.truncate(length);
    }

    /// Forgets what has been written and keeps the memory. After a password, [`wipe`](Self::wipe) instead.
    pub fn clear(&mut self) {
        self.buffer.clear();
    }

    /// Overwrites all the memory this writer holds with zeros and leaves the writer empty: to be called once a message
    /// with a password has been sent.
    ///
    /// What [`take`](Self::take) handed out, and memory given back when the buffer had to grow, is out of reach: send
    /// a bind from [`as_slice`](Self::as_slice), and [`reserve`](Self::reserve) before writing it.
    pub fn wipe(&mut self) {
        self.buffer.resize(self.buffer.capacity(), 0);
        self.buffer.as_mut().zeroize();
        self.buffer.clear();
    }

    /// Makes room for `octets` more octets.
    pub fn reserve(&mut self, octets: usize) {
        self.buffer.reserve(octets);
    }

    /// Writes identifier and length octets of a value whose contents, `length` octets, are to be written next: for a
    /// value too large to be moved once its length is known.
    #[inline]
    pub fn header(&mut self, tag: Tag, length: usize) {
        if length < 0x80 {
            self.buffer.extend_from_slice(&[tag.0, length as u8]);
        } else {
            let (octets, spare) = long_length(length);
            self.buffer.put_u8(tag.0);
            self.buffer.put_slice(octets.get(spare..).unwrap_or(&octets));
        }
    }

    /// Ends a value whose contents start at `start`: puts their length into the octet before them, making room for more
    /// octets if needed.
    pub(crate) fn close(&mut self, start: usize) {
        // What was written may have been taken, with the place to patch in it; then there is nothing left to do.
        let Some(length) = self.buffer.len().checked_sub(start) else { return };
        let place = start.saturating_sub(1);
        match u8::try_from(length) {
            Ok(short) if short < 0x80 => {
                if let Some(octet) = self.buffer.get_mut(place) {
                    *octet = short;
                }
            }
            _ => {
                let (octets, spare) = long_length(length);
                let octets = octets.get(spare..).unwrap_or(&octets);
                let moved = place.saturating_add(octets.len());
                let end = self.buffer.len();
                self.buffer.resize(moved.saturating_add(length), 0);
                self.buffer.copy_within(start..end, moved);
                if let Some(target) = self.buffer.get_mut(place..moved) {
                    target.copy_from_slice(octets);
                }
            }
        }
    }
}

impl std::fmt::Debug for Writer {
    /// Prints how much there is, never what: it may be a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("len", &self.len()).finish()
    }
}

/// The long form of a length, at the end of nine octets, and how many at their front to leave out.
fn long_length(length: usize) -> ([u8; 9], usize) {
    let [a, b, c, d, e, f, g, h] = (length as u64).to_be_bytes();
    let mut octets = [0, a, b, c, d, e, f, g, h];
    let spare = octets.iter().skip(1).take(7).take_while(|octet| **octet == 0).count();
    if let Some(first) = octets.get_mut(spare) {
        *first = 0x88 - spare as u8;
    }
    (octets, spare)
}
