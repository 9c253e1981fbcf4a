//! What can be wrong with bytes from a peer.

use std::fmt;

use super::Tag;
use crate::result::ResultCode;

/// A value could not be decoded: where, and why.
///
/// A value that is too long for its place is reported at its length; a wrong value at its tag; text that is not UTF-8
/// at the first octet that is not; what is missing at the place where it would be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DecodeError {
    /// Octets from the start of the buffer that was decoded (the message, where a message was).
    pub offset: usize,
    /// What was wrong there.
    pub kind: DecodeErrorKind,
}

/// The ways in which bytes can fail to be what they should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The value ends before its length says.
    Truncated,
    /// The indefinite form of length, which LDAP forbids (RFC 4511 §5.1).
    IndefiniteLength,
    /// A length of more octets than a size can have.
    LengthTooLong,
    /// A tag of more than one octet.
    LongTag,
    /// Another tag than the one expected.
    UnexpectedTag {
        /// The tag the grammar wants here.
        expected: Tag,
        /// The tag that is here.
        found: Tag,
    },
    /// An operation this side of LDAP does not have.
    UnknownOperation(Tag),
    /// Octets are left after the end of a value that should fill its place.
    TrailingBytes,
    /// A boolean of another length than one octet.
    InvalidBoolean,
    /// An integer without octets, or one out of its range.
    IntegerOutOfRange,
    /// An enumerated value the grammar does not have.
    UnknownEnumerated(i32),
    /// Text that is not UTF-8.
    InvalidUtf8,
    /// An attribute description that is none (RFC 4512 §2.5).
    InvalidAttributeDescription,
    /// An object identifier that is none (RFC 4512 §1.4).
    InvalidOid,
    /// A distinguished name that is none (RFC 4514). The answer to it is `invalidDNSyntax`, not an end.
    InvalidDn,
    /// A filter item the grammar does not have (RFC 4511 §4.5.1.7).
    InvalidFilter,
    /// A larger message than the limit allows.
    MessageTooLarge,
    /// Deeper nesting than the limit allows.
    TooDeep,
    /// More controls than the limit allows.
    TooManyControls,
    /// More attributes than the limit allows.
    TooManyAttributes,
    /// More values than the limit allows.
    TooManyValues,
}

impl DecodeErrorKind {
    /// Whether the rest of the message is well formed, so that the operation alone can be refused and the
    /// conversation can go on. [`result_code`](Self::result_code) is the answer.
    #[must_use]
    pub const fn is_operation_error(self) -> bool {
        matches!(self, Self::InvalidDn | Self::InvalidAttributeDescription | Self::UnknownEnumerated(_))
    }

    /// The result code that a peer is owed for this error.
    #[must_use]
    pub const fn result_code(self) -> ResultCode {
        match self {
            Self::InvalidDn => ResultCode::INVALID_DN_SYNTAX,
            Self::InvalidAttributeDescription => ResultCode::UNDEFINED_ATTRIBUTE_TYPE,
            _ => ResultCode::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the value ends too early"),
            Self::IndefiniteLength => f.write_str("indefinite length, which LDAP forbids"),
            Self::LengthTooLong => f.write_str("length of too many octets"),
            Self::LongTag => f.write_str("tag of more than one octet"),
            Self::UnexpectedTag { expected, found } => {
                write!(f, "expected tag 0x{:02x}, found 0x{:02x}", expected.0, found.0)
            }
            Self::UnknownOperation(tag) => write!(f, "unknown operation 0x{:02x}", tag.0),
            Self::TrailingBytes => f.write_str("octets left after the value"),
            Self::InvalidBoolean => f.write_str("boolean that is not one octet"),
            Self::IntegerOutOfRange => f.write_str("integer out of range"),
            Self::UnknownEnumerated(value) => write!(f, "unknown enumerated value {value}"),
            Self::InvalidUtf8 => f.write_str("text that is not UTF-8"),
            Self::InvalidAttributeDescription => f.write_str("invalid attribute description"),
            Self::InvalidOid => f.write_str("invalid object identifier"),
            Self::InvalidDn => f.write_str("invalid distinguished name"),
            Self::InvalidFilter => f.write_str("invalid filter item"),
            Self::MessageTooLarge => f.write_str("message larger than the limit"),
            Self::TooDeep => f.write_str("nested deeper than the limit"),
            Self::TooManyControls => f.write_str("more controls than the limit"),
            Self::TooManyAttributes => f.write_str("more attributes than the limit"),
            Self::TooManyValues => f.write_str("more values than the limit"),
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at octet {}", self.kind, self.offset)
    }
}

impl std::error::Error for DecodeError {}
