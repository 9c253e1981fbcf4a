//! Groups of many members: what changing and reading them costs in rows, and what is answered.

use std::collections::BTreeSet;

use bytes::Bytes;
use flext_ldap_directory::{Actor, Directory, Identity, Request};
use flext_ldap_proto::{
    attribute::{Attributes, Selection},
    ber::Reader,
    control::{ControlValue, PostRead, PreRead, ReadEntry},
    entry::Entry,
    filter::Filter,
    message::{Add, Change, ChangeKind, Compare, Delete, Limits as Decoder, Modify, Rename, Scope, Search},
    result::ResultCode,
};
use flext_ldap_store::{Counters, Limits, Store, StoreOptions};

use crate::support::*;

fn member(number: u32) -> String {
    format!("uid=crew{number},ou=people,{SUFFIX}")
}

fn group(name: &str) -> String {
    format!("cn={name},ou=groups,{SUFFIX}")
}

fn members(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(member).collect()
}

/// A group with these members.
fn a_group(name: &str, numbers: std::ops::Range<u32>) -> Add {
    let mut attributes = Attributes::builder();
    attributes.push("objectClass", ["groupOfNames"]);
    attributes.push("description", ["those who sail"]);
    attributes.push("member", members(numbers));
    Add::new(dn(&group(name)), attributes.build())
}

fn change(kind: ChangeKind, values: &[String]) -> Change {
    let values = values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect();
    Change { kind, attribute: attribute("member"), values }
}

fn modify(name: &str, changes: Vec<Change>) -> Modify {
    Modify { dn: dn(&group(name)), changes }
}

fn add(name: &str, numbers: std::ops::Range<u32>) -> Modify {
    modify(name, vec![change(ChangeKind::Add, &members(numbers))])
}

fn remove(name: &str, numbers: std::ops::Range<u32>) -> Modify {
    modify(name, vec![change(ChangeKind::Delete, &members(numbers))])
}

/// What an operation that succeeds adds to the counters.
async fn cost(store: &Store, op: impl Into<flext_ldap_directory::Op>) -> Counters {
    let before = store.counters();
    ok(store, op).await;
    since(store, before)
}

fn since(store: &Store, before: Counters) -> Counters {
    let mut after = store.counters();
    after.rows_written -= before.rows_written;
    after.values_read -= before.values_read;
    after.entries_read -= before.entries_read;
    after
}

fn base(name: &str, attributes: &[&str]) -> Search {
    Search::new(dn(&group(name)), Scope::Base, Filter::any())
        .attributes(attributes.iter().copied().collect::<Selection>())
}

async fn one(store: &dyn Directory, search: Search) -> Entry {
    let (mut entries, outcome) = entries(store, search, Actor::Service).await;
    assert_eq!((entries.len(), outcome.result.code), (1, ResultCode::SUCCESS));
    entries.remove(0)
}

fn values(entry: &Entry, description: &str) -> BTreeSet<String> {
    let values = entry.attributes().get(description).unwrap();
    let set: BTreeSet<String> =
        values.values().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect();
    assert_eq!(values.values().count(), set.len(), "no value twice");
    set
}

async fn with_groups(sizes: &[(&str, u32)]) -> Store {
    let store = small_and_timeless().await;
    for (name, size) in sizes {
        ok(&store, a_group(name, 0..*size)).await;
    }
    store
}

#[tokio::test]
async fn a_member_costs_the_same_in_a_group_of_any_size() {
    let store = with_groups(&[("watch", 100), ("crew", 1_000), ("fleet", 50_000)]).await;
    let mut seen = Vec::new();
    for name in ["watch", "crew", "fleet"] {
        let added = cost(&store, add(name, 700_000..700_001)).await;
        let again = code(&store, add(name, 700_000..700_001)).await;
        assert_eq!(again, ResultCode::ATTRIBUTE_OR_VALUE_EXISTS);
        let removed = cost(&store, remove(name, 7..8)).await;
        assert_eq!(code(&store, remove(name, 7..8)).await, ResultCode::NO_SUCH_ATTRIBUTE);
        seen.push((added.rows_written, added.values_read, removed.rows_written, removed.values_read));
    }
    // The value, its index row, the entry, the change, the state; and one look at whether the value is there.
    assert_eq!(seen, vec![(5, 1, 5, 1); 3]);
}

