//! What one read delivered of a search: entries, references and intermediate responses, in wire order.
//!
//! A batch is one buffer and a list of places in it. Handing it over costs the same whether it holds one entry or a
//! thousand, and each item can be copied onto another connection without being decoded again.

use bytes::Bytes;

use crate::{
    attribute::{Attributes, AttributesRef, check_extension, check_list},
    ber::{DecodeError, DecodeErrorKind, Header, Reader, Tag, Writer, check_text, split_checked},
    control::Controls,
    entry::{Entry, EntryRef},
    message::{
        INTERMEDIATE_RESPONSE, IntermediateResponse, Limits, SEARCH_RESULT_ENTRY, SEARCH_RESULT_REFERENCE,
    },
};

/// Items of a search answer, in wire order.
#[derive(Clone, Default)]
pub struct Batch {
    bytes: Bytes,
    items: Vec<Place>,
}

/// Where one item stands in the buffer. Checked when it was added.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The operation: `SearchResultEntry`, `SearchResultReference` or `IntermediateResponse`, tag and length included.
    op: (usize, usize),
    /// The contents of `controls [0]`; empty where there are none.
    controls: (usize, usize),
}

/// One item of a [`Batch`].
#[derive(Clone, Copy)]
pub struct ItemRef<'a> {
    batch: &'a Batch,
    place: Place,
}

/// What an item is.
#[derive(Clone)]
#[non_exhaustive]
pub enum Item<'a> {
    /// An entry.
    Entry(EntryRef<'a>),
    /// Other servers to ask: LDAP URLs as sent (RFC 4511 §4.5.3).
    Reference(Vec<&'a str>),
    /// Something an extension sends in between (RFC 4511 §4.13).
    Intermediate(IntermediateResponse),
}

impl Batch {
    /// The number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Octets of the buffer this batch keeps alive; what bounds on queues count.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The items, in wire order.
    pub fn iter(&self) -> impl Iterator<Item = ItemRef<'_>> {
        self.items.iter().map(|place| ItemRef { batch: self, place: *place })
    }

    /// Keeps the items that `keep` says, in their order.
    pub fn retain(&mut self, mut keep: impl FnMut(ItemRef<'_>) -> bool) {
        let mut items = std::mem::take(&mut self.items);
        items.retain(|place| keep(ItemRef { batch: self, place: *place }));
        self.items = items;
    }

    /// The item at `index`, or `None` past the end.
    #[must_use]
    pub fn item(&self, index: usize) -> Option<ItemRef<'_>> {
        let place = *self.items.get(index)?;
        Some(ItemRef { batch: self, place })
    }

    /// The entries, in wire order.
    pub fn entries(&self) -> impl Iterator<Item = EntryRef<'_>> {
        self.iter().filter_map(ItemRef::entry)
    }
}

impl std::fmt::Debug for Batch {
    /// Prints how much there is, never what: values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("len", &self.len()).field("size", &self.size()).finish()
    }
}

impl<'a> ItemRef<'a> {
    /// The item.
    #[must_use]
    #[inline]
    pub fn get(self) -> Item<'a> {
        let Some((tag, contents, _)) = split_checked(self.op_bytes()) else { return Item::nothing() };
        match tag {
            SEARCH_RESULT_ENTRY => Item::Entry(read_entry(contents)),
            SEARCH_RESULT_REFERENCE => Item::Reference(read_reference(contents)),
            _ => self.intermediate().map_or(Item::nothing(), Item::Intermediate),
        }
    }

    /// The item as an entry, or `None` if it is something else.
    #[must_use]
    #[inline]
    pub fn entry(self) -> Option<EntryRef<'a>> {
        match split_checked(self.op_bytes())? {
            (SEARCH_RESULT_ENTRY, contents, _) => Some(read_entry(contents)),
            _ => None,
        }
    }

    /// The item as an entry that shares the batch's buffer, or `None` if it is something else.
    #[must_use]
    pub fn to_entry(self) -> Option<Entry> {
        let entry = self.entry()?;
        let bytes = &self.batch.bytes;
        let attributes = Attributes::from_checked(bytes.slice_ref(entry.attributes().as_bytes()));
        Some(Entry::from_checked(bytes.slice_ref(entry.dn_str().as_bytes()), attributes))
    }

    /// The controls sent with this item.
    #[must_use]
    pub fn controls(self) -> Controls {
        let (start, end) = self.place.controls;
        if start == end {
            return Controls::none();
        }
        // They were checked, and counted, when the item was added.
        let limits = Limits { controls: usize::MAX, ..Limits::DEFAULT };
        Controls::decode(Reader::within_range(&self.batch.bytes, start..end), &limits).unwrap_or_default()
    }

    /// The operation as it stood on the wire, tag and length included: what a proxy copies.
    #[must_use]
    #[inline]
    pub fn op_bytes(self) -> &'a [u8] {
        let (start, end) = self.place.op;
        self.batch.bytes.get(start..end).unwrap_or_default()
    }

    /// The contents of `controls [0]` as they stood on the wire; empty where there were none.
    #[must_use]
    pub fn controls_bytes(self) -> &'a [u8] {
        let (start, end) = self.place.controls;
        self.batch.bytes.get(start..end).unwrap_or_default()
    }

    fn intermediate(self) -> Option<IntermediateResponse> {
        let (start, end) = self.place.op;
        let (_, contents) = Reader::within_range(&self.batch.bytes, start..end).any().ok()?;
        IntermediateResponse::decode(contents).ok()
    }
}

