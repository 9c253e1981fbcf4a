//! JSON straight from octets: what a record is made of. No tree is built and nothing is allocated for a value.

use base64::{Engine, engine::general_purpose::STANDARD};
use flext_ldap_proto::schema::GeneralizedTime;

use crate::{property::Kind, time};

/// Appends text as a JSON string (RFC 8259 §7).
///
/// Characters that some readers take for the end of a line (U+0085, U+2028, U+2029) are escaped too: a message is one
/// line.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let octets = text.as_bytes();
    let mut written = 0;
    let mut at = 0;
    while let Some(length) =
        octets.get(at..).and_then(|rest| rest.iter().position(|octet| needs_look(*octet)))
    {
        at = at.saturating_add(length);
        let rest = octets.get(at..).unwrap_or_default();
        let (escape, used): ([u8; 6], usize) = match rest {
            [0xe2, 0x80, 0xa8, ..] => (*br"\u2028", 3),
            [0xe2, 0x80, 0xa9, ..] => (*br"\u2029", 3),
            [0xc2, 0x85, ..] => (*br"\u0085", 2),
            [octet @ (..0x20 | b'"' | b'\\'), ..] => {
                ([b'\\', b'u', b'0', b'0', hex(octet >> 4), hex(octet & 15)], 1)
            }
            _ => {
                at = at.saturating_add(1);
                continue;
            }
        };
        out.extend_from_slice(octets.get(written..at).unwrap_or_default());
        match rest {
            [b'"', ..] => out.extend_from_slice(br#"\""#),
            [b'\\', ..] => out.extend_from_slice(br"\\"),
            [b'\n', ..] => out.extend_from_slice(br"\n"),
            [b'\r', ..] => out.extend_from_slice(br"\r"),
            [b'\t', ..] => out.extend_from_slice(br"\t"),
            _ => out.extend_from_slice(&escape),
        }
        at = at.saturating_add(used);
        written = at;
    }
    out.extend_from_slice(octets.get(written..).unwrap_or_default());
    out.push(b'"');
}

/// Whether an octet is escaped, or begins a character that may be.
const fn needs_look(octet: u8) -> bool {
    matches!(octet, ..0x20 | b'"' | b'\\' | 0xc2 | 0xe2)
}

const fn hex(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
}

/// Appends octets as a JSON string in base64 (RFC 4648 §4).
pub(crate) fn push_base64(out: &mut Vec<u8>, octets: &[u8]) {
    out.push(b'"');
    let mut encoded = [0; 1024];
    // A multiple of three, so that padding is needed at the end only.
    for part in octets.chunks(768) {
        // The buffer has room for 768 octets encoded, so this cannot fail.
        let length = STANDARD.encode_slice(part, &mut encoded).unwrap_or(0);
        out.extend_from_slice(encoded.get(..length).unwrap_or_default());
    }
    out.push(b'"');
}

/// Appends a value as its kind says. Text that is not UTF-8 becomes base64. Returns whether the value fits its kind;
/// of one that does not nothing is appended.
pub(crate) fn push_value(out: &mut Vec<u8>, kind: Kind, value: &[u8]) -> bool {
    match kind {
        Kind::Text => match str::from_utf8(value) {
            Ok(text) => push_text(out, text),
            Err(_) => push_base64(out, value),
        },
        Kind::Binary => push_base64(out, value),
        Kind::Boolean => match value {
            b"TRUE" => out.extend_from_slice(b"true"),
            b"FALSE" => out.extend_from_slice(b"false"),
            _ if value.eq_ignore_ascii_case(b"true") => out.extend_from_slice(b"true"),
            _ if value.eq_ignore_ascii_case(b"false") => out.extend_from_slice(b"false"),
            _ => return false,
        },
        Kind::Integer => return push_integer(out, value),
        Kind::Time => {
            let Some(moment) =
                str::from_utf8(value).ok().and_then(|text| text.parse::<GeneralizedTime>().ok())
            else {
                return false;
            };
            // A zone can lead out of the years that RFC 3339 has.
            if !(time::FIRST..=time::LAST).contains(&moment.unix_seconds) {
                return false;
            }
            out.push(b'"');
            time::push_rfc3339(out, moment.unix_seconds, moment.nanoseconds);
            out.push(b'"');
        }
    }
    true
}

