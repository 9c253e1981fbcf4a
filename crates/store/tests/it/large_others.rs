//! Groups of many members, and what else looks at members: references, membership, unique values, access rules, and
//! the controls that choose values.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use flext_ldap_directory::{Actor, Directory, Event, Identity, Op, Request};
use flext_ldap_proto::{
    attribute::{Attributes, Selection},
    control::{Controls, MatchedValues, PermissiveModify, ServerSideSort, SortKey, TreeDelete},
    entry::Entry,
    filter::Filter,
    message::{Add, Change, ChangeKind, Delete, Modify, Scope, Search},
    result::{LdapResult, ResultCode},
    schema::Schema,
};
use flext_ldap_store::access::{AccessRules, RuleConfig};
use flext_ldap_store::{Counters, Limits, ReferentialIntegrity, Store, UniqueValues};

use crate::support::*;

const ANNA: &str = "uid=anna,ou=people,dc=harbourlane,dc=example";
const BERT: &str = "uid=bert,ou=people,dc=harbourlane,dc=example";
const CLEO: &str = "uid=cleo,ou=people,dc=harbourlane,dc=example";

fn crew(number: u32) -> String {
    format!("uid=crew{number},ou=people,{SUFFIX}")
}

fn group(name: &str) -> String {
    format!("cn={name},ou=groups,{SUFFIX}")
}

/// A group of as many as are numbered so, whose entries are not there, and of some that are.
fn of(name: &str, numbers: std::ops::Range<u32>, others: &[&str]) -> Add {
    let mut attributes = Attributes::builder();
    attributes.push("objectClass", ["groupOfNames"]);
    attributes.push("member", numbers.map(crew).chain(others.iter().map(|one| (*one).to_owned())));
    Add::new(dn(&group(name)), attributes.build())
}

fn change(name: &str, kind: ChangeKind, attribute_name: &str, values: &[&str]) -> Modify {
    let values = values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect();
    Modify { dn: dn(name), changes: vec![Change { kind, attribute: attribute(attribute_name), values }] }
}

/// Rows written and values read for an operation that succeeds.
async fn cost(store: &Store, op: impl Into<Op>) -> (u64, u64) {
    let before = store.counters();
    ok(store, op).await;
    since(store, before)
}

fn since(store: &Store, before: Counters) -> (u64, u64) {
    let after = store.counters();
    (after.rows_written - before.rows_written, after.values_read - before.values_read)
}

async fn members(store: &Store, name: &str) -> BTreeSet<String> {
    let search = Search::new(dn(&group(name)), Scope::Base, Filter::any());
    let (found, _) = entries(store, search, Actor::Service).await;
    let values = found[0].attributes().get("member").unwrap();
    let set: BTreeSet<String> =
        values.values().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect();
    assert_eq!(values.values().count(), set.len(), "no value twice");
    set
}

async fn controlled(store: &Store, op: impl Into<Op>, controls: Controls) -> (Vec<Entry>, LdapResult) {
    let mut request = Request::new(op.into(), Actor::Service);
    request.controls = controls;
    let mut reply = store.call(request);
    let mut entries = Vec::new();
    loop {
        match reply.next().await.unwrap() {
            Event::Batch(batch) => entries.extend(batch.entries().map(|entry| entry.to_entry())),
            Event::Done(outcome) => return (entries, outcome.result),
        }
    }
}

fn user(name: &str) -> Actor {
    Actor::User(Identity::from_successful_bind(dn(name)))
}

#[tokio::test]
async fn a_reference_to_an_entry_costs_the_same_in_a_group_of_any_size() {
    let store = small_and_timeless().await;
    for uid in ["one", "two"] {
        ok(&store, person(uid)).await;
    }
    let name = |uid: &str| format!("uid={uid},ou=people,{SUFFIX}");
    ok(&store, of("watch", 0..100, &[&name("one")])).await;
    ok(&store, of("fleet", 0..50_000, &[&name("two")])).await;
    // The same is done to one of either, and costs the same.
    let small = cost(&store, rename(&name("one"), "uid=uno", None)).await;
    let large = cost(&store, rename(&name("two"), "uid=duo", None)).await;
    assert_eq!(small, large);
    assert!(small.0 < 30 && small.1 < 10, "{small:?}");
    let found = |name: String| {
        let filter = Filter::equality(attribute("member"), name.into_bytes());
        let store = &store;
        async move { find(store, Search::new(dn(SUFFIX), Scope::Subtree, filter), Actor::Service).await.0 }
    };
    assert_eq!(found(name("two")).await, [""; 0]);
    assert_eq!(found(name("duo")).await, [group("fleet")]);
    let small = cost(&store, Delete { dn: dn(&name("uno")) }).await;
    let large = cost(&store, Delete { dn: dn(&name("duo")) }).await;
    assert_eq!(small, large);
    assert!(small.0 < 60 && small.1 < 10, "{small:?}");
    assert_eq!(found(name("duo")).await, [""; 0]);
    assert_eq!(members(&store, "fleet").await, (0..50_000).map(crew).collect());
    clean(&store);
}

