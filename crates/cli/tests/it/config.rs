//! One configuration for all that is done with a directory: looked at whole, held to, and the same for everybody.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::program::{Output, PEOPLE, flext_ldap, run, run_with, wait_for_line};

const BASE: &str = "dc=harbourlane,dc=example";
const ADMIN: &str = "cn=admin,dc=harbourlane,dc=example";

/// A folder with a directory of people, and a configuration in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.path("secret"), "open water\n").unwrap();
        fs::set_permissions(place.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
        place
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes the configuration: what all have, and `more`.
    fn config(&self, more: &str) -> String {
        let path = self.path("flext-ldap.yaml");
        let (data, secret) = (self.path("data"), self.path("secret"));
        let text = format!(
            "data: {data}\nsuffixes: [\"{BASE}\"]\nlisten: [\"ldap://127.0.0.1:0\"]\nadministrator: {{dn: \"{ADMIN}\", password_file: {secret}}}\n{more}"
        );
        fs::write(&path, text).unwrap();
        path
    }

    fn directory(&self, command: &str, arguments: &[&str], input: &str) -> Output {
        let config = self.path("flext-ldap.yaml");
        run_with(flext_ldap(&[&["directory", command, "--config", &config], arguments].concat()), input)
    }
}

#[test]
fn imports_and_checks_hold_to_the_configuration() {
    let place = Place::new();
    let config = place.config("unique: [{attributes: [mail]}]\n");
    let twice = PEOPLE.replace("uid: brook\n", "uid: brook\nmail: ada@harbourlane.example\n");
    let output = place.directory("import", &["--hash-passwords"], &twice);
    assert_ne!(output.code, 0, "{output:?}");
    assert!(output.err.contains("line 23: constraintViolation (19): `uid=ada,ou=people,dc=harbourlane,dc=example` has a value of `mail`"), "{output:?}");
    fs::remove_dir_all(place.path("data")).unwrap();

    // Without the constraint it is taken; with it, every command says so.
    place.config("");
    assert_eq!(place.directory("import", &["--hash-passwords"], &twice).code, 0);
    place.config("unique: [{attributes: [mail]}]\n");
    let checked = place.directory("check", &[], "");
    assert_eq!(checked.code, 209, "{checked:?}");
    let mut check = flext_ldap(&["directory", "check"]);
    check.env("FLEXT_LDAP_CONFIG", &config);
    assert_eq!(run(check).code, 209, "the environment names the file as well");
    let backup = place.path("monday");
    assert_eq!(place.directory("backup", &["--to", &backup], "").code, 0);
    let restored = place.directory("restore", &["--from", &backup, "--replace"], "");
    assert_eq!(restored.code, 208, "{restored:?}");
    assert!(restored.err.contains("had 1 faults; nothing was restored"), "{restored:?}");
    assert_eq!(place.directory("compact", &[], "").code, 0);
}

#[test]
fn a_configuration_is_held_against_the_schema_of_the_directory() {
    let place = Place::new();
    place.config("");
    assert_eq!(place.directory("import", &["--hash-passwords"], PEOPLE).code, 0);
    let serve = ["directory", "serve", "--config", &place.path("flext-ldap.yaml")];
    let mut child = flext_ldap(&serve).spawn().unwrap();
    let url = wait_for_line(&mut child, "listening on ldap://").replace("listening on ", "");
    let secret = place.path("secret");
    let change = "dn: cn=subschema\nchangetype: modify\nadd: attributeTypes\nattributeTypes: ( 1.3.6.1.4.1.32473.1.1 NAME 'shoeSize' \
                  EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )\n-\n";
    let changed = run_with(flext_ldap(&["modify", "-H", &url, "-D", ADMIN, "-y", &secret]), change);
    assert_eq!(changed.code, 0, "{changed:?}");
    let more = "indexes:\n  shoeSize: [eq]\n  shoeSise: [eq]\naccess:\n  - allow:\n      - \"group cn=crew,ou=groups,dc=harbourlane,dc=example\": write\n      - \"group cn=crow,ou=groups,dc=harbourlane,dc=example\": read\n";
    let wanted =
        "line 7, column 3: `indexes.shoeSise`: unknown attribute `shoesise`; did you mean `shoeSize`?";
    let missing = "line 11, column 9: `access[1].allow[2]`: there is no entry `cn=crow,ou=groups,dc=harbourlane,dc=example`";
    for served in [true, false] {
        place.config(more);
        let output = place.directory("serve", &["--check"], "");
        assert_eq!(output.code, 201, "{served}: {output:?}");
        assert!(output.err.contains(wanted), "{served}: {output:?}");
        assert!(output.err.contains("warning: ") && output.err.contains(missing), "{served}: {output:?}");
        assert!(!output.err.contains("cn=crew"), "{served}: {output:?}");
        place.config(&more.replace("  shoeSise: [eq]\n", ""));
        let output = place.directory("serve", &["--check"], "");
        assert_eq!(output.code, 0, "{served}: {output:?}");
        if served {
            // SIGHUP looks at it in the same way.
            place.config(more);
            kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGHUP).unwrap();
            wait_for_line(&mut child, "the configuration stays as it was");
            kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
            ended(&mut child);
        }
    }
    // And so does a start.
    place.config(more);
    let output = place.directory("serve", &[], "");
    assert_eq!(output.code, 201, "{output:?}");
    assert!(output.err.contains(wanted), "{output:?}");
}

