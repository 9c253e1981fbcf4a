//! From a tree to a configuration: every key against the table, then what the keys mean together.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use flext_ldap_client::{Choice, Mechanism, Referrals, TlsOptions, WhenDown};
use flext_ldap_directory::{
    Actor,
    proto::{
        dn::Dn,
        schema::Schema,
        url::{LdapUrl, Scheme},
    },
};

use super::{
    Account, Address, Audited, Config, ConfigError, Connections, Finding, Observability, Protection, Server,
    Source, Structure, TicketSource,
    environment::{self, Overrides},
    keys::{Effect, KEYS, Key, Kind, TOP, address, urls},
    proxy::ProxySettings,
    show,
};
use crate::{
    password::PasswordSource,
    yaml::{self, Node, Place, Problem, Problems, Section, Value, text_of},
};

/// Keys of a served directory's file that ours does not have.
const SERVED: [&str; 4] = ["data", "suffixes", "listen", "administrator"];

/// Keys that others have for what stands in no file here.
const SECRETS: [&str; 4] = ["password", "bind_password", "passwd", "secret"];

/// What is read, with where everything in it comes from.
pub(super) struct Origin<'a> {
    pub(super) file: Option<&'a Path>,
    pub(super) overrides: Overrides,
}

impl Origin<'_> {
    /// Where the value at a path below the top comes from.
    pub(super) fn of(&self, path: &str, place: Place) -> Source {
        match (self.overrides.of(path), self.file) {
            (Some(name), _) => Source::Environment(name.to_owned()),
            (None, Some(file)) => {
                Source::File { path: file.to_owned(), line: place.line, column: place.column }
            }
            (None, None) => Source::Default,
        }
    }

    fn finding(&self, problem: Problem) -> Finding {
        let Problem { place, path, message } = problem;
        let below = path.strip_prefix(TOP).unwrap_or_default().trim_start_matches('.');
        Finding { source: self.of(below, place), key: path, message }
    }
}

impl Config {
    pub(super) fn new(
        file: Option<(&Path, &str)>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let whole = match file {
            None => Node { place: Place::default(), value: Value::Map(Vec::new()) },
            Some((path, text)) => yaml::parse(text).map_err(|(place, message)| {
                let source = Source::File { path: path.to_owned(), line: place.line, column: place.column };
                ConfigError::Faulty(vec![Finding { source, key: String::new(), message }])
            })?,
        };
        let path = file.map(|(path, _)| path);
        if let Some(path) = path
            && whole.get(TOP).is_none()
            && SERVED.iter().any(|key| whole.get(key).is_some())
        {
            return Err(ConfigError::ServedDirectory(path.to_owned()));
        }
        let problems = Problems::default();
        for key in whole.repeated() {
            problems.add(key.place, &key.name, "is there twice");
        }
        let mut below = Node { place: whole.place, value: Value::Nothing };
        let top = Section::root(&whole, &problems);
        match top.get(TOP) {
            Some(node) => below = node.clone(),
            None if file.is_some() => {
                problems.add(whole.place, TOP, "is missing: all other keys stand below it");
            }
            None => {}
        }
        top.finish();
        let overrides = Overrides::apply(&mut below, variables);
        let origin = Origin { file: path, overrides };
        // Paths are told from the top.
        let inner = Problems::default();
        check(Section::root(&below, &inner), KEYS);
        let mut reading = Reading { tree: &below, problems: &inner, warnings: Vec::new(), notes: Vec::new() };
        let config = reading.config();
        let mut warnings = std::mem::take(&mut reading.warnings);
        let mut idle = idle(&below);
        idle.append(&mut reading.notes);
        idle.sort_by_key(|note| note.place);
        warnings.sort_by_key(|warning| warning.place);
        let at_top = |mut problem: Problem| {
            problem.path = match problem.path.is_empty() {
                true => TOP.to_owned(),
                false => format!("{TOP}.{}", problem.path),
            };
            origin.finding(problem)
        };
        let mut faults: Vec<_> =
            problems.into_sorted().into_iter().map(|problem| origin.finding(problem)).collect();
        faults.extend(inner.into_sorted().into_iter().map(at_top));
        faults.extend(origin.overrides.wrong.iter().map(|(name, why)| Finding {
            source: Source::Environment(name.clone()),
            key: String::new(),
            message: why.clone(),
        }));
        let Some(mut config) = config.filter(|_| faults.is_empty()) else {
            return Err(ConfigError::Faulty(faults));
        };
        config.warnings = warnings.into_iter().map(at_top).collect();
        config.idle = idle.into_iter().map(at_top).collect();
        let named = |name: &String| config.accounts.values().any(|account| account.is_in_variable(name));
        let strange = origin.overrides.strange.iter().filter(|name| !named(name)).map(|name| Finding {
            source: Source::Environment(name.clone()),
            key: String::new(),
            message: environment::stranger(name),
        });
        let strange: Vec<_> = strange.collect();
        config.idle.extend(strange);
        config.settings = show::settings(&below, &origin);
        Ok(config)
    }
}

