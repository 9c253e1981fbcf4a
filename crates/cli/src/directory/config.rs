//! The configuration file of a served directory: one YAML file, read as a whole, so that all that is wrong with it is
//! told at once, each with its line, column and key. docs/server.md has the keys.
//!
//! What the command line says goes before what the file says. Nothing is opened here, and no password is in the file:
//! it says where the password is.

mod ahead;
mod keys;
mod sound;
#[cfg(test)]
mod tests;

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use flext_ldap::{
    PasswordSource,
    yaml::{self, Node, Problem, Problems, Section, Value},
};
use flext_ldap_directory::proto::{dn::Dn, schema::Schema, secret::Secret, url::LdapUrl};
use flext_ldap_server::ServerLimits;
use flext_ldap_store::{
    CertificateRule, IndexConfig, Limits, MemberOf, PasswordPolicy, ReferentialIntegrity, StandardPolicy,
    StoreOptions, Unindexed, UniqueValues,
    access::{AccessRules, RuleConfig},
};

use self::keys::{
    access, administrator, client_certificates, indexes, limits, lockout, log, member_of, monitor,
    rate_limits, references, server_limits, socket_mode, tls, unindexed, unique,
};
pub(super) use self::sound::{Draft, Purpose, known};
use super::monitor::Reader;
use crate::{connect::dn, exit::Usage, listener::TlsFiles};

/// Keys whose values are used when a directory is opened and not again: a reload says that they need a restart.
const FIXED: [&str; 19] = [
    "data",
    "suffixes",
    "schema",
    "administrator",
    "listen",
    "socket_mode",
    "unique",
    "referential_integrity",
    "member_of",
    "password_policy",
    "scram",
    "client_certificates.names",
    "log.access",
    "limits.cache",
    "limits.write_queue",
    "limits.hashing_threads",
    "limits.hashing_queue",
    "limits.sort_memory",
    "limits.persistent_searches",
];

/// What a file says, or what is so without one.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) data: Option<PathBuf>,
    pub(super) suffixes: Vec<Dn>,
    pub(super) schema: Vec<PathBuf>,
    pub(super) administrator: Option<Administrator>,
    pub(super) listen: Vec<LdapUrl>,
    /// File mode of Unix sockets.
    pub(super) socket_mode: Option<u32>,
    pub(super) tls: Option<TlsFiles>,
    /// How client certificates lead to entries.
    certificate_rules: Vec<CertificateRule>,
    pub(super) limits: Limits,
    pub(super) server: ServerLimits,
    pub(super) indexes: Option<IndexConfig>,
    pub(super) unindexed: Unindexed,
    unique: Vec<UniqueValues>,
    references: Setting<ReferentialIntegrity>,
    member_of: Setting<MemberOf>,
    pub(super) password_policy: Option<Dn>,
    /// The same without an entry: how many wrong passwords lock an account, and for how long.
    pub(super) lockout: Option<(usize, Duration)>,
    pub(super) tell_lockout: bool,
    /// Whether SCRAM is offered, and what it needs is kept beside the hashes of passwords.
    scram: bool,
    pub(super) access: Option<Vec<RuleConfig>>,
    pub(super) anonymous_read: bool,
    pub(super) log: Log,
    /// Who may read `cn=monitor` besides the administrator; `None` if it is not there.
    pub(super) monitor: Option<Vec<Reader>>,
    file: Option<Source>,
}

/// What is logged, and where.
#[derive(Clone, Debug)]
pub(super) struct Log {
    /// As `RUST_LOG` has it: a level, or levels by target.
    pub(super) level: Option<String>,
    /// Searches that work longer than this are logged with their plan; `None` logs none.
    pub(super) slow: Option<Duration>,
    pub(super) access: Option<PathBuf>,
}

/// Who may do everything.
#[derive(Clone, Debug)]
pub(super) struct Administrator {
    pub(super) dn: Dn,
    password: PasswordSource,
}

/// Something that is on by itself and can be set or turned off.
#[derive(Clone, Debug)]
enum Setting<T> {
    Default,
    Off,
    Set(T),
}

/// The file as it was read.
#[derive(Clone, Debug)]
struct Source {
    path: PathBuf,
    node: Node,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: None,
            suffixes: Vec::new(),
            schema: Vec::new(),
            administrator: None,
            listen: Vec::new(),
            socket_mode: None,
            tls: None,
            certificate_rules: Vec::new(),
            limits: Limits::default(),
            server: ServerLimits::default(),
            indexes: None,
            unindexed: Unindexed::default(),
            unique: Vec::new(),
            references: Setting::Default,
            member_of: Setting::Default,
            password_policy: None,
            lockout: None,
            tell_lockout: false,
            scram: false,
            access: None,
            anonymous_read: false,
            log: Log { level: None, slow: Some(Duration::from_secs(1)), access: None },
            monitor: Some(Vec::new()),
            file: None,
        }
    }
}

impl Administrator {
    /// With a password in a file.
    pub(super) fn with_file(dn: Dn, path: PathBuf) -> Self {
        Self { dn, password: PasswordSource::File(path) }
    }

