//! The composition root: from a configuration to one server that answers, whatever becomes of the servers behind it.
//!
//! Each server has a pool, and around it a breaker, its health, its metrics and its traces. Over them is a set that chooses,
//! and goes on to the next where nothing can have been done. Over that are the time limit, metrics, traces and the audit. Here
//! is nothing that does any of this: those are the crates below, and who needs another arrangement puts them together
//! otherwise.

mod account;
mod counts;
mod guarded;
mod lag;
mod report;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use flext_ldap_client::{
    Connector, ConnectorBuilder, Credentials, PinnedConnection, Pool, Referrals, ReferralsBuilder, Server,
    ServerSet, SharedAccount,
};
use flext_ldap_directory::{
    Actor, BoxFuture, Deadline, Directory, Error, ErrorKind, Layer, Peer, Reply, Request, Session, Sessions,
    health::HealthOptions,
    layers::{AuditTrail, Breaker, BreakerOptions, HealthWatch, Metrics, ServerMetrics, TimeLimit, Traces},
    proto::dn::Dn,
};
use tokio::task::JoinSet;

pub use self::report::{HealthReport, ServerReport};
use self::{
    account::OfAccount,
    counts::Counts,
    guarded::{Guarded, around},
    lag::Lags,
};
use crate::{Account, Audited, Config, Connections, LogFile, Observability, Protection, Reopen};

/// What is counted and said of all servers together is of this name.
const ALL: &str = "all servers";

/// What is added to the time of each server, so that its own reason comes before the end of its share.
const GRACE: Duration = Duration::from_millis(250);

/// The servers of a configuration as one.
///
/// ```no_run
/// use std::time::Duration;
///
/// use flext_ldap::{Config, client::Server, directory::{Actor, Deadline, DirectoryExt, Request, proto::message::{Scope, Search}}};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::read("/etc/harbourlane/ldap.yaml")?;
/// let stack = config.stack().account("reader")?.build()?;
///
/// let maja = Search::new("dc=harbourlane,dc=example".parse()?, Scope::Subtree, "(uid=maja)".parse()?);
/// let maja = stack.search_one(Request::new(maja, Actor::Service)).await?;
///
/// println!("{}\n{}", maja.dn_str(), stack.health());
/// println!("{}", stack.metrics());
/// stack.shutdown(Deadline::after(Duration::from_secs(5))).await;
/// # Ok(())
/// # }
/// ```
///
/// It is cheap to clone; all clones are one. It is a [`Server`]: operations are those of
/// [`DirectoryExt`](flext_ldap_directory::DirectoryExt), users are bound in conversations ([`Sessions::open`]), which have
/// connections of their own, and pages want a connection for themselves ([`Server::pin`]).
///
/// # What changes while it runs
///
/// Secrets of accounts are read anew for each connection, and files of certificates when they have changed. A log that was
/// renamed is opened again by [`reopen_logs`](Self::reopen_logs). For anything else build another stack, and shut this one
/// down when what it has in flight may end.
///
/// # The end
///
/// [`shutdown`](Server::shutdown) lets operations end, closes all connections and waits for that. Dropping the last
/// handle ends the rest by itself, in the background.
#[derive(Clone)]
pub struct Stack(Arc<Parts>);

struct Parts {
    top: Arc<dyn Server>,
    set: Option<Arc<ServerSet>>,
    members: Vec<Member>,
    metrics: Metrics,
    audit: Option<(Arc<AuditTrail>, Reopen)>,
    lags: Option<Lags>,
    most_lag: Duration,
    /// What looks after the stack; ended with it.
    tasks: Mutex<JoinSet<()>>,
}

/// What is known of one server beside what the set knows.
struct Member {
    pool: Pool,
    breaker: Breaker,
    health: HealthWatch,
}

/// Collects what a [`Stack`] needs to know.
#[must_use = "call `build` to get the stack"]
pub struct StackBuilder {
    connectors: Vec<ConnectorBuilder>,
    accounts: BTreeMap<String, Account>,
    referrals: Option<ReferralsBuilder>,
    account: Option<SharedAccount>,
    timeout: Duration,
    connections: Connections,
    observability: Observability,
    /// What the servers hold.
    base: Option<Dn>,
    /// What searches are counted apart for.
    bases: Vec<Dn>,
    hear: Option<Hear>,
    life: Life,
}

