//! Names of people and services.

use std::fmt;

use crate::KerberosError;

/// The number of parts a name may have.
pub(crate) const MOST_PARTS: usize = 16;

/// The name of a person or a service, in a realm.
#[derive(Clone, Debug)]
pub struct Principal {
    kind: i32,
    parts: Vec<String>,
    realm: String,
}

impl Principal {
    /// NT-PRINCIPAL: people, and services that are not those of a host.
    pub(crate) const PERSON: i32 = 1;
    /// NT-SRV-INST.
    pub(crate) const SERVICE: i32 = 2;
    /// NT-SRV-HST.
    const HOST: i32 = 3;

    pub(crate) fn from_parts(kind: i32, parts: Vec<String>, realm: String) -> Self {
        Self { kind, parts, realm }
    }

    /// Reads `ada@EXAMPLE.COM` or `ldap/host.example.com@EXAMPLE.COM`; without a realm it is in `default_realm`. A
    /// backslash takes the meaning from the next character.
    ///
    /// # Errors
    ///
    /// [`KerberosError::BadPrincipal`], [`KerberosError::NoRealm`].
    pub fn parse(text: &str, default_realm: Option<&str>) -> Result<Self, KerberosError> {
        let bad = || KerberosError::BadPrincipal(text.to_owned());
        let (mut parts, mut current, mut realm) = (Vec::new(), String::new(), None);
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' => current.push(characters.next().ok_or_else(bad)?),
                '/' if realm.is_none() => parts.push(std::mem::take(&mut current)),
                '@' if realm.is_none() => {
                    parts.push(std::mem::take(&mut current));
                    realm = Some(());
                }
                '@' | '\0' => return Err(bad()),
                other => current.push(other),
            }
        }
        let realm = match realm {
            Some(()) => current,
            None => {
                parts.push(current);
                default_realm.ok_or_else(|| KerberosError::NoRealm(text.to_owned()))?.to_owned()
            }
        };
        if realm.is_empty() || parts.len() > MOST_PARTS || parts.iter().any(String::is_empty) {
            return Err(bad());
        }
        Ok(Self { kind: Self::PERSON, parts, realm })
    }

    /// A service of a host: `ldap/HOST@REALM`.
    #[must_use]
    pub fn of_host(service: &str, host: &str, realm: &str) -> Self {
        Self { kind: Self::HOST, parts: vec![service.to_owned(), host.to_owned()], realm: realm.to_owned() }
    }

    /// The service that gives tickets of `realm`, in the realm that knows it.
    #[must_use]
    pub fn ticket_granting(realm: &str, within: &str) -> Self {
        let parts = vec!["krbtgt".to_owned(), realm.to_owned()];
        Self { kind: Self::SERVICE, parts, realm: within.to_owned() }
    }

    /// The realm whose tickets this service gives, if that is what it does.
    #[must_use]
    pub fn grants_for(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [service, realm] if service == "krbtgt" => Some(realm),
            _ => None,
        }
    }

    /// Whether it is called so in whichever realm.
    #[must_use]
    pub fn is_same_but_for_realm(&self, other: &Self) -> bool {
        self.parts == other.parts
    }

    /// Its realm.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    pub(crate) const fn kind(&self) -> i32 {
        self.kind
    }

    pub(crate) fn parts(&self) -> &[String] {
        &self.parts
    }

    /// What a password is salted with where nothing else is said (RFC 4120 §4).
    pub(crate) fn usual_salt(&self) -> Vec<u8> {
        [self.realm.as_str()]
            .into_iter()
            .chain(self.parts.iter().map(String::as_str))
            .collect::<String>()
            .into()
    }
}

impl Eq for Principal {}

impl PartialEq for Principal {
    /// The kind of a name is a hint, and says nothing about who it is (RFC 4120 §6.2).
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts && self.realm == other.realm
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.parts.join("/"), self.realm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let table = [
            ("ada@HARBOURLANE.EXAMPLE", Some((vec!["ada"], "HARBOURLANE.EXAMPLE"))),
            ("ada", Some((vec!["ada"], "DEFAULT"))),
            ("ldap/host.example@R", Some((vec!["ldap", "host.example"], "R"))),
            (r"a\@b@R", Some((vec!["a@b"], "R"))),
            ("ada@", None),
            ("@R", None),
            ("a//b@R", None),
            ("a@b@c", None),
            (r"ada\", None),
            ("", None),
        ];
        for (text, want) in table {
            let got = Principal::parse(text, Some("DEFAULT")).ok();
            let got = got.as_ref().map(|one| (one.parts.iter().map(String::as_str).collect(), one.realm()));
            assert_eq!(got, want, "{text}");
        }
        assert_eq!(Principal::parse("ada", None), Err(KerberosError::NoRealm("ada".to_owned())));
    }
}