/// Holds a map of keys against the table. As deep as the table.
fn check(section: Section<'_>, keys: &'static [Key]) {
    for key in keys {
        match key.kind {
            Kind::Map(below) => {
                if let Some(inner) = section.section(key.name) {
                    check(inner, below);
                }
            }
            Kind::List(below) => {
                section.sections(key.name).into_iter().for_each(|inner| check(inner, below));
            }
            Kind::Named(below) => {
                let Some(named) = section.section(key.name) else { continue };
                for (name, node) in named.entries() {
                    check_named(&named, name, node, below);
                }
            }
            _ => {
                let Some(node) = section.get(key.name) else { continue };
                let Err(expected) = key.kind.accept(node) else { continue };
                if key.kind.may_be_secret() {
                    let path = section.path_of(key.name);
                    section.problems.add(node.place, path, format!("expected {expected}"));
                } else {
                    section.wrong(key.name, node, &expected);
                }
            }
        }
    }
    section.finish();
}

/// An account: what stands where it does not belong may be its password, and is not repeated.
fn check_named(named: &Section<'_>, name: &yaml::Key, node: &Node, below: &'static [Key]) {
    let path = named.path_of(&name.name);
    if !is_account_name(&name.name) {
        named.problems.add(
            name.place,
            &path,
            "expected a name of letters, digits, `-` and `_`, of which two never stand together",
        );
        return;
    }
    if !matches!(node.value, Value::Map(_)) {
        named.problems.add(node.place, path, "expected a map of keys: `dn`, and where the password is");
        return;
    }
    let section = named.below(name, node);
    for secret in SECRETS {
        if let Some((key, _)) = node.entry(secret) {
            section.problems.add(
                key.place,
                section.path_of(&key.name),
                "passwords stand in no configuration: say where it is with one of `password_env`, `password_file`, \
                 `password_credential`",
            );
        }
    }
    if SECRETS.iter().all(|secret| node.entry(secret).is_none()) {
        check(section, below);
    }
}

/// Whether a variable of the environment can have this name in it.
fn is_account_name(name: &str) -> bool {
    let is_one = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    !name.is_empty() && name.chars().all(is_one) && !name.contains("__")
}

