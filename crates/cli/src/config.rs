//! `flext-ldap config`: what is said of servers and accounts, looked at before it is used.
//!
//! `check` prints one line for each finding: a file that cannot be used ends it, and `--online` holds the file against
//! the servers it names. An account is tried on one server only, so that a wrong password is one failure in the
//! directory, whatever fails over.

mod proxied;

use std::{
    error::Error as StdError,
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Subcommand;
use flext_ldap::{Account, Config, PasswordSource, Protection, Server, Source, TicketSource};
use flext_ldap_client::Connection;
use flext_ldap_directory::{
    Actor, DirectoryExt, Error, ErrorKind, Request,
    proto::{
        attribute::Selection,
        dn::Dn,
        filter::Filter,
        message::{Scope, Search},
        result::ResultCode,
    },
};

use crate::{connect::from_variables, exit, output};

const EXAMPLES: &str = "\
Examples:
  flext-ldap config check --config production.yaml
  flext-ldap config check --config production.yaml --online --strict
  flext-ldap config show --config production.yaml
  flext-ldap config schema > flext-ldap.schema.json";

/// Arguments of `config`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say all that is wrong with a configuration, what may surprise, and which keys have no effect
    Check(CheckArguments),
    /// Print every value with where it comes from; passwords are not among them, but where they are
    Show(Named),
    /// Print the JSON Schema of the file, for editors
    Schema,
}

#[derive(Debug, clap::Args)]
struct CheckArguments {
    #[command(flatten)]
    named: Named,
    /// Reach each server, sign in as each account, and look for the names of the directory's structure
    #[arg(long)]
    online: bool,
    /// Take warnings for errors
    #[arg(long)]
    strict: bool,
}

/// The configuration a command is about.
#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// Configuration (YAML, see docs/configuration.md); without one, `FLEXT_LDAP_…` variables say all of it
    #[arg(long, value_name = "FILE", env = "FLEXT_LDAP_CONFIG")]
    config: Option<PathBuf>,
}

