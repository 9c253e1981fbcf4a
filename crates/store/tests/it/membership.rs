//! `memberOf` and matching in chain.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use flext_ldap_directory::{
    AccessPolicy, Actor, AttributeRight, EntryRight, Error, Identity, Lookup, Requester, Rights, Target,
};
use flext_ldap_proto::{
    attribute::Selection,
    control::{Assertion, ControlValue, Controls},
    filter::Filter,
    message::{Compare, Delete, Scope, Search},
    result::ResultCode,
};
use flext_ldap_store::{ExportOptions, ImportOptions, Limits, MemberOf, Store};

use crate::support::*;

const ANNA: &str = "uid=anna,ou=people,dc=harbourlane,dc=example";
const BERT: &str = "uid=bert,ou=people,dc=harbourlane,dc=example";
const CLEO: &str = "uid=cleo,ou=people,dc=harbourlane,dc=example";
const PEOPLE: &str = "ou=people,dc=harbourlane,dc=example";
const IN_CHAIN: &str = "1.2.840.113556.1.4.1941";

fn group_dn(name: &str) -> String {
    format!("cn={name},ou=groups,{SUFFIX}")
}

fn group(name: &str, members: &[&str]) -> flext_ldap_proto::message::Add {
    let mut lines = vec!["objectClass: groupOfNames".to_owned()];
    lines.extend(members.iter().map(|member| format!("member: {member}")));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    entry(&group_dn(name), &lines)
}

async fn found(store: &Store, text: &str) -> Vec<String> {
    let (names, outcome) = find(store, subtree(text), Actor::Service).await;
    assert_eq!(outcome.result.code, ResultCode::SUCCESS, "{text}: {outcome:?}");
    names
}

async fn member_of(store: &Store, name: &str, selection: &[&str]) -> Vec<String> {
    let search = Search::new(dn(name), Scope::Base, Filter::any())
        .attributes(selection.iter().copied().collect::<Selection>());
    let (found, _) = entries(store, search, Actor::Service).await;
    let mut values: Vec<String> = found[0].attributes().get("memberOf").map_or_else(Vec::new, |one| {
        one.values().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
    });
    values.sort();
    values
}

/// Anna and Bert sail; sailors and Cleo are crew; the crew is staff.
async fn nested() -> Store {
    let store = small().await;
    ok(&store, group("sailors", &[ANNA, BERT])).await;
    ok(&store, group("crew", &[&group_dn("sailors"), CLEO])).await;
    ok(&store, group("staff", &[&group_dn("crew")])).await;
    let unique = entry(
        &group_dn("watch"),
        &["objectClass: groupOfUniqueNames", "uniqueMember: UID=Anna,OU=People,dc=harbourlane,dc=example"],
    );
    ok(&store, unique).await;
    store
}

#[tokio::test]
async fn groups_are_computed_when_they_are_asked_for() {
    let store = nested().await;
    let both = [group_dn("sailors"), group_dn("watch")];
    for selection in [&["memberOf"][..], &["+"], &["cn", "MEMBEROF"], &["1.2.840.113556.1.2.102"]] {
        assert_eq!(member_of(&store, ANNA, selection).await, both, "{selection:?}");
    }
    for selection in [&["*"][..], &["cn"], &["1.1"], &[]] {
        assert_eq!(member_of(&store, ANNA, selection).await, [""; 0], "{selection:?}");
    }
    assert_eq!(member_of(&store, &group_dn("sailors"), &["memberOf"]).await, [group_dn("crew")]);
    ok(&store, Delete { dn: dn(&group_dn("watch")) }).await;
    assert_eq!(member_of(&store, ANNA, &["+"]).await, [group_dn("sailors")]);
    // Only the directory sets it.
    assert_eq!(code(&store, set(ANNA, "memberOf", &[BERT])).await, ResultCode::CONSTRAINT_VIOLATION);
}

