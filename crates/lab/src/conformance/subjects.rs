//! The subjects there are: the store by itself, behind our listener, behind layers, and slapd, over every transport.

mod by_sasl;
mod choice;
mod wrapped;

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result, anyhow, bail};
use flext_ldap_client::{Connector, ConnectorBuilder, Pool, TlsOptions};
use flext_ldap_directory::{
    DirectoryExt as _, External, Layered, Peer, PeerAddress, Protection, Request, Sessions,
    health::HealthOptions,
    layers::{AuditTrail, Breaker, BreakerOptions, HealthWatch, Metrics, Observation, Observe, Observer},
    proto::{
        dn::Dn,
        message::Add,
        secret::Secret,
        url::{LdapUrl, Scheme},
    },
};
use flext_ldap_proxy::Proxy;
use flext_ldap_server::{Server as Listener, ServerTls};
use flext_ldap_store::{StandardPolicy, Store, StoreOptions};
use tempfile::TempDir;

pub(super) use self::by_sasl::SignIn;
use self::wrapped::{Way, build_stack};
pub use self::{
    by_sasl::{by_sasl, offered},
    wrapped::{stack, through},
};
use super::{Server, Subject, bench::attributes, shared::Shared};
use crate::{Authority, Content, DEFAULT_SUFFIX, Samba, Slapd, SlapdOptions};

/// The entry of the suffix.
const SUFFIX_ENTRY: &str =
    "objectClass: dcObject\nobjectClass: organization\no: Harbour Lane\ndc: harbourlane";

/// The password of the embedded directory's administrator.
const PASSWORD: &str = "harbour-master";

/// The 389-ds of all areas.
static NS_SLAPD: Shared = Shared::new();

/// How a subject's server is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Transport {
    /// TCP without protection, on loopback.
    Plain,
    /// TCP, protected by the StartTLS operation.
    StartTls,
    /// TLS from the start.
    Ldaps,
    /// A Unix socket.
    Ldapi,
}

/// The embedded store, talked to without a socket.
///
/// # Errors
/// The store cannot be opened.
pub async fn store() -> Result<Subject> {
    let store = open_store().await?;
    let external = Some(this_user());
    let peer = Peer { external, ..Peer::in_process() };
    Ok(Subject::new("the store", Server::Embedded, (store, peer), suffix()?, administrator()?, ()))
}

/// The embedded store behind our listener, talked to by our client.
///
/// # Errors
/// The store cannot be opened, or nothing can be listened on.
pub async fn listener(transport: Transport) -> Result<Subject> {
    let store = open_store().await?;
    behind_listener(format!("the store behind our listener, {transport:?}"), transport, Arc::new(store)).await
}

/// The embedded store behind every layer that lets everything through, on each side of the socket.
///
/// # Errors
/// As [`listener`].
pub async fn layers(transport: Transport) -> Result<Subject> {
    let trail = AuditTrail::start(std::io::sink())?;
    let layered = every_layer(open_store().await?, &trail);
    let subject =
        behind_listener(format!("every layer, {transport:?}"), transport, Arc::new(layered)).await?;
    Ok(subject.map_sessions(|sessions| Arc::new(every_layer(sessions, &trail))))
}

fn every_layer(sessions: impl Sessions, trail: &Arc<AuditTrail>) -> impl Sessions {
    let observe = Observe::new(Arc::new(Count::default()));
    let observed = Layered::new(sessions, Arc::new(observe));
    let breaker = Breaker::new("the subject", BreakerOptions::default());
    let guarded = Layered::new(observed, Arc::new(breaker));
    let health = HealthWatch::new("the subject", HealthOptions::default());
    let watched = Layered::new(guarded, Arc::new(health));
    let counted = Layered::new(watched, Arc::new(Metrics::new([]).local("the subject")));
    Layered::new(counted, Arc::new(trail.of_all("the subject")))
}

/// The embedded store behind a proxy: our listener over the proxy over a pool over our listener.
///
/// # Errors
/// As [`listener`].
pub async fn proxied(transport: Transport) -> Result<Subject> {
    let url = parsed("ldap://127.0.0.1:0")?;
    let server = Listener::builder(Arc::new(open_store().await?)).listen(url).start().await?;
    let url = server.urls().first().context("a server without URL")?.clone();
    let name = format!("the store behind the proxy, {transport:?}");
    let behind = (Server::Embedded, administrator()?, Box::new(server) as Box<dyn Any + Send + Sync>);
    behind_proxy(name, transport, &url, behind).await
}

