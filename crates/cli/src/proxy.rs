//! `flext-ldap proxy`: a listener over the servers of a configuration, until a signal.

mod clients;
mod http;

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::Subcommand;
use flext_ldap::{Config, ProxySettings, Reopen, Stack, client::Server as _};
use flext_ldap_directory::{Deadline, proto::url::LdapUrl};
use flext_ldap_proxy::{Clients, Proxy};
use flext_ldap_server::{Server, ServerLimits, ServerTls};
use tokio::signal::unix::{SignalKind, signal};

use self::{clients::ClientsFile, http::Http};
use crate::{
    config::Named,
    listener::{
        GRACE, Listener, Stop, TlsFiles, descriptors, ready,
        systemd::{self, Passed, State, notify},
    },
};

/// How often it is written down who binds how.
const WRITE: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  flext-ldap proxy --config production.yaml --listen ldap://127.0.0.1:3389
  flext-ldap proxy --config ldap.yaml --listen ldaps://[::] --tls-cert chain.pem --tls-key key.pem
  flext-ldap proxy clients --config production.yaml

Signals:
  SIGHUP           read the certificate again, and open logs again; all else is used after a restart
  SIGTERM, SIGINT  stop: what is under way has 5 seconds to end; a second one stops at once";

/// Arguments of `proxy`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List who binds how, from where, with which TLS, and what they search by: from the file the proxy writes
    Clients(clients::Arguments),
}

#[derive(Debug, clap::Args)]
struct Serve {
    #[command(flatten)]
    named: Named,
    /// Where to listen: ldap://HOST:PORT, ldaps://HOST:PORT, ldapi://PATH with `/` as `%2F`; port 0 takes a free one
    #[arg(long, value_name = "URL")]
    listen: Vec<LdapUrl>,
    /// Certificate chain (PEM), for ldaps and StartTLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Write a line for each operation to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Some(Command::Clients(arguments)) => arguments.run(),
            None => self.serve.run(),
        }
    }
}

/// A proxy that serves: what SIGHUP is about.
struct Served {
    tls: Option<TlsFiles>,
    server: Server,
    stack: Stack,
    reopen: Reopen,
}

impl Serve {
    fn run(self) -> anyhow::Result<ExitCode> {
        // Taken while there is one thread: the variables that name them are unset.
        let passed = systemd::passed()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(self.serve(passed));
        // A name that the resolver still looks for must not keep it.
        runtime.shutdown_background();
        result
    }

    /// The configuration with what was said on the command line.
    fn config(&self) -> anyhow::Result<Config> {
        let mut config = self.named.read()?;
        let proxy = &mut config.proxy;
        if !self.listen.is_empty() {
            proxy.listen.clone_from(&self.listen);
        }
        if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
            proxy.tls = Some((certificate.clone(), key.clone()));
        }
        if self.access_log.is_some() {
            proxy.access_log.clone_from(&self.access_log);
        }
        Ok(config)
    }

    async fn serve(self, passed: Vec<Passed>) -> anyhow::Result<ExitCode> {
        // Heard from the first moment.
        let mut stop = Stop::new()?;
        let mut hangup = signal(SignalKind::hangup())?;
        let config = self.config()?;
        let settings = config.proxy.clone();
        Listener::must_listen(&settings.listen, &passed)?;
        let files = settings.tls.clone().map(|(certificate, key)| TlsFiles {
            certificate,
            key,
            client_authorities: None,
        });
        let tls = files.as_ref().map(TlsFiles::load).transpose()?;
        let clients = Clients::default();
        let file = settings.clients_file.clone().map(|path| ClientsFile::open(path, &clients)).transpose()?;
        crate::traces::begin(Some(&config.observability));
        let stack = stack(&config, &settings)?;
        let reopen = Reopen::default();
        let server = start(&settings, &stack, clients, tls, passed, &reopen).await?;
        let http = match settings.http_listen {
            Some(address) => Some(Http::start(address, stack.clone()).await?),
            None => None,
        };
        for url in server.urls() {
            crate::say(format_args!("listening on {url}"));
        }
        if let Some(http) = &http {
            crate::say(format_args!("metrics and health on http://{}", http.address()));
        }
        let served = Served { tls: files, server, stack, reopen };
        notify(&ready(&served.server));
        let mut write = tokio::time::interval(WRITE);
        loop {
            tokio::select! {
                () = stop.wait() => break,
                _ = hangup.recv() => tokio::task::block_in_place(|| served.reload()),
                _ = write.tick(), if file.is_some() => keep(file.as_ref()),
            }
        }
        notify(&State::Stopping);
        let Served { server, stack, .. } = served;
        let end = async {
            server.shutdown(GRACE).await;
            stack.shutdown(Deadline::after(Duration::from_secs(1))).await;
            if let Some(http) = http {
                http.shutdown().await;
            }
        };
        tokio::select! {
            () = end => {}
            () = stop.wait() => crate::say(format_args!("a second signal: stopped at once")),
        }
        keep(file.as_ref());
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes down who binds how.
fn keep(file: Option<&ClientsFile>) {
    let Some(file) = file else { return };
    if let Err(error) = tokio::task::block_in_place(|| file.write()) {
        crate::say(format_args!("warning: who binds how is not written down: {error:#}"));
    }
}

/// What is behind the proxy.
fn stack(config: &Config, settings: &ProxySettings) -> anyhow::Result<Stack> {
    let stack = config.stack().users(settings.conversations, settings.binds);
    let stack = match &settings.account {
        Some(account) => stack.account(account)?,
        None => stack,
    };
    Ok(stack.build()?)
}

async fn start(
    settings: &ProxySettings,
    stack: &Stack,
    clients: Clients,
    tls: Option<ServerTls>,
    passed: Vec<Passed>,
    reopen: &Reopen,
) -> anyhow::Result<Server> {
    let proxy = Proxy::builder(stack.clone())
        .keep_passwords(settings.keep_passwords)
        .proxied_authorization(settings.proxied_authorization)
        .anonymous(settings.conversations / 4)
        .clients(clients)
        .build();
    let mut limits = ServerLimits { connections: settings.sessions, ..ServerLimits::default() };
    // One for the client, and one for its conversation.
    descriptors::provide(&mut limits, "proxy.sessions", 2);
    limits.connections_per_address =
        Some(settings.sessions_per_address.unwrap_or_else(|| limits.connections.div_ceil(2)));
    let server = Server::builder(Arc::new(proxy)).limits(limits);
    let access_log = settings.access_log.as_deref();
    Listener { urls: &settings.listen, passed, tls, access_log }.start(server, reopen).await
}

impl Served {
    /// Reads the certificate again, and opens logs again. What is faulty changes nothing.
    fn reload(&self) {
        notify(&State::Reloading);
        self.reopen.ask();
        self.stack.reopen_logs();
        match self.tls.as_ref().map(TlsFiles::load).transpose() {
            Ok(tls) => {
                if let Some(tls) = tls {
                    self.server.set_tls(tls);
                }
                crate::say(format_args!("certificate and logs were opened again"));
            }
            Err(error) => crate::say(format_args!("the certificate stays as it was: {error:#}")),
        }
        notify(&ready(&self.server));
    }
}
