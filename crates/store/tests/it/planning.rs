//! The planner against a look at every entry: whatever matches is found, whatever is indexed and however asked.

use bytes::Bytes;
use flext_ldap_directory::Actor;
use flext_ldap_proto::{
    attribute::Attributes,
    entry::Entry,
    filter::{Extensible, Filter, Matcher, Node, Substrings, Truth},
    message::{Add, Change, ChangeKind, Modify, Scope, Search},
    result::ResultCode,
    schema::Schema,
};
use flext_ldap_store::{IndexConfig, IndexKind, Store};
use proptest::prelude::*;

use crate::support::*;

const ATTRIBUTES: [&str; 9] =
    ["cn", "sn", "description", "uid", "mail", "telephoneNumber", "uidNumber", "manager", "employeeNumber"];

/// Few values, so that filters meet entries; spellings that differ and are equal; values that fit no rule.
fn value(attribute: &'static str) -> BoxedStrategy<String> {
    let numbers =
        || prop::sample::select(vec!["0", "7", "10", "99", "100", "-3", "-20", "12345678901234567890"]);
    match attribute {
        "uidNumber" => numbers().prop_map(str::to_owned).boxed(),
        "manager" => prop::sample::select(vec![
            "uid=p1,ou=people,dc=harbourlane,dc=example",
            "UID=P1, OU=People,dc=harbourlane,dc=example",
            "cn=x+sn=y,dc=elsewhere",
            "sn=Y+cn=X,dc=elsewhere",
            "nonesuch=a,dc=b",
        ])
        .prop_map(str::to_owned)
        .boxed(),
        "telephoneNumber" => prop::sample::select(vec!["+1 555 0100", "+15550100", "1-2-3", "123"])
            .prop_map(str::to_owned)
            .boxed(),
        _ => prop::collection::vec(
            prop::sample::select(vec![
                "a", "B", "b", "jo", "son", " ", "  ", "é", "É", "ß", "ss", ".", "x@y", "long",
            ]),
            1..6,
        )
        .prop_map(|pieces| pieces.concat())
        .prop_filter("not only spaces", |text| !text.trim().is_empty())
        .prop_map(|text| if text.contains("long") { text.repeat(40) } else { text })
        .boxed(),
    }
}

fn attribute_and_value() -> impl Strategy<Value = (&'static str, String)> {
    prop::sample::select(ATTRIBUTES.to_vec())
        .prop_flat_map(|name| value(name).prop_map(move |value| (name, value)))
}

fn people() -> impl Strategy<Value = Vec<Vec<(&'static str, String)>>> {
    prop::collection::vec(prop::collection::vec(attribute_and_value(), 0..8), 1..12)
}

fn piece() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(
        prop::sample::select(vec!["a", "b", "j", "o", "s", "n", " ", "é", "s", "@", "5", "-"]),
        1..4,
    )
    .prop_map(|pieces| pieces.concat().into())
}

fn leaf() -> impl Strategy<Value = Node> {
    // Supertypes, options, other names, and what is not there.
    let asserted = prop::sample::select(vec![
        "cn",
        "sn",
        "description",
        "uid",
        "mail",
        "telephoneNumber",
        "uidNumber",
        "manager",
        "name",
        "cn;lang-en",
        "2.5.4.3",
        "objectClass",
        "employeeNumber",
        "nonesuch",
        "entryDN",
        "userPassword",
        "modifyTimestamp",
    ]);
    let any = attribute_and_value().prop_map(|(_, value)| Bytes::from(value));
    let classes = prop::sample::select(vec![" person", "PERSON", "2.5.6.6", "top", "account", "x"])
        .prop_map(|text: &str| Bytes::from(text));
    let names = (0..6_u8).prop_map(|number| Bytes::from(format!("uid=p{number},ou=people,{SUFFIX}")));
    let value = prop_oneof![6 => any, 1 => classes, 1 => names, 1 => Just(Bytes::from("20300101000000Z"))];
    let rule = prop::sample::select(vec![
        "caseIgnoreMatch",
        "caseExactMatch",
        "integerOrderingMatch",
        "integerMatch",
        "integerBitAndMatch",
        "x",
    ]);
    (
        asserted,
        value,
        prop::option::of(piece()),
        prop::collection::vec(piece(), 0..3),
        prop::option::of(piece()),
        rule,
        0..9_u8,
    )
        .prop_map(|(name, value, initial, any, last, rule, kind)| {
            let name = attribute(name);
            match kind {
                0 | 1 => Node::Equality(name, value),
                2 => Node::Approximate(name, value),
                3 => Node::GreaterOrEqual(name, value),
                4 => Node::LessOrEqual(name, value),
                5 => Node::Present(name),
                6 => Node::Extensible(Extensible {
                    attribute: Some(name),
                    dn_attributes: value.len() % 5 == 0,
                    rule: (value.len() % 4 != 0).then(|| rule.into()),
                    value,
                }),
                _ if initial.is_none() && any.is_empty() && last.is_none() => Node::Present(name),
                _ => Node::Substrings(name, Substrings { initial, any, last }),
            }
        })
}

