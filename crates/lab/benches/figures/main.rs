//! First figures: our client, store and listener beside OpenLDAP's, on the invented company, as ratios in one run.
//!
//! `crates/lab/get` and `peers/build`, then
//! `cargo bench -p flext-ldap-lab --bench figures -- [--people N] [--rounds N] [--lookups N] [--writes N] [TABLE..]`
//!
//! Tables: `bulk`, `parallel`, `replay`, `lookup`, `lookup16`, `pipelined`, `pool` (`lookup` and `pipelined` also from memory, `lookup`
//! also with server and client on one processor), `proxy` (after `peers/lloadd`), `writes`, `start`, `import`, `ldif`, `decode`,
//! `dn`, `filter`; all, unless some are named. Every contender runs in a process of its own, once to warm up and then `--rounds` times,
//! taking turns with the others of its table. What is printed are medians; a ratio is the median of the ratios of the
//! rounds. What was seen and what it means is in docs/performance.md.
//!
//! `growth` is a table for itself, of several sizes: `-- growth --people 10000,100000,1000000`. It writes
//! docs/figures/growth.csv, or the file of `--csv FILE`.
//!
//! Not here: allocations and LDIF (`cargo bench -p flext-ldap-proto`), and any verdict: it never fails for being slow.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it found")]

mod clients;
mod contest;
mod grown;
mod language;
mod ldif;
mod many;
mod parts;
mod peers;
mod pooled;
mod proxied;
mod servers;
mod serving;
mod sink;
mod start;
mod usage;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use flext_ldap_lab::{Content, Kit, Slapd, SlapdOptions, growth};
use flext_ldap_testkit::company::{SUFFIX, company};
use tempfile::TempDir;

use crate::clients::Target;
use crate::contest::{Contender, contest};
use crate::peers::Peers;
use crate::servers::Helper;

/// A line for everybody who has a password.
const PASSWORD: &[u8] = b"userPassword: {SSHA}6Uj6JpXmLXAYTdOQ9JgTfmOTCpFzYWx0\n";

/// The seed of the company; any would do.
const SEED: u64 = 7;

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.split_first() {
        Some((role, rest)) if role == "role" => play(rest),
        _ => Settings::parse(&arguments)?.run(),
    }
}

/// What a process started by this one does.
fn play(arguments: &[String]) -> Result<()> {
    let (role, rest) = arguments.split_first().context("a role without a name")?;
    match role.as_str() {
        "time" => usage::time(rest),
        "import" => servers::import(rest),
        "serve" => servers::serve(rest),
        "replay" => servers::replay(rest),
        "many" => many::play(rest),
        "ldif" => ldif::read(rest),
        "export" => ldif::export(rest),
        "sink" => sink::play(&Target::parse(rest)?),
        "ours" => clients::play(&Target::parse(rest)?),
        "pool" => pooled::play(&Target::parse(rest)?),
        "parts" => parts::play(&Target::parse(rest)?),
        "proxy" => proxied::play(rest),
        "decode" => language::decode(rest),
        "dn" | "filter" => language::parse(role, rest),
        _ => bail!("no role {role}"),
    }
}

/// What can be asked for, `growth` aside.
const TABLES: [&str; 15] = [
    "bulk",
    "parallel",
    "replay",
    "lookup",
    "lookup16",
    "pipelined",
    "pool",
    "proxy",
    "writes",
    "start",
    "import",
    "ldif",
    "decode",
    "dn",
    "filter",
];

struct Settings {
    /// One size, or several for `growth`.
    people: Vec<u32>,
    rounds: usize,
    lookups: usize,
    writes: usize,
    csv: PathBuf,
    tables: Vec<String>,
}

