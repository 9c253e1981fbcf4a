//! Both directions together: the grammar by table, with line numbers; what is written is read again unchanged.

use std::{
    error::Error,
    fmt::Write as _,
    io::{self, BufRead, BufReader, Read, Write},
};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    attribute::{Attributes, AttributesRef},
    control::{Control, Controls},
    dn::{Dn, DnError, DnErrorKind, Rdn},
    entry::Entry,
    message::{Add, Change, ChangeKind, Delete, Modify, Rename},
};

/// What a reader gives, as text: one line for each record and each error.
fn read_all(input: impl BufRead, options: ReadOptions) -> String {
    let mut reader = LdifReader::new(input, options);
    let mut out = String::new();
    loop {
        match reader.next_record() {
            Ok(None) => return out,
            Ok(Some(record)) => writeln!(out, "{}: {}", reader.line(), describe(&record)).unwrap(),
            Err(error) => writeln!(out, "{error}").unwrap(),
        }
    }
}

fn describe(record: &Record) -> String {
    let attributes = |attributes: AttributesRef<'_>| -> String {
        let mut out = String::new();
        for attribute in attributes.iter() {
            let values: Vec<_> = attribute.values().map(|value| value.escape_ascii().to_string()).collect();
            write!(out, " {}={}", attribute.description(), values.join("|")).unwrap();
        }
        out
    };
    let (controls, change) = match record {
        Record::Entry(entry) => {
            return format!("<{}>{}", entry.dn_str(), attributes(entry.attributes()));
        }
        Record::Change(controls, change) => (controls, change),
    };
    let mut out = match change {
        ChangeRecord::Add(add) => format!("add <{}>{}", add.dn, attributes(add.attributes.as_ref())),
        ChangeRecord::Delete(delete) => format!("delete <{}>", delete.dn),
        ChangeRecord::Modify(modify) => {
            let mut out = format!("modify <{}>", modify.dn);
            for change in &modify.changes {
                let values: Vec<_> =
                    change.values.iter().map(|value| value.escape_ascii().to_string()).collect();
                write!(out, " {:?} {}={}", change.kind, change.attribute, values.join("|")).unwrap();
            }
            out
        }
        ChangeRecord::Rename(rename) => format!(
            "rename <{}> to <{}>{}{}",
            rename.dn,
            rename.new_rdn,
            if rename.delete_old_rdn { " deleting the old" } else { "" },
            rename.new_superior.as_ref().map_or(String::new(), |dn| format!(" below <{dn}>")),
        ),
    };
    for control in controls.iter() {
        let critical = if control.critical { "!" } else { "" };
        let value = control.value.as_ref().map(|value| value.escape_ascii().to_string());
        write!(out, " [{critical}{} {value:?}]", control.oid).unwrap();
    }
    out
}

/// Reads `text` as it is, with CRLF, and through buffers that break it at every place; the result is always the same.
#[track_caller]
fn assert_reads(text: &[u8], want: &str) {
    assert_eq!(read_all(text, ReadOptions::default()), want, "{}", text.escape_ascii());
    let with_crlf = text.iter().flat_map(|octet| match octet {
        b'\n' => vec![b'\r', b'\n'],
        octet => vec![*octet],
    });
    let with_crlf: Vec<u8> = with_crlf.collect();
    for text in [text, &with_crlf] {
        for capacity in [1, 2, 3, 5, 8, 13, 64, 8192] {
            let input = BufReader::with_capacity(capacity, text);
            assert_eq!(read_all(input, ReadOptions::default()), want, "{capacity}: {}", text.escape_ascii());
        }
    }
}

#[test]
fn a_mark_of_utf_8_before_everything_is_passed_over() {
    for text in ["dn: cn=a\ncn: a\n", "version: 1\n\ndn: cn=a\ncn: a\n", "# Zoë\ndn: cn=a\ncn: a\n", ""] {
        let want = read_all(text.as_bytes(), ReadOptions::default());
        assert_reads(format!("\u{feff}{text}").as_bytes(), &want);
    }
    assert_reads("dn: cn=a\ncn: a\n\n\u{feff}dn: cn=b\n".as_bytes(), &{
        let first = read_all(&b"dn: cn=a\ncn: a\n"[..], ReadOptions::default());
        format!("{first}line 4: expected `dn:` at the start of a record\n")
    });
}

