//! LDAP URLs (RFC 4516): `ldap://host:port/dn?attributes?scope?filter?extensions`, with `ldaps` and `ldapi`.
//!
//! A URL is read into values that were parsed and have no `%` left in them, and printed from them. Read beside the
//! grammar: characters that should have been percent-encoded, such as spaces, where they separate nothing, and the path
//! of a socket as it is (`ldapi:///run/slapd/ldapi`). This module
//! knows nothing of what an extension means, and connects to nothing.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, net::Ipv6Addr, str::FromStr};

use crate::{
    attribute::Selection,
    dn::{Dn, DnError},
    filter::{Filter, FilterError},
    message::Scope,
};

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
    /// The port if one is given; see [`LdapUrl::port`]. To listen on 0 takes a free port.
    pub explicit_port: Option<u16>,
    /// The base; the root if left out.
    pub dn: Dn,
    /// The attributes; all user attributes if left out.
    pub attributes: Selection,
    /// The scope; base if left out (RFC 4516 §3). `children` is read and printed beside the three of the RFC.
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
        let (scheme, rest) = scheme(text)?;
        let (authority, rest) = match scheme {
            Scheme::Ldapi if is_plain_path(rest.text) => (rest, Part { text: "", offset: text.len() }),
            _ => rest.split_once_keeping('/'),
        };
        let (host, explicit_port) = match scheme {
            Scheme::Ldapi => (authority.decoded()?.into_owned(), None),
            Scheme::Ldap | Scheme::Ldaps => host_and_port(authority)?,
        };
        let mut parts = rest.split('?');
        let mut part = || parts.next().unwrap_or(Part { text: "", offset: text.len() });
        let (dn, attributes, scope, filter, extensions) = (part(), part(), part(), part(), part());
        if let Some(trailing) = parts.next() {
            return Err(UrlError { offset: trailing.offset - 1, kind: UrlErrorKind::TrailingText });
        }
        Ok(Self {
            scheme,
            host,
            explicit_port,
            dn: (dn.decoded()?.parse())
                .map_err(|error: DnError| dn.error_at(error.offset, UrlErrorKind::Dn))?,
            attributes: attributes.elements()?.into_iter().collect(),
            scope: self::scope(scope)?,
            filter: match filter.decoded()? {
                text if text.is_empty() => None,
                text => Some(
                    text.parse()
                        .map_err(|error: FilterError| filter.error_at(error.offset, UrlErrorKind::Filter))?,
                ),
            },
            extensions: extensions.elements()?,
        })
    }
}

/// Whether what follows `ldapi://` is the path of a socket as people write it, slashes and all: absolute, with a name in
/// it, and nothing that could be a base (`=`) or another part (`?`) of a URL.
fn is_plain_path(rest: &str) -> bool {
    rest.len() > 1 && rest.starts_with('/') && !rest.contains(['=', '?'])
}

/// The scheme, and what follows `://`.
fn scheme(text: &str) -> Result<(Scheme, Part<'_>), UrlError> {
    let unknown = UrlError { offset: 0, kind: UrlErrorKind::Scheme };
    let (name, rest) = text.split_once("://").ok_or(unknown)?;
    let scheme = [Scheme::Ldap, Scheme::Ldaps, Scheme::Ldapi]
        .into_iter()
        .find(|scheme| scheme.as_str().eq_ignore_ascii_case(name))
        .ok_or(unknown)?;
    Ok((scheme, Part { text: rest, offset: text.len() - rest.len() }))
}

/// `host [":" port]` (RFC 3986 §3.2), without the user that LDAP URLs do not have.
fn host_and_port(authority: Part<'_>) -> Result<(String, Option<u16>), UrlError> {
    let invalid = |offset| UrlError { offset: authority.offset + offset, kind: UrlErrorKind::Host };
    let (host, port) = if let Some(bracketed) = authority.text.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']').ok_or_else(|| invalid(0))?;
        let host = Part { text: address, offset: authority.offset + 1 }.decoded()?.into_owned();
        // A zone (RFC 6874) is the system's own word.
        if host.split('%').next().unwrap_or_default().parse::<Ipv6Addr>().is_err() {
            return Err(invalid(1));
        }
        (host, port)
    } else {
        let (name, port) = authority.text.split_at(authority.text.find(':').unwrap_or(authority.text.len()));
        let part = Part { text: name, offset: authority.offset };
        let host = part.decoded()?.into_owned();
        let is_name = |char: char| char.is_alphanumeric() || matches!(char, '-' | '.' | '_' | '~');
        if let Some((at, _)) = host.char_indices().find(|(_, char)| !is_name(*char)) {
            return Err(part.error_at(at, UrlErrorKind::Host));
        }
        (host, port)
    };
    let port_offset = authority.text.len() - port.len();
    let Some(digits) = port.strip_prefix(':') else {
        return if port.is_empty() { Ok((host, None)) } else { Err(invalid(port_offset)) };
    };
    if digits.is_empty() {
        return Ok((host, None));
    }
    match digits.parse() {
        Ok(number) if digits.bytes().all(|octet| octet.is_ascii_digit()) => Ok((host, Some(number))),
        _ => Err(UrlError { offset: authority.offset + port_offset + 1, kind: UrlErrorKind::Port }),
    }
}

