//! LDAP URLs (RFC 4516): `ldap://host:port/dn?attributes?scope?filter?extensions`, with `ldaps` and `ldapi`.

use std::{fmt, str::FromStr};

use crate::{attribute::Selection, dn::Dn, filter::Filter, message::Scope};

/// How the server is reached.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Scheme {
    /// TCP, 389 unless said otherwise.
    Ldap,
    /// TLS over TCP, 636 unless said otherwise.
    Ldaps,
    /// A Unix socket.
    Ldapi,
}

/// A parsed LDAP URL.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LdapUrl {
    /// How.
    pub scheme: Scheme,
    /// The host name or address without brackets, or the socket's path for `ldapi`; empty if left out.
    pub host: String,
    /// The port if one is given; see [`LdapUrl::port`].
    pub explicit_port: Option<u16>,
    /// The base; the root if left out.
    pub dn: Dn,
    /// The attributes; all user attributes if left out.
    pub attributes: Selection,
    /// The scope; base if left out (RFC 4516 §3).
    pub scope: Option<Scope>,
    /// The filter; `(objectClass=*)` if left out.
    pub filter: Option<Filter>,
    /// The extensions as given, critical ones with `!`, unescaped.
    pub extensions: Vec<String>,
}

/// Text that is not an LDAP URL.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an LDAP URL: {kind} at offset {offset}")]
pub struct UrlError {
    /// Octets from the start of the text.
    pub offset: usize,
    /// What was wrong there.
    pub kind: UrlErrorKind,
}

/// The ways in which text can fail to be a URL.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlErrorKind {
    /// Neither `ldap://`, `ldaps://` nor `ldapi://`.
    #[error("expected `ldap://`, `ldaps://` or `ldapi://`")]
    Scheme,
    /// A host that is none.
    #[error("invalid host")]
    Host,
    /// A port that is none.
    #[error("invalid port")]
    Port,
    /// A `%` that is not followed by two hexadecimal digits, or octets that are not UTF-8.
    #[error("invalid percent-encoding")]
    Percent,
    /// A base that is not a distinguished name.
    #[error("invalid distinguished name")]
    Dn,
    /// A scope that is none.
    #[error("expected `base`, `one`, `sub` or `children`")]
    Scope,
    /// A filter that is none.
    #[error("invalid filter")]
    Filter,
    /// More parts than a URL has.
    #[error("unexpected text after the extensions")]
    TrailingText,
}

impl LdapUrl {
    /// The port: the one given, or the scheme's.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.explicit_port.unwrap_or(match self.scheme {
            Scheme::Ldaps => 636,
            _ => 389,
        })
    }
}

impl FromStr for LdapUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        todo!("{text}")
    }
}

impl fmt::Display for LdapUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}
