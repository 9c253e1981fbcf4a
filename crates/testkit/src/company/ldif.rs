//! LDIF content records (RFC 2849), written one line at a time.
//!
//! Only what the generator needs, and on `std` alone; the reader and writer of the library live in `proto`.

use std::io::{self, Write};

/// Where a line is folded.
const COLUMNS: usize = 76;

/// An entry being written.
pub(super) struct Entry<'w, W: Write + ?Sized> {
    out: &'w mut W,
}

impl<'w, W: Write + ?Sized> Entry<'w, W> {
    pub(super) fn new(out: &'w mut W, dn: &str) -> io::Result<Self> {
        let mut entry = Self { out };
        entry.put("dn", dn)?;
        Ok(entry)
    }

    pub(super) fn each<const N: usize>(&mut self, name: &str, values: [&str; N]) -> io::Result<&mut Self> {
        for value in values {
            self.put(name, value)?;
        }
        Ok(self)
    }

    pub(super) fn put(&mut self, name: &str, value: &str) -> io::Result<&mut Self> {
        self.put_bytes(name, value.as_bytes())
    }

    pub(super) fn put_bytes(&mut self, name: &str, value: &[u8]) -> io::Result<&mut Self> {
        let mut line = name.as_bytes().to_vec();
        if is_safe(value) {
            line.extend(b": ");
            line.extend(value);
        } else {
            line.extend(b":: ");
            push_base64(&mut line, value);
        }
        write_folded(self.out, &line)?;
        Ok(self)
    }

    /// Ends the entry with its blank line.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.out.write_all(b"\n")
    }
}

/// An attribute value as it stands in a DN (RFC 4514 section 2.4).
pub(super) fn escape_dn_value(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (place, letter) in value.chars().enumerate() {
        let special = matches!(letter, '"' | '+' | ',' | ';' | '<' | '>' | '\\')
            || (letter == ' ' && (place == 0 || place == last))
            || (letter == '#' && place == 0);
        if special {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// Whether the value may stand as it is: SAFE-STRING of RFC 2849, and no blank at the end (its note 8).
fn is_safe(value: &[u8]) -> bool {
    let starts_safe = !matches!(value.first(), Some(b' ' | b':' | b'<'));
    let ends_safe = value.last() != Some(&b' ');
    starts_safe
        && ends_safe
        && value.iter().all(|&byte| byte.is_ascii() && !matches!(byte, 0 | b'\n' | b'\r'))
}

/// A continuation line begins with a blank, which belongs to the fold and not to the value (RFC 2849 note 2).
fn write_folded<W: Write + ?Sized>(out: &mut W, line: &[u8]) -> io::Result<()> {
    let (head, tail) = line.split_at(line.len().min(COLUMNS));
    out.write_all(head)?;
    for part in tail.chunks(COLUMNS - 1) {
        out.write_all(b"\n ")?;
        out.write_all(part)?;
    }
    out.write_all(b"\n")
}

fn push_base64(line: &mut Vec<u8>, value: &[u8]) {
    for chunk in value.chunks(3) {
        let bits = chunk.iter().fold(0, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            line.push(if place <= chunk.len() { base64_digit(bits >> (18 - 6 * place)) } else { b'=' });
        }
    }
}

fn base64_digit(bits: u32) -> u8 {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    DIGITS.get((bits & 63) as usize).copied().unwrap_or(b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_plain_where_rfc_2849_allows_it_and_base64_elsewhere() {
        for (value, expected) in [
            (&b"plain"[..], "a: plain\n"),
            (b"", "a: \n"),
            (b"colon: inside", "a: colon: inside\n"),
            (b" blank first", "a:: IGJsYW5rIGZpcnN0\n"),
            (b"blank last ", "a:: YmxhbmsgbGFzdCA=\n"),
            (b":colon first", "a:: OmNvbG9uIGZpcnN0\n"),
            (b"<url", "a:: PHVybA==\n"),
            ("Søren".as_bytes(), "a:: U8O4cmVu\n"),
            (b"two\nlines", "a:: dHdvCmxpbmVz\n"),
            (b"\xff\xd8\xff", "a:: /9j/\n"),
        ] {
            let mut out = Vec::new();
            Entry { out: &mut out }.put_bytes("a", value).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "value {value:?}");
        }
    }

    #[test]
    fn long_lines_are_folded_and_unfold_to_the_same() {
        for length in [70, 73, 74, 147, 148, 149, 1000] {
            let value = "x".repeat(length);
            let mut out = Vec::new();
            Entry { out: &mut out }.put("a", &value).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(text.lines().all(|line| line.len() <= COLUMNS), "length {length}");
            assert_eq!(text.replace("\n ", ""), format!("a: {value}\n"));
        }
    }

    #[test]
    fn dn_values_are_escaped() {
        for (value, expected) in [
            ("plain", "plain"),
            ("Research, Optics", r"Research\, Optics"),
            ("Tides + Currents", r"Tides \+ Currents"),
            (r#"Sales "North""#, r#"Sales \"North\""#),
            ("#1 dock", r"\#1 dock"),
            (" both ", r"\ both\ "),
            (r"a\b;<c>", r"a\\b\;\<c\>"),
        ] {
            assert_eq!(escape_dn_value(value), expected);
        }
    }
}
