//! The parser of names: one pass over the octets, no recursion, two allocations.

use super::{AvaPlace, Dn, DnError, DnErrorKind, escape, saturating_u32};
use crate::oid::check_numeric_oid;

/// Octets of text.
const MAX_TEXT: usize = 64 << 10;
/// Pairs of type and value.
const MAX_AVAS: usize = 1000;
/// Pairs of a name that is not unusually deep.
const FEW_AVAS: usize = 8;

// Within its caller it takes a twentieth more instructions.
#[inline(never)]
pub(super) fn parse(text: &str) -> Result<Dn, DnError> {
    if text.is_empty() {
        return Ok(Dn::root());
    }
    if text.len() > MAX_TEXT {
        return Err(DnError { offset: MAX_TEXT, kind: DnErrorKind::TooLong });
    }
    // Spaces around the whole are no part of the name; one before the end may be escaped, so the parser finds those.
    let start = text.bytes().take_while(|octet| *octet == b' ').count();
    let mut parser = Parser { text, octets: text.as_bytes(), start, position: start };
    // Every pair has a `=`, so that is the most there can be. Those of most names are collected on the stack.
    let most = memchr::memchr_iter(b'=', parser.octets).count().min(MAX_AVAS);
    let (mut few, mut many) = ([AvaPlace::default(); FEW_AVAS], Vec::new());
    let avas = match few.get_mut(..most) {
        Some(few) => few,
        None => {
            many.resize(most, AvaPlace::default());
            &mut many
        }
    };
    let mut count = 0;
    loop {
        if count == MAX_AVAS {
            return Err(parser.error(DnErrorKind::TooLong));
        }
        let mut place = parser.ava()?;
        let separator = parser.next();
        place.joined = separator == Some(b'+');
        if let Some(free) = avas.get_mut(count) {
            *free = place;
        }
        count += 1;
        if separator.is_none() {
            let end = start + place.end as usize;
            let (text, avas) = (text.get(start..end), avas.get(..count));
            return Ok(Dn { text: text.unwrap_or_default().into(), avas: avas.unwrap_or_default().into() });
        }
    }
}

/// `type` without the `oid.` that RFC 2253 §4 lets stand before a dotted-decimal one.
pub(super) fn without_oid_prefix(attribute_type: &str) -> &str {
    match attribute_type.split_at_checked(4) {
        Some((prefix, oid)) if prefix.eq_ignore_ascii_case("oid.") => oid,
        _ => attribute_type,
    }
}

struct Parser<'a> {
    text: &'a str,
    octets: &'a [u8],
    /// Where the name starts, after leading spaces; places count from here.
    start: usize,
    position: usize,
}

