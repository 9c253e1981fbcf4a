//! A server that does what a test says, and keeps what it was asked.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use flext_ldap_client::{PinnedConnection, Server, ServerSet, ServerSetBuilder};
use flext_ldap_directory::{
    Actor, Applied, BindReply, BindStep, BoxFuture, Deadline, Directory, DirectoryExt, Error, ErrorKind,
    Event, Events, Outcome, Peer, Reply, Request, Session, Sessions,
    proto::{
        batch::BatchWriter,
        control::Controls,
        result::{LdapResult, ResultCode},
    },
};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::support::search;

/// How a server behaves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mood {
    /// Answers each operation after so long: a search with an entry that has the server's name.
    Answers(Duration),
    /// Is not there.
    Refuses,
    /// Takes operations and says nothing; probes too.
    Silent,
    /// Ends the connection under an operation; a write may have been done.
    Resets,
    /// Delivers one entry and ends the connection.
    ResetsLater,
    /// Answers with this code; probes are good.
    Says(ResultCode),
    /// Answers operations with this, as if there were no room; probes are good.
    Full,
}

pub(crate) const QUICK: Mood = Mood::Answers(Duration::from_millis(1));

pub(crate) struct Played {
    name: String,
    mood: Mutex<Mood>,
    /// How it is when probed, where that is not as it is when asked.
    probe: Mutex<Option<Mood>>,
    pub(crate) asked: Mutex<Vec<Request>>,
    pub(crate) opened: AtomicUsize,
    pub(crate) checks: AtomicUsize,
    pub(crate) in_flight: Arc<AtomicUsize>,
    /// Replies dropped before their end.
    pub(crate) abandoned: Arc<AtomicUsize>,
    pub(crate) is_shut_down: AtomicBool,
    /// What the answers to searches carry.
    pub(crate) controls: Mutex<Controls>,
}

impl Played {
    pub(crate) fn new(name: &str, mood: Mood) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            mood: Mutex::new(mood),
            probe: Mutex::new(None),
            asked: Mutex::default(),
            opened: AtomicUsize::new(0),
            checks: AtomicUsize::new(0),
            in_flight: Arc::default(),
            abandoned: Arc::default(),
            is_shut_down: AtomicBool::new(false),
            controls: Mutex::default(),
        })
    }

    pub(crate) fn turns(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn probes_as(&self, mood: Mood) {
        *self.probe.lock().unwrap() = Some(mood);
    }

    pub(crate) fn mood(&self) -> Mood {
        self.mood.lock().unwrap().clone()
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn error(&self, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, format!("{} {what}", self.name))
    }
}

struct Playing {
    steps: Vec<Result<Event, Error>>,
    wait: Option<Pin<Box<Sleep>>>,
    in_flight: Arc<AtomicUsize>,
    abandoned: Arc<AtomicUsize>,
}