#[tokio::test]
async fn all_members_are_renamed_and_all_of_them_go() {
    let store = small().await;
    let below = format!("ou=crew,ou=people,{SUFFIX}");
    ok(&store, entry(&below, &["objectClass: organizationalUnit"])).await;
    let names: Vec<String> = (0..90).map(|number| format!("uid=c{number},{below}")).collect();
    for name in &names {
        ok(&store, entry(name, &["objectClass: inetOrgPerson", "cn: Crew", "sn: Quay"])).await;
    }
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    ok(&store, of("crew", 0..0, &all)).await;
    ok(&store, of("fleet", 0..500, &all)).await;
    ok(&store, rename(&below, "ou=watch", None)).await;
    let renamed: BTreeSet<String> =
        (0..90).map(|number| format!("uid=c{number},ou=watch,ou=people,{SUFFIX}")).collect();
    assert_eq!(members(&store, "crew").await, renamed);
    assert_eq!(members(&store, "fleet").await, renamed.into_iter().chain((0..500).map(crew)).collect());
    clean(&store);
    // A group must have a member: it is left with nobody, in its row again.
    let gone = Delete { dn: dn(&format!("ou=watch,ou=people,{SUFFIX}")) };
    let (_, result) = controlled(&store, gone, Controls::none().critical(&TreeDelete)).await;
    assert_eq!(result.code, ResultCode::SUCCESS, "{result:?}");
    assert_eq!(members(&store, "crew").await, BTreeSet::from(["cn=nobody".to_owned()]));
    assert_eq!(members(&store, "fleet").await, (0..500).map(crew).collect());
    clean(&store);
}

#[tokio::test]
async fn an_operation_that_is_refused_leaves_values_as_they_are() {
    let mut limits = Limits::default();
    limits.references = 1;
    let store = Store::open(options().limits(limits)).unwrap();
    fill(&store).await;
    ok(&store, of("fleet", 0..500, &[ANNA])).await;
    ok(&store, of("watch", 0..5, &[ANNA])).await;
    assert_eq!(code(&store, Delete { dn: dn(ANNA) }).await, ResultCode::ADMIN_LIMIT_EXCEEDED);
    assert!(members(&store, "fleet").await.contains(ANNA));
    clean(&store);
}

#[tokio::test]
async fn references_that_must_lead_somewhere() {
    let store =
        Store::open(options().referential_integrity(Some(ReferentialIntegrity::default().must_exist())))
            .unwrap();
    fill(&store).await;
    let mut names: Vec<String> = Vec::new();
    for number in 0..70 {
        ok(&store, person(&format!("crew{number}"))).await;
        names.push(crew(number));
    }
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(code(&store, of("fleet", 0..71, &[])).await, ResultCode::CONSTRAINT_VIOLATION);
    ok(&store, of("fleet", 0..0, &all)).await;
    // Only what is new is looked for.
    let added = cost(&store, change(&group("fleet"), ChangeKind::Add, "member", &[ANNA])).await;
    assert!(added.1 <= 3, "{added:?}");
    let missing = change(&group("fleet"), ChangeKind::Add, "member", &[&crew(99)]);
    assert_eq!(code(&store, missing).await, ResultCode::CONSTRAINT_VIOLATION);
    let replaced = change(&group("fleet"), ChangeKind::Replace, "member", &all);
    assert_eq!(code(&store, replaced).await, ResultCode::SUCCESS);
    clean(&store);
}

