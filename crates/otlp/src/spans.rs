//! From a span of `tracing` to one of OpenTelemetry.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use opentelemetry::{
    Context, KeyValue, Value,
    trace::{SpanKind, Status, TraceContextExt as _, Tracer as _},
};
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer, registry::LookupSpan};

use crate::Running;

/// The layer.
pub(crate) struct Spans(pub(crate) Arc<OnceLock<Running>>);

/// What stands in a span of the registry.
struct Begun(Context);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: layer::Context<'_, S>) {
        let (Some(running), Some(span)) = (self.0.get(), context.span(id)) else { return };
        let above = span.parent();
        let above = above.and_then(|above| Some(above.extensions().get::<Begun>()?.0.clone()));
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let name = fields.name.unwrap_or_else(|| span.name().to_owned());
        let builder = running
            .tracer
            .span_builder(name)
            .with_kind(fields.kind.unwrap_or(SpanKind::Internal))
            .with_attributes(fields.attributes);
        let begun = builder.start_with_context(&running.tracer, above.as_ref().unwrap_or(&running.parent));
        span.extensions_mut().insert(Begun(Context::new().with_span(begun)));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: layer::Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let extensions = span.extensions();
        let Some(Begun(begun)) = extensions.get() else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        let begun = begun.span();
        fields.attributes.into_iter().for_each(|attribute| begun.set_attribute(attribute));
        if fields.has_failed {
            begun.set_status(Status::error(""));
        }
        if fields.has_ended {
            begun.end();
        }
    }

    fn on_close(&self, id: Id, context: layer::Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let begun = span.extensions_mut().remove::<Begun>();
        if let Some(Begun(begun)) = begun {
            begun.span().end();
        }
    }
}

/// What the fields of a span say.
#[derive(Default)]
struct Fields {
    name: Option<String>,
    kind: Option<SpanKind>,
    has_failed: bool,
    /// Its status is known. It is recorded last, and what is below the span may take longer.
    has_ended: bool,
    attributes: Vec<KeyValue>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match (field.name(), value) {
            ("otel.name", name) => self.name = Some(name.to_owned()),
            ("otel.kind", "client") => self.kind = Some(SpanKind::Client),
            ("otel.status_code", status) => (self.has_failed, self.has_ended) = (status == "error", true),
            ("otel.kind", _) => {}
            (_, value) => self.add(field, value.to_owned()),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    /// Nothing of ours is written so: what has no other way may say more than it should.
    fn record_debug(&mut self, _field: &Field, _value: &dyn fmt::Debug) {}
}
