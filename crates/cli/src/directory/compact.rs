//! `flext-ldap directory compact`: the file of a directory, as small as it can be.

use std::process::ExitCode;

use flext_ldap_store::compact;

use super::config::{Configured, Purpose};

/// Arguments of `directory compact`.
#[derive(Debug, clap::Args)]
pub(super) struct Compact {
    #[command(flatten)]
    configured: Configured,
}

impl Compact {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let data = self.configured.read()?.settle(Purpose::Place)?.place()?;
        data.must_exist()?;
        let report = compact(&data.data)?;
        crate::say(format_args!("{} octets before, {} after", report.before, report.after));
        Ok(ExitCode::SUCCESS)
    }
}
