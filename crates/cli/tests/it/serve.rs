//! `flext-ldap directory`: served, loaded, dumped.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::program::{Output, PEOPLE, finish, flext_ldap, run, run_with, wait_for_line};

const BASE: &str = "dc=harbourlane,dc=example";
const ADMIN: &str = "cn=admin,dc=harbourlane,dc=example";

fn terminate(child: Child) -> Output {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    finish(child)
}

#[test]
fn served_changed_ended_and_served_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, secret, ldif, log) = (path("data"), path("secret"), path("people.ldif"), path("access.log"));
    std::fs::write(&secret, "open water\n").unwrap();
    std::fs::write(&ldif, PEOPLE).unwrap();
    let socket = format!("ldapi://{}", path("socket").replace('/', "%2F"));
    let serve = [
        "directory",
        "serve",
        "--data",
        &data,
        "--suffix",
        BASE,
        "--listen",
        "ldap://127.0.0.1:0",
        "--listen",
        &socket,
        "--admin-dn",
        ADMIN,
        "--admin-password-file",
        &secret,
        "--access-log",
        &log,
    ];
    let mut child =
        flext_ldap(&[&serve[..], &["--import", &ldif, "--hash-passwords"]].concat()).spawn().unwrap();
    let url = wait_for_line(&mut child, "listening on ldap://").replace("listening on ", "");
    wait_for_line(&mut child, "listening on ldapi://");
    let admin = ["-H", &url, "-D", ADMIN, "-y", &secret];
    let change =
        "dn: uid=ada,ou=people,dc=harbourlane,dc=example\nchangetype: modify\nreplace: title\ntitle: Pilot\n";
    let output = run_with(flext_ldap(&[&["modify"], &admin[..]].concat()), change);
    assert_eq!(output.code, 0, "{output:?}");
    let output = run(flext_ldap(&["whoami", "-H", &socket, "-Y", "EXTERNAL"]));
    assert_eq!((output.code, output.out), (0, format!("dn:{ADMIN}\n")), "{:?}", output.err);
    let ada = ["search", "-LLL", "-H", &url, "-b", BASE, "(uid=ada)", "title"];
    assert_eq!(run(flext_ldap(&ada)).out, "", "nobody reads who has not signed in");
    let ended = terminate(child);
    assert_eq!(ended.code, 0, "{ended:?}");
    let lines = std::fs::read_to_string(&log).unwrap();
    assert!(lines.contains("uid=ada"), "{lines}");
    assert!(!lines.contains("open water"), "{lines}");

    // What was acknowledged is there after the restart; the whole comes out again as LDIF.
    let mut child = flext_ldap(&serve).spawn().unwrap();
    let url = wait_for_line(&mut child, "listening on ldap://").replace("listening on ", "");
    let busy = run(flext_ldap(&["directory", "export", "--data", &data, "--suffix", BASE]));
    assert_eq!(busy.code, 208, "the folder is in use: {busy:?}");
    assert!(busy.err.contains("is exported by `flext-ldap export -H URL`"), "{busy:?}");
    let ada = ["search", "-LLL", "-H", &url, "-D", ADMIN, "-y", &secret, "-b", BASE, "(uid=ada)", "title"];
    let output = run(flext_ldap(&ada));
    assert_eq!(
        output.out, "dn: uid=ada,ou=people,dc=harbourlane,dc=example\ntitle: Pilot\n\n",
        "{:?}",
        output.err
    );
    let busy = run(flext_ldap(&["directory", "import", "--data", &data, "-f", &ldif]));
    assert!(busy.code == 208 && busy.err.contains("`flext-ldap import -H URL` loads"), "{busy:?}");
    assert_eq!(terminate(child).code, 0);

    let export = run(flext_ldap(&["directory", "export", "--data", &data, "--suffix", BASE]));
    assert_eq!((export.code, export.err.as_str()), (0, "exported 7 entries\n"));
    assert!(export.out.contains("\nentryUUID: ") && export.out.contains("\nuserPassword:"), "{}", export.out);
    let copy = path("copy");
    let import =
        run_with(flext_ldap(&["directory", "import", "--data", &copy, "--suffix", BASE]), &export.out);
    assert_eq!(import.code, 0, "{import:?}");
    let again = run(flext_ldap(&["directory", "export", "--data", &copy, "--suffix", BASE]));
    assert_eq!(again.out, export.out, "a copy is a copy, identifiers, times and hashes included");
}

