//! `flext-ldap export`: everything under a base as LDIF that can be loaded again.
//!
//! Without a version line, which OpenLDAP's slapadd does not take.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use flext_ldap_directory::{
    Actor, Request, SessionExt,
    proto::{
        attribute::Selection,
        dn::Dn,
        filter::Filter,
        message::{Scope, Search},
    },
};

use crate::{
    connect::Connect,
    output::{EntryWriter, Format},
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
    #[arg(short = 'b', long, value_name = "DN")]
    base: Option<Dn>,
    /// Write to this file instead of standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Operational attributes too (entryUUID, times, names)
    #[arg(long)]
    operational: bool,
    /// Entries a page
    #[arg(long, value_name = "ENTRIES", default_value_t = 1000)]
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
        let output: Box<dyn Write> = match &self.output {
            None => Box::new(io::stdout().lock()),
            Some(path) => {
                Box::new(File::create(path).with_context(|| format!("failed to create {}", path.display()))?)
            }
        };
        let mut writer = EntryWriter::new(self.format, BufWriter::with_capacity(1 << 16, output), 76);
        let count = crate::block_on(self.export(base, &mut writer))?;
        writer.into_inner().flush()?;
        writeln!(io::stderr(), "exported {count} entries")?;
        Ok(ExitCode::SUCCESS)
    }

    async fn export(&self, base: Dn, writer: &mut EntryWriter<impl Write>) -> anyhow::Result<u64> {
        let connection = self.connect.open().await?;
        let attributes = if self.operational { Selection::everything() } else { Selection::default() };
        let search = Search::new(base, Scope::Subtree, Filter::any()).attributes(attributes);
        let mut entries = connection.search_pages(Request::new(search, Actor::Service), self.page_size);
        let progress = Progress::new("entries");
        let mut count = 0;
        while let Some(batch) =
            entries.next_batch().await.with_context(|| format!("stopped after {count} entries"))?
        {
            for entry in batch.entries() {
                writer.entry(entry)?;
                count += 1;
                progress.advance(1);
            }
        }
        drop((progress, entries));
        connection.close().await;
        Ok(count)
    }
}