impl Parser<'_> {
    /// `type=value` with the spaces around both; afterwards the position is at a separator or the end.
    fn ava(&mut self) -> Result<AvaPlace, DnError> {
        self.skip_spaces();
        let start = self.position;
        self.attribute_type()?;
        self.skip_spaces();
        let equals = self.position;
        if self.peek() != Some(b'=') {
            return Err(self.error(DnErrorKind::ExpectedEquals));
        }
        self.position += 1;
        self.skip_spaces();
        let end = match self.peek() {
            Some(b'#') => self.hex_value()?,
            Some(b'"') => self.quoted_value()?,
            _ => self.plain_value()?,
        };
        Ok(AvaPlace {
            start: self.place(start),
            equals: self.place(equals),
            end: self.place(end),
            joined: false,
        })
    }

    /// `descr / numericoid` (RFC 4512 §1.4). Underscores and a leading digit are accepted in names, as in attribute
    /// descriptions.
    fn attribute_type(&mut self) -> Result<(), DnError> {
        let start = self.position;
        let mut dotted = false;
        while let Some(octet @ (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.')) = self.peek() {
            dotted |= octet == b'.';
            self.position += 1;
        }
        let spelt = self.text.get(start..self.position).unwrap_or_default();
        if spelt.is_empty() || spelt.starts_with('-') {
            return Err(DnError { offset: start, kind: DnErrorKind::ExpectedType });
        }
        if dotted {
            let oid = without_oid_prefix(spelt);
            check_numeric_oid(oid).map_err(|at| DnError {
                offset: self.position - oid.len() + at,
                kind: DnErrorKind::ExpectedType,
            })?;
        }
        Ok(())
    }

    /// `string` (RFC 4514 §3). Returns one past the value, which ends before any unescaped spaces.
    fn plain_value(&mut self) -> Result<usize, DnError> {
        let mut end = self.position;
        while let Some(octet) = self.peek() {
            match octet {
                b',' | b'+' | b';' => break,
                b' ' => self.position += 1,
                b'\\' => {
                    self.escapes()?;
                    end = self.position;
                }
                b'"' | b'<' | b'>' | 0 => return Err(self.error(DnErrorKind::UnescapedSpecial)),
                _ => {
                    self.position += 1;
                    end = self.position;
                }
            }
        }
        Ok(end)
    }

    /// `"` any characters, `"` and `\` escaped, `"` (RFC 2253 §4). Returns one past the closing quote.
    fn quoted_value(&mut self) -> Result<usize, DnError> {
        let open = self.position;
        self.position += 1;
        loop {
            match self.peek() {
                None => return Err(DnError { offset: open, kind: DnErrorKind::UnterminatedQuote }),
                Some(b'"') => break,
                Some(b'\\') => self.escapes()?,
                Some(0) => return Err(self.error(DnErrorKind::UnescapedSpecial)),
                Some(_) => self.position += 1,
            }
        }
        self.position += 1;
        let end = self.position;
        self.skip_spaces();
        match self.peek() {
            None | Some(b',' | b';' | b'+') => Ok(end),
            Some(_) => Err(self.error(DnErrorKind::ExpectedSeparator)),
        }
    }

    /// `hexstring` (RFC 4514 §3), which must be one BER value. Returns one past it.
    fn hex_value(&mut self) -> Result<usize, DnError> {
        let sharp = self.position;
        self.position += 1;
        while self.peek().is_some_and(|octet| octet.is_ascii_hexdigit()) {
            self.position += 1;
        }
        let end = self.position;
        self.skip_spaces();
        if !matches!(self.peek(), None | Some(b',' | b';' | b'+')) {
            return Err(self.error(DnErrorKind::InvalidHex));
        }
        let digits = self.octets.get(sharp + 1..end).unwrap_or_default();
        if digits.len() % 2 != 0 || escape::ber_header(digits).is_none() {
            return Err(DnError { offset: sharp, kind: DnErrorKind::InvalidHex });
        }
        Ok(end)
    }

    /// A run of `\` escapes. The text around it is whole characters, so what the run spells must be so too
    /// (RFC 4514 §3: the string is UTF-8).
    fn escapes(&mut self) -> Result<(), DnError> {
        // The octets of a character that is spelt in hexadecimal pairs, and where it started.
        let (mut character, mut length, mut started) = ([0; 4], 0, self.position);
        while self.peek() == Some(b'\\') {
            let rest = self.octets.get(self.position + 1..).unwrap_or_default();
            let octet = match *rest {
                [high, low, ..] if let Some(octet) = escape::hex_octet(high, low) => {
                    self.position += 3;
                    octet
                }
                [special @ (b' ' | b'"' | b'#' | b'+' | b',' | b';' | b'<' | b'=' | b'>' | b'\\'), ..] => {
                    self.position += 2;
                    special
                }
                _ => return Err(self.error(DnErrorKind::InvalidEscape)),
            };
            if octet.is_ascii() && length == 0 {
                started = self.position;
                continue;
            }
            if let Some(place) = character.get_mut(length) {
                *place = octet;
            }
            length += 1;
            match std::str::from_utf8(character.get(..length).unwrap_or_default()) {
                Ok(_) => {
                    length = 0;
                    started = self.position;
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(DnError { offset: started, kind: DnErrorKind::InvalidUtf8 }),
            }
        }
        if length > 0 {
            return Err(DnError { offset: started, kind: DnErrorKind::InvalidUtf8 });
        }
        Ok(())
    }

    fn skip_spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.position += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.octets.get(self.position).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let octet = self.peek()?;
        self.position += 1;
        Some(octet)
    }

    fn place(&self, position: usize) -> u32 {
        saturating_u32(position - self.start)
    }

    fn error(&self, kind: DnErrorKind) -> DnError {
        DnError { offset: self.position, kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DnErrorKind::{
        ExpectedEquals, ExpectedSeparator, ExpectedType, InvalidEscape, InvalidHex, InvalidUtf8, TooLong,
        UnescapedSpecial, UnterminatedQuote,
    };

    /// The name as types and unescaped values, `+` before each that is joined to the one before.
    fn parts(text: &str) -> Result<Vec<(String, Vec<u8>)>, DnError> {
        let dn = parse(text)?;
        let rdns = dn.rdns().flat_map(|rdn| {
            rdn.avas().enumerate().map(|(at, ava)| {
                let plus = if at > 0 { "+" } else { "" };
                (format!("{plus}{}", ava.attribute_type()), ava.value().into_owned())
            })
        });
        Ok(rdns.collect())
    }

    #[test]
    fn examples_and_liberties() {
        type Row<'a> = (&'a str, &'a [(&'a str, &'a [u8])]);
        let table: &[Row<'_>] = &[
            // RFC 4514 §4.
            ("UID=jsmith,DC=example,DC=net", &[("UID", b"jsmith"), ("DC", b"example"), ("DC", b"net")]),
            (
                "OU=Sales+CN=J.  Smith,DC=example,DC=net",
                &[("OU", b"Sales"), ("+CN", b"J.  Smith"), ("DC", b"example"), ("DC", b"net")],
            ),
            (
                r#"CN=James \"Jim\" Smith\, III,DC=example,DC=net"#,
                &[("CN", br#"James "Jim" Smith, III"#), ("DC", b"example"), ("DC", b"net")],
            ),
            (
                r"CN=Before\0dAfter,DC=example,DC=net",
                &[("CN", b"Before\rAfter"), ("DC", b"example"), ("DC", b"net")],
            ),
            ("1.3.6.1.4.1.1466.0=#04024869", &[("1.3.6.1.4.1.1466.0", b"Hi")]),
            (r"CN=Lu\C4\8Di\C4\87", &[("CN", "Lučić".as_bytes())]),
            // RFC 2253 §4: spaces, `;`, quotation, `oid.`.
            (
                "  CN = Steve Kille ; O=Isode Limited , C =GB  ",
                &[("CN", b"Steve Kille"), ("O", b"Isode Limited"), ("C", b"GB")],
            ),
            (r#"CN="L. Eagle, \"Lee\"" , O= "Sue" "#, &[("CN", br#"L. Eagle, "Lee""#), ("O", b"Sue")]),
            ("oid.2.5.4.3=x,OID.2.5.4.10=y", &[("2.5.4.3", b"x"), ("2.5.4.10", b"y")]),
            ("cn=a + sn=b", &[("cn", b"a"), ("+sn", b"b")]),
            // Values.
            ("", &[]),
            ("cn=", &[("cn", b"")]),
            ("cn= ,sn=\"\"", &[("cn", b""), ("sn", b"")]),
            (r"cn=\20\20x\20", &[("cn", b"  x ")]),
            (r"cn=\ x \ ", &[("cn", b" x  ")]),
            (r"cn=\#x#y", &[("cn", b"#x#y")]),
            ("cn=a=b,dc=c", &[("cn", b"a=b"), ("dc", b"c")]),
            (r"cn=\00", &[("cn", b"\0")]),
            (r"cn=\+\,\;\<\>\=\\", &[("cn", br"+,;<>=\")]),
            (r"cn=a\2Cdc=b", &[("cn", b"a,dc=b")]),
            ("cn=\tx\t", &[("cn", b"\tx\t")]),
            (r#"cn="a\2c #+;<>""#, &[("cn", b"a, #+;<>")]),
            ("cn=#0403FF00fe,dc=x", &[("cn", b"\xff\0\xfe"), ("dc", b"x")]),
            ("cn=#048103616263", &[("cn", b"abc")]),
            ("cn=#0400", &[("cn", b"")]),
            ("x_1-y=1,1a=2,_z=3", &[("x_1-y", b"1"), ("1a", b"2"), ("_z", b"3")]),
            (r"cn=\e2\82\ac\f0\9f\98\80!", &[("cn", "€😀!".as_bytes())]),
        ];
        for (text, want) in table {
            let want: Vec<_> =
                want.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
            assert_eq!(parts(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn errors_have_offsets() {
        let long = format!("cn={}", "x".repeat(MAX_TEXT));
        let many = vec!["cn=x"; MAX_AVAS + 1].join("+");
        let table: &[(&str, usize, DnErrorKind)] = &[
            (" ", 1, ExpectedType),
            (",", 0, ExpectedType),
            ("=x", 0, ExpectedType),
            ("-a=x", 0, ExpectedType),
            ("cn=x,", 5, ExpectedType),
            ("cn=x, ,dc=y", 6, ExpectedType),
            ("cn=x+", 5, ExpectedType),
            ("2.5.4.=x", 6, ExpectedType),
            ("oid.2.05=x", 7, ExpectedType),
            ("cn.x=y", 0, ExpectedType),
            ("cn", 2, ExpectedEquals),
            ("cn;lang-en=x", 2, ExpectedEquals),
            ("c n=x", 2, ExpectedEquals),
            ("cn=x,dc", 7, ExpectedEquals),
            ("ça=x", 0, ExpectedType),
            ("cn=a\"b", 4, UnescapedSpecial),
            ("cn=a<b", 4, UnescapedSpecial),
            ("cn=a>b", 4, UnescapedSpecial),
            ("cn=a\0b", 4, UnescapedSpecial),
            ("cn=\"a\0b\"", 5, UnescapedSpecial),
            (r"cn=a\", 4, InvalidEscape),
            (r"cn=a\x", 4, InvalidEscape),
            (r"cn=a\4", 4, InvalidEscape),
            (r"cn=a\4g", 4, InvalidEscape),
            (r"cn=a\é", 4, InvalidEscape),
            ("cn=\"a", 3, UnterminatedQuote),
            ("cn=\"a\\\"", 3, UnterminatedQuote),
            ("cn=\"a\"b", 6, ExpectedSeparator),
            ("cn=#", 3, InvalidHex),
            ("cn=#4", 3, InvalidHex),
            ("cn=#04", 3, InvalidHex),
            ("cn=#0401", 3, InvalidHex),
            ("cn=#04016162", 3, InvalidHex),
            ("cn=#0480", 3, InvalidHex),
            ("cn=#1f8101", 3, InvalidHex),
            ("cn=#0489010101010101010101", 3, InvalidHex),
            ("cn=#0400xx", 8, InvalidHex),
            (&long, MAX_TEXT, TooLong),
            (&many, 5 * MAX_AVAS, TooLong),
        ];
        for (text, offset, kind) in table {
            assert_eq!(parse(text), Err(DnError { offset: *offset, kind: *kind }), "{text:.40}");
        }
    }
    /// security: UTF-8 edge. Stray, cut short, overlong, surrogate, too large; before, between and after characters.
    #[test]
    fn utf8_edges() {
        let table = [
            (r"cn=\ff", 3),
            (r"cn=\80", 3),
            (r"cn=x\c3\28", 4),
            (r"cn=\c3x", 3),
            (r"cn=\c3", 3),
            (r"cn=é\c3é", 5),
            (r"cn=\c3\a9\c3", 9),
            (r"cn=\2c\c0\80", 6),
            (r"cn=\e0\80\80", 3),
            (r"cn=\ed\a0\80", 3),
            (r"cn=\f4\90\80\80", 3),
            (r"cn=\f0\9f\98, dc=x", 3),
            (r#"cn="\e2\82","#, 4),
        ];
        for (text, offset) in table {
            assert_eq!(parse(text), Err(DnError { offset, kind: InvalidUtf8 }), "{text}");
        }
    }
}
