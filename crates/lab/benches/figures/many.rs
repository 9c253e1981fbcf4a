//! Sixteen connections, each with one operation at a time: additions, modifications and lookups.

use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use flext_ldap_client::Connection;
use flext_ldap_directory::proto::{
    attribute::Attributes,
    dn::Dn,
    message::{Add, Change, ChangeKind, Modify, Search},
};
use flext_ldap_directory::{Actor, DirectoryExt, Request};
use flext_ldap_testkit::company::SUFFIX;

use crate::{
    Bench,
    clients::Target,
    contest::{Contender, contest},
    role,
    serving::Serving,
    sink,
    usage::Watch,
};

/// Connections at once.
const CONNECTIONS: usize = 16;

enum Operation {
    Add(Add),
    Modify(Modify),
    Search(Search),
}

type Operations = Box<dyn Iterator<Item = Result<Operation>> + Send>;

/// A process that does `work` with each of the names in the bench's file.
pub(crate) fn command(bench: &Bench, server: &Serving, work: &str, kind: &str) -> Result<Command> {
    let names = if work == "lookup" { &bench.names } else { &bench.changed };
    let mut command = role("many")?;
    command.arg(server.pid()?.to_string());
    Target::new(work, &server.url()?, &Serving::login(), names).push(&mut command);
    command.arg(kind);
    Ok(command)
}

/// The tables `writes` and `lookup16`.
pub(crate) fn contests(bench: &Bench, writes: bool, lookups: bool) -> Result<()> {
    let mut servers = Serving::both()?;
    for server in &mut servers {
        server.load(&bench.ldif)?;
    }
    let contender = |server, work, kind, name, items| -> Result<Contender<'_>> {
        let server: &Serving = server;
        let pid = server.pid()?;
        let command = move || command(bench, server, work, kind);
        Ok(Contender::new(format!("{}: {name}", server.name()), items, command).beside(pid))
    };
    if writes {
        for (work, unit, title) in
            [("add", "adds", "Durable additions"), ("modify", "modifies", "Durable modifications")]
        {
            let contenders = servers
                .iter()
                .map(|server| contender(server, work, "client", "16 writers, our client", bench.writes));
            contest(title, unit, contenders.collect::<Result<_>>()?, bench.rounds)?;
        }
    }
    if lookups {
        let mut contenders = Vec::new();
        for server in &servers {
            for (kind, name) in
                [("plain", "plain blocking sockets, decode nothing"), ("client", "our client")]
            {
                contenders.push(contender(server, "lookup", kind, name, bench.lookups)?);
            }
        }
        contest("Lookups on 16 connections", "lookups", contenders, bench.rounds)?;
    }
    Ok(())
}

/// `many PID TARGET`: does the work of the target, which is served by that process.
pub(crate) fn play(arguments: &[String]) -> Result<()> {
    let (server, target) = arguments.split_first().context("wrong arguments")?;
    let (server, target) = (server.parse()?, &Target::parse(target)?);
    if target.kind == "plain" {
        return look_up_plainly(server, target);
    }
    let operations = operations(target)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        connections.push(runtime.block_on(target.connect())?);
    }
    let watch = Watch::start_beside(server)?;
    let mut times = runtime.block_on(share_out(connections, operations))?;
    watch.report(&mut times)
}

fn operations(target: &Target) -> Result<Operations> {
    // What no other run has written.
    let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let numbers = 0_u64..;
    let names = std::fs::read_to_string(&target.names)?;
    let names: Vec<String> = names.lines().map(str::to_owned).collect();
    Ok(match target.work.as_str() {
        "add" => Box::new(numbers.take(names.len()).map(move |number| addition(run, number))),
        "add until killed" => Box::new(numbers.map(move |number| addition(run, number))),
        "modify" => Box::new(names.into_iter().map(move |name| modification(&name, run))),
        "lookup" => Box::new(target.searches()?.into_iter().map(|search| Ok(Operation::Search(search)))),
        work => bail!("no work {work}"),
    })
}

/// A new colleague.
fn addition(run: u128, number: u64) -> Result<Operation> {
    let uid = format!("new.{run}.{number}");
    let mut attributes = Attributes::builder();
    attributes.push("objectClass", ["inetOrgPerson"]);
    attributes.push("uid", [uid.as_str()]);
    attributes.push("cn", [format!("Ada Quay {number}")]);
    attributes.push("sn", ["Quay"]);
    attributes.push("givenName", ["Ada"]);
    attributes.push("mail", [format!("{uid}@harbourlane.example")]);
    attributes.push("telephoneNumber", ["+1 555 0100 10"]);
    attributes.push("employeeNumber", [number.to_string()]);
    attributes.push("description", ["Calibrates the tide gauges of the northern harbours"]);
    Ok(Operation::Add(Add::new(person(&uid)?, attributes.build())))
}

/// An attribute that neither server has an index of.
fn modification(uid: &str, run: u128) -> Result<Operation> {
    let change = Change {
        kind: ChangeKind::Replace,
        attribute: "description".parse()?,
        values: vec![format!("Seen in run {run}").into()],
    };
    Ok(Operation::Modify(Modify { dn: person(uid)?, changes: vec![change] }))
}

fn person(uid: &str) -> Result<Dn> {
    Ok(format!("uid={uid},ou=people,{SUFFIX}").parse()?)
}

/// Each connection takes the next operation as soon as its last is answered.
async fn share_out(connections: Vec<Connection>, operations: Operations) -> Result<Vec<Duration>> {
    let operations = Arc::new(Mutex::new(operations));
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|connection| {
            let operations = Arc::clone(&operations);
            let next = move || operations.lock().unwrap_or_else(PoisonError::into_inner).next();
            tokio::spawn(async move {
                let mut times = Vec::new();
                while let Some(operation) = next() {
                    let operation = operation?;
                    let began = Instant::now();
                    perform(&connection, operation).await?;
                    times.push(began.elapsed());
                }
                anyhow::Ok(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    Ok(times)
}

async fn perform(connection: &Connection, operation: Operation) -> Result<()> {
    match operation {
        Operation::Add(add) => drop(connection.add(Request::new(add, Actor::Service)).await?),
        Operation::Modify(modify) => drop(connection.modify(Request::new(modify, Actor::Service)).await?),
        Operation::Search(search) => {
            drop(std::hint::black_box(connection.search_one(Request::new(search, Actor::Service)).await?));
        }
    }
    Ok(())
}

/// The lookups with threads, and answers that nobody decodes: as little of the client as can be.
fn look_up_plainly(server: u32, target: &Target) -> Result<()> {
    ensure!(target.work == "lookup", "no plain sockets for {}", target.work);
    let requests = sink::requests(target)?;
    let share = requests.len().div_ceil(CONNECTIONS).max(1);
    let mut sockets = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        sockets.push(sink::connect(target)?);
    }
    let watch = Watch::start_beside(server)?;
    let mut times = std::thread::scope(|scope| {
        let threads: Vec<_> = requests
            .chunks(share)
            .zip(sockets)
            .map(|(requests, socket)| scope.spawn(move || sink::look_up(socket, requests)))
            .collect();
        let mut times = Vec::with_capacity(requests.len());
        for thread in threads {
            let own = thread.join().ok().context("a thread of the lookups panicked")?;
            times.extend(own?);
        }
        anyhow::Ok(times)
    })?;
    watch.report(&mut times)
}