/// A slapd behind a proxy.
///
/// # Errors
/// As [`slapd`].
pub async fn proxied_slapd(transport: Transport) -> Result<Subject> {
    let slapd = start_slapd()?;
    let url = parsed(&slapd.ldap_url())?;
    let administrator = (slapd.root_dn().parse()?, Secret::from(slapd.root_password()));
    let name = format!("slapd behind the proxy, {transport:?}");
    behind_proxy(name, transport, &url, (Server::OpenLdap, administrator, Box::new(slapd))).await
}

/// The shared 389 Directory Server behind a proxy.
///
/// # Errors
/// As [`ns_slapd`].
pub async fn proxied_ns_slapd(transport: Transport) -> Result<Subject> {
    let shared = NS_SLAPD.server().await?;
    let server = shared.server();
    let url = parsed(&server.ldap_url())?;
    let administrator = (server.root_dn().parse()?, Secret::from(server.root_password()));
    let name = format!("389-ds behind the proxy, {transport:?}");
    let subject = behind_proxy(name, transport, &url, (Server::Ds389, administrator, Box::new(()))).await?;
    Ok(subject.tagged(format!("-proxied-{transport:?}").to_lowercase()).sharing(shared))
}

/// The shared Samba behind a proxy.
///
/// # Errors
/// As [`samba`].
pub async fn proxied_samba(transport: Transport) -> Result<Subject> {
    let shared = Samba::shared()?;
    let url = parsed(&shared.ldap_url())?;
    let administrator = (shared.root_dn().parse()?, Secret::from(shared.root_password()));
    let name = format!("Samba behind the proxy, {transport:?}");
    let subject =
        behind_proxy(name, transport, &url, (Server::Samba, administrator, Box::new(shared))).await?;
    Ok(subject.tagged("!x".to_owned()))
}

/// A listener over the proxy, in front of the server of this URL.
async fn behind_proxy(
    name: String,
    transport: Transport,
    url: &LdapUrl,
    (server, administrator, keep): (Server, (Dn, Secret), Box<dyn Any + Send + Sync>),
) -> Result<Subject> {
    let connector = Connector::builder().clear().url(url).build()?;
    let proxy = Proxy::builder(Pool::builder(connector).conversations(1_000).build()?).build();
    let (listener, folder, way) = listen(transport, Arc::new(proxy), |way| way).await?;
    Ok(Subject::new(name, server, way, suffix()?, administrator, (listener, folder, keep))
        .through(Subject::PROXY))
}

/// A slapd of its own.
///
/// # Errors
/// It is not to be had, or does not start.
pub async fn slapd(transport: Transport) -> Result<Subject> {
    let slapd = start_slapd()?;
    let url = match transport {
        Transport::Plain | Transport::StartTls => slapd.ldap_url(),
        Transport::Ldaps => slapd.ldaps_url(),
        Transport::Ldapi => slapd.ldapi_url(),
    };
    let url = parsed(&url)?;
    let way = way_to(&url, transport, slapd.ca_pem())?;
    let administrator = (slapd.root_dn().parse()?, Secret::from(slapd.root_password()));
    Ok(Subject::new(format!("slapd, {transport:?}"), Server::OpenLdap, way, suffix()?, administrator, slapd))
}

fn start_slapd() -> Result<Slapd> {
    Slapd::start(slapd_options())
}

fn slapd_options() -> SlapdOptions {
    SlapdOptions {
        content: Content::Text(format!("dn: {DEFAULT_SUFFIX}\n{SUFFIX_ENTRY}\n")),
        // The suite asks for more than the 500 entries that slapd gives by default.
        size_limit: Some(100_000),
        log_operations: false,
        overlays: vec![
            ("sssvlv".to_owned(), Vec::new()),
            ("ppolicy".to_owned(), vec!["ppolicy_use_lockout".to_owned()]),
        ],
        ..SlapdOptions::default()
    }
}

/// A 389 Directory Server, which all who ask for one at the same time share: it takes seconds to start, and checks
/// work below entries of their own.
///
/// # Errors
/// It is not to be had, or does not start.
pub async fn ns_slapd(transport: Transport) -> Result<Subject> {
    ns_slapd_of(&NS_SLAPD, transport).await
}

