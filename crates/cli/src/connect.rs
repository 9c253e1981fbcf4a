//! How the server is reached, and as whom: the options all commands share.

mod sasl;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use flext_ldap::{Account, Config, ConfigError, Server, Stack, StackBuilder};
use flext_ldap_client::{
    Connector, ConnectorBuilder, Credentials, Mechanism, PinnedConnection, Server as _, TlsOptions,
    WantsSecurity,
};
use flext_ldap_directory::proto::{
    control::PasswordPolicyRequest,
    dn::Dn,
    result::ResultCode,
    secret::Secret,
    url::{LdapUrl, Scheme},
};
use flext_ldap_directory::{Deadline, Directory, Error, ErrorKind, Reply, Request};

use crate::{conf::Conf, exit::Usage, ppolicy};

/// Where `--help` lists these options.
const CONNECTION: &str = "Connection";

/// The server, and who to be.
#[derive(Debug, clap::Args)]
pub(crate) struct Connect {
    /// Server: ldap://HOST, ldaps://HOST or ldapi://PATH; several are tried in order. URI of ldap.conf or LDAPURI if left out
    #[arg(help_heading = CONNECTION, short = 'H', long = "url", value_name = "URL")]
    urls: Vec<String>,
    /// Configuration (YAML, see docs/configuration.md) with the servers, what protects the way there, the base and accounts; with -H,
    /// nothing of it is used but --account; if left out, the file that `FLEXT_LDAP_CONFIG` names, or else `FLEXT_LDAP_…` variables that name a server
    #[arg(help_heading = CONNECTION, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Bind as this service account of the configuration
    #[arg(help_heading = CONNECTION, long, value_name = "NAME", conflicts_with_all = ["bind_dn", "password", "ask_password", "password_file", "mechanism", "sasl_user"])]
    account: Option<String>,
    /// Bind as this name
    #[arg(help_heading = CONNECTION, short = 'D', long, value_name = "DN")]
    bind_dn: Option<String>,
    /// Password; visible to others on this machine: -W asks, -y reads a file
    #[arg(help_heading = CONNECTION, short = 'w', long, value_name = "PASSWORD", value_parser = secret, conflicts_with_all = ["ask_password", "password_file"])]
    password: Option<Secret>,
    /// Ask for the password
    #[arg(help_heading = CONNECTION, short = 'W', long, conflicts_with = "password_file")]
    ask_password: bool,
    /// Read the password from this file, a line end at its end left out
    #[arg(help_heading = CONNECTION, short = 'y', long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Simple authentication; it is what is done unless -Y is given
    #[arg(help_heading = CONNECTION, short = 'x', long, conflicts_with = "mechanism")]
    simple: bool,
    /// SASL mechanism: GSSAPI or GSS-SPNEGO for Kerberos, EXTERNAL for a Unix socket or a client certificate, SCRAM-SHA-512, SCRAM-SHA-256 or SCRAM-SHA-1 (each
    /// with -PLUS too), PLAIN, DIGEST-MD5, or OAUTHBEARER, whose password is a token
    #[arg(help_heading = CONNECTION, short = 'Y', long, value_name = "MECHANISM", value_parser = sasl::mechanism)]
    mechanism: Option<Mechanism>,
    /// User for SASL; without -Y by the strongest mechanism that the server offers
    #[arg(help_heading = CONNECTION, short = 'U', long = "user", value_name = "USER", conflicts_with_all = ["simple", "bind_dn"])]
    sasl_user: Option<String>,
    /// Realm of the user, for Kerberos and DIGEST-MD5
    #[arg(help_heading = CONNECTION, short = 'R', long, value_name = "REALM", conflicts_with = "simple")]
    realm: Option<String>,
    /// Act as somebody else by SASL: `dn:DN` or `u:USER`
    #[arg(help_heading = CONNECTION, short = 'X', long, value_name = "AUTHZID", conflicts_with = "simple")]
    authzid: Option<String>,
    /// What SASL must be, with commas: `noplain`, `minssf=N` and `maxssf=N` (of Kerberos' layer: 0 none, 1 signed, more sealed;
    /// otherwise more than 0 is inside TLS or on this machine), `none`
    #[arg(help_heading = CONNECTION, short = 'O', value_name = "PROPERTIES", value_parser = sasl::properties, conflicts_with = "simple")]
    properties: Option<sasl::Properties>,
    /// No messages of SASL; there are none without it either
    #[arg(help_heading = CONNECTION, short = 'Q')]
    quiet: bool,
    /// No name of the server's by its address, for SASL; none is looked up without it either
    #[arg(help_heading = CONNECTION, short = 'N')]
    no_canonical_name: bool,
    /// Log on standard error how the server is reached, unless LEVEL is 0; `RUST_LOG` goes before it
    #[arg(help_heading = CONNECTION, short = 'd', value_name = "LEVEL", value_parser = debug_level, allow_hyphen_values = true)]
    debug: Option<bool>,
    /// Version of LDAP: 3
    #[arg(help_heading = CONNECTION, short = 'P', value_name = "VERSION", value_parser = version)]
    version: Option<u8>,
    /// Start TLS on an ldap:// connection; it must succeed, given once (-Z) or twice (-ZZ)
    #[arg(help_heading = CONNECTION, short = 'Z', long = "start-tls", action = clap::ArgAction::Count)]
    start_tls: u8,
    /// Trust the certificates of this file (PEM) instead of this machine's; TLS_CACERT or LDAPTLS_CACERT if left out
    #[arg(help_heading = CONNECTION, long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Client certificate (PEM); TLS_CERT or LDAPTLS_CERT if left out
    #[arg(help_heading = CONNECTION, long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Key of the client certificate (PEM); TLS_KEY or LDAPTLS_KEY if left out
    #[arg(help_heading = CONNECTION, long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Accept any certificate: whoever is in between can read and change everything
    #[arg(help_heading = CONNECTION, long)]
    dangerous_accept_any_certificate: bool,
    /// Send passwords in clear over the network: whoever is in between can read them
    #[arg(help_heading = CONNECTION, long)]
    dangerous_clear_passwords: bool,
    /// Seconds for finding, reaching and binding to the server together
    #[arg(help_heading = CONNECTION, long, value_name = "SECONDS")]
    connect_timeout: Option<u64>,
}

