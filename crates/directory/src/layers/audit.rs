//! Writes down who did what to which entry, and how it went: one line of JSON for each operation.
//!
//! A line has names, never values: not what was written, not what was compared, and in filters no value of a secret
//! attribute. It is no access log of connections and binds, which a listener has, and it does not prove that nobody
//! has changed it: that is the sink's part.

mod record;

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::SystemTime,
};

use flext_ldap_proto::batch::Batch;
use tokio::time::Instant;

use self::record::{Draft, dropped_line};
use super::{
    metrics::{MetricsPage, MetricsSource},
    watch::{End, Witness, watch},
};
use crate::{Directory, Layer, Reply, Request};

/// Records waiting to be written. Each is some hundred octets, at most about 32 KiB.
const QUEUE: usize = 8192;

/// Where records go. Called on a thread of its own, so it may wait.
pub trait AuditSink: Send + 'static {
    /// Takes one record: a JSON object without a line end.
    ///
    /// # Errors
    ///
    /// When it could not be kept. It is counted as dropped.
    fn record(&mut self, json: &str) -> io::Result<()>;

    /// Called whenever nothing waits.
    ///
    /// # Errors
    ///
    /// When what was taken before could not be kept.
    fn flush(&mut self) -> io::Result<()>;
}

impl<W: io::Write + Send + 'static> AuditSink for W {
    fn record(&mut self, json: &str) -> io::Result<()> {
        self.write_all(json.as_bytes())?;
        self.write_all(b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        io::Write::flush(self)
    }
}

/// A queue of records and the thread that writes them. Several layers can share one.
///
/// An operation never waits for it: a record for which there is no room is dropped and counted, and a record
/// `{"time":…,"dropped":N}` says so as soon as there is room. Dropping the last one, layers included, waits until what is
/// queued is written.
pub struct AuditTrail {
    records: Option<SyncSender<String>>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
    /// Dropped, and not yet said.
    unsaid: AtomicU64,
    /// Why the sink does not take records at present.
    failure: Mutex<Option<String>>,
}

/// What has become of the records of an [`AuditTrail`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct AuditStatistics {
    /// Records the sink has taken.
    pub written: u64,
    /// Records lost: there was no room, or the sink did not take them.
    pub dropped: u64,
    /// Why the sink did not take the last record, if it did not.
    pub failure: Option<String>,
}

impl AuditTrail {
    /// Writes to `sink`: a file, say, opened to append.
    ///
    /// # Errors
    ///
    /// When the thread that writes cannot be started.
    pub fn start(sink: impl AuditSink) -> io::Result<Arc<Self>> {
        Self::with_queue(sink, QUEUE)
    }

