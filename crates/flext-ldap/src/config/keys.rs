//! The keys of the file, once: what is read, checked, overridden by the environment, shown and described is read,
//! checked, overridden, shown and described by this table.

use std::net::SocketAddr;

use flext_ldap_directory::proto::{dn::Dn, url::LdapUrl};

use crate::yaml::{Node, Value, text_of, time};

/// The one key at the top of the file.
pub(super) const TOP: &str = "flext_ldap";

/// A key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What is so without it, as it would be written.
    pub(super) default: Option<&'static str>,
    pub(super) effect: Effect,
    pub(super) help: &'static str,
}

/// What a value can be.
#[derive(Debug)]
pub(super) enum Kind {
    /// These keys.
    Map(&'static [Key]),
    /// A list of maps of these keys.
    List(&'static [Key]),
    /// Names that the user gives, each with a map of these keys.
    Named(&'static [Key]),
    Flag,
    Text,
    /// A host name or address, without a port.
    Host,
    /// The path of a file.
    File,
    Dn,
    Url,
    /// URLs with spaces between.
    Urls,
    /// A port, or an address and a port.
    Address,
    /// The name of a variable. What is none may be a password, and is not repeated.
    Variable,
    /// The name of a systemd credential, likewise.
    Credential,
    Time,
    /// A whole number between these.
    Number(u64, u64),
    /// From 0 to 1.
    Share,
    /// One of these, capital letters or not.
    Word(&'static [&'static str]),
    /// `1.2.3`.
    Version,
}

/// What a key does when it is given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Effect {
    /// What it says.
    Full,
    /// Nothing so far, or nothing besides what is said here.
    None(&'static str),
}

const fn key(name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key { name, kind, default: None, effect: Effect::Full, help }
}

impl Key {
    const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// It is read and checked, and that is all.
    const fn idle(self) -> Self {
        self.idle_but("is read and checked, and has no effect yet")
    }

    const fn idle_but(self, says: &'static str) -> Self {
        Self { effect: Effect::None(says), ..self }
    }
}

const MOST: u64 = 1_000_000;

/// Everything below [`TOP`].
pub(super) const KEYS: &[Key] = &[
    key("version", Kind::Version, "the version the file was written for")
        .idle_but("is for those who read the file; nothing is decided by it"),
    key("environment", Kind::Word(&["development", "staging", "production"]), "what the installation is for")
        .idle_but("is for those who read the file; nothing is decided by it"),
    key("primary_server", Kind::Map(PRIMARY), "the server that is asked first"),
    key(
        "failover_servers",
        Kind::List(FAILOVER),
        "servers that are asked where those before them do not answer",
    ),
    key("service_accounts", Kind::Named(ACCOUNT), "accounts that programs sign in as, by names of your own"),
    key(
        "referrals",
        Kind::List(REFERRAL),
        "hosts that referrals are followed to; without any, none are followed",
    ),
    key("directory_structure", Kind::Map(STRUCTURE), "where in the directory things are"),
    key("connection_settings", Kind::Map(CONNECTION), "how the servers are reached and asked"),
    key("security", Kind::Map(SECURITY), "what is insisted on"),
    key("observability", Kind::Map(OBSERVABILITY), "what is counted, traced and recorded"),
    key("ecosystem_integration", Kind::Map(ECOSYSTEM), "what other systems are offered"),
    key("proxy", Kind::Map(PROXY), "what `flext-ldap proxy` offers programs that speak LDAP"),
];

const PRIMARY: &[Key] = &[
    key("host", Kind::Host, "host name or address"),
    key("port", Kind::Number(1, 65_535), "port; 636, or 389 where `use_ssl` is false"),
    key("url", Kind::Url, "instead of host, port and use_ssl: ldap://HOST, ldaps://HOST or ldapi://PATH"),
    key(
        "use_ssl",
        Kind::Flag,
        "TLS from the first octet (ldaps); without it, true save on the ports 389 and 3268",
    ),
    key(
        "start_tls",
        Kind::Flag,
        "where `use_ssl` is false: TLS by StartTLS, before anything else is sent; true",
    ),
    key("ssl_verify", Kind::Flag, "verify certificate and host name").or("true"),
    key("ssl_ca_cert_path", Kind::File, "PEM file of the authorities to trust instead of this machine's"),
    key("ssl_server_name", Kind::Text, "name the certificate must be for instead of the host's"),
    key("ssl_client_cert_path", Kind::File, "PEM file of the client's certificate, shown to every server"),
    key("ssl_client_key_path", Kind::File, "PEM file of its key"),
];

const FAILOVER: &[Key] = &[
    key("host", Kind::Host, "host name or address"),
    key("port", Kind::Number(1, 65_535), "port; the one that goes with how it is reached"),
    key("url", Kind::Url, "instead of host, port and use_ssl: ldap://HOST, ldaps://HOST or ldapi://PATH"),
    key("use_ssl", Kind::Flag, "as of the primary server, which it follows unless its port says otherwise"),
    key("start_tls", Kind::Flag, "as of the primary server"),
    key(
        "priority",
        Kind::Number(0, MOST),
        "lower ones are asked first; after them those without, as they stand",
    ),
    key("ssl_ca_cert_path", Kind::File, "PEM file of the authorities to trust; that of the primary server"),
    key("ssl_server_name", Kind::Text, "name the certificate must be for instead of the host's"),
];

const ACCOUNT: &[Key] = &[
    key("dn", Kind::Dn, "the name it signs in by"),
    key("user", Kind::Text, "the user it signs in as by SASL, instead of `dn`"),
    key("password_env", Kind::Variable, "variable of the environment that holds the password"),
    key("password_file", Kind::File, "file that holds the password"),
    key("password_credential", Kind::Credential, "systemd credential that holds the password"),
    key("keytab", Kind::File, "file of the keys by which Kerberos gives tickets, instead of a password"),
    key("ccache", Kind::File, "file of the tickets of Kerberos that somebody else renews, instead of a password"),
    key(
        "mechanism",
        Kind::Word(&[
            "simple",
            "external",
            "sasl",
            "scram-sha-512-plus",
            "scram-sha-512",
            "scram-sha-256-plus",
            "scram-sha-256",
            "scram-sha-1-plus",
            "scram-sha-1",
            "plain",
            "digest-md5",
            "oauthbearer",
            "gssapi",
            "gss-spnego",
        ]),
        "how it signs in; `external` is by a Unix socket or a client certificate, `sasl` by the strongest mechanism that the server offers",
    )
    .or("simple"),
];

const REFERRAL: &[Key] = &[
    key(
        "host",
        Kind::Text,
        "a host, or those below a name as `*.DOMAIN`; with `:PORT` where it is another than LDAP's own",
    ),
    key("account", Kind::Text, "the service account that signs in there; nobody does without it"),
];

const STRUCTURE: &[Key] = &[
    key("base_dn", Kind::Dn, "what searches start from where no base is given"),
    key("users_ou", Kind::Dn, "where users are")
        .idle_but("is looked for by `check --online`, and has no other effect yet"),
    key("groups_ou", Kind::Dn, "where groups are")
        .idle_but("is looked for by `check --online`, and has no other effect yet"),
    key("service_accounts_ou", Kind::Dn, "where service accounts are")
        .idle_but("is looked for by `check --online`, and has no other effect yet"),
];

const CONNECTION: &[Key] = &[
    key(
        "pool_size",
        Kind::Number(1, 10_000),
        "connections to the first server that are kept open; to each other it is 1",
    )
    .or("1"),
    key("pool_max_overflow", Kind::Number(0, 10_000), "connections to each server beyond these, under load")
        .or("7"),
    key(
        "connection_timeout",
        Kind::Time,
        "for finding, reaching and binding to a server, all of them together",
    )
    .or("10s"),
    key("operation_timeout", Kind::Time, "what any operation gets at most; one that asks for less has less"),
    key(
        "retry_attempts",
        Kind::Number(0, 100),
        "how often what is safe to repeat is tried again; without it, once on each other server",
    ),
    key(
        "retry_delay",
        Kind::Time,
        "the longest pause between two attempts, not the first: pauses grow from milliseconds, at random",
    )
    .or("1s"),
    key(
        "server_choice",
        Kind::Word(&["in_order", "round_robin", "fewest", "nearest", "latency"]),
        "which of the servers that are well is asked",
    )
    .or("in_order"),
    key(
        "conversations",
        Kind::Number(1, MOST),
        "conversations of users with each server at a time; the proxy has its own",
    )
    .or("64"),
    key("binds", Kind::Number(1, MOST), "binds of users at a time, on each server; the proxy has its own")
        .or("8"),
    key("when_down", Kind::Word(&["fail", "wait"]), "what becomes of operations while no server answers")
        .or("fail"),
    key("keepalive_enabled", Kind::Flag, "notice dead connections by TCP keepalive")
        .idle_but("has no effect: every TCP connection has keepalive"),
];

/// What no program that asks a directory can see to: it would have to be the only one that is asked.
const OF_DIRECTORY: &str =
    "has no effect here: the directory itself sees to it, ours by `password_policy` of its own file";

const SECURITY: &[Key] = &[
    key("require_ssl", Kind::Flag, "refuse servers that are reached over TCP without TLS").or("true"),
    key("certificate_validation", Kind::Word(&["strict"]), "certificate and host name are verified")
        .or("strict"),
    key(
        "dangerous_accept_any_certificate",
        Kind::Flag,
        "let `ssl_verify: false` hold: whoever is in between can read and change everything",
    )
    .or("false"),
    key(
        "dangerous_clear_passwords",
        Kind::Flag,
        "send passwords without TLS beyond this machine: whoever is in between can read them",
    )
    .or("false"),
    key("password_policy_enforcement", Kind::Flag, "hold new passwords to a policy").idle_but(OF_DIRECTORY),
    key("account_lockout_threshold", Kind::Number(3, MOST), "wrong passwords until an account is locked")
        .idle_but(OF_DIRECTORY),
    key("account_lockout_duration_minutes", Kind::Number(15, MOST), "how long it is").idle_but(OF_DIRECTORY),
    key("session_timeout_minutes", Kind::Number(1, MOST), "how long a session of the gateway may be unused")
        .idle(),
];

const OBSERVABILITY: &[Key] = &[
    key("enable_metrics", Kind::Flag, "count operations").or("true"),
    key(
        "enable_tracing",
        Kind::Flag,
        "send a span of each operation to an OpenTelemetry collector (OTLP over HTTP)",
    )
    .or("false"),
    key("enable_audit_logging", Kind::Flag, "record who did what, in `audit_log_file`").or("false"),
    key("audit_log_file", Kind::File, "where it is recorded, a line of JSON for each operation"),
    key("metrics_interval_seconds", Kind::Number(1, MOST), "how often metrics are taken")
        .idle_but("has no effect: metrics are taken by who reads them"),
    key("trace_sampling_rate", Kind::Share, "the share of traces that is kept, from 0 to 1").or("1"),
    key("trace_endpoint", Kind::Text, "where the collector listens: http://HOST:PORT or https://HOST:PORT")
        .or("http://localhost:4318"),
    key(
        "audit_log_level",
        Kind::Word(&["debug", "info", "warning", "error", "critical"]),
        "`debug` and `info`: all operations are recorded; above: those that may change the directory",
    )
    .or("info"),
    key("replication_lag_limit", Kind::Time, "how far behind a replica may be and count as well").or("60s"),
];

const ECOSYSTEM: &[Key] = &[
    key("singer_catalog_auto_discovery", Kind::Flag, "make the tap's catalogue from the directory's schema")
        .idle(),
    key("auth_provider_enabled", Kind::Flag, "sign users in").idle(),
    key("health_checks_enabled", Kind::Flag, "report health").idle(),
    key("performance_monitoring", Kind::Flag, "report performance").idle(),
];

const PROXY: &[Key] = &[
    key(
        "listen",
        Kind::Urls,
        "where to listen: ldap://HOST:PORT, ldaps://HOST:PORT, ldapi://PATH, with spaces between",
    ),
    key("tls_cert", Kind::File, "PEM file of the certificate chain, for ldaps and StartTLS"),
    key("tls_key", Kind::File, "PEM file of its key"),
    key("account", Kind::Text, "the service account that the proxy itself asks as; without it nobody"),
    key(
        "keep_passwords",
        Kind::Flag,
        "keep passwords in memory while who sent them is bound, to bind again elsewhere",
    )
    .or("true"),
    key(
        "proxied_authorization",
        Kind::Flag,
        "carry who has bound over the account's connections, where a server offers it (RFC 4370)",
    )
    .or("false"),
    key("sessions", Kind::Number(1, MOST), "clients at a time").or("10000"),
    key(
        "sessions_per_address",
        Kind::Number(1, MOST),
        "clients at a time from one address; half of `sessions` without it",
    ),
    key("conversations", Kind::Number(1, MOST), "conversations with each server at a time").or("1000"),
    key("binds", Kind::Number(1, MOST), "binds of users at a time, on each server").or("32"),
    key("access_log", Kind::File, "where a line is written for each operation; `-` is standard output"),
    key("clients_file", Kind::File, "where is written who binds how, for `flext-ldap proxy clients`"),
    key(
        "http_listen",
        Kind::Address,
        "where metrics and health are told over HTTP: a port on loopback, or ADDRESS:PORT",
    ),
];

impl Kind {
    /// The keys below, if there are any.
    pub(super) const fn below(&self) -> Option<&'static [Key]> {
        match self {
            Self::Map(keys) | Self::List(keys) | Self::Named(keys) => Some(keys),
            _ => None,
        }
    }

    /// Whether what is written may be a secret that was put in the wrong place.
    pub(super) const fn may_be_secret(&self) -> bool {
        matches!(self, Self::Variable | Self::Credential)
    }

    /// Looks at a value that is not a map or a list of keys.
    ///
    /// # Errors
    ///
    /// What was expected.
    pub(super) fn accept(&self, node: &Node) -> Result<(), String> {
        let text = text_of(node);
        let (right, expected) = match self {
            Self::Map(_) | Self::List(_) | Self::Named(_) => (true, String::new()),
            Self::Flag => (matches!(node.value, Value::Flag(_)), "`true` or `false`".to_owned()),
            Self::Text => (text.is_some_and(|text| !text.is_empty()), "a text".to_owned()),
            Self::Host => {
                (text.is_some_and(is_host), "a host name or address (a port stands in `port`, a URL in `url`)".to_owned())
            }
            Self::File => (text.is_some_and(|text| !text.is_empty()), "the path of a file".to_owned()),
            Self::Dn => match text.map(str::parse::<Dn>) {
                Some(Ok(dn)) => (!dn.is_root(), "a distinguished name like `dc=example,dc=com`".to_owned()),
                Some(Err(error)) => {
                    (false, format!("a distinguished name like `dc=example,dc=com` ({error})"))
                }
                None => (false, "a distinguished name like `dc=example,dc=com`".to_owned()),
            },
            Self::Url => match text.map(str::parse::<LdapUrl>) {
                Some(Ok(_)) => (true, String::new()),
                Some(Err(error)) => (false, format!("a URL like `ldaps://HOST` ({error})")),
                None => (false, "a URL like `ldaps://HOST`".to_owned()),
            },
            Self::Urls => (
                text.is_some_and(|text| urls(text).is_some_and(|urls| !urls.is_empty())),
                "URLs like `ldap://HOST:389`, with spaces between".to_owned(),
            ),
            Self::Address => (
                text.is_some_and(|text| address(text).is_some()),
                "a port, or an address like `127.0.0.1:9389`".to_owned(),
            ),
            Self::Variable => (
                text.is_some_and(is_variable),
                "the name of a variable: letters, digits and `_`. The password itself does not belong in here"
                    .to_owned(),
            ),
            Self::Credential => (
                text.is_some_and(|text| !text.is_empty() && !text.contains(['/', '\0'])),
                "the name of a credential of systemd, without `/`".to_owned(),
            ),
            Self::Time => (
                text.and_then(time).is_some_and(|time| !time.is_zero()),
                "seconds, or a time like `500ms`, `30s`, `15m` or `1h`, more than 0".to_owned(),
            ),
            Self::Number(least, most) => (
                text.and_then(|text| text.parse().ok())
                    .is_some_and(|number: u64| (*least..=*most).contains(&number)),
                format!("a whole number from {least} to {most}"),
            ),
            Self::Share => (
                text.and_then(|text| text.parse().ok())
                    .is_some_and(|number: f64| (0.0..=1.0).contains(&number)),
                "a number from 0 to 1".to_owned(),
            ),
            Self::Word(words) => (
                text.is_some_and(|text| words.iter().any(|word| word.eq_ignore_ascii_case(text))),
                match words {
                    [one] => format!("`{one}`"),
                    _ => format!("one of `{}`", words.join("`, `")),
                },
            ),
            Self::Version => (text.is_some_and(is_version), "a version in quotes, like \"0.1.0\"".to_owned()),
        };
        if right { Ok(()) } else { Err(expected) }
    }
}

/// URLs with spaces between.
pub(super) fn urls(text: &str) -> Option<Vec<LdapUrl>> {
    text.split_whitespace().map(|url| url.parse().ok()).collect()
}

/// Where a port, or an address and a port, is.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    let of_port = || Some(SocketAddr::from(([127, 0, 0, 1], text.parse().ok()?)));
    text.parse().ok().or_else(of_port)
}

fn is_host(text: &str) -> bool {
    let is_address = text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    is_address
        || (!text.is_empty()
            && !text.contains([':', '/', '[', ']', '@', '%'])
            && !text.contains(char::is_whitespace))
}

fn is_variable(text: &str) -> bool {
    !text.starts_with(|first: char| first.is_ascii_digit())
        && !text.is_empty()
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn is_version(text: &str) -> bool {
    let mut parts = 0;
    let right = text.split('.').all(|part| {
        parts += 1;
        !part.is_empty() && part.chars().all(|digit| digit.is_ascii_digit())
    });
    right && parts == 3
}