impl Connect {
    /// Connects and binds.
    pub(crate) async fn open(&self) -> anyhow::Result<Opened> {
        self.open_as(None, Tells::default()).await
    }

    /// As [`open`](Self::open), within `timeout` seconds if they are not said by an option of their own.
    pub(crate) async fn open_as(&self, timeout: Option<u64>, tells: Tells) -> anyhow::Result<Opened> {
        // What goes wrong on the way is in the error, or was of no consequence.
        let says = if self.debug == Some(true) { "debug" } else { "error" };
        crate::logging::set_level(Some(&format!("warn,flext_ldap_client={says}")));
        let Way { stack, servers, credentials, .. } = self.way(timeout)?;
        let asks = |connector: ConnectorBuilder| match tells.policy {
            true => connector.bind_control(&PasswordPolicyRequest),
            false => connector,
        };
        let stack = stack.for_one_command().credentials(credentials).connectors(asks);
        let told = Arc::new(Mutex::new(String::new()));
        let stack = match tells.servers {
            true => stack.hear(tell_of_another(Arc::clone(&told))),
            false => stack,
        };
        let stack = stack.build()?;
        // Whoever cannot connect or sign in is told before anything is asked. The connection is there for what is.
        let reached = stack.pin(Deadline::after(Duration::MAX)).await;
        if tells.policy {
            let answer = match &reached {
                Ok(pinned) => pinned.connection().bind_outcome(),
                Err(error) => error.outcome(),
            };
            answer.into_iter().for_each(ppolicy::tell);
        }
        match reached {
            Ok(pinned) if tells.servers => {
                let tls = pinned.connection().tls_version().unwrap_or("without TLS");
                crate::say(format_args!("connected to {}, {tls}", pinned.server()));
                pinned.server().clone_into(&mut told.lock().unwrap_or_else(PoisonError::into_inner));
            }
            Ok(_) => {}
            Err(error) => {
                let names: Vec<_> = servers.into_iter().map(|(name, _)| name).collect();
                return Err(unreached(error, &names));
            }
        }
        Ok(Opened(stack))
    }