    fn with_queue(sink: impl AuditSink, queue: usize) -> io::Result<Arc<Self>> {
        let (records, waiting) = sync_channel(queue);
        let counts = Arc::new(Counts::default());
        let writer = counts.clone();
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write(&waiting, &writer, sink))?;
        Ok(Arc::new(Self { records: Some(records), counts, thread: Some(thread) }))
    }

    /// The layer that records every operation. Records call the directory behind it `server`.
    pub fn of_all(self: &Arc<Self>, server: impl Into<Box<str>>) -> Audit {
        Audit { trail: self.clone(), server: server.into(), reads: true }
    }

    /// The layer that records what may change the directory ([`Op::is_read`](crate::Op::is_read) says no), and nothing
    /// else.
    pub fn of_writes(self: &Arc<Self>, server: impl Into<Box<str>>) -> Audit {
        Audit { trail: self.clone(), server: server.into(), reads: false }
    }

    /// What has become of the records.
    #[must_use]
    pub fn statistics(&self) -> AuditStatistics {
        AuditStatistics {
            written: self.counts.written.load(Ordering::Relaxed),
            dropped: self.counts.dropped.load(Ordering::Relaxed),
            failure: self.counts.failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    fn send(&self, record: String) {
        let Some(records) = &self.records else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = records.try_send(record) {
            self.counts.lose(1);
        }
    }
}

impl Drop for AuditTrail {
    fn drop(&mut self) {
        self.records = None;
        if let Some(thread) = self.thread.take() {
            // A sink that panicked has said so already.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for AuditTrail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuditTrail").field(&self.statistics()).finish()
    }
}

impl MetricsSource for AuditTrail {
    fn collect(&self, page: &mut MetricsPage) {
        let AuditStatistics { written, dropped, failure } = self.statistics();
        page.counter("ldap_audit_records_total", "Audit records written.", &[], written);
        page.counter("ldap_audit_dropped_total", "Audit records lost.", &[], dropped);
        let failing = if failure.is_some() { 1.0 } else { 0.0 };
        page.gauge("ldap_audit_failing", "1 if the last record was not taken.", &[], failing);
    }
}

impl Counts {
    fn lose(&self, records: u64) {
        self.dropped.fetch_add(records, Ordering::Relaxed);
        self.unsaid.fetch_add(records, Ordering::Relaxed);
    }

    fn note(&self, taken: &io::Result<()>) {
        let failure = taken.as_ref().err().map(ToString::to_string);
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

/// Writes until the trail is dropped.
fn write(waiting: &Receiver<String>, counts: &Counts, mut sink: impl AuditSink) {
    loop {
        let record = match waiting.try_recv() {
            Ok(record) => Some(record),
            Err(_) => {
                counts.note(&sink.flush());
                waiting.recv().ok()
            }
        };
        let lost = counts.unsaid.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let taken = sink.record(&dropped_line(SystemTime::now(), lost));
            if taken.is_err() {
                counts.unsaid.fetch_add(lost, Ordering::Relaxed);
            }
            counts.note(&taken);
        }
        let Some(record) = record else { break };
        let taken = sink.record(&record);
        match taken {
            Ok(()) => _ = counts.written.fetch_add(1, Ordering::Relaxed),
            Err(_) => counts.lose(1),
        }
        counts.note(&taken);
    }
    counts.note(&sink.flush());
}

/// The layer. Made by [`AuditTrail::of_all`] and [`AuditTrail::of_writes`].
///
/// A record is an object with these members, those that do not apply left out:
///
/// | member | what |
/// |---|---|
/// | `time` | when the operation began, UTC as in RFC 3339 |
/// | `server` | what the directory is called |
/// | `actor` | on whose behalf: `service`, `anonymous`, or an authorization id (RFC 4513 §5.2.1.8) |
/// | `proxied` | the authorization id of a proxied-authorization control (RFC 4370) |
/// | `operation` | `search`, `compare`, `add`, `modify`, `delete`, `modrdn`, `extended` |
/// | `name` | the entry, or the base of a search; of Password Modify the user as it was sent |
/// | `scope`, `filter` | of a search; values of secret attributes are `***` |
/// | `attributes` | of an add, a compare and a search, by name |
/// | `changes` | of a modify: `add`, `delete`, `replace` or `increment`, and the attribute |
/// | `new_rdn`, `new_superior` | of a rename |
/// | `oid` | of an extended operation |
/// | `controls` | the OIDs of the controls |
/// | `result`, `code` | the answer, by its name in RFC 4511 and as a number |
/// | `error`, `applied` | where there was no answer: the kind of error, and whether the operation was applied, as far as anybody knows: `no`, `unknown`, `yes` |
/// | `abandoned` | true: whoever asked did not wait for the answer |
/// | `items` | what a search delivered |
/// | `elapsed_us` | microseconds to the end |
///
/// Names of entries are not secret, but a value of a secret attribute in one is `***`, with the whole of it. Texts are
/// cut at 1,024 octets, lists at 100 elements; `…` stands for the rest.
#[derive(Debug)]
pub struct Audit {
    trail: Arc<AuditTrail>,
    server: Box<str>,
    reads: bool,
}

impl Layer for Audit {
    fn call(&self, request: Request, next: &dyn Directory) -> Reply {
        if !self.reads && request.op.is_read() {
            return next.call(request);
        }
        let recorded = Recorded {
            draft: Draft::of(&request, &self.server, SystemTime::now()),
            trail: self.trail.clone(),
            started: Instant::now(),
            items: 0,
        };
        watch(next.call(request), recorded)
    }
}

struct Recorded {
    draft: Draft,
    trail: Arc<AuditTrail>,
    started: Instant,
    items: u64,
}

impl Witness for Recorded {
    fn delivered(&mut self, batch: &Batch) {
        self.items = self.items.saturating_add(batch.len() as u64);
    }

    fn ended(&mut self, end: End<'_>) {
        let draft = std::mem::take(&mut self.draft);
        self.trail.send(draft.finish(end, self.items, self.started.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Sender;

    use super::*;

    /// Says what it is given, and takes no next one until it is told to.
    struct Slow(Sender<String>, Receiver<io::Result<()>>);

    impl AuditSink for Slow {
        fn record(&mut self, json: &str) -> io::Result<()> {
            self.0.send(json.to_owned()).unwrap();
            self.1.recv().unwrap()
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_finds_no_room_is_counted_and_said() {
        let (given, gives) = std::sync::mpsc::channel();
        let (goes, go) = std::sync::mpsc::channel();
        let trail = AuditTrail::with_queue(Slow(given, go), 2).unwrap();
        trail.send("first".to_owned());
        assert_eq!(gives.recv().unwrap(), "first");
        // The thread holds the first one, two wait, and three find no room.
        for name in ["second", "third", "lost", "lost", "lost"] {
            trail.send(name.to_owned());
        }
        assert_eq!((trail.statistics().written, trail.statistics().dropped), (0, 3));
        goes.send(Ok(())).unwrap();
        let said = gives.recv().unwrap();
        assert!(said.starts_with("{\"time\":\"") && said.ends_with("Z\",\"dropped\":3}"), "{said}");
        goes.send(Ok(())).unwrap();
        assert_eq!(gives.recv().unwrap(), "second");
        goes.send(Err(io::Error::other("the disk is full"))).unwrap();
        // The second one was not taken, which is said before the third.
        assert!(gives.recv().unwrap().ends_with("\"dropped\":1}"));
        assert_eq!(trail.statistics().failure.as_deref(), Some("the disk is full"));
        goes.send(Ok(())).unwrap();
        assert_eq!(gives.recv().unwrap(), "third");
        goes.send(Ok(())).unwrap();
        let counts = trail.counts.clone();
        drop(trail);
        assert_eq!(counts.written.load(Ordering::Relaxed), 2);
        assert_eq!(counts.dropped.load(Ordering::Relaxed), 4);
        assert_eq!(*counts.failure.lock().unwrap(), None);
    }
}
