//! What a check is run on: something that opens conversations, and what must be known to use it.

use std::{any::Any, fmt, sync::Arc};

use flext_ldap_directory::{
    Peer, Sessions,
    proto::{dn::Dn, secret::Secret},
};

use super::{Freedom, Server, shared::SharedServer, subjects::SignIn};

/// A directory under test.
///
/// It serves `suffix`, whose entry is there (a `dcObject` and `organization`) and has nothing below it. Anyone may
/// read what is no secret, users may change their own password, and only the administrator may change other entries.
pub struct Subject {
    name: String,
    server: Server,
    sessions: Arc<dyn Sessions>,
    peer: Peer,
    suffix: Dn,
    administrator: (Dn, Secret),
    tag: String,
    behind: Option<&'static str>,
    sign_in: Option<SignIn>,
    shared: Option<Arc<SharedServer>>,
    /// Ends the server when it is dropped.
    _keep: Box<dyn Any + Send + Sync>,
}

impl Subject {
    /// It keeps a client's connection when the server ends its own.
    pub(super) const PROXY: &str = "the proxy";
    /// Its connections serve one conversation after the other.
    pub(super) const STACK: &str = "the stack";

    /// A directory that `sessions` talks to as `peer`, whose administrator binds as `administrator`. `keep` is dropped
    /// after the last check: it ends the server.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        server: Server,
        (sessions, peer): (impl Sessions, Peer),
        suffix: Dn,
        administrator: (Dn, Secret),
        keep: impl Any + Send + Sync,
    ) -> Self {
        Self {
            name: name.into(),
            server,
            sessions: Arc::new(sessions),
            peer,
            suffix,
            administrator,
            tag: String::new(),
            behind: None,
            sign_in: None,
            shared: None,
            _keep: Box::new(keep),
        }
    }

    /// The same with an ending for the names of its checks' entries, where several subjects share a server.
    pub(super) fn tagged(mut self, tag: String) -> Self {
        self.tag = tag;
        self
    }

    /// The same, on a server that others use too.
    pub(super) fn sharing(mut self, shared: Arc<SharedServer>) -> Self {
        self.shared = Some(shared);
        self
    }

    pub(super) fn shared(&self) -> Option<&SharedServer> {
        self.shared.as_deref()
    }

    /// The same, said to be talked to through [`PROXY`](Self::PROXY) or [`STACK`](Self::STACK).
    pub(super) fn through(mut self, what: &'static str) -> Self {
        self.behind = Some(what);
        self
    }

    /// What is between, if it is more than the transport.
    pub(super) const fn behind(&self) -> Option<&'static str> {
        self.behind
    }

    /// The same, whose administrator and users sign in otherwise than by name and password.
    pub(super) fn signed_in(mut self, sign_in: SignIn) -> Self {
        self.sign_in = Some(sign_in);
        self
    }

    pub(super) const fn sign_in(&self) -> Option<&SignIn> {
        self.sign_in.as_ref()
    }

    pub(super) fn is_behind_proxy(&self) -> bool {
        self.behind == Some(Self::PROXY)
    }

    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    pub(super) const fn server(&self) -> Server {
        self.server
    }

    /// The same with its sessions wrapped.
    pub(super) fn map_sessions(mut self, wrap: impl FnOnce(Arc<dyn Sessions>) -> Arc<dyn Sessions>) -> Self {
        self.sessions = wrap(self.sessions);
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn sessions(&self) -> &dyn Sessions {
        &*self.sessions
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) const fn suffix(&self) -> &Dn {
        &self.suffix
    }

    pub(super) const fn administrator(&self) -> &(Dn, Secret) {
        &self.administrator
    }

    /// Whether the server takes a freedom that an RFC gives.
    pub(super) fn takes(&self, freedom: Freedom) -> bool {
        freedom.is_taken_by(self.server)
    }

    /// Whether anyone on the way could read what is said.
    pub(super) fn is_clear(&self) -> bool {
        self.peer.protection == flext_ldap_directory::Protection::Clear
    }

    /// Whether the transport tells the server who its peer is, so that SASL EXTERNAL works.
    pub(super) const fn knows_its_peer(&self) -> bool {
        self.peer.external.is_some()
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("name", &self.name).field("peer", &self.peer).finish_non_exhaustive()
    }
}
