use super::*;

/// For each syntax values that fit and values that do not.
type Table = [(&'static str, &'static [&'static [u8]], &'static [&'static [u8]])];

#[rustfmt::skip]
const TABLE: &Table = &[
    ("Bit String", &[b"''B", b"'0101'B"], &[b"", b"0101", b"'0102'B", b"'01'b", b"'01'", b"'", b"'B"]),
    ("Boolean", &[b"TRUE", b"FALSE"], &[b"", b"true", b"TRUE ", b"1"]),
    ("Country String", &[b"NL", b"de"], &[b"", b"N", b"NLD", b"\xc3\xa9", b"N_"]),
    ("Delivery Method", &[b"any", b"mhs $ telephone", b"ia5$g3fax"], &[b"", b"pigeon", b"any $", b"$"]),
    ("Directory String", &[b"x", "Müller".as_bytes(), b" "], &[b"", b"\xff", b"\xc3"]),
    ("DN", &[b"", b"cn=x,dc=example", b"2.5.4.3=x+uid=7"], &[b"cn", b"=x", b"cn=x,", b"\xff=x"]),
    ("Enhanced Guide", &[b"person#(sn$EQ)#oneLevel", b"2.5.6.6 # x # wholeSubtree"], &[b"", b"person#x", b"person#x#all", b"#x#oneLevel"]),
    ("Facsimile Telephone Number", &[b"+31 20 555 0100", b"+31$twoDimensional$fineresolution"], &[b"", b"$twoDimensional", b"+31$colour", b"+31$"]),
    ("Fax", &[b"", b"\xff\x00"], &[]),
    ("Generalized Time",
        &[b"20260228120000Z", b"2026022812Z", b"202602281230+0100", b"20240229000000Z", b"20260131235960Z",
          b"20260131120000.123456789012345678901234567890Z", b"20260131120000,5-0330", b"00000101000000Z"],
        &[b"", b"2026", b"20260229000000Z", b"20260431000000Z", b"20261301000000Z", b"20260100000000Z",
          b"2026013124Z", b"202601311260Z", b"20260131120061Z", b"20260131120000", b"20260131120000.Z",
          b"20260131120000Z ", b"20260131120000+25", b"20260131120000z", b"\xff"]),
    ("Guide", &[b"person#(sn$EQ)"], &[b""]),
    ("IA5 String", &[b"", b"ada@example.com"], &[b"\x80", "é".as_bytes()]),
    ("INTEGER", &[b"0", b"-1", b"1321", b"123456789012345678901234567890"], &[b"", b"-", b"-0", b"01", b"+1", b"1 ", b"1.0", b"0x1"]),
    ("JPEG", &[b"\xff\xd8", b""], &[]),
    ("LDAP Syntax Description", &[b"( 1.2 DESC 'x' )"], &[b"", b"1.2", b"( 1.2", b"( 1.2 ) )", b"()", b"( 'x )"]),
    ("Name And Optional UID", &[b"cn=x", b"cn=x#'01'B", b"cn=a\\#b"], &[b"x#'01'B", b"cn=x,#'01'B"]),
    ("Numeric String", &[b"15 079 672", b"1"], &[b"", b"1a", b"1-2"]),
    ("Octet String", &[b"", b"\x00\xff"], &[]),
    ("OID", &[b"2.5.4.3", b"cn", b"x-y", b"with_underscore"], &[b"", b"2", b"2.", b".2", b"2.05", b"-x", b"c n", b"2.5.x"]),
    ("Other Mailbox", &[b"smtp$ada@example.com", b"x$"], &[b"", b"smtp", b"$x", b"smtp$\xff"]),
    ("Postal Address", &[b"Quay 1$Harbour Town", br"1\241$\5cx", "Straße 1$Köln".as_bytes(), b"a$$b", b"$"], &[b"", br"a\b", br"a\2", b"\xff"]),
    ("Printable String", &[b"Ada (1815)", b"a'b+c,d-e.f=g/h:i?"], &[b"", b"a*b", b"a@b", "é".as_bytes()]),
    ("Substring Assertion", &[b"*", b"a*", b"*a*b", br"a\2a*\5C"], &[b"", b"a", b"a**b", br"a\29*"]),
    ("Telephone Number", &[b"+31 20 555 0100"], &[b"", b"+31_20"]),
    ("Teletex Terminal Identifier", &[b"x", b"x$graphic:y$misc:"], &[b"", b"x$other:y", b"x$graphic"]),
    ("Telex Number", &[b"123$NL$abc"], &[b"", b"123$NL", b"1$2$3$4", b"1$$3"]),
    ("UTC Time", &[b"2601311200Z", b"260131120000+0100", b"2601311200"], &[b"", b"2602291200Z", b"26013112Z", b"260131120000+01", b"2601311200ZZ"]),
    ("UUID", &[b"597ae2f6-16a6-1027-98f4-d28b5365dc14", b"597AE2F6-16A6-1027-98F4-D28B5365DC14"],
        &[b"", b"597ae2f616a6102798f4d28b5365dc14", b"597ae2f6-16a6-1027-98f4-d28b5365dc1g", b"597ae2f6-16a6-1027-98f4-d28b5365dc144"]),
    ("NIS Netgroup Triple", &[b"(host,user,example.com)", b"(,,)", b"(-,ada,-)"], &[b"", b"(a,b)", b"a,b,c", b"(a,b,c,d)", b"(a b,c,d)"]),
    ("Boot Parameter", &[b"root=server:/export/root"], &[b"", b"root", b"root=server", b"=server:/x", b"root=:/x"]),
    ("Change Sequence Number",
        &[b"20260131120000.123456Z#000000#001#000000", b"20260131120000Z#00000a#01#000000"],
        &[b"", b"20260131120000.123456Z#000000#001", b"20260229120000.123456Z#000000#001#000000",
          b"20260131120000.123456Z#00000#001#000000", b"20260131120000.123456Z#000000#00g#000000", b"####",
          b"20260131120000.12345Z#000000#001#0000000", b"20260131120000.123456Z#000000#001#000000#"]),
    ("Change Sequence Number SID", &[b"001", b"fFf"], &[b"", b"01", b"0001", b"xyz"]),
    ("Large Integer", &[b"133497864000000000"], &[b"x"]),
];

#[test]
fn each_syntax_takes_what_its_grammar_says() {
    for (description, valid, invalid) in TABLE {
        let syntax = Syntax::all().find(|syntax| syntax.description() == *description).unwrap();
        for value in *valid {
            assert_eq!(syntax.check(value), Ok(()), "{description}: {}", value.escape_ascii());
        }
        for value in *invalid {
            let error = SyntaxError { syntax: description };
            assert_eq!(syntax.check(value), Err(error), "{description}: {}", value.escape_ascii());
        }
    }
}

#[test]
fn every_syntax_is_found_by_its_oid_and_no_two_share_one() {
    for syntax in Syntax::all() {
        assert_eq!(Syntax::find(syntax.oid()), syntax, "{}", syntax.description());
    }
    assert_eq!(Syntax::find("1.2.3"), Syntax::UNKNOWN);
    assert_eq!(Syntax::UNKNOWN.check(b"\xff"), Ok(()));
}

#[test]
fn the_constants_are_what_they_are_called() {
    let names = [
        (Syntax::DN, "DN"),
        (Syntax::DIRECTORY_STRING, "Directory String"),
        (Syntax::IA5_STRING, "IA5 String"),
        (Syntax::INTEGER, "INTEGER"),
        (Syntax::BOOLEAN, "Boolean"),
        (Syntax::GENERALIZED_TIME, "Generalized Time"),
        (Syntax::OCTET_STRING, "Octet String"),
        (Syntax::OID, "OID"),
    ];
    for (syntax, description) in names {
        assert_eq!(syntax.description(), description);
    }
}

/// The class of CVE-2020-36221, -36228 and 389-ds #7547: lengths and ends of crafted values.
#[test]
fn crafted_values_every_truncation_of_a_valid_value_is_checked_without_panic() {
    for (_, valid, invalid) in TABLE {
        for value in valid.iter().chain(*invalid) {
            for cut in 0..=value.len() {
                for ending in [&b""[..], b"\xc3", b"\xf0\x9f", b"\x00", b"'", b"#", b"\\"] {
                    let crafted = [&value[..cut], ending].concat();
                    for syntax in Syntax::all() {
                        let text = syntax.description();
                        assert!(syntax.check(&crafted).is_ok() || !text.is_empty());
                    }
                    for rule in MatchingRule::all() {
                        // What it says matters elsewhere; here that it says something.
                        let normal = rule.normalize(&crafted).map(|normal| normal.len());
                        assert!(normal.is_ok() || rule.syntax().oid().contains('.'));
                    }
                }
            }
        }
    }
}
