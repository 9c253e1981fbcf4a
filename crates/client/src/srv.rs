//! Servers found in DNS: SRV records (RFC 2782) of a domain, looked up again when their time is over, and kept while DNS
//! does not answer.
//!
//! [`Discovery`] says which records, and how a server is made of each; a [`ServerSet`](crate::ServerSet) does the rest.
//! Who asks DNS is a trait, [`SrvLookup`], with a small stub resolver of our own behind it, [`DnsResolver`].
//!
//! DNS is not to be trusted with more than an address: whoever can forge an answer chooses the servers. So servers made
//! from records should be ones whose certificate is checked, against the name in the record at the least.

mod dns;
mod message;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError},
    time::Duration,
};

use flext_ldap_directory::{BoxFuture, Deadline, Error, ErrorKind};
use tokio::time::sleep;

pub use self::dns::DnsResolver;
use crate::{
    Place, Server,
    servers::{Member, Shared, with_causes},
};

/// Asks DNS for SRV records.
pub trait SrvLookup: Send + Sync + 'static {
    /// The SRV records of `name`, for instance `_ldap._tcp.harbourlane.example`.
    ///
    /// # Errors
    ///
    /// DNS did not answer until `by`, or its answer was no, or there are no such records.
    fn lookup<'a>(&'a self, name: &'a str, by: Deadline) -> BoxFuture<'a, Result<SrvAnswer, Error>>;
}

/// The SRV records of a name.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "resolvers make it")]
pub struct SrvAnswer {
    /// The records, in no order.
    pub records: Vec<SrvRecord>,
    /// For how long they are good.
    pub ttl: Duration,
}

/// One SRV record (RFC 2782).
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "resolvers make it")]
pub struct SrvRecord {
    /// The lower number is used first.
    pub priority: u16,
    /// The share among those of the same priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host's name, without the dot at the end; empty where the domain says that it has no such service.
    pub target: String,
}

/// A service that domains say they have.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "LDAP has these two")]
pub enum SrvService {
    /// `_ldap._tcp`: without TLS from the first octet on.
    Ldap,
    /// `_ldaps._tcp`: with it.
    Ldaps,
}

impl SrvService {
    const fn label(self) -> &'static str {
        match self {
            Self::Ldap => "_ldap._tcp",
            Self::Ldaps => "_ldaps._tcp",
        }
    }
}

/// A server that was found.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct SrvTarget {
    /// As which service.
    pub service: SrvService,
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Makes a server of a record.
type Make = dyn Fn(&SrvTarget) -> Result<Arc<dyn Server>, Error> + Send + Sync;

/// Which servers to look for, and how to make them of what is found.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use flext_ldap_client::{Discovery, DnsResolver, Server, ServerSet, SrvService, SrvTarget};
/// # use flext_ldap_directory::Error;
///
/// # fn example(connect: fn(&SrvTarget) -> Result<Arc<dyn Server>, Error>) -> Result<(), Error> {
/// let resolver = Arc::new(DnsResolver::system());
/// let discovery = Discovery::new("harbourlane.example", SrvService::Ldaps, resolver, move |found| connect(found));
/// let directory = ServerSet::builder("harbourlane").discover(discovery).build()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "give it to `ServerSetBuilder::discover`"]
pub struct Discovery {
    lookup: Arc<dyn SrvLookup>,
    /// Names to look up, with their services.
    questions: Vec<(SrvService, String)>,
    make: Box<Make>,
    /// Domains whose hosts may be servers.
    domains: Vec<String>,
    timeout: Duration,
    shortest: Duration,
    longest: Duration,
}

/// What the questions of a discovery were answered last.
type Answers = Vec<Vec<SrvRecord>>;

impl Discovery {
    /// Looks for the servers of `domain` that offer `service`, and makes a server of each with `make`.
    ///
    /// `make` is called once for each host and port that comes; the server is shut down when its record is gone. Hosts
    /// outside of the domain are passed over, unless they are within one that [`hosts_within`](Self::hosts_within) names:
    /// whoever forges a record could name a host of their own, with a certificate that is good for it.
    pub fn new(
        domain: &str,
        service: SrvService,
        lookup: Arc<dyn SrvLookup>,
        make: impl Fn(&SrvTarget) -> Result<Arc<dyn Server>, Error> + Send + Sync + 'static,
    ) -> Self {
        Self {
            lookup,
            questions: Vec::new(),
            make: Box::new(make),
            domains: Vec::new(),
            timeout: Duration::from_secs(5),
            shortest: Duration::from_secs(5),
            longest: Duration::from_secs(3_600),
        }
        .and(domain, service)
    }

    /// Looks for these too. Servers of what was said before go first, whatever their priorities.
    pub fn and(mut self, domain: &str, service: SrvService) -> Self {
        let domain = domain.trim_end_matches('.');
        self.questions.push((service, format!("{}.{domain}", service.label())));
        self.hosts_within(domain)
    }

    /// Takes hosts of this domain too.
    pub fn hosts_within(mut self, domain: &str) -> Self {
        self.domains.push(domain.trim_matches('.').to_ascii_lowercase());
        self
    }

