//! Filters as values: text, octets, and what no value can do to a filter.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::ber::{DecodeErrorKind, Tag};

fn attribute(text: &str) -> AttributeDescription {
    text.parse().unwrap()
}

fn parse(text: &str) -> Filter {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn octets(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn encoded(filter: &Filter) -> Bytes {
    let mut writer = Writer::new();
    filter.encode(&mut writer);
    writer.take()
}

fn decoded(bytes: &Bytes) -> Result<Filter, DecodeError> {
    let mut reader = Reader::new(bytes);
    let filter = Filter::decode(&mut reader, &Limits::DEFAULT)?;
    reader.finish()?;
    Ok(filter)
}

fn extensible(subject: Option<&str>, dn_attributes: bool, rule: Option<&str>, value: &'static str) -> Node {
    let (attribute, rule) = (subject.map(attribute), rule.map(Box::from));
    Node::Extensible(Extensible { attribute, dn_attributes, rule, value: octets(value) })
}

fn substrings(
    name: &str,
    initial: Option<&'static str>,
    any: &[&'static str],
    last: Option<&'static str>,
) -> Node {
    let any = any.iter().map(|part| octets(part)).collect();
    Node::Substrings(
        attribute(name),
        Substrings { initial: initial.map(octets), any, last: last.map(octets) },
    )
}

#[test]
fn examples_of_rfc_4515() {
    let cn = || attribute("cn");
    let table: &[(&str, &[Node])] = &[
        ("(cn=Babs Jensen)", &[Node::Equality(cn(), octets("Babs Jensen"))]),
        ("(!(cn=Tim Howes))", &[Node::Not, Node::Equality(cn(), octets("Tim Howes"))]),
        (
            "(&(objectClass=Person)(|(sn=Jensen)(cn=Babs J*)))",
            &[
                Node::And { children: 2 },
                Node::Equality(attribute("objectClass"), octets("Person")),
                Node::Or { children: 2 },
                Node::Equality(attribute("sn"), octets("Jensen")),
                substrings("cn", Some("Babs J"), &[], None),
            ],
        ),
        ("(o=univ*of*mich*)", &[substrings("o", Some("univ"), &["of", "mich"], None)]),
        ("(seeAlso=)", &[Node::Equality(attribute("seeAlso"), octets(""))]),
        (
            "(cn:caseExactMatch:=Fred Flintstone)",
            &[extensible(Some("cn"), false, Some("caseExactMatch"), "Fred Flintstone")],
        ),
        ("(cn:=Betty Rubble)", &[extensible(Some("cn"), false, None, "Betty Rubble")]),
        (
            "(sn:dn:2.4.6.8.10:=Barney Rubble)",
            &[extensible(Some("sn"), true, Some("2.4.6.8.10"), "Barney Rubble")],
        ),
        ("(o:dn:=Ace Industry)", &[extensible(Some("o"), true, None, "Ace Industry")]),
        ("(:1.2.3:=Wilma Flintstone)", &[extensible(None, false, Some("1.2.3"), "Wilma Flintstone")]),
        ("(:DN:2.4.6.8.10:=Dino)", &[extensible(None, true, Some("2.4.6.8.10"), "Dino")]),
        (
            r"(o=Parens R Us \28for all your parenthetical needs\29)",
            &[Node::Equality(attribute("o"), octets("Parens R Us (for all your parenthetical needs)"))],
        ),
        (r"(cn=*\2A*)", &[substrings("cn", None, &["*"], None)]),
        (r"(filename=C:\5cMyFile)", &[Node::Equality(attribute("filename"), octets(r"C:\MyFile"))]),
        (r"(bin=\00\00\00\04)", &[Node::Equality(attribute("bin"), octets("\0\0\0\x04"))]),
        (r"(sn=Lu\c4\8di\c4\87)", &[Node::Equality(attribute("sn"), octets("Lučić"))]),
        (
            r"(1.3.6.1.4.1.1466.0=\04\02\48\69)",
            &[Node::Equality(attribute("1.3.6.1.4.1.1466.0"), octets("\x04\x02Hi"))],
        ),
    ];
    for (text, want) in table {
        let filter = parse(text);
        assert_eq!(filter.nodes(), *want, "{text}");
        assert_eq!(parse(&filter.to_string()), filter, "{text} printed as {filter}");
        assert_eq!(decoded(&encoded(&filter)), Ok(filter), "{text}");
    }
}

#[test]
fn text_and_its_one_spelling() {
    let table: &[(&str, &str)] = &[
        ("cn=x", "(cn=x)"),
        ("  (cn=x)\n", "(cn=x)"),
        ("&(a=b)(c=d)", "(&(a=b)(c=d))"),
        (" ! (a=b) ", "(!(a=b))"),
        ("( & (a=b)\n\t(| (c=d) ) )", "(&(a=b)(|(c=d)))"),
        ("(&)", "(&)"),
        ("(|)", "(|)"),
        ("&", "(&)"),
        ("(!(&))", "(!(&))"),
        ("( cn= x )", "(cn= x )"),
        ("(cn=*)", "(cn=*)"),
        ("(cn=**)", "(cn=*)"),
        ("(cn=a**b)", "(cn=a*b)"),
        ("(cn=*a)", "(cn=*a)"),
        (r"(cn=\2a)", r"(cn=\2a)"),
        ("(cn>=1)", "(cn>=1)"),
        ("(cn<=1)", "(cn<=1)"),
        ("(cn~=x)", "(cn~=x)"),
        ("(cn==x)", "(cn==x)"),
        ("(cn;lang-en=é)", "(cn;lang-en=é)"),
        (r"(cn=\ff\c3\a9\0A\7f)", r"(cn=\ffé\0a\7f)"),
        ("(cn:DN:caseIgnoreMatch:=x)", "(cn:dn:caseIgnoreMatch:=x)"),
        ("(cn:=)", "(cn:=)"),
        ("(userAccountControl:1.2.840.113556.1.4.803:=2)", "(userAccountControl:1.2.840.113556.1.4.803:=2)"),
    ];
    for (text, want) in table {
        assert_eq!(parse(text).to_string(), *want, "{text}");
    }
}

#[test]
fn errors_have_offsets() {
    use FilterErrorKind::{
        ExpectedAttribute, ExpectedClose, ExpectedComparison, ExpectedOpen, ExpectedRule, InvalidEscape,
        TooLarge, TrailingText, UnescapedSpecial,
    };

    let large = format!("(&{})", "(&)".repeat(MAX_NODES));
    let parts = format!("(|(cn=a)(cn={}))", "a*".repeat(MAX_NODES));
    let table: &[(&str, usize, FilterErrorKind)] = &[
        ("", 0, ExpectedAttribute),
        ("  ", 2, ExpectedAttribute),
        ("()", 1, ExpectedAttribute),
        ("(", 1, ExpectedAttribute),
        ("((cn=x))", 1, ExpectedAttribute),
        ("(=x)", 1, ExpectedAttribute),
        ("(-a=x)", 1, ExpectedAttribute),
        ("(cn;=x)", 4, ExpectedAttribute),
        ("(cn.x=x)", 1, ExpectedAttribute),
        ("(é=x)", 1, ExpectedAttribute),
        ("(cn)", 3, ExpectedComparison),
        ("(cn =x)", 3, ExpectedComparison),
        ("(cn>x)", 3, ExpectedComparison),
        ("cn", 2, ExpectedComparison),
        ("(cn:x)", 5, ExpectedComparison),
        ("(cn:dn:x:y)", 9, ExpectedRule),
        ("(cn::=x)", 4, ExpectedRule),
        ("(:=x)", 2, ExpectedRule),
        ("(:dn:=x)", 5, ExpectedRule),
        ("(cn:dn:dn:=x)", 7, ExpectedRule),
        ("(cn:a:b:=x)", 6, ExpectedRule),
        ("(cn:1.2.:=x)", 4, ExpectedRule),
        ("(cn=x", 5, ExpectedClose),
        ("(&(cn=x)", 8, ExpectedClose),
        ("(!(cn=x)(cn=y))", 8, ExpectedClose),
        ("(!)", 2, ExpectedOpen),
        ("!", 1, ExpectedOpen),
        ("(&cn=x)", 2, ExpectedOpen),
        ("(&(cn=x)y)", 8, ExpectedOpen),
        ("(cn=x)(cn=y)", 6, TrailingText),
        ("(cn=x))", 6, TrailingText),
        ("cn=x)", 4, TrailingText),
        ("!(cn=x))", 7, TrailingText),
        (r"(cn=\)", 4, InvalidEscape),
        (r"(cn=\2)", 4, InvalidEscape),
        (r"(cn=\(\))", 4, InvalidEscape),
        (r"(cn=x\", 5, InvalidEscape),
        ("(cn=a(b))", 5, UnescapedSpecial),
        ("(cn=a\0b)", 5, UnescapedSpecial),
        ("(cn>=a*)", 6, UnescapedSpecial),
        ("(cn:=a*)", 6, UnescapedSpecial),
        (&large, 2 + 3 * (MAX_NODES - 1), TooLarge),
        (&parts, "(|(cn=a)(cn=".len() + 2 * (MAX_NODES - 2) - 1, TooLarge),
    ];
    for (text, offset, kind) in table {
        let want = FilterError { offset: *offset, kind: *kind };
        assert_eq!(text.parse::<Filter>(), Err(want), "{text:.40}");
    }
}

#[test]
fn wire_form() {
    let cn = || attribute("cn");
    let leaf = |node| Filter::leaf(node).unwrap();
    let equality = b"\xa3\x07\x04\x02cn\x04\x01x";
    let table: &[(&[u8], Result<Filter, DecodeError>)] = &[
        (b"\xa0\x00", Ok(Filter::and([]))),
        (b"\xa1\x00", Ok(Filter::or([]))),
        (b"\x87\x02cn", Ok(Filter::present(cn()))),
        (equality, Ok(Filter::equality(cn(), "x"))),
        (b"\xa2\x09\xa3\x07\x04\x02cn\x04\x01x", Ok(Filter::not(Filter::equality(cn(), "x")))),
        (b"\xa5\x07\x04\x02cn\x04\x01x", Ok(leaf(Node::GreaterOrEqual(cn(), octets("x"))))),
        (b"\xa6\x07\x04\x02cn\x04\x01x", Ok(leaf(Node::LessOrEqual(cn(), octets("x"))))),
        (b"\xa8\x07\x04\x02cn\x04\x01x", Ok(leaf(Node::Approximate(cn(), octets("x"))))),
        (
            b"\xa4\x0f\x04\x02cn\x30\x09\x80\x01a\x81\x01b\x82\x01c",
            Ok(leaf(substrings("cn", Some("a"), &["b"], Some("c")))),
        ),
        (b"\xa9\x0b\x81\x01r\x82\x02cn\x83\x02xy", Ok(leaf(extensible(Some("cn"), false, Some("r"), "xy")))),
        (b"\xa9\x0a\x82\x02cn\x83\x01x\x84\x01\xff", Ok(leaf(extensible(Some("cn"), true, None, "x")))),
        // Empty parts are in every value.
        (b"\xa4\x08\x04\x02cn\x30\x02\x80\x00", Ok(Filter::present(cn()))),
        (b"\xa4\x0b\x04\x02cn\x30\x05\x81\x00\x82\x01c", Ok(leaf(substrings("cn", None, &[], Some("c"))))),
        // What is appended is ignored (RFC 4511 §4).
        (b"\xa3\x09\x04\x02cn\x04\x01x\x99\x00", Ok(Filter::equality(cn(), "x"))),
        // Active Directory's range is no part of the attribute that is asked about.
        (b"\x87\x0ccn;range=0-1", Ok(Filter::present(cn()))),
    ];
    for (bytes, want) in table {
        assert_eq!(decoded(&Bytes::from_static(bytes)), *want, "{bytes:02x?}");
    }
    let err = |offset, kind| DecodeError { offset, kind };
    let unexpected = |expected, found| DecodeErrorKind::UnexpectedTag { expected, found };
    let table: &[(&[u8], DecodeError)] = &[
        (b"", err(0, DecodeErrorKind::Truncated)),
        (b"\xa0\x02", err(1, DecodeErrorKind::Truncated)),
        (b"\xaa\x00", err(0, DecodeErrorKind::InvalidFilter)),
        (b"\x30\x00", err(0, DecodeErrorKind::InvalidFilter)),
        (b"\xa0\x80", err(1, DecodeErrorKind::IndefiniteLength)),
        (b"\xa2\x00", err(2, DecodeErrorKind::Truncated)),
        (b"\xa2\x04\xa0\x00\xa0\x00", err(4, DecodeErrorKind::TrailingBytes)),
        (b"\x87\x00", err(0, DecodeErrorKind::InvalidAttributeDescription)),
        (b"\x87\x03c n", err(0, DecodeErrorKind::InvalidAttributeDescription)),
        (b"\x87\x02c\xff", err(3, DecodeErrorKind::InvalidUtf8)),
        (b"\xa3\x04\x04\x02cn", err(6, DecodeErrorKind::Truncated)),
        (b"\xa3\x07\x04\x02cn\x02\x01x", err(6, unexpected(Tag::OCTET_STRING, Tag::INTEGER))),
        (b"\xa3\x09\x04\x02cn\x04\x01x\x04\x00", err(9, DecodeErrorKind::TrailingBytes)),
        (b"\xa4\x06\x04\x02cn\x30\x00", err(8, DecodeErrorKind::InvalidFilter)),
        (b"\xa4\x0c\x04\x02cn\x30\x06\x81\x01b\x80\x01a", err(11, DecodeErrorKind::InvalidFilter)),
        (b"\xa4\x0c\x04\x02cn\x30\x06\x82\x01b\x81\x01a", err(8, DecodeErrorKind::InvalidFilter)),
        (b"\xa4\x09\x04\x02cn\x30\x03\x83\x01b", err(8, DecodeErrorKind::InvalidFilter)),
        (b"\xa9\x03\x83\x01x", err(2, DecodeErrorKind::InvalidFilter)),
        (b"\xa9\x07\x81\x02dn\x83\x01x", err(2, DecodeErrorKind::InvalidFilter)),
        (b"\xa9\x08\x81\x03a=b\x83\x01x", err(2, DecodeErrorKind::InvalidFilter)),
        (b"\xa9\x04\x82\x02cn", err(6, DecodeErrorKind::Truncated)),
    ];
    for (bytes, want) in table {
        assert_eq!(decoded(&Bytes::from_static(bytes)), Err(*want), "{bytes:02x?}");
    }
}

/// security: inner truncation. Every prefix of a filter is an error at once, not a wait and not a filter.
#[test]
fn inner_truncation_is_an_error() {
    let whole = encoded(&parse("(&(cn=a*b*c)(!(o:dn:2.4.6:=x))(uid>=1)(sn=*))"));
    for end in 0..whole.len() {
        assert!(decoded(&whole.slice(..end)).is_err(), "{end} octets of {}", whole.len());
    }
}

/// security: too many elements. Two octets of a peer must not cost a node each without end.
#[test]
fn too_many_nodes_are_refused() {
    let many = [&b"\xa0\x84\x00\x03\x0d\x40"[..], &b"\xa0\x00".repeat(MAX_NODES)].concat();
    let error = decoded(&many.into()).unwrap_err();
    assert_eq!(error, DecodeError { offset: 6 + 2 * (MAX_NODES - 1), kind: DecodeErrorKind::TooManyValues });
}

/// security: memory. Nor must three octets of a peer cost a part of a substring assertion each without end.
#[test]
fn too_many_parts_are_refused() {
    let one = |parts: usize| {
        let mut writer = Writer::new();
        writer.constructed(Tag::context_constructed(4), |writer| {
            writer.octets(b"cn");
            writer.sequence(|writer| (0..parts).for_each(|_| writer.primitive(Tag::context(1), b"a")));
        });
        writer.take()
    };
    assert_eq!(decoded(&one(MAX_NODES - 1)).unwrap().nodes().len(), 1);
    let many = one(MAX_NODES);
    let error = DecodeError { offset: many.len() - 3, kind: DecodeErrorKind::TooManyValues };
    assert_eq!(decoded(&many), Err(error));
    let text = decoded(&one(MAX_NODES - 1)).unwrap().to_string();
    assert_eq!(parse(&text), decoded(&one(MAX_NODES - 1)).unwrap());
}

#[test]
fn leaves_that_have_no_spelling_are_none() {
    let nodes = [
        Node::And { children: 0 },
        Node::Or { children: 1 },
        Node::Not,
        substrings("cn", None, &[], None),
        substrings("cn", Some(""), &["x"], None),
        extensible(None, true, None, "x"),
        extensible(Some("cn"), false, Some("dn"), "x"),
        extensible(None, true, Some("DN"), "x"),
        extensible(Some("cn"), false, Some(""), "x"),
        extensible(Some("cn"), false, Some("x:=*)(uid"), "x"),
        extensible(Some("cn"), false, Some("1.x"), "x"),
    ];
    for node in nodes {
        assert_eq!(Filter::leaf(node.clone()), None, "{node:?}");
    }
    let ranged = Filter::equality(attribute("member;range=0-*"), "x");
    assert_eq!(ranged.to_string(), "(member=x)");
}

/// Runs `test` with a stack on which a few hundred levels of recursion would not fit.
fn on_small_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(64 << 10).spawn(test).unwrap().join().unwrap();
}

/// security: filter nesting DoS, nested BER.
#[test]
fn filter_nesting_dos_is_refused_at_linear_cost() {
    const DEEP: usize = 1_000_000;
    on_small_stack(|| {
        let want = FilterError { offset: 2 * 1000, kind: FilterErrorKind::TooDeep };
        assert_eq!("(&".repeat(DEEP).parse::<Filter>(), Err(want));
        assert_eq!("(!".repeat(DEEP).parse::<Filter>(), Err(want));

        // From the inside out: every level is a correct `and` of the level below it.
        let mut reversed = Vec::new();
        for _ in 0..DEEP {
            let length = reversed.len();
            let mut octets = length.to_be_bytes().to_vec();
            octets.drain(..octets.iter().take_while(|octet| **octet == 0).count());
            let long = (length >= 0x80).then_some(0x80 | octets.len() as u8);
            reversed.extend(octets.iter().rev());
            reversed.extend(if length == 0 { Some(0) } else { long });
            reversed.push(0xa0);
        }
        reversed.reverse();
        let error = decoded(&reversed.into()).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::TooDeep);
    });
}

#[test]
fn a_thousand_levels_cost_no_stack() {
    on_small_stack(|| {
        for (open, close) in [("(&", ")"), ("(|(a=b)", ")"), ("(!", ")")] {
            let text = format!("{}(cn=x){}", open.repeat(999), close.repeat(999));
            let filter = parse(&text);
            assert_eq!(filter.to_string(), text);
            let copy = filter.clone();
            assert_eq!(copy, filter);
            assert!(format!("{copy:?}").starts_with("Filter(("));
            let bytes = encoded(&filter);
            let read = decoded(&bytes).unwrap();
            assert_eq!(read, filter);
            drop(read);
            // One level more.
            let deeper = Filter::not(filter);
            let error = deeper.to_string().parse::<Filter>().unwrap_err();
            assert_eq!(error.kind, FilterErrorKind::TooDeep);
            let error = decoded(&encoded(&deeper)).unwrap_err();
            assert_eq!(error.kind, DecodeErrorKind::TooDeep);
        }
    });
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<String>().prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..40),
        // Mostly what has a meaning in filters.
        proptest::collection::vec(proptest::sample::select(&b"()*\\&|!=:<>~ \0a2\xc3\xa9"[..]), 0..12),
    ]
}

