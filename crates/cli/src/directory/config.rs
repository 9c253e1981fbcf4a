//! The configuration file of a served directory: one YAML file, read as a whole, so that all that is wrong with it is
//! told at once, each with its line, column and key. docs/server.md has the keys.
//!
//! What the command line says goes before what the file says. Nothing is opened here, and no password is in the file:
//! it says where the password is.

mod node;
mod section;
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
use flext_ldap_directory::proto::{dn::Dn, filter::Filter, schema::Schema, secret::Secret, url::LdapUrl};
use flext_ldap_server::{Rate, RateLimits, ServerLimits};
use flext_ldap_store::{
    IndexConfig, IndexKind, Limits, MemberOf, ReferentialIntegrity, StandardPolicy, StoreOptions, Unindexed,
    UnindexedPolicy, UniqueValues,
    access::{AccessRules, AllowConfig, RuleConfig, TargetConfig},
};

use self::{
    node::{Node, Place, Value},
    section::{Problems, Section, is_unlimited},
};
pub(super) use self::{
    section::time as parse_time,
    sound::{Draft, Purpose, known},
};
use crate::{connect::password_file, exit::Usage};

/// Keys whose values are used when a directory is opened and not again: a reload says that they need a restart.
const FIXED: [&str; 19] = [
    "data",
    "suffixes",
    "schema",
    "administrator",
    "listen",
    "socket_mode",
    "indexes",
    "unique",
    "referential_integrity",
    "member_of",
    "password_policy",
    "log.access",
    "monitor",
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
    pub(super) limits: Limits,
    pub(super) server: ServerLimits,
    indexes: Option<IndexConfig>,
    pub(super) unindexed: Unindexed,
    unique: Vec<UniqueValues>,
    references: Setting<ReferentialIntegrity>,
    member_of: Setting<MemberOf>,
    pub(super) password_policy: Option<Dn>,
    pub(super) tell_lockout: bool,
    pub(super) access: Option<Vec<RuleConfig>>,
    pub(super) anonymous_read: bool,
    pub(super) log: Log,
    /// Who may read `cn=monitor` besides the administrator; `None` if it is not there.
    pub(super) monitor: Option<Vec<Dn>>,
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

#[derive(Clone, Debug)]
enum PasswordSource {
    File(PathBuf),
    Environment(String),
    /// A file in the folder that systemd makes for `LoadCredential=`.
    Credential(String),
}

/// Certificate chain and key.
#[derive(Clone, Debug)]
pub(super) struct TlsFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
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
            limits: Limits::default(),
            server: ServerLimits::default(),
            indexes: None,
            unindexed: Unindexed::default(),
            unique: Vec::new(),
            references: Setting::Default,
            member_of: Setting::Default,
            password_policy: None,
            tell_lockout: false,
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
        match &self.password {
            PasswordSource::File(path) => password_file(path),
            PasswordSource::Environment(name) => std::env::var_os(name)
                .map(|value| Secret::new(std::os::unix::ffi::OsStringExt::into_vec(value)))
                .ok_or_else(|| {
                    Usage(format!(
                        "the environment has no `{name}`, which is to hold the administrator's password"
                    ))
                    .into()
                }),
            PasswordSource::Credential(name) => {
                let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    Usage(format!(
                        "there are no systemd credentials here; the unit needs `LoadCredential={name}:FILE`"
                    ))
                })?;
                password_file(&Path::new(&folder).join(name))
            }
        }
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
        file.take(node::LARGEST as u64 + 1)
            .read_to_string(&mut text)
            .with_context(|| format!("failed to read {}", path.display()))?;
        match node::parse(&text) {
            Ok(node) => {
                let problems = Problems::default();
                let mut config = Self::from_node(&node, &problems);
                for key in node.repeated() {
                    problems.add(key.place, &key.name, "is there twice");
                }
                config.file = Some(Source { path: path.to_owned(), node });
                Ok(Draft { config, problems: problems.into_sorted(), overridden: Vec::new() })
            }
            Err((place, message)) => {
                let problem = section::Problem { place, path: String::new(), message };
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
        config.anonymous_read = root.flag("anonymous_read").unwrap_or_default();
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
            config.tell_lockout = section.flag("tell_lockout").unwrap_or_default();
            section.finish();
        }
        if let Some(section) = root.section("log") {
            log(section, &mut config.log);
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
        }
        if self.tell_lockout {
            options = options.tell_lockout();
        }
        options
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

fn administrator(section: Section<'_>) -> Option<Administrator> {
    let dn = section.parsed("dn");
    let file = section.text("password_file").map(|path| PasswordSource::File(path.into()));
    let environment = section.text("password_env").map(|name| PasswordSource::Environment(name.to_owned()));
    let credential =
        section.text("password_credential").map(|name| PasswordSource::Credential(name.to_owned()));
    let place = section.place();
    let given: Vec<_> = [file, environment, credential].into_iter().flatten().collect();
    let path = section.path_of("");
    let path = path.trim_end_matches('.');
    if dn.is_none() && section.get("dn").is_none() {
        section.problems.add(place, path, "`dn` is missing: the administrator's name");
    }
    if given.len() != 1 {
        section.problems.add(
            place,
            path,
            "say where the password is with one of `password_file`, `password_env`, `password_credential`",
        );
    }
    section.finish();
    Some(Administrator { dn: dn?, password: given.into_iter().next()? })
}

fn socket_mode(root: &Section<'_>) -> Option<u32> {
    let node = root.get("socket_mode")?;
    let mode = match &node.value {
        Value::Text(text) => u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777),
        _ => None,
    };
    if mode.is_none() {
        let message = format!("expected a file mode in quotes, like \"0666\", found {}", node.kind());
        root.problems.add(node.place, "socket_mode", message);
    }
    mode
}

