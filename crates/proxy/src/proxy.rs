//! The proxy: what all its sessions share.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use flext_ldap_directory::{
    Actor, BoxFuture, Deadline, Directory, DirectoryExt as _, Error, ErrorKind, Peer, Request, Session,
    Sessions,
};
use flext_ldap_proto::{
    control::{ControlValue as _, ProxiedAuthorization},
    dn::Dn,
    filter::Filter,
    message::{Scope, Search},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use crate::{Clients, lent::Lent, mark::Marks, session::ProxySession};

/// For how long it is believed what an upstream says it offers.
const OFFERS: Duration = Duration::from_secs(60);

/// Sessions that have lost their conversation and are given another one at a time, the others in the order they came: where
/// one server has to take the clients of two, each of them would wait for all.
const RESTORED_AT_ONCE: usize = 16;

/// What is behind a proxy.
pub(crate) trait Upstream: Directory + Sessions {}

impl<U: Directory + Sessions> Upstream for U {}

/// Opens a session for each client of a listener, over an upstream.
///
/// ```
/// # async fn example<U>(upstream: U)
/// # where
/// #     U: flext_ldap_directory::Directory + flext_ldap_directory::Sessions,
/// # {
/// use std::sync::Arc;
///
/// use flext_ldap_proxy::Proxy;
///
/// let proxy = Proxy::builder(upstream).build();
/// let clients = proxy.clients();
/// let sessions: Arc<dyn flext_ldap_directory::Sessions> = Arc::new(proxy); // for `Server::builder`
/// # }
/// ```
///
/// # Binds
///
/// A simple bind goes upstream as it is, once: it is sent a second time only if no octet of the first had left. So do the
/// SASL mechanisms that prove who somebody is and nothing else: PLAIN, SCRAM without channel binding, OAUTHBEARER,
/// ANONYMOUS. One that speaks of the client's own connection (EXTERNAL, channel bindings) or may protect what follows
/// (GSSAPI, GSS-SPNEGO, DIGEST-MD5) cannot be carried, is refused with `authMethodNotSupported`, and is not listed in the
/// root DSE.
///
/// # When a server dies
///
/// What was proved in one step is kept in memory that is wiped, as long as the client is bound, and proved once more on
/// the next conversation. If the directory refuses it there, the client is told so in a Notice of Disconnection, and it is
/// never sent again: directories count failures. What was proved in several steps cannot be repeated; then the client gets
/// that notice at once, and so does everybody where [`keep_passwords`](ProxyBuilder::keep_passwords) is off.
///
/// # Limits
///
/// How many conversations and binds there are at a time is a matter of the upstream. An operation that gets no
/// conversation is answered with `busy` or `unavailable`: at once, or where its session has just lost one after the time
/// of a [probe](ProxyBuilder::probe_timeout), in which other servers may come back. Where all conversations are taken it
/// waits for one as long as the upstream has it wait, and is answered with `timeLimitExceeded` then.
#[derive(Clone)]
pub struct Proxy(Arc<Shared>);

/// Collects what a [`Proxy`] needs to know.
#[must_use = "call `build` to get the proxy"]
pub struct ProxyBuilder {
    upstream: Arc<dyn Upstream>,
    settings: Settings,
    clients: Clients,
    anonymous: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) keep_passwords: bool,
    pub(crate) proxied_authorization: bool,
    /// How long a conversation may say nothing while a read waits.
    pub(crate) silence: Duration,
    /// How long a probe may take.
    pub(crate) probe: Duration,
    /// How long it may take to have a conversation that is as the last one was. An operation waits for it no longer than it
    /// may itself.
    pub(crate) restore: Duration,
}

/// What all sessions of a proxy share.
pub(crate) struct Shared {
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) settings: Settings,
    pub(crate) clients: Clients,
    pub(crate) marks: Marks,
    /// Conversations of who has not signed in, and those in the middle of signing in.
    pub(crate) anonymous: Arc<Lent>,
    pub(crate) exchanges: Arc<Lent>,
    /// Whether the upstream offers proxied authorization, and when it said so.
    offers: Mutex<Option<(Instant, bool)>>,
    /// Held by the session that asks the upstream how it is.
    pub(crate) asks: tokio::sync::Mutex<()>,
    restoring: Semaphore,
}

impl Proxy {
    /// Begins with what is behind the proxy. Its own operations must be answered with the rights of an account that may
    /// read the root DSE, and with [`proxied_authorization`](ProxyBuilder::proxied_authorization) act for others.
    pub fn builder(upstream: impl Directory + Sessions) -> ProxyBuilder {
        ProxyBuilder {
            upstream: Arc::new(upstream),
            settings: Settings {
                keep_passwords: true,
                proxied_authorization: false,
                silence: Duration::from_secs(1),
                probe: Duration::from_secs(2),
                restore: Duration::from_secs(60),
            },
            clients: Clients::default(),
            anonymous: 250,
        }
    }

