//! Audit records: one for each operation, whole, and without a secret in them.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use flext_ldap_directory::{
    Actor, Applied, Directory as _, Error, ErrorKind, Identity, Layered, Op, Request,
    layers::{AuditTrail, Metrics},
    proto::{
        attribute::Attributes,
        control::{Assertion, ProxiedAuthorization},
        extended::{ExtendedOperation as _, PasswordModify, WhoAmI},
        filter::Filter,
        message::{Add, ChangeKind, Compare, Delete, ExtendedRequest, Modify, Rename, Scope, Search},
        oid::Oid,
        result::{LdapResult, ResultCode},
    },
};

use crate::script::{Answer, Script, batch, done};

const ANA: &str = "uid=ana,ou=people,dc=harbourlane,dc=example";

/// A file that can be read while it is written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The lines, each without its time, which is checked, and without how long it took.
    fn take(&self) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        text.lines()
            .map(|line| {
                let (time, rest) =
                    line.strip_prefix(r#"{"time":""#).unwrap().split_once(r#"","server":"ldap1","#).unwrap();
                assert_eq!(
                    (time.len(), time.as_bytes()[10], time.as_bytes()[26]),
                    (27, b'T', b'Z'),
                    "{time}"
                );
                let (rest, elapsed) = rest.rsplit_once(r#","elapsed_us":"#).unwrap();
                assert!(elapsed.strip_suffix('}').unwrap().parse::<u64>().is_ok(), "{line}");
                rest.to_owned()
            })
            .collect()
    }
}

fn ana() -> Actor {
    Actor::User(Identity::from_successful_bind(ANA.parse().unwrap()))
}

fn dn() -> flext_ldap_directory::proto::dn::Dn {
    ANA.parse().unwrap()
}

/// Makes the requests through an audit layer and gives what was recorded.
async fn recorded(calls: Vec<(Request, Answer)>) -> Vec<String> {
    let lines = Lines::default();
    let trail = AuditTrail::start(lines.clone()).unwrap();
    let script = Script::new(Vec::new());
    let directory = Layered::new(script.clone(), Arc::new(trail.of_all("ldap1")));
    for (request, answer) in calls {
        script.then(answer);
        drop(directory.call(request).outcome().await);
    }
    drop((directory, trail));
    lines.take()
}

