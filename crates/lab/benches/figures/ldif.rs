//! The table `ldif`: reading a file of LDIF, and writing one from a directory.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufReader, BufWriter, Write};

use anyhow::{Context, Result, bail};
use flext_ldap_directory::proto::ldif::{LdifReader, ReadOptions, Record};
use flext_ldap_lab::Kit;
use flext_ldap_store::{ExportOptions, Store};
use flext_ldap_testkit::company::SUFFIX;

use crate::{
    Bench,
    contest::{self, Contender, contest},
    role, servers,
    serving::Serving,
    timed,
    usage::Watch,
};

/// python-ldap's streaming reader, which hands over each entry. It has split the lines and decoded base64 then.
const PYTHON: &str = "\
import ldif, sys
with open(sys.argv[1], 'rb') as file:
    parser = ldif.LDIFParser(file)
    parser.parse()
if parser.records_read != int(sys.argv[2]):
    sys.exit(f'{parser.records_read} records')
";

/// Reads and writes the bench's company.
pub(crate) fn contests(bench: &Bench) -> Result<()> {
    let kit = Kit::load()?;
    let [mut slapd, mut ours] = Serving::both()?;
    for server in [&mut slapd, &mut ours] {
        server.load(&bench.ldif)?;
        // The writers have their folders alone.
        server.stop()?;
    }
    let place = |name: &str| bench.folder.path().join(name);
    let slapcat = || {
        let mut command = timed(&kit, &kit.slapd)?;
        let data = slapd.data();
        let configuration = data.parent().context("no folder of slapd")?.join("slapd.conf");
        command
            .args(["-T", "cat", "-b", SUFFIX, "-f"])
            .arg(configuration)
            .arg("-l")
            .arg(place("slapcat.ldif"));
        Ok(command)
    };
    // Once, for who reads it.
    contest::run(&mut slapcat()?)?;
    let read = |file| {
        let mut command = role("ldif")?;
        command.arg(file).arg(bench.entries.to_string());
        Ok(command)
    };
    let contenders = vec![
        Contender::new("python-ldap, `LDIFParser`, whole process", bench.entries, || {
            let mut command = timed(&kit, &kit.python)?;
            command.args(["-c", PYTHON]).arg(&bench.ldif).arg(bench.entries.to_string());
            Ok(command)
        }),
        Contender::new("ours, `LdifReader`, every value", bench.entries, || read(bench.ldif.clone())),
        Contender::new("ours, the same of what slapcat wrote", bench.entries, || read(place("slapcat.ldif"))),
        Contender::new("slapcat to a file, whole process", bench.entries, slapcat),
        Contender::new("ours, `Store::export` to a file, all attributes", bench.entries, || {
            let mut command = role("export")?;
            command.arg(ours.data()).arg(place("export.ldif"));
            Ok(command)
        }),
    ];
    contest("LDIF", "entries", contenders, bench.rounds)?;
    sizes(bench, &["slapcat.ldif", "export.ldif"])
}

#[expect(clippy::print_stdout, reason = "a benchmark prints what it found")]
fn sizes(bench: &Bench, files: &[&str]) -> Result<()> {
    for file in files {
        let octets = std::fs::metadata(bench.folder.path().join(file))?.len();
        println!("{file} has {:.1} MB", octets as f64 / 1e6);
    }
    println!();
    Ok(())
}

/// `ldif FILE ENTRIES`: reads the file to the name, the descriptions and the values of every entry.
pub(crate) fn read(arguments: &[String]) -> Result<()> {
    let [file, expected] = arguments else { bail!("wrong arguments") };
    let watch = Watch::start()?;
    let file = BufReader::with_capacity(64 << 10, File::open(file)?);
    let mut reader = LdifReader::new(file, ReadOptions::default());
    let (mut entries, mut octets) = (0_u64, 0);
    while let Some(record) = reader.next_record()? {
        let Record::Entry(entry) = record else { bail!("a change in a file of entries") };
        entries += 1;
        for attribute in entry.attributes().iter() {
            octets += attribute.description().len();
            octets += attribute.values().map(|value| black_box(value).len()).sum::<usize>();
        }
        black_box(entry.dn_str());
    }
    black_box(octets);
    if entries != expected.parse::<u64>()? {
        bail!("{entries} entries where {expected} should be");
    }
    watch.report(&mut [])
}

/// `export FOLDER FILE`: opens the store and writes everything that slapcat writes.
pub(crate) fn export(arguments: &[String]) -> Result<()> {
    let [folder, file] = arguments else { bail!("wrong arguments") };
    let watch = Watch::start()?;
    let store = Store::open(servers::options(folder)?)?;
    let mut out = BufWriter::with_capacity(64 << 10, File::create(file)?);
    let mut options = ExportOptions::default();
    (options.operational, options.password_hashes) = (true, true);
    store.export(&mut out, &options)?;
    out.flush()?;
    watch.report(&mut [])
}
