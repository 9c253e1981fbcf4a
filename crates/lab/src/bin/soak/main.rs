//! Load for a long time, on ways to a server that fail in turn: nothing grows, and every operation is accounted for.
//!
//! `soak [SECONDS]`: half an hour unless said otherwise. A server in a process of its own; before it two proxies that spoil what passes; over
//! these a pool each, a set of both, a breaker and metrics, as programs have them; and 64 tasks that look up, read
//! everything, write, and leave in the middle.
//!
//! It ends with an error if an answer is wrong, if what callers were told and what the metrics say are not the same number of
//! operations, or if memory or descriptors grow. What it prints is what it saw, ten times.

#![expect(clippy::print_stdout, reason = "a program that says what it has seen")]

mod faults;
mod work;

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use flext_ldap_client::{Connector, Credentials, Pool, Server as _, ServerSet};
use flext_ldap_directory::{
    Deadline, Layered,
    layers::{Breaker, BreakerOptions, Metrics},
};
use flext_ldap_lab::FaultProxy;
use flext_ldap_server::Server;
use flext_ldap_store::{ImportOptions, Store, StoreOptions};
use tokio::task::JoinSet;

use self::work::{Account, SUFFIX, Worker};

const ADMIN: &str = "cn=admin,dc=harbourlane,dc=example";
const PASSWORD: &str = "kelp-and-brass-71";
const TASKS: u64 = 64;
const MEBI: u64 = 1 << 20;
/// What memory may grow by in the second half, beside a tenth of it: what allocators keep and counters of servers.
const GROWTH: u64 = 16 * MEBI;

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve(),
        [] => soak(Duration::from_secs(30 * 60)),
        [seconds] => soak(Duration::from_secs(seconds.parse().context("soak [SECONDS]")?)),
        _ => bail!("soak [SECONDS]"),
    }
}

/// Serves people from memory until its input ends.
fn serve() -> Result<()> {
    let store = Store::open(
        StoreOptions::memory().suffix(SUFFIX.parse()?).administrator(ADMIN.parse()?, PASSWORD.into()),
    )?;
    store.import(work::people().as_bytes(), &ImportOptions::default(), &mut |_| ())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let server = Server::builder(Arc::new(store)).listen("ldap://127.0.0.1:0".parse()?).start();
    let server = runtime.block_on(server)?;
    println!("{}", server.urls().first().context("it listens nowhere")?);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    runtime.block_on(server.shutdown(Duration::from_secs(1)));
    Ok(())
}

/// The server; ends with this value.
struct Served(Child, SocketAddr);

impl Served {
    fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the server cannot be started")?;
        let mut url = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut url)?;
        let address = url.trim().trim_start_matches("ldap://").trim_end_matches('/').parse();
        Ok(Self(child, address.with_context(|| format!("the server did not start: `{url}`"))?))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It has nothing to lose.
        let _ = self.0.wait();
    }
}

fn soak(duration: Duration) -> Result<()> {
    let server = Served::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let before = descriptors()?;
    runtime.block_on(run(duration, server.1))?;
    // What was closed is closed once its task has had its turn.
    let until = Instant::now() + Duration::from_secs(10);
    while descriptors()? > before && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    let after = descriptors()?;
    ensure!(after <= before, "{before} descriptors before, {after} when all was closed");
    println!("descriptors: {before} before, {after} after");
    Ok(())
}

async fn run(duration: Duration, server: SocketAddr) -> Result<()> {
    let ways = [FaultProxy::start(server, 1).await?, FaultProxy::start(server, 2).await?];
    let (mut set, mut pools) = (ServerSet::builder("both ways"), Vec::new());
    for way in &ways {
        let connector = Connector::builder()
            .clear()
            .address(way.address().ip().to_string(), way.address().port())
            .connect_timeout(Duration::from_secs(1))
            .credentials(Credentials::simple(ADMIN, PASSWORD))
            .build()?;
        let pool = Pool::builder(connector).build()?;
        pool.ready(Deadline::after(Duration::from_secs(20))).await?;
        set = set.server(Arc::new(pool.clone()));
        pools.push(pool);
    }
    let (set, metrics) = (Arc::new(set.build()?), Metrics::new([]));
    let inner =
        Layered::new(Arc::clone(&set), Arc::new(Breaker::new("both ways", BreakerOptions::default())));
    let directory = Arc::new(Layered::new(inner, Arc::new(metrics.server("both ways", 389))));

    let is_over = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for number in 0..TASKS {
        tasks.spawn(Worker::new(number, Arc::clone(&directory)).go_on(Arc::clone(&is_over)));
    }
    let (began, mut memory) = (Instant::now(), Vec::new());
    let (mut faults, mut told) = (faults::Schedule::new(7), 0);
    println!("| s | memory MiB | descriptors | connections opened | ended by a way | operations moved |");
    println!("|--:|--:|--:|--:|--:|--:|");
    while began.elapsed() < duration {
        faults.next(&ways).await;
        memory.push((began.elapsed(), resident()?));
        if let Some(ended) = tasks.try_join_next() {
            // A worker that ends before it is told to has been answered wrongly.
            ended??;
            bail!("a worker has ended");
        }
        let tenth = began.elapsed().as_millis() * 10 / duration.as_millis().max(1);
        if tenth > told {
            told = tenth;
            let opened: u64 = pools.iter().map(|pool| pool.stats().opened).sum();
            let ended: u64 = ways.iter().map(|way| way.tally().ended).sum();
            let moved: u64 = set.statistics().members.iter().map(|member| member.moved).sum();
            let (seconds, memory) = (began.elapsed().as_secs(), resident()? / MEBI);
            println!("| {seconds} | {memory} | {} | {opened} | {ended} | {moved} |", descriptors()?);
        }
        // What clients have sent is kept for tests that look at it, and is what grows here.
        ways.iter().for_each(FaultProxy::forget);
    }
    faults::heal(&ways);
    is_over.store(true, Ordering::Relaxed);
    let mut account = Account::default();
    while let Some(ended) = tasks.join_next().await {
        account.add(&ended??);
    }
    account.reconcile(&metrics.to_string())?;
    set.shutdown(Deadline::after(Duration::from_secs(5))).await;
    is_flat(&memory, duration)
}

/// Compares the second quarter with the last.
fn is_flat(memory: &[(Duration, u64)], duration: Duration) -> Result<()> {
    let median = |from: u32| {
        let (from, to) = (duration * from / 4, duration * (from + 1) / 4);
        let mut within: Vec<_> =
            memory.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, octets)| *octets).collect();
        within.sort_unstable();
        within.get(within.len() / 2).copied().context("too short for memory to be compared")
    };
    let (early, late) = (median(1)?, median(3)?);
    println!("memory: {} MiB in the second quarter, {} MiB in the last", early / MEBI, late / MEBI);
    ensure!(late <= early + early / 10 + GROWTH, "memory grew from {early} to {late} octets");
    Ok(())
}

/// Octets of memory this process holds.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// Descriptors this process has open.
fn descriptors() -> Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}