fn tls(section: Section<'_>) -> Option<TlsFiles> {
    let certificate = section.text("certificate").map(PathBuf::from);
    let key = section.text("key").map(PathBuf::from);
    if certificate.is_none() || key.is_none() {
        let place = section.place();
        section.problems.add(place, "tls", "needs both `certificate` and `key`, files with PEM");
    }
    section.finish();
    Some(TlsFiles { certificate: certificate?, key: key? })
}

fn indexes(section: &Section<'_>) -> IndexConfig {
    section.entries().fold(IndexConfig::default(), |config, (key, node)| {
        let kinds: Vec<IndexKind> = match node.value {
            Value::Nothing => Vec::new(),
            _ => section.list_of(&key.name, node),
        };
        config.index(&key.name, kinds)
    })
}

fn unindexed(section: Section<'_>, unindexed: &mut Unindexed) {
    let words = [
        ("allow", UnindexedPolicy::Allow),
        ("warn", UnindexedPolicy::Warn),
        ("refuse", UnindexedPolicy::Refuse),
    ];
    if let Some(policy) = section.word("policy", &words) {
        unindexed.policy = policy;
    }
    section.number_or_none("threshold", &mut unindexed.threshold);
    section.finish();
}

fn unique(section: Section<'_>) -> UniqueValues {
    let attributes: Vec<String> = section.list("attributes");
    if attributes.is_empty() {
        let path = section.path_of("attributes");
        section.problems.add(section.place(), path, "name at least one attribute");
    }
    let mut values = UniqueValues::of(attributes);
    values = section.list::<Dn>("below").into_iter().fold(values, UniqueValues::below);
    if let Some(filter) = section.parsed::<Filter>("filter") {
        values = values.among(filter);
    }
    section.finish();
    values
}

fn references(root: &Section<'_>) -> Setting<ReferentialIntegrity> {
    match root.get("referential_integrity").map(|node| &node.value) {
        None | Some(Value::Flag(true)) => return Setting::Default,
        Some(Value::Flag(false)) => return Setting::Off,
        Some(_) => {}
    }
    let Some(section) = root.section("referential_integrity") else { return Setting::Default };
    let attributes: Vec<String> = section.list("attributes");
    let mut references = if attributes.is_empty() {
        ReferentialIntegrity::default()
    } else {
        ReferentialIntegrity::of(attributes)
    };
    if section.flag("must_exist").unwrap_or_default() {
        references = references.must_exist();
    }
    if let Some(name) = section.parsed("placeholder") {
        references = references.placeholder(name);
    }
    section.finish();
    Setting::Set(references)
}

