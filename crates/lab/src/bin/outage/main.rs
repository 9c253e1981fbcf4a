//! Servers that are killed, stopped, slow and restarted under 64 tasks: `cargo run --release -p flext-ldap-lab --bin outage`,
//! after `crates/lab/get`.
//!
//! Two servers of one kind stand behind one set, and each task reads and writes as fast as it may through it. One of the
//! two is then hurt, and heals. What must hold: no read fails, since all had time left; no write is done twice, is there
//! though it was reported as not done, or is not there though it was reported as done; callers wait no longer than the
//! set takes to notice; and the server that heals gets its connections back soon, and few at a time.
//!
//! `outage SERVER HARM` runs one: `slapd`, `389-ds` or `ours`, and `kill`, `stop`, `brownout` or `restart`. With a third word,
//! `proxy`, a proxy stands over the set, and each task is a client of it: with a connection of its own, signed in, which it
//! keeps whatever happens. Without arguments it runs all. What `FaultProxy` does to single messages is shown in `tests/faults`.

mod front;
mod load;
mod server;

use std::{
    io::Write as _,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use flext_ldap_client::{MemberHealth, Pool, PoolStats, Server, ServerSet, WhenDown};
use flext_ldap_directory::{Actor, Deadline};

use self::{
    front::{Client, Front},
    load::{Caller, Load, Seen, TASKS},
    server::{Kind, Target},
};

/// Connections of each pool at most.
const CONNECTIONS: usize = 8;

/// From when on an answer is slow, and how long a server may take to say how it is.
const SLOW: Duration = Duration::from_millis(250);
const CHECK: Duration = Duration::from_millis(500);

/// What is done to a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Harm {
    /// SIGKILL, and a start after a second.
    Kill,
    /// SIGSTOP for three seconds: connections stay open, and nobody answers.
    Stop,
    /// Stopped for most of the time, for two seconds: it answers, slowly.
    Brownout,
    /// An orderly end, and a start.
    Restart,
}

impl Harm {
    const ALL: [Self; 4] = [Self::Kill, Self::Stop, Self::Brownout, Self::Restart];

    const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Brownout => "brownout",
            Self::Restart => "restart",
        }
    }

    /// How long a caller may wait: four times 250 ms where the loss is seen, four times an answer that is slow and a probe
    /// that is not answered where it is silence. A proxy asks a server how it is before it sends a password there.
    fn patience(self, through: Through) -> Duration {
        match (self, through) {
            (Self::Kill, Through::Library) => Duration::from_secs(1),
            // A server that ends in order may be silent before it closes.
            (Self::Kill | Self::Stop | Self::Brownout | Self::Restart, _) => 4 * (SLOW + CHECK),
        }
    }
}

/// What the tasks ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Through {
    /// The set.
    Library,
    /// A proxy over it.
    Proxy,
}

impl Through {
    const ALL: [Self; 2] = [Self::Library, Self::Proxy];

    const fn name(self) -> &'static str {
        match self {
            Self::Library => "library",
            Self::Proxy => "proxy",
        }
    }
}

