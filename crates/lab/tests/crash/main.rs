//! The store under kill -9: the short form of the program `crash`.

/// What is lost or at fault ends the program with an error.
fn crash(arguments: &[&str], begins: &str) -> std::io::Result<()> {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_crash")).args(arguments).output()?;
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{wrong}");
    assert!(said.starts_with(begins) && said.contains("none lost, no fault"), "{said}");
    Ok(())
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() -> std::io::Result<()> {
    crash(&["4"], "4 rounds, ")
}

#[test]
fn indexes_are_whole_or_not_asked_when_the_process_is_killed() -> std::io::Result<()> {
    crash(&["indexes", "6"], "6 rounds, ")
}
