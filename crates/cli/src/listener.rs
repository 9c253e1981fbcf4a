//! What everything that listens has in common: sockets of its own and those a service manager passes, TLS, the access log,
//! the signals that end it, and what the service manager hears. What is behind it is the business of who serves.

pub(crate) mod descriptors;
pub(crate) mod systemd;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use flext_ldap::{LogFile, Reopen};
use flext_ldap_directory::proto::url::LdapUrl;
use flext_ldap_server::{LineLog, Server, ServerBuilder, ServerTls, StartError};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::systemd::{Passed, State};

/// How long operations under way have to end once a server stops.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// Where and how a server listens, whatever it serves.
pub(crate) struct Listener<'a> {
    pub(crate) urls: &'a [LdapUrl],
    /// Sockets the service manager listens on already.
    pub(crate) passed: Vec<Passed>,
    pub(crate) tls: Option<ServerTls>,
    /// `-` is standard output.
    pub(crate) access_log: Option<&'a Path>,
}

impl Listener<'_> {
    /// Refuses to serve nobody.
    pub(crate) fn must_listen(urls: &[LdapUrl], passed: &[Passed]) -> anyhow::Result<()> {
        if urls.is_empty() && passed.is_empty() {
            let text = "neither --listen nor `listen` of the configuration says where to listen";
            return Err(anyhow::Error::new(StartError::NoAddress).context(text));
        }
        Ok(())
    }

    /// Has `server` listen. Its log is opened again when `reopen` is asked.
    pub(crate) async fn start(self, mut server: ServerBuilder, reopen: &Reopen) -> anyhow::Result<Server> {
        if let Some(tls) = self.tls {
            server = server.tls(tls);
        }
        if let Some(path) = self.access_log {
            let log = LineLog::new(log_file(path, reopen)?).context("failed to start the access log")?;
            server = server.access_log(log);
        }
        server = self.urls.iter().cloned().fold(server, |server, url| server.listen(url));
        server = self.passed.into_iter().fold(server, |server, passed| match passed {
            Passed::Tcp { socket, tls } => server.listen_on_tcp(socket, tls),
            Passed::Unix(socket) => server.listen_on_unix(socket),
        });
        server.start().await.map_err(|error| {
            let text = match error {
                StartError::NoCertificate(_) => {
                    "neither --tls-cert and --tls-key nor the configuration name a certificate"
                }
                _ => "failed to listen",
            };
            anyhow::Error::new(error).context(text)
        })
    }
}

/// What the service manager hears of a server that listens.
pub(crate) fn ready(server: &Server) -> State {
    let urls: Vec<_> = server.urls().iter().map(ToString::to_string).collect();
    State::Ready(format!("Listening on {}", urls.join(", ")))
}

/// Certificate chain and key (PEM).
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Who issues client certificates.
    pub(crate) client_authorities: Option<PathBuf>,
}

impl TlsFiles {
    pub(crate) fn load(&self) -> anyhow::Result<ServerTls> {
        let Self { certificate, key, client_authorities } = self;
        let read = |path: &Path| fs::read(path).with_context(|| format!("failed to read {}", path.display()));
        let (chain_pem, key_pem) = (read(certificate)?, read(key)?);
        let tls = match client_authorities {
            None => ServerTls::from_pem(&chain_pem, &key_pem),
            Some(path) => ServerTls::with_client_authorities(&chain_pem, &key_pem, &read(path)?),
        };
        tls.with_context(|| format!("failed to use {} and {}", certificate.display(), key.display()))
    }
}

/// What to write an access log to; `-` is standard output.
fn log_file(path: &Path, reopen: &Reopen) -> anyhow::Result<Box<dyn Write + Send>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdout()));
    }
    let file = LogFile::open(path, reopen).with_context(|| format!("failed to open {}", path.display()))?;
    Ok(Box::new(file))
}

/// The signals that end a server.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Listens from now on.
    pub(crate) fn new() -> io::Result<Self> {
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
