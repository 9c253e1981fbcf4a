//! `-e` and `-E`, seen from the outside.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use flext_ldap_testkit::TestDirectory;

use crate::program::{Output, flext_ldap, people, run, run_with};

const BASE: &str = "dc=harbourlane,dc=example";
const ADA: &str = "uid=ada,ou=people,dc=harbourlane,dc=example";

fn search(directory: &TestDirectory, flags: &[&str], rest: &[&str]) -> Output {
    run(flext_ldap(&[&["search", "-H", directory.url(), "-b", BASE], flags, rest].concat()))
}

fn as_admin(directory: &TestDirectory, arguments: &[&str], input: &str) -> Output {
    let admin = directory.admin_dn().to_string();
    let connect = ["-H", directory.url(), "-D", &admin, "-w", directory.admin_password()];
    let (command, rest) = arguments.split_first().unwrap();
    run_with(flext_ldap(&[&[*command], &connect[..], rest].concat()), input)
}

/// The values of `uid`, in the order they were printed.
fn uids(output: &Output) -> Vec<&str> {
    output.out.lines().filter_map(|line| line.strip_prefix("uid: ")).collect()
}

#[test]
fn sorted_and_viewed() {
    let directory = people();
    let up = search(&directory, &["-E", "!sss=uid"], &["(uid=*)", "uid"]);
    let mut sorted = uids(&up);
    assert_eq!((up.code, sorted.len()), (0, 3), "{up:?}");
    assert!(sorted.is_sorted(), "{up:?}");
    assert!(up.out.contains("# sort result: success (0)\n"), "{up:?}");
    let down = search(&directory, &["-LLL", "-E", "sss=-uid"], &["(uid=*)", "uid"]);
    sorted.reverse();
    assert_eq!(uids(&down), sorted);
    let pages = search(&directory, &["-LLL", "-E", "sss=-uid", "-E", "pr=1"], &["(uid=*)", "uid"]);
    assert_eq!(uids(&pages), sorted);
    let view = search(&directory, &["-E", "sss=-uid", "-E", "!vlv=0/1/2/0"], &["(uid=*)", "uid"]);
    assert_eq!(uids(&view), sorted[1..3], "{view:?}");
    assert!(view.out.contains("# virtual list view: success (0), position 2 of 3\n"), "{view:?}");
    let none = search(&directory, &["-E", "!sss=noSuch"], &["(uid=*)"]);
    assert_eq!(none.code, 12, "{none:?}");
    let wrong = search(&directory, &["-E", "vlv=1/2"], &["(uid=*)"]);
    assert!(wrong.err.contains("`-E vlv=1/2`: expected"), "{wrong:?}");
}

#[test]
fn referral_objects_are_entries_where_they_are_managed() {
    let directory = people();
    let afar = format!("ou=afar,{BASE}");
    let referral = format!(
        "dn: {afar}\nobjectClass: referral\nobjectClass: extensibleObject\nou: afar\nref: ldap://far.example/ou=afar\n"
    );
    assert_eq!(as_admin(&directory, &["add", "-M"], &referral).code, 0);
    let names = |flags: &[&str]| search(&directory, &[&["-LLL"], flags].concat(), &["(ou=afar)", "1.1"]);
    assert!(!names(&[]).out.contains("dn: "), "{:?}", names(&[]));
    assert_eq!(names(&["-M"]).out, format!("dn: {afar}\n\n"));
    assert_eq!(names(&["-MM", "-e", "manageDSAit"]).out, format!("dn: {afar}\n\n"));
    let change = format!("dn: {afar}\nreplace: ref\nref: ldap://near.example/ou=afar\n");
    assert_eq!(as_admin(&directory, &["modify"], &change).code, 10, "a referral");
    assert_eq!(as_admin(&directory, &["modify", "-MM"], &change).code, 0);
    assert_eq!(as_admin(&directory, &["delete", "-r", &afar], "").code, 10);
    let deleted = as_admin(&directory, &["delete", "-r", "-M", &afar], "");
    assert_eq!(deleted.code, 0, "{deleted:?}");
    assert_eq!(names(&["-M"]).out, "");
}

#[test]
fn on_behalf_of_another() {
    let directory = people();
    let who = as_admin(&directory, &["whoami", "-e", "authzid=u:ada"], "");
    assert_eq!((who.code, who.out.as_str()), (0, format!("dn:{ADA}\n").as_str()), "{who:?}");
    let denied = run(flext_ldap(&["whoami", "-H", directory.url(), "-e", "authzid=u:ada"]));
    assert_eq!(denied.code, 123, "{denied:?}");
    let change = format!("dn: {ADA}\nchangetype: modify\nreplace: title\ntitle: Pilot\n");
    let refused = as_admin(&directory, &["modify", "-e", "authzid=u:ada"], &change);
    assert_eq!(refused.code, 50, "{refused:?}");
}

#[test]
fn relaxed_and_permissive() {
    let directory = people();
    let stamp = format!(
        "dn: {ADA}\nchangetype: modify\nreplace: createTimestamp\ncreateTimestamp: 20010203040506Z\n"
    );
    assert_eq!(as_admin(&directory, &["modify"], &stamp).code, 19);
    assert_eq!(as_admin(&directory, &["modify", "-e", "!relax"], &stamp).code, 0);
    let absent = format!("dn: {ADA}\nchangetype: modify\ndelete: title\ntitle: none\n");
    assert_eq!(as_admin(&directory, &["modify"], &absent).code, 16);
    assert_eq!(as_admin(&directory, &["modify", "-e", "!1.2.840.113556.1.4.1413"], &absent).code, 0);
    let unknown = as_admin(&directory, &["modify", "-e", "!1.2.3"], &absent);
    assert_eq!(unknown.code, 12, "{unknown:?}");
}

#[test]
fn changes_are_printed_as_they_come() {
    let directory = people();
    let flags = ["search", "-H", directory.url(), "-b", BASE, "-E", "!ps=any/0/1", "(uid=ada)", "title"];
    let mut child = flext_ldap(&flags).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    // What is there comes first; then the search goes on.
    assert!(lines.by_ref().any(|line| line == format!("dn: {ADA}")));
    let change = format!("dn: {ADA}\nchangetype: modify\nreplace: title\ntitle: Pilot\n");
    assert_eq!(as_admin(&directory, &["modify"], &change).code, 0);
    assert!(lines.by_ref().any(|line| line == "# entry change: modify"));
    assert!(lines.by_ref().any(|line| line == "title: Pilot"));
    child.kill().unwrap();
    child.wait().unwrap();
}
