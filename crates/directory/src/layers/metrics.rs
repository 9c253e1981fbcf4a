//! Counts operations and the time they take, as Prometheus reads it.
//!
//! Every label comes from a closed set: the operations, result codes and kinds of errors there are, shapes of filters,
//! and the servers and bases somebody has configured. So the number of series has a bound, and nothing anybody asks
//! for, as whom or with which filter, is in one. What a series says of connections, retries and the like is added by
//! those who have it ([`MetricsSource`]).

mod histogram;
mod page;

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use flext_ldap_proto::{
    batch::Batch,
    dn::Dn,
    filter::{Filter, Node},
    message::Search,
    result::ResultCode,
};
use tokio::time::Instant;

use self::histogram::{Counted, Histogram};
pub use self::page::MetricsPage;
use super::{
    BreakerOpen,
    watch::{End, Witness, watch},
};
use crate::{Directory, Error, ErrorKind, Layer, Op, OpKind, Reply, Request};

/// Bounds of times, in nanoseconds: those OpenTelemetry has for calls to databases, shorter ones for directories on the
/// same network, longer ones for searches that read everything.
static TIMES: [u64; 15] = {
    const MICROS: u64 = 1_000;
    const MILLIS: u64 = 1_000 * MICROS;
    const SECONDS: u64 = 1_000 * MILLIS;
    [
        100 * MICROS,
        250 * MICROS,
        500 * MICROS,
        MILLIS,
        2_500 * MICROS,
        5 * MILLIS,
        10 * MILLIS,
        50 * MILLIS,
        100 * MILLIS,
        500 * MILLIS,
        SECONDS,
        2 * SECONDS,
        5 * SECONDS,
        10 * SECONDS,
        30 * SECONDS,
    ]
};

/// Bounds of numbers of entries.
static SIZES: [u64; 7] = [1, 10, 50, 100, 500, 1_000, 5_000];

/// Servers with series of their own. More than a configuration has; names out of DNS could go on and on.
const MOST_SERVERS: usize = 256;

/// Bases with series of their own.
pub(super) const MOST_BASES: usize = 32;

/// What is not in a closed set.
pub(super) const OTHER: &str = "other";

type Times = Histogram<{ TIMES.len() }>;
type Sizes = Histogram<{ SIZES.len() }>;

/// All that is counted. Cheap to clone; a clone is the same.
///
/// | name | labels | what |
/// |---|---|---|
/// | `db_client_operation_duration_seconds` | `db_system_name`, `db_operation_name`, `server_address`, `server_port`, and of what failed `error_type` | histogram; named as OpenTelemetry names calls of databases |
/// | `flext_ldap_operation_duration_seconds` | `operation_type`, `server` | the same times, however it ended |
/// | `flext_ldap_operations_total` | `operation_type`, `server`, `status`: `success`, `error` (the answer was no), `exception` (there was none), `abandoned` | operations that have ended |
/// | `flext_ldap_errors_total` | `error_type`, `operation`, `server` | those that did not succeed |
/// | `ldap_result_total` | `op`, `code`: its name in RFC 4511, or `unnamed`; `server` | answers |
/// | `flext_ldap_search_results_count` | `base_dn`: a configured one, or `other`; `filter_type` | histogram of what answered searches delivered |
///
/// An `error_type` is the name of a result code, of an [`ErrorKind`], `breaker_open` or `abandoned`. Times are from 100 µs to
/// 30 s, counted to where the caller has read the end. A series appears when it is first needed. Sources add theirs: a
/// [`Breaker`](super::Breaker) `ldap_breaker_state`, `ldap_breaker_opened_total` and `ldap_breaker_refused_total`, a
/// [`HealthWatch`](super::HealthWatch) `ldap_server_health`, an [`AuditTrail`](super::AuditTrail)
/// `ldap_audit_records_total`, `ldap_audit_dropped_total` and `ldap_audit_failing`.
///
/// ```
/// use std::sync::Arc;
/// use flext_ldap_directory::layers::Metrics;
///
/// let metrics = Metrics::new(["ou=people,dc=harbourlane,dc=example".parse()?]);
/// let layer = Arc::new(metrics.server("ldap1.harbourlane.example", 636));
/// // let directory = Layered::new(connection, layer);
/// assert!(metrics.to_string().is_empty(), "nothing has happened yet");
/// # Ok::<(), flext_ldap_directory::proto::dn::DnError>(())
/// ```
#[derive(Clone)]
pub struct Metrics(Arc<Registry>);

