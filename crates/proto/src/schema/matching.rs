//! Matching rules (RFC 4517 §4, RFC 4523, RFC 4530, OpenLDAP's, and Active Directory's bit rules).
//!
//! A rule is a way to normalise: values that match have the same normal form, and for ordering rules the normal forms
//! sort as octets. What cannot be said so (bits, words) is in [`MatchingRule::matches`].

mod forms;

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use memchr::memmem;

use self::forms::Form;
use super::{
    Schema, Syntax, SyntaxError,
    prepare::{self, Case, Insignificant, Place},
};
use crate::filter::Substrings;

/// A matching rule this project implements. A small number: copy it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct MatchingRule(u8);

/// What a rule decides.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "closed in RFC 4517")]
pub enum RuleKind {
    /// Whether values are equal, or fulfil an assertion.
    Equality,
    /// Which value comes first.
    Ordering,
    /// Whether a value has parts.
    Substrings,
}

/// One rule: names, what it decides, the syntax of its assertions, how values are normalised.
struct Row {
    oid: &'static str,
    name: &'static str,
    kind: RuleKind,
    syntax: &'static str,
    form: Form,
}

impl MatchingRule {
    /// The rule with this name or OID, without regard to case.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::all().find(|rule| rule.name().eq_ignore_ascii_case(name) || rule.oid() == name)
    }

    /// All rules.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..ROWS.len()).filter_map(|number| u8::try_from(number).ok()).map(Self)
    }

    /// Its name, e.g. `caseIgnoreMatch`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Its OID.
    #[must_use]
    pub fn oid(self) -> &'static str {
        self.row().oid
    }

    /// What it decides.
    #[must_use]
    pub fn kind(self) -> RuleKind {
        self.row().kind
    }

    /// The syntax of its assertions.
    #[must_use]
    pub fn syntax(self) -> Syntax {
        Syntax::find(self.row().syntax)
    }

    /// A value in the form this rule compares: equal values have equal octets, and for ordering rules the octets sort
    /// as the values do.
    ///
    /// Rules over names and object identifiers need a schema; this uses [`Schema::standard`]. Where another schema is
    /// at hand, ask its [`normalize_by`](Schema::normalize_by).
    ///
    /// # Errors
    ///
    /// When the value does not fit the rule's syntax.
    pub fn normalize<'v>(self, value: &'v [u8]) -> Result<Cow<'v, [u8]>, SyntaxError> {
        self.normalize_in(None, value)
    }

    /// Whether it compares names and nothing besides.
    pub(super) fn is_of_names(self) -> bool {
        matches!(self.row().form, Form::Name)
    }

    /// As [`normalize`](Self::normalize), with the schema to ask for names; the standard one if there is none.
    pub(super) fn normalize_in<'v>(
        self,
        schema: Option<&Schema>,
        value: &'v [u8],
    ) -> Result<Cow<'v, [u8]>, SyntaxError> {
        self.row().form.normalize(schema, value).ok_or_else(|| self.syntax().error())
    }

    /// The parts of a substring assertion in the form this rule compares (RFC 4518 §2.6.1: a part keeps its spaces).
    ///
    /// # Errors
    ///
    /// When a part does not fit.
    pub fn normalize_substrings(self, parts: &Substrings) -> Result<Substrings, SyntaxError> {
        let normalize = |octets: &Bytes, place| match self.row().form.of_parts() {
            Some((case, insignificant)) => prepare::part(octets, case, insignificant, place)
                .map(Bytes::from)
                .ok_or_else(|| self.syntax().error()),
            None => self.normalize(octets).map(|octets| Bytes::copy_from_slice(&octets)),
        };
        Ok(Substrings {
            initial: parts.initial.as_ref().map(|part| normalize(part, Place::Initial)).transpose()?,
            any: parts.any.iter().map(|part| normalize(part, Place::Any)).collect::<Result<_, _>>()?,
            last: parts.last.as_ref().map(|part| normalize(part, Place::Final)).transpose()?,
        })
    }

    /// Whether a normalised value has the normalised parts.
    ///
    /// A space at an end of a part is fulfilled by the end of the value too, and the space between two words by two
    /// parts at once: RFC 4518 §2.6.1 puts a space at each end of a value and two between words.
    #[must_use]
    pub fn has_substrings(normalized: &[u8], parts: &Substrings) -> bool {
        let mut rest = normalized;
        let mut at_start = true;
        if let Some(initial) = &parts.initial {
            let Some(after) = after_initial(rest, initial) else { return false };
            rest = after;
            at_start = is_blank(initial);
        }
        for any in &parts.any {
            let Some(after) = after_any(rest, any, at_start) else { return false };
            rest = after;
            at_start = at_start && is_blank(any);
        }
        parts.last.as_ref().is_none_or(|last| {
            last.as_ref() == b" "
                || rest.ends_with(last)
                || (at_start && last.strip_prefix(b" ") == Some(rest))
        })
    }

    /// Whether a value fulfils an assertion: equality for most rules, and what the rule says for the others
    /// (`integerFirstComponentMatch`, `wordMatch`, the bit rules).
    ///
    /// # Errors
    ///
    /// When either does not fit its syntax.
    pub fn matches(self, value: &[u8], assertion: &[u8]) -> Result<bool, SyntaxError> {
        self.matches_in(None, value, assertion)
    }

    /// As [`matches`](Self::matches), with the schema to ask for names; the standard one if there is none.
    pub(super) fn matches_in(
        self,
        schema: Option<&Schema>,
        value: &[u8],
        assertion: &[u8],
    ) -> Result<bool, SyntaxError> {
        let bits = |octets| forms::bits(octets).ok_or_else(|| self.syntax().error());
        match self.row().form {
            Form::AllBits => Ok(bits(value)? & bits(assertion)? == bits(assertion)?),
            Form::AnyBit => Ok(bits(value)? & bits(assertion)? != 0),
            Form::Word => {
                let (value, word) =
                    (self.normalize_in(schema, value)?, self.normalize_in(schema, assertion)?);
                Ok(forms::words(&value).any(|candidate| candidate == word.as_ref()))
            }
            _ => Ok(self.normalize_in(schema, value)? == self.normalize_in(schema, assertion)?),
        }
    }

    fn row(self) -> &'static Row {
        ROWS.get(usize::from(self.0)).unwrap_or(&OCTET_STRING_MATCH)
    }
}

