//! Referential integrity: names of deleted and renamed entries where others refer to them.

use bytes::Bytes;
use flext_ldap_directory::{Actor, Directory, Op, Request};
use flext_ldap_proto::{
    message::{Change, ChangeKind, Delete, Modify, Rename},
    result::ResultCode,
};
use flext_ldap_store::{ImportOptions, Limits, ReferentialIntegrity, Store};

use crate::support::*;

const ANNA: &str = "uid=anna,ou=people,dc=harbourlane,dc=example";
const BERT: &str = "uid=bert,ou=people,dc=harbourlane,dc=example";
const CLEO: &str = "uid=cleo,ou=people,dc=harbourlane,dc=example";
const PEOPLE: &str = "ou=people,dc=harbourlane,dc=example";
const STAFF: &str = "cn=staff,ou=groups,dc=harbourlane,dc=example";

fn group(name: &str, class: &str, attribute: &str, members: &[&str]) -> Op {
    let mut lines = vec![format!("objectClass: {class}")];
    lines.extend(members.iter().map(|member| format!("{attribute}: {member}")));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    entry(&format!("cn={name},ou=groups,{SUFFIX}"), &lines).into()
}

fn set(name: &str, attribute_name: &str, values: &[&str]) -> Modify {
    let values = values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect();
    Modify {
        dn: dn(name),
        changes: vec![Change { kind: ChangeKind::Replace, attribute: attribute(attribute_name), values }],
    }
}

fn rename(name: &str, rdn: &str, superior: Option<&str>) -> Rename {
    Rename {
        dn: dn(name),
        new_rdn: rdn.parse().unwrap(),
        delete_old_rdn: true,
        new_superior: superior.map(dn),
    }
}

async fn values(store: &Store, name: &str, attribute: &str) -> Vec<String> {
    let entry = read(store, name).await.unwrap();
    let mut values: Vec<String> = entry.attributes().get(attribute).map_or_else(Vec::new, |one| {
        one.values().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
    });
    values.sort();
    values
}

/// Groups of both kinds, a manager, an owner, and one that is not followed.
async fn referring() -> Store {
    let store = small().await;
    ok(&store, group("staff", "groupOfNames", "member", &[ANNA, BERT])).await;
    ok(
        &store,
        group(
            "crew",
            "groupOfUniqueNames",
            "uniqueMember",
            &["UID=Anna, ou=people,dc=harbourlane,dc=example", BERT],
        ),
    )
    .await;
    ok(&store, set(BERT, "manager", &[ANNA])).await;
    ok(&store, set(ANNA, "manager", &[ANNA])).await;
    ok(&store, set(STAFF, "owner", &[ANNA])).await;
    ok(&store, set(STAFF, "seeAlso", &[ANNA])).await;
    store
}

#[tokio::test]
async fn a_deleted_entry_is_referred_to_no_more() {
    let store = referring().await;
    let (before, csn) = (store.counters().writes, read(&store, STAFF).await.unwrap());
    ok(&store, Delete { dn: dn(ANNA) }).await;
    // The entry, the two groups and the report: each has a row of its own in the change log.
    assert_eq!(store.counters().writes - before, 4);
    assert_eq!(values(&store, STAFF, "member").await, [BERT]);
    assert_eq!(values(&store, STAFF, "owner").await, [""; 0]);
    assert_eq!(values(&store, STAFF, "seeAlso").await, [ANNA]);
    assert_eq!(values(&store, &format!("cn=crew,ou=groups,{SUFFIX}"), "uniqueMember").await, [BERT]);
    assert_eq!(values(&store, BERT, "manager").await, [""; 0]);
    let after = read(&store, STAFF).await.unwrap();
    assert!(after.text("entryCSN").unwrap() > csn.text("entryCSN").unwrap());
    // The indexes know.
    for text in [format!("(member={ANNA})"), format!("(uniqueMember={ANNA})"), format!("(manager={ANNA})")] {
        assert_eq!(find(&store, subtree(&text), Actor::Service).await.0, [""; 0], "{text}");
    }
    assert_eq!(find(&store, subtree(&format!("(member={BERT})")), Actor::Service).await.0, [STAFF]);
}