impl Settings {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut settings = Self {
            people: vec![100_000],
            rounds: 5,
            lookups: 10_000,
            writes: 4_000,
            csv: growth::documented().with_extension("csv"),
            tables: Vec::new(),
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} wants a value"));
            match argument.as_str() {
                "--people" => {
                    settings.people = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?
                }
                "--rounds" => settings.rounds = value()?.parse()?,
                "--lookups" => settings.lookups = value()?.parse()?,
                "--writes" => settings.writes = value()?.parse()?,
                "--csv" => settings.csv = value()?.into(),
                table if table == "growth" || TABLES.contains(&table) => {
                    settings.tables.push(argument.clone())
                }
                _ => bail!("what is `{argument}`? see the head of crates/lab/benches/figures/main.rs"),
            }
        }
        Ok(settings)
    }

    fn wants(&self, table: &str) -> bool {
        self.tables.is_empty() || self.tables.iter().any(|wanted| wanted == table)
    }

    fn run(&self) -> Result<()> {
        match (self.tables.iter().any(|table| table == "growth"), self.tables.len()) {
            (false, _) => {}
            (true, 1) => return grown::measure(self, &self.csv),
            (true, _) => bail!("`growth` is a table for itself"),
        }
        let [people] = self.people[..] else { bail!("several sizes are for `growth` alone") };
        if self.wants("proxy") {
            // Better now than after all the others.
            proxied::program()?;
        }
        let bench = Bench::prepare(self, people)?;
        println!("{people} people, {} entries, {} octets of LDIF\n", bench.entries, bench.octets);
        if self.wants("import") {
            bench.import()?;
        }
        if self.wants("dn") || self.wants("filter") {
            bench.language(self)?;
        }
        if self.wants("ldif") {
            ldif::contests(&bench)?;
        }
        if self.wants("writes") || self.wants("lookup16") {
            many::contests(&bench, self.wants("writes"), self.wants("lookup16"))?;
        }
        if self.wants("start") {
            start::contest(&bench)?;
        }
        if self.wants("parallel") {
            parts::contests(&bench)?;
        }
        let others = ["bulk", "replay", "lookup", "pipelined", "pool", "proxy", "decode"];
        if others.iter().any(|table| self.wants(table)) {
            bench.servers(self)?;
        }
        Ok(())
    }
}

/// The company as files.
struct Bench {
    folder: TempDir,
    ldif: PathBuf,
    /// User names to look for, one a line.
    names: PathBuf,
    /// User names of whom entries are changed.
    changed: PathBuf,
    /// The same as names of entries and as filters.
    dns: PathBuf,
    filters: PathBuf,
    entries: u64,
    octets: u64,
    lookups: u64,
    writes: u64,
    rounds: usize,
    peers: Peers,
}

/// Who the clients are.
struct Login<'a> {
    dn: &'a str,
    password: &'a str,
}

/// Writes LDIF with hashes in the place of the passwords, as directories export it. The hash is of nobody's password: whoever
/// loads one in clear text hashes it, which takes as long as loading a thousand entries, or stores it as it is.
struct AsExported<W> {
    out: W,
    /// What is there of a line.
    line: Vec<u8>,
}

impl<W: Write> Write for AsExported<W> {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        for part in octets.split_inclusive(|octet| *octet == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let is_password = self.line.starts_with(b"userPassword:");
                self.out.write_all(if is_password { PASSWORD } else { &self.line })?;
                self.line.clear();
            }
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

impl Bench {
    fn prepare(settings: &Settings, people: u32) -> Result<Self> {
        let folder = TempDir::with_prefix("figures-").context("cannot make a folder")?;
        let (ldif, names) = (folder.path().join("company.ldif"), folder.path().join("names"));
        let company = company(people, SEED);
        let mut out = AsExported { out: BufWriter::new(File::create(&ldif)?), line: Vec::new() };
        company.write_ldif(&mut out)?;
        out.flush()?;
        // Not one after the other, or caches would look better than they are.
        let people: Vec<String> = company.people().map(|person| person.uid).collect();
        let changed = folder.path().join("changed");
        for (file, number) in [(&names, settings.lookups), (&changed, settings.writes)] {
            let mut out = BufWriter::new(File::create(file)?);
            for number in 0..number {
                let place = number * 7_919 % people.len().max(1);
                writeln!(out, "{}", people.get(place).context("no people")?)?;
            }
            out.flush()?;
        }
        let (dns, filters) = (folder.path().join("dns"), folder.path().join("filters"));
        language::write_names(&company, &dns)?;
        language::write_filters(&company, &filters)?;
        let octets = std::fs::metadata(&ldif)?.len();
        Ok(Self {
            folder,
            ldif,
            names,
            changed,
            dns,
            filters,
            entries: company.counts().entries,
            octets,
            lookups: settings.lookups as u64,
            writes: settings.writes as u64,
            rounds: settings.rounds.max(1),
            peers: Peers::load()?,
        })
    }

    /// Names and filters, from text.
    fn language(&self, settings: &Settings) -> Result<()> {
        const ROUNDS: u64 = 500;
        let work = |what: &'static str, file: &Path, mut command: Command| {
            command.arg(what).arg(file).arg(ROUNDS.to_string());
            command
        };
        if settings.wants("dn") {
            let contenders = vec![
                Contender::new("libldap, `ldap_str2dn`", 2_000 * ROUNDS, || {
                    Ok(work("dn", &self.dns, self.peers.libldap()))
                }),
                Contender::new("ours, `Dn`", 2_000 * ROUNDS, || Ok(work("dn", &self.dns, role_command()?))),
            ];
            contest("Names of five components", "names", contenders, self.rounds)?;
        }
        if settings.wants("filter") {
            let contenders = vec![
                Contender::new("`ldap3`, `parse_filter`", 2_000 * ROUNDS, || {
                    Ok(work("filter", &self.filters, self.peers.crates()))
                }),
                Contender::new("ours, `Filter`", 2_000 * ROUNDS, || {
                    Ok(work("filter", &self.filters, role_command()?))
                }),
            ];
            contest("Filters", "filters", contenders, self.rounds)?;
        }
        Ok(())
    }

