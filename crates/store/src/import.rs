//! Loading LDIF in bulk: large commits, hashes and operational attributes kept as given.

use std::{
    io::BufRead,
    sync::mpsc::{Receiver, sync_channel},
};

use bytes::Bytes;
use flext_ldap_directory::{Applied, Error, ErrorKind};
use flext_ldap_proto::{
    attribute::Attributes,
    control::{Assertion, ControlValue, Controls, ManageDsaIt},
    dn::Dn,
    ldif::{ChangeRecord, LdifError, LdifReader, ReadOptions, Record},
    message::{Add, ChangeKind},
};

use crate::{
    Store,
    context::Caller,
    credentials,
    extended::check_password,
    tables::Failure,
    write::{Write, WriteControls, WriteOp},
    writer::Job,
};

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
    #[error("{}", .0.kind)]
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
    Storage(#[source] Error),
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
        Import {
            store: self,
            options,
            reader: LdifReader::new(reader, options.read.clone()),
            report: ImportReport::default(),
            gathered: Batch::default(),
            waiting: None,
        }
        .run(progress)
    }
}

/// Octets of one commit.
const COMMIT_OCTETS: usize = 32 << 20;

/// Refusals that are remembered; further ones are counted only.
const REFUSALS: usize = 100;

/// Records to be applied together, with the lines they start at.
#[derive(Default)]
struct Batch {
    writes: Vec<Write>,
    lines: Vec<u64>,
    octets: usize,
}

/// A batch at the writer: its lines and where the answer comes.
type Waiting = (Vec<u64>, Receiver<Result<Vec<Result<(), String>>, Error>>);

struct Import<'a, R> {
    store: &'a Store,
    options: &'a ImportOptions,
    reader: LdifReader<R>,
    report: ImportReport,
    /// The next batch is read while the one before it is written.
    gathered: Batch,
    waiting: Option<Waiting>,
}

