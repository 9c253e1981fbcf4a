//! The server: what to listen on and how, and its end.

use std::{fmt, sync::Arc, time::Duration};

use flext_ldap_directory::Sessions;
use flext_ldap_proto::url::{LdapUrl, Scheme};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use crate::{
    AccessLog, Monitor, ServerLimits, ServerTls, StartError,
    accept::{Settled, Shared, accept},
    listen::{Listener, Passed},
};

/// A server that listens. Dropping it ends it at once; [`shutdown`](Self::shutdown) ends it in order.
#[must_use = "the server ends when it is dropped"]
pub struct Server {
    settled: Arc<Settled>,
    urls: Vec<LdapUrl>,
    stop: watch::Sender<Option<Instant>>,
    tasks: Vec<JoinHandle<()>>,
}

/// How a server will listen.
#[must_use = "nothing listens before `start`"]
pub struct ServerBuilder {
    sessions: Arc<dyn Sessions>,
    urls: Vec<LdapUrl>,
    passed: Vec<Passed>,
    monitor: Option<Monitor>,
    tls: Option<ServerTls>,
    limits: ServerLimits,
    access_log: Option<Box<dyn AccessLog>>,
    socket_mode: u32,
}

impl Server {
    /// A server in front of `sessions`.
    pub fn builder(sessions: Arc<dyn Sessions>) -> ServerBuilder {
        ServerBuilder {
            sessions,
            urls: Vec::new(),
            passed: Vec::new(),
            monitor: None,
            tls: None,
            limits: ServerLimits::default(),
            access_log: None,
            socket_mode: 0o600,
        }
    }

    /// Says of each of these addresses why it cannot be listened on, or nothing where it can: all are listened on together,
    /// for a moment, and nothing is answered. Sockets that processes have left behind stay; a start removes them.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, nothing listens.
    pub async fn probe(urls: &[LdapUrl]) -> Vec<Option<StartError>> {
        let mut listening = Vec::with_capacity(urls.len());
        let mut told = Vec::with_capacity(urls.len());
        for url in urls {
            let probed = Listener::probe(url).await;
            told.push(probed.map(|listener| listening.push(listener)).err());
        }
        told
    }

    /// Where it listens, in the order asked for: with the ports as they turned out.
    #[must_use]
    pub fn urls(&self) -> &[LdapUrl] {
        &self.urls
    }

    /// Connections open at present.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.settled.get().core.open()
    }

    /// Offers this certificate to the connections that come. Those that are open keep theirs.
    pub fn set_tls(&self, tls: ServerTls) {
        self.settled.change(|shared| shared.tls = Some(tls));
    }

    /// Holds the connections that come to these limits. Those that are open keep theirs.
    pub fn set_limits(&self, limits: ServerLimits) {
        self.settled.change(|shared| shared.limits = limits);
    }

    /// Stops listening, lets operations under way finish for as long as `grace`, sends every peer a Notice of
    /// Disconnection (`unavailable`, RFC 4511 §4.4.1), closes, and waits for all tasks: at most a second longer than
    /// `grace`.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, the server ends at once.
    pub async fn shutdown(mut self, grace: Duration) {
        let now = Instant::now();
        let until = now.checked_add(grace).unwrap_or(now);
        self.stop.send_replace(Some(until));
        for task in &mut self.tasks {
            if let Err(error) = task.await
                && error.is_panic()
            {
                tracing::error!(%error, "the task of a listener panicked");
            }
        }
        self.tasks.clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The task of a listener owns the tasks of its connections.
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl ServerBuilder {
    /// Listens here too: `ldap://host:port`, `ldaps://host:port` or `ldapi://path`, with the path percent-encoded.
    /// Without a host on all addresses; port 0 takes a free port.
    pub fn listen(mut self, url: LdapUrl) -> Self {
        self.urls.push(url);
        self
    }

    /// Listens on this socket too, which somebody else has made and keeps: a service manager. `tls`: whether connections
    /// begin with a handshake (ldaps).
    pub fn listen_on_tcp(mut self, socket: std::net::TcpListener, tls: bool) -> Self {
        self.passed.push(Passed::Tcp { socket, tls });
        self
    }

    /// Listens on this Unix socket too, which somebody else has made and keeps. Its file is left alone.
    pub fn listen_on_unix(mut self, socket: std::os::unix::net::UnixListener) -> Self {
        self.passed.push(Passed::Unix(socket));
        self
    }

    /// Shows what the server knows of itself below `cn=Monitor`.
    pub fn monitor(mut self, monitor: Monitor) -> Self {
        self.monitor = Some(monitor);
        self
    }

    /// Offers StartTLS, and is needed for `ldaps://`.
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// What peers may cost.
    pub fn limits(mut self, limits: ServerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Tells every connection and operation to `log`.
    pub fn access_log(mut self, log: impl AccessLog) -> Self {
        self.access_log = Some(Box::new(log));
        self
    }

    /// The file mode of Unix sockets: 0600 unless set, so that only the same user can connect. Who may do what is
    /// decided by the directory, so 0666 (what other servers use) is fine where other users of the machine should.
    pub fn socket_mode(mut self, mode: u32) -> Self {
        self.socket_mode = mode;
        self
    }

    /// Starts listening.
    ///
    /// # Errors
    ///
    /// When no address is given, one of them cannot be had, or `ldaps://` is asked for without a certificate. Then
    /// nothing listens.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, nothing listens.
    pub async fn start(self) -> Result<Server, StartError> {
        let Self { sessions, urls, passed, monitor, tls, limits, access_log, socket_mode } = self;
        if urls.is_empty() && passed.is_empty() {
            return Err(StartError::NoAddress);
        }
        let mut listeners = Vec::with_capacity(urls.len());
        for url in &urls {
            if url.scheme == Scheme::Ldaps && tls.is_none() {
                return Err(StartError::NoCertificate(url.clone().into()));
            }
            listeners.push(Listener::bind(url, socket_mode).await?);
        }
        for passed in passed {
            let listener = Listener::passed(passed)?;
            if listener.tls && tls.is_none() {
                return Err(StartError::NoCertificate(listener.url.into()));
            }
            listeners.push(listener);
        }
        let mut shared = Shared::new(sessions, limits, tls, access_log.map(Arc::from));
        shared.monitor = monitor.map(Arc::new);
        let settled = Arc::new(Settled::new(shared));
        let (stop, stopped) = watch::channel(None);
        let urls = listeners.iter().map(|listener| listener.url.clone()).collect();
        let tasks = listeners
            .into_iter()
            .map(|listener| tokio::spawn(accept(settled.clone(), listener, stopped.clone())))
            .collect();
        Ok(Server { settled, urls, stop, tasks })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("urls", &self.urls).finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder").field("urls", &self.urls).finish_non_exhaustive()
    }
}