impl Named {
    pub(crate) fn read(&self) -> anyhow::Result<Config> {
        Ok(match &self.config {
            Some(path) => Config::read(path)?,
            None => from_variables()?,
        })
    }
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mut out = io::stdout().lock();
        match self.command {
            Command::Check(arguments) => arguments.run(&mut out),
            Command::Show(named) => {
                show(&named.read()?, &mut out)?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Schema => {
                writeln!(out, "{:#}", flext_ldap::json_schema())?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// Prints it as a file that says the same, each value with its source.
fn show(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "flext_ldap:")?;
    for setting in config.settings() {
        let line = setting.to_string();
        if setting.value.is_none() {
            writeln!(out, "{line}")?;
            continue;
        }
        let source = match &setting.source {
            Source::File { path, line, .. } => format!("{}:{line}", path.display()),
            source => source.to_string(),
        };
        writeln!(out, "{line:<60}  # {}", source.escape_default())?;
    }
    Ok(())
}

impl CheckArguments {
    fn run(&self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let config = self.named.read()?;
        let mut report = Report { out, first: None };
        for finding in config.warnings() {
            report.warn(&finding.to_string(), self.strict)?;
        }
        if !self.online {
            // Here may be another machine than where it is used.
            for server in &config.servers {
                if let Err(error) = config.connector(server).build() {
                    report.warn(&format!("server {server}: {}", output::chain(&error)), self.strict)?;
                }
            }
            for (name, account) in &config.accounts {
                if let Err(error) = account.credentials(name) {
                    report.warn(&format!("account `{name}`: {}", output::chain(&error)), self.strict)?;
                } else if let Some(path) = secret_file(account)
                    && let Err(error) = fs::File::open(path)
                {
                    let path = path.display();
                    report
                        .warn(&format!("account `{name}`: `{path}` cannot be read: {error}"), self.strict)?;
                }
            }
        }
        for (name, account) in &config.accounts {
            if let Some((path, mode)) = open_to_all(account) {
                let path = path.display();
                let text = format!(
                    "account `{name}`: everybody on this machine can read `{path}` (mode {mode:04o}); make it 0600"
                );
                report.warn(&text, self.strict)?;
            }
        }
        for (key, path) in written(&config) {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            if folder.is_some_and(|folder| !folder.is_dir()) {
                let text = format!("`{key}`: the folder of {} is not there; make it", path.display());
                report.warn(&text, self.strict)?;
            }
        }
        for finding in config.idle() {
            report.line("note", &finding.to_string())?;
        }
        if report.first.is_none() {
            let count = |count, what| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
            let servers = count(config.servers.len(), "server");
            let accounts = count(config.accounts.len(), "account");
            report.line("ok", &format!("the configuration: {servers}, {accounts}"))?;
        }
        if self.online {
            crate::block_on(async { Ok(report.online(&config).await?) })?;
        }
        Ok(report.first.map_or(ExitCode::SUCCESS, ExitCode::from))
    }
}

/// What is printed, and the exit code for the first thing that is wrong.
struct Report<'a> {
    out: &'a mut dyn Write,
    first: Option<u8>,
}

impl Report<'_> {
    fn line(&mut self, word: &str, text: &str) -> io::Result<()> {
        writeln!(self.out, "{word:<5} {}", output::on_one_line(text))
    }

    fn warn(&mut self, text: &str, strict: bool) -> io::Result<()> {
        if strict {
            self.first.get_or_insert(exit::USAGE);
        }
        self.line(if strict { "fail" } else { "warn" }, text)
    }

    fn fail(&mut self, what: &str, error: &Error) -> io::Result<()> {
        self.first.get_or_insert_with(|| match error.kind() {
            ErrorKind::NoEntry => exit::NO_SUCH_OBJECT,
            _ => exit::of_directory(error),
        });
        let (cause, mend) = explain(error);
        self.line("fail", &format!("{what}: {cause}; {}; {mend}", output::chain(error)))
    }

    async fn online(&mut self, config: &Config) -> io::Result<()> {
        let mut reached = None;
        for server in &config.servers {
            let started = Instant::now();
            match root(config, server).await {
                Ok(()) => {
                    let took = started.elapsed().as_millis();
                    let how = match server.protection {
                        Protection::Ldaps => "over TLS, the certificate verified,",
                        Protection::StartTls => "over StartTLS, the certificate verified,",
                        _ => "without TLS,",
                    };
                    let how = match config.accepts_any_certificate() && server.protection != Protection::None
                    {
                        true => "over TLS with whatever certificate,",
                        false => how,
                    };
                    self.line("ok", &format!("server {server}: answers {how} in {took} ms"))?;
                    reached = reached.or(Some(server));
                }
                Err(error) => self.fail(&format!("server {server}"), &error)?,
            }
        }
        let Some(server) = reached else {
            return self.line("note", "no server answers: accounts and names were not looked at");
        };
        let asker = self.accounts(config, server).await?;
        self.names(config, server, asker).await
    }

    /// Signs in as each account; gives the first connection that did.
    async fn accounts(
        &mut self,
        config: &Config,
        server: &Server,
    ) -> io::Result<Option<(String, Connection)>> {
        let mut first = None;
        for (name, account) in &config.accounts {
            let what = format!("account `{name}`");
            let credentials = match account.credentials(name) {
                Ok(credentials) => credentials,
                Err(error) => {
                    self.first.get_or_insert_with(|| match error.source() {
                        Some(_) => exit::STORAGE,
                        None => exit::USAGE,
                    });
                    let evidence = output::chain(&error);
                    self.line(
                        "fail",
                        &format!(
                            "{what}: its password is not there; {evidence}; put it there, or say where it is"
                        ),
                    )?;
                    continue;
                }
            };
            let connected = match config.connector(server).credentials(credentials).build() {
                Ok(connector) => connector.connect().await,
                Err(error) => Err(error),
            };
            match connected {
                Ok(connection) => {
                    self.line("ok", &format!("{what}: signs in at {server}"))?;
                    if config.proxy.proxied_authorization && config.proxy.account.as_ref() == Some(name) {
                        self.acts_for_others(config, &what, &connection).await?;
                    }
                    match first {
                        None => first = Some((what, connection)),
                        Some(_) => connection.close().await,
                    }
                }
                Err(error) => self.fail(&what, &error)?,
            }
        }
        Ok(first)
    }

    /// Looks for the names of the directory's structure, as the account that signed in, or as nobody where there is no account.
    /// What nobody does not see says nothing about what accounts would.
    async fn names(
        &mut self,
        config: &Config,
        server: &Server,
        asker: Option<(String, Connection)>,
    ) -> io::Result<()> {
        let structure = &config.structure;
        let names = [
            ("base_dn", &structure.base),
            ("users_ou", &structure.users),
            ("groups_ou", &structure.groups),
            ("service_accounts_ou", &structure.service_accounts),
        ];
        let given: Vec<_> = names.iter().filter(|(_, dn)| dn.is_some()).map(|(key, _)| *key).collect();
        if given.is_empty() {
            return Ok(());
        }
        let (who, connection) = match asker {
            Some((who, connection)) => (who, connection),
            None if !config.accounts.is_empty() => {
                let given = given.join(", ");
                return self.line("note", &format!("no account signs in: {given} were not looked at"));
            }
            None => match anonymous(config, server).await {
                Ok(connection) => ("nobody".to_owned(), connection),
                Err(error) => return self.fail(&format!("server {server}"), &error),
            },
        };
        for (key, dn) in names {
            let Some(dn) = dn else { continue };
            match looked_for(&connection, dn, config.connection_timeout).await {
                Ok(()) => self.line("ok", &format!("{key} `{dn}`: is there, seen as {who}"))?,
                Err(error) => self.fail(&format!("{key} `{dn}`, asked for as {who}"), &error)?,
            }
        }
        connection.close().await;
        Ok(())
    }
}

/// The files that are written, by their keys. `-` is standard output.
fn written(config: &Config) -> impl Iterator<Item = (&'static str, &Path)> {
    let proxy = &config.proxy;
    [
        ("observability.audit_log_file", &config.observability.audit),
        ("proxy.access_log", &proxy.access_log),
        ("proxy.clients_file", &proxy.clients_file),
    ]
    .into_iter()
    .filter_map(|(key, path)| Some((key, path.as_deref()?)))
}

/// The file that an account's secret is in, if it is in one.
fn secret_file(account: &Account) -> Option<&Path> {
    match (account, account.password()) {
        (Account::Kerberos { tickets: TicketSource::Keytab(path) | TicketSource::Cache(path), .. }, _) => {
            Some(path)
        }
        (_, Some(PasswordSource::File(path))) => Some(path),
        _ => None,
    }
}

/// The file of a secret that everybody can read, with its mode.
fn open_to_all(account: &Account) -> Option<(&Path, u32)> {
    let path = secret_file(account)?;
    // What cannot be looked at is told elsewhere.
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o004 != 0).then_some((path, mode))
}

