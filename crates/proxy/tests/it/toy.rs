//! An upstream that does what it is told, and remembers what it was asked.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use flext_ldap_directory::{
    Actor, Applied, BindReply, BindStep, BoxFuture, Deadline, Directory, Error, ErrorKind, Event, Events,
    Identity, Op, Outcome, Peer, Reply, Request, Session, Sessions,
};
use flext_ldap_proto::{
    batch::{Batch, BatchWriter},
    control::{ControlValue as _, Controls, PagedResults, ProxiedAuthorization},
    dn::Dn,
    filter::Filter,
    message::{Add, Limits, Scope, Search},
    result::{LdapResult, ResultCode},
};
use flext_ldap_proxy::{Proxy, ProxyBuilder};
use tokio::time::Sleep;

/// What becomes of an operation or a bind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Answered(ResultCode),
    /// The connection is lost, and this is what is known.
    Lost(Applied),
    /// An entry comes, and after this time either the end or the loss of the connection.
    Entry {
        after: Duration,
        is_lost: bool,
    },
    /// No answer until the deadline.
    Silent,
}

#[derive(Default)]
pub(crate) struct Script {
    /// What becomes of the next operations on conversations; then all are answered.
    pub(crate) operations: VecDeque<Fate>,
    /// Likewise of binds.
    pub(crate) binds: VecDeque<Fate>,
    /// How long a bind that is answered takes, each after the others, as where passwords are verified.
    pub(crate) bind_takes: Duration,
    /// Binds that are being verified or wait for it, and the most there were.
    pub(crate) binding: (usize, usize),
    /// Conversations that answer nothing, not even the root DSE.
    pub(crate) silent: Vec<usize>,
    /// Conversations opened so far.
    pub(crate) opened: usize,
    /// Those that have ended.
    pub(crate) ended: Vec<usize>,
    /// What was asked, on which conversation: 0 is the upstream itself.
    pub(crate) heard: Vec<(usize, String)>,
    /// Octets of text in each answer.
    pub(crate) padding: usize,
    /// What no upstream can do.
    pub(crate) is_down: bool,
    /// Conversations at a time, if that is bounded.
    pub(crate) most: Option<usize>,
    /// The most there were at a time.
    pub(crate) peak: usize,
}

/// An upstream.
#[derive(Clone, Default)]
pub(crate) struct Toy(pub(crate) Arc<Mutex<Script>>);

struct Talk {
    number: usize,
    script: Arc<Mutex<Script>>,
    actor: Actor,
}

impl Toy {
    pub(crate) fn proxy(&self) -> ProxyBuilder {
        Proxy::builder(self.clone())
    }

    pub(crate) fn then(&self, fates: impl IntoIterator<Item = Fate>) {
        self.0.lock().unwrap().operations.extend(fates);
    }

    pub(crate) fn then_binds(&self, fates: impl IntoIterator<Item = Fate>) {
        self.0.lock().unwrap().binds.extend(fates);
    }

    /// What was asked so far, and forgets it.
    pub(crate) fn heard(&self) -> Vec<(usize, String)> {
        std::mem::take(&mut self.0.lock().unwrap().heard)
    }
}

impl Directory for Toy {
    fn call(&self, request: Request) -> Reply {
        let mut script = self.0.lock().unwrap();
        let as_whom = request.controls.get::<ProxiedAuthorization>(&Limits::DEFAULT).unwrap();
        let as_whom = as_whom.map(|authorization| format!(" as {}", authorization.0)).unwrap_or_default();
        assert_eq!(request.actor, Actor::Service);
        script.heard.push((0, format!("{}{as_whom}", request.op.kind().name())));
        Reply::ready(Ok(Outcome::success()))
    }
}

impl Sessions for Toy {
    fn open(&self, _: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        Box::pin(async {
            let mut script = self.0.lock().unwrap();
            if script.is_down {
                return Err(Error::new(ErrorKind::Unreachable, "all servers are down"));
            }
            let open = script.opened - script.ended.len();
            if script.most.is_some_and(|most| open >= most) {
                return Err(Error::new(ErrorKind::Overloaded, "all conversations are taken"));
            }
            script.peak = script.peak.max(open + 1);
            script.opened += 1;
            let talk = Talk { number: script.opened, script: Arc::clone(&self.0), actor: Actor::Anonymous };
            Ok(Box::new(talk) as Box<dyn Session>)
        })
    }
}

fn fail(applied: Applied) -> Error {
    Error::new(ErrorKind::Closed, "the connection was lost").with_applied(applied)
}

/// Takes its time for a bind, after those that came before.
async fn verify(script: &Mutex<Script>) {
    let takes = {
        let mut script = script.lock().unwrap();
        script.binding.0 += 1;
        script.binding.1 = script.binding.1.max(script.binding.0);
        script.bind_takes * u32::try_from(script.binding.0).unwrap()
    };
    tokio::time::sleep(takes).await;
    script.lock().unwrap().binding.0 -= 1;
}

async fn silent(by: Deadline, applied: Applied) -> Error {
    tokio::time::sleep_until(by.instant()).await;
    Error::new(ErrorKind::Timeout, "no answer in time").with_applied(applied)
}

