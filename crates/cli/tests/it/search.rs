//! `flext-ldap search`, `whoami` and `export`.

use crate::program::{flext_ldap, people, run, run_with};

const BASE: &str = "dc=harbourlane,dc=example";

#[test]
fn entries_are_ldif_with_comments_as_asked() {
    let directory = people();
    let search = |flags: &[&str]| {
        let common = ["search", "-H", directory.url(), "-b", BASE, "(uid=ada)", "cn"];
        run(flext_ldap(&[&common[..1], flags, &common[1..]].concat()))
    };
    let entry = "dn: uid=ada,ou=people,dc=harbourlane,dc=example\ncn: Ada Nordin\n\n";
    assert_eq!(search(&["-LLL"]).out, entry);
    let full = search(&[]).out;
    assert!(full.starts_with("version: 1\n"), "{full}");
    assert!(full.contains("# filter: (uid=ada)\n") && full.contains(entry), "{full}");
    assert!(full.ends_with("# result: success (0)\n# entries: 1, references: 0\n"), "{full}");
}

#[test]
fn flags_of_openldap_mean_what_they_mean_there() {
    let directory = people();
    let search = |flags: &[&str]| {
        let common = ["search", "-LLL", "-x", "-P", "3", "-Q", "-H", directory.url(), "-b", BASE];
        run(flext_ldap(&[&common, flags].concat()))
    };
    let names = |flags: &[&str]| {
        let output = search(&[flags, &["(objectClass=*)", "sn"]].concat());
        assert_eq!(output.code, 0, "{output:?}");
        let values = output.out.lines().filter_map(|line| line.strip_prefix("dn: "));
        values.map(|dn| dn.split(',').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // Those without one first, as they came; then Ljung, Nordin, Öberg.
    assert_eq!(names(&["-S", "SN"])[4..], ["uid=brook", "uid=ada", "uid=chidi"]);
    let by_name =
        ["uid=ada", "uid=brook", "uid=chidi", "cn=crew", "ou=groups", "dc=harbourlane", "ou=people"];
    assert_eq!(names(&["-S", "", "-E", "pr=2"]), by_name);
    let some = search(&["-S", "", "-z", "3", "(objectClass=*)", "1.1"]);
    assert_eq!((some.code, some.out.matches("dn: ").count()), (4, 3), "{some:?}");
    let endless = search(&["-S", "sn", "-E", "ps=any/1/1"]);
    assert!(endless.code == 201 && endless.err.contains("leave -S out"), "{endless:?}");

    let dn = |flags: &[&str]| search(&[flags, &["(cn=crew)", "member"]].concat()).out;
    let member = "member: uid=ada,ou=people,dc=harbourlane,dc=example\n";
    assert!(dn(&["-o", "ldif-wrap=no"]).contains(member));
    assert!(
        dn(&["-o", "ldif_wrap=20"]).contains("member: uid=ada,ou=p\n eople"),
        "{}",
        dn(&["-o", "ldif_wrap=20"])
    );
    assert_eq!(search(&["-o", "nettimeout=30", "(uid=ada)", "1.1"]).code, 0);
    for (flags, want) in [
        (["-o", "ldif-wrap=wide"], "expected `no` or a number of columns"),
        (["-o", "keepalive=1"], "`ldif-wrap=no|COLUMNS` and `nettimeout=SECONDS` are known"),
        (["-P", "2"], "leave -P out, or say `-P 3`"),
    ] {
        let output = run(flext_ldap(&["search", "-H", directory.url(), flags[0], flags[1]]));
        assert!(output.code == 201 && output.err.contains(want), "{output:?}");
    }
}

#[test]
fn what_does_not_connect_prints_nothing() {
    let directory = people();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = run(flext_ldap(&["search", "-H", &format!("ldap://{closed}"), "-b", BASE]));
    assert_eq!((nobody.code, nobody.out.as_str()), (202, ""), "{nobody:?}");
    let wrong = ["-D", "uid=ada,ou=people,dc=harbourlane,dc=example", "-w", "low waves"];
    let refused = run(flext_ldap(&[&["search", "-H", directory.url(), "-b", BASE][..], &wrong].concat()));
    assert_eq!((refused.code, refused.out.as_str()), (49, ""), "{refused:?}");
}

#[test]
fn nothing_found_is_success_and_a_missing_base_is_32() {
    let directory = people();
    let none = run(flext_ldap(&["search", "-LLL", "-H", directory.url(), "-b", BASE, "(uid=zoe)"]));
    assert_eq!((none.code, none.out.as_str(), none.err.as_str()), (0, "", ""));
    let missing =
        run(flext_ldap(&["search", "-LLL", "-H", directory.url(), "-b", "ou=no,dc=harbourlane,dc=example"]));
    assert_eq!(missing.code, 32, "{missing:?}");
    assert!(missing.err.contains("noSuchObject (32)"), "{missing:?}");
}

#[test]
fn scopes_pages_limits_and_json() {
    let directory = people();
    let names = |flags: &[&str]| {
        let common = ["search", "-LLL", "-H", directory.url(), "--format", "jsonl"];
        let output = run(flext_ldap(&[&common, flags, &["(objectClass=*)", "1.1"]].concat()));
        (output.code, output.out.lines().count())
    };
    assert_eq!(names(&["-b", BASE]), (0, 7));
    assert_eq!(names(&["-b", BASE, "-s", "base"]), (0, 1));
    assert_eq!(names(&["-b", BASE, "-s", "one"]), (0, 2));
    assert_eq!(names(&["-b", BASE, "-s", "children"]), (0, 6));
    assert_eq!(names(&["-b", BASE, "-E", "pr=2/noprompt"]), (0, 7));
    assert_eq!(names(&["-b", BASE, "-z", "3"]), (4, 3), "what came before the limit is printed");
    let limited = run(flext_ldap(&["search", "-LLL", "-H", directory.url(), "-b", BASE, "-z", "3"]));
    assert!(limited.err.contains("(objectClass=*) stopped after 3 entries: "), "{limited:?}");
    assert_eq!(names(&["-b", BASE, "-E", "pr=2", "-z", "5"]), (4, 5), "the limit is for all pages together");
    let line = run(flext_ldap(&[
        "search",
        "-LLL",
        "-H",
        directory.url(),
        "-b",
        BASE,
        "--format",
        "jsonl",
        "(uid=chidi)",
        "cn",
    ]));
    assert_eq!(
        line.out,
        "{\"dn\":\"uid=chidi,ou=people,dc=harbourlane,dc=example\",\"cn\":[\"Chidi Öberg\"]}\n"
    );
}

/// security: LDAP injection, filter.
#[test]
fn lines_of_a_file_are_values_and_nothing_else() {
    let directory = people();
    let command =
        flext_ldap(&["search", "-LLL", "-H", directory.url(), "-b", BASE, "-f", "-", "(uid=%s)", "1.1"]);
    let output = run_with(command, "ada\n*\n*)(uid=*\nbrook\n");
    let expected = "dn: uid=ada,ou=people,dc=harbourlane,dc=example\n\ndn: uid=brook,ou=people,dc=harbourlane,dc=example\n\n";
    assert_eq!((output.code, output.out.as_str()), (0, expected), "{output:?}");
}

#[test]
fn who_am_i() {
    let directory = people();
    assert_eq!(run(flext_ldap(&["whoami", "-H", directory.url()])).out, "anonymous\n");
    let ada = "uid=ada,ou=people,dc=harbourlane,dc=example";
    let output = run(flext_ldap(&["whoami", "-H", directory.url(), "-D", ada, "-w", "tall waves"]));
    assert_eq!((output.code, output.out), (0, format!("dn:{ada}\n")), "{:?}", output.err);
}

#[test]
fn an_export_can_be_imported_again() {
    let directory = people();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.ldif");
    let file = file.to_str().unwrap();
    let admin = ["-D", &directory.admin_dn().to_string(), "-w", directory.admin_password()];
    let export = [&["export", "-H", directory.url(), "-b", BASE, "-o", file], &admin[..]].concat();
    let output = run(flext_ldap(&export));
    let said = "exported 7 entries\nno password is among them: the server showed no userPassword\n";
    assert_eq!((output.code, output.err.as_str()), (0, said));

    let delete =
        [&["delete", "-r", "-H", directory.url(), "ou=people,dc=harbourlane,dc=example"], &admin[..]]
            .concat();
    assert_eq!(run(flext_ldap(&delete)).code, 0);
    let import = [&["import", "--skip-existing", "-H", directory.url(), "-f", file], &admin[..]].concat();
    let output = run(flext_ldap(&import));
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.err.contains("imported 4 records") && output.err.contains("skipped 3"), "{output:?}");
    assert_eq!(run(flext_ldap(&export)).err, said);
}

#[test]
fn an_export_that_fails_leaves_the_file_there_was() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = people();
    let folder = tempfile::tempdir().unwrap();
    let (backup, new) = (folder.path().join("backup.ldif"), folder.path().join("new.ldif"));
    std::fs::write(&backup, "what was saved").unwrap();
    let export = |base: &str, file: &std::path::Path| {
        run(flext_ldap(&["export", "-H", directory.url(), "-b", base, "-o", file.to_str().unwrap()]))
    };
    let output = export("ou=no,dc=harbourlane,dc=example", &backup);
    assert_eq!(output.code, 32, "{output:?}");
    assert_eq!(std::fs::read_to_string(&backup).unwrap(), "what was saved");
    assert_eq!(export(BASE, &new).code, 0);
    assert_eq!(std::fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn scopes_limits_and_comments_are_as_ldapsearch_has_them() {
    let directory = people();
    let base = "OU=People,dc=harbourlane,dc=example";
    let search = |flags: &[&str]| {
        let common = ["search", "-H", directory.url(), "-b", base];
        run(flext_ldap(&[&common, flags, &["(objectClass=*)", "1.1"]].concat()))
    };
    let full = search(&["-s", "onelevel", "-z", "max", "-l", "none"]);
    assert!(full.out.contains(&format!("# base <{base}> with scope one\n")), "{full:?}");
    assert!(full.out.contains("# entries: 3,"), "{full:?}");
    let refused = search(&["-z", "2147483648"]);
    assert_eq!(refused.code, 201, "{refused:?}");
    assert!(refused.err.contains("expected a number up to 2147483647, `none` or `max`"), "{refused:?}");
}

#[test]
fn the_base_in_the_url_may_have_commas() {
    let directory = people();
    let url = format!("ldap://127.0.0.1:1,{}/ou=groups,{BASE}", directory.url());
    let output = run(flext_ldap(&["search", "-LLL", "-H", &url, "-s", "base", "(objectClass=*)", "1.1"]));
    assert_eq!((output.code, output.out), (0, format!("dn: ou=groups,{BASE}\n\n")), "{}", output.err);
}

/// All of a URL is asked for (RFC 4516), and arguments go before it.
#[test]
fn a_url_says_what_to_search_for() {
    let directory = people();
    let url = format!("{}/{BASE}?cn?one?(ou=*)", directory.url());
    let search = |words: &[&str]| run(flext_ldap(&[&["search", "-LLL", "-H", &url][..], words].concat())).out;
    assert_eq!(search(&[]), format!("dn: ou=people,{BASE}\n\ndn: ou=groups,{BASE}\n\n"));
    assert_eq!(
        search(&["-s", "sub", "(uid=ada)"]),
        format!("dn: uid=ada,ou=people,{BASE}\ncn: Ada Nordin\n\n")
    );
    let people = format!("dn: ou=people,{BASE}\nou: people\n\n");
    assert!(search(&["ou"]).starts_with(&people), "{}", search(&["ou"]));
}

#[test]
fn names_of_attributes_without_values() {
    let directory = people();
    let output = run(flext_ldap(&[
        "search",
        "-LLL",
        "-A",
        "-H",
        directory.url(),
        "-b",
        BASE,
        "(uid=ada)",
        "cn",
        "sn",
    ]));
    assert_eq!(output.out, "dn: uid=ada,ou=people,dc=harbourlane,dc=example\ncn:\nsn:\n\n", "{output:?}");
}

#[test]
fn values_go_to_files_if_that_is_asked_for() {
    let (directory, folder) = (people(), tempfile::tempdir().unwrap());
    let path = folder.path().canonicalize().unwrap();
    let search = |flags: &[&str]| {
        let common = ["search", "-LLL", "-o", "ldif-wrap=no", "-H", directory.url(), "-b", BASE, "-T"];
        run(flext_ldap(
            &[&common[..], &[path.to_str().unwrap()], flags, &["(uid=chidi)", "cn", "sn"]].concat(),
        ))
    };
    let dn = "dn: uid=chidi,ou=people,dc=harbourlane,dc=example\n";
    // Text is text in any language.
    let output = search(&["-t"]);
    assert_eq!(
        (output.code, output.out),
        (0, format!("{dn}cn:: Q2hpZGkgw5ZiZXJn\nsn:: w5ZiZXJn\n\n")),
        "{}",
        output.err
    );
    let output = search(&["-tt"]);
    let urls: Vec<_> = output.out.lines().filter_map(|line| line.split_once(":< file://")).collect();
    assert_eq!((output.code, urls.len()), (0, 2), "{output:?}");
    for ((name, file), value) in urls.into_iter().zip(["Chidi Öberg", "Öberg"]) {
        assert!(file.starts_with(&format!("{}/ldapsearch-{name}-", path.display())), "{file}");
        assert_eq!(std::fs::read_to_string(file).unwrap(), value);
    }
    let output = search(&["-tt", "-F", "http://files.example"]);
    assert!(output.out.contains("\nsn:< http://files.example/ldapsearch-sn-"), "{output:?}");
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 4);
}
