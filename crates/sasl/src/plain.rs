//! PLAIN (RFC 4616): the password as it is, so only inside TLS or over what does not leave the machine.

use flext_ldap_proto::secret::Secret;

use crate::SaslError;

/// What the one message says.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the message of RFC 4616")]
pub struct Plain {
    /// As whom they want to act, if as somebody else.
    pub authorization: Option<String>,
    /// Who they are.
    pub user: String,
    /// Their password.
    pub password: Secret,
}

impl Plain {
    /// Reads the message.
    ///
    /// # Errors
    ///
    /// [`SaslError::Malformed`], of an empty name or password too: neither has ever proved anything.
    pub fn parse(message: &[u8]) -> Result<Self, SaslError> {
        let mut parts = message.split(|octet| *octet == 0);
        let (Some(authorization), Some(user), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SaslError::Malformed("not a name, a name and a password with NULs between them"));
        };
        let name = |octets: &[u8]| {
            std::str::from_utf8(octets)
                .map(str::to_owned)
                .map_err(|_| SaslError::Malformed("a name that is not UTF-8"))
        };
        if user.is_empty() || password.is_empty() {
            return Err(SaslError::Malformed("an empty name or password"));
        }
        let authorization = (!authorization.is_empty()).then(|| name(authorization)).transpose()?;
        Ok(Self { authorization, user: name(user)?, password: Secret::new(password) })
    }

    /// Writes the message.
    ///
    /// # Errors
    ///
    /// [`SaslError::Unsendable`] for an empty name or password, or one with a NUL.
    pub fn to_message(&self) -> Result<Secret, SaslError> {
        let (user, password) = (self.user.as_bytes(), self.password.expose());
        let authorization = self.authorization.as_deref().unwrap_or_default().as_bytes();
        if user.is_empty() || user.contains(&0) || authorization.contains(&0) {
            return Err(SaslError::Unsendable("an empty name, or one with a NUL,"));
        }
        if password.is_empty() || password.contains(&0) {
            return Err(SaslError::Unsendable("an empty password, or one with a NUL,"));
        }
        // At once as large as it gets, so that no memory with a password in it is given back half-way.
        let mut message = Vec::with_capacity(authorization.len() + user.len() + password.len() + 2);
        for (place, part) in [authorization, user, password].into_iter().enumerate() {
            if place > 0 {
                message.push(0);
            }
            message.extend_from_slice(part);
        }
        Ok(Secret::new(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_and_written() {
        type Parts<'a> = (Option<&'a str>, &'a str, &'a [u8]);
        let table: [(&[u8], Option<Parts<'_>>); 9] = [
            (b"\0ada\0korrekt", Some((None, "ada", b"korrekt"))),
            (b"dn:cn=ada\0tomas\0korrekt", Some((Some("dn:cn=ada"), "tomas", b"korrekt"))),
            (b"\0ada\0\xff", Some((None, "ada", b"\xff"))),
            (b"\0ada\0", None),
            (b"\0\0korrekt", None),
            (b"ada\0korrekt", None),
            (b"\0ada\0korrekt\0", None),
            (b"\0\xff\0korrekt", None),
            (b"", None),
        ];
        for (message, want) in table {
            let plain = Plain::parse(message).ok();
            let parts = plain
                .as_ref()
                .map(|one| (one.authorization.as_deref(), one.user.as_str(), one.password.expose()));
            assert_eq!(parts, want, "{message:?}");
            if let Some(plain) = plain {
                assert_eq!(plain.to_message().unwrap().expose(), message);
            }
        }
        for (user, password) in [("", "x"), ("a\0b", "x"), ("ada", ""), ("ada", "a\0b")] {
            let plain = Plain { authorization: None, user: user.to_owned(), password: password.into() };
            assert!(plain.to_message().is_err(), "{plain:?}");
        }
    }
}
