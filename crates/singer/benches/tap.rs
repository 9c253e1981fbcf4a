//! The tap without a network: how fast entries in wire form become messages, and what that allocates.
//!
//! `cargo bench -p flext-ldap-singer --bench tap`

#![expect(clippy::unwrap_used, reason = "a benchmark's input is its own")]

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use divan::{AllocProfiler, Bencher, counter::BytesCount, counter::ItemsCount};
use flext_ldap_directory::{Actor, Directory, Error, ErrorKind, Event, Events, Op, Outcome, Reply, Request};
use flext_ldap_proto::{
    attribute::Attributes,
    batch::{Batch, BatchWriter},
    control::Controls,
    message::{Scope, Search},
    schema::Schema,
};
use flext_ldap_singer::{Config, Tap};
use serde_json::{Value, json};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const PEOPLE: usize = 10_000;

fn main() {
    divan::main();
}

/// Extracts 10,000 people of 15 attributes into memory; the stream has 20 properties. Expected: no allocation for an
/// entry.
#[divan::bench(sample_count = 20)]
fn records(bencher: Bencher<'_, '_>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let people = People(batches());
    let attributes = [
        "objectClass",
        "uid",
        "cn",
        "sn",
        "givenName",
        "displayName",
        "mail",
        "telephoneNumber",
        "employeeNumber",
        "title",
        "l",
        "manager",
        "description",
        "uidNumber",
        "createTimestamp",
        "mobile",
        "street",
        "ou",
    ];
    let settings = json!({"url": "ldap://localhost", "base": "dc=harbourlane,dc=example",
        "streams": [{"name": "users", "attributes": attributes}]});
    let Value::Object(settings) = settings else { return };
    let config = Config::from_json(settings).unwrap();
    let tap = runtime.block_on(Tap::over(&people, Actor::Service, config)).unwrap();
    let mut out = Vec::new();
    runtime.block_on(tap.sync(None, None, &mut out)).unwrap();
    bencher.counter(BytesCount::of_slice(&out)).counter(ItemsCount::new(PEOPLE)).bench_local(|| {
        out.clear();
        runtime.block_on(tap.sync(None, None, &mut out)).unwrap();
    });
}

/// Answers every search of people with the same batches.
struct People(Vec<Batch>);

struct Replies(std::vec::IntoIter<Event>);

impl Directory for People {
    fn call(&self, request: Request) -> Reply {
        let mut events = match request.op {
            Op::Search(Search { base, scope: Scope::Base, .. }) => vec![Event::Batch(itself(base.is_root()))],
            _ => self.0.iter().cloned().map(Event::Batch).collect(),
        };
        events.push(Event::Done(Outcome::success()));
        Reply::events(Replies(events.into_iter()))
    }
}

impl Events for Replies {
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        Poll::Ready(self.0.next().ok_or_else(|| Error::new(ErrorKind::Bug, "read after the end")))
    }
}

/// The root DSE or the schema.
fn itself(root: bool) -> Batch {
    let attributes = if root {
        let mut attributes = Attributes::builder();
        attributes.push("subschemaSubentry", ["cn=Subschema"]);
        attributes.build()
    } else {
        Schema::standard().to_subschema()
    };
    let mut writer = BatchWriter::new();
    writer.entry("", &Controls::none(), |writer| writer.raw(attributes.as_ref().as_bytes()));
    writer.take()
}

/// 10,000 invented people in batches of 500.
fn batches() -> Vec<Batch> {
    let batch = |numbers: std::ops::Range<usize>| {
        let mut writer = BatchWriter::new();
        for number in numbers {
            let mut attributes = Attributes::builder();
            let classes = ["top", "person", "organizationalPerson", "inetOrgPerson"];
            attributes.push("entryUUID", [format!("00000000-0000-4000-8000-{number:012}")]);
            attributes.push("objectClass", classes);
            attributes.push("uid", [format!("p{number:05}")]);
            attributes.push("cn", [format!("Person Number {number}")]);
            attributes.push("sn", [format!("Number {number}")]);
            attributes.push("givenName", ["Person"]);
            attributes.push("displayName", ["Person N\u{fc}mber"]);
            attributes
                .push("mail", [format!("p{number}@harbourlane.example"), format!("{number}@post.example")]);
            attributes.push("telephoneNumber", [format!("+1 555 {number:07}")]);
            attributes.push("employeeNumber", [number.to_string()]);
            attributes.push("title", ["Instrument \"Maker\""]);
            attributes.push("l", ["Brightwater"]);
            attributes.push("manager", ["uid=p00000,ou=people,dc=harbourlane,dc=example"]);
            attributes.push(
                "description",
                ["Makes instruments that measure light, and writes down what they show"],
            );
            attributes.push("uidNumber", [number.to_string()]);
            attributes.push("createTimestamp", ["20260102030405Z"]);
            let attributes = attributes.build();
            let dn = format!("uid=p{number:05},ou=people,dc=harbourlane,dc=example");
            writer.entry(&dn, &Controls::none(), |writer| writer.raw(attributes.as_ref().as_bytes()));
        }
        writer.take()
    };
    (0..PEOPLE).step_by(500).map(|start| batch(start..start + 500)).collect()
}
