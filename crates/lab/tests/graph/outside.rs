//! What may come from outside: licences, banned crates, duplicates, the smallest Rust, the size of the client's tree.

use std::collections::BTreeMap;

use crate::workspace::{Workspace, normal_tree, root};

/// Licences that ask for no more than attribution. The same list stands in `deny.toml`.
const LICENCES: [&str; 6] = ["Apache-2.0", "BSD-3-Clause", "ISC", "MIT", "Unicode-3.0", "Zlib"];

/// Crates that must not come in, not even on another platform, who may have them all the same, and why not. The same
/// list stands in `deny.toml`.
const BANNED: [(&str, &[&str], &str); 12] = [
    ("openssl", &[], "rustls is the one TLS library"),
    ("openssl-sys", &[], "rustls is the one TLS library"),
    ("native-tls", &[], "rustls is the one TLS library"),
    ("aws-lc-rs", &[], "ring is the one provider of rustls; this one needs cmake and a minute"),
    ("aws-lc-sys", &[], "ring is the one provider of rustls; this one needs cmake and a minute"),
    ("chrono", &[], "LDAP's times are our own types"),
    // x509-parser is locked for a feature of rcgen that is off; it is never built.
    ("lazy_static", &["sharded-slab", "x509-parser"], "std has LazyLock"),
    ("serde_yaml", &[], "no longer maintained"),
    ("serde_yml", &[], "unsound"),
    ("ldap3", &[], "the client is ours"),
    ("ldap3_proto", &[], "the language is ours"),
    ("lber", &[], "the language is ours"),
];

/// Crates that may be there in two versions, and why it cannot be helped.
const TWICE: [(&str, &str); 2] = [
    (
        "getrandom",
        "ring 0.17 keeps to 0.2 for its smallest Rust, OpenTelemetry's rand to 0.3; everyone else is at 0.4",
    ),
    ("syn", "prost-derive 0.14, of OpenTelemetry's messages, keeps to 2; everyone else is at 3"),
];

/// The client is what people build into their programs.
const CLIENT_CRATES: usize = 60;

#[test]
fn every_licence_is_on_the_list() {
    let mut wrong = Vec::new();
    for package in Workspace::load().all() {
        match &package.license {
            Some(licence) if allowed(licence) => {}
            Some(licence) => wrong.push(format!("{} is under {licence}", package.name)),
            None => wrong.push(format!("{} names no licence", package.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_banned_crate_is_locked() {
    // The lock file knows all platforms and all kinds of dependency.
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let mut wrong = Vec::new();
    for package in lock.split("[[package]]\n").skip(1) {
        let user =
            package.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).unwrap();
        // A dependency is ` "name",` or, where the name is not enough, ` "name version",`.
        let needs = package.lines().filter_map(|line| line.strip_prefix(" \"")?.split(['"', ' ']).next());
        for need in needs {
            let banned = BANNED.iter().filter(|(name, ..)| *name == need);
            let banned = banned.filter(|(_, except, _)| !except.contains(&user));
            wrong.extend(
                banned.map(|(name, _, reason)| format!("{user} needs {name}, which is banned: {reason}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_crate_is_there_twice_without_a_reason() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in normal_tree(&["--workspace"]) {
        let (name, version) = line.split_once(' ').unwrap();
        versions.entry(name.to_owned()).or_default().push(version.to_owned());
    }
    let twice: BTreeMap<_, _> = versions.into_iter().filter(|(_, versions)| versions.len() > 1).collect();
    for (name, versions) in &twice {
        assert!(TWICE.iter().any(|(known, _)| known == name), "{name} is there as {versions:?}");
    }
    for (name, reason) in TWICE {
        assert!(twice.contains_key(name), "{name} is there once: its line ({reason}) can go");
    }
}

#[test]
fn no_dependency_asks_for_a_newer_rust_than_we_promise() {
    let workspace = Workspace::load();
    let ours = workspace.members().find_map(|package| package.rust_version.clone()).unwrap();
    for package in workspace.all() {
        let theirs = package.rust_version.clone().unwrap_or_else(|| ours.clone());
        assert!(theirs <= ours, "{} asks for Rust {theirs}, we promise {ours}", package.name);
    }
}

#[test]
fn the_tree_of_the_client_stays_small() {
    let tree = normal_tree(&["--package", "flext-ldap-client"]);
    let count = tree.len();
    assert!(count < CLIENT_CRATES, "the client has {count} crates:\n{tree:#?}");
}

#[test]
fn deny_toml_says_the_same() {
    let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    for licence in LICENCES {
        assert!(text.contains(&format!("\"{licence}\"")), "deny.toml does not allow {licence}");
    }
    for name in BANNED.map(|(name, ..)| name).into_iter().chain(TWICE.map(|(name, _)| name)) {
        assert!(text.contains(&format!("crate = \"{name}\"")), "deny.toml does not name {name}");
    }
}

/// Whether an SPDX expression can be met with licences of the list alone. The slash is an old way to write OR.
fn allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    top_level(&expression, " OR ").any(|choice| {
        top_level(choice, " AND ").all(|part| {
            match part.strip_prefix('(').and_then(|part| part.strip_suffix(')')) {
                Some(inner) => allowed(inner),
                None => LICENCES.contains(&part),
            }
        })
    })
}

/// The parts of an expression between separators that stand outside parentheses.
fn top_level<'e>(expression: &'e str, separator: &'static str) -> impl Iterator<Item = &'e str> {
    let mut rest = Some(expression);
    std::iter::from_fn(move || {
        let text = rest?;
        let balanced = |part: &str| part.matches('(').count() == part.matches(')').count();
        let cuts = text.match_indices(separator).map(|(at, _)| text.split_at(at));
        let Some((part, tail)) = cuts.into_iter().find(|(part, _)| balanced(part)) else {
            rest = None;
            return Some(text.trim());
        };
        rest = tail.strip_prefix(separator);
        Some(part.trim())
    })
}

#[test]
fn expressions_are_understood() {
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT OR GPL-3.0", true),
        ("MIT AND GPL-3.0", false),
        ("MIT/Apache-2.0", true),
        ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
        ("(MIT AND GPL-3.0) OR Unicode-3.0", true),
        ("(LGPL-2.1 OR GPL-3.0) AND MIT", false),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ("Apache-2.0 WITH LLVM-exception", false),
    ] {
        assert_eq!(allowed(expression), expected, "{expression}");
    }
}