fn scope(part: Part<'_>) -> Result<Option<Scope>, UrlError> {
    let text = part.decoded()?;
    if text.is_empty() {
        return Ok(None);
    }
    match SCOPES.iter().find(|(_, name)| name.eq_ignore_ascii_case(&text)) {
        Some((scope, _)) => Ok(Some(*scope)),
        None => Err(UrlError { offset: part.offset, kind: UrlErrorKind::Scope }),
    }
}

const SCOPES: [(Scope, &str); 4] =
    [(Scope::Base, "base"), (Scope::One, "one"), (Scope::Subtree, "sub"), (Scope::Children, "children")];

/// A part of the text, and where it starts.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Part<'a> {
    /// What is before the first `separator`, and what is after it, or the end if there is none.
    fn split_once_keeping(self, separator: char) -> (Self, Self) {
        let mut parts = self.text.splitn(2, separator);
        let first = parts.next().unwrap_or_default();
        let rest = parts.next().unwrap_or_default();
        (
            Self { text: first, offset: self.offset },
            Self { text: rest, offset: self.offset + self.text.len() - rest.len() },
        )
    }

    fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let mut offset = self.offset;
        self.text.split(separator).map(move |text| {
            let part = Self { text, offset };
            offset += text.len() + separator.len_utf8();
            part
        })
    }

    /// The elements between commas, each decoded; those of no characters are passed over.
    fn elements(self) -> Result<Vec<String>, UrlError> {
        self.split(',')
            .filter(|element| !element.text.is_empty())
            .map(|element| element.decoded().map(Cow::into_owned))
            .collect()
    }

    /// The text with its percent-encoding (RFC 3986 §2.1) undone.
    fn decoded(self) -> Result<Cow<'a, str>, UrlError> {
        if !self.text.contains('%') {
            return Ok(Cow::Borrowed(self.text));
        }
        let mut octets = Vec::with_capacity(self.text.len());
        for (offset, octet) in self.octets() {
            octets.push(octet.ok_or(UrlError { offset, kind: UrlErrorKind::Percent })?);
        }
        String::from_utf8(octets)
            .map(Cow::Owned)
            .map_err(|error| self.error_at(error.utf8_error().valid_up_to(), UrlErrorKind::Percent))
    }

    /// Each octet that the text means, and where it is spelt; `None` for a `%` without two digits.
    fn octets(self) -> impl Iterator<Item = (usize, Option<u8>)> {
        let mut rest = self.text.as_bytes();
        std::iter::from_fn(move || {
            let offset = self.offset + self.text.len() - rest.len();
            let octet;
            (octet, rest) = match rest {
                [] => return None,
                [b'%', high, low, after @ ..] if let Some(octet) = hex_octet(*high, *low) => {
                    (Some(octet), after)
                }
                [b'%', after @ ..] => (None, after),
                [octet, after @ ..] => (Some(*octet), after),
            };
            Some((offset, octet))
        })
    }

    /// An error at the place of the URL that spells the octet at `decoded`.
    fn error_at(self, decoded: usize, kind: UrlErrorKind) -> UrlError {
        let offset = self.octets().nth(decoded).map_or(self.offset + self.text.len(), |(offset, _)| offset);
        UrlError { offset, kind }
    }
}

fn hex_octet(high: u8, low: u8) -> Option<u8> {
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

impl Scheme {
    /// The name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ldap => "ldap",
            Self::Ldaps => "ldaps",
            Self::Ldapi => "ldapi",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for LdapUrl {
    /// Prints the URL without parts that would be empty at its end. Parsing it gives the same value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if self.scheme != Scheme::Ldapi && self.host.contains(':') {
            write!(f, "[{}]", Encoded(&self.host, ":"))?;
        } else {
            write!(f, "{}", Encoded(&self.host, ""))?;
        }
        if let Some(port) = self.explicit_port {
            write!(f, ":{port}")?;
        }
        let attributes = list(self.attributes.selectors());
        let scope = self.scope.and_then(|scope| SCOPES.iter().find(|(known, _)| *known == scope));
        let scope = scope.map_or_else(String::new, |(_, name)| (*name).to_owned());
        let filter = self
            .filter
            .as_ref()
            .map_or_else(String::new, |filter| Encoded(&filter.to_string(), "!$&'()*+,;=:@/").to_string());
        let dn = Encoded(self.dn.as_str(), "!$&'()*+,;=:@/").to_string();
        let parts = [dn, attributes, scope, filter, list(&self.extensions)];
        let used = parts.iter().rposition(|part| !part.is_empty()).map_or(0, |last| last + 1);
        if used == 0 {
            return f.write_str(if self.host.is_empty() { "/" } else { "" });
        }
        write!(f, "/{}", parts.get(..used).unwrap_or(&parts).join("?"))
    }
}

/// Elements with commas between them, so without commas in them.
fn list(elements: &[impl ToString]) -> String {
    let encoded = |element: &_| Encoded(&ToString::to_string(element), "!$&'()*+;=:@/").to_string();
    elements.iter().map(encoded).collect::<Vec<_>>().join(",")
}

/// Text percent-encoded, but for unreserved characters (RFC 3986 §2.3) and those in the second string.
struct Encoded<'a>(&'a str, &'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for octet in self.0.bytes() {
            if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) || self.1.as_bytes().contains(&octet)
            {
                fmt::Write::write_char(f, char::from(octet))?;
            } else {
                write!(f, "%{octet:02X}")?;
            }
        }
        Ok(())
    }
}
