//! What must not be read is not told by any other way of asking.

use bytes::Bytes;
use flext_ldap_directory::{Actor, Directory, Event, Request};
use flext_ldap_proto::{
    attribute::Selection,
    control::{Assertion, PostRead, PreRead, ReadEntry},
    extended::{ExtendedOperation, PasswordModify},
    message::{ChangeKind, Compare, Scope, Search},
    result::ResultCode,
    secret::Secret,
};
use flext_ldap_store::{PasswordPolicy, QualityCheck};

use super::*;

/// `employeeNumber` and `manager` are for the help desk; the unit of groups is nobody's business.
const YAML: &str = "
- to: {subtree: 'ou=groups,dc=harbourlane,dc=example'}
  allow: []
- to: {attributes: [employeeNumber, manager]}
  allow: ['group cn=help desk,ou=groups,dc=harbourlane,dc=example': read]
- to: {attributes: [title]}
  allow: [users: [write]]
- to: {attributes: [street]}
  allow: [users: search]
- to: {attributes: [l]}
  allow: [users: compare]
- allow: [users: read]
";

async fn guarded() -> Store {
    let store = under(YAML).await;
    for (name, value) in [("employeeNumber", "4711"), ("street", "Quay 1"), ("l", "Harbour")] {
        ok(&store, change(BERT, ChangeKind::Replace, name, &[value])).await;
    }
    store
}

#[tokio::test]
async fn filters() {
    let store = guarded().await;
    for text in [
        "(employeeNumber=*)",
        "(employeeNumber=4711)",
        "(employeeNumber=47*)",
        "(employeeNumber>=1)",
        "(employeeNumber~=4711)",
        "(!(employeeNumber=4711))",
        "(!(employeeNumber=*))",
        "(employeeNumber;x-a=4711)",
        "(2.16.840.1.113730.3.1.3=4711)",
        "(employeeNumber:caseIgnoreMatch:=4711)",
        "(:caseIgnoreMatch:=4711)",
        "(manager=uid=cleo,ou=people,dc=harbourlane,dc=example)",
        "(!(manager=uid=cleo,ou=people,dc=harbourlane,dc=example))",
        "(distinguishedName=uid=cleo,ou=people,dc=harbourlane,dc=example)",
        "(&(uid=bert)(employeeNumber=4711))",
        "(&(uid=bert)(!(employeeNumber=4711)))",
        "(&(uid=bert)(|(employeeNumber=4711)(employeeNumber=4712)))",
    ] {
        assert_eq!(find(&store, subtree(text), user(CLEO)).await.0.len(), 0, "{text}");
    }
    // The help desk may.
    assert_eq!(find(&store, subtree("(employeeNumber=47*)"), user(ANNA)).await.0, [BERT]);
    // To search is not to read, and to compare is not to search.
    assert_eq!(find(&store, subtree("(street=quay 1)"), user(CLEO)).await.0, [BERT]);
    assert_eq!(find(&store, subtree("(l=harbour)"), user(CLEO)).await.0.len(), 0);
}

#[tokio::test]
async fn values_and_comparisons() {
    let store = guarded().await;
    for selection in
        [vec![], vec!["*", "+"], vec!["employeeNumber"], vec!["@inetOrgPerson"], vec!["manager;x-a"]]
    {
        let search = subtree("(uid=bert)").attributes(selection.iter().collect::<Selection>());
        let (found, _) = entries(&store, search, user(CLEO)).await;
        for name in ["employeeNumber", "manager", "street", "l"] {
            assert!(found[0].attributes().get(name).is_none(), "{name}");
        }
    }
    let compare = |name: &str, value: &'static str| Compare {
        dn: dn(BERT),
        attribute: attribute(name),
        value: Bytes::from_static(value.as_bytes()),
    };
    let code = async |op, actor| ask(&store, op, actor).await.unwrap().result.code;
    for value in ["4711", "4712"] {
        let denied = code(compare("employeeNumber", value), user(CLEO)).await;
        assert_eq!(denied, ResultCode::INSUFFICIENT_ACCESS_RIGHTS);
    }
    assert_eq!(code(compare("l", "harbour"), user(CLEO)).await, ResultCode::COMPARE_TRUE);
    assert_eq!(code(compare("employeeNumber", "4711"), user(ANNA)).await, ResultCode::COMPARE_TRUE);
}

