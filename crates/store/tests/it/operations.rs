//! Each operation and its result codes.

use std::time::Duration;

use bytes::Bytes;
use flext_ldap_directory::{Actor, Directory, Request};
use flext_ldap_proto::{
    attribute::Selection,
    ber::Reader,
    control::{Assertion, Control, ControlValue, ManageDsaIt, PostRead, PreRead, ReadEntry},
    filter::Filter,
    message::{Change, ChangeKind, Compare, Delete, Limits, Modify, Rename, Scope, Search},
    result::ResultCode,
};
use flext_ldap_store::Store;

use crate::support::*;

const ANNA: &str = "uid=anna,ou=people,dc=harbourlane,dc=example";
const PEOPLE: &str = "ou=people,dc=harbourlane,dc=example";

fn change(kind: ChangeKind, name: &str, values: &[&str]) -> Change {
    let values = values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect();
    Change { kind, attribute: attribute(name), values }
}

fn modify(name: &str, changes: Vec<Change>) -> Modify {
    Modify { dn: dn(name), changes }
}

fn rename(name: &str, rdn: &str, delete_old_rdn: bool, superior: Option<&str>) -> Rename {
    Rename { dn: dn(name), new_rdn: rdn.parse().unwrap(), delete_old_rdn, new_superior: superior.map(dn) }
}

#[tokio::test]
async fn what_is_added_is_found() {
    let store = small().await;
    let (names, outcome) = find(&store, subtree("(uid=anna)"), Actor::Service).await;
    assert_eq!(outcome.result.code, ResultCode::SUCCESS);
    assert_eq!(names, [ANNA]);
    let entry = read(&store, ANNA).await.unwrap();
    let classes: Vec<_> = entry.attributes().get("objectClass").unwrap().values().collect();
    for class in ["inetOrgPerson", "organizationalPerson", "person", "top"] {
        assert!(classes.contains(&class.as_bytes()), "{class}");
    }
    for (name, value) in [
        ("structuralObjectClass", "inetOrgPerson"),
        ("entryDN", ANNA),
        ("hasSubordinates", "FALSE"),
        ("subschemaSubentry", "cn=subschema"),
        ("creatorsName", "cn=directory"),
    ] {
        assert_eq!(entry.text(name), Some(value), "{name}");
    }
    assert_eq!(entry.text("entryUUID").unwrap().len(), 36);
    assert_eq!(entry.text("createTimestamp"), entry.text("modifyTimestamp"));
    let suffix = read(&store, SUFFIX).await.unwrap();
    assert!(suffix.text("contextCSN").unwrap() >= entry.text("entryCSN").unwrap());
    assert_eq!(suffix.text("hasSubordinates"), Some("TRUE"));
}

