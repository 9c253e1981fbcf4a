//! Writing everything out as LDIF, parents before children.

use std::io::{self, Write};

use flext_ldap_directory::{Error, ErrorKind};
use flext_ldap_proto::{
    attribute::Attributes, ber::Writer, dn::Dn, entry::EntryRef, ldif::LdifWriter, result::ResultCode,
};

use crate::{
    Store, credentials,
    ppolicy::history,
    read::{Climbed, Resolved},
    row::{Id, ROOT, STORED},
    tables::{Failure, Snapshot},
};

/// An entry to be written, or, with a name, one whose children after that name are.
type Place = (Id, Option<Vec<u8>>);

/// Entries read from one commit, and children of one entry remembered at a time.
const BATCH: usize = 256;

/// What is exported.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExportOptions {
    /// This entry and all below it; everything if absent.
    pub base: Option<Dn>,
    /// Operational attributes too, so that an import restores entryUUID and time stamps.
    pub operational: bool,
    /// Password hashes too. The output is then as secret as the passwords.
    pub password_hashes: bool,
}

impl Store {
    /// Writes entries as LDIF, parents before children, and returns how many. Memory does not grow with their number; the
    /// largest entry is held as a whole.
    ///
    /// Blocks the thread. Each batch is a view of its own: entries that change meanwhile are written as they were or as
    /// they are.
    ///
    /// # Errors
    ///
    /// When storage or the output fails, or the base is not there.
    pub fn export(&self, output: impl Write, options: &ExportOptions) -> Result<u64, Error> {
        let written = self.reading("the export", || Ok(self.write_out(output, options)?));
        written.map_err(Failure::into_error)
    }

    fn write_out(&self, output: impl Write, options: &ExportOptions) -> Result<u64, Error> {
        let mut ldif = LdifWriter::new(output);
        ldif.version().map_err(unwritable)?;
        let mut stack = self.starts(options).map_err(Failure::into_error)?;
        let mut written = 0;
        while !stack.is_empty() {
            let tables = self.snapshot().map_err(Failure::into_error)?;
            let mut climbed = Climbed::new();
            for _ in 0..BATCH {
                let Some((id, after)) = stack.pop() else { break };
                let Some(node) = tables.node(id).map_err(Failure::into_error)? else { continue };
                if after.is_none() {
                    let found = tables
                        .named_below(&node, &mut climbed)
                        .and_then(|named| attributes(&tables, id, options).map(|entry| (named, entry)))
                        .map_err(Failure::into_error)?;
                    if let (named, Some(entry)) = found {
                        ldif.entry(EntryRef::new(&named.dn, entry.as_ref())).map_err(unwritable)?;
                        written += 1;
                    }
                }
                if node.children > 0 {
                    let children =
                        tables.children(id, after.as_deref(), BATCH).map_err(Failure::into_error)?;
                    if let Some((name, _)) = children.last().filter(|_| children.len() == BATCH) {
                        stack.push((id, Some(name.clone())));
                    }
                    stack.extend(children.into_iter().rev().map(|(_, child)| (child, None)));
                }
            }
        }
        ldif.into_inner().flush().map_err(unwritable)?;
        Ok(written)
    }

    /// Where an export starts: its base, or every naming context.
    fn starts(&self, options: &ExportOptions) -> Result<Vec<Place>, Failure> {
        let tables = self.snapshot()?;
        let Some(base) = &options.base else {
            let suffixes = tables.children(ROOT, None, usize::MAX)?;
            return Ok(suffixes.into_iter().rev().map(|(_, id)| (id, None)).collect());
        };
        let context = &*self.context();
        match context.resolve(&tables, &context.key(base)?)? {
            Resolved::Found(id) => Ok(vec![(id, None)]),
            Resolved::Missing(_) => {
                Err(Failure::refused(ResultCode::NO_SUCH_OBJECT, "there is no entry to start from"))
            }
        }
    }
}

/// What is exported of an entry.
fn attributes(tables: &Snapshot, id: Id, options: &ExportOptions) -> Result<Option<Attributes>, Failure> {
    let Some(stored) = tables.stored(id)? else { return Ok(None) };
    let mut writer = Writer::new();
    let large = |operational: bool, writer: &mut Writer| {
        let mut large = stored.large().iter().filter(|one| one.operational == operational);
        large.try_for_each(|one| one.write(tables, writer))
    };
    writer.raw(stored.user().as_bytes());
    large(false, &mut writer)?;
    if options.password_hashes {
        let secrets = tables.secrets(id)?;
        if !secrets.is_empty() {
            let mut passwords = Attributes::builder();
            passwords.push("userPassword", secrets.iter().map(|stored| credentials::without_keys(stored)));
            writer.raw(passwords.build().as_ref().as_bytes());
        }
        let history = if options.operational { tables.history(id)? } else { Vec::new() };
        if !history.is_empty() {
            let mut former = Attributes::builder();
            former.push(history::ATTRIBUTE, history);
            writer.raw(former.build().as_ref().as_bytes());
        }
    }
    if options.operational {
        writer.raw(stored.operational().as_bytes());
        large(true, &mut writer)?;
    }
    Attributes::check(writer.take(), &STORED).map(Some).map_err(|_| Failure::damaged("an entry"))
}

fn unwritable(error: io::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("the export cannot be written ({})", error.kind()))
        .with_source(error)
}
