//! `flext-ldap directory export`: a folder that nobody serves, as LDIF.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use flext_ldap_directory::proto::dn::Dn;
use flext_ldap_store::ExportOptions;

use super::{
    config::{Configured, Purpose},
    open,
};
use crate::{exit::Usage, output};

/// Arguments of `directory export`.
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    #[command(flatten)]
    configured: Configured,
    /// Write to this file instead of standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only what is under this entry
    #[arg(short = 'b', long, value_name = "DN")]
    base: Option<Dn>,
}

impl Export {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let data = self.configured.read()?.settle(Purpose::Place)?.place()?;
        if !data.data.is_dir() {
            let data = data.data.display();
            return Err(Usage(format!("there is no directory in `{data}`: nothing was exported")).into());
        }
        let store = open(data.options()?, &data)?;
        let mut output = output::create(self.output.as_deref())?;
        let mut options = ExportOptions::default();
        options.base = self.base;
        options.operational = true;
        options.password_hashes = true;
        let count = store.export(&mut output, &options)?;
        output.flush()?;
        crate::say(format_args!("exported {count} entries"));
        store.close();
        Ok(ExitCode::SUCCESS)
    }
}
