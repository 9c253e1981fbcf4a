//! What one operation may have the writer do: how much is refused, to whom, and that nothing of it is done.

use std::sync::Arc;

use bytes::Bytes;
use flext_ldap_directory::{Actor, Directory as _, Identity, Op, Request};
use flext_ldap_proto::{
    attribute::Attributes,
    control::{Controls, TreeDelete},
    message::{Add, Change, ChangeKind, Delete, Modify},
    result::{LdapResult, ResultCode},
    schema::Schema,
};
use flext_ldap_store::{
    ImportOptions, Limits, Store,
    access::{AccessRules, RuleConfig},
};

use crate::support::*;

const ANNA: &str = "uid=anna,ou=people,dc=harbourlane,dc=example";
const BERT: &str = "uid=bert,ou=people,dc=harbourlane,dc=example";

/// A store where everybody who signed in may do everything, within small limits.
async fn bounded() -> Store {
    let yaml = "[{allow: [users: [manage, write, add, delete, read]]}]";
    let configs: Vec<RuleConfig> = serde_saphyr::from_str(yaml).unwrap();
    let rules = AccessRules::from_config(&configs, Schema::standard()).unwrap();
    let mut limits = Limits::default();
    (limits.written_values, limits.kept_inline) = (200, 70);
    let store = Store::open(options().policy(Arc::new(rules)).limits(limits)).unwrap();
    fill(&store).await;
    store
}

fn change(kind: ChangeKind, name: &str, numbers: std::ops::Range<u32>) -> Change {
    let values = numbers.map(|number| Bytes::from(format!("ldap://h/{number}"))).collect();
    Change { kind, attribute: attribute(name), values }
}

fn modify(name: &str, changes: Vec<Change>) -> Modify {
    Modify { dn: dn(name), changes }
}

/// What Bert is answered, who is no administrator. What is refused writes nothing.
async fn bert(store: &Store, op: impl Into<Op>, controls: Controls) -> LdapResult {
    let before = store.counters();
    let mut request = Request::new(op.into(), Actor::User(Identity::from_successful_bind(dn(BERT))));
    request.controls = controls;
    let result = store.call(request).outcome().await.unwrap().result;
    let written = store.counters().rows_written - before.rows_written;
    assert_eq!(written == 0, result.code != ResultCode::SUCCESS, "{written} rows: {result:?}");
    result
}

async fn bert_may(store: &Store, op: impl Into<Op>) {
    let result = bert(store, op, Controls::none()).await;
    assert_eq!(result.code, ResultCode::SUCCESS, "{result:?}");
}

async fn bert_may_not(store: &Store, op: impl Into<Op>) {
    refused(&bert(store, op, Controls::none()).await);
}

fn refused(result: &LdapResult) {
    assert_eq!(result.code, ResultCode::ADMIN_LIMIT_EXCEEDED, "{result:?}");
    assert_eq!(
        result.diagnostic,
        "the operation would put or remove more than 200 values (limit `written_values`); name fewer in each of \
         several requests, or ask the administrator"
    );
}

async fn count(store: &Store, name: &str, attribute: &str) -> usize {
    let entry = read(store, name).await.unwrap();
    entry.attributes().get(attribute).map_or(0, |one| one.values().count())
}

#[tokio::test]
async fn a_request_names_so_many_values_and_no_more() {
    let store = bounded().await;
    bert_may_not(&store, modify(ANNA, vec![change(ChangeKind::Add, "description", 0..201)])).await;
    let in_two = [0..100, 100..201].map(|some| change(ChangeKind::Add, "description", some));
    bert_may_not(&store, modify(ANNA, in_two.into())).await;
    let mut attributes = Attributes::builder();
    attributes.push("objectClass", ["organizationalUnit"]);
    attributes.push("description", (0..200).map(|number| number.to_string()));
    let unit = format!("ou=many,{SUFFIX}");
    bert_may_not(&store, Add::new(dn(&unit), attributes.build())).await;
    assert!(read(&store, &unit).await.is_none());

    bert_may(&store, modify(ANNA, vec![change(ChangeKind::Add, "description", 0..200)])).await;
    bert_may(&store, modify(ANNA, vec![change(ChangeKind::Add, "description", 200..400)])).await;
    assert_eq!(count(&store, ANNA, "description").await, 400);
}

#[tokio::test]
async fn what_one_word_removes_counts() {
    let store = bounded().await;
    // The program itself is not bound.
    ok(&store, modify(ANNA, vec![change(ChangeKind::Add, "description", 0..201)])).await;
    bert_may_not(&store, modify(ANNA, vec![change(ChangeKind::Delete, "description", 0..0)])).await;
    bert_may_not(&store, modify(ANNA, vec![change(ChangeKind::Replace, "description", 0..1)])).await;
    bert_may_not(&store, Delete { dn: dn(ANNA) }).await;
    bert_may(&store, modify(ANNA, vec![change(ChangeKind::Delete, "description", 0..1)])).await;
    // A tree is one operation.
    ok(&store, modify(BERT, vec![change(ChangeKind::Add, "description", 0..70)])).await;
    let people = Delete { dn: dn(&format!("ou=people,{SUFFIX}")) };
    refused(&bert(&store, people, Controls::none().critical(&TreeDelete)).await);
    assert_eq!(
        (count(&store, ANNA, "description").await, count(&store, BERT, "description").await),
        (200, 70)
    );
    bert_may(&store, Delete { dn: dn(ANNA) }).await;
    assert!(read(&store, ANNA).await.is_none());
}

