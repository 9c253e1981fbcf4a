//! The LDAP message (RFC 4511 §4.1.1) and its operations, one file each.
//!
//! Decoding takes two steps. [`Envelope::decode`] reads id, operation tag and controls, so that whatever is wrong
//! further in can still be answered; [`Envelope::request`] and [`Envelope::response`] read the operation.

mod abandon;
mod add;
mod answer;
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

use self::answer::{Answer, encode_result};
pub(crate) use self::modify::MAX_VALUES as MAX_VALUES_OF_MODIFY;
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
    attribute::AttributeDescription,
    ber::{DecodeError, DecodeErrorKind, Header, Reader, Tag, Writer, split_checked},
    control::Controls,
    dn::{Dn, Rdn},
    result::LdapResult,
};

const BIND_REQUEST: Tag = Tag::application_constructed(0);
const BIND_RESPONSE: Tag = Tag::application_constructed(1);
const UNBIND_REQUEST: Tag = Tag::application(2);
const SEARCH_REQUEST: Tag = Tag::application_constructed(3);
pub(crate) const SEARCH_RESULT_ENTRY: Tag = Tag::application_constructed(4);
const SEARCH_RESULT_DONE: Tag = Tag::application_constructed(5);
const MODIFY_REQUEST: Tag = Tag::application_constructed(6);
const MODIFY_RESPONSE: Tag = Tag::application_constructed(7);
const ADD_REQUEST: Tag = Tag::application_constructed(8);
const ADD_RESPONSE: Tag = Tag::application_constructed(9);
const DEL_REQUEST: Tag = Tag::application(10);
const DEL_RESPONSE: Tag = Tag::application_constructed(11);
const MODIFY_DN_REQUEST: Tag = Tag::application_constructed(12);
const MODIFY_DN_RESPONSE: Tag = Tag::application_constructed(13);
const COMPARE_REQUEST: Tag = Tag::application_constructed(14);
const COMPARE_RESPONSE: Tag = Tag::application_constructed(15);
const ABANDON_REQUEST: Tag = Tag::application(16);
pub(crate) const SEARCH_RESULT_REFERENCE: Tag = Tag::application_constructed(19);
const EXTENDED_REQUEST: Tag = Tag::application_constructed(23);
const EXTENDED_RESPONSE: Tag = Tag::application_constructed(24);
pub(crate) const INTERMEDIATE_RESPONSE: Tag = Tag::application_constructed(25);
/// `controls [0]` of a message.
const CONTROLS: Tag = Tag::context_constructed(0);

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
    /// Attributes of one entry, elements of one selection, changes of one modify, URLs of one referral. 10,000.
    pub attributes: usize,
    /// Values of one entry. 5,000,000; of one modify, whose values are kept one by one, never more than 1,048,576.
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
#[derive(Clone)]
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
    /// Parts behind the operation that are not known are passed over (RFC 4511 §4).
    ///
    /// # Errors
    ///
    /// When it is not a message. Then nothing can be answered but a Notice of Disconnection (RFC 4511 §4.1.1).
    pub fn decode(bytes: Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        if bytes.len() > limits.message {
            return Err(DecodeError { offset: 0, kind: DecodeErrorKind::MessageTooLarge });
        }
        if let Some((id, tag, start)) = read_plain(&bytes) {
            let end = bytes.len();
            return Ok(Self { id, tag, op: start..end, controls: end..end, bytes });
        }
        let mut outside = Reader::new(&bytes);
        let mut message = outside.sequence()?;
        outside.finish()?;
        let id = MessageId(message.unsigned()?);
        let (source, start, end) = message.left();
        let Header { tag, end: op_end, .. } = Header::read(source, start, end)?;
        let controls = if op_end == end { end..end } else { find_controls(&bytes, op_end..end)? };
        Ok(Self { id, tag, op: start..op_end, controls, bytes })
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
        Controls::decode(Reader::within_range(&self.bytes, self.controls_range()), limits)
    }

    /// Reads the operation as a request.
    ///
    /// # Errors
    ///
    /// When it is malformed or not a request. [`is_operation_error`](crate::ber::DecodeErrorKind::is_operation_error)
    /// tells the errors that one operation can be refused for.
    pub fn request(&self, limits: &Limits) -> Result<Request, DecodeError> {
        let op = self.op();
        let (_, contents) = op.clone().any()?;
        match self.tag {
            BIND_REQUEST => BindRequest::decode(contents).map(Request::Bind),
            UNBIND_REQUEST => contents.finish().map(|()| Request::Unbind),
            SEARCH_REQUEST => Search::decode(contents, limits).map(Request::Search),
            MODIFY_REQUEST => Modify::decode(contents, limits).map(Request::Modify),
            ADD_REQUEST => Add::decode(contents, limits).map(Request::Add),
            DEL_REQUEST => Delete::decode(op).map(Request::Delete),
            MODIFY_DN_REQUEST => Rename::decode(contents).map(Request::Rename),
            COMPARE_REQUEST => Compare::decode(contents).map(Request::Compare),
            ABANDON_REQUEST => abandon::decode(op).map(Request::Abandon),
            EXTENDED_REQUEST => ExtendedRequest::decode(contents).map(Request::Extended),
            tag => Err(op.error(DecodeErrorKind::UnknownOperation(tag))),
        }
    }

    /// Reads the operation as an answer. An item of a search is not looked into.
    ///
    /// # Errors
    ///
    /// When it is malformed or not an answer.
    pub fn response(&self, limits: &Limits) -> Result<Response, DecodeError> {
        let op = self.op();
        let (_, contents) = op.clone().any()?;
        let result = |contents| Answer::decode(contents, limits).map(|answer| answer.result);
        match self.tag {
            BIND_RESPONSE => BindResponse::decode(contents, limits).map(Response::Bind),
            SEARCH_RESULT_ENTRY | SEARCH_RESULT_REFERENCE => Ok(Response::SearchItem),
            SEARCH_RESULT_DONE => result(contents).map(Response::SearchDone),
            MODIFY_RESPONSE => result(contents).map(Response::Modify),
            ADD_RESPONSE => result(contents).map(Response::Add),
            DEL_RESPONSE => result(contents).map(Response::Delete),
            MODIFY_DN_RESPONSE => result(contents).map(Response::Rename),
            COMPARE_RESPONSE => result(contents).map(Response::Compare),
            EXTENDED_RESPONSE => {
                let outside = Reader::within_range(&self.bytes, self.op.end..self.bytes.len());
                ExtendedResponse::decode(contents, outside, limits).map(Response::Extended)
            }
            INTERMEDIATE_RESPONSE => IntermediateResponse::decode(contents).map(Response::Intermediate),
            tag => Err(op.error(DecodeErrorKind::UnknownOperation(tag))),
        }
    }

    fn op(&self) -> Reader<'_> {
        Reader::within_range(&self.bytes, self.op_range())
    }
}

