//! The LDAP message (RFC 4511 §4.1.1) and its operations, one file each.
//!
//! Decoding takes two steps. [`Envelope::decode`] reads id, operation tag and controls, so that whatever is wrong
//! further in can still be answered; [`Envelope::request`] and [`Envelope::response`] read the operation.

mod abandon;
mod add;
mod bind;
mod compare;
mod delete;
mod extended;
mod intermediate;
mod modify;
mod rename;
mod search;

use std::ops::Range;

use bytes::Bytes;

pub use self::{
    add::Add,
    bind::{Authentication, BindRequest, BindResponse},
    compare::Compare,
    delete::Delete,
    extended::{ExtendedRequest, ExtendedResponse},
    intermediate::IntermediateResponse,
    modify::{Change, ChangeKind, Modify},
    rename::Rename,
    search::{DerefAliases, Scope, Search},
};
use crate::{
    ber::{DecodeError, Tag, Writer},
    control::Controls,
    result::LdapResult,
};

/// The number that ties answers to their request, 0 to 2³¹ − 1 (RFC 4511 §4.1.1.1).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MessageId(pub u32);

impl MessageId {
    /// The id of notices nobody asked for (RFC 4511 §4.4).
    pub const UNSOLICITED: Self = Self(0);
    /// The largest id.
    pub const MAX: Self = Self(0x7fff_ffff);
}

/// What a decoder is willing to take from a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Octets of one message. 20 MiB.
    pub message: usize,
    /// Levels of a filter. 1,000.
    pub depth: usize,
    /// Controls on one message. 100.
    pub controls: usize,
    /// Attributes of one entry, elements of one selection, changes of one modify. 10,000.
    pub attributes: usize,
    /// Values of one entry. 5,000,000.
    pub values: usize,
}

impl Limits {
    /// The limits both sides start with.
    pub const DEFAULT: Self =
        Self { message: 20 << 20, depth: 1000, controls: 100, attributes: 10_000, values: 5_000_000 };

    /// These limits with messages of at most `octets`.
    #[must_use]
    pub const fn with_message(mut self, octets: usize) -> Self {
        self.message = octets;
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A request, as a listener receives it and a client sends it.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the operations of LDAPv3 are closed")]
pub enum Request {
    /// RFC 4511 §4.2.
    Bind(BindRequest),
    /// RFC 4511 §4.3.
    Unbind,
    /// RFC 4511 §4.5.1.
    Search(Search),
    /// RFC 4511 §4.6.
    Modify(Modify),
    /// RFC 4511 §4.7.
    Add(Add),
    /// RFC 4511 §4.8.
    Delete(Delete),
    /// RFC 4511 §4.9.
    Rename(Rename),
    /// RFC 4511 §4.10.
    Compare(Compare),
    /// RFC 4511 §4.11.
    Abandon(MessageId),
    /// RFC 4511 §4.12.
    Extended(ExtendedRequest),
}

/// An answer, as a client receives it and a listener sends it.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the answers of LDAPv3 are closed")]
pub enum Response {
    /// RFC 4511 §4.2.2.
    Bind(BindResponse),
    /// One item of a search; decode it with [`crate::batch::BatchBuilder::add`].
    SearchItem,
    /// RFC 4511 §4.5.2.
    SearchDone(LdapResult),
    /// RFC 4511 §4.6.
    Modify(LdapResult),
    /// RFC 4511 §4.7.
    Add(LdapResult),
    /// RFC 4511 §4.8.
    Delete(LdapResult),
    /// RFC 4511 §4.9.
    Rename(LdapResult),
    /// RFC 4511 §4.10.
    Compare(LdapResult),
    /// RFC 4511 §4.12; with id 0 an unsolicited notification.
    Extended(ExtendedResponse),
    /// RFC 4511 §4.13, outside a search (inside one it is an item too).
    Intermediate(IntermediateResponse),
}

/// A message whose outside has been read: the id, which operation it is, and where its parts stand.
#[derive(Clone, Debug)]
pub struct Envelope {
    bytes: Bytes,
    /// The id.
    pub id: MessageId,
    /// The tag of the operation.
    pub tag: Tag,
    op: Range<usize>,
    controls: Range<usize>,
}

impl Envelope {
    /// Reads the outside of the message that fills `bytes` exactly (see [`crate::ber::frame_length`]).
    ///
    /// # Errors
    ///
    /// When it is not a message. Then nothing can be answered but a Notice of Disconnection (RFC 4511 §4.1.1).
    pub fn decode(bytes: Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        let _ = limits;
        todo!("{bytes:?}")
    }

    /// Where the operation stands in the message, tag and length included.
    #[must_use]
    pub fn op_range(&self) -> Range<usize> {
        self.op.clone()
    }

    /// Where the contents of `controls [0]` stand in the message; empty where there are none.
    #[must_use]
    pub fn controls_range(&self) -> Range<usize> {
        self.controls.clone()
    }

    /// The controls.
    ///
    /// # Errors
    ///
    /// When they are malformed or too many.
    pub fn controls(&self, limits: &Limits) -> Result<Controls, DecodeError> {
        let _ = (limits, &self.bytes);
        todo!()
    }

    /// Reads the operation as a request.
    ///
    /// # Errors
    ///
    /// When it is malformed or not a request. [`is_operation_error`](crate::ber::DecodeErrorKind::is_operation_error)
    /// tells the errors that one operation can be refused for.
    pub fn request(&self, limits: &Limits) -> Result<Request, DecodeError> {
        let _ = limits;
        todo!()
    }

    /// Reads the operation as an answer.
    ///
    /// # Errors
    ///
    /// When it is malformed or not an answer.
    pub fn response(&self, limits: &Limits) -> Result<Response, DecodeError> {
        let _ = limits;
        todo!()
    }
}

impl Request {
    /// Writes the whole message.
    pub fn encode(&self, id: MessageId, controls: &Controls, writer: &mut Writer) {
        let _ = (id, controls, writer);
        todo!()
    }
}

impl Response {
    /// Writes the whole message. For [`Response::SearchItem`] use [`encode_item`].
    pub fn encode(&self, id: MessageId, controls: &Controls, writer: &mut Writer) {
        let _ = (id, controls, writer);
        todo!()
    }
}

/// Writes the message for one item of a search, copying what is encoded already.
pub fn encode_item(id: MessageId, item: crate::batch::ItemRef<'_>, writer: &mut Writer) {
    let _ = (id, item, writer);
    todo!()
}