/// Is told the name of a server.
type Hear = Arc<dyn Fn(&str) + Send + Sync>;

/// How long a stack is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Life {
    /// Until somebody ends it.
    Long,
    /// One command.
    Short,
}

impl Config {
    /// Begins with the servers, accounts and settings of this configuration; nobody signs in.
    pub fn stack(&self) -> StackBuilder {
        let structure = &self.structure;
        let bases = [&structure.users, &structure.groups, &structure.service_accounts, &structure.base];
        StackBuilder {
            accounts: self.accounts.clone(),
            referrals: self.referrals(),
            connections: self.connections.clone(),
            observability: self.observability.clone(),
            base: structure.base.clone(),
            bases: bases.into_iter().flatten().cloned().collect(),
            ..Stack::of(self.servers.iter().map(|server| self.connector(server)))
                .connection_timeout(self.connection_timeout)
        }
    }

    /// Referrals are followed as the first server is reached.
    fn referrals(&self) -> Option<ReferralsBuilder> {
        let first = self.servers.first().filter(|_| !self.referrals.is_empty())?;
        let referrals = Referrals::builder(Actor::Service);
        let mut referrals = match first.protection {
            Protection::None => referrals.clear(),
            Protection::Ldaps | Protection::StartTls => referrals.tls(first.tls.clone()),
        };
        for (host, account) in &self.referrals {
            referrals = match account.as_ref().and_then(|name| Some((name, self.accounts.get(name)?))) {
                Some((name, account)) => {
                    let account = OfAccount { name: name.clone(), account: account.clone() };
                    referrals.allow_as(host, &SharedAccount::new(account))
                }
                None => referrals.allow_anonymous(host),
            };
        }
        Some(referrals)
    }
}

impl StackBuilder {
    /// Signs in as this account of the configuration. Its secret is read for each connection.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misuse`]: there is no such account.
    pub fn account(mut self, name: &str) -> Result<Self, Error> {
        let Some(account) = self.accounts.get(name) else {
            let names: Vec<_> = self.accounts.keys().map(|name| format!("`{name}`")).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let message = format!("the configuration has no account `{name}`; it has {names}");
            return Err(Error::new(ErrorKind::Misuse, message));
        };
        let account = OfAccount { name: name.to_owned(), account: account.clone() };
        self.account = Some(SharedAccount::new(account));
        Ok(self)
    }

