//! What one read delivered of a search: entries, references and intermediate responses, in wire order.
//!
//! A batch is one buffer and a list of places in it. Handing it over costs the same whether it holds one entry or a
//! thousand, and each item can be copied onto another connection without being decoded again.

use bytes::Bytes;

use crate::{
    ber::DecodeError,
    control::Controls,
    entry::{Entry, EntryRef},
    message::{IntermediateResponse, Limits},
};

/// Items of a search answer, in wire order.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Bytes,
    items: Vec<Place>,
}

/// Where one item stands in the buffer. Checked when it was added.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The operation: `SearchResultEntry`, `SearchResultReference` or `IntermediateResponse`, tag and length included.
    op: (u32, u32),
    /// The contents of `controls [0]`; empty where there are none.
    controls: (u32, u32),
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

    /// The item at `index`, or `None` past the end.
    #[must_use]
    pub fn item(&self, index: usize) -> Option<ItemRef<'_>> {
        let place = *self.items.get(index)?;
        Some(ItemRef { batch: self, place })
    }

    /// The entries, in wire order.
    pub fn entries(&self) -> impl Iterator<Item = EntryRef<'_>> {
        self.iter().filter_map(|item| match item.get() {
            Item::Entry(entry) => Some(entry),
            _ => None,
        })
    }
}

impl<'a> ItemRef<'a> {
    /// The item.
    #[must_use]
    pub fn get(self) -> Item<'a> {
        let _ = self.place.controls;
        todo!("{:?} {:?}", self.batch, self.place)
    }

    /// The item as an entry that shares the batch's buffer, or `None` if it is something else.
    #[must_use]
    pub fn to_entry(self) -> Option<Entry> {
        todo!()
    }

    /// The controls sent with this item.
    #[must_use]
    pub fn controls(self) -> Controls {
        todo!()
    }

    /// The operation as it stood on the wire, tag and length included: what a proxy copies.
    #[must_use]
    pub fn op_bytes(self) -> &'a [u8] {
        todo!("{:?}", self.place.op)
    }

    /// The contents of `controls [0]` as they stood on the wire; empty where there were none.
    #[must_use]
    pub fn controls_bytes(self) -> &'a [u8] {
        todo!()
    }
}

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
    /// # Errors
    ///
    /// When there is no well-formed entry, reference or intermediate response.
    pub fn add(
        &mut self,
        op: std::ops::Range<usize>,
        controls: std::ops::Range<usize>,
        limits: &Limits,
    ) -> Result<(), DecodeError> {
        let _ = (op, controls, limits, &self.batch.items);
        todo!()
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

/// Writes the items of a [`Batch`] that does not come from a wire: the store's way of answering.
#[derive(Debug, Default)]
pub struct BatchWriter {
    writer: crate::ber::Writer,
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
    /// with [`Writer::raw`](crate::ber::Writer::raw) or write them one by one.
    pub fn entry(&mut self, dn: &str, controls: &Controls, body: impl FnOnce(&mut crate::ber::Writer)) {
        let _ = (dn, controls, body);
        todo!()
    }

    /// Adds a reference.
    pub fn reference(&mut self, urls: &[String], controls: &Controls) {
        let _ = (urls, controls);
        todo!()
    }

    /// Takes what was written as a batch, leaving the writer empty.
    #[must_use]
    pub fn take(&mut self) -> Batch {
        todo!()
    }
}
