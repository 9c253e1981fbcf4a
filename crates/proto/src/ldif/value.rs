//! One line taken apart: a name and a value as text, in base64, or in a file (`attrval-spec` of RFC 2849).

use std::{fs::File, io::Read, path::Path};

use base64::{DecodeError, Engine, engine::general_purpose::STANDARD_NO_PAD};
use memchr::memchr;

use super::{LdifErrorKind, ReadOptions};

/// A value as it is spelt.
#[derive(Clone, Copy)]
pub(super) enum Spelt<'a> {
    /// `name: value`
    Plain(&'a [u8]),
    /// `name:: base64`
    Base64(&'a [u8]),
    /// `name:< url`
    Url(&'a [u8]),
}

/// Splits a line into the name and the value as it is spelt.
pub(super) fn split(line: &[u8]) -> Result<(&[u8], Spelt<'_>), LdifErrorKind> {
    let colon =
        memchr(b':', line).ok_or(LdifErrorKind::Expected("`name: value`, but the line has no colon"))?;
    let (name, rest) = line.split_at_checked(colon).unwrap_or((line, b""));
    Ok((name, value_spec(rest)))
}

/// Reads `value-spec`: what begins at the colon.
pub(super) fn value_spec(rest: &[u8]) -> Spelt<'_> {
    match rest.strip_prefix(b":").unwrap_or(rest) {
        [b':', encoded @ ..] => Spelt::Base64(encoded),
        [b'<', url @ ..] => Spelt::Url(trim_start(url)),
        plain => Spelt::Plain(trim_start(plain)),
    }
}

/// Leaves out spaces (`FILL`). Nothing else: a value may begin with a tab.
fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = text {
        text = rest;
    }
    text
}

/// The octets of a value: where they stand, or decoded or read into `scratch`. A file's count as `used` of what a
/// record may have.
pub(super) fn octets<'a>(
    spelt: Spelt<'a>,
    scratch: &'a mut Vec<u8>,
    options: &ReadOptions,
    used: &mut usize,
) -> Result<&'a [u8], LdifErrorKind> {
    match spelt {
        Spelt::Plain(octets) => return Ok(octets),
        Spelt::Base64(encoded) => decode(encoded, scratch)?,
        Spelt::Url(url) if options.read_files => {
            read_file(url, scratch, options, *used)?;
            *used = used.saturating_add(scratch.len());
        }
        Spelt::Url(_) => return Err(LdifErrorKind::FileRefused),
    }
    Ok(scratch)
}

/// Decodes base64 (RFC 4648 §4). Padding may be missing: it tells nothing the length does not.
fn decode(encoded: &[u8], out: &mut Vec<u8>) -> Result<(), LdifErrorKind> {
    let skipped = encoded.len().saturating_sub(encoded.trim_ascii_start().len());
    let symbols = encoded.trim_ascii();
    let symbols = symbols.strip_suffix(b"==").or_else(|| symbols.strip_suffix(b"=")).unwrap_or(symbols);
    out.clear();
    STANDARD_NO_PAD.decode_vec(symbols, out).map_err(|error| {
        let offset = match error {
            DecodeError::InvalidByte(offset, _) | DecodeError::InvalidLastSymbol { offset, .. } => offset,
            _ => symbols.len(),
        };
        LdifErrorKind::Base64 { offset: skipped.saturating_add(offset) }
    })
}

/// Reads the file that `url` names, which must be a regular file of this machine.
fn read_file(url: &[u8], out: &mut Vec<u8>, options: &ReadOptions, used: usize) -> Result<(), LdifErrorKind> {
    const EXPECTED: LdifErrorKind = LdifErrorKind::Expected("the URL of a local file, like file:///path");
    let rest = match url.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"file://") => rest,
        _ => return Err(EXPECTED),
    };
    let path = match rest.split_at_checked(9) {
        Some((host, path)) if host.eq_ignore_ascii_case(b"localhost") => path,
        _ => rest,
    };
    if path.first() != Some(&b'/') {
        return Err(EXPECTED);
    }
    let path = percent_decoded(path).ok_or(EXPECTED)?;
    let path = Path::new(&path);
    // Opening a pipe would wait for a writer, and a device has no end.
    if !path.metadata().map_err(LdifErrorKind::File)?.is_file() {
        return Err(LdifErrorKind::Expected("the URL of a regular file"));
    }
    let file = File::open(path).map_err(LdifErrorKind::File)?;
    let room = options.record_limit.saturating_sub(used);
    let most = u64::try_from(room).unwrap_or(u64::MAX).saturating_add(1);
    out.clear();
    file.take(most).read_to_end(out).map_err(LdifErrorKind::File)?;
    if out.len() > room { Err(LdifErrorKind::TooLarge(options.record_limit)) } else { Ok(()) }
}

/// Undoes `%41` (RFC 3986 §2.1). `None` where two hexadecimal digits are missing or the result is not UTF-8.
fn percent_decoded(text: &[u8]) -> Option<String> {
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return String::from_utf8(out).ok(),
            [b'%', high, low, rest @ ..] => {
                out.push((digit(*high)? << 4) | digit(*low)?);
                rest
            }
            [b'%', ..] => return None,
            [octet, rest @ ..] => {
                out.push(*octet);
                rest
            }
        };
    }
}
