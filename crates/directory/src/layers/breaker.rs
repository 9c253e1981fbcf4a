//! Stops asking a server that fails, and finds out when it no longer does.
//!
//! It knows nothing of other servers and tries nothing again: it answers at once instead of letting everybody wait for
//! what will not come, and leaves the server the room to recover.

mod circuit;

use std::{
    collections::hash_map::RandomState,
    error::Error as StdError,
    fmt,
    hash::{BuildHasher, DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flext_ldap_proto::{batch::Batch, result::ResultCode};
use tokio::time::Instant;

use self::circuit::{Circuit, Count, Phase, Rules, Ticket, Verdict};
use super::{
    metrics::{MetricsPage, MetricsSource},
    watch::{End, Witness, waits_for_changes, watch},
};
use crate::{Directory, Error, ErrorKind, Layer, Op, Reply, Request};

/// Into how many parts the window is divided: what falls out of it does so a tenth at a time.
const PARTS: usize = 10;

/// Operations that fail together: a server that cannot write may well answer searches.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum OperationClass {
    /// What surely changes nothing: [`Op::is_read`].
    Read,
    /// Everything else.
    Write,
}

impl OperationClass {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Read, Self::Write];

    /// The class of an operation.
    #[must_use]
    pub fn of(op: &Op) -> Self {
        if op.is_read() { Self::Read } else { Self::Write }
    }

    /// `read` or `write`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// When a [`Breaker`] opens, and how it closes again.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "any values are right; new ones have a default to start from")]
pub struct BreakerOptions {
    /// The time that is looked back on. 10 s.
    pub window: Duration,
    /// Calls in the window below which nothing is concluded. 20.
    pub minimum: u32,
    /// Of a hundred calls in the window, how many must fail. 50; below 1 counts as 1, above 100 as 100.
    pub percent: u32,
    /// How long it stays open the first time. 1 s. It is open for a random time between the half and the whole of it, so
    /// that programs that lost a server together do not come back together.
    pub shortest: Duration,
    /// How long it stays open at most; the time doubles whenever it opens again without having been closed for a
    /// window. 60 s.
    pub longest: Duration,
    /// Calls that are let through at once when the time is over, and that must be answered before it closes. 3, at
    /// least 1.
    pub probes: u32,
    /// A call that was given less time than this and got no answer says nothing about the server; and when no probe
    /// has come back for this long, another one is let through. 1 s.
    pub patience: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            minimum: 20,
            percent: 50,
            shortest: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            probes: 3,
            patience: Duration::from_secs(1),
        }
    }
}

impl BreakerOptions {
    fn rules(&self) -> Rules {
        let shortest = millis(self.shortest).max(1);
        Rules {
            window: millis(self.window).max(1),
            minimum: self.minimum,
            percent: self.percent.clamp(1, 100),
            shortest,
            longest: millis(self.longest).max(shortest),
            probes: self.probes.max(1),
            patience: millis(self.patience).max(1),
        }
    }
}

/// The layer: two circuits, one for reads and one for writes, around one server. A clone is the same.
///
/// What counts against the server:
///
/// - It cannot be reached, its TLS cannot be trusted, its storage fails.
/// - It hangs up, breaks the protocol, or answers `busy`, `unavailable` or `other`: if that happens to more than one
///   question. One filter, base or entry that a server chokes on does not open a circuit however often it is asked for.
/// - It does not answer a call that had [`patience`](BreakerOptions::patience), nor anybody else meanwhile: again, to
///   more than one question. A search that is slow among others that are not does not count.
///
/// Every other answer counts for it, also `noSuchObject` and `timeLimitExceeded`. What a caller gave up sooner than that, a
/// search that waits for changes, and what never got as far as the server count for nothing. A search counts when it first delivers, and once more if it fails after
/// that. Binds are not seen here.
///
/// While a circuit is open a call is answered at once by an error of kind [`ErrorKind::Unreachable`] with
/// [`Applied::No`](crate::Applied::No), whose source is a [`BreakerOpen`].
///
/// ```
/// use flext_ldap_directory::layers::{Breaker, BreakerOptions, BreakerState, OperationClass};
///
/// let breaker = Breaker::new("ldap1.harbourlane.example:636", BreakerOptions::default());
/// // let directory = Layered::new(connection, Arc::new(breaker.clone()));
/// assert_eq!(breaker.state(OperationClass::Read), BreakerState::Closed);
/// ```
#[derive(Clone)]
pub struct Breaker(Arc<Shared>);

struct Shared {
    server: Box<str>,
    rules: Rules,
    origin: Instant,
    chance: AtomicU64,
    reads: Mutex<Class>,
    writes: Mutex<Class>,
}

