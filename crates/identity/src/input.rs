//! What somebody typed, before anything is sent: what no directory must be asked.

use flext_ldap_proto::secret::Secret;

/// Octets of a name at the most.
const LONGEST_NAME: usize = 256;

/// Octets of a password at the most: 256 characters, the most that Active Directory takes, have up to 1,024.
const LONGEST_PASSWORD: usize = 1024;

/// Why what was typed is not sent anywhere.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// No name, or nothing but white space.
    #[error("the name is empty")]
    EmptyName,
    /// More than 256 octets.
    #[error("the name is longer than 256 octets")]
    LongName,
    /// A control character, NUL among them.
    #[error("the name has a control character in it")]
    ControlInName,
    /// A character that names of this kind do not have.
    #[error("the name has a character in it that such names do not have, or another domain")]
    ForbiddenInName,
    /// No password, or nothing but white space: servers take a name with an empty password for anonymous, and say
    /// success (RFC 4513 §5.1.2).
    #[error("the password is empty")]
    EmptyPassword,
    /// More than 1,024 octets.
    #[error("the password is longer than 1,024 octets")]
    LongPassword,
    /// A NUL, behind which some servers see nothing.
    #[error("the password has a NUL in it")]
    NulInPassword,
    /// Not UTF-8, which a change in Active Directory needs.
    #[error("the password is not UTF-8")]
    PasswordNotText,
}

/// Checks a name.
pub(crate) fn check_name(name: &str) -> Result<(), InputError> {
    if name.len() > LONGEST_NAME {
        return Err(InputError::LongName);
    }
    if name.trim().is_empty() {
        return Err(InputError::EmptyName);
    }
    if name.chars().any(char::is_control) { Err(InputError::ControlInName) } else { Ok(()) }
}

/// Checks a password.
pub(crate) fn check_password(password: &Secret) -> Result<(), InputError> {
    let octets = password.expose();
    if octets.len() > LONGEST_PASSWORD {
        return Err(InputError::LongPassword);
    }
    if octets.contains(&0) {
        return Err(InputError::NulInPassword);
    }
    let blank = match std::str::from_utf8(octets) {
        Ok(text) => text.trim().is_empty(),
        Err(_) => false,
    };
    if blank { Err(InputError::EmptyPassword) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, want) in [
            ("ada", Ok(())),
            ("Ådå Byrne@harbourlane.example", Ok(())),
            ("*)(uid=*", Ok(())),
            ("", Err(InputError::EmptyName)),
            (" \u{a0}\u{3000}", Err(InputError::EmptyName)),
            ("ada\0", Err(InputError::ControlInName)),
            ("ada\n", Err(InputError::ControlInName)),
            ("ada\u{85}", Err(InputError::ControlInName)),
        ] {
            assert_eq!(check_name(name), want, "{name:?}");
        }
        assert_eq!(check_name(&"a".repeat(256)), Ok(()));
        assert_eq!(check_name(&"a".repeat(257)), Err(InputError::LongName));
    }

    #[test]
    fn passwords() {
        let table: [(&[u8], _); 7] = [
            (b"low water 7", Ok(())),
            (b" x ", Ok(())),
            (b"\xff\xfe", Ok(())),
            (b"", Err(InputError::EmptyPassword)),
            (b"   ", Err(InputError::EmptyPassword)),
            (b"\0", Err(InputError::NulInPassword)),
            (b"low water\0 7", Err(InputError::NulInPassword)),
        ];
        for (password, want) in table {
            assert_eq!(check_password(&Secret::new(password)), want, "{password:?}");
        }
        assert_eq!(check_password(&Secret::new(vec![b'x'; 1024])), Ok(()));
        assert_eq!(check_password(&Secret::new(vec![b'x'; 1025])), Err(InputError::LongPassword));
    }
}
