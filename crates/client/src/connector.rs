//! How to reach a server, and opening connections to it.

use std::{fmt, future::Future, path::PathBuf, sync::Arc, time::Duration};

use flext_ldap_directory::{
    Applied, BindReply, BoxFuture, Deadline, Error, ErrorKind, Peer, Session, Sessions,
    proto::{
        control::{ControlValue, Controls},
        message::Limits,
        url::{LdapUrl, Scheme},
    },
};
use tokio::net::UnixStream;

use crate::{
    Connection, Credentials, SharedAccount, TlsOptions, connection::Bounds, dial, exposure::Exposure,
    gather::GatheringTcp, start_tls, tls::Tls, trace, trace::Step, transport::Transport,
};

/// Where OpenLDAP's server listens for `ldapi:///`.
const DEFAULT_SOCKET: &str = "/var/run/slapd/ldapi";

/// Opens connections to a server, or to the first of several that answers.
///
/// Cloning is cheap.
#[derive(Clone)]
pub struct Connector(Arc<Inner>);

struct Inner {
    security: Security,
    dangerous_clear_passwords: bool,
    servers: Vec<Server>,
    timeout: Duration,
    credentials: Credentials,
    bind_controls: Controls,
    bounds: Bounds,
}

enum Security {
    Ldaps(Tls),
    StartTls(Tls),
    Clear,
}

#[derive(Clone, Debug)]
enum Server {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// The first decision about a connector: what protects the way to the server.
#[derive(Debug)]
#[must_use = "call `ldaps`, `start_tls` or `clear`"]
pub struct WantsSecurity(());

impl WantsSecurity {
    /// TLS from the first octet on.
    pub fn ldaps(self, tls: TlsOptions) -> ConnectorBuilder {
        ConnectorBuilder::new(Choice::Ldaps(tls))
    }

    /// TLS after the StartTLS operation (RFC 4511 §4.14). A server that refuses it is not talked to.
    pub fn start_tls(self, tls: TlsOptions) -> ConnectorBuilder {
        ConnectorBuilder::new(Choice::StartTls(tls))
    }

    /// No TLS. Everybody on the way can read and change everything.
    ///
    /// Passwords are still not sent in clear, but over a Unix socket or to a loopback address: everywhere else they
    /// are refused with [`ErrorKind::Confidentiality`] before an octet of them leaves.
    pub fn clear(self) -> ConnectorBuilder {
        ConnectorBuilder::new(Choice::Clear)
    }
}

#[derive(Clone, Debug)]
enum Choice {
    Ldaps(TlsOptions),
    StartTls(TlsOptions),
    Clear,
}

/// Collects what a [`Connector`] needs to know.
#[derive(Clone, Debug)]
#[must_use = "call `build` to get the connector"]
pub struct ConnectorBuilder {
    security: Choice,
    dangerous_clear_passwords: bool,
    servers: Vec<Server>,
    /// The first URL whose scheme and the security above contradict each other.
    contradiction: Option<&'static str>,
    timeout: Duration,
    credentials: Credentials,
    bind_controls: Controls,
    bounds: Bounds,
}

impl ConnectorBuilder {
    fn new(security: Choice) -> Self {
        Self {
            security,
            dangerous_clear_passwords: false,
            servers: Vec::new(),
            contradiction: None,
            timeout: Duration::from_secs(10),
            credentials: Credentials::Anonymous,
            bind_controls: Controls::none(),
            bounds: Bounds::DEFAULT,
        }
    }

    /// Adds the server of this URL. Servers are tried in the order they are added.
    ///
    /// The URL does not decide about security: `ldaps:` asks for [`ldaps`](WantsSecurity::ldaps), `ldap:` for one of
    /// the others, and a contradiction fails the [`build`](Self::build). Without a host it means this machine.
    pub fn url(mut self, url: &LdapUrl) -> Self {
        let is_ldaps = matches!(self.security, Choice::Ldaps(_));
        let contradiction = match url.scheme {
            Scheme::Ldapi => None,
            Scheme::Ldaps if !is_ldaps => Some("an `ldaps:` URL goes with `Connector::builder().ldaps(..)`"),
            Scheme::Ldap if is_ldaps => {
                Some("an `ldap:` URL does not go with `Connector::builder().ldaps(..)`")
            }
            _ => None,
        };
        self.contradiction = self.contradiction.or(contradiction);
        match url.scheme {
            Scheme::Ldapi if url.host.is_empty() => self.socket(DEFAULT_SOCKET),
            Scheme::Ldapi => self.socket(url.host.as_str()),
            _ if url.host.is_empty() => self.address("localhost", url.port()),
            _ => self.address(url.host.as_str(), url.port()),
        }
    }