    /// Signs in with these.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.account = Some(SharedAccount::new(move || Ok(credentials.clone())));
        self
    }

    /// For finding, reaching and binding to a server, all of them together: each has an equal share.
    pub const fn connection_timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// Changes how each server is reached.
    pub fn connectors(mut self, change: impl Fn(ConnectorBuilder) -> ConnectorBuilder) -> Self {
        self.connectors = self.connectors.into_iter().map(change).collect();
        self
    }

    /// For a program that serves many users: conversations with each server at a time, and binds of users at a time on each.
    /// As the configuration says, or 64 and 8.
    pub const fn users(mut self, conversations: usize, binds: usize) -> Self {
        self.connections.conversations = conversations;
        self.connections.binds = binds;
        self
    }

    /// For a program that ends soon: no connection is opened and no server asked how it is before there is reason to,
    /// and nothing is counted and recorded.
    pub const fn for_one_command(mut self) -> Self {
        self.life = Life::Short;
        self
    }

    /// Tells `hear` which server an operation is sent to, by its name, each time that one is: again where it goes on to the
    /// next. Be quick.
    pub fn hear(mut self, hear: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.hear = Some(Arc::new(hear));
        self
    }

    /// The stack. Unless it is [for one command](Self::for_one_command), connections are opened from now on.
    ///
    /// Must be called on a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misuse`]: there is no server, a file of certificates is of no use, or this is not called on a tokio
    /// runtime. [`ErrorKind::Storage`]: the file of the audit cannot be opened.
    pub fn build(self) -> Result<Stack, Error> {
        let count = u32::try_from(self.connectors.len()).unwrap_or(u32::MAX).max(1);
        let metrics = Metrics::new(self.bases.clone());
        let mut pools = Vec::new();
        for connector in &self.connectors {
            let connector = connector.clone().connect_timeout(self.timeout / count).build()?;
            pools.push(self.pool(connector, pools.is_empty())?);
        }
        match self.life {
            Life::Short => self.short(pools, metrics),
            Life::Long => self.long(pools, metrics),
        }
    }

    fn pool(&self, connector: Connector, is_first: bool) -> Result<Pool, Error> {
        let Connections { kept, overflow, conversations, binds, .. } = self.connections;
        let pool = Pool::builder(connector).acquire(self.timeout + GRACE);
        let pool = pool.conversations(conversations).binds(binds);
        let pool = match self.life {
            // One for the operations, and one to find out whether the server is still there.
            Life::Short => pool.min(0).max(2).trust_new(),
            Life::Long => pool.min(if is_first { kept } else { 1 }).max(kept.saturating_add(overflow)),
        };
        match &self.account {
            Some(account) => pool.account(account).build(),
            None => pool.build(),
        }
    }

    fn set(&self, servers: Vec<Arc<dyn Server>>) -> Result<Arc<ServerSet>, Error> {
        let Connections { retries, longest_pause, choice, when_down, .. } = self.connections;
        let count = u32::try_from(servers.len()).unwrap_or(u32::MAX);
        let set = ServerSet::builder(ALL)
            .servers(servers)
            .choice(choice)
            .when_down(when_down)
            .longest_pause(longest_pause)
            .open_timeout(self.timeout + GRACE * count);
        let set = match retries {
            Some(retries) => set.attempts(retries.saturating_add(1)),
            None => set,
        };
        let set = if self.life == Life::Short { set.on_demand() } else { set };
        Ok(Arc::new(set.build()?))
    }

    fn short(self, pools: Vec<Pool>, metrics: Metrics) -> Result<Stack, Error> {
        let traces = Traces::new(self.bases.clone());
        let traced = |pool: Pool| {
            let traces = traces.server(pool.name());
            self.heard(around(Arc::new(pool), traces))
        };
        let mut servers: Vec<_> = pools.into_iter().map(traced).collect();
        // One server has no next.
        let top = match (servers.pop(), servers.is_empty()) {
            (Some(only), true) => only,
            (last, _) => {
                servers.extend(last);
                around(self.set(servers)?, traces)
            }
        };
        let top = self.limited(self.following(top)?);
        Ok(Stack(Arc::new(Parts {
            top,
            set: None,
            members: Vec::new(),
            metrics,
            audit: None,
            lags: None,
            most_lag: Duration::MAX,
            tasks: Mutex::default(),
        })))
    }

    fn long(self, pools: Vec<Pool>, metrics: Metrics) -> Result<Stack, Error> {
        let counts = self.observability.metrics;
        let most_lag = self.observability.most_lag;
        let mut tasks = JoinSet::new();
        // Alone nobody is behind.
        let lags = self.base.clone().filter(|_| pools.len() > 1).map(|base| {
            let lags = Lags::new(&pools);
            tasks.spawn(lags.clone().follow(pools.clone(), base, most_lag));
            lags
        });
        let traces = Traces::new(self.bases.clone());
        let mut members = Vec::new();
        let mut servers: Vec<Arc<dyn Server>> = Vec::new();
        for pool in pools.iter().cloned() {
            let breaker = Breaker::new(pool.name(), BreakerOptions::default());
            let health = HealthWatch::new(pool.name(), HealthOptions::default());
            let counted = counts.then(|| metrics_of(&metrics, pool.name()));
            if counts {
                metrics.add(Arc::new(breaker.clone()));
                metrics.add(Arc::new(health.clone()));
            }
            let server = Arc::new(Guarded::new(pool.clone(), breaker.clone(), health.clone(), counted));
            servers.push(self.heard(around(server, traces.server(pool.name()))));
            members.push(Member { pool, breaker, health });
        }
        let set = self.set(servers)?;
        let mut top = self.limited(self.following(Arc::clone(&set) as Arc<dyn Server>)?);
        if counts {
            top = around(top, metrics.local(ALL));
            metrics.add(Arc::new(Counts { pools, set: Arc::clone(&set) }));
            if let Some(lags) = &lags {
                metrics.add(Arc::new(lags.clone()));
            }
        }
        top = around(top, traces);
        let audit = self.audit()?;
        if let Some((trail, _)) = &audit {
            top = match self.observability.audited {
                Audited::Writes => around(top, trail.of_writes(ALL)),
                Audited::All => around(top, trail.of_all(ALL)),
            };
            if counts {
                metrics.add(trail.clone());
            }
        }
        let tasks = Mutex::new(tasks);
        Ok(Stack(Arc::new(Parts { top, set: Some(set), members, metrics, audit, lags, most_lag, tasks })))
    }

    fn heard(&self, server: Arc<dyn Server>) -> Arc<dyn Server> {
        let Some(hear) = &self.hear else { return server };
        let layer = Heard { server: server.name().to_owned(), hear: Arc::clone(hear) };
        around(server, layer)
    }

    fn following(&self, server: Arc<dyn Server>) -> Result<Arc<dyn Server>, Error> {
        match &self.referrals {
            Some(referrals) => Ok(around(server, referrals.clone().build()?)),
            None => Ok(server),
        }
    }

    fn limited(&self, server: Arc<dyn Server>) -> Arc<dyn Server> {
        match self.connections.operation_timeout {
            Some(time) => around(server, TimeLimit(time)),
            None => server,
        }
    }

    fn audit(&self) -> Result<Option<(Arc<AuditTrail>, Reopen)>, Error> {
        let Some(path) = &self.observability.audit else { return Ok(None) };
        let reopen = Reopen::default();
        let trail = LogFile::open(path, &reopen).and_then(AuditTrail::start).map_err(|error| {
            let message = format!("the audit cannot be written to {}", path.display());
            Error::new(ErrorKind::Storage, message).with_source(error)
        })?;
        Ok(Some((trail, reopen)))
    }
}