#[tokio::test]
async fn add_answers() {
    let store = small().await;
    let below = |rdn: &str| format!("{rdn},{PEOPLE}");
    let table: Vec<(&str, String, Vec<&str>, ResultCode)> = vec![
        (
            "there already",
            ANNA.into(),
            vec!["objectClass: person", "sn: x", "cn: x", "uid: anna"],
            ResultCode::ENTRY_ALREADY_EXISTS,
        ),
        (
            "spelt otherwise",
            format!("UID= Anna ,{PEOPLE}"),
            vec!["objectClass: account"],
            ResultCode::ENTRY_ALREADY_EXISTS,
        ),
        (
            "no parent",
            format!("cn=x,ou=nowhere,{SUFFIX}"),
            vec!["objectClass: person", "sn: x"],
            ResultCode::NO_SUCH_OBJECT,
        ),
        ("outside", "dc=elsewhere".into(), vec!["objectClass: domain"], ResultCode::NO_SUCH_OBJECT),
        ("no class", below("cn=x"), vec!["cn: x"], ResultCode::OBJECT_CLASS_VIOLATION),
        ("unknown class", below("cn=x"), vec!["objectClass: nonesuch"], ResultCode::OBJECT_CLASS_VIOLATION),
        ("abstract only", below("cn=x"), vec!["objectClass: top"], ResultCode::OBJECT_CLASS_VIOLATION),
        (
            "two structures",
            below("cn=x"),
            vec!["objectClass: person", "objectClass: organization", "sn: x", "o: x"],
            ResultCode::OBJECT_CLASS_VIOLATION,
        ),
        (
            "required attribute",
            below("cn=x"),
            vec!["objectClass: person"],
            ResultCode::OBJECT_CLASS_VIOLATION,
        ),
        (
            "attribute not allowed",
            below("cn=x"),
            vec!["objectClass: person", "sn: x", "mail: x@example.com"],
            ResultCode::OBJECT_CLASS_VIOLATION,
        ),
        (
            "unknown attribute",
            below("cn=x"),
            vec!["objectClass: person", "sn: x", "nonesuch: x"],
            ResultCode::UNDEFINED_ATTRIBUTE_TYPE,
        ),
        (
            "bad syntax",
            below("cn=x"),
            vec!["objectClass: groupOfNames", "member: not a name"],
            ResultCode::INVALID_ATTRIBUTE_SYNTAX,
        ),
        (
            "value twice",
            below("cn=x"),
            vec!["objectClass: person", "sn: x", "sn: X"],
            ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
        ),
        (
            "single value",
            below("uid=x"),
            vec!["objectClass: inetOrgPerson", "cn: x", "sn: x", "displayName: a", "displayName: b"],
            ResultCode::CONSTRAINT_VIOLATION,
        ),
        (
            "set by the directory",
            below("cn=x"),
            vec!["objectClass: person", "sn: x", "entryUUID: 6b1b1d3e-7a6e-4b62-8a5e-1f9a2d1c0b11"],
            ResultCode::CONSTRAINT_VIOLATION,
        ),
        (
            "unknown type in the name",
            below("nonesuch=x"),
            vec!["objectClass: person", "sn: x", "cn: x"],
            ResultCode::INVALID_DN_SYNTAX,
        ),
        (
            "name not allowed",
            below("mail=x@example.com"),
            vec!["objectClass: person", "sn: x", "cn: x"],
            ResultCode::OBJECT_CLASS_VIOLATION,
        ),
        (
            "values of the name are added",
            below("cn=Xenia+sn=Sound"),
            vec!["objectClass: person"],
            ResultCode::SUCCESS,
        ),
        ("escapes", below(r"cn=a\2cb\+c \#d"), vec!["objectClass: person", "sn: x"], ResultCode::SUCCESS),
    ];
    let before = store.counters().writes;
    let mut written = 0;
    for (what, name, lines, want) in table {
        let outcome = ask(&store, entry(&name, &lines), Actor::Service).await.unwrap();
        assert_eq!(outcome.result.code, want, "{what}: {outcome:?}");
        if want == ResultCode::SUCCESS {
            written += 1;
        } else if want != ResultCode::NO_SUCH_OBJECT {
            assert!(!outcome.result.diagnostic.is_empty(), "{what}");
        }
    }
    assert_eq!(store.counters().writes - before, written);
    let xenia = read(&store, &below("sn=sound+cn=xenia")).await.unwrap();
    assert_eq!((xenia.text("cn"), xenia.text("sn")), (Some("Xenia"), Some("Sound")));
    let outcome =
        ask(&store, entry(&format!("cn=x,uid=zoe,{PEOPLE}"), &["objectClass: person"]), Actor::Service)
            .await
            .unwrap();
    assert_eq!(outcome.result.matched_dn, PEOPLE);
}

