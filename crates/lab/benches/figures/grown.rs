//! The table `growth`: what both servers do with ever more entries, as a file that `--bin growth` draws.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use flext_ldap_lab::growth::{Figure, csv, table};

use crate::{
    Bench, Settings,
    clients::Target,
    contest::{self, median},
    many, role,
    serving::Serving,
    start,
};

/// How long one measure is repeated at one size.
const PATIENCE: Duration = Duration::from_secs(40);

/// Measures at every size, writes the file, and prints it as a table.
#[expect(clippy::print_stdout, reason = "a benchmark prints what it found")]
pub(crate) fn measure(settings: &Settings, file: &Path) -> Result<()> {
    let mut figures = Vec::new();
    for people in &settings.people {
        let began = Instant::now();
        let bench = Bench::prepare(settings, *people)?;
        of_one_size(&bench, &mut figures)?;
        // Each time, since the largest size takes long.
        std::fs::write(file, csv(&figures)?).with_context(|| format!("cannot write {}", file.display()))?;
        println!("{} entries took {:.0} s", bench.entries, began.elapsed().as_secs_f64());
    }
    println!("\n{}", table(&figures));
    Ok(())
}

fn of_one_size(bench: &Bench, figures: &mut Vec<Figure>) -> Result<()> {
    let mut servers = Serving::both()?;
    let rate = |items: u64, seconds: f64| items as f64 / seconds;
    let mebibytes = |octets: u64| octets as f64 / f64::from(1 << 20);
    let mut put = |measure: &str, unit: &str, values: [f64; 2]| {
        for (server, value) in ["slapd", "ours"].into_iter().zip(values) {
            let (measure, unit, server) = (measure.to_owned(), unit.to_owned(), server.to_owned());
            figures.push(Figure { measure, unit, server, entries: bench.entries, value });
        }
    };
    let client = |server: &Serving, work: &str, kind: &str, items: u64| -> Result<f64> {
        let mut command = role("ours")?;
        Target::new(work, &server.url()?, &Serving::login(), &bench.names).push(&mut command);
        Ok(rate(items, contest::run(command.arg(kind))?.seconds))
    };

    let imported =
        in_turns(bench, &mut servers, |server| Ok(rate(bench.entries, server.load(&bench.ldif)?.seconds)))?;
    put("import", "entries/s", imported);
    put("disk after the import", "MiB", each(&servers, |server| Ok(mebibytes(server.disk()?)))?);
    let started = in_turns(bench, &mut servers, |server| start::after_a_stop(bench, server))?;
    put("start after a stop", "ms", started);
    let one = in_turns(bench, &mut servers, |server| client(server, "lookup", "current", bench.lookups))?;
    put("lookups one at a time", "lookups/s", one);
    let many = in_turns(bench, &mut servers, |server| client(server, "pipelined", "current", bench.lookups))?;
    put("lookups 64 in flight", "lookups/s", many);
    let bulk = in_turns(bench, &mut servers, |server| client(server, "bulk", "current", bench.entries))?;
    put("one search for everything", "entries/s", bulk);
    let modified = in_turns(bench, &mut servers, |server| {
        let cost = contest::run(&mut many::command(bench, server, "modify", "client")?)?;
        Ok(rate(bench.writes, cost.seconds))
    })?;
    put("durable modifies by 16 writers", "modifies/s", modified);
    put("memory with mapped files", "MiB", each(&servers, |server| Ok(mebibytes(server.memory()?.0)))?);
    put("memory without them", "MiB", each(&servers, |server| Ok(mebibytes(server.memory()?.1)))?);
    Ok(())
}

/// Medians of as many rounds as are asked for and there is time for. The first is to warm up, unless it is all there is.
fn in_turns(
    bench: &Bench,
    servers: &mut [Serving; 2],
    mut run: impl FnMut(&mut Serving) -> Result<f64>,
) -> Result<[f64; 2]> {
    let began = Instant::now();
    let mut rounds = Vec::new();
    while rounds.is_empty() || (rounds.len() <= bench.rounds && began.elapsed() < PATIENCE) {
        let [slapd, ours] = servers;
        rounds.push((run(slapd)?, run(ours)?));
    }
    if rounds.len() > 1 {
        rounds.remove(0);
    }
    let (slapd, ours): (Vec<f64>, Vec<f64>) = rounds.into_iter().unzip();
    Ok([median(slapd), median(ours)])
}

fn each(servers: &[Serving; 2], run: impl Fn(&Serving) -> Result<f64>) -> Result<[f64; 2]> {
    let [slapd, ours] = servers;
    Ok([run(slapd)?, run(ours)?])
}
