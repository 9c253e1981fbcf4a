//! The servers: real processes, which can be killed, stopped, and started again.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, ensure};
use flext_ldap_client::{Connector, Credentials};
use flext_ldap_directory::proto::secret::Secret;
use flext_ldap_lab::{DEFAULT_SUFFIX, NsSlapd, Slapd, SlapdOptions};
use flext_ldap_store::{Store, StoreOptions};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Slapd,
    Ds389,
    Ours,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Slapd, Self::Ds389, Self::Ours];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Slapd => "slapd",
            Self::Ds389 => "389-ds",
            Self::Ours => "ours",
        }
    }
}

/// A server that runs, or has been killed.
pub(crate) enum Target {
    Slapd(Box<Slapd>),
    Ds389(Box<NsSlapd>),
    Ours(Ours),
}

impl Target {
    pub(crate) fn start(kind: Kind) -> anyhow::Result<Self> {
        Ok(match kind {
            Kind::Slapd => {
                let options = SlapdOptions { log_operations: false, ..SlapdOptions::default() };
                Self::Slapd(Box::new(Slapd::start(options)?))
            }
            Kind::Ds389 => Self::Ds389(Box::new(NsSlapd::start()?)),
            Kind::Ours => Self::Ours(Ours::start()?),
        })
    }

    /// Two of a kind, which start at the same time.
    pub(crate) fn start_both(kind: Kind) -> anyhow::Result<(Self, Self)> {
        thread::scope(|scope| {
            let other = scope.spawn(|| Self::start(kind));
            let one = Self::start(kind)?;
            let other = other.join().map_err(|_| anyhow!("starting a server has panicked"))?;
            Ok((one, other?))
        })
    }

    /// How to get there, as its administrator.
    pub(crate) fn connector(&self) -> anyhow::Result<Connector> {
        let url = match self {
            Self::Slapd(slapd) => slapd.ldap_url(),
            Self::Ds389(server) => server.ldap_url(),
            Self::Ours(ours) => ours.url(),
        };
        Ok(Connector::builder().clear().url(&url.parse()?).credentials(self.administrator()).build()?)
    }

    /// Who may do everything, the same at each server of a kind.
    pub(crate) fn administrator(&self) -> Credentials {
        match self {
            Self::Slapd(slapd) => Credentials::simple(slapd.root_dn(), slapd.root_password()),
            Self::Ds389(server) => Credentials::simple(server.root_dn(), server.root_password()),
            Self::Ours(_) => Credentials::simple(ADMINISTRATOR, PASSWORD),
        }
    }

    fn pid(&self) -> u32 {
        match self {
            Self::Slapd(slapd) => slapd.pid(),
            Self::Ds389(server) => server.pid(),
            Self::Ours(ours) => ours.child.id(),
        }
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.pid())?), signal)?)
    }

    /// From now on it does nothing, and its connections stay open.
    pub(crate) fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    pub(crate) fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Slapd(slapd) => slapd.kill(),
            Self::Ds389(server) => server.kill(),
            Self::Ours(ours) => ours.kill(),
        }
    }

    /// Starts it again on its data and port, after an orderly end if it runs, and waits until it answers.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Slapd(slapd) => slapd.restart(),
            Self::Ds389(server) => server.restart(),
            Self::Ours(ours) => ours.restart(),
        }
    }
}

const ADMINISTRATOR: &str = "cn=admin,dc=harbourlane,dc=example";
const PASSWORD: &str = "harbour-master";

/// The embedded directory in a process of its own.
pub(crate) struct Ours {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Ours {
    fn start() -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("outage-")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Self { child: spawn(folder.path(), port)?, folder, port })
    }

    fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// An orderly end, and a start on the same data and port.
    fn restart(&mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        self.child.wait()?;
        self.child = spawn(self.folder.path(), self.port)?;
        Ok(())
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            #[expect(clippy::print_stderr, reason = "a drop has no other way to report")]
            {
                eprintln!("a server may still run: {error:#}");
            }
        }
    }
}

/// This program again, as a server; returns when it answers.
fn spawn(folder: &Path, port: u16) -> anyhow::Result<Child> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("serve")
        .arg(folder)
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .spawn()
        .context("the server cannot be started")?;
    let until = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if let Some(status) = child.try_wait()? {
            anyhow::bail!("the server has ended: {status}");
        }
        ensure!(Instant::now() < until, "the server does not listen after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(child)
}

/// What that process does until it is told to end.
pub(crate) async fn serve(folder: &Path, port: u16) -> anyhow::Result<()> {
    let options = StoreOptions::folder(folder)
        .suffix(DEFAULT_SUFFIX.parse()?)
        .administrator(ADMINISTRATOR.parse()?, Secret::from(PASSWORD));
    let store = Store::open(options)?;
    let url = format!("ldap://127.0.0.1:{port}").parse()?;
    let server = flext_ldap_server::Server::builder(Arc::new(store.clone())).listen(url).start().await?;
    // Its input ends when it is to end, and with the program that started it.
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    server.shutdown(Duration::from_secs(1)).await;
    store.close();
    Ok(())
}
