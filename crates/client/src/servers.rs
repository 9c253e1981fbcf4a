//! Sets of servers: one [`Server`] made of several, so that the loss of one is nobody's loss.
//!
//! A set routes each operation by itself, to the member that is best at that moment: the healthiest first, of those the
//! ones of the lowest [`Place::priority`], and of those one by its [`Choice`]. A set is a server itself, so sets nest:
//! round robin within each site, in order over the sites.
//!
//! - Health comes from probes ([`Server::check`]) in the background; what fails on an operation brings a probe at once.
//!   Slow counts as sick, by an absolute bound and against the other members. Nobody sick is used while somebody healthy is
//!   there, and as the last resort everybody is.
//! - An operation goes on to another member only where nothing can have been done: a read until its first event, a write
//!   as long as no octet of it has left. A budget keeps retries from becoming the load.
//! - A search that goes on with a paging cookie goes to the member that gave it, or fails and says why.
//! - [`SplitServers`] sends reads one way and writes another; [`Discovery`](crate::Discovery) finds the members in DNS.
//!
//! There are no connections here: those are the members' own business. Nor does a set ever repeat a bind: a bind takes
//! place in a session, and a session is one member's.

mod budget;
mod choice;
mod health;
mod member;
mod prober;
mod routed;
mod shared;
mod split;
mod tag;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use flext_ldap_directory::{
    Applied, BoxFuture, Deadline, Directory, Error, ErrorKind, Peer, Reply, Request, Session, Sessions,
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

pub use self::{
    choice::{Choice, Place},
    health::MemberHealth,
    member::MemberStatistics,
    split::SplitServers,
};
pub(crate) use self::{
    member::{Member, with_causes},
    shared::Shared,
};
use self::{
    routed::Routed,
    shared::{Probes, Settings},
};
use crate::{Discovery, PinnedConnection, Server, srv};

/// What happens to operations while every member of a set is down.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum WhenDown {
    /// Each member is tried once, then the operation fails.
    #[default]
    Fail,
    /// One is tried, then the operation waits until one is back, within its deadline. Retries for which there is no budget
    /// wait too.
    Wait,
}

/// Several servers that look like one.
///
/// ```no_run
/// use std::{sync::Arc, time::Duration};
///
/// use flext_ldap_client::{Choice, Server, ServerSet, WhenDown};
/// use flext_ldap_directory::{
///     Actor, DirectoryExt, Request,
///     proto::message::{Scope, Search},
/// };
///
/// # async fn example(
/// #     berlin: [Arc<dyn Server>; 2], lisbon: Arc<dyn Server>,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// let berlin = ServerSet::builder("berlin").servers(berlin).choice(Choice::Latency).build()?;
/// let all = ServerSet::builder("all sites")
///     .server(Arc::new(berlin))
///     .server(lisbon)
///     .when_down(WhenDown::Wait)
///     .build()?;
/// let search = Search::new("dc=harbourlane,dc=example".parse()?, Scope::Base, "(objectClass=*)".parse()?);
/// let entry = all.search_one(Request::new(search, Actor::Service).within(Duration::from_secs(5))).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Coming back
///
/// Members of [`Choice::InOrder`] come back to the first by themselves: each operation is routed anew, so the first one
/// that finds the preferred server well goes there. What runs elsewhere ends there.
///
/// # Actors
///
/// The set hands on each request as it is; whether an actor can be carried is for the members to say.
///
/// # The end
///
/// Dropping the set ends its probes, and operations that wait for a server fail. The members are closed by
/// [`Server::shutdown`], or when nobody else holds them.
pub struct ServerSet {
    shared: Arc<Shared>,
}

/// What has become known of a set.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SetStatistics {
    /// Of each member, in their order.
    pub members: Vec<MemberStatistics>,
    /// Operations that were sent to another member, or to the same one again.
    pub retries: u64,
    /// Times one was not, or not yet, because the budget for retries was used up.
    pub refused_retries: u64,
    /// Why the members could not be looked up the last time, if they are looked up and could not.
    pub lookup_error: Option<String>,
}

/// Collects what a [`ServerSet`] needs to know.
#[must_use = "call `build` to get the set"]
pub struct ServerSetBuilder {
    name: String,
    servers: Vec<(Arc<dyn Server>, Place)>,
    discovery: Option<Discovery>,
    settings: Settings,
}

impl ServerSet {
    /// Begins a set that messages and statistics call so.
    pub fn builder(name: impl Into<String>) -> ServerSetBuilder {
        ServerSetBuilder {
            name: name.into(),
            servers: Vec::new(),
            discovery: None,
            settings: Settings {
                choice: Choice::InOrder,
                when_down: WhenDown::Fail,
                check_every: Duration::from_secs(10),
                recheck_every: Duration::from_secs(1),
                check_timeout: Duration::from_secs(2),
                open_timeout: Duration::from_secs(10),
                slow: Duration::from_secs(1),
                retries: 100,
                attempts: None,
                longest_pause: Duration::from_secs(1),
                probes: Probes::Steady,
            },
        }
    }