fn filters() -> impl Strategy<Value = Filter> {
    let names = proptest::sample::select(&["cn", "2.5.4.3", "cn;lang-en;x", "_a-b", "1"][..]);
    let leaf = (names, 0..7, values(), proptest::collection::vec(values(), 0..4), any::<[bool; 3]>())
        .prop_map(|(name, kind, value, parts, [first, second, third])| {
            let (name, value) = (attribute(name), Bytes::from(value));
            let mut parts = parts.into_iter().filter(|part| !part.is_empty()).map(Bytes::from);
            let node = match kind {
                0 => Node::Equality(name, value),
                1 => Node::GreaterOrEqual(name, value),
                2 => Node::LessOrEqual(name, value),
                3 => Node::Approximate(name, value),
                4 => Node::Present(name),
                5 => {
                    let initial = if first { parts.next() } else { None };
                    let last = if second { parts.next() } else { None };
                    Node::Substrings(name, Substrings { initial, any: parts.collect(), last })
                }
                _ => {
                    let rule = second.then(|| if third { "2.5.13.2" } else { "caseExactMatch" }.into());
                    let attribute = (first || !second).then_some(name);
                    Node::Extensible(Extensible { attribute, dn_attributes: third, rule, value })
                }
            };
            Filter::leaf(node).unwrap_or_else(Filter::any)
        });
    leaf.prop_recursive(6, 40, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Filter::and),
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Filter::or),
            inner.prop_map(Filter::not),
        ]
    })
}