    /// Who has asked what so far. A clone of it is the same.
    #[must_use]
    pub fn clients(&self) -> Clients {
        self.0.clients.clone()
    }
}

impl ProxyBuilder {
    /// Whether passwords are kept while their owners are bound, so that they are bound again where a server has died.
    /// Yes; if not, who is bound loses the connection together with the server.
    pub const fn keep_passwords(mut self, keep: bool) -> Self {
        self.settings.keep_passwords = keep;
        self
    }

    /// Whether operations of who has bound go over the upstream's own connections, with proxied authorization (RFC 4370),
    /// where the server offers it. No. What needs a conversation (pages, extended operations, controls that are not known
    /// here, searches that stay) has one all the same, for which the user is bound once more; so with
    /// [`keep_passwords`](Self::keep_passwords) off nothing is done by proxied authorization.
    pub const fn proxied_authorization(mut self, proxied: bool) -> Self {
        self.settings.proxied_authorization = proxied;
        self
    }

    /// How long a conversation may say nothing while a read waits for its first answer; then it is probed by reading the
    /// root DSE. 1 s.
    pub const fn silence(mut self, time: Duration) -> Self {
        self.settings.silence = time;
        self
    }

    /// How long such a probe may take until the read goes on on another conversation. 2 s.
    pub const fn probe_timeout(mut self, time: Duration) -> Self {
        self.settings.probe = time;
        self
    }

    /// Conversations at a time of clients that have not signed in, and as many more for steps of SASL binds. 250; 0 counts
    /// as 1. Where others need one, they get that which has rested longest; where all are busy, others wait ten seconds.
    /// A quarter of those that the upstream may have leaves the half to who has signed in, whoever connects.
    pub const fn anonymous(mut self, conversations: usize) -> Self {
        self.anonymous = conversations;
        self
    }

    /// Remembers clients here.
    pub fn clients(mut self, clients: Clients) -> Self {
        self.clients = clients;
        self
    }

    /// The proxy.
    #[must_use]
    pub fn build(self) -> Proxy {
        Proxy(Arc::new(Shared {
            upstream: self.upstream,
            settings: self.settings,
            clients: self.clients,
            marks: Marks::new(),
            anonymous: Lent::new(self.anonymous.max(1)),
            exchanges: Lent::new(self.anonymous.max(1)),
            offers: Mutex::default(),
            asks: tokio::sync::Mutex::default(),
            restoring: Semaphore::new(RESTORED_AT_ONCE),
        }))
    }
}

impl Sessions for Proxy {
    /// Opens a session. Nothing is asked upstream before the first operation.
    fn open(&self, peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        let session = ProxySession::new(&self.0, peer);
        Box::pin(std::future::ready(Ok(Box::new(session) as Box<dyn Session>)))
    }
}

impl Shared {
    /// Opens an upstream conversation.
    pub(crate) async fn open(&self, peer: &Peer, by: Deadline) -> Result<Box<dyn Session>, Error> {
        let opened = timeout_at(by.instant(), self.upstream.open(peer.clone())).await;
        opened.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, "no conversation with a server could be opened in time"))
        })
    }

    /// Waits until it is the session's turn to have a conversation in place of one that was lost.
    pub(crate) async fn turn_to_restore(&self, by: Deadline) -> Result<SemaphorePermit<'_>, Error> {
        match timeout_at(by.instant(), self.restoring.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Error::new(
                ErrorKind::Timeout,
                "too many others whose server was lost were to have another one before",
            )),
        }
    }

    /// Whether operations of others may go over the upstream's own connections.
    pub(crate) async fn can_act_for_others(&self, by: Deadline) -> bool {
        let Settings { proxied_authorization, keep_passwords, probe, .. } = self.settings;
        if !proxied_authorization || !keep_passwords {
            return false;
        }
        let known = *self.offers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, offered)) = known
            && since.elapsed() < OFFERS
        {
            return offered;
        }
        let by = by.earlier(Deadline::after(probe));
        let offered = match self.upstream.search_one(root_dse("supportedControl", Actor::Service, by)).await {
            Ok(root) => root.attributes().get("supportedControl").is_some_and(|all| {
                all.values().any(|oid| oid == ProxiedAuthorization::OID.as_str().as_bytes())
            }),
            Err(error) => {
                tracing::warn!(%error, "the root DSE cannot be read, so nothing is done by proxied authorization");
                return false;
            }
        };
        if !offered {
            tracing::warn!("the server does not offer proxied authorization: each user has a conversation");
        }
        *self.offers.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), offered));
        offered
    }
}

/// Reads an attribute of the root DSE, which everybody may and no server takes long for.
pub(crate) fn root_dse(attribute: &'static str, actor: Actor, by: Deadline) -> Request<Search> {
    let search = Search::new(Dn::root(), Scope::Base, Filter::any()).attributes([attribute]).size_limit(1);
    Request::new(search, actor).until(by)
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl fmt::Debug for ProxyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}
