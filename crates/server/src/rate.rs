//! How often one address may connect, bind and ask: token buckets in bounded memory.
//!
//! An IPv6 peer is known by its /64, which is what one subscriber has. A bucket is one number (the time at which it would
//! be full again), and the table forgets who has been away the longest when it is full: whoever has more addresses
//! than it holds is not kept by it, but by the limit on all connections.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
};

use flext_ldap_directory::{Peer, PeerAddress};
use tokio::time::Instant;

/// Addresses in one of two generations of the table.
const GENERATION: usize = 32_768;

/// How often something may happen: in the long run, and at once after a pause.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a token bucket has no more to it")]
pub struct Rate {
    /// In the long run. 0 counts as 1.
    pub per_second: u32,
    /// At once, after a pause that was long enough. 0 counts as 1.
    pub burst: u32,
}

/// How often one address may do what. `None` sets no limit. Unix sockets do not count.
///
/// Behind one address can be a whole company (NAT), or an application that signs in everybody: the defaults are far
/// above what a morning of 10,000 people brings, and below what a machine can do to a server alone.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "any combination is valid; new rates are worth a release")]
pub struct RateLimits {
    /// New connections; further ones are told `busy` and closed. 500 a second, 5,000 at once.
    pub connections: Option<Rate>,
    /// Binds; further ones are answered `busy`. 500 a second, 5,000 at once.
    pub binds: Option<Rate>,
    /// Other operations; further ones are answered `busy`. No limit, since the operations in flight on a connection are
    /// limited already.
    pub operations: Option<Rate>,
    /// Whether loopback addresses are limited too. They are not.
    pub loopback: bool,
}

impl Default for RateLimits {
    fn default() -> Self {
        let rate = Some(Rate { per_second: 500, burst: 5_000 });
        Self { connections: rate, binds: rate, operations: None, loopback: false }
    }
}

/// What is limited.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rated {
    Connection,
    Bind,
    Operation,
}

/// What addresses have used up.
#[derive(Debug)]
pub(crate) struct Rates {
    started: Instant,
    addresses: Mutex<Generations>,
}

/// The younger one is written to. When it is full it becomes the older one, and what was only in that is forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<IpAddr, Buckets>,
    old: HashMap<IpAddr, Buckets>,
}

/// When each bucket will be full, in nanoseconds since the start.
type Buckets = [u64; 3];

impl Default for Rates {
    fn default() -> Self {
        Self { started: Instant::now(), addresses: Mutex::default() }
    }
}

impl Rates {
    /// Whether the peer may do this now; if so, it is counted.
    pub(crate) fn allow(&self, limits: &RateLimits, peer: &Peer, what: Rated) -> bool {
        let rate = match what {
            Rated::Connection => limits.connections,
            Rated::Bind => limits.binds,
            Rated::Operation => limits.operations,
        };
        let (Some(rate), Some(address)) = (rate, limited_address(limits, peer)) else { return true };
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let [connections, binds, operations] = addresses.buckets(address, GENERATION);
        let full_at = match what {
            Rated::Connection => connections,
            Rated::Bind => binds,
            Rated::Operation => operations,
        };
        take(full_at, now, rate)
    }
}

/// The address to which the limits apply, if they do.
fn limited_address(limits: &RateLimits, peer: &Peer) -> Option<IpAddr> {
    let PeerAddress::Tcp(address) = peer.address else { return None };
    let address = address.ip();
    if address.is_loopback() && !limits.loopback {
        return None;
    }
    Some(network(address))
}

/// An IPv4 address, or the /64 of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

/// Takes a token from a bucket, if it has one.
fn take(full_at: &mut u64, now: u64, rate: Rate) -> bool {
    let each = 1_000_000_000 / u64::from(rate.per_second.max(1));
    let whole = each.saturating_mul(u64::from(rate.burst.max(1)));
    let after = (*full_at).max(now).saturating_add(each);
    let allowed = after.saturating_sub(now) <= whole;
    if allowed {
        *full_at = after;
    }
    allowed
}

impl Generations {
    fn buckets(&mut self, address: IpAddr, most: usize) -> &mut Buckets {
        let known = self.old.remove(&address);
        if self.young.len() >= most && !self.young.contains_key(&address) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.entry(address).or_insert_with(|| known.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use flext_ldap_directory::Protection;

    use super::*;

    #[test]
    fn a_bucket_fills_at_its_rate() {
        let rate = Rate { per_second: 10, burst: 3 };
        let mut full_at = 0;
        let second = 1_000_000_000;
        let tokens = |full_at: &mut u64, now| (0..10).filter(|_| take(full_at, now, rate)).count();
        assert_eq!(tokens(&mut full_at, 5 * second), 3);
        assert_eq!(tokens(&mut full_at, 5 * second + second / 10), 1);
        assert_eq!(tokens(&mut full_at, 5 * second + second / 10 + 1), 0);
        assert_eq!(tokens(&mut full_at, 60 * second), 3);
        let mut full_at = 0;
        let nothing = Rate { per_second: 0, burst: 0 };
        assert_eq!((take(&mut full_at, 0, nothing), take(&mut full_at, 0, nothing)), (true, false));
    }

    #[test]
    fn whom_the_limits_are_for() {
        let peer = |address: &str| Peer {
            address: PeerAddress::Tcp(address.parse().unwrap()),
            protection: Protection::Clear,
            external: None,
            bindings: None,
            tls: None,
        };
        let limits = RateLimits::default();
        let table = [
            ("192.0.2.7:1", Some("192.0.2.7")),
            ("[::ffff:192.0.2.7]:1", Some("192.0.2.7")),
            ("[2001:db8:1:2:3:4:5:6]:1", Some("2001:db8:1:2::")),
            ("127.0.0.1:1", None),
            ("[::1]:1", None),
        ];
        for (address, want) in table {
            let want = want.map(|want| want.parse().unwrap());
            assert_eq!(limited_address(&limits, &peer(address)), want, "{address}");
        }
        let all = RateLimits { loopback: true, ..limits };
        assert!(limited_address(&all, &peer("127.0.0.1:1")).is_some());
        assert!(limited_address(&all, &Peer::in_process()).is_none());
    }

    #[test]
    fn the_table_is_bounded_and_remembers_who_is_there() {
        let mut table = Generations::default();
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        table.buckets(address(0), 8)[0] = 7;
        for number in 1..100 {
            table.buckets(address(number), 8);
            assert!(table.young.len() + table.old.len() <= 16);
            assert_eq!(table.buckets(address(0), 8)[0], 7, "{number}");
        }
        for number in 100..200 {
            table.buckets(address(number), 8);
        }
        assert_eq!(table.buckets(address(0), 8)[0], 0);
    }
}