    /// Adds a server by host name or address. Of several addresses behind a name the quickest is used (RFC 8305).
    pub fn address(mut self, host: impl Into<String>, port: u16) -> Self {
        self.servers.push(Server::Tcp { host: host.into(), port });
        self
    }

    /// Adds a server by the path of its Unix socket. It does not leave the machine, so TLS is not used on it, whatever
    /// was said.
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.servers.push(Server::Unix(path.into()));
        self
    }

    /// How long opening a connection may take: name resolution, connecting, TLS and bind together. 10 s.
    ///
    /// With several servers each gets an equal share of what is left when its turn comes.
    pub const fn connect_timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// Binds every new connection so.
    pub fn credentials(mut self, credentials: impl Into<Credentials>) -> Self {
        self.credentials = credentials.into();
        self
    }

    /// Sends this with every bind, as what may be ignored: a
    /// [`PasswordPolicyRequest`](flext_ldap_directory::proto::control::PasswordPolicyRequest), for one. The answer is in
    /// [`Connection::bind_outcome`], or in the error of a bind that was refused.
    pub fn bind_control<C: ControlValue>(mut self, control: &C) -> Self {
        self.bind_controls = self.bind_controls.optional(control);
        self
    }

    /// What is taken from the server; a larger message ends the connection. Messages of 20 MiB.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.bounds.limits = limits;
        self
    }

    /// Operations in flight on one connection, 1 to 4,096; more wait for their turn, within their deadline. 1,024.
    pub fn in_flight(mut self, operations: usize) -> Self {
        self.bounds.in_flight = operations.clamp(1, Bounds::MOST_IN_FLIGHT);
        self
    }

    /// Octets received for one operation and not read by its caller, from which on the connection is not read. 1 MiB.
    ///
    /// One operation can hold this much, and what one read brings on top: at most 256 KiB or one message. The memory
    /// it keeps is at most eight times that, where the server sends its answers in many small pieces.
    pub const fn unread(mut self, octets: usize) -> Self {
        self.bounds.unread = octets;
        self
    }

    /// Asks the server to cancel a write whose deadline passes (RFC 3909), and waits for what becomes of it for at most
    /// this long beyond the deadline: the write's own answer, that it was cancelled, which is certain not to have been
    /// applied, or nothing, which leaves its outcome unknown. Zero: a late write is given up at once, unknown.
    ///
    /// Servers that do not know Cancel say so, and nothing is lost but the time.
    pub const fn settle_writes(mut self, time: Duration) -> Self {
        self.bounds.settling = time;
        self
    }

    /// Lets passwords out in clear to servers on other machines: everybody on the way can read them.
    pub const fn dangerous_clear_passwords(mut self) -> Self {
        self.dangerous_clear_passwords = true;
        self
    }

    /// The connector. Files named in [`TlsOptions`] are read now, and when they have changed for the next connection.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misuse`]: there is no server, a URL contradicts the security asked for, or a file named in
    /// [`TlsOptions`] is of no use. [`ErrorKind::EmptyPassword`]: the credentials have a name and no password.
    pub fn build(self) -> Result<Connector, Error> {
        if let Some(contradiction) = self.contradiction {
            return Err(Error::new(ErrorKind::Misuse, contradiction));
        }
        if self.servers.is_empty() {
            return Err(Error::new(ErrorKind::Misuse, "no server: add a URL, an address or a socket"));
        }
        self.credentials.check()?;
        let security = match &self.security {
            Choice::Ldaps(options) => Security::Ldaps(options.settle()?),
            Choice::StartTls(options) => Security::StartTls(options.settle()?),
            Choice::Clear => Security::Clear,
        };
        Ok(Connector(Arc::new(Inner {
            security,
            dangerous_clear_passwords: self.dangerous_clear_passwords,
            servers: self.servers,
            timeout: self.timeout,
            credentials: self.credentials,
            bind_controls: self.bind_controls,
            bounds: self.bounds,
        })))
    }
}

impl Connector {
    /// Begins with the one decision that must be made.
    pub fn builder() -> WantsSecurity {
        WantsSecurity(())
    }

