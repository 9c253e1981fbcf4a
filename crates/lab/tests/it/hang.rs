//! A server of somebody else's that hangs costs an area of the suite one more run, and fails it only when the next server
//! hangs as well. A real 389-ds is stopped by a signal: it takes connections then, and answers nothing.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::Result;
use flext_ldap_lab::conformance::{
    self, Shared, Subject,
    subjects::{self, Transport},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

/// How long this server may be silent. The operations of the suite would wait for 30 seconds, each.
const PATIENCE: Duration = Duration::from_secs(4);

/// A subject whose server does nothing any more.
async fn stopped(shared: &Shared) -> Result<Subject> {
    let subject = subjects::ns_slapd_of(shared, Transport::Plain).await?;
    let pid = shared.server().await?.server().pid();
    kill(Pid::from_raw(pid.try_into()?), Signal::SIGSTOP)?;
    Ok(subject)
}

fn reports(record: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(record).unwrap();
    text.split("hang: ").skip(1).map(str::to_owned).collect()
}

#[test]
fn an_area_runs_once_more_on_a_new_server() {
    let folder = TempDir::new().unwrap();
    let record = folder.path().join("hangs");
    let shared = Shared::with(PATIENCE, record.clone());
    let starts = AtomicU32::new(0);
    conformance::run("compare", || async {
        if starts.fetch_add(1, Ordering::Relaxed) == 0 {
            stopped(&shared).await
        } else {
            subjects::ns_slapd_of(&shared, Transport::Plain).await
        }
    });
    assert_eq!(starts.into_inner(), 2);
    let reports = reports(&record);
    assert_eq!(reports.len(), 1, "{reports:?}");
    let first = reports[0].lines().next().unwrap();
    assert!(
        first.starts_with("389-ds (pid ") && first.contains("did not answer a write within 4s"),
        "{first}"
    );
    assert!(reports[0].contains("\nits threads wait in: "), "{}", reports[0]);
}

#[test]
fn a_new_server_that_hangs_too_fails_the_area() {
    let folder = TempDir::new().unwrap();
    let record = folder.path().join("hangs");
    let shared = Shared::with(PATIENCE, record.clone());
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        conformance::run("compare", || stopped(&shared));
    }));
    let message = *outcome.unwrap_err().downcast::<String>().unwrap();
    assert!(message.starts_with("the server hung, and so did a new one\n389-ds (pid "), "{message}");
    assert_eq!(reports(&record).len(), 2);
}
