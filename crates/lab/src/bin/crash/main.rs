//! kill -9 under 16 writers, again and again: `cargo run --release -p flext-ldap-lab --bin crash -- 200`.
//!
//! Each round a process of its own writes to a store as fast as it can, tells each write that was acknowledged, and is
//! killed at a moment nobody chose. The store is then opened again: every acknowledged write must be there, and
//! `check` must find nothing. What is told at the end is how long opening took.
//!
//! `crash indexes 100` has it killed while indexes are built and removed under a store that serves: whatever is there
//! when it is opened again, searches must find what they would without any index, and it must come to its end.
//!
//! `crash imports 60` has it killed while it imports: all before a certain record is there then, what was told is, and
//! going on leads to the whole.
//!
//! A killed process leaves its writes to the kernel, so this shows nothing about power that fails. That is shown on a
//! simulated disk, in `crates/store/tests/it/durability.rs` and `failing.rs`.

mod imports;
mod indexes;

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use flext_ldap_directory::{
    Actor, Directory as _, Op, Request,
    proto::{
        attribute::Attributes,
        dn::Dn,
        entry::Entry,
        filter::Filter,
        message::{Add, Change, ChangeKind, Modify, Scope, Search},
        result::ResultCode,
    },
};
use flext_ldap_store::{CheckEvent, Store, StoreOptions};

const SUFFIX: &str = "dc=harbourlane,dc=example";
const WRITERS: usize = 16;