fn member_of(root: &Section<'_>) -> Setting<MemberOf> {
    match root.get("member_of").map(|node| &node.value) {
        None | Some(Value::Flag(true)) => return Setting::Default,
        Some(Value::Flag(false)) => return Setting::Off,
        Some(_) => {}
    }
    let Some(section) = root.section("member_of") else { return Setting::Default };
    let attributes: Vec<String> = section.list("attributes");
    section.finish();
    if attributes.is_empty() { Setting::Default } else { Setting::Set(MemberOf::of(attributes)) }
}

fn monitor(root: &Section<'_>) -> Option<Vec<Dn>> {
    match root.get("monitor").map(|node| &node.value) {
        None | Some(Value::Flag(true)) => return Some(Vec::new()),
        Some(Value::Flag(false)) => return None,
        Some(_) => {}
    }
    let section = root.section("monitor")?;
    let readers = section.list("readers");
    section.finish();
    Some(readers)
}

/// The shape of the rules; what they mean depends on the schema. Each wrong one is told.
fn access(root: &Section<'_>) -> Option<Vec<RuleConfig>> {
    let node = root.get("access")?;
    let Value::List(items) = &node.value else {
        let message = format!("expected a list of access rules, found {}", node.kind());
        root.problems.add(node.place, "access", message);
        return None;
    };
    let mut rules = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        match serde_json::from_value(item.to_json()) {
            Ok(rule) => rules.push(rule),
            Err(error) => {
                let path = format!("access[{}]", index + 1);
                root.problems.add(place_of(item, &error.to_string()), path, error.to_string());
                // It keeps its number, so that those after it are told by theirs; what else is wrong with it is told.
                rules.push(shape(item));
            }
        }
    }
    Some(rules)
}

/// What can be read of a rule that cannot be read whole: key by key, and line by line.
fn shape(item: &Node) -> RuleConfig {
    let part = |node: Option<&Node>| node.map(Node::to_json).unwrap_or_default();
    let mut to = serde_json::Map::new();
    if let Some(Value::Map(entries)) = item.get("to").map(|node| &node.value) {
        for (key, node) in entries {
            let one = serde_json::Map::from_iter([(key.name.clone(), node.to_json())]);
            if serde_json::from_value::<TargetConfig>(one.clone().into()).is_ok() {
                to.extend(one);
            }
        }
    }
    let lines: &[Node] = match item.get("allow").map(|node| &node.value) {
        Some(Value::List(lines)) => lines,
        _ => &[],
    };
    RuleConfig {
        name: None,
        to: serde_json::from_value(to.into()).ok(),
        allow: lines
            .iter()
            .map(|line| {
                // A line that cannot be read says nothing that could be wrong.
                let empty = || AllowConfig {
                    who: "anyone".to_owned(),
                    rights: "none".into(),
                    ..AllowConfig::default()
                };
                serde_json::from_value(line.to_json()).unwrap_or_else(|_| empty())
            })
            .collect(),
        over: serde_json::from_value(part(item.get("over"))).unwrap_or_default(),
        from: serde_json::from_value(part(item.get("from"))).unwrap_or_default(),
    }
}

/// Where in a rule an error is: at the key it names between backticks, if that is there.
fn place_of(rule: &Node, error: &str) -> Place {
    let Some(name) = error.split('`').nth(1) else { return rule.place };
    let mut waiting = vec![rule];
    while let Some(node) = waiting.pop() {
        match &node.value {
            Value::Map(entries) => {
                if let Some((key, _)) = entries.iter().find(|(key, _)| key.name == name) {
                    return key.place;
                }
                waiting.extend(entries.iter().map(|(_, node)| node));
            }
            Value::List(items) => waiting.extend(items),
            _ => {}
        }
    }
    rule.place
}

