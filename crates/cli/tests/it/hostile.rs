//! Servers that mean harm: what they say steers no terminal, and what they do not end is ended here.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use crate::program::*;

const BIND: u8 = 0x60;
const SEARCH: u8 = 0x63;
const DELETE: u8 = 0x4a;
/// Clears the screen, begins two lines, and turns the rest of its own around.
const EVIL: &str = "\u{1b}[2J\r\nok: \u{9b}1m\u{202e}\u{2066}";

fn ber(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let [.., b2, b1, b0] = contents.len().to_be_bytes();
    [&[tag, 0x83, b2, b1, b0][..], &contents].concat()
}

/// `id` with its header.
fn message(id: &[u8], op: &[u8]) -> Vec<u8> {
    ber(0x30, &[id, op])
}

/// A result with this code, this text, and what comes after.
fn result(tag: u8, code: u8, text: &str, more: &[u8]) -> Vec<u8> {
    ber(tag, &[&[0x0a, 0x01, code, 0x04, 0x00], &ber(0x04, &[text.as_bytes()]), more])
}

fn entry(dn: &str, attribute: &str, value: &str) -> Vec<u8> {
    let values = ber(0x31, &[&ber(0x04, &[value.as_bytes()])]);
    let one = ber(0x30, &[&ber(0x04, &[attribute.as_bytes()]), &values]);
    ber(0x64, &[&ber(0x04, &[dn.as_bytes()]), &ber(0x30, &[&one])])
}

/// One who answers each request, known by its tag, with these operations, over and over if there is no end among them.
/// Gives its URL.
fn server(answers: fn(u8) -> Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ldap://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || converse(stream, answers));
        }
    });
    url
}

fn converse(mut stream: TcpStream, answers: fn(u8) -> Vec<Vec<u8>>) -> Option<()> {
    loop {
        let mut header = [0; 2];
        stream.read_exact(&mut header).ok()?;
        let mut length = usize::from(header[1]);
        if let Some(octets @ 1..) = length.checked_sub(0x80) {
            let mut long = [0; 8];
            stream.read_exact(&mut long[8 - octets..]).ok()?;
            length = u64::from_be_bytes(long) as usize;
        }
        let mut request = vec![0; length];
        stream.read_exact(&mut request).ok()?;
        let (id, op) = request.split_at(2 + usize::from(request[1]));
        let tag = op[0];
        let ops = match tag {
            BIND => vec![result(0x61, 0, "", &[])],
            0x42 => return None,
            0x50 => continue,
            tag => answers(tag),
        };
        let answer: Vec<u8> = ops.iter().flat_map(|op| message(id, op)).collect();
        stream.write_all(&answer).ok()?;
        if ops.iter().all(|op| matches!(op[0], 0x64 | 0x73 | 0x79)) {
            let more = answer.repeat(1_000);
            loop {
                stream.write_all(&more).ok()?;
            }
        }
    }
}

#[test]
fn what_a_server_says_stays_on_its_line_and_is_short() {
    let url = server(|tag| {
        let text = format!("{EVIL}{}", "A".repeat(100_000));
        match tag {
            SEARCH => vec![result(0x65, 1, &text, &[])],
            DELETE => vec![result(0x6b, 50, &text, &[])],
            _ => vec![result(0x78, 0, "", &ber(0x8b, &[format!("dn:cn={EVIL}").as_bytes()]))],
        }
    });
    let base = "dc=harbourlane,dc=example";
    for (arguments, code) in [
        (&["search", "-b", base][..], 1),
        (&["delete", base], 50),
        (&["whoami"], 0),
        (&["bench", "search", "-b", base, "--filter", "(cn=a)", "--duration", "0.1", "--warm-up", "0"], 1),
    ] {
        let output = run(flext_ldap(&[arguments, &["-H", &url]].concat()));
        assert_eq!(output.code, code, "{output:?}");
        let printed = format!("{}{}", output.out, output.err);
        assert!(printed.contains(r"\u{1b}[2J\r\nok: \u{9b}1m\u{202e}\u{2066}"), "{output:?}");
        let unseen = |one: char| (one.is_control() && one != '\n') || matches!(one, '\u{202e}' | '\u{2066}');
        assert!(!printed.contains(unseen), "{output:?}");
        assert!(printed.len() < 5_000, "{arguments:?}: {} octets", printed.len());
    }
}

