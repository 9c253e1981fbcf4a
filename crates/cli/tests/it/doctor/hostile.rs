//! Servers that say much, and things for a terminal: what of it is read, and what of it is printed.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use flext_ldap_directory::proto::{
    batch::BatchWriter,
    ber::{Tag, Writer, frame_length},
    control::Controls,
    message::{BindResponse, Envelope, ExtendedResponse, Limits, MessageId, Request, Response, encode_item},
    result::{LdapResult, ResultCode},
};
use flext_ldap_server::{Server, ServerTls};
use rcgen::{CertificateParams, DnType, KeyPair};

use crate::program::{Output, flext_ldap, people, run};

/// What steers a terminal, or begins a line of its own.
const STEERS: &str = "\u{1b}[2J\r\nok    all is well\u{9b}31m\u{202e}";

/// Serves whoever connects, for as long as the test runs, and gives its URL.
fn serve(answer: impl Fn(MessageId, Request) -> Vec<u8> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ldap://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || converse(stream.unwrap(), &*answer));
        }
    });
    url
}

/// Answers until either end has enough.
fn converse(mut stream: TcpStream, answer: &dyn Fn(MessageId, Request) -> Vec<u8>) -> Option<()> {
    let mut inbox = Vec::new();
    loop {
        let length = loop {
            match frame_length(&inbox, 1 << 20).ok()? {
                Some(length) if length <= inbox.len() => break length,
                _ => {}
            }
            let mut octets = [0; 4_096];
            let read = stream.read(&mut octets).ok().filter(|read| *read > 0)?;
            inbox.extend_from_slice(&octets[..read]);
        };
        let message: Vec<u8> = inbox.drain(..length).collect();
        let envelope = Envelope::decode(message.into(), &Limits::DEFAULT).ok()?;
        stream.write_all(&answer(envelope.id, envelope.request(&Limits::DEFAULT).ok()?)).ok()?;
    }
}

fn encoded(id: MessageId, response: &Response) -> Vec<u8> {
    let mut writer = Writer::new();
    response.encode(id, &Controls::none(), &mut writer);
    writer.take().to_vec()
}

/// An entry with these attributes.
fn entry(id: MessageId, dn: &str, attributes: &[(&str, &[String])]) -> Vec<u8> {
    let mut batch = BatchWriter::new();
    batch.entry(dn, &Controls::none(), |writer| {
        for (name, all) in attributes {
            writer.sequence(|attribute| {
                attribute.octets(name.as_bytes());
                attribute.constructed(Tag::SET, |values| {
                    all.iter().for_each(|value| values.octets(value.as_bytes()));
                });
            });
        }
    });
    let mut writer = Writer::new();
    encode_item(id, batch.take().item(0).unwrap(), &mut writer);
    writer.take().to_vec()
}

fn refusal(code: ResultCode) -> LdapResult {
    LdapResult::with_diagnostic(code, STEERS.repeat(10_000))
}

/// Answers all but searches.
fn other(id: MessageId, request: &Request) -> Vec<u8> {
    match request {
        Request::Bind(_) => {
            let result = refusal(ResultCode::INVALID_CREDENTIALS);
            encoded(id, &Response::Bind(BindResponse { result, server_credentials: None }))
        }
        Request::Extended(_) => {
            let result = refusal(ResultCode::PROTOCOL_ERROR);
            encoded(id, &Response::Extended(ExtendedResponse { result, oid: None, value: None }))
        }
        _ => Vec::new(),
    }
}

/// That it printed no more than people read, and nothing that steers their terminal.
#[track_caller]
fn is_for_people(output: &Output) {
    let lines = output.out.lines();
    let longest = lines.clone().map(str::len).max().unwrap_or_default();
    assert!(lines.count() < 60 && longest < 8_000, "{longest}: {output:?}");
    let all = [output.out.as_str(), output.err.as_str()].concat();
    let steers = |one: char| one.is_control() && one != '\n' || one == '\u{202e}';
    assert!(!all.contains(steers) && !all.contains("\nok    all is well"), "{output:?}");
}

