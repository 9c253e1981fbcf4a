//! What an access log hears: who connected, what they asked, how it went. Never a password, nor a value of a secret
//! attribute: those are left out before a log hears of them.

use std::{fmt, time::Duration};

use flext_ldap_directory::{Actor, Peer};
use flext_ldap_proto::result::ResultCode;

/// Hears of every connection and operation. Called on the task of the connection, so it must not wait: a log that
/// writes somewhere slow hands over and drops what it cannot hold, as [`LineLog`](crate::LineLog) does.
pub trait AccessLog: Send + Sync + 'static {
    /// A connection was accepted.
    fn connected(&self, event: &Connected<'_>);
    /// An operation has ended, one way or another.
    fn finished(&self, event: &Finished<'_>);
    /// A connection has ended. All its operations have been told before.
    fn disconnected(&self, event: &Disconnected);
}

/// A connection was accepted.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connected<'a> {
    /// The number of the connection, from 1, never used twice by one server.
    pub connection: u64,
    /// Who is at the other end.
    pub peer: &'a Peer,
}

/// An operation has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished<'a> {
    /// The number of the connection.
    pub connection: u64,
    /// The number of the operation on its connection, from 1.
    pub number: u64,
    /// Which operation: `bind`, `search`, `cancel` and so on; from a closed set.
    pub operation: &'static str,
    /// On whose behalf; for a bind, who is bound afterwards.
    pub actor: &'a Actor,
    /// To what.
    pub what: &'a What,
    /// The answer; `None` where there was none: abandoned, or the connection ended first.
    pub result: Option<ResultCode>,
    /// From the request to the answer.
    pub elapsed: Duration,
    /// Entries and references sent.
    pub entries: u64,
}

/// A connection has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Disconnected {
    /// The number of the connection.
    pub connection: u64,
    /// Why; from a closed set.
    pub reason: &'static str,
    /// How long it was open.
    pub elapsed: Duration,
}

/// What an operation was about: names and values fit for a log. Values are at most 1,024 octets; what peers sent is
/// not escaped, which is the log's part.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct What(Vec<(&'static str, String)>);

/// Octets of one value in a [`What`].
const LONGEST: usize = 1024;

impl What {
    /// The names and values, e.g. `base`, `scope`, `filter`, `attrs` of a search.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Adds a field whose value `write` prints, cut where it gets too long.
    pub(crate) fn push_with(&mut self, name: &'static str, write: impl FnOnce(&mut Cut) -> fmt::Result) {
        let mut value = Cut(String::new());
        if write(&mut value).is_err() {
            value.0.push('…');
        }
        self.0.push((name, value.0));
    }

    /// Adds a field.
    pub(crate) fn push(&mut self, name: &'static str, value: impl fmt::Display) {
        self.push_with(name, |cut| fmt::write(cut, format_args!("{value}")));
    }
}

/// Takes text up to a limit, then fails, which ends the printing of whatever is printed.
pub(crate) struct Cut(String);

impl fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LONGEST.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        self.0.push_str(text.get(..end).unwrap_or_default());
        Err(fmt::Error)
    }
}
