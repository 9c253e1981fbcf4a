//! `flext-ldap demo`, small.

use crate::program::{PEOPLE, flext_ldap, people, run};

#[test]
fn the_demo_shows_the_whole_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.jsonl");
    let output = run(flext_ldap(&["demo", "--people", "200", "-o", out.to_str().unwrap()]));
    assert_eq!(output.code, 0, "{output:?}");
    for expected in [
        "invented   Harbour Lane Instruments: 200 people",
        "loaded     ",
        "ldapsearch -x -LLL -H ldap://127.0.0.1:",
        "signed in  dn:uid=",
        "refused    the same with a wrong password",
        "+ description: Changed by the demo",
        "extracted  200 users",
    ] {
        assert!(output.out.contains(expected), "`{expected}` is missing in:\n{}", output.out);
    }
    assert_eq!(output.err, "", "quiet where nobody watches");
    let messages = std::fs::read_to_string(out).unwrap();
    let records =
        messages.lines().filter(|line| line.starts_with("{\"type\":\"RECORD\",\"stream\":\"users\"")).count();
    assert_eq!(records, 200);
    assert!(messages.lines().last().unwrap().starts_with("{\"type\":\"STATE\""));
}

#[test]
fn the_demo_takes_the_visitors_data_and_servers() {
    let folder = tempfile::tempdir().unwrap();
    let (ldif, out) = (folder.path().join("people.ldif"), folder.path().join("out.jsonl"));
    std::fs::write(&ldif, PEOPLE).unwrap();
    let output = run(flext_ldap(&["demo", "--ldif", ldif.to_str().unwrap(), "-o", out.to_str().unwrap()]));
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output.out.contains("extracted  3 users") && output.out.contains("extracted  1 groups"),
        "{output:?}"
    );

    let directory = people();
    let output = run(flext_ldap(&["demo", "--url", directory.url(), "-o", out.to_str().unwrap()]));
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output.out.contains("counted    7 entries") && output.out.contains("extracted  3 users"),
        "{output:?}"
    );
    // Named by a configuration, with the base that it names.
    let config = folder.path().join("ldap.yaml");
    let text = format!(
        "flext_ldap:\n  primary_server: {{url: \"{}\", start_tls: false}}\n  security: {{require_ssl: false}}\n  \
         directory_structure: {{base_dn: \"ou=people,dc=harbourlane,dc=example\"}}\n",
        directory.url()
    );
    std::fs::write(&config, text).unwrap();
    let output = run(flext_ldap(&["demo", "--config", config.to_str().unwrap()]));
    assert!(
        output.out.contains("counted    4 entries") && output.out.contains("under `ou=people,"),
        "{output:?}"
    );
    let output = run(flext_ldap(&["demo", "-b", "dc=harbourlane,dc=example"]));
    assert_eq!(output.code, 201, "{output:?}");
    assert!(output.err.contains("-b goes with a server"), "{output:?}");
}
