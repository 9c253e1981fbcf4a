//! Reads one way, writes another.

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use flext_ldap_directory::{
    Actor, BoxFuture, Deadline, Directory, Error, ErrorKind, Event, Events, Peer, Reply, Request, Session,
    Sessions,
};
use tokio::{task::JoinSet, time::Instant};

use super::tag::Tag;
use crate::{PinnedConnection, Server, chance::Dice};

/// Actors of whom it is remembered that they have written. Beyond that everybody reads where is written, for as long.
const MOST_PINS: usize = 10_000;

const READS: u32 = 0;
const WRITES: u32 = 1;

/// Two servers that look like one: searches and compares go to one, everything else to the other.
///
/// Extended operations count as writes, since they may be, and so do conversations ([`Sessions::open`]), since in one
/// there may be writes: where sign-ins are to go to the servers for reads, open them there.
///
/// Whether reads may go where is written when nobody else is well is decided by `reads`: a
/// [`ServerSet`](crate::ServerSet) in order whose last member is the server for writes.
///
/// # What one has written one reads
///
/// Directories copy what is written a little later. For a time after an actor's write, that actor's reads go where was
/// written, and fail rather than going elsewhere ([`read_own_writes`](Self::read_own_writes)).
pub struct SplitServers {
    name: String,
    reads: Arc<dyn Server>,
    writes: Arc<dyn Server>,
    tag: Tag,
    pins: Option<Arc<Pins>>,
}

impl SplitServers {
    /// Sends reads to `reads` and everything else to `writes`. Actors read their own writes for 5 s.
    pub fn new(name: impl Into<String>, reads: Arc<dyn Server>, writes: Arc<dyn Server>) -> Self {
        let split = Self { name: name.into(), reads, writes, tag: Tag::new(Dice::new().throw()), pins: None };
        split.read_own_writes(Duration::from_secs(5))
    }

    /// For how long after a write its actor reads where was written. Zero: not at all.
    #[must_use = "this gives the servers back"]
    pub fn read_own_writes(mut self, time: Duration) -> Self {
        self.pins = (!time.is_zero()).then(|| Arc::new(Pins::new(time)));
        self
    }

    fn of(&self, number: u32) -> &Arc<dyn Server> {
        if number == WRITES { &self.writes } else { &self.reads }
    }
}

/// Who has written lately.
struct Pins {
    time: Duration,
    table: Mutex<Table>,
}

/// Two generations: when `time` has passed the younger becomes the older, and what was in the older is over.
#[derive(Default)]
struct Table {
    young: HashMap<String, Instant>,
    old: HashMap<String, Instant>,
    turned: Option<Instant>,
    /// Until when everybody counts as having written, because there was no room to remember who.
    everybody: Option<Instant>,
}

impl Pins {
    fn new(time: Duration) -> Self {
        Self { time, table: Mutex::default() }
    }

    /// `actor` has written, or is about to.
    fn wrote(&self, actor: &str) {
        let now = Instant::now();
        let until = now + self.time;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.turned.is_none_or(|turned| now.saturating_duration_since(turned) >= self.time) {
            table.old = std::mem::take(&mut table.young);
            table.turned = Some(now);
        }
        let has_room = table.young.len() < MOST_PINS;
        match table.young.get_mut(actor) {
            Some(pinned) => *pinned = until,
            None if has_room => {
                table.young.insert(actor.to_owned(), until);
            }
            None => table.everybody = Some(until),
        }
    }

    fn has_written(&self, actor: &str) -> bool {
        let now = Instant::now();
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let of_actor = table.young.get(actor).or_else(|| table.old.get(actor));
        of_actor.into_iter().chain(&table.everybody).any(|until| *until > now)
    }
}

/// What an actor is remembered by.
fn key(actor: &Actor) -> &str {
    match actor {
        Actor::Service => "service",
        Actor::Anonymous => "",
        // Has a colon in it (RFC 4513 §5.2.1.8).
        Actor::User(identity) => identity.authorization(),
    }
}

impl Directory for SplitServers {
    fn call(&self, mut request: Request) -> Reply {
        let pins = self.pins.as_ref();
        if request.op.kind().is_write() {
            let Some(pins) = pins else { return self.writes.call(request) };
            // From before it is done: somebody may read in between.
            pins.wrote(key(&request.actor));
            let (pins, actor) = (Arc::clone(pins), request.actor.clone());
            return Reply::events(Write { reply: self.writes.call(request), pins, actor });
        }
        let has_cookies = Tag::concerns(&request);
        let server = match self.tag.take(&self.name, &mut request) {
            Ok(Some(number)) => number,
            Ok(None) if pins.is_some_and(|pins| pins.has_written(key(&request.actor))) => WRITES,
            Ok(None) => READS,
            Err(error) => return Reply::ready(Err(error)),
        };
        let reply = self.of(server).call(request);
        match has_cookies {
            true => Reply::events(Pages { reply, tag: self.tag, server }),
            false => reply,
        }
    }
}

/// A write: its end is what the time of reading counts from.
struct Write {
    reply: Reply,
    pins: Arc<Pins>,
    actor: Actor,
}

impl Events for Write {
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        let this = self.get_mut();
        let event = std::task::ready!(this.reply.poll_next(cx));
        // A write of which nobody knows whether it was done may have been.
        this.pins.wrote(key(&this.actor));
        Poll::Ready(event)
    }
}

/// A search in pages.
struct Pages {
    reply: Reply,
    tag: Tag,
    server: u32,
}

impl Events for Pages {
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        let this = self.get_mut();
        let mut event = std::task::ready!(this.reply.poll_next(cx));
        if let Ok(Event::Done(outcome)) = &mut event {
            this.tag.put(this.server, outcome);
        }
        Poll::Ready(event)
    }
}

impl Sessions for SplitServers {
    /// Opens a conversation where is written.
    ///
    /// # Cancel safety
    ///
    /// That of the server's own.
    fn open(&self, peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        self.writes.open(peer)
    }
}

impl Server for SplitServers {
    fn name(&self) -> &str {
        &self.name
    }

    fn load(&self) -> usize {
        self.reads.load().saturating_add(self.writes.load())
    }

    /// Asks both: it is well when both are.
    fn check(&self, by: Deadline) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let mut checks = JoinSet::new();
            for server in [&self.reads, &self.writes].map(Arc::clone) {
                checks.spawn(async move { server.check(by).await });
            }
            while let Some(result) = checks.join_next().await {
                result.map_err(|error| {
                    Error::new(ErrorKind::Bug, "the check of a server ended by itself").with_source(error)
                })??;
            }
            Ok(())
        })
    }

    /// A connection to where conversations are.
    fn pin(&self, by: Deadline) -> BoxFuture<'_, Result<PinnedConnection, Error>> {
        self.writes.pin(by)
    }

    fn shutdown(&self, by: Deadline) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            tokio::join!(self.reads.shutdown(by), self.writes.shutdown(by));
        })
    }
}

impl fmt::Debug for SplitServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitServers")
            .field("name", &self.name)
            .field("reads", &self.reads.name())
            .field("writes", &self.writes.name())
            .finish_non_exhaustive()
    }
}