#[tokio::test]
async fn modify_answers() {
    use ChangeKind::{Add, Delete, Increment, Replace};
    let store = small().await;
    let table: Vec<(&str, Vec<Change>, ResultCode)> = vec![
        ("add", vec![change(Add, "description", &["one", "two"])], ResultCode::SUCCESS),
        (
            "add what is there",
            vec![change(Add, "description", &["ONE"])],
            ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
        ),
        ("add nothing", vec![change(Add, "description", &[])], ResultCode::PROTOCOL_ERROR),
        ("delete a value", vec![change(Delete, "description", &["TWO"])], ResultCode::SUCCESS),
        (
            "delete a value again",
            vec![change(Delete, "description", &["two"])],
            ResultCode::NO_SUCH_ATTRIBUTE,
        ),
        ("delete the attribute", vec![change(Delete, "description", &[])], ResultCode::SUCCESS),
        ("delete what is not there", vec![change(Delete, "description", &[])], ResultCode::NO_SUCH_ATTRIBUTE),
        (
            "replace with nothing what is not there",
            vec![change(Replace, "description", &[])],
            ResultCode::SUCCESS,
        ),
        ("replace", vec![change(Replace, "title", &["Pilot"])], ResultCode::SUCCESS),
        (
            "replace with the same twice",
            vec![change(Replace, "title", &["a", "A"])],
            ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
        ),
        (
            "unknown attribute",
            vec![change(Replace, "nonesuch", &["x"])],
            ResultCode::UNDEFINED_ATTRIBUTE_TYPE,
        ),
        ("not allowed", vec![change(Replace, "dc", &["x"])], ResultCode::OBJECT_CLASS_VIOLATION),
        ("required", vec![change(Delete, "sn", &[])], ResultCode::OBJECT_CLASS_VIOLATION),
        ("the name's value", vec![change(Delete, "uid", &["anna"])], ResultCode::NOT_ALLOWED_ON_RDN),
        (
            "the name's value, replaced",
            vec![change(Replace, "uid", &["other"])],
            ResultCode::NOT_ALLOWED_ON_RDN,
        ),
        (
            "set by the directory",
            vec![change(Replace, "entryUUID", &["x"])],
            ResultCode::CONSTRAINT_VIOLATION,
        ),
        (
            "an auxiliary class",
            vec![
                change(Add, "objectClass", &["posixAccount"]),
                change(Add, "uidNumber", &["41"]),
                change(Add, "gidNumber", &["7"]),
                change(Add, "homeDirectory", &["/home/anna"]),
            ],
            ResultCode::SUCCESS,
        ),
        ("bad number", vec![change(Replace, "uidNumber", &["4x"])], ResultCode::INVALID_ATTRIBUTE_SYNTAX),
        ("increment", vec![change(Increment, "uidNumber", &["1"])], ResultCode::SUCCESS),
        (
            "increment by what is no number",
            vec![change(Increment, "uidNumber", &["x"])],
            ResultCode::CONSTRAINT_VIOLATION,
        ),
        (
            "increment past all numbers",
            vec![change(Increment, "uidNumber", &["170141183460469231731687303715884105727"])],
            ResultCode::CONSTRAINT_VIOLATION,
        ),
        (
            "increment what is not there",
            vec![change(Increment, "roomNumber", &["1"])],
            ResultCode::NO_SUCH_ATTRIBUTE,
        ),
        (
            "another structure",
            vec![
                change(Delete, "objectClass", &["inetOrgPerson", "organizationalPerson", "person"]),
                change(Add, "objectClass", &["account"]),
            ],
            ResultCode::OBJECT_CLASS_MODS_PROHIBITED,
        ),
        (
            "all or none",
            vec![change(Replace, "title", &["Captain"]), change(Delete, "description", &["no"])],
            ResultCode::NO_SUCH_ATTRIBUTE,
        ),
        (
            "in order",
            vec![
                change(Add, "description", &["a"]),
                change(Delete, "description", &["a"]),
                change(Add, "description", &["b"]),
            ],
            ResultCode::SUCCESS,
        ),
    ];
    for (what, changes, want) in table {
        let outcome = ask(&store, modify(ANNA, changes), Actor::Service).await.unwrap();
        assert_eq!(outcome.result.code, want, "{what}: {outcome:?}");
    }
    let anna = read(&store, ANNA).await.unwrap();
    for (name, value) in [("title", Some("Pilot")), ("description", Some("b")), ("uidNumber", Some("42"))] {
        assert_eq!(anna.text(name), value, "{name}");
    }
    let (names, _) = find(&store, subtree("(uidNumber=42)"), Actor::Service).await;
    assert_eq!(names, [ANNA]);
    let (names, _) = find(&store, subtree("(uidNumber=41)"), Actor::Service).await;
    assert!(names.is_empty());
    assert_eq!(
        code(&store, modify("uid=nobody,dc=harbourlane,dc=example", vec![])).await,
        ResultCode::NO_SUCH_OBJECT
    );
}