    /// What has become known of the set and its members.
    #[must_use]
    pub fn statistics(&self) -> SetStatistics {
        let shared = &self.shared;
        SetStatistics {
            members: shared.members().iter().map(|member| member.statistics()).collect(),
            retries: shared.retries.load(Ordering::Relaxed),
            refused_retries: shared.refused_retries.load(Ordering::Relaxed),
            lookup_error: shared.lookup_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Opens something on one member after the other, each with its share of the time.
    async fn first<T>(
        &self,
        by: Deadline,
        open: impl for<'a> Fn(&'a dyn Server) -> BoxFuture<'a, Result<T, Error>> + Sync,
    ) -> Result<T, Error> {
        let shared = &self.shared;
        let (mut tried, mut failures) = (Vec::new(), Vec::new());
        loop {
            if shared.is_closing() {
                return Err(shared.closed());
            }
            let changed = shared.changed.notified();
            let Some(member) = shared.choose(&tried, false) else {
                let may_wait = !shared.is_known() || shared.settings.when_down == WhenDown::Wait;
                if !may_wait || by.has_passed() {
                    return Err(shared.none_answered(&mut failures, ""));
                }
                // Those that were not down will not be said to have come back.
                let again = by.earlier(Deadline::after(shared.settings.recheck_every));
                if timeout_at(again.instant(), changed).await.is_ok() || !by.has_passed() {
                    tried.clear();
                    failures.clear();
                }
                continue;
            };
            let left = shared.members().len().saturating_sub(tried.len()).max(1);
            let share = by.remaining() / u32::try_from(left).unwrap_or(u32::MAX);
            let started = Instant::now();
            let error = match timeout(share, open(&*member.server)).await {
                Ok(Ok(opened)) => {
                    member.opened(started.elapsed());
                    return Ok(opened);
                }
                Ok(Err(error)) => error,
                Err(_) => Error::new(
                    ErrorKind::Timeout,
                    format!("{} did not let itself be talked to within {share:?}", member.server.name()),
                ),
            };
            // A bind of the program's own that was sent may have been counted.
            if !routed::may_move(false, &error) || error.applied() == Applied::Unknown {
                return Err(error);
            }
            if error.kind() != ErrorKind::Overloaded {
                member.failed(&error);
            }
            tried.push(member.number);
            failures.push(error);
        }
    }
}

impl ServerSetBuilder {
    /// Adds a server. With [`Choice::InOrder`] they are preferred in the order they are added.
    pub fn server(self, server: Arc<dyn Server>) -> Self {
        self.server_at(server, Place::default())
    }

    /// Adds servers.
    pub fn servers(self, servers: impl IntoIterator<Item = Arc<dyn Server>>) -> Self {
        servers.into_iter().fold(self, Self::server)
    }

    /// Adds a server with a priority and a weight.
    pub fn server_at(mut self, server: Arc<dyn Server>, place: Place) -> Self {
        self.servers.push((server, place));
        self
    }

    /// Finds servers in DNS, and keeps looking. They join those that were added. The choice among those of one priority
    /// becomes [`Choice::Weighted`], as RFC 2782 has it, unless [`choice`](Self::choice) is called after this.
    pub fn discover(mut self, discovery: Discovery) -> Self {
        self.discovery = Some(discovery);
        self.settings.choice = Choice::Weighted;
        self
    }

    /// How to choose among members that are equally well and of the same priority. [`Choice::InOrder`].
    pub const fn choice(mut self, choice: Choice) -> Self {
        self.settings.choice = choice;
        self
    }

    /// What to do while all members are down. [`WhenDown::Fail`].
    pub const fn when_down(mut self, when_down: WhenDown) -> Self {
        self.settings.when_down = when_down;
        self
    }

    /// How often a member that is well is asked how it is: after half of this time to all of it. 10 s.
    pub fn check_every(mut self, time: Duration) -> Self {
        self.settings.check_every = time.max(SHORTEST);
        self
    }

    /// How often a member that is not well is asked, likewise; one that comes and goes is asked less and less often, down
    /// to every 30 s. 1 s.
    pub fn recheck_every(mut self, time: Duration) -> Self {
        self.settings.recheck_every = time.max(SHORTEST);
        self
    }

    /// How long a member may take to say that it is well. A read that is tried on a member that is down, for want of any
    /// other, is given as long. 2 s.
    pub fn check_timeout(mut self, time: Duration) -> Self {
        self.settings.check_timeout = time.max(SHORTEST);
        self
    }

    /// How long [`Sessions::open`] may take; each member gets an equal share of what is left when its turn comes. 10 s.
    pub fn open_timeout(mut self, time: Duration) -> Self {
        self.settings.open_timeout = time.max(SHORTEST);
        self
    }

    /// From when on the first answer to a read is slow. A member with more than a quarter of such answers, and at least
    /// eight, is out of the first choice until three probes in a row took less than half as long. No answer in all that
    /// time counts as a slow one. Four times the median
    /// of the other members, if that is more than 50 ms, is slow too. A member on which operations wait and that has not
    /// been heard of for this long is probed. 1 s.
    pub fn slow_after(mut self, time: Duration) -> Self {
        self.settings.slow = time.max(SHORTEST);
        self
    }

