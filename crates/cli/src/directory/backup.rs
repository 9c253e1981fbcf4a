//! `flext-ldap directory backup`: a copy of a directory, which may be served meanwhile.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use flext_ldap_directory::{Error, ErrorKind};
use flext_ldap_store::save;
use serde_json::{Value, json};

use super::{
    Data,
    config::{Configured, Purpose},
    control, open,
};

const NOTE: &str = "\
A directory that is served is backed up by the process that serves it, as of one commit, while it
goes on; its file grows meanwhile by what is written to it. The backup has its name when all of it
is safe on disk. It holds password hashes.";

/// Arguments of `directory backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTE)]
pub(super) struct Backup {
    #[command(flatten)]
    configured: Configured,
    /// File to write, which must not be there; `-` is standard output
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

impl Backup {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let data = self.configured.read()?.settle(Purpose::Place)?.place()?;
        data.must_exist()?;
        let report = if self.to.as_os_str() == "-" {
            write(&data, &mut io::stdout().lock())
        } else {
            save(&self.to, |output| write(&data, output))
        }?;
        let text = |name: &str| match report.get(name) {
            Some(Value::String(text)) => text.clone(),
            other => other.map(ToString::to_string).unwrap_or_default(),
        };
        crate::say(format_args!(
            "backed up {} entries as of {} in {} octets, SHA-256 {}",
            text("entries"),
            text("csn"),
            text("octets"),
            text("sha256")
        ));
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes it, by whoever has the directory.
fn write(data: &Data, output: &mut dyn Write) -> Result<Value, Error> {
    let failed = |error: anyhow::Error| Error::new(ErrorKind::Storage, format!("{error:#}"));
    let served = control::ask(&data.data, &control::Ask::Backup, &mut |kind, octets| {
        if kind == control::Kind::Data {
            output.write_all(octets)?;
        }
        Ok(())
    });
    if let Some(report) = served.map_err(failed)? {
        return Ok(report);
    }
    let store = open(data.options().map_err(failed)?, data).map_err(failed)?;
    let report = store.backup(output)?;
    store.close();
    Ok(json!({
        "entries": report.manifest.entries(),
        "octets": report.octets,
        "csn": report.manifest.csn,
        "sha256": report.sha256,
    }))
}