#[tokio::test]
async fn what_is_not_asked_for_is_not_read() {
    let store = with_groups(&[("fleet", 20_000)]).await;
    let read = async |search: Search| {
        let before = store.counters();
        let entry = one(&store, search).await;
        (since(&store, before).values_read, entry)
    };
    let (looked, entry) = read(base("fleet", &["cn", "description"])).await;
    assert_eq!((looked, entry.text("cn")), (0, Some("fleet")));
    let mut types = base("fleet", &["*"]);
    types.types_only = true;
    let (looked, entry) = read(types).await;
    assert_eq!((looked, entry.attributes().get("member").map(|one| one.values().count())), (0, Some(0)));
    let find = |text: &str| {
        let mut search = subtree(text);
        search.attributes = ["cn"].into();
        search
    };
    let table = [
        ("(member=uid=CREW77, ou=People,dc=harbourlane,dc=example)", 1),
        ("(&(cn=fleet)(member=*))", 0),
        ("(&(cn=fleet)(!(member=uid=stowaway,dc=harbourlane,dc=example)))", 1),
        ("(&(cn=fleet)(|(member=*)(member=uid=crew1,ou=people,dc=harbourlane,dc=example)))", 0),
    ];
    for (text, want) in table {
        assert_eq!(read(find(text)).await.0, want, "{text}");
    }
    for (number, want) in [(77, ResultCode::COMPARE_TRUE), (77_777, ResultCode::COMPARE_FALSE)] {
        let compare = Compare {
            dn: dn(&group("fleet")),
            attribute: attribute("member"),
            value: Bytes::from(member(number)),
        };
        let before = store.counters();
        assert_eq!(code(&store, compare).await, want);
        assert_eq!(since(&store, before).values_read, 1);
    }
    let (looked, entry) = read(base("fleet", &["member"])).await;
    assert_eq!(looked, 20_000);
    assert_eq!(values(&entry, "member"), members(0..20_000).into_iter().collect());
    // A user is asked about by the policy for each attribute, and gets the same.
    let user =
        Actor::User(Identity::from_successful_bind(dn("uid=anna,ou=people,dc=harbourlane,dc=example")));
    let (found, _) = entries(&store, base("fleet", &["*", "+"]), user).await;
    assert_eq!(found[0].attributes(), read(base("fleet", &["*", "+"])).await.1.attributes());
}

#[tokio::test]
async fn all_values_go_with_the_attribute_and_with_the_entry() {
    let store = with_groups(&[("fleet", 3_000), ("crew", 3_000)]).await;
    let refused = modify("fleet", vec![change(ChangeKind::Delete, &[])]);
    assert_eq!(code(&store, refused).await, ResultCode::OBJECT_CLASS_VIOLATION);
    // What goes and comes back stays where it is: 500 go, 10 come.
    let replaced = modify("fleet", vec![change(ChangeKind::Replace, &members(500..3_010))]);
    let replaced = cost(&store, replaced).await;
    assert_eq!(replaced.rows_written, 2 * 510 + 3);
    let few = vec![change(ChangeKind::Delete, &[]), change(ChangeKind::Add, &members(1..3))];
    assert_eq!(cost(&store, modify("fleet", few)).await.rows_written, 2 * 2_510 + 2 + 3);
    let entry = one(&store, base("fleet", &["member"])).await;
    assert_eq!(values(&entry, "member"), members(1..3).into_iter().collect());
    let found = async |number: u32| {
        let filter = Filter::equality(attribute("member"), member(number).into_bytes());
        let before = store.counters();
        let (names, _) = find(&store, Search::new(dn(SUFFIX), Scope::Subtree, filter), Actor::Service).await;
        assert_eq!(since(&store, before).entries_read, names.len() as u64, "the index leads to nothing else");
        names
    };
    assert_eq!(found(1).await, [group("crew"), group("fleet")]);
    assert_eq!(found(600).await, [group("crew")]);
    let renamed = Rename {
        dn: dn(&group("crew")),
        new_rdn: "cn=crowd".parse().unwrap(),
        delete_old_rdn: true,
        new_superior: None,
    };
    assert!(cost(&store, renamed).await.rows_written < 12);
    assert_eq!(found(600).await, [group("crowd")]);
    let gone = cost(&store, Delete { dn: dn(&group("crowd")) }).await;
    assert!((6_000..6_020).contains(&gone.rows_written), "{gone:?}");
    assert_eq!(found(600).await, [""; 0]);
}

