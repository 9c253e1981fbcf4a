//! Names and filters against libldap: what both take, both take to mean the same.
//!
//! A Python program asks libldap itself (`ldap_bv2dn`, and `ldap_pvt_put_filter` for the octets that a search would
//! carry). The cases are the seeds of the fuzz targets and text made of the pieces where parsers differ. What only one of
//! them takes is no difference here: `docs/reliability.md` lists it.

use std::{fmt::Write as _, fs, path::Path};

use bytes::Bytes;
use flext_ldap_lab::Tool;
use flext_ldap_oracles::Draw;
use flext_ldap_proto::{
    ber::{Reader, Writer},
    dn::Dn,
    filter::Filter,
};

const JUDGE: &str = include_str!("libldap.py");
/// Made, besides the seeds.
const CASES: u64 = 20_000;
const REFUSED: &str = "refused";

/// What libldap answers for each.
fn judged(kind: &str, cases: &[String]) -> Vec<String> {
    let input: String = cases.iter().map(|case| format!("{}\n", hex(case.as_bytes()))).collect();
    let output = Tool::python(JUDGE).unwrap().arg(kind).input(input).run().unwrap().success().unwrap();
    let answers: Vec<String> = output.lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), cases.len());
    answers
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        write!(text, "{octet:02x}").unwrap();
        text
    })
}

/// The seeds of a fuzz target that are text, and text made of `pieces`.
fn cases(target: &str, pieces: &[&str], make: fn(&mut Draw<'_>) -> String) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let seeds = fs::read_dir(folder).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    let mut cases: Vec<String> = seeds.filter_map(|seed| String::from_utf8(seed).ok()).collect();
    for number in 0..CASES {
        let octets = noise(number);
        let mut draw = Draw::new(&octets);
        // Some are only pieces; most are nearly right.
        cases.push(if number % 4 == 0 { text(&mut draw, pieces, 10) } else { make(&mut draw) });
    }
    cases
}

fn text(draw: &mut Draw<'_>, pieces: &[&str], most: usize) -> String {
    (0..draw.below(most)).map(|_| draw.pick(pieces)).collect()
}

/// A name, right but for values that may not be.
fn name(draw: &mut Draw<'_>) -> String {
    let types = ["cn", "CN", "2.5.4.3", "sn", "o", " ou ", "x-y", "dc "];
    let values = [
        "a", "B", " ", "  ", "\\ ", "\\,", "\\+", "\\\"", "\\\\", "\\=", "\\#", "\\;", "\\<", "\\>", "\\20",
        "\\2C", "\\c3\\a9", "é", "日", "=", "#", "\\00", "1", "*", "(", "'", ":", "-", "\t", "/", "\\0a",
        "\\FF",
    ];
    let mut name = String::new();
    for number in 0..=draw.below(4) {
        if number > 0 {
            name.push_str(draw.pick(&[",", ",", "+", " , ", " + "]));
        }
        name.push_str(draw.pick(&types));
        name.push_str(draw.pick(&["=", "=", "= "]));
        match draw.below(6) {
            0 => name.push_str(draw.pick(&["#0401ff", "#04024142", "#0c0161", "#13026162 ", "#0400"])),
            _ => name.push_str(&text(draw, &values, 6)),
        }
    }
    name
}

/// A filter, right but for values that may not be.
fn filter(draw: &mut Draw<'_>) -> String {
    let (mut filter, mut open) = (String::new(), 0);
    let values = [
        "a", "B", " ", "\\2a", "\\28", "\\29", "\\5c", "\\00", "\\C3\\a9", "é", "=", "<", ">", "~", ":", "&",
        "|", "!",
    ];
    for _ in 0..draw.below(3) {
        filter.push_str(draw.pick(&["(&", "(|", "(!", "(&(cn=x)", "( |"]));
        open += 1;
    }
    for _ in 0..=draw.below(2) {
        filter.push('(');
        filter.push_str(draw.pick(&["cn", "sn", "2.5.4.3", "cn;lang-en", "x-y"]));
        match draw.below(7) {
            0 => filter.push_str("=*"),
            1..=3 => {
                filter.push_str(draw.pick(&["=", ">=", "<=", "~="]));
                filter.push_str(&text(draw, &values, 5));
            }
            4 => {
                filter.push_str(draw.pick(&[":=", ":dn:=", ":caseExactMatch:=", ":dn:2.5.13.2:="]));
                filter.push_str(&text(draw, &values, 4));
            }
            _ => {
                filter.push('=');
                for _ in 0..=draw.below(3) {
                    filter.push_str(&text(draw, &values, 3));
                    filter.push('*');
                }
                filter.push_str(&text(draw, &values, 3));
            }
        }
        filter.push(')');
    }
    filter.push_str(&")".repeat(open));
    filter
}

/// Octets that look random and are the same in every run (SplitMix64).
fn noise(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x2545_f491_4f6c_dd1d);
    (0..10)
        .flat_map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ mixed >> 31).to_le_bytes()
        })
        .collect()
}

