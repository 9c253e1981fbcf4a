//! DIGEST-MD5 (RFC 2831), as its client, for servers that have nothing better: RFC 6331 has moved it to historic.
//!
//! Authentication only: no integrity, no confidentiality, no subsequent authentication. Who listens can guess the
//! password at the cost of a few MD5, so it belongs inside TLS as PLAIN does.

use std::{borrow::Cow, fmt, fmt::Write as _};

use flext_ldap_proto::secret::Secret;
use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::SaslError;

/// Octets a challenge may have (§2.1.1).
const LONGEST: usize = 2048;

/// Who signs in, and where.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "what the response is made of")]
pub struct DigestMd5 {
    /// The user.
    pub user: String,
    /// Their password.
    pub password: Secret,
    /// Their realm; the first that the server names if absent.
    pub realm: Option<String>,
    /// As whom they want to act, if as somebody else.
    pub authorization: Option<String>,
    /// The service and the host as the client knows it: `ldap/host.example`.
    pub uri: String,
}

/// One exchange, as its client. The server speaks first.
pub struct DigestMd5Client {
    who: DigestMd5,
    nonce: String,
    stage: Stage,
}

enum Stage {
    Begun,
    /// What the server has to answer.
    Proven(String),
    Accepted,
    Broken,
}

impl DigestMd5Client {
    /// An exchange. The nonce must be used for nothing else: see [`nonce`](crate::nonce).
    ///
    /// # Errors
    ///
    /// [`SaslError::Unsendable`] for an empty name or password.
    pub fn new(who: DigestMd5, nonce: String) -> Result<Self, SaslError> {
        if who.user.is_empty() || who.password.is_empty() {
            return Err(SaslError::Unsendable("an empty name or password"));
        }
        Ok(Self { who, nonce, stage: Stage::Begun })
    }

    /// The answer to a message of the server that goes on.
    ///
    /// # Errors
    ///
    /// When the server's message is not what it must be.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Secret, SaslError> {
        match std::mem::replace(&mut self.stage, Stage::Broken) {
            Stage::Begun => self.prove(challenge),
            Stage::Proven(wanted) => {
                verify(&wanted, challenge)?;
                self.stage = Stage::Accepted;
                Ok(Secret::default())
            }
            Stage::Accepted | Stage::Broken => {
                Err(SaslError::OutOfTurn("more than the mechanism has messages"))
            }
        }
    }

    fn prove(&mut self, challenge: &[u8]) -> Result<Secret, SaslError> {
        let challenge = Challenge::parse(challenge)?;
        let DigestMd5 { user, password, realm, authorization, uri } = &self.who;
        let offered = challenge.realms.first().map(String::as_str);
        let realm = realm.as_deref().or(offered).unwrap_or_default();
        let password = match std::str::from_utf8(password.expose()) {
            Ok(text) => Zeroizing::new(hashed(text, challenge.utf8)?.into_owned()),
            Err(_) => Zeroizing::new(password.expose().to_vec()),
        };
        let secret =
            md5(&[&hashed(user, challenge.utf8)?, b":", &hashed(realm, challenge.utf8)?, b":", &password]);
        let mut session =
            Md5::new().chain_update(*secret).chain_update(format!(":{}:{}", challenge.nonce, self.nonce));
        if let Some(authorization) = authorization {
            session.update(format!(":{authorization}"));
        }
        let session = hex(&session.finalize());
        let digest = |method: &str| {
            let second = hex(&*md5(&[method.as_bytes(), b":", uri.as_bytes()]));
            let nonces = format!("{}:00000001:{}:auth", challenge.nonce, self.nonce);
            hex(&*md5(&[session.as_bytes(), b":", nonces.as_bytes(), b":", second.as_bytes()]))
        };
        let mut response = String::new();
        for (key, value) in [("username", user.as_str()), ("realm", realm), ("nonce", &challenge.nonce)] {
            if key != "realm" || offered.is_some() || !value.is_empty() {
                response.push_str(&format!("{key}={},", quoted(value)));
            }
        }
        // Of what stands between quotes, only the names are other people's; the rest is made here.
        let _ = write!(
            response,
            "cnonce={},nc=00000001,qop=auth,digest-uri={},response={}",
            quoted(&self.nonce),
            quoted(uri),
            digest("AUTHENTICATE")
        );
        if challenge.utf8 {
            response.push_str(",charset=utf-8");
        }
        if let Some(authorization) = authorization {
            let _ = write!(response, ",authzid={}", quoted(authorization));
        }
        let octets = if challenge.utf8 {
            response.into_bytes()
        } else {
            latin1(&response).ok_or(SaslError::Unsendable("a name beyond Latin-1"))?
        };
        self.stage = Stage::Proven(digest(""));
        Ok(Secret::new(octets))
    }

    /// Takes the server's success, with what it sent along.
    ///
    /// # Errors
    ///
    /// [`SaslError::ServerNotProven`] where it has not shown that it knows the password (§2.1.3).
    pub fn accept(&mut self, last: Option<&[u8]>) -> Result<(), SaslError> {
        match (std::mem::replace(&mut self.stage, Stage::Broken), last) {
            (Stage::Proven(wanted), Some(message)) => verify(&wanted, message),
            (Stage::Accepted, None | Some(b"")) => Ok(()),
            (Stage::Accepted, Some(_)) => Err(SaslError::OutOfTurn("more than the mechanism has messages")),
            (Stage::Begun | Stage::Proven(_) | Stage::Broken, _) => Err(SaslError::ServerNotProven),
        }
    }
}