#[tokio::test]
async fn a_record_says_who_did_what_to_what_and_how_it_went() {
    let success = || vec![done(ResultCode::SUCCESS)];
    let mut search = Search::new(
        "dc=example".parse().unwrap(),
        Scope::Subtree,
        "(&(uid=a\u{1}\"\\5c*)(userPassword=tide))".parse().unwrap(),
    );
    search = search.attributes(["cn", "+"]);
    let modify = Modify::new(dn())
        .change(ChangeKind::Add, "mail".parse().unwrap(), ["ana@harbourlane.example"])
        .change(ChangeKind::Delete, "userCertificate;binary".parse().unwrap(), [] as [Bytes; 0]);
    let mut attributes = Attributes::builder();
    attributes.push("objectClass", ["person"]);
    attributes.push("userPassword", ["tide"]);
    let rename = Rename {
        dn: dn(),
        new_rdn: "uid=eva".parse().unwrap(),
        delete_old_rdn: true,
        new_superior: Some("ou=left,dc=example".parse().unwrap()),
    };
    let compare = Compare { dn: dn(), attribute: "userPassword".parse().unwrap(), value: b"tide"[..].into() };
    let unknown = Error::new(ErrorKind::Closed, "tide").with_applied(Applied::Unknown);
    let calls: Vec<(Request, Answer)> = vec![
        (
            Request::new(search, ana()).into_any(),
            vec![batch(&["o=a", "o=b"]), done(ResultCode::SIZE_LIMIT_EXCEEDED)],
        ),
        (
            Request::new(modify, Actor::Service)
                .critical(&ProxiedAuthorization(format!("dn:{ANA}")))
                .critical(&Assertion("(userPassword=tide)".parse().unwrap()))
                .into_any(),
            vec![Err(unknown)],
        ),
        (Request::new(Add::new(dn(), attributes.build()), Actor::Anonymous).into_any(), success()),
        (Request::new(rename, ana()).into_any(), vec![done(ResultCode(9_999))]),
        (Request::new(compare, ana()).into_any(), vec![done(ResultCode::COMPARE_TRUE)]),
        (Request::new(Delete { dn: dn() }, ana()).into_any(), success()),
        (Request::new(WhoAmI.request(), ana()).into_any(), success()),
    ];
    let who = format!(r#""actor":"dn:{ANA}""#);
    assert_eq!(
        recorded(calls).await,
        [
            format!(
                r#"{who},"operation":"search","name":"dc=example","scope":"sub","filter":"(&(uid=a\\01\"\\5c*)(userPassword=***))","attributes":["cn","+"],"result":"sizeLimitExceeded","code":4,"items":2"#
            ),
            format!(
                r#""actor":"service","proxied":"dn:{ANA}","operation":"modify","name":"{ANA}","changes":[{{"add":"mail"}},{{"delete":"userCertificate;binary"}}],"controls":["2.16.840.1.113730.3.4.18","1.3.6.1.1.12"],"error":"closed","applied":"unknown""#
            ),
            format!(
                r#""actor":"anonymous","operation":"add","name":"{ANA}","attributes":["objectClass","userPassword"],"result":"success","code":0"#
            ),
            format!(
                r#"{who},"operation":"modrdn","name":"{ANA}","new_rdn":"uid=eva","new_superior":"ou=left,dc=example","result":"unnamed","code":9999"#
            ),
            format!(
                r#"{who},"operation":"compare","name":"{ANA}","attributes":["userPassword"],"result":"compareTrue","code":6"#
            ),
            format!(r#"{who},"operation":"delete","name":"{ANA}","result":"success","code":0"#),
            format!(
                r#"{who},"operation":"extended","oid":"1.3.6.1.4.1.4203.1.11.3","result":"success","code":0"#
            ),
        ]
    );
}

/// A secret in every place one can be in: none gets through.
#[tokio::test]
async fn planted_secrets_are_in_no_record() {
    const SECRET: &str = "k0rrekt-Pferd";
    let secret_dn = || format!("userPassword={SECRET},dc=example").parse().unwrap();
    let password = || "userPassword".parse().unwrap();
    let mut attributes = Attributes::builder();
    attributes.push("userPassword", [SECRET]);
    attributes.push("unicodePwd", [SECRET]);
    let modify =
        PasswordModify { user: Some(ANA.to_owned()), old: Some(SECRET.into()), new: Some(SECRET.into()) };
    let misplaced = PasswordModify { user: Some(SECRET.to_owned()), ..PasswordModify::default() };
    let filters = [
        format!("(userPassword={SECRET})"),
        format!("(USERPASSWORD;x-a={SECRET}*)"),
        format!("(2.5.4.35>={SECRET})"),
        format!("(!(unicodePwd~={SECRET}))"),
        format!("(|(userPassword:caseExactMatch:={SECRET})(:caseExactMatch:={SECRET}))"),
    ];
    let mut ops: Vec<Op> = filters
        .iter()
        .map(|filter| Search::new(dn(), Scope::Subtree, filter.parse().unwrap()).into())
        .collect();
    ops.extend([
        Search::new(secret_dn(), Scope::Base, Filter::any()).into(),
        Compare { dn: dn(), attribute: password(), value: SECRET.into() }.into(),
        Add::new(secret_dn(), attributes.build()).into(),
        Modify::new(dn()).change(ChangeKind::Delete, password(), [SECRET]).into(),
        Modify::new(dn()).change(ChangeKind::Replace, "description".parse().unwrap(), [SECRET]).into(),
        Rename {
            dn: dn(),
            new_rdn: format!("userPassword={SECRET}").parse().unwrap(),
            delete_old_rdn: false,
            new_superior: Some(secret_dn()),
        }
        .into(),
        Delete { dn: secret_dn() }.into(),
        modify.request().into(),
        misplaced.request().into(),
        ExtendedRequest { oid: Oid::from_static("1.2.3.4"), value: Some(SECRET.into()) }.into(),
    ]);
    let said =
        || LdapResult::with_diagnostic(ResultCode::CONSTRAINT_VIOLATION, format!("{SECRET} is too weak"));
    let mut calls: Vec<(Request, Answer)> = Vec::new();
    for op in ops {
        let assertion = Assertion(format!("(userPassword={SECRET})").parse().unwrap());
        let request = || Request::new(op.clone(), ana()).critical(&assertion);
        let answer = flext_ldap_directory::Event::Done(said().into());
        calls.push((request(), vec![Ok(answer)]));
        calls
            .push((request(), vec![Err(Error::new(ErrorKind::Protocol, format!("not expected: {SECRET}")))]));
        calls.push((request(), vec![Err(Error::rejected(said().into()))]));
    }
    let number = calls.len();
    let records = recorded(calls).await;
    assert_eq!(records.len(), number);
    let told: Vec<_> =
        records.iter().filter(|record| record.contains(SECRET) || record.contains("Pferd")).collect();
    assert!(told.is_empty(), "{told:#?}");
    assert!(
        records.iter().any(|record| record.contains(&format!(r#""name":"{ANA}","controls""#))),
        "the user of Password Modify"
    );
}

#[tokio::test]
async fn writes_alone_and_what_nobody_waited_for() {
    let lines = Lines::default();
    let trail = AuditTrail::start(lines.clone()).unwrap();
    let metrics = Metrics::new([]);
    metrics.add(trail.clone());
    let script = Script::new(vec![vec![done(ResultCode::SUCCESS)], vec![done(ResultCode::SUCCESS)]]);
    let directory = Layered::new(script, Arc::new(trail.of_writes("ldap1")));
    directory.call(Request::new(WhoAmI.request().into(), ana())).outcome().await.unwrap();
    drop(directory.call(Request::new(Delete { dn: dn() }.into(), Actor::Service)));
    drop(directory);
    while trail.statistics().written < 1 {
        std::thread::yield_now();
    }
    let text = metrics.to_string();
    for wanted in ["ldap_audit_records_total 1\n", "ldap_audit_dropped_total 0\n", "ldap_audit_failing 0\n"] {
        assert!(text.contains(wanted), "{text}");
    }
    drop((metrics, trail));
    assert_eq!(
        lines.take(),
        [format!(r#""actor":"service","operation":"delete","name":"{ANA}","abandoned":true"#)]
    );
}

/// A name can be 64 KiB long, a modify can have a hundred thousand changes; a record stays small.
#[tokio::test]
async fn records_are_bounded() {
    let long = "x".repeat(60_000);
    let name = format!("cn={long},dc=example").parse().unwrap();
    let mut modify = Modify::new(name);
    for _ in 0..1_000 {
        modify = modify.change(ChangeKind::Add, "description".parse().unwrap(), ["x"]);
    }
    let filter = Filter::equality("cn".parse().unwrap(), long.clone());
    let calls = vec![
        (Request::new(modify, ana()).into_any(), vec![done(ResultCode::SUCCESS)]),
        (
            Request::new(Search::new(dn(), Scope::Base, filter), ana()).into_any(),
            vec![done(ResultCode::SUCCESS)],
        ),
    ];
    let records = recorded(calls).await;
    let lengths: Vec<_> = records.iter().map(String::len).collect();
    assert!(lengths.iter().all(|length| *length < 5_000), "{lengths:?}");
    assert!(records[0].contains(r#"x…","changes":[{"add":"description"},"#), "{}", records[0]);
    assert!(records[0].contains(r#"{"add":"description"},"…"],"result""#), "{}", records[0]);
    assert!(records[1].contains("xxx…\""), "{}", records[1]);
}