proptest! {
    /// security: LDAP injection, filter. Whatever the value, one leaf with that value is read.
    #[test]
    fn ldap_injection_filter(value in values()) {
        let built = Filter::equality(attribute("uid"), value.clone());
        let read = parse(&built.to_string());
        prop_assert_eq!(read.nodes(), &[Node::Equality(attribute("uid"), value.into())][..]);
    }

    #[test]
    fn round_trips(filter in filters()) {
        prop_assert_eq!(&parse(&filter.to_string()), &filter);
        prop_assert_eq!(decoded(&encoded(&filter)), Ok(filter));
    }

    #[test]
    fn any_text(text in prop_oneof![any::<String>(), "[a-c()*\\\\&|!=:<>~; 0-2\u{e9}]{0,24}"]) {
        if let Ok(filter) = text.parse::<Filter>() {
            prop_assert_eq!(&parse(&filter.to_string()), &filter);
            prop_assert_eq!(decoded(&encoded(&filter)), Ok(filter));
        }
    }

    #[test]
    fn any_octets(mut bytes in proptest::collection::vec(any::<u8>(), 0..64), tag in 0xa0..0xaa_u8) {
        if let Some(first) = bytes.first_mut() {
            *first = tag;
        }
        if let Ok(filter) = decoded(&bytes.into()) {
            prop_assert_eq!(parse(&filter.to_string()), filter);
        }
    }
}

/// security: LDAP injection, filter. A pattern is parsed before it is filled in.
#[test]
fn a_value_filled_into_a_pattern_cannot_change_its_shape() {
    let fill = |pattern: &str, value: &str| {
        let value = value.as_bytes().to_vec();
        parse(pattern)
            .map_values(|text| if text == b"%s" { value.clone() } else { text.to_vec() })
            .to_string()
    };
    let table = [
        ("(&(uid=%s)(sn=x))", "ada)(uid=*", r"(&(uid=ada\29\28uid=\2a)(sn=x))"),
        ("(cn=*%s*)", "a*b", r"(cn=*a\2ab*)"),
        ("(cn=*%s*)", "", "(cn=*)"),
        ("(cn=a*%s*z)", "", "(cn=a*z)"),
        ("(!(cn:caseExactMatch:=%s))", "x", "(!(cn:caseExactMatch:=x))"),
        ("(cn=*)", "x", "(cn=*)"),
    ];
    for (pattern, value, expected) in table {
        assert_eq!(fill(pattern, value), expected, "{pattern} with {value:?}");
    }
}
