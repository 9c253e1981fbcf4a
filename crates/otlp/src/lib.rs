//! Spans to an OpenTelemetry collector, by OTLP over HTTP.
//!
//! The libraries of FLEXT-LDAP make spans by the `tracing` crate and send nothing anywhere. This takes theirs, those of the
//! target `flext_ldap::trace` and no others, and no events: so nothing gets out that was not made to. It knows nothing of
//! LDAP. Programs that send their own spans by `tracing-opentelemetry` need no second exporter: the fields `otel.name`,
//! `otel.kind` and `otel.status_code` are as that crate has them.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use flext_ldap_otlp::{Export, Options};
//! use tracing_subscriber::prelude::*;
//!
//! let export = Export::new();
//! tracing_subscriber::registry().with(export.layer()).init();
//! export.start(Options::of("staff-sync", "1.4.0"))?;
//! // … the program …
//! let statistics = export.finish(Duration::from_secs(1));
//! assert_eq!(statistics.lost, 0, "{:?}", statistics.failure);
//! # Ok::<(), flext_ldap_otlp::StartError>(())
//! ```
//!
//! # What the environment says
//!
//! The names OpenTelemetry has go before what a program says: `OTEL_EXPORTER_OTLP_ENDPOINT`, `…_HEADERS`, `…_TIMEOUT`, each also as
//! `OTEL_EXPORTER_OTLP_TRACES_…`; `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`; `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`;
//! `OTEL_BSP_MAX_QUEUE_SIZE` (2,048 spans), `OTEL_BSP_SCHEDULE_DELAY` (5 s), `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` (512). Spoken is
//! `http/protobuf`, without compression.

mod environment;
mod http;
mod sending;
mod spans;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator as _,
    trace::{SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, filter_fn},
    registry::LookupSpan,
};

pub use self::{environment::is_asked_for, sending::Statistics};
use self::{
    http::Client,
    sending::{Counts, counted},
    spans::Spans,
};

/// The target of the spans that are sent.
const TARGET: &str = "flext_ldap::trace";

/// Where a collector listens that nobody has named.
const LOCAL: &str = "http://localhost:4318";

/// Takes spans and sends them. Cheap to clone; a clone is the same.
///
/// Its [`layer`](Self::layer) is put into the subscriber of the program, and costs next to nothing until it is
/// [started](Self::start), which may be later: when a configuration has been read, say. Spans wait in a queue of bounded length for
/// a thread of their own; where there is no room they are dropped and counted, and nothing waits for the collector but
/// [`finish`](Self::finish).
#[derive(Clone, Default)]
pub struct Export(Arc<OnceLock<Running>>);

/// An export under way.
struct Running {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    /// What is above spans that have none above them.
    parent: Context,
    counts: Arc<Counts>,
}

/// How to export.
#[derive(Clone, Debug)]
#[must_use = "hand it to `Export::start`"]
pub struct Options {
    service: String,
    version: String,
    root: Option<String>,
    traceparent: Option<String>,
    sampling: Option<f64>,
    endpoint: Option<String>,
    waits: bool,
}

impl Options {
    /// For the program of this name and version, which `OTEL_SERVICE_NAME` may call otherwise.
    pub fn of(service: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            version: version.into(),
            root: None,
            traceparent: None,
            sampling: None,
            endpoint: None,
            waits: true,
        }
    }

    /// Makes one span of this name from the start to the end, with all others below it: for a command.
    pub fn root(mut self, name: impl Into<String>) -> Self {
        self.root = Some(name.into());
        self
    }

    /// Puts all of it below a span of another program, as W3C Trace Context writes it:
    /// `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`. What is malformed is ignored, as it says there.
    pub fn traceparent(mut self, text: impl Into<String>) -> Self {
        self.traceparent = Some(text.into());
        self
    }

    /// The share of traces that is kept, from 0 to 1; of one that another program has begun it has decided. All.
    pub const fn sampling(mut self, share: f64) -> Self {
        self.sampling = Some(share);
        self
    }

    /// Where the collector listens, without `/v1/traces`. `http://localhost:4318`.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Sends nothing a second time, and logs no failure: for a program that ends soon and tells it itself.
    pub const fn once(mut self) -> Self {
        self.waits = false;
        self
    }
}