    /// The servers and who to be there; `timeout` seconds are for reaching one where no option says it.
    pub(crate) fn way(&self, timeout: Option<u64>) -> anyhow::Result<Way> {
        let conf = Conf::load()?;
        let config = self.config()?;
        crate::traces::begin(config.as_ref().map(|config| &config.observability));
        let credentials = self.credentials(&conf, config.as_ref())?;
        let timeout = self.connect_timeout.or(timeout).map(Duration::from_secs);
        let dared = |connector: ConnectorBuilder| match self.dangerous_clear_passwords {
            true => connector.dangerous_clear_passwords(),
            false => connector,
        };
        if let Some(config) = config.filter(|_| self.urls.is_empty()) {
            self.has_no_ways_of_its_own()?;
            let timeout = timeout.unwrap_or(config.connection_timeout);
            let reach = |server: &Server| (server.to_string(), dared(config.connector(server)));
            return Ok(Way {
                servers: config.servers.iter().map(reach).collect(),
                stack: config.stack().connectors(dared).connection_timeout(timeout),
                timeout,
                credentials,
                base: config.structure.base,
            });
        }
        let urls = self.urls(&conf)?;
        let timeout = match timeout {
            Some(timeout) => timeout,
            None => network_timeout(&conf)?,
        };
        let connectors: Vec<_> = self.connectors(&conf, &urls)?.into_iter().map(dared).collect();
        Ok(Way {
            stack: Stack::of(connectors.clone()).connection_timeout(timeout),
            servers: urls.iter().map(ToString::to_string).zip(connectors).collect(),
            timeout,
            credentials,
            base: urls.into_iter().map(|url| url.dn).find(|dn| !dn.is_root()),
        })
    }

