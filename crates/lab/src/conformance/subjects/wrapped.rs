//! The embedded directory behind each thing that wraps a directory, alone: every layer, and everything that makes one
//! server of several connections.
//!
//! The list is complete: a test compares it with what implements the traits of the seam.

use std::{
    sync::{Arc, Once},
    task::{Context, Poll},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use flext_ldap::Config;
use flext_ldap_client::{Parallel, Pool, Referrals, Server as Upstream, ServerSet, SplitServers};
use flext_ldap_directory::{
    Actor, BindReply, BindStep, BoxFuture, Deadline, Directory, Error, ErrorKind, Identity, Layer, Layered,
    Peer, Reply, Request, Session, Sessions,
    health::HealthOptions,
    layers::{AuditTrail, Breaker, BreakerOptions, HealthWatch, Metrics, Observe, TimeLimit, Traces},
    proto::result::LdapResult,
};
use tempfile::TempDir;
use tokio::sync::RwLock;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use super::{
    super::{Server, Subject},
    Count, Transport, administrator, listen, open_store, store, suffix,
};

/// Conversations of one area at a time, and then some.
const CONVERSATIONS: usize = 1_000;

/// Longer than any check takes.
const LIMIT: Duration = Duration::from_secs(300);

/// Something that wraps a directory, and a subject behind it.
struct Wrapper {
    name: &'static str,
    /// The type that does it.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares it with the types there are"))]
    of: &'static str,
    start: fn() -> BoxFuture<'static, Result<Subject>>,
}

macro_rules! wrappers {
    ($($name:ident: $of:literal => $start:expr,)*) => {
        const WRAPPERS: &[Wrapper] =
            &[$(Wrapper { name: stringify!($name), of: $of, start: || Box::pin($start) }),*];

        /// Makes a module of tests for each thing that wraps a directory: the areas of the suite that look at operations.
        /// How people bind is not among them: no layer sees a bind.
        #[macro_export]
        macro_rules! conformance_of_each_wrapper {
            () => {
                $($crate::conformance_of_operations!(
                    $name: $crate::conformance::subjects::through(stringify!($name))
                );)*
            };
        }
    };
}

wrappers! {
    audit: "Audit" => async {
        let trail = AuditTrail::start(std::io::sink())?;
        behind_layer(trail.of_all("the subject")).await
    },
    breaker: "Breaker" => behind_layer(Breaker::new("the subject", BreakerOptions::default())),
    health_watch: "HealthWatch" => behind_layer(HealthWatch::new("the subject", HealthOptions::default())),
    metrics: "ServerMetrics" => behind_layer(Metrics::new([]).local("the subject")),
    observe: "Observe" => behind_layer(Observe::new(Arc::new(Count::default()))),
    // Nobody is followed to: what it does not follow it hands on as it came.
    referrals: "Referrals" => async {
        let administrator = Actor::User(Identity::from_successful_bind(administrator()?.0));
        behind_layer(Referrals::builder(administrator).build()?).await
    },
    time_limit: "TimeLimit" => behind_layer(TimeLimit(LIMIT)),
    traces: "Traces" => async {
        listen_to_traces();
        behind_layer(Traces::new([suffix()?])).await
    },
    parallel: "Parallel" => async {
        let wrap = |sessions| Arc::new(InParts(sessions)) as Arc<dyn Sessions>;
        Ok(store().await?.map_sessions(wrap))
    },
    pool: "Pool" => behind_server(|pool| Ok(Arc::new(pool()?))),
    server_set: "ServerSet" => behind_server(|pool| {
        Ok(Arc::new(ServerSet::builder("both").server(Arc::new(pool()?)).server(Arc::new(pool()?)).build()?))
    }),
    split_servers: "SplitServers" => behind_server(|pool| {
        Ok(Arc::new(SplitServers::new("both", Arc::new(pool()?), Arc::new(pool()?))))
    }),
    // A write that is late is cancelled, or found out about.
    settle_writes: "Connector" => async {
        let (listener, folder, (connector, peer)) =
            listen(Transport::Plain, Arc::new(open_store().await?), |way| way.settle_writes(LIMIT)).await?;
        subject("a connection that settles writes", (connector, peer), (listener, folder))
    },
}

/// The embedded directory behind the one thing of this name.
///
/// # Errors
/// There is none, or its subject does not start.
pub async fn through(name: &str) -> Result<Subject> {
    let wrapper = WRAPPERS.iter().find(|wrapper| wrapper.name == name).context("nothing of this name")?;
    (wrapper.start)().await
}

/// The embedded directory behind the stack of a configuration, with all there is in it: two servers, retries, the time
/// limit, metrics, traces, what is told of servers, and the audit of every operation.
///
/// # Errors
/// Nothing can be listened on, or the stack cannot be built.
pub async fn stack() -> Result<Subject> {
    let (listener, folder, (_, peer)) =
        listen(Transport::Plain, Arc::new(open_store().await?), |way| way).await?;
    let url = listener.urls().first().context("a server without URL")?.to_string();
    let (stack, files) = build_stack(&Way { url: &url, ca_pem: None })?;
    subject("the store behind the stack", (stack, peer), (listener, folder, files))
}

/// How the stack of a configuration reaches a server.
pub(super) struct Way<'a> {
    /// `ldaps:`, `ldap:` in clear, or where there are certificates to trust, with StartTLS.
    pub(super) url: &'a str,
    pub(super) ca_pem: Option<&'a str>,
}

