//! Spans of commands: where they go, below what, and what becomes of a command whose collector is away.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::program::{Output, flext_ldap, people, run};

const ADA: &str = "uid=ada,ou=people,dc=harbourlane,dc=example";

/// Takes one request over HTTP, and gives its first lines and the rest.
fn collector() -> (String, JoinHandle<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let taken = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
        }
        let length = head.to_ascii_lowercase();
        let length = length.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        (head, body)
    });
    (url, taken)
}

fn has(octets: &[u8], part: &[u8]) -> bool {
    octets.windows(part.len()).any(|window| window == part)
}

/// A search by Ada, which prints her name.
fn search(url: &str) -> Command {
    flext_ldap(&[
        "search",
        "-H",
        url,
        "-D",
        ADA,
        "-w",
        "tall waves",
        "-b",
        "dc=harbourlane,dc=example",
        "(mail=ada@*)",
        "cn",
    ])
}

fn is_answered(output: &Output) {
    assert_eq!(output.code, 0, "{}", output.err);
    assert!(output.out.contains("cn: Ada Nordin"), "{}", output.out);
}

#[test]
fn a_command_is_one_trace_and_says_no_secret() {
    let directory = people();
    let (url, taken) = collector();
    let mut command = search(directory.url());
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &url).env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=quay");
    command.env("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let output = run(command);
    is_answered(&output);
    assert_eq!(output.err, "");
    let (head, body) = taken.join().unwrap();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n") && head.contains("x-key: quay\r\n"), "{head}");
    for name in ["flext-ldap search", "ldap.search", "ldap.wait", "ldap.open", "ldap.bind", "service.name"] {
        assert!(has(&body, name.as_bytes()), "{name}");
    }
    let (trace, parent) = (0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128, 0xb7ad_6b71_6920_3331_u64);
    assert!(has(&body, &trace.to_be_bytes()) && has(&body, &parent.to_be_bytes()));
    for secret in ["tall waves", "uid=", "ada@", "mail", "Nordin", "harbourlane,dc"] {
        assert!(!has(&body, secret.as_bytes()), "`{secret}` was sent");
    }
}

#[test]
fn a_configuration_asks_for_spans_too() {
    let directory = people();
    let (url, taken) = collector();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ldap.yaml");
    let text = format!(
        "flext_ldap:\n  primary_server: {{url: \"{}\", start_tls: false}}\n  security: {{require_ssl: false}}\n  \
         directory_structure: {{base_dn: \"dc=harbourlane,dc=example\"}}\n  \
         observability: {{enable_tracing: true, trace_endpoint: \"{url}\"}}\n",
        directory.url()
    );
    std::fs::write(&file, text).unwrap();
    let arguments = ["search", "--config", file.to_str().unwrap(), "(uid=ada)", "cn"];
    is_answered(&run(flext_ldap(&arguments)));
    let (_, body) = taken.join().unwrap();
    // The base is one that is configured, and no secret.
    for name in ["flext-ldap search", "ldap.search", "db.namespace", "dc=harbourlane,dc=example"] {
        assert!(has(&body, name.as_bytes()), "{name}");
    }
    let mut forbidden = flext_ldap(&arguments);
    forbidden.env("OTEL_TRACES_EXPORTER", "none");
    let output = run(forbidden);
    is_answered(&output);
    assert_eq!(output.err, "", "nobody listens any more, and nobody was asked");
}

#[test]
fn a_collector_that_is_away_costs_a_line_and_a_second_at_most() {
    let directory = people();
    let timed = |endpoint: Option<&str>| {
        let mut command = search(directory.url());
        if let Some(url) = endpoint {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", url);
        }
        let started = Instant::now();
        let output = run(command);
        is_answered(&output);
        (output.err, started.elapsed())
    };
    // What binds takes most of it.
    let without = (0..3).map(|_| timed(None).1).min().unwrap();
    let gone = {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", gone.local_addr().unwrap())
    };
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", held.local_addr().unwrap());
    // A connection it takes does not help: nothing is answered.
    let _kept = TcpStream::connect(held.local_addr().unwrap()).unwrap();
    for url in [gone, silent] {
        let (told, took) = timed(Some(&url));
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains(&format!("did not reach the collector at {url}: ")), "{told}");
        assert!(took < 4 * (without + Duration::from_secs(1)), "{took:?} where it takes {without:?} without");
    }
    let (told, _) = timed(Some("grpc://localhost:4317"));
    assert!(told.starts_with("warning: no spans are sent: ") && told.lines().count() == 1, "{told}");
}
