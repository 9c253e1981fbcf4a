//! Spans of commands go to an OpenTelemetry collector where the environment names one, or the configuration does.
//!
//! A command is one trace, below what `TRACEPARENT` names, if it names anything. Those that go on until they are told to end,
//! and those that put load on servers, have a trace for each operation.

use std::{sync::LazyLock, time::Duration};

use flext_ldap::Observability;
use flext_ldap_otlp::{Export, Options, is_asked_for};
use tracing::Subscriber;
use tracing_subscriber::{Layer, registry::LookupSpan};

/// How long a command waits for a collector at its end.
const GOODBYE: Duration = Duration::from_millis(800);

/// Commands with a trace for each operation.
const LONG: [&str; 3] = ["bench", "ping", "proxy"];

static EXPORT: LazyLock<Export> = LazyLock::new(Export::new);

/// The layer of the subscriber. It does nothing before [`begin`].
pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> + Send + Sync {
    EXPORT.layer()
}

/// Sends spans from now on, if that is asked for. What cannot be used is told, and the command goes on.
pub(crate) fn begin(config: Option<&Observability>) {
    let config = config.filter(|config| config.tracing);
    if !is_asked_for().unwrap_or_else(|| config.is_some()) {
        return;
    }
    let mut options = Options::of("flext-ldap", env!("CARGO_PKG_VERSION"));
    if let Some(config) = config {
        options = options.sampling(config.trace_share).endpoint(config.trace_endpoint.as_str());
    }
    // It has been understood, so this is a name of a subcommand.
    let command = std::env::args().nth(1).unwrap_or_default();
    if !LONG.contains(&command.as_str()) {
        options = options.root(format!("flext-ldap {command}")).once();
        if let Ok(parent) = std::env::var("TRACEPARENT") {
            options = options.traceparent(parent);
        }
    }
    if let Err(error) = EXPORT.start(options) {
        crate::say(format_args!("warning: no spans are sent: {error}"));
    }
}

/// Sends what waits.
pub(crate) fn finish() {
    let statistics = EXPORT.finish(GOODBYE);
    if statistics.lost > 0 {
        let (lost, collector) = (statistics.lost, &statistics.collector);
        let why = statistics.failure.as_deref().unwrap_or("there was no room for them");
        crate::say(format_args!("warning: {lost} spans did not reach the collector at {collector}: {why}"));
    }
}
