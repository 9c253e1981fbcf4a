//! URLs both ways, and where they are wrong.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> LdapUrl {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The parts of a URL as text: host, port, dn, attributes, scope, filter, extensions.
fn parts(text: &str) -> [String; 7] {
    let url = parse(text);
    let selectors: Vec<_> = url.attributes.selectors().iter().map(ToString::to_string).collect();
    [
        url.host.clone(),
        url.port().to_string(),
        url.dn.to_string(),
        selectors.join(","),
        url.scope.map_or_else(String::new, |scope| format!("{scope:?}")),
        url.filter.as_ref().map_or_else(String::new, ToString::to_string),
        url.extensions.join("|"),
    ]
}

#[test]
fn examples_and_liberties() {
    let table: &[(&str, [&str; 7])] = &[
        // RFC 4516 §4.
        (
            "ldap:///o=University%20of%20Michigan,c=US",
            ["", "389", "o=University of Michigan,c=US", "", "", "", ""],
        ),
        (
            "ldap://ldap1.example.net/o=University%20of%20Michigan,c=US",
            ["ldap1.example.net", "389", "o=University of Michigan,c=US", "", "", "", ""],
        ),
        (
            "ldap://ldap1.example.net/o=University%20of%20Michigan,c=US?postalAddress",
            ["ldap1.example.net", "389", "o=University of Michigan,c=US", "postalAddress", "", "", ""],
        ),
        (
            "ldap://ldap1.example.net:6666/o=University%20of%20Michigan,c=US??sub?(cn=Babs%20Jensen)",
            [
                "ldap1.example.net",
                "6666",
                "o=University of Michigan,c=US",
                "",
                "Subtree",
                "(cn=Babs Jensen)",
                "",
            ],
        ),
        (
            "LDAP://ldap1.example.com/c=GB?objectClass?ONE",
            ["ldap1.example.com", "389", "c=GB", "objectClass", "One", "", ""],
        ),
        (
            "ldap://ldap2.example.com/o=Question%3f,c=US?mail",
            ["ldap2.example.com", "389", "o=Question?,c=US", "mail", "", "", ""],
        ),
        (
            "ldap://ldap3.example.com/o=Babsco,c=US???(four-octet=%5c00%5c00%5c00%5c04)",
            ["ldap3.example.com", "389", "o=Babsco,c=US", "", "", r"(four-octet=\00\00\00\04)", ""],
        ),
        (
            "ldap://ldap.example.com/o=An%20Example%5C2C%20Inc.,c=US",
            ["ldap.example.com", "389", r"o=An Example\2C Inc.,c=US", "", "", "", ""],
        ),
        ("ldap://ldap.example.net", ["ldap.example.net", "389", "", "", "", "", ""]),
        ("ldap://ldap.example.net/", ["ldap.example.net", "389", "", "", "", "", ""]),
        ("ldap://ldap.example.net/?", ["ldap.example.net", "389", "", "", "", "", ""]),
        (
            "ldap:///??sub??e-bindname=cn=Manager%2cdc=example%2cdc=com",
            ["", "389", "", "", "Subtree", "", "e-bindname=cn=Manager,dc=example,dc=com"],
        ),
        (
            "ldap:///??sub??!e-bindname=cn=Manager%2cdc=example%2cdc=com",
            ["", "389", "", "", "Subtree", "", "!e-bindname=cn=Manager,dc=example,dc=com"],
        ),
        // Hosts.
        ("ldaps://[2001:db8::7]:1636/", ["2001:db8::7", "1636", "", "", "", "", ""]),
        ("ldaps://[::1]", ["::1", "636", "", "", "", "", ""]),
        ("ldap://[fe80::1%25eth0]:389", ["fe80::1%eth0", "389", "", "", "", "", ""]),
        ("ldap://10.0.0.7:/", ["10.0.0.7", "389", "", "", "", "", ""]),
        ("ldap://:3890", ["", "3890", "", "", "", "", ""]),
        ("ldapi:///", ["", "389", "", "", "", "", ""]),
        ("ldapi://%2Fvar%2Frun%2Fldapi/dc=example", ["/var/run/ldapi", "389", "dc=example", "", "", "", ""]),
        ("ldapi://%2ftmp%2fa%3ab%20c", ["/tmp/a:b c", "389", "", "", "", "", ""]),
        ("ldapi:///run/slapd/ldapi", ["/run/slapd/ldapi", "389", "", "", "", "", ""]),
        // Parts.
        (
            "ldap:///dc=example?cn,sn;lang-en,*,%2B,@person?children?cn=a b?x,!y=%21z,",
            ["", "389", "dc=example", "cn,sn;lang-en,*,+,@person", "Children", "(cn=a b)", "x|!y=!z"],
        ),
        ("ldap:///dc=example????", ["", "389", "dc=example", "", "", "", ""]),
        ("ldap:///o=Lu%c4%8di%C4%87/x", ["", "389", "o=Lučić/x", "", "", "", ""]),
    ];
    for (text, want) in table {
        assert_eq!(parts(text), *want, "{text}");
        let url = parse(text);
        assert_eq!(parse(&url.to_string()), url, "{text} printed as {url}");
    }
}

