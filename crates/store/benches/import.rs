//! How fast LDIF is loaded: `cargo bench -p flext-ldap-store --bench import -- [FILE [FOLDER]]`
//!
//! Without a file 50,000 people are made up; without a folder the store is in memory. Five loads, each into an empty
//! store. `perf record` wants the second form: one load, which is kept.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints what it found")]

use std::{
    fmt::Write as _,
    fs::File,
    io::{BufRead, BufReader, Cursor},
    process::ExitCode,
    time::Instant,
};

use flext_ldap_store::{ImportOptions, Store, StoreOptions};

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
    let suffix = SUFFIX.parse()?;
    if let [file, folder] = arguments {
        return load(BufReader::new(File::open(file)?), StoreOptions::folder(folder).suffix(suffix));
    }
    let text = match arguments {
        [file] => std::fs::read_to_string(file)?,
        _ => people(),
    };
    for _ in 0..ROUNDS {
        load(Cursor::new(&text), StoreOptions::memory().suffix("dc=harbourlane,dc=example".parse()?))?;
    }
    Ok(())
}

fn load(input: impl BufRead, options: StoreOptions) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open(options)?;
    let mut options = ImportOptions::default();
    options.hash_clear_passwords = true;
    let began = Instant::now();
    let report = store.import(input, &options, &mut |_| {})?;
    let seconds = began.elapsed().as_secs_f64();
    println!("{:.0} entries/s, {} commits", report.applied as f64 / seconds, store.counters().commits);
    Ok(())
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