struct Class {
    circuit: Circuit<PARTS>,
    opened: u64,
    refused: u64,
    /// Why it was opened last.
    why: Arc<str>,
}

/// How a circuit of a [`Breaker`] stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth")]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// Some calls go through, to see whether they are answered.
    HalfOpen,
    /// No call goes through until then; the next one after that does.
    Open {
        /// The end of it.
        until: Instant,
    },
}

/// What a circuit of a [`Breaker`] has done since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct BreakerStatistics {
    /// Times it has opened.
    pub opened: u64,
    /// Calls it has refused.
    pub refused: u64,
}

/// Why a call was not made: the source of a [`Breaker`]'s errors.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BreakerOpen {
    /// Operations of this class are not made.
    pub class: OperationClass,
    /// Another try may be worth it from then on.
    pub until: Instant,
    why: Arc<str>,
}

impl fmt::Display for BreakerOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl StdError for BreakerOpen {}

impl Breaker {
    /// A breaker of the server that messages call `server`.
    #[must_use]
    pub fn new(server: impl Into<Box<str>>, options: BreakerOptions) -> Self {
        let rules = options.rules();
        let class =
            || Mutex::new(Class { circuit: Circuit::new(rules), opened: 0, refused: 0, why: Arc::from("") });
        Self(Arc::new(Shared {
            server: server.into(),
            rules,
            origin: Instant::now(),
            chance: AtomicU64::new(RandomState::new().build_hasher().finish()),
            reads: class(),
            writes: class(),
        }))
    }

    /// How the circuit of a class stands.
    #[must_use]
    pub fn state(&self, class: OperationClass) -> BreakerState {
        match self.0.class(class).circuit.phase() {
            Phase::Closed => BreakerState::Closed,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
            Phase::Open { until } => BreakerState::Open { until: self.0.at(until) },
        }
    }

    /// What the circuit of a class has done.
    #[must_use]
    pub fn statistics(&self, class: OperationClass) -> BreakerStatistics {
        let class = self.0.class(class);
        BreakerStatistics { opened: class.opened, refused: class.refused }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("server", &self.0.server)
            .field("read", &self.state(OperationClass::Read))
            .field("write", &self.state(OperationClass::Write))
            .finish_non_exhaustive()
    }
}

impl Layer for Breaker {
    fn call(&self, request: Request, next: &dyn Directory) -> Reply {
        let class = OperationClass::of(&request.op);
        let started = Instant::now();
        let question = question(&request.op);
        let admitted = {
            let mut class = self.0.class(class);
            let admitted = class.circuit.admit(self.0.millis(started), question);
            class.refused = class.refused.saturating_add(u64::from(admitted.is_err()));
            admitted.map_err(|until| (until, class.why.clone()))
        };
        match admitted {
            Ok(ticket) => {
                let given = request.deadline.instant().saturating_duration_since(started);
                let patient = millis(given) >= self.0.rules.patience && !waits_for_changes(&request);
                watch(
                    next.call(request),
                    Call { shared: self.0.clone(), class, ticket, patient, good: false },
                )
            }
            Err((until, why)) => Reply::ready(Err(self.0.refusal(class, started, until, why))),
        }
    }
}

impl MetricsSource for Breaker {
    fn collect(&self, page: &mut MetricsPage) {
        for class in OperationClass::ALL {
            let labels = [("server", &*self.0.server), ("class", class.name())];
            let state = match self.state(class) {
                BreakerState::Closed => 0.0,
                BreakerState::HalfOpen => 1.0,
                BreakerState::Open { .. } => 2.0,
            };
            let statistics = self.statistics(class);
            page.gauge("ldap_breaker_state", "0 closed, 1 half open, 2 open.", &labels, state);
            page.counter(
                "ldap_breaker_opened_total",
                "Times a breaker has opened.",
                &labels,
                statistics.opened,
            );
            page.counter("ldap_breaker_refused_total", "Calls not made.", &labels, statistics.refused);
        }
    }
}

impl Shared {
    fn class(&self, class: OperationClass) -> MutexGuard<'_, Class> {
        let class = match class {
            OperationClass::Read => &self.reads,
            OperationClass::Write => &self.writes,
        };
        class.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn millis(&self, instant: Instant) -> u64 {
        millis(instant.saturating_duration_since(self.origin))
    }

    fn at(&self, millis: u64) -> Instant {
        self.origin.checked_add(Duration::from_millis(millis)).unwrap_or(self.origin)
    }

