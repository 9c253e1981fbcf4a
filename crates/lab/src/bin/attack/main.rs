//! Attacks on a served directory, seen from outside: `cargo run --release -p flext-ldap-lab --bin attack`, after
//! `cargo build --release -p flext-ldap-cli`.
//!
//! Each attack has a server of its own, the program `flext-ldap` over a store on disk, with the limits it has by itself.
//! Meanwhile neighbours look people up, and what must hold is: every lookup of theirs succeeds, the memory of the process
//! stays within the bound that stands beside the attack, the descriptors it had are what it has afterwards, and it then
//! ends in order. What an attack must be answered is in the attack. `--short` is the form of the tests: fewer peers and
//! shorter waits, of the server too. Names of attacks after it do only those.
//!
//! Not here: what octets do to the decoder (fuzzing, `crates/server/tests/it/protocol.rs`), and what our client costs.

mod crowd;
mod garbage;
mod load;
mod neighbour;
mod reading;
mod target;
mod wire;

use std::{
    io::Write as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{
    neighbour::{Neighbours, Took, Who},
    target::Target,
};

/// How much of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// Seconds, for tests.
    Short,
    /// What the documents tell of.
    Long,
}

impl Form {
    /// One number or the other.
    pub(crate) fn of(self, short: usize, long: usize) -> usize {
        match self {
            Self::Short => short,
            Self::Long => long,
        }
    }

    /// Connections that the server takes.
    pub(crate) fn connections(self) -> usize {
        self.of(600, 10_000)
    }
}

/// An attack: what it does, who is there meanwhile, and by how many MiB the memory of the server may grow.
struct Attack {
    name: &'static str,
    what: &'static str,
    who: &'static [Who],
    short: u64,
    long: u64,
}

const READERS: &[Who] = &[Who::Stays, Who::Comes];

const ATTACKS: [Attack; 12] = [
    Attack { name: "unread", what: "large results that nobody reads", who: READERS, short: 48, long: 384 },
    Attack { name: "slow", what: "results read an octet a second", who: READERS, short: 48, long: 384 },
    Attack {
        name: "crowd",
        what: "more connections than are allowed",
        who: &[Who::Stays],
        short: 48,
        long: 256,
    },
    Attack {
        name: "handshakes",
        what: "TLS handshakes that stop half-way",
        who: READERS,
        short: 64,
        long: 512,
    },
    Attack {
        name: "garbage",
        what: "what is no LDAP, before, in and instead of TLS",
        who: READERS,
        short: 48,
        long: 64,
    },
    Attack {
        name: "pipeline",
        what: "10,000 operations at once on one connection",
        who: READERS,
        short: 48,
        long: 64,
    },
    Attack {
        name: "deaths",
        what: "peers that die in the middle of a message",
        who: READERS,
        short: 64,
        long: 256,
    },
    Attack {
        name: "guesses",
        what: "binds with wrong passwords",
        who: &[Who::Stays, Who::Comes, Who::SignsIn],
        short: 96,
        long: 96,
    },
    Attack {
        name: "bombs",
        what: "huge filters, names, selections and entries",
        who: READERS,
        short: 384,
        long: 768,
    },
    Attack { name: "crumbs", what: "messages in segments of one octet", who: READERS, short: 48, long: 128 },
    Attack {
        name: "abandons",
        what: "searches abandoned at once, and what was never asked",
        who: READERS,
        short: 48,
        long: 64,
    },
    Attack {
        name: "followers",
        what: "persistent searches that nobody reads",
        who: READERS,
        short: 64,
        long: 384,
    },
];

/// A lookup takes as long as this, or twenty times what it took before, where the machine is that slow.
const PROMPT: Duration = Duration::from_secs(2);

fn main() -> Result<ExitCode> {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    let form = match names.iter().position(|name| name == "--short") {
        Some(place) => {
            names.remove(place);
            Form::Short
        }
        None => Form::Long,
    };
    if let Some(unknown) = names.iter().find(|name| !ATTACKS.iter().any(|attack| attack.name == **name)) {
        let known: Vec<_> = ATTACKS.iter().map(|attack| attack.name).collect();
        bail!("no attack is called {unknown}; there are {}", known.join(", "));
    }
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let needed = form.connections() as u64 + 500;
    ensure!(
        most >= needed,
        "the attacker needs {needed} descriptors and may have {most}: raise `ulimit -Hn`"
    );

    say("| attack | lookups | p50 before | p50 | max | memory before | most | after | what was seen |")?;
    say("|---|---|---|---|---|---|---|---|---|")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for attack in &ATTACKS {
        if names.is_empty() || names.iter().any(|name| name == attack.name) {
            let row = runtime.block_on(carry_out(attack, form)).with_context(|| attack.name)?;
            say(&row)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// Has one attack made, and tells what was seen.
async fn carry_out(attack: &Attack, form: Form) -> Result<String> {
    let target = Target::start(form)?;
    let neighbours = Neighbours::start(&target, attack.who)?;
    let before = neighbours.took(form.of(20, 200)).await?;
    // With whoever is connected at this moment; those who come and go are gone at the end.
    let descriptors = target.descriptors()?;
    target.forget_peak()?;
    let memory = target.memory()?;

    let began = Instant::now();
    let seen = match attack.name {
        "unread" => reading::unread(&target, form).await,
        "slow" => reading::slow(&target, form).await,
        "followers" => reading::followers(&target, form).await,
        "crowd" => crowd::crowd(&target, form).await,
        "handshakes" => crowd::handshakes(&target, form).await,
        "deaths" => crowd::deaths(&target, form).await,
        "garbage" => garbage::garbage(&target, form).await,
        "crumbs" => garbage::crumbs(&target, form).await,
        "pipeline" => load::pipeline(&target, form).await,
        "guesses" => load::guesses(&target, form).await,
        "bombs" => load::bombs(&target, form).await,
        "abandons" => load::abandons(&target, form).await,
        other => bail!("nobody knows how to make {other}"),
    };
    let seen = seen.with_context(|| format!("the server said:\n{}", target.said()))?;
    let took = neighbours.took(1).await?;
    let peak = target.peak()?;
    let lasted = began.elapsed();

    neighbours.stop()?;
    let left = target.settled(descriptors).await?;
    let after = target.memory()?;
    check(attack, form, before, took, peak.saturating_sub(memory))?;
    ensure!(left <= descriptors, "{left} descriptors are open, {descriptors} were before");
    ensure!(!target.said().contains("panicked"), "{}", target.said());
    target.stop()?;
    Ok(format!(
        "| {} ({:.0} s) | {} | {} | {} | {} | {memory} MiB | +{} MiB | {:+} MiB | {seen} |",
        attack.what,
        lasted.as_secs_f64(),
        took.lookups,
        shown(before.middle),
        shown(took.middle),
        shown(took.longest),
        peak.saturating_sub(memory),
        i64::try_from(after)? - i64::try_from(memory)?,
    ))
}

fn check(attack: &Attack, form: Form, before: Took, took: Took, grown: u64) -> Result<()> {
    let prompt = PROMPT.max(before.middle * 20);
    ensure!(
        took.middle <= prompt,
        "half of the lookups take {:?} and more, {:?} before",
        took.middle,
        before.middle
    );
    let bound = if form == Form::Short { attack.short } else { attack.long };
    ensure!(grown <= bound, "memory grew by {grown} MiB, more than {bound}");
    Ok(())
}

fn shown(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
