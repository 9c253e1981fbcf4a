//! LDIF (RFC 2849): entries and changes as text, read and written as a stream of any length in constant memory.

mod reader;
mod record;
mod writer;

pub use self::{
    reader::{LdifError, LdifErrorKind, LdifReader, ReadOptions},
    record::{ChangeRecord, Record},
    writer::LdifWriter,
};