/// Assertions (RFC 4528) and entries read before and after a change (RFC 4527).
#[tokio::test]
async fn controls() {
    let store = guarded().await;
    let modify = || change(BERT, ChangeKind::Replace, "title", &["x"]);
    for (text, want) in [
        ("(employeeNumber=4711)", ResultCode::ASSERTION_FAILED),
        ("(!(employeeNumber=4711))", ResultCode::ASSERTION_FAILED),
        ("(street=quay 1)", ResultCode::SUCCESS),
    ] {
        let request = Request::new(modify(), user(CLEO)).critical(&Assertion(filter(text)));
        let outcome = Directory::call(&store, request.into_any()).outcome().await.unwrap();
        assert_eq!(outcome.result.code, want, "{text}");
    }
    let everything = || Selection::everything();
    let request =
        Request::new(modify(), user(CLEO)).critical(&PreRead(everything())).critical(&PostRead(everything()));
    let outcome = Directory::call(&store, request.into_any()).outcome().await.unwrap();
    assert_eq!(outcome.result.code, ResultCode::SUCCESS);
    let mut read = 0;
    for control in outcome.controls.iter() {
        let mut reader = flext_ldap_proto::ber::Reader::new(control.value.as_ref().unwrap());
        let ReadEntry(entry) =
            ReadEntry::decode(&mut reader, &flext_ldap_proto::message::Limits::DEFAULT).unwrap();
        read += 1;
        assert_eq!(entry.text("sn"), Some("Quay"));
        for name in ["employeeNumber", "manager", "street", "l"] {
            assert!(entry.attributes().get(name).is_none(), "{name}");
        }
    }
    assert_eq!(read, 2);
}

/// Where an entry must not be known, nothing tells it from one that is not there.
#[tokio::test]
async fn names() {
    let store = guarded().await;
    let below = |name: &str| format!("{name},ou=groups,{SUFFIX}");
    for actor in [user(CLEO), Actor::Anonymous] {
        let mut answers = Vec::new();
        for name in [below("cn=help desk"), below("cn=nothing")] {
            let search = Search::new(dn(&name), Scope::Base, filter("(objectClass=*)"));
            let (found, outcome) = find(&store, search, actor.clone()).await;
            assert_eq!(found.len(), 0);
            let mut answer = vec![outcome.result];
            let ops: Vec<Op> = vec![
                Compare { dn: dn(&name), attribute: attribute("cn"), value: Bytes::from_static(b"x") }.into(),
                change(&name, ChangeKind::Add, "description", &["x"]).into(),
                Delete { dn: dn(&name) }.into(),
                rename(&name, "cn=y", None).into(),
                entry(&name, &["objectClass: groupOfNames", "cn: x", "member: cn=x"]).into(),
                entry(&format!("cn=x,{name}"), &["objectClass: groupOfNames", "cn: x", "member: cn=x"])
                    .into(),
                rename(BERT, "uid=bert", Some(&name)).into(),
            ];
            for op in ops {
                answer.push(ask(&store, op, actor.clone()).await.unwrap().result);
            }
            answers.push(answer);
        }
        assert_eq!(answers[0], answers[1], "{actor:?}");
        let known = if actor == Actor::Anonymous { "" } else { SUFFIX };
        assert_eq!(answers[0][0].matched_dn, known);
        assert_eq!(answers[0][0].code, ResultCode::NO_SUCH_OBJECT);
    }
    for scope in [Scope::One, Scope::Subtree, Scope::Children] {
        let all = Search::new(dn(SUFFIX), scope, filter("(|(objectClass=*)(!(objectClass=*)))"));
        let (found, _) = find(&store, all, user(CLEO)).await;
        assert!(!found.is_empty());
        assert!(found.iter().all(|name| !name.contains("ou=groups")), "{scope:?} {found:?}");
    }
}

