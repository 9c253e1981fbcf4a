//! docs/security-tests.md names tests that exist, and leaves no class without one.

use crate::workspace::root;

/// What stands between backticks and looks like a test: its file and its name.
fn tests_of(text: &str) -> Vec<(&str, &str)> {
    text.split('`')
        .filter(|part| part.starts_with("crates/"))
        .filter_map(|part| part.split_once(".rs::"))
        .collect()
}

fn table() -> String {
    std::fs::read_to_string(root().join("docs/security-tests.md")).unwrap()
}

/// The rows of the tables, each as its cells, without their heads.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| Class");
    text.lines()
        .filter(is_row)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn every_test_that_security_tests_md_names_exists() {
    let text = table();
    let mut missing = Vec::new();
    for (file, name) in tests_of(&text) {
        let source = std::fs::read_to_string(root().join(format!("{file}.rs"))).unwrap_or_default();
        if !is_test(&source, name) {
            missing.push(format!("{file}.rs has no test {name}"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Whether the source has a function of this name that is run as a test: by an attribute in the lines above it, or
/// by standing in the list of a suite.
fn is_test(source: &str, name: &str) -> bool {
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let head = format!("fn {name}(");
    let listed = lines.iter().any(|line| line.trim_end_matches(',') == name);
    lines.iter().enumerate().any(|(number, line)| {
        let above =
            lines[..number].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        line.contains(&head)
            && (listed || above.into_iter().any(|line| line.contains("test]") || line.contains("test(")))
    })
}

#[test]
fn no_class_is_without_a_test_on_either_end() {
    let text = table();
    let rows = rows(&text);
    assert!(rows.len() > 35, "only {} rows were found", rows.len());
    for row in rows {
        let [class, _, proofs @ ..] = row.as_slice() else { panic!("a row without cells: {row:?}") };
        assert!(!proofs.is_empty(), "{class}");
        for proof in proofs {
            assert!(!tests_of(proof).is_empty(), "{class}: a cell names no test");
        }
    }
}

#[test]
fn tests_are_told_from_functions() {
    let source = "#[test]\nfn one() {}\nfn two() {}\n#[tokio::test]\n/// Says.\nasync fn three() {}\nchecks![\n    four,\n];\nasync fn four(";
    for (name, wanted) in [("one", true), ("two", false), ("three", true), ("four", true), ("five", false)] {
        assert_eq!(is_test(source, name), wanted, "{name}");
    }
}
