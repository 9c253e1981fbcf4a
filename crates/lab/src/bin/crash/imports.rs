//! A process killed while it imports: what it had told to be applied is there, all before a certain record is and nothing
//! after it, and the import gone on with leads to what one in one go does.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs::{self, File},
    io::{BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use flext_ldap_store::{ExportOptions, ImportOptions, ImportReport, Store, StoreOptions};

use super::{SUFFIX, check, open, tell};

const PEOPLE: usize = 20_000;

const UNITS: usize = 400;

const TEXT: &str = "all.ldif";

/// What the process that is killed does: as `flext-ldap directory import` does it.
pub(crate) fn load(folder: &Path, round: u32) -> anyhow::Result<()> {
    import(folder, &options(round), &mut |applied| {
        // Whoever does not hear it does not ask for it.
        let _ = tell(&applied.to_string());
    })?;
    Ok(())
}

pub(crate) fn rounds_of(rounds: u32) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (text, lines) = company()?;
    fs::write(folder.path().join(TEXT), text)?;
    // One in one go, to tell how long it takes and what comes of it.
    let whole = folder.path().join("whole");
    let started = Instant::now();
    import(&whole, &ImportOptions::default(), &mut |_| {})?;
    let took = started.elapsed();
    let expected = exported(&open(&whole)?)?;
    let (mut halves, mut reopened) = (0, Vec::new());
    for round in 0..rounds {
        let data = folder.path().join(format!("round{round}"));
        let mut told = 0;
        // Killed again while it goes on, now and then.
        for again in 0..=round % 3 {
            told = told.max(killed(&data, round, again, took)?);
            let started = Instant::now();
            let store = open(&data).with_context(|| format!("round {round}"))?;
            reopened.push(started.elapsed());
            let there = check(&store).with_context(|| format!("round {round}"))?;
            ensure!(
                there >= told,
                "round {round}: {told} entries were told to be applied, {there} are there"
            );
            halves += u32::from(there > 0 && there < lines.len() as u64);
            is_a_beginning(&exported(&store)?, &expected)
                .with_context(|| format!("round {round}: {there} entries"))?;
            store.close();
        }
        let mut on = options(round);
        on.continue_on_error = true;
        on.start_line =
            usize::try_from(told).ok().and_then(|told| lines.get(told)).copied().unwrap_or(u64::MAX);
        let report = import(&data, &on, &mut |_| {})?;
        let rest = (lines.len() as u64).saturating_sub(told);
        ensure!(report.applied + report.refused == rest, "round {round}: {rest} were left, and {report:?}");
        let store = open(&data)?;
        check(&store).with_context(|| format!("round {round}, gone on"))?;
        ensure!(exported(&store)? == expected, "round {round}: it is not what an import in one go gives");
        store.close();
        fs::remove_dir_all(&data)?;
    }
    reopened.sort_unstable();
    writeln!(
        std::io::stdout(),
        "{rounds} imports of {} entries ({took:.1?} each), killed {} times, {halves} with a part of them stored; none \
         that was told is lost, no fault; opened again in {:.1?} (max)",
        lines.len(),
        reopened.len(),
        reopened.last().copied().unwrap_or_default()
    )?;
    Ok(())
}

/// Every other import has many commits, which it tells of.
fn options(round: u32) -> ImportOptions {
    let mut options = ImportOptions::default();
    if round.is_multiple_of(2) {
        options.commit_every = 1_500;
    }
    options.continue_on_error = true;
    options
}

/// Imports everybody into a folder beside the text.
fn import(
    folder: &Path,
    options: &ImportOptions,
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<ImportReport> {
    let text = File::open(folder.with_file_name(TEXT))?;
    let store = Store::open(StoreOptions::folder(folder).suffix(SUFFIX.parse()?).for_load())?;
    let report = store.import(BufReader::new(text), options, progress)?;
    store.close();
    Ok(report)
}

/// Has a process import and kills it. Returns how many records it said were applied, if it began with the first.
fn killed(folder: &Path, round: u32, again: u32, took: Duration) -> anyhow::Result<u64> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["load".as_ref(), folder.as_os_str(), round.to_string().as_ref()])
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().context("no output")?;
    let reader = std::thread::spawn(move || std::io::read_to_string(output));
    // Any moment does; the numbers only spread them.
    let part = f64::from(round.wrapping_add(again.wrapping_mul(7)).wrapping_mul(2_654_435_761) >> 8)
        / f64::from(1 << 24);
    std::thread::sleep(took.mul_f64(part * 1.1));
    child.kill()?;
    child.wait()?;
    let told = reader.join().ok().context("the reader ended")??;
    // What was there before is refused and not counted.
    let told = told.lines().filter(|_| again == 0).filter_map(|line| line.parse().ok());
    Ok(told.max().unwrap_or_default())
}

/// Nobody is there without those whose records come before, and everybody is as he is to be.
fn is_a_beginning(text: &str, expected: &str) -> anyhow::Result<()> {
    let numbers = text.lines().filter_map(|line| line.strip_prefix("employeeNumber: ")?.parse().ok());
    let mut numbers: Vec<usize> = numbers.collect();
    numbers.sort_unstable();
    ensure!(numbers.iter().copied().eq(0..numbers.len()), "some are there, and not all before them");
    let all: HashSet<&str> = expected.split("\n\n").collect();
    let odd = text.split("\n\n").find(|entry| !entry.is_empty() && !all.contains(entry));
    ensure!(odd.is_none(), "{} is none of the entries", odd.unwrap_or_default());
    Ok(())
}

fn exported(store: &Store) -> anyhow::Result<String> {
    let mut text = Vec::new();
    let mut options = ExportOptions::default();
    options.password_hashes = true;
    store.export(&mut text, &options)?;
    Ok(String::from_utf8(text)?)
}

/// Everybody, as LDIF, with the line each record starts at.
fn company() -> anyhow::Result<(String, Vec<u64>)> {
    let mut records = vec![format!(
        "dn: {SUFFIX}\nobjectClass: organization\nobjectClass: dcObject\no: Harbour Lane Instruments\n\n"
    )];
    for unit in 0..UNITS {
        records.push(format!("dn: ou=Quay {unit},{SUFFIX}\nobjectClass: organizationalUnit\n\n"));
    }
    for number in 0..PEOPLE {
        let mut person = format!(
            "dn: uid=crew{number},ou=Quay {},{SUFFIX}\nobjectClass: inetOrgPerson\ncn: Crew {number} Quay\nsn: Quay\n\
             uid: crew{number}\nemployeeNumber: {number}\nmail: crew{number}@harbourlane.example\n",
            number * 31 % UNITS
        );
        match number % 50 {
            0 => person.push_str("userPassword: {SSHA}6Uj6JpXmLXAYTdOQ9JgTfmOTCpFzYWx0\n"),
            // Large, or of a name that stands nowhere else: these are no entries like others.
            17 => (0..70).try_for_each(|one| writeln!(person, "description: watch {one} of {number}"))?,
            33 => person.push_str("title;lang-de: Maat\n"),
            _ => {}
        }
        person.push('\n');
        records.push(person);
    }
    let mut line = 1;
    let mut lines = Vec::with_capacity(records.len());
    for record in &records {
        lines.push(line);
        line += record.lines().count() as u64;
    }
    Ok((records.concat(), lines))
}
