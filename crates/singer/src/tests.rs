//! The tap over a directory made by hand: whole runs, and what they write.

use std::{
    io,
    sync::{Arc, Mutex},
};

use flext_ldap_directory::{
    Actor, BindReply, BindStep, BoxFuture, Deadline, Directory, Error, ErrorKind, Event, Events, Op, Outcome,
    Reply, Request, Session,
};
use flext_ldap_proto::{
    attribute::{Attributes, Selector},
    batch::BatchWriter,
    control::{ControlValue, Controls, PagedResults},
    entry::{Entry, EntryRef},
    filter::{Matcher, Truth},
    ldif::{LdifReader, ReadOptions, Record},
    message::{Limits, Search},
    result::{LdapResult, ResultCode},
    schema::Schema,
};
use serde_json::{Map, Value, json};

use crate::{Catalog, Config, Summary, Tap, TapError};

/// Entries in a list, searched one by one; a schema; perhaps pages; perhaps a fault.
#[derive(Default)]
struct Fixture {
    entries: Vec<Entry>,
    paging: bool,
    /// After how many entries of a search the conversation ends.
    fails_after: Option<usize>,
    contexts: Vec<&'static str>,
    /// The searches seen.
    seen: Mutex<Vec<Seen>>,
}

struct Seen {
    filter: String,
    attributes: Vec<String>,
    page_size: Option<u32>,
}

const CONTEXT: &str = "dc=harbourlane,dc=example";

fn fixture(ldif: &str) -> Fixture {
    let mut reader = LdifReader::new(ldif.as_bytes(), ReadOptions::default());
    let entries = std::iter::from_fn(|| reader.next_record().unwrap())
        .map(|record| match record {
            Record::Entry(entry) => entry,
            Record::Change(..) => panic!("a change"),
        })
        .collect();
    Fixture { entries, contexts: vec![CONTEXT], ..Fixture::default() }
}

struct Replies(std::vec::IntoIter<Result<Event, Error>>);

impl Events for Replies {
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<Event, Error>> {
        let end = || Err(Error::new(ErrorKind::Bug, "read after the end"));
        std::task::Poll::Ready(self.0.next().unwrap_or_else(end))
    }
}

fn batch<'e>(entries: impl IntoIterator<Item = EntryRef<'e>>) -> Event {
    let mut writer = BatchWriter::new();
    for entry in entries {
        writer.entry(entry.dn_str(), &Controls::none(), |writer| writer.raw(entry.attributes().as_bytes()));
    }
    Event::Batch(writer.take())
}

impl Fixture {
    fn search(&self, search: &Search, controls: &Controls) -> Vec<Result<Event, Error>> {
        let page = controls.get::<PagedResults>(&Limits::DEFAULT).unwrap();
        let asked = search.attributes.selectors().iter().map(|selector| match selector {
            Selector::Attribute(attribute) => attribute.as_str().to_owned(),
            other => format!("{other:?}"),
        });
        self.seen.lock().unwrap().push(Seen {
            filter: search.filter.to_string(),
            attributes: asked.collect(),
            page_size: page.as_ref().map(|page| page.size),
        });
        let done = Ok(Event::Done(Outcome::success()));
        let schema = Schema::standard();
        if search.base.is_root() {
            let mut root = Attributes::builder();
            root.push("namingContexts", &self.contexts);
            root.push("subschemaSubentry", ["cn=Subschema"]);
            if self.paging {
                root.push("supportedControl", [PagedResults::OID.as_str()]);
            }
            let entry = Entry::new(&search.base, root.build());
            return vec![Ok(batch([entry.as_ref()])), done];
        }
        if search.base.as_str() == "cn=Subschema" {
            let entry = Entry::new(&search.base, schema.to_subschema());
            return vec![Ok(batch([entry.as_ref()])), done];
        }
        let base = schema.dn_key(&search.base).unwrap();
        let matcher = Matcher::new(&search.filter, schema);
        let mut found = self.entries.iter().filter(|entry| {
            let dn = entry.dn().unwrap();
            schema.dn_key(&dn).unwrap().is_within(&base)
                && matcher.evaluate(&dn, &[entry.attributes()], &|_| true) == Truth::True
        });
        if let Some(count) = self.fails_after {
            let few = batch(found.by_ref().take(count).map(Entry::as_ref));
            return vec![Ok(few), Err(Error::new(ErrorKind::Closed, "the connection was lost"))];
        }
        let Some(page) = page else {
            return vec![Ok(batch(found.map(Entry::as_ref))), done];
        };
        let start: usize =
            if page.cookie.is_empty() { 0 } else { str::from_utf8(&page.cookie).unwrap().parse().unwrap() };
        let end = start + page.size as usize;
        let mut found = found.skip(start).peekable();
        let here = batch(found.by_ref().take(page.size as usize).map(Entry::as_ref));
        let cookie = if found.peek().is_some() { end.to_string() } else { String::new() };
        let mut outcome = Outcome::success();
        outcome.controls = Controls::none().optional(&PagedResults { size: 0, cookie: cookie.into() });
        vec![Ok(here), Ok(Event::Done(outcome))]
    }
}

