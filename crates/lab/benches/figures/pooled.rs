//! Eight connections and sixty-four tasks with lookups: our pool, a set with all its layers, and what others do.

use std::{
    hint::black_box,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use flext_ldap_client::{Connector, Credentials, Pool, ServerSet};
use flext_ldap_directory::{
    Actor, Deadline, Directory, DirectoryExt, Layered, Request,
    layers::{Breaker, BreakerOptions, Metrics},
    proto::message::Search,
};
use flext_ldap_lab::Kit;

use crate::{
    Bench, Login,
    clients::{IN_FLIGHT, Target},
    contest::{Contender, contest},
    role, sink,
    usage::Watch,
};

const CONNECTIONS: usize = 8;

/// What is looked up before anything is measured, by each task.
const WARM_UP: usize = 10;

/// The table `pool`.
pub(crate) fn contests(bench: &Bench, url: &str, server: u32, login: &Login<'_>) -> Result<()> {
    let kit = Kit::load()?;
    let kinds = [
        ("sink", "plain blocking sockets, 8 in flight on each, decode nothing"),
        ("libldap", "libldap, lent to 64 threads"),
        ("ldap3-current", "`ldap3`, shared by tasks, current-thread runtime"),
        ("ldap3-multi", "`ldap3`, shared by tasks, multi-thread runtime"),
        ("python", "python-ldap, lent to 64 threads"),
        ("node", "ldapts, shared by tasks"),
        ("current", "our pool, current-thread runtime"),
        ("multi", "our pool, multi-thread runtime"),
        ("layers-current", "the same in a set with breaker and metrics, current-thread runtime"),
        ("layers-multi", "the same in a set with breaker and metrics, multi-thread runtime"),
    ];
    let contenders = kinds.map(|(kind, name)| {
        let kit = &kit;
        Contender::new(format!("slapd: {name}"), bench.lookups, move || {
            let target = Target::new("pool", url, login, &bench.names);
            let command = match kind {
                "libldap" => pushed(&target, bench.peers.libldap(), kind),
                "ldap3-current" | "ldap3-multi" => {
                    pushed(&target, bench.peers.crates(), kind.trim_start_matches("ldap3-"))
                }
                "python" => script(&target, kit.command(&kit.python), "pool.py", None),
                "node" => {
                    let what = "Node.js 20 or later with npm, and ldapts from it";
                    let modules = kit.part("node_modules", what)?.join("x.js");
                    let node = kit.command(&kit.part("node", what)?);
                    script(&target, node, "pool.mjs", Some(modules.display().to_string()))
                }
                _ => pushed(&target, role("pool")?, kind),
            };
            Ok(command)
        })
        .beside(server)
    });
    contest("Lookups by 64 tasks over 8 connections", "lookups", contenders.into(), bench.rounds)
}

fn pushed(target: &Target, mut command: Command, kind: &str) -> Command {
    target.push(&mut command);
    command.arg(kind);
    command
}

/// One of the programs in `clients`.
fn script(target: &Target, mut command: Command, name: &str, first: Option<String>) -> Command {
    command.arg(format!("{}/benches/figures/clients/{name}", env!("CARGO_MANIFEST_DIR")));
    command.args(first).args([&target.host, &target.port.to_string(), &target.dn, &target.password]);
    command.arg(&target.names).args([CONNECTIONS.to_string(), IN_FLIGHT.to_string()]);
    command
}

/// `pool TARGET`: does the work over eight connections.
pub(crate) fn play(target: &Target) -> Result<()> {
    match target.kind.as_str() {
        "sink" => return look_up_plainly(target, CONNECTIONS),
        "sink64" => return look_up_plainly(target, IN_FLIGHT),
        _ => {}
    }
    let runtime = if target.kind.ends_with("multi") {
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?
    } else {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?
    };
    runtime.block_on(async {
        let pool = pool(target).await?;
        if target.kind.starts_with("layers") {
            let set = ServerSet::builder("one").server(Arc::new(pool)).build()?;
            let metrics = Metrics::new([]);
            let inner = Layered::new(set, Arc::new(Breaker::new("slapd", BreakerOptions::default())));
            measure(Arc::new(Layered::new(inner, Arc::new(metrics.server("slapd", target.port)))), target)
                .await
        } else {
            measure(Arc::new(pool), target).await
        }
    })
}

/// A pool of eight, all open.
pub(crate) async fn pool(target: &Target) -> Result<Pool> {
    let connector = Connector::builder()
        .clear()
        .address(target.host.as_str(), target.port)
        .credentials(Credentials::simple(target.dn.as_str(), target.password.as_str()))
        .build()?;
    let pool = Pool::builder(connector).min(CONNECTIONS).max(CONNECTIONS).build()?;
    pool.ready(Deadline::after(Duration::from_secs(10))).await?;
    Ok(pool)
}

async fn measure(directory: Arc<impl Directory + 'static>, target: &Target) -> Result<()> {
    let searches = target.searches()?;
    let warm_up = searches.iter().take(IN_FLIGHT * WARM_UP).cloned().collect::<Vec<_>>();
    drop(look_up(&directory, &warm_up).await?);
    let watch = Watch::start()?;
    let mut times = look_up(&directory, &searches).await?;
    watch.report(&mut times)
}

async fn look_up(directory: &Arc<impl Directory + 'static>, searches: &[Search]) -> Result<Vec<Duration>> {
    let share = searches.len().div_ceil(IN_FLIGHT).max(1);
    let tasks: Vec<_> = searches
        .chunks(share)
        .map(|searches| {
            let (directory, searches) = (Arc::clone(directory), searches.to_vec());
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(searches.len());
                for search in searches {
                    let began = Instant::now();
                    black_box(directory.search_one(Request::new(search, Actor::Service)).await?);
                    times.push(began.elapsed());
                }
                anyhow::Ok(times)
            })
        })
        .collect();
    let mut times = Vec::with_capacity(searches.len());
    for task in tasks {
        times.extend(task.await??);
    }
    Ok(times)
}

/// A thread for each socket, which keeps its share of the requests under way.
fn look_up_plainly(target: &Target, connections: usize) -> Result<()> {
    let requests = sink::requests(target)?;
    let share = requests.len().div_ceil(connections).max(1);
    let mut sockets = Vec::with_capacity(connections);
    for _ in 0..connections {
        sockets.push(sink::connect(target)?);
    }
    let watch = Watch::start()?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = requests
            .chunks(share)
            .zip(sockets)
            .map(|(requests, socket)| {
                scope.spawn(move || sink::look_up_together(socket, requests, IN_FLIGHT / connections))
            })
            .collect();
        for thread in threads {
            thread.join().ok().context("a thread of the lookups panicked")??;
        }
        anyhow::Ok(())
    })?;
    watch.report(&mut [])
}
