//! A company in the embedded directory, extracted whole, page after page.

use std::collections::HashSet;

use flext_ldap_directory::{Actor, DirectoryExt, Peer, Request, Sessions};
use flext_ldap_proto::{
    ldif::{LdifReader, ReadOptions, Record},
    message::Add,
};
use flext_ldap_singer::{Config, Tap, TapError};
use flext_ldap_store::{StandardPolicy, Store, StoreOptions};
use flext_ldap_testkit::company::{Company, SUFFIX, company};
use serde_json::Value;

async fn store_with(company: Company) -> Store {
    let policy = StandardPolicy::default().anonymous_read();
    let options = StoreOptions::memory().suffix(SUFFIX.parse().unwrap()).policy(std::sync::Arc::new(policy));
    let store = Store::open(options).unwrap();
    let mut ldif = Vec::new();
    company.write_ldif(&mut ldif).unwrap();
    let mut reader = LdifReader::new(&ldif[..], ReadOptions::default());
    while let Some(record) = reader.next_record().unwrap() {
        let Record::Entry(entry) = record else { panic!("a change") };
        // Whoever has a password would cost a hash each; the tap does not read it anyhow.
        let mut attributes = flext_ldap_proto::attribute::Attributes::builder();
        for attribute in entry.attributes().iter().filter(|one| one.description() != "userPassword") {
            attributes.push(attribute.description(), attribute.values());
        }
        let add = Add::new(entry.dn().unwrap(), attributes.build());
        store.add(Request::new(add, Actor::Service)).await.unwrap();
    }
    store
}

fn messages(out: &[u8]) -> Vec<Value> {
    let lines = out.split(|octet| *octet == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn config(page_size: u32) -> Config {
    let mut config = Config::new("ldap://not-asked");
    config.page_size = page_size;
    config
}

#[tokio::test]
async fn the_whole_company() {
    let company = company(120, 3);
    let store = store_with(company).await;

    let tap = Tap::over(&store, Actor::Service, config(0)).await.unwrap();
    assert_eq!(tap.schema_errors(), []);
    let mut whole = Vec::new();
    let summary = tap.sync(None, None, &mut whole).await.unwrap();
    let counts = company.counts();
    let streams: Vec<_> = summary.streams.iter().map(|one| (one.stream.as_str(), one.records)).collect();
    assert_eq!(streams, [("users", counts.people), ("groups", counts.groups)]);
    assert!(summary.streams.iter().all(|stream| stream.misfits.is_empty()), "{summary:?}");

    // In pages it is the same.
    let session = store.open(Peer::in_process()).await.unwrap();
    let tap = Tap::over_session(&session, Actor::Anonymous, config(7)).await.unwrap();
    let mut paged = Vec::new();
    tap.sync(None, None, &mut paged).await.unwrap();
    let records = |out: &[u8]| -> Vec<Value> {
        messages(out)
            .into_iter()
            .filter(|one| one["type"] == "RECORD")
            .map(|one| one["record"].clone())
            .collect()
    };
    let (whole, paged) = (records(&whole), records(&paged));
    assert_eq!(whole.len() as u64, counts.people + counts.groups);
    assert_eq!(whole, paged);
    let keys: HashSet<&str> = whole.iter().map(|record| record["entryUUID"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), whole.len());
    for (record, person) in whole.iter().zip(company.people()) {
        assert_eq!(
            (&record["cn"][0], &record["uid"][0]),
            (&Value::from(person.cn), &Value::from(person.uid))
        );
    }
}

#[tokio::test]
async fn who_may_not_read_gets_an_error_or_nothing() {
    let store = Store::open(StoreOptions::memory().suffix(SUFFIX.parse().unwrap())).unwrap();
    let tap = Tap::over(&store, Actor::Anonymous, config(0)).await.unwrap();
    let mut out = Vec::new();
    match tap.sync(None, None, &mut out).await {
        Err(TapError::Search { stream, records: 0, .. }) => assert_eq!(stream, "users"),
        other => panic!("{other:?}"),
    }
    assert!(messages(&out).iter().all(|message| message["type"] == "SCHEMA"));
}
