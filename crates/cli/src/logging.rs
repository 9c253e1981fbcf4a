//! What the libraries have to say goes to standard error: warnings, or what `RUST_LOG` asks for, or what a served
//! directory's configuration asks for. Spans go to an OpenTelemetry collector, once one is named (`traces.rs`).

use std::{fmt, io, sync::OnceLock};

use tracing::field::Field;
use tracing_subscriber::{
    EnvFilter,
    field::MakeExt as _,
    filter::LevelFilter,
    fmt::{
        FormatFields,
        format::{Writer, debug_fn},
    },
    prelude::*,
    reload,
};

use crate::output::on_one_line;

/// Puts another filter in force.
static CHANGE: OnceLock<Box<dyn Fn(EnvFilter) -> bool + Send + Sync>> = OnceLock::new();

/// Starts the log.
pub(crate) fn start() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).from_env_lossy();
    let (filter, handle) = reload::Layer::new(filter);
    let log = tracing_subscriber::fmt::layer()
        .fmt_fields(fields())
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .with_writer(io::stderr)
        .with_filter(filter);
    tracing_subscriber::registry().with(log).with(crate::traces::layer()).init();
    // It is started once; were it twice, the first would go on.
    let _started = CHANGE.set(Box::new(move |filter| handle.reload(filter).is_ok()));
}

/// How what is said is written: servers and clients have a part in it, and a line of the log is one line.
fn fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    let field = |writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug| {
        let value = on_one_line(&format!("{value:?}"));
        match field.name() {
            "message" => write!(writer, "{value}"),
            name => write!(writer, "{name}={value}"),
        }
    };
    debug_fn(field).delimited(" ")
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_servers_say_makes_no_lines_of_its_own() {
        let written = Written::default();
        let writer = written.clone();
        let log = tracing_subscriber::fmt::layer()
            .fmt_fields(fields())
            .without_time()
            .with_ansi(false)
            .with_writer(move || writer.clone());
        let said = "bye\r\n2026-01-01 ERROR forged \u{1b}[2J\u{202e}";
        tracing::subscriber::with_default(tracing_subscriber::registry().with(log), || {
            let _span = tracing::error_span!("asked", name = said).entered();
            tracing::error!(error = %said, answer = ?said, code = 7, "{said}");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains(['\r', '\u{1b}', '\u{202e}']), "{text:?}");
        assert!(text.contains("error=bye\\r\\n2026-01-01 ERROR forged \\u{1b}[2J\\u{202e}"), "{text}");
        assert!(text.contains(": bye\\r\\n") && text.contains("code=7"), "{text}");
    }
}
