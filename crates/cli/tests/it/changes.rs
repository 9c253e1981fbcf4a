//! `flext-ldap add`, `modify`, `delete`, `passwd`, `import`.

use std::process::Command;

use flext_ldap_testkit::TestDirectory;

use crate::program::{Output, PEOPLE, flext_ldap, people, run, run_with};

const ADA: &str = "uid=ada,ou=people,dc=harbourlane,dc=example";

fn as_admin(directory: &TestDirectory, arguments: &[&str]) -> Command {
    let admin = directory.admin_dn().to_string();
    let connect = ["-H", directory.url(), "-D", &admin, "-w", directory.admin_password()];
    let (command, rest) = arguments.split_first().unwrap();
    flext_ldap(&[&[*command], &connect[..], rest].concat())
}

fn entry(directory: &TestDirectory, dn: &str, attributes: &[&str]) -> Output {
    let arguments = ["search", "-LLL", "-H", directory.url(), "-s", "base", "-b", dn, "(objectClass=*)"];
    run(flext_ldap(&[&arguments[..], attributes].concat()))
}

#[test]
fn records_are_applied_in_order() {
    let directory = people();
    let changes = "\
dn: uid=dara,ou=people,dc=harbourlane,dc=example
changetype: add
objectClass: inetOrgPerson
cn: Dara Wik
sn: Wik

dn: uid=dara,ou=people,dc=harbourlane,dc=example
changetype: modify
add: mail
mail: dara@harbourlane.example
-

dn: uid=dara,ou=people,dc=harbourlane,dc=example
changetype: modrdn
newrdn: uid=dw
deleteoldrdn: 1

dn: uid=brook,ou=people,dc=harbourlane,dc=example
changetype: delete
";
    let output = run_with(as_admin(&directory, &["modify"]), changes);
    assert_eq!((output.code, output.out.as_str(), output.err.as_str()), (0, "", ""));
    let dara = entry(&directory, "uid=dw,ou=people,dc=harbourlane,dc=example", &["uid", "mail"]);
    assert!(
        dara.out.contains("uid: dw\n") && dara.out.contains("mail: dara@harbourlane.example\n"),
        "{dara:?}"
    );
    assert!(!dara.out.contains("uid: dara\n"), "{dara:?}");
    assert_eq!(entry(&directory, "uid=brook,ou=people,dc=harbourlane,dc=example", &[]).code, 32);
}

#[test]
fn what_stops_says_at_which_line_and_what_is_applied() {
    let directory = people();
    let changes = format!(
        "dn: {ADA}\nchangetype: modify\nreplace: title\ntitle: Pilot\n-\n\ndn: uid=zoe,{BASE}\nchangetype: delete\n"
    );
    let output = run_with(as_admin(&directory, &["modify"]), &changes);
    assert_eq!(output.code, 32, "{output:?}");
    assert!(output.err.contains("stopped after 1 records"), "{output:?}");
    assert!(
        output.err.contains("line 7: failed to delete `uid=zoe,dc=harbourlane,dc=example`"),
        "{output:?}"
    );

    let output = run_with(as_admin(&directory, &["add"]), "dn: dc=x\nobjectClass top\n");
    assert_eq!(output.code, 201, "{output:?}");
    assert!(output.err.contains("line 2: expected"), "{output:?}");
}

const BASE: &str = "dc=harbourlane,dc=example";