#[tokio::test]
async fn many_values_are_added_at_once_and_none_if_one_is_wrong() {
    let store = with_groups(&[("fleet", 10)]).await;
    let mut wrong = members(10..5_000);
    wrong.push("no name".to_owned());
    let wrong = modify("fleet", vec![change(ChangeKind::Add, &wrong)]);
    assert_eq!(code(&store, wrong).await, ResultCode::INVALID_ATTRIBUTE_SYNTAX);
    assert_eq!(
        code(
            &store,
            modify("fleet", vec![change(ChangeKind::Add, &[members(10..5_000), members(9..10)].concat())])
        )
        .await,
        ResultCode::ATTRIBUTE_OR_VALUE_EXISTS
    );
    assert_eq!(
        one(&store, base("fleet", &["member"])).await.attributes().get("member").unwrap().values().count(),
        10
    );
    // One change for each is as good as one change for all.
    let each = (10..5_000).map(|number| change(ChangeKind::Add, &[member(number)])).collect();
    ok(&store, modify("fleet", each)).await;
    ok(&store, add("fleet", 5_000..20_000)).await;
    let entry = one(&store, base("fleet", &["member"])).await;
    assert_eq!(values(&entry, "member"), members(0..20_000).into_iter().collect());
    assert_eq!(code(&store, remove("fleet", 19_999..20_001)).await, ResultCode::NO_SUCH_ATTRIBUTE);
    ok(&store, remove("fleet", 5..20_000)).await;
    let entry = one(&store, base("fleet", &["member"])).await;
    assert_eq!(values(&entry, "member"), members(0..5).into_iter().collect());
}

#[tokio::test]
async fn what_names_the_entry_stays_among_many_names() {
    let store = with_groups(&[("fleet", 1)]).await;
    let names = |kind, from: u32, to: u32| Modify {
        dn: dn(&group("fleet")),
        changes: vec![Change {
            kind,
            attribute: attribute("cn"),
            values: (from..to).map(|number| Bytes::from(format!("Fleet {number}"))).collect(),
        }],
    };
    ok(&store, names(ChangeKind::Add, 0, 200)).await;
    ok(&store, names(ChangeKind::Delete, 0, 1)).await;
    let mut own = names(ChangeKind::Delete, 1, 2);
    own.changes[0].values.push(Bytes::from_static(b"FLEET"));
    assert_eq!(code(&store, own).await, ResultCode::NOT_ALLOWED_ON_RDN);
    assert_eq!(code(&store, names(ChangeKind::Replace, 0, 200)).await, ResultCode::NOT_ALLOWED_ON_RDN);
    let rename = |from: &str, to: &str| Rename {
        dn: dn(&group(from)),
        new_rdn: format!("cn={to}").parse().unwrap(),
        delete_old_rdn: true,
        new_superior: None,
    };
    ok(&store, rename("fleet", "Fleet 9")).await;
    let (found, _) = find(&store, subtree("(cn=fleet)"), Actor::Service).await;
    assert_eq!(found, [""; 0]);
    ok(&store, rename("Fleet 9", "fleet")).await;
    let entry = one(&store, base("fleet", &["cn"])).await;
    assert_eq!(values(&entry, "cn").len(), 199);
}

