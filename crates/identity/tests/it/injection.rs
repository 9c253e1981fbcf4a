//! Whatever is typed is a value: it adds no assertion to a filter and no component to a name.

use bytes::Bytes;
use flext_ldap_identity::{DnTemplate, UserSearch};
use flext_ldap_proto::{
    ber::{Reader, Writer},
    dn::Dn,
    filter::{Filter, Node},
    message::Limits,
};
use proptest::prelude::*;

use crate::world::*;

/// What attacks are made of, more often than chance would have it.
fn typed() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("*".to_owned()),
        Just(")(uid=*".to_owned()),
        Just("*)(&".to_owned()),
        Just("{user}".to_owned()),
        Just("\\".to_owned()),
        Just("\\2a".to_owned()),
        Just(",dc=evil".to_owned()),
        Just("+cn=x".to_owned()),
        Just("#0401".to_owned()),
        Just("\"".to_owned()),
        Just(" ".to_owned()),
        Just("\0".to_owned()),
        any::<char>().prop_map(String::from),
        "[a-z]{1,5}",
    ];
    prop::collection::vec(part, 1..8).prop_map(|parts| parts.concat())
}

/// A filter as it is after it went over the wire, and as text.
fn both_ways(filter: &Filter) -> [Filter; 2] {
    let mut writer = Writer::new();
    filter.encode(&mut writer);
    let octets: Bytes = writer.take();
    let wire = Filter::decode(&mut Reader::new(&octets), &Limits::DEFAULT).unwrap();
    [wire, filter.to_string().parse().unwrap()]
}

proptest! {
    #[test]
    fn a_filter_has_one_leaf_with_the_value(typed in typed()) {
        let people = UserSearch::new(dn(SUFFIX), "uid".parse().unwrap());
        for filter in both_ways(&people.filter(&typed)) {
            let [Node::Equality(attribute, value)] = filter.nodes() else { panic!("{filter}") };
            prop_assert_eq!((attribute.as_str(), &value[..]), ("uid", typed.as_bytes()));
        }
    }

    #[test]
    fn a_pattern_keeps_its_shape(typed in typed()) {
        let text = "(&(objectClass=person)(|(uid={user})(mail={user}@harbourlane.example))(!(cn=gone)))";
        let people = UserSearch::matching(dn(SUFFIX), text.parse().unwrap()).unwrap();
        let mail = [typed.as_bytes(), b"@harbourlane.example"].concat();
        for filter in both_ways(&people.filter(&typed)) {
            let values: Vec<_> = filter.nodes().iter().map(|node| match node {
                Node::Equality(attribute, value) => (attribute.as_str().to_owned(), value.to_vec()),
                other => (format!("{other:?}"), Vec::new()),
            }).collect();
            prop_assert_eq!(values.len(), 7);
            prop_assert_eq!(&values[3], &("uid".to_owned(), typed.as_bytes().to_vec()));
            prop_assert_eq!(&values[4], &("mail".to_owned(), mail.clone()));
        }
    }

    #[test]
    fn a_template_keeps_its_components(typed in typed()) {
        let text = "cn=staff {user}+uid={user},ou=people,dc=harbourlane,dc=example";
        let name = DnTemplate::new(text).unwrap().name(&typed);
        let again: Dn = name.as_str().parse().unwrap();
        prop_assert_eq!(again.depth(), 4);
        let components: Vec<Vec<_>> = again
            .rdns()
            .map(|rdn| rdn.avas().map(|ava| (ava.attribute_type().to_owned(), ava.value().into_owned())).collect())
            .collect();
        let staff = format!("staff {typed}").into_bytes();
        prop_assert_eq!(
            &components[0],
            &vec![("cn".to_owned(), staff), ("uid".to_owned(), typed.as_bytes().to_vec())]
        );
        prop_assert_eq!(&components[1], &vec![("ou".to_owned(), b"people".to_vec())]);
    }
}

/// In front of a real directory nothing of it finds anybody.
#[tokio::test]
async fn attacks_find_nobody() {
    let world = World::new(|_| ()).await;
    let by_search = world.builder().build();
    let template = DnTemplate::new("uid={user},ou=people,dc=harbourlane,dc=example").unwrap();
    let by_template =
        flext_ldap_identity::Authenticator::builder(world.sessions(), world.store.clone(), template).build();
    for name in [
        "*",
        "a*",
        "anna)(uid=*",
        "*)(|(uid=anna",
        "anna\\2a",
        "\\61nna",
        "uid=anna",
        "anna,ou=people,dc=harbourlane,dc=example",
        "anna+cn=anna Quay",
        "#0404616e6e61",
        "\"anna\"",
        "{user}",
    ] {
        for authenticator in [&by_search, &by_template] {
            let refusal = authenticator.sign_in(name, secret(RIGHT)).await.unwrap_err();
            assert_eq!(refusal.to_string(), "The name or the password is wrong.", "{name}: {refusal:?}");
        }
    }
}
