//! Places that are few, of which nobody has more than a share.
//!
//! Whoever asks is told apart by name, and where there is none by address, of IPv6 by the network of 64 bits: one host
//! has as many addresses of that as it likes.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use flext_ldap_directory::PeerAddress;
use flext_ldap_proto::dn::DnKey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::context::{Caller, Context};

/// Places.
#[derive(Debug)]
pub(crate) struct Shares {
    all: Arc<Semaphore>,
    share: usize,
    holders: Mutex<HashMap<Holder, Weak<Semaphore>>>,
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _own: Option<OwnedSemaphorePermit>,
    _all: Option<OwnedSemaphorePermit>,
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
        let all = Arc::new(Semaphore::new(all.min(Semaphore::MAX_PERMITS)));
        Self { all, share: share.clamp(1, Semaphore::MAX_PERMITS), holders: Mutex::default() }
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
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Place { _own: own, _all: Some(all) })
    }

    /// A place, as soon as there is one.
    pub(crate) async fn take(&self, context: &Context, caller: &Caller) -> Place {
        // Neither is ever closed.
        let own = match self.own(context, caller) {
            Some(own) => own.acquire_owned().await.ok(),
            None => None,
        };
        Place { _own: own, _all: Arc::clone(&self.all).acquire_owned().await.ok() }
    }
}
