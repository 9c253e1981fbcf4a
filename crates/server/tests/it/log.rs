//! The access log: one line for each connection, operation and end; no secrets; nothing forged.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use flext_ldap_proto::{
    attribute::Attributes,
    dn::Dn,
    extended::{ExtendedOperation as _, PasswordModify},
    filter::Filter,
    message::{Add, Change, ChangeKind, Modify, Request, Scope, Search},
    secret::Secret,
};
use flext_ldap_server::LineLog;

use crate::peer::{Lab, PeerSide, compare, search, search_for};

/// What no line may hold.
const SECRET: &str = "Korrekt-Pferd-Batterie";

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `talk` against a server and returns the lines of its log, without times.
async fn lines<F: Future<Output = ()>>(
    talk: impl FnOnce(PeerSide<tokio::net::TcpStream>) -> F,
) -> Vec<String> {
    let sink = Sink::default();
    let log = LineLog::new(sink.clone()).unwrap();
    let lab = Lab::with(|builder| builder.access_log(log)).await;
    talk(lab.peer().await).await;
    while lab.server.connections() > 0 {
        tokio::task::yield_now().await;
    }
    // The log is written when the server, which owns it, is gone.
    lab.server.shutdown(Duration::ZERO).await;
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    assert!(text.ends_with('\n'));
    text.lines()
        .map(|line| {
            let (time, rest) = line.split_once(' ').unwrap();
            assert!(time.ends_with('Z') && time.len() == 27, "{time}");
            match rest.split_once(" elapsed_us=") {
                Some((rest, elapsed)) => {
                    elapsed.parse::<u64>().unwrap();
                    rest.to_owned()
                }
                None => rest.to_owned(),
            }
        })
        .collect()
}

#[tokio::test]
async fn a_line_each() {
    let lines = lines(|mut peer| async move {
        assert_eq!(peer.bind(1, "cn=ada", "korrekt").await, flext_ldap_proto::result::ResultCode::SUCCESS);
        let search = Search::new("cn=three".parse().unwrap(), Scope::One, "(uid=a)".parse().unwrap());
        peer.send(2, &Request::Search(search.attributes(["cn", "*", "1.1"]))).await;
        for _ in 0..4 {
            peer.receive().await.unwrap();
        }
        peer.ask(3, &compare("cn=x")).await;
        peer.send(4, &crate::peer::search("cn=never")).await;
        peer.send(5, &Request::Unbind).await;
        peer.expect_end().await;
    })
    .await;
    assert!(lines[0].starts_with("conn=1 connect from=127.0.0.1:"), "{}", lines[0]);
    assert!(lines[0].ends_with(" protection=none"), "{}", lines[0]);
    assert_eq!(
        lines[1..],
        [
            r#"conn=1 op=1 bind who="dn:cn=ada" name="cn=ada" mech="simple" result=0 entries=0"#,
            r#"conn=1 op=2 search who="dn:cn=ada" base="cn=three" scope="one" filter="(uid=a)" attrs="cn * 1.1" result=0 entries=3"#,
            r#"conn=1 op=3 compare who="dn:cn=ada" dn="cn=x" attr="cn" result=6 entries=0"#,
            r#"conn=1 op=4 search who="dn:cn=ada" base="cn=never" scope="sub" filter="(objectClass=*)" result=none entries=0"#,
            "conn=1 disconnect reason=unbind",
        ]
    );
}

