//! A small directory to test on, and short ways to ask it.

use bytes::Bytes;
use flext_ldap_directory::{
    Actor, BindReply, BindStep, Deadline, Directory, Error, Event, Op, Outcome, Peer, Request, Session,
    Sessions,
};
use flext_ldap_proto::{
    attribute::{AttributeDescription, Attributes, Selection},
    control::ManageDsaIt,
    dn::Dn,
    filter::Filter,
    message::{Add, Change, ChangeKind, Modify, Rename, Scope, Search},
    result::ResultCode,
};
use flext_ldap_store::{CheckEvent, CheckReport, IndexConfig, Store, StoreOptions};
use std::time::Duration;

pub(crate) const SUFFIX: &str = "dc=harbourlane,dc=example";
pub(crate) const ADMIN: &str = "cn=admin,dc=harbourlane,dc=example";
pub(crate) const ADMIN_PASSWORD: &str = "tide tables";

pub(crate) fn dn(text: &str) -> Dn {
    text.parse().unwrap()
}

pub(crate) fn attribute(text: &str) -> AttributeDescription {
    text.parse().unwrap()
}

pub(crate) fn filter(text: &str) -> Filter {
    text.parse().unwrap()
}

pub(crate) fn options() -> StoreOptions {
    StoreOptions::memory().suffix(dn(SUFFIX)).administrator(dn(ADMIN), ADMIN_PASSWORD.into())
}

/// An entry to add: `name: value` lines.
pub(crate) fn entry(name: &str, lines: &[&str]) -> Add {
    let mut grouped: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        match grouped.iter_mut().find(|(one, _)| *one == name) {
            Some((_, values)) => values.push(value),
            None => grouped.push((name, vec![value])),
        }
    }
    let mut attributes = Attributes::builder();
    for (name, values) in grouped {
        attributes.push(name, values);
    }
    Add::new(dn(name), attributes.build())
}

pub(crate) fn person(uid: &str) -> Add {
    entry(
        &format!("uid={uid},ou=people,{SUFFIX}"),
        &[
            "objectClass: inetOrgPerson",
            &format!("uid: {uid}"),
            &format!("cn: {uid} Quay"),
            "sn: Quay",
            &format!("mail: {uid}@harbourlane.example"),
        ],
    )
}

/// Gives an attribute these values.
pub(crate) fn set(name: &str, attribute_name: &str, values: &[&str]) -> Modify {
    let values = values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect();
    Modify {
        dn: dn(name),
        changes: vec![Change { kind: ChangeKind::Replace, attribute: attribute(attribute_name), values }],
    }
}

/// Gives an entry another name, of which the old one is no value any more.
pub(crate) fn rename(name: &str, rdn: &str, superior: Option<&str>) -> Rename {
    Rename {
        dn: dn(name),
        new_rdn: rdn.parse().unwrap(),
        delete_old_rdn: true,
        new_superior: superior.map(dn),
    }
}

/// What a check finds, a text for each fault, and its report.
pub(crate) fn checked(store: &Store) -> (Vec<String>, CheckReport) {
    let mut found = Vec::new();
    let report = store
        .check(&mut |event| {
            if let CheckEvent::Fault(fault) = event {
                found.push(fault.to_string());
            }
        })
        .unwrap();
    assert_eq!(report.faults, found.len() as u64);
    (found, report)
}

pub(crate) fn faults(store: &Store) -> Vec<String> {
    checked(store).0
}

/// A check finds nothing.
pub(crate) fn clean(store: &Store) {
    assert_eq!(faults(store), [""; 0]);
}

pub(crate) async fn ask(store: &dyn Directory, op: impl Into<Op>, actor: Actor) -> Result<Outcome, Error> {
    store.call(Request::new(op.into(), actor)).outcome().await
}

pub(crate) async fn code(store: &dyn Directory, op: impl Into<Op>) -> ResultCode {
    ask(store, op, Actor::Service).await.unwrap().result.code
}

