use super::*;
use crate::attribute::Attributes;

fn attributes(list: &[(&str, &[&[u8]])]) -> Attributes {
    let mut attributes = Attributes::builder();
    for (description, values) in list {
        attributes.push(description, *values);
    }
    attributes.build()
}

fn violations_of(dn: &str, list: &[(&str, &[&[u8]])]) -> Vec<Violation> {
    Schema::standard().violations(&dn.parse().unwrap(), attributes(list).as_ref())
}

const NAME: &str = "uid=ada,ou=people,dc=harbourlane,dc=example";

/// A right entry, to which others add.
const ADA: &[(&str, &[&[u8]])] = &[
    ("objectClass", &[b"inetOrgPerson"]),
    ("uid", &[b"ada"]),
    ("cn", &[b"Ada Byron", b"Ada"]),
    ("sn", &[b"Byron"]),
];

fn ada_and(more: &[(&str, &[&[u8]])]) -> Vec<Violation> {
    violations_of(NAME, &[ADA, more].concat())
}

#[test]
fn right_entries_have_no_violations() {
    assert_eq!(violations_of(NAME, ADA), []);
    assert_eq!(
        violations_of(
            "CN=Crew+gidNumber=7,dc=harbourlane,dc=example",
            &[
                ("objectclass", &[b"TOP", b"2.5.6.9", b"posixGroup"]),
                ("2.5.4.3", &[b"crew"]),
                ("member", &[b"uid=ada,dc=example", b"uid=ben,dc=example"]),
                ("gidNumber", &[b"7"]),
                ("createTimestamp", &[b"20260131120000Z"]),
                ("entryUUID", &[b"597ae2f6-16a6-1027-98f4-d28b5365dc14"]),
                ("description;lang-en", &[b"crew"]),
                ("description;lang-nl", &[b"crew"]),
            ]
        ),
        []
    );
    assert_eq!(
        ada_and(&[("userCertificate;binary", &[b"\x30\x00", b"\x30\x01"]), ("jpegPhoto", &[b"\xff\xd8"])]),
        []
    );
    let anything = [
        ("objectClass", &[&b"device"[..], b"extensibleObject"][..]),
        ("cn", &[b"x"]),
        ("mail", &[b"a@example.com"]),
    ];
    assert_eq!(violations_of("cn=x", &anything), []);
}

#[test]
fn every_violation_is_reported() {
    let found = violations_of(
        "uid=ada+employeeNumber=7+berth=3,dc=example",
        &[
            ("objectClass", &[b"person", b"sailor", b"organization", b"shadowAccount"]),
            ("cn", &[b"Ada", b"\xff", b"ADA "]),
            ("commonName", &[b"ada"]),
            ("uid", &[b"Ada"]),
            ("uidNumber", &[b"1", b"2"]),
            ("rank", &[b"1"]),
            ("mail", &["é@example.com".as_bytes()]),
            ("seeAlso", &[b"cn=x,dc=example", b"CN=X, DC=example"]),
        ],
    );
    let name = |text: &str| text.to_owned();
    assert_eq!(
        found,
        [
            Violation::UnknownAttribute(name("rank")),
            Violation::UnknownClass(name("sailor")),
            Violation::TwoStructuralClasses(name("person"), name("organization")),
            Violation::MissingAttribute { class: name("person"), attribute: name("sn") },
            Violation::MissingAttribute { class: name("organization"), attribute: name("o") },
            Violation::AttributeNotAllowed(name("mail")),
            Violation::AttributeNotAllowed(name("uidNumber")),
            Violation::InvalidSyntax { attribute: name("cn"), index: 2, syntax: "Directory String" },
            Violation::DuplicateValue { attribute: name("cn"), index: 3 },
            Violation::DuplicateValue { attribute: name("commonName"), index: 1 },
            Violation::DuplicateValue { attribute: name("seeAlso"), index: 2 },
            Violation::InvalidSyntax { attribute: name("mail"), index: 1, syntax: "IA5 String" },
            Violation::TooManyValues(name("uidNumber")),
            Violation::NameValueMissing(name("employeeNumber=7")),
            Violation::UnknownAttribute(name("berth")),
        ]
    );
}

#[test]
fn what_one_class_allows_another_may_require() {
    let number = ("uidNumber", &[&b"1"[..]][..]);
    let missing = |attribute: &str| Violation::MissingAttribute {
        class: "posixAccount".to_owned(),
        attribute: attribute.to_owned(),
    };
    let classes = ("objectClass", &[&b"inetOrgPerson"[..], b"posixAccount", b"shadowAccount"][..]);
    let found = violations_of("cn=Ada", &[classes, ("cn", &[b"Ada"]), ("sn", &[b"Byron"]), number]);
    assert_eq!(found, [missing("uid"), missing("gidNumber"), missing("homeDirectory")]);
}

#[test]
fn structural_classes_are_one_chain() {
    let structural = |classes: &[&str]| {
        Schema::standard()
            .structural_class(classes.iter().map(|class| class.as_bytes()))
            .map(|class| class.name())
    };
    assert_eq!(structural(&["top", "person", "inetOrgPerson", "posixAccount"]), Some("inetOrgPerson"));
    assert_eq!(structural(&["inetOrgPerson", "organizationalPerson", "PERSON"]), Some("inetOrgPerson"));
    assert_eq!(structural(&["person", "residentialPerson"]), Some("residentialPerson"));
    assert_eq!(structural(&["residentialPerson", "organizationalPerson"]), None);
    assert_eq!(structural(&["top", "posixAccount", "unknown"]), None);
    assert_eq!(structural(&[]), None);
    let no_class = violations_of("cn=x", &[("objectClass", &[b"posixGroup"]), ("gidNumber", &[b"1"])]);
    assert!(no_class.contains(&Violation::NoStructuralClass), "{no_class:?}");
    let with_option =
        violations_of("cn=x", &[("objectClass;x-odd", &[b"person"]), ("cn", &[b"x"]), ("sn", &[b"x"])]);
    assert!(with_option.contains(&Violation::NoStructuralClass), "{with_option:?}");
    let nothing = violations_of("", &[]);
    let missing =
        Violation::MissingAttribute { class: "top".to_owned(), attribute: "objectClass".to_owned() };
    assert_eq!(nothing, [Violation::NoStructuralClass, missing]);
}

#[test]
fn values_with_options_are_counted_for_themselves() {
    assert_eq!(ada_and(&[("displayName;lang-en", &[b"A"]), ("displayName;lang-fr", &[b"A"])]), []);
    assert_eq!(
        ada_and(&[("displayName;lang-en", &[b"A"]), ("displayName;LANG-EN", &[b"B"])]),
        [Violation::TooManyValues("displayName;lang-en".to_owned())]
    );
    assert_eq!(
        ada_and(&[("userCertificate;binary", &[b"\x30\x00", b"\x30\x00"])]),
        [Violation::DuplicateValue { attribute: "userCertificate;binary".to_owned(), index: 2 }]
    );
}

#[test]
fn an_attribute_with_many_values_is_checked_in_one_pass() {
    let values: Vec<String> = (0..20_000).map(|number| format!("uid=u{number},dc=example")).collect();
    let mut list = Attributes::builder();
    list.push("objectClass", ["groupOfNames"]);
    list.push("cn", ["crew"]);
    list.push("member", values.iter().chain([&values[0].to_uppercase()]));
    let found = Schema::standard().violations(&"cn=crew".parse().unwrap(), list.build().as_ref());
    assert_eq!(found, [Violation::DuplicateValue { attribute: "member".to_owned(), index: 20_001 }]);
}