#[test]
fn a_root_dse_of_10_mb_is_not_read() {
    let values = ["x".repeat(10 << 20)];
    let url = serve(move |id, request| match request {
        Request::Search(_) => entry(id, "", &[("vendorName", &values)]),
        other => self::other(id, &other),
    });
    let output = run(flext_ldap(&["doctor", &url]));
    assert_eq!(output.code, 206, "{output:?}");
    is_for_people(&output);
    assert!(output.out.contains("message larger than the limit"), "{output:?}");
}

#[test]
fn of_what_is_read_the_beginning_is_printed() {
    let many = |count: usize, value: &dyn Fn(usize) -> String| (0..count).map(value).collect::<Vec<_>>();
    let vendor = [format!("{STEERS}{}", "v".repeat(500_000))];
    let contexts = many(40_000, &|number| format!("dc=a{STEERS}{number},dc=example"));
    let deep = format!("{}dc=example", "dc=a,".repeat(100_000));
    let mechanisms = many(20_000, &|number| format!("M-{number}"));
    let oids = many(40_000, &|number| format!("1.2.3.{number}"));
    let url = serve(move |id, request| {
        let Request::Search(search) = request else { return other(id, &request) };
        let mut answer = match search.base.is_root() {
            true => entry(
                id,
                "",
                &[
                    ("vendorName", &vendor),
                    ("namingContexts", &contexts),
                    ("defaultNamingContext", std::slice::from_ref(&deep)),
                    ("supportedSASLMechanisms", &mechanisms),
                    ("supportedControl", &oids),
                ],
            ),
            // As many as there may be, whatever was asked for: people, groups and policies.
            false => {
                let policy: [(&str, &[String]); 2] =
                    [("pwdLockout", &["TRUE".to_owned()]), ("pwdMaxFailure", &["3".to_owned()])];
                (0..30).flat_map(|_| entry(id, &deep, &policy)).collect()
            }
        };
        answer.extend(encoded(id, &Response::SearchDone(LdapResult::success())));
        answer
    });
    for arguments in [&[][..], &["--json"]] {
        let output = run(flext_ldap(&[&["doctor", &url], arguments].concat()));
        assert_eq!((output.code, output.err.as_str()), (0, ""), "{output:?}");
        is_for_people(&output);
        for part in ["and 9988 more", "more characters)", "people seen: 30", "StartTLS is refused"] {
            assert!(output.out.contains(part), "{part}: {output:?}");
        }
        assert_eq!(output.out.matches("3 wrong passwords in a row").count(), 10, "{output:?}");
    }
    let refused = run(flext_ldap(&["doctor", &url, "-D", "cn=reader,dc=example", "-w", "open water"]));
    assert_eq!(refused.code, 49, "{refused:?}");
    is_for_people(&refused);
}

#[test]
fn names_of_a_certificate_are_for_people() {
    let hosts: Vec<_> = (0..1_500).map(|number| format!("host{number}.example")).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, STEERS);
    params.distinguished_name.push(DnType::OrganizationName, "o".repeat(5_000));
    let key = KeyPair::generate().unwrap();
    let tls = ServerTls::from_pem(
        params.self_signed(&key).unwrap().pem().as_bytes(),
        key.serialize_pem().as_bytes(),
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = people().store().clone();
    let server = Server::builder(Arc::new(store)).listen("ldaps://127.0.0.1:0".parse().unwrap());
    let server = runtime.block_on(server.tls(tls.unwrap()).start()).unwrap();
    let url = server.urls()[0].to_string();
    for arguments in [&[][..], &["--json"]] {
        let output = run(flext_ldap(&[&["doctor", &url], arguments].concat()));
        assert_eq!(output.code, 203, "{output:?}");
        is_for_people(&output);
        for part in ["certificate", "host0.example", "and 1488 more", "more characters)"] {
            assert!(output.out.contains(part), "{part}: {output:?}");
        }
    }
}