/// The same where it is shared with those only who name this.
///
/// # Errors
/// As [`ns_slapd`].
pub async fn ns_slapd_of(shared: &Shared, transport: Transport) -> Result<Subject> {
    let shared = shared.server().await?;
    let server = shared.server();
    let url = match transport {
        Transport::Plain | Transport::StartTls => server.ldap_url(),
        Transport::Ldaps => server.ldaps_url(),
        Transport::Ldapi => server.ldapi_url(),
    };
    let url = parsed(&url)?;
    let way = way_to(&url, transport, server.ca_pem().to_owned())?;
    let administrator = (server.root_dn().parse()?, Secret::from(server.root_password()));
    let name = format!("389-ds, {transport:?}");
    let subject = Subject::new(name, Server::Ds389, way, suffix()?, administrator, ());
    Ok(subject.tagged(format!("-{transport:?}").to_lowercase()).sharing(shared))
}

/// A Samba domain controller, which all who ask for one at the same time share.
///
/// # Errors
/// It is not to be had, or does not start.
pub fn samba(transport: Transport) -> Result<Subject> {
    let shared = Samba::shared()?;
    let url = match transport {
        Transport::Plain | Transport::StartTls => shared.ldap_url(),
        Transport::Ldaps => shared.ldaps_url(),
        Transport::Ldapi => {
            bail!("Samba takes whoever comes by its socket for itself, and no EXTERNAL there")
        }
    };
    let url = parsed(&url)?;
    let way = way_to(&url, transport, shared.ca_pem())?;
    let administrator = (shared.root_dn().parse()?, Secret::from(shared.root_password()));
    let name = format!("Samba, {transport:?}");
    let subject = Subject::new(name, Server::Samba, way, suffix()?, administrator, shared);
    // Short: it has names of at most 64 letters, and some checks have a name nearly as long.
    let tag = match transport {
        Transport::Plain => "!p",
        Transport::StartTls => "!s",
        Transport::Ldaps | Transport::Ldapi => "!l",
    };
    Ok(subject.tagged(tag.to_owned()))
}

/// A slapd of its own behind the stack of a configuration, which reaches it by StartTLS.
///
/// # Errors
/// As [`slapd`].
pub async fn stacked_slapd() -> Result<Subject> {
    let slapd = start_slapd()?;
    let (url, ca_pem) = (slapd.ldap_url(), slapd.ca_pem());
    let administrator = (slapd.root_dn().parse()?, Secret::from(slapd.root_password()));
    behind_stack(Server::OpenLdap, (&url, Transport::StartTls, &ca_pem), administrator, slapd)
}

/// The shared 389 Directory Server behind the stack of a configuration, which reaches it by ldaps.
///
/// # Errors
/// As [`ns_slapd`].
pub async fn stacked_ns_slapd() -> Result<Subject> {
    let shared = NS_SLAPD.server().await?;
    let server = shared.server();
    let (url, ca_pem) = (server.ldaps_url(), server.ca_pem().to_owned());
    let administrator = (server.root_dn().parse()?, Secret::from(server.root_password()));
    let subject = behind_stack(Server::Ds389, (&url, Transport::Ldaps, &ca_pem), administrator, ())?;
    Ok(subject.tagged("-stack".to_owned()).sharing(shared))
}

/// The shared Samba behind the stack of a configuration, which reaches it by StartTLS.
///
/// # Errors
/// As [`samba`].
pub async fn stacked_samba() -> Result<Subject> {
    let shared = Samba::shared()?;
    let (url, ca_pem) = (shared.ldap_url(), shared.ca_pem());
    let administrator = (shared.root_dn().parse()?, Secret::from(shared.root_password()));
    let subject = behind_stack(Server::Samba, (&url, Transport::StartTls, &ca_pem), administrator, shared)?;
    Ok(subject.tagged("!k".to_owned()))
}

/// The stack of a configuration, in front of the server of this URL.
fn behind_stack(
    server: Server,
    (url, transport, ca_pem): (&str, Transport, &str),
    administrator: (Dn, Secret),
    keep: impl Any + Send + Sync,
) -> Result<Subject> {
    let (stack, folder) = build_stack(&Way { url, ca_pem: Some(ca_pem) })?;
    let (_, peer) = begin_way_to(&parsed(url)?, transport, TlsOptions::new().ca_pem(ca_pem));
    let name = format!("{server:?} behind the stack, {transport:?}");
    Ok(Subject::new(name, server, (stack, peer), suffix()?, administrator, (folder, keep))
        .through(Subject::STACK))
}

