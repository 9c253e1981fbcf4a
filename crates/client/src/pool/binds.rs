//! Connections for the binds of users: apart from the service connections, and never among them.
//!
//! A connection opened here starts with nobody's credentials. What is bound on it are users, one after another; no
//! operation of the program itself is ever sent on it.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use flext_ldap_directory::{
    Actor, Applied, BindReply, BindStep, BoxFuture, Deadline, Directory, Error, ErrorKind, Op, Reply,
    Request, Session,
    proto::extended::{Cancel, ExtendedOperation as _, PasswordModify, WhoAmI},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{check, shared::Shared};
use crate::{Connection, Connector, Credentials, connection::Stopper, credentials};

/// How long a connection may wait for the next bind. Shorter than what makes servers and firewalls forget it.
const IDLE: Duration = Duration::from_secs(60);
/// How long an anonymous bind may take that ends who was bound before.
const CLEARING: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Binds {
    connector: Connector,
    shared: Arc<Shared>,
    /// One permit per bind at a time.
    turns: Arc<Semaphore>,
    most_turns: usize,
    /// One permit per conversation.
    conversations: Arc<Semaphore>,
    most_conversations: usize,
    waiting: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_over: bool,
    idle: Vec<Idle>,
    /// Bound as somebody, and waiting for an anonymous bind.
    returned: Vec<Connection>,
    /// How to end the conversations that are open, by their numbers.
    open: HashMap<u64, Stopper>,
    next_number: u64,
    counters: Counters,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
    /// Whether nobody is bound.
    is_clean: bool,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) binds: u64,
    pub(super) opened: u64,
    pub(super) turned_away: u64,
}

/// What there is at present.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present {
    pub(super) idle: usize,
    pub(super) binding: usize,
    pub(super) conversations: usize,
    pub(super) waiting: usize,
}