impl std::fmt::Debug for Envelope {
    /// Prints id and operation, never the octets: they may be a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Envelope").field("id", &self.id).field("tag", &self.tag).finish_non_exhaustive()
    }
}

/// Id, operation and where that starts, of a message of the kind most are: well formed, and with nothing behind the operation.
/// `None` says nothing.
#[inline]
fn read_plain(message: &[u8]) -> Option<(MessageId, Tag, usize)> {
    let (Tag::SEQUENCE, contents, []) = split_checked(message)? else { return None };
    let (Tag::INTEGER, id, op) = split_checked(contents)? else { return None };
    let (tag, _, []) = split_checked(op)? else { return None };
    if tag.0 & 0x1f == 0x1f {
        return None;
    }
    let id = match *id {
        [low @ ..0x80] => u32::from(low),
        [high @ ..0x80, low] => u32::from_be_bytes([0, 0, high, low]),
        [high @ ..0x80, middle, low] => u32::from_be_bytes([0, high, middle, low]),
        [high @ ..0x80, more, middle, low] => u32::from_be_bytes([high, more, middle, low]),
        _ => return None,
    };
    Some((MessageId(id), tag, message.len().saturating_sub(op.len())))
}

/// Finds the contents of `controls [0]` among the parts behind the operation.
fn find_controls(bytes: &Bytes, behind: Range<usize>) -> Result<Range<usize>, DecodeError> {
    let mut controls = None;
    let mut reader = Reader::within_range(bytes, behind.clone());
    while let Some(tag) = reader.peek() {
        // Controls twice: one of the two would be lost, and it could be critical.
        if !tag.is_context() || tag == CONTROLS && controls.is_some() {
            return Err(reader.error(DecodeErrorKind::TrailingBytes));
        }
        let (_, part) = reader.any()?;
        if tag == CONTROLS {
            let (_, start, end) = part.left();
            controls = Some(start..end);
        }
    }
    Ok(controls.unwrap_or(behind.end..behind.end))
}

