//! A directory that does what tests need. What it does follows from the name it is asked for:
//! `cn=one` one entry, `cn=many` entries until nobody reads, `cn=never` nothing until released, `cn=busy` work without
//! an end, a millisecond at a time, `cn=panic` a panic, `cn=storage` a failure with a cause that peers must not see; any other name succeeds.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use flext_ldap_directory::{
    Actor, BindReply, BindStep, BoxFuture, Deadline, Directory, Error, ErrorKind, Event, Events, External,
    Identity, Op, Outcome, Peer, Reply, Request, Session, Sessions,
};
use flext_ldap_proto::{
    batch::{Batch, BatchWriter},
    control::Controls,
    result::{LdapResult, ResultCode},
};
use tokio::{
    sync::{Notify, Semaphore},
    task::yield_now,
};

pub(crate) struct Toy {
    pub(crate) state: Arc<State>,
}

pub(crate) struct State {
    /// Peers of the sessions opened, in order.
    pub(crate) peers: Mutex<Vec<Peer>>,
    /// Names, and whether there was a password, of the binds seen.
    pub(crate) binds: Mutex<Vec<String>>,
    /// Sessions that are open.
    pub(crate) sessions: AtomicUsize,
    /// Batches of `cn=many` delivered.
    pub(crate) batches: AtomicUsize,
    /// Milliseconds that `cn=busy` has worked.
    pub(crate) worked: AtomicUsize,
    /// Replies of `cn=never` and `cn=many` that are alive.
    pub(crate) alive: AtomicUsize,
    /// Requests seen.
    pub(crate) calls: AtomicUsize,
    /// Something above has changed.
    pub(crate) changed: Notify,
    /// Lets one `cn=never`, or one bind as `cn=slow`, end.
    pub(crate) release: Semaphore,
}

/// Octets of the value in each entry of `cn=many`; ten of them are a batch.
pub(crate) const VALUE: usize = 1000;
const ENTRIES: usize = 10;

impl Default for Toy {
    fn default() -> Self {
        let state = State {
            peers: Mutex::default(),
            binds: Mutex::default(),
            sessions: AtomicUsize::new(0),
            batches: AtomicUsize::new(0),
            worked: AtomicUsize::new(0),
            alive: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            changed: Notify::new(),
            release: Semaphore::new(0),
        };
        Self { state: Arc::new(state) }
    }
}

impl State {
    fn change(&self) {
        self.changed.notify_waiters();
    }

    /// Waits until `condition` holds.
    pub(crate) async fn until(&self, condition: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if condition(self) {
                return;
            }
            changed.await;
        }
    }
}

impl Sessions for Toy {
    fn open(&self, peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        let state = self.state.clone();
        state.peers.lock().unwrap().push(peer.clone());
        state.sessions.fetch_add(1, Ordering::SeqCst);
        state.change();
        Box::pin(async move { Ok(Box::new(ToySession { state, peer, steps: 0 }) as Box<dyn Session>) })
    }
}

struct ToySession {
    state: Arc<State>,
    peer: Peer,
    steps: usize,
}

impl Drop for ToySession {
    fn drop(&mut self) {
        self.state.sessions.fetch_sub(1, Ordering::SeqCst);
        self.state.change();
    }
}

impl Session for ToySession {
    fn bind(&mut self, step: BindStep, _: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        Box::pin(async move {
            let done = |actor, outcome| Ok(BindReply::Done { actor, outcome, credentials: None });
            let refused = |code| Ok(BindReply::Refused(Outcome::new(LdapResult::new(code))));
            match step {
                BindStep::Simple { name, password, .. } => {
                    self.state.binds.lock().unwrap().push(format!("{name} {}", !password.is_empty()));
                    if name == "cn=slow" {
                        self.state.change();
                        self.state.release.acquire().await.unwrap().forget();
                    }
                    if name.is_empty() {
                        return done(Actor::Anonymous, Outcome::success());
                    }
                    if password.expose() != b"korrekt" {
                        return refused(ResultCode::INVALID_CREDENTIALS);
                    }
                    let identity = Identity::from_successful_bind(name.parse().unwrap());
                    done(Actor::User(identity), Outcome::success())
                }
                BindStep::Sasl { mechanism, .. } if mechanism == "EXTERNAL" => match self.peer.external {
                    Some(External::UnixUser { uid, .. }) => done(
                        Actor::User(Identity::from_successful_bind_as(format!("u:{uid}"))),
                        Outcome::success(),
                    ),
                    _ => refused(ResultCode::INAPPROPRIATE_AUTHENTICATION),
                },
                BindStep::Sasl { mechanism, .. } if mechanism == "STEPS" => {
                    self.steps += 1;
                    if self.steps < 3 {
                        return Ok(BindReply::Continue {
                            credentials: Some(Bytes::from(format!("challenge {}", self.steps))),
                            outcome: Outcome::new(LdapResult::new(ResultCode::SASL_BIND_IN_PROGRESS)),
                        });
                    }
                    self.steps = 0;
                    Ok(BindReply::Done {
                        actor: Actor::User(Identity::from_successful_bind_as("u:steps")),
                        outcome: Outcome::success(),
                        credentials: Some(Bytes::from_static(b"bye")),
                    })
                }
                _ => refused(ResultCode::AUTH_METHOD_NOT_SUPPORTED),
            }
        })
    }
}

