//! `flext-ldap directory access`, and a directory served with the rules it explains.

use std::process::Stdio;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::program::{PEOPLE, finish, flext_ldap, run, run_with, wait_for_line};

const BASE: &str = "dc=harbourlane,dc=example";
const ADA: &str = "uid=ada,ou=people,dc=harbourlane,dc=example";
const BROOK: &str = "uid=brook,ou=people,dc=harbourlane,dc=example";
const CHIDI: &str = "uid=chidi,ou=people,dc=harbourlane,dc=example";

const RULES: &str = "
- name: passwords
  to: {attributes: userPassword}
  allow: [self: write, anonymous: auth]
- to: {attributes: mail}
  allow: ['group cn=crew,ou=groups,dc=harbourlane,dc=example': read]
- to: {subtree: 'ou=people,dc=harbourlane,dc=example'}
  allow: [anyone: read]
- to: {entry: 'dc=harbourlane,dc=example'}
  allow: [anyone: disclose]
";

#[test]
fn a_decision_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, rules) = (path("data"), path("access.yaml"));
    std::fs::write(&rules, RULES).unwrap();
    let import = ["directory", "import", "--data", &data, "--suffix", BASE, "--hash-passwords"];
    assert_eq!(run_with(flext_ldap(&import), PEOPLE).code, 0);
    let access = |arguments: &[&str]| {
        run(flext_ldap(&[&["directory", "access", "--data", &data][..], arguments].concat()))
    };

    let output = access(&["--as", BROOK, "--on", ADA, "--attribute", "mail", "--rules", &rules]);
    assert_eq!((output.code, output.err.as_str()), (0, ""));
    insta::assert_snapshot!("access-group", output.out);
    let output = access(&["--as", CHIDI, "--on", ADA, "--attribute", "mail", "--rules", &rules, "--json"]);
    assert_eq!(output.code, 0, "{output:?}");
    let told: serde_json::Value = serde_json::from_str(&output.out).unwrap();
    assert_eq!(told["requester"], CHIDI);
    assert_eq!(told["rules"][1]["outcome"], "decided");
    assert_eq!(told["rules"][1]["lines"][0]["because"], "is not a member");
    assert_eq!(told["rights"][3], serde_json::json!({"right": "read", "allowed": false}));
    let output = access(&["--as", ADA, "--on", ADA, "--attribute", "userPassword", "--rules", &rules]);
    assert!(output.out.contains("\nread           never\nadd-values     allowed, by rule 1\n"), "{output:?}");
    // Without rules of its own a directory has the standard ones.
    let output = access(&["--on", ADA, "--from", "unix"]);
    insta::assert_snapshot!("access-standard", output.out);
    let output = access(&["--on", ADA, "--anonymous-read", "--from", "2001:db8::7", "--over", "clear"]);
    assert!(output.out.starts_with("who    anonymous (clear, from 2001:db8::7)\n"), "{output:?}");
    assert!(output.out.contains("disclose       allowed, by rule 3\n"), "{output:?}");
    let output = access(&["--on", ADA, "--as", BROOK, "--admin-dn", BROOK]);
    assert!(output.out.contains("delete         allowed, by rule 3\n"), "{output:?}");
}

#[test]
fn rules_that_are_wrong_are_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, rules) = (path("data"), path("access.yaml"));
    let nothing = run(flext_ldap(&["directory", "access", "--data", &data, "--on", ADA]));
    assert_eq!(nothing.code, 201, "{nothing:?}");
    assert!(nothing.err.contains("there is no directory in"), "{nothing:?}");
    assert!(!std::path::Path::new(&data).exists());
    for (text, want) in [
        (
            "- to: {subtree: x}\n  alow: []\n",
            "error: line 2 column 3: unknown field `alow`; did you mean `allow`?",
        ),
        ("- allow: [users: raed]\n", "rule 1, `allow[1]`: unknown right `raed`; did you mean `read`?"),
    ] {
        std::fs::write(&rules, text).unwrap();
        for command in [&["access", "--on", ADA][..], &["serve", "--listen", "ldap://127.0.0.1:0"]] {
            let (first, rest) = command.split_first().unwrap();
            let data = ["--data", ":memory:", "--suffix", BASE, "--rules", &rules];
            let output = run(flext_ldap(&[&["directory", first][..], &data, rest].concat()));
            assert_eq!(output.code, 201, "{output:?}");
            assert!(output.err.contains(want), "{output:?}");
        }
    }
}

#[test]
fn a_directory_is_served_with_rules() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (rules, secret) = (path("access.yaml"), path("secret"));
    std::fs::write(&rules, RULES).unwrap();
    std::fs::write(&secret, "tall waves\n").unwrap();
    let serve = ["directory", "serve", "--data", ":memory:", "--suffix", BASE, "--rules", &rules];
    let load = ["--listen", "ldap://127.0.0.1:0", "--import", "-", "--hash-passwords"];
    let mut command = flext_ldap(&[&serve[..], &load].concat());
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), PEOPLE.as_bytes()).unwrap();
    let url = wait_for_line(&mut child, "listening on ldap://").replace("listening on ", "");
    let mail = ["search", "-LLL", "-H", &url, "-b", BASE, "(|(uid=ada)(cn=crew))", "mail"];
    assert_eq!(run(flext_ldap(&mail)).out, format!("dn: {ADA}\n\n"));
    let output = run(flext_ldap(&[&mail[..], &["-D", ADA, "-y", &secret]].concat()));
    assert_eq!(output.out, format!("dn: {ADA}\nmail: ada@harbourlane.example\n\n"), "{output:?}");
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(finish(child).code, 0);
}
