//! `flext-ldap doctor`: what it prints, what it leaves, and that what it leaves works. The findings themselves are tested
//! where there are servers to break.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _};

use flext_ldap_testkit::TestDirectory;

use crate::program::{Output, PEOPLE, flext_ldap, people, run};

const ADA: &str = "uid=ada,ou=people,dc=harbourlane,dc=example";

/// The small company over TLS, a folder with its authority, and Ada's password.
struct Place {
    directory: TestDirectory,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory =
            TestDirectory::builder().suffix("dc=harbourlane,dc=example").ldif(PEOPLE).tls().start().unwrap();
        let place = Self { directory, folder: tempfile::tempdir().unwrap() };
        fs::write(place.path("ca.pem"), place.directory.ca_pem().unwrap()).unwrap();
        fs::write(place.path("ada.password"), "tall waves\n").unwrap();
        fs::set_permissions(place.path("ada.password"), fs::Permissions::from_mode(0o600)).unwrap();
        place
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn doctor(&self, url: &str, arguments: &[&str]) -> Output {
        let ca_file = self.path("ca.pem");
        let output = run(flext_ldap(&[&["doctor", url, "--ca-file", &ca_file], arguments].concat()));
        assert!(!output.out.contains("tall waves") && !output.err.contains("tall waves"), "{output:?}");
        output
    }
}

#[test]
fn each_line_says_what_it_is() {
    let place = Place::new();
    let url = place.directory.ldaps_url().unwrap();
    let output = place.doctor(url, &["-D", ADA, "-y", &place.path("ada.password")]);
    assert_eq!((output.code, output.err.as_str()), (0, ""), "{output:?}");
    let about = format!("server {}", url.trim_end_matches('/'));
    let starts = [
        format!("ok    {about}: TLS 1.3, its certificate issued by "),
        format!("ok    account `{ADA}`: signs in at "),
        format!("ok    {about}: FLEXT-LDAP flext-ldap 0."),
        format!("ok    {about}: one signs in by name and password"),
        format!("note  {about}: the server does not tell its time"),
        format!("ok    {about}: searches start from `dc=harbourlane,dc=example`"),
        format!("ok    base `dc=harbourlane,dc=example`, seen as account `{ADA}`: people seen: 3"),
        format!(
            "ok    base `dc=harbourlane,dc=example`, seen as account `{ADA}`: of 3 people, so many show: entryUUID 3, "
        ),
        format!("ok    base `dc=harbourlane,dc=example`, seen as account `{ADA}`: groups seen: 1"),
        "note  base `dc=harbourlane,dc=example`: when accounts are locked cannot be read".to_owned(),
    ];
    let lines: Vec<_> = output.out.lines().collect();
    assert_eq!(lines.len(), starts.len(), "{}", output.out);
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(&start), "{line}\n{start}");
    }
}

