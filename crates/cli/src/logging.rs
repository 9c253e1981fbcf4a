//! What the libraries have to say goes to standard error: warnings, or what `RUST_LOG` asks for, or what a served
//! directory's configuration asks for. Spans go to an OpenTelemetry collector, once one is named (`traces.rs`).

use std::{io, sync::OnceLock};

use tracing_subscriber::{EnvFilter, filter::LevelFilter, prelude::*, reload};

/// Puts another filter in force.
static CHANGE: OnceLock<Box<dyn Fn(EnvFilter) -> bool + Send + Sync>> = OnceLock::new();

/// Starts the log.
pub(crate) fn start() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).from_env_lossy();
    let (filter, handle) = reload::Layer::new(filter);
    let log = tracing_subscriber::fmt::layer()
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .with_writer(io::stderr)
        .with_filter(filter);
    tracing_subscriber::registry().with(log).with(crate::traces::layer()).init();
    // It is started once; were it twice, the first would go on.
    let _started = CHANGE.set(Box::new(move |filter| handle.reload(filter).is_ok()));
}

/// Whether this is a level, or levels by target, as `RUST_LOG` has them.
pub(crate) fn is_level(text: &str) -> bool {
    // A word alone is the name of a target to `EnvFilter`, with all it has to say: a slip would silence all others.
    let is_word = |part: &str| {
        ["off", "error", "warn", "info", "debug", "trace"].contains(&part.to_ascii_lowercase().as_str())
    };
    let parts = text.split(',').map(str::trim);
    EnvFilter::try_new(text).is_ok() && parts.into_iter().all(|part| part.contains('=') || is_word(part))
}

/// Logs from now on as `level` says, warnings if there is none. What `RUST_LOG` says goes before both.
pub(crate) fn set_level(level: Option<&str>) {
    if std::env::var_os("RUST_LOG").is_some_and(|filter| !filter.is_empty()) {
        return;
    }
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into());
    let changed = CHANGE.get().is_none_or(|change| change(filter.parse_lossy(level.unwrap_or_default())));
    if !changed {
        crate::say(format_args!("warning: the log goes on as it was"));
    }
}
