//! `flext-ldap proxy`: one address before two servers, of which one ends.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Child,
    time::Duration,
};

use flext_ldap_testkit::TestDirectory;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    collector::Collector,
    program::{Output, PEOPLE, finish, flext_ldap, run, wait_for_line},
};

const BASE: &str = "dc=harbourlane,dc=example";
const ADA: &str = "uid=ada,ou=people,dc=harbourlane,dc=example";
const PASSWORD: &str = "tall waves";

/// For those who signed in.
fn directory() -> TestDirectory {
    TestDirectory::builder().suffix(BASE).ldif(PEOPLE).start().unwrap()
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

/// A configuration of these servers, with this below `proxy`.
fn configure(folder: &Path, urls: &[&str], proxy: &str) -> String {
    let path = folder.join("ldap.yaml");
    let text = format!(
        "flext_ldap:\n  primary_server: {{url: \"{}\", start_tls: false}}\n  failover_servers: [{{url: \"{}\", start_tls: false}}]\n  \
         security: {{require_ssl: false}}\n  proxy:\n{proxy}",
        urls[0], urls[1]
    );
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn get(url: &str, path: &str) -> String {
    let address = url.rsplit("http://").next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn one_address_goes_on_when_a_server_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (first, second) = (directory(), directory());
    let (clients, log) = (path("clients.json"), path("access.log"));
    let proxy = format!(
        "    listen: ldap://127.0.0.1:0\n    clients_file: \"{clients}\"\n    access_log: \"{log}\"\n    http_listen: 0\n"
    );
    let config = configure(folder.path(), &[first.url(), second.url()], &proxy);
    let mut child = flext_ldap(&["proxy", "--config", &config]).spawn().unwrap();
    let url = wait_for_line(&mut child, "listening on ldap://").replace("listening on ", "");
    let http = wait_for_line(&mut child, "metrics and health on http://");
    fs::write(path("secret"), PASSWORD).unwrap();
    let as_ada = ["-H", &url, "-D", ADA, "-y", &path("secret")];
    let search = |filter: &str| -> Output {
        run(flext_ldap(&[&["search", "-b", BASE, filter], &as_ada[..]].concat()))
    };
    let found = search("(uid=ada)");
    assert!(found.code == 0 && found.out.contains("cn: Ada Nordin"), "{found:?}");
    let output = run(flext_ldap(&[&["whoami"], &as_ada[..]].concat()));
    assert_eq!((output.code, output.out.trim()), (0, format!("dn:{ADA}").as_str()), "{output:?}");
    fs::write(path("wrong"), "planted-password").unwrap();
    let output = run(flext_ldap(&["whoami", "-H", &url, "-D", ADA, "-y", &path("wrong")]));
    assert_eq!(output.code, 49, "{output:?}");
    let output = run(flext_ldap(&["whoami", "-H", &url, "-Y", "EXTERNAL"]));
    assert!(output.code != 0, "{output:?}");

    let ready = get(&http, "/health/ready");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    drop(first);
    for _ in 0..3 {
        let found = search("(cn=planted-value)");
        assert_eq!(found.code, 0, "{found:?}");
    }
    let health = get(&http, "/health");
    assert!(health.contains("\"servers\""), "{health}");
    let metrics = get(&http, "/metrics");
    assert!(
        metrics.starts_with("HTTP/1.1 200") && metrics.contains("text/plain; version=0.0.4"),
        "{metrics}"
    );
    assert!(metrics.contains("flext_ldap_operations_total"), "{metrics}");

    signal(&child, Signal::SIGHUP);
    wait_for_line(&mut child, "certificate and logs were opened again");
    signal(&child, Signal::SIGTERM);
    let ended = finish(child);
    assert_eq!(ended.code, 0, "{ended:?}");

    let listed = run(flext_ldap(&["proxy", "clients", "--config", &config]));
    assert_eq!(listed.code, 0, "{listed:?}");
    let line = listed.out.lines().find(|line| line.contains(ADA)).unwrap();
    assert!(line.starts_with("127.0.0.1  clear  simple  ") && line.contains("binds 5"), "{line}");
    assert!(listed.out.contains("(cn=?)") && listed.out.contains("(1 refused)"), "{listed:?}");
    let json = run(flext_ldap(&["proxy", "clients", "--json", "--config", &config]));
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert!(json["clients"].as_array().unwrap().len() >= 2, "{json}");
    let log = fs::read_to_string(&log).unwrap();
    assert!(log.contains("whoami") || log.contains("1.3.6.1.4.1.4203.1.11.3"), "{log}");
    for text in [&listed.out, &json.to_string(), &metrics, &health, &ended.err] {
        assert!(!text.contains("planted") && !text.contains(PASSWORD), "{text}");
    }
    assert!(!log.contains("planted-password") && !log.contains(PASSWORD), "{log}");
}

#[test]
fn a_client_is_seen_in_traces_and_in_the_list_with_its_tls() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let directory = directory();
    let collector = Collector::start();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (path("proxy.pem"), path("proxy.key"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let proxy = format!(
        "    listen: ldaps://127.0.0.1:0\n    tls_cert: \"{certificate}\"\n    tls_key: \"{key}\"\n    \
         clients_file: \"{}\"\n  observability: {{enable_tracing: true, trace_endpoint: \"{}\"}}\n",
        path("clients.json"),
        collector.url()
    );
    let config = configure(folder.path(), &[directory.url(), directory.url()], &proxy);
    let mut child = flext_ldap(&["proxy", "--config", &config]).spawn().unwrap();
    let url = wait_for_line(&mut child, "listening on ldaps://").replace("listening on ", "");
    fs::write(path("secret"), PASSWORD).unwrap();
    fs::write(path("wrong"), "planted-password").unwrap();
    let as_ada = |secret: &str| {
        let ada = ["-H", &url, "--ca-file", &certificate, "-D", ADA, "-y", &path(secret)];
        run(flext_ldap(&[&["search", "-b", BASE, "(uid=ada)"], &ada[..]].concat()))
    };
    let found = as_ada("secret");
    assert!(found.code == 0 && found.out.contains("cn: Ada Nordin"), "{found:?}");
    assert_eq!(as_ada("wrong").code, 49);
    signal(&child, Signal::SIGTERM);
    let ended = finish(child);
    assert_eq!(ended.code, 0, "{ended:?}");

    // Of the client's bind and its search each is a trace; among them are connections that are opened for nobody.
    let port = directory.url().rsplit_once(':').unwrap().1.trim_end_matches('/');
    let found = "db.response.returned_rows=1 db.response.status_code=success";
    let trees = collector.trees();
    for tree in [
        format!("ldap.bind server.port={port}\n"),
        format!(
            "ldap.search db.namespace=other {found}\n  \
             ldap.search db.namespace=other server.port={port} {found}\n"
        ),
        format!("ldap.bind! server.port={port} error.type=invalidCredentials\n"),
    ] {
        assert!(trees.contains(&tree), "{tree} is not in\n{}", trees.concat());
    }
    assert_eq!(collector.resource("service.name"), "flext-ldap");
    let octets = collector.octets();
    for secret in [PASSWORD, "planted", "uid=", "Nordin", "(uid"] {
        let is_there = octets.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!is_there, "`{secret}` was sent");
    }
    let listed = run(flext_ldap(&["proxy", "clients", "--config", &config]));
    let line = listed.out.lines().find(|line| line.contains(ADA)).unwrap();
    assert!(line.starts_with("127.0.0.1  tls 1.3 TLS_AES_256_GCM_SHA384  simple  "), "{line}");
}

#[test]
fn what_cannot_be_served_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let urls = ["ldap://127.0.0.1:1", "ldap://127.0.0.1:2"];
    let proxy = |text: &str| {
        let config = configure(folder.path(), &urls, text);
        run(flext_ldap(&["proxy", "--config", &config]))
    };
    let output = proxy("    sessions: 10\n");
    assert!(output.code == 201 && output.err.contains("nothing to listen on"), "{output:?}");
    let output = proxy("    listen: ldaps://127.0.0.1:0\n");
    assert!(output.code == 201 && output.err.contains("needs a certificate"), "{output:?}");
    let output = proxy("    listen: ldap://127.0.0.1:0\n    account: nobody\n");
    assert!(output.code != 0 && output.err.contains("no account `nobody`"), "{output:?}");
    let output = proxy("    listen: http://x\n    tls_cert: a.pem\n");
    assert!(output.code == 201 && output.err.contains("flext_ldap.proxy.listen"), "{output:?}");
    let config = configure(folder.path(), &urls, "    sessions: 10\n");
    let output = run(flext_ldap(&["proxy", "clients", "--config", &config]));
    assert!(output.code == 201 && output.err.contains("proxy.clients_file"), "{output:?}");
}
