//! What a bench has found, for people and for programs.

use std::{
    io::{self, Write},
    time::Duration,
};

use flext_ldap_client::{MemberHealth, Pool, Server as _, ServerSet};
use serde_json::{Map, Value, json};

use super::load::{Pace, Tally};
use crate::output::on_one_line;

/// Everything there is to tell.
pub(super) struct Report<'a> {
    pub(super) operation: &'static str,
    pub(super) pace: Pace,
    pub(super) connections: usize,
    pub(super) tally: &'a Tally,
    pub(super) set: &'a ServerSet,
    /// Those of the set, in its order.
    pub(super) pools: &'a [Pool],
    /// Entries that could not be taken away, where some were made.
    pub(super) left: Option<u64>,
}

/// In thousandths, and what they are called.
const SHARES: [(&str, u64); 4] = [("p50", 500), ("p90", 900), ("p99", 990), ("p99.9", 999)];

impl Report<'_> {
    fn per_second(&self) -> f64 {
        let seconds = self.tally.elapsed.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "nobody counts that far")]
        let done = self.tally.times.count() as f64;
        if seconds > 0.0 { done / seconds } else { 0.0 }
    }

    /// The times by name, in milliseconds.
    fn latencies(&self) -> Vec<(&'static str, f64)> {
        let times = &self.tally.times;
        let mut latencies = vec![("min", times.least()), ("mean", times.mean())];
        latencies.extend(SHARES.map(|(name, share)| (name, times.per_mille(share))));
        latencies.push(("max", times.most()));
        latencies.into_iter().map(|(name, time)| (name, millis(time))).collect()
    }

    pub(super) fn print(&self, output: &mut impl Write) -> io::Result<()> {
        let (tally, pace) = (self.tally, self.pace);
        let rate = pace.rate.map(|rate| format!(", {rate} begun a second")).unwrap_or_default();
        writeln!(
            output,
            "{}: {} tasks, {} connections{rate}, {:.1} s after {:.1} s to warm up",
            self.operation,
            pace.tasks,
            self.connections,
            tally.elapsed.as_secs_f64(),
            pace.warm_up.as_secs_f64(),
        )?;
        write!(output, "ok       {}, {:.1}/s", tally.times.count(), self.per_second())?;
        if self.operation == "search" {
            write!(output, ", {} entries", tally.entries)?;
        }
        writeln!(output, "\nerrors   {}", tally.failed())?;
        for (kind, failures) in &tally.errors {
            let first = on_one_line(&failures.first);
            writeln!(output, "         {} {kind}, the first: {first}", failures.count)?;
        }
        write!(output, "latency ")?;
        for (name, millis) in self.latencies() {
            write!(output, " {name} {millis:.3}")?;
        }
        writeln!(output, " ms")?;
        for (member, pool) in self.set.statistics().members.iter().zip(self.pools) {
            let stats = pool.stats();
            writeln!(
                output,
                "server   {}: {}, {} connections open ({} opened, {} lost), {} operations, {} went elsewhere",
                member.name,
                health(member.health),
                stats.open + stats.binds.idle,
                stats.opened + stats.binds.opened,
                stats.lost,
                member.operations + stats.binds.binds,
                member.moved,
            )?;
        }
        match self.left {
            Some(left) => writeln!(output, "left     {left} entries"),
            None => Ok(()),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let tally = self.tally;
        let servers: Vec<_> = self
            .set
            .statistics()
            .members
            .iter()
            .zip(self.pools)
            .map(|(member, pool)| {
                let stats = pool.stats();
                json!({
                    "name": pool.name(),
                    "health": health(member.health),
                    "connections": stats.open + stats.binds.idle,
                    "opened": stats.opened + stats.binds.opened,
                    "lost": stats.lost,
                    "operations": member.operations + stats.binds.binds,
                    "moved": member.moved,
                })
            })
            .collect();
        let errors: Map<_, _> =
            tally.errors.iter().map(|(kind, failures)| (kind.clone(), json!(failures.count))).collect();
        let latencies: Map<_, _> =
            self.latencies().into_iter().map(|(name, millis)| (name.to_owned(), json!(millis))).collect();
        let mut report = json!({
            "operation": self.operation,
            "tasks": self.pace.tasks,
            "connections": self.connections,
            "rate": self.pace.rate,
            "warm_up_s": self.pace.warm_up.as_secs_f64(),
            "seconds": tally.elapsed.as_secs_f64(),
            "operations": tally.all(),
            "ok": tally.times.count(),
            "failed": tally.failed(),
            "errors": errors,
            "ok_per_second": self.per_second(),
            "latency_ms": latencies,
            "servers": servers,
        });
        if let Some(fields) = report.as_object_mut() {
            if self.operation == "search" {
                fields.insert("entries".to_owned(), json!(tally.entries));
            }
            if let Some(left) = self.left {
                fields.insert("left".to_owned(), json!(left));
            }
        }
        report
    }
}

const fn health(health: MemberHealth) -> &'static str {
    match health {
        MemberHealth::Well => "well",
        MemberHealth::Suspect => "suspect",
        MemberHealth::Slow => "slow",
        MemberHealth::Busy => "busy",
        MemberHealth::Down => "down",
    }
}

fn millis(time: Duration) -> f64 {
    // Whole nanoseconds, so that programs do not print what a float makes of them.
    (time.as_secs_f64() * 1e9).round() / 1e6
}
