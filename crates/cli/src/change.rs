//! `flext-ldap add` and `flext-ldap modify`: what ldapadd and ldapmodify do, one record after another.

use std::process::ExitCode;

use anyhow::Context as _;
use flext_ldap_directory::{
    Actor, Directory, Error, ErrorKind, Request,
    proto::{
        control::Controls,
        ldif::{ChangeRecord, LdifError, LdifErrorKind, LdifReader, Record},
        message::Add,
        result::ResultCode,
    },
};

use crate::{
    connect::Connect,
    controls::General,
    exit::Usage,
    input::{self, LdifInput},
    output::advise,
};

const ADD_EXAMPLES: &str = "\
Examples:
  flext-ldap add -D cn=admin,dc=example,dc=com -W -f people.ldif
  flext-ldap add -c -f people.ldif      # go on after an entry that fails";

const MODIFY_EXAMPLES: &str = "\
Examples:
  flext-ldap modify -D cn=admin,dc=example,dc=com -y password.txt -f changes.ldif
  flext-ldap modify <<LDIF
  dn: uid=ada,ou=people,dc=example,dc=com
  replace: mail
  mail: ada@example.com
  -
  LDIF";

/// Arguments of `add`.
#[derive(Debug, clap::Args)]
#[command(after_help = ADD_EXAMPLES)]
pub(crate) struct AddArguments {
    #[command(flatten)]
    changes: Changes,
}

/// Arguments of `modify`.
#[derive(Debug, clap::Args)]
#[command(after_help = MODIFY_EXAMPLES)]
pub(crate) struct ModifyArguments {
    #[command(flatten)]
    changes: Changes,
    /// Take records without `changetype` for entries to add, not for modifications
    #[arg(short = 'a', long)]
    add: bool,
}

#[derive(Debug, clap::Args)]
struct Changes {
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    general: General,
    #[command(flatten)]
    input: LdifInput,
    /// Go on with the next record when one fails or is no LDIF; the exit code is that of the last
    #[arg(short = 'c', long = "continue")]
    go_on: bool,
    /// Read and check everything, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl AddArguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        crate::block_on(self.changes.apply(true))
    }
}

impl ModifyArguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        crate::block_on(self.changes.apply(self.add))
    }
}

impl Changes {
    async fn apply(&self, entries_are_added: bool) -> anyhow::Result<ExitCode> {
        let mut options = self.input.options();
        options.changes_only = !entries_are_added;
        let mut reader = LdifReader::new(input::open(self.input.file.as_deref())?, options);
        let connection = if self.dry_run { None } else { Some(self.general.open(&self.connect).await?) };
        let (mut applied, mut code) = (0_u64, ExitCode::SUCCESS);
        loop {
            let record = reader.next_record();
            let go_on = self.go_on && !matches!(record, Err(LdifError { kind: LdifErrorKind::Io(_), .. }));
            let (line, read) = match record {
                Ok(None) => break,
                Ok(Some(record)) => {
                    let line = reader.line();
                    (line, as_change(record).with_context(|| format!("line {line}")))
                }
                Err(error) => {
                    let line = error.line;
                    (line, Err(self.input.unreadable(error)))
                }
            };
            let (mut controls, change) = match read {
                Ok(change) => change,
                Err(error) if go_on => {
                    crate::complain(&error);
                    code = crate::exit::of(&error);
                    continue;
                }
                Err(error) => return Err(stopped(error, applied)),
            };
            let what = describe(&change);
            if self.general.verbose || self.dry_run {
                let unsent = if self.dry_run { " (not sent)" } else { "" };
                crate::say(format_args!("line {line}: {what}{unsent}"));
            }
            let Some(connection) = &connection else { continue };
            self.general.add_to(&mut controls);
            match send(connection, change, controls).await {
                Ok(()) => applied += 1,
                Err(error) => {
                    let go_on = self.go_on && error.kind() == ErrorKind::Rejected;
                    let hint = self.connect.hint(&error);
                    let error =
                        anyhow::Error::new(error).context(format!("line {line}: failed to {what}{hint}"));
                    if !go_on {
                        return Err(stopped(error, applied));
                    }
                    crate::complain(&error);
                    code = crate::exit::of(&error);
                }
            }
        }
        if let Some(connection) = connection {
            connection.close().await;
        }
        Ok(code)
    }
}

fn stopped(error: anyhow::Error, applied: u64) -> anyhow::Error {
    if applied == 0 {
        return error;
    }
    let text =
        format!("stopped after {applied} records; those before the line named are applied, the rest is not");
    advise(error, &text)
}

/// The change a record asks for.
fn as_change(record: Record) -> Result<(Controls, ChangeRecord), Usage> {
    match record {
        Record::Change(controls, change) => Ok((controls, change)),
        Record::Entry(entry) => match Add::try_from(&entry) {
            Ok(add) => Ok((Controls::none(), ChangeRecord::Add(add))),
            Err(error) => Err(Usage(format!("`{}`: {error}", entry.dn_str()))),
        },
    }
}

/// What a change does, for people.
pub(crate) fn describe(change: &ChangeRecord) -> String {
    match change {
        ChangeRecord::Add(add) => format!("add `{}`", add.dn),
        ChangeRecord::Modify(modify) => format!("modify `{}`", modify.dn),
        ChangeRecord::Delete(delete) => format!("delete `{}`", delete.dn),
        ChangeRecord::Rename(rename) => format!("rename `{}` to `{}`", rename.dn, rename.new_rdn),
    }
}

/// Sends a change and waits for its answer. An answer that is no is an error.
pub(crate) async fn send(
    directory: &dyn Directory,
    change: ChangeRecord,
    controls: Controls,
) -> Result<(), Error> {
    let mut request = match change {
        ChangeRecord::Add(add) => Request::new(add, Actor::Service).into_any(),
        ChangeRecord::Modify(modify) => Request::new(modify, Actor::Service).into_any(),
        ChangeRecord::Delete(delete) => Request::new(delete, Actor::Service).into_any(),
        ChangeRecord::Rename(rename) => Request::new(rename, Actor::Service).into_any(),
    };
    request.controls = controls;
    let outcome = directory.call(request).outcome().await?;
    if outcome.result.code == ResultCode::SUCCESS { Ok(()) } else { Err(Error::rejected(outcome)) }
}