impl Item<'_> {
    /// What octets that nobody checked read as. There are none: see [`Place`].
    const fn nothing() -> Self {
        Self::Intermediate(IntermediateResponse { oid: None, value: None })
    }
}

/// Reads the contents of a checked `SearchResultEntry`.
#[inline]
fn read_entry(contents: &[u8]) -> EntryRef<'_> {
    let (_, dn, rest) = split_checked(contents).unwrap_or((Tag::NULL, &[], &[]));
    let (_, attributes, _) = split_checked(rest).unwrap_or((Tag::NULL, &[], &[]));
    EntryRef::new(std::str::from_utf8(dn).unwrap_or_default(), AttributesRef::from_checked(attributes))
}

/// Reads the contents of a checked `SearchResultReference`.
fn read_reference(contents: &[u8]) -> Vec<&str> {
    let mut left = contents;
    std::iter::from_fn(|| {
        let (_, url, rest) = split_checked(left)?;
        left = rest;
        std::str::from_utf8(url).ok()
    })
    .collect()
}

/// The most items that room is made for before they are seen.
const LIKELY_ITEMS: usize = 512;

/// Collects items into a [`Batch`].
#[derive(Debug, Default)]
pub struct BatchBuilder {
    batch: Batch,
}

impl BatchBuilder {
    /// Items all of which stand in `bytes`: a receive buffer.
    #[must_use]
    pub fn over(bytes: Bytes) -> Self {
        Self { batch: Batch { bytes, items: Vec::new() } }
    }

    /// Adds the operation found at `op` (tag and length included) with the contents of its controls at `controls`,
    /// both counted from the start of the buffer.
    ///
    /// All of it is checked here, in one pass, so that reading the batch cannot fail.
    ///
    /// # Errors
    ///
    /// When there is no well-formed entry, reference or intermediate response. Offsets count from the start of the
    /// buffer.
    pub fn add(
        &mut self,
        op: std::ops::Range<usize>,
        controls: std::ops::Range<usize>,
        limits: &Limits,
    ) -> Result<(), DecodeError> {
        let bytes = &self.batch.bytes;
        match plain_list(bytes, &op) {
            Some(list) => check_list(bytes, list, op.end, limits)?,
            None => check_item(bytes, &op, limits)?,
        }
        if !controls.is_empty() {
            if controls.end > bytes.len() {
                return Err(DecodeError { offset: bytes.len(), kind: DecodeErrorKind::Truncated });
            }
            Controls::check(Reader::within_range(bytes, controls.clone()), limits)?;
        }
        if self.batch.items.is_empty() {
            // What else is in the buffer tends to be of the same size.
            let likely = bytes.len() / op.len().max(1);
            self.batch.items.reserve_exact(likely.clamp(1, LIKELY_ITEMS));
        }
        self.batch.items.push(Place { op: (op.start, op.end), controls: (controls.start, controls.end) });
        Ok(())
    }

    /// The number of items so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// The batch.
    #[must_use]
    pub fn build(self) -> Batch {
        self.batch
    }
}