fn any_filter() -> impl Strategy<Value = Filter> {
    leaf().prop_map(|leaf| Filter::leaf(leaf).unwrap()).prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::and),
            3 => prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::or),
            2 => inner.prop_map(Filter::not),
        ]
    })
}

fn config() -> impl Strategy<Value = IndexConfig> {
    let kinds = prop::sample::subsequence(
        vec![IndexKind::Presence, IndexKind::Equality, IndexKind::Substring, IndexKind::Ordering],
        0..=4,
    );
    prop::collection::vec(kinds, ATTRIBUTES.len()).prop_map(|all| {
        let schema = Schema::standard();
        let mut config = IndexConfig::default();
        for (name, kinds) in ATTRIBUTES.iter().zip(all) {
            let kind = schema.attribute_type(name).unwrap();
            let kinds = kinds.into_iter().filter(|one| match one {
                IndexKind::Ordering => kind.ordering.is_some(),
                IndexKind::Substring => kind.substrings.is_some(),
                _ => true,
            });
            config = config.index(name, kinds.collect::<Vec<_>>());
        }
        config
    })
}

fn person_with(number: usize, values: &[(&'static str, String)]) -> Add {
    let mut all: Vec<(&str, Vec<String>)> = vec![
        ("objectClass", vec!["inetOrgPerson".into(), "posixAccount".into()]),
        ("uid", vec![format!("p{number}")]),
        ("cn", vec![format!("P {number}")]),
        ("sn", vec!["Quay".into()]),
        ("gidNumber", vec!["1".into()]),
        ("homeDirectory", vec!["/".into()]),
    ];
    for (name, value) in values {
        let single = *name == "uidNumber" || *name == "employeeNumber";
        match all.iter_mut().find(|(one, _)| one == name) {
            Some((_, values)) if !single && !values.contains(value) => values.push(value.clone()),
            Some(_) => {}
            None => all.push((name, vec![value.clone()])),
        }
    }
    if !all.iter().any(|(name, _)| *name == "uidNumber") {
        all.push(("uidNumber", vec!["5".into()]));
    }
    let mut attributes = Attributes::builder();
    for (name, values) in all {
        attributes.push(name, values);
    }
    Add::new(dn(&format!("uid=p{number},ou=people,{SUFFIX}")), attributes.build())
}

/// All entries, with what is computed of them.
async fn everything(store: &Store) -> Vec<Entry> {
    let search = Search::new(dn(SUFFIX), Scope::Subtree, filter("(&)")).attributes(["*", "+"]);
    entries(store, search, Actor::Service).await.0
}

fn naive(entries: &[Entry], filter: &Filter) -> Vec<String> {
    let matcher = Matcher::new(filter, Schema::standard());
    let mut names: Vec<String> = entries
        .iter()
        .filter(|entry| {
            let readable = |attribute: &str| !attribute.eq_ignore_ascii_case("userPassword");
            matcher.evaluate(&dn(entry.dn_str()), &[entry.attributes()], &readable) == Truth::True
        })
        .map(|entry| entry.dn_str().to_owned())
        .collect();
    names.sort();
    names
}

async fn agrees(store: &Store, filters: &[Filter]) {
    let all = everything(store).await;
    for filter in filters {
        let search = Search::new(dn(SUFFIX), Scope::Subtree, filter.clone());
        let explanation = store.explain(&search, &Actor::Service).await.unwrap();
        let (names, outcome) = find(store, search, Actor::Service).await;
        assert_eq!(outcome.result.code, ResultCode::SUCCESS);
        assert_eq!(names, naive(&all, filter), "{filter}\n{explanation}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn every_match_is_among_the_candidates(
        config in config(),
        people in people(),
        later in people(),
        filters in prop::collection::vec(any_filter(), 24),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::open(options().indexes(config)).unwrap();
            fill(&store).await;
            for (number, values) in people.iter().enumerate() {
                // A value may be refused twice by equality; what is in counts.
                let _ = code(&store, person_with(number, values)).await;
            }
            agrees(&store, &filters).await;
            for (number, values) in later.iter().enumerate() {
                let changes = values.iter().filter(|(name, _)| *name != "uid").map(|(name, value)| {
                    Change { kind: ChangeKind::Replace, attribute: attribute(name), values: vec![Bytes::from(value.clone())] }
                });
                let changes: Vec<_> = changes.collect();
                if !changes.is_empty() {
                    let name = dn(&format!("uid=p{number},ou=people,{SUFFIX}"));
                    let _ = code(&store, Modify { dn: name, changes }).await;
                }
            }
            agrees(&store, &filters).await;
        });
    }
}
