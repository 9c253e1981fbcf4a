//! Which of our crates may see which: `cli` → `singer`, `client`, `store`, `server` → `directory` → `proto`.

use std::collections::BTreeSet;

use cargo_metadata::DependencyKind;

use crate::workspace::{Workspace, short_name};

/// Each crate with those it may see, and those that its tests may see besides.
const EDGES: [(&str, &[&str], &[&str]); 17] = [
    ("proto", &[], &[]),
    ("directory", &["proto"], &[]),
    // The mechanisms of both ends, without I/O.
    // Tickets, without I/O.
    ("kerberos", &["proto"], &[]),
    ("sasl", &["kerberos", "proto"], &[]),
    // Client and server never see each other, in tests neither: what needs both ends belongs into `lab`.
    ("client", &["directory", "sasl", "kerberos", "proto"], &[]),
    ("store", &["directory", "sasl", "proto"], &[]),
    ("server", &["directory", "sasl", "proto"], &["store"]),
    ("singer", &["directory", "proto"], &["store", "testkit"]),
    // Where binds and searches go is for the program to say.
    ("identity", &["directory", "proto"], &["store"]),
    // What is behind it, and before it, is for the program to say.
    ("proxy", &["directory", "proto"], &["client", "server", "testkit"]),
    ("testkit", &["server", "store", "directory", "proto"], &["client"]),
    // What must hold of any input, for tests and fuzz targets: nothing sees it.
    ("oracles", &["flext-ldap", "client", "server", "store", "directory", "sasl", "kerberos", "proto"], &[]),
    // Configuration, and what is built from it: the commands and programs that add the library are its users.
    ("flext-ldap", &["identity", "client", "directory", "proto"], &["testkit"]),
    // Sends what the others say by `tracing`, whatever it is about.
    ("otlp", &[], &["flext-ldap", "testkit"]),
    (
        "cli",
        &[
            "flext-ldap",
            "otlp",
            "proxy",
            "singer",
            "client",
            "store",
            "server",
            "testkit",
            "directory",
            "proto",
        ],
        &[],
    ),
    ("example-sign-in", &["flext-ldap", "identity", "client", "directory", "proto"], &["testkit"]),
    (
        "lab",
        &[
            "oracles",
            "cli",
            "flext-ldap",
            "otlp",
            "proxy",
            "singer",
            "identity",
            "client",
            "store",
            "server",
            "testkit",
            "directory",
            "proto",
        ],
        &[],
    ),
];

#[test]
fn every_edge_between_our_crates_is_allowed() {
    let workspace = Workspace::load();
    let mut wrong = Vec::new();
    for package in workspace.members() {
        let name = short_name(package).unwrap();
        let Some((_, may_see, tests_may_see)) = EDGES.iter().find(|(of, ..)| *of == name) else {
            wrong.push(format!("{name} has no line in EDGES: say there what it may see"));
            continue;
        };
        let seen = |kind| workspace.dependencies(&package.id, &[kind]).into_iter().filter_map(short_name);
        for kind in [DependencyKind::Normal, DependencyKind::Build] {
            let edges = seen(kind).filter(|other| !may_see.contains(other));
            wrong.extend(edges.map(|other| format!("{name} must not see {other}")));
        }
        let edges = seen(DependencyKind::Development)
            .filter(|other| !may_see.contains(other) && !tests_may_see.contains(other));
        wrong.extend(edges.map(|other| format!("the tests of {name} must not see {other}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_lines_of_the_table_are_the_crates() {
    let workspace = Workspace::load();
    let crates: BTreeSet<_> = workspace.members().filter_map(short_name).collect();
    assert_eq!(crates, EDGES.iter().map(|(name, ..)| *name).collect());
}

#[test]
fn the_language_knows_no_runtime_no_socket_and_no_clock() {
    let needs = Workspace::load().needs("proto");
    for banned in ["tokio", "mio", "socket2", "nix", "libc", "rustls", "redb", "futures-core", "tracing"] {
        assert!(!needs.contains(banned), "proto is sans-io, but needs {banned}");
    }
}

#[test]
fn the_mechanisms_know_no_runtime_and_no_socket() {
    let needs = Workspace::load().needs("sasl");
    for banned in ["tokio", "mio", "socket2", "nix", "rustls", "redb", "tracing"] {
        assert!(!needs.contains(banned), "sasl is sans-io, but needs {banned}");
    }
}

#[test]
fn tickets_know_no_runtime_and_no_socket() {
    let needs = Workspace::load().needs("kerberos");
    for banned in ["tokio", "mio", "socket2", "nix", "rustls", "redb", "tracing"] {
        assert!(!needs.contains(banned), "kerberos is sans-io, but needs {banned}");
    }
}

#[test]
fn the_seam_opens_no_socket() {
    let needs = Workspace::load().needs("directory");
    for banned in ["nix", "rustls", "tokio-rustls", "redb"] {
        assert!(!needs.contains(banned), "directory is only traits and layers, but needs {banned}");
    }
}