#[test]
fn content() {
    let table: &[(&str, &str)] = &[
        ("", ""),
        ("\n\n\n", ""),
        ("version: 1\n", ""),
        ("# nothing but a comment", ""),
        ("version: 1\ndn: cn=a\ncn: a\n", "2: <cn=a> cn=a\n"),
        ("version:1\n\n\ndn:cn=a\ncn:a", "4: <cn=a> cn=a\n"),
        ("dn: cn=a\ncn: a\n\n\n\ndn: cn=b\ncn: b\n\n", "1: <cn=a> cn=a\n6: <cn=b> cn=b\n"),
        ("dn: cn=a\nversion: 1\n", "1: <cn=a> version=1\n"),
        ("dn: cn=a\n\nversion: 1\n\ndn: cn=b\n", "1: <cn=a>\n5: <cn=b>\n"),
        ("DN: cn=a\nCN:   spaces  \n", "1: <cn=a> CN=spaces  \n"),
        ("dn: cn=a\ncn:\tx\n", "1: <cn=a> cn=\\tx\n"),
        ("dn:\nobjectClass: top\n", "1: <> objectClass=top\n"),
        ("dn:: Y249YQ==\ncn::YQ==\nsn::  YWI= \nl:: YWJj\n", "1: <cn=a> cn=a sn=ab l=abc\n"),
        ("dn: cn=a\ncn:: YQ\nsn:: YWI\n", "1: <cn=a> cn=a sn=ab\n"),
        ("dn: cn=a\ncn:\nsn::\nl: \n", "1: <cn=a> cn= sn= l=\n"),
        ("dn: cn=a\nurl: ldap://x/?a:b\n", "1: <cn=a> url=ldap://x/?a:b\n"),
        (
            "dn: cn=a\ncn;lang-en: x\nmember;range=0-1: y\n2.5.4.4: z\n",
            "1: <cn=a> cn;lang-en=x member;range=0-1=y 2.5.4.4=z\n",
        ),
        // One attribute, however its lines stand and are spelt; the first spelling counts.
        ("dn: cn=a\nmail: 1\nsn: x\nMAIL: 2\nmail: 3\nSN: y\nmail: 4\n", "1: <cn=a> mail=1|2|3|4 sn=x|y\n"),
        // Not ASCII although it should be base64, as many programs write it; and not even UTF-8.
        ("dn: cn=Zo\u{eb}\ncn: Zo\u{eb}\n", "1: <cn=Zo\u{eb}> cn=Zo\\xc3\\xab\n"),
    ];
    for (text, want) in table {
        assert_reads(text.as_bytes(), want);
    }
    assert_reads(b"dn: cn=a\ncn: \xff\xfe\n", "1: <cn=a> cn=\\xff\\xfe\n");
}

#[test]
fn folding_and_comments() {
    let table: &[(&[u8], &str)] = &[
        (b"dn: cn=a,\n dc=b\nc\n n: x\n", "1: <cn=a,dc=b> cn=x\n"),
        (b"dn: cn=a\ncn:\n  x\n  y\n", "1: <cn=a> cn=x y\n"),
        (b"dn: cn=a\ncn: x\n \n y\n", "1: <cn=a> cn=xy\n"),
        (b"dn: cn=a\ncn:\n : Y\n Q=\n =\n", "1: <cn=a> cn=a\n"),
        (b"dn: cn=a\ncn: \xc3\n \xab\n", "1: <cn=a> cn=\\xc3\\xab\n"),
        (b"dn: cn=\xc3\n \xab\n", "1: <cn=\u{eb}>\n"),
        (b"# a\ndn: cn=a\n# b\n  folded: cn\n # still\ncn: x\n#\nsn: y\n#c", "2: <cn=a> cn=x sn=y\n"),
        (b"#\n\n# b\n\ndn: cn=a\n", "5: <cn=a>\n"),
        // A comment cannot stand inside a folded line: what continues it is part of the comment.
        (b"dn: cn=a\ncn: x\n# c\n y\n", "1: <cn=a> cn=x\n"),
    ];
    for (text, want) in table {
        assert_reads(text, want);
    }
    let mut long = b"dn: cn=a\ncn: ".to_vec();
    long.extend(std::iter::repeat_n(b"x\n ".as_slice(), 5000).flatten());
    assert_reads(&long, &format!("1: <cn=a> cn={}\n", "x".repeat(5000)));
}

#[test]
fn changes() {
    let table: &[(&str, &str)] = &[
        ("dn: cn=a\nchangetype: add\ncn: a\nsn: b\n", "1: add <cn=a> cn=a sn=b\n"),
        ("dn: cn=a\nchangetype:: YWRk\ncn: a\n", "1: add <cn=a> cn=a\n"),
        ("dn: cn=a\nChangeType: DELETE\n", "1: delete <cn=a>\n"),
        ("dn: cn=a\nchangetype: modify\n", "1: modify <cn=a>\n"),
        (
            "dn: cn=a\nchangetype: modify\nadd: mail\nmail: 1\nMail:: Mg==\n-\ndelete: l\n-\nreplace: sn\n-\nincrement: \
             uidNumber\nuidNumber: 1\n-\n",
            "1: modify <cn=a> Add mail=1|2 Delete l= Replace sn= Increment uidNumber=1\n",
        ),
        ("dn: cn=a\nchangetype: modify\nreplace: l\nl: x\n", "1: modify <cn=a> Replace l=x\n"),
        (
            "dn: cn=a\nchangetype: modify\nreplace: l\n- \nadd: l\nl:\n-",
            "1: modify <cn=a> Replace l= Add l=\n",
        ),
        (
            "dn: cn=a,dc=x\nchangetype: modrdn\nnewrdn: cn=b\ndeleteoldrdn: 0\n",
            "1: rename <cn=a,dc=x> to <cn=b>\n",
        ),
        (
            "dn: cn=a\nchangetype: moddn\nnewrdn:: Y249Yg==\ndeleteoldrdn: 1\nnewsuperior: dc=\n y\n",
            "1: rename <cn=a> to <cn=b> deleting the old below <dc=y>\n",
        ),
        (
            "dn: cn=a\nchangetype: modrdn\nnewrdn: cn=b\ndeleteoldrdn: 1\nnewsuperior:\n",
            "1: rename <cn=a> to <cn=b> deleting the old below <>\n",
        ),
        // An attribute of the change log has the name of a keyword.
        ("dn: cn=a\ncn: a\nchangetype: delete\n", "1: <cn=a> cn=a changetype=delete\n"),
    ];
    for (text, want) in table {
        assert_reads(text.as_bytes(), want);
    }
}

