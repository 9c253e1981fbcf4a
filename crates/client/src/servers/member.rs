//! A server in a set, and what is known of it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use flext_ldap_directory::Error;
use tokio::{sync::Notify, task::AbortHandle, time::Instant};

use super::{
    choice::{Choice, Place, Sight},
    health::{Health, Heard, MemberHealth, Pace},
};
use crate::Server;

/// A server in a set.
pub(crate) struct Member {
    pub(crate) number: u32,
    pub(crate) server: Arc<dyn Server>,
    /// Priority and weight, in one word so that choosing takes no lock.
    place: AtomicU32,
    /// Tells the prober that the health is another.
    pub(crate) wake: Notify,
    /// Whether it is to probe now.
    wants_probe: AtomicBool,
    /// Times it fell from what it was: a probe that began before says nothing about that.
    falls: AtomicU64,
    /// Wakes the operations that wait for an answer, when the member is down.
    pub(crate) given_up: Notify,
    /// Ends its probes.
    pub(crate) prober: OnceLock<AbortHandle>,
    known: Mutex<Known>,
    /// The health's class, so that choosing takes no lock.
    class: AtomicU8,
    /// Whether a quick answer would change nothing.
    settled: AtomicBool,
    born: Instant,
    /// Microseconds: moving averages, and the bar above which an answer is slow.
    latency: AtomicU64,
    nearness: AtomicU64,
    bar: AtomicU64,
    in_flight: AtomicUsize,
    /// When anything was heard last, in microseconds since `born`.
    heard: AtomicU64,
    /// Good probes since an operation began last.
    calm: AtomicU32,
    /// When the first answer to a read came last, likewise.
    answered: AtomicU64,
    operations: AtomicU64,
    failures: AtomicU64,
    moved: AtomicU64,
    probes: AtomicU64,
    failed_probes: AtomicU64,
}

/// What is not asked for with each operation.
struct Known {
    health: Health,
    since: Instant,
    last_error: Option<String>,
}

/// One operation in flight on a member, for as long as this is kept.
#[derive(Debug)]
pub(crate) struct InFlight(pub(crate) Arc<Member>);

/// Why a member is probed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Occasion {
    /// It was time.
    Due,
    /// Operations gave reason to. Probes of a member that doubts beset often must not count as many good ones.
    Doubt,
}

/// What has become known of a member of a set.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MemberStatistics {
    /// Which: [`Server::name`].
    pub name: String,
    /// What the set thinks of it.
    pub health: MemberHealth,
    /// For how long.
    pub since: Duration,
    /// Where it stands.
    pub place: Place,
    /// Operations of this set in flight on it.
    pub in_flight: usize,
    /// Operations sent to it, repeated ones included.
    pub operations: u64,
    /// Those of them that it did not answer, or answered with busy or unavailable.
    pub failures: u64,
    /// Those of them that went on to another member, or came back later.
    pub moved: u64,
    /// The moving average of the time to its first answer.
    pub latency: Duration,
    /// The moving average of the time its probes and openings took.
    pub nearness: Duration,
    /// Times it was asked how it is.
    pub probes: u64,
    /// Times it did not say that it is well.
    pub failed_probes: u64,
    /// Why it last was not.
    pub last_error: Option<String>,
}

impl Member {
    pub(crate) fn new(number: u32, server: Arc<dyn Server>, place: Place, bar: Duration) -> Self {
        let now = Instant::now();
        Self {
            number,
            server,
            place: AtomicU32::new(packed(place)),
            wake: Notify::new(),
            wants_probe: AtomicBool::new(false),
            falls: AtomicU64::new(0),
            given_up: Notify::new(),
            prober: OnceLock::new(),
            known: Mutex::new(Known { health: Health::NEW, since: now, last_error: None }),
            class: AtomicU8::new(0),
            settled: AtomicBool::new(true),
            born: now,
            latency: AtomicU64::new(0),
            nearness: AtomicU64::new(0),
            bar: AtomicU64::new(micros(bar)),
            in_flight: AtomicUsize::new(0),
            calm: AtomicU32::new(0),
            heard: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            operations: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            probes: AtomicU64::new(0),
            failed_probes: AtomicU64::new(0),
        }
    }

    pub(crate) fn health(&self) -> MemberHealth {
        match self.class.load(Ordering::Acquire) {
            0 => MemberHealth::Well,
            1 => MemberHealth::Suspect,
            2 => MemberHealth::Slow,
            3 => MemberHealth::Busy,
            _ => MemberHealth::Down,
        }
    }