    /// Opens a connection to the first server that answers, and binds it if there are credentials.
    ///
    /// Must be called on a tokio runtime: the connection's task runs there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unreachable`], [`ErrorKind::Tls`], [`ErrorKind::Timeout`] or [`ErrorKind::Closed`] when no server
    /// could be talked to; the message says why for each. [`ErrorKind::Rejected`] when the bind was refused: that is
    /// not tried again on the next server, since wrong passwords lock accounts, unless the server was only busy or
    /// unavailable. Nor is a bind that was sent and not answered: then the error is what became of that one. [`ErrorKind::Confidentiality`] when a password would go out in clear; nothing is connected to then.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: when the future is dropped, what was opened is closed.
    pub async fn connect(&self) -> Result<Connection, Error> {
        self.connect_as(&self.0.credentials).await
    }

    /// Opens a connection as [`connect`](Self::connect) does, and binds it with these credentials in place of the
    /// connector's own.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and [`ErrorKind::EmptyPassword`] for credentials with a name and no password.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: when the future is dropped, what was opened is closed.
    pub async fn connect_as(&self, credentials: &Credentials) -> Result<Connection, Error> {
        self.connect_for(None, credentials).await
    }

    /// As [`connect_as`](Self::connect_as), with the credentials of an account that others send, too.
    pub(crate) async fn connect_for(
        &self,
        account: Option<&SharedAccount>,
        credentials: &Credentials,
    ) -> Result<Connection, Error> {
        credentials.check()?;
        let by = Deadline::after(self.0.timeout);
        let mut failures: Vec<Error> = Vec::new();
        let mut left = u32::try_from(self.0.servers.len()).unwrap_or(u32::MAX);
        for server in &self.0.servers {
            let share = by.remaining() / left.max(1);
            left = left.saturating_sub(1);
            match self.0.open(server, account, credentials, Deadline::after(share)).await {
                Ok(connection) => return Ok(connection),
                // The next server may do better; it would not with the same wrong password, which may have been counted
                // where a bind was sent and not answered.
                Err(error)
                    if (!error.is_connection_usable() || error.kind() == ErrorKind::Timeout)
                        && (error.applied() == Applied::No
                            || matches!(credentials, Credentials::Anonymous)) =>
                {
                    failures.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(none_answered(failures))
    }
}

impl Connector {
    /// What its server is called, if there is exactly one.
    pub(crate) fn only_server(&self) -> Option<String> {
        match self.0.servers.as_slice() {
            [server] => Some(server.to_string()),
            _ => None,
        }
    }

    /// Operations that may be in flight on one connection.
    pub(crate) fn most_in_flight(&self) -> usize {
        self.0.bounds.in_flight
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }
}

fn none_answered(mut failures: Vec<Error>) -> Error {
    let message = || failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let combined = match failures.len() {
        0 | 1 => None,
        _ => Some(format!("none of the servers answered: {}", message())),
    };
    match (failures.pop(), combined) {
        (Some(last), Some(message)) => {
            let kind = if last.kind() == ErrorKind::Rejected { ErrorKind::Unreachable } else { last.kind() };
            Error::new(kind, message).with_source(last)
        }
        (Some(only), None) => only,
        (None, _) => Error::new(ErrorKind::Bug, "a connector without servers"),
    }
}

impl Inner {
    /// Opens a connection to one server: everything within one deadline.
    async fn open(
        &self,
        server: &Server,
        account: Option<&SharedAccount>,
        credentials: &Credentials,
        by: Deadline,
    ) -> Result<Connection, Error> {
        let name = server.to_string();
        Step::Open.of(&name, self.open_named(server, &name, credentials, account, by)).await
    }

    async fn open_named(
        &self,
        server: &Server,
        name: &str,
        credentials: &Credentials,
        account: Option<&SharedAccount>,
        by: Deadline,
    ) -> Result<Connection, Error> {
        let (transport, exposure) = self.reach(server, name, credentials, by).await?;
        let mut connection = Connection::start(transport, name.to_owned(), exposure, self.bounds);
        let Some(account) = account else {
            self.sign_in(&mut connection, server, credentials, by).await?;
            return Ok(connection);
        };
        let _turn = account.turn(name, credentials, by).await?;
        match self.sign_in(&mut connection, server, credentials, by).await {
            Ok(()) => account.accepted(credentials),
            Err(error) => {
                account.answered(name, credentials, &error);
                return Err(error);
            }
        }
        Ok(connection)
    }

    async fn sign_in(
        &self,
        connection: &mut Connection,
        server: &Server,
        credentials: &Credentials,
        by: Deadline,
    ) -> Result<(), Error> {
        // Passwords are left out by `Secret`.
        tracing::debug!(?credentials, "binding");
        let reply = match (credentials, credentials.step(&self.bind_controls)) {
            (Credentials::Sasl(sasl), _) => {
                let signed_in = connection.sign_in(server.place(), sasl, &self.bind_controls, by);
                Some(trace::bind(&server.to_string(), signed_in).await?)
            }
            (_, Some(step)) => Some(connection.bind(step, by).await?),
            (_, None) => None,
        };
        if let Some(reply) = reply {
            match reply {
                BindReply::Done { .. } => tracing::debug!("bound"),
                // Dropping the connection says goodbye without waiting, for the time there is may be over.
                BindReply::Refused(outcome) | BindReply::Continue { outcome, .. } => {
                    return Err(Error::rejected(outcome));
                }
            }
        }
        Ok(())
    }

    async fn reach(
        &self,
        server: &Server,
        name: &str,
        credentials: &Credentials,
        by: Deadline,
    ) -> Result<(Transport, Exposure), Error> {
        let (host, port) = match server {
            Server::Tcp { host, port } => (host, *port),
            Server::Unix(path) => {
                let connect = async {
                    UnixStream::connect(path).await.map_err(|error| {
                        let message =
                            format!("the socket {name} cannot be connected to: is the server running?");
                        Error::new(ErrorKind::Unreachable, message).with_source(error)
                    })
                };
                let stream = within(by, name, Step::Connect, connect).await?;
                tracing::debug!(server = name, "connected");
                return Ok((Transport::Unix(stream), Exposure::Guarded));
            }
        };
        let addresses = within(by, name, Step::Resolve, dial::resolve(host, port)).await?;
        tracing::debug!(server = name, ?addresses, "connecting");
        if matches!(self.security, Security::Clear) {
            let shows = credentials.shows_password();
            for address in &addresses {
                Exposure::of_clear(*address, self.dangerous_clear_passwords).check(shows)?;
            }
        }
        let mut stream = within(by, name, Step::Connect, dial::race(addresses, name)).await?;
        tracing::debug!(server = name, address = ?stream.peer_addr().ok(), "connected");
        let tls = match &self.security {
            Security::Clear => {
                let peer = stream.peer_addr().map_err(|error| {
                    Error::new(ErrorKind::Unreachable, format!("{name} closed the connection at once"))
                        .with_source(error)
                })?;
                let exposure = Exposure::of_clear(peer, self.dangerous_clear_passwords);
                return Ok((Transport::Tcp(GatheringTcp::new(stream)), exposure));
            }
            Security::Ldaps(tls) => tls,
            Security::StartTls(tls) => {
                within(by, name, Step::StartTls, start_tls::ask(&mut stream, name)).await?;
                tls
            }
        };
        let stream = within(by, name, Step::Handshake, tls.handshake(stream, host, name)).await?;
        let (_, agreed) = stream.get_ref();
        tracing::debug!(
            server = name,
            version = ?agreed.protocol_version(),
            cipher = ?agreed.negotiated_cipher_suite().map(|suite| suite.suite()),
            "TLS is agreed on"
        );
        Ok((Transport::Tls(Box::new(stream)), Exposure::Guarded))
    }
}

/// Waits for one step of opening a connection, until the deadline of all of them.
async fn within<T>(
    by: Deadline,
    server: &str,
    step: Step,
    future: impl Future<Output = Result<T, Error>> + Send,
) -> Result<T, Error> {
    let in_time = async {
        tokio::time::timeout_at(by.instant(), future).await.unwrap_or_else(|_| {
            let step = step.text();
            let message = format!("no connection to {server} in the time allowed, which ran out at: {step}");
            Err(Error::new(ErrorKind::Timeout, message))
        })
    };
    step.of(server, in_time).await
}

impl Sessions for Connector {
    /// Opens a connection as [`Connector::connect`] does; `peer` is not told to the server.
    fn open(&self, _peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        Box::pin(async { Ok(Box::new(self.connect().await?) as Box<dyn Session>) })
    }
}

impl Server {
    /// The host and port by which mechanisms know it.
    fn place(&self) -> (&str, u16) {
        match self {
            Self::Tcp { host, port } => (host, *port),
            Self::Unix(_) => ("localhost", 389),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("servers", &self.0.servers)
            .field("credentials", &self.0.credentials)
            .finish_non_exhaustive()
    }
}
