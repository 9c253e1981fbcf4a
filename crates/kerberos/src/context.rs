//! The GSS-API mechanism of Kerberos (RFC 4121), as whoever begins: proving oneself to a service, and then signing or
//! sealing what is said.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flext_ldap_proto::ber::{Reader, Tag, Writer};
use md5::{Digest as _, Md5};

use crate::{
    Credential, KerberosError, Key,
    crypto::{Sealer, Signer},
    der::OBJECT_IDENTIFIER,
    message::{self, ApReplyPart, Authenticator},
    random,
    time::since_1970,
};

/// 1.2.840.113554.1.2.2: Kerberos 5 as a mechanism.
pub(crate) const MECHANISM: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];

/// What a token holds (RFC 4121 §4.1).
const AP_REQUEST: [u8; 2] = [1, 0];
const AP_REPLY: [u8; 2] = [2, 0];
const ERROR: [u8; 2] = [3, 0];
const MIC: [u8; 2] = [4, 4];
const WRAP: [u8; 2] = [5, 4];

/// Flags of a token (RFC 4121 §4.2.2).
const BY_ACCEPTOR: u8 = 1;
const SEALED: u8 = 2;
const ACCEPTORS_KEY: u8 = 4;

/// Octets of a token before what it protects.
const HEADER: usize = 16;

/// Uses of keys (RFC 4121 §2).
const ACCEPTOR_SEAL: u32 = 22;
const ACCEPTOR_SIGN: u32 = 23;
const INITIATOR_SEAL: u32 = 24;
const INITIATOR_SIGN: u32 = 25;

/// What a context is to be.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "whoever signs in by it makes it")]
pub struct ContextOptions {
    /// Whether what is said may be signed.
    pub signs: bool,
    /// Whether what is said may be sealed.
    pub seals: bool,
    /// The TLS connection that it is for: the kind of binding, a colon, and its data (RFC 5056 §2.1).
    pub binding: Option<Vec<u8>>,
}

/// The first half of a context: the service has not answered yet.
#[derive(Debug)]
pub struct Initiator {
    service: String,
    session: Key,
    subkey: Key,
    sent: Duration,
    sequence: u32,
}

impl Initiator {
    /// Begins with a ticket for the service. Returns the message of Kerberos's, without the frame of the GSS-API.
    ///
    /// # Errors
    ///
    /// [`KerberosError::NoRandomness`].
    pub fn new(
        credential: &Credential,
        options: &ContextOptions,
        now: SystemTime,
    ) -> Result<(Self, Bytes), KerberosError> {
        let subkey = Key::generate(credential.key.kind())?;
        let (sent, sequence) = (since_1970(now), u32::from_be_bytes(random()?) >> 2);
        // To a whole microsecond: the service gives it back so.
        let sent = Duration::new(sent.as_secs(), sent.subsec_micros().saturating_mul(1_000));
        let authenticator = Authenticator {
            client: &credential.client,
            checksum: (0x8003, &checksum(options)),
            now: sent,
            subkey: Some(&subkey),
            sequence: Some(sequence),
        };
        // Both are to prove themselves.
        let request = message::ap_request(credential, &authenticator, 0x2000_0000, 11)?;
        let (session, service) = (credential.key.clone(), credential.service.to_string());
        Ok((Self { service, session, subkey, sent, sequence }, token(AP_REQUEST, &request)))
    }

