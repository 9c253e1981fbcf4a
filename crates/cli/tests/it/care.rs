//! `flext-ldap directory check`, `backup`, `restore`, `compact`: on folders that are served and that are not.

use std::{fs, path::Path};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::program::{PEOPLE, finish, flext_ldap, run, wait_for_line};

const BASE: &str = "dc=harbourlane,dc=example";

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn directory(args: &[&str]) -> crate::program::Output {
    run(flext_ldap(&[&["directory"], args].concat()))
}

#[test]
fn what_is_no_backup_is_named_and_leaves_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (text(&folder.path().join("data")), text(&folder.path().join("file")));
    let ldif = format!("{file} is LDIF and no backup; `flext-ldap directory import` loads it");
    let other = format!("failed to restore {file}: the backup cannot be used, at octet 1: this is no backup");
    for (content, said) in [(&*format!("# people\n\n{PEOPLE}"), ldif), ("dnx: nothing\n", other)] {
        fs::write(&file, content).unwrap();
        let restored = directory(&["restore", "--data", &data, "--suffix", BASE, "--from", &file]);
        assert_eq!(restored.code, 201, "{restored:?}");
        assert!(restored.err.contains(&said), "{restored:?}");
        assert!(!Path::new(&data).exists());
    }
    let served = directory(&["import", "--data", &file, "--suffix", BASE]);
    assert_eq!(served.code, 208, "{served:?}");
    assert!(served.err.contains("is a file, and a directory lives in a folder"), "{served:?}");
}

#[test]
fn backed_up_while_served_and_restored() {
    let folder = tempfile::tempdir().unwrap();
    let (data, ldif) = (text(&folder.path().join("data")), text(&folder.path().join("people.ldif")));
    let (backup, other) = (text(&folder.path().join("monday")), text(&folder.path().join("other")));
    fs::write(&ldif, PEOPLE).unwrap();
    let imported = directory(&["import", "--data", &data, "--suffix", BASE, "--hash-passwords", "-f", &ldif]);
    assert_eq!(imported.code, 0, "{imported:?}");
    let mut child = flext_ldap(&["directory", "serve", "--data", &data, "--listen", "ldap://127.0.0.1:0"])
        .spawn()
        .unwrap();
    wait_for_line(&mut child, "listening on ldap://");

    let backed_up = directory(&["backup", "--data", &data, "--to", &backup]);
    assert_eq!(backed_up.code, 0, "{backed_up:?}");
    let said = format!("{:?}", backed_up.err);
    assert!(said.contains("backed up ") && said.contains("SHA-256"), "{said}");
    let again = directory(&["backup", "--data", &data, "--to", &backup]);
    assert_eq!(again.code, 201, "{again:?}");
    let checked = directory(&["check", "--data", &data]);
    assert_eq!((checked.code, checked.out.as_str()), (0, ""), "{checked:?}");
    assert!(format!("{:?}", checked.err).contains(": 0 faults"), "{checked:?}");
    let mend = directory(&["check", "--data", &data, "--mend"]);
    assert_eq!(mend.code, 201, "{mend:?}");
    let compacted = directory(&["compact", "--data", &data]);
    assert_eq!(compacted.code, 208, "{compacted:?}");
    assert!(format!("{:?}", compacted.err).contains("in use by another process"), "{compacted:?}");

    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(finish(child).code, 0);
    assert!(!Path::new(&data).join("control").exists());

    let restored = directory(&["restore", "--data", &other, "--from", &backup]);
    assert_eq!(restored.code, 0, "{restored:?}");
    let exported = |data: &str| directory(&["export", "--data", data]).out;
    assert_eq!(exported(&other), exported(&data));
    let refused = directory(&["restore", "--data", &other, "--from", &backup]);
    assert_eq!(refused.code, 201, "{refused:?}");
    let before = fs::read(Path::new(&other).join("directory.redb")).unwrap();
    for number in [1, 2] {
        let replaced = directory(&["restore", "--data", &other, "--from", &backup, "--replace"]);
        assert_eq!(replaced.code, 0, "{replaced:?}");
        let kept = format!("{other}/directory.redb.replaced-{number}");
        assert!(replaced.err.contains(&format!("what it replaces is in {kept}; remove it")), "{replaced:?}");
        assert_eq!(fs::read(&kept).unwrap().len(), before.len());
    }
    assert_eq!(fs::read(Path::new(&other).join("directory.redb.replaced-1")).unwrap(), before);
    assert_eq!(exported(&other), exported(&data));

    // The same without anybody who serves it, to standard output.
    let backed_up = flext_ldap(&["directory", "backup", "--data", &data, "--to", "-"])
        .stdout(fs::File::create(folder.path().join("tuesday")).unwrap())
        .status()
        .unwrap();
    assert!(backed_up.success());
    assert_eq!(fs::read(folder.path().join("tuesday")).unwrap(), fs::read(&backup).unwrap());
    let compacted = directory(&["compact", "--data", &data]);
    assert_eq!(compacted.code, 0, "{compacted:?}");
    let checked = directory(&["check", "--data", &data, "--json"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    let report: serde_json::Value = serde_json::from_str(&checked.out).unwrap();
    assert_eq!((report["faults"].as_u64(), report["rebuildable"].as_u64()), (Some(0), Some(0)));
    assert!(report["entries"].as_u64() > Some(3), "{report}");
}

#[test]
fn a_restore_that_fails_is_not_in_the_way_of_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&folder.path().join(name));
    let (data, other, backup, part) = (path("data"), path("other"), path("backup"), path("part"));
    fs::write(path("people.ldif"), PEOPLE).unwrap();
    let import =
        ["import", "--data", &data, "--suffix", BASE, "--hash-passwords", "-f", &path("people.ldif")];
    assert_eq!(directory(&import).code, 0);
    assert_eq!(directory(&["backup", "--data", &data, "--to", &backup]).code, 0);
    let octets = fs::read(&backup).unwrap();
    fs::write(&part, &octets[..octets.len() - 1]).unwrap();
    let failed = directory(&["restore", "--data", &other, "--from", &part]);
    assert_eq!(failed.code, 201, "{failed:?}");
    // Whoever looks now makes nothing there, and finds nothing.
    for command in ["check", "export", "backup", "compact"] {
        let to: &[&str] = if command == "backup" { &["--to", "-"] } else { &[] };
        let output = directory(&[&[command, "--data", &other], to].concat());
        assert_eq!(output.code, 201, "{output:?}");
        assert!(output.err.contains("there is no directory in"), "{output:?}");
    }
    assert_eq!(directory(&["restore", "--data", &other, "--from", &backup]).code, 0);
    // Nor does one of a directory that is there change it.
    let before = fs::read(Path::new(&other).join("directory.redb")).unwrap();
    assert_eq!(directory(&["restore", "--data", &other, "--from", &part, "--replace"]).code, 201);
    assert_eq!(fs::read(Path::new(&other).join("directory.redb")).unwrap(), before);
    let mut names: Vec<_> = fs::read_dir(&other).unwrap().map(|one| one.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["directory.redb", "lock"]);
}

