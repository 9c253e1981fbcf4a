//! Object identifiers (RFC 4512 §1.4) and the names of those this project knows.

use std::{borrow::Cow, fmt, str::FromStr};

/// A dotted-decimal object identifier, e.g. `1.3.6.1.4.1.1466.20037`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Oid(Cow<'static, str>);

/// Text that is not a dotted-decimal object identifier.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an object identifier in dotted-decimal form")]
pub struct InvalidOid;

impl Oid {
    /// An identifier known when the program is written. The text is not checked.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// An identifier that [`check_numeric_oid`] has passed.
    pub(crate) fn from_checked(text: &str) -> Self {
        Self(Cow::Owned(text.to_owned()))
    }

    /// The dotted-decimal text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What RFCs and vendors call it (control, extended operation, feature, SASL-free name), where this project
    /// knows, e.g. `StartTLS`.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        let at = NAMES.binary_search_by(|(oid, _)| (*oid).cmp(self.as_str())).ok()?;
        NAMES.get(at).map(|(_, name)| *name)
    }
}

impl FromStr for Oid {
    type Err = InvalidOid;

    /// Parses `numericoid` (RFC 4512 §1.4).
    fn from_str(text: &str) -> Result<Self, InvalidOid> {
        check_numeric_oid(text).map_err(|_| InvalidOid)?;
        Ok(Self::from_checked(text))
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks that `text` is a `numericoid` (RFC 4512 §1.4): at least two numbers without leading zeros, with dots between
/// them. The error is the offset of what is wrong.
pub(crate) fn check_numeric_oid(text: &str) -> Result<(), usize> {
    let mut start = 0;
    for number in text.split('.') {
        let digits = number.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits < number.len() {
            return Err(start + digits);
        }
        if digits > 1 && number.starts_with('0') {
            return Err(start + 1);
        }
        start += digits + 1;
    }
    if text.contains('.') { Ok(()) } else { Err(text.len()) }
}

/// What is found in the root DSEs of OpenLDAP, 389 Directory Server and Active Directory, and in RFCs. Sorted.
const NAMES: &[(&str, &str)] = &[
    ("1.2.826.0.1.3344810.2.3", "matched values"),
    ("1.2.840.113556.1.4.1338", "verify name"),
    ("1.2.840.113556.1.4.1339", "domain scope"),
    ("1.2.840.113556.1.4.1340", "search options"),
    ("1.2.840.113556.1.4.1341", "permit DCPROMO"),
    ("1.2.840.113556.1.4.1413", "permissive modify"),
    ("1.2.840.113556.1.4.1504", "attribute-scoped query"),
    ("1.2.840.113556.1.4.1670", "Active Directory V51"),
    ("1.2.840.113556.1.4.1781", "fast bind"),
    ("1.2.840.113556.1.4.1791", "Active Directory integrity"),
    ("1.2.840.113556.1.4.1852", "quota control"),
    ("1.2.840.113556.1.4.1907", "shutdown notification"),
    ("1.2.840.113556.1.4.1935", "Active Directory V60"),
    ("1.2.840.113556.1.4.1948", "range retrieval without error"),
    ("1.2.840.113556.1.4.1974", "force update"),
    ("1.2.840.113556.1.4.2026", "input DN"),
    ("1.2.840.113556.1.4.2064", "show recycled"),
    ("1.2.840.113556.1.4.2065", "show deactivated link"),
    ("1.2.840.113556.1.4.2066", "policy hints, deprecated"),
    ("1.2.840.113556.1.4.2080", "Active Directory V61 R2"),
    ("1.2.840.113556.1.4.2090", "DirSync, extended"),
    ("1.2.840.113556.1.4.2212", "batch request"),
    ("1.2.840.113556.1.4.2237", "Active Directory W8"),
    ("1.2.840.113556.1.4.2239", "policy hints"),
    ("1.2.840.113556.1.4.319", "paged results"),
    ("1.2.840.113556.1.4.417", "show deleted"),
    ("1.2.840.113556.1.4.473", "server-side sort"),
    ("1.2.840.113556.1.4.474", "server-side sort response"),
    ("1.2.840.113556.1.4.521", "cross-domain move"),
    ("1.2.840.113556.1.4.528", "change notification"),
    ("1.2.840.113556.1.4.529", "extended DN"),
    ("1.2.840.113556.1.4.619", "lazy commit"),
    ("1.2.840.113556.1.4.800", "Active Directory"),
    ("1.2.840.113556.1.4.801", "security descriptor flags"),
    ("1.2.840.113556.1.4.802", "range option"),
    ("1.2.840.113556.1.4.805", "tree delete"),
    ("1.2.840.113556.1.4.841", "DirSync"),
    ("1.2.840.113556.1.4.970", "statistics"),
    ("1.3.6.1.1.12", "assertion"),
    ("1.3.6.1.1.13.1", "pre-read"),
    ("1.3.6.1.1.13.2", "post-read"),
    ("1.3.6.1.1.14", "modify-increment"),
    ("1.3.6.1.1.21.1", "start transaction"),
    ("1.3.6.1.1.21.2", "transaction specification"),
    ("1.3.6.1.1.21.3", "end transaction"),
    ("1.3.6.1.1.21.4", "aborted transaction notice"),
    ("1.3.6.1.1.22", "don't use copy"),
    ("1.3.6.1.1.8", "cancel"),
    ("1.3.6.1.4.1.1466.101.119.1", "dynamic refresh"),
    ("1.3.6.1.4.1.1466.20036", "notice of disconnection"),
    ("1.3.6.1.4.1.1466.20037", "StartTLS"),
    ("1.3.6.1.4.1.1466.29539.12", "chaining loop detection"),
    ("1.3.6.1.4.1.42.2.27.8.5.1", "password policy"),
    ("1.3.6.1.4.1.42.2.27.9.5.2", "get effective rights"),
    ("1.3.6.1.4.1.42.2.27.9.5.8", "account usability"),
    ("1.3.6.1.4.1.4203.1.10.1", "subentries"),
    ("1.3.6.1.4.1.4203.1.10.2", "no-op"),
    ("1.3.6.1.4.1.4203.1.11.1", "password modify"),
    ("1.3.6.1.4.1.4203.1.11.3", "who am I"),
    ("1.3.6.1.4.1.4203.1.5.1", "all operational attributes"),
    ("1.3.6.1.4.1.4203.1.5.2", "attributes by object class"),
    ("1.3.6.1.4.1.4203.1.5.3", "absolute true and false filters"),
    ("1.3.6.1.4.1.4203.1.5.4", "language tag options"),
    ("1.3.6.1.4.1.4203.1.5.5", "language range options"),
    ("1.3.6.1.4.1.4203.1.9.1.1", "sync request"),
    ("1.3.6.1.4.1.4203.1.9.1.2", "sync state"),
    ("1.3.6.1.4.1.4203.1.9.1.3", "sync done"),
    ("1.3.6.1.4.1.4203.1.9.1.4", "sync info"),
    ("1.3.6.1.4.1.4203.666.5.12", "relax"),
    ("1.3.6.1.4.1.4203.666.5.16", "dereference"),
    ("2.16.840.1.113730.3.4.10", "virtual list view response"),
    ("2.16.840.1.113730.3.4.12", "proxied authorization, version 1"),
    ("2.16.840.1.113730.3.4.13", "replication update information"),
    ("2.16.840.1.113730.3.4.14", "search on one backend"),
    ("2.16.840.1.113730.3.4.15", "authorization identity response"),
    ("2.16.840.1.113730.3.4.16", "authorization identity request"),
    ("2.16.840.1.113730.3.4.17", "real attributes only"),
    ("2.16.840.1.113730.3.4.18", "proxied authorization"),
    ("2.16.840.1.113730.3.4.19", "virtual attributes only"),
    ("2.16.840.1.113730.3.4.2", "ManageDsaIT"),
    ("2.16.840.1.113730.3.4.20", "use one backend"),
    ("2.16.840.1.113730.3.4.3", "persistent search"),
    ("2.16.840.1.113730.3.4.4", "password expired"),
    ("2.16.840.1.113730.3.4.5", "password expiring"),
    ("2.16.840.1.113730.3.4.7", "entry change notification"),
    ("2.16.840.1.113730.3.4.9", "virtual list view"),
    ("2.16.840.1.113730.3.5.12", "start replication (389-ds)"),
    ("2.16.840.1.113730.3.5.3", "total update start (389-ds)"),
    ("2.16.840.1.113730.3.5.4", "replication response (389-ds)"),
    ("2.16.840.1.113730.3.5.5", "end replication (389-ds)"),
    ("2.16.840.1.113730.3.5.6", "replication entry (389-ds)"),
    ("2.16.840.1.113730.3.5.7", "bulk import start (389-ds)"),
    ("2.16.840.1.113730.3.5.8", "bulk import finished (389-ds)"),
    ("2.16.840.1.113730.3.5.9", "digest authentication calculation (389-ds)"),
    ("2.16.840.1.113730.3.6.5", "abort CLEANALLRUV (389-ds)"),
    ("2.16.840.1.113730.3.6.6", "abort CLEANALLRUV by replica (389-ds)"),
    ("2.16.840.1.113730.3.6.7", "CLEANALLRUV status query (389-ds)"),
    ("2.16.840.1.113730.3.6.8", "CLEANALLRUV status check (389-ds)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_decimal() {
        for good in ["1.1", "0.9.2342.19200300.100.1.1", "2.16.840.1.113730.3.4.2"] {
            assert_eq!(good.parse::<Oid>().unwrap().as_str(), good);
        }
        for bad in ["", "1", "1.", ".1", "1..2", "01.2", "1.02", "1.2.a", "cn", "1.2 ", "1.2\u{661}"] {
            assert_eq!(bad.parse::<Oid>(), Err(InvalidOid), "{bad}");
        }
    }

    #[test]
    fn names_are_found() {
        assert!(NAMES.is_sorted_by(|one, two| one.0 < two.0));
        for (oid, name) in NAMES {
            assert_eq!(oid.parse::<Oid>().unwrap().name(), Some(*name));
        }
        assert_eq!(Oid::from_static("1.3.6.1.4.1.1466.20037").name(), Some("StartTLS"));
        assert_eq!(Oid::from_static("1.2.3").name(), None);
    }
}
