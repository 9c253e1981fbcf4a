//! Runs contenders in turns, and prints a table of medians.

use std::process::{Command, Stdio};
use std::thread::available_parallelism;

use anyhow::{Context, Result, bail};

use crate::usage::{Cost, cpu_of};

/// One who does the work of a table.
pub(crate) struct Contender<'a> {
    name: String,
    /// How many entries or operations the work is.
    items: u64,
    /// The process of the server, whose time is taken too.
    server: Option<u32>,
    /// Whether the server and the contender share one processor.
    on_one: bool,
    prepare: Box<dyn FnMut() -> Result<Command> + 'a>,
}

impl<'a> Contender<'a> {
    /// `prepare` clears away what the run before has left, and says what to run.
    pub(crate) fn new(
        name: impl Into<String>,
        items: u64,
        prepare: impl FnMut() -> Result<Command> + 'a,
    ) -> Self {
        Self { name: name.into(), items, server: None, on_one: false, prepare: Box::new(prepare) }
    }

    pub(crate) fn beside(mut self, server: u32) -> Self {
        self.server = Some(server);
        self
    }

    /// Has the server and the contender share one processor, so that none is ever woken from its sleep. On a virtual
    /// machine that takes longer than a lookup does, and how often it happens is the scheduler's choice of the moment.
    pub(crate) const fn on_one_processor(mut self) -> Self {
        self.on_one = true;
        self
    }

    fn run(&mut self) -> Result<(Cost, f64)> {
        let mut command = (self.prepare)()?;
        let server = |pid: Option<u32>| pid.map_or(Ok(0.0), cpu_of);
        let before = server(self.server)?;
        let cost = if self.on_one {
            let _held = self.server.map(Held::to_one_processor).transpose()?;
            run(&mut to_one_processor(&command))
        } else {
            run(&mut command)
        };
        let cost = cost.with_context(|| self.name.clone())?;
        let whole = server(self.server)? - before;
        Ok((cost, cost.server.unwrap_or(whole)))
    }
}

/// A process that runs on one processor, until this is dropped.
struct Held(u32);

impl Held {
    fn to_one_processor(pid: u32) -> Result<Self> {
        taskset("0", pid)?;
        Ok(Self(pid))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A server that has ended needs no processors.
        let _ = taskset(&format!("0-{}", available_parallelism().map_or(0, |count| count.get() - 1)), self.0);
    }
}

fn taskset(processors: &str, pid: u32) -> Result<()> {
    let mut command = Command::new("taskset");
    command.args(["--all-tasks", "--cpu-list", "--pid", processors, &pid.to_string()]);
    let done = command.stdout(Stdio::null()).status().context("taskset, of util-linux")?;
    if !done.success() {
        bail!("taskset ended with {done}");
    }
    Ok(())
}

fn to_one_processor(command: &Command) -> Command {
    let mut whole = Command::new("taskset");
    whole.args(["--cpu-list", "0"]).arg(command.get_program()).args(command.get_args());
    whole.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    whole
}

/// Runs a process that reports its cost.
pub(crate) fn run(command: &mut Command) -> Result<Cost> {
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("it ended with {}", output.status);
    }
    Cost::parse(&String::from_utf8_lossy(&output.stdout))
}

/// Prints the table `title`. The first contender is what the others are compared with.
#[expect(clippy::print_stdout, reason = "a benchmark prints what it found")]
pub(crate) fn contest(
    title: &str,
    unit: &str,
    mut contenders: Vec<Contender<'_>>,
    rounds: usize,
) -> Result<()> {
    for contender in &mut contenders {
        contender.run()?;
    }
    let mut costs: Vec<Vec<(Cost, f64)>> = vec![Vec::new(); contenders.len()];
    for _ in 0..rounds {
        for (contender, costs) in contenders.iter_mut().zip(&mut costs) {
            costs.push(contender.run()?);
        }
    }
    let first = costs.first().cloned().unwrap_or_default();
    println!("{title} ({rounds} rounds)\n");
    println!(
        "| contender | {unit}/s | to the first | CPU s | CPU us each | server CPU s | p50/p99 us | peak MiB |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|");
    for (contender, costs) in contenders.iter().zip(&costs) {
        let of = |field: fn(&Cost) -> f64| median(costs.iter().map(|(cost, _)| field(cost)).collect());
        let ratio =
            median(costs.iter().zip(&first).map(|(one, other)| other.0.seconds / one.0.seconds).collect());
        let items = contender.items as f64;
        let p50 = of(|cost| cost.p50);
        let latency = if p50 > 0.0 { format!("{p50:.0}/{:.0}", of(|cost| cost.p99)) } else { String::new() };
        let server = match contender.server {
            Some(_) => format!("{:.2}", median(costs.iter().map(|(_, server)| *server).collect())),
            None => String::new(),
        };
        println!(
            "| {} | {:.0} | {:.0}% | {:.2} | {:.1} | {server} | {latency} | {:.0} |",
            contender.name,
            items / of(|cost| cost.seconds),
            ratio * 100.0,
            of(|cost| cost.cpu),
            of(|cost| cost.cpu) / items * 1e6,
            of(|cost| cost.memory) / 1024.0,
        );
    }
    println!();
    Ok(())
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