    pub(crate) fn is_down(&self) -> bool {
        self.health() == MemberHealth::Down
    }

    pub(crate) fn place(&self) -> Place {
        let [high, low, weight_high, weight_low] = self.place.load(Ordering::Relaxed).to_be_bytes();
        Place {
            priority: u16::from_be_bytes([high, low]),
            weight: u16::from_be_bytes([weight_high, weight_low]),
        }
    }

    pub(crate) fn set_place(&self, place: Place) {
        self.place.store(packed(place), Ordering::Relaxed);
    }

    /// What `choice` looks at.
    pub(super) fn sight(&self, choice: Choice) -> Sight {
        let load = match choice {
            Choice::Fewest | Choice::Latency => self.server.load(),
            _ => 0,
        };
        Sight {
            health: self.health(),
            place: self.place(),
            load,
            latency: self.latency.load(Ordering::Relaxed),
            nearness: self.nearness.load(Ordering::Relaxed),
        }
    }

    /// How often the pause between probes is doubled.
    pub(crate) fn doublings(&self) -> u32 {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).health.doublings()
    }

    /// An operation begins.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.operations.fetch_add(1, Ordering::Relaxed);
        let age = self.age();
        self.calm.store(0, Ordering::Relaxed);
        if self.in_flight.fetch_add(1, Ordering::Relaxed) == 0 {
            // What was silent because nobody asked is not silent.
            self.heard.store(age, Ordering::Relaxed);
        }
        InFlight(Arc::clone(self))
    }

    /// The first answer of an operation came after `time`.
    pub(crate) fn answered(&self, time: Duration) {
        let pace = self.pace(time);
        average(&self.latency, micros(time).min(self.bar.load(Ordering::Relaxed).saturating_mul(2)));
        let age = self.age();
        self.heard.store(age, Ordering::Relaxed);
        self.answered.store(age, Ordering::Relaxed);
        if pace == Pace::Slow || !self.settled.load(Ordering::Acquire) {
            self.hear(Heard::Answer(pace), None);
        }
    }

    /// An answer came, of which the time says nothing.
    pub(crate) fn heard(&self) {
        self.heard.store(self.age(), Ordering::Relaxed);
    }

    /// An operation was answered with busy or unavailable.
    pub(crate) fn busy(&self, why: &dyn fmt::Display) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.hear(Heard::Busy, Some(why.to_string()));
    }

    /// An operation was not answered.
    pub(crate) fn failed(&self, why: &dyn fmt::Display) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.hear(Heard::Failure, Some(why.to_string()));
    }

    /// An operation was not answered in all the time that would have made its answer a slow one.
    pub(crate) fn late(&self, why: &dyn fmt::Display) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.hear(Heard::Late, Some(why.to_string()));
    }

    /// An operation was not answered, and not for a fault of the member.
    pub(crate) fn not_answered(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// An operation goes on elsewhere.
    pub(crate) fn left(&self) {
        self.moved.fetch_add(1, Ordering::Relaxed);
    }

    /// A probe begins. What is given is to be given to [`probed`](Self::probed).
    pub(crate) fn probing(&self) -> u64 {
        self.wants_probe.store(false, Ordering::Release);
        self.falls.load(Ordering::Acquire)
    }

    /// Whether a probe is wanted now.
    pub(crate) fn wants_probe(&self) -> bool {
        self.wants_probe.load(Ordering::Acquire)
    }

    /// A probe has ended that began after so many falls. Whether the member has come back by it.
    pub(crate) fn probed(
        &self,
        occasion: Occasion,
        falls: u64,
        result: Result<(), Error>,
        took: Duration,
    ) -> bool {
        self.probes.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(()) => {
                // It was well when it was asked; what it is by now nobody knows.
                self.heard.fetch_max(self.age().saturating_sub(micros(took)), Ordering::Relaxed);
                self.calm.store(self.calm.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
                average(&self.nearness, micros(took));
                let pace = self.pace(took);
                let is_over = self.falls.load(Ordering::Acquire) != falls;
                let is_nothing_new =
                    occasion == Occasion::Doubt && self.health() == MemberHealth::Well && pace != Pace::Slow;
                if is_over || is_nothing_new {
                    return false;
                }
                self.hear(Heard::Probe(pace), None)
            }
            Err(error) => {
                self.failed_probes.fetch_add(1, Ordering::Relaxed);
                self.hear(Heard::ProbeFailure, Some(with_causes(&error)))
            }
        }
    }

    /// Opening a conversation took so long.
    pub(crate) fn opened(&self, took: Duration) {
        average(&self.nearness, micros(took));
    }

    /// The bar from now on.
    pub(crate) fn set_bar(&self, bar: Duration) {
        self.bar.store(micros(bar), Ordering::Relaxed);
    }

    /// The moving average of its latency, if it has answered within this time.
    pub(crate) fn latency_within(&self, time: Duration) -> Option<Duration> {
        let since = self.age().saturating_sub(self.answered.load(Ordering::Relaxed));
        match self.latency.load(Ordering::Relaxed) {
            0 => None,
            micros => (since <= self::micros(time)).then_some(Duration::from_micros(micros)),
        }
    }

    /// Whether operations are in flight and nothing has been heard for so long; for twice as long after each good probe since
    /// the last of them began, since they may be ones that wait for something to happen.
    pub(crate) fn is_silent_for(&self, time: Duration) -> bool {
        let bearable = time.saturating_mul(2_u32.saturating_pow(self.calm.load(Ordering::Relaxed)));
        self.in_flight.load(Ordering::Relaxed) > 0
            && self.age().saturating_sub(self.heard.load(Ordering::Relaxed)) > micros(bearable)
    }

    pub(crate) fn statistics(&self) -> MemberStatistics {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MemberStatistics {
            name: self.server.name().to_owned(),
            health: known.health.class(),
            since: known.since.elapsed(),
            place: self.place(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            operations: count(&self.operations),
            failures: count(&self.failures),
            moved: count(&self.moved),
            latency: Duration::from_micros(count(&self.latency)),
            nearness: Duration::from_micros(count(&self.nearness)),
            probes: count(&self.probes),
            failed_probes: count(&self.failed_probes),
            last_error: known.last_error.clone(),
        }
    }

    /// Whether the member has come back by what was heard.
    fn hear(&self, heard: Heard, why: Option<String>) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.health.class();
        known.health = known.health.hear(heard);
        if why.is_some() {
            known.last_error = why;
        }
        let after = known.health.class();
        self.class.store(after as u8, Ordering::Release);
        self.settled.store(known.health.is_settled(), Ordering::Release);
        if known.health.wants_probe(heard) {
            self.wants_probe.store(true, Ordering::Release);
            self.wake.notify_one();
        }
        if before == after {
            return false;
        }
        if before < after {
            self.falls.fetch_add(1, Ordering::Release);
        }
        self.wake.notify_one();
        known.since = Instant::now();
        let name = self.server.name();
        match (after, &known.last_error) {
            (MemberHealth::Well, _) if before == MemberHealth::Suspect => {
                tracing::debug!(server = name, "server is well after all");
            }
            // As loud as what it ends: who reads that a server is down is to read that it is not any more.
            (MemberHealth::Well, _) => tracing::warn!(server = name, was = ?before, "server is well again"),
            (MemberHealth::Suspect, _) => tracing::debug!(server = name, "an operation failed, probing"),
            (health, Some(reason)) => {
                tracing::warn!(server = name, ?health, reason, "server is not well, others are asked first")
            }
            (health, None) => {
                tracing::warn!(server = name, ?health, "server is not well, others are asked first")
            }
        }
        drop(known);
        if after == MemberHealth::Down {
            self.given_up.notify_waiters();
        }
        after == MemberHealth::Well
    }

    fn pace(&self, time: Duration) -> Pace {
        let (time, bar) = (micros(time), self.bar.load(Ordering::Relaxed));
        match () {
            () if time >= bar => Pace::Slow,
            () if time >= bar / 2 => Pace::Middling,
            () => Pace::Quick,
        }
    }

    fn age(&self) -> u64 {
        micros(self.born.elapsed())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("name", &self.server.name())
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

/// An error and its causes, in one line.
pub(crate) fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

fn packed(place: Place) -> u32 {
    u32::from(place.priority) << 16 | u32::from(place.weight)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Moves an average an eighth of the way; the first one is taken as it is, and none is 0, which means there is none.
fn average(average: &AtomicU64, sample: u64) {
    let moved = |old: u64| match old {
        0 => sample.max(1),
        old => (old - old / 8).saturating_add(sample / 8).max(1),
    };
    let _: Result<u64, u64> =
        average.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(moved(old)));
}
