//! OAUTHBEARER (RFC 7628), as its client: a token of an authorization server instead of a password. Whoever sees the
//! token has it, so it belongs inside TLS.

use std::fmt;

use flext_ldap_proto::secret::Secret;

use crate::SaslError;

/// One exchange, as its client.
pub struct OauthBearer {
    first: Secret,
    is_refused: bool,
}

impl OauthBearer {
    /// An exchange by `token` on the server at this host and port, acting as `authorization` if that is given.
    ///
    /// # Errors
    ///
    /// [`SaslError::Unsendable`] for what is no token (RFC 6750 §2.1), and for names with control characters.
    pub fn new(
        token: &Secret,
        authorization: Option<&str>,
        host: &str,
        port: u16,
    ) -> Result<Self, SaslError> {
        let is_token = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~+/=".contains(octet);
        if token.is_empty() || !token.expose().iter().all(is_token) {
            return Err(SaslError::Unsendable("what is not a bearer token"));
        }
        if [authorization.unwrap_or_default(), host].iter().any(|name| name.contains(char::is_control)) {
            return Err(SaslError::Unsendable("a name with control characters"));
        }
        let authorization =
            authorization.map(|name| format!("a={}", crate::scram::escape(name))).unwrap_or_default();
        let before = format!("n,{authorization},\u{1}host={host}\u{1}port={port}\u{1}auth=Bearer ");
        // At once as large as it gets, so that no memory with a token in it is given back half-way.
        let mut first = Vec::with_capacity(before.len() + token.expose().len() + 2);
        first.extend_from_slice(before.as_bytes());
        first.extend_from_slice(token.expose());
        first.extend_from_slice(b"\x01\x01");
        Ok(Self { first: Secret::new(first), is_refused: false })
    }

    /// The one message.
    #[must_use]
    pub fn first(&self) -> Secret {
        self.first.clone()
    }

    /// The answer to a server that says why it refuses (§3.2.3): it ends the exchange.
    ///
    /// # Errors
    ///
    /// When the server has said so already.
    pub fn respond(&mut self) -> Result<Secret, SaslError> {
        if std::mem::replace(&mut self.is_refused, true) {
            return Err(SaslError::OutOfTurn("more than the mechanism has messages"));
        }
        Ok(Secret::new(*b"\x01"))
    }

    /// Takes the server's success.
    ///
    /// # Errors
    ///
    /// [`SaslError::Refused`] by a server that has said why it refuses, and then does not.
    pub fn accept(&self) -> Result<(), SaslError> {
        if self.is_refused { Err(SaslError::Refused("the token".to_owned())) } else { Ok(()) }
    }
}

impl fmt::Debug for OauthBearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OauthBearer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_the_rfc() {
        // RFC 7628 §4.1, with its host, port and token.
        let token = Secret::from("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
        let one = OauthBearer::new(&token, Some("user@example.com"), "server.example.com", 143).unwrap();
        let wanted = "n,a=user@example.com,\u{1}host=server.example.com\u{1}port=143\u{1}auth=Bearer \
                      vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\u{1}\u{1}";
        assert_eq!(one.first().expose(), wanted.as_bytes());
        one.accept().unwrap();
        for (token, name) in [("", "ada"), ("a b", "ada"), ("a\u{1}b", "ada"), ("token", "a\u{1}b")] {
            assert!(OauthBearer::new(&token.into(), Some(name), "host", 389).is_err(), "{token:?} {name:?}");
        }
    }

    #[test]
    fn a_refusal_is_answered_once_and_is_no_success() {
        let mut one = OauthBearer::new(&"token".into(), None, "host", 389).unwrap();
        assert_eq!(one.respond().unwrap().expose(), b"\x01");
        assert!(one.respond().is_err() && one.accept().is_err());
        assert!(!format!("{one:?}").contains("token"));
    }
}