    /// What may help against an answer that is no: who has not signed in may see and do less.
    pub(crate) fn hint(&self, error: &Error) -> &'static str {
        let hidden = [ResultCode::NO_SUCH_OBJECT, ResultCode::INSUFFICIENT_ACCESS_RIGHTS];
        let is_hidden = error.result_code().is_some_and(|code| hidden.contains(&code));
        let signs_in = self.mechanism.is_some()
            || self.sasl_user.is_some()
            || self.account.is_some()
            || self.password.is_some()
            || self.ask_password
            || self.password_file.is_some();
        match (is_hidden && !signs_in, self.config.is_some()) {
            (true, true) => " without signing in (by --account, or -D and -W)",
            (true, false) => " without signing in (by -D and -W)",
            (false, _) => "",
        }
    }

    /// Whether servers are named among the arguments.
    pub(crate) const fn is_given(&self) -> bool {
        !self.urls.is_empty() || self.config.is_some() || self.account.is_some()
    }

    /// The configuration, if one is named and anything is left for it to say.
    fn config(&self) -> anyhow::Result<Option<Config>> {
        match self.urls.is_empty() || self.account.is_some() {
            true => configuration(self.config.as_deref(), self.account.is_some()),
            false => Ok(None),
        }
    }

    /// That nothing is said of the way to a server that the configuration says.
    fn has_no_ways_of_its_own(&self) -> anyhow::Result<()> {
        let given = [
            ("-Z", self.start_tls > 0),
            ("--ca-file", self.ca_file.is_some()),
            ("--cert", self.cert.is_some()),
            ("--key", self.key.is_some()),
            ("--dangerous-accept-any-certificate", self.dangerous_accept_any_certificate),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((option, _)) => {
                let text =
                    format!("{option} goes with -H; for the servers of a configuration, its keys say this");
                Err(Usage(text).into())
            }
            None => Ok(()),
        }
    }

    /// The base for those who gave none: that of the configuration, the base in the URL, BASE of ldap.conf, or an error that says what to do.
    pub(crate) fn default_base(&self) -> anyhow::Result<Dn> {
        if self.urls.is_empty()
            && let Some(base) = self.config()?.and_then(|config| config.structure.base)
        {
            return Ok(base);
        }
        let conf = Conf::load()?;
        if let Some(url) = self.urls(&conf)?.into_iter().find(|url| !url.dn.is_root()) {
            return Ok(url.dn);
        }
        match conf.get("BASE") {
            Some(base) => Ok(base.parse().with_context(|| format!("BASE of ldap.conf is `{base}`"))?),
            // As ldapsearch: the root, which a base search reads as the root DSE.
            None => Ok(Dn::root()),
        }
    }

    /// The URL of -H that says more of a search than its base, if one does.
    pub(crate) fn search_url(&self) -> anyhow::Result<Option<LdapUrl>> {
        if self.urls.is_empty() {
            return Ok(None);
        }
        let says_more = |url: &LdapUrl| {
            url.scope.is_some() || url.filter.is_some() || !url.attributes.selectors().is_empty()
        };
        Ok(self.urls(&Conf::load()?)?.into_iter().find(says_more))
    }

    fn urls(&self, conf: &Conf) -> anyhow::Result<Vec<LdapUrl>> {
        let given = if self.urls.is_empty() {
            conf.get("URI").unwrap_or("ldap://localhost").to_owned()
        } else {
            self.urls.join(" ")
        };
        let mut urls = Vec::new();
        for text in separate(&given) {
            let url: LdapUrl = text.parse().map_err(|error| Usage(format!("`{text}`: {error}")))?;
            urls.push(url);
        }
        if urls.is_empty() { Err(Usage("-H names no server".to_owned()).into()) } else { Ok(urls) }
    }

    fn connectors(&self, conf: &Conf, urls: &[LdapUrl]) -> anyhow::Result<Vec<ConnectorBuilder>> {
        let scheme = urls.first().map_or(Scheme::Ldap, |url| url.scheme);
        if urls.iter().any(|url| url.scheme != scheme) {
            return Err(Usage(
                "the servers of one command must be all ldap, all ldaps or all ldapi".to_owned(),
            )
            .into());
        }
        let builder = |wants: WantsSecurity| -> anyhow::Result<ConnectorBuilder> {
            Ok(match scheme {
                Scheme::Ldaps if self.start_tls > 0 => {
                    return Err(Usage("-Z is for ldap://; ldaps:// has TLS already".to_owned()).into());
                }
                Scheme::Ldaps => wants.ldaps(self.tls(conf)?),
                _ if self.start_tls > 0 => wants.start_tls(self.tls(conf)?),
                _ => wants.clear(),
            })
        };
        urls.iter().map(|url| Ok(builder(Connector::builder())?.url(url))).collect()
    }

    fn tls(&self, conf: &Conf) -> anyhow::Result<TlsOptions> {
        let setting =
            |own: &Option<PathBuf>, name: &str| own.clone().or_else(|| conf.get(name).map(PathBuf::from));
        let mut tls = TlsOptions::new();
        if let Some(path) = setting(&self.ca_file, "TLS_CACERT") {
            tls = tls.ca_file(path);
        }
        match (setting(&self.cert, "TLS_CERT"), setting(&self.key, "TLS_KEY")) {
            (Some(cert), Some(key)) => tls = tls.client_certificate_files(cert, key),
            (None, None) => {}
            _ => return Err(Usage("a client certificate needs both --cert and --key".to_owned()).into()),
        }
        if let Some(value) = conf
            .get("TLS_REQCERT")
            .filter(|value| !["demand", "hard"].iter().any(|kind| kind.eq_ignore_ascii_case(value)))
        {
            crate::say(format_args!(
                "flext-ldap: TLS_REQCERT {value} is not followed: certificates are verified, save with \
                 --dangerous-accept-any-certificate"
            ));
        }
        Ok(if self.dangerous_accept_any_certificate { tls.dangerous_accept_any_certificate() } else { tls })
    }

    fn credentials(&self, conf: &Conf, config: Option<&Config>) -> anyhow::Result<Credentials> {
        if let (Some(name), Some(config)) = (&self.account, config) {
            return Ok(account(config, name)?.credentials(name)?);
        }
        if !self.simple && self.bind_dn.is_none() && self.asks_for_sasl(conf) {
            return self.sasl(conf).map(Credentials::from);
        }
        let password = self.given_password()?;
        let name = self.bind_dn.clone().or_else(|| conf.get("BINDDN").map(str::to_owned));
        match (name, password) {
            (Some(name), Some(password)) if !name.is_empty() => Ok(Credentials::simple(name, password)),
            (_, None) if self.bind_dn.is_none() => Ok(Credentials::Anonymous),
            (_, None) => {
                Err(Usage("-D needs a password: -W asks for it, -y reads it from a file".to_owned()).into())
            }
            (_, Some(_)) => Err(Usage("a password needs a name to bind as: -D".to_owned()).into()),
        }
    }

    /// The password of the options, if there is one.
    fn given_password(&self) -> anyhow::Result<Option<Secret>> {
        Ok(match (&self.password, self.ask_password, &self.password_file) {
            (Some(password), ..) => Some(password.clone()),
            (None, true, _) => Some(ask_password("Password: ", "-y")?),
            (None, false, Some(path)) => Some(password_file(path)?),
            (None, false, None) => None,
        })
    }
}