#[tokio::test]
async fn membership_in_a_large_group() {
    let store = small().await;
    ok(&store, of("sailors", 0..0, &[CLEO])).await;
    ok(&store, of("fleet", 0..5_000, &[ANNA, &group("sailors")])).await;
    let found = async |text: &str| find(&store, subtree(text), Actor::Service).await.0;
    let fleet = group("fleet");
    assert_eq!(found(&format!("(memberOf={fleet})")).await, [group("sailors"), ANNA.to_owned()]);
    let chain = "1.2.840.113556.1.4.1941";
    assert_eq!(found(&format!("(&(uid=*)(memberOf:{chain}:={fleet}))")).await, [ANNA, CLEO]);
    // All members are gone through where nothing else says who could be one.
    assert_eq!(
        found(&format!("(memberOf:{chain}:={fleet})")).await,
        [group("sailors"), ANNA.to_owned(), CLEO.to_owned()]
    );
    assert_eq!(found(&format!("(member:{chain}:={CLEO})")).await, [fleet.clone(), group("sailors")]);
    let search = Search::new(dn(ANNA), Scope::Base, Filter::any())
        .attributes(["memberOf"].into_iter().collect::<Selection>());
    let before = store.counters();
    let (shown, _) = entries(&store, search, Actor::Service).await;
    assert_eq!(shown[0].text("memberOf"), Some(&*fleet));
    assert_eq!(since(&store, before), (0, 0), "the index says it");
}

#[tokio::test]
async fn unique_values_among_many() {
    let store = Store::open(options().unique(UniqueValues::of(["mail"]))).unwrap();
    fill(&store).await;
    let mails: Vec<String> = (0..200).map(|number| format!("crew{number}@harbourlane.example")).collect();
    let all: Vec<&str> = mails.iter().map(String::as_str).collect();
    ok(&store, change(ANNA, ChangeKind::Replace, "mail", &all)).await;
    let taken = ResultCode::CONSTRAINT_VIOLATION;
    assert_eq!(
        code(&store, change(BERT, ChangeKind::Add, "mail", &["CREW77@harbourlane.example"])).await,
        taken
    );
    ok(&store, change(BERT, ChangeKind::Replace, "mail", &["bert@quay.example"])).await;
    assert_eq!(code(&store, change(ANNA, ChangeKind::Add, "mail", &["bert@quay.example"])).await, taken);
    // What she has, she keeps, in whatever way it is said; and it is not looked at for other changes.
    let back = [&all[..150], &["new@quay.example"]].concat();
    ok(&store, change(ANNA, ChangeKind::Replace, "mail", &back)).await;
    assert_eq!(cost(&store, change(ANNA, ChangeKind::Replace, "title", &["mate"])).await.1, 0);
    ok(&store, change(BERT, ChangeKind::Add, "mail", &[all[150]])).await;
    assert_eq!(code(&store, change(ANNA, ChangeKind::Add, "mail", &[all[150]])).await, taken);
    clean(&store);
    let stays = mails[..20].iter().map(String::as_str).collect::<Vec<_>>();
    ok(&store, change(ANNA, ChangeKind::Replace, "mail", &stays)).await;
    assert_eq!(code(&store, change(BERT, ChangeKind::Add, "mail", &[all[3]])).await, taken);
    ok(&store, change(BERT, ChangeKind::Add, "mail", &[all[30]])).await;
    clean(&store);
}

#[tokio::test]
async fn members_of_a_large_group_have_rights_to_it() {
    let yaml = "[{allow: [attribute member: write, users: [search, disclose, read]]}]";
    let configs: Vec<RuleConfig> = serde_saphyr::from_str(yaml).unwrap();
    let rules = AccessRules::from_config(&configs, Schema::standard()).unwrap();
    let store = Store::open(options().policy(Arc::new(rules))).unwrap();
    fill(&store).await;
    ok(&store, of("fleet", 0..50_000, &[ANNA])).await;
    let write = async |who: &str| {
        let op = change(&group("fleet"), ChangeKind::Replace, "description", &[who]);
        let before = store.counters();
        let outcome = ask(&store, op, user(who)).await.unwrap();
        (outcome.result.code, since(&store, before).1)
    };
    let (code, read) = write(ANNA).await;
    assert_eq!(code, ResultCode::SUCCESS);
    assert!(read < 10, "the one who asks is looked up: {read}");
    assert_eq!(write("UID=Anna, ou=people,dc=harbourlane,dc=example").await.0, ResultCode::SUCCESS);
    let (code, read) = write(BERT).await;
    assert_eq!(code, ResultCode::INSUFFICIENT_ACCESS_RIGHTS);
    assert!(read < 10, "{read}");
}

