//! The parser of names: one pass over the octets, no recursion, two allocations.

use super::{AvaPlace, Dn, DnError, DnErrorKind, escape, saturating_u32};

/// Octets of text.
const MAX_TEXT: usize = 64 << 10;
/// Pairs of type and value.
const MAX_AVAS: usize = 1000;

pub(super) fn parse(text: &str) -> Result<Dn, DnError> {
    if text.is_empty() {
        return Ok(Dn::root());
    }
    if text.len() > MAX_TEXT {
        return Err(DnError { offset: MAX_TEXT, kind: DnErrorKind::TooLong });
    }
    // Spaces around the whole are no part of the name; one before the end may be escaped, so the parser finds those.
    let start = text.bytes().take_while(|octet| *octet == b' ').count();
    let mut parser = Parser { octets: text.as_bytes(), start, position: start };
    // Every pair has a `=`, so the list is never grown; a value that has one too costs a little room.
    let estimate = memchr::memchr_iter(b'=', parser.octets).count().min(MAX_AVAS);
    let mut avas = Vec::with_capacity(estimate);
    loop {
        if avas.len() == MAX_AVAS {
            return Err(parser.error(DnErrorKind::TooLong));
        }
        let mut place = parser.ava()?;
        let separator = parser.next();
        place.joined = separator == Some(b'+');
        avas.push(place);
        if separator.is_none() {
            let end = start + place.end as usize;
            return Ok(Dn { text: text.get(start..end).unwrap_or_default().into(), avas: avas.into() });
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
        let spelt = self.octets.get(start..self.position).unwrap_or_default();
        let valid = match spelt.first() {
            None | Some(b'-' | b'_' | b'.') => false,
            Some(_) => !dotted || is_numeric_oid(spelt),
        };
        if valid { Ok(()) } else { Err(DnError { offset: start, kind: DnErrorKind::ExpectedType }) }
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

/// Whether `spelt`, without an `oid.` before it, is digits in groups between dots.
fn is_numeric_oid(spelt: &[u8]) -> bool {
    let oid = match spelt {
        [b'o' | b'O', b'i' | b'I', b'd' | b'D', b'.', oid @ ..] => oid,
        oid => oid,
    };
    oid.split(|octet| *octet == b'.').all(|arc| !arc.is_empty() && arc.iter().all(u8::is_ascii_digit))
}
