//! Accepting connections, and owning the tasks that serve them.

use std::{
    collections::HashMap,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use flext_ldap_directory::{BoxFuture, Peer, PeerAddress, Sessions};
use flext_ldap_proto::result::ResultCode;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    AccessLog, ServerLimits, ServerTls,
    connection::{Connection, notice, serve},
    failures::Failures,
    listen::Listener,
    monitor::Monitor,
    rate::{Rated, Rates},
    statistics::Statistics,
};

/// How long after the end of the grace connections have to say goodbye before they are ended.
const GOODBYE: Duration = Duration::from_secs(1);

/// What a connection goes by as long as it lasts: what was settled when it was accepted.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) sessions: Arc<dyn Sessions>,
    pub(crate) limits: ServerLimits,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) access_log: Option<Arc<dyn AccessLog>>,
    pub(crate) monitor: Option<Arc<Monitor>>,
    pub(crate) core: Arc<Core>,
}

/// What all connections of a server share, whatever was settled when they began.
#[derive(Debug, Default)]
pub(crate) struct Core {
    pub(crate) statistics: Statistics,
    pub(crate) rates: Rates,
    pub(crate) failures: Failures,
    numbers: AtomicU64,
    open: AtomicUsize,
    open_by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// What is settled for the connections that come.
pub(crate) struct Settled(RwLock<Arc<Shared>>);

impl Settled {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(RwLock::new(Arc::new(shared)))
    }

    pub(crate) fn get(&self) -> Arc<Shared> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Settles something else for the connections that come.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Shared)) {
        let mut settled = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut shared = Shared::clone(&settled);
        change(&mut shared);
        *settled = Arc::new(shared);
    }
}

impl Core {
    /// Connections open at present.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections taken so far.
    pub(crate) fn numbered(&self) -> u64 {
        self.numbers.load(Ordering::Relaxed)
    }
}

impl Shared {
    pub(crate) fn new(
        sessions: Arc<dyn Sessions>,
        limits: ServerLimits,
        tls: Option<ServerTls>,
        access_log: Option<Arc<dyn AccessLog>>,
    ) -> Self {
        Self { sessions, limits, tls, access_log, monitor: None, core: Arc::default() }
    }
}

/// The place of one connection among those allowed; given back when dropped.
struct Place {
    core: Arc<Core>,
    address: Option<IpAddr>,
}

impl Place {
    fn take(shared: &Arc<Shared>, peer: &Peer) -> Option<Self> {
        let address = match peer.address {
            PeerAddress::Tcp(address) => Some(address.ip()),
            _ => None,
        };
        let core = &shared.core;
        if core.open.fetch_add(1, Ordering::Relaxed) >= shared.limits.connections {
            core.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let mut place = Self { core: core.clone(), address: None };
        if let (Some(address), Some(most)) = (address, shared.limits.connections_per_address) {
            let mut by_address = core.open_by_address.lock().unwrap_or_else(PoisonError::into_inner);
            let open = by_address.entry(address).or_insert(0);
            if *open >= most {
                return None;
            }
            *open += 1;
            place.address = Some(address);
        }
        Some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.core.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address {
            let mut by_address = self.core.open_by_address.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(open) = by_address.get_mut(&address) {
                *open = open.saturating_sub(1);
                if *open == 0 {
                    by_address.remove(&address);
                }
            }
        }
    }
}

/// Accepts until `stop` holds an instant; then lets connections finish until that instant, and ends the rest.
pub(crate) async fn accept(
    settled: Arc<Settled>,
    listener: Listener,
    stop: watch::Receiver<Option<Instant>>,
) {
    let mut connections = JoinSet::new();
    let mut stopped = Stop::new(stop.clone());
    let mut refusing = false;
    let until = loop {
        tokio::select! {
            biased;
            until = &mut stopped => break until,
            Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => {
                    let shared = settled.get();
                    let core = &shared.core;
                    let place = if core.rates.allow(&shared.limits.rates, &peer, Rated::Connection) {
                        Place::take(&shared, &peer).ok_or("too many connections are open")
                    } else {
                        core.statistics.connections_rated.add(1);
                        Err("connections are opened too often")
                    };
                    let place = match place {
                        Ok(place) => place,
                        Err(why) => {
                            core.statistics.refused.add(1);
                            if !refusing {
                                tracing::warn!(open = core.open(), from = ?peer.address, "a connection is refused: {why}");
                            }
                            refusing = true;
                            if !listener.tls {
                                // What does not fit at once is not worth waiting for.
                                let _ = socket.send_now(&notice(ResultCode::BUSY, why));
                            }
                            continue;
                        }
                    };
                    refusing = false;
                    let number = core.numbers.fetch_add(1, Ordering::Relaxed) + 1;
                    let connection = Connection::new(number, peer);
                    let served = serve(shared, socket, connection, listener.tls, Stop::new(stop.clone()));
                    connections.spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of descriptors or memory, most often: give others time to let go of some.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(50)).await;
                }
            },
        }
    };
    drop(listener);
    let by = until.checked_add(GOODBYE).unwrap_or(until);
    while let Ok(Some(ended)) = timeout_at(by, connections.join_next()).await {
        report(ended);
    }
    connections.shutdown().await;
}

/// Resolves when the server stops: until when what is under way may go on. Unlike other futures it can be polled again
/// after that, and says the same.
pub(crate) struct Stop {
    told: BoxFuture<'static, Instant>,
    until: Option<Instant>,
}

impl Stop {
    pub(crate) fn new(mut stop: watch::Receiver<Option<Instant>>) -> Self {
        let told = Box::pin(async move {
            match stop.wait_for(Option::is_some).await {
                Ok(until) => until.unwrap_or_else(Instant::now),
                Err(_) => Instant::now(), // The server is gone.
            }
        });
        Self { told, until: None }
    }
}

impl Future for Stop {
    type Output = Instant;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Instant> {
        let until = match self.until {
            Some(until) => until,
            None => ready!(self.told.as_mut().poll(cx)),
        };
        self.until = Some(until);
        Poll::Ready(until)
    }
}

/// A connection that panicked has cost its peer the connection, and nothing else.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "the task of a connection panicked");
    }
}