#[test]
fn printing_is_short_and_safe() {
    let table = [
        ("LDAP://h/", "ldap://h"),
        ("ldap:///", "ldap:///"),
        ("ldap://h:389/????", "ldap://h:389"),
        ("ldap://[::1]:3890/dc=a b??sub", "ldap://[::1]:3890/dc=a%20b??sub"),
        ("ldapi://%2frun%2fldapi/", "ldapi://%2Frun%2Fldapi"),
        (
            "ldap:///o=a%3fb?cn?one?(|(a=%25)(b=?))?x".replacen("b=?", "b=%3f", 1).as_str(),
            "ldap:///o=a%3Fb?cn?one?(%7C(a=%25)(b=%3F))?x",
        ),
        ("ldap:///????x=a%2cb,!y", "ldap:///????x=a%2Cb,!y"),
    ]
    .map(|(text, want)| (text.to_owned(), want));
    for (text, want) in table {
        assert_eq!(parse(&text).to_string(), want, "{text}");
    }
}

#[test]
fn errors_have_offsets() {
    use UrlErrorKind::{Dn, Filter, Host, Percent, Port, Scheme, Scope, TrailingText};

    let table: &[(&str, usize, UrlErrorKind)] = &[
        ("", 0, Scheme),
        ("ldap", 0, Scheme),
        ("ldap:/h", 0, Scheme),
        ("http://h", 0, Scheme),
        ("ldapx://h", 0, Scheme),
        ("ldap://h h", 8, Host),
        ("ldap://a%20b", 8, Host),
        ("ldap://user@h", 11, Host),
        ("ldap://h?cn", 8, Host),
        ("ldap://[::1", 7, Host),
        ("ldap://[::g]", 8, Host),
        ("ldap://[::1]x", 12, Host),
        ("ldap://::1", 8, Port),
        ("ldap://h:65536", 9, Port),
        ("ldap://h:+1", 9, Port),
        ("ldap://h:x/", 9, Port),
        ("ldap://h%zz", 8, Percent),
        ("ldap://h/%4", 9, Percent),
        ("ldap:///dc=%ff", 11, Percent),
        ("ldap:///dc=a%c3b", 12, Percent),
        ("ldap:///?cn,%", 12, Percent),
        ("ldap:///dc", 10, Dn),
        ("ldap:///o=%61%22b", 13, Dn),
        ("ldap:///??tree", 10, Scope),
        ("ldap:///???(cn=%28)", 15, Filter),
        ("ldap:///???(cn", 14, Filter),
        ("ldap:///?????x", 12, TrailingText),
    ];
    for (text, offset, kind) in table {
        assert_eq!(text.parse::<LdapUrl>(), Err(UrlError { offset: *offset, kind: *kind }), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text(text in prop_oneof![
        any::<String>(),
        r"ldap[si]?://[a-c%2:\[\]]{0,8}(/[a-c=,%25cé ]{0,8}(\?[a-c=,()!*%2 |?]{0,8}){0,4})?",
    ]) {
        if let Ok(url) = text.parse::<LdapUrl>() {
            prop_assert_eq!(parse(&url.to_string()), url);
        }
    }

    #[test]
    fn any_parts(path in any::<String>(), value in any::<Vec<u8>>(), extension in "[^\0]{1,12}") {
        let name = "ou".parse().unwrap();
        let mut url = parse("ldapi:///");
        url.host = path;
        url.dn = crate::dn::Rdn::new(&name, &value).into();
        url.filter = Some(Filter::equality(name, value));
        url.extensions = vec![extension, "!x".to_owned()];
        prop_assert_eq!(parse(&url.to_string()), url);
    }
}