/// Where the attributes start of an entry of the kind most are: well formed up to there, and with nothing behind them. `None`
/// says nothing: [`check_item`] decides.
#[inline]
fn plain_list(bytes: &[u8], op: &std::ops::Range<usize>) -> Option<usize> {
    let (SEARCH_RESULT_ENTRY, entry, []) = split_checked(bytes.get(op.clone())?)? else { return None };
    let (Tag::OCTET_STRING, dn, rest) = split_checked(entry)? else { return None };
    let (Tag::SEQUENCE, list, []) = split_checked(rest)? else { return None };
    dn.is_ascii().then_some(op.end.saturating_sub(list.len()))
}

/// Checks an item of any kind and form.
#[inline(never)]
fn check_item(bytes: &Bytes, op: &std::ops::Range<usize>, limits: &Limits) -> Result<(), DecodeError> {
    let header = Header::read(bytes, op.start, op.end.min(bytes.len()))?;
    match header.tag {
        SEARCH_RESULT_ENTRY => check_entry(bytes, header, limits)?,
        SEARCH_RESULT_REFERENCE => check_reference(bytes, header, limits)?,
        INTERMEDIATE_RESPONSE => {
            IntermediateResponse::decode(Reader::within_range(bytes, header.start..header.end)).map(drop)?;
        }
        tag => {
            return Err(DecodeError { offset: op.start, kind: DecodeErrorKind::UnknownOperation(tag) });
        }
    }
    if header.end != op.end {
        return Err(DecodeError { offset: header.end, kind: DecodeErrorKind::TrailingBytes });
    }
    Ok(())
}

/// Checks the contents of a `SearchResultEntry`.
fn check_entry(bytes: &[u8], entry: Header, limits: &Limits) -> Result<(), DecodeError> {
    let dn = Header::expect(bytes, entry.start, entry.end, Tag::OCTET_STRING)?;
    check_text(bytes, dn)?;
    let list = Header::expect(bytes, dn.end, entry.end, Tag::SEQUENCE)?;
    check_list(bytes, list.start, list.end, limits)?;
    check_extension(bytes, list.end, entry.end)
}

/// Checks the contents of a `SearchResultReference`.
fn check_reference(bytes: &[u8], reference: Header, limits: &Limits) -> Result<(), DecodeError> {
    let mut next = reference.start;
    let mut left = limits.attributes;
    while next < reference.end {
        left = match left.checked_sub(1) {
            Some(left) => left,
            None => return Err(DecodeError { offset: next, kind: DecodeErrorKind::TooManyValues }),
        };
        let url = Header::expect(bytes, next, reference.end, Tag::OCTET_STRING)?;
        check_text(bytes, url)?;
        next = url.end;
    }
    Ok(())
}

/// Writes the items of a [`Batch`] that does not come from a wire: the store's way of answering.
#[derive(Debug, Default)]
pub struct BatchWriter {
    writer: Writer,
    items: Vec<Place>,
}

impl BatchWriter {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Octets written so far.
    #[must_use]
    pub fn size(&self) -> usize {
        self.writer.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds an entry whose attributes `body` writes, each as `SEQUENCE { type, SET OF value }`: copy them in wire form
    /// with [`Writer::raw`] or write them one by one.
    pub fn entry(&mut self, dn: &str, controls: &Controls, body: impl FnOnce(&mut Writer)) {
        self.item(SEARCH_RESULT_ENTRY, controls, |writer| {
            writer.octets(dn.as_bytes());
            writer.sequence(body);
        });
    }

    /// Adds a reference.
    pub fn reference(&mut self, urls: &[String], controls: &Controls) {
        self.item(SEARCH_RESULT_REFERENCE, controls, |writer| {
            for url in urls {
                writer.octets(url.as_bytes());
            }
        });
    }

    /// Takes back the item that was added last: one that could not be written as a whole.
    pub fn take_back(&mut self) {
        if let Some(Place { op: (start, _), .. }) = self.items.pop() {
            self.writer.truncate(start);
        }
    }

    /// Takes what was written as a batch, leaving the writer empty.
    #[must_use]
    pub fn take(&mut self) -> Batch {
        Batch { bytes: self.writer.take(), items: std::mem::take(&mut self.items) }
    }

    fn item(&mut self, tag: Tag, controls: &Controls, body: impl FnOnce(&mut Writer)) {
        let start = self.writer.len();
        self.writer.constructed(tag, body);
        let end = self.writer.len();
        controls.encode(&mut self.writer);
        self.items.push(Place { op: (start, end), controls: (end, self.writer.len()) });
    }
}