/// Keys that are given and have no effect. As deep as the table.
fn idle(tree: &Node) -> Vec<Problem> {
    let mut told = Vec::new();
    let mut waiting: Vec<(String, &Node, &'static [Key])> = vec![(String::new(), tree, KEYS)];
    while let Some((path, node, keys)) = waiting.pop() {
        let path_of = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        for key in keys {
            let Some((name, value)) = node.entry(key.name).filter(|(_, value)| value.value != Value::Nothing)
            else {
                continue;
            };
            if let Effect::None(message) = key.effect {
                told.push(Problem {
                    place: name.place,
                    path: path_of(key.name),
                    message: message.to_owned(),
                });
            }
            if let Kind::Map(below) = key.kind {
                waiting.push((path_of(key.name), value, below));
            }
        }
    }
    told.sort_by_key(|problem| problem.place);
    told
}

/// What the keys mean. What is wrong by itself has been told, and is passed over here.
struct Reading<'a> {
    tree: &'a Node,
    problems: &'a Problems,
    warnings: Vec<Problem>,
    /// Keys that have no effect for want of others.
    notes: Vec<Problem>,
}

/// One map of keys, with what is so where nothing is said.
#[derive(Clone, Copy)]
struct Part<'a> {
    node: Option<&'a Node>,
    keys: &'static [Key],
}

impl<'a> Part<'a> {
    fn get(&self, name: &str) -> Option<&'a Node> {
        let node = self.node?.get(name).filter(|node| node.value != Value::Nothing)?;
        let key = self.keys.iter().find(|key| key.name == name)?;
        key.kind.accept(node).is_ok().then_some(node)
    }

    /// Whether anything stands there, right or wrong.
    fn is_given(&self, name: &str) -> bool {
        self.node.and_then(|node| node.get(name)).is_some_and(|node| node.value != Value::Nothing)
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(text_of).or_else(|| self.default(name))
    }

    fn default(&self, name: &str) -> Option<&'static str> {
        self.keys.iter().find(|key| key.name == name)?.default
    }

    fn parsed<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name).map(|node| &node.value) {
            Some(Value::Flag(flag)) => Some(*flag),
            _ => self.default(name).map(|default| default == "true"),
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }
}

