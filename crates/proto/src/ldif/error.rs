//! What can be wrong with an LDIF file.

use std::{error::Error, fmt, io};

use crate::{attribute::InvalidAttributeDescription, dn::DnError, oid::InvalidOid};

/// A record that could not be read. It never quotes a value: values may be secret.
#[derive(Debug)]
pub struct LdifError {
    /// The line, from 1; of a folded line the first.
    pub line: u64,
    /// What was wrong there.
    pub kind: LdifErrorKind,
}

/// The ways in which reading can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LdifErrorKind {
    /// Something else than the grammar wants.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A record that does not say what to change, where [`ReadOptions::changes_only`](super::ReadOptions::changes_only)
    /// asks for changes.
    #[error(
        "expected `changetype:`, or `add:`, `delete:`, `replace:` or `increment:` to begin a modification"
    )]
    NoChange,
    /// The input could not be read. It counts as ended from then on.
    #[error("the input could not be read")]
    Io(#[source] io::Error),
    /// `:<` where files are not to be read.
    #[error("the value is in a file, and reading files was not asked for")]
    FileRefused,
    /// The file named by `:<` could not be read.
    #[error("the file that holds the value could not be read")]
    File(#[source] io::Error),
    /// A record larger than the limit.
    #[error("the record is larger than {0} octets")]
    TooLarge(usize),
    /// A record of more attributes, or of more changes, than the limit.
    #[error("the record has more than {0} attributes or changes")]
    TooManyAttributes(usize),
    /// A modify of more values than the limit.
    #[error("the record changes more than {0} values")]
    TooManyValues(usize),
    /// A record of more controls than the limit.
    #[error("the record has more than {0} controls")]
    TooManyControls(usize),
    /// A name that is none (RFC 4514).
    #[error("expected a distinguished name")]
    Dn(#[source] DnError),
    /// An attribute description that is none (RFC 4512 §2.5).
    #[error("expected an attribute description before the colon")]
    Description(#[source] InvalidAttributeDescription),
    /// A control's identifier that is none (RFC 4512 §1.4).
    #[error("expected the object identifier of a control")]
    Oid(#[source] InvalidOid),
    /// Something else than base64 after `::` (RFC 4648 §4).
    #[error("expected base64, found something else at octet {offset} of the value")]
    Base64 {
        /// Octets from the start of the encoded value, folding undone.
        offset: usize,
    },
    /// Octets that are not UTF-8 where there must be text.
    #[error("expected text in UTF-8")]
    Utf8,
}

impl fmt::Display for LdifError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.kind)
    }
}

impl Error for LdifError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.kind.source() // The kind itself is in the text already.
    }
}