    /// How many retries there may be at once; ten operations earn one more, and so does a tenth of a second. What goes on
    /// because a member could not be reached costs none. 100.
    pub const fn retries(mut self, retries: u32) -> Self {
        self.settings.retries = retries;
        self
    }

    /// How often an operation is sent at most, the first time included; at least once. When each member has been asked,
    /// those that are not down are asked again. Without this each is asked once, and with [`WhenDown::Wait`] as often as
    /// there is time.
    pub fn attempts(mut self, times: u32) -> Self {
        self.settings.attempts = Some(times.max(1));
        self
    }

    /// The longest pause between two attempts: pauses double from a few milliseconds, each for a random part. 1 s.
    pub const fn longest_pause(mut self, time: Duration) -> Self {
        self.settings.longest_pause = time;
        self
    }

    /// Has members asked how they are only when operations give reason to. For programs that end soon: they reach no
    /// server but those they need, and sign in nowhere else.
    pub const fn on_demand(mut self) -> Self {
        self.settings.probes = Probes::OnDemand;
        self
    }

    /// The set. Its members are probed from now on, save [`on_demand`](Self::on_demand).
    ///
    /// Must be called on a tokio runtime: the probes run there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misuse`]: there is no server and no discovery.
    pub fn build(self) -> Result<ServerSet, Error> {
        if self.servers.is_empty() && self.discovery.is_none() {
            let message =
                format!("the set `{}` has no servers: add one, or let them be discovered", self.name);
            return Err(Error::new(ErrorKind::Misuse, message));
        }
        let shared = Arc::new(Shared::new(self.name, self.settings));
        for (server, place) in self.servers {
            shared.add(server, place);
        }
        match self.discovery {
            Some(discovery) => {
                let task = srv::keep_looking(Arc::clone(&shared), discovery);
                shared.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
            }
            None => shared.set_known(),
        }
        Ok(ServerSet { shared })
    }
}

/// The shortest of all times: 1 ms.
const SHORTEST: Duration = Duration::from_millis(1);

impl Directory for ServerSet {
    fn call(&self, request: Request) -> Reply {
        Routed::start(&self.shared, request)
    }
}

impl Sessions for ServerSet {
    /// Opens a conversation with the best member that lets itself be talked to. All of the conversation, binds included,
    /// stays with that member, and what becomes of it is not told to the set.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    fn open(&self, peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        let by = Deadline::after(self.shared.settings.open_timeout);
        Box::pin(self.first(by, move |server| server.open(peer.clone())))
    }
}

impl Server for ServerSet {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn load(&self) -> usize {
        self.shared.members().iter().map(|member| member.server.load()).sum()
    }

    /// Asks all members at once: the set is well when one of them is.
    fn check(&self, by: Deadline) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let mut checks = JoinSet::new();
            for member in self.shared.members().iter() {
                let server = Arc::clone(&member.server);
                checks.spawn(async move { server.check(by).await });
            }
            let mut failures = Vec::new();
            while let Some(result) = checks.join_next().await {
                match result {
                    Ok(Ok(())) => return Ok(()),
                    Ok(Err(error)) => failures.push(error),
                    Err(error) => failures.push(
                        Error::new(ErrorKind::Bug, "the check of a server ended by itself")
                            .with_source(error),
                    ),
                }
            }
            Err(self.shared.none_answered(&mut failures, ""))
        })
    }

    fn pin(&self, by: Deadline) -> BoxFuture<'_, Result<PinnedConnection, Error>> {
        Box::pin(self.first(by, move |server| server.pin(by)))
    }

    fn shutdown(&self, by: Deadline) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.shared.close();
            loop {
                let mut tasks = taken(&self.shared.tasks);
                if tasks.is_empty() {
                    break;
                }
                // What a lookup adds while it is ended is there the next time.
                tasks.shutdown().await;
            }
            let mut farewells = taken(&self.shared.farewells);
            for member in self.shared.members().iter() {
                let server = Arc::clone(&member.server);
                farewells.spawn(async move { server.shutdown(by).await });
            }
            while let Some(ended) = farewells.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(set = self.shared.name, %error, "a server was not shut down");
                }
            }
        })
    }
}

/// The tasks, to be joined.
fn taken(tasks: &Mutex<JoinSet<()>>) -> JoinSet<()> {
    std::mem::take(&mut *tasks.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Drop for ServerSet {
    fn drop(&mut self) {
        self.shared.close();
        // Servers that have left are closed by being dropped.
        for tasks in [&self.shared.tasks, &self.shared.farewells] {
            taken(tasks).abort_all();
        }
    }
}

impl fmt::Debug for ServerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSet")
            .field("name", &self.shared.name)
            .field("members", &self.shared.members())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerSetBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSetBuilder")
            .field("name", &self.name)
            .field("servers", &self.servers.iter().map(|(server, _)| server.name()).collect::<Vec<_>>())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