/// The right to write passwords is none to learn whose there are: neither by Password Modify nor by what a modify of a
/// password is held to.
#[tokio::test]
async fn passwords_of_hidden_entries_are_those_of_nobody() {
    let yaml = format!(
        "
- to: {{attributes: userPassword}}
  allow: ['dn {CLEO}': write, anonymous: auth]
- to: {{children: 'ou=groups,{SUFFIX}'}}
  allow: ['dn {ANNA}': read]
- allow: [users: read]
"
    );
    let mut policy = PasswordPolicy::default();
    (policy.min_length, policy.in_history, policy.safe_modify) = (6, 3, true);
    (policy.lockout, policy.max_failure) = (true, 3);
    policy.check_quality = QualityCheck::Always;
    let store = Store::open(options().policy(Arc::new(rules(&yaml))).password_policy(policy)).unwrap();
    fill(&store).await;
    let hidden = format!("uid=hidden,ou=groups,{SUFFIX}");
    let lines = ["objectClass: account", "objectClass: simpleSecurityObject", "userPassword: spring tide"];
    ok(&store, entry(&hidden, &lines)).await;
    let missing = format!("uid=missing,ou=groups,{SUFFIX}");
    for actor in [user(CLEO), user(BERT), Actor::Anonymous] {
        let mut answers = Vec::new();
        for name in [&hidden, &missing] {
            let set = |old: Option<&str>, new: Option<&str>| {
                let (old, new) = (old.map(Secret::from), new.map(Secret::from));
                Op::from(PasswordModify { user: Some(name.clone()), old, new }.request())
            };
            let modify = |kind, values: &[&str]| change(name, kind, "userPassword", values).into();
            let ops: Vec<Op> = vec![
                set(None, None),
                set(None, Some("short")),
                set(None, Some("spring tide")),
                set(Some("wrong"), Some("neap tide 7")),
                modify(ChangeKind::Replace, &["short"]),
                modify(ChangeKind::Replace, &["spring tide"]),
                modify(ChangeKind::Replace, &["neap tide 7"]),
                modify(ChangeKind::Delete, &["wrong"]),
                modify(ChangeKind::Delete, &["spring tide"]),
                modify(ChangeKind::Delete, &[]),
                modify(ChangeKind::Add, &["neap tide 7"]),
            ];
            let mut answer = Vec::new();
            for op in ops {
                let outcome = ask(&store, op, actor.clone()).await.unwrap();
                answer.push((outcome.result, outcome.controls));
            }
            answers.push(answer);
        }
        assert_eq!(answers[0], answers[1], "{actor:?}");
        let known = if actor == Actor::Anonymous { "" } else { "ou=groups,dc=harbourlane,dc=example" };
        for (result, _) in &answers[0] {
            assert_eq!((result.code, &*result.matched_dn), (ResultCode::NO_SUCH_OBJECT, known), "{actor:?}");
        }
    }
    assert_eq!(store.counters().passwords_verified, 0);
    // Whom one may know of one is told about.
    let own = change(BERT, ChangeKind::Replace, "userPassword", &["short"]);
    let code = async |actor| ask(&store, own.clone(), actor).await.unwrap().result.code;
    assert_eq!(code(user(CLEO)).await, ResultCode::CONSTRAINT_VIOLATION);
    assert_eq!(code(user(ANNA)).await, ResultCode::INSUFFICIENT_ACCESS_RIGHTS);
}