#[tokio::test]
async fn options_are_attributes_of_their_own() {
    let store = small().await;
    let changes = vec![
        change(ChangeKind::Add, "title;lang-de", &["Lotsin"]),
        change(ChangeKind::Add, "title", &["Pilot"]),
    ];
    ok(&store, modify(ANNA, changes)).await;
    ok(&store, modify(ANNA, vec![change(ChangeKind::Delete, "title", &[])])).await;
    let anna = read(&store, ANNA).await.unwrap();
    assert_eq!(anna.text("title;lang-de"), Some("Lotsin"));
    assert_eq!(anna.text("title"), None);
    let (names, _) = find(&store, subtree("(title=lotsin)"), Actor::Service).await;
    assert_eq!(names, [ANNA]);
}

#[tokio::test]
async fn delete_answers() {
    let store = small().await;
    let delete = |name: &str| Delete { dn: dn(name) };
    assert_eq!(code(&store, delete(PEOPLE)).await, ResultCode::NOT_ALLOWED_ON_NON_LEAF);
    assert_eq!(code(&store, delete(ANNA)).await, ResultCode::SUCCESS);
    let outcome = ask(&store, delete(ANNA), Actor::Service).await.unwrap();
    assert_eq!(outcome.result.code, ResultCode::NO_SUCH_OBJECT);
    assert_eq!(outcome.result.matched_dn, PEOPLE);
    for uid in ["bert", "cleo"] {
        ok(&store, delete(&format!("uid={uid},{PEOPLE}"))).await;
    }
    ok(&store, delete(PEOPLE)).await;
    ok(&store, delete("ou=groups,dc=harbourlane,dc=example")).await;
    ok(&store, delete(SUFFIX)).await;
    assert_eq!(
        find(&store, subtree("(objectClass=*)"), Actor::Service).await.1.result.code,
        ResultCode::NO_SUCH_OBJECT
    );
    fill(&store).await;
    assert_eq!(find(&store, subtree("(uid=*)"), Actor::Service).await.0.len(), 3);
}

#[tokio::test]
async fn rename_answers() {
    let store = small().await;
    let table: Vec<(&str, Rename, ResultCode)> = vec![
        ("taken", rename(ANNA, "uid=bert", true, None), ResultCode::ENTRY_ALREADY_EXISTS),
        (
            "no such superior",
            rename(ANNA, "uid=anna", true, Some("ou=nowhere,dc=harbourlane,dc=example")),
            ResultCode::NO_SUCH_OBJECT,
        ),
        ("below itself", rename(PEOPLE, "ou=people", true, Some(ANNA)), ResultCode::UNWILLING_TO_PERFORM),
        ("to itself", rename(PEOPLE, "ou=people", true, Some(PEOPLE)), ResultCode::UNWILLING_TO_PERFORM),
        ("a naming context", rename(SUFFIX, "dc=other", true, None), ResultCode::UNWILLING_TO_PERFORM),
        ("required value lost", rename(ANNA, "description=x", true, None), ResultCode::SUCCESS),
        (
            "unknown attribute",
            rename("description=x,ou=people,dc=harbourlane,dc=example", "nonesuch=y", false, None),
            ResultCode::INVALID_DN_SYNTAX,
        ),
        (
            "attribute not allowed",
            rename("description=x,ou=people,dc=harbourlane,dc=example", "dc=y", false, None),
            ResultCode::OBJECT_CLASS_VIOLATION,
        ),
        (
            "back",
            rename("description=x,ou=people,dc=harbourlane,dc=example", "uid=anna", true, None),
            ResultCode::SUCCESS,
        ),
        ("to what it is called", rename(ANNA, "UID=ANNA", false, None), ResultCode::SUCCESS),
        (
            "the old value stays",
            rename("uid=bert,ou=people,dc=harbourlane,dc=example", "uid=berta", false, None),
            ResultCode::SUCCESS,
        ),
        (
            "a subtree moves",
            rename(PEOPLE, "ou=crew", true, Some("ou=groups,dc=harbourlane,dc=example")),
            ResultCode::SUCCESS,
        ),
    ];
    for (what, op, want) in table {
        let outcome = ask(&store, op, Actor::Service).await.unwrap();
        assert_eq!(outcome.result.code, want, "{what}: {outcome:?}");
    }
    let (names, _) = find(&store, subtree("(uid=*)"), Actor::Service).await;
    let crew = "ou=crew,ou=groups,dc=harbourlane,dc=example";
    assert_eq!(names, [format!("UID=ANNA,{crew}"), format!("uid=berta,{crew}"), format!("uid=cleo,{crew}")]);
    let berta = read(&store, &format!("uid=berta,{crew}")).await.unwrap();
    let uids: Vec<_> = berta.attributes().get("uid").unwrap().values().collect();
    assert_eq!(uids, [b"bert".as_slice(), b"berta"]);
    assert_eq!(read(&store, crew).await.unwrap().text("ou"), Some("crew"));
    assert!(read(&store, PEOPLE).await.is_none());
    assert_eq!(
        read(&store, "ou=groups,dc=harbourlane,dc=example").await.unwrap().text("hasSubordinates"),
        Some("TRUE")
    );
}

