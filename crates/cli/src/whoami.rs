//! `flext-ldap whoami`: what ldapwhoami does (RFC 4532).

use std::{
    io::{self, Write},
    process::ExitCode,
};

use flext_ldap_directory::{Actor, DirectoryExt};

use crate::connect::Connect;

const EXAMPLES: &str = "\
Examples:
  flext-ldap whoami -H ldap://localhost
  flext-ldap whoami -H ldapi:///run/slapd/ldapi -Y EXTERNAL";

/// Arguments of `whoami`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connect: Connect,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        crate::block_on(async move {
            let connection = self.connect.open().await?;
            let name = connection.who_am_i(Actor::Service).await?;
            let name = if name.is_empty() { "anonymous" } else { name.as_str() };
            writeln!(io::stdout(), "{name}")?;
            connection.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}