async fn anonymous(config: &Config, server: &Server) -> Result<Connection, Error> {
    config.connector(server).build()?.connect().await
}

/// Reads the root DSE: what answers is an LDAP server, even where the answer is no.
async fn root(config: &Config, server: &Server) -> Result<(), Error> {
    let connection = anonymous(config, server).await?;
    let looked = looked_for(&connection, &Dn::root(), config.connection_timeout).await;
    connection.close().await;
    match looked {
        Err(error) if error.kind() == ErrorKind::Rejected => Ok(()),
        looked => looked,
    }
}

async fn looked_for(connection: &Connection, dn: &Dn, time: Duration) -> Result<(), Error> {
    let found = connection.search_optional(Request::new(entry(dn), Actor::Service).within(time)).await?;
    found.map(drop).ok_or_else(|| Error::new(ErrorKind::NoEntry, "the server shows no such entry"))
}

/// Looks for an entry, and for none of its attributes.
fn entry(dn: &Dn) -> Search {
    Search::new(dn.clone(), Scope::Base, Filter::any()).attributes(Selection::none())
}

/// What it comes to, and what may mend it.
fn explain(error: &Error) -> (&'static str, &'static str) {
    match error.kind() {
        ErrorKind::Unreachable => (
            "cannot be reached",
            "see that `host` and `port` are right, the server runs, and no firewall is between",
        ),
        ErrorKind::Tls => (
            "no TLS",
            "name the authority's file in `ssl_ca_cert_path`, the name of the certificate in `host` or `ssl_server_name`, \
             or have the certificate renewed",
        ),
        ErrorKind::Timeout => (
            "no answer in time",
            "see that a firewall lets through, or raise `connection_settings.connection_timeout`",
        ),
        ErrorKind::Closed => ("the connection was lost", "see the log of the server"),
        ErrorKind::Protocol => {
            ("what answers does not speak LDAP", "see that `port` is that of the directory")
        }
        ErrorKind::Confidentiality => {
            ("a password would go out in clear", "have TLS: leave `start_tls` and `use_ssl` out")
        }
        ErrorKind::EmptyPassword => ("the password is empty", "put it where the configuration says it is"),
        ErrorKind::NoEntry => {
            ("is not there, or may not be seen", "create it, let this account read it, or name another")
        }
        ErrorKind::Misuse => ("cannot be used", "mend what it names"),
        ErrorKind::Rejected => match error.result_code() {
            Some(ResultCode::INVALID_CREDENTIALS) => (
                "the name or the password is wrong",
                "put the right password where the configuration says it is",
            ),
            Some(ResultCode::NO_SUCH_OBJECT) => {
                ("is not there, or may not be seen", "create it, let this account read it, or name another")
            }
            Some(ResultCode::INSUFFICIENT_ACCESS_RIGHTS) => ("may not be seen", "let this account read it"),
            Some(ResultCode::STRONGER_AUTH_REQUIRED) => (
                "the server wants more than this",
                "leave `start_tls` and `use_ssl` out, for TLS, or have a `mechanism` that signs, as gssapi does",
            ),
            Some(ResultCode::CONFIDENTIALITY_REQUIRED) => {
                ("the server wants TLS first", "leave `start_tls` and `use_ssl` out")
            }
            _ => ("the server said no", "see what it said, and its log"),
        },
        _ => ("failed", "see what it said"),
    }
}