#[tokio::test]
async fn compare_answers() {
    let store = small().await;
    let compare = |name: &str, attribute_name: &str, value: &str| Compare {
        dn: dn(name),
        attribute: attribute(attribute_name),
        value: Bytes::copy_from_slice(value.as_bytes()),
    };
    let table = [
        (compare(ANNA, "cn", "ANNA  quay"), ResultCode::COMPARE_TRUE),
        (compare(ANNA, "cn", "bert"), ResultCode::COMPARE_FALSE),
        (compare(ANNA, "name", "quay"), ResultCode::COMPARE_TRUE),
        (compare(ANNA, "description", "x"), ResultCode::NO_SUCH_ATTRIBUTE),
        (compare(ANNA, "nonesuch", "x"), ResultCode::UNDEFINED_ATTRIBUTE_TYPE),
        (compare(ANNA, "userPassword", "x"), ResultCode::INSUFFICIENT_ACCESS_RIGHTS),
        (compare("uid=x,dc=harbourlane,dc=example", "cn", "x"), ResultCode::NO_SUCH_OBJECT),
        (compare("", "vendorName", "FLEXT-LDAP"), ResultCode::COMPARE_TRUE),
        (compare("", "supportedLDAPVersion", "3"), ResultCode::INAPPROPRIATE_MATCHING),
        (compare(ANNA, "entryDN", ANNA), ResultCode::COMPARE_TRUE),
    ];
    for (op, want) in table {
        assert_eq!(code(&store, op.clone()).await, want, "{op:?}");
    }
}

