use proptest::prelude::*;

use super::*;

fn rule(name: &str) -> MatchingRule {
    MatchingRule::find(name).unwrap()
}

/// For each rule values that are one to it, and values that are others.
type Table = [(&'static str, &'static [&'static [u8]], &'static [&'static [u8]])];

#[rustfmt::skip]
const EQUALITY: &Table = &[
    ("bitStringMatch", &[b"'010'B"], &[b"'01'B", b"'0100'B"]),
    ("booleanMatch", &[b"TRUE"], &[b"FALSE"]),
    ("caseExactIA5Match", &[b"A  b", b" A b "], &[b"a b", b"Ab"]),
    ("caseExactMatch", &["É  x".as_bytes(), "E\u{301} x".as_bytes()], &["é x".as_bytes(), b"E x"]),
    ("caseIgnoreIA5Match", &[b"Ada@Example.com", b" ada@example.COM"], &[b"ada@example.org"]),
    ("caseIgnoreListMatch", &[b"Quay 1$Harbour  Town", b"QUAY  1 $ harbour town"], &[b"Quay 1", b"Quay 1 Harbour Town", b"Quay$1 Harbour Town"]),
    ("caseIgnoreMatch", &["Straße".as_bytes(), b"STRASSE", b" strasse ", "stra\u{ad}sse".as_bytes()], &[b"strase", b"stra sse"]),
    ("caseIgnoreMatch", &["ΣΊΣΥΦΟΣ".as_bytes(), "σίσυφος".as_bytes()], &["σισυφος".as_bytes()]),
    ("caseIgnoreMatch", &["ﬁn Ａ".as_bytes(), b"FIN\ta"], &[b"fn a"]),
    ("directoryStringFirstComponentMatch", &[b"( 'Red' x )", b"red"], &[b"( 'green' red )"]),
    ("generalizedTimeMatch", &[b"20260131120000Z", b"202601311300+0100", b"20260131120000.0Z", b"2026013112Z", b"2026013112.5+0030"], &[b"20260131120001Z", b"20260131120000.1Z"]),
    ("integerFirstComponentMatch", &[b"( 2 NAME 'x' FORM y )", b"2"], &[b"( 22 NAME 'x' )", b"3"]),
    ("integerMatch", &[b"42"], &[b"-42", b"4", b"420"]),
    ("numericStringMatch", &[b"15 079 672", b"15079672 "], &[b"15079673"]),
    ("objectIdentifierFirstComponentMatch", &[b"( 2.5.4.3 NAME 'cn' )", b"cn", b"commonName", b"(2.5.4.3)"], &[b"( 2.5.4.4 NAME 'cn' )"]),
    ("objectIdentifierMatch", &[b"person", b"PERSON", b"2.5.6.6"], &[b"organizationalPerson", b"2.5.6.7"]),
    ("objectIdentifierMatch", &[b"notKnown", b"NOTKNOWN"], &[b"1.2.3"]),
    ("octetStringMatch", &[b"a\xff"], &[b"A\xff", b"a\xff "]),
    ("telephoneNumberMatch", &[b"+31 20-555 0100", b"+31205550100", b"+31-20 555-0100 "], &[b"+31205550101"]),
    ("uniqueMemberMatch", &[b"CN=x, dc=example#'01'B", b"cn=X,DC=example#'01'B"], &[b"cn=x,dc=example", b"cn=x,dc=example#'1'B"]),
    ("uniqueMemberMatch", &[br"homeDirectory=a\23'01'B"], &[b"homeDirectory=a#'01'B"]),
    ("uuidMatch", &[b"597ae2f6-16a6-1027-98f4-d28b5365dc14", b"597AE2F6-16A6-1027-98F4-D28B5365DC14"], &[b"597ae2f6-16a6-1027-98f4-d28b5365dc15"]),
    ("uTCTimeMatch", &[b"2601311200Z", b"260131130000+0100"], &[b"2501311200Z"]),
    ("CSNMatch", &[b"20260131120000.000000Z#00000A#00f#000000", b"20260131120000Z#00000a#0F#000000"], &[b"20260131120000.000001Z#00000a#00f#000000"]),
    ("CSNSIDMatch", &[b"0fF", b"0ff"], &[b"0fe"]),
    ("distinguishedNameMatch",
        &[br"CN=A\2cB , OU = x", br"cn=a\,b,ou=X", b"2.5.4.3=\"A,b\";2.5.4.11=x", b"commonName=#0403412c42,ou=x"],
        &[b"cn=a,ou=x", br"cn=a\,b", br"cn=a\,b\,ou\=x", br"ou=x,cn=a\,b"]),
    ("distinguishedNameMatch", &[b"uid=7+cn=x,dc=example", b"CN=X + UID=7,dc=Example"], &[br"cn=x\+uid\=7,dc=example"]),
    ("distinguishedNameMatch", &[b"notKnown=A  b", b"NOTKNOWN=a B"], &[b"notKnown=ab"]),
    ("distinguishedNameMatch", &[b""], &[b"cn=x"]),
];

#[test]
fn equal_values_have_equal_octets_and_others_do_not() {
    for (name, equal, different) in EQUALITY {
        let rule = rule(name);
        let first = rule.normalize(equal[0]).unwrap();
        for value in *equal {
            assert_eq!(rule.normalize(value).unwrap(), first, "{name}: {}", value.escape_ascii());
            assert_eq!(rule.matches(value, equal[0]), Ok(true), "{name}: {}", value.escape_ascii());
        }
        for value in *different {
            assert_ne!(rule.normalize(value).unwrap(), first, "{name}: {}", value.escape_ascii());
            assert_eq!(rule.matches(value, equal[0]), Ok(false), "{name}: {}", value.escape_ascii());
        }
    }
}

/// Values in the order the rule gives them.
#[rustfmt::skip]
const ORDERING: &[(&str, &[&[u8]])] = &[
    ("caseExactOrderingMatch", &[b"A", b"B", b"a", b"a a", b"b"]),
    ("caseIgnoreOrderingMatch", &[b"A", b"a a", b"ab", b"B", "é".as_bytes()]),
    ("generalizedTimeOrderingMatch", &[b"00000101000000Z", b"19691231235959.9Z", b"19700101000000Z", b"20260131120000Z",
        b"20260131120000.000000001Z", b"20260131120000.5Z", b"20260131120000-0001", b"99991231235959Z"]),
    ("integerOrderingMatch", &[b"-123456789012345678901", b"-100", b"-99", b"-2", b"-1", b"0", b"1", b"9", b"10", b"100", b"123456789012345678901"]),
    ("numericStringOrderingMatch", &[b"1", b"10", b"1 1", b"2"]),
    ("octetStringOrderingMatch", &[b"", b"\x00", b"a", b"ab", b"b", b"\xff"]),
    ("uuidOrderingMatch", &[b"097ae2f6-16a6-1027-98f4-d28b5365dc14", b"597AE2F6-16A6-1027-98F4-D28B5365DC14", b"a97ae2f6-16a6-1027-98f4-d28b5365dc14"]),
    ("CSNOrderingMatch", &[b"20260131120000Z#000000#01#000000", b"20260131120000.000001Z#000000#001#000000", b"20260131120000.000001Z#000001#000#000000"]),
    ("uTCTimeOrderingMatch", &[b"5001010000Z", b"9912312359Z", b"0001010000Z", b"4912312359Z"]),
];

#[test]
fn octets_sort_as_the_values_do() {
    for (name, values) in ORDERING {
        let keys: Vec<_> = values.iter().map(|value| rule(name).normalize(value).unwrap()).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "{name}: {keys:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_the_name_of_the_syntax() {
    let table: &[(&str, &[u8], &str)] = &[
        ("caseIgnoreMatch", b"\xff", "Directory String"),
        ("caseIgnoreMatch", "\u{e000}".as_bytes(), "Directory String"),
        ("caseIgnoreMatch", "a\u{fffd}".as_bytes(), "Directory String"),
        ("caseIgnoreIA5Match", "é".as_bytes(), "IA5 String"),
        ("integerMatch", b"ten", "INTEGER"),
        ("distinguishedNameMatch", b"x", "DN"),
        ("generalizedTimeMatch", b"20260230000000Z", "Generalized Time"),
        ("objectIdentifierMatch", b"2..5", "OID"),
        ("CSNMatch", b"x", "Change Sequence Number"),
        ("integerBitAndMatch", b"99999999999999999999", "INTEGER"),
    ];
    for (name, value, syntax) in table {
        assert_eq!(rule(name).matches(value, value), Err(SyntaxError { syntax }), "{name}");
    }
}

#[test]
fn what_is_normal_already_is_borrowed() {
    for (name, value) in [
        ("caseIgnoreMatch", &b"ada byron"[..]),
        ("caseExactMatch", b"Ada Byron"),
        ("caseIgnoreIA5Match", b"ada@example.com"),
        ("telephoneNumberMatch", b"+31205550100"),
        ("numericStringMatch", b"42"),
        ("caseIgnoreListMatch", b"quay 1$harbour town"),
        ("uuidMatch", b"597ae2f6-16a6-1027-98f4-d28b5365dc14"),
        ("objectIdentifierMatch", b"person"),
        ("CSNMatch", b"20260131120000.123456Z#000000#001#000000"),
    ] {
        assert!(matches!(rule(name).normalize(value), Ok(Cow::Borrowed(_))), "{name}");
    }
}

#[test]
fn bits_and_words() {
    let table: &[(&str, &[u8], &[u8], bool)] = &[
        ("integerBitAndMatch", b"514", b"2", true),
        ("integerBitAndMatch", b"514", b"3", false),
        ("integerBitAndMatch", b"-2147483646", b"2", true),
        ("integerBitAndMatch", b"512", b"0", true),
        ("integerBitOrMatch", b"514", b"3", true),
        ("integerBitOrMatch", b"512", b"3", false),
        ("wordMatch", b"Harbour Lane, Instruments", b"lane", true),
        ("wordMatch", b"Harbour Lane, Instruments", b"instr", false),
        ("keywordMatch", b"Harbour Lane, Instruments", b"INSTRUMENTS", true),
    ];
    for (name, value, assertion, expected) in table {
        assert_eq!(rule(name).matches(value, assertion), Ok(*expected), "{name} {}", value.escape_ascii());
    }
    assert_eq!(MatchingRule::find("1.2.840.113556.1.4.803"), MatchingRule::find("INTEGERBITANDMATCH"));
}

/// `a*b` as parts.
fn parts(text: &str) -> Substrings {
    let part = |text: &str| (!text.is_empty()).then(|| Bytes::copy_from_slice(text.as_bytes()));
    let mut pieces: Vec<&str> = text.split('*').collect();
    let last = pieces.pop().and_then(part);
    let mut pieces = pieces.into_iter();
    let initial = pieces.next().and_then(part);
    Substrings { initial, any: pieces.filter_map(part).collect(), last }
}

fn has(name: &str, value: &str, assertion: &str) -> bool {
    let normal = rule(name).normalize(value.as_bytes()).unwrap();
    MatchingRule::has_substrings(&normal, &rule(name).normalize_substrings(&parts(assertion)).unwrap())
}

#[test]
fn substrings_are_found_in_order_and_without_overlap() {
    for (value, assertion, expected) in [
        ("Ada Byron", "ada*", true),
        ("Ada Byron", "*BYRON", true),
        ("Ada Byron", "*a b*", true),
        ("Ada Byron", "a*d*a*b*n", true),
        ("Ada Byron", "*b*a*", false),
        ("aba", "ab*ba", false),
        ("abab", "ab*ab", true),
        ("aXa", "a*a*a", false),
        ("Straße", "*SSE", true),
        // Insignificant spaces.
        ("Ada   Byron", "*a b*", true),
        ("Ada Byron", "*a   b*", true),
        ("Ada Byron", "ada *", true),
        ("Adam Byron", "ada *", false),
        ("Ada", "ada *", true),
        ("Ada Byron", "* byron", true),
        ("Adabyron", "* byron", false),
        ("Byron", "* byron", true),
        ("Ada Byron", "ada * byron", true),
        ("Ada Byron", "*ada * byron*", true),
        ("Ada Byron", "* ada*", true),
        ("Ada Byron", "*byron *", true),
        ("Ada Byron", "*ron b*", false),
        ("Ada", "* *", true),
        ("foo aa x", "*aa *", true),
        ("aaa x", "*aa *", true),
    ] {
        assert_eq!(has("caseIgnoreSubstringsMatch", value, assertion), expected, "{value:?} {assertion:?}");
    }
    assert!(has("telephoneNumberSubstringsMatch", "+31 20-555 0100", "*20 555-01*"));
    assert!(has("numericStringSubstringsMatch", "15 079 672", "150*7 2"));
    assert!(has("caseIgnoreListSubstringsMatch", "Quay 1$Harbour Town", "*harbour*"));
    assert!(!has("caseExactSubstringsMatch", "Ada", "ada*"));
}

#[test]
fn names_and_oids_find_rules_and_none_is_twice() {
    for rule in MatchingRule::all() {
        assert_eq!(MatchingRule::find(rule.oid()), Some(rule));
        assert_eq!(MatchingRule::find(&rule.name().to_uppercase()), Some(rule));
    }
    assert_eq!(MatchingRule::find("noSuchMatch"), None);
    assert_eq!(
        rule("caseIgnoreMatch").to_string(),
        "( 2.5.13.2 NAME 'caseIgnoreMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )"
    );
}

proptest! {
    #[test]
    fn text_is_normal_once_normalised(text in "\\PC*", name in "caseIgnoreMatch|caseExactMatch|telephoneNumberMatch") {
        if let Ok(once) = rule(&name).normalize(text.as_bytes()) {
            prop_assert_eq!(rule(&name).normalize(&once).unwrap(), once.clone());
        }
    }

    #[test]
    fn case_does_not_matter(text in "[a-zA-Zäöüß éΣσ0-9]{1,40}") {
        let normal = |text: &str| rule("caseIgnoreMatch").normalize(text.as_bytes()).unwrap().into_owned();
        prop_assert_eq!(normal(&text), normal(&text.to_uppercase()));
        prop_assert_eq!(normal(&text), normal(&text.to_lowercase()));
    }

    #[test]
    fn integers_sort_as_numbers(a: i128, b: i128) {
        let key = |number: i128| rule("integerOrderingMatch").normalize(number.to_string().as_bytes()).unwrap().into_owned();
        prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
    }

    #[test]
    fn any_octets_are_normalised_or_refused(octets: Vec<u8>) {
        for rule in MatchingRule::all() {
            let normal = rule.normalize(&octets);
            prop_assert!(normal.is_ok() || normal.is_err_and(|error| error.syntax == rule.syntax().description()));
        }
    }

    #[test]
    fn a_value_has_its_own_parts(value in "[ab ]{1,20}", cuts in proptest::collection::vec(0_usize..20, 2)) {
        let (a, b) = (cuts[0].min(cuts[1]).min(value.len()), cuts[0].max(cuts[1]).min(value.len()));
        let ((initial, rest), any) = (value.split_at(a), b - a);
        let (any, last) = rest.split_at(any);
        let assertion = format!("{initial}*{any}*{last}");
        prop_assert!(has("caseIgnoreSubstringsMatch", &value, &assertion), "{:?} {:?}", value, assertion);
    }
}