#[tokio::test]
async fn a_value_that_goes_counts_for_each_attribute_it_may_still_be_in() {
    let store = bounded().await;
    for language in ["en", "de", "fr"] {
        let name = format!("description;lang-{language}");
        ok(&store, modify(ANNA, vec![change(ChangeKind::Add, &name, 0..150)])).await;
    }
    let removed = |count| modify(ANNA, vec![change(ChangeKind::Delete, "description;lang-en", 0..count)]);
    bert_may_not(&store, removed(67)).await;
    bert_may(&store, removed(66)).await;
}

#[tokio::test]
async fn an_attribute_that_stays_in_its_row_has_so_many_values() {
    let store = bounded().await;
    let classes = |kind| Change {
        kind,
        attribute: attribute("objectClass"),
        values: vec![Bytes::from_static(b"extensibleObject")],
    };
    let refused = async |op: Op| {
        // Whoever asks.
        let result = ask(&store, op, Actor::Service).await.unwrap().result;
        assert_eq!(result.code, ResultCode::ADMIN_LIMIT_EXCEEDED, "{result:?}");
        assert_eq!(result.diagnostic, "`ref` would have 71 values, and may have 70 (limit `kept_inline`)");
    };
    ok(&store, modify(ANNA, vec![classes(ChangeKind::Add), change(ChangeKind::Add, "labeledURI", 0..500)]))
        .await;
    refused(modify(ANNA, vec![change(ChangeKind::Replace, "ref", 0..71)]).into()).await;
    let mut attributes = Attributes::builder();
    attributes.push("objectClass", ["referral", "extensibleObject"]);
    attributes.push("ref", (0..71).map(|number| format!("ldap://h/{number}")));
    refused(Add::new(dn(&format!("cn=elsewhere,{SUFFIX}")), attributes.build()).into()).await;
    // However they come.
    let loaded = |count: u32| {
        let refs: String = (0..count).map(|number| format!("ref: ldap://h/{number}\n")).collect();
        let ldif =
            format!("dn: cn=loaded,{SUFFIX}\nobjectClass: referral\nobjectClass: extensibleObject\n{refs}");
        let loaded = store.import(ldif.as_bytes(), &ImportOptions::default(), &mut |_| {});
        loaded.map(|report| report.applied).map_err(|error| error.reason.to_string())
    };
    let reason = "adminLimitExceeded (11): `ref` would have 71 values, and may have 70 (limit `kept_inline`)";
    assert_eq!((loaded(71), loaded(70)), (Err(reason.to_owned()), Ok(1)));
    assert_eq!(count(&store, ANNA, "ref").await, 0);
    // Others have rows for their values.
    assert_eq!(count(&store, ANNA, "labeledURI").await, 500);
}

/// Also where much of what is found out about an entry was found out about one before.
#[tokio::test]
async fn few_values_are_few_for_each_entry_of_an_import() {
    let mut limits = Limits::default();
    limits.kept_inline = 5;
    let store = Store::open(options().limits(limits)).unwrap();
    fill(&store).await;
    let one = |number: usize, count: usize| {
        let refs: String = (0..count).map(|number| format!("ref: ldap://h/{number}\n")).collect();
        format!(
            "dn: cn={number},{SUFFIX}\nobjectClass: referral\nobjectClass: extensibleObject\ncn: {number}\n{refs}\n"
        )
    };
    let counts = [2, 2, 5, 6, 2, 10, 5];
    let ldif: String = counts.into_iter().enumerate().map(|(number, count)| one(number, count)).collect();
    let mut options = ImportOptions::default();
    options.continue_on_error = true;
    let report = store.import(ldif.as_bytes(), &options, &mut |_| {}).unwrap();
    assert_eq!((report.applied, report.refused), (5, 2), "{:?}", report.refusals);
}

#[tokio::test]
async fn an_increment_counts_each_value() {
    let store = bounded().await;
    let numbers = |kind, numbers: std::ops::Range<u32>| Change {
        kind,
        attribute: attribute("supportedLDAPVersion"),
        values: numbers.map(|number| Bytes::from(number.to_string())).collect(),
    };
    let one = || numbers(ChangeKind::Increment, 1..2);
    ok(&store, modify(ANNA, vec![numbers(ChangeKind::Add, 0..100)])).await;
    let made = |times: usize| modify(ANNA, std::iter::repeat_with(one).take(times).collect());
    bert_may_not(&store, made(3)).await;
    bert_may(&store, made(2)).await;
}

#[tokio::test]
async fn options_by_the_thousand_are_told_apart() {
    let store = bounded().await;
    let unit = format!("ou=many,{SUFFIX}");
    let add = |more: &str| {
        let mut attributes = Attributes::builder();
        attributes.push("objectClass", ["organizationalUnit"]);
        for number in 0..3_000 {
            attributes.push(&format!("description;x-a;x-{number}"), ["x"]);
        }
        attributes.push(more, ["x"]);
        Add::new(dn(&unit), attributes.build())
    };
    let twice = async |more: &str| {
        let result = ask(&store, add(more), Actor::Service).await.unwrap().result;
        assert_eq!(result.code, ResultCode::ATTRIBUTE_OR_VALUE_EXISTS, "{more}: {result:?}");
    };
    twice("2.5.4.13;X-7;x-A").await;
    ok(&store, add("description")).await;
    let given = read(&store, &unit).await.unwrap();
    assert_eq!(
        given.attributes().iter().filter(|one| one.description().starts_with("description")).count(),
        3_001
    );
}
