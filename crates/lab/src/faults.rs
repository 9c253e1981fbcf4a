//! A TCP proxy that spoils what passes: what clients, pools and proxies do when the way to a server fails, shown on real
//! servers.
//!
//! [`Faults`] says what happens to connections; it can be changed at any time and holds for those that are open, too. What
//! is left to chance is drawn from a seed, the number of the connection and the direction, so that a run can be repeated.
//!
//! It knows where messages begin and end, and nothing else of LDAP: whether it was right to fail is for the test to judge.

mod pump;

use std::{
    io,
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use self::pump::{Direction, Pump};

/// What happens to connections. By default: nothing.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// What happens to new ones.
    pub opening: Opening,
    /// What happens to what clients send.
    pub to_server: Way,
    /// What happens to what the server sends.
    pub to_client: Way,
}

/// What happens to a new connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Opening {
    /// The server is connected to.
    #[default]
    Through,
    /// It is taken, and reset.
    Reset,
    /// It is taken, and nothing is read from it or written to it.
    Silence,
}

/// What happens to what passes in one direction.
#[derive(Clone, Debug)]
pub struct Way {
    /// How much later what was read is passed on.
    pub latency: RangeInclusive<Duration>,
    /// Passed in pieces of so many octets, with a pause after each.
    pub drip: Option<(usize, Duration)>,
    /// After so many octets, which are drawn for each connection, it ends like this.
    pub end: Option<(RangeInclusive<u64>, End)>,
    /// What is put before everything else.
    pub inject: Bytes,
    /// The share of messages of which one bit is flipped.
    pub flipped: f64,
    /// The share of messages that pass twice.
    pub doubled: f64,
    /// The share of messages that pass after the one that follows, or a twentieth of a second late where none follows.
    pub swapped: f64,
}

impl Default for Way {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO..=Duration::ZERO,
            drip: None,
            end: None,
            inject: Bytes::new(),
            flipped: 0.0,
            doubled: 0.0,
            swapped: 0.0,
        }
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum End {
    /// Both sides are reset.
    Reset,
    /// Both sides are closed in good order, in the middle of whatever was under way.
    Close,
    /// Nothing is read or passed in this direction any more, and nothing is closed.
    Silence,
}

impl Faults {
    /// Ends connections like this, those that are open at once, in both directions.
    #[must_use]
    pub fn end(end: End) -> Self {
        let way = Way { end: Some((0..=0, end)), ..Way::default() };
        let opening = if end == End::Silence { Opening::Silence } else { Opening::Reset };
        Self { opening, to_server: way.clone(), to_client: way }
    }

    /// Makes everything later, by this much in each direction.
    #[must_use]
    pub fn latency(latency: RangeInclusive<Duration>) -> Self {
        let way = Way { latency, ..Way::default() };
        Self { opening: Opening::Through, to_server: way.clone(), to_client: way }
    }
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Connections taken.
    pub connections: u64,
    /// Connections that were reset, closed, or fell silent in one direction.
    pub ended: u64,
    /// Messages with a flipped bit, passed twice, or passed late.
    pub spoiled: u64,
}

/// The proxy. It ends, with all its connections, when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    faults: watch::Sender<Faults>,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    seed: u64,
    connections: AtomicU64,
    ended: AtomicU64,
    spoiled: AtomicU64,
    /// What each connection has sent to the server, in the order they were taken.
    sent: Mutex<Vec<Vec<u8>>>,
}

/// Octets kept of what one connection sends.
const KEPT: usize = 1 << 20;

impl FaultProxy {
    /// Starts one before `server`, which spoils nothing yet.
    ///
    /// # Errors
    ///
    /// When no port can be listened on.
    pub async fn start(server: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((server.ip(), 0)).await?;
        let (faults, seen) = watch::channel(Faults::default());
        let shared = Arc::new(Shared {
            server,
            seed,
            connections: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            spoiled: AtomicU64::new(0),
            sent: Mutex::default(),
        });
        let address = listener.local_addr()?;
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, seen, Arc::clone(&shared)));
        Ok(Self { address, faults, shared, _accepting: accepting })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What happens from now on, to open connections too.
    pub fn set(&self, faults: Faults) {
        self.faults.send_replace(faults);
    }

    /// What has happened so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally {
            connections: self.shared.connections.load(Ordering::Relaxed),
            ended: self.shared.ended.load(Ordering::Relaxed),
            spoiled: self.shared.spoiled.load(Ordering::Relaxed),
        }
    }

    /// What each connection has sent so far, in the order they were taken: the first MiB of it, before it was spoiled.
    #[must_use]
    pub fn sent(&self) -> Vec<Vec<u8>> {
        self.shared.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps nothing of what connections have sent so far, for a run that is long and looks at none of it.
    pub fn forget(&self) {
        let mut sent = self.shared.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.fill_with(Vec::new);
    }
}

impl Shared {
    fn keep(&self, connection: u64, octets: &[u8]) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = usize::try_from(connection).unwrap_or(usize::MAX);
        if let Some(sent) = sent.get_mut(at) {
            let room = KEPT.saturating_sub(sent.len()).min(octets.len());
            sent.extend(octets.iter().take(room));
        }
    }
}

async fn accept(listener: TcpListener, faults: watch::Receiver<Faults>, shared: Arc<Shared>) {
    let mut open = JoinSet::new();
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = open.join_next() => continue,
        };
        // Without descriptors there is nothing to do but to wait until one is free.
        let Ok((client, _)) = client else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let number = shared.connections.fetch_add(1, Ordering::Relaxed);
        shared.sent.lock().unwrap_or_else(PoisonError::into_inner).push(Vec::new());
        open.spawn(carry(client, number, faults.clone(), Arc::clone(&shared)));
    }
}

/// One connection from its beginning to its end. What fails ends it, which is what it is for.
async fn carry(mut client: TcpStream, number: u64, mut faults: watch::Receiver<Faults>, shared: Arc<Shared>) {
    let opening = faults.borrow().opening;
    match opening {
        Opening::Through => {}
        Opening::Reset => {
            let _ = client.set_zero_linger();
            return;
        }
        Opening::Silence => {
            shared.ended.fetch_add(1, Ordering::Relaxed);
            // Until the client gives up, or the way is free again: then it is as if its packets had been lost so far.
            while faults.borrow_and_update().opening == Opening::Silence {
                if faults.changed().await.is_err() {
                    return;
                }
            }
        }
    }
    let Ok(mut server) = TcpStream::connect(shared.server).await else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = Pump::new(Direction::ToServer, number, faults.clone(), &shared);
        let down = Pump::new(Direction::ToClient, number, faults, &shared);
        tokio::try_join!(up.run(from_client, to_server), down.run(from_server, to_client)).err()
    };
    if end == Some(End::Reset) {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}