impl Directory for Fixture {
    fn call(&self, request: Request) -> Reply {
        match &request.op {
            Op::Search(search) => Reply::events(Replies(self.search(search, &request.controls).into_iter())),
            _ => Reply::ready(Ok(LdapResult::new(ResultCode::UNWILLING_TO_PERFORM).into())),
        }
    }
}

impl Session for Fixture {
    fn bind(&mut self, _: BindStep, _: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        Box::pin(async { Err(Error::new(ErrorKind::Misuse, "nobody binds here")) })
    }
}

fn config(more: &Value) -> Config {
    let mut settings: Map<String, Value> = more.as_object().unwrap().clone();
    settings.insert("url".to_owned(), "ldap://localhost".into());
    Config::from_json(settings).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Runs the tap: the messages without the time of extraction, and how it ended.
fn run(
    fixture: &Fixture,
    settings: &Value,
    catalog: Option<&Catalog>,
    state: Option<Value>,
) -> (Vec<Value>, Result<Summary, TapError>) {
    let mut out = Vec::new();
    let result = block_on(async {
        let tap = Tap::over_session(fixture, Actor::Service, config(settings)).await?;
        assert_eq!(tap.schema_errors(), []);
        tap.sync(catalog, state, &mut out).await
    });
    let text = String::from_utf8(out).unwrap();
    let messages = text.lines().map(|line| {
        let mut message: Value = serde_json::from_str(line).unwrap();
        if let Some(time) = message.as_object_mut().unwrap().remove("time_extracted") {
            let time = time.as_str().unwrap().to_owned();
            assert!(time.starts_with("20") && time.contains('T') && time.ends_with('Z'), "{time}");
        }
        message
    });
    (messages.collect(), result)
}

fn records<'m>(messages: &'m [Value], stream: &str) -> Vec<&'m Value> {
    let of_stream =
        messages.iter().filter(|message| message["type"] == "RECORD" && message["stream"] == stream);
    of_stream.map(|message| &message["record"]).collect()
}

fn kinds(messages: &[Value]) -> Vec<String> {
    let kind = |message: &Value| {
        let stream = message["stream"].as_str().unwrap_or_default();
        format!("{} {stream}", message["type"].as_str().unwrap()).trim_end().to_owned()
    };
    messages.iter().map(kind).collect()
}

const COMPANY: &str = "\
dn: dc=harbourlane,dc=example
objectClass: organization
objectClass: dcObject
o: Harbour Lane Instruments
dc: harbourlane
entryUUID: 00000000-0000-4000-8000-000000000000