/// Something else that has metrics.
pub trait MetricsSource: Send + Sync + 'static {
    /// Adds them to a page. Called whenever metrics are read: be quick, and wait for nothing.
    fn collect(&self, page: &mut MetricsPage);
}

struct Registry {
    servers: Mutex<Vec<Arc<Operations>>>,
    sources: Mutex<Vec<Arc<dyn MetricsSource>>>,
    found: Arc<Found>,
}

/// The layer, for one server. Made by [`Metrics::server`]; a clone is the same.
#[derive(Clone)]
pub struct ServerMetrics(Arc<Operations>);

/// How the operations of one server went.
struct Operations {
    address: Box<str>,
    port: String,
    /// One for each operation and way to end, made when it is first needed.
    times: Box<[OnceLock<Box<Times>>]>,
    found: Arc<Found>,
}

/// How much searches found.
struct Found {
    /// Configured bases, as they are spelt.
    bases: Box<[Box<str>]>,
    /// One for each base, then one for all others; for each shape of a filter.
    sizes: Box<[OnceLock<Box<Sizes>>]>,
}

impl Metrics {
    /// Nothing counted yet. Searches below one of `bases` are counted apart, under the name the first of them has here; a
    /// base is recognised if it is spelt alike but for case. At most 32 are.
    #[must_use]
    pub fn new(bases: impl IntoIterator<Item = Dn>) -> Self {
        let bases: Box<[Box<str>]> =
            bases.into_iter().take(MOST_BASES).map(|base| base.as_str().into()).collect();
        let sizes = empty((bases.len() + 1) * Shape::ALL.len());
        Self(Arc::new(Registry {
            servers: Mutex::default(),
            sources: Mutex::default(),
            found: Arc::new(Found { bases, sizes }),
        }))
    }

    /// The layer that counts what is asked of a server. Asked twice for one server it is the same. From the 257th server
    /// on all are counted as one, called `other`.
    #[must_use]
    pub fn server(&self, address: &str, port: u16) -> ServerMetrics {
        self.named(address, port.to_string())
    }

    /// The layer that counts what is asked of something that has no port: a socket in the file system, an embedded
    /// directory, a set of servers.
    #[must_use]
    pub fn local(&self, name: &str) -> ServerMetrics {
        self.named(name, String::new())
    }

    /// Has `source` asked whenever metrics are read.
    pub fn add(&self, source: Arc<dyn MetricsSource>) {
        self.0.sources.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    fn named(&self, address: &str, port: String) -> ServerMetrics {
        let mut servers = self.0.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = servers.iter().find(|known| *known.address == *address && known.port == port);
        if let Some(known) = known.or_else(|| servers.get(MOST_SERVERS)) {
            return ServerMetrics(known.clone());
        }
        let (address, port) =
            if servers.len() < MOST_SERVERS { (address, port) } else { (OTHER, String::new()) };
        let server = Arc::new(Operations {
            address: address.into(),
            port,
            times: empty(OpKind::ALL.len() * ENDS),
            found: self.0.found.clone(),
        });
        servers.push(server.clone());
        ServerMetrics(server)
    }

    /// All metrics of this moment.
    #[must_use]
    pub fn page(&self) -> MetricsPage {
        let mut page = MetricsPage::default();
        for server in self.0.servers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            server.collect(&mut page);
        }
        self.0.found.collect(&mut page);
        // A source may read metrics itself, so the lock is given back first.
        let sources = self.0.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for source in sources {
            source.collect(&mut page);
        }
        page
    }
}

