//! Makes a span of each operation, by the `tracing` crate, with the names OpenTelemetry has for calls of databases.
//!
//! It sends nothing anywhere: a subscriber that listens does. Every attribute comes from a closed set, as the labels of
//! [`Metrics`](super::Metrics) do, or is a number: no name of an entry, filter, user or value is in one.

use std::sync::Arc;

use flext_ldap_proto::{batch::Batch, dn::Dn};
use tracing::{Span, field::Empty, level_filters::LevelFilter};

use super::{
    metrics::{MOST_BASES, OTHER, Status, base_of, end_of},
    watch::{End, Witness, watch},
};
use crate::{Directory, Error, Layer, Op, OpKind, Reply, Request};

/// The layer. A clone is the same.
///
/// Spans are called `ldap.search` and so on, after the operation, have the target [`TARGET`](Self::TARGET) and the level
/// INFO, and last from the call to where the caller has read the end. What is done inside is below them: around a set of
/// servers this layer makes the span of what the caller asked for, and around each server ([`server`](Self::server)) one
/// of each attempt there.
///
/// | attribute | what |
/// |---|---|
/// | `db.system.name` | `ldap` |
/// | `db.operation.name` | `search`, `compare`, `add`, `modify`, `delete`, `modrdn`, `extended` |
/// | `db.namespace` | of a search: the configured base it is in, or `other` |
/// | `server.address`, `server.port` | of an attempt: where |
/// | `db.response.status_code` | the answer, by its name in RFC 4511 |
/// | `error.type` | of what did not succeed: the code, the kind of error, `breaker_open` or `abandoned` |
/// | `db.response.returned_rows`, `flext_ldap.octets` | what a search delivered |
/// | `flext_ldap.retries` | of what a set of servers tried again: how often |
///
/// `otel.name`, `otel.kind` and `otel.status_code` say what OpenTelemetry makes of a span. The last is recorded when it has ended, be it
/// `unset`: a connection that is opened below it may take longer, and keeps the span itself. While nobody listens an operation
/// costs a look at one number and no allocation.
#[derive(Clone, Debug)]
pub struct Traces {
    /// Configured bases, as they are spelt.
    bases: Arc<[Box<str>]>,
    /// Of which server it tells, if it is of one.
    server: Option<(Box<str>, Option<u16>)>,
}

impl Traces {
    /// The target of all spans of this library, for the filters of subscribers.
    pub const TARGET: &str = "flext_ldap::trace";

    /// Makes the spans of what callers ask for. Searches below one of `bases` have its name, as it is spelt there; a base is
    /// recognised if it is spelt alike but for case. At most 32 are.
    pub fn new(bases: impl IntoIterator<Item = Dn>) -> Self {
        let bases = bases.into_iter().take(MOST_BASES).map(|base| base.as_str().into()).collect();
        Self { bases, server: None }
    }

    /// Makes the spans of what one server is asked: `host:port`, or the path of a socket.
    #[must_use]
    pub fn server(&self, name: &str) -> Self {
        let (address, port) = Self::address(name);
        Self { bases: self.bases.clone(), server: Some((address.into(), port)) }
    }

    /// The host and the port in the name of a server, if it has them: a path of a socket stays as it is.
    #[must_use]
    pub fn address(name: &str) -> (&str, Option<u16>) {
        let parts = name.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parts {
            Some((host, port)) if !name.starts_with('/') => (host.trim_matches(['[', ']']), Some(port)),
            _ => (name, None),
        }
    }

    /// Notes in a span of this library that what it is of has ended, and by which kind of error, if it failed. What was begun
    /// below it may go on.
    pub fn end(span: &Span, error: Option<&Error>) {
        if let Some(error) = error {
            span.record("error.type", end_of(End::Failed(error)).name);
        }
        span.record("otel.status_code", if error.is_some() { "error" } else { "unset" });
    }

    fn ended(span: &Span, end: End<'_>) {
        let how = end_of(end);
        if how.code {
            span.record("db.response.status_code", how.name);
        }
        if how.status != Status::Success {
            span.record("error.type", how.name);
        }
        let has_failed = matches!(how.status, Status::Error | Status::Exception);
        span.record("otel.status_code", if has_failed { "error" } else { "unset" });
    }

    fn span(&self, request: &Request) -> Span {
        let server = self.server.as_ref();
        let namespace = || match &request.op {
            Op::Search(search) => {
                let base = base_of(&self.bases, search).and_then(|at| self.bases.get(at));
                Some(base.map_or(OTHER, |base| &**base))
            }
            _ => None,
        };
        tracing::info_span!(
            target: Traces::TARGET,
            "operation",
            otel.name = span_name(request.op.kind()),
            otel.kind = if server.is_some() { "client" } else { "internal" },
            otel.status_code = Empty,
            db.system.name = "ldap",
            db.operation.name = request.op.kind().name(),
            db.namespace = namespace(),
            server.address = server.map(|(address, _)| &**address),
            server.port = server.and_then(|(_, port)| *port),
            db.response.status_code = Empty,
            error.type = Empty,
            db.response.returned_rows = Empty,
            flext_ldap.octets = Empty,
            flext_ldap.retries = Empty,
        )
    }
}

const fn span_name(kind: OpKind) -> &'static str {
    match kind {
        OpKind::Search => "ldap.search",
        OpKind::Compare => "ldap.compare",
        OpKind::Add => "ldap.add",
        OpKind::Modify => "ldap.modify",
        OpKind::Delete => "ldap.delete",
        OpKind::Rename => "ldap.modrdn",
        OpKind::Extended => "ldap.extended",
    }
}

impl Layer for Traces {
    fn call(&self, request: Request, next: &dyn Directory) -> Reply {
        // The one number: nobody listens to spans at all.
        if LevelFilter::current() < LevelFilter::INFO {
            return next.call(request);
        }
        let span = self.span(&request);
        if span.is_disabled() {
            return next.call(request);
        }
        let counts = matches!(request.op, Op::Search(_));
        let reply = span.in_scope(|| next.call(request));
        watch(reply, Traced { span, counts, items: 0, octets: 0 })
    }
}

struct Traced {
    span: Span,
    /// Whether it is a search.
    counts: bool,
    items: u64,
    octets: u64,
}

impl Witness for Traced {
    fn scope(&self) -> Option<tracing::span::Entered<'_>> {
        Some(self.span.enter())
    }

    fn delivered(&mut self, batch: &Batch) {
        self.items = self.items.saturating_add(batch.len() as u64);
        self.octets = self.octets.saturating_add(batch.size() as u64);
    }

    fn ended(&mut self, end: End<'_>) {
        // It ends here, and not when the reply is dropped.
        let span = std::mem::replace(&mut self.span, Span::none());
        if self.counts {
            span.record("db.response.returned_rows", self.items);
            span.record("flext_ldap.octets", self.octets);
        }
        Traces::ended(&span, end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_servers() {
        let table = [
            ("ldap1.harbourlane.example:636", ("ldap1.harbourlane.example", Some(636))),
            ("[2001:db8::1]:389", ("2001:db8::1", Some(389))),
            ("/run/slapd/ldapi:1", ("/run/slapd/ldapi:1", None)),
            ("all servers", ("all servers", None)),
            ("host:70000", ("host:70000", None)),
        ];
        for (name, want) in table {
            assert_eq!(Traces::address(name), want, "{name}");
        }
    }
}