impl<R: BufRead> Import<'_, R> {
    fn run(mut self, progress: &mut dyn FnMut(u64)) -> Result<ImportReport, ImportError> {
        loop {
            let write = match self.reader.next_record() {
                Ok(None) => break,
                Ok(Some(_)) if self.reader.line() < self.options.start_line => continue,
                Ok(Some(record)) => self.write_of(record),
                Err(error) => {
                    let line = error.line;
                    self.stop(line, ImportFailure::Ldif(error), progress)?;
                    continue;
                }
            };
            let line = self.reader.line();
            match write {
                Ok((write, octets)) => {
                    self.gathered.writes.push(write);
                    self.gathered.lines.push(line);
                    self.gathered.octets += octets;
                }
                Err(failure) => self.stop(line, failure, progress)?,
            }
            let many = self.gathered.writes.len() >= self.options.commit_every.max(1);
            if many || self.gathered.octets >= COMMIT_OCTETS {
                self.hand_over(progress)?;
            }
        }
        self.hand_over(progress)?;
        self.settle(progress)?;
        Ok(self.report)
    }

    /// A record that cannot be applied: passed over, or the end.
    fn stop(
        &mut self,
        line: u64,
        reason: ImportFailure,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ImportError> {
        if self.options.continue_on_error && !matches!(reason, ImportFailure::Storage(_)) {
            self.refused(line, reason.to_string());
            return Ok(());
        }
        self.hand_over(progress)?;
        self.settle(progress)?;
        Err(ImportError { line, applied: self.report.applied, reason })
    }

    fn refused(&mut self, line: u64, reason: String) {
        self.report.refused += 1;
        if self.report.refusals.len() < REFUSALS {
            self.report.refusals.push((line, reason));
        }
    }

    /// Gives what is gathered to the writer once it is done with what it had.
    fn hand_over(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), ImportError> {
        self.settle(progress)?;
        let Batch { writes, lines, .. } = std::mem::take(&mut self.gathered);
        let Some(first) = lines.first().copied() else { return Ok(()) };
        let (answer, answered) = sync_channel(1);
        let job = Job::Many { writes, go_on: self.options.continue_on_error, answer };
        self.store.writer().send(job).map_err(|error| self.failed(first, error))?;
        self.waiting = Some((lines, answered));
        Ok(())
    }

    /// Waits for the writer.
    fn settle(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), ImportError> {
        let Some((lines, answered)) = self.waiting.take() else { return Ok(()) };
        let first = lines.first().copied().unwrap_or_default();
        let results = answered.recv().unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Bug, "the writer thread ended without an answer")
                .with_applied(Applied::Unknown))
        });
        let results = results.map_err(|error| self.failed(first, error))?;
        for (line, result) in lines.into_iter().zip(results) {
            match result {
                Ok(()) => self.report.applied += 1,
                Err(reason) if self.options.continue_on_error => self.refused(line, reason),
                Err(reason) => {
                    let reason = ImportFailure::Refused(reason);
                    return Err(ImportError { line, applied: self.report.applied, reason });
                }
            }
        }
        progress(self.report.applied);
        Ok(())
    }

    fn failed(&self, line: u64, error: Error) -> ImportError {
        ImportError { line, applied: self.report.applied, reason: ImportFailure::Storage(error) }
    }

    /// The write a record asks for, and how large it is.
    fn write_of(&self, record: Record) -> Result<(Write, usize), ImportFailure> {
        let refused = |failure: Failure| match failure {
            Failure::Refused(result) => {
                ImportFailure::Refused(format!("{}: {}", result.code, result.diagnostic))
            }
            Failure::Failed(error) => ImportFailure::Storage(error),
        };
        let mut secrets = Vec::new();
        let (controls, change) = match record {
            Record::Entry(entry) => {
                let add = Add::try_from(&entry)
                    .map_err(|error| ImportFailure::Refused(format!("`{}`: {error}", entry.dn_str())))?;
                (Controls::none(), ChangeRecord::Add(add))
            }
            Record::Change(controls, change) => (controls, change),
        };
        let mut octets = 0;
        let (op, known) = match change {
            ChangeRecord::Add(mut add) => {
                octets = add.attributes.as_ref().as_bytes().len();
                secrets = self.take_secrets(&mut add)?;
                (WriteOp::Add(add), vec![ManageDsaIt::OID])
            }
            ChangeRecord::Modify(mut modify) => {
                for change in &mut modify.changes {
                    octets += change.values.iter().map(Bytes::len).sum::<usize>();
                    let adds = matches!(change.kind, ChangeKind::Add | ChangeKind::Replace);
                    if adds && self.store.context().is_password(change.attribute.as_str()) {
                        for value in &mut change.values {
                            *value = self.secret(&modify.dn, value)?.into();
                        }
                    }
                }
                (WriteOp::Modify(modify), vec![ManageDsaIt::OID, Assertion::OID])
            }
            ChangeRecord::Delete(delete) => (WriteOp::Delete(delete), vec![ManageDsaIt::OID, Assertion::OID]),
            ChangeRecord::Rename(rename) => (WriteOp::Rename(rename), vec![ManageDsaIt::OID, Assertion::OID]),
        };
        let mut controls = WriteControls::read(&controls, &known).map_err(refused)?;
        // Referral objects are loaded as the entries they are.
        controls.manage_dsa_it = true;
        Ok((Write { op, caller: Caller::service(), controls, secrets, keep_operational: true }, octets))
    }

    /// Takes the passwords out of an entry.
    fn take_secrets(&self, add: &mut Add) -> Result<Vec<Vec<u8>>, ImportFailure> {
        let context = &*self.store.context();
        let attributes = add.attributes.as_ref();
        if !attributes.iter().any(|attribute| context.is_password(attribute.description())) {
            return Ok(Vec::new());
        }
        let mut secrets = Vec::new();
        let mut rest = Attributes::builder();
        for attribute in attributes.iter() {
            if context.is_password(attribute.description()) {
                for value in attribute.values() {
                    secrets.push(self.secret(&add.dn, value)?);
                }
            } else {
                rest.push(attribute.description(), attribute.values());
            }
        }
        add.attributes = rest.build();
        Ok(secrets)
    }

    /// A hash as it is, of a scheme known here or not; a password in clear text hashed, if that was asked for.
    fn secret(&self, dn: &Dn, value: &[u8]) -> Result<Vec<u8>, ImportFailure> {
        if credentials::claims_to_be_hash(value) {
            return Ok(value.to_vec());
        }
        if !self.options.hash_clear_passwords {
            return Err(ImportFailure::ClearPassword(dn.to_string()));
        }
        check_password(value).map_err(|_| {
            ImportFailure::Refused(format!("`{dn}` has a password that is empty or too long"))
        })?;
        credentials::hash(value).map_err(ImportFailure::Storage)
    }
}