    /// The password, from where the configuration says it is.
    pub(super) fn password(&self) -> anyhow::Result<Secret> {
        Ok(self.password.read("the administrator's")?)
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is no YAML. Whatever else is wrong is in the draft.
    fn read(path: &Path) -> anyhow::Result<Draft> {
        let mut text = String::new();
        let file = fs::File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
        // One octet more than there may be, so that too much is noticed and no more is read.
        file.take(yaml::LARGEST as u64 + 1)
            .read_to_string(&mut text)
            .with_context(|| format!("failed to read {}", path.display()))?;
        match yaml::parse(&text) {
            Ok(node) => {
                let problems = Problems::default();
                let mut config = Self::from_node(&node, &problems);
                if !problems.is_of_another_kind() {
                    for key in node.repeated() {
                        problems.add(key.place, &key.name, "is there twice");
                    }
                }
                config.file = Some(Source { path: path.to_owned(), node });
                Ok(Draft { config, problems: problems.into_sorted(), overridden: Vec::new() })
            }
            Err((place, message)) => {
                let problem = Problem { place, path: String::new(), message };
                Err(Usage(format!("{} cannot be used:\n  {problem}", path.display())).into())
            }
        }
    }

    fn from_node(node: &Node, problems: &Problems) -> Self {
        let root = Section::root(node, problems);
        let mut config = Self {
            data: root.text("data").map(PathBuf::from),
            suffixes: root.list("suffixes"),
            schema: root.list("schema"),
            administrator: root.section("administrator").and_then(administrator),
            listen: root.list("listen"),
            socket_mode: socket_mode(&root),
            tls: root.section("tls").and_then(tls),
            indexes: root.section("indexes").map(|section| indexes(&section)),
            unique: root.sections("unique").into_iter().map(unique).collect(),
            references: references(&root),
            member_of: member_of(&root),
            access: access(&root),
            ..Self::default()
        };
        if let Some(section) = root.section("client_certificates") {
            client_certificates(section, &mut config);
        }
        config.anonymous_read = root.flag("anonymous_read").unwrap_or_default();
        config.scram = root.flag("scram").unwrap_or_default();
        config.monitor = monitor(&root);
        if config.anonymous_read && config.access.is_some() {
            let place = node.at("anonymous_read").place;
            problems.add(
                place,
                "anonymous_read",
                "`access` says who reads what; say it there, with `anonymous`",
            );
        }
        if let Some(section) = root.section("limits") {
            limits(section, &mut config.limits);
        }
        if let Some(section) = root.section("server") {
            server_limits(section, &mut config.server);
        }
        if let Some(section) = root.section("rate_limits") {
            rate_limits(section, &mut config.server.rates);
        }
        if let Some(section) = root.section("unindexed") {
            unindexed(section, &mut config.unindexed);
        }
        if let Some(section) = root.section("password_policy") {
            config.password_policy = section.parsed("default");
            config.lockout = lockout(&section);
            config.tell_lockout = section.flag("tell_lockout").unwrap_or_default();
            section.finish();
        }
        if let Some(section) = root.section("log") {
            log(section, &mut config.log);
        }
        if node.get("flext_ldap").is_some() {
            let message = "this is the configuration of programs that ask directories (docs/configuration.md); that of a served \
                           directory has other keys (docs/server.md)";
            problems.only(node.place, message);
            return config;
        }
        if let Some(expected) = root.foreign() {
            let message = match node.get("dn") {
                Some(_) => "this is LDIF, which `flext-ldap directory import` loads".to_owned(),
                None => format!("no key of a configuration is in it; expected {expected}"),
            };
            problems.only(node.place, message);
            return config;
        }
        root.finish();
        config
    }

    /// The access rules: those of the file, or those a directory has without.
    ///
    /// # Errors
    ///
    /// What is wrong with them. One that passed [`Draft::settle`] has nothing wrong.
    pub(super) fn rules(&self, schema: &Schema) -> anyhow::Result<AccessRules> {
        self.parsed_rules(schema).map_err(|found| {
            let problems: Vec<_> = found.iter().map(|(key, message)| format!("`{key}`: {message}")).collect();
            Usage(format!("the access rules cannot be used:\n  {}", problems.join("\n  "))).into()
        })
    }

    /// The same, with each thing that is wrong by its key.
    fn parsed_rules(&self, schema: &Schema) -> Result<AccessRules, Vec<(String, String)>> {
        let standard = StandardPolicy::default();
        let Some(rules) = &self.access else {
            let policy = if self.anonymous_read { standard.anonymous_read() } else { standard };
            return Ok(policy.rules().clone());
        };
        AccessRules::from_config(rules, schema).map_err(|found| {
            let keyed = |problem: flext_ldap_store::access::Problem| match problem.rule {
                0 => ("access".to_owned(), problem.message),
                rule => (format!("access[{rule}].{}", problem.key), problem.message),
            };
            found.into_iter().map(keyed).collect()
        })
    }

    /// What a store is opened with, besides its place, suffixes, schema, administrator and access rules.
    pub(super) fn store(&self, mut options: StoreOptions) -> StoreOptions {
        options = options.limits(self.limits.clone()).unindexed(self.unindexed);
        if let Some(indexes) = &self.indexes {
            options = options.indexes(indexes.clone());
        }
        options = match self.log.slow {
            Some(slow) => options.slow(slow),
            None => options.without_slow_log(),
        };
        let rules = self.certificate_rules.iter().cloned();
        options = rules.fold(options, StoreOptions::certificate_rule);
        options = self.unique.iter().cloned().fold(options, StoreOptions::unique);
        options = match &self.references {
            Setting::Default => options,
            Setting::Off => options.referential_integrity(None),
            Setting::Set(references) => options.referential_integrity(Some(references.clone())),
        };
        options = match &self.member_of {
            Setting::Default => options,
            Setting::Off => options.member_of(None),
            Setting::Set(member_of) => options.member_of(Some(member_of.clone())),
        };
        if let Some(policy) = &self.password_policy {
            options = options.password_policy(policy.clone());
        } else if let Some((most, time)) = self.lockout {
            let mut rules = PasswordPolicy::default();
            (rules.lockout, rules.max_failure) = (true, most);
            (rules.lockout_duration, rules.failure_count_interval) = (time, time);
            options = options.password_policy(rules);
        }
        if self.tell_lockout {
            options = options.tell_lockout();
        }
        if self.scram {
            options = options.scram();
        }
        options
    }

    /// Whether there is a file.
    pub(super) const fn is_from_file(&self) -> bool {
        self.file.is_some()
    }

    /// The same for who looks at a directory and leaves it as it is: its indexes are not changed, and nothing is held to
    /// what needs others.
    pub(super) fn for_looking(mut self) -> Self {
        (self.indexes, self.references) = (None, Setting::Off);
        self.unique.clear();
        self
    }

    /// Keys whose values differ from those of `earlier` and are not looked at while a directory is open.
    pub(super) fn needing_restart(&self, earlier: &Self) -> Vec<&'static str> {
        let value = |config: &Self, key: &str| -> Option<Value> {
            let mut node = &config.file.as_ref()?.node;
            for part in key.split('.') {
                node = node.get(part)?;
            }
            Some(node.value.clone())
        };
        FIXED.into_iter().filter(|key| value(self, key) != value(earlier, key)).collect()
    }
}

