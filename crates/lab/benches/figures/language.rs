//! Our side of what needs no server: decoding a captured answer, DNs and filters.

use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use flext_ldap_directory::proto::{
    batch::BatchBuilder,
    ber::frame_length,
    dn::Dn,
    filter::Filter,
    message::{Envelope, Limits},
};
use flext_ldap_testkit::company::{Company, SUFFIX};

use crate::usage::Watch;

/// What one read brings.
const CHUNK: usize = 64 << 10;

/// Decodes a captured answer to the name, the descriptions and the values of every entry, from chunks as a connection reads them.
/// How many octets they have is what the peers count too (peers/src/main.rs).
#[expect(clippy::print_stderr, reason = "as the peers do")]
pub(crate) fn decode(arguments: &[String]) -> Result<()> {
    let [file] = arguments else { bail!("wrong arguments") };
    let captured = std::fs::read(file)?;
    // Once to warm up.
    decode_once(&captured)?;
    let watch = Watch::start()?;
    let seen = black_box(decode_once(&captured)?);
    eprintln!("ours: {seen} octets of names and values");
    watch.report(&mut [])
}

fn decode_once(captured: &[u8]) -> Result<usize> {
    let limits = Limits::DEFAULT.with_message(64 << 20);
    let mut seen = 0;
    let mut inbox = BytesMut::new();
    for chunk in captured.chunks(CHUNK) {
        inbox.extend_from_slice(chunk);
        let mut ends = Vec::new();
        let mut whole = 0;
        while let Some(length) = frame_length(inbox.get(whole..).unwrap_or_default(), limits.message)?
            && whole + length <= inbox.len()
        {
            whole += length;
            ends.push(whole);
        }
        seen += values(&inbox.split_to(whole).freeze(), &ends, &limits)?;
    }
    Ok(seen)
}

fn values(octets: &Bytes, ends: &[usize], limits: &Limits) -> Result<usize> {
    const ENTRY: u8 = 0x64;
    let mut builder = BatchBuilder::over(octets.clone());
    let mut start = 0;
    for end in ends {
        let envelope = Envelope::decode(octets.slice(start..*end), limits)?;
        if envelope.tag.0 == ENTRY {
            let (op, controls) = (envelope.op_range(), envelope.controls_range());
            builder.add(
                op.start + start..op.end + start,
                controls.start + start..controls.end + start,
                limits,
            )?;
        }
        start = *end;
    }
    let mut seen = 0;
    for entry in builder.build().entries() {
        seen += black_box(entry.dn_str()).len();
        for attribute in entry.attributes().iter() {
            seen += black_box(attribute.description()).len();
            seen += attribute.values().map(|value| black_box(value).len()).sum::<usize>();
        }
    }
    Ok(seen)
}

/// Parses every line of a file as a DN, or as a filter, so many times.
pub(crate) fn parse(what: &str, arguments: &[String]) -> Result<()> {
    let [file, rounds] = arguments else { bail!("wrong arguments") };
    let text = std::fs::read_to_string(file)?;
    let lines: Vec<&str> = text.lines().collect();
    let rounds: usize = rounds.parse()?;
    let watch = Watch::start()?;
    for _ in 0..rounds {
        for line in &lines {
            match what {
                "dn" => drop(black_box(line.parse::<Dn>()?)),
                _ => drop(black_box(line.parse::<Filter>()?)),
            }
        }
    }
    watch.report(&mut [])
}

/// Two thousand names of five components.
pub(crate) fn write_names(company: &Company, file: &Path) -> Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    for uid in uids(company).iter().cycle().take(2_000) {
        writeln!(out, "uid={uid},ou=crew,ou=people,{SUFFIX}")?;
    }
    Ok(out.flush()?)
}

/// Two thousand filters: a third each of one assertion, of what a sign-in asks, and of five nodes.
pub(crate) fn write_filters(company: &Company, file: &Path) -> Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    for (number, uid) in uids(company).iter().cycle().take(2_000).enumerate() {
        match number % 3 {
            0 => writeln!(out, "(uid={uid})"),
            1 => writeln!(out, "(&(objectClass=inetOrgPerson)(uid={uid}))"),
            _ => {
                writeln!(out, "(&(objectClass=person)(|(uid={uid})(mail={uid}@*)(cn=*{uid}*))(!(sn=nobody)))")
            }
        }
        .context("the list of filters")?;
    }
    Ok(out.flush()?)
}

fn uids(company: &Company) -> Vec<String> {
    company.people().take(2_000).map(|person| person.uid).collect()
}