#[test]
fn an_export_replaces_a_file_when_it_is_whole() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&folder.path().join(name));
    let (data, file, link) = (path("data"), path("out.ldif"), path("link.ldif"));
    fs::write(path("people.ldif"), PEOPLE).unwrap();
    let import =
        ["import", "--data", &data, "--suffix", BASE, "--hash-passwords", "-f", &path("people.ldif")];
    assert_eq!(directory(&import).code, 0);
    fs::write(&file, "what was saved").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let export = |base: &str, to: &str| directory(&["export", "--data", &data, "-b", base, "-o", to]);
    let failed = export("ou=no,dc=harbourlane,dc=example", &link);
    assert_eq!(failed.code, 32, "{failed:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "what was saved");
    let all = export(BASE, "-");
    assert_eq!(export(BASE, &link).code, 0);
    assert_eq!(fs::read_to_string(&file).unwrap(), all.out);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(export(BASE, "/dev/stdout").out, all.out);
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 4, "the directory, its LDIF, the export and the link");
}

#[test]
fn faults_are_named_and_have_an_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let data = text(&folder.path().join("data"));
    let (schema, ldif) = (text(&folder.path().join("tide.schema")), text(&folder.path().join("tide.ldif")));
    fs::write(
        &schema,
        "attributetype ( 2.25.1.1 NAME 'tide' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )\n\
         objectclass ( 2.25.1.2 NAME 'tidal' SUP top AUXILIARY MAY tide )\n",
    )
    .unwrap();
    fs::write(
        &ldif,
        "dn: dc=harbourlane,dc=example\nobjectClass: organization\nobjectClass: dcObject\nobjectClass: tidal\n\
         o: Harbour Lane Instruments\ndc: harbourlane\ntide: low\n",
    )
    .unwrap();
    let imported =
        directory(&["import", "--data", &data, "--suffix", BASE, "--schema", &schema, "-f", &ldif]);
    assert_eq!(imported.code, 0, "{imported:?}");
    assert_eq!(directory(&["check", "--data", &data, "--schema", &schema]).code, 0);
    let checked = directory(&["check", "--data", &data]);
    assert_eq!(checked.code, 209, "{checked:?}");
    assert!(
        checked.out.contains("entry: entry 1 `dc=harbourlane,dc=example`: ") && checked.out.contains("tid"),
        "{}",
        checked.out
    );
    let checked = directory(&["check", "--data", &data, "--json"]);
    let first: serde_json::Value = serde_json::from_str(checked.out.lines().next().unwrap()).unwrap();
    assert_eq!((first["table"].as_str(), first["remedy"].as_str()), (Some("entry"), Some("modify")));
    for command in ["check", "compact"] {
        let nowhere = text(&folder.path().join("nowhere"));
        assert_eq!(directory(&[command, "--data", &nowhere]).code, 201);
        assert!(!Path::new(&nowhere).exists());
    }
}