dn: cn=Ada Quill,dc=harbourlane,dc=example
objectClass: inetOrgPerson
objectClass: posixAccount
cn: Ada Quill
CN;lang-en: Ada Q.
sn: Quill
displayName: Ada \"Lens\" Quill
mail: ada@harbourlane.example
mail: lenses@harbourlane.example
uid: ada
uidNumber: 1001
gidNumber: 100
homeDirectory: /home/ada
jpegPhoto:: AAH/
description:: /v8=
userPassword: {SSHA}not-for-you
entryUUID: 00000000-0000-4000-8000-000000000001
createTimestamp: 20260102030405Z
modifyTimestamp: 20260102030405.5Z

dn: cn=Bo Lind,dc=harbourlane,dc=example
objectClass: inetOrgPerson
cn: Bo Lind
sn:: TMOsbmQ=
entryUUID: 00000000-0000-4000-8000-000000000002

dn: cn=opticians,dc=harbourlane,dc=example
objectClass: groupOfNames
cn: opticians
member: cn=Ada Quill,dc=harbourlane,dc=example
entryUUID: 00000000-0000-4000-8000-000000000003
";

#[test]
fn a_full_table() {
    let (messages, result) = run(&fixture(COMPANY), &json!({}), None, None);
    let summary = result.unwrap();
    assert_eq!(
        kinds(&messages),
        ["SCHEMA users", "RECORD users", "RECORD users", "STATE", "SCHEMA groups", "RECORD groups", "STATE"]
    );
    let counts: Vec<_> =
        summary.streams.iter().map(|stream| (stream.stream.as_str(), stream.records)).collect();
    assert_eq!(counts, [("users", 2), ("groups", 1)]);
    assert!(
        summary
            .streams
            .iter()
            .all(|stream| stream.misfits.is_empty() && stream.unknown_properties.is_empty())
    );

    let schema = &messages[0];
    assert_eq!(schema["key_properties"], json!(["entryUUID"]));
    let properties = schema["schema"]["properties"].as_object().unwrap();
    assert_eq!(properties.keys().take(3).collect::<Vec<_>>(), ["entryUUID", "dn", "audio"]);
    assert_eq!(properties["entryUUID"], json!({"type": ["string"]}));
    assert_eq!(properties["mail"], json!({"type": ["array", "null"], "items": {"type": ["string"]}}));
    assert_eq!(properties["uidNumber"], json!({"type": ["integer", "null"]}));
    assert_eq!(properties["createTimestamp"], json!({"type": ["string", "null"], "format": "date-time"}));
    assert!(!properties.contains_key("userPassword"), "secrets are not extracted unless asked for");

    let users = records(&messages, "users");
    let ada = users[0].as_object().unwrap();
    // Every property of the schema is there, in its order.
    assert_eq!(ada.keys().collect::<Vec<_>>(), properties.keys().collect::<Vec<_>>());
    let given: Map<String, Value> = ada
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let want = json!({
        "entryUUID": "00000000-0000-4000-8000-000000000001",
        "dn": "cn=Ada Quill,dc=harbourlane,dc=example",
        "objectClass": ["inetOrgPerson", "posixAccount"],
        "cn": ["Ada Quill", "Ada Q."],
        "sn": ["Quill"],
        "displayName": "Ada \"Lens\" Quill",
        "mail": ["ada@harbourlane.example", "lenses@harbourlane.example"],
        "uid": ["ada"],
        "uidNumber": 1001,
        "gidNumber": 100,
        "homeDirectory": "/home/ada",
        "jpegPhoto": ["AAH/"],
        "description": ["/v8="],
        "createTimestamp": "2026-01-02T03:04:05Z",
        "modifyTimestamp": "2026-01-02T03:04:05.5Z",
    });
    assert_eq!(Value::Object(given), want);
    assert_eq!(users[1]["sn"], json!(["L\u{ec}nd"]));
    assert_eq!(users[1]["mail"], Value::Null);

    assert_eq!(records(&messages, "groups")[0]["member"], json!(["cn=Ada Quill,dc=harbourlane,dc=example"]));
    assert_eq!(messages[3], json!({"type": "STATE", "value": {"bookmarks": {"users": {}}}}));
    assert_eq!(messages[6], json!({"type": "STATE", "value": {"bookmarks": {"users": {}, "groups": {}}}}));
}

