//! The streaming reader.

use std::io::BufRead;

use super::Record;

/// Reads records one after another. Memory is bounded by the largest record.
#[derive(Debug)]
pub struct LdifReader<R> {
    input: R,
    options: ReadOptions,
    line: u64,
}

/// What a reader accepts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Octets of one record, at the most. 256 MiB.
    pub record_limit: usize,
    /// Whether `attribute:< file:///…` reads that file. No, unless asked: an LDIF file from elsewhere could otherwise
    /// put any file of this machine into the directory. Such a file counts towards `record_limit`.
    pub read_files: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { record_limit: 256 << 20, read_files: false }
    }
}

/// A record that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct LdifError {
    /// The line, from 1.
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
    /// The input could not be read.
    #[error("the input could not be read")]
    Io(#[source] std::io::Error),
    /// `:<` where files are not to be read.
    #[error("the value is in a file, and reading files was not asked for")]
    FileRefused,
    /// A record larger than the limit.
    #[error("the record is larger than {0} octets")]
    TooLarge(usize),
}

impl<R: BufRead> LdifReader<R> {
    /// Reads from `input`.
    pub fn new(input: R, options: ReadOptions) -> Self {
        Self { input, options, line: 0 }
    }

    /// The next record, or `None` at the end of the input.
    ///
    /// # Errors
    ///
    /// When the record is malformed. Reading can go on: the next call starts at the next record.
    pub fn next_record(&mut self) -> Result<Option<Record>, LdifError> {
        let _ = (&mut self.input, &self.options);
        todo!()
    }

    /// The first line of the record last returned, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.line
    }
}
