//! `flext-ldap directory access`: what somebody may do to an entry, and which access rule says so.

use std::{
    fs,
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::ValueEnum;
use flext_ldap_directory::{
    Peer, PeerAddress, Protection,
    proto::{dn::Dn, schema::Schema},
};
use flext_ldap_store::{
    StandardPolicy, Store,
    access::{AccessRules, RuleConfig},
};

use serde::{Deserialize, Serialize};

use super::{
    config::{Configured, Purpose},
    control, open,
};
use crate::exit::Usage;

const EXAMPLES: &str = "\
Examples:
  flext-ldap directory access --data /var/lib/flext-ldap --as uid=anna,ou=people,dc=example,dc=com \\
    --on uid=bert,ou=people,dc=example,dc=com --attribute telephoneNumber --rules access.yaml
  flext-ldap directory access --data /var/lib/flext-ldap --on uid=bert,ou=people,dc=example,dc=com \\
    --attribute userPassword --over clear --from 192.0.2.7 --json

A directory that is served is asked by the process that serves it, which answers root and the user
it runs as.";

/// Arguments of `directory access`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Access {
    #[command(flatten)]
    configured: Configured,
    /// Who asks; somebody who has not signed in, if this is left out
    #[arg(long = "as", value_name = "DN", value_parser = requester)]
    requester: Option<Dn>,
    /// The entry they ask for
    #[arg(long, value_name = "DN", value_parser = dn)]
    on: Dn,
    /// The attribute they ask for; the entry itself, if this is left out
    #[arg(long, value_name = "ATTRIBUTE")]
    attribute: Option<String>,
    /// How their connection is protected
    #[arg(long, value_enum, default_value_t = Over::Tls)]
    over: Over,
    /// Where they connect from: an address, or `unix` for a Unix socket (which is `--over local`)
    #[arg(long, value_name = "ADDRESS|unix", value_parser = origin, default_value = "127.0.0.1")]
    from: Origin,
    /// Access rules (YAML: a list); if this is left out those of --config; without either those a directory is served
    /// with, or those it has without any
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// An administrator besides that of --config, repeat for more; a directory that is served has its own
    #[arg(long, value_name = "DN")]
    admin_dn: Vec<Dn>,
    /// As `directory serve --anonymous-read`
    #[arg(long, conflicts_with = "rules")]
    anonymous_read: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
enum Over {
    /// TLS: ldaps or StartTLS
    Tls,
    /// A Unix socket
    Local,
    /// Nothing
    Clear,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum Origin {
    Unix,
    Address(IpAddr),
}

fn requester(text: &str) -> Result<Dn, String> {
    dn(text).map_err(|error| format!("{error}; leave it out for somebody who has not signed in"))
}

fn origin(text: &str) -> Result<Origin, String> {
    match text {
        "unix" => Ok(Origin::Unix),
        _ => text.parse().map(Origin::Address).map_err(|_| "neither an address nor `unix`".to_owned()),
    }
}

impl Access {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.configured.read()?.settle(Purpose::Place)?.for_looking();
        let data = config.place()?;
        if data.data.to_str() != Some(":memory:") {
            data.must_exist()?;
        }
        let rules = match &self.rules {
            Some(path) => Rules::Given(read(path)?),
            None if self.anonymous_read || config.anonymous_read => Rules::AnonymousRead,
            None => match &config.access {
                Some(rules) => Rules::Given(rules.clone()),
                None if config.is_from_file() => Rules::Standard,
                None => Rules::InForce,
            },
        };
        let question = Question {
            requester: self.requester.as_ref().map(ToString::to_string),
            on: self.on.to_string(),
            attribute: self.attribute,
            over: self.over,
            from: self.from,
            rules,
            administrators: self.admin_dn.iter().map(ToString::to_string).collect(),
            json: self.json,
        };
        let told = match control::ask_whole(&data.data, &control::Ask::Access(question.clone()))? {
            Some(told) => told,
            None => {
                let mut options = config.store(data.options()?);
                let configured = config.administrator.iter().map(|administrator| &administrator.dn);
                let administrators: Vec<&Dn> = configured.chain(&self.admin_dn).collect();
                if let Some(own) = administrators.iter().find(|dn| Some(**dn) == self.requester.as_ref()) {
                    // Nobody signs in to this store, so any password is as good.
                    options = options.administrator((*own).clone(), "unused".into());
                }
                let store = open(options, &data)?;
                let told = question.answer(&store, None, &administrators)?;
                store.close();
                told
            }
        };
        writeln!(io::stdout(), "{}", told.trim_end_matches('\n'))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What is asked of whoever has the store.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Question {
    requester: Option<String>,
    on: String,
    attribute: Option<String>,
    over: Over,
    from: Origin,
    rules: Rules,
    administrators: Vec<String>,
    json: bool,
}

/// By which rules.
#[derive(Clone, Debug, Deserialize, Serialize)]
enum Rules {
    /// Those the directory is served with; where it is not, those it has without any.
    InForce,
    Standard,
    AnonymousRead,
    Given(Vec<RuleConfig>),
}

impl Question {
    /// The answer of the process that serves the directory.
    pub(super) fn answer_served(&self, subject: &control::Subject) -> anyhow::Result<String> {
        let own = subject.administrator.as_ref();
        for name in &self.administrators {
            if own != Some(&dn(name)?) {
                let has = own.map_or_else(|| "no other".to_owned(), |own| format!("`{own}`"));
                let text =
                    format!("--admin-dn `{name}`: the directory is served, and its administrator is {has}");
                return Err(Usage(text).into());
            }
        }
        self.answer(&subject.store, Some(&subject.rules()), own.as_slice())
    }

    /// The answer, as it is printed.
    fn answer(
        &self,
        store: &Store,
        in_force: Option<&AccessRules>,
        administrators: &[&Dn],
    ) -> anyhow::Result<String> {
        let standard = StandardPolicy::default();
        let rules = store.with_schema(|schema| {
            let rules = match (&self.rules, in_force) {
                (Rules::Given(rules), _) => usable(rules, schema)?,
                (Rules::InForce, Some(rules)) => rules.clone(),
                (Rules::AnonymousRead, _) => standard.anonymous_read().rules().clone(),
                (Rules::InForce | Rules::Standard, _) => standard.rules().clone(),
            };
            anyhow::Ok(administrators.iter().fold(rules, |rules, dn| rules.administrator(dn, schema)))
        })?;
        let (who, on) = (self.requester.as_deref().map(dn).transpose()?, dn(&self.on)?);
        let explanation = store
            .explain_access(&rules, who.as_ref(), &self.peer(), &on, self.attribute.as_deref())
            .context("failed to explain")?;
        Ok(if self.json { serde_json::to_string_pretty(&explanation)? } else { explanation.to_string() })
    }

    fn peer(&self) -> Peer {
        let (address, over) = match self.from {
            Origin::Unix => (PeerAddress::Unix, Over::Local),
            Origin::Address(_) if self.over == Over::Local => (PeerAddress::Unix, Over::Local),
            Origin::Address(address) => (PeerAddress::Tcp(SocketAddr::new(address, 0)), self.over),
        };
        let protection = match over {
            Over::Tls => Protection::Tls,
            Over::Local => Protection::Local,
            Over::Clear => Protection::Clear,
        };
        Peer { address, protection, external: None, bindings: None, tls: None }
    }
}

fn dn(text: &str) -> anyhow::Result<Dn> {
    Ok(text.parse().map_err(|error| Usage(format!("`{text}`: {error}")))?)
}

/// The access rules of a file.
///
/// # Errors
///
/// What is wrong with them, with its place: a line of the file, or a rule and its key.
pub(super) fn rules(path: &Path, schema: &Schema) -> anyhow::Result<AccessRules> {
    usable(&read(path)?, schema).with_context(|| format!("failed to use {}", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Vec<RuleConfig>> {
    let text = fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    serde_saphyr::from_str(&text).map_err(|error| {
        let error = flext_ldap::yaml::meant(&error.to_string());
        Usage(format!("{} is not a list of access rules: {error}", path.display())).into()
    })
}

fn usable(rules: &[RuleConfig], schema: &Schema) -> anyhow::Result<AccessRules> {
    AccessRules::from_config(rules, schema).map_err(|problems| {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        Usage(format!("the access rules cannot be used:\n  {}", problems.join("\n  "))).into()
    })
}