#[tokio::test]
async fn groups_are_read_in_parts() {
    let mut limits = Limits::default();
    limits.entry = 64 << 10;
    let store = Store::open(options().limits(limits)).unwrap();
    fill(&store).await;
    ok(&store, a_group("crew", 0..40)).await;
    ok(&store, a_group("fleet", 0..6_001)).await;
    // As a whole it does not fit into an answer, and that is said. What does not ask for it is not bothered.
    let (found, outcome) = entries(&store, base("fleet", &["*"]), Actor::Service).await;
    assert_eq!((found.len(), outcome.result.code), (0, ResultCode::ADMIN_LIMIT_EXCEEDED));
    assert_eq!(
        outcome.result.diagnostic,
        "`member` of an entry has 6001 values, too many for one message; ask for `member;range=0-*` and what follows"
    );
    assert_eq!(one(&store, base("fleet", &["cn"])).await.text("cn"), Some("fleet"));
    let all = entries(&store, subtree("(objectClass=groupOfNames)"), Actor::Service).await;
    assert_eq!((all.0.len(), all.1.result.code), (1, ResultCode::ADMIN_LIMIT_EXCEEDED));

    let part = async |name: &str, range: &str| {
        let entry = one(&store, base(name, &[&format!("member;range={range}")])).await;
        let part = entry.attributes().iter().next().map(|one| one.description().to_owned());
        part.map(|part| (values(&entry, &part), part))
    };
    let mut gathered = BTreeSet::new();
    let mut parts = Vec::new();
    let mut next = 0;
    let before = store.counters();
    loop {
        let (values, name) = part("fleet", &format!("{next}-*")).await.unwrap();
        next += values.len();
        gathered.extend(values);
        parts.push(name);
        if parts.last().unwrap().ends_with('*') {
            break;
        }
    }
    // Parts are bounded in octets too, and each goes on where the one before it ended: beside the values returned one
    // is read in each, which did not fit.
    assert!(parts.len() > 8, "{parts:?}");
    assert!(since(&store, before).values_read < 6_001 + parts.len() as u64);
    assert_eq!((next, gathered), (6_001, members(0..6_001).into_iter().collect()));
    let described =
        async |name: &str, range: &str| part(name, range).await.map(|(values, name)| (values.len(), name));
    let table = [
        ("fleet", "0-99", Some((100, "member;range=0-99"))),
        ("fleet", "5990-6000", Some((11, "member;range=5990-*"))),
        ("fleet", "5990-5999", Some((10, "member;range=5990-5999"))),
        ("fleet", "6001-*", None),
        ("crew", "0-1499", Some((40, "member;range=0-*"))),
        ("crew", "10-19", Some((10, "member;range=10-19"))),
        ("crew", "40-*", None),
    ];
    for (name, range, want) in table {
        let want = want.map(|(count, name)| (count, name.to_owned()));
        assert_eq!(described(name, range).await, want, "{name} {range}");
    }
    // A change moves what stands behind it, and no part goes on at a place that is not its own any more.
    ok(&store, modify("fleet", vec![change(ChangeKind::Delete, &[member(0)])])).await;
    let (all, name) = part("fleet", "1000-1099").await.unwrap();
    assert_eq!((all.len(), name.as_str()), (100, "member;range=1000-1099"));
    let mut again = BTreeSet::new();
    for first in (0..6_000).step_by(100) {
        again.extend(part("fleet", &format!("{first}-{}", first + 99)).await.unwrap().0);
    }
    assert_eq!(again, members(1..6_001).into_iter().collect());
    // With others, and over what asks for all of it.
    let entry = one(&store, base("fleet", &["*", "member;range=0-1"])).await;
    assert_eq!(values(&entry, "member;range=0-1").len(), 2);
    assert_eq!((entry.text("cn"), entry.attributes().get("member")), (Some("fleet"), None));
}

#[tokio::test]
async fn reads_before_and_after_see_the_change() {
    let store = with_groups(&[("fleet", 300)]).await;
    let changes =
        vec![change(ChangeKind::Delete, &members(0..2)), change(ChangeKind::Add, &members(400..401))];
    let request = Request::new(modify("fleet", changes), Actor::Service)
        .critical(&PreRead(Selection::from(["member"])))
        .critical(&PostRead(Selection::from(["member"])));
    let outcome = store.call(request.into_any()).outcome().await.unwrap();
    let read = |oid| {
        let control = outcome.controls.iter().find(|control| control.oid == oid).unwrap();
        let value = control.value.clone().unwrap();
        values(&ReadEntry::decode(&mut Reader::new(&value), &Decoder::DEFAULT).unwrap().0, "member")
    };
    assert_eq!(read(PreRead::OID), members(0..300).into_iter().collect());
    assert_eq!(read(PostRead::OID), members(2..300).into_iter().chain(members(400..401)).collect());
    let added = Request::new(a_group("crew", 0..100), Actor::Service)
        .critical(&PostRead(Selection::from(["member"])));
    let outcome = store.call(added.into_any()).outcome().await.unwrap();
    let value = outcome.controls.iter().next().unwrap().value.clone().unwrap();
    let entry = ReadEntry::decode(&mut Reader::new(&value), &Decoder::DEFAULT).unwrap().0;
    assert_eq!(values(&entry, "member"), members(0..100).into_iter().collect());
}

