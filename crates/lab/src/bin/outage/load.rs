//! The load: tasks that read and write through a set, and an account of what each was told.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use flext_ldap_client::{Connection, Server};
use flext_ldap_directory::{
    Actor, Applied, Directory as _, DirectoryExt as _, Op, Request,
    proto::{
        attribute::{Attributes, Selection},
        dn::Dn,
        filter::Filter,
        message::{Add, Scope, Search},
        result::ResultCode,
    },
};
use flext_ldap_lab::DEFAULT_SUFFIX;
use tokio::task::JoinSet;

use super::server::Target;

const TASKS: usize = 64;

/// Entries that are read.
const PEOPLE: usize = 50;

/// How long each operation may take: longer than anything that is done to a server.
const TIME: Duration = Duration::from_secs(10);

/// Between two operations of a task, so that the machine has something left for the servers.
const PAUSE: Duration = Duration::from_millis(20);

/// What the tasks were told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) reads: u64,
    pub(crate) slowest: Duration,
    /// Why reads failed.
    pub(crate) failures: Vec<String>,
    /// Of each entry that was to be added.
    adds: HashMap<String, Told>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Told {
    Done,
    NotDone,
    Unknown,
}

/// What became of the writes.
pub(crate) struct Written {
    done: usize,
    not_done: usize,
    unknown: usize,
    unknown_and_done: usize,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, not_done, unknown, unknown_and_done } = self;
        write!(f, "{done} writes done, {not_done} not, {unknown} unknown of which {unknown_and_done} were")
    }
}

/// The tasks.
pub(crate) struct Load {
    tasks: JoinSet<anyhow::Result<()>>,
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
}

impl Load {
    pub(crate) fn start(server: &Arc<dyn Server>) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let over: Arc<AtomicBool> = Arc::default();
        let mut tasks = JoinSet::new();
        for number in 0..TASKS {
            let (server, seen, over) = (Arc::clone(server), Arc::clone(&seen), Arc::clone(&over));
            tasks.spawn(async move {
                for round in 0_u64.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    if round % 4 == 3 {
                        add(&*server, &seen, format!("berth{number}-{round}")).await?;
                    } else {
                        let person = (number + usize::try_from(round)?) % PEOPLE;
                        read(&*server, &seen, &format!("crew{person}")).await?;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Ok(())
            });
        }
        Self { tasks, seen, over }
    }

