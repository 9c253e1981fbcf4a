//! Loading LDIF in bulk: large commits, hashes and operational attributes kept as given.

use std::io::BufRead;

use flext_ldap_proto::ldif::{LdifError, ReadOptions};

use crate::Store;

/// How LDIF is loaded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImportOptions {
    /// Whether clear-text passwords are hashed (27 ms of work each). Unless it is so they are refused.
    pub hash_clear_passwords: bool,
    /// Whether a record that is refused is counted and passed over. Unless it is so the import stops there.
    pub continue_on_error: bool,
    /// The line of the first record to load; records that start before it are passed over. An import that stopped
    /// says which line to go on from.
    pub start_line: u64,
    /// Entries of one commit. 10,000.
    pub commit_every: usize,
    /// What the LDIF may hold.
    pub read: ReadOptions,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            hash_clear_passwords: false,
            continue_on_error: false,
            start_line: 0,
            commit_every: 10_000,
            read: ReadOptions::default(),
        }
    }
}

/// What an import did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ImportReport {
    /// Records applied.
    pub applied: u64,
    /// Records refused and passed over.
    pub refused: u64,
    /// The first refused records: line and reason. At most 100.
    pub refusals: Vec<(u64, String)>,
}

/// An import that stopped. What was committed before stays.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {reason}; {applied} records are applied, go on from line {line} once it is mended")]
#[non_exhaustive]
pub struct ImportError {
    /// Where the first record that was not applied starts.
    pub line: u64,
    /// Records applied, all of them before `line`.
    pub applied: u64,
    /// What is wrong.
    pub reason: ImportFailure,
}

/// What can be wrong with a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportFailure {
    /// It is not LDIF.
    #[error("{0}")]
    Ldif(#[source] LdifError),
    /// The directory refuses it.
    #[error("{0}")]
    Refused(String),
    /// A password in clear text.
    #[error(
        "`{0}` has a password in clear text; give its hash, or ask for clear-text passwords to be hashed"
    )]
    ClearPassword(String),
    /// Storage failed.
    #[error("{0}")]
    Storage(#[source] flext_ldap_directory::Error),
}

impl Store {
    /// Loads LDIF: entries, and change records if there are some. `progress` hears now and then how many records are
    /// applied.
    ///
    /// Entries are checked as an add is, but operational attributes (entryUUID, time stamps) are kept where they are
    /// given. Blocks the thread; other writes wait between commits.
    ///
    /// # Errors
    ///
    /// When a record is refused or storage fails: at which line, what is applied, and how to go on.
    pub fn import(
        &self,
        reader: impl BufRead,
        options: &ImportOptions,
        progress: &mut dyn FnMut(u64),
    ) -> Result<ImportReport, ImportError> {
        let _ = (reader, options, progress);
        todo!()
    }
}
