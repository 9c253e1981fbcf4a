//! Logical lines: folding undone, comments left out, line endings of either kind (RFC 2849, notes 2 and 3).
//!
//! A line that stands whole in the input's buffer is used where it stands. Only a folded line, and one that crosses
//! the end of that buffer, is gathered into a buffer of its own, which is reused.

use std::io::{self, BufRead};

use memchr::memchr;

use super::LdifErrorKind;

/// Pulls logical lines out of an input.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    /// The gathered line, where there is one.
    gathered: Vec<u8>,
    /// Octets of the input that the line in place fills, its ending included: consumed when the next one is asked for.
    pending: usize,
    /// Physical lines read so far.
    read: u64,
    /// The physical line at which the current logical line begins, from 1.
    number: u64,
    /// The input failed; nothing more is read from it.
    failed: bool,
    /// The current logical line was refused before its end was reached.
    torn: bool,
}

/// What stands next in the input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// A line; [`Lines::text`] with this value gives it.
    Line(Place),
    /// An empty line, which ends a record.
    Empty,
    /// The end of the input, which ends a record too.
    End,
}

/// Where a line stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// The first octets of the input's buffer.
    Input(usize),
    /// The gathered line.
    Gathered,
}

/// What to do with the contents of the line being gathered.
#[derive(Clone, Copy, Debug)]
enum Keep {
    /// Keep it, up to so many octets.
    UpTo(usize),
    /// Let it go.
    Nothing,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, gathered: Vec::new(), pending: 0, read: 0, number: 0, failed: false, torn: false }
    }

    /// The line at which the logical line last found begins, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Goes to the next logical line that is no comment.
    ///
    /// # Errors
    ///
    /// When the input fails, after which it counts as ended; when the line is longer than `limit` octets, as soon as
    /// that is known; when it continues a line that is not there.
    pub(super) fn advance(&mut self, limit: usize) -> Result<Found, LdifErrorKind> {
        loop {
            self.input.consume(std::mem::take(&mut self.pending));
            if self.read == 0 {
                self.pass_over_mark()?;
            }
            let buffer = fill(&mut self.input, &mut self.failed)?;
            let Some(&first) = buffer.first() else {
                self.number = self.read.saturating_add(1);
                return Ok(Found::End);
            };
            self.number = self.read.saturating_add(1);
            let comment = first == b'#';
            let found = if let Some((line, behind)) = whole_line(buffer) {
                let length = line.len();
                self.pending = buffer.len().saturating_sub(behind.len());
                self.read = self.read.saturating_add(1);
                if comment {
                    continue;
                }
                if length > limit {
                    return Err(LdifErrorKind::TooLarge(limit));
                }
                if length == 0 { Found::Empty } else { Found::Line(Place::Input(length)) }
            } else {
                self.gather(if comment { Keep::Nothing } else { Keep::UpTo(limit) })?;
                if comment {
                    continue;
                }
                if self.gathered.is_empty() { Found::Empty } else { Found::Line(Place::Gathered) }
            };
            if first == b' ' {
                return Err(LdifErrorKind::Expected("the start of a line, not the continuation of one"));
            }
            return Ok(found);
        }
    }

    /// Goes past the mark that editors on Windows put before UTF-8.
    fn pass_over_mark(&mut self) -> Result<(), LdifErrorKind> {
        for octet in *b"\xef\xbb\xbf" {
            if fill(&mut self.input, &mut self.failed)?.first() != Some(&octet) {
                break;
            }
            self.input.consume(1);
        }
        Ok(())
    }

    /// The text of the line last found.
    pub(super) fn text(&mut self, place: Place) -> Result<&[u8], LdifErrorKind> {
        match place {
            Place::Gathered => Ok(&self.gathered),
            Place::Input(length) => {
                let buffer = fill(&mut self.input, &mut self.failed)?;
                Ok(buffer.get(..length).unwrap_or(buffer))
            }
        }
    }

    /// Octets of the line last found.
    pub(super) fn length(&self, place: Place) -> usize {
        match place {
            Place::Gathered => self.gathered.len(),
            Place::Input(length) => length,
        }
    }

    /// What is in memory behind the line last found, at least one octet unless the input has ended; for who passes over lines
    /// without [`advance`](Self::advance) and tells [`pass`](Self::pass).
    ///
    /// # Errors
    ///
    /// When the input fails, after which it counts as ended.
    pub(super) fn ahead(&mut self) -> Result<&[u8], LdifErrorKind> {
        self.input.consume(std::mem::take(&mut self.pending));
        fill(&mut self.input, &mut self.failed)
    }

    /// Goes past so many octets of what [`ahead`](Self::ahead) gave, which are so many lines, folded by none.
    pub(super) fn pass(&mut self, octets: usize, lines: u64) {
        self.input.consume(octets);
        self.read = self.read.saturating_add(lines);
        if lines > 0 {
            self.number = self.read;
        }
    }

    /// Goes past the end of the record begun, keeping nothing of it.
    ///
    /// # Errors
    ///
    /// When the input fails.
    pub(super) fn skip_record(&mut self) -> Result<(), LdifErrorKind> {
        self.input.consume(std::mem::take(&mut self.pending));
        if std::mem::take(&mut self.torn) {
            self.gather(Keep::Nothing)?;
        }
        loop {
            let buffer = fill(&mut self.input, &mut self.failed)?;
            match buffer {
                [] => return Ok(()),
                [b'\n', ..] => {
                    self.input.consume(1);
                    self.read = self.read.saturating_add(1);
                    return Ok(());
                }
                [b'\r', ..] => match self.gather(Keep::UpTo(0)) {
                    Ok(()) => return Ok(()), // Nothing stood between it and the line feed.
                    Err(LdifErrorKind::TooLarge(_)) if std::mem::take(&mut self.torn) => {
                        self.gather(Keep::Nothing)?;
                    }
                    Err(LdifErrorKind::TooLarge(_)) => {}
                    Err(error) => return Err(error),
                },
                _ => self.gather(Keep::Nothing)?,
            }
        }
    }

    /// Reads a line with all lines that continue it.
    fn gather(&mut self, keep: Keep) -> Result<(), LdifErrorKind> {
        self.gathered.clear();
        loop {
            let start = self.gathered.len();
            let ended = self.gather_physical(keep)?;
            // Of CRLF the first half belongs to the ending, as long as it belongs to this physical line.
            if self.gathered.len() > start && self.gathered.last() == Some(&b'\r') {
                self.gathered.pop();
            }
            if let Keep::UpTo(limit) = keep {
                if self.gathered.len() > limit {
                    self.torn = !ended;
                    return Err(LdifErrorKind::TooLarge(limit));
                }
                if start == 0 && self.gathered.is_empty() {
                    return Ok(()); // An empty line, which cannot be continued.
                }
            }
            if fill(&mut self.input, &mut self.failed)?.first() != Some(&b' ') {
                return Ok(());
            }
            self.input.consume(1);
        }
    }

    /// Reads to the end of a physical line, or until more than may be kept was read. Whether the end was reached.
    fn gather_physical(&mut self, keep: Keep) -> Result<bool, LdifErrorKind> {
        loop {
            let buffer = fill(&mut self.input, &mut self.failed)?;
            if buffer.is_empty() {
                self.read = self.read.saturating_add(1);
                return Ok(true);
            }
            let end = memchr(b'\n', buffer);
            let part = end.and_then(|end| buffer.get(..end)).unwrap_or(buffer);
            if let Keep::UpTo(limit) = keep {
                // One octet more than the limit, for a carriage return that belongs to the ending, and one more to
                // tell that there is more.
                let room = limit.saturating_add(2).saturating_sub(self.gathered.len());
                self.gathered.extend_from_slice(part.get(..room).unwrap_or(part));
            }
            let consumed = if end.is_some() { part.len().saturating_add(1) } else { part.len() };
            self.input.consume(consumed);
            if end.is_some() {
                self.read = self.read.saturating_add(1);
                return Ok(true);
            }
            if matches!(keep, Keep::UpTo(limit) if self.gathered.len() > limit.saturating_add(1)) {
                return Ok(false);
            }
        }
    }
}

/// The line at the start of a buffer and what is behind it, if that shows where the line ends.
#[inline]
pub(super) fn whole_line(buffer: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, behind) = buffer.split_at_checked(memchr(b'\n', buffer)?)?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (_, behind) = behind.split_first()?;
    // An empty line cannot be continued. Of another one the next octet must be seen.
    match behind.first() {
        Some(b' ') | None if !line.is_empty() => None,
        _ => Some((line, behind)),
    }
}

/// What the input holds next: empty at its end, and once it has failed.
fn fill<'a, R: BufRead>(input: &'a mut R, failed: &mut bool) -> Result<&'a [u8], LdifErrorKind> {
    if *failed {
        return Ok(&[]);
    }
    loop {
        match input.fill_buf() {
            Ok([]) => return Ok(&[]),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                *failed = true;
                return Err(LdifErrorKind::Io(error));
            }
        }
    }
    // Asked again because the answer in the loop cannot leave it; the buffer is there, so this reads nothing.
    input.fill_buf().map_err(LdifErrorKind::Io)
}