/// The layer that tells what goes to a server.
struct Heard {
    server: String,
    hear: Hear,
}

impl Layer for Heard {
    fn call(&self, request: Request, next: &dyn Directory) -> Reply {
        (self.hear)(&self.server);
        next.call(request)
    }
}

/// The layer that counts what is asked of a server, by its host and port.
fn metrics_of(metrics: &Metrics, name: &str) -> ServerMetrics {
    match Traces::address(name) {
        (host, Some(port)) => metrics.server(host, port),
        (name, None) => metrics.local(name),
    }
}

impl Stack {
    /// Begins with how each server is reached, the first to be asked first; for programs without a configuration file.
    pub fn of(connectors: impl IntoIterator<Item = ConnectorBuilder>) -> StackBuilder {
        StackBuilder {
            connectors: connectors.into_iter().collect(),
            accounts: BTreeMap::new(),
            referrals: None,
            account: None,
            timeout: Duration::from_secs(10),
            connections: Connections::default(),
            observability: Observability::default(),
            base: None,
            bases: Vec::new(),
            hear: None,
            life: Life::Long,
        }
    }

    /// What is counted. Its text is what Prometheus reads.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// How the servers are. Its text is JSON.
    #[must_use]
    pub fn health(&self) -> HealthReport {
        report::of(&self.0)
    }

    /// Opens logs again that were renamed: whoever rotates them sends SIGHUP, say.
    pub fn reopen_logs(&self) {
        if let Some((_, reopen)) = &self.0.audit {
            reopen.ask();
        }
    }
}

impl Directory for Stack {
    fn call(&self, request: Request) -> Reply {
        self.0.top.call(request)
    }
}

impl Sessions for Stack {
    fn open(&self, peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        self.0.top.open(peer)
    }
}

impl Server for Stack {
    fn name(&self) -> &str {
        self.0.top.name()
    }

    fn load(&self) -> usize {
        self.0.top.load()
    }

    fn check(&self, by: Deadline) -> BoxFuture<'_, Result<(), Error>> {
        self.0.top.check(by)
    }

    fn pin(&self, by: Deadline) -> BoxFuture<'_, Result<PinnedConnection, Error>> {
        self.0.top.pin(by)
    }

    fn shutdown(&self, by: Deadline) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut tasks = std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner));
            tasks.shutdown().await;
            self.0.top.shutdown(by).await;
        })
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pools: Vec<_> = self.0.members.iter().map(|member| &member.pool).collect();
        f.debug_struct("Stack").field("pools", &pools).finish_non_exhaustive()
    }
}

impl fmt::Debug for StackBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackBuilder").field("connectors", &self.connectors).finish_non_exhaustive()
    }
}