/// Rounds on one store before a new one is begun.
const AGAIN: u32 = 20;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.as_slice() {
        ["write", folder, round] => runtime.block_on(write(Path::new(folder), round))?,
        ["build", folder, round] => runtime.block_on(indexes::build(Path::new(folder), round.parse()?))?,
        ["indexes", rounds] => runtime.block_on(indexes::rounds_of(rounds.parse().context("how many?")?))?,
        ["load", folder, round] => imports::load(Path::new(folder), round.parse()?)?,
        ["imports", rounds] => imports::rounds_of(rounds.parse().context("how many?")?)?,
        [rounds] => runtime.block_on(rounds_of(rounds.parse().context("how many rounds?")?))?,
        _ => {
            bail!("usage: crash [indexes | imports] ROUNDS");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open(folder: &Path) -> anyhow::Result<Store> {
    Ok(Store::open(StoreOptions::folder(folder).suffix(SUFFIX.parse()?))?)
}

async fn ask(store: &Store, op: impl Into<Op>) -> anyhow::Result<()> {
    let outcome = store.call(Request::new(op.into(), Actor::Service)).outcome().await?;
    ensure!(outcome.result.code == ResultCode::SUCCESS, "{outcome:?}");
    Ok(())
}

fn person(uid: &str) -> anyhow::Result<Add> {
    let mut attributes = Attributes::builder();
    attributes.push("objectClass", ["inetOrgPerson"]);
    attributes.push("cn", [format!("{uid} Quay")]);
    attributes.push("sn", ["Quay"]);
    attributes.push("mail", [format!("{uid}@harbourlane.example")]);
    Ok(Add::new(name(uid)?, attributes.build()))
}

fn name(uid: &str) -> anyhow::Result<Dn> {
    Ok(format!("uid={uid},{SUFFIX}").parse()?)
}

/// What the process that is killed does: adds entries, and counts up in one entry for each writer.
async fn write(folder: &Path, round: &str) -> anyhow::Result<()> {
    let store = open(folder)?;
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let (store, round) = (store.clone(), round.to_owned());
        tasks.push(tokio::spawn(async move {
            let counter = format!("counter{writer}-{round}");
            ask(&store, person(&counter)?).await?;
            for count in 0_u64.. {
                let uid = format!("crew{writer}-{count}-{round}");
                ask(&store, person(&uid)?).await?;
                tell(&uid)?;
                let change = Change {
                    kind: ChangeKind::Replace,
                    attribute: "employeeNumber".parse()?,
                    values: vec![count.to_string().into()],
                };
                ask(&store, Modify { dn: name(&counter)?, changes: vec![change] }).await?;
                tell(&format!("{counter} {count}"))?;
            }
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// Says what was acknowledged, in one write, so that no line is half told.
fn tell(what: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(format!("{what}\n").as_bytes())?)
}

async fn rounds_of(rounds: u32) -> anyhow::Result<()> {
    let mut restarts = Vec::new();
    let (mut acknowledged, mut largest) = (0, 0);
    let mut folder = tempfile::tempdir()?;
    for round in 0..rounds {
        if round.is_multiple_of(AGAIN) {
            folder = tempfile::tempdir()?;
            let store = open(folder.path())?;
            let mut attributes = Attributes::builder();
            attributes.push("objectClass", ["organization", "dcObject"]);
            attributes.push("o", ["Harbour Lane Instruments"]);
            ask(&store, Add::new(SUFFIX.parse()?, attributes.build())).await?;
        }
        let told = killed("write", folder.path(), round)?;
        acknowledged += told.len();
        let started = Instant::now();
        let store = open(folder.path()).with_context(|| format!("round {round}"))?;
        restarts.push(started.elapsed());
        let entries = verify(&store, &told).await.with_context(|| format!("round {round}"))?;
        largest = largest.max(entries);
        store.close();
    }
    restarts.sort_unstable();
    let middle = restarts.get(restarts.len() / 2).copied().unwrap_or_default();
    writeln!(
        std::io::stdout(),
        "{rounds} rounds, {acknowledged} acknowledged writes, none lost, no fault; opened again in {middle:.1?} (p50), \
         {:.1?} (max), with up to {largest} entries",
        restarts.last().copied().unwrap_or_default()
    )?;
    Ok(())
}

/// Has a process write and kills it. Returns what it said was acknowledged.
fn killed(what: &str, folder: &Path, round: u32) -> anyhow::Result<Vec<String>> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([what.as_ref(), folder.as_os_str(), round.to_string().as_ref()])
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().context("no output")?;
    let (first, begun) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut told = Vec::new();
        for line in BufReader::new(output).lines() {
            told.push(line?);
            if told.len() == 1 {
                // Who waits has it, or has given up.
                let _ = first.send(());
            }
        }
        std::io::Result::Ok(told)
    });
    begun.recv_timeout(Duration::from_secs(120)).context("nothing was written")?;
    // Any moment does; the numbers only spread them.
    std::thread::sleep(Duration::from_millis(u64::from(round.wrapping_mul(2_654_435_761) >> 8) % 300));
    child.kill()?;
    child.wait()?;
    match reader.join() {
        Ok(told) => Ok(told?),
        Err(_) => bail!("the reader ended"),
    }
}

/// Looks for everything that was acknowledged, and checks the store. Returns how many entries there are.
async fn verify(store: &Store, told: &[String]) -> anyhow::Result<u64> {
    let entries = check(store)?;
    let mut counters: HashMap<&str, u64> = HashMap::new();
    let mut added = HashSet::new();
    for line in told {
        match line.split_once(' ') {
            Some((counter, count)) => drop(counters.insert(counter, count.parse()?)),
            None => drop(added.insert(line.as_str())),
        }
    }
    for uid in &added {
        ensure!(read(store, uid).await?.is_some(), "{uid} is lost");
    }
    for (counter, count) in counters {
        let entry = read(store, counter).await?.with_context(|| format!("{counter} is lost"))?;
        let found: u64 = entry.text("employeeNumber").unwrap_or_default().parse()?;
        // One more may have been written and not been told.
        ensure!(
            found == count || found == count + 1,
            "{counter} was acknowledged with {count} and has {found}"
        );
    }
    Ok(entries)
}

/// Has the store checked, which must find nothing. Returns how many entries there are.
fn check(store: &Store) -> anyhow::Result<u64> {
    let mut faults = Vec::new();
    let report = store.check(&mut |event| {
        if let CheckEvent::Fault(fault) = event {
            faults.push(fault.to_string());
        }
    })?;
    ensure!(faults.is_empty(), "check finds {}", faults.join("\n"));
    Ok(report.entries)
}

async fn read(store: &Store, uid: &str) -> anyhow::Result<Option<Entry>> {
    use flext_ldap_directory::Event;
    let search = Search::new(name(uid)?, Scope::Base, Filter::any());
    let mut reply = store.call(Request::new(search, Actor::Service).into_any());
    let mut found = None;
    loop {
        match reply.next().await? {
            Event::Batch(batch) => found = batch.entries().next().map(|entry| entry.to_entry()),
            Event::Done(_) => return Ok(found),
        }
    }
}
