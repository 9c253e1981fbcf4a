//! `flext-ldap directory`: served, loaded, dumped.

use std::process::Child;

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
    assert_ne!(busy.code, 0, "the folder is in use: {busy:?}");
    let ada = ["search", "-LLL", "-H", &url, "-D", ADMIN, "-y", &secret, "-b", BASE, "(uid=ada)", "title"];
    let output = run(flext_ldap(&ada));
    assert_eq!(
        output.out, "dn: uid=ada,ou=people,dc=harbourlane,dc=example\ntitle: Pilot\n\n",
        "{:?}",
        output.err
    );
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
fn clear_passwords_are_not_imported_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let import = ["directory", "import", "--data", data.to_str().unwrap(), "--suffix", BASE];
    let output = run_with(flext_ldap(&import), PEOPLE);
    assert_eq!(output.code, 201, "{output:?}");
    assert!(output.err.contains("password in clear text"), "{output:?}");
    assert!(!output.err.contains("tall waves"), "{output:?}");
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