/// The stack of a configuration in which a server stands twice, and the folder of its files.
pub(super) fn build_stack(way: &Way<'_>) -> Result<(flext_ldap::Stack, TempDir)> {
    listen_to_traces();
    let folder = TempDir::with_prefix("stack-").context("cannot make a folder for a configuration")?;
    let place = folder.path();
    let (tls, is_required) = match way.ca_pem {
        Some(pem) => {
            std::fs::write(place.join("ca.pem"), pem)?;
            (format!("ssl_ca_cert_path: {}", place.join("ca.pem").display()), true)
        }
        None => ("start_tls: false".to_owned(), false),
    };
    let (url, audit) = (way.url, place.join("audit.log"));
    let text = format!(
        "flext_ldap:\n  primary_server: {{url: \"{url}\", {tls}}}\n  failover_servers: [{{url: \"{url}\", {tls}}}]\n  \
         directory_structure: {{base_dn: \"{base}\", users_ou: \"ou=people,{base}\"}}\n  \
         connection_settings: {{operation_timeout: 5m, retry_attempts: 3, pool_size: 2}}\n  \
         security: {{require_ssl: {is_required}}}\n  \
         referrals: [{{host: \"ldap.elsewhere.example\"}}]\n  \
         observability: {{enable_metrics: true, enable_audit_logging: true, audit_log_file: {audit}}}\n",
        base = suffix()?,
        audit = audit.display(),
    );
    let config = Config::parse("conformance.yaml", &text, []).map_err(|error| anyhow!("{error}\n{text}"))?;
    Ok((config.stack().users(CONVERSATIONS, 32).hear(|_| {}).build()?, folder))
}

async fn behind_layer(layer: impl Layer) -> Result<Subject> {
    Ok(store().await?.map_sessions(|sessions| Arc::new(Layered::new(sessions, Arc::new(layer)))))
}

/// Makes one server of pools, each of which it asks for.
type MakeServer = fn(&dyn Fn() -> Result<Pool>) -> Result<Arc<dyn Upstream>>;

/// What is made of pools of connections to our listener over the store.
async fn behind_server(make: MakeServer) -> Result<Subject> {
    let (listener, folder, (connector, peer)) =
        listen(Transport::Plain, Arc::new(open_store().await?), |way| way).await?;
    let server =
        make(&|| Ok(Pool::builder(connector.clone()).conversations(CONVERSATIONS).binds(32).build()?))?;
    let name = format!("the store behind a server, {}", server.name());
    subject(&name, (server, peer), (listener, folder))
}

fn subject(
    name: &str,
    way: (impl Sessions, Peer),
    keep: impl std::any::Any + Send + Sync,
) -> Result<Subject> {
    Ok(Subject::new(name, Server::Embedded, way, suffix()?, administrator()?, keep))
}

