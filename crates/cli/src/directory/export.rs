//! `flext-ldap directory export`: a folder that nobody serves, as LDIF.

use std::{path::PathBuf, process::ExitCode};

use flext_ldap_directory::proto::dn::Dn;
use flext_ldap_store::ExportOptions;

use super::{
    config::{Configured, Purpose},
    control, open,
};
use crate::output::{Output, advise};

/// Arguments of `directory export`.
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    #[command(flatten)]
    configured: Configured,
    /// Write to this file, which keeps what it has until all is there, instead of standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only what is under this entry
    #[arg(short = 'b', long, value_name = "DN")]
    base: Option<Dn>,
}

impl Export {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let data = self.configured.read()?.settle(Purpose::Place)?.place()?;
        data.must_exist()?;
        let store = open(data.options()?, &data).map_err(|error| match control::is_in(&data.data) {
            true => advise(error, "a directory that is served is exported by `flext-ldap export -H URL`, and copied by `directory backup`"),
            false => error,
        })?;
        let mut output = Output::create(self.output.as_deref())?;
        let mut options = ExportOptions::default();
        options.base = self.base;
        options.operational = true;
        options.password_hashes = true;
        let count = store.export(&mut output, &options)?;
        output.finish()?;
        crate::say(format_args!("exported {count} entries"));
        store.close();
        Ok(ExitCode::SUCCESS)
    }
}
