//! `flext-tap-ldap` over a served directory.

use crate::program::{people, run, tap};

#[test]
fn discovery_selection_and_extraction() {
    let directory = people();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let config = format!("{{\"url\": \"{}\", \"base\": \"dc=harbourlane,dc=example\"}}", directory.url());
    std::fs::write(path("config.json"), config).unwrap();
    let catalog = run(tap(&["--config", &path("config.json"), "--discover"]));
    assert_eq!(catalog.code, 0, "{catalog:?}");
    let mut catalog: serde_json::Value = serde_json::from_str(&catalog.out).unwrap();
    let streams = catalog["streams"].as_array_mut().unwrap();
    let names: Vec<_> =
        streams.iter().map(|stream| stream["tap_stream_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["users", "groups"]);
    let groups = streams.iter_mut().find(|stream| stream["tap_stream_id"] == "groups").unwrap();
    let root = groups["metadata"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|one| one["breadcrumb"] == serde_json::json!([]));
    root.unwrap()["metadata"]["selected"] = false.into();
    std::fs::write(path("catalog.json"), catalog.to_string()).unwrap();

    let output = run(tap(&["--config", &path("config.json"), "--catalog", &path("catalog.json")]));
    assert_eq!(output.code, 0, "{output:?}");
    let messages: Vec<serde_json::Value> =
        output.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| messages.iter().filter(|message| message["type"] == kind).collect::<Vec<_>>();
    assert_eq!((of("SCHEMA").len(), of("RECORD").len()), (1, 3));
    let chidi = of("RECORD").into_iter().find(|record| record["record"]["uid"][0] == "chidi").unwrap();
    assert_eq!(chidi["record"]["cn"][0], "Chidi Öberg");
    assert_eq!(chidi["record"]["dn"], "uid=chidi,ou=people,dc=harbourlane,dc=example");
    assert!(chidi["record"]["entryUUID"].is_string());
    assert_eq!(messages.last().unwrap()["type"], "STATE");
    assert!(!output.out.contains("$argon2"), "no hash leaves");
}

#[test]
fn a_directory_that_cannot_be_reached_fails_without_state() {
    let mut command = tap(&["--config", "ENV"]);
    command.env("TAP_LDAP_URL", "ldap://127.0.0.1:1").env("TAP_LDAP_BASE", "dc=x");
    let output = run(command);
    assert_eq!((output.code, output.out.as_str()), (1, ""), "{output:?}");
    assert!(output.err.contains("127.0.0.1:1"), "{output:?}");
}