#[test]
fn a_record_without_a_changetype_is_what_the_command_is_for() {
    let directory = people();
    let change = format!("dn: {ADA}\nreplace: title\ntitle: Pilot\n-\ndelete: mail\n");
    let entries = format!("dn: ou=fleet,{BASE}\nobjectClass: organizationalUnit\n");
    let output = run_with(as_admin(&directory, &["modify"]), &change);
    assert_eq!((output.code, output.err.as_str()), (0, ""));
    assert_eq!(entry(&directory, ADA, &["title", "mail"]).out, format!("dn: {ADA}\ntitle: Pilot\n\n"));
    let output = run_with(as_admin(&directory, &["modify"]), &format!("{change}\n{entries}"));
    assert_eq!(output.code, 16, "the mail is gone already: {output:?}");
    let output = run_with(as_admin(&directory, &["modify"]), &entries);
    assert_eq!(output.code, 201, "{output:?}");
    assert!(
        output.err.contains("line 2: expected `changetype:`, or `add:`")
            && output.err.contains("flext-ldap: entries are added by `flext-ldap add`, or with -a"),
        "{output:?}"
    );
    assert_eq!(run_with(as_admin(&directory, &["modify", "-a"]), &entries).code, 0);
    assert_eq!(run_with(as_admin(&directory, &["add"]), &entries).code, 68);
}

#[test]
fn going_on_does_the_rest_and_keeps_the_exit_code() {
    let directory = people();
    let changes = format!(
        "dn: uid=zoe,{BASE}\nchangetype: delete\n\ndn: {ADA}\nchangetype: modify\nreplace: title\ntitle: Pilot\n"
    );
    let output = run_with(as_admin(&directory, &["modify", "-c"]), &changes);
    assert_eq!(output.code, 32, "{output:?}");
    assert!(entry(&directory, ADA, &["title"]).out.contains("title: Pilot\n"));
    let output =
        run_with(as_admin(&directory, &["modify", "-n"]), &format!("dn: {ADA}\nchangetype: delete\n"));
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(entry(&directory, ADA, &[]).code, 0, "a dry run changes nothing");
}

/// security: CSV/LDIF import, `file://` in LDIF.
#[test]
fn a_file_in_ldif_is_refused_unless_asked_for() {
    let directory = people();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("note");
    std::fs::write(&path, "from a file").unwrap();
    let change = format!(
        "dn: {ADA}\nchangetype: modify\nreplace: description\ndescription:< file://{}\n-\n",
        path.display()
    );
    let output = run_with(as_admin(&directory, &["modify"]), &change);
    assert_eq!(output.code, 201, "{output:?}");
    assert!(output.err.contains("line 4: the value is in a file"), "{output:?}");
    let output = run_with(as_admin(&directory, &["modify", "--read-files"]), &change);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(entry(&directory, ADA, &["description"]).out.contains("description: from a file\n"));
}

#[test]
fn passwords_are_changed_by_their_owner_and_by_the_administrator() {
    let directory = people();
    let own = [
        "passwd",
        "-H",
        directory.url(),
        "-D",
        ADA,
        "-w",
        "tall waves",
        "-a",
        "tall waves",
        "-s",
        "long waves",
    ];
    let output = run(flext_ldap(&own));
    assert_eq!(output.code, 0, "{output:?}");
    let whoami =
        |password| run(flext_ldap(&["whoami", "-H", directory.url(), "-D", ADA, "-w", password])).code;
    assert_eq!((whoami("tall waves"), whoami("long waves")), (49, 0));
    let output = run(as_admin(&directory, &["passwd", ADA]));
    let generated = output.out.trim().strip_prefix("New password: ").unwrap().to_owned();
    assert_eq!((whoami("long waves"), whoami(&generated)), (49, 0));
    let mine = [
        "passwd",
        "-H",
        directory.url(),
        "-D",
        ADA,
        "-w",
        &generated,
        "-s",
        "x y z",
        "uid=brook,ou=people,dc=harbourlane,dc=example",
    ];
    assert_eq!(run(flext_ldap(&mine)).code, 50, "nobody else's");
}

