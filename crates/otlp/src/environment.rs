//! What the variables of OpenTelemetry say that its SDK does not look at, or not as it should.

use std::time::Duration;

use crate::{LOCAL, StartError};

/// How variables are read: tests have theirs.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A variable that says something.
pub(crate) fn said(variable: Variables<'_>, name: &str) -> Option<String> {
    variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Whether the environment asks for spans to be sent (`true`), forbids it (`false`), or says nothing about it: by
/// `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER`, or an endpoint.
#[must_use]
pub fn is_asked_for() -> Option<bool> {
    asks(&|name| std::env::var(name).ok())
}

fn asks(variable: Variables<'_>) -> Option<bool> {
    if said(variable, "OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Some(false);
    }
    match said(variable, "OTEL_TRACES_EXPORTER").as_deref() {
        Some("none") => return Some(false),
        Some(list) if list.split(',').any(|name| name.trim() == "otlp") => return Some(true),
        _ => {}
    }
    ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]
        .into_iter()
        .any(|name| said(variable, name).is_some())
        .then_some(true)
}

/// The URL that spans are sent to.
pub(crate) fn endpoint(variable: Variables<'_>, base: Option<&str>) -> String {
    if let Some(whole) = said(variable, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
        return whole;
    }
    let said = said(variable, "OTEL_EXPORTER_OTLP_ENDPOINT");
    let base = said.as_deref().or(base).unwrap_or(LOCAL);
    format!("{}/v1/traces", base.trim_end_matches('/'))
}

/// How long one request may take.
pub(crate) fn timeout(variable: Variables<'_>) -> Duration {
    let said = said(variable, "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
        .or_else(|| said(variable, "OTEL_EXPORTER_OTLP_TIMEOUT"));
    let millis = said.and_then(|millis| millis.parse().ok()).filter(|millis| *millis > 0);
    Duration::from_millis(millis.unwrap_or(10_000))
}

/// That nothing is asked for which is not done here.
pub(crate) fn check(variable: Variables<'_>) -> Result<(), StartError> {
    for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
        let Some(protocol) = said(variable, name) else { continue };
        if protocol != "http/protobuf" {
            let protocol = protocol.escape_default();
            return Err(StartError::Setting(format!(
                "{name} is `{protocol}`, which is not spoken here: say `http/protobuf`, and name the collector's port for it (4318, \
                 mostly)"
            )));
        }
        break;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and values.
    type Given = &'static [(&'static str, &'static str)];

    fn with<T>(variables: &[(&str, &str)], look: impl Fn(Variables<'_>) -> T) -> T {
        look(&|name| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn whether_spans_are_asked_for() {
        const ENDPOINT: (&str, &str) =
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.harbourlane.example:4318");
        let table: &[(Given, Option<bool>)] = &[
            (&[], None),
            (&[ENDPOINT], Some(true)),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], None),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://x/")], Some(true)),
            (&[("OTEL_TRACES_EXPORTER", "otlp")], Some(true)),
            (&[("OTEL_TRACES_EXPORTER", "none"), ENDPOINT], Some(false)),
            (&[("OTEL_SDK_DISABLED", "TRUE"), ENDPOINT], Some(false)),
            (&[("OTEL_SDK_DISABLED", "false"), ENDPOINT], Some(true)),
        ];
        for (variables, want) in table {
            assert_eq!(with(variables, asks), *want, "{variables:?}");
        }
    }

    #[test]
    fn where_spans_are_sent() {
        let table: &[(Given, Option<&str>, &str)] = &[
            (&[], None, "http://localhost:4318/v1/traces"),
            (&[], Some("https://file:1/"), "https://file:1/v1/traces"),
            (
                &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env/base/")],
                Some("http://file"),
                "http://env/base/v1/traces",
            ),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://env/x")], Some("http://file"), "http://env/x"),
        ];
        for (variables, base, want) in table {
            assert_eq!(with(variables, |variable| endpoint(variable, *base)), *want, "{variables:?}");
        }
    }

    #[test]
    fn what_is_not_spoken_is_said() {
        let grpc = with(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], check).unwrap_err().to_string();
        assert!(grpc.starts_with("OTEL_EXPORTER_OTLP_PROTOCOL is `grpc`"), "{grpc}");
        let own = [
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ];
        with(&own, check).unwrap();
        assert_eq!(with(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "250")], timeout), Duration::from_millis(250));
        assert_eq!(with(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")], timeout), Duration::from_secs(10));
    }
}
