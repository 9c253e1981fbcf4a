//! The store under kill -9: the short form of the program `crash`.

/// What is lost or at fault ends the program with an error.
#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_crash")).arg("4").output();
    let output = output.expect("the program can be started");
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{wrong}");
    assert!(said.starts_with("4 rounds, ") && said.contains("none lost, no fault"), "{said}");
}