impl fmt::Display for Metrics {
    /// The text that Prometheus reads, of type `text/plain; version=0.0.4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.page().fmt(f)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}

impl fmt::Debug for ServerMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Operations { address, port, .. } = &*self.0;
        f.debug_struct("ServerMetrics").field("address", address).field("port", port).finish_non_exhaustive()
    }
}

impl Layer for ServerMetrics {
    fn call(&self, request: Request, next: &dyn Directory) -> Reply {
        let search = match &request.op {
            Op::Search(search) => Some(self.0.found.place(search)),
            _ => None,
        };
        let counting = Counting {
            server: self.0.clone(),
            kind: request.op.kind(),
            search,
            started: Instant::now(),
            items: 0,
        };
        watch(next.call(request), counting)
    }
}

struct Counting {
    server: Arc<Operations>,
    kind: OpKind,
    /// Where in [`Found::sizes`] it belongs, if it is a search.
    search: Option<usize>,
    started: Instant,
    items: u64,
}

impl Witness for Counting {
    fn delivered(&mut self, batch: &Batch) {
        self.items = self.items.saturating_add(batch.len() as u64);
    }

    fn ended(&mut self, end: End<'_>) {
        let place = kind_place(self.kind) * ENDS + end_place(end);
        if let Some(cell) = self.server.times.get(place) {
            let elapsed = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            cell.get_or_init(|| Box::new(Histogram::new(&TIMES))).record(elapsed);
        }
        if let (Some(place), End::Answered(_)) = (self.search, end)
            && let Some(cell) = self.server.found.sizes.get(place)
        {
            cell.get_or_init(|| Box::new(Histogram::new(&SIZES))).record(self.items);
        }
    }
}

impl Operations {
    fn collect(&self, page: &mut MetricsPage) {
        let (address, port) = (&*self.address, &*self.port);
        let server = if port.is_empty() { address.to_owned() } else { format!("{address}:{port}") };
        for (cells, kind) in self.times.chunks(ENDS).zip(OpKind::ALL) {
            let op = kind.name();
            let (mut all, mut by_status) = (Counted::none(), [0_u64; Status::ALL.len()]);
            for (place, cell) in cells.iter().enumerate() {
                let Some(times) = cell.get() else { continue };
                let (read, end) = (times.read(), EndName::of(place));
                all.add(&read);
                if let Some(count) = by_status.get_mut(end.status as usize) {
                    *count = count.wrapping_add(read.count);
                }
                let mut labels = vec![
                    ("db_system_name", "ldap"),
                    ("db_operation_name", op),
                    ("server_address", address),
                    ("server_port", port),
                ];
                if end.status != Status::Success {
                    labels.push(("error_type", end.name));
                    let labels = [("error_type", end.name), ("operation", op), ("server", &*server)];
                    page.counter("flext_ldap_errors_total", "Operations that failed.", &labels, read.count);
                }
                let help = "Seconds from the call to the end.";
                times_of(page, "db_client_operation_duration_seconds", help, &labels, &read);
                if end.code {
                    let labels = [("op", op), ("code", end.name), ("server", &*server)];
                    page.counter("ldap_result_total", "Answers by their code.", &labels, read.count);
                }
            }
            if all.count == 0 {
                continue;
            }
            let labels = [("operation_type", op), ("server", &*server)];
            let help = "Seconds from the call to the end, whatever it was.";
            times_of(page, "flext_ldap_operation_duration_seconds", help, &labels, &all);
            for (count, status) in by_status.into_iter().zip(Status::ALL).filter(|(count, _)| *count > 0) {
                let labels = [("operation_type", op), ("server", &*server), ("status", status.name())];
                page.counter("flext_ldap_operations_total", "Operations that have ended.", &labels, count);
            }
        }
    }
}