/// A path as a word for a shell.
pub(super) fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+:@%,".contains(letter);
    if !path.is_empty() && path.chars().all(is_plain) {
        path
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

/// Where a directory is and what it is like, for commands that take the file or say it themselves.
#[derive(Debug, clap::Args)]
pub(super) struct Configured {
    /// Configuration file (YAML, see docs/server.md); options given here go before what it says
    #[arg(long, value_name = "FILE", env = "FLEXT_LDAP_CONFIG")]
    config: Option<PathBuf>,
    /// Folder the directory lives in, made if it is not there, or `:memory:`
    #[arg(long, value_name = "DIR|:memory:")]
    data: Option<PathBuf>,
    /// Name of its top entry, repeat for more; a folder that has been used knows its own
    #[arg(long, value_name = "DN", value_parser = dn)]
    suffix: Vec<Dn>,
    /// More schema: an OpenLDAP `.schema` file, or LDIF with subschema attributes
    #[arg(long, value_name = "FILE")]
    schema: Vec<PathBuf>,
}

impl Configured {
    /// The options by which another command is about the same directory, as a shell reads them.
    pub(super) fn options(&self) -> String {
        let config = self.config.iter().map(|path| ("config", path));
        let data = self.data.iter().map(|path| ("data", path));
        let schema = self.schema.iter().map(|path| ("schema", path));
        let options = config.chain(data).chain(schema);
        options.map(|(name, path)| format!("--{name} {}", quoted(path))).collect::<Vec<_>>().join(" ")
    }

    /// Reads the file, if there is one, and puts what was said here in its place.
    pub(super) fn read(&self) -> anyhow::Result<Draft> {
        let mut draft = match &self.config {
            Some(path) => Config::read(path)?,
            None => Draft { config: Config::default(), problems: Vec::new(), overridden: Vec::new() },
        };
        if let Some(data) = &self.data {
            draft.say("data", |config| config.data = Some(data.clone()));
        }
        if !self.suffix.is_empty() {
            draft.say("suffixes", |config| config.suffixes.clone_from(&self.suffix));
        }
        if !self.schema.is_empty() {
            draft.say("schema", |config| config.schema.clone_from(&self.schema));
        }
        Ok(draft)
    }
}

impl Config {
    /// The directory this is about.
    pub(super) fn place(&self) -> anyhow::Result<super::Data> {
        let data = self.data.clone().ok_or_else(|| {
            Usage("`data` is missing: the folder the directory lives in, in the file or by --data".to_owned())
        })?;
        Ok(super::Data { data, suffix: self.suffixes.clone(), schema: self.schema.clone() })
    }
}