impl Events for Playing {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        if let Some(wait) = &mut self.wait {
            std::task::ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        Poll::Ready(self.steps.remove(0))
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        if !self.steps.is_empty() {
            self.abandoned.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Directory for Played {
    fn call(&self, request: Request) -> Reply {
        let (deadline, is_write) = (request.deadline, request.op.kind().is_write());
        let is_search = matches!(request.op, flext_ldap_directory::Op::Search(_));
        self.asked.lock().unwrap().push(request);
        let touched = if is_write { Applied::Unknown } else { Applied::No };
        let done = |code| {
            let mut outcome = Outcome::new(LdapResult::new(code));
            if is_search {
                outcome.controls = self.controls.lock().unwrap().clone();
            }
            Ok(Event::Done(outcome))
        };
        let entry = || {
            let mut writer = BatchWriter::new();
            writer.entry(&format!("cn={}", self.name), &Controls::none(), |_| {});
            Ok(Event::Batch(writer.take()))
        };
        let now = Instant::now();
        let (at, steps) = match self.mood() {
            Mood::Answers(after) if now + after > deadline.instant() => (
                deadline.instant(),
                vec![Err(self.error(ErrorKind::Timeout, "did not answer in time").with_applied(touched))],
            ),
            Mood::Answers(after) if is_search => (now + after, vec![entry(), done(ResultCode::SUCCESS)]),
            Mood::Answers(after) => (now + after, vec![done(ResultCode::SUCCESS)]),
            Mood::Refuses => (now, vec![Err(self.error(ErrorKind::Unreachable, "refused the connection"))]),
            Mood::Silent => (
                deadline.instant(),
                vec![Err(self.error(ErrorKind::Timeout, "did not answer in time").with_applied(touched))],
            ),
            Mood::Resets => (
                now + Duration::from_millis(1),
                vec![Err(self.error(ErrorKind::Closed, "closed the connection").with_applied(touched))],
            ),
            Mood::ResetsLater => {
                (now, vec![entry(), Err(self.error(ErrorKind::Closed, "closed the connection"))])
            }
            Mood::Says(code) => (now, vec![done(code)]),
            Mood::Full => (now, vec![Err(self.error(ErrorKind::Overloaded, "has too much to do"))]),
        };
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        Reply::events(Playing {
            steps,
            wait: Some(Box::pin(sleep_until(at))),
            in_flight: Arc::clone(&self.in_flight),
            abandoned: Arc::clone(&self.abandoned),
        })
    }
}

/// A conversation with a played server.
struct Conversation(String);

impl Directory for Conversation {
    fn call(&self, _request: Request) -> Reply {
        Reply::ready(Ok(Outcome::new(LdapResult::with_diagnostic(ResultCode::SUCCESS, &self.0))))
    }
}

impl Session for Conversation {
    fn bind(&mut self, _step: BindStep, _by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        Box::pin(async {
            let outcome = Outcome::success();
            Ok(BindReply::Done { actor: Actor::Anonymous, outcome, credentials: None })
        })
    }
}

impl Sessions for Played {
    fn open(&self, _peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        Box::pin(async {
            self.opened.fetch_add(1, Ordering::SeqCst);
            match self.mood() {
                Mood::Silent => std::future::pending().await,
                Mood::Answers(after) => {
                    sleep(after).await;
                    Ok(Box::new(Conversation(self.name.clone())) as Box<dyn Session>)
                }
                Mood::Says(code) => Err(Error::rejected(Outcome::new(LdapResult::new(code)))),
                Mood::Full => Err(self.error(ErrorKind::Overloaded, "has too much to do")),
                _ => Err(self.error(ErrorKind::Unreachable, "refused the connection")),
            }
        })
    }
}

impl Server for Played {
    fn name(&self) -> &str {
        &self.name
    }

    fn load(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    fn check(&self, by: Deadline) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            self.checks.fetch_add(1, Ordering::SeqCst);
            let mood = self.probe.lock().unwrap().clone().unwrap_or_else(|| self.mood());
            match mood {
                Mood::Answers(after) => {
                    sleep(after.min(by.remaining())).await;
                    match by.has_passed() {
                        true => Err(self.error(ErrorKind::Timeout, "did not answer in time")),
                        false => Ok(()),
                    }
                }
                Mood::Says(_) | Mood::Full | Mood::ResetsLater => Ok(()),
                Mood::Silent => std::future::pending().await,
                Mood::Resets => Err(self.error(ErrorKind::Closed, "closed the connection")),
                Mood::Refuses => Err(self.error(ErrorKind::Unreachable, "refused the connection")),
            }
        })
    }

    fn pin(&self, _by: Deadline) -> BoxFuture<'_, Result<PinnedConnection, Error>> {
        Box::pin(async { Err(self.error(ErrorKind::Unreachable, "has no connections")) })
    }

    fn shutdown(&self, _by: Deadline) -> BoxFuture<'_, ()> {
        Box::pin(async { self.is_shut_down.store(true, Ordering::SeqCst) })
    }
}

/// A set of these, with what the test changes.
pub(crate) fn set(
    servers: &[Arc<Played>],
    change: impl FnOnce(ServerSetBuilder) -> ServerSetBuilder,
) -> ServerSet {
    let servers = servers.iter().map(|server| Arc::clone(server) as Arc<dyn Server>);
    change(ServerSet::builder("directory").servers(servers)).build().unwrap()
}

/// Who answers a search.
pub(crate) async fn who(server: &(impl Directory + ?Sized)) -> Result<String, Error> {
    who_within(server, Duration::from_secs(10)).await
}

pub(crate) async fn who_within(server: &(impl Directory + ?Sized), time: Duration) -> Result<String, Error> {
    let entries = server.search_all(search("ou=people").within(time)).await?;
    Ok(entries[0].dn_str().to_owned())
}

/// Lets the time pass, and everybody do what is to be done meanwhile.
pub(crate) async fn pass(time: Duration) {
    sleep(time).await;
}