#[tokio::test]
async fn controls() {
    let store = small().await;
    let title = |value: &str| modify(ANNA, vec![change(ChangeKind::Replace, "title", &[value])]);
    let call = |request: Request<Modify>| store.call(request.into_any()).outcome();

    let false_one = Request::new(title("x"), Actor::Service).critical(&Assertion(filter("(title=y)")));
    assert_eq!(call(false_one).await.unwrap().result.code, ResultCode::ASSERTION_FAILED);
    let secret = Request::new(title("x"), Actor::Service).critical(&Assertion(filter("(!(userPassword=*))")));
    assert_eq!(call(secret).await.unwrap().result.code, ResultCode::ASSERTION_FAILED);
    let true_one = Request::new(title("x"), Actor::Service).critical(&Assertion(filter("(uid=anna)")));
    assert_eq!(call(true_one).await.unwrap().result.code, ResultCode::SUCCESS);

    let both = Request::new(title("y"), Actor::Service)
        .critical(&PreRead(Selection::from(["title"])))
        .critical(&PostRead(Selection::from(["title", "entryDN"])));
    let outcome = call(both).await.unwrap();
    let read = |oid| {
        let value =
            outcome.controls.iter().find(|control| control.oid == oid).unwrap().value.clone().unwrap();
        ReadEntry::decode(&mut Reader::new(&value), &Limits::DEFAULT).unwrap().0
    };
    let (before, after) = (read(PreRead::OID), read(PostRead::OID));
    assert_eq!((before.text("title"), after.text("title")), (Some("x"), Some("y")));
    assert_eq!((before.text("entryDN"), after.text("entryDN")), (None, Some(ANNA)));
    assert_eq!(after.dn_str(), ANNA);

    let mut unknown = Request::new(title("z"), Actor::Service);
    let oid = "1.2.3.4".parse().unwrap();
    unknown.controls.push_raw(Control { oid, critical: true, value: None });
    assert_eq!(call(unknown.clone()).await.unwrap().result.code, ResultCode::UNAVAILABLE_CRITICAL_EXTENSION);
    let mut malformed = Request::new(title("z"), Actor::Service);
    malformed.controls.push_raw(Control {
        oid: Assertion::OID,
        critical: true,
        value: Some(Bytes::from_static(b"\x30\x05")),
    });
    assert_eq!(call(malformed).await.unwrap().result.code, ResultCode::PROTOCOL_ERROR);
    let mut optional = Request::new(title("z"), Actor::Service);
    let oid = "1.2.3.4".parse().unwrap();
    optional.controls.push_raw(Control { oid, critical: false, value: None });
    assert_eq!(call(optional).await.unwrap().result.code, ResultCode::SUCCESS);
}

#[tokio::test]
async fn referral_objects() {
    let store = small().await;
    let object = format!("ou=branch,{SUFFIX}");
    add_branch(&store, &object).await;

    let below = modify(&format!("uid=x,{object}"), vec![]);
    let outcome = ask(&store, below, Actor::Service).await.unwrap();
    assert_eq!(outcome.result.code, ResultCode::REFERRAL);
    assert_eq!(outcome.result.referrals, ["ldap://branch.example/uid=x,ou=branch,dc=far,dc=example"]);

    let mut reply = store.call(Request::new(subtree("(uid=anna)"), Actor::Service).into_any());
    let mut references = Vec::new();
    let mut found = 0;
    while let flext_ldap_directory::Event::Batch(batch) = reply.next().await.unwrap() {
        for item in batch.iter() {
            match item.get() {
                flext_ldap_proto::batch::Item::Reference(urls) => {
                    references.extend(urls.into_iter().map(str::to_owned))
                }
                _ => found += 1,
            }
        }
    }
    assert_eq!(
        (found, references),
        (1, vec!["ldap://branch.example/ou=branch,dc=far,dc=example".to_owned()])
    );

    let search = Search::new(dn(&object), Scope::Base, Filter::any());
    let plain = store.call(Request::new(search.clone(), Actor::Service).into_any()).outcome().await.unwrap();
    assert_eq!(plain.result.code, ResultCode::REFERRAL);
    let managed = Request::new(search, Actor::Service).critical(&ManageDsaIt);
    assert_eq!(store.call(managed.into_any()).outcome().await.unwrap().result.code, ResultCode::SUCCESS);
}

#[tokio::test]
async fn writes_of_many_share_commits_and_all_are_there() {
    let store = small().await;
    let before = store.counters();
    let writes = (0..200).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { code(&store, person(&format!("crew{number}"))).await })
    });
    for write in writes.collect::<Vec<_>>() {
        assert_eq!(write.await.unwrap(), ResultCode::SUCCESS);
    }
    let after = store.counters();
    assert_eq!(after.writes - before.writes, 200);
    assert!(after.commits - before.commits <= 200);
    assert_eq!(find(&store, subtree("(uid=crew*)"), Actor::Service).await.0.len(), 200);
    // Numbers are given in commit order.
    let context = read(&store, SUFFIX).await.unwrap().text("contextCSN").unwrap().to_owned();
    let (entries, _) = entries(&store, subtree("(uid=crew*)").attributes(["entryCSN"]), Actor::Service).await;
    let mut numbers: Vec<_> =
        entries.iter().map(|entry| entry.text("entryCSN").unwrap().to_owned()).collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 200);
    assert_eq!(numbers.last(), Some(&context));
}

