//! The writer.

use std::io::{self, Write};

use super::Record;
use crate::entry::EntryRef;

/// Writes records, one after another. Put a buffer below it.
#[derive(Debug)]
pub struct LdifWriter<W> {
    output: W,
    width: usize,
}

impl<W: Write> LdifWriter<W> {
    /// Writes to `output`, folding lines at 76 columns.
    pub fn new(output: W) -> Self {
        Self { output, width: 76 }
    }

    /// Folds lines at `columns`; 0 does not fold.
    #[must_use]
    pub fn width(mut self, columns: usize) -> Self {
        self.width = columns;
        self
    }

    /// Writes `version: 1`.
    ///
    /// # Errors
    ///
    /// When the output fails.
    pub fn version(&mut self) -> io::Result<()> {
        todo!()
    }

    /// Writes a comment, folded.
    ///
    /// # Errors
    ///
    /// When the output fails.
    pub fn comment(&mut self, text: &str) -> io::Result<()> {
        todo!("{text}")
    }

    /// Writes an entry and an empty line.
    ///
    /// # Errors
    ///
    /// When the output fails.
    pub fn entry(&mut self, entry: EntryRef<'_>) -> io::Result<()> {
        let _ = (entry, &mut self.output);
        todo!()
    }

    /// Writes any record and an empty line.
    ///
    /// # Errors
    ///
    /// When the output fails.
    pub fn record(&mut self, record: &Record) -> io::Result<()> {
        todo!("{record:?}")
    }

    /// The output, with nothing held back.
    pub fn into_inner(self) -> W {
        self.output
    }
}
