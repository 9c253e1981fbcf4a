//! The queue and what is counted of it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter as Otlp;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};

use crate::{http::Failure, lock};

/// What has become of the spans of an [`Export`](crate::Export).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// Spans that ended and are to be sent: not those that sampling leaves out.
    pub ended: u64,
    /// Spans the collector has taken.
    pub sent: u64,
    /// Spans that it has not, or that found no room in the queue; before the end also those that wait.
    pub lost: u64,
    /// Where the collector is, without what may be secret in its URL.
    pub collector: String,
    /// Why it did not take the last ones, if it did not.
    pub failure: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Counts {
    ended: AtomicU64,
    sent: AtomicU64,
    is_failing: AtomicBool,
    collector: String,
    failure: Failure,
    logs: bool,
}

impl Counts {
    pub(crate) fn new(collector: String, failure: Failure, logs: bool) -> Self {
        let (ended, sent) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { ended, sent, is_failing: AtomicBool::new(false), collector, failure, logs }
    }

    pub(crate) fn read(&self) -> Statistics {
        // Read first, so that no span is sent that has not ended.
        let sent = self.sent.load(Ordering::Acquire);
        let ended = self.ended.load(Ordering::Acquire);
        let failure = lock(&self.failure).clone();
        Statistics {
            ended,
            sent,
            lost: ended.saturating_sub(sent),
            collector: self.collector.clone(),
            failure,
        }
    }

    /// The end came before all was sent, for this reason if there is no better.
    pub(crate) fn gave_up(&self, why: String) {
        lock(&self.failure).get_or_insert(why);
    }

    /// Notes what became of so many spans, and logs it when that has changed.
    fn note(&self, spans: u64, result: &OTelSdkResult) {
        if result.is_ok() {
            self.sent.fetch_add(spans, Ordering::AcqRel);
        }
        let was_failing = self.is_failing.swap(result.is_err(), Ordering::AcqRel);
        if !self.logs || was_failing == result.is_err() {
            return;
        }
        let collector = self.collector.as_str();
        match lock(&self.failure).as_deref() {
            None => tracing::info!(collector, "spans reach the collector again"),
            Some(why) => {
                tracing::warn!(collector, why, "spans do not reach the collector, and are lost until they do")
            }
        }
    }
}

/// The queue with a thread that sends, and around both what counts.
pub(crate) fn counted(exporter: Otlp, counts: &Arc<Counts>) -> impl SpanProcessor + 'static {
    let exporter = Sending { exporter, counts: Arc::clone(counts) };
    Queue { queue: BatchSpanProcessor::builder(exporter).build(), counts: Arc::clone(counts) }
}

/// Counts what goes in.
#[derive(Debug)]
struct Queue {
    queue: BatchSpanProcessor,
    counts: Arc<Counts>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.queue.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.counts.ended.fetch_add(1, Ordering::AcqRel);
        self.queue.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.queue.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.queue.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.queue.set_resource(resource);
    }
}

/// Counts what comes out.
struct Sending {
    exporter: Otlp,
    counts: Arc<Counts>,
}

impl fmt::Debug for Sending {
    /// The exporter has headers, and they may have a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl SpanExporter for Sending {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.exporter.export(batch).await;
        self.counts.note(spans, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