#[tokio::test]
async fn secrets_are_left_out() {
    let attribute = |name: &str| name.parse().unwrap();
    let dn = || "uid=ada".parse::<Dn>().unwrap();
    let lines = lines(|mut peer| async move {
        peer.bind(1, "cn=ada", SECRET).await;
        for (id, filter) in (2..).zip([
            format!("(userPassword={SECRET})"),
            format!(
                "(&(uid=ada)(|(USERPASSWORD;x-old={SECRET}*x)(2.5.4.35>={SECRET}))(!(unicodePwd={SECRET})))"
            ),
            format!("(userPassword:octetStringMatch:={SECRET})"),
            format!("(:octetStringMatch:={SECRET})"),
        ]) {
            peer.ask(id, &search_for("cn=x", filter.parse::<Filter>().unwrap())).await;
        }
        let change = Change {
            kind: ChangeKind::Replace,
            attribute: attribute("userPassword"),
            values: vec![SECRET.into()],
        };
        let mut modify = Modify::new(dn());
        modify.changes.push(change);
        peer.ask(10, &Request::Modify(modify)).await;
        let attributes = Attributes::builder().attribute(&attribute("userPassword"), [SECRET]).build();
        peer.ask(11, &Request::Add(Add::new(dn(), attributes))).await;
        let passwd = PasswordModify { new: Some(Secret::from(SECRET)), ..PasswordModify::default() };
        peer.ask(12, &Request::Extended(passwd.request())).await;
    })
    .await;
    let text = lines.join("\n");
    assert!(!text.contains(SECRET), "{text}");
    for want in [
        r#"filter="(userPassword=***)""#,
        r#"filter="(&(uid=ada)(|(USERPASSWORD;x-old=***)(2.5.4.35=***))(!(unicodePwd=***)))""#,
        r#"filter="(*:=***)""#,
        r#"changes="replace:userPassword""#,
        r#"oid="1.3.6.1.4.1.4203.1.11.1""#,
    ] {
        assert!(text.contains(want), "{want} in\n{text}");
    }
}

#[tokio::test]
async fn a_line_cannot_be_forged() {
    let forged = "cn=x\n2026-01-01T00:00:00.000000Z conn=9 op=1 bind who=\"dn:cn=root\" result=0\u{202e}";
    let lines = lines(|mut peer| async move {
        peer.bind(1, forged, "wrong").await;
        let mechanism = crate::peer::sasl("EX\r\nTERNAL\" result=0");
        peer.ask(2, &mechanism).await;
        peer.ask(3, &search(&format!("cn={}", forged.replace('\n', "\\0a").replace('"', "\\22")))).await;
    })
    .await;
    assert_eq!(lines.len(), 5, "{lines:#?}");
    for line in &lines {
        assert!(line.starts_with("conn=1 "), "{line}");
        assert!(!line.contains('\u{202e}'), "{line}");
    }
    assert!(
        lines[1].contains(r#"name="cn=x\u{a}2026"#) && lines[1].ends_with("result=49 entries=0"),
        "{}",
        lines[1]
    );
    assert!(lines[2].contains(r#"mech="EX\u{d}\u{a}TERNAL\" result=0" result=7"#), "{}", lines[2]);
}

#[tokio::test]
async fn long_values_are_cut() {
    let lines = lines(|mut peer| async move {
        let wide: String = (0..3000).map(|number| format!("(uid=u{number})")).collect();
        peer.ask(1, &search_for("cn=x", format!("(|{wide})").parse().unwrap())).await;
    })
    .await;
    assert!(lines[1].len() < 1400, "{}", lines[1].len());
    assert!(lines[1].contains("(uid=u10)") && lines[1].contains('…'));
}

/// A sink that takes nothing until it is let go.
struct Slow(std::sync::mpsc::Receiver<()>, Sink);

impl Write for Slow {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        self.1.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_slow_log_loses_lines_and_says_so_and_slows_nobody() {
    const OPERATIONS: u32 = 12_000;
    let sink = Sink::default();
    let (go, wait) = std::sync::mpsc::channel();
    let log = LineLog::new(Slow(wait, sink.clone())).unwrap();
    let lab = Lab::with(|builder| builder.access_log(log)).await;
    let mut peer = lab.peer().await;
    for id in 1..=OPERATIONS {
        peer.ask(id, &compare("cn=x")).await;
    }
    drop(peer);
    while lab.server.connections() > 0 {
        tokio::task::yield_now().await;
    }
    drop(go);
    lab.server.shutdown(Duration::ZERO).await;
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    let dropped: usize = text
        .lines()
        .filter_map(|line| line.split_once(" dropped="))
        .map(|(_, count)| count.parse::<usize>().unwrap())
        .sum();
    let written = text.lines().filter(|line| line.contains(" conn=1 ")).count();
    assert!(dropped > 0 && written > 0, "{dropped} {written}");
    // The connection and its end are lines too.
    assert_eq!(written + dropped, OPERATIONS as usize + 2);
}
