//! A server with what is known of it: what probes find out is told to its health, and what its breaker has found out to
//! the probes.

use std::sync::Arc;

use flext_ldap_client::{PinnedConnection, Pool, Server};
use flext_ldap_directory::{
    BoxFuture, Deadline, Directory, Error, ErrorKind, Layer, Layered, Peer, Reply, Request, Session,
    Sessions,
    health::HealthSign,
    layers::{Breaker, BreakerState, HealthWatch, OperationClass, ServerMetrics},
};
use tokio::time::Instant;

/// A pool and the layers around it.
pub(super) struct Guarded {
    server: Arc<dyn Server>,
    breaker: Breaker,
    health: HealthWatch,
}

impl Guarded {
    pub(super) fn new(
        pool: Pool,
        breaker: Breaker,
        health: HealthWatch,
        metrics: Option<ServerMetrics>,
    ) -> Self {
        let server = around(around(Arc::new(pool), breaker.clone()), health.clone());
        let server = match metrics {
            Some(metrics) => around(server, metrics),
            None => server,
        };
        Self { server, breaker, health }
    }
}

/// Puts a layer around a server.
pub(super) fn around(server: Arc<dyn Server>, layer: impl Layer) -> Arc<dyn Server> {
    Arc::new(Layered::new(server, Arc::new(layer)))
}

impl Directory for Guarded {
    fn call(&self, request: Request) -> Reply {
        self.server.call(request)
    }
}

impl Sessions for Guarded {
    fn open(&self, peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        self.server.open(peer)
    }
}

impl Server for Guarded {
    fn name(&self) -> &str {
        self.server.name()
    }

    fn load(&self) -> usize {
        self.server.load()
    }

    /// A server that answers probes and fails what is asked of it is not well: as long as reads are not made, it is not
    /// asked how it is either.
    fn check(&self, by: Deadline) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            if let BreakerState::Open { until } = self.breaker.state(OperationClass::Read)
                && until > Instant::now()
            {
                let left = until - Instant::now();
                let message = format!(
                    "{} fails what it is asked, and is left alone for another {left:.1?}",
                    self.name()
                );
                return Err(Error::new(ErrorKind::Unreachable, message));
            }
            let started = Instant::now();
            let result = self.server.check(by).await;
            match &result {
                Ok(()) => self.health.observe(HealthSign::Answered(started.elapsed())),
                Err(error) if error.kind() == ErrorKind::Rejected => self.health.observe(HealthSign::Refused),
                Err(_) => self.health.observe(HealthSign::Silent),
            };
            result
        })
    }

    fn pin(&self, by: Deadline) -> BoxFuture<'_, Result<PinnedConnection, Error>> {
        self.server.pin(by)
    }

    fn shutdown(&self, by: Deadline) -> BoxFuture<'_, ()> {
        self.server.shutdown(by)
    }
}
