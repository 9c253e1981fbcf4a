//! Records of an import made ready beside the writer: what each asks for, checked and taken apart.

use std::sync::Arc;

use bytes::Bytes;
use flext_ldap_proto::{
    attribute::Attributes,
    control::{Assertion, ControlValue, Controls, ManageDsaIt},
    dn::Dn,
    ldif::{ChangeRecord, Record},
    message::{Add, ChangeKind},
};

use super::{Batch, Chunk, ImportFailure, ImportOptions};
use crate::{
    context::{Caller, Context},
    credentials,
    extended::check_password,
    tables::Failure,
    write::{Bundle, LastParent, Patterns, Prepared, Write, WriteControls, WriteOp},
    writer::Loaded,
};

/// What a record is made ready with.
pub(super) struct Preparing<'a> {
    context: Arc<Context>,
    options: &'a ImportOptions,
    last: LastParent,
    patterns: Patterns,
}

impl<'a> Preparing<'a> {
    pub(super) fn new(context: Arc<Context>, options: &'a ImportOptions) -> Self {
        Self { patterns: Patterns::new(Arc::clone(&context)), context, options, last: LastParent::default() }
    }

    /// The same by another context, if it is one.
    pub(super) fn by(self, context: Arc<Context>) -> Self {
        if Arc::ptr_eq(&self.context, &context) { self } else { Self::new(context, self.options) }
    }

    /// What all of them ask for, as far as it can be told here.
    pub(super) fn all(&mut self, chunk: Chunk) -> Batch {
        let mut batch = Batch { commit: chunk.commit, ..Batch::default() };
        let mut bundle = Bundle::new(Arc::clone(&self.context));
        for (line, record) in chunk.records {
            let loaded = record.and_then(|record| {
                let (write, octets) = self.write_of(record)?;
                Ok((self.load(write, &mut bundle)?, octets))
            });
            match loaded {
                Ok((kept, octets)) => {
                    batch.lines.push(line);
                    batch.octets += octets;
                    if let Some(write) = kept {
                        batch.writes.extend(bundle.filled());
                        batch.writes.push(write);
                    }
                }
                Err(failure) => {
                    batch.failed.push((line, failure));
                    if !self.options.continue_on_error {
                        break;
                    }
                }
            }
        }
        batch.writes.extend(bundle.filled());
        batch
    }

    /// Makes a write ready: in the bundle, or by itself.
    fn load(&mut self, write: Write, bundle: &mut Bundle) -> Result<Option<Loaded>, ImportFailure> {
        let Some(write) = self.patterns.take(write, bundle, &self.last) else { return Ok(None) };
        let WriteOp::Add(add) = &write.op else { return Ok(Some(Loaded::Write(Box::new(write), None))) };
        let prepared = Prepared::new(&self.context, add, &write, &mut self.last).map_err(refused)?;
        self.patterns.learn(&write, &prepared);
        Ok(bundle.take(write, prepared))
    }

    /// The write a record asks for, and how large it is.
    fn write_of(&mut self, record: Record) -> Result<(Write, usize), ImportFailure> {
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
                    if adds && self.context.is_password(change.attribute.as_str()) {
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
        let caller = Caller::service();
        Ok((Write { op, caller, controls, secrets, keep_operational: true }, octets))
    }

    /// Takes the passwords out of an entry.
    fn take_secrets(&self, add: &mut Add) -> Result<Vec<Vec<u8>>, ImportFailure> {
        let context = &*self.context;
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
        self.context.form.hash(value).map_err(ImportFailure::Storage)
    }
}

fn refused(failure: Failure) -> ImportFailure {
    match failure {
        Failure::Refused(result) => ImportFailure::Refused(format!("{}: {}", result.code, result.diagnostic)),
        Failure::Failed(error) => ImportFailure::Storage(error),
    }
}