    /// Whether a host, in lower case, may be a server.
    fn trusts(&self, host: &str) -> bool {
        self.domains.iter().any(|domain| {
            host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }

    /// How long one lookup may take. 5 s.
    pub const fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// The shortest and the longest time between lookups, whatever the records say. 5 s and 1 h.
    ///
    /// After a lookup that failed the next one is tried after a second, then less and less often, down to once a minute.
    pub fn every(mut self, shortest: Duration, longest: Duration) -> Self {
        self.shortest = shortest.max(Duration::from_millis(1));
        self.longest = longest.max(self.shortest);
        self
    }

    /// Asks all questions; what one is not answered stays as it was in `answers`. Gives the time until the next asking.
    ///
    /// # Errors
    ///
    /// There are no servers at all.
    async fn ask(&self, answers: &mut Answers) -> Result<Duration, Error> {
        answers.resize(self.questions.len(), Vec::new());
        let before = answers.clone();
        let (mut ttl, mut failures, mut failure) = (self.longest, 0, None);
        for ((_, name), known) in self.questions.iter().zip(answers.iter_mut()) {
            match self.lookup.lookup(name, Deadline::after(self.timeout)).await {
                Ok(answer) => {
                    ttl = ttl.min(answer.ttl);
                    *known = answer.records;
                    known.retain(|record| !record.target.is_empty());
                }
                // That one name has no records is no reason to do without those of another one.
                Err(error) if error.kind() == ErrorKind::NoEntry => known.clear(),
                Err(error) => {
                    tracing::debug!(name, reason = with_causes(&error), "not looked up, asked again soon");
                    ttl = self.shortest;
                    failures += 1;
                    failure = Some(error);
                }
            }
        }
        if answers.iter().all(Vec::is_empty) {
            // What was found before is better than nothing.
            *answers = before;
            return Err(failure.unwrap_or_else(|| no_such_record(&self.names())));
        }
        match failure {
            Some(error) if failures == self.questions.len() => Err(error),
            _ => Ok(ttl),
        }
    }

    /// The servers of these answers. Those of an earlier question go before those of a later one.
    fn servers(&self, answers: &Answers) -> Vec<(SrvTarget, Place)> {
        let mut found = Vec::new();
        let mut first: u16 = 0;
        for ((service, _), records) in self.questions.iter().zip(answers) {
            let mut next = first;
            for record in records {
                let priority = first.saturating_add(record.priority);
                next = next.max(priority.saturating_add(1));
                let host = record.target.to_ascii_lowercase();
                let target = SrvTarget { service: *service, host, port: record.port };
                found.push((target, Place { priority, weight: record.weight }));
            }
            first = next;
        }
        found
    }

    fn names(&self) -> String {
        self.questions.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// The error for a name without SRV records.
fn no_such_record(name: &str) -> Error {
    let message = format!("{name} has no servers in DNS (SRV): check the domain's name, or name the servers");
    Error::new(ErrorKind::NoEntry, message)
}

/// Keeps the members of a set to what DNS says, until it is aborted.
pub(crate) async fn keep_looking(shared: Arc<Shared>, discovery: Discovery) {
    const LONGEST_PAUSE: Duration = Duration::from_secs(60);
    let mut members: HashMap<SrvTarget, Arc<Member>> = HashMap::new();
    let mut answers = Answers::new();
    let mut failures: u32 = 0;
    loop {
        let pause = match discovery.ask(&mut answers).await {
            Ok(ttl) => {
                failures = 0;
                let problem = take_over(&shared, &discovery, &mut members, discovery.servers(&answers));
                *shared.lookup_error.lock().unwrap_or_else(PoisonError::into_inner) = problem;
                // Not before its time is over, and not all programs at once.
                let ttl = ttl.clamp(discovery.shortest, discovery.longest);
                ttl + shared.dice.up_to(ttl / 10)
            }
            Err(error) => {
                let reason = with_causes(&error);
                tracing::warn!(
                    set = shared.name,
                    reason,
                    kept = members.len(),
                    "servers could not be looked up"
                );
                *shared.lookup_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
                failures = failures.saturating_add(1);
                let doubled = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(failures - 1));
                shared.dice.about(doubled.min(LONGEST_PAUSE))
            }
        };
        shared.set_known();
        sleep(pause).await;
    }
}

/// Makes the members those that were found. Says what could not be made.
fn take_over(
    shared: &Arc<Shared>,
    discovery: &Discovery,
    members: &mut HashMap<SrvTarget, Arc<Member>>,
    found: Vec<(SrvTarget, Place)>,
) -> Option<String> {
    let mut problem = None;
    let mut before = std::mem::take(members);
    for (target, place) in found {
        if members.contains_key(&target) {
            continue;
        }
        if let Some(member) = before.remove(&target) {
            member.set_place(place);
            members.insert(target, member);
            continue;
        }
        if !discovery.trusts(&target.host) {
            let reason = format!(
                "{} is outside of the domain that was asked: if it is meant, name its domain (Discovery::hosts_within)",
                target.host
            );
            tracing::warn!(set = shared.name, reason, "server found, but not to be used");
            problem = Some(reason);
            continue;
        }
        match (discovery.make)(&target) {
            Ok(server) => {
                tracing::info!(set = shared.name, server = server.name(), ?place, "server found");
                members.insert(target, shared.add(server, place));
            }
            Err(error) => {
                let reason = with_causes(&error);
                tracing::error!(set = shared.name, ?target, reason, "server found, but not to be used");
                problem = Some(format!("{}:{} cannot be used: {reason}", target.host, target.port));
            }
        }
    }
    for member in before.into_values() {
        tracing::info!(set = shared.name, server = member.server.name(), "server is not in DNS any more");
        shared.remove(&member);
    }
    problem
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").field("names", &self.names()).finish_non_exhaustive()
    }
}
