//! The short forms of the program `attack`: the program `flext-ldap` attacked over loopback, with neighbours who must not
//! notice. One at a time: what others do to the machine is noise enough.

use std::{
    process::Command,
    sync::{Mutex, PoisonError},
};

static ALONE: Mutex<()> = Mutex::new(());

/// Makes one attack; whatever does not hold ends the program with an error that says what.
fn attack(name: &str) -> std::io::Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(env!("CARGO_BIN_EXE_attack")).args(["--short", name]).output()?;
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{wrong}");
    assert_eq!(said.lines().count(), 3, "a row for the attack below the head: {said}");
    Ok(())
}

#[test]
fn results_that_nobody_reads() -> std::io::Result<()> {
    attack("unread")
}

#[test]
fn results_read_an_octet_a_second() -> std::io::Result<()> {
    attack("slow")
}

#[test]
fn more_connections_than_are_allowed() -> std::io::Result<()> {
    attack("crowd")
}

#[test]
fn handshakes_that_stop_half_way() -> std::io::Result<()> {
    attack("handshakes")
}

#[test]
fn garbage_before_in_and_instead_of_tls() -> std::io::Result<()> {
    attack("garbage")
}

#[test]
fn ten_thousand_operations_at_once() -> std::io::Result<()> {
    attack("pipeline")
}

#[test]
fn peers_that_die_in_the_middle_of_a_message() -> std::io::Result<()> {
    attack("deaths")
}

#[test]
fn passwords_guessed_without_end() -> std::io::Result<()> {
    attack("guesses")
}

#[test]
fn huge_filters_names_selections_and_entries() -> std::io::Result<()> {
    attack("bombs")
}

#[test]
fn messages_in_segments_of_one_octet() -> std::io::Result<()> {
    attack("crumbs")
}

#[test]
fn searches_abandoned_by_the_thousand() -> std::io::Result<()> {
    attack("abandons")
}

#[test]
fn persistent_searches_that_nobody_reads() -> std::io::Result<()> {
    attack("followers")
}
