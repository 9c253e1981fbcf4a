//! Names as they are compared: by the rules of the standard schema, whatever the directory's own says.

use std::fmt;

use flext_ldap_proto::{
    dn::Dn,
    schema::{MatchingRule, Schema},
};

/// A name in the form in which equal names have equal octets: types by their identifiers, values by their matching
/// rules. Types that nothing defines are compared by their spelling.
///
/// A name that has no such form (a country of three letters) is equal to what is spelt alike, and to nothing else.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct NameKey(Box<[u8]>);

/// Stands before a name without a normal form; normal forms are text and never begin so.
const AS_SPELT: u8 = 0xff;

impl NameKey {
    pub(crate) fn of(dn: &Dn) -> Self {
        let spelt = dn.as_str().as_bytes();
        let rule = MatchingRule::find("distinguishedNameMatch");
        match rule.and_then(|rule| Schema::standard().normalize_by(rule, spelt).ok()) {
            Some(normal) => Self(normal.as_ref().into()),
            None => Self([&[AS_SPELT], spelt].concat().into()),
        }
    }
}

impl fmt::Display for NameKey {
    /// As text where it is; octets that are no text as `\` and two hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            for octet in chunk.invalid() {
                write!(f, "\\{octet:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> NameKey {
        NameKey::of(&name.parse().unwrap())
    }

    #[test]
    fn names_are_equal_as_directories_mean_it() {
        let name = "cn=Harbour Masters,ou=groups,dc=harbourlane,dc=example";
        for same in [
            "CN=harbour  masters, OU=Groups, DC=HarbourLane, DC=Example",
            "2.5.4.3=Harbour Masters,ou=groups,dc=harbourlane,dc=example",
            r"cn=Harbour\20Masters,ou=groups,dc=harbourlane,dc=example",
            "commonName=HARBOUR MASTERS,organizationalUnitName=groups,dc=harbourlane,dc=example",
        ] {
            assert_eq!(key(same), key(name), "{same}");
        }
        for other in [
            "cn=Harbour Masters,dc=harbourlane,dc=example",
            "cn=Harbour Masters,ou=old,dc=harbourlane,dc=example",
            "cn=Harbour Masters trainees,ou=groups,dc=harbourlane,dc=example",
            r"cn=x\,cn=Harbour Masters,ou=groups,dc=harbourlane,dc=example",
            "cn=Harbour Masters+ou=x,ou=groups,dc=harbourlane,dc=example",
            "ou=Harbour Masters,ou=groups,dc=harbourlane,dc=example",
        ] {
            assert_ne!(key(other), key(name), "{other}");
        }
        assert_eq!(key("cn=a+uid=b,dc=example"), key("UID=B+CN=A,dc=example"));
        assert_eq!(key("berth=Seven,dc=example"), key("BERTH=seven,dc=example"));
    }

    #[test]
    fn a_name_without_a_normal_form_is_what_it_is_spelt() {
        assert_eq!(key("c=GBR"), key("c=GBR"));
        assert_ne!(key("c=GBR"), key("c=gbr"));
        assert_eq!(key("c=GBR").to_string(), r"\ffc=GBR");
    }
}