impl Directory for Talk {
    fn call(&self, request: Request) -> Reply {
        let mut script = self.script.lock().unwrap();
        assert_eq!(request.actor, self.actor);
        let applied = if request.op.is_read() { Applied::No } else { Applied::Unknown };
        let is_probe = matches!(&request.op, Op::Search(search) if search.base.is_root());
        if script.silent.contains(&self.number) {
            return Reply::pending(async move { Err(silent(request.deadline, applied).await) });
        }
        if is_probe {
            script.heard.push((self.number, "probe".to_owned()));
            return Reply::ready(Ok(Outcome::success()));
        }
        script.heard.push((self.number, request.op.kind().name().to_owned()));
        match script.operations.pop_front().unwrap_or(Fate::Answered(ResultCode::SUCCESS)) {
            Fate::Answered(code) => {
                let mut outcome = Outcome::new(LdapResult::with_diagnostic(code, "x".repeat(script.padding)));
                if request.controls.iter().any(|control| control.oid == PagedResults::OID) {
                    let cookie = Bytes::from_static(b"next");
                    outcome.controls = outcome.controls.optional(&PagedResults { size: 0, cookie });
                }
                Reply::ready(Ok(outcome))
            }
            Fate::Lost(applied) => Reply::ready(Err(fail(applied))),
            Fate::Entry { after, is_lost } => Reply::events(Entry {
                entry: Some(entry()),
                after: Box::pin(tokio::time::sleep(after)),
                is_lost,
            }),
            Fate::Silent => {
                let what = format!("{} abandoned", request.op.kind().name());
                let unheard = Unheard { number: self.number, what, script: Arc::clone(&self.script) };
                Reply::pending(async move {
                    let error = silent(request.deadline, applied).await;
                    unheard.forget();
                    Err(error)
                })
            }
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.script.lock().unwrap().ended.push(self.number);
    }
}

/// Tells when it is dropped.
struct Unheard {
    number: usize,
    what: String,
    script: Arc<Mutex<Script>>,
}

impl Unheard {
    fn forget(mut self) {
        self.what.clear();
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        if !self.what.is_empty() {
            self.script.lock().unwrap().heard.push((self.number, std::mem::take(&mut self.what)));
        }
    }
}

/// An entry, and later the end.
struct Entry {
    entry: Option<Batch>,
    after: Pin<Box<Sleep>>,
    is_lost: bool,
}

impl Events for Entry {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        if let Some(entry) = self.entry.take() {
            return Poll::Ready(Ok(Event::Batch(entry)));
        }
        ready!(self.after.as_mut().poll(cx));
        Poll::Ready(match self.is_lost {
            true => Err(fail(Applied::No)),
            false => Ok(Event::Done(Outcome::success())),
        })
    }
}

fn entry() -> Batch {
    let mut batch = BatchWriter::new();
    batch.entry(MAJA, &Controls::none(), |_| {});
    batch.take()
}

impl Session for Talk {
    fn bind(&mut self, step: BindStep, by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        Box::pin(async move {
            self.actor = Actor::Anonymous;
            let name = match step {
                BindStep::Simple { name, .. } => name,
                // In two steps.
                BindStep::Sasl { credentials: None, .. } => {
                    self.script.lock().unwrap().heard.push((self.number, "challenge".to_owned()));
                    let outcome = Outcome::new(LdapResult::new(ResultCode::SASL_BIND_IN_PROGRESS));
                    return Ok(BindReply::Continue { credentials: None, outcome });
                }
                _ => MAJA.to_owned(),
            };
            let fate = {
                let mut script = self.script.lock().unwrap();
                script.heard.push((self.number, format!("bind {name}")));
                script.binds.pop_front().unwrap_or(Fate::Answered(ResultCode::SUCCESS))
            };
            if matches!(fate, Fate::Answered(_)) {
                verify(&self.script).await;
            }
            match fate {
                Fate::Answered(ResultCode::SUCCESS) => {
                    if !name.is_empty() {
                        let dn = name.parse().unwrap();
                        self.actor = Actor::User(Identity::from_successful_bind(dn));
                    }
                    let (actor, outcome) = (self.actor.clone(), Outcome::success());
                    Ok(BindReply::Done { actor, outcome, credentials: None })
                }
                Fate::Answered(code) => Ok(BindReply::Refused(Outcome::new(LdapResult::new(code)))),
                Fate::Lost(applied) => Err(fail(applied)),
                Fate::Entry { .. } => panic!("a bind is not answered with entries"),
                Fate::Silent => Err(silent(by, Applied::Unknown).await),
            }
        })
    }
}

pub(crate) const MAJA: &str = "uid=maja,dc=harbourlane,dc=example";

/// A session of the proxy, signed in as Maja.
pub(crate) async fn signed_in(proxy: &Proxy) -> (Box<dyn Session>, Actor) {
    let mut session = proxy.open(Peer::in_process()).await.unwrap();
    let actor = bind(&mut session).await.unwrap();
    (session, actor)
}

pub(crate) async fn bind(session: &mut Box<dyn Session>) -> Result<Actor, Error> {
    let step = BindStep::simple(MAJA, "a password".into());
    match session.bind(step, Deadline::after(Duration::from_secs(30))).await? {
        BindReply::Done { actor, .. } => Ok(actor),
        BindReply::Refused(outcome) => Err(Error::rejected(outcome)),
        BindReply::Continue { .. } => panic!("a simple bind in several steps"),
    }
}

pub(crate) fn base() -> Dn {
    "dc=harbourlane,dc=example".parse().unwrap()
}

pub(crate) fn search() -> Search {
    Search::new(base(), Scope::Subtree, "(uid=maja)".parse::<Filter>().unwrap())
}

pub(crate) fn add() -> Add {
    Add::new(MAJA.parse().unwrap(), flext_ldap_proto::attribute::Attributes::builder().build())
}
