//! Our client at work, in a process of its own.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use flext_ldap_client::{Connection, Connector, Credentials};
use flext_ldap_directory::proto::{
    dn::Dn,
    filter::Filter,
    message::{Scope, Search},
};
use flext_ldap_directory::{Actor, Directory, DirectoryExt, Request};
use flext_ldap_testkit::company::SUFFIX;

use crate::{Login, usage::Watch};

/// Lookups in flight at once, where there is more than one.
pub(crate) const IN_FLIGHT: usize = 64;

/// What a client process is to do, where, and as whom.
pub(crate) struct Target {
    /// `bulk`, `lookup` or `pipelined`; on sixteen connections `add`, `modify` or `lookup`.
    pub(crate) work: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) dn: String,
    pub(crate) password: String,
    pub(crate) names: PathBuf,
    pub(crate) kind: String,
}

impl Target {
    pub(crate) fn new(work: &str, url: &str, login: &Login<'_>, names: &Path) -> Self {
        let (host, port) = url.trim_start_matches("ldap://").rsplit_once(':').unwrap_or((url, "389"));
        Self {
            work: work.to_owned(),
            host: host.to_owned(),
            port: port.parse().unwrap_or_default(),
            dn: login.dn.to_owned(),
            password: login.password.to_owned(),
            names: names.to_owned(),
            kind: String::new(),
        }
    }

    /// Adds itself to the arguments of a process.
    pub(crate) fn push(&self, command: &mut Command) {
        command
            .args([&self.work, &self.host, &self.port.to_string(), &self.dn, &self.password])
            .arg(&self.names);
    }

    /// Reads itself from the arguments of this process.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let [work, host, port, dn, password, names, kind] = arguments else { bail!("wrong arguments") };
        Ok(Self {
            work: work.clone(),
            host: host.clone(),
            port: port.parse()?,
            dn: dn.clone(),
            password: password.clone(),
            names: names.into(),
            kind: kind.clone(),
        })
    }

    /// The searches for single people.
    pub(crate) fn searches(&self) -> Result<Vec<Search>> {
        let base: Dn = SUFFIX.parse()?;
        let names = std::fs::read_to_string(&self.names)?;
        let search = |name: &str| -> Result<Search> {
            let filter = Filter::equality("uid".parse()?, name);
            Ok(Search::new(base.clone(), Scope::Subtree, filter).size_limit(2))
        };
        names.lines().map(search).collect()
    }

    /// The search for everything.
    pub(crate) fn everything() -> Result<Search> {
        Ok(Search::new(SUFFIX.parse()?, Scope::Subtree, "(objectClass=*)".parse()?))
    }

    pub(crate) async fn connect(&self) -> Result<Connection> {
        let connector = Connector::builder()
            .clear()
            .address(self.host.as_str(), self.port)
            .credentials(Credentials::simple(self.dn.as_str(), self.password.as_str()))
            .build()?;
        Ok(connector.connect().await?)
    }
}

/// Does the work on the runtime that is asked for.
pub(crate) fn play(target: &Target) -> Result<()> {
    let runtime = if target.kind.starts_with("multi") {
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?
    } else {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?
    };
    let connection = Arc::new(runtime.block_on(target.connect())?);
    let is_spawned = target.kind.ends_with("-spawned");
    match target.work.as_str() {
        "bulk" => {
            let watch = Watch::start()?;
            black_box(runtime.block_on(read_everything(&*connection))?);
            watch.report(&mut [])
        }
        "lookup" => {
            let searches = target.searches()?;
            let watch = Watch::start()?;
            let lookups = look_up(Arc::clone(&connection), searches);
            let mut times = if is_spawned {
                runtime.block_on(runtime.spawn(lookups)).context("the task of the lookups")??
            } else {
                runtime.block_on(lookups)?
            };
            watch.report(&mut times)
        }
        "pipelined" => {
            let searches = target.searches()?;
            let watch = Watch::start()?;
            let mut times = runtime.block_on(look_up_together(&connection, &searches))?;
            watch.report(&mut times)
        }
        work => bail!("no work {work}"),
    }
}

/// Touches the name of every entry, every attribute description and every value.
pub(crate) async fn read_everything(directory: &impl Directory) -> Result<usize> {
    let mut octets = 0;
    let mut entries = directory.search(Request::new(Target::everything()?, Actor::Service));
    while let Some(batch) = entries.next_batch().await? {
        for entry in batch.entries() {
            octets += entry.dn_str().len();
            for attribute in entry.attributes().iter() {
                octets += attribute.description().len();
                octets += attribute.values().map(|value| black_box(value).len()).sum::<usize>();
            }
        }
    }
    Ok(octets)
}

async fn look_up(connection: Arc<Connection>, searches: Vec<Search>) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(searches.len());
    for search in searches {
        let began = Instant::now();
        black_box(connection.search_one(Request::new(search, Actor::Service)).await?);
        times.push(began.elapsed());
    }
    Ok(times)
}

/// As many tasks as there are lookups in flight, each with its share.
async fn look_up_together(connection: &Arc<Connection>, searches: &[Search]) -> Result<Vec<Duration>> {
    let share = searches.len().div_ceil(IN_FLIGHT).max(1);
    let tasks: Vec<_> = searches
        .chunks(share)
        .map(|searches| tokio::spawn(look_up(Arc::clone(connection), searches.to_vec())))
        .collect();
    let mut times = Vec::with_capacity(searches.len());
    for task in tasks {
        times.extend(task.await??);
    }
    Ok(times)
}
