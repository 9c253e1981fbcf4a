//! `flext-ldap directory explain`: which indexes a search asks, and how many entries it looks at.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use flext_ldap_directory::{
    Actor,
    proto::{dn::Dn, filter::Filter, message::Search},
};
use flext_ldap_store::IndexStage;

use super::{
    config::{Configured, Purpose},
    open,
};
use crate::{exit::Usage, search::ScopeName};

const EXAMPLES: &str = "\
Examples:
  flext-ldap directory explain --data /var/lib/flext-ldap -b dc=example,dc=com '(&(objectClass=person)(cn=jo*))'
  flext-ldap directory explain --data /var/lib/flext-ldap -b ou=people,dc=example,dc=com -s one -n '(mail=*)'";

/// Arguments of `directory explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Explain {
    #[command(flatten)]
    configured: Configured,
    /// Entry to start from
    #[arg(short = 'b', long, value_name = "DN")]
    base: Dn,
    /// How far to go from there
    #[arg(short = 's', long, value_enum, default_value_t = ScopeName::Sub)]
    scope: ScopeName,
    /// Only say what would be done, and do not search
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Filter
    #[arg(value_name = "FILTER", default_value = "(objectClass=*)")]
    filter: String,
}

impl Explain {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.configured.read()?.settle(Purpose::Place)?.for_looking();
        let data = config.place()?;
        if !data.data.is_dir() {
            let data = data.data.display();
            return Err(Usage(format!("there is no directory in `{data}`: nothing was searched")).into());
        }
        let filter: Filter =
            self.filter.parse().map_err(|error| Usage(format!("`{}`: {error}", self.filter)))?;
        let store = open(config.store(data.options()?), &data)?;
        let search = Search::new(self.base, self.scope.into(), filter);
        let explanation = if self.dry_run {
            store.explain(&search, &Actor::Service)?
        } else {
            crate::block_on(async { Ok(store.explain_run(&search, &Actor::Service).await?) })?
        };
        for index in store.index_progress()?.iter().filter(|index| index.stage != IndexStage::Ready) {
            crate::say(format_args!("the index is not used yet: {index}"));
        }
        writeln!(io::stdout(), "{explanation}")?;
        store.close();
        Ok(ExitCode::SUCCESS)
    }
}
