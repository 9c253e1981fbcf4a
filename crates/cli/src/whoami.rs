//! `flext-ldap whoami`: what ldapwhoami does (RFC 4532).

use std::{
    io::{self, Write},
    process::ExitCode,
};

use flext_ldap_directory::{
    Actor, DirectoryExt, Request,
    proto::extended::{ExtendedOperation, WhoAmI},
};

use crate::{connect::Connect, controls::General, output::on_one_line};

const EXAMPLES: &str = "\
Examples:
  flext-ldap whoami -H ldap://localhost
  flext-ldap whoami -D cn=admin,dc=example,dc=com -W -e authzid=u:ada
  flext-ldap whoami -H ldapi://%2Frun%2Fslapd%2Fldapi -Y EXTERNAL";

/// Arguments of `whoami`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    general: General,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        crate::block_on(async move {
            let connection = self.general.open(&self.connect).await?;
            let asked = self.general.on(Request::new(WhoAmI.request(), Actor::Service));
            let name = connection.extended::<WhoAmI>(asked).await?;
            let name = if name.is_empty() { "anonymous" } else { name.as_str() };
            writeln!(io::stdout(), "{}", on_one_line(name))?;
            connection.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}
