//! The files of the repository: what must be there, and what must not be in them.

use std::path::{Path, PathBuf};

use crate::workspace::{Workspace, root, short_name};

/// What a visitor and a packager look for.
const ROOT_FILES: [&str; 13] = [
    ".ci/run",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "DESIGN.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "clippy.toml",
    "deny.toml",
    "rustfmt.toml",
    "test",
];

/// Larger files do not belong into a repository of source text.
const LARGEST: u64 = 1 << 20;

#[test]
fn the_root_has_its_documents() {
    let missing: Vec<_> = ROOT_FILES.iter().filter(|name| !root().join(name).is_file()).collect();
    assert!(missing.is_empty(), "missing at the root: {missing:?}");
}

#[test]
fn nothing_is_left_unfinished_or_switched_off() {
    // In two parts, or this file would find itself.
    let needles = [
        (concat!("todo", "!("), "finish it"),
        (concat!("unimplemented", "!("), "finish it"),
        (concat!("#[", "ignore"), "a test that does not run is no test"),
        (concat!("[", "allow("), "use expect with a reason"),
        (concat!("[cfg(", "feature"), "there are no feature flags"),
    ];
    let mut wrong = Vec::new();
    for file in sources() {
        let text = std::fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            for (needle, mend) in needles {
                if line.contains(needle) {
                    wrong.push(format!("{}:{}: {needle}..: {mend}", shown(&file), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_says_what_it_is_for() {
    // The file of a module's unit tests is for what the module is for.
    let silent = sources().into_iter().filter(|file| !file.ends_with("tests.rs"));
    let silent: Vec<_> = silent.filter(|file| !says_what_it_is_for(file)).map(|file| shown(&file)).collect();
    assert!(silent.is_empty(), "no //! in\n{}", silent.join("\n"));
}

fn says_what_it_is_for(file: &Path) -> bool {
    std::fs::read_to_string(file).unwrap().lines().any(|line| line.starts_with("//!"))
}

#[test]
fn every_crate_takes_the_lints_and_has_no_features() {
    for package in Workspace::load().members() {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true\n"), "{} does not take the lints", package.name);
        assert!(package.features.is_empty(), "{} has features {:?}", package.name, package.features);
    }
}

/// `./test --quick` picks the test binaries by the names of their folders and files, all but the one that needs
/// servers.
#[test]
fn test_binaries_are_where_the_quick_run_finds_them() {
    for package in Workspace::load().members() {
        for target in package.targets.iter().filter(|target| target.is_test()) {
            let folder = target.src_path.parent().unwrap().file_name().unwrap();
            let file = target.src_path.file_stem().unwrap();
            let place = if file == "main" { folder } else { file };
            let expected =
                if short_name(package) == Some("lab") && place == "it" { "servers" } else { place };
            assert_eq!(target.name, expected, "the name of {}", target.src_path);
        }
    }
}

#[test]
fn no_file_is_large() {
    for file in files(&root()) {
        let size = file.metadata().unwrap().len();
        assert!(size <= LARGEST, "{} has {size} bytes, more than {LARGEST}", shown(&file));
    }
}

/// Rust of our crates, examples and fuzz targets.
fn sources() -> Vec<PathBuf> {
    let all = ["crates", "examples", "fuzz"]
        .map(|folder| root().join(folder))
        .into_iter()
        .filter(|folder| folder.is_dir());
    all.flat_map(|folder| files(&folder))
        .filter(|file| file.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

/// Every file below a folder, but what git and cargo keep.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && entry.file_name() != "target" && entry.file_name() != ".git" {
                open.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}
