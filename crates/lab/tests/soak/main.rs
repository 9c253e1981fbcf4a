//! The short form of the program `soak`: twenty seconds of load on ways that fail, with all accounted for and nothing growing.

use std::process::Command;

#[test]
fn everything_is_accounted_for_and_nothing_grows() -> std::io::Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_soak")).arg("20").output()?;
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{wrong}");
    for line in ["operations: ", "memory: ", "descriptors: "] {
        assert!(said.contains(line), "{line}: {said}");
    }
    print!("{said}");
    Ok(())
}