/// The configuration of --config, or the one that the environment names or says, if any of them does.
pub(crate) fn configuration(named: Option<&Path>, has_account: bool) -> anyhow::Result<Option<Config>> {
    let variable = || std::env::var_os("FLEXT_LDAP_CONFIG").filter(|path| !path.is_empty());
    let Some(path) = named.map(Path::to_owned).or_else(|| variable().map(PathBuf::from)) else {
        return match has_account {
            _ if names_a_server(std::env::vars_os()) => Ok(Some(from_variables()?)),
            true => Err(Usage(
                "--account names an account of a configuration: say which by --config FILE".to_owned(),
            )
            .into()),
            false => Ok(None),
        };
    };
    match Config::read(path) {
        // The variable is also that of `directory serve`.
        Err(ConfigError::ServedDirectory(_)) if named.is_none() && !has_account => Ok(None),
        read => Ok(Some(read?)),
    }
}

/// The configuration where no file is named.
pub(crate) fn from_variables() -> anyhow::Result<Config> {
    Config::from_environment().context(
        "neither --config nor FLEXT_LDAP_CONFIG names a file, and the variables `FLEXT_LDAP_…` do not say all of it",
    )
}

/// Whether variables name the first server of a configuration, without which they are none: others may be there to
/// override a file that this command was not given.
fn names_a_server(variables: impl IntoIterator<Item = (OsString, OsString)>) -> bool {
    let names = ["PRIMARY_SERVER", "PRIMARY_SERVER__HOST", "PRIMARY_SERVER__URL"];
    variables.into_iter().filter(|(_, value)| !value.is_empty()).any(|(variable, _)| {
        let rest = variable.to_str().and_then(|variable| variable.strip_prefix("FLEXT_LDAP_"));
        rest.is_some_and(|rest| names.iter().any(|name| name.eq_ignore_ascii_case(rest)))
    })
}

/// An account of the configuration.
pub(crate) fn account<'a>(config: &'a Config, name: &str) -> Result<&'a Account, Usage> {
    config.accounts.get(name).ok_or_else(|| {
        let names: Vec<_> = config.accounts.keys().map(|name| format!("`{name}`")).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Usage(format!("the configuration has no account `{name}`; it has {names}"))
    })
}

/// What is told on standard error of the way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tells {
    /// What the password policy says of the bind.
    pub(crate) policy: bool,
    /// Which server is asked.
    pub(crate) servers: bool,
}

/// Tells which server is asked where it is not the one told of last.
fn tell_of_another(told: Arc<Mutex<String>>) -> impl Fn(&str) + Send + Sync + 'static {
    move |server| {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != server {
            crate::say(format_args!("asking {server}"));
            server.clone_into(&mut told);
        }
    }
}

/// What the options and the configuration say of the way to the servers.
pub(crate) struct Way {
    /// All of them as one.
    pub(crate) stack: StackBuilder,
    /// Each by its name, as nobody.
    pub(crate) servers: Vec<(String, ConnectorBuilder)>,
    /// Who to be.
    pub(crate) credentials: Credentials,
    /// For finding, reaching and binding to a server.
    pub(crate) timeout: Duration,
    /// Where a search would begin, if that is said.
    pub(crate) base: Option<Dn>,
}

/// The servers of a command, of which one has been reached. The next ones are when they are needed.
pub(crate) struct Opened(Stack);

