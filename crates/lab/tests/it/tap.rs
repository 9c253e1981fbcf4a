//! The tap on a real slapd: what it discovers and extracts is what ldapsearch and the company's counts say.

use std::collections::HashSet;

use flext_ldap_client::{Connector, Credentials};
use flext_ldap_directory::Actor;
use flext_ldap_lab::{Content, Slapd, SlapdOptions, Tool};
use flext_ldap_singer::{Config, Summary, Tap, TapError};
use flext_ldap_testkit::company::{Company, SUFFIX, company};
use serde_json::{Value, json};

fn start(company: Company, size_limit: Option<u32>) -> Slapd {
    let mut ldif = Vec::new();
    company.write_ldif(&mut ldif).unwrap();
    let content = Content::Text(String::from_utf8(ldif).unwrap());
    Slapd::start(SlapdOptions { content, size_limit, ..SlapdOptions::default() }).unwrap()
}

fn run(slapd: &Slapd, credentials: Credentials, settings: Value) -> (Vec<Value>, Result<Summary, TapError>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let Value::Object(mut settings) = settings else { panic!("an object") };
        settings.insert("url".to_owned(), slapd.ldap_url().into());
        let config = Config::from_json(settings).unwrap();
        let url = config.url.parse().unwrap();
        let connector = Connector::builder().clear().url(&url).credentials(credentials).build().unwrap();
        let connection = connector.connect().await.unwrap();
        let tap = Tap::over_session(&connection, Actor::Service, config).await.unwrap();
        let mut out = Vec::new();
        let result = tap.sync(None, None, &mut out).await;
        connection.close().await;
        let lines = out.split(|octet| *octet == b'\n').filter(|line| !line.is_empty());
        (lines.map(|line| serde_json::from_slice(line).unwrap()).collect(), result)
    })
}

fn records<'m>(messages: &'m [Value], stream: &str) -> Vec<&'m Value> {
    let of_stream =
        messages.iter().filter(|message| message["type"] == "RECORD" && message["stream"] == stream);
    of_stream.map(|message| &message["record"]).collect()
}

#[test]
fn everything_is_extracted_once_and_typed() {
    let company = company(1_200, 5);
    let slapd = start(company, None);
    let (messages, result) =
        run(&slapd, Credentials::simple(slapd.root_dn(), slapd.root_password()), json!({"page_size": 100}));
    let summary = result.unwrap();
    let counts = company.counts();
    let streams: Vec<_> =
        summary.streams.iter().map(|stream| (stream.stream.as_str(), stream.records)).collect();
    assert_eq!(streams, [("users", counts.people), ("groups", counts.groups)]);
    assert!(summary.streams.iter().all(|stream| stream.misfits.is_empty()), "{summary:?}");
    assert_eq!(messages.last().unwrap()["type"], "STATE");

    let users = records(&messages, "users");
    let keys: HashSet<&str> = users.iter().map(|user| user["entryUUID"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), users.len());
    for (user, person) in users.iter().zip(company.people()) {
        assert_eq!(user["cn"], json!([person.cn]));
        assert_eq!(user["uid"], json!([person.uid]));
        assert!(user["uidNumber"].is_i64() && user["createTimestamp"].as_str().unwrap().ends_with('Z'));
        assert!(user.get("userPassword").is_none());
    }
    assert_eq!(users.iter().filter(|user| user["shadowExpire"] == 1).count() as u64, counts.disabled);
    // The photographs are what ldapsearch prints in base64.
    let photo = users.iter().find(|user| user["jpegPhoto"].is_array()).unwrap();
    let filter = format!("(entryUUID={})", photo["entryUUID"].as_str().unwrap());
    let ldif = Tool::new("ldapsearch")
        .unwrap()
        .args([
            "-x",
            "-LLL",
            "-o",
            "ldif-wrap=no",
            "-H",
            &slapd.ldap_url(),
            "-b",
            SUFFIX,
            &filter,
            "jpegPhoto",
        ])
        .run()
        .unwrap()
        .success()
        .unwrap();
    let line = format!("jpegPhoto:: {}\n", photo["jpegPhoto"][0].as_str().unwrap());
    assert!(ldif.contains(&line), "{ldif}");
    // Groups of groups: every member is a name.
    assert!(records(&messages, "groups").iter().all(|group| !group["member"].as_array().unwrap().is_empty()));
}

#[test]
fn a_size_limit_ends_the_tap_without_a_state() {
    let slapd = start(company(300, 5), Some(50));
    // Anonymous is bound by the limit, pages or not.
    let (messages, result) = run(&slapd, Credentials::Anonymous, json!({"page_size": 20}));
    let error = result.unwrap_err();
    assert!(error.to_string().starts_with("stream `users` failed after "), "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("sizeLimitExceeded"), "{source}");
    assert!(messages.iter().all(|message| message["type"] != "STATE"));
}