/// RFC 4512 §2.5.1: what is said of a supertype looks at its subtypes, each of which has rights of its own.
#[tokio::test]
async fn compares_with_a_supertype_do_not_look_at_closed_subtypes() {
    let closed = "- to: {attributes: [title, owner]}\n  allow: []\n- allow: [users: read]\n";
    let store = under(closed).await;
    ok(&store, change(BERT, ChangeKind::Replace, "title", &["Harbour master"])).await;
    ok(&store, change(HELP, ChangeKind::Replace, "owner", &[CLEO])).await;
    ok(&store, change(HELP, ChangeKind::Replace, "seeAlso", &[BERT])).await;
    let table = [
        (BERT, "title", "Harbour master", ResultCode::INSUFFICIENT_ACCESS_RIGHTS),
        (BERT, "name", "Harbour master", ResultCode::COMPARE_FALSE),
        (BERT, "name", "Quay", ResultCode::COMPARE_TRUE),
        (HELP, "distinguishedName", CLEO, ResultCode::COMPARE_FALSE),
        (HELP, "distinguishedName", BERT, ResultCode::COMPARE_TRUE),
    ];
    for (name, description, value, want) in table {
        let op = || Compare {
            dn: dn(name),
            attribute: attribute(description),
            value: Bytes::copy_from_slice(value.as_bytes()),
        };
        let got = ask(&store, op(), user(ANNA)).await.unwrap().result.code;
        assert_eq!(got, want, "{description}={value} of {name}");
    }
    // Where nothing else is there, it is as if nothing were.
    let only = "- to: {attributes: [cn, sn, title]}\n  allow: []\n- allow: [users: read]\n";
    let store = under(only).await;
    let op = Compare { dn: dn(BERT), attribute: attribute("name"), value: Bytes::from_static(b"Quay") };
    let code = ask(&store, op, user(ANNA)).await.unwrap().result.code;
    assert_eq!(code, ResultCode::NO_SUCH_ATTRIBUTE);
}

/// RFC 3296: a referral object is an entry, and as hidden as one.
#[tokio::test]
async fn referral_objects_that_are_hidden_refer_nobody() {
    let store = under(YAML).await;
    let object = format!("ou=branch,ou=groups,{SUFFIX}");
    add_branch(&store, &object).await;
    for name in [object.clone(), format!("uid=x,{object}")] {
        let ops: [Op; 4] = [
            Search::new(dn(&name), Scope::Base, Filter::any()).into(),
            Compare { dn: dn(&name), attribute: attribute("ou"), value: Bytes::from_static(b"branch") }
                .into(),
            Delete { dn: dn(&name) }.into(),
            change(&name, ChangeKind::Replace, "description", &["x"]).into(),
        ];
        for op in ops {
            let kind = op.kind();
            let told = ask(&store, op.clone(), user(CLEO)).await.unwrap().result;
            assert_eq!(told.code, ResultCode::NO_SUCH_OBJECT, "{kind:?} {name}");
            assert_eq!((told.matched_dn.as_str(), told.referrals.len()), (SUFFIX, 0), "{kind:?} {name}");
            let told = ask(&store, op, Actor::Service).await.unwrap().result;
            assert_eq!((told.code, told.referrals.len()), (ResultCode::REFERRAL, 1), "{kind:?} {name}");
        }
    }
}

/// RFC 4528 §3: an assertion is evaluated on the base, whatever that is.
#[tokio::test]
async fn assertions_hold_for_what_is_not_stored() {
    let store = small().await;
    for (base, truth) in [("", "(objectClass=top)"), ("cn=subschema", "(cn=subschema)")] {
        for scope in [Scope::Base, Scope::One, Scope::Subtree] {
            for (text, want) in [(truth, ResultCode::SUCCESS), ("(cn=other)", ResultCode::ASSERTION_FAILED)] {
                let search = Search::new(dn(base), scope, Filter::any());
                let request =
                    Request::new(search, Actor::Service).critical(&Assertion(text.parse().unwrap()));
                let mut reply = store.call(request.into_any());
                let outcome = loop {
                    if let Event::Done(outcome) = reply.next().await.unwrap() {
                        break outcome;
                    }
                };
                assert_eq!(outcome.result.code, want, "{text} of {base:?} {scope:?}");
            }
        }
    }
}