fn parsed(url: &str) -> Result<LdapUrl> {
    url.parse().map_err(|error| anyhow!("{url}: {error}"))
}

/// The embedded store, in memory, with the suffix entry. Whoever connects may read.
async fn open_store() -> Result<Store> {
    let store = Store::open(store_options()?)?;
    add_suffix(&store).await?;
    Ok(store)
}

fn store_options() -> Result<StoreOptions> {
    let (administrator, password) = administrator()?;
    Ok(StoreOptions::memory()
        .suffix(suffix()?)
        .administrator(administrator, password)
        .peer_administrator(nix::unistd::geteuid().as_raw())
        .tell_lockout()
        .policy(Arc::new(StandardPolicy::default().anonymous_read())))
}

async fn add_suffix(store: &Store) -> Result<()> {
    let entry = Add::new(suffix()?, attributes(SUFFIX_ENTRY));
    let adding = store.add(Request::new(entry, flext_ldap_directory::Actor::Service));
    adding.await.context("cannot add the suffix")?;
    Ok(())
}

/// A listener in front of `sessions`, and the way to it by our client.
async fn behind_listener(name: String, transport: Transport, sessions: Arc<dyn Sessions>) -> Result<Subject> {
    let (server, folder, way) = listen(transport, sessions, |way| way).await?;
    Ok(Subject::new(name, Server::Embedded, way, suffix()?, administrator()?, (server, folder)))
}

/// A listener in front of `sessions`, what must be kept with it, and the way to it by our client, changed by `change`.
async fn listen(
    transport: Transport,
    sessions: Arc<dyn Sessions>,
    change: fn(ConnectorBuilder) -> ConnectorBuilder,
) -> Result<(Listener, TempDir, (Connector, Peer))> {
    let folder = TempDir::with_prefix("listener-").context("cannot make a folder for a socket")?;
    let authority = Authority::new()?;
    let identity = authority.server()?;
    let tls = ServerTls::from_pem(identity.certificate_pem.as_bytes(), identity.key_pem.as_bytes())?;
    let url = match transport {
        Transport::Plain | Transport::StartTls => "ldap://127.0.0.1:0".to_owned(),
        Transport::Ldaps => "ldaps://127.0.0.1:0".to_owned(),
        Transport::Ldapi => crate::slapd::ldapi_url(folder.path()),
    };
    let url = parsed(&url)?;
    let server = Listener::builder(sessions).listen(url).tls(tls).start().await?;
    let url = server.urls().first().context("a server without URL")?.clone();
    let (builder, peer) = begin_way_to(&url, transport, TlsOptions::new().ca_pem(authority.pem()));
    Ok((server, folder, (change(builder).build()?, peer)))
}

/// A connector to the server of this URL, and who the server takes us for.
fn way_to(url: &LdapUrl, transport: Transport, ca_pem: String) -> Result<(Connector, Peer)> {
    let (builder, peer) = begin_way_to(url, transport, TlsOptions::new().ca_pem(ca_pem));
    Ok((builder.build()?, peer))
}

fn begin_way_to(url: &LdapUrl, transport: Transport, tls: TlsOptions) -> (ConnectorBuilder, Peer) {
    let (builder, protection) = match transport {
        Transport::Plain => (Connector::builder().clear(), Protection::Clear),
        Transport::StartTls => (Connector::builder().start_tls(tls), Protection::Tls),
        Transport::Ldaps => (Connector::builder().ldaps(tls), Protection::Tls),
        Transport::Ldapi => (Connector::builder().clear(), Protection::Local),
    };
    let (address, external) = match url.scheme {
        Scheme::Ldapi => (PeerAddress::Unix, Some(this_user())),
        _ => (PeerAddress::Tcp(([127, 0, 0, 1], url.port()).into()), None),
    };
    (builder.url(url), Peer { address, protection, external, bindings: None, tls: None })
}

fn this_user() -> External {
    External::UnixUser { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() }
}

fn suffix() -> Result<Dn> {
    Ok(DEFAULT_SUFFIX.parse()?)
}

fn administrator() -> Result<(Dn, Secret)> {
    Ok((format!("cn=admin,{DEFAULT_SUFFIX}").parse()?, PASSWORD.into()))
}

/// Counts what it is told.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Observer for Count {
    fn finished(&self, _: &Observation<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
