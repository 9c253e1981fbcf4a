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
        /// expression is a future of an `anyhow::Result<Subject>`.
        #[macro_export]
        macro_rules! conformance {
            ($subject:ident: $start:expr) => {
                mod $subject {
                    use super::*;

                    $(#[test]
                    fn $area() {
                        $crate::conformance::run(stringify!($area), $start);
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

/// Runs the checks of one area on a subject that `start` makes, on a runtime of its own.
///
/// # Panics
///
/// When the subject does not start or a check fails: it is what a test calls. All checks run first, and the message
/// names each that failed.
pub fn run(area: &str, start: impl Future<Output = Result<Subject>>) {
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

async fn run_area(area: &str, start: impl Future<Output = Result<Subject>>) -> Result<()> {
    let (_, checks) = AREAS.iter().find(|(name, _)| *name == area).context("no such area")?;
    let subject = start.await.context("the subject does not start")?;
    // One for all checks: verifying a password costs more than most of them.
    let admin = Conversation::of_administrator(&subject).await?;
    let mut failures = Vec::new();
    for check in *checks {
        if let Err(error) = run_check(area, check, &subject, &admin).await {
            failures.push(format!("--- {area}::{}\n{error:#}\n", check.name));
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
