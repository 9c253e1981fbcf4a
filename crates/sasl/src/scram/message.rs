//! The messages (RFC 5802 §7), taken apart and put together. What is read is sliced, not copied.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::LONGEST;
use crate::SaslError;

/// What a client says of channel binding.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Flag<'a> {
    /// `n`: it cannot, or does not want to.
    Unable,
    /// `y`: it could, but thinks that the server cannot.
    NotOffered,
    /// `p`: it does, by this kind.
    Bound(&'a str),
}

/// The first message of a client.
#[derive(Debug)]
pub(super) struct ClientFirst<'a> {
    pub(super) flag: Flag<'a>,
    /// The header before the bare message, as it was sent.
    pub(super) header: &'a str,
    pub(super) authorization: Option<String>,
    /// Without the header.
    pub(super) bare: &'a str,
    pub(super) user: String,
    pub(super) nonce: &'a str,
}

/// The first message of a server.
#[derive(Debug)]
pub(super) struct ServerFirst<'a> {
    pub(super) nonce: &'a str,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

/// The last message of a client.
#[derive(Debug)]
pub(super) struct ClientFinal<'a> {
    pub(super) binding: Vec<u8>,
    pub(super) nonce: &'a str,
    pub(super) proof: Vec<u8>,
    /// What comes before the proof.
    pub(super) without_proof: &'a str,
}

/// The last message of a server.
#[derive(Debug)]
pub(super) enum ServerFinal<'a> {
    Signature(Vec<u8>),
    Error(&'a str),
}

const fn malformed(what: &'static str) -> SaslError {
    SaslError::Malformed(what)
}

fn text(message: &[u8]) -> Result<&str, SaslError> {
    if message.len() > LONGEST {
        return Err(malformed("longer than 4,096 octets"));
    }
    std::str::from_utf8(message).map_err(|_| malformed("not UTF-8"))
}

/// Takes `k=value` up to the next comma, or the end.
fn take<'a>(rest: &mut Option<&'a str>, key: &str, what: &'static str) -> Result<&'a str, SaslError> {
    let whole = rest.ok_or_else(|| malformed(what))?;
    let (first, left) = match whole.split_once(',') {
        Some((first, left)) => (first, Some(left)),
        None => (whole, None),
    };
    let value =
        first.strip_prefix(key).and_then(|value| value.strip_prefix('=')).ok_or_else(|| malformed(what))?;
    *rest = left;
    Ok(value)
}

/// What may come after the parts that are known: extensions, of which none is mandatory at that place.
fn check_extensions(rest: Option<&str>) -> Result<(), SaslError> {
    let good = rest.is_none_or(|rest| {
        rest.split(',').all(|one| {
            let mut chars = one.chars();
            chars.next().is_some_and(|key| key.is_ascii_alphabetic() && key != 'm')
                && chars.next() == Some('=')
        })
    });
    if good { Ok(()) } else { Err(malformed("an extension that is not one")) }
}

fn nonce(value: &str) -> Result<&str, SaslError> {
    let good = !value.is_empty() && value.bytes().all(|octet| octet.is_ascii_graphic());
    if good { Ok(value) } else { Err(malformed("no nonce")) }
}

fn octets(value: &str, what: &'static str) -> Result<Vec<u8>, SaslError> {
    STANDARD.decode(value).map_err(|_| malformed(what))
}

/// `saslname`: commas and equals signs are written `=2C` and `=3D`.
pub(crate) fn escape(name: &str) -> Cow<'_, str> {
    if name.contains([',', '=']) {
        Cow::Owned(name.replace('=', "=3D").replace(',', "=2C"))
    } else {
        Cow::Borrowed(name)
    }
}

fn unescape(name: &str) -> Result<String, SaslError> {
    let mut plain = String::with_capacity(name.len());
    let mut parts = name.split('=');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            (None, None) => return Err(malformed("a name with an `=` that escapes nothing")),
        };
        plain.push(sign);
        plain.push_str(rest);
    }
    if plain.is_empty() || plain.contains('\0') {
        return Err(malformed("an empty name, or one with a NUL"));
    }
    Ok(plain)
}

impl<'a> ClientFirst<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, SaslError> {
        let whole = text(message)?;
        let no_header = || malformed("no header");
        let (flag, rest) = whole.split_once(',').ok_or_else(no_header)?;
        let (authorization, bare) = rest.split_once(',').ok_or_else(no_header)?;
        let header = whole.strip_suffix(bare).ok_or_else(no_header)?;
        let flag = match flag {
            "n" => Flag::Unable,
            "y" => Flag::NotOffered,
            _ => Flag::Bound(flag.strip_prefix("p=").filter(|kind| !kind.is_empty()).ok_or_else(no_header)?),
        };
        let authorization = match authorization {
            "" => None,
            name => Some(unescape(name.strip_prefix("a=").ok_or_else(no_header)?)?),
        };
        let mut rest = Some(bare);
        let user = unescape(take(&mut rest, "n", "no name")?)?;
        let nonce = nonce(take(&mut rest, "r", "no nonce")?)?;
        check_extensions(rest)?;
        Ok(Self { flag, header, authorization, bare, user, nonce })
    }
}

impl<'a> ServerFirst<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, SaslError> {
        let mut rest = Some(text(message)?);
        let nonce = nonce(take(&mut rest, "r", "no nonce")?)?;
        let salt = octets(take(&mut rest, "s", "no salt")?, "a salt that is not base64")?;
        let count = take(&mut rest, "i", "no iteration count")?;
        check_extensions(rest)?;
        let is_number = !count.is_empty() && count.bytes().all(|digit| digit.is_ascii_digit());
        let iterations = is_number.then(|| count.parse().unwrap_or(u32::MAX));
        let iterations = iterations.ok_or_else(|| malformed("an iteration count that is not a number"))?;
        if salt.is_empty() {
            return Err(malformed("an empty salt"));
        }
        Ok(Self { nonce, salt, iterations })
    }
}

impl<'a> ClientFinal<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, SaslError> {
        let whole = text(message)?;
        // The proof is the last, and has no comma in it.
        let (without_proof, proof) = whole.rsplit_once(",p=").ok_or_else(|| malformed("no proof"))?;
        let proof = octets(proof, "a proof that is not base64")?;
        let mut rest = Some(without_proof);
        let binding =
            octets(take(&mut rest, "c", "no channel binding")?, "a channel binding that is not base64")?;
        let nonce = nonce(take(&mut rest, "r", "no nonce")?)?;
        check_extensions(rest)?;
        Ok(Self { binding, nonce, proof, without_proof })
    }
}

impl<'a> ServerFinal<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, SaslError> {
        let whole = text(message)?;
        let mut rest = Some(whole);
        if whole.starts_with("e=") {
            return Ok(Self::Error(take(&mut rest, "e", "no error")?));
        }
        let signature = take(&mut rest, "v", "neither signature nor error")?;
        check_extensions(rest)?;
        octets(signature, "a signature that is not base64").map(Self::Signature)
    }
}
