//! Spans of what takes time besides operations: waiting for a connection, opening it, binding. Beside the name of the
//! server and the kind of an error nothing is in them.

use flext_ldap_directory::{BindReply, Error, layers::Traces};
use tracing::{Instrument as _, Span, field::Empty};

/// A step on the way to an answer; the name is that of its span.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    /// Until a connection of a pool is free.
    Wait,
    /// Until a set of servers tries again.
    Pause,
    /// Until a new connection is ready, with all that follows here.
    Open,
    Resolve,
    Connect,
    StartTls,
    Handshake,
    Bind,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Wait => "ldap.wait",
            Self::Pause => "ldap.pause",
            Self::Open => "ldap.open",
            Self::Resolve => "ldap.resolve",
            Self::Connect => "ldap.connect",
            Self::StartTls => "ldap.start_tls",
            Self::Handshake => "ldap.tls",
            Self::Bind => "ldap.bind",
        }
    }

    /// What it is called in messages.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Wait => "waiting for a connection",
            Self::Pause => "waiting to try again",
            Self::Open => "opening a connection",
            Self::Resolve => "looking up its address",
            Self::Connect => "connecting",
            Self::StartTls => "the answer to StartTLS",
            Self::Handshake => "the TLS handshake",
            Self::Bind => "binding",
        }
    }

    /// Its span, below the one this is called in.
    pub(crate) fn span(self, server: &str) -> Span {
        tracing::info_span!(
            target: Traces::TARGET,
            "step",
            otel.name = self.name(),
            otel.kind = if matches!(self, Self::Bind | Self::StartTls) { "client" } else { "internal" },
            otel.status_code = Empty,
            server.address = Traces::address(server).0,
            server.port = Traces::address(server).1,
            error.type = Empty,
        )
    }

    /// `future` with its span around it.
    pub(crate) async fn of<T>(
        self,
        server: &str,
        future: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let span = self.span(server);
        let result = future.instrument(span.clone()).await;
        Traces::end(&span, result.as_ref().err());
        result
    }
}

/// A bind with its span around it, which a refusal fails.
pub(crate) async fn bind(
    server: &str,
    future: impl Future<Output = Result<BindReply, Error>>,
) -> Result<BindReply, Error> {
    let span = Step::Bind.span(server);
    let reply = future.instrument(span.clone()).await;
    match &reply {
        Ok(BindReply::Refused(outcome)) => Traces::end(&span, Some(&Error::rejected(outcome.clone()))),
        reply => Traces::end(&span, reply.as_ref().err()),
    }
    reply
}
