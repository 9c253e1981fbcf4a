//! Well-behaved neighbours of an attack: people are looked up, by our client, and how long it takes is noted.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use flext_ldap_client::{Connection, Connector, Credentials, TlsOptions};
use flext_ldap_directory::{
    Actor, DirectoryExt as _, Request,
    proto::{
        filter::Filter,
        message::{Scope, Search},
    },
};

use crate::target::{PEOPLE, SUFFIX, Target, USER, USER_PASSWORD};

/// Longer than anybody should wait for a lookup, however busy the machine is. One that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two lookups.
const PAUSE: Duration = Duration::from_millis(5);

/// Who else is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Who {
    /// Stays connected and asks.
    Stays,
    /// Comes anew for each lookup, by TLS.
    Comes,
    /// Comes anew and signs in.
    SignsIn,
}

/// Those who look people up meanwhile.
pub(crate) struct Neighbours {
    stop: Arc<AtomicBool>,
    told: Arc<Mutex<Told>>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Told {
    took: Vec<Duration>,
    failures: Vec<String>,
}

/// How long lookups took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    pub(crate) lookups: usize,
    pub(crate) middle: Duration,
    pub(crate) longest: Duration,
}

impl Neighbours {
    /// Lets some come, each on a thread of its own.
    pub(crate) fn start(target: &Target, who: &[Who]) -> Result<Self> {
        let (stop, told) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Told::default())));
        let mut threads = Vec::new();
        for one in who.iter().copied() {
            let builder = match one {
                Who::Stays | Who::SignsIn => {
                    Connector::builder().clear().address("127.0.0.1", target.plain.port())
                }
                Who::Comes => {
                    let tls = TlsOptions::new().ca_pem(target.ca.clone());
                    Connector::builder().ldaps(tls).address("localhost", target.tls.port())
                }
            };
            let credentials = match one {
                Who::SignsIn => Credentials::simple(USER, USER_PASSWORD),
                _ => Credentials::Anonymous,
            };
            let connector = builder.credentials(credentials).connect_timeout(PATIENCE).build()?;
            let (stop, told) = (Arc::clone(&stop), Arc::clone(&told));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            threads
                .push(std::thread::spawn(move || runtime.block_on(look_up(&connector, one, &stop, &told))));
        }
        Ok(Self { stop, told, threads })
    }

    /// What there was since it was last asked, of at least so many lookups.
    pub(crate) async fn took(&self, at_least: usize) -> Result<Took> {
        let deadline = Instant::now() + 4 * PATIENCE;
        loop {
            {
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(failure) = told.failures.first() {
                    bail!("a neighbour was disturbed: {failure} ({} in all)", told.failures.len());
                }
                if told.took.len() >= at_least {
                    let mut took = std::mem::take(&mut told.took);
                    took.sort_unstable();
                    let longest = took.last().copied().unwrap_or_default();
                    let middle = took.get(took.len() / 2).copied().unwrap_or_default();
                    return Ok(Took { lookups: took.len(), middle, longest });
                }
            }
            ensure!(Instant::now() < deadline, "neighbours get no answer at all");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Has them leave.
    pub(crate) fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            ensure!(thread.join().is_ok(), "a neighbour panicked");
        }
        Ok(())
    }
}

async fn look_up(connector: &Connector, who: Who, stop: &AtomicBool, told: &Mutex<Told>) {
    let mut connection = None;
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number = (number + 7) % PEOPLE;
        let started = Instant::now();
        let found = find(connector, &mut connection, who, number).await;
        let took = started.elapsed();
        {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            match found {
                Ok(()) if took <= PATIENCE => told.took.push(took),
                Ok(()) => told.failures.push(format!("{who:?}: a lookup took {took:?}")),
                Err(error) => told.failures.push(format!("{who:?}: {error:#}")),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn find(connector: &Connector, kept: &mut Option<Connection>, who: Who, number: usize) -> Result<()> {
    let connection = match kept.take() {
        Some(connection) => connection,
        None => connector.connect().await?,
    };
    let filter = Filter::equality("uid".parse()?, format!("crew{number}"));
    let search = Search::new(SUFFIX.parse()?, Scope::Subtree, filter).attributes(["cn"]);
    let actor = connection.actor().unwrap_or(Actor::Anonymous);
    let found = connection.search_one(Request::new(search, actor).within(PATIENCE)).await?;
    ensure!(found.text("cn") == Some(&format!("Crew {number}")), "found {found:?}");
    if who == Who::Stays {
        *kept = Some(connection);
    }
    Ok(())
}
