//! The table `start`: from the start of a server's process to the first entry it answers with.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::{Bench, clients::Target, contest::median, many, serving::Serving, sink};

/// How long nobody writes before a server at rest is killed.
const REST: Duration = Duration::from_secs(3);

/// How long sixteen writers are at work before a server is killed.
const WORK: Duration = Duration::from_secs(2);

/// How a server came to its end.
#[derive(Clone, Copy)]
enum End {
    Stopped,
    KilledAtRest,
    KilledAtWork,
}

/// All ends of both servers.
#[expect(clippy::print_stdout, reason = "a benchmark prints what it found")]
pub(crate) fn contest(bench: &Bench) -> Result<()> {
    let mut servers = Serving::both()?;
    for server in &mut servers {
        server.load(&bench.ldif)?;
    }
    println!("Start with {} entries ({} rounds)\n", bench.entries, bench.rounds);
    println!("| ended by | server | first answer, ms | slowest, ms |");
    println!("|---|---|--:|--:|");
    for (end, name) in [
        (End::Stopped, "a stop in order"),
        (End::KilledAtRest, "kill -9, at rest"),
        (End::KilledAtWork, "kill -9, under 16 writers"),
    ] {
        let mut seen = [Vec::new(), Vec::new()];
        for _ in 0..bench.rounds {
            for (server, seen) in servers.iter_mut().zip(&mut seen) {
                bring_to(end, bench, server)?;
                seen.push(first_answer(bench, server)?.as_secs_f64() * 1e3);
            }
        }
        for (server, seen) in servers.iter().zip(seen) {
            let slowest = seen.iter().copied().fold(0.0, f64::max);
            println!("| {name} | {} | {:.0} | {slowest:.0} |", server.name(), median(seen));
        }
    }
    println!();
    Ok(())
}

/// The time to the first answer after a stop in order, in milliseconds.
pub(crate) fn after_a_stop(bench: &Bench, server: &mut Serving) -> Result<f64> {
    bring_to(End::Stopped, bench, server)?;
    Ok(first_answer(bench, server)?.as_secs_f64() * 1e3)
}

fn bring_to(end: End, bench: &Bench, server: &mut Serving) -> Result<()> {
    match end {
        End::Stopped => server.stop(),
        End::KilledAtRest => {
            crate::contest::run(&mut many::command(bench, server, "modify", "client")?)?;
            std::thread::sleep(REST);
            server.kill()
        }
        End::KilledAtWork => {
            let mut command = many::command(bench, server, "add until killed", "client")?;
            let mut writers = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
            std::thread::sleep(WORK);
            let ended = writers.try_wait()?;
            server.kill()?;
            // Their connections are gone, so they end, and not well.
            let status = writers.wait()?;
            ensure!(ended.is_none() && !status.success(), "the writers had ended before the server did");
            Ok(())
        }
    }
}

/// Starts the server, binds and looks somebody up.
fn first_answer(bench: &Bench, server: &mut Serving) -> Result<Duration> {
    let target = |url: &str| Target::new("lookup", url, &Serving::login(), &bench.names);
    let requests = sink::requests(&target(""))?;
    let request = requests.first().context("nobody to look for")?;
    let began = Instant::now();
    server.start()?;
    let mut socket = sink::connect(&target(&server.url()?))?;
    socket.write_all(request)?;
    let mut answer = [0; 4096];
    let octets = socket.read(&mut answer)?;
    let elapsed = began.elapsed();
    match sink::operation(answer.get(..octets).unwrap_or_default()) {
        Some(ENTRY) => Ok(elapsed),
        tag => bail!("{} answered the first lookup with {tag:02x?} and no entry", server.name()),
    }
}

/// The tag of `searchResultEntry` (RFC 4511 §4.5.2).
const ENTRY: u8 = 0x64;
