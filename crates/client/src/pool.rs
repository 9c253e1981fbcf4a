//! A pool: the connections to one server, opened, shared, checked, replaced and closed without anybody asking.

mod account;
mod binds;
mod check;
mod keeper;
mod opening;
mod recovery;
mod reply;
mod seats;
mod shared;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use flext_ldap_directory::{
    BindReply, BindStep, BoxFuture, Deadline, Directory, Error, ErrorKind, Layer, Layered, Peer, Reply,
    Request, Session, Sessions, proto::dn::Dn,
};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

pub use self::{account::SharedAccount, opening::CredentialsSource};
use self::{
    binds::Binds,
    check::Check,
    keeper::Keeper,
    opening::Opener,
    seats::{Class, Rules},
    shared::{Lease, Settings, Shared},
};
use crate::{Connection, Connector, Server};

/// How long connections may take to say goodbye when a pool is shut down: what one takes at most, and a little more.
const GOODBYE: Duration = Duration::from_millis(2_500);

/// The connections to one server.
///
/// ```no_run
/// use std::time::Duration;
///
/// use flext_ldap_client::{Connector, Credentials, Pool, Server, TlsOptions};
/// use flext_ldap_directory::{
///     Actor, BindReply, BindStep, Deadline, DirectoryExt, Request,
///     proto::message::{Scope, Search},
/// };
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let connector = Connector::builder()
///     .ldaps(TlsOptions::new())
///     .address("ldap.harbourlane.example", 636)
///     .credentials(Credentials::simple("cn=reader,dc=harbourlane,dc=example", "a password"))
///     .build()?;
/// let pool = Pool::builder(connector).max(4).build()?;
///
/// // Any number of tasks may ask at once.
/// let maja = Search::new("dc=harbourlane,dc=example".parse()?, Scope::Subtree, "(uid=maja)".parse()?);
/// let maja = pool.search_one(Request::new(maja, Actor::Service)).await?;
///
/// // A user's password goes over connections of its own.
/// let step = BindStep::simple(maja.dn_str(), "her password".into());
/// let is_maja = matches!(pool.bind(step, Deadline::after(Duration::from_secs(5))).await?, BindReply::Done { .. });
///
/// println!("{is_maja}, {:?}", pool.stats());
/// pool.shutdown(Deadline::after(Duration::from_secs(5))).await;
/// # Ok(())
/// # }
/// ```
///
/// It is cheap to clone; all clones are one pool.
///
/// # Operations
///
/// Many operations share a connection. One goes onto the open connection with the fewest in flight; when even that has
/// [several](PoolBuilder::busy), one more is opened. Since a result that nobody reads holds back its neighbours, searches
/// that may bring much (not of one entry, and without a [small size limit](PoolBuilder::short)) get connections where
/// nothing else is, of all but one; only when there are no more of those do they share with others like them, until they
/// have shown to be long. So a lookup costs least when it says how much it wants: by
/// [`search_one`](flext_ldap_directory::DirectoryExt::search_one), a size limit, or the scope of its base. A search that
/// stays (a persistent search), pages, or has a control this library does not know has a connection to itself.
///
/// Operations act with the rights of the pool's own credentials: [`Actor::Service`](flext_ldap_directory::Actor::Service),
/// or the user these are of. Service connections are never bound anew.
///
/// An operation that finds no connection waits for one: in order, at most [`acquire`](PoolBuilder::acquire) long and not
/// beyond its deadline, and at most [so many](PoolBuilder::waiting) at a time. When none can be opened and none is open, it
/// fails at once with why: [`ErrorKind::Unreachable`], mostly. The pool retries nothing: whoever has several servers can do
/// better, and what an operation's failure means stands in its [`Error::applied`].
///
/// # Connections
///
/// They are checked when they are new, before use when they were idle for long, after an answer or error that does not look well, and
/// now and then; a check reads the root DSE, or [an entry](PoolBuilder::check_entry). One that has ended, or fails its check,
/// is replaced by a new one, and idle ones are looked at before they are used again. Before a write is put onto a
/// connection that was idle, its socket is looked at, since a write that is lost may have been applied.
///
/// While the server refuses the pool's own credentials they are read again every five seconds
/// ([`credentials_from`](PoolBuilder::credentials_from)), and sent again when they have changed; unchanged they are sent once
/// more after five seconds, and then only after half an hour, an hour, and every two hours: directories lock accounts by
/// failures within half an hour or less.
///
/// # Users
///
/// [`bind`](Self::bind) and the conversations of [`Sessions::open`] use connections that no operation of the program
/// itself was or will be sent on. They are kept for a minute after a bind. Where somebody was bound in a conversation,
/// its connection is kept only after an anonymous bind on it has succeeded; where something is still under way on it, not
/// at all. A conversation refuses [`Actor::Service`](flext_ldap_directory::Actor::Service).
///
/// # The end
///
/// [`shutdown`](Server::shutdown) lets operations end, closes all connections and waits for that. Dropping the last handle
/// ends the pool's task at once, fails who waits for a connection, and closes each connection when the last
/// operation on it has ended.
#[derive(Clone)]
pub struct Pool(Arc<Keep>);

