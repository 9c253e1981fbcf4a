use super::*;

fn key(dn: &str) -> Result<DnKey, NameError> {
    Schema::standard().dn_key(&dn.parse().unwrap())
}

#[test]
fn names_that_mean_the_same_have_the_same_key() {
    #[rustfmt::skip]
    let table: &[(&[&str], &[&str])] = &[
        (&[r"CN=A\2cB , OU = x", r"cn=a\,b,ou=X", r#"commonName="a,B";organizationalUnitName= x "#, "2.5.4.3=#0403612c42,OID.2.5.4.11=x"],
         &[r"cn=a,ou=x", r"cn=ab,ou=x", r"ou=x,cn=a\,b", r"cn=a\,b,ou=x,dc=example"]),
        (&["uid=7+cn=x", "CN=X+UID=7", "2.5.4.3=x + 0.9.2342.19200300.100.1.1=7"], &["cn=x,uid=7", r"cn=x\+uid\=7", "cn=x"]),
        (&["cn=Ada  Byron", r"cn=\20ada byron\20", "cn=ADA BYRON"], &["cn=adabyron"]),
        (&["cn=Straße", "cn=STRASSE", r"cn=stra\c3\9fe"], &["cn=strase"]),
        (&["uidNumber=10"], &["uidNumber=1", "gidNumber=10"]),
        (&["dc=Example"], &["dc=example,dc=example"]),
        (&["member=cn=A\\,dc=example", "member=CN=a\\, DC=Example"], &["member=cn=a\\,dc=example2"]),
        (&[""], &["cn=x"]),
    ];
    for (same, others) in table {
        let first = key(same[0]).unwrap();
        for dn in *same {
            assert_eq!(key(dn).unwrap(), first, "{dn}");
        }
        for dn in *others {
            assert_ne!(key(dn).unwrap(), first, "{dn}");
        }
    }
}

#[test]
fn keys_nest_as_names_do() {
    let base = key("ou=People,dc=harbourlane,dc=example").unwrap();
    let child = key("UID=ada, OU=people, DC=HarbourLane, DC=example").unwrap();
    assert!(child.is_within(&base) && base.is_within(&base) && !base.is_within(&child));
    assert_eq!(child.parent(), Some(base));
    assert_eq!(child.rdns()[0].as_bytes(), b"0.9.2342.19200300.100.1.1=ada");
}

#[test]
fn names_the_schema_cannot_judge_are_refused() {
    assert_eq!(
        key("berth=7,dc=example").unwrap_err().to_string(),
        "berth: the attribute type is not defined"
    );
    assert_eq!(key("uidNumber=seven").unwrap_err().to_string(), "uidNumber: not a valid INTEGER");
    assert_eq!(key("cn=,dc=example").unwrap_err().to_string(), "cn: not a valid Directory String");
    assert_eq!(key("c=NLD").unwrap_err().to_string(), "c: not a valid Country String");
    // X.501 §9.3: the types of one component differ, also when they are spelt in two ways.
    for twice in ["cn=a+uid=b+CN=c", "cn=a+commonName=a", "2.5.4.3=a+cn=b,dc=example"] {
        assert_eq!(
            key(twice).unwrap_err().to_string(),
            "2.5.4.3: the attribute type stands twice in one component"
        );
    }
}

#[test]
fn descriptions_are_within_supertypes_and_fewer_options() {
    for (description, selected, expected) in [
        ("cn", "name", true),
        ("name", "cn", false),
        ("commonName", "CN", true),
        ("2.5.4.3", "cn", true),
        ("cn;lang-en", "cn", true),
        ("cn;lang-en;x-a", "name;X-A", true),
        ("cn", "cn;lang-en", false),
        ("cn;lang-de", "cn;lang-en", false),
        ("userCertificate;binary", "userCertificate", true),
        ("member", "distinguishedName", true),
        ("member", "owner", false),
        ("berth", "BERTH", true),
        ("berth;x", "berth", true),
        ("berth", "pier", false),
        ("berth", "cn", false),
    ] {
        let wanted: AttributeDescription = selected.parse().unwrap();
        assert_eq!(Schema::standard().is_within(description, &wanted), expected, "{description} {selected}");
    }
}

#[test]
fn lookups_are_by_name_or_oid_in_any_case_and_length() {
    let schema = Schema::standard();
    let name = |key: &str| schema.attribute_type(key).map(AttributeType::name);
    assert_eq!(name("RFC822MAILBOX"), Some("mail"));
    assert_eq!(name("0.9.2342.19200300.100.1.3"), Some("mail"));
    assert_eq!(name(""), None);
    assert_eq!(name("mail;lang-en"), None);
    assert_eq!(name(&"x".repeat(1_000)), None);
    let long = "berth".repeat(20);
    let mut builder = Schema::builder();
    builder.add_openldap(&format!("attributetype ( 1.2.3 NAME '{long}' SYNTAX 1.2 )"));
    let schema = builder.build().unwrap();
    assert_eq!(schema.attribute_type(&long.to_uppercase()).map(|found| &*found.oid), Some("1.2.3"));
}

#[test]
fn classes_have_the_attributes_of_their_superclasses() {
    let schema = Schema::standard();
    let person = schema.object_class("organizationalPerson").unwrap();
    assert_eq!(
        schema.superclasses(person).map(ObjectClass::name).collect::<Vec<_>>(),
        ["organizationalPerson", "person", "top"]
    );
    let names: Vec<_> = schema.class_attributes(person).map(AttributeType::name).collect();
    assert!(["objectClass", "sn", "cn", "userPassword", "title"].iter().all(|name| names.contains(name)));
    assert!(!names.contains(&"mail"));
    assert_eq!(names.len(), 1 + 2 + 4 + 17);
}

#[test]
fn identifiers_in_values_are_looked_up_in_the_schema_at_hand() {
    let mut builder = Schema::standard().to_builder();
    builder.add_openldap("objectclass ( 1.2.3.4 NAME ( 'vessel' 'ship' ) SUP top STRUCTURAL MUST cn )");
    let schema = builder.build().unwrap();
    let class = schema.attribute_type("objectClass").unwrap();
    for value in ["Ship", "1.2.3.4", "vessel"] {
        assert_eq!(schema.normalize(class, value.as_bytes()).unwrap(), &b"vessel"[..]);
    }
    assert_eq!(Schema::standard().normalize(class, b"Ship").unwrap(), &b"ship"[..]);
}
