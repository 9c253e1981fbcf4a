//! What one peer, and all peers together, may cost.

use std::time::Duration;

use flext_ldap_proto::message::Limits;

use crate::RateLimits;

/// Bounds on what peers may cost the server. The defaults suit a server that strangers can reach.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "any combination is valid; new limits are worth a release")]
pub struct ServerLimits {
    /// Connections at the same time. 10,000; more are told `busy` and closed.
    pub connections: usize,
    /// Connections at the same time from one address; `None`, the default, leaves it to `connections`. Unix sockets
    /// do not count.
    pub connections_per_address: Option<usize>,
    /// What the decoder takes from a peer that has bound. Messages of 20 MiB.
    pub message: Limits,
    /// Octets of one message from a peer that has not bound. 256 KiB.
    pub anonymous_message: usize,
    /// Operations in flight on one connection; while there are that many, the connection is not read. 64; 0 counts
    /// as 1.
    pub operations: usize,
    /// Persistent searches under way on one connection, besides `operations`; further ones are refused. 16.
    pub persistent_searches: usize,
    /// Octets of answers waiting for one peer to read them; from there on the directory is not asked for more, and
    /// the connection is not read. 256 KiB. What is held can be more by one batch of the directory.
    pub unread: usize,
    /// How long a connection may do nothing. 15 minutes.
    pub idle: Duration,
    /// How long one message may take from its first octet to its last. 60 seconds.
    pub receive: Duration,
    /// How long a peer may take nothing of what is waiting for it. 30 seconds.
    pub stall: Duration,
    /// How long a TLS handshake may take. 10 seconds.
    pub handshake: Duration,
    /// How long one step of a bind, or opening a conversation, may take. 30 seconds.
    pub bind: Duration,
    /// How long a search may wait for the directory, whatever time limit it asks for. 1 hour.
    pub search: Duration,
    /// How long any other operation may take. 60 seconds.
    pub operation: Duration,
    /// How often one address may connect, bind and ask.
    pub rates: RateLimits,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: None,
            message: Limits::DEFAULT,
            anonymous_message: 256 << 10,
            operations: 64,
            persistent_searches: 16,
            unread: 256 << 10,
            idle: Duration::from_secs(15 * 60),
            receive: Duration::from_secs(60),
            stall: Duration::from_secs(30),
            handshake: Duration::from_secs(10),
            bind: Duration::from_secs(30),
            search: Duration::from_secs(3600),
            operation: Duration::from_secs(60),
            rates: RateLimits::default(),
        }
    }
}

impl ServerLimits {
    /// What the decoder takes from a peer that has bound, or has not.
    pub(crate) fn decoder(&self, bound: bool) -> Limits {
        if bound {
            self.message
        } else {
            self.message.with_message(self.anonymous_message.min(self.message.message))
        }
    }
}