impl fmt::Debug for DigestMd5Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestMd5Client").field("who", &self.who).finish_non_exhaustive()
    }
}

fn verify(wanted: &str, message: &[u8]) -> Result<(), SaslError> {
    let directives = directives(message)?;
    let rspauth = directives.iter().find(|(key, _)| key == "rspauth").map(|(_, value)| value.as_bytes());
    let fits = rspauth.is_some_and(|theirs| theirs.ct_eq(wanted.as_bytes()).into());
    if fits { Ok(()) } else { Err(SaslError::ServerNotProven) }
}

fn md5(parts: &[&[u8]]) -> Zeroizing<[u8; 16]> {
    let mut md5 = Md5::new();
    parts.iter().for_each(|part| md5.update(part));
    Zeroizing::new(md5.finalize().into())
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// As it is hashed (§2.1.2.1): in Latin-1 where that can be, even where the server knows UTF-8.
fn narrow(text: &str, utf8: bool) -> Option<Cow<'_, [u8]>> {
    if text.is_ascii() {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    latin1(text).map(Cow::Owned).or_else(|| utf8.then_some(Cow::Borrowed(text.as_bytes())))
}

fn hashed(text: &str, utf8: bool) -> Result<Cow<'_, [u8]>, SaslError> {
    narrow(text, utf8).ok_or(SaslError::Unsendable("a name beyond Latin-1"))
}

/// What the server says (§2.1.1).
struct Challenge {
    realms: Vec<String>,
    nonce: String,
    utf8: bool,
}

impl Challenge {
    fn parse(message: &[u8]) -> Result<Self, SaslError> {
        let directives = directives(message)?;
        let all = |key: &'static str| {
            directives.iter().filter(move |(one, _)| one == key).map(|(_, value)| value.clone())
        };
        let one = |key: &'static str, what| {
            let mut values = all(key);
            match (values.next(), values.next()) {
                (Some(value), None) => Ok(value),
                _ => Err(SaslError::Malformed(what)),
            }
        };
        let nonce = one("nonce", "not one nonce")?;
        if one("algorithm", "not one algorithm")? != "md5-sess" {
            return Err(SaslError::Malformed("an algorithm that is not md5-sess"));
        }
        let qop = all("qop").next();
        if qop.is_some_and(|qop| !qop.split([',', ' ']).any(|one| one == "auth")) {
            return Err(SaslError::Malformed(
                "no qop of authentication only: the server wants a security layer",
            ));
        }
        let utf8 = all("charset").next().is_some_and(|charset| charset.eq_ignore_ascii_case("utf-8"));
        Ok(Self { realms: all("realm").collect(), nonce, utf8 })
    }
}