    pub(crate) fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// Lets each task end its operation.
    pub(crate) async fn finish(mut self) -> anyhow::Result<Seen> {
        self.over.store(true, Ordering::Relaxed);
        while let Some(task) = self.tasks.join_next().await {
            task??;
        }
        Ok(self.seen())
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read(server: &dyn Server, seen: &Mutex<Seen>, uid: &str) -> anyhow::Result<()> {
    let search = Search::new(name(uid)?, Scope::Base, Filter::any());
    let started = Instant::now();
    let answer = server.search_one(Request::new(search, Actor::Service).within(TIME)).await;
    let took = started.elapsed();
    let mut seen = lock(seen);
    match answer {
        Ok(entry) => {
            ensure!(entry.dn_str().starts_with(&format!("uid={uid},")), "the answer of somebody else");
            seen.reads += 1;
            seen.slowest = seen.slowest.max(took);
        }
        Err(error) => seen.failures.push(format!("{uid} after {took:?}: {error}")),
    }
    Ok(())
}

async fn add(server: &dyn Server, seen: &Mutex<Seen>, uid: String) -> anyhow::Result<()> {
    let request = Request::new(Op::Add(person(&uid)?), Actor::Service).within(TIME);
    let told = match server.call(request).outcome().await {
        Ok(outcome) if outcome.result.code == ResultCode::SUCCESS => Told::Done,
        // A server that answers no has not done it.
        Ok(outcome) => {
            let code = outcome.result.code;
            ensure!(code != ResultCode::ENTRY_ALREADY_EXISTS, "{uid} was added twice");
            Told::NotDone
        }
        Err(error) => match error.applied() {
            Applied::No => Told::NotDone,
            Applied::Unknown => Told::Unknown,
            Applied::Yes => Told::Done,
        },
    };
    lock(seen).adds.insert(uid, told);
    Ok(())
}

fn name(uid: &str) -> anyhow::Result<Dn> {
    Ok(format!("uid={uid},ou=crew,{DEFAULT_SUFFIX}").parse()?)
}

fn person(uid: &str) -> anyhow::Result<Add> {
    let mut attributes = Attributes::builder();
    attributes.push("objectClass", ["inetOrgPerson"]);
    attributes.push("uid", [uid]);
    attributes.push("cn", [format!("{uid} Quay")]);
    attributes.push("sn", ["Quay"]);
    Ok(Add::new(name(uid)?, attributes.build()))
}

/// Gives an empty server what is read.
pub(crate) async fn fill(target: &Target) -> anyhow::Result<()> {
    let connection = target.connector()?.connect().await?;
    let mut suffix = Attributes::builder();
    suffix.push("objectClass", ["organization", "dcObject"]);
    suffix.push("o", ["Harbour Lane Instruments"]);
    suffix.push("dc", ["harbourlane"]);
    let mut crew = Attributes::builder();
    crew.push("objectClass", ["organizationalUnit"]);
    crew.push("ou", ["crew"]);
    let mut adds = vec![
        Add::new(DEFAULT_SUFFIX.parse()?, suffix.build()),
        Add::new(format!("ou=crew,{DEFAULT_SUFFIX}").parse()?, crew.build()),
    ];
    for number in 0..PEOPLE {
        adds.push(person(&format!("crew{number}"))?);
    }
    for add in adds {
        let dn = add.dn.clone();
        let outcome = connection.call(Request::new(Op::Add(add), Actor::Service)).outcome().await?;
        ensure!(outcome.result.code == ResultCode::SUCCESS, "{dn}: {outcome:?}");
    }
    connection.close().await;
    Ok(())
}

/// Compares what is there with what was told.
pub(crate) async fn settle(seen: &Seen, targets: [&Target; 2]) -> anyhow::Result<Written> {
    let mut there: HashMap<String, usize> = HashMap::new();
    for target in targets {
        for uid in present(target).await? {
            *there.entry(uid).or_default() += 1;
        }
    }
    let mut written = Written { done: 0, not_done: 0, unknown: 0, unknown_and_done: 0 };
    for (uid, told) in &seen.adds {
        let times = there.get(uid).copied().unwrap_or_default();
        ensure!(times <= 1, "{uid} was added twice, and reported as {told:?}");
        match told {
            Told::Done => {
                ensure!(times == 1, "{uid} was reported as done, and is not there");
                written.done += 1;
            }
            Told::NotDone => {
                ensure!(times == 0, "{uid} was reported as not done, and is there");
                written.not_done += 1;
            }
            Told::Unknown => {
                written.unknown += 1;
                written.unknown_and_done += times;
            }
        }
    }
    ensure!(written.done > 0, "nothing was written");
    Ok(written)
}

async fn present(target: &Target) -> anyhow::Result<HashSet<String>> {
    let connection: Connection = target.connector()?.connect().await?;
    let mut search =
        Search::new(format!("ou=crew,{DEFAULT_SUFFIX}").parse()?, Scope::One, "(uid=berth*)".parse()?);
    search.attributes = Selection::from_iter(["uid"]);
    let mut entries = connection.search(Request::new(search, Actor::Service).within(TIME));
    let mut present = HashSet::new();
    while let Some(entry) = entries.next().await? {
        let uid = entry.text("uid").context("an entry without uid")?;
        present.insert(uid.to_owned());
    }
    drop(entries);
    connection.close().await;
    Ok(present)
}