#[test]
fn the_catalog_selects() {
    let fixture = fixture(COMPANY);
    let mut catalog =
        block_on(async { Tap::over(&fixture, Actor::Service, config(&json!({}))).await.unwrap().catalog() });
    let listed = serde_json::to_value(&catalog).unwrap();
    let users = &listed["streams"][0];
    assert_eq!(
        (&users["tap_stream_id"], &users["replication_method"]),
        (&json!("users"), &json!("FULL_TABLE"))
    );
    assert_eq!(users["key_properties"], json!(["entryUUID"]));
    assert_eq!(users["metadata"][0]["breadcrumb"], json!([]));
    assert_eq!(users["metadata"][0]["metadata"]["table-key-properties"], json!(["entryUUID"]));
    assert_eq!(
        users["metadata"][1],
        json!({"breadcrumb": ["properties", "entryUUID"],
            "metadata": {"inclusion": "automatic", "selected-by-default": true}})
    );
    let password = json!({"breadcrumb": ["properties", "userPassword"],
        "metadata": {"inclusion": "available", "selected-by-default": false}});
    assert!(users["metadata"].as_array().unwrap().contains(&password));

    // Meltano writes `selected` at every breadcrumb, keys included.
    for stream in &mut catalog.streams {
        for metadata in &mut stream.metadata {
            let selected = match metadata.breadcrumb.last().map(String::as_str) {
                None => stream.tap_stream_id == "users",
                Some(property) => matches!(property, "cn" | "mail"),
            };
            metadata.metadata.insert("selected".to_owned(), selected.into());
        }
    }
    let text = serde_json::to_vec(&catalog).unwrap();
    let catalog = Catalog::from_json(&text).unwrap();
    let (messages, result) = run(&fixture, &json!({}), Some(&catalog), None);
    result.unwrap();
    assert_eq!(kinds(&messages), ["SCHEMA users", "RECORD users", "RECORD users", "STATE"]);
    let properties = messages[0]["schema"]["properties"].as_object().unwrap();
    assert_eq!(properties.keys().collect::<Vec<_>>(), ["entryUUID", "mail", "cn"]);
    assert_eq!(
        messages[1]["record"],
        json!({
            "entryUUID": "00000000-0000-4000-8000-000000000001",
            "cn": ["Ada Quill", "Ada Q."],
            "mail": ["ada@harbourlane.example", "lenses@harbourlane.example"],
        })
    );
    // Nothing else was asked of the directory.
    let seen = fixture.seen.lock().unwrap();
    assert_eq!(seen.last().unwrap().attributes, ["entryUUID", "mail", "cn"]);
}

/// security: secrets. A catalog written by hand, or before an attribute was there, says nothing of passwords.
#[test]
fn a_secret_is_extracted_only_by_name() {
    let fixture = fixture(COMPANY);
    let of_users = |metadata: &Value| -> Catalog {
        serde_json::from_value(json!({"streams": [{"tap_stream_id": "users", "metadata": metadata}]}))
            .unwrap()
    };
    let by_name = json!([
        {"breadcrumb": [], "metadata": {"selected": true}},
        {"breadcrumb": ["properties", "userPassword"], "metadata": {"selected": true}},
    ]);
    let table = [
        (json!([]), None),
        (json!([{"breadcrumb": [], "metadata": {"selected": true}}]), None),
        (by_name, Some(json!(["e1NTSEF9bm90LWZvci15b3U="]))),
    ];
    for (metadata, want) in table {
        let (messages, result) = run(&fixture, &json!({}), Some(&of_users(&metadata)), None);
        result.unwrap();
        let ada = records(&messages, "users")[0];
        assert_eq!((ada.get("userPassword"), &ada["uid"]), (want.as_ref(), &json!(["ada"])), "{metadata}");
    }
}

