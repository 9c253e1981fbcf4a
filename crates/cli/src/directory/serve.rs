//! `flext-ldap directory serve`: the directory on sockets, until a signal.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use flext_ldap_directory::proto::{dn::Dn, url::LdapUrl};
use flext_ldap_server::{LineLog, Server, ServerTls};
use flext_ldap_store::{ImportOptions, Store};

use super::{Data, access, control::Control, import::load, open};
use crate::connect::password_file;

/// Arguments of `directory serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    data: Data,
    /// Where to listen: ldap://HOST:PORT, ldaps://HOST:PORT, ldapi:///PATH; port 0 takes a free one
    #[arg(long, value_name = "URL", required = true)]
    listen: Vec<LdapUrl>,
    /// Name of the administrator, who may do everything and need not be an entry; over ldapi root and the user who
    /// serves are the administrator too, by SASL EXTERNAL
    #[arg(long, value_name = "DN", requires = "admin_password_file")]
    admin_dn: Option<Dn>,
    /// File with the administrator's password
    #[arg(long, value_name = "FILE", requires = "admin_dn")]
    admin_password_file: Option<PathBuf>,
    /// Certificate chain (PEM), for ldaps and StartTLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Load this LDIF first; entries that are there already stop it
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
    /// Hash clear-text passwords of the imported LDIF instead of refusing them
    #[arg(long, requires = "import")]
    hash_passwords: bool,
    /// Let those who have not signed in read all but secrets
    #[arg(long)]
    anonymous_read: bool,
    /// Access rules (YAML: a list); without them users read all but secrets and change their own passwords
    #[arg(long, value_name = "FILE", conflicts_with = "anonymous_read")]
    rules: Option<PathBuf>,
    /// Hold accounts without a pwdPolicySubentry to the password policy at this name, a pwdPolicy entry
    #[arg(long, value_name = "DN")]
    password_policy: Option<Dn>,
    /// Tell who binds to a locked account, with the password policy control, that it is locked; others take it for a
    /// wrong password
    #[arg(long)]
    tell_lockout: bool,
    /// Write a line for each operation to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(self.serve());
        // An import that a signal stopped is let go of: what is committed is safe.
        runtime.shutdown_background();
        result
    }

    async fn serve(self) -> anyhow::Result<ExitCode> {
        // Heard from the first moment, so that a signal during a long import ends it too.
        let mut stop = Stop::new()?;
        let mut options = self.data.options()?;
        let schema = self.data.load_schema()?;
        let mut rules = access::rules(self.rules.as_deref(), self.anonymous_read, &schema)?;
        if let (Some(dn), Some(path)) = (&self.admin_dn, &self.admin_password_file) {
            let password = password_file(path)?;
            rules = rules.administrator(dn, &schema);
            options = options.administrator(dn.clone(), password);
            for uid in [0, nix::unistd::geteuid().as_raw()] {
                options = options.peer_administrator(uid);
            }
        }
        if let Some(policy) = &self.password_policy {
            options = options.password_policy(policy.clone());
        }
        if self.tell_lockout {
            options = options.tell_lockout();
        }
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(chain), Some(key)) => Some(server_tls(chain, key)?),
            _ => None,
        };
        let store = open(options.policy(Arc::new(rules)), &self.data)?;
        if let Some(path) = &self.import {
            let mut import = ImportOptions::default();
            import.hash_clear_passwords = self.hash_passwords;
            let (store, path) = (store.clone(), path.clone());
            let report = tokio::select! {
                report = tokio::task::spawn_blocking(move || load(&store, Some(&path), &import)) => report??,
                () = stop.wait() => anyhow::bail!("stopped by a signal while the LDIF was loaded: part of it is in"),
            };
            crate::say(format_args!("imported {} entries", report.applied));
        }
        let _control = self.control(&store);
        let mut server = Server::builder(Arc::new(store.clone()));
        if let Some(tls) = tls {
            server = server.tls(tls);
        }
        if let Some(path) = &self.access_log {
            server =
                server.access_log(LineLog::new(log_output(path)?).context("failed to start the access log")?);
        }
        server = self.listen.iter().cloned().fold(server, |server, url| server.listen(url));
        let server = server.start().await.context("failed to listen")?;
        if !self.anonymous_read && self.rules.is_none() {
            crate::say(format_args!("who has not signed in sees no entry; --anonymous-read changes that"));
        }
        for url in server.urls() {
            crate::say(format_args!("listening on {url}"));
        }
        stop.wait().await;
        server.shutdown(Duration::from_secs(5)).await;
        store.close();
        Ok(ExitCode::SUCCESS)
    }
}

impl Serve {
    /// What `directory backup` and `directory check` ask. The directory is served without it too.
    fn control(&self, store: &Store) -> Option<Control> {
        if self.data.data.as_os_str() == ":memory:" {
            return None;
        }
        Control::start(&self.data.data, store.clone())
            .inspect_err(|error| {
                crate::say(format_args!("warning: no backups and checks while this is served: {error}"));
            })
            .ok()
    }
}

fn server_tls(chain: &Path, key: &Path) -> anyhow::Result<ServerTls> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("failed to read {}", path.display()));
    ServerTls::from_pem(&read(chain)?, &read(key)?)
        .with_context(|| format!("failed to use {} and {}", chain.display(), key.display()))
}

fn log_output(path: &Path) -> anyhow::Result<Box<dyn Write + Send>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdout()));
    }
    let file = fs::OpenOptions::new().append(true).create(true).open(path);
    Ok(Box::new(file.with_context(|| format!("failed to open {}", path.display()))?))
}

/// The signals that end a server.
pub(crate) struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    /// Listens from now on.
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for SIGTERM or SIGINT.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
