//! Metrics and health over HTTP: for Prometheus, and for whoever decides whether the proxy gets work.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use flext_ldap::Stack;
use flext_ldap_directory::health::HealthStatus;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// What answers, until it is told to end.
pub(super) struct Http {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Http {
    /// Answers here from now on.
    ///
    /// # Errors
    ///
    /// The address cannot be had.
    pub(super) async fn start(address: SocketAddr, stack: Stack) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("failed to listen on {address} for metrics and health"))?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/health", get(health))
            .route("/health/ready", get(ready))
            .with_state(stack);
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = async {
            // Told, or left: it ends both ways.
            let _ = stopped.await;
        };
        let served = axum::serve(listener, router).with_graceful_shutdown(ended);
        let task = tokio::spawn(async { served.await });
        Ok(Self { address, stop, task })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn shutdown(self) {
        let Self { stop, task, .. } = self;
        drop(stop);
        // Who keeps a connection open is not waited for.
        let abort = task.abort_handle();
        if tokio::time::timeout(std::time::Duration::from_secs(1), task).await.is_err() {
            abort.abort();
        }
    }
}

async fn metrics(State(stack): State<Stack>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, stack.metrics().to_string()).into_response()
}

/// How the servers are; 503 where none is of use.
async fn health(State(stack): State<Stack>) -> Response {
    let report = stack.health();
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (code(report.status), kind, report.to_string()).into_response()
}

/// Whether it is worth asking now, where `health` weighs what has been.
async fn ready(State(stack): State<Stack>) -> Response {
    match stack.health().is_of_use() {
        true => (StatusCode::OK, "ready\n").into_response(),
        false => {
            (StatusCode::SERVICE_UNAVAILABLE, "every server behind this proxy is down\n").into_response()
        }
    }
}

fn code(status: HealthStatus) -> StatusCode {
    match status {
        HealthStatus::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    }
}