/// Compares both on all cases; returns how many both took.
fn agree(kind: &str, cases: &[String], ours: impl Fn(&str) -> Option<String>) -> usize {
    let (mut both, mut wrong) = (0, Vec::new());
    for (case, theirs) in cases.iter().zip(judged(kind, cases)) {
        if let Some(ours) = ours(case)
            && theirs != REFUSED
        {
            both += 1;
            let theirs = without_ber(&theirs);
            let same = if kind == "dn" && differs_by_space(case) {
                theirs.contains('#') || trimmed(&ours) == trimmed(&theirs)
            } else {
                ours == theirs
            };
            if !same {
                wrong.push(format!("{case:?}\n  ours   {ours}\n  theirs {theirs}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
    both
}

#[test]
fn names_mean_the_same() {
    let pieces = [
        "cn",
        "CN",
        "2.5.4.3",
        "sn",
        "o",
        "=",
        "=",
        "=",
        "=",
        ",",
        ",",
        ",",
        "+",
        "a",
        "B",
        " ",
        "  ",
        "\\ ",
        "\\,",
        "\\+",
        "\\\"",
        "\\\\",
        "\\=",
        "\\#",
        "\\;",
        "\\<",
        "\\>",
        "\\20",
        "\\2C",
        "\\c3\\a9",
        "é",
        "ß",
        "日",
        "#",
        "#04",
        "#0401ff",
        "#04024142",
        "#0c0161",
        "#13026162",
        "x",
        "-",
        "_",
        ";",
        "\"",
        "<",
        "\\00",
        "1",
        "cn=a,",
        "ou=b+cn=c,",
        "dc=example",
        "oid.2.5.4.3",
        "\t",
        "\n",
        "*",
        "(",
        "'",
        ":",
    ];
    let both = agree("dn", &cases("dn", &pieces, name), |text| {
        let name: Dn = text.parse().ok()?;
        if name.is_root() {
            return Some("-".to_owned());
        }
        let rdns = name.rdns().map(|rdn| {
            let avas = rdn
                .avas()
                .map(|ava| format!("{}:{}", hex(ava.attribute_type().as_bytes()), hex(&ava.value())));
            avas.collect::<Vec<_>>().join("+")
        });
        Some(rdns.collect::<Vec<_>>().join(","))
    });
    assert!(both > 5_000, "{both}");
}

/// An answer with what is inside the BER of values in `#` form, which libldap gives as it is (RFC 4514 §2.4).
fn without_ber(answer: &str) -> String {
    let value = |ava: &str| match ava.split_once('#') {
        Some((start, ber)) => format!("{start}{}", contents(ber).unwrap_or_else(|| format!("#{ber}"))),
        None => ava.to_owned(),
    };
    let rdn = |rdn: &str| rdn.split('+').map(value).collect::<Vec<_>>().join("+");
    answer.split(',').map(rdn).collect::<Vec<_>>().join(",")
}

/// Where libldap takes white space for what it is not:
///
/// - It leaves out tabs and line ends at the ends of values as it does spaces, and so takes a `#` after a tab for the
///   start of a value in BER. RFC 4514 §3 (`leadchar`, `trailchar`) gives only the space a meaning there.
/// - It keeps the space after an escaped backslash (two backslashes and a space) as if the space were escaped. In RFC 4514 §3 the
///   backslashes are a `pair` of their own.
fn differs_by_space(case: &str) -> bool {
    case.contains(['\t', '\n']) || case.contains("\\\\ ")
}

/// An answer without white space at the ends of values.
fn trimmed(answer: &str) -> Vec<String> {
    let white = |pair: &&[u8]| [b"09", b"0a", b"0d", b"20"].iter().any(|one| *pair == one.as_slice());
    let ava = |ava: &str| {
        let (attribute, value) = ava.split_once(':').unwrap_or((ava, ""));
        let mut pairs: Vec<&[u8]> = value.as_bytes().chunks(2).collect();
        let leading = pairs.iter().take_while(|pair| white(pair)).count();
        pairs.drain(..leading);
        while pairs.last().is_some_and(white) {
            pairs.pop();
        }
        format!("{attribute}:{}", String::from_utf8(pairs.concat()).unwrap())
    };
    answer.split(['+', ',']).map(ava).collect()
}

fn contents(ber: &str) -> Option<String> {
    let pairs = ber.as_bytes().chunks(2);
    let octets: Option<Vec<u8>> =
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    let octets = Bytes::from(octets?);
    let (_, inner) = Reader::new(&octets).any().ok()?;
    Some(hex(&octets[inner.position()..]))
}

#[test]
fn filters_mean_the_same() {
    let pieces = [
        "(",
        "(",
        ")",
        ")",
        "&",
        "|",
        "!",
        "cn",
        "sn",
        "=",
        "=",
        "*",
        "*",
        ">=",
        "<=",
        "~=",
        ":=",
        ":dn",
        ":",
        "a",
        "B",
        " ",
        "\\2a",
        "\\28",
        "\\29",
        "\\5c",
        "\\00",
        "\\C3\\a9",
        "\\zz",
        "é",
        "2.5.13.2",
        "caseExactMatch",
        "(cn=a)",
        "(cn=*b*)",
        "(&(a=b)(c=d))",
        "(|",
        "(!(x=y))",
        ";lang-en",
        "<",
        ">",
        "~",
        "(cn:dn:2.5.13.2:=",
        "(:2.5.13.5:=",
        "x)",
        "\n",
        "=*)",
        "1.2.3",
        "-",
    ];
    let both = agree("filter", &cases("filter_text", &pieces, filter), |text| {
        let filter: Filter = text.parse().ok()?;
        let mut writer = Writer::new();
        filter.encode(&mut writer);
        Some(hex(&writer.take()))
    });
    assert!(both > 5_000, "{both}");
}