#[test]
fn a_signal_ends_it_while_it_loads() {
    let serve =
        ["directory", "serve", "--data", ":memory:", "--suffix", BASE, "--listen", "ldap://127.0.0.1:0"];
    let mut command = flext_ldap(&[&serve[..], &["--import", "-"]].concat());
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // More than a pipe holds, so once it is written the loading has begun; it goes on until the pipe is closed.
    stdin.write_all(&b"# nothing yet\n".repeat(64 << 10)).unwrap();
    let ended = terminate(child);
    assert_eq!(ended.code, 210, "{ended:?}");
    assert!(ended.err.contains("stopped by a signal while the LDIF was loaded"), "{ended:?}");
    drop(stdin);
}

#[test]
fn clear_passwords_are_not_imported_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let import = ["directory", "import", "--data", data.to_str().unwrap(), "--suffix", BASE];
    let output = run_with(flext_ldap(&import), PEOPLE);
    assert_eq!(output.code, 201, "{output:?}");
    assert!(output.err.contains("password in clear text"), "{output:?}");
    assert!(!output.err.contains("tall waves"), "{output:?}");
    // A start that loads again what is there says how to start.
    let again = [
        "directory",
        "serve",
        "--data",
        data.to_str().unwrap(),
        "--listen",
        "ldap://127.0.0.1:0",
        "--import",
        "-",
    ];
    let output = run_with(flext_ldap(&again), PEOPLE);
    assert_eq!(output.code, 201, "{output:?}");
    let hint = "nothing is served: leave --import out to serve what the folder has";
    assert!(output.err.contains(hint) && output.err.contains("the entry is there already"), "{output:?}");
}

/// What is said can be done as it is said.
#[test]
fn a_start_whose_import_stops_says_the_command_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, ldif) = (path("my data"), path("people.ldif"));
    std::fs::write(&ldif, PEOPLE).unwrap();
    let serve = |data: &str, suffix: &str, ldif: &str| {
        let listen = ["--listen", "ldap://127.0.0.1:0", "--import", ldif];
        run(flext_ldap(&[&["directory", "serve", "--data", data, "--suffix", suffix][..], &listen].concat()))
    };
    let output = serve(&data, BASE, &ldif);
    assert_eq!(output.code, 201, "{output:?}");
    let line = PEOPLE.lines().position(|line| line.starts_with("dn: uid=ada")).unwrap() + 1;
    let command = format!("directory import --data '{data}' --hash-passwords --from-line {line} -f {ldif}");
    assert!(output.err.contains(&format!("`flext-ldap {command}` loads the rest")), "{output:?}");
    let from = line.to_string();
    let go_on = ["--data", &data, "--hash-passwords", "--from-line", &from, "-f", &ldif];
    let output = run(flext_ldap(&[&["directory", "import"], &go_on[..]].concat()));
    assert!(output.code == 0 && output.err.contains("imported 4 entries"), "{output:?}");
    // What was asked for the first time is asked for again.
    let start = ["directory", "serve", "--data", &data, "--listen", "ldap://127.0.0.1:0", "--hash-passwords"];
    let output = run(flext_ldap(&[&start[..], &["--import", &ldif]].concat()));
    let command = format!("directory import --data '{data}' --hash-passwords -c -f {ldif}");
    assert!(output.err.contains(&format!("`flext-ldap {command}` loads what")), "{output:?}");

    let output = serve(":memory:", BASE, &path("none"));
    assert_eq!(output.code, 208, "{output:?}");
    assert!(output.err.starts_with("flext-ldap: failed to open ") && !output.err.contains("--import"));
    let output = serve(":memory:", BASE, &ldif);
    let said: Vec<_> = output.err.lines().collect();
    let why = format!("flext-ldap: failed to import {ldif} without --hash-passwords: line {line}: ");
    assert!(said[0].starts_with(&why), "{output:?}");
    assert_eq!(said[1..], ["flext-ldap: nothing is served, and nothing was kept"], "{output:?}");
    let output = serve(":memory:", BASE, folder.path().to_str().unwrap());
    assert!(output.code == 208 && output.err.contains("Is a directory"), "{output:?}");
    let new = path("new");
    let output = serve(&new, "dc=wrong,dc=example", &ldif);
    assert!(output.err.contains("names here end in `dc=wrong,dc=example`"), "{output:?}");
    assert!(!std::path::Path::new(&new).exists());
    let output = serve(&new, BASE, &path("none"));
    assert!(output.code == 208 && !std::path::Path::new(&new).exists(), "{output:?}");
    // Somebody else listens there.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ldap://{}", taken.local_addr().unwrap());
    let serve = ["directory", "serve", "--data", &new, "--suffix", BASE, "--listen", &url];
    let output = run(flext_ldap(&serve));
    assert!(output.code == 208 && output.err.contains("failed to listen"), "{output:?}");
    assert!(!std::path::Path::new(&new).exists());
}

