//! Who a line of a rule is about: a name, a group, an attribute that names them; and how they are connected.

use std::net::IpAddr;

use flext_ldap_directory::{Actor, Peer, PeerAddress, Protection, Requester};
use flext_ldap_proto::dn::DnKey;

/// Somebody, over certain connections.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Subject {
    pub(super) who: Who,
    pub(super) over: Over,
    /// Each list must have one that fits.
    pub(super) from: Vec<Vec<Origin>>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Who {
    Anyone,
    Anonymous,
    Users,
    Own,
    Administrators,
    Name(Scope, DnKey),
    /// One of the groups that are looked up, by number.
    Group(usize),
    /// One of the attributes whose values are looked at, by number.
    Attribute(usize),
}

/// How a name stands to another.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Scope {
    Entry,
    One,
    Subtree,
    Children,
}

impl Scope {
    pub(super) fn holds(self, name: &DnKey, base: &DnKey) -> bool {
        match self {
            Self::Entry => name == base,
            Self::One => name.is_child_of(base),
            Self::Subtree => name.is_within(base),
            Self::Children => name.is_below(base),
        }
    }

    /// The same for a name that is so many levels below the base.
    pub(super) fn reaches(self, levels: usize) -> bool {
        match self {
            Self::Entry => levels == 0,
            Self::One => levels == 1,
            Self::Subtree => true,
            Self::Children => levels > 0,
        }
    }
}

/// A set of connection strengths.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Over(u8);

/// The words for connection strengths.
pub(super) const STRENGTHS: [(&str, Over); 3] = [("tls", Over(1)), ("local", Over(2)), ("clear", Over(4))];

impl Over {
    pub(super) const ANY: Self = Self(7);
    pub(super) const NONE: Self = Self(0);

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The word for a connection's strength. What is not known is as good as nothing.
    pub(super) fn word(protection: Protection) -> (&'static str, Self) {
        let [tls, local, clear] = STRENGTHS;
        match protection {
            Protection::Tls => tls,
            Protection::Local => local,
            _ => clear,
        }
    }

    pub(super) fn admits(self, protection: Protection) -> bool {
        self.0 & Self::word(protection).1.0 != 0
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Origin {
    Unix,
    /// An address and how many of its leading bits count.
    Net(IpAddr, u8),
}

impl Origin {
    pub(super) fn admits(self, address: PeerAddress) -> bool {
        match (self, address) {
            (Self::Unix, PeerAddress::Unix) => true,
            (Self::Net(net, bits), PeerAddress::Tcp(peer)) => {
                masked(peer.ip().to_canonical(), bits) == Some(net)
            }
            _ => false,
        }
    }
}

/// The leading bits of an address, the others zero; `None` for more bits than it has.
pub(super) fn masked(address: IpAddr, bits: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Some(IpAddr::V4((u32::from(address) & mask).into()))
        }
        IpAddr::V6(address) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Some(IpAddr::V6((u128::from(address) & mask).into()))
        }
        _ => None,
    }
}

/// What is known of a subject once it is known who asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    No,
    Yes,
    /// If the entry is their own.
    Own,
    /// If this attribute of the entry names them.
    Named(usize),
}

impl Subject {
    /// Why the connection does not fit, if it does not.
    pub(super) fn connects(&self, peer: &Peer) -> Result<(), Mismatch> {
        if !self.over.admits(peer.protection) {
            return Err(Mismatch::Over);
        }
        if !self.from.iter().all(|list| list.iter().any(|one| one.admits(peer.address))) {
            return Err(Mismatch::From);
        }
        Ok(())
    }

    /// Whether this is the one who asks. `memberships` has an answer for each group.
    pub(super) fn standing(
        &self,
        who: Requester<'_>,
        administrators: &[DnKey],
        memberships: &[bool],
    ) -> Standing {
        let yes = |yes| if yes { Standing::Yes } else { Standing::No };
        if self.connects(who.peer).is_err() {
            return Standing::No;
        }
        match &self.who {
            Who::Anyone => Standing::Yes,
            Who::Anonymous => yes(matches!(who.actor, Actor::Anonymous)),
            Who::Users => yes(!matches!(who.actor, Actor::Anonymous)),
            Who::Own => who.dn.map_or(Standing::No, |_| Standing::Own),
            Who::Administrators => {
                yes(matches!(who.actor, Actor::Service)
                    || who.dn.is_some_and(|dn| administrators.contains(dn)))
            }
            Who::Name(scope, base) => yes(who.dn.is_some_and(|dn| scope.holds(dn, base))),
            Who::Group(group) => yes(who.dn.is_some() && memberships.get(*group) == Some(&true)),
            Who::Attribute(attribute) => who.dn.map_or(Standing::No, |_| Standing::Named(*attribute)),
        }
    }
}

/// What of a connection does not fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mismatch {
    Over,
    From,
}