/// Spans are made only where somebody listens. From here on somebody does, in the whole process.
fn listen_to_traces() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        let ours = Targets::new().with_target(Traces::TARGET, tracing_subscriber::filter::LevelFilter::TRACE);
        // Whoever listens already hears of them too.
        drop(tracing_subscriber::registry().with(ours).try_init());
    });
}

/// Sessions whose searches are done in parts.
struct InParts(Arc<dyn Sessions>);

impl Sessions for InParts {
    fn open(&self, peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        Box::pin(async move {
            let shared = Shared(Arc::new(RwLock::new(self.0.open(peer).await?)));
            let parts = Parallel::new(Arc::new(shared.clone()), 4);
            Ok(Box::new(SessionInParts { shared, parts }) as Box<dyn Session>)
        })
    }
}

struct SessionInParts {
    shared: Shared,
    parts: Parallel,
}

/// A session as a directory. Only a bind has it alone.
#[derive(Clone)]
struct Shared(Arc<RwLock<Box<dyn Session>>>);

impl Directory for Shared {
    fn call(&self, request: Request) -> Reply {
        match self.0.try_read() {
            Ok(session) => session.call(request),
            Err(_) => Reply::ready(Err(Error::new(ErrorKind::Misuse, "a bind is under way"))),
        }
    }
}

impl Directory for SessionInParts {
    fn call(&self, request: Request) -> Reply {
        self.parts.call(request)
    }
}

impl Session for SessionInParts {
    fn bind(&mut self, step: BindStep, by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        Box::pin(async move { self.shared.0.write().await.bind(step, by).await })
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<LdapResult> {
        match self.shared.0.try_write() {
            Ok(mut session) => session.poll_end(cx),
            Err(_) => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// What answers operations and is not in the list, each with why.
    const ELSEWHERE: &[(&str, &str)] = &[
        ("Arc", "is what it points to"),
        ("Box", "is what it points to"),
        ("Connection", "the listener's subjects are it"),
        ("Conversation", "what a pool opens"),
        ("Guarded", "a part of the stack"),
        ("Heard", "a part of the stack that tells which server is asked"),
        ("Layered", "what puts a layer around"),
        ("Opened", "what commands ask: the stack, pinned"),
        ("PinnedConnection", "a connection, on loan"),
        ("Proxy", "subjects of its own"),
        ("ProxySession", "what the proxy opens"),
        ("ReadOnly", "lets no write through: tests/conformance/layers.rs has what it does"),
        ("Stack", "a subject of its own, which runs the whole suite"),
        ("Store", "the subject without anything around it"),
        ("StoreSession", "what the store opens"),
        ("Taken", "what a pool opens"),
    ];

    /// The types that implement a layer, a directory or sessions, in the sources of all crates but this one.
    fn implementers() -> BTreeSet<String> {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut left: Vec<_> = fs::read_dir(&crates).unwrap().map(|one| one.unwrap().path()).collect();
        left.retain(|path| !path.ends_with("lab"));
        left.iter_mut().for_each(|path| path.push("src"));
        let mut found = BTreeSet::new();
        while let Some(path) = left.pop() {
            if path.is_dir() {
                left.extend(fs::read_dir(&path).unwrap().map(|one| one.unwrap().path()));
            } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
                found.extend(fs::read_to_string(&path).unwrap().lines().filter_map(implementer));
            }
        }
        found
    }

    fn implementer(line: &str) -> Option<String> {
        let (of, by) = line.strip_prefix("impl")?.split_once(" for ")?;
        let is_seam =
            ["Layer", "Directory", "Sessions"].iter().any(|of_seam| of.ends_with(&format!(" {of_seam}")));
        let name: String = by.chars().take_while(char::is_ascii_alphanumeric).collect();
        is_seam.then_some(name)
    }

    #[test]
    fn nothing_that_wraps_a_directory_is_left_out() {
        let listed = WRAPPERS.iter().map(|wrapper| wrapper.of).chain(ELSEWHERE.iter().map(|(of, _)| *of));
        let listed: Vec<_> = listed.map(str::to_owned).collect();
        let implementers = implementers();
        assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), implementers);
        assert_eq!(listed.len(), implementers.len(), "something is listed twice");
    }
}
