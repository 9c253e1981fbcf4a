//! Files that are read, and files that are not: what is said of them, and that nothing in a file costs more than it may.

use std::path::PathBuf;

use flext_ldap_server::{Rate, RateLimits};
use flext_ldap_store::IndexKind;

use super::*;

fn read(text: &str) -> anyhow::Result<Config> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flext-ldap.yaml");
    fs::write(&path, text).unwrap();
    Config::read(&path)?.settle(Purpose::Serve)
}

/// The same, of which only what it says is looked at.
fn said(text: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flext-ldap.yaml");
    fs::write(&path, text).unwrap();
    let mut draft = Config::read(&path).unwrap();
    draft.say("data", |config| config.data = config.data.take().or_else(|| Some("/nowhere".into())));
    draft.settle(Purpose::Place).unwrap()
}

/// What is said of a faulty file, without its name.
fn wrong(text: &str) -> Vec<String> {
    let message = read(text).unwrap_err().to_string();
    let (first, problems) = message.split_once('\n').unwrap();
    assert!(first.ends_with("flext-ldap.yaml cannot be used:"), "{first}");
    problems.lines().map(|line| line.trim_start().to_owned()).collect()
}

#[test]
fn the_example_is_what_it_says() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../packaging/flext-ldap.yaml");
    let config = Config::read(&path).unwrap().settle(Purpose::Place).unwrap();
    assert_eq!(config.data, Some("/var/lib/flext-ldap".into()));
    assert_eq!(config.suffixes, ["dc=harbourlane,dc=example".parse::<Dn>().unwrap()]);
    let urls: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
    assert_eq!(urls, ["ldap://[::]:389", "ldaps://[::]:636", "ldapi://%2Frun%2Fflext-ldap%2Fldapi"]);
    assert_eq!(config.socket_mode, Some(0o666));
    assert_eq!(config.limits.cache, 256 << 20);
    assert_eq!(config.limits.write_queue, Limits::default().write_queue);
    assert_eq!(config.server.connections_per_address, Some(5_000));
    assert_eq!(config.server.rates, RateLimits::default());
    assert_eq!(config.log.slow, Some(Duration::from_secs(1)));
    assert_eq!((config.unique.len(), config.unindexed.threshold), (2, 10_000));
    assert_eq!(config.monitor.as_ref().unwrap().len(), 1);
    assert_eq!(config.rules(Schema::standard()).unwrap().len(), 6);
    let indexes = config.indexes.as_ref().unwrap();
    assert!(indexes.kinds("departmentNumber").eq([IndexKind::Equality]));
    let problems = config.store(StoreOptions::memory()).problems(Schema::standard());
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn all_that_is_wrong_is_told_with_its_place() {
    let text = "\
data: /srv/x
suffixs: [\"dc=a\"]
suffixes: \"nonsense\"
limits:
  sise: 10
  time: soon
unindexed: {policy: forbid}
indexes: {cn: [eq, sup]}
socket_mode: 666
administrator: {dn: cn=admin}
tls: {certificate: a.pem}
rate_limits: {binds: {per_second: many}}
log: {level: loud=very}
access:
  - to: {subtree: x}
    alow: []
";
    insta::assert_snapshot!(wrong(text).join("\n"));
}

#[test]
fn rules_are_wrong_where_they_stand() {
    let text = "data: /nowhere\nsuffixes: dc=a\naccess:\n  - allow: [users: read]\n  - to:\n      subtre: dc=a\n      subtree: nonsense\n    allow:\n      - users: raed\n      - user: read\n";
    let lines = wrong(text);
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].starts_with("line 6, column 7: `access[2]`: unknown field `subtre`"), "{lines:?}");
    assert!(lines[1].starts_with("line 7, column 16: `access[2].to.subtree`: "), "{lines:?}");
    assert!(
        lines[2].starts_with("line 9, column 9: `access[2].allow[1]`: unknown right `raed`"),
        "{lines:?}"
    );
    assert!(
        lines[3].starts_with(
            "line 10, column 9: `access[2].allow[2]`: unknown requester `user`; did you mean `users`?"
        ),
        "{lines:?}"
    );
}