#[test]
fn a_catalog_that_selects_what_is_not_there() {
    let fixture = fixture(COMPANY);
    let catalog = |stream: &str, property: &str| {
        Catalog::from_json(
            json!({"streams": [{"tap_stream_id": stream, "metadata": [
                {"breadcrumb": [], "metadata": {"selected": true}},
                {"breadcrumb": ["properties", property], "metadata": {"selected": true}},
            ]}]})
            .to_string()
            .as_bytes(),
        )
        .unwrap()
    };
    let (messages, result) = run(&fixture, &json!({}), Some(&catalog("robots", "cn")), None);
    assert_eq!(messages, Vec::<Value>::new());
    assert_eq!(
        result.unwrap_err().to_string(),
        "the catalog cannot be used: it selects the stream `robots`, which this configuration does not have"
    );
    let (_, result) = run(&fixture, &json!({}), Some(&catalog("users", "wings")), None);
    assert_eq!(result.unwrap().streams[0].unknown_properties, ["wings"]);

    let error = Catalog::from_json(b"{").unwrap_err();
    assert!(error.to_string().starts_with("the catalog cannot be used: "), "{error}");
}

#[test]
fn nothing_selected_still_ends_with_a_state() {
    let catalog = Catalog::default();
    let state = json!({"bookmarks": {"other": {"replication_key_value": 5}}});
    let (messages, result) = run(&fixture(COMPANY), &json!({}), Some(&catalog), Some(state.clone()));
    assert_eq!(result.unwrap().streams, []);
    assert_eq!(messages, [json!({"type": "STATE", "value": state})]);
}

#[test]
fn the_state_of_others_is_kept() {
    let state = json!({"bookmarks": {"other": 5, "users": {"starting": true}}, "more": 1});
    let (messages, result) = run(&fixture(COMPANY), &json!({}), None, Some(state));
    result.unwrap();
    assert_eq!(
        messages.last().unwrap()["value"],
        json!({"bookmarks": {"other": 5, "users": {}, "groups": {}}, "more": 1})
    );
    let (messages, result) = run(&fixture(COMPANY), &json!({}), None, Some(json!([1])));
    assert!(matches!(result, Err(TapError::State)) && messages.is_empty());
}

#[test]
fn configured_streams() {
    let settings = json!({
        "attribute_naming": "snake_case",
        "streams": [
            {"name": "people", "object_class": "person", "attributes": ["dn", "commonName", "uidNumber", "shoeSize"],
             "filter": "(uidNumber=*)"},
            {"name": "units", "object_classes": ["organization"], "scope": "base"},
        ],
    });
    let fixture = fixture(&COMPANY.replace("mail: ada@", "objectClass: person\nshoeSize: 39\nmail: ada@"));
    let (messages, result) = run(&fixture, &settings, None, None);
    result.unwrap();
    assert_eq!(
        records(&messages, "people"),
        [&json!({
            "entry_uuid": "00000000-0000-4000-8000-000000000001",
            "dn": "cn=Ada Quill,dc=harbourlane,dc=example",
            "cn": ["Ada Quill", "Ada Q."],
            "uid_number": 1001,
            "shoe_size": ["39"], // The schema does not know it.
        })]
    );
    assert_eq!(messages[0]["key_properties"], json!(["entry_uuid"]));
    assert_eq!(
        messages[0]["schema"]["properties"]["shoe_size"],
        json!({"type": ["array", "null"], "items": {"type": ["string"]}})
    );
    assert_eq!(records(&messages, "units")[0]["o"], json!(["Harbour Lane Instruments"]));
    let seen = fixture.seen.lock().unwrap();
    assert_eq!(seen[2].filter, "(&(objectClass=person)(uidNumber=*))");
    assert_eq!(seen[3].filter, "(objectClass=organization)");
}

