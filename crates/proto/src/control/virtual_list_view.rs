//! Virtual list views (draft-ietf-ldapext-ldapv3-vlv-09): a window onto a sorted result, found by place or by value.

use bytes::Bytes;

use super::{ControlScope, ControlValue};
use crate::{
    ber::{DecodeError, DecodeErrorKind, Reader, Tag, Writer},
    message::Limits,
    oid::Oid,
    result::ResultCode,
};

const BY_OFFSET: Tag = Tag::context_constructed(0);
const GREATER_THAN_OR_EQUAL: Tag = Tag::context(1);

/// `sortControlMissing`: what a view without an order is answered.
pub const SORT_CONTROL_MISSING: ResultCode = ResultCode(60);

/// `offsetRangeError`: a place that no list has.
pub const OFFSET_RANGE_ERROR: ResultCode = ResultCode(61);

/// Asks for a window: so many entries before a target, the target, and so many after it. It goes with
/// [`ServerSideSort`](super::ServerSideSort).
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the value of the draft")]
pub struct VirtualListView {
    /// Entries before the target.
    pub before: u32,
    /// Entries after it.
    pub after: u32,
    /// What stands in the middle.
    pub target: Target,
    /// What the server gave with the view before this one, so that it can go on with the same list.
    pub context: Option<Bytes>,
}

/// The entry that a view is around.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the choice of the draft")]
pub enum Target {
    /// The one at `offset`, counted from 1, of what the client takes for `content_count` entries; 0 where it does not
    /// know.
    Offset {
        /// The place.
        offset: u32,
        /// Of how many.
        content_count: u32,
    },
    /// The first that is not before this value by the most important key.
    GreaterThanOrEqual(Bytes),
}

/// Answers where the window stands: comes with the end of the search.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the value of the draft")]
pub struct VirtualListViewResponse {
    /// The place of the target, counted from 1; one more than there are entries where it is behind the last.
    pub target_position: u32,
    /// Entries of the whole list.
    pub content_count: u32,
    /// How it went: the codes of LDAP, [`SORT_CONTROL_MISSING`] and [`OFFSET_RANGE_ERROR`].
    pub code: ResultCode,
    /// To be given back with the next view.
    pub context: Option<Bytes>,
}

impl ControlValue for VirtualListView {
    const OID: Oid = Oid::from_static("2.16.840.1.113730.3.4.9");
    const SCOPE: ControlScope = ControlScope::Connection;

    fn encode(&self, writer: &mut Writer) {
        writer.sequence(|writer| {
            writer.integer(i64::from(self.before));
            writer.integer(i64::from(self.after));
            match &self.target {
                Target::Offset { offset, content_count } => writer.constructed(BY_OFFSET, |writer| {
                    writer.integer(i64::from(*offset));
                    writer.integer(i64::from(*content_count));
                }),
                Target::GreaterThanOrEqual(value) => writer.primitive(GREATER_THAN_OR_EQUAL, value),
            }
            if let Some(context) = &self.context {
                writer.octets(context);
            }
        });
    }

    fn decode(reader: &mut Reader<'_>, _limits: &Limits) -> Result<Self, DecodeError> {
        let mut view = reader.sequence()?;
        let (before, after) = (view.unsigned()?, view.unsigned()?);
        let target = if view.peek() == Some(GREATER_THAN_OR_EQUAL) {
            Target::GreaterThanOrEqual(view.primitive(GREATER_THAN_OR_EQUAL)?)
        } else {
            let mut place = view.constructed(BY_OFFSET)?;
            let target = Target::Offset { offset: place.unsigned()?, content_count: place.unsigned()? };
            place.finish()?;
            target
        };
        let context = decode_context(&mut view)?;
        view.finish()?;
        Ok(Self { before, after, target, context })
    }
}

impl ControlValue for VirtualListViewResponse {
    const OID: Oid = Oid::from_static("2.16.840.1.113730.3.4.10");
    const SCOPE: ControlScope = ControlScope::Connection;

    fn encode(&self, writer: &mut Writer) {
        writer.sequence(|writer| {
            writer.integer(i64::from(self.target_position));
            writer.integer(i64::from(self.content_count));
            writer.integer_tagged(Tag::ENUMERATED, i64::from(self.code.0));
            if let Some(context) = &self.context {
                writer.octets(context);
            }
        });
    }

    fn decode(reader: &mut Reader<'_>, _limits: &Limits) -> Result<Self, DecodeError> {
        let mut view = reader.sequence()?;
        let (target_position, content_count) = (view.unsigned()?, view.unsigned()?);
        let code = decode_code(&mut view)?;
        let context = decode_context(&mut view)?;
        view.finish_extensible()?;
        Ok(Self { target_position, content_count, code, context })
    }
}

fn decode_context(reader: &mut Reader<'_>) -> Result<Option<Bytes>, DecodeError> {
    match reader.peek() {
        Some(Tag::OCTET_STRING) => reader.octets().map(Some),
        _ => Ok(None),
    }
}

/// Reads a result code as controls have them.
pub(super) fn decode_code(reader: &mut Reader<'_>) -> Result<ResultCode, DecodeError> {
    let negative = reader.error(DecodeErrorKind::IntegerOutOfRange);
    u32::try_from(reader.enumerated()?).map(ResultCode).map_err(|_| negative)
}
