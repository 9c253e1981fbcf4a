//! `flext-ldap delete`: what ldapdelete does.

use std::{io::BufRead, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use flext_ldap_directory::{
    Actor, Directory, DirectoryExt, Error, ErrorKind, Request,
    proto::{
        attribute::Selection,
        dn::Dn,
        filter::Filter,
        line::OneLine,
        message::{Delete, Scope, Search},
    },
};

use crate::{
    connect::{Connect, dn},
    controls::General,
    exit::Usage,
    input,
};

const EXAMPLES: &str = "\
Examples:
  flext-ldap delete -D cn=admin,dc=example,dc=com -W uid=ada,ou=people,dc=example,dc=com
  flext-ldap delete -c -f names.txt     # one name a line
  flext-ldap delete -r ou=old,dc=example,dc=com";

/// Arguments of `delete`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    general: General,
    /// Delete what is below each entry too, leaves first
    #[arg(short = 'r', long)]
    recursive: bool,
    /// Read names from this file, one a line
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Go on with the next name when one fails
    #[arg(short = 'c', long = "continue")]
    go_on: bool,
    /// Say what would be deleted, and delete nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Entries to delete; read from standard input if there are none and no file
    #[arg(value_name = "DN", value_parser = dn)]
    names: Vec<Dn>,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mut names = self.names.clone();
        if names.is_empty() || self.file.is_some() {
            for (index, line) in input::open(self.file.as_deref())?.lines().enumerate() {
                let line = line.context("failed to read the list of names")?;
                if !line.is_empty() {
                    let name = line.parse().map_err(|error| Usage(format!("line {}: {error}", index + 1)))?;
                    names.push(name);
                }
            }
        }
        crate::block_on(self.delete_all(names))
    }

    async fn delete_all(&self, names: Vec<Dn>) -> anyhow::Result<ExitCode> {
        let connection = self.general.open(&self.connect).await?;
        let mut code = ExitCode::SUCCESS;
        for name in names {
            let doomed = match self.recursive {
                true => self.below(&connection, &name).await,
                false => Ok(vec![name.clone()]),
            };
            let doomed = match doomed {
                Ok(doomed) => doomed,
                Err(error) => {
                    code = self.failed(error, &name)?;
                    continue;
                }
            };
            for name in doomed {
                if self.general.verbose || self.dry_run {
                    let unsent = if self.dry_run { " (not sent)" } else { "" };
                    crate::say(format_args!("delete `{name}`{unsent}"));
                }
                if self.dry_run {
                    continue;
                }
                let request = self.general.on(Request::new(Delete { dn: name.clone() }, Actor::Service));
                if let Err(error) = connection.delete(request).await {
                    code = self.failed(error, &name)?;
                }
            }
        }
        connection.close().await;
        Ok(code)
    }

    /// The exit code after a failure that is gone on from, or the error of one that is not.
    fn failed(&self, error: Error, name: &Dn) -> anyhow::Result<ExitCode> {
        let go_on = self.go_on && error.kind() == ErrorKind::Rejected;
        let hint = self.connect.hint(&error);
        let error = anyhow::Error::new(error).context(format!("failed to delete `{name}`{hint}"));
        if !go_on {
            return Err(error);
        }
        crate::complain(&error);
        Ok(crate::exit::of(&error))
    }

    /// The names of an entry and all below it, deepest first.
    async fn below(&self, directory: &impl Directory, base: &Dn) -> Result<Vec<Dn>, Error> {
        let search = Search::new(base.clone(), Scope::Subtree, Filter::any()).attributes(Selection::none());
        let mut request = Request::new(search, Actor::Service);
        self.general.manage_referrals(&mut request.controls);
        let mut entries = directory.search(request);
        let mut names = Vec::new();
        while let Some(entry) = entries.next().await? {
            let name = entry.dn().map_err(|error| {
                let message = format!("the server sent `{}`, which is not a name", OneLine(entry.dn_str()));
                Error::new(ErrorKind::Protocol, message).with_source(error)
            })?;
            names.push(name);
        }
        names.sort_by_key(|name| std::cmp::Reverse(name.depth()));
        Ok(names)
    }
}
