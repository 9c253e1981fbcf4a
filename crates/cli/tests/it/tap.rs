//! `flext-tap-ldap` before it has a directory: what it says of itself, and how it refuses.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    process::{Command, Output},
};

use serde_json::{Value, json};

/// Runs the tap without any variable of its own but these.
pub(crate) fn tap(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flext-tap-ldap"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TAP_LDAP_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).envs(variables.iter().copied()).output().unwrap()
}

fn text(octets: &[u8]) -> &str {
    str::from_utf8(octets).unwrap()
}

#[test]
fn it_says_what_it_is() {
    let version = tap(&["--version"], &[]);
    assert_eq!(text(&version.stdout), format!("flext-tap-ldap {}\n", env!("CARGO_PKG_VERSION")));

    let about = tap(&["--about", "--format", "json"], &[]);
    assert!(about.status.success());
    let about: Value = serde_json::from_slice(&about.stdout).unwrap();
    assert_eq!(about["name"], "flext-tap-ldap");
    assert_eq!(about["capabilities"], json!(["about", "catalog", "discover", "state"]));
    assert_eq!(about["settings"]["required"], json!(["url"]));
    assert_eq!(about["settings"]["properties"]["bind_password"]["secret"], true);

    let about = tap(&["--about", "--format=markdown"], &[]);
    assert!(text(&about.stdout).contains("\n- `page_size`: Entries of one page"));
}

#[test]
fn what_cannot_be_done_is_said_on_standard_error_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // A port that nobody listens on: it was free a moment ago.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let url = format!("ldap://127.0.0.1:{port}");
    let good = file("good.json", &json!({"url": url}).to_string());
    let misspelt = file("misspelt.json", r#"{"url": "ldap://localhost", "bind_pasword": "hunter2"}"#);
    let not_json = file("not.json", "{");

    let table: &[(&[&str], &str)] = &[
        (&[], "error: no settings; give --config FILE, or --config ENV and variables TAP_LDAP_<SETTING>"),
        (&["--config", "ENV"], "error: the configuration cannot be used: missing field `url`"),
        (&["--config", &misspelt], "unknown field `bind_pasword`"),
        (&["--config", &not_json], "not.json` is not JSON: EOF"),
        (&["--config", &good, "--catalog", &not_json], "not.json`: the catalog cannot be used: EOF"),
        (&["--config", &good, "--state", &not_json], "not.json` is not JSON: EOF"),
        (&["--config", &good], "error: the directory could not be connected to: "),
        // Meltano gives the state to the discovery too.
        (
            &["--config", &good, "--discover", "--state", &good],
            "error: the directory could not be connected to: ",
        ),
    ];
    for (arguments, want) in table {
        let output = tap(arguments, &[]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(want) && !said.contains("hunter2"), "{arguments:?}: {said}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
    }
    assert_eq!(tap(&["--colour"], &[]).status.code(), Some(2));
}

#[test]
fn the_environment_wins() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tap.json");
    fs::write(&file, r#"{"url": "http://file", "page_size": 10}"#).unwrap();
    let file = file.to_str().unwrap();
    let variables =
        [("TAP_LDAP_URL", "http://variable"), ("TAP_LDAP_PAGE_SIZE", ""), ("TAP_LDAP_START_TLS", "true")];
    for arguments in [["--config", "ENV", "--config", file], ["--config", file, "--config", "ENV"]] {
        let output = tap(&arguments, &variables);
        let said = text(&output.stderr);
        assert!(said.contains("the setting `url` is `http://variable`: not an LDAP URL"), "{said}");
    }
    let wrong = [("TAP_LDAP_URL", "ldap://x"), ("TAP_LDAP_PAGE_SIZE", "many")];
    let said = tap(&["--config", "ENV"], &wrong).stderr;
    assert!(text(&said).contains("invalid type: string \"many\", expected u32"), "{}", text(&said));
}