/// What all handles share; dropped with the last of them.
struct Keep {
    shared: Arc<Shared>,
    binds: Arc<Binds>,
    /// Dropping it ends the keeper.
    stop: Mutex<Option<oneshot::Sender<()>>>,
    keeper: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

/// Collects what a [`Pool`] needs to know.
#[must_use = "call `build` to get the pool"]
pub struct PoolBuilder {
    connector: Connector,
    source: Option<SharedAccount>,
    min: usize,
    max: usize,
    busy: usize,
    short: u32,
    waiting: usize,
    acquire: Duration,
    idle: Duration,
    age: Duration,
    check: Check,
    checks_new: bool,
    check_every: Duration,
    check_after: Duration,
    binds: usize,
    conversations: usize,
}

impl PoolBuilder {
    /// Service connections that are kept open, if they can be. 1.
    pub const fn min(mut self, connections: usize) -> Self {
        self.min = connections;
        self
    }

    /// Service connections at most, at least 1. 8.
    pub fn max(mut self, connections: usize) -> Self {
        self.max = connections.max(1);
        self
    }

    /// Operations in flight on the least loaded connection from which on one more is opened, at least 1. 8: servers
    /// work on a few operations of one connection at a time (389-ds on 5, Active Directory on 20).
    pub fn busy(mut self, operations: usize) -> Self {
        self.busy = operations.max(1);
        self
    }

    /// Entries a search may ask for and still count as a lookup, which shares a connection with others. 100.
    pub const fn short(mut self, entries: u32) -> Self {
        self.short = entries;
        self
    }

    /// Operations that may wait for a connection at a time, and callers that may wait for a bind or a conversation;
    /// more are refused with [`ErrorKind::Overloaded`]. 1,024.
    pub const fn waiting(mut self, operations: usize) -> Self {
        self.waiting = operations;
        self
    }

    /// How long an operation waits for a connection at most, if its deadline is not earlier. 5 s.
    pub const fn acquire(mut self, time: Duration) -> Self {
        self.acquire = time;
        self
    }

    /// How long a connection beyond [`min`](Self::min) is kept without use, give or take a tenth. 10 minutes.
    pub const fn idle(mut self, time: Duration) -> Self {
        self.idle = time;
        self
    }

    /// After what time a connection is replaced, give or take a tenth, one at a time. An hour, so that load follows
    /// changes of names and of what is behind them.
    pub const fn age(mut self, time: Duration) -> Self {
        self.age = time;
        self
    }

    /// Checks connections by reading this entry, which must be there. The root DSE, for which any answer will do.
    pub fn check_entry(mut self, entry: Dn) -> Self {
        self.check.entry = Some(entry);
        self
    }

    /// How long the answer to a check may take. 2 s.
    pub const fn check_timeout(mut self, time: Duration) -> Self {
        self.check.timeout = time;
        self
    }

    /// Takes new connections as they are, without a check: where the first operation comes at once, and tells as much.
    pub const fn trust_new(mut self) -> Self {
        self.checks_new = false;
        self
    }

    /// How often a connection that is not used is checked, give or take a tenth. A minute.
    pub const fn check_every(mut self, time: Duration) -> Self {
        self.check_every = time;
        self
    }

    /// After what time without use a connection is checked before it is used. 30 s.
    pub const fn check_after(mut self, time: Duration) -> Self {
        self.check_after = time;
        self
    }

    /// Binds of users at a time, at least 1, and connections that are kept for them. 8: a bind costs a server much, a
    /// queue here costs nobody anything.
    pub fn binds(mut self, binds: usize) -> Self {
        self.binds = binds.max(1);
        self
    }

