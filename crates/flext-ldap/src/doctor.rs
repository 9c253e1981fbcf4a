//! From a name to a working configuration: what is between a program and its directory is looked at step by step, and what
//! is wrong is told with what mends it. docs/doctor.md has every finding.
//!
//! ```no_run
//! use flext_ldap::doctor::{Doctor, Severity};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let report = Doctor::new("harbourlane.example")?.ca_file("/etc/ssl/harbourlane.pem").examine().await;
//! for finding in report.findings.iter().filter(|finding| finding.severity >= Severity::Warning) {
//!     println!("{finding}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! It changes nothing. A password goes out once in all, to one server of the domain or the one that was named, over TLS, a Unix socket or the
//! loopback interface, or as a configuration dares, which is said;
//! over TCP without TLS there is one bind of an invented name, to hear whether the server would take it. Every step has
//! a time limit, and nothing is asked for without an end.

mod account;
mod clear;
mod dns;
mod lockout;
mod reach;
mod reading;
mod server;
mod tls;
mod write;

use std::{error::Error as StdError, fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use flext_ldap_client::{Capabilities, Connection, ConnectorBuilder, Credentials, DnsResolver, TlsOptions};
use flext_ldap_directory::{
    Actor, Deadline, Error, ErrorKind,
    proto::{
        dn::Dn,
        result::ResultCode,
        url::{LdapUrl, Scheme},
    },
};
use tokio::task::JoinSet;

use crate::{
    config::{Account, Address, Config, Protection, Server},
    password::{PasswordError, PasswordSource},
};

/// Servers of a domain that are looked at.
const MOST_SERVERS: usize = 16;
/// Octets of one message of a server: a root DSE has some thousands, an entry with all its groups may have many more.
const LARGEST_MESSAGE: usize = 4 << 20;
/// Characters of a part of a finding, in which servers have a part.
const LONGEST: usize = 1_000;
/// Characters of one of several values in it.
const LONGEST_VALUE: usize = 200;
/// Values that are named.
const MOST_VALUES: usize = 12;

/// Looks at the way to a directory, and at what it shows.
#[derive(Clone, Debug)]
#[must_use = "nothing is looked at before `examine`"]
pub struct Doctor {
    target: Target,
    /// What a URL said of the base.
    base: Option<Dn>,
    resolver: Arc<DnsResolver>,
    config: Option<Config>,
    ca_file: Option<PathBuf>,
    patience: Duration,
    sign_in: Option<SignIn>,
}

#[derive(Clone, Debug)]
enum Target {
    Domain(String),
    Server(Server),
    /// Those of the configuration.
    Configured,
}

/// As whom to look.
#[derive(Clone, Debug)]
#[must_use = "give it to `Doctor::sign_in`"]
pub struct SignIn {
    credentials: Credentials,
    /// Where the password is, if that is known.
    source: Option<PasswordSource>,
    /// The account of a configuration, with its name there.
    account: Option<(String, Account)>,
}

impl SignIn {
    /// With these credentials.
    pub const fn new(credentials: Credentials) -> Self {
        Self { credentials, source: None, account: None }
    }

    /// As an account of a configuration, by its name there. Its password is read now.
    ///
    /// # Errors
    ///
    /// The password is not where it should be.
    pub fn as_account(name: &str, account: &Account) -> Result<Self, PasswordError> {
        let credentials = account.credentials(name)?;
        Ok(Self { credentials, source: None, account: Some((name.to_owned(), account.clone())) })
    }

    /// Where the password is, for the configuration to say: passwords themselves are never in one.
    pub fn password_from(mut self, source: PasswordSource) -> Self {
        self.source = Some(source);
        self
    }

    /// What lines call it.
    fn name(&self) -> &str {
        match (&self.account, &self.credentials) {
            (Some((name, _)), _) => name,
            (None, Credentials::Simple { name, .. }) => name,
            (None, _) => "SASL",
        }
    }
}

impl Server {
    fn tcp(host: impl Into<String>, port: u16, protection: Protection) -> Self {
        Self { address: Address::Tcp { host: host.into(), port }, protection, tls: TlsOptions::new() }
    }

    /// Its host; none for a Unix socket.
    fn host(&self) -> Option<&str> {
        match &self.address {
            Address::Tcp { host, .. } => Some(host),
            Address::Socket(_) => None,
        }
    }
}

/// What was found, in the order in which a program would meet it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// All of it.
    pub findings: Vec<Finding>,
    /// A configuration (YAML) for the servers that can be used, the account and the base. It has no password, but where one
    /// is. `None` where no server can be used, and where the servers are those of one.
    pub configuration: Option<String>,
}