#[tokio::test]
async fn filters() {
    let store = nested().await;
    let sailors = group_dn("sailors");
    let table: &[(String, &[&str])] = &[
        (format!("(memberOf={sailors})"), &[ANNA, BERT]),
        (format!("(memberOf=CN=Sailors, ou=groups,{SUFFIX})"), &[ANNA, BERT]),
        (format!("(memberOf~={sailors})"), &[ANNA, BERT]),
        (format!("(memberOf:=cn=sailors,ou=groups,{SUFFIX})"), &[ANNA, BERT]),
        (format!("(memberOf:distinguishedNameMatch:={sailors})"), &[ANNA, BERT]),
        (format!("(&(uid=anna)(memberOf={sailors}))"), &[ANNA]),
        (format!("(&(uid=*)(!(memberOf={sailors})))"), &[CLEO]),
        (format!("(|(memberOf={})(memberOf={sailors}))", group_dn("watch")), &[ANNA, BERT]),
        (format!("(&(memberOf={})(memberOf={sailors}))", group_dn("watch")), &[ANNA]),
        (format!("(|(uid=cleo)(memberOf={sailors}))"), &[ANNA, BERT, CLEO]),
        ("(&(uid=*)(memberOf=*))".into(), &[ANNA, BERT, CLEO]),
        (format!("(memberOf={})", group_dn("nonesuch")), &[]),
        (format!("(memberOf={ANNA})"), &[]),
        ("(memberOf=cn=elsewhere)".into(), &[]),
        ("(memberOf=no name)".into(), &[]),
        ("(!(memberOf=no name))".into(), &[]),
        (format!("(&(memberOf=*{sailors}))"), &[]),
    ];
    for (text, want) in table {
        assert_eq!(found(&store, text).await, *want, "{text}");
    }
    // Few entries are looked at: the group, its members, and who they are.
    let before = store.counters().entries_read;
    found(&store, &format!("(memberOf={sailors})")).await;
    assert!(store.counters().entries_read - before <= 4);
    // As an assertion on one entry.
    let base = |text: &str| Search::new(dn(ANNA), Scope::Base, filter(text));
    assert_eq!(find(&store, base(&format!("(memberOf={sailors})")), Actor::Service).await.0, [ANNA]);
    let compare = |group: &str| Compare {
        dn: dn(ANNA),
        attribute: attribute("memberOf"),
        value: Bytes::copy_from_slice(group.as_bytes()),
    };
    assert_eq!(code(&store, compare(&sailors)).await, ResultCode::COMPARE_TRUE);
    assert_eq!(code(&store, compare(&group_dn("crew"))).await, ResultCode::COMPARE_FALSE);
    for (group, want) in [(&sailors, ResultCode::SUCCESS), (&group_dn("crew"), ResultCode::ASSERTION_FAILED)]
    {
        let assertion = Assertion(filter(&format!("(memberOf={group})")));
        let mut request =
            flext_ldap_directory::Request::new(set(ANNA, "title", &["Bosun"]).into(), Actor::Service);
        request.controls = Controls::none().critical(&assertion);
        let outcome = flext_ldap_directory::Directory::call(&store, request).outcome().await.unwrap();
        assert_eq!(outcome.result.code, want);
    }
    assert_eq!(Assertion::OID.as_str(), "1.3.6.1.1.12");
}

#[tokio::test]
async fn chains() {
    let store = nested().await;
    ok(&store, set(ANNA, "manager", &[BERT])).await;
    ok(&store, set(BERT, "manager", &[CLEO])).await;
    let (sailors, crew, staff) = (group_dn("sailors"), group_dn("crew"), group_dn("staff"));
    let table: &[(String, &[&str])] = &[
        (format!("(memberOf:{IN_CHAIN}:={staff})"), &[&crew, &sailors, ANNA, BERT, CLEO]),
        (format!("(memberOf:{IN_CHAIN}:={sailors})"), &[ANNA, BERT]),
        (format!("(&(uid=anna)(memberOf:{IN_CHAIN}:={staff}))"), &[ANNA]),
        (format!("(&(uid=cleo)(memberOf:{IN_CHAIN}:={sailors}))"), &[]),
        (format!("(&(uid=*)(!(memberOf:{IN_CHAIN}:={sailors})))"), &[CLEO]),
        (format!("(member:{IN_CHAIN}:={ANNA})"), &[&crew, &sailors, &staff]),
        (format!("(member:{IN_CHAIN}:={CLEO})"), &[&crew, &staff]),
        (format!("(&(cn=staff)(member:{IN_CHAIN}:={ANNA}))"), &[&staff]),
        (format!("(manager:{IN_CHAIN}:={CLEO})"), &[ANNA, BERT]),
        (format!("(manager:{IN_CHAIN}:={BERT})"), &[ANNA]),
        (format!("(|(manager:{IN_CHAIN}:={BERT})(uid=cleo))"), &[ANNA, CLEO]),
        (format!("(memberOf:{IN_CHAIN}:={})", group_dn("nonesuch")), &[]),
        (format!("(cn:{IN_CHAIN}:={staff})"), &[]),
        (format!("(!(cn:{IN_CHAIN}:={staff}))"), &[]),
        (format!("(memberOf:{IN_CHAIN}:=no name)"), &[]),
    ];
    for (text, want) in table {
        assert_eq!(found(&store, text).await, *want, "{text}");
    }
    let base = Search::new(dn(ANNA), Scope::Base, filter(&format!("(memberOf:{IN_CHAIN}:={staff})")));
    assert_eq!(find(&store, base, Actor::Service).await.0, [ANNA]);
    let (_, outcome) =
        find(&store, subtree(&format!("(secretary:{IN_CHAIN}:={ANNA})")), Actor::Service).await;
    assert_eq!(outcome.result.code, ResultCode::UNWILLING_TO_PERFORM);
    let chain = format!("(member:{IN_CHAIN}:={ANNA})");
    let (_, outcome) = find(&store, subtree(&format!("(|{})", chain.repeat(17))), Actor::Service).await;
    assert_eq!(outcome.result.code, ResultCode::ADMIN_LIMIT_EXCEEDED);
}