/// Waits for the end of one that was told to end.
fn ended(child: &mut std::process::Child) {
    assert!(child.wait().unwrap().success());
}

#[test]
fn secrets_that_all_can_read_are_warned_of_and_nothing_is_left_behind() {
    let place = Place::new();
    place.config("");
    fs::set_permissions(place.path("secret"), fs::Permissions::from_mode(0o644)).unwrap();
    let output = place.directory("serve", &["--check"], "");
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output.err.contains("`administrator.password_file`: everybody on this machine can read"),
        "{output:?}"
    );
    assert!(!Path::new(&place.path("data")).exists());
    let output = run(flext_ldap(&[
        "directory",
        "serve",
        "--data",
        &place.path("none"),
        "--listen",
        "ldap://127.0.0.1:0",
    ]));
    assert_eq!(output.code, 201, "{output:?}");
    assert!(output.err.contains("`suffixes`: is missing"), "{output:?}");
    assert!(!Path::new(&place.path("none")).exists());
    let output = run(flext_ldap(&["directory", "serve"]));
    assert_eq!(output.code, 201, "{output:?}");
    assert!(
        output
            .err
            .contains("`data`: is missing: the folder the directory lives in, in --config or by --data"),
        "{output:?}"
    );
}

#[test]
fn the_administrator_may_do_what_is_explained() {
    let place = Place::new();
    place.config("");
    assert_eq!(place.directory("import", &["--hash-passwords"], PEOPLE).code, 0);
    let on = "uid=ada,ou=people,dc=harbourlane,dc=example";
    let rights = |arguments: &[&str]| {
        let output = place.directory("access", &[&["--on", on, "--json"], arguments].concat(), "");
        assert_eq!(output.code, 0, "{output:?}");
        let explained: serde_json::Value = serde_json::from_str(&output.out).unwrap();
        let rights = explained["rights"].as_array().unwrap().to_vec();
        let given = |one: &serde_json::Value| one["allowed"].as_bool().unwrap();
        let name = |one: &serde_json::Value| one["right"].as_str().unwrap().to_owned();
        let denied: Vec<String> = rights.iter().filter(|one| !given(one)).map(name).collect();
        (rights.len(), denied, explained["notes"].to_string())
    };
    let (count, denied, notes) = rights(&["--as", ADMIN]);
    assert!(count > 4 && denied.is_empty(), "{denied:?}");
    assert!(notes.contains("the store's administrator may do everything"), "{notes}");
    assert_eq!(rights(&["--as", ADMIN, "--attribute", "userPassword"]).1, ["compare", "search", "read"]);
    let other = "cn=other,dc=harbourlane,dc=example";
    assert_eq!(rights(&["--as", other, "--admin-dn", other]).1, [] as [&str; 0]);
    let (_, denied, notes) = rights(&["--as", other]);
    assert!(!denied.is_empty() && notes.contains(&format!("there is no entry `{other}`")), "{notes}");
}