const USAGE: &str =
    "usage: outage [slapd | 389-ds | ours] [kill | stop | brownout | restart] [library | proxy]";

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let ["serve", folder, port] = arguments.as_slice() {
        runtime.block_on(server::serve(folder.as_ref(), port.parse()?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = |name: &str, all: &[&str]| all.is_empty() || all.contains(&name);
    let (kinds, harms, ways) = match arguments.as_slice() {
        [] => (vec![], vec![], vec![]),
        [kind] => (vec![*kind], vec![], vec![]),
        [kind, harm] => (vec![*kind], vec![*harm], vec![Through::Library.name()]),
        [kind, harm, through] => (vec![*kind], vec![*harm], vec![*through]),
        _ => bail!(USAGE),
    };
    let mut ran = 0;
    for kind in Kind::ALL.into_iter().filter(|kind| chosen(kind.name(), &kinds)) {
        for harm in Harm::ALL.into_iter().filter(|harm| chosen(harm.name(), &harms)) {
            for through in Through::ALL.into_iter().filter(|through| chosen(through.name(), &ways)) {
                runtime.block_on(outage(kind, harm, through))?;
                ran += 1;
            }
        }
    }
    ensure!(ran > 0, USAGE);
    Ok(ExitCode::SUCCESS)
}

async fn outage(kind: Kind, harm: Harm, through: Through) -> anyhow::Result<()> {
    let (mut hurt, other) = tokio::task::block_in_place(|| Target::start_both(kind))?;
    tokio::try_join!(load::fill(&hurt), load::fill(&other))?;
    let pool = |target: &Target| -> anyhow::Result<Pool> {
        Ok(Pool::builder(target.connector()?).max(CONNECTIONS).conversations(2 * TASKS).build()?)
    };
    let (first, second) = (pool(&hurt)?, pool(&other)?);
    let set = ServerSet::builder("both")
        .server(Arc::new(first.clone()))
        .server(Arc::new(second.clone()))
        // Where both seem down on a busy machine, those who have time wait.
        .when_down(WhenDown::Wait)
        .slow_after(SLOW)
        .check_timeout(CHECK)
        .recheck_every(Duration::from_millis(200))
        .build()?;
    let set = Arc::new(set);
    let front = match through {
        Through::Library => None,
        Through::Proxy => Some(Front::start(&set, &hurt).await?),
    };
    let (clients, signing_in) = match &front {
        None => (Vec::new(), Duration::ZERO),
        Some(front) => front.clients(TASKS).await?,
    };
    let load = Load::start(match through {
        Through::Library => vec![Caller { directory: Arc::clone(&set) as _, actor: Actor::Service }; TASKS],
        Through::Proxy => clients.iter().map(Client::caller).collect(),
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let warm = load.seen();
    ensure!(warm.reads > 0 && warm.failures.is_empty(), "before anything happened: {warm:?}");

    let before = first.stats();
    let healed = harm_it(&mut hurt, harm).await?;
    // It heals in the eyes of the set, and in its pool: by operations that go there again, or by who comes anew, since a
    // client's conversation stays where it is.
    let whole = loop {
        let is_well =
            set.statistics().members.first().is_some_and(|member| member.health == MemberHealth::Well);
        let stats = first.stats();
        if let Some(front) = front.as_ref().filter(|_| is_well && stats.open > 0) {
            front.newcomer().await?;
        }
        if is_well && stats.open > 0 && has_come_back(&first, &before, through) {
            break healed.elapsed();
        }
        ensure!(healed.elapsed() < Duration::from_secs(30), "not whole 30 s after it has healed: {stats:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    let opened = first.stats().opened.saturating_sub(before.opened);
    let seen = load.finish().await?;
    for client in &clients {
        client.is_there()?;
    }
    drop(clients);
    if let Some(front) = front {
        front.end().await;
    }
    set.shutdown(Deadline::after(Duration::from_secs(5))).await;

    let written = load::settle(&seen, [&hurt, &other]).await?;
    judge(harm.patience(through) + 4 * signing_in, &seen, whole, opened)?;
    let Seen { reads, slowest, .. } = seen;
    let (kind, harm, through) = (kind.name(), harm.name(), through.name());
    writeln!(
        std::io::stdout(),
        "{kind} {harm} {through}: {reads} reads, none failed, the slowest {slowest:.0?}; {written}; whole {whole:.0?} after it healed, by {opened} connections"
    )?;
    Ok(())
}

/// Whether the server is used again: by operations now, or by binds since.
fn has_come_back(pool: &Pool, before: &PoolStats, through: Through) -> bool {
    let stats = pool.stats();
    match through {
        Through::Library => stats.in_flight > 0,
        Through::Proxy => stats.binds.binds > before.binds.binds,
    }
}

/// Hurts it, and returns when it had healed.
async fn harm_it(target: &mut Target, harm: Harm) -> anyhow::Result<Instant> {
    match harm {
        Harm::Kill => {
            target.kill()?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            tokio::task::block_in_place(|| target.restart())?;
        }
        Harm::Stop => {
            target.pause()?;
            tokio::time::sleep(Duration::from_secs(3)).await;
            target.resume()?;
        }
        Harm::Brownout => {
            for _ in 0..8 {
                target.pause()?;
                tokio::time::sleep(Duration::from_millis(200)).await;
                target.resume()?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Harm::Restart => tokio::task::block_in_place(|| target.restart())?,
    }
    Ok(Instant::now())
}

fn judge(patience: Duration, seen: &Seen, whole: Duration, opened: u64) -> anyhow::Result<()> {
    let Some(failure) = seen.failures.first() else {
        ensure!(seen.slowest <= patience, "a read took {:?}, more than {patience:?}", seen.slowest);
        // Two seconds are asked for; four times that is a bound that a busy machine keeps.
        ensure!(whole <= Duration::from_secs(8), "whole only {whole:?} after it had healed");
        let most = 4 * CONNECTIONS as u64;
        ensure!(opened <= most, "{opened} connections were opened to it, more than {most}");
        return Ok(());
    };
    bail!("{} reads failed that had time left, the first: {failure}", seen.failures.len());
}
