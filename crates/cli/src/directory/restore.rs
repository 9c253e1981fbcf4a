//! `flext-ldap directory restore`: a directory from a backup.

use std::{io::BufRead, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use flext_ldap_directory::ErrorKind;
use flext_ldap_store::{RestoreOptions, Store, restore};

use super::config::{Configured, Purpose};
use crate::{exit::Usage, input, output::advise};

/// Arguments of `directory restore`.
#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    #[command(flatten)]
    configured: Configured,
    /// Backup to read; `-` is standard input
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Take the place of the directory that is in the folder, which is kept there under another name
    #[arg(long)]
    replace: bool,
    /// Restore what a directory with faults was backed up to
    #[arg(long)]
    accept_faults: bool,
}

impl Restore {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.configured.read()?.settle(Purpose::Place)?;
        let data = config.place()?;
        let from = (self.from.as_os_str() != "-").then_some(self.from.as_path());
        let mut input = input::open(from)?;
        let name = from.map_or_else(|| "standard input".to_owned(), |from| from.display().to_string());
        if is_ldif(input.fill_buf().with_context(|| format!("failed to read {name}"))?) {
            let text = format!("{name} is LDIF and no backup; `flext-ldap directory import` loads it");
            return Err(Usage(text).into());
        }
        let mut options = RestoreOptions::default();
        options.replace = self.replace;
        options.accept_faults = self.accept_faults;
        let has_one = Store::is_in(&data.data);
        let report = restore(&mut input, config.store(data.options()?), &options).map_err(|error| {
            let is_taken = has_one && !self.replace && error.kind() == ErrorKind::Misuse;
            let error = anyhow::Error::new(error).context(format!("failed to restore {name}"));
            match is_taken {
                true => advise(error, "--replace keeps what is in the folder beside it under another name"),
                false => error,
            }
        })?;
        crate::say(format_args!(
            "restored {} entries as of {}, SHA-256 {}, {} faults",
            report.manifest.entries(),
            report.manifest.csn,
            report.sha256,
            report.check.faults
        ));
        if let Some(replaced) = report.replaced {
            crate::say(format_args!(
                "what it replaces is in {}; remove it when it is not wanted",
                replaced.display()
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Whether something begins as LDIF does: with a record, its version, or a remark before them.
fn is_ldif(begin: &[u8]) -> bool {
    let begin = String::from_utf8_lossy(begin);
    let is_blank = |line: &&str| line.is_empty() || line.starts_with([' ', '#']);
    let first = begin.lines().map(|line| line.trim_end_matches('\r')).find(|line| !is_blank(line));
    first.is_some_and(|line| line.starts_with("dn:") || line.starts_with("version:"))
}