/// Appends an integer of any size, without the leading zeros that JSON does not have.
fn push_integer(out: &mut Vec<u8>, value: &[u8]) -> bool {
    let (sign, digits): (&[u8], &[u8]) = match value {
        [b'-', digits @ ..] => (b"-", digits),
        digits => (b"", digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let digits = digits.get(zeros..).unwrap_or_default();
    if digits.is_empty() {
        out.push(b'0');
    } else {
        out.extend_from_slice(sign);
        out.extend_from_slice(digits);
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text() {
        let table: &[(&str, &str)] = &[
            ("", r#""""#),
            ("Ada Quill", r#""Ada Quill""#),
            ("\u{e9}\u{20ac}\u{1f52d}", "\"\u{e9}\u{20ac}\u{1f52d}\""),
            (r#"a"b\c/d"#, r#""a\"b\\c/d""#),
            ("\n\r\t\0\u{8}\u{1f}\u{7f}", "\"\\n\\r\\t\\u0000\\u0008\\u001f\u{7f}\""),
            ("a\u{2028}b\u{2029}\u{85}c", r#""a\u2028b\u2029\u0085c""#),
            // Their neighbours begin with the same octets and stay as they are.
            ("\u{2027}\u{202a}\u{84}\u{86}\u{a9}", "\"\u{2027}\u{202a}\u{84}\u{86}\u{a9}\""),
        ];
        for (text, want) in table {
            let mut out = Vec::new();
            push_text(&mut out, text);
            assert_eq!(str::from_utf8(&out).unwrap(), *want);
        }
    }

    #[test]
    fn values() {
        use Kind::{Binary, Boolean, Integer, Text, Time};
        let table: &[(Kind, &[u8], Option<&str>)] = &[
            (Text, b"TRUE", Some(r#""TRUE""#)),
            (Text, b"\xff\xfe", Some(r#""//4=""#)),
            (Text, b"\xed\xa0\x80", Some(r#""7aCA""#)), // A surrogate, which UTF-8 does not have.
            (Text, b"\xc0\xaf", Some(r#""wK8=""#)),     // Overlong.
            (Text, b"\xe2\x80", Some(r#""4oA=""#)),     // Cut short.
            (Binary, b"text", Some(r#""dGV4dA==""#)),
            (Binary, b"", Some(r#""""#)),
            (Boolean, b"TRUE", Some("true")),
            (Boolean, b"False", Some("false")),
            (Boolean, b"1", None),
            (Integer, b"0", Some("0")),
            (Integer, b"-0", Some("0")),
            (Integer, b"-12", Some("-12")),
            (Integer, b"007", Some("7")),
            (Integer, b"9223372036854775808", Some("9223372036854775808")),
            (Integer, b"", None),
            (Integer, b"-", None),
            (Integer, b"+1", None),
            (Integer, b"1e3", None),
            (Integer, b" 1", None),
            (Time, b"20261121211322Z", Some(r#""2026-11-21T21:13:22Z""#)),
            (Time, b"20261121211322.250Z", Some(r#""2026-11-21T21:13:22.25Z""#)),
            (Time, b"202611212113+0130", Some(r#""2026-11-21T19:43:00Z""#)),
            (Time, b"16010101000000.0Z", Some(r#""1601-01-01T00:00:00Z""#)),
            (Time, b"00000101000000Z", Some(r#""0000-01-01T00:00:00Z""#)),
            (Time, b"00000101000000+0001", None),
            (Time, b"99991231235959.9Z", Some(r#""9999-12-31T23:59:59.9Z""#)),
            (Time, b"99991231235959-0001", None),
            (Time, b"20261321211322Z", None),
            (Time, b"2026-11-21", None),
            (Time, b"", None),
        ];
        for (kind, value, want) in table {
            let mut out = Vec::new();
            let fits = push_value(&mut out, *kind, value);
            let got = fits.then(|| String::from_utf8(out.clone()).unwrap());
            assert_eq!(got.as_deref(), *want, "{kind:?} {}", value.escape_ascii());
            assert!(fits || out.is_empty());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_one_line_and_comes_back(text in any::<String>()) {
            let mut out = Vec::new();
            push_text(&mut out, &text);
            prop_assert!(!out.iter().any(|octet| *octet < 0x20));
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn any_octets_come_back(octets in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let mut out = Vec::new();
            push_base64(&mut out, &octets);
            let text: String = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(STANDARD.decode(text).unwrap(), octets);
        }

        #[test]
        fn any_value_is_json(octets in proptest::collection::vec(any::<u8>(), 0..30), kind in 0..5_usize) {
            let kind = [Kind::Text, Kind::Binary, Kind::Boolean, Kind::Integer, Kind::Time][kind];
            let mut out = Vec::new();
            if push_value(&mut out, kind, &octets) {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
            }
        }
    }
}
