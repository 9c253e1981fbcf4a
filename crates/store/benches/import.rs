//! How fast LDIF is loaded: `cargo bench -p flext-ldap-store --bench import -- [eight] [FILE [FOLDER]]`
//!
//! Without a file 50,000 people are made up; without a folder the store is in memory. Five loads, each into an empty
//! store. `perf record` wants the second form: one load, which is kept. With `eight` the store has the eight indexes that
//! the same directory has in slapd's benchmarks, and no others; without, the default ones.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints what it found")]

use std::{
    fmt::Write as _,
    fs::File,
    io::{BufRead, BufReader, Cursor},
    process::ExitCode,
    time::Instant,
};

use flext_ldap_store::{ImportOptions, IndexConfig, IndexKind, Store, StoreOptions};

const SUFFIX: &str = "dc=harbourlane,dc=example";
const PEOPLE: u32 = 50_000;
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let (eight, arguments) = match arguments {
        [first, rest @ ..] if first == "eight" => (true, rest),
        all => (false, all),
    };
    let options = |options: StoreOptions| -> Result<StoreOptions, Box<dyn std::error::Error>> {
        let options = options.suffix(SUFFIX.parse()?).for_load();
        Ok(if eight { options.indexes(eight_indexes()) } else { options })
    };
    if let [file, folder] = arguments {
        return load(BufReader::new(File::open(file)?), options(StoreOptions::folder(folder))?);
    }
    let text = match arguments {
        [file] => std::fs::read_to_string(file)?,
        _ => people(),
    };
    for _ in 0..ROUNDS {
        load(Cursor::new(&text), options(StoreOptions::memory())?)?;
    }
    Ok(())
}

fn eight_indexes() -> IndexConfig {
    let eight = ["objectClass", "uid", "cn", "sn", "mail", "member", "entryUUID", "entryCSN"];
    eight.iter().fold(IndexConfig::none(), |config, name| config.index(name, [IndexKind::Equality]))
}

fn load(input: impl BufRead, options: StoreOptions) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open(options)?;
    let mut options = ImportOptions::default();
    options.hash_clear_passwords = true;
    let (began, cpu) = (Instant::now(), cpu_micros()?);
    let rows = store.counters().rows_written;
    let report = store.import(input, &options, &mut |_| {})?;
    let seconds = began.elapsed().as_secs_f64();
    let entries = report.applied as f64;
    println!(
        "{:.0} entries/s, {:.1} µs of CPU and {:.1} rows each, {} commits",
        entries / seconds,
        (cpu_micros()? - cpu) / entries,
        (store.counters().rows_written - rows) as f64 / entries,
        store.counters().commits
    );
    Ok(())
}

/// What all threads took so far, in steps of 10 ms.
fn cpu_micros() -> Result<f64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    // The name may have spaces; what follows its parenthesis has not.
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks * 10_000.0)
}

fn people() -> String {
    let mut text = format!(
        "dn: {SUFFIX}\nobjectClass: organization\nobjectClass: dcObject\no: Harbour Lane\n\n\
         dn: ou=people,{SUFFIX}\nobjectClass: organizationalUnit\n\n"
    );
    for number in 0..PEOPLE {
        let mixed = number.wrapping_mul(2_654_435_761);
        let written = write!(
            text,
            "dn: uid=crew{mixed},ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\ncn: Crew {mixed}\nsn: Quay {}\n\
             givenName: Crew\nmail: crew{mixed}@harbourlane.example\ntelephoneNumber: +1 555 01{:02} {:04}\n\
             employeeNumber: {number:07}\ndescription: Keeps the tide tables of berth {number}\n\n",
            mixed % 100,
            mixed % 50,
            mixed % 10_000,
        );
        debug_assert!(written.is_ok(), "text can be written to a string");
    }
    text
}
