//! What a set, its operations and its tasks all see.

use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use flext_ldap_directory::{Deadline, Error, ErrorKind};
use tokio::{sync::Notify, task::JoinSet};

use super::{
    WhenDown,
    budget::Budget,
    choice::{Choice, Lot, Place, choose},
    member::Member,
    prober,
    tag::Tag,
};
use crate::{Server, chance::Dice};

/// Times and bounds of a set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) choice: Choice,
    pub(crate) when_down: WhenDown,
    /// Between probes of a member that is well, and of one that is not.
    pub(crate) check_every: Duration,
    pub(crate) recheck_every: Duration,
    pub(crate) check_timeout: Duration,
    pub(crate) open_timeout: Duration,
    /// From when on an answer is slow whatever the others do.
    pub(crate) slow: Duration,
    pub(crate) retries: u32,
    /// How often an operation is sent at most, if that is said.
    pub(crate) attempts: Option<u32>,
    pub(crate) longest_pause: Duration,
    pub(crate) probes: Probes,
}

/// When members are asked how they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Probes {
    /// Now and then, too.
    Steady,
    /// Only when operations give reason to.
    OnDemand,
}

/// Times the median of the others' averages from which on an answer is slow. Of equal servers with equal work no more than
/// a quarter of the answers can take that long (Markov's inequality), and a quarter is what health bears.
const SLOWER_THAN_OTHERS: u32 = 4;
/// Below that nothing is slow: differences that nobody notices make nobody sick.
const SLOW_FLOOR: Duration = Duration::from_millis(50);
/// Who has not been asked for so long is not compared with: the work may have been other work.
const LATELY: Duration = Duration::from_secs(30);

/// How long the operations of a server that has left the set may go on.
const FAREWELL: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) settings: Settings,
    pub(crate) tag: Tag,
    pub(crate) budget: Budget,
    pub(crate) dice: Dice,
    members: RwLock<Arc<[Arc<Member>]>>,
    /// A member has come, or has come back, or the set is shut down.
    pub(crate) changed: Notify,
    turn: AtomicUsize,
    next_number: AtomicU32,
    closing: AtomicBool,
    /// Whether it is known who the members are.
    known: AtomicBool,
    /// Why the members could not be looked up the last time.
    pub(crate) lookup_error: Mutex<Option<String>>,
    pub(crate) tasks: Mutex<JoinSet<()>>,
    /// Servers that have left the set, and end what they have in flight.
    pub(crate) farewells: Mutex<JoinSet<()>>,
    pub(crate) retries: AtomicU64,
    pub(crate) refused_retries: AtomicU64,
}

impl Shared {
    pub(crate) fn new(name: String, settings: Settings) -> Self {
        let dice = Dice::new();
        Self {
            name,
            settings,
            tag: Tag::new(dice.throw()),
            budget: Budget::new(settings.retries),
            dice,
            members: RwLock::new(Arc::new([])),
            changed: Notify::new(),
            turn: AtomicUsize::new(0),
            next_number: AtomicU32::new(0),
            closing: AtomicBool::new(false),
            known: AtomicBool::new(false),
            lookup_error: Mutex::new(None),
            tasks: Mutex::new(JoinSet::new()),
            farewells: Mutex::new(JoinSet::new()),
            retries: AtomicU64::new(0),
            refused_retries: AtomicU64::new(0),
        }
    }