#[test]
fn streams_that_cannot_be() {
    let table = [
        (json!([{"name": "a", "object_class": "robot"}]), "stream `a`: the directory has no class `robot`"),
        (json!([{"name": "a"}]), "stream `a`: say what to extract: set `object_classes` or `attributes`"),
        (
            json!([{"name": "a", "attributes": ["cn"]}, {"name": "a", "attributes": ["cn"]}]),
            "stream `a`: there are two streams of this name",
        ),
        (
            json!([{"name": "a", "attributes": ["c n"]}]),
            "stream `a`: `c n` is not an attribute description: unexpected character at offset 1",
        ),
    ];
    for (streams, want) in table {
        let (messages, result) = run(&fixture(COMPANY), &json!({"streams": streams}), None, None);
        assert_eq!(result.unwrap_err().to_string(), want);
        assert!(messages.is_empty());
    }
    let two = Fixture { contexts: vec!["dc=a", "dc=b"], ..fixture(COMPANY) };
    let (_, result) = run(&two, &json!({}), None, None);
    assert_eq!(
        result.unwrap_err().to_string(),
        "stream `users`: the directory does not name one naming context; set `base`, here or for the whole tap"
    );
    let (_, result) = run(&two, &json!({"base": CONTEXT}), None, None);
    assert_eq!(result.unwrap().streams.len(), 2);
}

#[test]
fn pages_where_they_are_offered() {
    let mut ldif = String::new();
    for number in 0..25 {
        ldif.push_str(&format!(
            "dn: cn=p{number},{CONTEXT}\nobjectClass: person\ncn: p{number}\nsn: x\nentryUUID: {number}\n\n"
        ));
    }
    let settings = json!({"page_size": 10, "streams": [{"name": "people", "object_class": "person"}]});
    for paging in [true, false] {
        let fixture = Fixture { paging, ..fixture(&ldif) };
        let (messages, result) = run(&fixture, &settings, None, None);
        assert_eq!(result.unwrap().streams[0].records, 25);
        let people = records(&messages, "people");
        let names: Vec<_> =
            people.iter().map(|record| record["cn"][0].as_str().unwrap().to_owned()).collect();
        assert_eq!(names, (0..25).map(|number| format!("p{number}")).collect::<Vec<_>>());
        let sizes: Vec<_> = fixture.seen.lock().unwrap().iter().skip(2).map(|seen| seen.page_size).collect();
        assert_eq!(sizes, if paging { vec![Some(10); 3] } else { vec![None] });
    }
}

#[test]
fn a_stream_that_fails_says_so_and_leaves_no_state() {
    let fixture = Fixture { fails_after: Some(1), ..fixture(COMPANY) };
    let (messages, result) = run(&fixture, &json!({}), None, None);
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "stream `users` failed after 1 records");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the connection was lost");
    assert_eq!(kinds(&messages), ["SCHEMA users", "RECORD users"]);
}