#[test]
fn an_import_that_stops_says_how_to_go_on() {
    let directory = people();
    let records: String = (1..=40)
        .map(|n| {
            let sn = if n == 30 { "" } else { "sn: Person\n" };
            format!("dn: uid=p{n},ou=people,{BASE}\nobjectClass: inetOrgPerson\ncn: Person {n}\n{sn}\n")
        })
        .collect();
    let output = run_with(as_admin(&directory, &["import", "--in-flight", "1"]), &records);
    assert_eq!(output.code, 65, "{output:?}");
    assert!(output.err.contains("stopped: 29 records are applied"), "{output:?}");
    assert!(output.err.contains("--from-line 146 --skip-existing"), "{output:?}");
    let mended = records.replace("cn: Person 30\n", "cn: Person 30\nsn: Person\n");
    let output =
        run_with(as_admin(&directory, &["import", "--from-line", "146", "--skip-existing"]), &mended);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.err.contains("imported 11 records"), "{output:?}");
}

/// What is mended stands before the line at fault, so going on must begin with the record.
#[test]
fn an_import_that_cannot_read_a_record_goes_on_with_all_of_it() {
    let directory = people();
    let record = |n: u32| {
        format!("dn: uid=p{n},ou=people,{BASE}\nobjectClass: inetOrgPerson\ncn: Person {n}\nsn: Person\n\n")
    };
    let bad = format!("{}{}{}", record(1), record(2).replace("sn: Person", "sn Person"), record(3));
    let output = run_with(as_admin(&directory, &["import", "--in-flight", "1"]), &bad);
    assert_eq!(output.code, 201, "{output:?}");
    assert!(
        output.err.starts_with("flext-ldap: failed to read standard input: line 9: expected"),
        "{output:?}"
    );
    assert!(output.err.ends_with("go on with --from-line 6 --skip-existing\n"), "{output:?}");
    let mended: String = (1..=3).map(record).collect();
    let output = run_with(as_admin(&directory, &["import", "--from-line", "6", "--skip-existing"]), &mended);
    assert!(output.err.contains("imported 2 records"), "{output:?}");

    let bad = format!("{}sn: nobody's\n", record(4));
    let output = run_with(as_admin(&directory, &["import", "--in-flight", "1"]), &bad);
    let said = "failed to read standard input: line 6: expected `dn:`";
    let to_do = "go on with --from-line 6 --skip-existing";
    assert!(output.err.contains(said) && output.err.contains(to_do), "{output:?}");

    // Nothing is to be mended where the entry is there.
    let output = run_with(as_admin(&directory, &["import"]), &record(1));
    assert_eq!(output.code, 68, "{output:?}");
    assert!(output.err.starts_with("flext-ldap: line 1: failed to add"), "{output:?}");
    assert!(
        output.err.ends_with("\nflext-ldap: stopped: 0 records are applied; go on with --skip-existing\n")
    );
    // A value that is in a file: all there is to do is said.
    let file = record(5).replace("sn: Person", "sn:< file:///nowhere");
    let output = run_with(as_admin(&directory, &["import"]), &file);
    let said = "--read-files reads it; stopped: 0 records are applied; mend the record, then go on with";
    assert!(output.code == 201 && output.err.contains(said), "{output:?}");
}

