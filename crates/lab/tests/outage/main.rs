//! Servers that are killed, stopped, slow and restarted under load: the program `outage`, one kind after the other, since
//! what callers wait is measured.

use std::{
    process::Command,
    sync::{Mutex, PoisonError},
};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What must hold and does not ends the program with an error.
fn outage(kind: &str, harm: &str) -> std::io::Result<()> {
    outage_through(kind, harm, "library")
}

fn outage_through(kind: &str, harm: &str, through: &str) -> std::io::Result<()> {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(env!("CARGO_BIN_EXE_outage"))
        .args([kind, harm, through])
        .env("RUST_BACKTRACE", "0")
        .output()?;
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{wrong}");
    assert!(
        said.starts_with(&format!("{kind} {harm} {through}: ")) && said.contains(" reads, none failed"),
        "{said}"
    );
    Ok(())
}

#[test]
fn slapd_is_killed() -> std::io::Result<()> {
    outage("slapd", "kill")
}

#[test]
fn slapd_stands_still() -> std::io::Result<()> {
    outage("slapd", "stop")
}

#[test]
fn slapd_is_slow() -> std::io::Result<()> {
    outage("slapd", "brownout")
}

#[test]
fn ds389_is_killed() -> std::io::Result<()> {
    outage("389-ds", "kill")
}

#[test]
fn ds389_stands_still() -> std::io::Result<()> {
    outage("389-ds", "stop")
}

#[test]
fn ds389_is_restarted() -> std::io::Result<()> {
    outage("389-ds", "restart")
}

#[test]
fn ours_is_killed() -> std::io::Result<()> {
    outage("ours", "kill")
}

#[test]
fn ours_stands_still() -> std::io::Result<()> {
    outage("ours", "stop")
}

#[test]
fn ours_is_restarted() -> std::io::Result<()> {
    outage("ours", "restart")
}

#[test]
fn slapd_is_killed_behind_the_proxy() -> std::io::Result<()> {
    outage_through("slapd", "kill", "proxy")
}

#[test]
fn ours_stands_still_behind_the_proxy() -> std::io::Result<()> {
    outage_through("ours", "stop", "proxy")
}

#[test]
fn slapd_is_slow_behind_the_proxy() -> std::io::Result<()> {
    outage_through("slapd", "brownout", "proxy")
}

#[test]
fn ds389_is_killed_behind_the_proxy() -> std::io::Result<()> {
    outage_through("389-ds", "kill", "proxy")
}