#[test]
fn yaml_that_is_none_says_where() {
    let table = [
        ("data: [", "line "),
        ("suffixes: dc=a\ndata: a\ndata: b\n", "line 3, column 1: `data`: is there twice"),
        (
            "data: :memory:\n",
            "line 1, column 14: mapping values are not allowed in this context; a text with a colon",
        ),
        ("just text\n", "line 1, column 1: expected a map of keys, found `just text`"),
        ("data: /a\n---\ndata: /b\n", ""),
        ("a: b: c\n", "line 1"),
    ];
    for (text, want) in table {
        let problems = wrong(text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(want), "{text:?}: {problems:?}");
    }
    assert_eq!(said("").suffixes, []);
    assert_eq!(said("# nothing\n").listen, []);
}

#[test]
fn a_file_costs_no_more_than_it_may() {
    let laughs =
        (1..10).fold("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned(), |text, level| {
            let below = vec![format!("*a{}", level - 1); 9].join(", ");
            format!("{text}a{level}: &a{level} [{below}]\n")
        });
    let deep = format!("data: {}{}\n", "[".repeat(5_000), "]".repeat(5_000));
    let nested: String = (0..200).map(|depth| format!("{}k:\n", " ".repeat(depth))).collect();
    let long = format!("data: {}\n", "x".repeat(yaml::LARGEST));
    let many = "- a\n".repeat(150_000);
    let quadratic = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 900].join(", "));
    for (name, text) in [
        ("laughs", laughs),
        ("deep", deep),
        ("nested", nested),
        ("long", long),
        ("many", many),
        ("quadratic", quadratic),
    ] {
        let problems = wrong(&text);
        assert!(!problems.is_empty() && problems.len() <= 50, "{name}");
        assert!(problems.iter().all(|problem| problem.len() < 2_000), "{name}: {problems:?}");
    }
}

#[test]
fn what_needs_a_restart_is_known() {
    let before = said("data: /a\nlimits: {size: 1, cache: 64MiB}\nlisten: \"ldap://localhost\"\n");
    let after = said("# moved\ndata: /a\nlimits: {size: 2, cache: 32MiB}\nindexes: {cn: eq}\n");
    assert_eq!(after.needing_restart(&before), ["listen", "limits.cache"]);
    assert_eq!(after.needing_restart(&after), [] as [&str; 0]);
}

