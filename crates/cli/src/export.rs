//! `flext-ldap export`: everything under a base as LDIF that can be loaded again.
//!
//! Without a version line, which OpenLDAP's slapadd does not take.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use flext_ldap_directory::{
    Actor, Request, SessionExt,
    proto::{
        attribute::Selection,
        dn::Dn,
        filter::Filter,
        message::{Scope, Search},
    },
    ranges,
};

use crate::{
    connect::{Connect, dn},
    output::{EntryWriter, Format, Output},
    progress::Progress,
};

const EXAMPLES: &str = "\
Examples:
  flext-ldap export -D cn=admin,dc=example,dc=com -W -b dc=example,dc=com -o backup.ldif
  flext-ldap export -b ou=people,dc=example,dc=com --operational --format jsonl";

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    /// Entry to start from; BASE of ldap.conf or LDAPBASE if left out
    #[arg(short = 'b', long, value_name = "DN", value_parser = dn)]
    base: Option<Dn>,
    /// Write to this file, which keeps what it has until all is there, instead of standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Operational attributes too (entryUUID, times, names)
    #[arg(long)]
    operational: bool,
    /// Entries a page
    #[arg(long, value_name = "ENTRIES", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=0x7fff_ffff))]
    page_size: u32,
    /// Format of the entries
    #[arg(long, value_enum, default_value_t = Format::Ldif)]
    format: Format,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let base = match &self.base {
            Some(base) => base.clone(),
            None => self.connect.default_base()?,
        };
        let (count, has_passwords) = crate::block_on(self.export(base))?;
        crate::say(format_args!("exported {count} entries"));
        if count > 0 && !has_passwords {
            crate::say(format_args!("no password is among them: the server showed no userPassword"));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// How many entries there were, and whether one had a password.
    async fn export(&self, base: Dn) -> anyhow::Result<(u64, bool)> {
        let connection = self.connect.open().await?;
        let attributes = if self.operational { Selection::everything() } else { Selection::default() };
        let name = base.clone();
        let search = Search::new(base, Scope::Subtree, Filter::any()).attributes(attributes);
        let pinned = connection.pin().await?;
        let mut entries = pinned.search_pages(Request::new(search.clone(), Actor::Service), self.page_size);
        let progress = Progress::new("entries");
        let (mut count, mut has_passwords) = (0, false);
        let mut next = entries.next_batch().await.with_context(|| format!("failed to export `{name}`"))?;
        let output = Output::create(self.output.as_deref())?;
        let mut writer = EntryWriter::new(self.format, output, 76);
        while let Some(batch) = next {
            for entry in batch.entries() {
                let whole;
                let entry = match ranges::is_cut(entry) {
                    true => {
                        let like = Request::new(search.clone(), Actor::Service);
                        // Not where the page is: the answer would come behind the rest of it.
                        whole = ranges::whole(&connection, entry, &like).await.with_context(|| {
                            format!("failed to export all values of `{}`", entry.dn_str())
                        })?;
                        whole.as_ref()
                    }
                    false => entry,
                };
                writer.entry(entry)?;
                has_passwords |= entry.attributes().get("userPassword").is_some();
                count += 1;
                progress.advance(1);
            }
            next = entries.next_batch().await.with_context(|| format!("stopped after {count} entries"))?;
        }
        writer.into_inner().finish()?;
        drop((progress, entries));
        drop(pinned);
        connection.close().await;
        Ok((count, has_passwords))
    }
}
