//! Files that are read, and files that are not: what is said of them, and that nothing in a file costs more than it may.

use std::path::PathBuf;

use super::*;

fn read(text: &str) -> anyhow::Result<Config> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flext-ldap.yaml");
    fs::write(&path, text).unwrap();
    Config::read(&path)
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
    let config = Config::read(&path).unwrap();
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
    let text = "suffixes: dc=a\naccess:\n  - allow: [users: read]\n  - to:\n      subtree: nonsense\n    allow:\n      - users: raed\n";
    let error = read(text).unwrap().rules(Schema::standard()).unwrap_err().to_string();
    let lines: Vec<_> = error.lines().skip(1).map(str::trim_start).collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert!(lines[0].starts_with("line 5, column 16: `access[2].to.subtree`: "), "{error}");
    assert!(lines[1].starts_with("line 7, column 9: `access[2].allow[1]`: unknown right `raed`"), "{error}");
}

#[test]
fn yaml_that_is_none_says_where() {
    let table = [
        ("data: [", "line "),
        ("data: a\ndata: b\n", "line 2, column 1: "),
        ("just text\n", "line 1, column 1: expected a map of keys, found `just text`"),
        ("data: /a\n---\ndata: /b\n", ""),
        ("a: b: c\n", "line 1"),
    ];
    for (text, want) in table {
        let problems = wrong(text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(want), "{text:?}: {problems:?}");
    }
    assert_eq!(read("").unwrap().suffixes, []);
    assert_eq!(read("# nothing\n").unwrap().data, None);
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
    let long = format!("data: {}\n", "x".repeat(node::LARGEST));
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
    let before = read("data: /a\nlimits: {size: 1, cache: 64MiB}\nlisten: \"ldap://localhost\"\n").unwrap();
    let after = read("# moved\ndata: /a\nlimits: {size: 2, cache: 32MiB}\nindexes: {cn: eq}\n").unwrap();
    assert_eq!(after.needing_restart(&before), ["listen", "indexes", "limits.cache"]);
    assert_eq!(after.needing_restart(&after), [] as [&str; 0]);
}
