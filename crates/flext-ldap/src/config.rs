//! The configuration of programs that ask directories: one YAML file for servers, service accounts, the structure of the
//! directory, and what is insisted on. docs/configuration.md has its keys.
//!
//! A file is read as a whole: all that is wrong with it, and with the variables of the environment that override it, is
//! told at once, each with where it stands and what is allowed. What is read is valid, and opens nothing; passwords are
//! not in it, but where they are. It is not the file of a served directory, which is another.
//!
//! ```
//! use flext_ldap::{Config, ConfigError};
//!
//! let text = "\
//! flext_ldap:
//!   primary_server: {host: ldap1.harbourlane.example}
//!   directory_structure: {base_dn: \"dc=harbourlane,dc=example\"}
//! ";
//! let config = Config::parse("ldap.yaml", text, [])?;
//! assert_eq!(config.servers[0].to_string(), "ldaps://ldap1.harbourlane.example:636");
//!
//! let text = text.replace("{host", "{pert: 636, host");
//! let Err(ConfigError::Faulty(findings)) = Config::parse("ldap.yaml", &text, []) else {
//!     panic!("there is no `pert`")
//! };
//! assert_eq!(
//!     findings[0].to_string(),
//!     "ldap.yaml:2:20: `flext_ldap.primary_server.pert`: unknown key; did you mean `port`?",
//! );
//! # Ok::<(), ConfigError>(())
//! ```

mod connect;
mod environment;
mod keys;
mod proxy;
mod read;
mod schema;
mod show;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    error::Error as StdError,
    ffi::OsString,
    fmt, fs, io,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use flext_ldap_client::{Choice, Mechanism, TlsOptions, WhenDown};
use flext_ldap_directory::proto::dn::Dn;

pub(crate) use self::show::quoted;
pub use self::{proxy::ProxySettings, schema::json_schema, show::Setting};
use crate::{password::PasswordSource, yaml};

/// What a file and the environment say.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The servers, in the order in which they are asked. There is at least one.
    pub servers: Vec<Server>,
    /// The accounts to sign in as, by name.
    pub accounts: BTreeMap<String, Account>,
    /// Hosts that referrals are followed to, each with the name of the account that signs in there.
    pub referrals: Vec<(String, Option<String>)>,
    /// Where things are.
    pub structure: Structure,
    /// For finding, reaching and binding to a server, all of them together.
    pub connection_timeout: Duration,
    /// How the servers are asked.
    pub connections: Connections,
    /// What is counted, traced and recorded.
    pub observability: Observability,
    /// What `flext-ldap proxy` offers.
    pub proxy: ProxySettings,
    /// What protects the way to any of the servers, without what is said of one alone.
    pub(crate) tls: TlsOptions,
    pub(crate) dangerous_clear_passwords: bool,
    dangerous_accept_any_certificate: bool,
    warnings: Vec<Finding>,
    idle: Vec<Finding>,
    settings: Vec<Setting>,
}

/// A server, and what protects the way there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Server {
    /// Where it is.
    pub address: Address,
    /// What protects what is sent.
    pub protection: Protection,
    pub(crate) tls: TlsOptions,
}

/// Where a server is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Address {
    /// Over TCP.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// From 1.
        port: u16,
    },
    /// A Unix socket.
    Socket(PathBuf),
}

/// What protects what is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Protection {
    /// TLS from the first octet.
    Ldaps,
    /// TLS by StartTLS, before anything else is sent.
    StartTls,
    /// Nothing, besides the Unix socket if it is one.
    None,
}

/// An account that programs sign in as.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Account {
    /// By a name and a password.
    Simple {
        /// The name.
        dn: Dn,
        /// Where the password is.
        password: PasswordSource,
    },
    /// By SASL, as a user and with a password, or a token in its place.
    Sasl {
        /// The user, as the server knows it.
        user: String,
        /// The mechanism; the strongest that the server offers if it is none.
        mechanism: Option<Mechanism>,
        /// Where the password is.
        password: PasswordSource,
    },
    /// By Kerberos, without a password.
    Kerberos {
        /// `gssapi` or `gss-spnego`.
        mechanism: Mechanism,
        /// The principal; without one whoever has the first keys of the keytab, or the tickets.
        user: Option<String>,
        /// Where its keys or tickets are.
        tickets: TicketSource,
    },
    /// As whom the Unix socket or the client certificate says (SASL EXTERNAL).
    External,
}

/// Where an account of Kerberos has its tickets from.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TicketSource {
    /// They are got with keys of this file, and kept in memory.
    Keytab(PathBuf),
    /// Somebody else sees to it that they are in this file.
    Cache(PathBuf),
}

impl Account {
    /// Where its password is, if it has one.
    #[must_use]
    pub const fn password(&self) -> Option<&PasswordSource> {
        match self {
            Self::Simple { password, .. } | Self::Sasl { password, .. } => Some(password),
            Self::Kerberos { .. } | Self::External => None,
        }
    }
}

/// Where in the directory things are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Structure {
    /// What searches start from where no base is given.
    pub base: Option<Dn>,
    /// Where users are.
    pub users: Option<Dn>,
    /// Where groups are.
    pub groups: Option<Dn>,
    /// Where service accounts are.
    pub service_accounts: Option<Dn>,
}