    /// A captured answer, to names and values.
    fn decode(&self, capture: &Path) -> Result<()> {
        let peer = |codec: &'static str| {
            Contender::new(format!("`{codec}`"), self.entries, move || {
                let mut command = self.peers.crates();
                command.arg("decode").arg(capture).arg(codec);
                Ok(command)
            })
        };
        let ours = Contender::new("ours", self.entries, || {
            let mut command = role("decode")?;
            command.arg(capture);
            Ok(command)
        });
        let contenders = vec![peer("ldap3"), peer("ldap3_proto"), ours];
        contest("Decoding to names and values", "entries", contenders, self.rounds)
    }

    /// Loads the company into an empty directory: ours with every commit on disk, slapd's in its quick mode without.
    fn import(&self) -> Result<()> {
        let kit = Kit::load()?;
        // Its folder has what slapadd needs; the server itself is in the way.
        let mut slapd = Slapd::start(SlapdOptions::default())?;
        slapd.stop()?;
        let (configuration, data) = (slapd.folder().join("slapd.conf"), slapd.folder().join("db"));
        let ours = self.folder.path().join("imported");
        let load = |indexes: &[&str]| {
            if ours.exists() {
                std::fs::remove_dir_all(&ours)?;
            }
            let mut command = role("import")?;
            command.arg(&ours).arg(&self.ldif).args(indexes);
            Ok(command)
        };
        let contenders = vec![
            Contender::new("slapadd -q, whole process", self.entries, || {
                std::fs::remove_dir_all(&data)?;
                std::fs::create_dir(&data)?;
                serving::slapadd(&kit, &configuration, &self.ldif)
            }),
            Contender::new("`Store::import`, the same indexes", self.entries, || load(&["slapd"])),
            Contender::new("`Store::import`, default indexes", self.entries, || load(&[])),
        ];
        contest("Import", "entries", contenders, self.rounds)
    }

    fn servers(&self, settings: &Settings) -> Result<()> {
        let slapd = Slapd::start(SlapdOptions {
            content: Content::File(self.ldif.clone()),
            log_operations: false,
            ..SlapdOptions::default()
        })?;
        let root = slapd.root_dn();
        let login = Login { dn: &root, password: slapd.root_password() };
        let slapd_url = slapd.ldap_url();

        let data = self.folder.path().join("served");
        contest::run(role("import")?.arg(&data).arg(&self.ldif))?;
        let ours = Helper::start(role("serve")?.arg(&data).args([login.dn, login.password]))?;
        let servers = [("slapd", slapd_url.as_str(), slapd.pid()), ("ours", ours.url(), ours.pid())];

        if settings.wants("bulk") {
            let mut contenders = Vec::new();
            for (name, url, pid) in servers {
                contenders.extend(self.bulk(name, url, pid, &login)?);
            }
            contest("Bulk: one search for everything", "entries", contenders, self.rounds)?;
        }
        let capture = self.folder.path().join("capture");
        if ["replay", "decode", "lookup", "pipelined"].iter().any(|table| settings.wants(table)) {
            sink::capture(&Target::new("bulk", &slapd_url, &login, &self.names), &capture)?;
        }
        if settings.wants("decode") {
            self.decode(&capture)?;
        }
        if settings.wants("pool") {
            pooled::contests(self, &slapd_url, slapd.pid(), &login)?;
        }
        if settings.wants("proxy") {
            proxied::contests(self, &slapd_url, slapd.pid(), &login)?;
        }
        let replay = || Helper::start(role("replay")?.arg(&capture));
        if settings.wants("replay") {
            let replay = replay()?;
            let contenders = self.bulk("replay", replay.url(), replay.pid(), &login)?;
            contest("Bulk from memory: the client alone", "entries", contenders, self.rounds)?;
        }
        if settings.wants("lookup") {
            let mut contenders = Vec::new();
            for (name, url, pid) in servers {
                contenders.extend(self.lookups(name, url, pid, &login)?);
            }
            contest("Lookups, one at a time", "lookups", contenders, self.rounds)?;
            let mut contenders = Vec::new();
            for (name, url, pid) in servers {
                contenders.extend(self.lookups(name, url, pid, &login)?);
            }
            let contenders = contenders.into_iter().map(Contender::on_one_processor).collect();
            contest("Lookups, one at a time, all on one processor", "lookups", contenders, self.rounds)?;
            let replay = replay()?;
            let contenders = self.lookups("replay", replay.url(), replay.pid(), &login)?;
            contest("Lookups from memory, one at a time", "lookups", contenders, self.rounds)?;
        }
        if settings.wants("pipelined") {
            let mut contenders = Vec::new();
            for (name, url, pid) in servers {
                contenders.extend(self.pipelined(name, url, pid, &login));
            }
            contest("Lookups, 64 in flight", "lookups", contenders, self.rounds)?;
            let replay = replay()?;
            let contenders = self.pipelined("replay", replay.url(), replay.pid(), &login);
            contest("Lookups from memory, 64 in flight", "lookups", contenders, self.rounds)?;
        }
        Ok(())
    }

    fn bulk<'a>(
        &'a self,
        server: &'a str,
        url: &'a str,
        pid: u32,
        login: &'a Login<'_>,
    ) -> Result<Vec<Contender<'a>>> {
        let kit = Kit::load()?;
        let ours = self.clients(
            server,
            url,
            pid,
            login,
            "bulk",
            &["sink", "libldap", "ldap3-current", "ldap3-multi", "current", "multi"],
        );
        let search =
            Contender::new(format!("{server}: ldapsearch -LLL, whole process"), self.entries, move || {
                ldapsearch(&kit, url, login, &["(objectClass=*)"])
            });
        Ok(ours.into_iter().chain([search.beside(pid)]).collect())
    }

    fn lookups<'a>(
        &'a self,
        server: &'a str,
        url: &'a str,
        pid: u32,
        login: &'a Login<'_>,
    ) -> Result<Vec<Contender<'a>>> {
        let kit = Kit::load()?;
        let kinds = [
            "sink",
            "libldap",
            "ldap3-current",
            "ldap3-multi",
            "current",
            "current-spawned",
            "multi",
            "multi-spawned",
        ];
        let ours = self.clients(server, url, pid, login, "lookup", &kinds);
        let search =
            Contender::new(format!("{server}: ldapsearch -f, whole process"), self.lookups, move || {
                let mut command = ldapsearch(&kit, url, login, &["-f"])?;
                command.arg(&self.names).arg("(uid=%s)");
                Ok(command)
            });
        Ok(ours.into_iter().chain([search.beside(pid)]).collect())
    }

    fn pipelined<'a>(
        &'a self,
        server: &'a str,
        url: &'a str,
        pid: u32,
        login: &'a Login<'_>,
    ) -> Vec<Contender<'a>> {
        self.clients(
            server,
            url,
            pid,
            login,
            "pipelined",
            &["sink", "libldap", "ldap3-current", "ldap3-multi", "current", "multi"],
        )
    }

    /// The plain reader, the peers, and our client on its runtimes.
    fn clients<'a>(
        &'a self,
        server: &'a str,
        url: &'a str,
        pid: u32,
        login: &'a Login<'_>,
        work: &'static str,
        kinds: &[&'static str],
    ) -> Vec<Contender<'a>> {
        let items = if work == "bulk" { self.entries } else { self.lookups };
        let contender = |kind: &'static str| {
            let name = match kind {
                "sink" => "plain blocking socket, decodes nothing",
                "libldap" => "libldap, `ldap_get_attribute_ber`",
                "ldap3-current" => "`ldap3`, current-thread runtime",
                "ldap3-multi" => "`ldap3`, multi-thread runtime",
                "current" => "our client, current-thread runtime",
                "current-spawned" => "our client, current-thread runtime, in a task",
                "multi" => "our client, multi-thread runtime",
                _ => "our client, multi-thread runtime, in a task",
            };
            Contender::new(format!("{server}: {name}"), items, move || {
                let mut command = match kind {
                    "sink" => role("sink")?,
                    "libldap" => self.peers.libldap(),
                    "ldap3-current" | "ldap3-multi" => self.peers.crates(),
                    _ => role("ours")?,
                };
                Target::new(work, url, login, &self.names).push(&mut command);
                command.arg(kind.trim_start_matches("ldap3-"));
                Ok(command)
            })
            .beside(pid)
        };
        kinds.iter().map(|kind| contender(kind)).collect()
    }
}

/// This program in another process.
fn role(name: &str) -> Result<Command> {
    let mut command = role_command()?;
    command.arg(name);
    Ok(command)
}

fn role_command() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("role");
    Ok(command)
}

/// A foreign program whose time and memory are taken.
fn timed(kit: &Kit, program: &Path) -> Result<Command> {
    let mut command = kit.command(&std::env::current_exe()?);
    command.args(["role", "time"]).arg(program);
    Ok(command)
}

fn ldapsearch(kit: &Kit, url: &str, login: &Login<'_>, rest: &[&str]) -> Result<Command> {
    let mut command = timed(kit, &kit.tools.join("ldapsearch"))?;
    command.args(["-x", "-LLL", "-H", url, "-D", login.dn, "-w", login.password, "-b", SUFFIX]).args(rest);
    command.stdin(Stdio::null());
    Ok(command)
}
