//! `flext-ldap doctor`: what it prints, what it leaves, and that what it leaves works. The findings themselves are tested
//! where there are servers to break.

mod hostile;

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
    fs::remove_file(&file).unwrap();
    // A base that is hidden from those who did not sign in is no base of theirs.
    let output = place.doctor(url, &["--write", &file]);
    assert!(output.code == 0 && output.err.contains("ldap.yaml is written"), "{output:?}");
    assert!(!fs::read_to_string(&file).unwrap().contains("base_dn"));
    let checked = run(flext_ldap(&["config", "check", "--online", "--config", &file]));
    assert_eq!(checked.code, 0, "{checked:?}");
}

/// A configuration of these servers, by what else its first one says.
fn config(place: &Place, urls: &[&str], first: &str, more: &str) -> String {
    let path = place.path("given.yaml");
    let (one, others) = urls.split_first().unwrap();
    let others: String = others.iter().map(|url| format!("    - url: \"{url}\"\n")).collect();
    let failover = if others.is_empty() { String::new() } else { format!("  failover_servers:\n{others}") };
    let text = format!("flext_ldap:\n  primary_server:\n    url: \"{one}\"\n{first}{failover}{more}");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_server_is_named_as_other_commands_take_it() {
    let place = Place::new();
    let (url, ca_file) = (place.directory.ldaps_url().unwrap(), place.path("ca.pem"));
    let named = run(flext_ldap(&["doctor", "-H", url, "--ca-file", &ca_file]));
    assert_eq!((named.code, named.out), (0, place.doctor(url, &[]).out));
    let twice = run(flext_ldap(&["doctor", url, "-H", url]));
    assert!(twice.code == 201 && twice.err.contains("cannot be used with"), "{twice:?}");
    let nothing = run(flext_ldap(&["doctor"]));
    assert!(
        nothing.code == 201 && nothing.err.contains("a domain, a URL, or a configuration"),
        "{nothing:?}"
    );
}

#[test]
fn the_servers_of_a_configuration_are_looked_at_as_it_has_them_reached() {
    let place = Place::new();
    let deserted = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (away, url) = (format!("ldaps://{deserted}"), place.directory.ldaps_url().unwrap());
    let trust = format!("    ssl_ca_cert_path: \"{}\"\n", place.path("ca.pem"));
    let more = format!(
        "  directory_structure: {{base_dn: \"ou=people,dc=harbourlane,dc=example\"}}\n  \
         service_accounts: {{reader: {{dn: \"{ADA}\", password_file: \"{}\"}}}}\n",
        place.path("ada.password")
    );
    let file = config(&place, &[&away, url], &trust, &more);
    let named = run(flext_ldap(&["doctor", "--config", &file, "--account", "reader"]));
    assert_eq!((named.code, named.err.as_str()), (0, ""), "{named:?}");
    for part in [
        format!("warn  server {away}: nobody listens there"),
        format!("ok    server {}: TLS 1.3", url.trim_end_matches('/')),
        "ok    account `reader`: signs in at".to_owned(),
        "ok    base `ou=people,dc=harbourlane,dc=example`, seen as account `reader`: people seen: 3"
            .to_owned(),
    ] {
        assert!(named.out.contains(&part), "{part}: {named:?}");
    }
    let mut by_variable = flext_ldap(&["doctor", "--account", "reader"]);
    by_variable.env("FLEXT_LDAP_CONFIG", &file);
    assert_eq!(run(by_variable).out, named.out);
    // It is there already.
    let written = place.path("ldap.yaml");
    let refused = run(flext_ldap(&["doctor", "--config", &file, "--write", &written]));
    assert!(refused.code == 201 && refused.err.contains("--write goes with DOMAIN or URL"), "{refused:?}");
    // The file of a served directory is another one.
    fs::write(place.path("served.yaml"), "data: /srv/x\nsuffixes: dc=a\n").unwrap();
    let mut served = flext_ldap(&["doctor"]);
    served.env("FLEXT_LDAP_CONFIG", place.path("served.yaml"));
    let served = run(served);
    assert!(served.code == 201 && served.err.contains("say what to look at"), "{served:?}");
}

#[test]
fn a_configuration_says_how_tls_is_done_unless_an_option_does() {
    let place = Place::new();
    let url = place.directory.ldaps_url().unwrap();
    let trust = format!("    ssl_ca_cert_path: \"{}\"\n", place.path("ca.pem"));
    let file = config(&place, &["ldaps://ldap1.harbourlane.example"], &trust, "");
    let written = place.path("ldap.yaml");
    let password = place.path("ada.password");
    let arguments = ["doctor", url, "--config", &file, "--write", &written, "-D", ADA, "-y", &password];
    let trusted = run(flext_ldap(&arguments));
    assert!(trusted.code == 0 && !trusted.out.contains("ldap1.harbourlane.example"), "{trusted:?}");
    let checked = run(flext_ldap(&["config", "check", "--online", "--config", &written]));
    assert_eq!(checked.code, 0, "{checked:?}");
    let stranger = place.path("other.pem");
    fs::write(&stranger, Place::new().directory.ca_pem().unwrap()).unwrap();
    let refused = run(flext_ldap(&["doctor", url, "--config", &file, "--ca-file", &stranger]));
    assert!(
        refused.code == 203 && refused.out.contains("is neither sent by the server nor trusted"),
        "{refused:?}"
    );
    // What a configuration dares is said, and written too.
    fs::remove_file(&written).unwrap();
    let dares = "  security: {dangerous_accept_any_certificate: true}\n";
    let file = config(&place, &["ldaps://ldap1.harbourlane.example"], "    ssl_verify: false\n", dares);
    let dared = run(flext_ldap(&arguments));
    assert_eq!((dared.code, file), (0, place.path("given.yaml")), "{dared:?}");
    assert!(dared.out.contains("any certificate is accepted"), "{dared:?}");
    let checked = run(flext_ldap(&["config", "check", "--online", "--config", &written]));
    assert_eq!(checked.code, 0, "{checked:?}");
}

#[test]
fn a_configuration_says_how_long_is_waited_and_whether_there_is_tls() {
    let place = Place::new();
    // The kernel takes the connections, and nobody else does anything.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ldap://{}", silent.local_addr().unwrap());
    let file = config(&place, &[&url], "", "  connection_settings: {connection_timeout: 1s}\n");
    for (arguments, within) in [(&[][..], "within 1s"), (&["--timeout", "2"], "within 2s")] {
        let silent = run(flext_ldap(&[&["doctor", "--config", &file], arguments].concat()));
        assert!(silent.code != 0 && silent.out.contains(within), "{silent:?}");
    }
    let clear = people();
    let file = config(&place, &[clear.url()], "    start_tls: false\n", "  security: {require_ssl: false}\n");
    let looked = run(flext_ldap(&["doctor", "--config", &file]));
    assert_eq!(looked.code, 0, "{looked:?}");
    assert!(looked.out.contains("the configuration wants no TLS, and the loopback interface"), "{looked:?}");
    // A program would not do without what the file asks for.
    let file = config(&place, &[clear.url()], "", "");
    let looked = run(flext_ldap(&["doctor", "--config", &file]));
    assert!(looked.code == 203 && looked.out.contains("the server refuses StartTLS"), "{looked:?}");
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