/// How servers are asked.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Connections {
    /// Connections to the first server that are kept open; to each other one of them is.
    pub kept: usize,
    /// Connections to each server beyond these, under load.
    pub overflow: usize,
    /// What any operation gets at most.
    pub operation_timeout: Option<Duration>,
    /// How often what is safe to repeat is tried again.
    pub retries: Option<u32>,
    /// The longest pause between two attempts.
    pub longest_pause: Duration,
    /// Which of the servers that are well is asked.
    pub choice: Choice,
    /// What becomes of operations while no server answers.
    pub when_down: WhenDown,
    /// Conversations of users with each server at a time.
    pub conversations: usize,
    /// Binds of users at a time, on each server.
    pub binds: usize,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            kept: 1,
            overflow: 7,
            operation_timeout: None,
            retries: None,
            longest_pause: Duration::from_secs(1),
            choice: Choice::InOrder,
            when_down: WhenDown::Fail,
            conversations: 64,
            binds: 8,
        }
    }
}

/// What is counted, traced and recorded.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Observability {
    /// Whether operations are counted.
    pub metrics: bool,
    /// Where operations are recorded, if they are.
    pub audit: Option<PathBuf>,
    /// Which.
    pub audited: Audited,
    /// How far behind a replica may be and count as well.
    pub most_lag: Duration,
    /// Whether spans are to be sent to a collector, by whoever runs the program: a [`Stack`](crate::Stack) only makes them.
    pub tracing: bool,
    /// The share of traces that is kept, from 0 to 1.
    pub trace_share: f64,
    /// Where the collector listens: a URL without `/v1/traces`.
    pub trace_endpoint: String,
}

impl Default for Observability {
    fn default() -> Self {
        Self {
            metrics: true,
            audit: None,
            audited: Audited::All,
            most_lag: Duration::from_secs(60),
            tracing: false,
            trace_share: 1.0,
            trace_endpoint: "http://localhost:4318".to_owned(),
        }
    }
}

/// Which operations are recorded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Audited {
    /// All of them.
    All,
    /// Those that may change the directory.
    Writes,
}

/// Something to say about a configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// Where it was said.
    pub source: Source,
    /// E.g. `flext_ldap.primary_server.port`; empty where it is about no key.
    pub key: String,
    /// What it is, and what to do.
    pub message: String,
}

/// Where a value comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// It stands in the file; line and column are from 1, or 0 where it is about the whole of it.
    File {
        /// Its path as it was given.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// From 1.
        column: u64,
    },
    /// A variable of the environment has set it.
    Environment(String),
}

/// A configuration that cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is the file of a served directory.
    ServedDirectory(PathBuf),
    /// All that is wrong with it, as it stands in the file; at most some dozens.
    Faulty(Vec<Finding>),
}

impl Config {
    /// Reads a file, overridden by the variables of this process.
    ///
    /// # Errors
    ///
    /// It cannot be read, or cannot be used.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let mut octets = Vec::new();
        fs::File::open(path)
            // One octet more than there may be, so that too much is noticed and no more is read.
            .and_then(|file| file.take(yaml::LARGEST as u64 + 1).read_to_end(&mut octets))
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        match String::from_utf8(octets) {
            Ok(text) => Self::parse(path, &text, std::env::vars_os()),
            Err(error) => {
                let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
                let line = before.iter().filter(|octet| **octet == b'\n').count() as u64 + 1;
                let source = Source::File { path: path.to_owned(), line, column: 1 };
                let message = "has octets that are no UTF-8".to_owned();
                Err(ConfigError::Faulty(vec![Finding { source, key: String::new(), message }]))
            }
        }
    }

    /// Takes all of it from variables of this process.
    ///
    /// # Errors
    ///
    /// What they say cannot be used.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Self::new(None, std::env::vars_os())
    }

    /// As [`read`](Self::read), of a text that came from `path`, with variables at hand.
    ///
    /// # Errors
    ///
    /// It cannot be used.
    pub fn parse(
        path: impl AsRef<Path>,
        text: &str,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        Self::new(Some((path.as_ref(), text)), environment)
    }

    /// Whether certificates are not verified.
    #[must_use]
    pub const fn accepts_any_certificate(&self) -> bool {
        self.dangerous_accept_any_certificate
    }

    /// What can be used and may surprise, each with what is meant by it.
    #[must_use]
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// Keys that are given and have no effect, or another than one would think.
    #[must_use]
    pub fn idle(&self) -> &[Finding] {
        &self.idle
    }

    /// Every value that is given or has a default, with where it comes from, in the order of the documentation. None is
    /// a password.
    #[must_use]
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Socket(path) => write!(f, "ldapi://{}", path.display()),
            Address::Tcp { host, port } => {
                let scheme = if self.protection == Protection::Ldaps { "ldaps" } else { "ldap" };
                match host.contains(':') {
                    true => write!(f, "{scheme}://[{host}]:{port}"),
                    false => write!(f, "{scheme}://{host}:{port}"),
                }
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0, .. } => path.display().fmt(f),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Environment(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Default => {}
            source => write!(f, "{source}: ")?,
        }
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, .. } => write!(f, "failed to read {}", path.display()),
            Self::ServedDirectory(path) => write!(
                f,
                "{} is the file of a served directory (docs/server.md); programs that ask directories have one with the \
                 key `flext_ldap` (docs/configuration.md)",
                path.display()
            ),
            Self::Faulty(findings) => {
                f.write_str("the configuration cannot be used:")?;
                findings.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
            }
        }
    }
}

impl StdError for ConfigError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Unreadable { source, .. } => Some(source),
            Self::ServedDirectory(_) | Self::Faulty(_) => None,
        }
    }
}