impl Directory for ToySession {
    fn call(&self, request: Request) -> Reply {
        self.state.calls.fetch_add(1, Ordering::SeqCst);
        self.state.change();
        let (name, yes) = match &request.op {
            Op::Search(search) => (search.base.to_string(), ResultCode::SUCCESS),
            Op::Compare(compare) => (compare.dn.to_string(), ResultCode::COMPARE_TRUE),
            Op::Add(add) => (add.dn.to_string(), ResultCode::SUCCESS),
            Op::Modify(modify) => (modify.dn.to_string(), ResultCode::SUCCESS),
            Op::Delete(delete) => (delete.dn.to_string(), ResultCode::SUCCESS),
            Op::Rename(rename) => (rename.dn.to_string(), ResultCode::SUCCESS),
            Op::Extended(extended) => {
                let who = match &request.actor {
                    Actor::User(identity) => identity.authorization().to_owned(),
                    Actor::Anonymous => String::new(),
                    Actor::Service => "service".to_owned(),
                };
                let outcome = Outcome {
                    oid: Some(extended.oid.clone()),
                    value: Some(Bytes::from(who)),
                    ..Outcome::success()
                };
                return Reply::ready(Ok(outcome));
            }
        };
        match name.as_str() {
            "cn=one" => Reply::events(Entries { state: None, left: Some(1), yes }),
            "cn=three" => Reply::events(Entries { state: None, left: Some(3), yes }),
            "cn=many" => Reply::events(Entries { state: Some(Alive::new(&self.state)), left: None, yes }),
            "cn=never" => {
                let alive = Alive::new(&self.state);
                Reply::pending(async move {
                    alive.0.release.acquire().await.unwrap().forget();
                    Ok(Outcome::new(LdapResult::new(yes)))
                })
            }
            "cn=busy" => Reply::events(Busy(Arc::clone(&self.state))),
            "cn=panic" => panic!("asked to"),
            "cn=storage" => {
                Reply::ready(Err(Error::new(ErrorKind::Storage, "cannot read `/secret/path`")
                    .with_source("sector 7 is bad")))
            }
            "cn=items" => Reply::events(Entries { state: None, left: Some(1), yes }),
            _ => Reply::ready(Ok(Outcome::new(LdapResult::new(yes)))),
        }
    }
}

struct Alive(Arc<State>);

impl Alive {
    fn new(state: &Arc<State>) -> Self {
        state.alive.fetch_add(1, Ordering::SeqCst);
        state.change();
        Self(state.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
        self.0.change();
    }
}

/// A search that finds nothing, as slices of a scan would: work, then everybody's turn.
struct Busy(Arc<State>);

impl Events for Busy {
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        let until = Instant::now() + Duration::from_millis(1);
        while Instant::now() < until {}
        self.0.worked.fetch_add(1, Ordering::SeqCst);
        let _ = pin!(yield_now()).poll(cx);
        Poll::Pending
    }
}

struct Entries {
    state: Option<Alive>,
    left: Option<usize>,
    yes: ResultCode,
}

impl Events for Entries {
    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        let this = self.get_mut();
        if let Some(alive) = &this.state {
            alive.0.batches.fetch_add(1, Ordering::SeqCst);
            alive.0.change();
        }
        Poll::Ready(Ok(match &mut this.left {
            Some(0) => Event::Done(Outcome::new(LdapResult::new(this.yes))),
            Some(left) => {
                *left -= 1;
                Event::Batch(batch(1))
            }
            None => Event::Batch(batch(ENTRIES)),
        }))
    }
}

fn batch(entries: usize) -> Batch {
    let mut writer = BatchWriter::new();
    for _ in 0..entries {
        writer.entry("cn=entry", &Controls::none(), |body| {
            body.sequence(|attribute| {
                attribute.octets(b"description");
                attribute
                    .constructed(flext_ldap_proto::ber::Tag::SET, |values| values.octets(&[b'x'; VALUE]));
            });
        });
    }
    writer.take()
}
