//! The crates `ldap3` and `ldap3_proto` at the work of the benchmark `figures` (crates/lab/benches/figures).
//!
//! `flext-ldap-peers WORK HOST PORT DN PASSWORD NAMES KIND`: `bulk`, `lookup`, `pipelined`, `pool` with `ldap3`, on the runtime KIND.
//! `flext-ldap-peers decode FILE CODEC`: every entry of a captured answer, with `ldap3` or `ldap3_proto`.
//! `flext-ldap-peers filter FILE ROUNDS`: every line of FILE as a filter, with `ldap3`.
//!
//! What it prints is what the benchmark reads: seconds, processor seconds, KiB of memory, and the median and the 99th percentile
//! of single operations in microseconds.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use bytes::{Buf as _, BytesMut};
use ldap3::{Ldap, LdapConnAsync, ResultEntry, Scope, SearchEntry};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};
use tokio_util::codec::Decoder as _;

const SUFFIX: &str = "dc=harbourlane,dc=example";
const IN_FLIGHT: usize = 64;
/// Connections of `pool`, which the tasks are spread over: the crate has no pool, and each of its connections carries many.
const CONNECTIONS: usize = 8;
/// What one read brings where a captured answer is decoded.
const CHUNK: usize = 64 << 10;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["decode", file, codec] => decode(&std::fs::read(file)?, codec),
        ["filter", file, rounds] => parse_filters(&std::fs::read_to_string(file)?, rounds.parse()?),
        [work, host, port, dn, password, names, kind] => {
            let runtime = if kind.starts_with("multi") {
                tokio::runtime::Builder::new_multi_thread().enable_all().build()?
            } else {
                tokio::runtime::Builder::new_current_thread().enable_all().build()?
            };
            runtime.block_on(work_on(work, &format!("ldap://{host}:{port}"), dn, password, names))
        }
        _ => bail!("wrong arguments; see the head of peers/src/main.rs"),
    }
}

async fn connect(url: &str, dn: &str, password: &str) -> Result<Ldap> {
    let (connection, mut ldap) = LdapConnAsync::new(url).await?;
    tokio::spawn(connection.drive());
    ldap.simple_bind(dn, password).await?.success()?;
    Ok(ldap)
}

async fn work_on(work: &str, url: &str, dn: &str, password: &str, names: &str) -> Result<()> {
    let mut ldap = connect(url, dn, password).await?;
    let mut handles = vec![ldap.clone()];
    if work == "pool" {
        while handles.len() < CONNECTIONS {
            handles.push(connect(url, dn, password).await?);
        }
    }
    let filters: Vec<String> =
        std::fs::read_to_string(names)?.lines().map(|name| format!("(uid={name})")).collect();
    let watch = Watch::start()?;
    match work {
        "bulk" => {
            let mut entries =
                ldap.streaming_search(SUFFIX, Scope::Subtree, "(objectClass=*)", vec!["*"]).await?;
            let mut octets = 0;
            while let Some(entry) = entries.next().await? {
                octets += touch(entry);
            }
            entries.finish().await.success()?;
            black_box(octets);
            watch.report(&mut [])
        }
        "lookup" => watch.report(&mut look_up(ldap, filters).await?),
        "pipelined" | "pool" => {
            let share = filters.len().div_ceil(IN_FLIGHT).max(1);
            let tasks: Vec<_> = filters
                .chunks(share)
                .zip(handles.iter().cycle())
                .map(|(filters, ldap)| tokio::spawn(look_up(ldap.clone(), filters.to_vec())))
                .collect();
            let mut times = Vec::new();
            for task in tasks {
                times.extend(task.await??);
            }
            watch.report(&mut times)
        }
        work => bail!("no work {work}"),
    }
}

async fn look_up(mut ldap: Ldap, filters: Vec<String>) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(filters.len());
    for filter in filters {
        let began = Instant::now();
        let (found, _) = ldap.search(SUFFIX, Scope::Subtree, &filter, vec!["*"]).await?.success()?;
        if found.len() != 1 {
            bail!("{filter} finds {} entries", found.len());
        }
        black_box(found.into_iter().map(touch).sum::<usize>());
        times.push(began.elapsed());
    }
    Ok(times)
}

