//! What work has cost: time, processor time, memory; and how a process tells it to the one that started it.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// What a line that reports begins with.
const MARK: &str = "figure";

/// What one run has cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// From start to end, in seconds.
    pub(crate) seconds: f64,
    /// Processor time of the process, user and system, in seconds.
    pub(crate) cpu: f64,
    /// The most memory the process had, in KiB.
    pub(crate) memory: f64,
    /// Median and 99th percentile of a single operation, in microseconds; 0 if they were not taken.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Processor time of the server meanwhile, in seconds, where the process has looked at it itself.
    pub(crate) server: Option<f64>,
}

/// A stop watch for this process.
pub(crate) struct Watch {
    began: Instant,
    cpu: f64,
    /// The server's process, and its time at the start.
    server: Option<(u32, f64)>,
}

impl Watch {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self { began: Instant::now(), cpu: cpu(&getrusage(UsageWho::RUSAGE_SELF)?), server: None })
    }

    /// Looks at the server's time too, for work that begins with what is not of interest, such as many binds.
    pub(crate) fn start_beside(server: u32) -> Result<Self> {
        let server = Some((server, cpu_of(server)?));
        Ok(Self { server, ..Self::start()? })
    }

    /// Tells the process that started this one; `times` are those of single operations.
    #[expect(clippy::print_stdout, reason = "the parent reads it")]
    pub(crate) fn report(self, times: &mut [Duration]) -> Result<()> {
        let seconds = self.began.elapsed().as_secs_f64();
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        times.sort_unstable();
        let percentile = |per_cent: usize| {
            times.get(times.len() * per_cent / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6)
        };
        let cost = Cost {
            seconds,
            cpu: cpu(&usage) - self.cpu,
            memory: usage.max_rss() as f64,
            p50: percentile(50),
            p99: percentile(99),
            server: self.server.map(|(pid, before)| anyhow::Ok(cpu_of(pid)? - before)).transpose()?,
        };
        println!("{}", cost.to_line()?);
        Ok(())
    }
}

/// Runs another program and reports what it has cost, as time(1) does.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn time(arguments: &[String]) -> Result<()> {
    let (program, rest) = arguments.split_first().context("no program to time")?;
    let began = Instant::now();
    let status = Command::new(program).args(rest).stdout(Stdio::null()).status()?;
    let seconds = began.elapsed().as_secs_f64();
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cost = Cost { seconds, cpu: cpu(&usage), memory: usage.max_rss() as f64, ..Cost::default() };
    println!("{}", cost.to_line()?);
    Ok(())
}

impl Cost {
    fn to_line(self) -> Result<String> {
        let mut line = MARK.to_owned();
        let fields = [self.seconds, self.cpu, self.memory, self.p50, self.p99];
        for field in fields.into_iter().chain(self.server) {
            write!(line, " {field}")?;
        }
        Ok(line)
    }

    /// Reads what a process reported.
    pub(crate) fn parse(output: &str) -> Result<Self> {
        let line = output.lines().find_map(|line| line.strip_prefix(MARK)).context("it reported nothing")?;
        let fields: Vec<f64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [seconds, cpu, memory, p50, p99, ref server @ ..] = fields[..] else {
            bail!("a report of other fields: {line}")
        };
        Ok(Self { seconds, cpu, memory, p50, p99, server: server.first().copied() })
    }
}

/// Processor time of another process so far, in seconds. The kernel counts it in hundredths.
pub(crate) fn cpu_of(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in parentheses, and may hold blanks.
    let (_, rest) = stat.rsplit_once(')').context("not what proc(5) says")?;
    let ticks: u64 =
        rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap_or(0)).sum();
    Ok(ticks as f64 / 100.0)
}

fn cpu(usage: &Usage) -> f64 {
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
}
