//! LDIF (RFC 2849): entries and changes as text, read and written as a stream of any length in constant memory.
//!
//! The reader takes what the RFC allows and what OpenLDAP's tools take beyond it where that can mean only one thing:
//! values that are not ASCII, a modification without its last `-`, base64 without padding, an entry without
//! attributes. It knows no schema, so it does not judge what an entry holds.

mod error;
mod line;
mod list;
mod names;
mod reader;
mod record;
mod value;
mod writer;

pub use self::{
    error::{LdifError, LdifErrorKind},
    reader::{LdifReader, ReadOptions},
    record::{ChangeRecord, Record},
    writer::LdifWriter,
};

#[cfg(test)]
mod tests;