impl Opened {
    /// A connection for pages, which go on where they began.
    pub(crate) async fn pin(&self) -> Result<PinnedConnection, Error> {
        self.0.pin(Deadline::after(Duration::MAX)).await
    }

    /// Says goodbye.
    pub(crate) async fn close(&self) {
        self.0.shutdown(Deadline::after(GOODBYE)).await;
    }
}

impl Directory for Opened {
    fn call(&self, request: Request) -> Reply {
        self.0.call(request)
    }
}

/// How long what was given up may still take at the end.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long finding, reaching and binding may take where no option says it.
fn network_timeout(conf: &Conf) -> anyhow::Result<Duration> {
    let seconds = conf.number("NETWORK_TIMEOUT")?.map(u64::from).filter(|seconds| *seconds > 0);
    Ok(Duration::from_secs(seconds.unwrap_or(10)))
}

/// Says where a connection failed to go, and what may help.
fn unreached(error: Error, names: &[String]) -> anyhow::Error {
    let hint = match error.result_code() {
        Some(ResultCode::INVALID_CREDENTIALS) => ": the name or the password is wrong",
        Some(ResultCode::INVALID_DN_SYNTAX) => {
            ": -D takes a distinguished name like `uid=ada,ou=people,dc=example,dc=com`"
        }
        _ => "",
    };
    // An answer that is no is one to the bind: there is a connection.
    // Of several servers, one.
    let what = match (error.kind(), names) {
        (ErrorKind::Rejected, [_]) => "sign in to",
        (ErrorKind::Rejected, _) => "sign in to one of",
        _ => "connect to",
    };
    anyhow::Error::new(error).context(format!("failed to {what} {}{hint}", names.join(", ")))
}

/// The URLs of a list, which white space or commas separate. A comma in the DN of a URL separates nothing.
fn separate(list: &str) -> Vec<&str> {
    let mut urls = Vec::new();
    for mut rest in list.split_whitespace() {
        while let Some(at) = [",ldap://", ",ldaps://", ",ldapi://"]
            .iter()
            .filter_map(|next| rest.to_ascii_lowercase().find(next))
            .min()
            && let Some((url, more)) = rest.split_at_checked(at)
        {
            urls.push(url);
            rest = more.strip_prefix(',').unwrap_or_default();
        }
        urls.push(rest);
    }
    urls.iter().map(|url| url.trim_matches(',')).filter(|url| !url.is_empty()).collect()
}

/// A distinguished name given as an argument.
pub(crate) fn dn(text: &str) -> Result<Dn, String> {
    text.parse().map_err(|error| match text.contains('=') {
        true => format!("{error}"),
        false => format!("{error}; a name is written like `dc=example,dc=com`"),
    })
}

/// The version of LDAP, as scripts for other tools name it.
fn version(text: &str) -> Result<u8, String> {
    match text {
        "3" => Ok(3),
        _ => Err("LDAP 3 is spoken and no other version; leave -P out, or say `-P 3`".to_owned()),
    }
}

/// Whether a level of OpenLDAP's, bits for its own parts, asks for anything.
fn debug_level(text: &str) -> Result<bool, String> {
    match text.parse::<i64>() {
        Ok(level) => Ok(level != 0),
        Err(_) if text == "any" => Ok(true),
        Err(_) => Err("expected a number: 0 logs nothing, any other how the server is reached".to_owned()),
    }
}

/// A password given as an argument.
#[expect(clippy::unnecessary_wraps, reason = "what clap wants of a parser")]
pub(crate) fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::from(text))
}

/// Asks for a password on the terminal, without showing it. `instead` is the option that reads it from a file.
pub(crate) fn ask_password(prompt: &str, instead: &str) -> anyhow::Result<Secret> {
    let password = rpassword::prompt_password(prompt).with_context(|| {
        format!("failed to ask for a password: without a terminal, {instead} FILE reads it from a file")
    })?;
    Ok(Secret::new(password.into_bytes()))
}

/// Reads a password from a file, without the line end at its end.
pub(crate) fn password_file(path: &Path) -> anyhow::Result<Secret> {
    Ok(flext_ldap::password_file(path)?)
}