#[test]
fn controls() {
    let table: &[(&str, &str)] = &[
        ("control: 1.2.3", r#"[1.2.3 None]"#),
        ("control:1.2.3", r#"[1.2.3 None]"#),
        ("control: 1.2.3 true", r#"[!1.2.3 None]"#),
        ("control: 1.2.3   false ", r#"[1.2.3 None]"#),
        ("control: 1.2.3 true: x", r#"[!1.2.3 Some("x")]"#),
        ("control: 1.2.3: x y", r#"[1.2.3 Some("x y")]"#),
        ("control: 1.2.3 false:", r#"[1.2.3 Some("")]"#),
        ("control: 1.2.3 true::\n  MAA=", r#"[!1.2.3 Some("0\\x00")]"#),
        ("control: 1.2.3\nCONTROL: 1.2.4 true", r#"[1.2.3 None] [!1.2.4 None]"#),
    ];
    for (text, want) in table {
        assert_reads(
            format!("dn: cn=a\n{text}\nchangetype: delete\n").as_bytes(),
            &format!("1: delete <cn=a> {want}\n"),
        );
    }
    // A request without a word on which one adds.
    assert_reads(b"dn: cn=a\ncontrol: 1.2.3\ncn: a\n", "1: add <cn=a> cn=a [1.2.3 None]\n");
}

#[test]
fn errors_name_the_line_and_reading_goes_on() {
    let table: &[(&str, &str)] = &[
        ("cn: a\ndn: cn=a", "line 1: expected `dn:` at the start of a record"),
        ("version: 2", "line 1: expected version 1"),
        (" x\ndn: cn=a", "line 1: expected the start of a line, not the continuation of one"),
        ("\n\n x\ndn: cn=a", "line 3: expected the start of a line, not the continuation of one"),
        ("dn cn=a", "line 1: expected `name: value`, but the line has no colon"),
        ("dn: cn=a\n\u{feff}cn", "line 2: expected `name: value`, but the line has no colon"),
        ("dn: cn", "line 1: expected a distinguished name"),
        ("dn:: /w==", "line 1: expected text in UTF-8"),
        ("dn:< file:///x", "line 1: the value is in a file, and reading files was not asked for"),
        (
            "# c\n folded\ndn: cn=a\ncn: \n x\nc n: x",
            "line 6: expected an attribute description before the colon",
        ),
        ("dn: cn=a\n: x", "line 2: expected an attribute description before the colon"),
        ("dn: cn=a\ncn:: Y!==", "line 2: expected base64, found something else at octet 2 of the value"),
        (
            "dn: cn=a\ncn::  YWJj\n YWJjY",
            "line 2: expected base64, found something else at octet 11 of the value",
        ),
        ("dn: cn=a\ncn:: YR==", "line 2: expected base64, found something else at octet 2 of the value"),
        ("dn: cn=a\ncn: a\ndn: cn=b", "line 3: expected an empty line before the next record"),
        (
            "dn: cn=a\nchangetype: rename\nnewrdn: cn=b",
            "line 2: expected `add`, `delete`, `modify`, `modrdn` or `moddn` as the changetype",
        ),
        ("dn: cn=a\nchangetype: delete\ncn: a", "line 3: expected an empty line after the record"),
        (
            "dn: cn=a\nchangetype: modify\ncn: a",
            "line 3: expected `add:`, `delete:`, `replace:` or `increment:`",
        ),
        (
            "dn: cn=a\nchangetype: modify\nadd: cn\nsn: a",
            "line 4: expected a value of the attribute that is changed, or `-`",
        ),
        (
            "dn: cn=a\nchangetype: modify\nadd: c n\n-",
            "line 3: expected an attribute description before the colon",
        ),
        ("dn: cn=a\nchangetype: modrdn", "line 3: expected `newrdn:`"),
        ("dn: cn=a\nchangetype: modrdn\nnewrdn: cn=b,dc=c", "line 3: expected a distinguished name"),
        (
            "dn: cn=a\nchangetype: modrdn\nnewrdn: cn=b",
            "line 4: expected `deleteoldrdn: 0` or `deleteoldrdn: 1`",
        ),
        (
            "dn: cn=a\nchangetype: modrdn\nnewrdn: cn=b\ndeleteoldrdn: yes",
            "line 4: expected `deleteoldrdn: 0` or `deleteoldrdn: 1`",
        ),
        (
            "dn: cn=a\nchangetype: modrdn\nnewrdn: cn=b\ndeleteoldrdn: 1\ncn: b",
            "line 5: expected `newsuperior:` or an empty line",
        ),
        (
            "dn: cn=a\nchangetype: modrdn\nnewrdn: cn=b\ndeleteoldrdn: 1\nnewsuperior: dc=x\ncn: b",
            "line 6: expected an empty line after the record",
        ),
        ("dn: cn=a\ncontrol: x", "line 2: expected the object identifier of a control"),
        ("dn: cn=a\ncontrol:: MS4y", "line 2: expected an object identifier after `control:`"),
        ("dn: cn=a\ncontrol: 1.2 maybe", "line 2: expected `true` or `false` after the control's identifier"),
        ("dn: cn=a\ncontrol: 1.2 true x", "line 2: expected `:` before the control's value"),
    ];
    for (text, want) in table {
        // What is left of the broken record is left behind, and the next one is read.
        let lines = text.split('\n').count();
        let next = lines + 3;
        assert_reads(
            format!("{text}\n\n\ndn: cn=next\n").as_bytes(),
            &format!("{want}\n{next}: <cn=next>\n"),
        );
        assert_reads(text.as_bytes(), &format!("{want}\n"));
    }
}

/// As ldapmodify: what says no changetype is a modification, and not an entry.
#[test]
fn changes_without_a_changetype() {
    let no_change =
        "expected `changetype:`, or `add:`, `delete:`, `replace:` or `increment:` to begin a modification";
    let table: &[(&str, &str)] = &[
        ("replace: mail\nmail: a@b\n-\nadd: cn\ncn: a", "1: modify <cn=a> Replace mail=a@b Add cn=a"),
        ("DELETE: mail", "1: modify <cn=a> Delete mail="),
        ("increment: uidNumber\nuidNumber: 1\n-", "1: modify <cn=a> Increment uidNumber=1"),
        ("control: 1.2.3\nadd: cn\ncn: a", "1: modify <cn=a> Add cn=a [1.2.3 None]"),
        ("changetype: add\ncn: a", "1: add <cn=a> cn=a"),
        ("changetype: delete", "1: delete <cn=a>"),
        ("replace: mail\ncn: a", "line 3: expected a value of the attribute that is changed, or `-`"),
        ("cn: a\nreplace: mail", &format!("line 2: {no_change}")),
        ("# nothing", &format!("line 3: {no_change}")),
    ];
    for (text, want) in table {
        let options = ReadOptions { changes_only: true, ..ReadOptions::default() };
        let text = format!("dn: cn=a\n{text}\n\ndn: cn=b\nchangetype: delete\n");
        let got = read_all(text.as_bytes(), options);
        let (first, second) = got.split_once('\n').unwrap();
        assert_eq!(first, *want, "{text}");
        assert!(second.ends_with(": delete <cn=b>\n"), "{got}");
    }
}

#[test]
fn errors_keep_their_cause_and_quote_no_value() {
    let error_of = |text: &str| {
        let mut reader =
            LdifReader::new(text.as_bytes(), ReadOptions { read_files: true, ..ReadOptions::default() });
        reader.next_record().unwrap_err()
    };
    let error = error_of("dn: cn=a,,\n");
    let cause = error.source().and_then(|source| source.downcast_ref::<DnError>()).unwrap();
    assert_eq!((cause.offset, cause.kind), (5, DnErrorKind::ExpectedType));

    let table = [
        "dn: hunter2",
        "dn: cn=a\nuserPassword:: hunter2!",
        "dn: cn=a\nuserPassword:< hunter2",
        "dn: cn=a\nuserPassword:< file:///hunter2",
        "dn: cn=a\nhunter2 hunter2: x",
        "dn: cn=a\nchangetype: hunter2",
        "dn: cn=a\nchangetype: modify\nreplace: userPassword\nhunter2: hunter2",
        "dn: cn=a\ncontrol: hunter2",
        "dn: cn=a\ncontrol: 1.2 hunter2",
    ];
    for text in table {
        let error = error_of(text);
        let shown = format!("{error} {error:?} {:?}", error.source().map(ToString::to_string));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn a_record_is_limited_while_it_is_read() {
    let options = || ReadOptions { record_limit: 1000, ..ReadOptions::default() };
    let small = |value: &str| format!("dn: cn=a\ncn: {value}\n\ndn: cn=b\n");
    let want = format!("1: <cn=a> cn={}\n4: <cn=b>\n", "x".repeat(988));
    let refused = "line 2: the record is larger than 1000 octets\n4: <cn=b>\n";
    for capacity in [1, 10, 1000, 8192] {
        let read = |text: &str| read_all(BufReader::with_capacity(capacity, text.as_bytes()), options());
        assert_eq!(read(&small(&"x".repeat(988))), want); // Two lines of 8 and 992 octets.
        assert_eq!(read(&small(&"x".repeat(989))), refused);
        assert_eq!(read(&small(&"x".repeat(9890))), refused);
        // Wherever the limit falls, a line that is only cut short there is not an empty one.
        for extra in 985..995 {
            let text = small(&format!("{}\nsn: y", "x".repeat(extra)));
            let got = read(&text);
            assert!(got.ends_with("\n5: <cn=b>\n") && got.starts_with("line "), "{extra}: {got}");
        }
        let folded = format!("dn: cn=a\ncn: {}\n\ndn: cn=b\n", "x\n ".repeat(989));
        assert_eq!(read(&folded), "line 2: the record is larger than 1000 octets\n993: <cn=b>\n");
        // Many small lines are one large record, and comments are no part of it.
        let many = format!("dn: cn=a\n{}\ndn: cn=b\n", "cn: xxxx\n".repeat(124));
        assert!(read(&many).ends_with("\n127: <cn=b>\n"));
        let many = format!("dn: cn=a\n{}\ndn: cn=b\n", "cn: xxxx\n".repeat(125));
        assert_eq!(read(&many), "line 126: the record is larger than 1000 octets\n128: <cn=b>\n");
        let commented = format!("dn: cn=a\n#{}\ncn: a\n", "x".repeat(5000));
        assert_eq!(read(&commented), "1: <cn=a> cn=a\n");
    }

    // A line without an end is refused at the limit, not at its end.
    let mut reader = LdifReader::new(BufReader::new(b"dn: cn=a\ncn: ".chain(io::repeat(b'x'))), options());
    assert!(matches!(reader.next_record().unwrap_err().kind, LdifErrorKind::TooLarge(1000)));
}

#[test]
fn attributes_and_controls_are_counted() {
    let mut text = "dn: cn=a\n".to_owned();
    for number in 0..10_001 {
        writeln!(text, "a{number}: x").unwrap();
    }
    text.push_str("\ndn: cn=b\n");
    assert_eq!(
        read_all(text.as_bytes(), ReadOptions::default()),
        "line 10002: the record has more than 10000 attributes or changes\n10004: <cn=b>\n"
    );
    let text = format!("dn: cn=a\n{}changetype: delete\n", "control: 1.2\n".repeat(101));
    assert_eq!(
        read_all(text.as_bytes(), ReadOptions::default()),
        "line 102: the record has more than 100 controls\n"
    );
    let text = format!("dn: cn=a\nchangetype: modify\nadd: b\n{}", "b:\n".repeat((1 << 20) + 1));
    assert_eq!(
        read_all(text.as_bytes(), ReadOptions::default()),
        "line 1048580: the record changes more than 1048576 values\n"
    );
}

/// Lines may take turns among many attributes, in whichever case, and the order of the first ones stays.
#[test]
fn attributes_that_take_turns() {
    let names: Vec<String> = (0..3000).map(|number| format!("a{}", number * 7 % 3001)).collect();
    let mut text = "dn: cn=a\n".to_owned();
    for round in 0..3 {
        for name in &names {
            let name = if round == 1 { name.to_uppercase() } else { name.clone() };
            writeln!(text, "{name}: {round}").unwrap();
        }
    }
    let mut reader = LdifReader::new(text.as_bytes(), ReadOptions::default());
    let Some(Record::Entry(entry)) = reader.next_record().unwrap() else { panic!("an entry") };
    let attributes: Vec<_> = entry.attributes().iter().collect();
    assert_eq!(attributes.len(), names.len());
    for (attribute, name) in attributes.iter().zip(&names) {
        assert_eq!(attribute.description(), name);
        assert_eq!(attribute.values().collect::<Vec<_>>(), [b"0", b"1", b"2"]);
    }
}

/// What one record has is expected of the next one, and changes nothing there.
#[test]
fn records_that_look_alike_in_part() {
    assert_reads(
        b"dn: cn=a\nobjectClass: top\ncn: a\ncn: b\nsn: c\n\n\
          dn: cn=b\nobjectclass: top\nCN: a\ncn: b\nmail: c\nsn: d\nCn: e\nsn: f\ncn: g\n\n\
          dn: cn=c\ncn;x: a\ncn: b\nc: d\ncnn: e\nobjectClass:\nOBJECTCLASS:: YQ==\n\n\
          dn: cn=d\ncn : a\n\n\
          dn: cn=e\ncn;x: a\ncn: b\nc\n\n\
          dn: cn=f\n\n\
          dn: cn=g\nobjectClass: top\ncn: a\nsn: c\n",
        "1: <cn=a> objectClass=top cn=a|b sn=c\n\
         7: <cn=b> objectclass=top CN=a|b|e|g mail=c sn=d|f\n\
         17: <cn=c> cn;x=a cn=b c=d cnn=e objectClass=|a\n\
         line 26: expected an attribute description before the colon\n\
         line 31: expected `name: value`, but the line has no colon\n\
         33: <cn=f>\n\
         35: <cn=g> objectClass=top cn=a sn=c\n",
    );
}

/// A file may have more names than are remembered.
#[test]
fn names_without_end() {
    let mut text = String::new();
    for number in 0..5000 {
        writeln!(text, "dn: cn=a\nfirst: 1\na{number}: 2\nlast: 3\nfirst: 4\n").unwrap();
    }
    let mut reader = LdifReader::new(text.as_bytes(), ReadOptions::default());
    for number in 0..5000 {
        let record = reader.next_record().unwrap().unwrap();
        assert_eq!(describe(&record), format!("<cn=a> first=1|4 a{number}=2 last=3"));
    }
    assert_eq!(reader.next_record().unwrap(), None);
}

/// A file URL in LDIF is refused unless asked for (security.md: CSV/LDIF import).
#[test]
fn file_urls_are_refused_unless_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a photo%.bin");
    std::fs::write(&path, [0, 1, 0xff]).unwrap();
    let url = format!("{}/a%20photo%25.bin", folder.path().display());
    let folder_url = format!("file://{}", folder.path().display());
    let with_files = || ReadOptions { read_files: true, record_limit: 1000, ..ReadOptions::default() };

    assert_reads(
        b"dn: cn=a\njpegPhoto:< file:///etc/passwd\n\ndn: cn=b\n",
        "line 2: the value is in a file, and reading files was not asked for\n4: <cn=b>\n",
    );
    assert_reads(
        b"dn: cn=a\nchangetype: modify\nadd: jpegPhoto\njpegPhoto:< file:///etc/passwd\n",
        "line 4: the value is in a file, and reading files was not asked for\n",
    );
    let read = |url: &str| read_all(format!("dn: cn=a\njpegPhoto:< {url}\n").as_bytes(), with_files());
    for prefix in ["file://", "FILE://", "file://localhost"] {
        assert_eq!(read(&format!("{prefix}{url}")), "1: <cn=a> jpegPhoto=\\x00\\x01\\xff\n");
    }
    let not_local = "line 2: expected the URL of a local file, like file:///path\n";
    for url in [
        "",
        "/etc/passwd",
        "file:/etc/passwd",
        "file://host/x",
        "http://localhost/x",
        "file:///%2",
        "file:///%zz",
    ] {
        assert_eq!(read(url), not_local, "{url}");
    }
    assert_eq!(read(&folder_url), "line 2: expected the URL of a regular file\n");
    assert_eq!(read("file:///dev/zero"), "line 2: expected the URL of a regular file\n");
    assert_eq!(
        read(&format!("{folder_url}/missing")),
        "line 2: the file that holds the value could not be read\n"
    );
    std::fs::write(&path, [0; 1001]).unwrap();
    assert_eq!(read(&format!("file://{url}")), "line 2: the record is larger than 1000 octets\n");
}

#[test]
fn an_input_that_fails_ends() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the cable is cut"))
        }
    }
    let input = BufReader::new(b"dn: cn=a\n\ndn: cn=b\ncn: x".chain(Fails));
    let mut reader = LdifReader::new(input, ReadOptions::default());
    assert!(reader.next_record().unwrap().is_some());
    let error = reader.next_record().unwrap_err();
    assert!(matches!(error.kind, LdifErrorKind::Io(_)));
    assert_eq!(error.source().unwrap().to_string(), "the cable is cut");
    assert_eq!(reader.next_record().unwrap(), None);
}

fn written(width: usize, records: &[Record]) -> String {
    let mut writer = LdifWriter::new(Vec::new()).width(width);
    for record in records {
        writer.record(record).unwrap();
    }
    String::from_utf8(writer.into_inner()).unwrap()
}

fn entry(dn: &str, attributes: &[(&str, &[&[u8]])]) -> Record {
    let mut builder = Attributes::builder();
    for (description, values) in attributes {
        builder.push(description, *values);
    }
    Record::Entry(Entry::new(&dn.parse().unwrap(), builder.build()))
}

#[test]
fn values_are_written_safely() {
    let table: &[(&[u8], &str)] = &[
        (b"", "cn:\n"),
        (b"x", "cn: x\n"),
        (b"x y: <", "cn: x y: <\n"),
        (b"\tx", "cn:: CXg=\n"),
        (b"x\x1b[2J", "cn:: eBtbMko=\n"),
        (b"~", "cn: ~\n"),
        (b"#x", "cn: #x\n"),
        (b" x", "cn:: IHg=\n"),
        (b":x", "cn:: Ong=\n"),
        (b"<x", "cn:: PHg=\n"),
        (b"x ", "cn:: eCA=\n"),
        (b"x\ny", "cn:: eAp5\n"),
        (b"x\ry", "cn:: eA15\n"),
        (b"x\0y", "cn:: eAB5\n"),
        ("\u{eb}".as_bytes(), "cn:: w6s=\n"),
        (b"\x7f", "cn:: fw==\n"),
    ];
    for (value, want) in table {
        assert_eq!(written(76, &[entry("cn=a", &[("cn", &[value])])]), format!("dn: cn=a\n{want}\n"));
    }
    assert_eq!(written(76, &[entry("cn=\u{eb}", &[])]), "dn:: Y249w6s=\n\n");
    assert_eq!(written(76, &[entry("", &[])]), "dn:\n\n");
}

#[test]
fn lines_are_folded() {
    let record = |length| [entry("cn=a", &[("cn", &["x".repeat(length).as_bytes()])])];
    assert_eq!(written(10, &record(6)), "dn: cn=a\ncn: xxxxxx\n\n");
    assert_eq!(written(10, &record(7)), "dn: cn=a\ncn: xxxxxx\n x\n\n");
    assert_eq!(written(10, &record(16)), "dn: cn=a\ncn: xxxxxx\n xxxxxxxxx\n x\n\n");
    assert_eq!(written(0, &record(1000)), format!("dn: cn=a\ncn: {}\n\n", "x".repeat(1000)));
    assert_eq!(written(1, &record(1)), "dn\n :\n  \n c\n n\n =\n a\ncn\n :\n  \n x\n\n");
    let long = written(76, &record(5000));
    assert!(
        long.lines().all(|line| line.len() <= 76)
            && long.lines().filter(|line| line.len() == 76).count() > 60
    );
    let binary = written(76, &[entry("cn=a", &[("cn", &[&[0; 5000]])])]);
    assert!(binary.lines().all(|line| line.len() <= 76));
    assert_reads(binary.as_bytes(), &format!("1: <cn=a> cn={}\n", "\\x00".repeat(5000)));
}

#[test]
fn comments_and_version_are_written() {
    let mut writer = LdifWriter::new(Vec::new()).width(10);
    writer.version().unwrap();
    writer.comment("harbour lane\r\ndn: cn=x").unwrap();
    writer.comment("\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}").unwrap();
    writer.comment("a\u{1b}b\u{9b}").unwrap();
    let text = String::from_utf8(writer.into_inner()).unwrap();
    assert_eq!(
        text,
        "version: 1\n\n# harbour \n lane\n# dn: cn=x\n# \u{e9}\u{e9}\u{e9}\u{e9}\n \u{e9}\n# a\u{fffd}b\u{fffd}\n"
    );
    assert_reads(text.as_bytes(), "");
}

#[test]
fn an_attribute_name_cannot_forge_a_record() {
    let Record::Entry(forged) = entry("cn=a", &[("cn: x\n\ndn: cn=b\nchangetype: delete\n\nx", &[b"y"])])
    else {
        panic!("an entry");
    };
    let mut writer = LdifWriter::new(Vec::new());
    assert_eq!(writer.entry(forged.as_ref()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(writer.into_inner(), b"dn: cn=a\n");

    // An entry of a change log is not the change it tells of.
    let text = written(76, &[entry("changeNumber=1", &[("changeType", &[b"delete"])])]);
    assert_reads(text.as_bytes(), "1: add <changeNumber=1> changeType=delete\n");
}

/// The shapes of the seven examples of RFC 2849, with our own people: read, and written again as they stand.
#[test]
fn examples_of_rfc_2849() {
    let text = "\
dn: cn=Ada Quill,ou=Optics,dc=harbourlane,dc=example
objectclass: top
objectclass: person
cn: Ada Quill
cn: Ada J Quill
telephonenumber: +1 555 0100

dn: cn=Bo Lind,dc=harbourlane,dc=example
description: Grinds lenses, polishes them, measures them, and writes down what h
 e has measured. Knows where the good tea is kept.
title: Lens maker

dn:: b3U95Za25qWt6YOoLGRjPWhhcmJvdXJsYW5lLGRjPWV4YW1wbGU=
ou:: 5Za25qWt6YOo
ou;lang-en: Sales

dn: cn=Cy Marsh,dc=harbourlane,dc=example
changetype: add
cn: Cy Marsh
jpegphoto:: AAECAwQF

dn: cn=Bo Lind,dc=harbourlane,dc=example
changetype: delete

dn: cn=Cy Marsh,dc=harbourlane,dc=example
changetype: modrdn
newrdn: cn=Cyrus Marsh
deleteoldrdn: 1
newsuperior: ou=Optics,dc=harbourlane,dc=example

dn: cn=Ada Quill,ou=Optics,dc=harbourlane,dc=example
changetype: modify
add: postaladdress
postaladdress: 3 Harbour Lane $ Brightwater
-
delete: description
-
replace: telephonenumber
telephonenumber: +1 555 0101
telephonenumber: +1 555 0102
-
delete: facsimiletelephonenumber
facsimiletelephonenumber: +1 555 0199
-

dn: ou=Optics,dc=harbourlane,dc=example
control: 1.2.840.113556.1.4.805 true
changetype: delete

";
    let mut reader = LdifReader::new(text.as_bytes(), ReadOptions::default());
    let mut writer = LdifWriter::new(Vec::new()).width(80);
    let mut lines = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        writer.record(&record).unwrap();
        lines.push(reader.line());
    }
    assert_eq!(String::from_utf8(writer.into_inner()).unwrap(), text);
    assert_eq!(lines, [1, 8, 13, 17, 22, 25, 31, 46]);
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ -~]{0,20}".prop_map(String::into_bytes),
        "\\PC{0,20}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..200),
    ]
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let description = "[a-c][A-Za-z0-9-]{0,6}(;[a-z0-9-]{1,4})?";
    proptest::collection::btree_map(description, proptest::collection::vec(value(), 1..4), 0..5).prop_map(
        |map| {
            let mut names: Vec<String> = Vec::new();
            let mut builder = Attributes::builder();
            for (description, values) in map {
                let lower = description.to_ascii_lowercase();
                if !names.contains(&lower) {
                    builder.push(&description, values);
                    names.push(lower);
                }
            }
            builder.build()
        },
    )
}

fn dn() -> impl Strategy<Value = Dn> {
    proptest::collection::vec(value(), 0..4).prop_map(|values| {
        let cn = "cn".parse().unwrap();
        values.iter().fold(Dn::root(), |dn, value| dn.child(&Rdn::new(&cn, value)))
    })
}

fn controls_strategy() -> impl Strategy<Value = Controls> {
    let control = ("[0-2]\\.[1-9]{1,4}", any::<bool>(), proptest::option::of(value()));
    proptest::collection::vec(control, 0..3).prop_map(|list| {
        let mut controls = Controls::none();
        for (oid, critical, value) in list {
            controls.push_raw(Control { oid: oid.parse().unwrap(), critical, value: value.map(Bytes::from) });
        }
        controls
    })
}

fn record() -> impl Strategy<Value = Record> {
    let kind = prop_oneof![
        Just(ChangeKind::Add),
        Just(ChangeKind::Delete),
        Just(ChangeKind::Replace),
        Just(ChangeKind::Increment)
    ];
    let change = (kind, "[a-z]{1,6}", proptest::collection::vec(value(), 0..3)).prop_map(
        |(kind, attribute, values)| Change {
            kind,
            attribute: attribute.parse().unwrap(),
            values: values.into_iter().map(Bytes::from).collect(),
        },
    );
    let modify =
        (dn(), proptest::collection::vec(change, 0..4)).prop_map(|(dn, changes)| Modify { dn, changes });
    let rename = (dn(), value(), any::<bool>(), proptest::option::of(dn())).prop_map(
        |(dn, value, delete_old_rdn, new_superior)| Rename {
            dn,
            new_rdn: Rdn::new(&"cn".parse().unwrap(), &value),
            delete_old_rdn,
            new_superior,
        },
    );
    let change = prop_oneof![
        (dn(), attributes()).prop_map(|(dn, attributes)| ChangeRecord::Add(Add { dn, attributes })),
        dn().prop_map(|dn| ChangeRecord::Delete(Delete { dn })),
        modify.prop_map(ChangeRecord::Modify),
        rename.prop_map(ChangeRecord::Rename),
    ];
    prop_oneof![
        (dn(), attributes()).prop_map(|(dn, attributes)| Record::Entry(Entry::new(&dn, attributes))),
        (controls_strategy(), change).prop_map(|(controls, change)| Record::Change(controls, change)),
    ]
}

proptest! {
    /// Whatever is written is read again as it was.
    #[test]
    fn round_trip(
        records in proptest::collection::vec(record(), 0..4),
        width in prop_oneof![Just(0), Just(2), Just(76), 3..100_usize],
        capacity in 1..100_usize,
    ) {
        let text = written(width, &records);
        let mut reader =
            LdifReader::new(BufReader::with_capacity(capacity, text.as_bytes()), ReadOptions::default());
        let mut read = Vec::new();
        while let Some(record) = reader.next_record().unwrap() {
            read.push(record);
        }
        prop_assert_eq!(read, records, "{}", text);
    }

    /// No octets make the reader panic or go on for ever, and it counts their lines right.
    #[test]
    fn any_octets(
        text in proptest::collection::vec(
            prop_oneof![Just(b"\n".to_vec()), Just(b"dn: cn=a\n".to_vec()), Just(b"changetype: modify\n".to_vec()),
                Just(b" ".to_vec()), Just(b"\r\n".to_vec()), Just(b"add: cn\n".to_vec()), Just(b"-".to_vec()),
                Just(b":".to_vec()), Just(b"cn: a\n".to_vec()), Just(b"CN:: Yg==\n".to_vec()), Just(b"sn:\n".to_vec()),
                Just(b"#\n".to_vec()), proptest::collection::vec(any::<u8>(), 0..5)],
            0..40,
        ),
        capacity in 1..20_usize,
    ) {
        let text = text.concat();
        let options = || ReadOptions { record_limit: 60, ..ReadOptions::default() };
        let got = read_all(BufReader::with_capacity(capacity, &*text), options());
        prop_assert_eq!(got, read_all(&*text, options()));
    }
}

#[test]
fn the_writer_reports_a_failing_output() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = LdifWriter::new(Full).record(&entry("cn=a", &[])).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}