/// Nested-group cycles and bombs: each entry is looked at once, at any depth and width.
#[tokio::test]
async fn circles_depth_and_width() {
    let store = small().await;
    ok(&store, group("a", &[&group_dn("c"), ANNA])).await;
    ok(&store, group("b", &[&group_dn("a")])).await;
    ok(&store, group("c", &[&group_dn("b"), &group_dn("c")])).await;
    let circle = [group_dn("a"), group_dn("b"), group_dn("c")];
    let all = [&circle[..], &[ANNA.to_owned()]].concat();
    assert_eq!(found(&store, &format!("(memberOf:{IN_CHAIN}:={})", circle[0])).await, all);
    assert_eq!(found(&store, &format!("(member:{IN_CHAIN}:={ANNA})")).await, circle);
    assert_eq!(found(&store, &format!("(&(uid=anna)(memberOf:{IN_CHAIN}:={}))", circle[2])).await, [ANNA]);
    assert_eq!(found(&store, &format!("(&(uid=bert)(memberOf:{IN_CHAIN}:={}))", circle[2])).await, [""; 0]);

    // 10,000 groups, each in the next; and one of 100,000 members, few of whom are there.
    const DEEP: usize = 10_000;
    let chain = |depth: usize| -> String {
        let link = |depth: usize| {
            let member = if depth == 0 { BERT.to_owned() } else { group_dn(&format!("d{}", depth - 1)) };
            format!("dn: {}\nobjectClass: groupOfNames\nmember: {member}\n\n", group_dn(&format!("d{depth}")))
        };
        (0..depth).map(link).collect()
    };
    let mut ldif = chain(DEEP);
    ldif.push_str(&format!("dn: {}\nobjectClass: groupOfNames\nmember: {CLEO}\n", group_dn("wide")));
    for number in 0..100_000 {
        ldif.push_str(&format!("member: uid=w{number},{PEOPLE}\n"));
    }
    let report = store.import(ldif.as_bytes(), &ImportOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(report.applied, DEEP as u64 + 1);
    let top = group_dn(&format!("d{}", DEEP - 1));
    let read = store.counters().entries_read;
    assert_eq!(found(&store, &format!("(member:{IN_CHAIN}:={BERT})")).await.len(), DEEP);
    assert_eq!(found(&store, &format!("(memberOf:{IN_CHAIN}:={top})")).await.len(), DEEP);
    assert_eq!(found(&store, &format!("(&(uid=bert)(memberOf:{IN_CHAIN}:={top}))")).await, [BERT]);
    // Once to be followed and once to be answered.
    assert!(store.counters().entries_read - read <= 4 * DEEP as u64);
    assert_eq!(found(&store, &format!("(memberOf:{IN_CHAIN}:={})", group_dn("wide"))).await, [CLEO]);
    assert_eq!(found(&store, &format!("(memberOf={})", group_dn("wide"))).await, [CLEO]);

    // Within the limits of those who have some.
    let mut limits = Limits::default();
    limits.lookthrough = 1_000;
    let bounded = Store::open(options().limits(limits)).unwrap();
    fill(&bounded).await;
    bounded.import(chain(2_000).as_bytes(), &ImportOptions::default(), &mut |_| {}).unwrap();
    let top = group_dn("d1999");
    let anna = || Actor::User(Identity::from_successful_bind(dn(ANNA)));
    for text in [format!("(memberOf:{IN_CHAIN}:={top})"), format!("(&(cn=d1)(member:{IN_CHAIN}:={BERT}))")] {
        let (_, outcome) = find(&bounded, subtree(&text), anna()).await;
        assert_eq!(outcome.result.code, ResultCode::ADMIN_LIMIT_EXCEEDED, "{text}");
    }
    let mut limits = Limits::default();
    limits.time = Duration::ZERO;
    let hurried = Store::open(options().limits(limits)).unwrap();
    fill(&hurried).await;
    let (_, outcome) = find(&hurried, subtree(&format!("(memberOf:{IN_CHAIN}:={top})")), anna()).await;
    assert_eq!(outcome.result.code, ResultCode::TIME_LIMIT_EXCEEDED);
}

/// Users may not know of the crew, nor search the members of sailors.
struct Discreet;

impl AccessPolicy for Discreet {
    fn rights_of(&self, _: Requester<'_>, _: &dyn Lookup) -> Result<Arc<dyn Rights>, Error> {
        Ok(Arc::new(Self))
    }
}

impl Rights for Discreet {
    fn look_at_entries(&self) -> bool {
        false
    }

    fn entry(&self, target: Target<'_>, _: EntryRight) -> bool {
        !target.dn.rdns().iter().any(|rdn| rdn.as_bytes().ends_with(b"=crew"))
    }

    fn attribute(&self, target: Target<'_>, attribute: &str, _: AttributeRight) -> bool {
        let sailors = target.dn.rdns().iter().any(|rdn| rdn.as_bytes().ends_with(b"=sailors"));
        !(sailors && attribute == "member")
    }
}

#[tokio::test]
async fn membership_tells_no_more_than_a_search_for_members() {
    let store = Store::open(options().policy(Arc::new(Discreet))).unwrap();
    fill(&store).await;
    ok(&store, group("sailors", &[ANNA])).await;
    ok(&store, group("crew", &[&group_dn("sailors"), ANNA, BERT])).await;
    ok(&store, group("staff", &[&group_dn("crew"), ANNA])).await;
    let eve = || Actor::User(Identity::from_successful_bind(dn("cn=eve")));
    let read = Search::new(dn(ANNA), Scope::Base, Filter::any()).attributes(["+"]);
    let (found, _) = entries(&store, read, eve()).await;
    let values: Vec<&[u8]> = found[0].attributes().get("memberOf").unwrap().values().collect();
    assert_eq!(values, [group_dn("staff").as_bytes()]);
    let table: &[(String, &[&str])] = &[
        (format!("(memberOf={})", group_dn("sailors")), &[]),
        (format!("(memberOf={})", group_dn("crew")), &[]),
        (format!("(memberOf={})", group_dn("staff")), &[ANNA]),
        (format!("(&(uid=*)(!(memberOf={})))", group_dn("crew")), &[ANNA, BERT, CLEO]),
        (format!("(memberOf:{IN_CHAIN}:={})", group_dn("staff")), &[ANNA]),
        (format!("(&(uid=bert)(memberOf:{IN_CHAIN}:={}))", group_dn("staff")), &[]),
        (format!("(member:{IN_CHAIN}:={BERT})"), &[]),
    ];
    for (text, want) in table {
        assert_eq!(find(&store, subtree(text), eve()).await.0, *want, "{text}");
    }
    assert_eq!(
        find(&store, subtree(&format!("(memberOf:{IN_CHAIN}:={})", group_dn("staff"))), Actor::Service)
            .await
            .0
            .len(),
        4
    );
}

#[tokio::test]
async fn what_another_directory_computed_is_not_kept() {
    let store = nested().await;
    let ldif = format!(
        "dn: uid=dora,{PEOPLE}\nobjectClass: account\nmemberOf: {}\nmemberOf: cn=gone,{SUFFIX}\n\n",
        group_dn("staff")
    );
    store.import(ldif.as_bytes(), &ImportOptions::default(), &mut |_| {}).unwrap();
    let dora = format!("uid=dora,{PEOPLE}");
    assert_eq!(member_of(&store, &dora, &["+"]).await, [""; 0]);
    assert_eq!(found(&store, &format!("(memberOf={})", group_dn("staff"))).await, [group_dn("crew")]);
    let mut everything = ExportOptions::default();
    everything.operational = true;
    let mut text = Vec::new();
    store.export(&mut text, &everything).unwrap();
    assert!(!String::from_utf8(text).unwrap().contains("memberOf"));
    // Where it is not computed it is an attribute like others.
    let plain = Store::open(options().member_of(None)).unwrap();
    fill(&plain).await;
    plain.import(ldif.as_bytes(), &ImportOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(member_of(&plain, &dora, &["+"]).await, [format!("cn=gone,{SUFFIX}"), group_dn("staff")]);
    assert_eq!(
        found(&plain, &format!("(memberOf={})", group_dn("staff"))).await,
        std::slice::from_ref(&dora)
    );
}

#[tokio::test]
async fn from_other_attributes() {
    let store = Store::open(options().member_of(Some(MemberOf::of(["owner"])))).unwrap();
    fill(&store).await;
    ok(&store, group("sailors", &[ANNA])).await;
    ok(&store, set(&group_dn("sailors"), "owner", &[BERT])).await;
    assert_eq!(member_of(&store, ANNA, &["+"]).await, [""; 0]);
    assert_eq!(member_of(&store, BERT, &["+"]).await, [group_dn("sailors")]);
    let error = Store::open(options().member_of(Some(MemberOf::of(["cn"])))).unwrap_err();
    assert_eq!(error.to_string(), "memberOf: values of attribute `cn` are not names");
}
