//! Syntaxes (RFC 4517 §3, RFC 4523, RFC 4530, RFC 2307): what octets a value may be.
//!
//! Which values are equal, or come first, is the business of matching rules, not of syntaxes.

pub(super) mod grammar;

use std::fmt;

use super::MatchingRule;

/// A syntax, known or not. A small number: copy it. The default is the unknown one.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Syntax(u8);

/// A value that does not fit its syntax.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a valid {syntax}")]
pub struct SyntaxError {
    /// The description of the syntax, e.g. `Generalized Time`.
    pub syntax: &'static str,
}

/// One syntax this project knows.
struct Row {
    oid: &'static str,
    description: &'static str,
    text: bool,
    check: fn(&[u8]) -> bool,
}

const fn text(oid: &'static str, description: &'static str, check: fn(&[u8]) -> bool) -> Row {
    Row { oid, description, text: true, check }
}

const fn opaque(oid: &'static str, description: &'static str) -> Row {
    Row { oid, description, text: false, check: grammar::any }
}

impl Syntax {
    /// Attributes named by a DN.
    pub const DN: Self = Self(1);
    /// Text for people, case and all.
    pub const DIRECTORY_STRING: Self = Self(2);
    /// ASCII text.
    pub const IA5_STRING: Self = Self(3);
    /// Whole numbers of any size.
    pub const INTEGER: Self = Self(4);
    /// `TRUE` or `FALSE`.
    pub const BOOLEAN: Self = Self(5);
    /// A moment, with a time zone.
    pub const GENERALIZED_TIME: Self = Self(6);
    /// Any octets.
    pub const OCTET_STRING: Self = Self(7);
    /// An object identifier or a short name.
    pub const OID: Self = Self(8);
    /// A syntax that is not known: any octets.
    pub const UNKNOWN: Self = Self(0);

    /// The syntax with this OID; one that is not known takes any octets.
    #[must_use]
    pub fn find(oid: &str) -> Self {
        Self::all().find(|syntax| syntax.oid() == oid).unwrap_or(Self::UNKNOWN)
    }

    /// All known syntaxes.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..ROWS.len()).filter_map(|number| u8::try_from(number).ok()).map(Self)
    }

    /// Its OID; for one that is not known, that of Octet String.
    #[must_use]
    pub fn oid(self) -> &'static str {
        self.row().oid
    }

    /// Its description, e.g. `Directory String`.
    #[must_use]
    pub fn description(self) -> &'static str {
        self.row().description
    }

    /// Whether values are text for people: they print as they are.
    #[must_use]
    pub fn is_text(self) -> bool {
        self.row().text
    }

    /// Checks a value.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    pub fn check(self, value: &[u8]) -> Result<(), SyntaxError> {
        if (self.row().check)(value) { Ok(()) } else { Err(self.error()) }
    }

    /// The equality rule that most attributes of this syntax have: for those whose definition names none, as with Active
    /// Directory.
    pub(super) fn usual_rule(self) -> Option<MatchingRule> {
        MatchingRule::find(match self.oid() {
            "1.3.6.1.4.1.1466.115.121.1.12" => "distinguishedNameMatch",
            "1.3.6.1.4.1.1466.115.121.1.15"
            | "1.3.6.1.4.1.1466.115.121.1.11"
            | "1.3.6.1.4.1.1466.115.121.1.44"
            | "1.2.840.113556.1.4.905"
            | "1.2.840.113556.1.4.1221" => "caseIgnoreMatch",
            "1.2.840.113556.1.4.1362" => "caseExactMatch",
            "1.3.6.1.4.1.1466.115.121.1.26" => "caseIgnoreIA5Match",
            "1.3.6.1.4.1.1466.115.121.1.27" | "1.2.840.113556.1.4.906" => "integerMatch",
            "1.3.6.1.4.1.1466.115.121.1.7" => "booleanMatch",
            "1.3.6.1.4.1.1466.115.121.1.24" => "generalizedTimeMatch",
            "1.3.6.1.4.1.1466.115.121.1.53" => "uTCTimeMatch",
            "1.3.6.1.4.1.1466.115.121.1.34" => "uniqueMemberMatch",
            "1.3.6.1.4.1.1466.115.121.1.36" => "numericStringMatch",
            "1.3.6.1.4.1.1466.115.121.1.38" => "objectIdentifierMatch",
            "1.3.6.1.4.1.1466.115.121.1.41" => "caseIgnoreListMatch",
            "1.3.6.1.4.1.1466.115.121.1.50" => "telephoneNumberMatch",
            "1.3.6.1.1.16.1" => "uuidMatch",
            _ => return None,
        })
    }

    /// The error of a value that does not fit.
    pub(super) fn error(self) -> SyntaxError {
        SyntaxError { syntax: self.description() }
    }

    fn row(self) -> &'static Row {
        ROWS.get(usize::from(self.0)).unwrap_or(&UNKNOWN)
    }
}