pub(crate) async fn ok(store: &dyn Directory, op: impl Into<Op>) {
    let outcome = ask(store, op, Actor::Service).await.unwrap();
    assert_eq!(outcome.result.code, ResultCode::SUCCESS, "{outcome:?}");
}

/// An open store with the suffix, two units and some people.
pub(crate) async fn small() -> Store {
    let store = Store::open(options()).unwrap();
    fill(&store).await;
    store
}

/// Indexes whose rows do not depend on when something is changed.
pub(crate) fn timeless() -> IndexConfig {
    IndexConfig::default().index("entryCSN", []).index("modifyTimestamp", [])
}

/// As [`small`], where the same change writes as many rows whenever it is made.
pub(crate) async fn small_and_timeless() -> Store {
    let store = Store::open(options().indexes(timeless())).unwrap();
    fill(&store).await;
    store
}

pub(crate) async fn fill(store: &Store) {
    ok(
        store,
        entry(
            SUFFIX,
            &["objectClass: organization", "objectClass: dcObject", "o: Harbour Lane", "dc: harbourlane"],
        ),
    )
    .await;
    for unit in ["people", "groups"] {
        ok(store, entry(&format!("ou={unit},{SUFFIX}"), &["objectClass: organizationalUnit"])).await;
    }
    for uid in ["anna", "bert", "cleo"] {
        ok(store, person(uid)).await;
    }
}

/// The names found, sorted, and the outcome.
pub(crate) async fn find(store: &dyn Directory, search: Search, actor: Actor) -> (Vec<String>, Outcome) {
    let (entries, outcome) = entries(store, search, actor).await;
    let mut names: Vec<String> = entries.iter().map(|entry| entry.dn_str().to_owned()).collect();
    names.sort();
    (names, outcome)
}

pub(crate) async fn entries(
    store: &dyn Directory,
    search: Search,
    actor: Actor,
) -> (Vec<flext_ldap_proto::entry::Entry>, Outcome) {
    let mut reply = store.call(Request::new(search, actor).into_any());
    let mut entries = Vec::new();
    loop {
        match reply.next().await.unwrap() {
            Event::Batch(batch) => entries.extend(batch.entries().map(|entry| entry.to_entry())),
            Event::Done(outcome) => return (entries, outcome),
        }
    }
}

pub(crate) fn subtree(text: &str) -> Search {
    Search::new(dn(SUFFIX), Scope::Subtree, filter(text))
}

/// One entry with all its attributes.
pub(crate) async fn read(store: &dyn Directory, name: &str) -> Option<flext_ldap_proto::entry::Entry> {
    let search = Search::new(dn(name), Scope::Base, Filter::any()).attributes(Selection::everything());
    entries(store, search, Actor::Service).await.0.into_iter().next()
}

pub(crate) async fn session(store: &Store) -> Box<dyn Session> {
    Sessions::open(store, Peer::in_process()).await.unwrap()
}

pub(crate) async fn bind(store: &Store, name: &str, password: &str) -> Result<Actor, ResultCode> {
    let mut session = session(store).await;
    let step = BindStep::simple(name, password.into());
    match session.bind(step, Deadline::after(Duration::from_secs(30))).await.unwrap() {
        BindReply::Done { actor, .. } => Ok(actor),
        BindReply::Refused(outcome) => Err(outcome.result.code),
        BindReply::Continue { .. } => panic!("a simple bind has one step"),
    }
}

/// Adds a referral object, `ou=branch` by its first component, which refers to `ou=branch,dc=far,dc=example`.
pub(crate) async fn add_branch(store: &Store, object: &str) {
    let lines = [
        "objectClass: referral",
        "objectClass: extensibleObject",
        "ou: branch",
        "ref: ldap://branch.example/ou=branch,dc=far,dc=example",
    ];
    let add = Request::new(entry(object, &lines), Actor::Service).critical(&ManageDsaIt);
    assert_eq!(store.call(add.into_any()).outcome().await.unwrap().result.code, ResultCode::SUCCESS);
}