    /// Takes the token of the service: it has to prove that it could read the ticket.
    ///
    /// # Errors
    ///
    /// [`KerberosError::Refused`] for what the service says, and others for what it should not have said.
    pub fn complete(self, answer: &[u8], now: SystemTime) -> Result<Context, KerberosError> {
        let (kind, reply) = read_token(answer)?;
        if kind == ERROR {
            let error = message::error_reply(&reply)?;
            let service = if error.service.starts_with('@') { self.service } else { error.service.clone() };
            return Err(error.refusal(service, since_1970(now)));
        }
        if kind != AP_REPLY {
            return Err(KerberosError::Malformed("a token of another kind than the answer to a ticket"));
        }
        let (kind, cipher) = message::ap_reply(&reply)?;
        if kind != self.session.kind().number() {
            return Err(KerberosError::WrongAnswer("it is encrypted by another key"));
        }
        let ApReplyPart { time, subkey, sequence } =
            message::ap_reply_part(&self.session.sealer(12).open(&cipher)?)?;
        if time != (self.sent.as_secs(), self.sent.subsec_micros()) {
            return Err(KerberosError::WrongAnswer("it is one to an earlier ticket"));
        }
        let key_of = if subkey.is_some() { ACCEPTORS_KEY } else { 0 };
        let key = subkey.unwrap_or(self.subkey);
        Ok(Context {
            sealer: key.sealer(INITIATOR_SEAL),
            signer: key.signer(INITIATOR_SEAL),
            mic: key.signer(INITIATOR_SIGN),
            opener: key.sealer(ACCEPTOR_SEAL),
            verifier: key.signer(ACCEPTOR_SEAL),
            their_mic: key.signer(ACCEPTOR_SIGN),
            checksum: key.kind().checksum_length(),
            bits: u32::try_from(key.kind().key_length()).unwrap_or(0).saturating_mul(8),
            key_of,
            ours: self.sequence.into(),
            theirs: sequence.unwrap_or(0).into(),
        })
    }
}

/// A context that both ends agree on.
pub struct Context {
    sealer: Sealer,
    signer: Signer,
    mic: Signer,
    opener: Sealer,
    verifier: Signer,
    their_mic: Signer,
    checksum: usize,
    bits: u32,
    key_of: u8,
    /// The numbers of the next message in each direction.
    ours: u64,
    theirs: u64,
}

impl Context {
    /// Octets that protection adds to a message at most.
    pub const OVERHEAD: usize = 2 * HEADER + 16 + 24;

    /// Bits of the key: how strong sealing is.
    #[must_use]
    pub const fn bits(&self) -> u32 {
        self.bits
    }

    /// Signs a message, so that it is readable and cannot be changed.
    #[must_use]
    pub fn sign(&mut self, text: &[u8]) -> Vec<u8> {
        let mut header = self.header(WRAP, 0);
        let signature = self.signer.sign(&[text, &header]);
        let [high, low] = u16::try_from(signature.len()).unwrap_or_default().to_be_bytes();
        (header[4], header[5]) = (high, low);
        [&header[..], text, &signature].concat()
    }

    /// Seals a message, so that nobody else can read it or change it.
    ///
    /// # Errors
    ///
    /// [`KerberosError::NoRandomness`].
    pub fn seal(&mut self, text: &[u8]) -> Result<Vec<u8>, KerberosError> {
        let header = self.header(WRAP, SEALED);
        let cipher = self.sealer.seal(&[text, &header])?;
        Ok([&header[..], &cipher].concat())
    }

    /// Opens a message of the service's, and says whether it was sealed.
    ///
    /// # Errors
    ///
    /// [`KerberosError::WrongKey`], [`KerberosError::WrongChecksum`] and [`KerberosError::OutOfSequence`]: somebody has
    /// changed what was said. Nothing of it is to be used.
    pub fn open(&mut self, token: &[u8]) -> Result<(Vec<u8>, bool), KerberosError> {
        let (header, body) = self.read_header(token, WRAP)?;
        let [_, _, flags, filler, extra_high, extra_low, rotated_high, rotated_low, ..] = header;
        if filler != 0xff || body.is_empty() {
            return Err(KerberosError::Malformed("a protected message that is none"));
        }
        let extra = usize::from(u16::from_be_bytes([extra_high, extra_low]));
        let rotated = usize::from(u16::from_be_bytes([rotated_high, rotated_low])) % body.len();
        let mut body = body.to_vec();
        body.rotate_left(rotated);
        let text = if flags & SEALED != 0 {
            let mut text = self.opener.open(&body)?;
            let mut sealed = header;
            (sealed[6], sealed[7]) = (0, 0);
            let end = text.len().checked_sub(HEADER + extra);
            let inside = text.len().checked_sub(HEADER).and_then(|at| text.get(at..));
            let end = end.filter(|_| inside == Some(&sealed[..])).ok_or(KerberosError::WrongChecksum)?;
            text.truncate(end);
            std::mem::take(&mut *text)
        } else {
            let end = body.len().checked_sub(self.checksum).filter(|_| extra == self.checksum);
            let Some((text, signature)) = end.and_then(|end| body.split_at_checked(end)) else {
                return Err(KerberosError::Malformed("a protected message that is none"));
            };
            let mut signed = header;
            (signed[4], signed[5], signed[6], signed[7]) = (0, 0, 0, 0);
            self.verifier.verify(&[text, &signed], signature)?;
            body.truncate(end.unwrap_or_default());
            body
        };
        self.theirs = self.theirs.wrapping_add(1);
        Ok((text, flags & SEALED != 0))
    }

