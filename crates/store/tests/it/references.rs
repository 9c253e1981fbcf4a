//! Referential integrity: names of deleted and renamed entries where others refer to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    task::Poll,
};

use bytes::Bytes;
use flext_ldap_directory::{Actor, Directory, Op, Request};
use flext_ldap_proto::{
    message::{Change, ChangeKind, Delete, Modify},
    result::ResultCode,
};
use flext_ldap_store::{ImportOptions, Limits, ReferentialIntegrity, Store};
use proptest::prelude::*;

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

/// What is done to people, where they are, and who is in which group.
#[derive(Clone, Debug)]
enum Step {
    Add(u8),
    Delete(u8),
    Rename(u8, u8),
    RenameUnit(u8),
    Join(u8, u8),
    Leave(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5_u8).prop_map(Step::Add),
        2 => (0..5_u8).prop_map(Step::Delete),
        3 => (0..5_u8, 0..5_u8).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => (0..3_u8).prop_map(Step::RenameUnit),
        6 => (0..3_u8, 0..5_u8).prop_map(|(group, who)| Step::Join(group, who)),
        2 => (0..3_u8, 0..5_u8).prop_map(|(group, who)| Step::Leave(group, who)),
    ]
}

/// The unit's name, who there is by name, and members of each group: people, whatever they are called.
#[derive(Default)]
struct Model {
    unit: u8,
    people: BTreeMap<u8, u32>,
    groups: [BTreeSet<u32>; 3],
    next: u32,
}

impl Model {
    fn person(&self, name: u8) -> String {
        format!("uid=p{name},ou=u{},{SUFFIX}", self.unit)
    }

    /// What is asked, and whether it is done.
    fn play(&mut self, step: &Step) -> (Op, bool) {
        let member = |group: u8, kind, who: String| -> Op {
            let values = vec![Bytes::from(who)];
            let changes = vec![Change { kind, attribute: attribute("member"), values }];
            Modify { dn: dn(&format!("cn=g{group},ou=groups,{SUFFIX}")), changes }.into()
        };
        match step {
            Step::Add(name) => {
                let op = entry(&self.person(*name), &["objectClass: account"]).into();
                let new = !self.people.contains_key(name);
                if new {
                    self.people.insert(*name, self.next);
                    self.next += 1;
                }
                (op, new)
            }
            Step::Delete(name) => {
                let op = Delete { dn: dn(&self.person(*name)) }.into();
                let gone = self.people.remove(name);
                for group in &mut self.groups {
                    group.retain(|id| Some(*id) != gone);
                }
                (op, gone.is_some())
            }
            Step::Rename(from, to) => {
                let op = rename(&self.person(*from), &format!("uid=p{to}"), None).into();
                let done = self.people.contains_key(from) && (from == to || !self.people.contains_key(to));
                if done && let Some(id) = self.people.remove(from) {
                    self.people.insert(*to, id);
                }
                (op, done)
            }
            Step::RenameUnit(to) => {
                let op = rename(&format!("ou=u{},{SUFFIX}", self.unit), &format!("ou=u{to}"), None).into();
                self.unit = *to;
                (op, true)
            }
            Step::Join(group, who) => {
                let op = member(*group, ChangeKind::Add, self.person(*who));
                let Some(id) = self.people.get(who) else {
                    return (member(*group, ChangeKind::Add, "no name".into()), false);
                };
                (op, self.groups[usize::from(*group)].insert(*id))
            }
            Step::Leave(group, who) => {
                let op = member(*group, ChangeKind::Delete, self.person(*who));
                (op, self.people.get(who).is_some_and(|id| self.groups[usize::from(*group)].remove(id)))
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happens to people, several things in one commit, groups name those who are there, and they their groups.
    #[test]
    fn groups_and_people_agree(steps in prop::collection::vec(step(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let store = Store::open(options()).unwrap();
            fill(&store).await;
            ok(&store, entry(&format!("ou=u0,{SUFFIX}"), &["objectClass: organizationalUnit"])).await;
            for name in ["g0", "g1", "g2"] {
                ok(&store, group(name, "groupOfNames", "member", &["cn=founder"])).await;
            }
            let mut model = Model::default();
            for some in steps.chunks(5) {
                let mut waiting = Vec::new();
                for step in some {
                    let (op, done) = model.play(step);
                    let mut reply = Box::pin(store.call(Request::new(op, Actor::Service)).outcome());
                    // The first poll hands the write over, so that they are done in this order.
                    let early = std::future::poll_fn(|cx| Poll::Ready(reply.as_mut().poll(cx))).await;
                    waiting.push((step, done, early, reply));
                }
                for (step, done, early, reply) in waiting {
                    let outcome = match early {
                        Poll::Ready(outcome) => outcome,
                        Poll::Pending => reply.await,
                    };
                    let code = outcome.unwrap().result.code;
                    assert_eq!(code == ResultCode::SUCCESS, done, "{step:?}: {code}");
                }
            }
            for (number, members) in model.groups.iter().enumerate() {
                let group = format!("cn=g{number},ou=groups,{SUFFIX}");
                let of = |name: &u8| model.people.get(name).is_some_and(|id| members.contains(id));
                let mut people: Vec<String> =
                    model.people.keys().filter(|name| of(name)).map(|name| model.person(*name)).collect();
                assert_eq!(find(&store, subtree(&format!("(memberOf={group})")), Actor::Service).await.0, people);
                people.insert(0, "cn=founder".to_owned());
                assert_eq!(values(&store, &group, "member").await, people);
            }
            for (name, id) in &model.people {
                let person = model.person(*name);
                let groups: Vec<String> = (0..3)
                    .filter(|number| model.groups[*number].contains(id))
                    .map(|number| format!("cn=g{number},ou=groups,{SUFFIX}"))
                    .collect();
                assert_eq!(values(&store, &person, "memberOf").await, groups);
                assert_eq!(find(&store, subtree(&format!("(member={person})")), Actor::Service).await.0, groups);
            }
        });
    }
}
