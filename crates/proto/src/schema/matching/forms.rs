//! The normal forms: one for each family of rules.

use std::borrow::Cow;

use super::super::{
    Schema,
    prepare::{self, Case, Insignificant},
    syntax::grammar::{self, split_uid},
    time::{GeneralizedTime, utc_time_from_str},
};
use crate::dn::Dn;

/// How a rule normalises.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// As they are.
    Octets,
    /// Prepared as RFC 4518 says.
    Text(Case, Insignificant),
    /// The same, ASCII only.
    Ascii(Case),
    /// Lines joined by `$`, each prepared.
    Lines,
    /// As text; an assertion is one word of it.
    Word,
    Boolean,
    BitString,
    /// Sign, length, digits.
    Integer,
    GeneralizedTime,
    UtcTime,
    Uuid,
    Csn,
    CsnSid,
    /// A name of a definition, or its OID: the preferred name in lower case.
    Oid,
    /// A DN: its key, written out.
    Name,
    NameAndUid,
    /// The first component of a definition, or an assertion of one.
    FirstOid,
    FirstInteger,
    FirstText,
    /// Bits of an integer; normalised as integers.
    AllBits,
    AnyBit,
}

impl Form {
    /// The normal form, or `None` when the value does not fit.
    pub(super) fn normalize<'v>(self, schema: Option<&Schema>, value: &'v [u8]) -> Option<Cow<'v, [u8]>> {
        let schema = || or_standard(schema);
        match self {
            Self::Octets => Some(Cow::Borrowed(value)),
            Self::Text(case, insignificant) => prepare::value(value, case, insignificant),
            Self::Ascii(case) => {
                value.is_ascii().then(|| prepare::value(value, case, Insignificant::Spaces)).flatten()
            }
            Self::Word => prepare::value(value, Case::Fold, Insignificant::Spaces),
            Self::Lines => lines(value),
            Self::Boolean => fits(grammar::boolean, value),
            Self::BitString => fits(grammar::bit_string, value),
            Self::Integer | Self::AllBits | Self::AnyBit => integer(value),
            Self::GeneralizedTime => {
                let time: GeneralizedTime = std::str::from_utf8(value).ok()?.parse().ok()?;
                Some(Cow::Owned(time.key().to_vec()))
            }
            Self::UtcTime => {
                Some(Cow::Owned(utc_time_from_str(std::str::from_utf8(value).ok()?)?.key().to_vec()))
            }
            Self::Uuid => fits(grammar::uuid, value).map(lower),
            Self::Csn => csn(value),
            Self::CsnSid => fits(grammar::csn_sid, value).map(lower),
            Self::Oid => schema().normal_oid(value),
            Self::Name => name(schema(), value).map(Cow::Owned),
            Self::NameAndUid => {
                let (dn, uid) = split_uid(value);
                let mut normal = name(schema(), dn)?;
                if let Some(uid) = uid {
                    // No component of a name begins so, and a `,` in a value is escaped.
                    normal.extend_from_slice(b",#");
                    normal.extend_from_slice(uid);
                }
                Some(Cow::Owned(normal))
            }
            Self::FirstOid => schema().normal_oid(first_component(value)?),
            Self::FirstInteger => integer(first_component(value)?),
            Self::FirstText => prepare::value(first_component(value)?, Case::Fold, Insignificant::Spaces),
        }
    }

    /// How parts of a substring assertion are prepared, for the rules that have such.
    pub(super) fn of_parts(self) -> Option<(Case, Insignificant)> {
        match self {
            Self::Text(case, insignificant) => Some((case, insignificant)),
            Self::Ascii(case) => Some((case, Insignificant::Spaces)),
            Self::Lines => Some((Case::Fold, Insignificant::Spaces)),
            _ => None,
        }
    }
}

/// An integer of up to 64 bits, for the bit rules.
pub(super) fn bits(value: &[u8]) -> Option<i64> {
    fits(grammar::integer, value)?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The words of a prepared text: runs of what is neither a space nor ASCII punctuation.
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|octet| *octet == b' ' || octet.is_ascii_punctuation()).filter(|word| !word.is_empty())
}

fn or_standard(schema: Option<&Schema>) -> &Schema {
    let Some(schema) = schema else { return Schema::standard() };
    schema
}

fn fits(is_valid: fn(&[u8]) -> bool, value: &[u8]) -> Option<Cow<'_, [u8]>> {
    is_valid(value).then_some(Cow::Borrowed(value))
}

fn lower(value: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if value.iter().any(u8::is_ascii_uppercase) { Cow::Owned(value.to_ascii_lowercase()) } else { value }
}

/// Octets that sort as integers do, whatever their size: the sign, then the number of digits, then the digits; all of
/// it inverted below zero.
fn integer(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    fits(grammar::integer, value)?;
    let (digits, inverted) = match value {
        [b'-', digits @ ..] => (digits, 0xff),
        digits => (digits, 0),
    };
    let length = u32::try_from(digits.len()).ok()?.to_be_bytes();
    let mut key = Vec::with_capacity(1 + length.len() + digits.len());
    key.push(if inverted == 0 { 1 } else { 0 });
    key.extend(length.iter().chain(digits).map(|octet| octet ^ inverted));
    Some(Cow::Owned(key))
}

/// OpenLDAP's form of today in lower case; the older one is filled up.
fn csn(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let value = lower_keeping_zone(fits(grammar::csn, value)?);
    let fields: Vec<&[u8]> = value.split(|&octet| octet == b'#').collect();
    let [time, count, replica, modification] = fields.as_slice() else { return None };
    if time.len() == 22 && replica.len() == 3 {
        return Some(value);
    }
    let seconds = time.get(..14)?;
    let fraction = if time.len() == 15 { b".000000Z" } else { time.get(14..)? };
    let zeros = b"000".get(replica.len()..)?;
    let key = [seconds, fraction, b"#", count, b"#", zeros, replica, b"#", modification].concat();
    Some(Cow::Owned(key))
}

/// Lower case but for the `Z`, which is the only letter that is no digit.
fn lower_keeping_zone(value: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if !value.iter().any(|octet| matches!(octet, b'A'..=b'F')) {
        return value;
    }
    Cow::Owned(
        value.iter().map(|octet| if *octet == b'Z' { b'Z' } else { octet.to_ascii_lowercase() }).collect(),
    )
}

/// The lines of a postal address, each prepared; escapes stay escapes, in lower case like all else.
fn lines(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut normal = Vec::with_capacity(value.len());
    for (number, line) in value.split(|&octet| octet == b'$').enumerate() {
        if number > 0 {
            normal.push(b'$');
        }
        normal.extend_from_slice(&prepare::value(line, Case::Fold, Insignificant::Spaces)?);
    }
    Some(if normal == value { Cow::Borrowed(value) } else { Cow::Owned(normal) })
}

fn name(schema: &Schema, value: &[u8]) -> Option<Vec<u8>> {
    let dn: Dn = std::str::from_utf8(value).ok()?.parse().ok()?;
    schema.normal_name(&dn)
}

/// The first component of `( first …`, without quotes; what does not start with a parenthesis is itself.
fn first_component(value: &[u8]) -> Option<&[u8]> {
    let Some(inside) = value.trim_ascii_start().strip_prefix(b"(") else { return Some(value) };
    let inside = inside.trim_ascii_start();
    if let Some(quoted) = inside.strip_prefix(b"'") {
        return quoted.split(|&octet| octet == b'\'').next();
    }
    inside.split(|octet| octet.is_ascii_whitespace() || *octet == b')').next()
}
