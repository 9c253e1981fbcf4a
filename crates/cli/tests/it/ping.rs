//! `flext-ldap ping`.

use crate::program::{flext_ldap, people, run};

#[test]
fn each_answer_is_told_and_summed_up() {
    let directory = people();
    let ping = |flags: &[&str]| run(flext_ldap(&[&["ping", "-H", directory.url()], flags].concat()));
    let output = ping(&["-c", "3", "-i", "0.01"]);
    assert_eq!((output.code, output.err.as_str()), (0, ""), "{output:?}");
    let lines: Vec<_> = output.out.lines().collect();
    assert_eq!(lines.len(), 4, "{output:?}");
    let server = directory.url().trim_start_matches("ldap://");
    let answered = |number: u8| format!("{number}: {server} answered in ");
    assert!(lines[0].starts_with(&answered(1)) && lines[0].contains(" ms, connected in "), "{output:?}");
    assert!(lines[2].starts_with(&answered(3)) && !lines[2].contains("connected"), "{output:?}");
    assert!(lines[3].starts_with("3 asked, 3 answered; min "), "{output:?}");
    let output = ping(&[
        "-qc",
        "2",
        "-i",
        "0.01",
        "-D",
        "uid=ada,ou=people,dc=harbourlane,dc=example",
        "-w",
        "tall waves",
    ]);
    assert!(output.code == 0 && output.out.starts_with("2 asked, 2 answered; min "), "{output:?}");
    // What waiting does not mend is said once.
    let output = ping(&["-D", "uid=ada,ou=people,dc=harbourlane,dc=example", "-w", "short waves"]);
    assert_eq!((output.code, output.out.as_str()), (49, ""), "{output:?}");
    assert!(output.err.contains("the name or the password is wrong"), "{output:?}");
}

#[test]
fn who_does_not_answer_is_asked_again() {
    // Nobody listens on a port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("ldap://127.0.0.1:{port}");
    let output = run(flext_ldap(&["ping", "-c", "2", "-i", "0.01", "-H", &url]));
    assert_eq!(output.code, 202, "{output:?}");
    assert!(output.out.starts_with("1: failed to connect to ") && output.out.contains("\n2: "), "{output:?}");
    assert!(output.out.ends_with("\n2 asked, 0 answered\n"), "{output:?}");
    // One who takes the connection and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ldap://{}", silent.local_addr().unwrap());
    let output = run(flext_ldap(&["ping", "-c", "1", "--timeout", "0.2", "-H", &url]));
    assert_eq!(output.code, 205, "{output:?}");
    assert!(output.out.contains("the server did not answer"), "{output:?}");
}