    /// Conversations at a time, at least 1. 64.
    pub fn conversations(mut self, conversations: usize) -> Self {
        self.conversations = conversations.max(1);
        self
    }

    /// Binds service connections with what this says, in place of the connector's credentials: a rotated secret is found
    /// without a restart.
    pub fn credentials_from(self, source: impl CredentialsSource) -> Self {
        self.account(&SharedAccount::new(source))
    }

    /// Binds service connections as this account in place of the connector's credentials, which pools of other servers do
    /// too: what one of them refuses is not sent to all.
    pub fn account(mut self, account: &SharedAccount) -> Self {
        self.source = Some(account.clone());
        self
    }

    /// The pool. It begins to open [`min`](Self::min) connections at once; [`Pool::ready`] waits for them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misuse`]: the connector has several servers, which is what sets of pools are for; `min` is more than
    /// `max`; or this is not called on a tokio runtime.
    pub fn build(self) -> Result<Pool, Error> {
        let misuse = |message: String| Error::new(ErrorKind::Misuse, message);
        let Some(server) = self.connector.only_server() else {
            return Err(misuse(
                "a pool is of one server, and this connector has several: make a pool of each".into(),
            ));
        };
        if self.min > self.max {
            let (min, max) = (self.min, self.max);
            return Err(misuse(format!(
                "the pool is to keep {min} connections open and to have at most {max}"
            )));
        }
        let runtime = Handle::try_current()
            .map_err(|error| misuse("a pool is built on a tokio runtime".into()).with_source(error))?;
        let settings = Settings {
            min: self.min,
            rules: Rules { max: self.max, busy: self.busy, room: self.connector.most_in_flight() },
            short: self.short,
            waiting: self.waiting,
            acquire: self.acquire,
            idle: self.idle,
            age: self.age,
            check: self.check.clone(),
            check_every: self.check_every,
            check_after: self.check_after,
        };
        if let Some(account) = &self.source {
            account.join();
        }
        let shared = Arc::new(Shared::new(server.clone(), settings));
        let binds =
            Arc::new(Binds::new(self.connector.clone(), Arc::clone(&shared), self.binds, self.conversations));
        let opener = Opener {
            connector: self.connector,
            source: self.source,
            server,
            check: self.checks_new.then_some(self.check),
        };
        let keeper = Keeper { shared: Arc::clone(&shared), binds: Arc::clone(&binds), opener };
        let (stop, stopped) = oneshot::channel();
        let keeper = runtime.spawn(keeper.run(stopped));
        Ok(Pool(Arc::new(Keep {
            shared,
            binds,
            stop: Mutex::new(Some(stop)),
            keeper: tokio::sync::Mutex::new(Some(keeper)),
        })))
    }
}

impl Pool {
    /// Begins with how to reach the server. The connector's credentials are those of the service connections.
    pub fn builder(connector: Connector) -> PoolBuilder {
        PoolBuilder {
            connector,
            source: None,
            min: 1,
            max: 8,
            busy: 8,
            short: 100,
            waiting: 1_024,
            acquire: Duration::from_secs(5),
            idle: Duration::from_secs(10 * 60),
            age: Duration::from_secs(60 * 60),
            check: Check { entry: None, timeout: Duration::from_secs(2) },
            checks_new: true,
            check_every: Duration::from_secs(60),
            check_after: Duration::from_secs(30),
            binds: 8,
            conversations: 64,
        }
    }

    /// How often a pool sends one and the same password of its service account to a server that refuses it, within `time`.
    /// Held against a directory's threshold it says whether a password that was changed there can lock the account.
    #[must_use]
    pub fn most_refusals_within(time: Duration) -> u32 {
        recovery::refusals_within(time)
    }

    /// Waits until [`min`](PoolBuilder::min) connections are open.
    ///
    /// # Errors
    ///
    /// Why they are not, as soon as one could not be opened; [`ErrorKind::Timeout`] when `by` has passed.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: it changes nothing.
    pub async fn ready(&self, by: Deadline) -> Result<(), Error> {
        let shared = &self.0.shared;
        loop {
            let changed = shared.changed.notified();
            let (_, present) = shared.counters();
            if present.open >= shared.settings.min {
                return Ok(());
            }
            if let Some(obstacle) = shared.obstacle() {
                return Err(obstacle.error(&shared.server));
            }
            if !shared.is_open() {
                return Err(self.over());
            }
            tokio::time::timeout_at(by.instant(), changed).await.map_err(|_| {
                let (open, min) = (present.open, shared.settings.min);
                let message = format!("{open} of {min} connections to {} were open in time", shared.server);
                Error::new(ErrorKind::Timeout, message)
            })?;
        }
    }