#[test]
fn what_it_writes_passes_the_check() {
    let place = Place::new();
    let file = place.path("ldap.yaml");
    for url in [place.directory.ldaps_url().unwrap(), place.directory.url()] {
        let arguments = ["-D", ADA, "-y", &place.path("ada.password"), "--write", &file];
        let output = place.doctor(url, &arguments);
        assert_eq!(output.code, 0, "{output:?}");
        assert!(output.err.contains("ldap.yaml is written"), "{output:?}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("password_file: ") && !text.contains("tall waves"), "{text}");
        let checked = run(flext_ldap(&["config", "check", "--online", "--config", &file]));
        assert_eq!(checked.code, 0, "{checked:?}");
        for part in [
            "account `ada`: signs in",
            "users_ou `ou=people,dc=harbourlane,dc=example`: is there",
            "groups_ou `ou=groups,",
        ] {
            assert!(checked.out.contains(part), "{part}: {checked:?}");
        }
        // And is an account to look with.
        let again = place.doctor(url, &["--account", "ada", "--config", &file]);
        assert_eq!(again.code, 0, "{again:?}");
        assert!(again.out.contains("people seen: 3"), "{again:?}");
        let again = place.doctor(url, &["--account", "brook", "--config", &file]);
        assert!(again.code == 201 && again.err.contains("no account `brook`; it has `ada`"), "{again:?}");
        // What is there is left alone.
        let refused = place.doctor(url, &arguments);
        assert!(refused.code == 201 && refused.err.contains("nothing is overwritten"), "{refused:?}");
        assert_eq!((refused.out.as_str(), fs::read_to_string(&file).unwrap()), ("", text));
        fs::remove_file(&file).unwrap();
    }
    // On this machine there may be no TLS, and the file says so.
    let clear = people();
    let output = place.doctor(clear.url(), &["-D", ADA, "-y", &place.path("ada.password"), "--write", &file]);
    assert!(output.code == 0 && output.out.contains("the loopback interface does without"), "{output:?}");
    assert!(output.out.contains("people can be read without signing in"), "{output:?}");
    let checked = run(flext_ldap(&["config", "check", "--online", "--config", &file]));
    assert_eq!(checked.code, 0, "{checked:?}");
    fs::remove_file(&file).unwrap();
    // A password that was given otherwise is named, and not written.
    let url = place.directory.ldaps_url().unwrap();
    let output = place.doctor(url, &["-D", ADA, "-w", "tall waves", "--write", &file]);
    assert!(
        output.code == 0 && output.out.contains("in the variable `FLEXT_LDAP_ADA_PASSWORD`"),
        "{output:?}"
    );
    let mut check = flext_ldap(&["config", "check", "--online", "--config", &file]);
    check.env("FLEXT_LDAP_ADA_PASSWORD", "tall waves");
    assert_eq!(run(check).code, 0);
}

#[test]
fn exit_codes_are_those_of_commands() {
    let place = Place::new();
    let url = place.directory.ldaps_url().unwrap();
    let deserted = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = place.path("ldap.yaml");
    let stranger = place.path("other.pem");
    fs::write(&stranger, Place::new().directory.ca_pem().unwrap()).unwrap();
    let nowhere = format!("ldaps://{deserted}");
    let table: [(&[&str], i32); 6] = [
        (&[&nowhere], 202),
        (&[url, "--ca-file", &stranger], 203),
        (&[url, "-D", ADA, "-w", "calm waves"], 49),
        (
            &[
                url,
                "-D",
                ADA,
                "-y",
                &place.path("ada.password"),
                "-b",
                "ou=nowhere,dc=harbourlane,dc=example",
            ],
            32,
        ),
        (&["no domain"], 201),
        (&[url, "-D", ADA], 201),
    ];
    for (arguments, code) in table {
        let trusted = place.path("ca.pem");
        let trust: &[&str] = if arguments.contains(&"--ca-file") { &[] } else { &["--ca-file", &trusted] };
        let output = run(flext_ldap(&[&["doctor"], arguments, trust, &["--write", &file]].concat()));
        assert_eq!(output.code, code, "{arguments:?} {output:?}");
        assert!(!fs::exists(&file).unwrap(), "{arguments:?}");
        assert!(code == 201 || output.out.lines().any(|line| line.starts_with("fail  ")), "{output:?}");
        assert!(code == 201 || output.err.contains("is not written"), "{output:?}");
    }
}

#[test]
fn findings_are_json_lines() {
    let place = Place::new();
    let output =
        place.doctor(place.directory.ldaps_url().unwrap(), &["-D", ADA, "-w", "calm waves", "--json"]);
    assert_eq!(output.code, 49, "{output:?}");
    let lines: Vec<serde_json::Value> =
        output.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert_eq!(
        (last["severity"].as_str(), last["finding"].as_str()),
        (Some("fail"), Some("account-refused"))
    );
    assert_eq!(last["about"], format!("account `{ADA}`"));
    for key in ["cause", "evidence", "mend"] {
        assert!(last[key].as_str().is_some_and(|text| !text.is_empty()), "{last}");
    }
}