    /// The signature of a message that is sent elsewhere.
    #[must_use]
    pub fn mic(&mut self, text: &[u8]) -> Vec<u8> {
        let mut header = self.header(MIC, 0);
        header[4..8].fill(0xff);
        let signature = self.mic.sign(&[text, &header]);
        [&header[..], &signature].concat()
    }

    /// Checks a signature of the service's.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn check_mic(&mut self, text: &[u8], token: &[u8]) -> Result<(), KerberosError> {
        let (header, signature) = self.read_header(token, MIC)?;
        self.their_mic.verify(&[text, &header], signature)?;
        self.theirs = self.theirs.wrapping_add(1);
        Ok(())
    }

    /// The header of our next token, with no octets added and nothing rotated.
    fn header(&mut self, kind: [u8; 2], flags: u8) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        let [a, b] = kind;
        (header[0], header[1], header[2], header[3]) = (a, b, flags | self.key_of, 0xff);
        header[8..].copy_from_slice(&self.ours.to_be_bytes());
        self.ours = self.ours.wrapping_add(1);
        header
    }

    /// The header of the service's next token, and what comes after it.
    fn read_header<'a>(
        &self,
        token: &'a [u8],
        kind: [u8; 2],
    ) -> Result<([u8; HEADER], &'a [u8]), KerberosError> {
        const BAD: KerberosError = KerberosError::Malformed("a protected message that is none");
        let (header, body) = token.split_first_chunk::<HEADER>().ok_or(BAD)?;
        let [a, b, flags, _, _, _, _, _, sequence @ ..] = *header;
        if [a, b] != kind || flags & BY_ACCEPTOR == 0 || flags & ACCEPTORS_KEY != self.key_of {
            return Err(BAD);
        }
        if u64::from_be_bytes(sequence) != self.theirs {
            return Err(KerberosError::OutOfSequence);
        }
        Ok((*header, body))
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("bits", &self.bits).finish_non_exhaustive()
    }
}

/// What an authenticator has for a checksum (RFC 4121 §4.1.1): the binding and the flags.
fn checksum(options: &ContextOptions) -> Vec<u8> {
    // Both prove themselves; repeated and reordered messages are found.
    let flags =
        0x02 | 0x04 | 0x08 | if options.seals { 0x10 } else { 0 } | if options.signs { 0x20 } else { 0 };
    let binding = options.binding.as_deref().map_or([0; 16], |data| {
        // Addresses of neither end (RFC 4121 §4.1.1.2).
        let mut hash = Md5::new();
        hash.update([0; 16]);
        hash.update(u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes());
        hash.update(data);
        hash.finalize().into()
    });
    [&16_u32.to_le_bytes()[..], &binding, &u32::to_le_bytes(flags)].concat()
}

/// A token of the mechanism (RFC 2743 §3.1).
fn token(kind: [u8; 2], body: &[u8]) -> Bytes {
    let mut writer = Writer::new();
    writer.constructed(Tag::application_constructed(0), |token| {
        token.primitive(OBJECT_IDENTIFIER, MECHANISM);
        token.raw(&kind);
        token.raw(body);
    });
    writer.take()
}

fn read_token(octets: &[u8]) -> Result<([u8; 2], Bytes), KerberosError> {
    let octets = Bytes::copy_from_slice(octets);
    let mut reader = Reader::new(&octets);
    let mut token = reader.constructed(Tag::application_constructed(0))?;
    if token.primitive_slice(OBJECT_IDENTIFIER)? != MECHANISM {
        return Err(KerberosError::Malformed("a token of another mechanism than Kerberos"));
    }
    let rest = token.rest();
    match rest.split_first_chunk::<2>() {
        Some((kind, _)) => Ok((*kind, rest.slice(2..))),
        None => Err(KerberosError::Malformed("a token without a kind")),
    }
}

#[cfg(test)]
mod tests;