    /// Sends one bind of a user, and nothing else: for whoever wants to know whether a password is right.
    ///
    /// It goes over a connection kept for binds. It is sent a second time only if not an octet of it had left the first
    /// time. Controls of the answer (what the password policy says) are in the reply. Nobody can act as the user
    /// afterwards; open a conversation for that ([`Sessions::open`]), and for a SASL mechanism of several steps.
    ///
    /// # Errors
    ///
    /// As [`Session::bind`] of a connection and [`Connector::connect`]; [`ErrorKind::Overloaded`] or
    /// [`ErrorKind::Timeout`] when too many binds are under way; [`ErrorKind::Misuse`] for a mechanism of several steps. A
    /// refusal is no error, but [`BindReply::Refused`].
    ///
    /// # Cancel safety
    ///
    /// Safe, but the bind may have been sent, and count: when the future is dropped, its connection is closed.
    pub async fn bind(&self, step: BindStep, by: Deadline) -> Result<BindReply, Error> {
        self.0.binds.bind(step, by).await
    }

    /// Takes a service connection for a conversation of the program itself: as [`Server::pin`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] when none came free until `by`; else why none could be opened.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn pin(&self, by: Deadline) -> Result<PinnedConnection, Error> {
        match self.0.shared.acquire(Class::Alone, by).await {
            Ok(lease) => Ok(PinnedConnection { lease, layered: None }),
            // Whoever asks for a connection is told why there is none, and not that others have been told.
            Err(error) => {
                let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<Error>());
                Err(cause.cloned().unwrap_or(error))
            }
        }
    }

    /// What there is, and what has happened so far.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let (counters, present) = self.0.shared.counters();
        let (bind_counters, binds) = (self.0.binds.counters(), self.0.binds.present());
        PoolStats {
            open: present.open,
            idle: present.idle,
            in_flight: present.in_flight,
            waiting: present.waiting,
            opened: counters.opened,
            open_failures: counters.open_failures,
            refusals: counters.refusals,
            lost: counters.lost,
            pruned: counters.pruned,
            aged: counters.aged,
            checks: counters.checks,
            check_failures: counters.check_failures,
            waited: counters.waited,
            wait_timeouts: counters.wait_timeouts,
            turned_away: counters.turned_away,
            binds: BindStats {
                idle: binds.idle,
                binding: binds.binding,
                conversations: binds.conversations,
                waiting: binds.waiting,
                binds: bind_counters.binds,
                opened: bind_counters.opened,
                turned_away: bind_counters.turned_away,
            },
        }
    }

    fn over(&self) -> Error {
        let server = &self.0.shared.server;
        Error::new(ErrorKind::Closed, format!("the pool of connections to {server} has been shut down"))
    }
}

/// The state of a [`Pool`] at one instant, and what it has done since it was built.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PoolStats {
    /// Service connections that are open.
    pub open: usize,
    /// Of these, such as have nothing in flight.
    pub idle: usize,
    /// Operations on them.
    pub in_flight: usize,
    /// Operations that wait for a connection.
    pub waiting: usize,
    /// Service connections opened so far.
    pub opened: u64,
    /// Attempts that failed.
    pub open_failures: u64,
    /// Of these, such as were refused for the pool's own credentials.
    pub refusals: u64,
    /// Connections that ended by themselves, or failed their check.
    pub lost: u64,
    /// Connections closed because they were not needed.
    pub pruned: u64,
    /// Connections closed because they were old.
    pub aged: u64,
    /// Checks of connections in use so far.
    pub checks: u64,
    /// Of these, such as failed.
    pub check_failures: u64,
    /// Operations that had to wait for a connection.
    pub waited: u64,
    /// Of these, such as waited in vain.
    pub wait_timeouts: u64,
    /// Operations refused because too many were waiting.
    pub turned_away: u64,
    /// Binds of users.
    pub binds: BindStats,
}

/// The part of [`PoolStats`] about the binds of users, which have connections of their own.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BindStats {
    /// Connections kept for the next bind or conversation.
    pub idle: usize,
    /// Binds under way.
    pub binding: usize,
    /// Conversations open.
    pub conversations: usize,
    /// Callers that wait for one or the other.
    pub waiting: usize,
    /// Binds so far.
    pub binds: u64,
    /// Connections opened so far.
    pub opened: u64,
    /// Callers refused because too many were waiting.
    pub turned_away: u64,
}