impl fmt::Display for MatchingRule {
    /// Prints the description as RFC 4512 §4.1.3 spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "( {} NAME '{}' SYNTAX {} )", self.oid(), self.name(), self.row().syntax)
    }
}

/// Whether a part is fulfilled anywhere: nothing, or a space, which every value has at its ends.
fn is_blank(part: &[u8]) -> bool {
    matches!(part, b"" | b" ")
}

/// What follows the first part, if the value starts with it.
fn after_initial<'v>(value: &'v [u8], part: &[u8]) -> Option<&'v [u8]> {
    match part {
        _ if is_blank(part) => Some(value),
        [core @ .., b' '] => {
            let after = value.strip_prefix(core)?;
            (after.is_empty() || after.starts_with(b" ")).then_some(after)
        }
        _ => value.strip_prefix(part),
    }
}

/// What follows the first occurrence of a part. A space at the part's end is left for the next part.
fn after_any<'v>(value: &'v [u8], part: &[u8], at_start: bool) -> Option<&'v [u8]> {
    if is_blank(part) {
        return Some(value);
    }
    if at_start
        && let Some(core) = part.strip_prefix(b" ")
        && let Some(after) = after_initial(value, core)
    {
        return Some(after);
    }
    let core = part.strip_suffix(b" ").unwrap_or(part);
    if core.len() > value.len() {
        return None;
    }
    if let Some(at) = memmem::find(value, part) {
        return value.get(at + core.len()..);
    }
    // The space at the part's end may be the end of the value.
    (core.len() < part.len() && value.ends_with(core)).then_some(&[])
}

const DIRECTORY_STRING: &str = "1.3.6.1.4.1.1466.115.121.1.15";
const IA5_STRING: &str = "1.3.6.1.4.1.1466.115.121.1.26";
const SUBSTRING_ASSERTION: &str = "1.3.6.1.4.1.1466.115.121.1.58";
const INTEGER: &str = "1.3.6.1.4.1.1466.115.121.1.27";
const OCTET_STRING: &str = "1.3.6.1.4.1.1466.115.121.1.40";
const FOLD: Form = Form::Text(Case::Fold, Insignificant::Spaces);
const KEEP: Form = Form::Text(Case::Keep, Insignificant::Spaces);
const NUMERIC: Form = Form::Text(Case::Keep, Insignificant::AllSpaces);
const TELEPHONE: Form = Form::Text(Case::Fold, Insignificant::SpacesAndHyphens);

