//! Where LDIF and lists come from: a file, or standard input.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use flext_ldap_directory::proto::ldif::{LdifError, LdifErrorKind, LdifReader, ReadOptions};

use crate::output::advise;

/// Opens `path`, or standard input for none and for `-`.
pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Box<dyn BufRead + Send>> {
    match path.filter(|path| path.as_os_str() != "-") {
        None => Ok(Box::new(BufReader::with_capacity(1 << 16, io::stdin()))),
        Some(path) => {
            let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
            Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
        }
    }
}

/// Options of what reads LDIF.
#[derive(Debug, clap::Args)]
pub(crate) struct LdifInput {
    /// Read LDIF from this file instead of standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Let `attribute:< file:///…` read files of this machine
    #[arg(long)]
    pub(crate) read_files: bool,
}

impl LdifInput {
    /// What it is called in messages.
    pub(crate) fn name(&self) -> String {
        let file = self.file.as_deref().filter(|file| file.as_os_str() != "-");
        file.map_or_else(|| "standard input".to_owned(), |file| file.display().to_string())
    }

    /// Why it could not be read, and the option for it.
    pub(crate) fn unreadable(&self, error: LdifError) -> anyhow::Error {
        let advice = match error.kind {
            LdifErrorKind::NoChange => Some("entries are added by `flext-ldap add`, or with -a"),
            LdifErrorKind::FileRefused => Some("--read-files reads it"),
            _ => None,
        };
        let error = anyhow::Error::new(error).context(format!("failed to read {}", self.name()));
        match advice {
            Some(advice) => advise(error, advice),
            None => error,
        }
    }

    /// Opens it.
    pub(crate) fn reader(&self) -> anyhow::Result<LdifReader<Box<dyn BufRead + Send>>> {
        Ok(LdifReader::new(open(self.file.as_deref())?, self.options()))
    }

    /// What the reader accepts.
    pub(crate) fn options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        options.read_files = self.read_files;
        options
    }
}