fn times_of(
    page: &mut MetricsPage,
    name: &'static str,
    help: &'static str,
    labels: &[(&str, &str)],
    read: &Counted<{ TIMES.len() }>,
) {
    let bounds = TIMES.iter().map(|bound| Duration::from_nanos(*bound).as_secs_f64());
    let sum = Duration::from_nanos(read.sum).as_secs_f64();
    page.histogram(name, help, labels, bounds.zip(read.cumulative()), (read.count, sum));
}

impl Found {
    /// Where the size of a search is counted.
    fn place(&self, search: &Search) -> usize {
        let at = base_of(&self.bases, search).unwrap_or(self.bases.len());
        at * Shape::ALL.len() + Shape::of(&search.filter) as usize
    }

    fn collect(&self, page: &mut MetricsPage) {
        let bases = self.bases.iter().map(|base| &**base).chain([OTHER]);
        for (cells, base) in self.sizes.chunks(Shape::ALL.len()).zip(bases) {
            for (cell, shape) in cells.iter().zip(Shape::ALL) {
                let Some(sizes) = cell.get() else { continue };
                let read = sizes.read();
                let labels = [("base_dn", base), ("filter_type", shape.name())];
                let bounds = SIZES.iter().map(|bound| *bound as f64);
                let help = "Entries and references that an answered search delivered.";
                let (name, all) = ("flext_ldap_search_results_count", (read.count, read.sum as f64));
                page.histogram(name, help, &labels, bounds.zip(read.cumulative()), all);
            }
        }
    }
}

/// The first of configured bases that a search is in.
pub(super) fn base_of(bases: &[Box<str>], search: &Search) -> Option<usize> {
    bases.iter().position(|known| is_within(search.base.as_str(), known))
}

/// Whether a name as spelt is `base` as spelt, but for case, or below it.
fn is_within(name: &str, base: &str) -> bool {
    let Some(at) = name.len().checked_sub(base.len()) else { return false };
    let (above, ours) = (name.as_bytes().get(..at), name.as_bytes().get(at..));
    let alike = ours.is_some_and(|ours| ours.eq_ignore_ascii_case(base.as_bytes()));
    // A comma that is part of a value has a backslash before it.
    alike && (base.is_empty() || matches!(above, Some([] | [b','] | [.., ..=b'[' | b']'.., b','])))
}

/// What kind of filter it is: the closed set of `filter_type`.
#[derive(Clone, Copy)]
enum Shape {
    Presence,
    Equality,
    Substring,
    Range,
    Approximate,
    Extensible,
    Compound,
}

impl Shape {
    const ALL: [Self; 7] = [
        Self::Presence,
        Self::Equality,
        Self::Substring,
        Self::Range,
        Self::Approximate,
        Self::Extensible,
        Self::Compound,
    ];

    fn of(filter: &Filter) -> Self {
        match filter.nodes().first() {
            Some(Node::Present(_)) => Self::Presence,
            Some(Node::Equality(..)) => Self::Equality,
            Some(Node::Substrings(..)) => Self::Substring,
            Some(Node::GreaterOrEqual(..) | Node::LessOrEqual(..)) => Self::Range,
            Some(Node::Approximate(..)) => Self::Approximate,
            Some(Node::Extensible(_)) => Self::Extensible,
            _ => Self::Compound,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Presence => "presence",
            Self::Equality => "equality",
            Self::Substring => "substring",
            Self::Range => "range",
            Self::Approximate => "approximate",
            Self::Extensible => "extensible",
            Self::Compound => "compound",
        }
    }
}

/// The closed set of `status`.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Status {
    /// The answer was yes, or what was asked for.
    Success,
    /// The answer was no.
    Error,
    /// There was no answer.
    Exception,
    /// Whoever asked did not wait for it.
    Abandoned,
}

impl Status {
    const ALL: [Self; 4] = [Self::Success, Self::Error, Self::Exception, Self::Abandoned];