impl Binds {
    pub(super) fn new(connector: Connector, shared: Arc<Shared>, turns: usize, conversations: usize) -> Self {
        Self {
            connector,
            shared,
            turns: Arc::new(Semaphore::new(turns)),
            most_turns: turns,
            conversations: Arc::new(Semaphore::new(conversations)),
            most_conversations: conversations,
            waiting: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One bind of one step, on a connection that is kept for further ones.
    pub(super) async fn bind(&self, step: BindStep, by: Deadline) -> Result<BindReply, Error> {
        credentials::check(&step)?;
        let _turn = self.turn(&self.turns, "binds", by).await?;
        self.lock().counters.binds += 1;
        if let Some(mut connection) = self.take_idle(|_| true) {
            match connection.bind(step.clone(), by).await {
                // Not an octet of it has left, so nobody has counted it.
                Err(error) if error.kind() == ErrorKind::Closed && error.applied() == Applied::No => {}
                answer => return self.finish(connection, answer),
            }
        }
        let mut connection = self.connect(by).await?;
        let answer = connection.bind(step, by).await;
        self.finish(connection, answer)
    }

    fn finish(&self, connection: Connection, answer: Result<BindReply, Error>) -> Result<BindReply, Error> {
        match answer? {
            BindReply::Continue { .. } => Err(Error::new(
                ErrorKind::Misuse,
                "this bind takes several steps: open a conversation for it (`Sessions::open`)",
            )),
            BindReply::Refused(outcome) if check::is_trouble(outcome.result.code) => {
                Ok(BindReply::Refused(outcome))
            }
            answer => {
                self.keep(connection, false);
                Ok(answer)
            }
        }
    }

    /// Opens a conversation.
    pub(super) async fn open(self: &Arc<Self>, by: Deadline) -> Result<Conversation, Error> {
        let permit = self.turn(&self.conversations, "conversations", by).await?;
        let connection = match self.take_idle(|idle| idle.is_clean) {
            Some(connection) => connection,
            None => self.connect(by).await?,
        };
        let mut state = self.lock();
        if state.is_over {
            return Err(self.over());
        }
        let number = state.next_number;
        state.next_number += 1;
        state.open.insert(number, connection.stopper());
        drop(state);
        Ok(Conversation {
            connection: Some(connection),
            number,
            binds: Arc::clone(self),
            was_bound: false,
            is_changed: AtomicBool::new(false),
            _permit: permit,
        })
    }

    /// Waits for a permit, in order.
    async fn turn(
        &self,
        of: &Arc<Semaphore>,
        what: &str,
        by: Deadline,
    ) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(permit) = Arc::clone(of).try_acquire_owned() {
            return Ok(permit);
        }
        let most = self.shared.settings.waiting;
        let place = Place(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= most {
            self.lock().counters.turned_away += 1;
            let message = format!(
                "{most} callers wait for {what} on {} already, which is as many as may",
                self.server()
            );
            return Err(Error::new(ErrorKind::Overloaded, message));
        }
        let until = by.earlier(Deadline::after(self.shared.settings.acquire));
        let permit = timeout_at(until.instant(), Arc::clone(of).acquire_owned()).await;
        drop(place);
        match permit {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(self.over()),
            Err(_) => Err(Error::new(
                ErrorKind::Timeout,
                format!(
                    "as many {what} as may be at a time were under way on {} until the time allowed for waiting was over",
                    self.server()
                ),
            )),
        }
    }

    async fn connect(&self, by: Deadline) -> Result<Connection, Error> {
        let connection = timeout_at(by.instant(), self.connector.connect_as(&Credentials::Anonymous)).await;
        let connection = connection.unwrap_or_else(|_| {
            let message = format!("no connection to {} could be opened for the bind in time", self.server());
            Err(Error::new(ErrorKind::Timeout, message))
        })?;
        self.lock().counters.opened += 1;
        Ok(connection)
    }

    /// The idle connection that was used last, unless any of them has ended: then what ended it may have ended all, and
    /// a new one is opened instead.
    fn take_idle(&self, which: impl Fn(&Idle) -> bool) -> Option<Connection> {
        let mut state = self.lock();
        // Those bound as somebody first: they are of use for nothing else.
        let index = (state.idle.iter().rposition(|idle| which(idle) && !idle.is_clean))
            .or_else(|| state.idle.iter().rposition(which))?;
        let taken = state.idle.remove(index).connection;
        if taken.is_silent() {
            return Some(taken);
        }
        let (good, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.idle).into_iter().partition(|idle| idle.connection.is_silent());
        state.idle = good;
        drop(state);
        drop((taken, gone));
        None
    }

    /// Keeps a connection for later, if it is good for anything.
    fn keep(&self, connection: Connection, is_clean: bool) {
        let mut state = self.lock();
        if !state.is_over && is_reusable(&connection) && state.idle.len() < self.most_turns {
            state.idle.push(Idle { connection, since: Instant::now(), is_clean });
        } else {
            drop(state);
            drop(connection);
        }
    }

    /// Takes a conversation's connection back.
    fn give_back(&self, connection: Connection, was_bound: bool) {
        if !was_bound {
            return self.keep(connection, true);
        }
        let mut state = self.lock();
        let kept = state.idle.len() + state.returned.len();
        if !state.is_over && is_reusable(&connection) && kept < self.most_turns {
            state.returned.push(connection);
            drop(state);
            self.shared.keeper.notify_one();
        } else {
            drop(state);
            drop(connection);
        }
    }

    /// Connections that somebody is still bound on.
    pub(super) fn take_returned(&self) -> Vec<Connection> {
        std::mem::take(&mut self.lock().returned)
    }

    /// Has a connection forget who was bound on it, and keeps it. Where the server does not say that it has, it is closed.
    pub(super) async fn clear(&self, mut connection: Connection) {
        let by = Deadline::after(CLEARING);
        let Ok(_turn) = self.turn(&self.turns, "binds", by).await else { return };
        match connection.bind(BindStep::anonymous(), by).await {
            Ok(BindReply::Done { actor: Actor::Anonymous, .. }) => self.keep(connection, true),
            Ok(_) => tracing::debug!(
                server = self.server(),
                "no anonymous bind, so a connection is not used again"
            ),
            Err(error) => tracing::debug!(server = self.server(), %error, "a connection is not used again"),
        }
    }

    /// Closes what nobody has used for a while.
    pub(super) fn tick(&self) {
        let mut state = self.lock();
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut state.idle)
            .into_iter()
            .partition(|idle| idle.since.elapsed() < IDLE && !idle.connection.is_closed());
        state.idle = kept;
        drop(state);
        drop(gone);
    }

    /// Takes nothing new from now on, and closes what nobody uses.
    pub(super) fn stop(&self) {
        self.turns.close();
        self.conversations.close();
        let mut state = self.lock();
        state.is_over = true;
        let gone = (std::mem::take(&mut state.idle), std::mem::take(&mut state.returned));
        drop(state);
        drop(gone);
    }

    /// Whether binds or conversations are under way.
    pub(super) fn is_busy(&self) -> bool {
        let present = self.present();
        present.binding + present.conversations > 0
    }

    /// Ends all conversations.
    pub(super) fn end_all(&self) {
        for stopper in std::mem::take(&mut self.lock().open).into_values() {
            stopper.stop();
        }
    }

    pub(super) fn present(&self) -> Present {
        Present {
            idle: self.lock().idle.len(),
            binding: self.most_turns.saturating_sub(self.turns.available_permits()),
            conversations: self.most_conversations.saturating_sub(self.conversations.available_permits()),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }

    pub(super) fn counters(&self) -> Counters {
        self.lock().counters
    }

    fn server(&self) -> &str {
        &self.shared.server
    }

    fn over(&self) -> Error {
        Error::new(
            ErrorKind::Closed,
            format!("the pool of connections to {} has been shut down", self.server()),
        )
    }
}

/// Whether the server knows who is bound, and nothing is under way.
fn is_reusable(connection: &Connection) -> bool {
    connection.actor().is_some()
        && connection.in_flight() == 0
        && connection.unread() == 0
        && !connection.is_closed()
}

/// Whether an operation may change what the connection is, for whoever is on it next: Active Directory has one after which
/// binds on it prove passwords and give no rights, and what others have nobody knows here.
fn may_change_connection(op: &Op) -> bool {
    let Op::Extended(request) = op else { return false };
    ![WhoAmI::OID, PasswordModify::OID, Cancel::OID].contains(&request.oid)
}

/// Somebody who waits.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A conversation on a connection of its own.
pub(super) struct Conversation {
    /// There until it is dropped.
    connection: Option<Connection>,
    number: u64,
    binds: Arc<Binds>,
    was_bound: bool,
    /// Whether it may be another than it was, in a way that no bind undoes.
    is_changed: AtomicBool,
    _permit: OwnedSemaphorePermit,
}

impl Directory for Conversation {
    fn call(&self, request: Request) -> Reply {
        match &self.connection {
            _ if request.actor == Actor::Service => Reply::ready(Err(Error::new(
                ErrorKind::NotCarried,
                "a user's conversation does not carry what the program itself asks: ask the pool, or pin a connection of it",
            ))),
            Some(connection) => {
                if may_change_connection(&request.op) {
                    self.is_changed.store(true, Ordering::Relaxed);
                }
                connection.call(request)
            }
            None => Reply::ready(Err(self.binds.over())),
        }
    }
}

impl Session for Conversation {
    fn bind(&mut self, step: BindStep, by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        Box::pin(async move {
            let Some(connection) = &mut self.connection else { return Err(self.binds.over()) };
            credentials::check(&step)?;
            let _turn = self.binds.turn(&self.binds.turns, "binds", by).await?;
            self.binds.lock().counters.binds += 1;
            self.was_bound = true;
            connection.bind(step, by).await
        })
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        // The connection may have many other conversations after this one.
        self.binds.lock().open.remove(&self.number);
        let is_changed = *self.is_changed.get_mut();
        if let Some(connection) = self.connection.take().filter(|_| !is_changed) {
            self.binds.give_back(connection, self.was_bound);
        }
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation").field("server", &self.binds.server()).finish_non_exhaustive()
    }
}