impl<'a> Reading<'a> {
    fn part(&self, name: &str) -> Part<'a> {
        let keys = KEYS.iter().find(|key| key.name == name).and_then(|key| key.kind.below());
        let node = self.tree.get(name).filter(|node| node.value != Value::Nothing);
        Part { node, keys: keys.unwrap_or_default() }
    }

    fn problem(&self, at: Option<&Node>, path: &str, message: impl Into<String>) {
        self.problems.add(at.map_or(self.tree.place, |node| node.place), path, message);
    }

    fn warn(&mut self, at: Option<&Node>, path: &str, message: impl Into<String>) {
        let place = at.map_or(self.tree.place, |node| node.place);
        self.warnings.push(Problem { place, path: path.to_owned(), message: message.into() });
    }

    fn config(&mut self) -> Option<Config> {
        let (tls, servers) = self.servers();
        let accounts = self.accounts();
        let structure = self.structure();
        let timeout = self.part("connection_settings").text("connection_timeout").and_then(yaml::time);
        let proxy = self.proxy();
        Some(Config {
            servers: servers?,
            referrals: self.referrals(&accounts),
            accounts,
            structure,
            connection_timeout: timeout.filter(|time| !time.is_zero()).unwrap_or(Duration::from_secs(10)),
            connections: self.connections(),
            observability: self.observability(),
            proxy,
            tls,
            dangerous_clear_passwords: self.part("security").flag("dangerous_clear_passwords")?,
            dangerous_accept_any_certificate: self.part("primary_server").flag("ssl_verify") == Some(false),
            warnings: Vec::new(),
            idle: Vec::new(),
            settings: Vec::new(),
        })
    }

    fn connections(&self) -> Connections {
        let (part, default) = (self.part("connection_settings"), Connections::default());
        let time = |name| part.text(name).and_then(yaml::time).filter(|time| !time.is_zero());
        Connections {
            kept: part.parsed("pool_size").unwrap_or(default.kept),
            overflow: part.parsed("pool_max_overflow").unwrap_or(default.overflow),
            operation_timeout: time("operation_timeout"),
            retries: part.parsed("retry_attempts"),
            longest_pause: time("retry_delay").unwrap_or(default.longest_pause),
            choice: match part.text("server_choice").map(str::to_ascii_lowercase).as_deref() {
                Some("round_robin") => Choice::RoundRobin,
                Some("fewest") => Choice::Fewest,
                Some("nearest") => Choice::Nearest,
                Some("latency") => Choice::Latency,
                _ => Choice::InOrder,
            },
            when_down: match part.text("when_down") {
                Some(word) if word.eq_ignore_ascii_case("wait") => WhenDown::Wait,
                _ => WhenDown::Fail,
            },
            conversations: part.parsed("conversations").unwrap_or(default.conversations),
            binds: part.parsed("binds").unwrap_or(default.binds),
        }
    }

    fn proxy(&mut self) -> ProxySettings {
        let (part, default) = (self.part("proxy"), ProxySettings::default());
        let tls = match (part.path("tls_cert"), part.path("tls_key")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                self.problem(part.node, "proxy", "a certificate needs both `tls_cert` and `tls_key`");
                None
            }
        };
        let listen = part.text("listen").and_then(urls).unwrap_or_default();
        if tls.is_none() && listen.iter().any(|url| url.scheme == Scheme::Ldaps) {
            let message = "ldaps needs `tls_cert` and `tls_key`, or --tls-cert and --tls-key";
            self.warn(part.get("listen"), "proxy.listen", message);
        }
        let account = part.text("account");
        let accounts = self.part("service_accounts").node;
        if let Some(account) = account.filter(|name| accounts.is_none_or(|node| node.entry(name).is_none())) {
            let message = format!("there is no account `{account}` in `service_accounts`");
            self.problem(part.get("account"), "proxy.account", message);
        }
        let proxied_authorization =
            part.flag("proxied_authorization").unwrap_or(default.proxied_authorization);
        if proxied_authorization && account.is_none() {
            let message = "needs `proxy.account`, which acts for who has bound: name one of `service_accounts` there, or \
                           leave this out";
            self.problem(part.get("proxied_authorization"), "proxy.proxied_authorization", message);
        }
        ProxySettings {
            listen,
            tls,
            account: account.map(str::to_owned),
            keep_passwords: part.flag("keep_passwords").unwrap_or(default.keep_passwords),
            proxied_authorization,
            sessions: part.parsed("sessions").unwrap_or(default.sessions),
            sessions_per_address: part.parsed("sessions_per_address"),
            conversations: part.parsed("conversations").unwrap_or(default.conversations),
            binds: part.parsed("binds").unwrap_or(default.binds),
            access_log: part.path("access_log"),
            clients_file: part.path("clients_file"),
            http_listen: part.text("http_listen").and_then(address),
        }
    }

    fn observability(&mut self) -> Observability {
        let (part, default) = (self.part("observability"), Observability::default());
        let (records, file) = (part.flag("enable_audit_logging") == Some(true), part.path("audit_log_file"));
        let say = |name: &str, message: &str| Problem {
            place: part.get(name).map_or(self.tree.place, |node| node.place),
            path: format!("observability.{name}"),
            message: message.to_owned(),
        };
        let note = match (records, &file) {
            (true, None) => Some(say("enable_audit_logging", "records nothing without `audit_log_file`")),
            (false, Some(_)) => {
                Some(say("audit_log_file", "is not written without `enable_audit_logging: true`"))
            }
            _ => None,
        };
        self.notes.extend(note);
        let endpoint = part.text("trace_endpoint").map_or(default.trace_endpoint, str::to_owned);
        let host = ["http://", "https://"].iter().find_map(|scheme| endpoint.strip_prefix(scheme));
        if host.is_none_or(str::is_empty) {
            let message = "is to begin with `http://` or `https://`, like `http://localhost:4318`";
            self.problem(part.get("trace_endpoint"), "observability.trace_endpoint", message);
        }
        let level = part.text("audit_log_level").unwrap_or_default().to_ascii_lowercase();
        Observability {
            metrics: part.flag("enable_metrics").unwrap_or(default.metrics),
            audit: file.filter(|_| records),
            audited: match level.as_str() {
                "warning" | "error" | "critical" => Audited::Writes,
                _ => Audited::All,
            },
            most_lag: part.text("replication_lag_limit").and_then(yaml::time).unwrap_or(default.most_lag),
            tracing: part.flag("enable_tracing").unwrap_or(default.tracing),
            trace_share: part.parsed("trace_sampling_rate").unwrap_or(default.trace_share),
            trace_endpoint: endpoint,
        }
    }

    /// What all servers share, and the servers in the order in which they are asked; none if there is no first.
    fn servers(&mut self) -> (TlsOptions, Option<Vec<Server>>) {
        let primary = self.part("primary_server");
        if primary.node.is_none() {
            let message = "is missing: the server that is asked first, by `host` or `url`";
            self.problem(None, "primary_server", message);
        }
        let tls = self.tls(&primary);
        let first = primary.node.and_then(|_| self.server(&primary, "primary_server", None, &tls));
        let mut others = Vec::new();
        let keys = self.part("failover_servers").keys;
        let items = match self.part("failover_servers").node.map(|node| &node.value) {
            Some(Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        for (index, item) in items.iter().enumerate() {
            let part = Part { node: Some(item), keys };
            let path = format!("failover_servers[{}]", index + 1);
            if let Some(server) =
                self.server(&part, &path, first.as_ref().map(|first| first.protection), &tls)
            {
                others.push((part.parsed("priority").unwrap_or(u64::MAX), server));
            }
        }
        others.sort_by_key(|(priority, _)| *priority);
        let others = others.into_iter().map(|(_, server)| server);
        (tls, first.map(|first| std::iter::once(first).chain(others).collect()))
    }

    /// What all servers share.
    fn tls(&mut self, primary: &Part<'_>) -> TlsOptions {
        let mut tls = TlsOptions::new();
        if let Some(path) = primary.path("ssl_ca_cert_path") {
            tls = tls.ca_file(path);
        }
        match (primary.path("ssl_client_cert_path"), primary.path("ssl_client_key_path")) {
            (Some(chain), Some(key)) => tls = tls.client_certificate_files(chain, key),
            (None, None) => {}
            _ => self.problem(
                primary.node,
                "primary_server",
                "a client certificate needs both `ssl_client_cert_path` and `ssl_client_key_path`",
            ),
        }
        if primary.flag("ssl_verify") == Some(false) {
            let accepts = self.part("security").flag("dangerous_accept_any_certificate") == Some(true);
            if accepts {
                tls = tls.dangerous_accept_any_certificate();
                self.warn(
                    primary.get("ssl_verify"),
                    "primary_server.ssl_verify",
                    "any certificate is accepted: whoever is in between can read and change everything",
                );
            } else {
                self.problem(
                    primary.get("ssl_verify"),
                    "primary_server.ssl_verify",
                    "without it whoever is in between can read and change everything: name the authority's file in \
                     `ssl_ca_cert_path`, or, if that is meant, say `dangerous_accept_any_certificate: true` in `security` too",
                );
            }
        }
        tls
    }

    fn server(
        &mut self,
        part: &Part<'_>,
        path: &str,
        primary: Option<Protection>,
        tls: &TlsOptions,
    ) -> Option<Server> {
        let path_of = |name: &str| format!("{path}.{name}");
        let port: Option<u16> = part.parsed("port");
        let url: Option<LdapUrl> = part.parsed("url");
        let (address, protection) = match (&url, part.text("host")) {
            (Some(_), Some(_)) => {
                self.problem(part.get("host"), &path_of("host"), "say `url` or `host`, not both");
                return None;
            }
            (None, None) => {
                // One that is there and wrong has been told.
                if part.node.is_some() && !part.is_given("host") && !part.is_given("url") {
                    self.problem(part.node, path, "say where the server is with `host` or `url`");
                }
                return None;
            }
            (Some(url), None) => {
                for name in ["port", "use_ssl"] {
                    if let Some(node) = part.get(name) {
                        self.problem(Some(node), &path_of(name), "is said by `url` already");
                    }
                }
                if !url.dn.is_root() {
                    let message = "has a base, which belongs into `directory_structure.base_dn`";
                    self.problem(part.get("url"), &path_of("url"), message);
                }
                let host = if url.host.is_empty() { "localhost" } else { &url.host };
                match url.scheme {
                    Scheme::Ldapi => {
                        let socket = if url.host.is_empty() { "/var/run/slapd/ldapi" } else { &url.host };
                        (Address::Socket(socket.into()), Protection::None)
                    }
                    Scheme::Ldaps => {
                        let address = Address::Tcp { host: host.to_owned(), port: url.port() };
                        (address, Protection::Ldaps)
                    }
                    _ => {
                        let starts =
                            part.flag("start_tls").unwrap_or_else(|| primary != Some(Protection::None));
                        let protection = if starts { Protection::StartTls } else { Protection::None };
                        (Address::Tcp { host: host.to_owned(), port: url.port() }, protection)
                    }
                }
            }
            (None, Some(host)) => {
                let host = host.trim_matches(['[', ']']).to_owned();
                let protection = protection(part, port, primary);
                let default = if protection == Protection::Ldaps { 636 } else { 389 };
                (Address::Tcp { host, port: port.unwrap_or(default) }, protection)
            }
        };
        if protection == Protection::Ldaps && part.flag("start_tls") == Some(true) {
            let message = "is for `use_ssl: false`; ldaps has TLS already";
            self.problem(part.get("start_tls"), &path_of("start_tls"), message);
        }
        self.look_at_port(part, path, &address, protection);
        let mut tls = tls.clone();
        if let Some(file) = part.path("ssl_ca_cert_path").filter(|_| primary.is_some()) {
            tls = tls.ca_file(file);
        }
        if let Some(name) = part.text("ssl_server_name") {
            tls = tls.server_name(name);
        }
        Some(Server { address, protection, tls })
    }

    /// Ports that do not go with how they are used, and ways without protection.
    fn look_at_port(&mut self, part: &Part<'_>, path: &str, address: &Address, protection: Protection) {
        let Address::Tcp { port, .. } = address else { return };
        let at = part.get("port").or_else(|| part.get("url")).or(part.node);
        let path_of_port = || match part.get("port") {
            Some(_) => format!("{path}.port"),
            None => path.to_owned(),
        };
        match (protection, port) {
            (Protection::None, _) => {
                let security = self.part("security");
                if security.flag("require_ssl") == Some(true) {
                    self.problem(
                        at,
                        path,
                        "has no TLS, which `security.require_ssl` asks for: leave `start_tls` out, or say `use_ssl: true`",
                    );
                }
            }
            (Protection::Ldaps, 636 | 443 | 3269) | (Protection::StartTls, 389 | 3268) => {}
            (Protection::Ldaps, 389 | 3268) => self.warn(
                at,
                &path_of_port(),
                format!("{port} is a port for StartTLS, which `use_ssl: false` does; ldaps has 636 or 3269"),
            ),
            (Protection::Ldaps, _) => {
                self.warn(
                    at,
                    &path_of_port(),
                    format!("{port} is an unusual port for ldaps, which has 636 or 3269"),
                );
            }
            (Protection::StartTls, 636 | 3269) => self.warn(
                at,
                &path_of_port(),
                format!("{port} is a port for ldaps, which `use_ssl: true` does; StartTLS has 389 or 3268"),
            ),
            (Protection::StartTls, _) => {
                let message = format!("{port} is an unusual port for StartTLS, which has 389 or 3268");
                self.warn(at, &path_of_port(), message);
            }
        }
    }

    fn accounts(&mut self) -> BTreeMap<String, Account> {
        let keys = self.part("service_accounts").keys;
        let entries = match self.part("service_accounts").node.map(|node| &node.value) {
            Some(Value::Map(entries)) => entries.as_slice(),
            _ => &[],
        };
        let mut accounts = BTreeMap::new();
        for (name, node) in entries {
            let part = Part { node: Some(node), keys };
            let path = format!("service_accounts.{}", name.name);
            if !matches!(node.value, Value::Map(_)) || !is_account_name(&name.name) {
                continue;
            }
            let sources = [
                part.path("password_file").map(PasswordSource::File),
                part.text("password_env").map(|name| PasswordSource::Environment(name.to_owned())),
                part.text("password_credential").map(|name| PasswordSource::Credential(name.to_owned())),
            ];
            let given = ["password_file", "password_env", "password_credential"]
                .into_iter()
                .filter(|name| node.entry(name).is_some_and(|(_, node)| node.value != Value::Nothing))
                .count();
            let has_secret = SECRETS.iter().any(|secret| node.entry(secret).is_some());
            if part.is_given("mechanism") && part.get("mechanism").is_none() {
                // That there is none of this name has been told.
                continue;
            }
            let word = part.text("mechanism").unwrap_or_default().to_ascii_lowercase();
            if word == "external" {
                if given > 0 || part.is_given("dn") || part.is_given("user") {
                    let message = "`mechanism: external` has no `dn`, no `user` and no password: the socket or the certificate says who it is";
                    self.problem(Some(node), &path, message);
                }
                accounts.insert(name.name.clone(), Account::External);
                continue;
            }
            let (is_simple, mechanism) = (word == "simple", Mechanism::named(&word));
            if part.path("keytab").is_some() || part.path("ccache").is_some() {
                let account = self.by_tickets(part, node, &path, mechanism, given > 0);
                accounts.extend(account.map(|account| (name.name.clone(), account)));
                continue;
            }
            let (wanted, foreign) = if is_simple { ("dn", "user") } else { ("user", "dn") };
            if !part.is_given(wanted) {
                let message = match is_simple {
                    true => "`dn` is missing: the name the account signs in by".to_owned(),
                    false => format!("`user` is missing: whom `mechanism: {word}` signs in as"),
                };
                self.problem(Some(node), &path, message);
            }
            if part.is_given(foreign) {
                let message = format!("`mechanism: {word}` takes `{wanted}` and no `{foreign}`");
                self.problem(Some(node), &path, message);
            }
            if given != 1 && !has_secret {
                let kerberos =
                    if mechanism.is_some_and(Mechanism::is_kerberos) { ", `keytab`, `ccache`" } else { "" };
                let what = match given {
                    0 => "say where the password is with one of",
                    _ => "says where the password is more than once: keep one of",
                };
                let message =
                    format!("{what} `password_env`, `password_file`, `password_credential`{kerberos}");
                self.problem(Some(node), &path, message);
            }
            let password = sources.into_iter().flatten().next();
            let account = match (is_simple, password) {
                (_, None) => None,
                (true, Some(password)) => part.parsed("dn").map(|dn| Account::Simple { dn, password }),
                (false, Some(password)) => {
                    part.text("user").map(|user| Account::Sasl { user: user.to_owned(), mechanism, password })
                }
            };
            accounts.extend(account.map(|account| (name.name.clone(), account)));
        }
        accounts
    }

    /// An account of Kerberos that has no password.
    fn by_tickets(
        &self,
        part: Part<'_>,
        node: &Node,
        path: &str,
        mechanism: Option<Mechanism>,
        has_password: bool,
    ) -> Option<Account> {
        if has_password || part.is_given("dn") {
            let message =
                "`keytab` and `ccache` stand for a password, and `user` for a `dn`: leave the others out";
            self.problem(Some(node), path, message);
        }
        let tickets = match (part.path("keytab"), part.path("ccache")) {
            (Some(path), None) => TicketSource::Keytab(path),
            (None, Some(path)) => TicketSource::Cache(path),
            _ => {
                self.problem(Some(node), path, "say either `keytab` or `ccache`");
                return None;
            }
        };
        let Some(mechanism) = mechanism.filter(|mechanism| mechanism.is_kerberos()) else {
            let message = "`keytab` and `ccache` are for `mechanism: gssapi` and `mechanism: gss-spnego`";
            self.problem(Some(node), path, message);
            return None;
        };
        Some(Account::Kerberos { mechanism, user: part.text("user").map(str::to_owned), tickets })
    }

    fn referrals(&self, accounts: &BTreeMap<String, Account>) -> Vec<(String, Option<String>)> {
        let list = self.part("referrals");
        let items = match list.node.map(|node| &node.value) {
            Some(Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        let mut referrals = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let part = Part { node: Some(item), keys: list.keys };
            let path = |name: &str| format!("referrals[{}].{name}", index + 1);
            let Some(host) = part.text("host") else {
                self.problem(
                    Some(item),
                    &path("host"),
                    "is missing: the host that referrals are followed to",
                );
                continue;
            };
            if Referrals::builder(Actor::Service).allow_anonymous(host).build().is_err() {
                let message = format!("`{host}` is no host: NAME, *.DOMAIN or NAME:PORT");
                self.problem(part.get("host"), &path("host"), message);
            }
            let account = part.text("account");
            if let Some(account) = account.filter(|name| !accounts.contains_key(*name)) {
                let message = format!("there is no account `{account}` in `service_accounts`");
                self.problem(part.get("account"), &path("account"), message);
            }
            referrals.push((host.to_owned(), account.map(str::to_owned)));
        }
        referrals
    }

    fn structure(&mut self) -> Structure {
        let part = self.part("directory_structure");
        let structure = Structure {
            base: part.parsed("base_dn"),
            users: part.parsed("users_ou"),
            groups: part.parsed("groups_ou"),
            service_accounts: part.parsed("service_accounts_ou"),
        };
        let key = |dn: &Dn| Schema::standard().dn_key(dn).ok();
        if let Some(base) = &structure.base
            && let Some(base_key) = key(base)
        {
            let below = [
                ("users_ou", &structure.users),
                ("groups_ou", &structure.groups),
                ("service_accounts_ou", &structure.service_accounts),
            ];
            for (name, dn) in below {
                if let Some(dn) = dn
                    && key(dn).is_some_and(|key| !key.is_within(&base_key))
                {
                    let path = format!("directory_structure.{name}");
                    self.warn(part.get(name), &path, format!("`{dn}` is not below `{base}`, the `base_dn`"));
                }
            }
        }
        structure
    }
}

/// How a server is reached: as it says, else as its port says, else as the first one.
fn protection(part: &Part<'_>, port: Option<u16>, primary: Option<Protection>) -> Protection {
    let starts = |otherwise| match part.flag("start_tls").unwrap_or(otherwise) {
        true => Protection::StartTls,
        false => Protection::None,
    };
    match (part.flag("use_ssl"), port) {
        (Some(true), _) => Protection::Ldaps,
        (Some(false), _) => starts(true),
        (None, Some(636 | 3269)) => Protection::Ldaps,
        (None, Some(389 | 3268)) => starts(primary != Some(Protection::None)),
        (None, _) => match primary {
            None | Some(Protection::Ldaps) => Protection::Ldaps,
            Some(Protection::StartTls) => starts(true),
            Some(Protection::None) => starts(false),
        },
    }
}

impl Account {
    /// Whether its password is in this variable.
    fn is_in_variable(&self, name: &str) -> bool {
        matches!(self.password(), Some(PasswordSource::Environment(variable)) if variable == name)
    }
}