    const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Exception => "exception",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Ways to end: the codes that have a name, a code without one, the kinds of errors, a breaker that was open, and that
/// nobody waited.
const ENDS: usize = UNNAMED + 1 + ErrorKind::ALL.len() + 2;
const UNNAMED: usize = ResultCode::KNOWN.len();
const BREAKER: usize = ENDS - 2;
const LEFT: usize = ENDS - 1;

/// What an end is called.
pub(super) fn end_of(end: End<'_>) -> EndName {
    EndName::of(end_place(end))
}

fn end_place(end: End<'_>) -> usize {
    match end {
        End::Answered(outcome) => code_place(outcome.result.code),
        End::Failed(error) => error_place(error),
        End::Left { .. } => LEFT,
    }
}

fn code_place(code: ResultCode) -> usize {
    ResultCode::KNOWN.binary_search(&code).unwrap_or(UNNAMED)
}

fn error_place(error: &Error) -> usize {
    if let Some(code) = error.result_code() {
        return code_place(code);
    }
    if std::error::Error::source(error).is_some_and(|source| source.is::<BreakerOpen>()) {
        return BREAKER;
    }
    let at = ErrorKind::ALL.iter().position(|kind| *kind == error.kind());
    UNNAMED + 1 + at.unwrap_or_default()
}

fn kind_place(kind: OpKind) -> usize {
    OpKind::ALL.iter().position(|known| *known == kind).unwrap_or_default()
}

/// A way to end, by its name.
pub(super) struct EndName {
    pub(super) name: &'static str,
    pub(super) status: Status,
    /// Whether it is a result code.
    pub(super) code: bool,
}

impl EndName {
    fn of(place: usize) -> Self {
        if let Some(code) = ResultCode::KNOWN.get(place) {
            let yes = [
                ResultCode::SUCCESS,
                ResultCode::COMPARE_FALSE,
                ResultCode::COMPARE_TRUE,
                ResultCode::REFERRAL,
            ];
            let status = if yes.contains(code) { Status::Success } else { Status::Error };
            return Self { name: code.name().unwrap_or(OTHER), status, code: true };
        }
        match place {
            UNNAMED => Self { name: "unnamed", status: Status::Error, code: true },
            BREAKER => Self { name: "breaker_open", status: Status::Exception, code: false },
            LEFT => Self { name: "abandoned", status: Status::Abandoned, code: false },
            place => {
                let kind = ErrorKind::ALL.get(place - UNNAMED - 1);
                let name = kind.map_or(OTHER, |kind| kind.name());
                Self { name, status: Status::Exception, code: false }
            }
        }
    }
}

fn empty<T>(length: usize) -> Box<[OnceLock<T>]> {
    std::iter::repeat_with(OnceLock::new).take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_place_and_a_name_of_its_own() {
        assert!(ResultCode::KNOWN.is_sorted(), "the codes are looked up by halves");
        let mut names: Vec<_> = (0..ENDS).map(|place| EndName::of(place).name).collect();
        for code in ResultCode::KNOWN {
            assert_eq!(Some(EndName::of(code_place(*code)).name), code.name());
        }
        for kind in ErrorKind::ALL {
            assert_eq!(EndName::of(error_place(&Error::new(kind, "x"))).name, kind.name());
        }
        assert_eq!(EndName::of(code_place(ResultCode(9_999))).name, "unnamed");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ENDS);
    }

    #[test]
    fn names_below_a_base() {
        let base = "ou=people,dc=harbourlane";
        let table = [
            ("ou=people,dc=harbourlane", true),
            ("OU=People,DC=Harbourlane", true),
            ("uid=ana,ou=people,dc=harbourlane", true),
            (r"cn=a\\,ou=people,dc=harbourlane", false),
            (r"cn=a\,ou=people,dc=harbourlane", false),
            ("xou=people,dc=harbourlane", false),
            ("dc=harbourlane", false),
            ("", false),
        ];
        for (name, within) in table {
            assert_eq!(is_within(name, base), within, "{name}");
        }
        assert!(is_within("dc=harbourlane", ""));
    }
}