impl Report {
    /// The first finding that keeps things from working.
    #[must_use]
    pub fn failure(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.severity == Severity::Failure)
    }
}

/// One finding. Prints as one line: about what, the cause, the evidence, what mends it.
///
/// Servers have a part in its text: who prints it takes out what steers a terminal.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Which finding of docs/doctor.md it is.
    pub what: What,
    /// What it is about: a server, an account.
    pub about: String,
    /// What it comes to.
    pub cause: String,
    /// How that is known; empty where the cause says it.
    pub evidence: String,
    /// What mends it; empty where nothing needs to be.
    pub mend: String,
    /// What kind of error a program would have had, where it keeps things from working.
    pub error: Option<ErrorKind>,
    /// The server's answer, where there was one that is no.
    pub result_code: Option<ResultCode>,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "whoever prints findings has a word for each")]
pub enum Severity {
    /// It is as it should be.
    Good,
    /// It is good to know.
    Note,
    /// It may surprise one day.
    Warning,
    /// It keeps things from working.
    Failure,
}

macro_rules! findings {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What can be found. docs/doctor.md has a line for each.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum What {
            $($(#[$doc])* $variant,)*
        }

        impl What {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in docs/doctor.md and in JSON, e.g. `port-refused`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

findings! {
    /// Name servers do not answer.
    DnsSilent = "dns-silent",
    /// What DNS says of the domain's servers, or that it says nothing.
    DnsRecords = "dns-records",
    /// The domain says that it has no such service.
    DnsNotOffered = "dns-not-offered",
    /// A record names a host outside of the domain.
    DnsOutside = "dns-outside",
    /// A host name has no address.
    HostUnknown = "host-unknown",
    /// Nobody listens.
    PortRefused = "port-refused",
    /// No connection in time.
    PortSilent = "port-silent",
    /// There is no way to an address.
    AddressUnreachable = "address-unreachable",
    /// A connection, and no answer on it.
    NoAnswer = "no-answer",
    /// What answers does not speak LDAP.
    NotLdap = "not-ldap",
    /// LDAP without TLS on a port for ldaps.
    ClearPort = "clear-port",
    /// ldaps on a port for LDAP.
    TlsPort = "tls-port",
    /// The server refuses StartTLS.
    StartTlsRefused = "start-tls-refused",
    /// There is no TLS with the server.
    NoTls = "no-tls",
    /// A certificate's time is over.
    CertificateExpired = "certificate-expired",
    /// A certificate's time has not come.
    CertificateEarly = "certificate-early",
    /// The certificate is for another host.
    CertificateName = "certificate-name",
    /// The certificate is signed by itself.
    CertificateSelfSigned = "certificate-self-signed",
    /// Nobody who is trusted has issued the certificate, or an intermediate one is missing.
    CertificateIssuer = "certificate-issuer",
    /// The certificate is of no use for another reason.
    CertificateRefused = "certificate-refused",
    /// A certificate's time is soon over.
    CertificateExpires = "certificate-expires",
    /// What protects the way.
    Tls = "tls",
    /// There is no TLS, and a Unix socket or the loopback interface do without.
    NoTlsNeeded = "no-tls-needed",
    /// The server demands TLS, signing or channel bindings.
    TlsDemanded = "tls-demanded",
    /// The server takes passwords in clear.
    ClearPasswords = "clear-passwords",
    /// Which product it is.
    Server = "server",
    /// The root DSE is hidden.
    RootDseHidden = "root-dse-hidden",
    /// How one may sign in.
    Mechanisms = "mechanisms",
    /// How far the clocks of server and program are apart.
    Clock = "clock",
    /// Where searches start from.
    Base = "base",
    /// Nobody is signed in.
    NoAccount = "no-account",
    /// The account signs in.
    Account = "account",
    /// The account is refused.
    AccountRefused = "account-refused",
    /// The account's password expires.
    PasswordExpires = "password-expires",
    /// The account sees nothing.
    NothingSeen = "nothing-seen",
    /// People that are seen.
    People = "people",
    /// Groups that are seen.
    Groups = "groups",
    /// Attributes that are seen.
    Attributes = "attributes",
    /// Anybody may read people.
    AnonymousReads = "anonymous-reads",
    /// The server gives a part of the people only.
    SizeLimit = "size-limit",
    /// After how many wrong passwords an account is locked.
    Lockout = "lockout",
    /// A configuration could be written, or could not.
    Configuration = "configuration",
}

impl Finding {
    fn new(severity: Severity, what: What, about: impl Into<String>, cause: impl Into<String>) -> Self {
        let (evidence, mend) = (String::new(), String::new());
        let (about, cause) = (about.into(), cause.into());
        Self { severity, what, about, cause, evidence, mend, error: None, result_code: None }
    }

    fn good(what: What, about: impl Into<String>, cause: impl Into<String>) -> Self {
        Self::new(Severity::Good, what, about, cause)
    }

    fn note(what: What, about: impl Into<String>, cause: impl Into<String>) -> Self {
        Self::new(Severity::Note, what, about, cause)
    }

    fn warning(what: What, about: impl Into<String>, cause: impl Into<String>) -> Self {
        Self::new(Severity::Warning, what, about, cause)
    }

    fn failure(what: What, about: impl Into<String>, error: ErrorKind, cause: impl Into<String>) -> Self {
        Self { error: Some(error), ..Self::new(Severity::Failure, what, about, cause) }
    }

    fn evidence(mut self, evidence: impl Into<String>) -> Self {
        self.evidence = evidence.into();
        self
    }

    fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = mend.into();
        self
    }

    fn code(mut self, code: Option<ResultCode>) -> Self {
        self.result_code = code;
        self
    }

    /// Leaves no part of it without a bound.
    fn cut(&mut self) {
        for part in [&mut self.about, &mut self.cause, &mut self.evidence, &mut self.mend] {
            *part = cut(part, LONGEST);
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.cause)?;
        let more = [&self.evidence, &self.mend];
        more.into_iter().filter(|part| !part.is_empty()).try_for_each(|part| write!(f, "; {part}"))
    }
}

impl Doctor {
    /// Looks at a domain, a host, or the server of a URL: `harbourlane.example`, `ldap1.harbourlane.example`,
    /// `ldaps://HOST[:PORT]`, `ldap://HOST[:PORT]`, `ldapi://PATH` with `/` as `%2F`. A URL may name the base too.
    ///
    /// # Errors
    ///
    /// It is none of these.
    pub fn new(target: &str) -> Result<Self, Error> {
        let misuse = |message: String| Error::new(ErrorKind::Misuse, message);
        let (target, base) = if target.contains("://") {
            let url: LdapUrl = target.parse().map_err(|error| misuse(format!("`{target}`: {error}")))?;
            let host = if url.host.is_empty() { "localhost" } else { url.host.as_str() };
            let server = match url.scheme {
                Scheme::Ldapi => Server {
                    address: Address::Socket(PathBuf::from(match url.host.is_empty() {
                        true => "/var/run/slapd/ldapi",
                        false => url.host.as_str(),
                    })),
                    protection: Protection::None,
                    tls: TlsOptions::new(),
                },
                Scheme::Ldaps => Server::tcp(host, url.port(), Protection::Ldaps),
                _ => Server::tcp(host, url.port(), Protection::StartTls),
            };
            (Target::Server(server), Some(url.dn).filter(|dn| !dn.is_root()))
        } else {
            let domain = target.trim_end_matches('.');
            let is_name = !domain.is_empty()
                && domain.len() <= 253
                && !domain.contains(|one: char| !one.is_ascii_alphanumeric() && !".-_".contains(one));
            if !is_name {
                return Err(misuse(format!(
                    "`{target}` is no domain, and no URL either: say `harbourlane.example` or `ldaps://HOST:PORT`"
                )));
            }
            (Target::Domain(domain.to_owned()), None)
        };
        Ok(Self::at(target, base))
    }

    /// Looks at the servers of a configuration, each as the configuration has it reached, at the base it names, and gives each
    /// step its `connection_timeout`.
    pub fn configured(config: &Config) -> Self {
        let doctor = Self::at(Target::Configured, config.structure.base.clone());
        doctor.patience(config.connection_timeout).config(config)
    }

    fn at(target: Target, base: Option<Dn>) -> Self {
        Self {
            target,
            base,
            resolver: Arc::new(DnsResolver::system()),
            config: None,
            ca_file: None,
            patience: Duration::from_secs(5),
            sign_in: None,
        }
    }

    /// Takes the TLS options that the servers of a configuration share.
    pub fn config(mut self, config: &Config) -> Self {
        self.config = Some(config.clone());
        self
    }

    /// Trusts the authorities in this PEM file, and nobody else, whatever a configuration says.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Signs in, once.
    pub fn sign_in(mut self, sign_in: SignIn) -> Self {
        self.sign_in = Some(sign_in);
        self
    }

    /// Looks for people and groups below this name.
    pub fn base(mut self, base: Dn) -> Self {
        self.base = Some(base);
        self
    }

    /// Asks this name server for the records of a domain, instead of the system's. Addresses of hosts are the system's.
    pub fn name_server(mut self, server: SocketAddr) -> Self {
        self.resolver = Arc::new(DnsResolver::with([server]));
        self
    }

    /// How long each step may take. 5 s.
    pub const fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Looks at everything. Must be called on a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: what was opened is closed; a bind may have been sent.
    pub async fn examine(&self) -> Report {
        let mut findings = Vec::new();
        self.dared(&mut findings);
        let usable = self.usable_ways(&mut findings).await;
        let mut found = write::Found::new(self, &usable);
        if let Some(first) = usable.first() {
            self.examine_directory(first, &mut findings, &mut found).await;
        }
        let configuration = match (usable.is_empty(), &self.target) {
            (true, _) | (_, Target::Configured) => None,
            _ => found.text(&mut findings),
        };
        findings.iter_mut().for_each(Finding::cut);
        Report { findings, configuration }
    }

    /// What a configuration dares, and else may surprise with it.
    fn dared(&self, findings: &mut Vec<Finding>) {
        let is_configured = matches!(self.target, Target::Configured);
        let warnings = self.config.iter().flat_map(|config| config.warnings());
        let ours = warnings
            .filter(|one| is_configured || one.key.ends_with(".ssl_verify") && self.ca_file.is_none());
        findings
            .extend(ours.map(|one| Finding::warning(What::Configuration, "configuration", one.to_string())));
    }

    /// The ways that lead to a server, in the order of preference.
    async fn usable_ways(&self, findings: &mut Vec<Finding>) -> Vec<reach::Looked> {
        let ways = match &self.target {
            Target::Server(server) => vec![server.clone()],
            Target::Domain(domain) => dns::ways(self, domain, findings).await,
            Target::Configured => self.config.iter().flat_map(|config| &config.servers).cloned().collect(),
        };
        let mut tasks = JoinSet::new();
        for (place, mut way) in ways.into_iter().enumerate() {
            way.tls = self.tls(&way);
            let looking = reach::Looking {
                patience: self.patience,
                is_named: matches!(self.target, Target::Server(_)),
            };
            tasks.spawn(async move { (place, looking.at(way).await) });
        }
        let mut looked = tasks.join_all().await;
        looked.sort_by_key(|(place, _)| *place);
        let (mut usable, mut hosts): (Vec<reach::Looked>, Vec<String>) = (Vec::new(), Vec::new());
        for (_, looked) in &mut looked {
            findings.append(&mut looked.findings);
        }
        if looked.iter().any(|(_, looked)| looked.is_usable) {
            // With a server to turn to it is a nuisance.
            let failures = findings.iter_mut().filter(|finding| finding.severity == Severity::Failure);
            failures.for_each(|finding| finding.severity = Severity::Warning);
        }
        let is_any_usable = looked.iter().any(|(_, looked)| looked.is_usable);
        looked.retain(|(_, looked)| self.may_trust(&looked.way));
        if is_any_usable && !looked.iter().any(|(_, looked)| looked.is_usable) {
            let about = looked_up(&self.target);
            let cause =
                "the servers that answer are outside of the domain that was asked, so nothing is sent there";
            let mend = "if they are meant, name one: `ldaps://HOST`";
            let finding = Finding::failure(What::DnsOutside, about, ErrorKind::Unreachable, cause);
            findings.push(finding.mend(mend));
        }
        for (_, looked) in looked {
            let host = looked.way.host().unwrap_or_default().to_ascii_lowercase();
            if looked.is_usable && !hosts.contains(&host) {
                hosts.push(host);
                usable.push(looked);
            }
        }
        usable
    }

    async fn examine_directory(
        &self,
        first: &reach::Looked,
        findings: &mut Vec<Finding>,
        found: &mut write::Found,
    ) {
        let way = &first.way;
        clear::look(self, first, findings).await;
        let Some((connection, who)) = account::sign_in(self, way, findings, found).await else { return };
        let actor = connection.actor().unwrap_or(Actor::Anonymous);
        let view = View { connection: &connection, actor, who, patience: self.patience };
        // Read again as who it is now: some hide it from others, and mechanisms differ.
        let capabilities = match Capabilities::read(&connection, view.actor.clone(), self.by()).await {
            Ok(capabilities) => Some(capabilities),
            Err(error) => {
                findings.push(server::hidden(way, &error));
                first.capabilities.clone()
            }
        };
        if let Some(capabilities) = &capabilities {
            server::kind(way, capabilities, findings);
            server::clock(&view, way, findings).await;
            let base = server::base(self, way, capabilities, findings);
            if let Some(base) = base {
                reading::look(&view, &base, capabilities, findings, found).await;
                if self.sign_in.is_some() {
                    self.look_as_nobody(way, &base, capabilities, findings).await;
                }
                lockout::look(&view, &base, findings).await;
                if let Some(name) = found.account_without_dn()
                    && let Some(dn) = account::dn_of(&view, &base, &name).await
                {
                    found.account_dn(dn);
                }
                found.base = reading::is_seen(&view, &base).await.then_some(base);
            }
        }
        connection.close().await;
    }

    /// What is shown to those who did not sign in.
    async fn look_as_nobody(
        &self,
        way: &Server,
        base: &Dn,
        capabilities: &Capabilities,
        findings: &mut Vec<Finding>,
    ) {
        // That the server can be reached was seen before: without an anonymous connection nobody reads anything.
        let Ok(connector) = self.connector(way).build() else { return };
        let Ok(connection) = connector.connect().await else { return };
        let actor = Actor::Anonymous;
        let view = View { connection: &connection, actor, who: String::new(), patience: self.patience };
        reading::anonymous(&view, base, capabilities, findings).await;
        connection.close().await;
    }

    fn tls(&self, way: &Server) -> TlsOptions {
        let tls = match (&self.target, &self.config) {
            (Target::Domain(_) | Target::Server(_), Some(config)) => config.tls.clone(),
            _ => way.tls.clone(),
        };
        match &self.ca_file {
            Some(path) => tls.ca_file(path),
            None => tls,
        }
    }

    fn connector(&self, way: &Server) -> ConnectorBuilder {
        let connector = reach::connector(way, self.patience);
        match &self.config {
            Some(config) if matches!(self.target, Target::Configured) && config.dangerous_clear_passwords => {
                connector.dangerous_clear_passwords()
            }
            _ => connector,
        }
    }

    fn by(&self) -> Deadline {
        Deadline::after(self.patience)
    }
}

/// What was asked for in DNS.
fn looked_up(target: &Target) -> String {
    match target {
        Target::Domain(domain) => format!("domain {domain}"),
        Target::Server(server) => format!("server {server}"),
        Target::Configured => "configuration".to_owned(),
    }
}

/// The beginning of a text, and how much more there is.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => {
            let (shown, rest) = text.split_at_checked(at).unwrap_or_default();
            format!("{shown}… ({} more characters)", rest.chars().count())
        }
        None => text.to_owned(),
    }
}