#[tokio::test]
async fn matched_values_of_a_large_attribute() {
    let store = small().await;
    ok(&store, of("fleet", 0..20_000, &[ANNA])).await;
    let some = |wanted: &[&str]| {
        Search::new(dn(&group("fleet")), Scope::Base, Filter::any())
            .attributes(wanted.iter().copied().collect::<Selection>())
    };
    let get = async |items: &str, wanted: &[&str]| {
        let controls = Controls::none().critical(&MatchedValues::parse(items).unwrap());
        let (entries, result) = controlled(&store, some(wanted), controls).await;
        assert_eq!(result.code, ResultCode::SUCCESS);
        let mut told: Vec<(String, Vec<String>)> = Vec::new();
        for one in entries[0].attributes().iter() {
            let values = one.values().map(|value| String::from_utf8(value.to_vec()).unwrap());
            told.push((one.description().to_owned(), values.collect()));
        }
        told
    };
    let one = |name: &str, values: &[&str]| {
        vec![(name.to_owned(), values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>())]
    };
    let seven = crew(7);
    let equal = format!("(member={})", seven.to_uppercase());
    assert_eq!(get(&equal, &["member"]).await, one("member", &[&seven]));
    assert_eq!(get("(cn=fleet)", &["member"]).await, one("member", &[]));
    assert_eq!(get("(member=*)", &["member"]).await[0].1.len(), 20_001);
    // A part has those of its values that match.
    let both = format!("((member={ANNA})(member={seven}))");
    assert_eq!(get(&both, &["member;range=0-0"]).await, one("member;range=0-0", &[ANNA]));
    assert_eq!(get(&both, &["member;range=1-4"]).await, one("member;range=1-4", &[]));
}

#[tokio::test]
async fn what_matches_and_does_not_fit_is_refused_as_a_whole() {
    let mut limits = Limits::default();
    limits.entry = 20_000;
    let store = Store::open(options().limits(limits)).unwrap();
    fill(&store).await;
    ok(&store, of("fleet", 0..2_000, &[ANNA])).await;
    let get = async |items: &str| {
        let controls = Controls::none().critical(&MatchedValues::parse(items).unwrap());
        let base = Search::new(dn(&group("fleet")), Scope::Base, Filter::any());
        let (entries, result) = controlled(&store, base, controls).await;
        (entries.len(), result.code)
    };
    assert_eq!(get(&format!("(member={ANNA})")).await, (1, ResultCode::SUCCESS));
    // Nothing of the entry comes.
    assert_eq!(get("(member=*)").await, (0, ResultCode::ADMIN_LIMIT_EXCEEDED));
}

#[tokio::test]
async fn permissive_changes_of_a_large_attribute() {
    let store = small_and_timeless().await;
    ok(&store, of("fleet", 0..20_000, &[ANNA])).await;
    let permissive = async |kind, values: &[&str]| {
        let before = store.counters();
        let op = change(&group("fleet"), kind, "member", values);
        let (_, result) = controlled(&store, op, Controls::none().critical(&PermissiveModify)).await;
        assert_eq!(result.code, ResultCode::SUCCESS, "{result:?}");
        since(&store, before)
    };
    let both = [ANNA, BERT];
    assert_eq!(
        code(&store, change(&group("fleet"), ChangeKind::Add, "member", &both)).await,
        ResultCode::ATTRIBUTE_OR_VALUE_EXISTS
    );
    let (rows, read) = permissive(ChangeKind::Add, &both).await;
    assert!(rows <= 6 && read <= 4, "{rows} {read}");
    permissive(ChangeKind::Delete, &[CLEO, ANNA]).await;
    permissive(ChangeKind::Delete, &[CLEO]).await;
    let left = members(&store, "fleet").await;
    assert_eq!(left, (0..20_000).map(crew).chain([BERT.to_owned()]).collect());
    permissive(ChangeKind::Add, &[&crew(0)]).await;
    clean(&store);
}

#[tokio::test]
async fn groups_in_the_order_of_their_members() {
    let store = small().await;
    ok(&store, of("late", 500..700, &[])).await;
    ok(&store, of("early", 600..800, &[&crew(100)])).await;
    ok(&store, of("none", 300..301, &[])).await;
    let sorted = async |reverse: bool| {
        let mut key = SortKey::new(attribute("member"));
        key.reverse = reverse;
        let sort = ServerSideSort(vec![key]);
        let search = subtree("(objectClass=groupOfNames)");
        let (entries, _) = controlled(&store, search, Controls::none().critical(&sort)).await;
        entries.iter().map(|entry| entry.text("cn").unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(sorted(false).await, ["early", "none", "late"]);
    assert_eq!(sorted(true).await, ["late", "none", "early"]);
}