#[tokio::test]
async fn a_write_whose_deadline_has_passed_is_not_done() {
    let store = small().await;
    let request = Request::new(person("late"), Actor::Service).within(Duration::ZERO).into_any();
    let error = store.call(request).outcome().await.unwrap_err();
    assert_eq!(error.kind(), flext_ldap_directory::ErrorKind::Timeout);
    // Another write is behind it in the queue, so it has been looked at.
    ok(&store, person("later")).await;
    assert!(read(&store, "uid=late,ou=people,dc=harbourlane,dc=example").await.is_none());
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let store = small().await;
    store.close();
    let error = ask(&store, person("late"), Actor::Service).await.unwrap_err();
    assert_eq!(error.kind(), flext_ldap_directory::ErrorKind::Closed);
    assert!(Store::open(options()).is_ok());
}

#[tokio::test]
async fn what_the_directory_sets_is_no_part_of_a_name() {
    let store = small().await;
    let lines = ["objectClass: person", "cn: y", "sn: y"];
    let naming = ResultCode::NAMING_VIOLATION;
    for rdn in [
        "cn=y+creatorsName=cn\\=forged",
        "cn=y+entryUUID=12345678-1234-1234-1234-123456789012",
        "cn=y+2.5.18.1=20200101000000Z",
        "cn=y+userPassword=x",
    ] {
        assert_eq!(code(&store, entry(&format!("{rdn},{SUFFIX}"), &lines)).await, naming, "{rdn}");
        let anna = format!("uid=anna,ou=people,{SUFFIX}");
        assert_eq!(code(&store, rename(&anna, rdn, false, None)).await, naming, "{rdn}");
    }
}

#[tokio::test]
async fn a_move_makes_no_name_that_cannot_be_asked_for() {
    let store = small().await;
    let mut ends = Vec::new();
    // Two chains; together they would have too many parts, or be too long.
    let five = "+l=1+st=1+street=1+description=1";
    for (levels, letters, rest) in [(104, ["a", "b"], five.to_owned()), (17, ["c", "d"], "x".repeat(2_000))] {
        for letter in letters {
            let mut at = SUFFIX.to_owned();
            for level in 0..levels {
                at = format!("ou={letter}{level}{rest},{at}");
                ok(&store, entry(&at, &["objectClass: organizationalUnit"])).await;
            }
            ends.push(at);
        }
        let end = &ends[ends.len() - 2];
        let rdn = format!("ou={}0{rest}", letters[1]);
        let answer = code(&store, rename(&format!("{rdn},{SUFFIX}"), &rdn, true, Some(end))).await;
        assert_eq!(answer, ResultCode::NAMING_VIOLATION, "{levels} levels");
        let (names, outcome) = find(&store, subtree("(objectClass=*)"), Actor::Service).await;
        assert_eq!(outcome.result.code, ResultCode::SUCCESS);
        assert!(names.iter().all(|name| name.parse::<flext_ldap_proto::dn::Dn>().is_ok()));
    }
    // A longer name for what is above, without a move.
    let long = format!("ou={}", "y".repeat(40_000));
    let top = format!("ou=d0{},{SUFFIX}", "x".repeat(2_000));
    assert_eq!(code(&store, rename(&top, &long, true, None)).await, ResultCode::NAMING_VIOLATION);
}

#[tokio::test]
async fn a_name_spelt_short_does_not_grow_beyond_bounds_below_one_spelt_long() {
    let store = small().await;
    // Each octet is written as three; asked for, it is one.
    let (mut short, mut last) = (SUFFIX.to_owned(), ResultCode::SUCCESS);
    for level in 0..5 {
        let long = format!("ou={level}{},{short}", "\\78".repeat(4_500));
        last = code(&store, entry(&long, &["objectClass: organizationalUnit"])).await;
        short = format!("ou={level}{},{short}", "x".repeat(4_500));
    }
    assert_eq!(last, ResultCode::NAMING_VIOLATION);
    // And writing goes on.
    assert_eq!(code(&store, person("eve")).await, ResultCode::SUCCESS);
}