/// `key=value` and `key="quoted"`, with commas between them; keys in lower case. Octets that are not UTF-8 are Latin-1.
fn directives(message: &[u8]) -> Result<Vec<(String, String)>, SaslError> {
    if message.len() > LONGEST {
        return Err(SaslError::Malformed("longer than 2,048 octets"));
    }
    let text = match std::str::from_utf8(message) {
        Ok(text) => text.to_owned(),
        Err(_) => message.iter().map(|octet| char::from(*octet)).collect(),
    };
    let malformed = || SaslError::Malformed("not key=value");
    let mut directives = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| *c == ',' || c.is_ascii_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(directives);
        }
        let mut key = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=') {
            key.push(c.to_ascii_lowercase());
        }
        chars.next().ok_or_else(malformed)?;
        let mut value = String::new();
        if chars.next_if_eq(&'"').is_some() {
            loop {
                match chars.next().ok_or_else(malformed)? {
                    '"' => break,
                    '\\' => value.push(chars.next().ok_or_else(malformed)?),
                    c => value.push(c),
                }
            }
        } else {
            while let Some(c) = chars.next_if(|c| *c != ',') {
                value.push(c);
            }
            value.truncate(value.trim_end().len());
        }
        let key = key.trim_end().to_owned();
        if key.is_empty() || chars.peek().is_some_and(|c| *c != ',' && !c.is_ascii_whitespace()) {
            return Err(malformed());
        }
        directives.push((key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: &[u8] =
        b"realm=\"elwood.innosoft.com\",nonce=\"OA6MG9tEQGm2hh\",qop=\"auth\",algorithm=md5-sess,charset=utf-8";

    fn chris() -> DigestMd5Client {
        let who = DigestMd5 {
            user: "chris".to_owned(),
            password: "secret".into(),
            realm: None,
            authorization: None,
            uri: "imap/elwood.innosoft.com".to_owned(),
        };
        DigestMd5Client::new(who, "OA6MHXh6VqTrRk".to_owned()).unwrap()
    }

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 2831 §4.
        let mut client = chris();
        let response = client.respond(CHALLENGE).unwrap();
        let wanted = b"username=\"chris\",realm=\"elwood.innosoft.com\",nonce=\"OA6MG9tEQGm2hh\",cnonce=\"OA6MHXh6VqTrRk\",\
            nc=00000001,qop=auth,digest-uri=\"imap/elwood.innosoft.com\",response=d388dad90d4bbd760a152321f2143af7,charset=utf-8";
        assert_eq!(response.expose(), wanted);
        client.accept(Some(b"rspauth=ea40f60335c427b5527b84dbabcdfffd")).unwrap();
        // The other way to end: the proof first, then success.
        let mut client = chris();
        client.respond(CHALLENGE).unwrap();
        assert!(client.respond(b"rspauth=ea40f60335c427b5527b84dbabcdfffd").unwrap().is_empty());
        client.accept(None).unwrap();
    }

    #[test]
    fn no_server_is_believed_that_proves_nothing() {
        let not_proven = Err(SaslError::ServerNotProven);
        assert_eq!(chris().accept(None), not_proven);
        for last in [None, Some(b"".as_slice()), Some(b"rspauth=ea40f60335c427b5527b84dbabcdfffe")] {
            let mut client = chris();
            client.respond(CHALLENGE).unwrap();
            assert_eq!(client.accept(last), not_proven, "{last:?}");
        }
    }

    #[test]
    fn challenges_are_read_as_they_are_written() {
        type Parts<'a> = (&'a [&'a str], &'a str, bool);
        let table: [(&[u8], Option<Parts<'_>>); 14] = [
            (CHALLENGE, Some((&["elwood.innosoft.com"], "OA6MG9tEQGm2hh", true))),
            (b"nonce=\"x\", algorithm=md5-sess", Some((&[], "x", false))),
            (
                b"realm=\"a\",realm=\"b\\\"c\",nonce=\"x\",algorithm=md5-sess",
                Some((&["a", "b\"c"], "x", false)),
            ),
            (b",,nonce=\"x\",,algorithm=md5-sess,", Some((&[], "x", false))),
            (b"Nonce=\"x\",ALGORITHM=md5-sess,qop=\"auth-int, auth\"", Some((&[], "x", false))),
            (b"nonce=\"x\",algorithm=md5-sess,realm=\"\xe9\"", Some((&["\u{e9}"], "x", false))),
            (b"nonce=\"x\",nonce=\"y\",algorithm=md5-sess", None),
            (b"nonce=\"x\"", None),
            (b"nonce=\"x\",algorithm=md5", None),
            (b"nonce=\"x\",algorithm=md5-sess,qop=\"auth-conf\"", None),
            (b"nonce=\"x,algorithm=md5-sess", None),
            (b"nonce=\"x\"y,algorithm=md5-sess", None),
            (b"nonce", None),
            (b"", None),
        ];
        for (message, want) in table {
            let challenge = Challenge::parse(message).ok();
            let parts = challenge.as_ref().map(|one| {
                let realms: Vec<_> = one.realms.iter().map(String::as_str).collect();
                (realms, one.nonce.as_str(), one.utf8)
            });
            let want = want.map(|(realms, nonce, utf8)| (realms.to_vec(), nonce, utf8));
            assert_eq!(parts, want, "{}", String::from_utf8_lossy(message));
        }
        assert!(Challenge::parse(&[b'a'; 3000]).is_err());
    }

    #[test]
    fn names_are_quoted_and_hashed_in_latin_1_where_that_can_be() {
        assert_eq!(quoted("a\"b\\c"), "\"a\\\"b\\\\c\"");
        assert_eq!(narrow("\u{e9}", true).as_deref(), Some(b"\xe9".as_slice()));
        assert_eq!(narrow("\u{160}", true).as_deref(), Some("\u{160}".as_bytes()));
        assert_eq!(narrow("\u{160}", false), None);
    }
}
