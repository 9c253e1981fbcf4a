//! Values as they are spelt in names (RFC 4514 §2.4 and §3), both ways.

use std::borrow::Cow;

const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

/// Appends `value`, escaped; in the `#` form if it is not UTF-8.
pub(super) fn write_value(value: &[u8], out: &mut String) {
    match std::str::from_utf8(value) {
        Ok(text) => write_text(text, out),
        Err(_) => write_octets(value, out),
    }
}

/// RFC 4514 §2.4. Control characters need no escape there, but names are printed in places where a line break would
/// say more than was meant, so they get one.
fn write_text(text: &str, out: &mut String) {
    let last = text.len().saturating_sub(1);
    for (at, char) in text.char_indices() {
        match char {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', char]),
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            '#' if at == 0 => out.push_str("\\#"),
            '\0'..='\x1f' | '\x7f' => {
                out.push('\\');
                write_hex(char as u8, out);
            }
            _ => out.push(char),
        }
    }
}

/// The `#` form: the value as a BER `OCTET STRING` of definite length, in hexadecimal digits.
fn write_octets(value: &[u8], out: &mut String) {
    out.push_str("#04");
    match u8::try_from(value.len()) {
        Ok(short @ 0..0x80) => write_hex(short, out),
        _ => {
            let length = value.len().to_be_bytes();
            let padding = length.iter().take_while(|octet| **octet == 0).count();
            // A length has at most eight octets, so the count fits its seven bits.
            write_hex(0x80 | (length.len() - padding) as u8, out);
            length.iter().skip(padding).for_each(|octet| write_hex(*octet, out));
        }
    }
    value.iter().for_each(|octet| write_hex(*octet, out));
}

fn write_hex(octet: u8, out: &mut String) {
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    out.extend([digit(octet >> 4), digit(octet & 0x0f)]);
}

/// Undoes the spelling of a value that the parser has accepted.
pub(super) fn read_value(spelt: &str) -> Cow<'_, [u8]> {
    match spelt.as_bytes() {
        [b'#', digits @ ..] => {
            let octets: Vec<u8> = pairs(digits).collect();
            let header = ber_header(digits).unwrap_or_default();
            Cow::Owned(octets.get(header..).unwrap_or_default().to_vec())
        }
        [b'"', quoted @ .., b'"'] => unescape(quoted),
        octets => unescape(octets),
    }
}

fn unescape(spelt: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', spelt) else { return Cow::Borrowed(spelt) };
    let (plain, mut rest) = spelt.split_at_checked(first).unwrap_or((spelt, &[]));
    let mut value = Vec::with_capacity(spelt.len());
    value.extend_from_slice(plain);
    while let [octet, after @ ..] = rest {
        rest = after;
        match (octet, after) {
            (b'\\', [high, low, after @ ..]) if let Some(octet) = hex_octet(*high, *low) => {
                value.push(octet);
                rest = after;
            }
            (b'\\', [special, after @ ..]) => {
                value.push(*special);
                rest = after;
            }
            _ => value.push(*octet),
        }
    }
    Cow::Owned(value)
}

/// The octets before the contents of the one BER value that `digits` spell, or `None` if they are not one BER value
/// with a tag of one octet and a definite length.
pub(super) fn ber_header(digits: &[u8]) -> Option<usize> {
    let total = digits.len() / 2;
    let mut octets = pairs(digits);
    if octets.next()? & 0x1f == 0x1f {
        return None;
    }
    let (header, length) = match octets.next()? {
        short @ 0..0x80 => (2, usize::from(short)),
        0x80 => return None,
        long => {
            let count = usize::from(long & 0x7f);
            let mut length = 0_usize;
            for _ in 0..count {
                length = length.checked_mul(256)?.checked_add(usize::from(octets.next()?))?;
            }
            (2 + count, length)
        }
    };
    (header.checked_add(length)? == total).then_some(header)
}

fn pairs(digits: &[u8]) -> impl Iterator<Item = u8> {
    digits.as_chunks::<2>().0.iter().filter_map(|[high, low]| hex_octet(*high, *low))
}

/// The octet that two hexadecimal digits spell, if they are digits.
pub(super) fn hex_octet(high: u8, low: u8) -> Option<u8> {
    Some(hex_digit(high)? << 4 | hex_digit(low)?)
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
