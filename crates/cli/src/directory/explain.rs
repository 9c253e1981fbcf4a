//! `flext-ldap directory explain`: which indexes a search asks, and how many entries it looks at.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use flext_ldap_directory::{
    Actor,
    proto::{dn::Dn, filter::Filter, message::Search},
};
use flext_ldap_store::Store;

use serde::{Deserialize, Serialize};

use super::{
    config::{Configured, Purpose},
    control, indexes, open,
};
use crate::{connect::dn, exit::Usage, search::ScopeName};

const EXAMPLES: &str = "\
Examples:
  flext-ldap directory explain --data /var/lib/flext-ldap -b dc=example,dc=com '(&(sn=*)(cn=jo*))'
  flext-ldap directory explain --data /var/lib/flext-ldap -b dc=example,dc=com -s one -n '(mail=*)'

A directory that is served is asked by the process that serves it, which answers root and the user
it runs as.";

/// Arguments of `directory explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Explain {
    #[command(flatten)]
    configured: Configured,
    /// Entry to start from
    #[arg(short = 'b', long, value_name = "DN", value_parser = dn)]
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
        data.must_exist()?;
        let Self { base, scope, filter, dry_run, .. } = self;
        let question = Question { base: base.to_string(), scope, filter, dry_run };
        question.search()?;
        let ask = control::Ask::Explain(question.clone());
        let failed = || format!("failed to explain a search of `{}`", question.base);
        let Answer { explanation, building } =
            match control::ask_whole(&data.data, &ask).with_context(failed)? {
                Some(answer) => answer,
                None => {
                    let store = open(config.store(data.options()?), &data)?;
                    let answer = crate::block_on(question.answer(&store)).with_context(failed)?;
                    store.close();
                    answer
                }
            };
        for index in building {
            crate::say(format_args!("{index}"));
        }
        writeln!(io::stdout(), "{explanation}")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What is asked of whoever has the store.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Question {
    pub(super) base: String,
    pub(super) scope: ScopeName,
    pub(super) filter: String,
    pub(super) dry_run: bool,
}

/// What is told.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Answer {
    explanation: String,
    /// What is to be said of indexes that are not ready.
    building: Vec<String>,
}

impl Question {
    fn search(&self) -> anyhow::Result<Search> {
        let wrong = |text: &str, error: &dyn std::fmt::Display| Usage(format!("`{text}`: {error}"));
        let base: Dn = self.base.parse().map_err(|error| wrong(&self.base, &error))?;
        let filter: Filter = self.filter.parse().map_err(|error| wrong(&self.filter, &error))?;
        Ok(Search::new(base, self.scope.into(), filter))
    }

    pub(super) async fn answer(&self, store: &Store) -> anyhow::Result<Answer> {
        let search = self.search()?;
        let explanation = if self.dry_run {
            store.explain(&search, &Actor::Service).await?
        } else {
            store.explain_run(&search, &Actor::Service).await?
        };
        Ok(Answer { explanation: explanation.to_string(), building: indexes::pending(store)? })
    }
}