fn touch(entry: ResultEntry) -> usize {
    let entry = SearchEntry::construct(entry);
    let texts =
        entry.attrs.iter().map(|(name, values)| name.len() + values.iter().map(String::len).sum::<usize>());
    let octets =
        entry.bin_attrs.iter().map(|(name, values)| name.len() + values.iter().map(Vec::len).sum::<usize>());
    entry.dn.len() + texts.sum::<usize>() + octets.sum::<usize>()
}

/// Decodes a captured answer from chunks, as a connection reads it.
fn decode(octets: &[u8], codec: &str) -> Result<()> {
    // Once to warm up.
    for timed in [false, true] {
        let watch = Watch::start()?;
        let mut seen = 0;
        let mut buffer = BytesMut::new();
        let mut proto = ldap3_proto::LdapCodec::new(Some(64 << 20), None);
        for chunk in octets.chunks(CHUNK) {
            buffer.extend_from_slice(chunk);
            match codec {
                "ldap3" => {
                    while let Some(octets) = ldap3_entry(&mut buffer)? {
                        seen += octets;
                    }
                }
                "ldap3_proto" => {
                    while let Some(message) = proto.decode(&mut buffer)? {
                        if let ldap3_proto::proto::LdapOp::SearchResultEntry(entry) = message.op {
                            seen += entry.dn.len();
                            for attribute in &entry.attributes {
                                seen += attribute.atype.len()
                                    + attribute.vals.iter().map(Vec::len).sum::<usize>();
                            }
                        }
                    }
                }
                codec => bail!("no codec {codec}"),
            }
        }
        black_box(seen);
        if timed {
            eprintln!("{codec}: {seen} octets of names and values");
            watch.report(&mut [])?;
        }
    }
    Ok(())
}

/// What the crate does with one message on its way to a `SearchEntry`. Its codec is private; the steps are these: parse
/// to a tree, copy the tree, take it apart.
fn ldap3_entry(buffer: &mut BytesMut) -> Result<Option<usize>> {
    use lber::structure::PL;
    let mut parser = lber::Parser::new();
    let (rest, tree) = match parser.parse(buffer) {
        Ok((rest, tree)) => (rest.len(), tree.clone()),
        Err(error) if error.is_incomplete() => return Ok(None),
        Err(_) => bail!("not a message"),
    };
    buffer.advance(buffer.len() - rest);
    let mut parts = tree.expect_constructed().context("not a message")?;
    let operation = parts.pop().context("an empty message")?;
    let is_entry = operation.id == 4 && matches!(operation.payload, PL::C(_));
    Ok(Some(if is_entry { touch(ResultEntry::new(operation)) } else { 0 }))
}

fn parse_filters(text: &str, rounds: usize) -> Result<()> {
    let filters: Vec<&str> = text.lines().collect();
    let watch = Watch::start()?;
    for _ in 0..rounds {
        for filter in &filters {
            black_box(ldap3::parse_filter(filter).map_err(|_| anyhow::anyhow!("no filter: {filter}"))?);
        }
    }
    watch.report(&mut [])
}

struct Watch {
    began: Instant,
    cpu: f64,
}

impl Watch {
    fn start() -> Result<Self> {
        Ok(Self { began: Instant::now(), cpu: cpu()?.0 })
    }

    fn report(self, times: &mut [Duration]) -> Result<()> {
        let seconds = self.began.elapsed().as_secs_f64();
        let (used, memory) = cpu()?;
        times.sort_unstable();
        let at = |per_cent: usize| {
            times.get(times.len() * per_cent / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6)
        };
        println!("figure {seconds} {} {memory} {} {}", used - self.cpu, at(50), at(99));
        Ok(())
    }
}

/// Processor time so far in seconds, and the most memory in KiB.
fn cpu() -> Result<(f64, i64)> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok((microseconds as f64 / 1e6, usage.max_rss()))
}
