//! One conformance suite, written once over the seam, and run on every directory there is.
//!
//! A check is a function that talks to a [`Subject`] through [`Sessions`](flext_ldap_directory::Sessions) and asserts
//! what the RFCs say about what it hears. It knows neither store nor socket nor server: the store directly, the store
//! behind our listener and our client over every transport, the same with every layer around it, and a real slapd all
//! take the same checks.
//!
//! Where the RFCs leave a server free, servers differ; [`Freedom`] is the one list of these places. Everything else
//! is compared by value.
//!
//! Each check works below an entry of its own, so that checks share a server and nothing else. The checks of one area
//! are one test: it runs all of them, then names every one that failed, with what was seen and what was wanted.

mod access;
mod add;
mod bench;
mod bind;
mod compare;
mod concurrency;
mod control;
mod delete;
mod differences;
mod extended;
mod filter;
mod freedom;
mod modify;
mod names;
mod operational;
mod paging;
mod ppolicy;
mod refinement;
mod rename;
mod report;
mod root_dse;
mod search;
mod selection;
mod shared;
mod sorting;
mod subject;
pub mod subjects;
mod value;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use flext_ldap_directory::BoxFuture;

use self::bench::{Bench, Conversation};
pub use self::{
    freedom::{Freedom, Server},
    shared::{Shared, SharedServer},
    subject::Subject,
};

/// How long one check may take. None needs a tenth of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// One check: what it shows is its name.
struct Check {
    name: &'static str,
    run: for<'a> fn(&'a Bench<'a>) -> BoxFuture<'a, Result<()>>,
}

/// The checks of an area, each an `async fn(&Bench<'_>) -> Result<()>` of the same module.
macro_rules! checks {
    ($($name:ident),* $(,)?) => {
        pub(super) const CHECKS: &[super::Check] = &[
            $(super::Check { name: stringify!($name), run: |bench| Box::pin($name(bench)) }),*
        ];
    };
}
use checks;

macro_rules! areas {
    ($($area:ident),* $(,)?) => {
        const AREAS: &[(&str, &[Check])] = &[$((stringify!($area), $area::CHECKS)),*];

        /// Makes a module of tests, one for each area of the suite: `conformance!(store: start_store())`, where the
        /// expression is a future of an `anyhow::Result<Subject>`. It is made once more where the server hangs.
        #[macro_export]
        macro_rules! conformance {
            ($subject:ident: $start:expr) => {
                mod $subject {
                    use super::*;

                    $(#[test]
                    fn $area() {
                        $crate::conformance::run(stringify!($area), || $start);
                    })*
                }
            };
        }
    };
}

areas![
    access,
    add,
    bind,
    compare,
    concurrency,
    control,
    delete,
    extended,
    filter,
    modify,
    names,
    operational,
    paging,
    refinement,
    ppolicy,
    rename,
    root_dse,
    search,
    selection,
    sorting,
    value,
];

/// Runs the checks of one area on a subject that `start` makes, on a runtime of its own. If the subject's server is one
/// that areas share and hangs, all checks run once more on a new one.
///
/// # Panics
///
/// When the subject does not start, a check fails, or the server hangs twice: it is what a test calls. All checks run
/// first, and the message names each that failed.
pub fn run<S: Future<Output = Result<Subject>>>(area: &str, start: impl Fn() -> S) {
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(run_area(area, start)));
    #[expect(clippy::panic, reason = "this is the body of a test")]
    if let Err(error) = outcome {
        panic!("{error:#}");
    }
}

async fn run_area<S: Future<Output = Result<Subject>>>(area: &str, start: impl Fn() -> S) -> Result<()> {
    let (_, checks) = AREAS.iter().find(|(name, _)| *name == area).context("no such area")?;
    let mut hung_before = false;
    loop {
        let subject = start().await.context("the subject does not start")?;
        let Some(shared) = subject.shared() else { return run_checks(area, checks, &subject).await };
        let seen = tokio::select! {
            outcome = run_checks(area, checks, &subject) => match (outcome, shared.seen_to_hang()) {
                // Whoever found that it hangs has killed it: a failure since then is no answer of the server.
                (Err(_), Some(seen)) => seen,
                (outcome, _) => return outcome,
            },
            seen = shared.hangs() => seen?,
        };
        if hung_before {
            bail!("the server hung, and so did a new one\n{seen}");
        }
        hung_before = true;
    }
}

async fn run_checks(area: &str, checks: &[Check], subject: &Subject) -> Result<()> {
    // One for all checks: verifying a password costs more than most of them.
    let admin = Conversation::of_administrator(subject).await?;
    let mut failures = Vec::new();
    for check in checks {
        let name = format!("{area}::{}", check.name);
        if differences::is_left_out(subject, &name)? {
            continue;
        }
        let under_way =
            subject.shared().map(|shared| shared.under_way(format!("{name} ({})", subject.name())));
        let outcome = run_check(area, check, subject, &admin).await;
        drop(under_way);
        if let Err(failure) = differences::judge(subject, &name, outcome) {
            failures.push(format!("--- {name}\n{failure:#}\n"));
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    bail!(
        "{} of {} checks failed on {}\n{}",
        failures.len(),
        checks.len(),
        subject.name(),
        failures.join("\n")
    )
}

async fn run_check(area: &str, check: &Check, subject: &Subject, admin: &Conversation) -> Result<()> {
    let whole = async {
        let bench =
            Bench::prepare(subject, admin, &format!("{area}-{}", check.name.replace('_', "-"))).await?;
        (check.run)(&bench).await
    };
    tokio::time::timeout(PATIENCE, whole).await.with_context(|| format!("not over within {PATIENCE:?}"))?
}