    pub(crate) fn members(&self) -> Arc<[Arc<Member>]> {
        Arc::clone(&self.members.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The member to ask next, of those not tried.
    pub(crate) fn choose(&self, tried: &[u32], is_write: bool) -> Option<Arc<Member>> {
        let members = self.members();
        let lot = Lot { turn: self.turn.fetch_add(1, Ordering::Relaxed), random: self.dice.throw() };
        let see = |index: usize| {
            let member = members.get(index)?;
            (!tried.contains(&member.number)).then(|| member.sight(self.settings.choice))
        };
        let chosen = choose(self.settings.choice, members.len(), see, is_write, lot)?;
        members.get(chosen).map(Arc::clone)
    }

    pub(crate) fn member(&self, number: u32) -> Option<Arc<Member>> {
        self.members().iter().find(|member| member.number == number).map(Arc::clone)
    }

    /// Whether there are members that were not tried.
    pub(crate) fn has_another(&self, tried: &[u32]) -> bool {
        self.members().iter().any(|member| !tried.contains(&member.number))
    }

    pub(crate) fn all_are_down(&self) -> bool {
        self.members().iter().all(|member| member.is_down())
    }

    /// Returns when `member` is down and there is somebody to go on with; with [`WhenDown::Fail`] as soon as it is down.
    pub(crate) async fn when_given_up(self: Arc<Self>, member: Arc<Member>) {
        loop {
            let (given_up, changed) = (member.given_up.notified(), self.changed.notified());
            match member.is_down() {
                false => given_up.await,
                true if self.settings.when_down == WhenDown::Fail || !self.all_are_down() => return,
                true => changed.await,
            }
        }
    }

    /// Puts a server into the set, and begins to look after it.
    pub(crate) fn add(self: &Arc<Self>, server: Arc<dyn Server>, place: Place) -> Arc<Member> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let member = Arc::new(Member::new(number, server, place, self.settings.slow));
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        let prober = tasks.spawn(prober::watch(Arc::clone(self), Arc::clone(&member)));
        drop(tasks);
        // It is new, so there is none in it.
        let _: Result<(), _> = member.prober.set(prober);
        self.replace(|members| members.push(Arc::clone(&member)));
        self.changed.notify_waiters();
        member
    }

    /// Takes a server out of the set. What is in flight on it may end.
    pub(crate) fn remove(&self, member: &Arc<Member>) {
        self.replace(|members| members.retain(|other| other.number != member.number));
        if let Some(prober) = member.prober.get() {
            prober.abort();
        }
        let server = Arc::clone(&member.server);
        let mut farewells = self.farewells.lock().unwrap_or_else(PoisonError::into_inner);
        while farewells.try_join_next().is_some() {}
        farewells.spawn(async move { server.shutdown(Deadline::after(FAREWELL)).await });
    }

    fn replace(&self, change: impl FnOnce(&mut Vec<Arc<Member>>)) {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        let mut list = members.to_vec();
        change(&mut list);
        *members = list.into();
    }

    /// It is known now who the members are, or that nobody could be asked.
    pub(crate) fn set_known(&self) {
        self.known.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    pub(crate) fn is_known(&self) -> bool {
        self.known.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// From when on an answer of this member is slow: an absolute bound, and one against the median of the others.
    pub(crate) fn bar(&self, member: &Member) -> Duration {
        let members = self.members();
        let others = members.iter().filter(|other| other.number != member.number && !other.is_down());
        let mut latencies: Vec<_> = others.filter_map(|other| other.latency_within(LATELY)).collect();
        latencies.sort_unstable();
        let relative = match latencies.get(latencies.len() / 2) {
            Some(median) => median.saturating_mul(SLOWER_THAN_OTHERS).max(SLOW_FLOOR),
            None => Duration::MAX,
        };
        relative.min(self.settings.slow)
    }

    /// The error of a set that has nobody to ask.
    pub(crate) fn nobody(&self) -> Error {
        let name = &self.name;
        let reason = self.lookup_error.lock().unwrap_or_else(PoisonError::into_inner);
        let message = match (&*reason, self.is_known()) {
            (Some(reason), _) => format!("no server of the set `{name}` is known: {reason}"),
            (None, true) => format!("the set `{name}` has no servers: add one"),
            (None, false) => {
                format!("the servers of the set `{name}` could not be looked up in the time allowed")
            }
        };
        Error::new(ErrorKind::Unreachable, message)
    }

    /// The error of a set that was shut down.
    pub(crate) fn closed(&self) -> Error {
        Error::new(ErrorKind::Closed, format!("the set of servers `{}` was shut down", self.name))
    }

    /// The error for those that none of the servers could answer.
    pub(crate) fn none_answered(&self, failures: &mut Vec<Error>, why_not_again: &str) -> Error {
        let Some(last) = failures.pop() else { return self.nobody() };
        if failures.is_empty() && why_not_again.is_empty() {
            return last;
        }
        let mut texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
        texts.push(last.to_string());
        let message =
            format!("no server of the set `{}` answered{why_not_again}: {}", self.name, texts.join("; "));
        let kind = match last.kind() {
            ErrorKind::Rejected => ErrorKind::Unreachable,
            kind => kind,
        };
        Error::new(kind, message).with_applied(last.applied()).with_source(last)
    }
}
