//! Which passwords are too easily guessed.

use flext_ldap_proto::{attribute::AttributesRef, dn::Dn};

/// A new password, and whose it is to be.
#[derive(Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "a check is given all there is")]
pub struct Candidate<'a> {
    /// The password in clear text. It must go nowhere.
    pub password: &'a str,
    /// The name of the entry.
    pub dn: &'a Dn,
    /// Its user attributes, without those that have so many values that they are kept apart.
    pub attributes: AttributesRef<'a>,
}

/// Decides which passwords are good enough, where a policy has them checked (`pwdCheckQuality`). Length and history are
/// looked at besides.
pub trait PasswordQuality: Send + Sync + 'static {
    /// Takes a password, or says what is wrong with it: a lower-case fragment, which is shown to the one who sent it.
    ///
    /// It is called where operations are answered: it must not block.
    ///
    /// # Errors
    ///
    /// When the password is not good enough.
    fn check(&self, candidate: &Candidate<'_>) -> Result<(), String>;
}

/// The check of a store that is not given another: a password must not hold a name of its owner, of three characters
/// or more (values of the entry's own name, `uid`, `cn`, `sn`, `givenName`, and `mail` before the `@`), as 389-ds has
/// it, nor repeat one character.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has no settings")]
pub struct StandardQuality;

/// Attributes whose values others know of somebody.
const NAMES: [&str; 5] = ["uid", "cn", "sn", "givenName", "mail"];

/// Characters of a name that count.
const SHORTEST: usize = 3;

impl PasswordQuality for StandardQuality {
    fn check(&self, candidate: &Candidate<'_>) -> Result<(), String> {
        let password = candidate.password.to_lowercase();
        let mut characters = password.chars();
        let first = characters.next();
        if characters.all(|character| Some(character) == first) {
            return Err("the password is one character over and over".to_owned());
        }
        let holds = |value: &[u8]| {
            let Ok(text) = std::str::from_utf8(value) else { return false };
            let text = text.to_lowercase();
            let text = text.split('@').next().unwrap_or_default();
            std::iter::once(text)
                .chain(text.split(|character: char| !character.is_alphanumeric()))
                .any(|word| word.chars().count() >= SHORTEST && password.contains(word))
        };
        let named = candidate
            .dn
            .rdns()
            .take(1)
            .flat_map(|rdn| rdn.avas().map(|ava| holds(&ava.value())).collect::<Vec<_>>())
            .any(|holds| holds);
        let known = NAMES.iter().any(|name| {
            candidate.attributes.get(name).is_some_and(|attribute| attribute.values().any(holds))
        });
        if named || known {
            return Err("the password holds a name of its owner".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flext_ldap_proto::attribute::Attributes;

    use super::*;

    #[test]
    fn names_and_repetitions_are_refused() {
        let dn: Dn = "uid=mquay,ou=people,dc=harbourlane,dc=example".parse().unwrap();
        let mut attributes = Attributes::builder();
        attributes.push("cn", ["Mira Ëlo Quay"]);
        attributes.push("sn", ["Quay"]);
        attributes.push("mail", ["m.quay-office@harbourlane.example"]);
        attributes.push("givenName", ["Mi"]);
        let attributes = attributes.build();
        let check = |password| {
            StandardQuality.check(&Candidate { password, dn: &dn, attributes: attributes.as_ref() })
        };
        for password in ["low water 7", "Mi mi mo", "harbourlane", "people", "q u a y", "é", ""] {
            let want = if password.chars().count() > 1 { Ok(()) } else { check("aaaa") };
            assert_eq!(check(password), want, "{password}");
        }
        for password in ["MQUAY1", "xquayx", "quay", "mira2026", "ËLO!", "ëlo!", "office", "m.quay-office"]
        {
            assert_eq!(
                check(password),
                Err("the password holds a name of its owner".to_owned()),
                "{password}"
            );
        }
        assert_eq!(check("aaaA"), Err("the password is one character over and over".to_owned()));
    }
}