impl Request {
    /// Writes the whole message.
    ///
    /// After a [`Request::Bind`] the writer holds a password: see [`Writer::wipe`].
    pub fn encode(&self, id: MessageId, controls: &Controls, writer: &mut Writer) {
        if let Self::Bind(bind) = self {
            writer.reserve(bind.size_bound() + controls.size_bound());
        }
        encode_message(id, controls, writer, |writer| match self {
            Self::Bind(request) => writer.constructed(BIND_REQUEST, |writer| request.encode(writer)),
            Self::Unbind => writer.primitive(UNBIND_REQUEST, b""),
            Self::Search(request) => writer.constructed(SEARCH_REQUEST, |writer| request.encode(writer)),
            Self::Modify(request) => writer.constructed(MODIFY_REQUEST, |writer| request.encode(writer)),
            Self::Add(request) => writer.constructed(ADD_REQUEST, |writer| request.encode(writer)),
            Self::Delete(request) => request.encode(writer),
            Self::Rename(request) => writer.constructed(MODIFY_DN_REQUEST, |writer| request.encode(writer)),
            Self::Compare(request) => writer.constructed(COMPARE_REQUEST, |writer| request.encode(writer)),
            Self::Abandon(target) => abandon::encode(*target, writer),
            Self::Extended(request) => writer.constructed(EXTENDED_REQUEST, |writer| request.encode(writer)),
        });
    }
}

impl Response {
    /// Writes the whole message. For [`Response::SearchItem`], which has no contents here and of which nothing is
    /// written, use [`encode_item`].
    pub fn encode(&self, id: MessageId, controls: &Controls, writer: &mut Writer) {
        let tag = match self {
            Self::Bind(_) => BIND_RESPONSE,
            Self::SearchItem => return,
            Self::SearchDone(_) => SEARCH_RESULT_DONE,
            Self::Modify(_) => MODIFY_RESPONSE,
            Self::Add(_) => ADD_RESPONSE,
            Self::Delete(_) => DEL_RESPONSE,
            Self::Rename(_) => MODIFY_DN_RESPONSE,
            Self::Compare(_) => COMPARE_RESPONSE,
            Self::Extended(_) => EXTENDED_RESPONSE,
            Self::Intermediate(_) => INTERMEDIATE_RESPONSE,
        };
        encode_message(id, controls, writer, |writer| {
            writer.constructed(tag, |writer| match self {
                Self::Bind(response) => response.encode(writer),
                Self::SearchItem => {}
                Self::SearchDone(result)
                | Self::Modify(result)
                | Self::Add(result)
                | Self::Delete(result)
                | Self::Rename(result)
                | Self::Compare(result) => encode_result(result, writer),
                Self::Extended(response) => response.encode(writer),
                Self::Intermediate(response) => response.encode(writer),
            });
        });
    }
}

/// Writes the message for one item of a search, copying what is encoded already.
pub fn encode_item(id: MessageId, item: crate::batch::ItemRef<'_>, writer: &mut Writer) {
    let (op, controls) = (item.op_bytes(), item.controls_bytes());
    writer.reserve(op.len() + controls.len() + 32);
    writer.sequence(|writer| {
        writer.integer(i64::from(id.0));
        writer.raw(op);
        if !controls.is_empty() {
            writer.primitive(CONTROLS, controls);
        }
    });
}

fn encode_message(id: MessageId, controls: &Controls, writer: &mut Writer, op: impl FnOnce(&mut Writer)) {
    writer.sequence(|writer| {
        writer.integer(i64::from(id.0));
        op(writer);
        if !controls.is_empty() {
            writer.constructed(CONTROLS, |writer| controls.encode(writer));
        }
    });
}

/// A name as it is spelt in a message, to be parsed once the rest of the message is known to be well formed: an
/// operation with a wrong name is refused by itself, anything else ends the conversation.
#[derive(Clone, Copy, Debug)]
struct Spelt<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Spelt<'a> {
    fn read(reader: &mut Reader<'a>, tag: Tag) -> Result<Self, DecodeError> {
        let text = reader.text_tagged(tag)?;
        Ok(Self { text, offset: reader.position().saturating_sub(text.len()) })
    }

    fn dn(self) -> Result<Dn, DecodeError> {
        self.text
            .parse()
            .map_err(|error: crate::dn::DnError| self.error(error.offset, DecodeErrorKind::InvalidDn))
    }

    fn rdn(self) -> Result<Rdn, DecodeError> {
        self.text
            .parse()
            .map_err(|error: crate::dn::DnError| self.error(error.offset, DecodeErrorKind::InvalidDn))
    }

    fn description(self) -> Result<AttributeDescription, DecodeError> {
        self.text.parse().map_err(|error: crate::attribute::InvalidAttributeDescription| {
            self.error(error.offset, DecodeErrorKind::InvalidAttributeDescription)
        })
    }

    fn error(self, offset: usize, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { offset: self.offset.saturating_add(offset), kind }
    }
}
