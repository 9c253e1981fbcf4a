//! Names as values: parts, building, and what no value can do to a name.

use proptest::prelude::*;

use super::*;

fn dn(text: &str) -> Dn {
    text.parse().unwrap()
}

fn attribute(text: &str) -> AttributeDescription {
    text.parse().unwrap()
}

#[test]
fn parts_keep_their_spelling() {
    let name = dn(" CN=Ana \\2c B + sn=\"B\" ; OU=x , dc=Example ");
    assert_eq!(name.as_str(), "CN=Ana \\2c B + sn=\"B\" ; OU=x , dc=Example");
    assert_eq!(name.depth(), 3);
    let rdns: Vec<_> = name.rdns().map(RdnRef::as_str).collect();
    assert_eq!(rdns, ["CN=Ana \\2c B + sn=\"B\"", "OU=x", "dc=Example"]);
    let leaf = name.rdn().unwrap();
    assert_eq!(leaf.as_str(), "CN=Ana \\2c B + sn=\"B\"");
    let parent = name.parent().unwrap();
    assert_eq!(parent.as_str(), "OU=x , dc=Example");
    assert_eq!(parent.rdn().unwrap().as_ref().avas().next().unwrap().value(), &b"x"[..]);
    let child = parent.child(&leaf);
    assert_eq!(child.as_str(), "CN=Ana \\2c B + sn=\"B\",OU=x , dc=Example");
    let values: Vec<_> = child.rdns().flat_map(RdnRef::avas).map(|ava| ava.value().into_owned()).collect();
    assert_eq!(values, [&b"Ana , B"[..], b"B", b"x", b"Example"]);
    assert_eq!(parent.parent().unwrap().parent(), Some(Dn::root()));
    assert_eq!(Dn::root().parent(), None);
    assert_eq!(Dn::root().rdn(), None);
    assert_eq!(Dn::root().child(&leaf), Dn::from(leaf));
}

#[test]
fn a_new_leaf_takes_the_place_of_the_old() {
    let rdn = Rdn::new(&attribute("cn"), b"Kai, jr").and(&attribute("uid"), b"k");
    assert_eq!(dn("uid=kai,ou=x").with_rdn(&rdn).unwrap().as_str(), r"cn=Kai\, jr+uid=k,ou=x");
    assert_eq!(dn("uid=kai").with_rdn(&rdn).unwrap().as_str(), r"cn=Kai\, jr+uid=k");
    assert_eq!(Dn::root().with_rdn(&rdn), None);
    let built: Dn = [rdn, "ou=x".parse().unwrap()].into_iter().collect();
    assert_eq!(built.as_str(), r"cn=Kai\, jr+uid=k,ou=x");
    assert_eq!(built.depth(), 2);
}

#[test]
fn relative_names_have_one_component() {
    let error = |text: &str| text.parse::<Rdn>().unwrap_err();
    assert_eq!(error(""), DnError { offset: 0, kind: DnErrorKind::NotOneComponent });
    assert_eq!(error(" cn=a, dc=b"), DnError { offset: 7, kind: DnErrorKind::NotOneComponent });
    assert_eq!(error("cn=a,"), DnError { offset: 5, kind: DnErrorKind::ExpectedType });
    assert_eq!("cn=a+sn=b".parse::<Rdn>().unwrap().as_ref().avas().count(), 2);
}

#[test]
fn escapes_are_those_of_rfc_4514() {
    let table: &[(&[u8], &str)] = &[
        (b"", "cn="),
        (b" ", r"cn=\ "),
        (b"  ", r"cn=\ \ "),
        (b"   ", r"cn=\  \ "),
        (b"#a#", r"cn=\#a#"),
        (b" #", r"cn=\ #"),
        (br#",+"\<>;="#, r#"cn=\,\+\"\\\<\>\;="#),
        (b"a\0b", r"cn=a\00b"),
        (b"line\r\nbreak", r"cn=line\0d\0abreak"),
        ("Lučić".as_bytes(), "cn=Lučić"),
        (b"\xff\xfe", "cn=#0402fffe"),
        (b"x,dc=evil", r"cn=x\,dc=evil"),
        (b"x+uid=root", r"cn=x\+uid=root"),
        (b"x;dc=evil", r"cn=x\;dc=evil"),
    ];
    for (value, want) in table {
        assert_eq!(Rdn::new(&attribute("cn"), value).as_str(), *want, "{value:?}");
    }
    // An option would end the component where `;` separates.
    assert_eq!(Rdn::new(&attribute("cn;lang-en"), b"x").as_str(), "cn=x");
}

#[test]
fn long_octets_have_a_long_length() {
    for length in [0x7f, 0x80, 0xff, 0x100, 0x1234] {
        let value = vec![0xff; length];
        let rdn = Rdn::new(&attribute("cn"), &value);
        let read: Rdn = rdn.as_str().parse().unwrap();
        assert_eq!(read.as_ref().avas().next().unwrap().value(), &value[..], "{length}");
    }
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<String>().prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..40),
        // Mostly what has a meaning in names.
        proptest::collection::vec(proptest::sample::select(&b" #\"\\+,;<>=\0aF4\xc3\xa9"[..]), 0..12),
    ]
}

proptest! {
    /// security: LDAP injection, DN. No value adds or changes a component, and the value read is the value given.
    #[test]
    fn ldap_injection_dn_template(value in octets(), other in octets()) {
        let template = dn("ou=people,dc=example");
        let rdn = Rdn::new(&attribute("uid"), &value);
        let built = template.child(&rdn);
        let read: Dn = built.as_str().parse().unwrap();
        prop_assert_eq!(read.depth(), 3);
        prop_assert_eq!(read.parent().unwrap(), template);
        let avas: Vec<_> = read.rdns().next().unwrap().avas().collect();
        prop_assert_eq!(avas.len(), 1);
        prop_assert_eq!(avas[0].attribute_type(), "uid");
        prop_assert_eq!(avas[0].value(), &value[..]);
        // What was built knows its parts as what was parsed does.
        let direct = built.rdn().unwrap();
        prop_assert_eq!(direct.as_ref().avas().next().unwrap().value(), &value[..]);

        let pair = rdn.and(&attribute("cn"), &other);
        let read: Rdn = pair.as_str().parse().unwrap();
        let values: Vec<_> = read.as_ref().avas().map(|ava| ava.value().into_owned()).collect();
        prop_assert_eq!(values, [value, other]);
    }

    /// Any text is refused or read, and what is read keeps its parts when it is taken apart and put together.
    #[test]
    fn any_text(text in prop_oneof![any::<String>(), "[a-z0-9=,;+\"# \\\\.\u{e9}]{0,24}"]) {
        if let Ok(name) = text.parse::<Dn>() {
            let values = |name: &Dn| -> Vec<(String, Vec<u8>)> {
                let avas = name.rdns().flat_map(RdnRef::avas);
                avas.map(|ava| (ava.attribute_type().to_owned(), ava.value().into_owned())).collect()
            };
            let again: Dn = name.rdns().map(RdnRef::to_rdn).collect();
            let read: Dn = again.as_str().parse().unwrap();
            prop_assert_eq!(values(&name), values(&again));
            prop_assert_eq!(values(&name), values(&read));
            prop_assert_eq!(name.depth(), read.depth());
        }
    }
}
