//! `flext-ldap directory import`: LDIF into a folder that nobody serves.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use flext_ldap_directory::proto::{ldif::ReadOptions, result::ResultCode};
use flext_ldap_store::{ImportError, ImportFailure, ImportOptions, ImportReport, Store};

use super::{
    config::{Configured, Purpose},
    control, open,
};
use crate::{input, output::advise, progress::Progress};

/// Arguments of `directory import`.
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    #[command(flatten)]
    configured: Configured,
    /// Read LDIF from this file instead of standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Hash clear-text passwords instead of refusing them
    #[arg(long)]
    hash_passwords: bool,
    /// Leave records before this line out
    #[arg(long, value_name = "LINE", default_value_t = 0)]
    from_line: u64,
    /// Go on when a record is refused or is no LDIF; it is counted, and the exit code is 201
    #[arg(short = 'c', long = "continue")]
    go_on: bool,
    /// Let `attribute:< file:///…` read files of this machine
    #[arg(long)]
    read_files: bool,
}

impl Import {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.configured.read()?.settle(Purpose::Load)?;
        let data = config.place()?;
        let store = open(config.store(data.options()?).for_load(), &data).map_err(|error| {
            match control::is_in(&data.data) {
                true => advise(error, "into a directory that is served `flext-ldap import -H URL` loads"),
                false => error,
            }
        })?;
        let mut options = ImportOptions::default();
        options.hash_clear_passwords = self.hash_passwords;
        options.continue_on_error = self.go_on;
        options.start_line = self.from_line;
        let mut read = ReadOptions::default();
        read.read_files = self.read_files;
        options.read = read;
        let started = std::time::Instant::now();
        let report = load(&store, self.file.as_deref(), &options).map_err(|error| {
            match error.downcast_ref::<ImportError>().and_then(rest) {
                Some(Rest::There) => advise(error, "-c passes over what is there already"),
                Some(Rest::From { options, mends }) => {
                    let mend = if mends { "mend the record, then " } else { "" };
                    let hash = if self.hash_passwords { "--hash-passwords " } else { "" };
                    advise(error, &format!("{mend}go on with {hash}{options}"))
                }
                None => error,
            }
        })?;
        let seconds = started.elapsed().as_secs_f64();
        for (line, reason) in &report.refusals {
            crate::say(format_args!("line {line}: {reason}"));
        }
        crate::say(format_args!(
            "imported {} entries in {seconds:.1} s, {} refused",
            report.applied, report.refused
        ));
        store.close();
        Ok(if report.refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(crate::exit::USAGE) })
    }
}

/// What is left to load of an LDIF.
pub(super) enum Rest {
    /// It begins with an entry that was there before.
    There,
    /// What begins with the record that could not be applied. `mends` says whether the record has to change.
    From { options: String, mends: bool },
}

/// How to go on with an import that stopped; `None` where nothing was applied, so that it may as well begin anew.
pub(super) fn rest(error: &ImportError) -> Option<Rest> {
    let ImportError { line, applied, reason, .. } = error;
    let (options, mends) = match reason {
        ImportFailure::Refused(reason)
            if reason.starts_with(&ResultCode::ENTRY_ALREADY_EXISTS.to_string()) =>
        {
            return Some(Rest::There);
        }
        ImportFailure::ClearPassword(_) => (format!("--hash-passwords --from-line {line}"), false),
        ImportFailure::Storage(_) => (format!("--from-line {line}"), false),
        _ => (format!("--from-line {line}"), true),
    };
    (*applied > 0).then_some(Rest::From { options, mends })
}

/// Loads LDIF and shows how far it is.
pub(super) fn load(
    store: &Store,
    path: Option<&Path>,
    options: &ImportOptions,
) -> anyhow::Result<ImportReport> {
    let progress = Progress::new("entries");
    let mut last = 0;
    let name = path.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
    store
        .import(input::open(path)?, options, &mut |count| {
            progress.advance(count.saturating_sub(last));
            last = count;
        })
        .map_err(|error| {
            let without = match error.reason {
                ImportFailure::ClearPassword(_) => " without --hash-passwords",
                _ => "",
            };
            anyhow::Error::new(error).context(format!("failed to import {name}{without}"))
        })
}