    /// A number that is random enough to keep programs apart (splitmix64).
    fn chance(&self) -> u32 {
        let mut mixed = self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 32) as u32
    }

    fn report(&self, class: OperationClass, ticket: Ticket, verdict: Verdict, end: Option<End<'_>>) {
        let now = self.millis(Instant::now());
        let mut class = self.class(class);
        if let Some(count) = class.circuit.report(now, ticket, verdict, self.chance()) {
            class.opened = class.opened.saturating_add(1);
            class.why = self.why(count, end).into();
        }
    }

    fn why(&self, Count { failed, all }: Count, end: Option<End<'_>>) -> String {
        let last = match end {
            Some(End::Answered(outcome)) => format!("it answered {}", outcome.result.code),
            // What was asked by somebody else is nobody's business, and only these speak of nothing but the way.
            Some(End::Failed(error)) => match error.kind() {
                ErrorKind::Unreachable | ErrorKind::Tls => error.to_string(),
                ErrorKind::Closed => "it hung up".to_owned(),
                ErrorKind::Protocol => "it broke the protocol".to_owned(),
                ErrorKind::Storage => "its storage failed".to_owned(),
                _ => "it did not answer".to_owned(),
            },
            Some(End::Left { .. }) | None => "it did not answer".to_owned(),
        };
        let window = Duration::from_millis(self.rules.window);
        format!("{failed} of the last {all} calls within {window:?} failed, the last one because: {last}")
    }

    fn refusal(&self, class: OperationClass, now: Instant, until: u64, why: Arc<str>) -> Error {
        let until = self.at(until);
        let wait = Duration::from_millis(millis(until.saturating_duration_since(now)).max(1));
        let (server, name) = (&self.server, class.name());
        let message = format!(
            "{server} is given time to recover, so this {name} was not sent: {why}; ask another server, or try again in \
             {wait:?}"
        );
        Error::new(ErrorKind::Unreachable, message).with_source(BreakerOpen { class, until, why })
    }
}

struct Call {
    shared: Arc<Shared>,
    class: OperationClass,
    ticket: Ticket,
    /// Whether the caller would give the server enough time, and an answer was due.
    patient: bool,
    /// Whether it has counted for the server already.
    good: bool,
}

impl Witness for Call {
    fn delivered(&mut self, _batch: &Batch) {
        if !self.good {
            self.good = true;
            self.shared.report(self.class, self.ticket, Verdict::Good, None);
        }
    }

    fn ended(&mut self, end: End<'_>) {
        let verdict = match end {
            End::Answered(outcome) => of_code(outcome.result.code),
            End::Failed(error) => self.of_error(error),
            End::Left { waited: true } if self.patient && !self.good && self.is_late() => Verdict::Late,
            End::Left { .. } => Verdict::Nothing,
        };
        if !(self.good && matches!(verdict, Verdict::Good | Verdict::Nothing)) {
            self.shared.report(self.class, self.ticket, verdict, Some(end));
        }
    }
}

impl Call {
    /// Whether the server has had enough time.
    fn is_late(&self) -> bool {
        let now = self.shared.millis(Instant::now());
        now.saturating_sub(self.ticket.started) >= self.shared.rules.patience
    }

    fn of_error(&self, error: &Error) -> Verdict {
        match error.kind() {
            ErrorKind::Unreachable if error.source().is_some_and(|source| source.is::<BreakerOpen>()) => {
                Verdict::Nothing
            }
            ErrorKind::Unreachable | ErrorKind::Tls | ErrorKind::Storage => Verdict::Failed,
            ErrorKind::Closed | ErrorKind::Protocol => Verdict::Doubtful,
            ErrorKind::Timeout if self.patient => Verdict::Late,
            ErrorKind::Rejected => error.result_code().map_or(Verdict::Nothing, of_code),
            _ => Verdict::Nothing,
        }
    }
}

fn of_code(code: ResultCode) -> Verdict {
    match code {
        ResultCode::BUSY | ResultCode::UNAVAILABLE | ResultCode::OTHER => Verdict::Doubtful,
        _ => Verdict::Good,
    }
}

/// What tells one question from another: what is asked about, and of a search the filter and the scope.
fn question(op: &Op) -> u64 {
    let mut hasher = DefaultHasher::new();
    op.kind().hash(&mut hasher);
    match op {
        Op::Search(search) => {
            search.base.as_str().hash(&mut hasher);
            search.scope.hash(&mut hasher);
            search.filter.hash(&mut hasher);
        }
        Op::Compare(compare) => compare.dn.as_str().hash(&mut hasher),
        Op::Add(add) => add.dn.as_str().hash(&mut hasher),
        Op::Modify(modify) => modify.dn.as_str().hash(&mut hasher),
        Op::Delete(delete) => delete.dn.as_str().hash(&mut hasher),
        Op::Rename(rename) => rename.dn.as_str().hash(&mut hasher),
        Op::Extended(extended) => {
            extended.oid.hash(&mut hasher);
            extended.value.hash(&mut hasher);
        }
    }
    hasher.finish()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