#[test]
fn what_the_schema_and_the_files_say_is_told_with_the_rest() {
    let text = "\
data: \":memory:\"
suffixes: \"dc=a\"
listen: [\"ldap://localhost\", \"ldaps://localhost\"]
administrator: {dn: \"cn=admin,dc=a\", password_file: /nowhere/secret}
indexes:
  noSuch: [eq]
  jpegPhoto: [sub]
  userPassword: [eq]
unique:
  - {attributes: [uid, mial], below: [\"ou=people\"]}
member_of: {attributes: [noSuch]}
referential_integrity: {attributes: [member, cn]}
password_policy: {default: \"cn=standard,dc=b\"}
log: {level: loud, access: /nowhere/access.log}
limits: {size: ten, filter: 0, cache: 0}
rate_limits: {binds: {per_second: 0}}
server: {handshake: soon}
access:
  - to: {attributes: noSuch}
    allow: [users: reed]
";
    insta::assert_snapshot!(wrong(text).join("\n"));
    let text =
        "data: \":memory:\"\nsuffixes: dc=a\ntls: {certificate: /nowhere/c.pem, key: /nowhere/k.pem}\n";
    let lines = wrong(text);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].starts_with("line 3, column 20: `tls.certificate`: `/nowhere/c.pem` cannot be read"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("line 3, column 41: `tls.key`: `/nowhere/k.pem` cannot be read"),
        "{lines:?}"
    );
}

#[test]
fn scram_is_off_unless_asked_for_and_needs_a_restart() {
    let head = "data: \":memory:\"\nsuffixes: dc=a\n";
    let (off, on) = (said(head), said(&format!("{head}scram: true\n")));
    assert_eq!((off.scram, on.scram), (false, true));
    assert_eq!(on.needing_restart(&off), ["scram"]);
}

#[test]
fn client_certificates_need_an_authority_and_a_way_to_an_entry() {
    let head = "data: \":memory:\"\nsuffixes: dc=a\n";
    let tls = "tls: {certificate: /nowhere/c.pem, key: /nowhere/k.pem}\n";
    let both = "client_certificates: {authorities: /nowhere/ca.pem, names: [subject, \"mail=mail\"]}\n";
    let problems = wrong(&format!("{head}{tls}{both}"));
    assert!(
        problems
            .iter()
            .any(|line| line.contains("`client_certificates.authorities`: `/nowhere/ca.pem` cannot be read"))
    );
    let problems = wrong(&format!("{head}{both}"));
    assert!(problems.iter().any(|line| line.contains("`client_certificates`: needs `tls`")), "{problems:?}");
    let problems = wrong(&format!("{head}{tls}client_certificates: {{names: [serial=uid]}}\n"));
    assert!(
        problems.iter().any(|line| line.contains("expected `subject`, or `subject.ATTRIBUTE`")),
        "{problems:?}"
    );
    assert!(problems.iter().any(|line| line.contains("needs `authorities`")), "{problems:?}");
}

#[test]
fn accounts_are_locked_without_an_entry() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let table = [
        ("{lockout_threshold: 5}", Some((5, minutes(15)))),
        ("{lockout_threshold: 3, lockout_duration: 1h}", Some((3, minutes(60)))),
        ("{tell_lockout: true}", None),
    ];
    for (text, want) in table {
        assert_eq!(said(&format!("password_policy: {text}\n")).lockout, want, "{text}");
    }
    let head = "data: \":memory:\"\nsuffixes: dc=a\n";
    let table = [
        ("{lockout_threshold: 0}", "a whole number from 1"),
        ("{lockout_duration: 15m}", "says nothing without `lockout_threshold`"),
        ("{lockout_threshold: 5, lockout_duration: soon}", "a time like"),
        ("{lockout_threshold: 5, default: \"cn=standard,dc=a\"}", "leave one out"),
    ];
    for (text, want) in table {
        let problems = wrong(&format!("{head}password_policy: {text}\n"));
        assert!(problems.len() == 1 && problems[0].contains(want), "{text}: {problems:?}");
    }
}

#[test]
fn no_limit_is_none() {
    let config = said(
        "limits: {size: 0, time: 0s, lookthrough: unlimited}\n\
         server: {idle: 0, receive: off, stall: 0s, handshake: unlimited, connections_per_address: 0}\n\
         rate_limits: {connections: 0, binds: off, operations: {per_second: 5}}\n",
    );
    assert_eq!(
        (config.limits.size, config.limits.time, config.limits.lookthrough),
        (u32::MAX, Duration::MAX, u64::MAX)
    );
    let server = &config.server;
    for time in [server.idle, server.receive, server.stall, server.handshake] {
        assert_eq!(time, Duration::MAX);
    }
    assert_eq!(server.connections_per_address, None);
    assert_eq!((server.rates.connections, server.rates.binds), (None, None));
    assert_eq!(server.rates.operations, Some(Rate { per_second: 5, burst: 20 }));
}

#[test]
fn a_level_is_no_target() {
    for good in ["warn", "INFO", "warn,flext_ldap::slow=error", "off", "flext_ldap=debug"] {
        assert!(crate::logging::is_level(good), "{good}");
    }
    for bad in ["loud", "warn,loud", "", "flext_ldap=loud", "info,"] {
        assert!(!crate::logging::is_level(bad), "{bad}");
    }
}
