//! The Basic Encoding Rules as LDAP uses them (RFC 4511 §5.1): definite lengths only.
//!
//! Lengths in the long form may have more octets than they need, up to eight, as BER allows (X.690 §8.1.3.5) and some
//! servers send; the indefinite form, longer lengths and tags of several octets are refused. What is written has the
//! shortest form.
//!
//! [`Reader`] pulls values out of reference-counted bytes; [`Writer`] writes them, patching lengths in afterwards.
//! Neither knows what an LDAP message is.

mod error;
mod reader;
mod writer;

pub use error::{DecodeError, DecodeErrorKind};
pub(crate) use reader::{Header, check_text, split_checked};
pub use reader::{Reader, frame_length};
pub use writer::Writer;

/// An identifier octet (X.690 §8.1.2). LDAP needs no tag number above 30, so one octet is always enough.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Tag(pub u8);

impl Tag {
    /// `BOOLEAN`.
    pub const BOOLEAN: Self = Self(0x01);
    /// `INTEGER`.
    pub const INTEGER: Self = Self(0x02);
    /// `OCTET STRING`.
    pub const OCTET_STRING: Self = Self(0x04);
    /// `NULL`.
    pub const NULL: Self = Self(0x05);
    /// `ENUMERATED`.
    pub const ENUMERATED: Self = Self(0x0a);
    /// `SEQUENCE`, `SEQUENCE OF`.
    pub const SEQUENCE: Self = Self(0x30);
    /// `SET`, `SET OF`.
    pub const SET: Self = Self(0x31);

    /// `[number]`, primitive, context-specific. `number` is below 31.
    #[must_use]
    pub const fn context(number: u8) -> Self {
        Self(0x80 | number)
    }

    /// `[number]`, constructed, context-specific. `number` is below 31.
    #[must_use]
    pub const fn context_constructed(number: u8) -> Self {
        Self(0xa0 | number)
    }

    /// `[APPLICATION number]`, primitive.
    #[must_use]
    pub const fn application(number: u8) -> Self {
        Self(0x40 | number)
    }

    /// `[APPLICATION number]`, constructed.
    #[must_use]
    pub const fn application_constructed(number: u8) -> Self {
        Self(0x60 | number)
    }

    /// Whether the class is context-specific.
    #[must_use]
    pub const fn is_context(self) -> bool {
        self.0 & 0xc0 == 0x80
    }
}