impl Directory for Pool {
    fn call(&self, request: Request) -> Reply {
        reply::call(&self.0.shared, request)
    }
}

impl Sessions for Pool {
    /// Opens a conversation on a connection of its own, as nobody. `peer` is not told to the server.
    fn open(&self, _peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        Box::pin(async {
            let by = Deadline::after(Duration::MAX);
            Ok(Box::new(self.0.binds.open(by).await?) as Box<dyn Session>)
        })
    }
}

impl Server for Pool {
    fn name(&self) -> &str {
        &self.0.shared.server
    }

    fn load(&self) -> usize {
        let binds = self.0.binds.present();
        self.0.shared.load() + binds.binding + binds.waiting
    }

    fn check(&self, by: Deadline) -> BoxFuture<'_, Result<(), Error>> {
        let shared = &self.0.shared;
        let check = &shared.settings.check;
        let reply = reply::call(shared, check.request(by));
        Box::pin(check.judge(&shared.server, reply))
    }

    fn pin(&self, by: Deadline) -> BoxFuture<'_, Result<PinnedConnection, Error>> {
        Box::pin(Self::pin(self, by))
    }

    fn shutdown(&self, by: Deadline) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Keep { shared, binds, stop, keeper } = &*self.0;
            shared.stop();
            binds.stop();
            while (shared.is_busy() || binds.is_busy()) && !by.has_passed() {
                tokio::time::sleep(by.remaining().min(Duration::from_millis(10))).await;
            }
            drop(stop.lock().unwrap_or_else(PoisonError::into_inner).take());
            let mut keeper = keeper.lock().await;
            if let Some(handle) = keeper.as_mut()
                && let Err(error) = handle.await
            {
                tracing::debug!(server = shared.server, %error, "the pool's task did not end by itself");
            }
            *keeper = None;
            binds.end_all();
            let mut goodbyes = JoinSet::new();
            for member in shared.clear() {
                goodbyes.spawn(async move { member.connection.close().await });
            }
            // Each has an end of its own; none of them can fail.
            let all = async { while goodbyes.join_next().await.is_some() {} };
            if tokio::time::timeout(GOODBYE, all).await.is_err() {
                tracing::debug!(server = shared.server, "not all connections could say goodbye in time");
            }
        })
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("server", &self.0.shared.server).field("stats", &self.stats()).finish()
    }
}

impl fmt::Debug for PoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("connector", &self.connector)
            .field("min", &self.min)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        self.shared.stop();
        self.binds.stop();
        drop(self.shared.clear());
    }
}

/// A service connection that is nobody else's until it is dropped, and its replies are: see [`Server::pin`].
pub struct PinnedConnection {
    lease: Lease,
    /// The same with layers around it, if there are any.
    layered: Option<Arc<dyn Directory>>,
}

/// A connection that is taken.
struct Taken(Lease);

impl PinnedConnection {
    /// Puts a layer around it.
    pub(crate) fn layered(self, layer: Arc<impl Layer>) -> Self {
        let Self { lease, layered } = self;
        let inner = layered.unwrap_or_else(|| Arc::new(Taken(lease.again())));
        Self { lease, layered: Some(Arc::new(Layered::new(inner, layer))) }
    }

    /// What the server is called that it is of.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.lease.shared().server
    }

    /// What is at its other end.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.lease.member.connection
    }
}

impl Directory for Taken {
    fn call(&self, request: Request) -> Reply {
        reply::call_on(&self.0, request)
    }
}

impl Directory for PinnedConnection {
    fn call(&self, request: Request) -> Reply {
        match &self.layered {
            Some(layered) => layered.call(request),
            None => reply::call_on(&self.lease, request),
        }
    }
}

impl Session for PinnedConnection {
    /// Refused, with [`ErrorKind::Misuse`]: service connections are never bound anew.
    fn bind(&mut self, _step: BindStep, _by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        let refusal = "a service connection is never bound anew: open a conversation (`Sessions::open`), or use `Pool::bind`";
        Box::pin(std::future::ready(Err(Error::new(ErrorKind::Misuse, refusal))))
    }
}

impl fmt::Debug for PinnedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedConnection").field("lease", &self.lease).finish_non_exhaustive()
    }
}
