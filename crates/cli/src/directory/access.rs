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
    StandardPolicy,
    access::{AccessRules, RuleConfig},
};

use super::{
    config::{Configured, Purpose},
    open,
};
use crate::exit::Usage;

const EXAMPLES: &str = "\
Examples:
  flext-ldap directory access --data /var/lib/flext-ldap --as uid=anna,ou=people,dc=example,dc=com \\
    --on uid=bert,ou=people,dc=example,dc=com --attribute telephoneNumber --rules access.yaml
  flext-ldap directory access --data /var/lib/flext-ldap --on uid=bert,ou=people,dc=example,dc=com \\
    --attribute userPassword --over clear --from 192.0.2.7 --json";

/// Arguments of `directory access`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Access {
    #[command(flatten)]
    configured: Configured,
    /// Who asks; somebody who has not signed in, if this is left out
    #[arg(long = "as", value_name = "DN")]
    requester: Option<Dn>,
    /// The entry they ask for
    #[arg(long, value_name = "DN")]
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
    /// Access rules (YAML: a list); those of --config, or those a directory has without any, if this is left out
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// An administrator besides that of --config, repeat for more
    #[arg(long, value_name = "DN")]
    admin_dn: Vec<Dn>,
    /// As `directory serve --anonymous-read`
    #[arg(long, conflicts_with = "rules")]
    anonymous_read: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Over {
    /// TLS: ldaps or StartTLS
    Tls,
    /// A Unix socket
    Local,
    /// Nothing
    Clear,
}

#[derive(Clone, Copy, Debug)]
enum Origin {
    Unix,
    Address(IpAddr),
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
        let folder = &data.data;
        if folder.to_str() != Some(":memory:") && !folder.is_dir() {
            return Err(Usage(format!("there is no directory in {}", folder.display())).into());
        }
        // Rules that cannot be used are told before anything is opened; those of a file may be about attributes that only
        // the directory knows.
        let given = match &self.rules {
            Some(path) => Some(rules(Some(path), false, &data.load_schema()?)?),
            None if self.anonymous_read => Some(rules(None, true, &data.load_schema()?)?),
            None => None,
        };
        let mut options = config.store(data.options()?);
        let configured = config.administrator.iter().map(|administrator| &administrator.dn);
        let administrators: Vec<&Dn> = configured.chain(&self.admin_dn).collect();
        if let Some(own) = administrators.iter().find(|dn| Some(**dn) == self.requester.as_ref()) {
            // Nobody signs in to this store, so any password is as good.
            options = options.administrator((*own).clone(), "unused".into());
        }
        let store = open(options, &data)?;
        let rules = store.with_schema(|schema| {
            let rules = given.map_or_else(|| config.rules(schema), Ok)?;
            anyhow::Ok(administrators.into_iter().fold(rules, |rules, dn| rules.administrator(dn, schema)))
        })?;
        let explanation = store
            .explain_access(
                &rules,
                self.requester.as_ref(),
                &self.peer(),
                &self.on,
                self.attribute.as_deref(),
            )
            .context("failed to explain")?;
        if self.json {
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&explanation)?)?;
        } else {
            write!(io::stdout(), "{explanation}")?;
        }
        Ok(ExitCode::SUCCESS)
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
        Peer { address, protection, external: None }
    }
}

/// The access rules of a file, or those a directory has without one.
pub(super) fn rules(
    path: Option<&Path>,
    anonymous_read: bool,
    schema: &Schema,
) -> anyhow::Result<AccessRules> {
    let standard = StandardPolicy::default();
    match path {
        Some(path) => read(path, schema),
        None if anonymous_read => Ok(standard.anonymous_read().rules().clone()),
        None => Ok(standard.rules().clone()),
    }
}

/// Reads access rules. What is wrong with them is told with its place: a line of the file, or a rule and its key.
fn read(path: &Path, schema: &Schema) -> anyhow::Result<AccessRules> {
    let text = fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    let rules: Vec<RuleConfig> = serde_saphyr::from_str(&text)
        .map_err(|error| Usage(format!("{} is not a list of access rules: {error}", path.display())))?;
    AccessRules::from_config(&rules, schema).map_err(|problems| {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        Usage(format!("the access rules in {} cannot be used:\n  {}", path.display(), problems.join("\n  ")))
            .into()
    })
}