#[tokio::test]
async fn a_store_of_format_1_is_read_and_split_as_it_is_written() {
    const META: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("meta");
    const VALUE: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("value");
    let folder = tempfile::tempdir().unwrap();
    let open = |values: usize| {
        let mut limits = Limits::default();
        limits.inline_values = values;
        limits.inline_octets = values * 100;
        let options = StoreOptions::folder(folder.path()).suffix(dn(SUFFIX)).limits(limits);
        Store::open(options.indexes(timeless())).unwrap()
    };
    let store = open(1_000_000);
    fill(&store).await;
    ok(&store, a_group("fleet", 0..500)).await;
    drop(store);
    // Such a store is one of format 1 but for what it says of itself.
    let database = redb::Database::open(folder.path().join("directory.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut meta = transaction.open_table(META).unwrap();
        meta.insert(b"format".as_slice(), 1_u32.to_be_bytes().as_slice()).unwrap();
    }
    assert!(transaction.delete_table(VALUE).unwrap());
    transaction.commit().unwrap();
    drop(database);

    let store = open(64);
    let all: BTreeSet<String> = members(0..500).into_iter().collect();
    assert_eq!(values(&one(&store, base("fleet", &["member"])).await, "member"), all);
    assert_eq!(store.counters().values_read, 0);
    assert_eq!(code(&store, add("fleet", 499..501)).await, ResultCode::ATTRIBUTE_OR_VALUE_EXISTS);
    let split = cost(&store, add("fleet", 500..501)).await;
    assert!(split.rows_written > 501, "{split:?}");
    assert_eq!(cost(&store, remove("fleet", 500..501)).await.rows_written, 5);
    drop(store);
    let store = open(64);
    assert_eq!(values(&one(&store, base("fleet", &["member"])).await, "member"), all);
    assert_eq!(store.counters().values_read, 500);
}

#[tokio::test]
async fn a_check_names_what_is_wrong_with_values() {
    const VALUE: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("value");
    let folder = tempfile::tempdir().unwrap();
    let open = || Store::open(StoreOptions::folder(folder.path()).suffix(dn(SUFFIX))).unwrap();
    let store = open();
    fill(&store).await;
    ok(&store, a_group("fleet", 0..500)).await;
    clean(&store);
    drop(store);
    let database = redb::Database::open(folder.path().join("directory.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(VALUE).unwrap();
        let ((first, value), stray) = {
            let row = redb::ReadableTable::first(&table).unwrap().unwrap();
            let (key, value) = (row.0.value().to_vec(), row.1.value().to_vec());
            let stray = [&77_u32.to_be_bytes(), &key[4..]].concat();
            ((key, value), stray)
        };
        table.remove(first.as_slice()).unwrap();
        table.insert(stray.as_slice(), value.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let store = open();
    let name = group("fleet");
    let told = faults(&store);
    assert!(told[0].contains(&format!("`{name}`: `member` has 499 values in")), "{told:?}");
    assert!(told.iter().any(|fault| fault.contains("it is under") && fault.contains(&name)), "{told:?}");
    assert!(
        told.iter()
            .any(|fault| fault.starts_with("value: entry 77: values of an attribute that is not among")),
        "{told:?}"
    );
    // What cannot be answered right is not answered.
    let search = base("fleet", &["member"]);
    let error = store.call(Request::new(search, Actor::Service).into_any()).next().await.unwrap_err();
    assert!(error.to_string().contains("the values of a large attribute cannot be read"), "{error}");
}

#[tokio::test]
async fn another_schema_gives_values_other_keys() {
    use flext_ldap_proto::schema::Schema;
    let folder = tempfile::tempdir().unwrap();
    let schema = |rule: &str| {
        let mut builder = Schema::builder();
        builder.add_subschema(Schema::standard().to_subschema().as_ref());
        let definition = format!(
            "( 1.3.6.1.4.1.99999.1 NAME 'berth' EQUALITY {rule} SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )"
        );
        let mut attributes = Attributes::builder();
        attributes.push("attributeTypes", [definition]);
        builder.add_subschema(attributes.build().as_ref());
        std::sync::Arc::new(builder.build().unwrap())
    };
    let open = |rule: &str| {
        let options = StoreOptions::folder(folder.path()).suffix(dn(SUFFIX)).schema(schema(rule));
        Store::open(options)
    };
    let berths = |kind, texts: &[String]| {
        let values = texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
        Modify {
            dn: dn(&group("fleet")),
            changes: vec![Change { kind, attribute: attribute("berth"), values }],
        }
    };
    let store = open("caseIgnoreMatch").unwrap();
    fill(&store).await;
    let mut group = a_group("fleet", 0..1).attributes.as_ref().to_attributes();
    let mut classes = Attributes::builder();
    for one in group.as_ref().iter() {
        let extensible = (one.description() == "objectClass").then_some(b"extensibleObject".as_slice());
        classes.push(one.description(), one.values().chain(extensible));
    }
    group = classes.build();
    ok(&store, Add::new(dn(&self::group("fleet")), group)).await;
    let texts: Vec<String> = (0..3_000).map(|number| format!("Berth {number}")).collect();
    ok(&store, berths(ChangeKind::Add, &texts)).await;
    drop(store);

    let store = open("caseExactMatch").unwrap();
    assert_eq!(
        code(&store, berths(ChangeKind::Add, &texts[5..6])).await,
        ResultCode::ATTRIBUTE_OR_VALUE_EXISTS
    );
    ok(&store, berths(ChangeKind::Add, &["berth 5".to_owned()])).await;
    drop(store);

    let error = open("caseIgnoreMatch").unwrap_err();
    assert!(error.to_string().contains("has a value of `berth` twice"), "{error}");
    let store = open("caseExactMatch").unwrap();
    ok(&store, berths(ChangeKind::Delete, &["berth 5".to_owned()])).await;
    drop(store);
    let store = open("caseIgnoreMatch").unwrap();
    assert_eq!(
        code(&store, berths(ChangeKind::Add, &["BERTH 7".to_owned()])).await,
        ResultCode::ATTRIBUTE_OR_VALUE_EXISTS
    );
    let entry = one(&store, base("fleet", &["berth"])).await;
    assert_eq!(values(&entry, "berth"), texts.into_iter().collect());
}

#[tokio::test]
async fn what_takes_long_is_run_as_the_program_says() {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use flext_ldap_proto::control::{ServerSideSort, SortKey};

    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let options = options().long_work(move |work| {
        counted.fetch_add(1, Ordering::Relaxed);
        work();
    });
    let store = Store::open(options).unwrap();
    fill(&store).await;
    ok(&store, a_group("few", 0..10)).await;
    ok(&store, a_group("many", 0..3_000)).await;
    let looked = |name: &str, filter: &str| {
        let search = Search::new(dn(&group(name)), Scope::Base, filter.parse().unwrap()).attributes(["cn"]);
        let (store, runs) = (store.clone(), Arc::clone(&runs));
        async move {
            let before = runs.load(Ordering::Relaxed);
            let key = SortKey { attribute: attribute("member"), ordering_rule: None, reverse: false };
            let request =
                Request::new(search, Actor::Service).critical(&ServerSideSort(vec![key])).into_any();
            let outcome = store.call(request).outcome().await.unwrap();
            assert_eq!(outcome.result.code, ResultCode::SUCCESS);
            runs.load(Ordering::Relaxed) - before
        }
    };
    // Some hundred thousand octets: it takes a few parts of a filter to make them long.
    let parts = "(cn=x)".repeat(20);
    assert_eq!(looked("few", &format!("(|(cn=*){parts})")).await, 0);
    assert_eq!(looked("many", "(cn=*)").await, 0);
    // Asked, put in order; then, as what was found, asked again and written.
    assert_eq!(looked("many", &format!("(|(cn=*){parts})")).await, 5);
    // A filter alone can be long enough.
    assert_eq!(looked("few", &format!("(|(cn=*){})", "(cn=x)".repeat(2_000))).await, 5);
}
