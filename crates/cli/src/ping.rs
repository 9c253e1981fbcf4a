//! `flext-ldap ping`: how long a server takes to answer, again and again, as ping tells it of hosts.
//!
//! What is asked is the root DSE without its attributes, which costs a server next to nothing. A connection that is lost
//! is opened anew, and the time that takes is told. Not here: load (one question is in flight at a time).

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use flext_ldap_client::PinnedConnection;
use flext_ldap_directory::{
    Actor, DirectoryExt, Request,
    proto::{
        dn::Dn,
        filter::Filter,
        message::{Scope, Search},
    },
};
use tokio::time::MissedTickBehavior;

use crate::{
    connect::{Connect, Opened},
    exit,
    output::{chain, on_one_line},
};

const EXAMPLES: &str = "\
Examples:
  flext-ldap ping -H ldap://localhost            # until Ctrl-C
  flext-ldap ping -c 5 -i 0.2 -H ldaps://ldap.example.com
  flext-ldap ping -c 1 -H ldap://localhost && echo it answers";

/// Arguments of `ping`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    /// Ask so many times; until Ctrl-C if left out
    #[arg(short = 'c', long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Seconds between questions
    #[arg(short = 'i', long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// Seconds an answer may take
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    timeout: Duration,
    /// Print only the summary
    #[arg(short = 'q', long)]
    brief: bool,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        crate::block_on(async move {
            let mut times = Times::default();
            let mut connection = None;
            let mut failure = None;
            let mut turns = tokio::time::interval(self.interval);
            turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
            let mut asked = 0;
            while self.count.is_none_or(|count| asked < count) {
                let turn = async {
                    turns.tick().await;
                    self.ask(&mut connection).await
                };
                let answer = tokio::select! {
                    answer = turn => answer,
                    _ = &mut stop => break,
                };
                asked += 1;
                match answer {
                    Ok(answer) => {
                        times.0.push(answer.time);
                        if !self.brief {
                            writeln!(io::stdout(), "{asked}: {answer}")?;
                        }
                    }
                    // Nobody can mend these by waiting.
                    Err(error) if times.0.is_empty() && asked == 1 && !is_passing(&error) => {
                        return Err(error);
                    }
                    Err(error) => {
                        writeln!(io::stdout(), "{asked}: {}", on_one_line(&chain(error.as_ref())))?;
                        failure = Some(error);
                    }
                }
            }
            writeln!(io::stdout(), "{asked} asked, {} answered{times}", times.0.len())?;
            if let Some((opened, pinned)) = connection {
                drop(pinned);
                opened.close().await;
            }
            Ok(failure.as_ref().map_or(ExitCode::SUCCESS, exit::of))
        })
    }

    /// One question and its answer, over a new connection where there is none.
    async fn ask(&self, connection: &mut Option<(Opened, PinnedConnection)>) -> anyhow::Result<Answer> {
        let mut opening = None;
        let (opened, pinned) = match connection.take() {
            Some(open) if !open.1.connection().is_closed() => open,
            _ => {
                let began = Instant::now();
                let opened = self.connect.open().await?;
                let pinned = opened.pin().await?;
                opening = Some(began.elapsed());
                (opened, pinned)
            }
        };
        let search = Search::new(Dn::root(), Scope::Base, Filter::any()).attributes(["1.1"]);
        let began = Instant::now();
        let asked = Request::new(search, Actor::Service).within(self.timeout);
        let found = pinned.search_optional(asked).await;
        let time = began.elapsed();
        let server = pinned.server().to_owned();
        // Some show their root DSE to nobody; that is an answer, too.
        let found =
            found.map(drop).or_else(|error| if error.outcome().is_some() { Ok(()) } else { Err(error) });
        *connection = Some((opened, pinned));
        found?;
        Ok(Answer { server, time, opening })
    }
}

/// Whether a server may do better next time.
fn is_passing(error: &anyhow::Error) -> bool {
    use flext_ldap_directory::ErrorKind::{Closed, Timeout, Unreachable};
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<flext_ldap_directory::Error>());
    kinds.into_iter().any(|error| matches!(error.kind(), Closed | Timeout | Unreachable))
}

struct Answer {
    server: String,
    time: Duration,
    opening: Option<Duration>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered in {}", self.server, Millis(self.time))?;
        match self.opening {
            Some(time) => write!(f, ", connected in {}", Millis(time)),
            None => Ok(()),
        }
    }
}

/// How long the answers took.
#[derive(Default)]
struct Times(Vec<Duration>);

impl fmt::Display for Times {
    /// The summary, empty where there is nothing to sum up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return Ok(()) };
        let at = |percent: usize| {
            // Of the nearest rank: the smallest time that so many percent do not exceed.
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            Millis(sorted.get(rank - 1).copied().unwrap_or_default())
        };
        write!(f, "; min {}, p50 {}, p99 {}, max {}", Millis(*first), at(50), at(99), Millis(*last))
    }
}

struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ms", self.0.as_secs_f64() * 1e3)
    }
}

/// Seconds with a fraction, more than none and at most a day.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.001..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "expected seconds, 0.001 to 86400".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_of_the_nearest_rank() {
        let millis =
            |all: &[u64]| Times(all.iter().copied().map(Duration::from_millis).collect()).to_string();
        assert_eq!(millis(&[]), "");
        assert_eq!(millis(&[7]), "; min 7.00 ms, p50 7.00 ms, p99 7.00 ms, max 7.00 ms");
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(millis(&hundred), "; min 1.00 ms, p50 50.00 ms, p99 99.00 ms, max 100.00 ms");
    }

    #[test]
    fn seconds_are_bounded() {
        assert_eq!(seconds("0.2"), Ok(Duration::from_millis(200)));
        for text in ["0", "-1", "x", "inf", "nan", "1e9"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