#[test]
fn entries_that_make_no_record() {
    let table = [
        (
            COMPANY.replace("entryUUID: 00000000-0000-4000-8000-000000000002\n", ""),
            "stream `users`: `cn=Bo Lind,dc=harbourlane,dc=example` has not exactly one `entryUUID`, which identifies \
             records; may it be read? or set `key_attribute`",
        ),
        (
            COMPANY.replace("sn:: TMOsbmQ=", "sn: x\nentryUUID: 00000000-0000-4000-8000-000000000009"),
            "stream `users`: `cn=Bo Lind,dc=harbourlane,dc=example` has not exactly one `entryUUID`, which identifies \
             records; may it be read? or set `key_attribute`",
        ),
        (
            COMPANY.replace("entryUUID: 00000000-0000-4000-8000-000000000002\n", "").replace(
                "dn: cn=Bo Lind,dc=harbourlane,dc=example",
                "dn:: Y249Qm8KG1sySkxpbmQsZGM9aGFyYm91cmxhbmUsZGM9ZXhhbXBsZQ==",
            ),
            r"stream `users`: `cn=Bo\n\u{1b}[2JLind,dc=harbourlane,dc=example` has not exactly one `entryUUID`, which identifies records; may it be read? or set `key_attribute`",
        ),
    ];
    for (ldif, want) in table {
        let (messages, result) = run(&fixture(&ldif), &json!({}), None, None);
        assert_eq!(result.unwrap_err().to_string(), want);
        // What came before is whole.
        assert_eq!(kinds(&messages), ["SCHEMA users", "RECORD users"]);
    }
    // What is cut is asked for to its end; this directory has no more to say.
    let cut = COMPANY.replace("sn:: TMOsbmQ=", "sn: x\nmail;range=0-1: a");
    let (messages, result) = run(&fixture(&cut), &json!({}), None, None);
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "stream `users` failed after 1 records");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.starts_with("no values of `mail` came from number 2 on"), "{cause}");
    assert_eq!(kinds(&messages), ["SCHEMA users", "RECORD users"]);
    // Whoever names a part has no use for the whole, and a property is no part.
    let part = json!({"streams": [{"name": "people", "object_classes": ["inetOrgPerson"], "attributes": ["mail;range=0-1"]}]});
    let (_, result) = run(&fixture(&cut), &part, None, None);
    assert_eq!(
        result.unwrap_err().to_string(),
        "stream `people`: the directory sent only a part of the values of `mail;range=0-1` of \
         `cn=Bo Lind,dc=harbourlane,dc=example`"
    );
    let whole = COMPANY.replace("sn:: TMOsbmQ=", "sn: x\nmail;range=0-*: a");
    let (messages, result) = run(&fixture(&whole), &json!({}), None, None);
    result.unwrap();
    assert_eq!(records(&messages, "users")[1]["mail"], json!(["a"]));

    // By the name instead.
    let (messages, result) =
        run(&fixture(&table_entry_without_uuid()), &json!({"key_attribute": "dn"}), None, None);
    result.unwrap();
    assert_eq!(messages[0]["key_properties"], json!(["dn"]));
    assert_eq!(records(&messages, "users").len(), 2);
}

fn table_entry_without_uuid() -> String {
    COMPANY.lines().filter(|line| !line.starts_with("entryUUID")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn values_that_are_not_what_they_should_be_are_counted() {
    let ldif = COMPANY
        .replace("uidNumber: 1001", "uidNumber: many")
        .replace("gidNumber: 100\n", "gidNumber: 100\ngidNumber: 101\n")
        .replace("createTimestamp: 20260102030405Z", "createTimestamp: yesterday");
    let (messages, result) = run(&fixture(&ldif), &json!({}), None, None);
    let summary = result.unwrap();
    let mut misfits = summary.streams[0].misfits.clone();
    misfits.sort();
    let want = [("createTimestamp", 1), ("gidNumber", 1), ("uidNumber", 1)];
    assert_eq!(misfits, want.map(|(name, count)| (name.to_owned(), count)));
    let ada = records(&messages, "users")[0];
    assert_eq!(
        (&ada["uidNumber"], &ada["gidNumber"], &ada["createTimestamp"]),
        (&Value::Null, &json!(100), &Value::Null)
    );
}

#[test]
fn an_output_that_fails_ends_the_tap() {
    struct Closed;
    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let fixture = fixture(COMPANY);
    let error = block_on(async {
        let tap = Tap::over(&fixture, Actor::Service, config(&json!({}))).await.unwrap();
        tap.sync(None, None, Closed).await.unwrap_err()
    });
    assert!(matches!(error, TapError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe));
}

#[test]
fn a_directory_that_hides_its_schema() {
    struct Silent;
    impl Directory for Silent {
        fn call(&self, _: Request) -> Reply {
            Reply::ready(Ok(LdapResult::new(ResultCode::INSUFFICIENT_ACCESS_RIGHTS).into()))
        }
    }
    let error = block_on(Tap::over(&Arc::new(Silent), Actor::Anonymous, config(&json!({})))).err().unwrap();
    assert_eq!(error.to_string(), "the directory's root DSE could not be read");
}