fn limits(section: Section<'_>, limits: &mut Limits) {
    section.limit("size", &mut limits.size, u32::MAX);
    section.time_limit("time", &mut limits.time);
    section.limit("lookthrough", &mut limits.lookthrough, u64::MAX);
    section.number("filter", &mut limits.filter);
    section.octets("sort_memory", &mut limits.sort_memory, 1 << 20);
    section.number("tree_delete", &mut limits.tree_delete);
    section.number_or_none("persistent_searches", &mut limits.persistent_searches);
    section.number("references", &mut limits.references);
    section.number("renamed", &mut limits.renamed);
    section.number("written_values", &mut limits.written_values);
    section.number("kept_inline", &mut limits.kept_inline);
    section.octets("cache", &mut limits.cache, 1 << 20);
    section.number("write_queue", &mut limits.write_queue);
    section.number("hashing_threads", &mut limits.hashing_threads);
    section.number("hashing_queue", &mut limits.hashing_queue);
    section.finish();
}

fn server_limits(section: Section<'_>, limits: &mut ServerLimits) {
    section.number("connections", &mut limits.connections);
    if section.get("connections_per_address").is_some() {
        let mut most = usize::MAX;
        section.limit("connections_per_address", &mut most, usize::MAX);
        limits.connections_per_address = (most < usize::MAX).then_some(most);
    }
    section.octets("message", &mut limits.message.message, 4 << 10);
    section.octets("anonymous_message", &mut limits.anonymous_message, 4 << 10);
    section.number("operations", &mut limits.operations);
    section.number_or_none("persistent_searches", &mut limits.persistent_searches);
    section.octets("unread", &mut limits.unread, 4 << 10);
    section.time_limit("idle", &mut limits.idle);
    section.time_limit("receive", &mut limits.receive);
    section.time_limit("stall", &mut limits.stall);
    section.time_limit("handshake", &mut limits.handshake);
    section.time_limit("bind", &mut limits.bind);
    section.time_limit("search", &mut limits.search);
    section.time_limit("operation", &mut limits.operation);
    section.finish();
}

fn rate_limits(section: Section<'_>, rates: &mut RateLimits) {
    rate(&section, "connections", &mut rates.connections);
    rate(&section, "binds", &mut rates.binds);
    rate(&section, "operations", &mut rates.operations);
    rates.loopback = section.flag("loopback").unwrap_or(rates.loopback);
    section.finish();
}

fn rate(section: &Section<'_>, key: &'static str, rate: &mut Option<Rate>) {
    match section.get(key).map(|node| &node.value) {
        None => {}
        Some(_) if section.get(key).is_some_and(is_unlimited) => *rate = None,
        Some(Value::Map(_)) => {
            let Some(inner) = section.section(key) else { return };
            let mut per_second = rate.map_or(0, |rate| rate.per_second);
            inner.number("per_second", &mut per_second);
            let mut burst = per_second.saturating_mul(4);
            inner.number("burst", &mut burst);
            inner.finish();
            *rate = Some(Rate { per_second, burst });
        }
        Some(_) => {
            let mut per_second = 0_u32;
            section.number(key, &mut per_second);
            *rate = Some(Rate { per_second, burst: per_second.saturating_mul(4) });
        }
    }
}

fn log(section: Section<'_>, log: &mut Log) {
    if let Some(level) = section.get("level") {
        match &level.value {
            Value::Text(text) if crate::logging::is_level(text) => log.level = Some(text.clone()),
            _ => {
                let found = level.kind();
                section.problems.add(
                    level.place,
                    "log.level",
                    format!("expected `error`, `warn`, `info`, `debug`, `trace`, or these by target, found {found}"),
                );
            }
        }
    }
    match section.get("slow_search").map(|node| &node.value) {
        Some(Value::Flag(false)) => log.slow = None,
        Some(Value::Text(text)) if text == "off" => log.slow = None,
        Some(_) => {
            let mut slow = Duration::ZERO;
            section.duration("slow_search", &mut slow);
            log.slow = Some(slow);
        }
        None => {}
    }
    log.access = section.text("access").map(PathBuf::from);
    section.finish();
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
    #[arg(long, value_name = "DN")]
    suffix: Vec<Dn>,
    /// More schema: an OpenLDAP `.schema` file, or LDIF with subschema attributes
    #[arg(long, value_name = "FILE")]
    schema: Vec<PathBuf>,
}

impl Configured {
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
