//! `flext_ldap::doctor` on real listeners: servers that are well, of each kind there is here, and set-ups that are broken in
//! every way that is common, each with its right finding. How it is printed is tested with the command line.

mod broken;
mod played;
mod well;

use std::time::Duration;

use flext_ldap::doctor::{Doctor, Finding, Report, Severity, SignIn, What};
use flext_ldap_client::Credentials;

/// What a step may take: the servers are on this machine, and one of them never answers.
const PATIENCE: Duration = Duration::from_secs(3);

fn on_a_runtime<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn doctor(target: &str) -> Doctor {
    Doctor::new(target).unwrap().patience(PATIENCE)
}

fn examine(doctor: &Doctor) -> Report {
    on_a_runtime(doctor.examine())
}

fn by(name: &str, password: &str) -> SignIn {
    SignIn::new(Credentials::simple(name, password))
}

/// The finding of this kind; there must be one.
fn finding(report: &Report, what: What) -> &Finding {
    let found = report.findings.iter().find(|finding| finding.what == what);
    found.unwrap_or_else(|| panic!("no `{}` among\n{}", what.name(), text(report)))
}

/// That the first thing that keeps it from working is this, and says so.
#[track_caller]
fn fails(report: &Report, what: What, parts: &[&str]) {
    let Some(failure) = report.failure() else { panic!("nothing fails:\n{}", text(report)) };
    assert_eq!(failure.what, what, "{}", text(report));
    says(failure, parts);
    assert!(report.configuration.is_none(), "a configuration that does not work is none");
}

#[track_caller]
fn says(finding: &Finding, parts: &[&str]) {
    let line = finding.to_string();
    for part in parts {
        assert!(line.contains(part), "`{part}` is not in: {line}");
    }
}

#[track_caller]
fn nothing_fails(report: &Report) {
    assert!(report.failure().is_none(), "{}", text(report));
}

fn text(report: &Report) -> String {
    let word = |severity| match severity {
        Severity::Good => "ok",
        Severity::Note => "note",
        Severity::Warning => "warn",
        Severity::Failure => "fail",
    };
    let lines = report.findings.iter();
    let lines = lines.map(|finding| format!("{} {} {finding}", word(finding.severity), finding.what.name()));
    lines.collect::<Vec<_>>().join("\n")
}
