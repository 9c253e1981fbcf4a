//! Keys of names and of identifiers: what the schema says two spellings have in common.
//!
//! The key of `CN=Ada  Byron+uid=7` is `0.9.2342.19200300.100.1.1=7+2.5.4.3=ada byron`: types by OID, values
//! normalised, several of one component sorted. `\`, `+`, `,` and `=` in values are escaped by `\`, so that no value looks like
//! two.

use std::borrow::Cow;

use super::{MatchingRule, NameError, Schema, Syntax, SyntaxError};
use crate::dn::{Ava, Dn, RdnRef};

/// What becomes of an attribute type the schema does not know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unknown {
    /// It is an error: in the name of an entry.
    Refused,
    /// It is compared by its spelling, and its values without regard to case: in a value, which may name what is in
    /// another directory.
    BySpelling,
}

/// The octets of a component's key.
pub(super) fn rdn_key(schema: &Schema, rdn: RdnRef<'_>, unknown: Unknown) -> Result<Vec<u8>, NameError> {
    let mut avas = rdn.avas();
    let Some(first) = avas.next() else { return Ok(Vec::new()) };
    let mut key = ava_key(schema, first, unknown)?;
    let rest = avas.map(|ava| ava_key(schema, ava, unknown)).collect::<Result<Vec<_>, _>>()?;
    if !rest.is_empty() {
        let mut all = rest;
        all.push(key);
        all.sort_unstable();
        // Types have no `=` in them, and the same ones stand together.
        let attribute = |key: &[u8]| key.split(|octet| *octet == b'=').next().map(<[u8]>::to_vec);
        let twice =
            all.windows(2).find(|pair| matches!(pair, [one, two] if attribute(one) == attribute(two)));
        if let Some([one, ..]) = twice
            && unknown == Unknown::Refused
        {
            return Err(NameError {
                attribute: String::from_utf8_lossy(&attribute(one).unwrap_or_default()).into_owned(),
                reason: "the attribute type stands twice in one component".to_owned(),
            });
        }
        key = all.join(&b'+');
    }
    Ok(key)
}

fn ava_key(schema: &Schema, ava: Ava<'_>, unknown: Unknown) -> Result<Vec<u8>, NameError> {
    let name = ava.attribute_type();
    let value = ava.value();
    let (oid, normal) = match schema.attribute_type(name) {
        Some(attribute) => {
            // Not every rule refuses all that the syntax does: text of no characters, a country of three.
            let fits = attribute.syntax.check(&value);
            let normal = fits.and_then(|()| schema.normalize(attribute, &value));
            let refused =
                |error: SyntaxError| NameError { attribute: name.to_owned(), reason: error.to_string() };
            (Cow::Borrowed(&*attribute.oid), normal.map_err(refused)?)
        }
        None if unknown == Unknown::Refused => {
            return Err(NameError {
                attribute: name.to_owned(),
                reason: "the attribute type is not defined".to_owned(),
            });
        }
        None => (Cow::Owned(name.to_ascii_lowercase()), without_case(&value)),
    };
    let mut key = Vec::with_capacity(oid.len() + 1 + normal.len());
    // An OID may be a word in a schema that others wrote.
    key.extend(oid.bytes().map(|octet| octet.to_ascii_lowercase()));
    key.push(b'=');
    for &octet in &*normal {
        if matches!(octet, b'\\' | b'+' | b',' | b'=') {
            key.push(b'\\');
        }
        key.push(octet);
    }
    Ok(key)
}

/// Text without regard to case; the octets where it is no text.
fn without_case(value: &[u8]) -> Cow<'_, [u8]> {
    let rule = MatchingRule::find("caseIgnoreMatch");
    rule.and_then(|rule| rule.normalize(value).ok()).unwrap_or(Cow::Borrowed(value))
}

/// `type=value` for a message to a person.
pub(super) fn spelling(ava: Ava<'_>) -> String {
    format!("{}={}", ava.attribute_type(), String::from_utf8_lossy(&ava.value()))
}

impl Schema {
    /// A name as the value of an attribute: the keys of its components, joined by commas.
    pub(super) fn normal_name(&self, dn: &Dn) -> Option<Vec<u8>> {
        let mut normal = Vec::new();
        for (number, rdn) in dn.rdns().enumerate() {
            if number > 0 {
                normal.push(b',');
            }
            normal.extend(self.normal_rdn(rdn)?);
        }
        Some(normal)
    }

    /// The same of one component.
    pub(super) fn normal_rdn(&self, rdn: RdnRef<'_>) -> Option<Vec<u8>> {
        rdn_key(self, rdn, Unknown::BySpelling).ok()
    }

    /// The preferred name, in lower case, of the definition this names; an OID or name that is not known is itself, in
    /// lower case.
    pub(super) fn normal_oid<'v>(&self, value: &'v [u8]) -> Option<Cow<'v, [u8]>> {
        let text = std::str::from_utf8(value).ok()?.trim();
        Syntax::OID.check(text.as_bytes()).ok()?;
        let class = self.object_class(text).map(|class| class.name());
        let name = class.or_else(|| Some(self.attribute_type(text)?.name())).unwrap_or(text);
        if name.as_bytes() == value && !value.iter().any(u8::is_ascii_uppercase) {
            return Some(Cow::Borrowed(value));
        }
        Some(Cow::Owned(name.to_ascii_lowercase().into_bytes()))
    }
}