#[test]
fn what_a_server_is_has_one_line_too() {
    let url = server(|_| {
        let version = format!("{EVIL}{}", "V".repeat(100_000));
        vec![entry("", "vendorVersion", &version), result(0x65, 0, "", &[])]
    });
    let output = run(flext_ldap(&["servers", "-H", &url]));
    assert_eq!((output.code, output.out.lines().count()), (0, 1), "{output:?}");
    assert!(output.out.contains(r"\u{202e}") && output.out.len() < 2_000, "{output:?}");
}

#[test]
fn a_password_that_cannot_be_shown_is_not() {
    let url = server(|_| {
        let password = ber(0x80, &[format!("tall{EVIL}").as_bytes()]);
        vec![result(0x78, 0, "", &ber(0x8b, &[&ber(0x30, &[&password])]))]
    });
    let output = run(flext_ldap(&["passwd", "-H", &url, "-D", "cn=a", "-w", "low waves"]));
    assert_eq!((output.code, output.out.as_str()), (210, ""), "{output:?}");
    assert!(output.err.contains("the password was changed"), "{output:?}");
}

#[test]
fn more_entries_than_were_asked_for_are_not_printed() {
    let url = server(|_| vec![entry("cn=a", "cn", "x")]);
    let output = run(flext_ldap(&["search", "-LLL", "-b", "", "-z", "3", "-H", &url]));
    assert_eq!((output.code, output.out.matches("dn: cn=a").count()), (4, 3), "{output:?}");
}

#[test]
fn what_is_no_attribute_is_the_servers_fault() {
    let url = server(|_| vec![entry("cn=a", "cn: x\n\ndn: cn=forged", "x"), result(0x65, 0, "", &[])]);
    for command in ["search", "export"] {
        let output = run(flext_ldap(&[command, "-b", "cn=a", "-H", &url]));
        assert_eq!(output.code, 206, "{output:?}");
        assert!(output.err.contains("the server sent `cn=a` with what is no attribute"), "{output:?}");
        assert!(!output.out.contains("forged"), "{output:?}");
    }
}

#[test]
fn answers_that_say_nothing_do_not_keep_a_question_open() {
    let url = server(|_| vec![ber(0x79, &[])]);
    let output = run(flext_ldap(&["ping", "-c", "1", "--timeout", "0.2", "-H", &url]));
    assert_eq!(output.code, 205, "{output:?}");
    let url = server(|_| vec![ber(0x73, &[&ber(0x04, &[b"ldap:/"])])]);
    let output = run(flext_ldap(&["ping", "-c", "1", "--timeout", "0.2", "-H", &url]));
    assert_eq!(output.code, 205, "{output:?}");
}

#[test]
fn a_question_for_one_entry_ends_with_the_second() {
    let url = server(|_| vec![entry("", "subschemaSubentry", "cn=subschema")]);
    let output = crate::tap::tap(
        &["--config", "ENV", "--discover"],
        &[("TAP_LDAP_URL", &url), ("TAP_LDAP_TIMEOUT", "60")],
    );
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("more than one entry came where one was asked for"), "{said}");
    let address = url.strip_prefix("ldap://").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = format!(
        "flext_ldap:\n  primary_server: {{url: \"ldap://{address}\", start_tls: false}}\n  security: {{require_ssl: false}}\n"
    );
    std::fs::write(file.path(), config).unwrap();
    let checked =
        run(flext_ldap(&["config", "check", "--online", "--config", file.path().to_str().unwrap()]));
    assert!(checked.out.contains("expected one entry, found more"), "{checked:?}");
}