/// The first of these values, and how many more there are.
fn some<T: fmt::Display>(values: impl IntoIterator<Item = T>) -> String {
    let mut values = values.into_iter();
    let shown: Vec<_> =
        values.by_ref().take(MOST_VALUES).map(|value| cut(&value.to_string(), LONGEST_VALUE)).collect();
    match values.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// What the directory looks like to one who asks.
struct View<'a> {
    connection: &'a Connection,
    actor: Actor,
    /// `nobody`, or the account.
    who: String,
    patience: Duration,
}

impl View<'_> {
    fn is_nobody(&self) -> bool {
        matches!(self.actor, Actor::Anonymous)
    }

    fn by(&self) -> Deadline {
        Deadline::after(self.patience)
    }
}

/// An error with its causes, as they were said.
fn told(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_finding_is_documented_by_a_name_of_its_own() {
        let text = include_str!("../../../docs/doctor.md");
        let names: BTreeSet<_> = What::ALL.iter().map(|what| what.name()).collect();
        assert_eq!(names.len(), What::ALL.len());
        for name in names {
            assert!(text.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn a_target_is_a_domain_a_host_or_a_url() {
        let way = |target: &str| match Doctor::new(target).unwrap().target {
            Target::Domain(domain) => format!("domain {domain}"),
            Target::Server(server) => format!("{server} {:?}", server.protection),
            Target::Configured => unreachable!("it is none of a text"),
        };
        let table = [
            ("harbourlane.example.", "domain harbourlane.example"),
            ("localhost", "domain localhost"),
            ("ldaps://ldap1.harbourlane.example", "ldaps://ldap1.harbourlane.example:636 Ldaps"),
            ("ldap://[::1]:3389/dc=harbourlane,dc=example", "ldap://[::1]:3389 StartTls"),
            ("ldapi://%2Frun%2Fldapi", "ldapi:///run/ldapi None"),
        ];
        for (target, want) in table {
            assert_eq!(way(target), want, "{target}");
        }
        for wrong in ["", "two words", "host:636", "http://host", "a/b"] {
            assert_eq!(Doctor::new(wrong).unwrap_err().kind(), ErrorKind::Misuse, "{wrong}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        let sign_in = SignIn::new(Credentials::simple("cn=reader", "open water"));
        let doctor = Doctor::new("localhost").unwrap().sign_in(sign_in);
        assert!(!format!("{doctor:?}").contains("open water"));
    }
}