/// Why nothing is exported. It is for whoever runs the program: what to change is in its text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot be used.
    #[error("{0}")]
    Setting(String),
    /// It has been started already.
    #[error("spans are exported already")]
    Again,
}

impl Export {
    /// Nothing is exported yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The layer of a subscriber that takes the spans.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + 'static
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let running = Arc::clone(&self.0);
        let wanted = move |metadata: &Metadata<'_>| {
            metadata.is_span() && metadata.target() == TARGET && running.get().is_some()
        };
        Spans(Arc::clone(&self.0)).with_filter(filter_fn(wanted).with_max_level_hint(LevelFilter::INFO))
    }

    /// Sends spans from now on, those that begin from now on.
    ///
    /// # Errors
    ///
    /// A setting, of the program or of the environment, cannot be used; or it has been started before.
    pub fn start(&self, options: Options) -> Result<(), StartError> {
        if self.0.get().is_some() {
            return Err(StartError::Again);
        }
        let running = Running::start(options, &|name| std::env::var(name).ok())?;
        self.0.set(running).map_err(|_| StartError::Again)?;
        // Whoever asked before was told that nobody listens.
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }

    /// What has become of the spans so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.0.get().map(|running| running.counts.read()).unwrap_or_default()
    }

    /// Sends what waits, for so long at most, and ends. Blocks the thread; spans that end later are lost.
    pub fn finish(&self, within: Duration) -> Statistics {
        let Some(running) = self.0.get() else { return Statistics::default() };
        running.parent.span().end();
        let started = Instant::now();
        if let Err(error) = running.provider.shutdown_with_timeout(within) {
            running.counts.gave_up(match started.elapsed() < within {
                true => error.to_string(),
                false => format!("it took longer than {within:?}"),
            });
        }
        running.counts.read()
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Export").field(&self.statistics()).finish()
    }
}

impl Running {
    fn start(options: Options, variable: environment::Variables<'_>) -> Result<Self, StartError> {
        let base = environment::endpoint(variable, options.endpoint.as_deref());
        let client = Client::new(environment::timeout(variable));
        let failure = client.failure();
        environment::check(variable)?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&base)
            .with_http_client(client);
        if !options.waits {
            exporter = exporter.with_retry_policy(RetryPolicy::disabled());
        }
        let setting = |error: &dyn fmt::Display| StartError::Setting(error.to_string());
        let exporter = exporter.build().map_err(|error| setting(&error))?;
        let counts = Arc::new(Counts::new(http::place(&base)?, failure, options.waits));
        let mut provider = SdkTracerProvider::builder()
            .with_resource(resource(&options))
            .with_span_processor(counted(exporter, &counts));
        if let (Some(share), None) = (options.sampling, environment::said(variable, "OTEL_TRACES_SAMPLER")) {
            provider =
                provider.with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))));
        }
        let provider = provider.build();
        let tracer = provider.tracer("flext-ldap");
        let mut parent = match options.traceparent {
            Some(text) => {
                let carrier = HashMap::from([("traceparent".to_owned(), text)]);
                TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier)
            }
            None => Context::new(),
        };
        if let Some(name) = options.root {
            let builder = tracer.span_builder(name).with_kind(SpanKind::Internal);
            parent = Context::new().with_span(builder.start_with_context(&tracer, &parent));
        }
        Ok(Self { provider, tracer, parent, counts })
    }
}

/// What says of which program the spans are. The environment goes first.
fn resource(options: &Options) -> Resource {
    let said = Resource::builder().build();
    let name = said.get(&"service.name".into()).map(|name| name.to_string()).unwrap_or_default();
    let mut resource = Resource::builder();
    if name.is_empty() || name.starts_with("unknown_service") {
        resource = resource.with_service_name(options.service.clone());
    }
    if said.get(&"service.version".into()).is_none() {
        resource = resource.with_attribute(KeyValue::new("service.version", options.version.clone()));
    }
    resource.build()
}

/// Takes a lock; what it guards is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
