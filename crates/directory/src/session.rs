//! Conversations: all that RFC 4511 ties to one connection.

use std::{
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use flext_ldap_proto::{
    certificate::CertificateNames, channel_binding::ChannelBindings, control::Controls, result::LdapResult,
    secret::Secret,
};

use crate::{Actor, BoxFuture, Deadline, Directory, Error, Outcome};

/// Opens conversations: the store, a connector, a proxy's upstream.
pub trait Sessions: Send + Sync + 'static {
    /// Opens one for `peer`. It starts anonymous.
    fn open(&self, peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>>;
}

/// One conversation. What belongs to a connection (who is bound, paging cookies) lives here and nowhere else.
///
/// Dropping it ends the conversation.
pub trait Session: Directory {
    /// Takes one step of a bind. Whoever was bound before is not any more, whatever the outcome (RFC 4511 §4.2.1).
    ///
    /// A session answers for the actor its own bind made; other actors are refused unless it can carry them.
    fn bind(&mut self, step: BindStep, by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>>;

    /// Ready when the directory ends the conversation of its own accord, with what its peer is told in a Notice of
    /// Disconnection (RFC 4511 §4.4.1). Whoever wraps a session hands this on. Most sessions never end by themselves.
    fn poll_end(&mut self, _cx: &mut Context<'_>) -> Poll<LdapResult> {
        Poll::Pending
    }
}

impl<S: Sessions + ?Sized> Sessions for Arc<S> {
    fn open(&self, peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        (**self).open(peer)
    }
}

impl Session for Box<dyn Session> {
    fn bind(&mut self, step: BindStep, by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        (**self).bind(step, by)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<LdapResult> {
        (**self).poll_end(cx)
    }
}

/// Who is at the other end of a conversation, as far as its transport tells.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "listeners make it, stores read it")]
pub struct Peer {
    /// Where from.
    pub address: PeerAddress,
    /// How the conversation is protected. StartTLS opens a new conversation, so this never changes.
    pub protection: Protection,
    /// Who the transport says it is, for SASL EXTERNAL.
    pub external: Option<External>,
    /// What a proof of identity can be bound to, if the conversation is inside TLS.
    pub bindings: Option<Arc<ChannelBindings>>,
    /// What was agreed on, if the conversation is inside TLS.
    pub tls: Option<AgreedTls>,
}

impl Peer {
    /// The program itself.
    #[must_use]
    pub const fn in_process() -> Self {
        Self {
            address: PeerAddress::InProcess,
            protection: Protection::Local,
            external: None,
            bindings: None,
            tls: None,
        }
    }
}

/// What both ends of TLS have agreed on.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "listeners make it")]
pub struct AgreedTls {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The cipher suite, by the name it is registered with at IANA.
    pub cipher: String,
}

/// Where a conversation comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PeerAddress {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over a Unix socket.
    Unix,
    /// From the same program.
    InProcess,
}

/// How a conversation is protected from others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Protection {
    /// Not at all.
    Clear,
    /// By TLS.
    Tls,
    /// It does not leave the machine by a network: Unix socket or same program.
    Local,
}

/// Who a transport says its peer is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum External {
    /// A process of this user, by the credentials of its Unix socket.
    UnixUser {
        /// The user id.
        uid: u32,
        /// The group id.
        gid: u32,
    },
    /// Who holds this client certificate, which TLS has verified.
    Certificate(Arc<CertificateNames>),
}

/// One step of a bind.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BindStep {
    /// A name and a password (RFC 4513 §5.1). Both empty: anonymous.
    Simple {
        /// The name as given: a DN, or what the directory takes instead.
        name: String,
        /// The password.
        password: Secret,
        /// What goes with it.
        controls: Controls,
    },
    /// One step of a SASL exchange (RFC 4513 §5.2).
    Sasl {
        /// The mechanism.
        mechanism: String,
        /// What the mechanism sends.
        credentials: Option<Secret>,
        /// What goes with it.
        controls: Controls,
    },
}

impl BindStep {
    /// A simple bind.
    #[must_use]
    pub fn simple(name: impl Into<String>, password: Secret) -> Self {
        Self::Simple { name: name.into(), password, controls: Controls::none() }
    }

    /// An anonymous bind.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::simple("", Secret::default())
    }

    /// SASL EXTERNAL (RFC 4422 appendix A): who the transport says, acting as themselves.
    #[must_use]
    pub fn external() -> Self {
        Self::Sasl {
            mechanism: "EXTERNAL".to_owned(),
            credentials: Some(Secret::default()),
            controls: Controls::none(),
        }
    }
}

/// The answer to a step of a bind.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "these three are all there are")]
pub enum BindReply {
    /// Bound.
    Done {
        /// Who the conversation acts for from now on: anonymous or a user.
        actor: Actor,
        /// The directory's answer.
        outcome: Outcome,
        /// What the mechanism sends with its last step.
        credentials: Option<Bytes>,
    },
    /// The mechanism wants another step.
    Continue {
        /// What the mechanism sends.
        credentials: Option<Bytes>,
        /// The directory's answer, with `saslBindInProgress`.
        outcome: Outcome,
    },
    /// Refused; nobody is bound.
    Refused(Outcome),
}