#[tokio::test]
async fn a_renamed_entry_is_referred_to_by_its_new_name() {
    let store = referring().await;
    ok(&store, rename(ANNA, "uid=anne", None)).await;
    let anne = format!("uid=anne,{PEOPLE}");
    assert_eq!(values(&store, STAFF, "member").await, [anne.as_str(), BERT]);
    assert_eq!(values(&store, STAFF, "owner").await, [anne.as_str()]);
    assert_eq!(values(&store, BERT, "manager").await, [anne.as_str()]);
    // Of itself.
    assert_eq!(values(&store, &anne, "manager").await, [anne.as_str()]);
    let text = format!("(uniqueMember={anne})");
    assert_eq!(find(&store, subtree(&text), Actor::Service).await.0, [format!("cn=crew,ou=groups,{SUFFIX}")]);
    // Another spelling is the same name.
    let before = store.counters().writes;
    ok(&store, rename(&anne, "UID=Anne", None)).await;
    assert_eq!(store.counters().writes - before, 1);
    assert_eq!(values(&store, BERT, "manager").await, [anne.as_str()]);
}

#[tokio::test]
async fn what_stands_below_a_renamed_entry_is_followed_too() {
    let store = referring().await;
    let before = store.counters().writes;
    ok(&store, rename(PEOPLE, "ou=crew", None)).await;
    // The unit, two groups, and two reports; a group that refers to two of them is changed once.
    assert_eq!(store.counters().writes - before, 5);
    let moved = |uid: &str| format!("uid={uid},ou=crew,{SUFFIX}");
    assert_eq!(values(&store, STAFF, "member").await, [moved("anna"), moved("bert")]);
    assert_eq!(values(&store, &moved("bert"), "manager").await, [moved("anna")]);
    assert_eq!(values(&store, &moved("anna"), "manager").await, [moved("anna")]);
    let text = format!("(member={})", moved("bert"));
    assert_eq!(find(&store, subtree(&text), Actor::Service).await.0, [STAFF]);
    // To another parent, and back: what referred before refers again.
    ok(&store, rename(&format!("ou=crew,{SUFFIX}"), "ou=people", Some(&format!("ou=groups,{SUFFIX}")))).await;
    let deep = format!("uid=anna,ou=people,ou=groups,{SUFFIX}");
    assert_eq!(values(&store, STAFF, "owner").await, [deep.as_str()]);
}

#[tokio::test]
async fn a_group_that_needs_members_is_left_with_nobody() {
    let store = small().await;
    ok(&store, group("staff", "groupOfNames", "member", &[ANNA, BERT])).await;
    ok(&store, Delete { dn: dn(ANNA) }).await;
    ok(&store, Delete { dn: dn(BERT) }).await;
    assert_eq!(values(&store, STAFF, "member").await, ["cn=nobody"]);
    // It is as right as before: it can be changed.
    ok(&store, set(STAFF, "description", &["empty"])).await;
    let named = ReferentialIntegrity::default().placeholder(dn("cn=vacant"));
    let store = Store::open(options().referential_integrity(Some(named))).unwrap();
    fill(&store).await;
    ok(&store, group("staff", "groupOfNames", "member", &[ANNA])).await;
    ok(&store, Delete { dn: dn(ANNA) }).await;
    assert_eq!(values(&store, STAFF, "member").await, ["cn=vacant"]);
}