const OCTET_STRING_MATCH: Row = equality("2.5.13.17", "octetStringMatch", OCTET_STRING, Form::Octets);

const fn equality(oid: &'static str, name: &'static str, syntax: &'static str, form: Form) -> Row {
    Row { oid, name, kind: RuleKind::Equality, syntax, form }
}

const fn ordering(oid: &'static str, name: &'static str, syntax: &'static str, form: Form) -> Row {
    Row { oid, name, kind: RuleKind::Ordering, syntax, form }
}

const fn substrings(oid: &'static str, name: &'static str, form: Form) -> Row {
    Row { oid, name, kind: RuleKind::Substrings, syntax: SUBSTRING_ASSERTION, form }
}

static ROWS: &[Row] = &[
    // RFC 4517 §4.2.
    equality("2.5.13.16", "bitStringMatch", "1.3.6.1.4.1.1466.115.121.1.6", Form::BitString),
    equality("2.5.13.13", "booleanMatch", "1.3.6.1.4.1.1466.115.121.1.7", Form::Boolean),
    equality("1.3.6.1.4.1.1466.109.114.1", "caseExactIA5Match", IA5_STRING, Form::Ascii(Case::Keep)),
    equality("2.5.13.5", "caseExactMatch", DIRECTORY_STRING, KEEP),
    ordering("2.5.13.6", "caseExactOrderingMatch", DIRECTORY_STRING, KEEP),
    substrings("2.5.13.7", "caseExactSubstringsMatch", KEEP),
    equality("1.3.6.1.4.1.1466.109.114.2", "caseIgnoreIA5Match", IA5_STRING, Form::Ascii(Case::Fold)),
    substrings("1.3.6.1.4.1.1466.109.114.3", "caseIgnoreIA5SubstringsMatch", Form::Ascii(Case::Fold)),
    equality("2.5.13.11", "caseIgnoreListMatch", "1.3.6.1.4.1.1466.115.121.1.41", Form::Lines),
    substrings("2.5.13.12", "caseIgnoreListSubstringsMatch", Form::Lines),
    equality("2.5.13.2", "caseIgnoreMatch", DIRECTORY_STRING, FOLD),
    ordering("2.5.13.3", "caseIgnoreOrderingMatch", DIRECTORY_STRING, FOLD),
    substrings("2.5.13.4", "caseIgnoreSubstringsMatch", FOLD),
    equality("2.5.13.31", "directoryStringFirstComponentMatch", DIRECTORY_STRING, Form::FirstText),
    equality("2.5.13.1", "distinguishedNameMatch", "1.3.6.1.4.1.1466.115.121.1.12", Form::Name),
    equality("2.5.13.27", "generalizedTimeMatch", "1.3.6.1.4.1.1466.115.121.1.24", Form::GeneralizedTime),
    ordering(
        "2.5.13.28",
        "generalizedTimeOrderingMatch",
        "1.3.6.1.4.1.1466.115.121.1.24",
        Form::GeneralizedTime,
    ),
    equality("2.5.13.29", "integerFirstComponentMatch", INTEGER, Form::FirstInteger),
    equality("2.5.13.14", "integerMatch", INTEGER, Form::Integer),
    ordering("2.5.13.15", "integerOrderingMatch", INTEGER, Form::Integer),
    equality("2.5.13.33", "keywordMatch", DIRECTORY_STRING, Form::Word),
    equality("2.5.13.8", "numericStringMatch", "1.3.6.1.4.1.1466.115.121.1.36", NUMERIC),
    ordering("2.5.13.9", "numericStringOrderingMatch", "1.3.6.1.4.1.1466.115.121.1.36", NUMERIC),
    substrings("2.5.13.10", "numericStringSubstringsMatch", NUMERIC),
    equality(
        "2.5.13.30",
        "objectIdentifierFirstComponentMatch",
        "1.3.6.1.4.1.1466.115.121.1.38",
        Form::FirstOid,
    ),
    equality("2.5.13.0", "objectIdentifierMatch", "1.3.6.1.4.1.1466.115.121.1.38", Form::Oid),
    OCTET_STRING_MATCH,
    ordering("2.5.13.18", "octetStringOrderingMatch", OCTET_STRING, Form::Octets),
    equality("2.5.13.20", "telephoneNumberMatch", "1.3.6.1.4.1.1466.115.121.1.50", TELEPHONE),
    substrings("2.5.13.21", "telephoneNumberSubstringsMatch", TELEPHONE),
    equality("2.5.13.23", "uniqueMemberMatch", "1.3.6.1.4.1.1466.115.121.1.34", Form::NameAndUid),
    equality("2.5.13.32", "wordMatch", DIRECTORY_STRING, Form::Word),
    // RFC 4530.
    equality("1.3.6.1.1.16.2", "uuidMatch", "1.3.6.1.1.16.1", Form::Uuid),
    ordering("1.3.6.1.1.16.3", "uuidOrderingMatch", "1.3.6.1.1.16.1", Form::Uuid),
    // X.520, as OpenLDAP's and others' schemas use them.
    equality("2.5.13.22", "presentationAddressMatch", OCTET_STRING, Form::Octets),
    equality("2.5.13.24", "protocolInformationMatch", OCTET_STRING, Form::Octets),
    equality("2.5.13.25", "uTCTimeMatch", "1.3.6.1.4.1.1466.115.121.1.53", Form::UtcTime),
    ordering("2.5.13.26", "uTCTimeOrderingMatch", "1.3.6.1.4.1.1466.115.121.1.53", Form::UtcTime),
    // RFC 4523. Assertions are whole values here: components of certificates are not looked into.
    equality("2.5.13.34", "certificateExactMatch", "1.3.6.1.1.15.1", Form::Octets),
    equality("2.5.13.35", "certificateMatch", "1.3.6.1.1.15.2", Form::Octets),
    equality("2.5.13.36", "certificatePairExactMatch", "1.3.6.1.1.15.3", Form::Octets),
    equality("2.5.13.37", "certificatePairMatch", "1.3.6.1.1.15.4", Form::Octets),
    equality("2.5.13.38", "certificateListExactMatch", "1.3.6.1.1.15.5", Form::Octets),
    equality("2.5.13.39", "certificateListMatch", "1.3.6.1.1.15.6", Form::Octets),
    equality("2.5.13.40", "algorithmIdentifierMatch", "1.3.6.1.1.15.7", Form::Octets),
    equality("2.5.13.45", "attributeCertificateExactMatch", OCTET_STRING, Form::Octets),
    // RFC 3112 and OpenLDAP.
    equality("1.3.6.1.4.1.4203.1.2.2", "authPasswordExactMatch", "1.3.6.1.4.1.4203.1.1.2", Form::Octets),
    substrings("1.3.6.1.4.1.4203.1.2.1", "caseExactIA5SubstringsMatch", Form::Ascii(Case::Keep)),
    equality("1.3.6.1.4.1.4203.666.11.2.2", "CSNMatch", "1.3.6.1.4.1.4203.666.11.2.1", Form::Csn),
    ordering("1.3.6.1.4.1.4203.666.11.2.3", "CSNOrderingMatch", "1.3.6.1.4.1.4203.666.11.2.1", Form::Csn),
    equality("1.3.6.1.4.1.4203.666.11.2.5", "CSNSIDMatch", "1.3.6.1.4.1.4203.666.11.2.4", Form::CsnSid),
    equality("1.3.6.1.4.1.4203.666.4.2", "OpenLDAPaciMatch", "1.3.6.1.4.1.4203.666.2.1", Form::Octets),
    equality("1.3.6.1.4.1.4203.666.4.12", "authzMatch", "1.3.6.1.4.1.4203.666.2.7", Form::Octets),
    // Active Directory.
    equality("1.2.840.113556.1.4.803", "integerBitAndMatch", INTEGER, Form::AllBits),
    equality("1.2.840.113556.1.4.804", "integerBitOrMatch", INTEGER, Form::AnyBit),
];

#[cfg(test)]
mod tests;