/// With `-c` what is no LDIF is passed over as what is refused is, whoever reads it.
#[test]
fn what_is_no_ldif_is_passed_over_by_who_goes_on() {
    let record = |n: u32| {
        format!("dn: uid=p{n},ou=people,{BASE}\nobjectClass: inetOrgPerson\ncn: Person {n}\nsn: Person\n\n")
    };
    let bad = [
        record(1),
        record(2).replace("sn: Person", "sn Person"),
        record(3).replace("dn: uid=p3", "dn: p3"),
        "sn: nobody's\n\n".to_owned(),
        record(4).replace("cn: ", "cn:: "),
        record(5),
    ];
    let bad = bad.concat();
    let counted = [
        (&["import"][..], "imported 2 records in "),
        (&["import", "--in-flight", "1"], ", skipped 0 that were there, 4 failed"),
        (&["add"], "line 9: expected"),
        (&["modify", "-a"], "line 11: expected a distinguished name"),
    ];
    for (command, said) in counted {
        let directory = people();
        let output = run_with(as_admin(&directory, &[command, &["-c"]].concat()), &bad);
        assert_eq!(output.code, 201, "{output:?}");
        assert!(output.err.contains(said), "{command:?} {output:?}");
        assert_eq!(entry(&directory, &format!("uid=p5,ou=people,{BASE}"), &[]).code, 0, "{command:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let import = ["directory", "import", "--data", data.to_str().unwrap(), "--suffix", BASE];
    let all = format!("{PEOPLE}\n{bad}");
    let output = run_with(flext_ldap(&[&import[..], &["--hash-passwords", "-c"]].concat()), &all);
    assert_eq!(output.code, 201, "{output:?}");
    assert!(
        output.err.contains("imported 9 entries in ") && output.err.contains(", 4 refused\n"),
        "{output:?}"
    );
    let line = PEOPLE.lines().count() + 12;
    assert!(output.err.contains(&format!("line {line}: expected a distinguished name")), "{output:?}");
}

#[test]
fn what_cannot_be_read_is_named_and_what_is_not_sent_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.yaml");
    std::fs::write(&path, "- a\n").unwrap();
    let path = path.to_str().unwrap();
    for command in [&["add", "-n", "-f", path][..], &["modify", "-n", "-f", path]] {
        let output = run(flext_ldap(command));
        assert_eq!(output.code, 201, "{output:?}");
        assert!(output.err.contains(&format!("failed to read {path}: line 1: expected")), "{output:?}");
    }
    let change = format!("dn: {ADA}\nchangetype: modify\nreplace: title\ntitle: Pilot\n");
    let output = run_with(flext_ldap(&["modify", "-n", "-v"]), &change);
    assert_eq!((output.code, output.err.as_str()), (0, &*format!("line 1: modify `{ADA}` (not sent)\n")));
}

#[test]
fn passwords_of_whom_there_is_no_entry() {
    let directory = people();
    let output = run(as_admin(&directory, &["passwd", "-s", "x"]));
    assert_eq!(output.code, 53, "{output:?}");
    assert!(output.err.contains("password is in the configuration of the server"), "{output:?}");
    let output = run(as_admin(&directory, &["passwd", "-s", "x", "ada"]));
    assert_eq!(output.code, 34, "{output:?}");
    assert!(output.err.contains("`ada` is no name: one is written like `uid=ada,ou=people,"), "{output:?}");
    let output = run(as_admin(&directory, &["passwd", "-s", "x", &format!("uid=nobody,{BASE}")]));
    assert_eq!(output.code, 32, "{output:?}");
}

#[test]
fn deleting_goes_on_after_a_tree_that_is_not_there() {
    let directory = people();
    let names = format!("ou=no,{BASE}\nou=groups,{BASE}\n");
    let output = run_with(as_admin(&directory, &["delete", "-r", "-c", "-f", "-"]), &names);
    assert_eq!(output.code, 32, "{output:?}");
    assert!(output.err.contains(&format!("failed to delete `ou=no,{BASE}`")), "{output:?}");
    assert_eq!(entry(&directory, &format!("ou=groups,{BASE}"), &[]).code, 32);
}

/// Changes are what was asked for, and what is said about them is not.
#[test]
fn nobody_listening_stops_no_change() {
    let directory = people();
    let folder = tempfile::tempdir().unwrap();
    let changes = folder.path().join("changes.ldif");
    let change = |title| format!("dn: {ADA}\nchangetype: modify\nreplace: title\ntitle: {title}\n-\n\n");
    std::fs::write(&changes, change("Mate") + &change("Pilot")).unwrap();
    let mut command = as_admin(&directory, &["modify", "-v", "-f", changes.to_str().unwrap()]);
    let (heard, ear) = nix::unistd::pipe().unwrap();
    drop(heard);
    command.stderr(ear);
    assert_eq!(run(command).code, 0);
    assert!(entry(&directory, ADA, &["title"]).out.contains("title: Pilot\n"));
}
