//! Places that are few, of which nobody has more than a share.
//!
//! Whoever asks is told apart by name, and where there is none by address, of IPv6 by the network of 64 bits: one host
//! has as many addresses of that as it likes.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use flext_ldap_directory::PeerAddress;
use flext_ldap_proto::dn::DnKey;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::context::{Caller, Context};

/// How long a place is had while others wait for one.
const TURN: Duration = Duration::from_millis(50);

/// Who have begun and give way to each other, at the most, for each place: each keeps a thread.
const BEGUN: usize = 16;

/// Places.
#[derive(Debug)]
pub(crate) struct Shares {
    all: Arc<Semaphore>,
    begun: Arc<Semaphore>,
    share: usize,
    holders: Mutex<HashMap<Holder, Weak<Semaphore>>>,
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _own: Option<OwnedSemaphorePermit>,
    _begun: Option<OwnedSemaphorePermit>,
    all: Arc<Semaphore>,
    turn: Mutex<Turn>,
}

/// Whose turn it is, and since when.
#[derive(Debug)]
struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
    since: Instant,
}

impl Place {
    fn new(
        own: Option<OwnedSemaphorePermit>,
        begun: Option<OwnedSemaphorePermit>,
        all: &Arc<Semaphore>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let turn = Mutex::new(Turn { _permit: permit, since: Instant::now() });
        Self { _own: own, _begun: begun, all: Arc::clone(all), turn }
    }

    /// After so long with it, leaves the place to those who wait for one, and waits for it behind them. Blocks the
    /// thread.
    pub(crate) fn give_way(&self) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if turn.since.elapsed() < TURN {
            return;
        }
        // Outside of a runtime nobody waits.
        let Ok(runtime) = Handle::try_current() else { return };
        turn._permit = None;
        // It is never closed, and served in the order of asking.
        turn._permit = runtime.block_on(Arc::clone(&self.all).acquire_owned()).ok();
        turn.since = Instant::now();
    }
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Holder {
    Name(Arc<DnKey>),
    Network(IpAddr),
    Local,
}

impl Holder {
    /// `None` for administrators and the program itself, who may have all.
    fn of(context: &Context, caller: &Caller) -> Option<Self> {
        let (name, all) = context.is_unrestricted(caller);
        if all {
            return None;
        }
        match (name, caller.peer.address) {
            (Some(name), _) => Some(Self::Name(name)),
            (_, PeerAddress::Tcp(address)) => Some(Self::Network(network(address.ip()))),
            (_, PeerAddress::InProcess) => None,
            _ => Some(Self::Local),
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

impl Shares {
    pub(crate) fn new(all: usize, share: usize) -> Self {
        let places = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        let (all, begun) = (places(all), places(all.saturating_mul(BEGUN)));
        Self { all, begun, share: share.clamp(1, Semaphore::MAX_PERMITS), holders: Mutex::default() }
    }

    /// The share of one.
    fn own(&self, context: &Context, caller: &Caller) -> Option<Arc<Semaphore>> {
        let holder = Holder::of(context, caller)?;
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = holders.get(&holder).and_then(Weak::upgrade) {
            return Some(own);
        }
        holders.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.share));
        holders.insert(holder, Arc::downgrade(&own));
        Some(own)
    }

    /// A place, if there is one.
    pub(crate) fn try_take(&self, context: &Context, caller: &Caller) -> Option<Place> {
        let own = match self.own(context, caller) {
            Some(own) => Some(own.try_acquire_owned().ok()?),
            None => None,
        };
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Place::new(own, None, &self.all, Some(permit)))
    }

    /// A place, as soon as there is one.
    pub(crate) async fn take(&self, context: &Context, caller: &Caller) -> Place {
        // None of them is ever closed.
        let own = match self.own(context, caller) {
            Some(own) => own.acquire_owned().await.ok(),
            None => None,
        };
        let begun = Arc::clone(&self.begun).acquire_owned().await.ok();
        Place::new(own, begun, &self.all, Arc::clone(&self.all).acquire_owned().await.ok())
    }
}
