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
    let there = place.directory("restore", &["--from", &backup], "");
    assert!(
        there.code == 201 && there.err.contains("--replace keeps what is in the folder beside it"),
        "{there:?}"
    );
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

#[test]
fn what_is_no_configuration_is_told_in_one_line() {
    let place = Place::new();
    for (text, said) in [
        (PEOPLE, "  line 1, column 1: this is LDIF, which `flext-ldap directory import` loads\n"),
        ("a: 1\nb: 2\n", "  line 1, column 1: no key of a configuration is in it; expected one of `data`, "),
        ("- a\n", "  line 1, column 1: expected a map of keys, found a list\n"),
    ] {
        fs::write(place.path("flext-ldap.yaml"), text).unwrap();
        let output = place.directory("serve", &["--check"], "");
        assert_eq!((output.code, output.err.lines().count()), (201, 2), "{output:?}");
        assert!(output.err.contains(said), "{output:?}");
    }
    // What there is to choose from is told once.
    place.config("zebra: 1\ngnu: 2\n");
    let output = place.directory("serve", &["--check"], "");
    assert_eq!(output.err.matches("unknown key; expected one of").count(), 1, "{output:?}");
    assert!(output.err.contains("`gnu`: unknown key\n"), "{output:?}");
}

/// What a configuration names may come with what is loaded.
#[test]
fn an_import_does_not_miss_what_it_brings() {
    let place = Place::new();
    place.config("access: [allow: [\"group cn=crew,ou=groups,dc=harbourlane,dc=example\": read]]\n");
    let output = place.directory("import", &["--hash-passwords"], PEOPLE);
    assert!(output.code == 0 && !output.err.contains("warning"), "{output:?}");
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

/// What a check says after the name of the file, warnings and errors alike.
fn told(output: &Output) -> Vec<String> {
    output.err.lines().filter_map(|line| Some(format!("line {}", line.split_once("line ")?.1))).collect()
}

#[test]
fn values_that_break_a_new_constraint_are_told_before_a_start() {
    let place = Place::new();
    place.config("");
    let twice = PEOPLE
        .replace("uid: brook\n", "uid: brook\nmail: ADA@harbourlane.example\nemployeeNumber: 7\n")
        .replace(
            "uid: chidi\n",
            "uid: chidi\nmail: ada@harbourlane.example\nuidNumber: 7\nemployeeNumber: 7\n",
        )
        .replace(
            "uid: chidi\n",
            "uid: chidi\nobjectClass: posixAccount\ngidNumber: 1\nhomeDirectory: /home/chidi\n",
        )
        .replace(
            "member: uid=brook",
            "member: uid=dora,ou=people,dc=harbourlane,dc=example\nmember: uid=brook",
        );
    let import = place.directory("import", &["--hash-passwords"], &twice);
    assert_eq!(import.code, 0, "{import:?}");
    // The index of a constraint need not be there yet; places and filters count.
    place.config(&format!(
        "indexes: {{uidNumber: [eq]}}\nreferential_integrity: {{must_exist: true}}\nunique:\n  - attributes: [mail, uidNumber]\n  \
         - {{attributes: [employeeNumber], below: [\"ou=groups,{BASE}\"]}}\n  \
         - {{attributes: [employeeNumber], filter: (uid=b*)}}\n  - attributes: [employeeNumber]\n"
    ));
    let rest = "no entry gets such a value any more, and `directory check` names all";
    let want = [
        format!(
            "line 8, column 5: `unique[1]`: 2 stored values break it, the first: `uid=ada,ou=people,{BASE}` and `uid=brook,ou=people,{BASE}` have the same `mail`; they stay, {rest}"
        ),
        format!(
            "line 11, column 5: `unique[4]`: 1 stored value breaks it, the first: `uid=brook,ou=people,{BASE}` and `uid=chidi,ou=people,{BASE}` have the same `employeeNumber`; it stays, {rest}"
        ),
        format!(
            "line 6, column 37: `referential_integrity.must_exist`: 1 stored value breaks it, the first: `member` of `cn=crew,ou=groups,{BASE}` names `uid=dora,ou=people,{BASE}`; it stays, {rest}"
        ),
    ];
    let checked = place.directory("serve", &["--check"], "");
    assert_eq!((checked.code, told(&checked)), (0, want.to_vec()), "{checked:?}");
    assert!(
        checked
            .err
            .lines()
            .all(|line| line.starts_with("warning: ") || line == "the configuration can be used")
    );

    // A folder that is served is not opened.
    let mut child =
        flext_ldap(&["directory", "serve", "--config", &place.path("flext-ldap.yaml")]).spawn().unwrap();
    wait_for_line(&mut child, "listening on ldap://");
    let checked = place.directory("serve", &["--check"], "");
    let want = ["line 8, column 3: `unique`", "line 6, column 37: `referential_integrity.must_exist`"];
    assert_eq!((checked.code, told(&checked).len()), (0, 2), "{checked:?}");
    for (told, want) in told(&checked).iter().zip(want) {
        let unseen = ": whether entries break it was not looked at: the folder is in use by the process that serves it";
        assert!(told.starts_with(&format!("{want}{unseen}")), "{want}: {told}");
    }
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    ended(&mut child);
}

#[test]
fn names_outside_of_the_directory_are_told_before_a_start() {
    let place = Place::new();
    place.config("");
    assert_eq!(place.directory("import", &["--hash-passwords"], PEOPLE).code, 0);
    let (path, secret) = (place.config(""), place.path("secret"));
    let write = |suffixes: &str, administrator: &str| {
        let data = place.path("data");
        let text = format!(
            "data: {data}\nsuffixes: {suffixes}\nlisten: ldap://127.0.0.1:0\nadministrator: {{dn: \"{administrator}\", password_file: {secret}}}\n"
        );
        fs::write(&path, text).unwrap();
        place.directory("serve", &["--check"], "")
    };
    let checked = write("[\"DC=HarbourLane,dc=example\"]", ADMIN);
    assert_eq!((checked.code, checked.err.as_str()), (0, "the configuration can be used\n"));
    let checked = write("[\"dc=harborlane,dc=example\"]", "cn=admin,dc=exmaple");
    let want = [
        format!(
            "line 2, column 12: `suffixes[1]`: there is no entry `dc=harborlane,dc=example`, and the folder has entries in `{BASE}`; all are served"
        ),
        format!("line 2, column 11: `suffixes`: the folder also holds `{BASE}`, which is served too"),
        format!(
            "line 4, column 21: `administrator.dn`: `cn=admin,dc=exmaple` is not in this directory, whose names end in `dc=harborlane,dc=example` or `{BASE}`; it can sign in by this name all the same"
        ),
    ];
    assert_eq!((checked.code, told(&checked)), (0, want.to_vec()), "{checked:?}");
    let checked = write("dc=example", ADMIN);
    let want = format!(
        "line 2, column 11: `suffixes[1]`: `dc=example` and `{BASE}`, which the folder has, stand one below the other; name the upper one alone, or none"
    );
    assert_eq!((checked.code, told(&checked).last()), (201, Some(&want)), "{checked:?}");
    let started = place.directory("serve", &[], "");
    assert_eq!(
        (started.code, told(&started).last()),
        (201, Some(&want)),
        "a start says the same: {started:?}"
    );
}

#[test]
fn addresses_are_tried_before_a_start() {
    let place = Place::new();
    place.config("");
    let check = |listen: &str| {
        let (data, path) = (place.path("data"), place.path("flext-ldap.yaml"));
        fs::write(&path, format!("data: {data}\nsuffixes: [\"{BASE}\"]\nlisten:\n{listen}")).unwrap();
        place.directory("serve", &["--check"], "")
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = place.path("no").replace('/', "%2F");
    let checked = check(&format!(
        "  - ldap://127.0.0.1:{port}\n  - ldap://192.0.2.1:0\n  - ldap://127.0.0.1:0\n  - ldapi://{folder}%2Fldapi\n"
    ));
    let want = [
        format!("line 4, column 5: `listen[1]`: cannot listen on `ldap://127.0.0.1:{port}`; stop who listens there, or use another port or path: Address already in use (os error 98)"),
        "line 5, column 5: `listen[2]`: cannot listen on `ldap://192.0.2.1:0`; no interface of this machine has that address: Cannot assign requested address (os error 99)".to_owned(),
        format!("line 7, column 5: `listen[4]`: cannot listen on `ldapi://{folder}%2Fldapi`; make the folder: No such file or directory (os error 2)"),
    ];
    assert_eq!((checked.code, told(&checked)), (201, want.to_vec()), "{checked:?}");
    assert!(!Path::new(&place.path("data")).exists());

    // What the process listens on that serves the directory is free when it has ended.
    drop(taken);
    let listen =
        format!("  - ldap://127.0.0.1:{port}\n  - ldapi://{}\n", place.path("socket").replace('/', "%2F"));
    assert_eq!(check(&listen).code, 0);
    assert!(!Path::new(&place.path("socket")).exists());
    let mut child =
        flext_ldap(&["directory", "serve", "--config", &place.path("flext-ldap.yaml")]).spawn().unwrap();
    wait_for_line(&mut child, "listening on ldapi://");
    let checked = check(&listen);
    assert_eq!((checked.code, checked.err.as_str()), (0, "the configuration can be used\n"));
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    ended(&mut child);

    let checked = check("  []\n");
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(
        checked.err.contains("`listen`: is missing: only sockets that a service manager passes are"),
        "{checked:?}"
    );
}

#[test]
fn a_folder_that_cannot_be_opened_is_told_before_a_start() {
    let place = Place::new();
    place.config("");
    fs::write(place.path("data"), "precious").unwrap();
    let checked = place.directory("serve", &["--check"], "");
    let want =
        format!("line 1, column 7: `data`: `{}` cannot be written in: it is no folder", place.path("data"));
    assert_eq!((checked.code, told(&checked)), (201, vec![want]), "{checked:?}");
    fs::remove_file(place.path("data")).unwrap();
    fs::create_dir(place.path("data")).unwrap();
    fs::write(place.path("data/directory.redb"), "no store of ours").unwrap();
    let checked = place.directory("serve", &["--check"], "");
    assert_eq!((checked.code, told(&checked).len()), (201, 1), "{checked:?}");
    assert!(told(&checked)[0].starts_with("line 1, column 7: `data`: "), "{checked:?}");
}

#[test]
fn constraints_are_held_against_the_indexes_that_the_directory_has() {
    let place = Place::new();
    place.config("indexes: {mail: [], title: [eq]}\n");
    assert_eq!(place.directory("import", &["--hash-passwords"], PEOPLE).code, 0);
    // It keeps its indexes where none are named: `mail` has none here, and `title`, which has none by itself, has one.
    place.config("unique: [{attributes: [title]}]\n");
    let mut child =
        flext_ldap(&["directory", "serve", "--config", &place.path("flext-ldap.yaml")]).spawn().unwrap();
    wait_for_line(&mut child, "listening on ldap://");
    let check = || {
        (place.directory("serve", &["--check"], ""), place.config("unique: [{attributes: [title, mail]}]\n"))
    };
    assert_eq!(check().0.code, 0);
    let want = "line 5, column 31: `unique[1].attributes[2]`: unique values: attribute `mail` has no index for equality; add one";
    let (checked, _) = check();
    assert_eq!((checked.code, told(&checked)), (201, vec![want.to_owned()]), "{checked:?}");
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    ended(&mut child);
    for arguments in [&["--check"][..], &[]] {
        let output = place.directory("serve", arguments, "");
        assert_eq!((output.code, told(&output)), (201, vec![want.to_owned()]), "{output:?}");
    }
}

#[test]
fn a_password_that_systemd_keeps_is_no_fault_of_a_check() {
    let place = Place::new();
    let path = place.config("");
    let text = fs::read_to_string(&path).unwrap().replace("password_file:", "password_credential: admin #");
    fs::write(&path, text.replace('{', "\n  ").replace(", password", "\n  password")).unwrap();
    let checked = place.directory("serve", &["--check"], "");
    let want = "line 6, column 24: `administrator.password_credential`: was not looked at: systemd hands credentials to the unit, and to nobody else";
    assert_eq!((checked.code, told(&checked)), (0, vec![want.to_owned()]), "{checked:?}");
    // In the unit it is looked at, and a start needs it.
    let check = ["directory", "serve", "--config", &path, "--check"];
    let mut inside = flext_ldap(&check);
    inside.env("CREDENTIALS_DIRECTORY", place.path("none"));
    for output in [run(inside), place.directory("serve", &[], "")] {
        assert!(
            output.code == 201 && output.err.contains("`administrator.password_credential`: "),
            "{output:?}"
        );
        assert!(!output.err.contains("was not looked at"), "{output:?}");
    }
}

#[test]
fn rules_by_which_nobody_signs_in_are_warned_of() {
    let place = Place::new();
    let want = "line 6, column 3: `access`: nobody but the administrator can sign in with a password: no rule about `userPassword` allows `anonymous: auth`";
    let table: [(&str, &[&str]); 6] = [
        ("- allow: [users: read]", &[want]),
        ("- {to: {attributes: mail}, allow: [anyone: read]}", &[want]),
        ("- {to: {attributes: [userPassword]}, allow: [self: write, anonymous: none]}", &[want]),
        ("- {to: {attributes: [mail, USERPASSWORD]}, allow: [self: write, anonymous: auth]}", &[]),
        ("- allow: [anyone: [read, add]]", &[]),
        ("- {to: {attributes: \"@person\"}, allow: [anonymous: compare]}", &[]),
    ];
    for (rules, want) in table {
        place.config(&format!("access:\n  {rules}\n"));
        let checked = place.directory("serve", &["--check"], "");
        assert_eq!(
            (checked.code, told(&checked)),
            (0, want.iter().map(ToString::to_string).collect()),
            "{rules}"
        );
    }
    place.config("");
    assert_eq!(told(&place.directory("serve", &["--check"], "")), [] as [&str; 0]);
}