impl fmt::Display for Syntax {
    /// Prints the description as RFC 4512 §4.1.5 spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "( {} DESC '{}' )", self.oid(), self.description())
    }
}

const UNKNOWN: Row = opaque("1.3.6.1.4.1.1466.115.121.1.40", "value of an unknown syntax");

/// The ones with constants first, in the order of their numbers.
static ROWS: &[Row] = &[
    UNKNOWN,
    text("1.3.6.1.4.1.1466.115.121.1.12", "DN", grammar::dn),
    text("1.3.6.1.4.1.1466.115.121.1.15", "Directory String", grammar::directory_string),
    text("1.3.6.1.4.1.1466.115.121.1.26", "IA5 String", grammar::ia5_string),
    text("1.3.6.1.4.1.1466.115.121.1.27", "INTEGER", grammar::integer),
    text("1.3.6.1.4.1.1466.115.121.1.7", "Boolean", grammar::boolean),
    text("1.3.6.1.4.1.1466.115.121.1.24", "Generalized Time", grammar::generalized_time),
    opaque("1.3.6.1.4.1.1466.115.121.1.40", "Octet String"),
    text("1.3.6.1.4.1.1466.115.121.1.38", "OID", grammar::oid),
    // The rest of RFC 4517 §3.3.
    text("1.3.6.1.4.1.1466.115.121.1.3", "Attribute Type Description", grammar::definition),
    text("1.3.6.1.4.1.1466.115.121.1.6", "Bit String", grammar::bit_string),
    text("1.3.6.1.4.1.1466.115.121.1.11", "Country String", grammar::country_string),
    text("1.3.6.1.4.1.1466.115.121.1.14", "Delivery Method", grammar::delivery_method),
    text("1.3.6.1.4.1.1466.115.121.1.16", "DIT Content Rule Description", grammar::definition),
    text("1.3.6.1.4.1.1466.115.121.1.17", "DIT Structure Rule Description", grammar::definition),
    text("1.3.6.1.4.1.1466.115.121.1.21", "Enhanced Guide", grammar::enhanced_guide),
    text("1.3.6.1.4.1.1466.115.121.1.22", "Facsimile Telephone Number", grammar::facsimile_number),
    opaque("1.3.6.1.4.1.1466.115.121.1.23", "Fax"),
    text("1.3.6.1.4.1.1466.115.121.1.25", "Guide", grammar::directory_string),
    opaque("1.3.6.1.4.1.1466.115.121.1.28", "JPEG"),
    text("1.3.6.1.4.1.1466.115.121.1.54", "LDAP Syntax Description", grammar::definition),
    text("1.3.6.1.4.1.1466.115.121.1.30", "Matching Rule Description", grammar::definition),
    text("1.3.6.1.4.1.1466.115.121.1.31", "Matching Rule Use Description", grammar::definition),
    text("1.3.6.1.4.1.1466.115.121.1.34", "Name And Optional UID", grammar::name_and_uid),
    text("1.3.6.1.4.1.1466.115.121.1.35", "Name Form Description", grammar::definition),
    text("1.3.6.1.4.1.1466.115.121.1.36", "Numeric String", grammar::numeric_string),
    text("1.3.6.1.4.1.1466.115.121.1.37", "Object Class Description", grammar::definition),
    text("1.3.6.1.4.1.1466.115.121.1.39", "Other Mailbox", grammar::other_mailbox),
    text("1.3.6.1.4.1.1466.115.121.1.41", "Postal Address", grammar::postal_address),
    text("1.3.6.1.4.1.1466.115.121.1.44", "Printable String", grammar::printable_string),
    text("1.3.6.1.4.1.1466.115.121.1.58", "Substring Assertion", grammar::substring_assertion),
    text("1.3.6.1.4.1.1466.115.121.1.50", "Telephone Number", grammar::printable_string),
    text("1.3.6.1.4.1.1466.115.121.1.51", "Teletex Terminal Identifier", grammar::teletex_identifier),
    text("1.3.6.1.4.1.1466.115.121.1.52", "Telex Number", grammar::telex_number),
    text("1.3.6.1.4.1.1466.115.121.1.53", "UTC Time", grammar::utc_time),
    // RFC 4523: DER. Certificates are not decoded here.
    opaque("1.3.6.1.4.1.1466.115.121.1.8", "X.509 Certificate"),
    opaque("1.3.6.1.4.1.1466.115.121.1.9", "X.509 Certificate List"),
    opaque("1.3.6.1.4.1.1466.115.121.1.10", "X.509 Certificate Pair"),
    opaque("1.3.6.1.4.1.1466.115.121.1.49", "X.509 Supported Algorithm"),
    opaque("1.3.6.1.1.15.1", "X.509 Certificate Exact Assertion"),
    opaque("1.3.6.1.1.15.2", "X.509 Certificate Assertion"),
    opaque("1.3.6.1.1.15.3", "X.509 Certificate Pair Exact Assertion"),
    opaque("1.3.6.1.1.15.4", "X.509 Certificate Pair Assertion"),
    opaque("1.3.6.1.1.15.5", "X.509 Certificate List Exact Assertion"),
    opaque("1.3.6.1.1.15.6", "X.509 Certificate List Assertion"),
    opaque("1.3.6.1.1.15.7", "X.509 Algorithm Identifier"),
    // RFC 4530, RFC 2307, RFC 3112.
    text("1.3.6.1.1.16.1", "UUID", grammar::uuid),
    text("1.3.6.1.1.1.0.0", "NIS Netgroup Triple", grammar::netgroup_triple),
    text("1.3.6.1.1.1.0.1", "Boot Parameter", grammar::boot_parameter),
    text("1.3.6.1.4.1.4203.1.1.2", "Authentication Password", grammar::ia5_string),
    // RFC 2252 §4.3.2: named there, without a grammar that is in use.
    opaque("1.3.6.1.4.1.1466.115.121.1.1", "ACI Item"),
    opaque("1.3.6.1.4.1.1466.115.121.1.2", "Access Point"),
    opaque("1.3.6.1.4.1.1466.115.121.1.4", "Audio"),
    opaque("1.3.6.1.4.1.1466.115.121.1.5", "Binary"),
    opaque("1.3.6.1.4.1.1466.115.121.1.13", "Data Quality"),
    opaque("1.3.6.1.4.1.1466.115.121.1.18", "DL Submit Permission"),
    opaque("1.3.6.1.4.1.1466.115.121.1.19", "DSA Quality"),
    opaque("1.3.6.1.4.1.1466.115.121.1.20", "DSE Type"),
    opaque("1.3.6.1.4.1.1466.115.121.1.29", "Master And Shadow Access Points"),
    opaque("1.3.6.1.4.1.1466.115.121.1.32", "Mail Preference"),
    opaque("1.3.6.1.4.1.1466.115.121.1.33", "MHS OR Address"),
    opaque("1.3.6.1.4.1.1466.115.121.1.42", "Protocol Information"),
    opaque("1.3.6.1.4.1.1466.115.121.1.43", "Presentation Address"),
    opaque("1.3.6.1.4.1.1466.115.121.1.45", "Subtree Specification"),
    opaque("1.3.6.1.4.1.1466.115.121.1.46", "Supplier Information"),
    opaque("1.3.6.1.4.1.1466.115.121.1.47", "Supplier Or Consumer"),
    opaque("1.3.6.1.4.1.1466.115.121.1.48", "Supplier And Consumer"),
    opaque("1.3.6.1.4.1.1466.115.121.1.55", "Modify Rights"),
    // OpenLDAP.
    text("1.3.6.1.4.1.4203.666.11.2.1", "Change Sequence Number", grammar::csn),
    text("1.3.6.1.4.1.4203.666.11.2.4", "Change Sequence Number SID", grammar::csn_sid),
    text("1.3.6.1.4.1.4203.666.2.1", "OpenLDAP Experimental ACI", grammar::utf8),
    text("1.3.6.1.4.1.4203.666.2.7", "OpenLDAP Authorization Rule", grammar::utf8),
    opaque("1.3.6.1.4.1.4203.1.1.1", "OpenLDAP Void"),
    opaque("1.3.6.1.4.1.4203.666.11.10.2.1", "Attribute Certificate"),
    // 389 Directory Server.
    text("2.16.840.1.113730.3.7.1", "Space-Insensitive String", grammar::directory_string),
    text("2.16.840.1.113730.3.7.2", "Name With Octets", grammar::utf8),
    // Active Directory.
    text("1.2.840.113556.1.4.903", "DN With Binary", grammar::utf8),
    text("1.2.840.113556.1.4.904", "DN With String", grammar::utf8),
    text("1.2.840.113556.1.4.905", "Case-Insensitive String", grammar::utf8),
    text("1.2.840.113556.1.4.906", "Large Integer", grammar::integer),
    opaque("1.2.840.113556.1.4.907", "NT Security Descriptor"),
    text("1.2.840.113556.1.4.1221", "OR Name", grammar::utf8),
    text("1.2.840.113556.1.4.1362", "Case-Sensitive String", grammar::utf8),
];

#[cfg(test)]
mod tests;