/// A group both of whose members go in one commit, with a write in between.
#[tokio::test]
async fn within_one_commit() {
    let store = referring().await;
    let commits = store.counters().commits;
    let actor = || Actor::Service;
    let replies = [
        store.call(Request::new(group("late", "groupOfNames", "member", &[ANNA, BERT, CLEO]), actor())),
        store.call(Request::new(Delete { dn: dn(ANNA) }.into(), actor())),
        store.call(Request::new(rename(BERT, "uid=bart", None).into(), actor())),
        store.call(Request::new(Delete { dn: dn(CLEO) }.into(), actor())),
    ];
    let [a, b, c, d] = replies.map(|reply| reply.outcome());
    let outcomes = tokio::join!(a, b, c, d);
    for outcome in [outcomes.0, outcomes.1, outcomes.2, outcomes.3] {
        assert_eq!(outcome.unwrap().result.code, ResultCode::SUCCESS);
    }
    assert!(store.counters().commits > commits);
    assert_eq!(
        values(&store, &format!("cn=late,ou=groups,{SUFFIX}"), "member").await,
        [format!("uid=bart,{PEOPLE}")]
    );
    // An import is one commit for certain.
    let changes = format!(
        "dn: cn=new,ou=groups,{SUFFIX}\nchangetype: add\nobjectClass: groupOfNames\nmember: uid=bart,{PEOPLE}\n\
         member: uid=dora,{PEOPLE}\n\n\
         dn: uid=dora,{PEOPLE}\nchangetype: add\nobjectClass: account\n\n\
         dn: uid=dora,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=dana\ndeleteoldrdn: 1\n\n\
         dn: uid=bart,{PEOPLE}\nchangetype: delete\n\n"
    );
    let commits = store.counters().commits;
    store.import(changes.as_bytes(), &ImportOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(store.counters().commits - commits, 1);
    assert_eq!(
        values(&store, &format!("cn=new,ou=groups,{SUFFIX}"), "member").await,
        [format!("uid=dana,{PEOPLE}")]
    );
}

#[tokio::test]
async fn limits_and_nothing_done() {
    let mut limits = Limits::default();
    limits.references = 2;
    limits.renamed = 3;
    let store = Store::open(options().limits(limits)).unwrap();
    fill(&store).await;
    for name in ["a", "b", "c"] {
        ok(&store, group(name, "groupOfNames", "member", &[ANNA])).await;
    }
    let too_many = ResultCode::ADMIN_LIMIT_EXCEEDED;
    let before = store.counters().writes;
    assert_eq!(code(&store, Delete { dn: dn(ANNA) }).await, too_many);
    // The unit and three people.
    assert_eq!(code(&store, rename(PEOPLE, "ou=crew", None)).await, too_many);
    assert_eq!(store.counters().writes, before);
    assert!(read(&store, ANNA).await.is_some());
    ok(&store, Delete { dn: dn(&format!("cn=a,ou=groups,{SUFFIX}")) }).await;
    ok(&store, Delete { dn: dn(CLEO) }).await;
    ok(&store, rename(PEOPLE, "ou=crew", None)).await;
    assert_eq!(
        values(&store, &format!("cn=b,ou=groups,{SUFFIX}"), "member").await,
        [format!("uid=anna,ou=crew,{SUFFIX}")]
    );
}

#[tokio::test]
async fn switched_off_and_of_other_attributes() {
    let store = Store::open(options().referential_integrity(None)).unwrap();
    fill(&store).await;
    ok(&store, group("staff", "groupOfNames", "member", &[ANNA])).await;
    ok(&store, Delete { dn: dn(ANNA) }).await;
    assert_eq!(values(&store, STAFF, "member").await, [ANNA]);

    let some = ReferentialIntegrity::of(["seeAlso"]);
    let store = Store::open(options().referential_integrity(Some(some))).unwrap();
    fill(&store).await;
    ok(&store, group("staff", "groupOfNames", "member", &[ANNA])).await;
    ok(&store, set(STAFF, "seeAlso", &[ANNA, BERT])).await;
    ok(&store, Delete { dn: dn(ANNA) }).await;
    assert_eq!(values(&store, STAFF, "member").await, [ANNA]);
    assert_eq!(values(&store, STAFF, "seeAlso").await, [BERT]);
    for (name, want) in [
        ("cn", "referential integrity: values of attribute `cn` are not names"),
        ("secretary", "referential integrity: attribute `secretary` has no index for equality; add one"),
        ("nonesuch", "referential integrity: attribute `nonesuch` is not defined"),
    ] {
        let error =
            Store::open(options().referential_integrity(Some(ReferentialIntegrity::of([name])))).unwrap_err();
        assert_eq!(error.to_string(), want);
    }
}

#[tokio::test]
async fn references_that_must_lead_somewhere() {
    let strict = ReferentialIntegrity::default().must_exist();
    let store = Store::open(options().referential_integrity(Some(strict))).unwrap();
    fill(&store).await;
    let refused = ResultCode::CONSTRAINT_VIOLATION;
    let nobody = format!("uid=nobody,{PEOPLE}");
    assert_eq!(code(&store, group("staff", "groupOfNames", "member", &[&nobody])).await, refused);
    ok(&store, group("staff", "groupOfNames", "member", &[ANNA, "cn=elsewhere", STAFF])).await;
    assert_eq!(code(&store, set(STAFF, "member", &[ANNA, &nobody])).await, refused);
    ok(&store, set(STAFF, "member", &[BERT])).await;
    ok(&store, Delete { dn: dn(BERT) }).await;
    assert_eq!(values(&store, STAFF, "member").await, ["cn=nobody"]);
}