#[test]
fn a_schema_that_is_wrong_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let schema = folder.path().join("own.schema");
    std::fs::write(&schema, "attributetype ( 1.2.3.4.5 NAME 'shoeSize'\n  SYNTAX nonsense( )\n").unwrap();
    let output = run(flext_ldap(&[
        "directory",
        "import",
        "--data",
        ":memory:",
        "--suffix",
        BASE,
        "--schema",
        schema.to_str().unwrap(),
    ]));
    assert_eq!(output.code, 201, "{output:?}");
    assert!(output.err.contains("line "), "{output:?}");
}

#[test]
fn an_export_of_nothing_is_no_backup() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("mistyped");
    let output =
        run(flext_ldap(&["directory", "export", "--data", data.to_str().unwrap(), "--suffix", BASE]));
    assert_eq!((output.code, output.out.as_str()), (201, ""), "{output:?}");
    assert!(output.err.contains("there is no directory in"), "{output:?}");
    assert!(!data.exists());
    let output = run(flext_ldap(&["export", "-b", BASE, "--page-size", "0"]));
    assert_eq!((output.code, output.out.as_str()), (201, ""), "{output:?}");
}

/// A server that may have so many descriptors by itself (`soft`), and if it asks (`hard`).
fn with_descriptors(soft: u32, hard: u32) -> Child {
    let serve =
        ["directory", "serve", "--data", ":memory:", "--suffix", BASE, "--listen", "ldap://127.0.0.1:0"];
    let program = flext_ldap(&serve);
    let mut command = Command::new("/bin/sh");
    let limits = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
    command.args(["-c", &limits]).arg(program.get_program()).args(program.get_args()).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Opens so many connections, and says what the last of them was told: nothing, if it is served.
fn told_the_last(url: &str, connections: usize) -> Vec<u8> {
    let address = url.trim().trim_start_matches("ldap://").trim_end_matches('/').to_owned();
    let mut open: Vec<_> = (0..connections).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let mut last = open.pop().unwrap();
    // Who am I (RFC 4532): who is served is answered, who is not is told so and closed.
    let _refused = last.write_all(b"\x30\x1e\x02\x01\x01\x77\x19\x80\x171.3.6.1.4.1.4203.1.11.3");
    last.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut answer = vec![0; 4096];
    let read = last.read(&mut answer).unwrap();
    answer.truncate(read);
    answer
}

#[test]
fn connections_fit_in_the_descriptors_there_are() {
    // It may ask for more, and does.
    let mut child = with_descriptors(100, 1_000);
    let url = wait_for_line(&mut child, "listening on ldap://").replace("listening on ", "");
    let answer = told_the_last(&url, 300);
    assert_eq!(answer.get(2..5), Some(&[0x02, 0x01, 0x01][..]), "{answer:02x?}");
    let ended = terminate(child);
    assert!(ended.code == 0 && !ended.err.contains("could not be accepted"), "{ended:?}");

    // It may not: one too many is told so, where it would have waited for ever.
    let mut child = with_descriptors(100, 100);
    let warning = wait_for_line(&mut child, "descriptors");
    assert!(warning.contains("`server.connections` is 10000") && warning.contains("takes 36"), "{warning}");
    let url = wait_for_line(&mut child, "listening on ldap://").replace("listening on ", "");
    let answer = told_the_last(&url, 37);
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert!(text.contains("too many connections are open"), "{text}");
    let ended = terminate(child);
    assert!(ended.code == 0 && !ended.err.contains("could not be accepted"), "{ended:?}");
}
