//! The seeds of the fuzz targets, through the same oracles: what fuzzing has found stays found.

use std::{fs, path::Path};

use flext_ldap_oracles::{config, control, decoder, dns, kerberos, sasl, search, session};

/// The seeds of one target, by name.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut seeds: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| {
            let file = file.unwrap();
            (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{target}");
    seeds
}

/// Tries all seeds of a target. Of those with a name made for people, the refused ones are returned; a name that starts
/// with `run-` was given by `fuzz/run`, which keeps refused inputs too.
fn refused(target: &str, accepts: fn(&[u8]) -> bool) -> Vec<String> {
    let refused = seeds(target).into_iter().filter(|(_, seed)| !accepts(seed)).map(|(name, _)| name);
    refused.filter(|name| !name.starts_with("run-")).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn message() {
    assert_eq!(refused("message", decoder::message), NONE);
}

#[test]
fn filter_ber() {
    assert_eq!(refused("filter_ber", decoder::filter_ber), ["false-length"]);
}

#[test]
fn filter_text() {
    assert_eq!(refused("filter_text", decoder::filter_text), ["unclosed"]);
}

#[test]
fn dn() {
    assert_eq!(refused("dn", decoder::dn), ["extended", "not-utf8", "unfinished"]);
}

#[test]
fn ldif() {
    assert_eq!(refused("ldif", decoder::ldif), ["broken", "file"]);
}

#[test]
fn schema() {
    assert_eq!(refused("schema", decoder::schema), ["broken"]);
}

#[test]
fn url() {
    assert_eq!(refused("url", decoder::url), ["broken"]);
}

#[test]
fn sasl_messages() {
    let wanted = ["certificate-cut", "client-other-nonce", "digest-broken", "plain-empty", "server-broken"];
    assert_eq!(refused("sasl", sasl::messages), wanted);
}

#[test]
fn kerberos_messages() {
    let wanted = [
        "cache-cut",
        "keytab-cut",
        "negotiation-of-nobody",
        "reply-of-nobody",
        "service-of-nobody",
        "settings-without",
        "ticket-of-nobody",
    ];
    assert_eq!(refused("kerberos", kerberos::messages), wanted);
}

#[test]
fn control_values() {
    assert_eq!(refused("control", control::value), ["not-a-control"]);
}

#[test]
fn extended_values() {
    assert_eq!(refused("extended", control::extended), ["trailing"]);
}

#[test]
fn searches() {
    assert_eq!(refused("search", search::case), NONE);
}

#[test]
fn sessions() {
    assert_eq!(refused("session", session::case), NONE);
}

#[test]
fn configurations() {
    let wanted = ["colon", "host-of-lines", "host-of-nobody", "served", "tab", "twice", "unknown"];
    assert_eq!(refused("config", config::text), wanted);
}

#[test]
fn name_servers() {
    let wanted = ["circle", "cut", "no-host", "not-understood", "of-another", "truncated"];
    assert_eq!(refused("dns", dns::answer), wanted);
}
