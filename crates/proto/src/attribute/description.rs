//! Attribute descriptions (RFC 4512 §2.5).

use std::{borrow::Cow, fmt, str::FromStr};

use super::known::known_description;

/// An attribute description: a type and options, e.g. `cn`, `2.5.4.3`, `userCertificate;binary`, `cn;lang-en`.
///
/// `Eq` compares spelling. Whether two descriptions mean the same attribute, and whether one is a subtype of the
/// other, is asked of the schema.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct AttributeDescription(Cow<'static, str>);

/// Text that is not an attribute description.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an attribute description: unexpected character at offset {offset}")]
pub struct InvalidAttributeDescription {
    /// Octets from the start of the text.
    pub offset: usize,
}

impl AttributeDescription {
    /// The first `length` octets of a text as a description.
    pub(crate) fn at_start_of(text: &str, length: usize) -> Result<Self, InvalidAttributeDescription> {
        if let Some(known) = known_description(text.as_bytes(), length) {
            return Ok(Self(Cow::Borrowed(known)));
        }
        let description = text.get(..length).unwrap_or_default();
        check_description(description)?;
        Ok(Self(Cow::Owned(description.to_owned())))
    }

    /// The whole description as spelt.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The attribute type: a short name or a dotted-decimal identifier.
    #[must_use]
    pub fn attribute_type(&self) -> &str {
        self.0.split(';').next().unwrap_or_default()
    }

    /// The options, in the order they are spelt, without the semicolons.
    pub fn options(&self) -> impl Iterator<Item = &str> {
        self.0.split(';').skip(1)
    }
}

impl FromStr for AttributeDescription {
    type Err = InvalidAttributeDescription;

    /// Parses a description. Underscores and a leading digit are accepted in names, as directories in the field do,
    /// and so is the option `range=0-1499` that Active Directory answers with.
    fn from_str(text: &str) -> Result<Self, InvalidAttributeDescription> {
        Self::at_start_of(text, text.len())
    }
}

/// Checks an attribute description without keeping it.
pub(crate) fn check_description(text: &str) -> Result<(), InvalidAttributeDescription> {
    // A plain name, as nearly all are.
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_' || octet == b'-';
    if !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain) {
        return Ok(());
    }
    let mut start = 0;
    for (number, part) in text.split(';').enumerate() {
        let checked = if number == 0 { check_type(part) } else { check_option(part) };
        checked.map_err(|offset| InvalidAttributeDescription { offset: start + offset })?;
        start += part.len() + 1;
    }
    Ok(())
}

impl fmt::Display for AttributeDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks an attribute type: a name or a dotted-decimal identifier. The error is the offset of what is wrong.
fn check_type(text: &str) -> Result<(), usize> {
    if text.contains('.') {
        return crate::oid::check_numeric_oid(text);
    }
    let fits =
        |at: usize, octet: u8| octet.is_ascii_alphanumeric() || octet == b'_' || at > 0 && octet == b'-';
    check_octets(text, fits)
}

/// Checks an option. The error is the offset of what is wrong.
fn check_option(text: &str) -> Result<(), usize> {
    let is_range = text.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("range="));
    check_octets(text, |_, octet| {
        octet.is_ascii_alphanumeric()
            || matches!(octet, b'-' | b'_')
            || is_range && matches!(octet, b'=' | b'*')
    })
}

fn check_octets(text: &str, fits: impl Fn(usize, u8) -> bool) -> Result<(), usize> {
    match text.bytes().enumerate().position(|(at, octet)| !fits(at, octet)) {
        Some(at) => Err(at),
        None if text.is_empty() => Err(0),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions() {
        let err = |offset| Err(InvalidAttributeDescription { offset });
        let table: &[(&str, Result<&str, InvalidAttributeDescription>)] = &[
            ("cn", Ok("cn")),
            ("2.5.4.3", Ok("2.5.4.3")),
            ("userCertificate;binary", Ok("userCertificate")),
            ("cn;lang-en;x-foo", Ok("cn")),
            ("member;range=0-1499", Ok("member")),
            ("member;Range=1500-*", Ok("member")),
            ("my_attribute", Ok("my_attribute")),
            ("3rdParty", Ok("3rdParty")),
            ("", err(0)),
            ("-cn", err(0)),
            ("c n", err(1)),
            ("cn;", err(3)),
            ("cn;;x", err(3)),
            ("cn;la=ng", err(5)),
            ("2.5..4", err(4)),
            ("2.5.", err(4)),
            ("2.05", err(3)),
            ("straße", err(4)),
            ("*", err(0)),
        ];
        for (text, want) in table {
            let got = text.parse::<AttributeDescription>();
            assert_eq!(
                got.as_ref().map(AttributeDescription::attribute_type),
                want.as_ref().copied(),
                "{text}"
            );
        }
        let description = "cn;lang-en;binary".parse::<AttributeDescription>().unwrap();
        assert_eq!(description.options().collect::<Vec<_>>(), ["lang-en", "binary"]);
    }
}
