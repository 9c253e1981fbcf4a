//! Metrics and health over HTTP: for Prometheus, and for whoever decides whether the proxy gets work.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
    serve::Listener,
};
use flext_ldap::Stack;
use flext_ldap_directory::health::HealthStatus;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task::JoinHandle,
    time::Sleep,
};

/// Connections at a time: what is asked here must not take the descriptors that clients of the proxy need.
const VISITS: usize = 64;

/// How long a connection may be there. Who asks again and again opens another.
const VISIT: Duration = Duration::from_secs(10);

/// What answers, until it is told to end.
pub(super) struct Http {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
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
        let listener = Door { listener, visits: Arc::new(Semaphore::new(VISITS)) };
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
        if tokio::time::timeout(Duration::from_secs(1), task).await.is_err() {
            abort.abort();
        }
    }
}

/// Lets in as many as may be there.
struct Door {
    listener: TcpListener,
    visits: Arc<Semaphore>,
}

/// A connection with its end.
struct Visit {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Listener for Door {
    type Io = Visit;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visit, SocketAddr) {
        // It is never closed.
        let permit = Arc::clone(&self.visits).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Visit { stream, end: Box::pin(tokio::time::sleep(VISIT)), _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Visit {
    fn within<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match poll(Pin::new(&mut self.stream), cx) {
            Poll::Pending => {
                self.end.as_mut().poll(cx).map(|()| Err(io::Error::from(io::ErrorKind::TimedOut)))
            }
            ready => ready,
        }
    }
}

impl AsyncRead for Visit {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().within(cx, |stream, cx| stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Visit {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().within(cx, |stream, cx| stream.poll_write(cx, octets))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().within(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().within(cx, |stream, cx| stream.poll_shutdown(cx))
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
