//! The messages of RFC 4120 §5 that a client sends and gets, and what is encrypted inside them.

use std::time::Duration;

use bytes::Bytes;
use flext_ldap_proto::ber::{Reader, Tag, Writer};

use crate::{
    EncryptionType, KerberosError, Key, Principal,
    der::{ReadFields as _, WriteFields as _},
    error::Refusal,
};

/// The version of Kerberos.
const VERSION: i64 = 5;

pub(crate) const AS_REQUEST: u8 = 10;
pub(crate) const AS_REPLY: u8 = 11;
pub(crate) const TGS_REQUEST: u8 = 12;
pub(crate) const TGS_REPLY: u8 = 13;
const AP_REQUEST: u8 = 14;
const AP_REPLY: u8 = 15;
const ERROR: u8 = 30;

/// Kinds of what goes with a request before it (RFC 4120 §7.5.2).
pub(crate) const PA_TGS_REQUEST: i32 = 1;
pub(crate) const PA_TIMESTAMP: i32 = 2;
pub(crate) const PA_ENCRYPTION_INFO: i32 = 19;

/// Entries of lists that are looked at: of what goes before, and of encryption types.
const MOST_ENTRIES: usize = 64;

/// A ticket and the key that goes with it, for one service.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Credential {
    /// Whose it is.
    pub client: Principal,
    /// What it is for.
    pub service: Principal,
    /// The key that the service finds in the ticket.
    pub key: Key,
    /// The ticket, as it is sent.
    pub ticket: Bytes,
    /// Until when it is good, in seconds since 1970.
    pub until: u64,
}

impl Eq for Key {}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq as _;
        self.kind() == other.kind() && bool::from(self.expose().ct_eq(other.expose()))
    }
}

/// What is asked of a key distribution centre (RFC 4120 §5.4.1), without what goes before it.
pub(crate) struct RequestBody<'a> {
    pub(crate) options: u32,
    /// Only a request that is not made by a ticket says whose.
    pub(crate) client: Option<&'a Principal>,
    pub(crate) service: &'a Principal,
    pub(crate) nonce: u32,
    pub(crate) kinds: &'a [EncryptionType],
}

impl RequestBody<'_> {
    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.sequence(|body| {
            body.field(0, |field| field.flags(self.options));
            if let Some(client) = self.client {
                body.field(1, |field| field.name(client.kind(), client.parts()));
            }
            body.field(2, |field| field.string(self.service.realm()));
            body.field(3, |field| field.name(self.service.kind(), self.service.parts()));
            // As long as the realm gives.
            body.field(5, |field| field.time(0));
            body.field(7, |field| field.integer(self.nonce.into()));
            body.field(8, |field| {
                field.sequence(|list| self.kinds.iter().for_each(|kind| list.integer(kind.number().into())));
            });
        });
        writer.take()
    }
}

/// A request with what goes before it.
pub(crate) fn request(tag: u8, before: &[(i32, Bytes)], body: &[u8]) -> Bytes {
    let mut writer = Writer::new();
    writer.constructed(Tag::application_constructed(tag), |writer| {
        writer.sequence(|request| {
            request.field(1, |field| field.integer(VERSION));
            request.field(2, |field| field.integer(tag.into()));
            if !before.is_empty() {
                request.field(3, |field| {
                    field.sequence(|list| {
                        for (kind, value) in before {
                            list.sequence(|entry| {
                                entry.field(1, |field| field.integer((*kind).into()));
                                entry.field(2, |field| field.octets(value));
                            });
                        }
                    });
                });
            }
            request.field(4, |field| field.raw(body));
        });
    });
    writer.take()
}

/// Whose key encrypts the answer to a request by password, and how it is made of the password (RFC 4120 §5.2.7.5).
#[derive(Clone, Debug)]
pub(crate) struct EncryptionInfo {
    pub(crate) kind: EncryptionType,
    pub(crate) salt: Option<Vec<u8>>,
    pub(crate) iterations: Option<u32>,
}

/// A ticket, as a key distribution centre gives it.
pub(crate) struct TicketReply {
    pub(crate) infos: Vec<EncryptionInfo>,
    pub(crate) client: Principal,
    pub(crate) ticket: Bytes,
    pub(crate) kind: i32,
    pub(crate) cipher: Bytes,
}

/// A reply of `tag`, or the error that came in its place.
pub(crate) fn ticket_reply(
    message: &Bytes,
    tag: u8,
) -> Result<Result<TicketReply, ErrorReply>, KerberosError> {
    let mut reader = Reader::new(message);
    if reader.peek() == Some(Tag::application_constructed(ERROR)) {
        return error_reply(message).map(Err);
    }
    let mut reply = reader.constructed(Tag::application_constructed(tag))?.sequence()?;
    header(&mut reply, 0, tag)?;
    let infos = match reply.optional(2)? {
        Some(field) => encryption_infos(field)?,
        None => Vec::new(),
    };
    let realm = reply.field(3)?.string()?;
    let (kind, parts) = reply.field(4)?.name()?;
    let client = Principal::from_parts(kind, parts, realm);
    let ticket = reply.field(5)?.rest();
    let (kind, cipher) = reply.field(6)?.encrypted()?;
    Ok(Ok(TicketReply { infos, client, ticket, kind, cipher }))
}

/// What only the client can read in a reply (RFC 4120 §5.4.2).
pub(crate) struct TicketPart {
    pub(crate) key: Key,
    pub(crate) nonce: u32,
    pub(crate) until: u64,
    pub(crate) service: Principal,
}

pub(crate) fn ticket_part(text: &[u8]) -> Result<TicketPart, KerberosError> {
    let text = Bytes::copy_from_slice(text);
    let mut reader = Reader::new(&text);
    // MIT gives the tag of the other exchange, which RFC 4120 §5.4.2 foresees.
    let (tag, mut content) = reader.any()?;
    if tag != Tag::application_constructed(25) && tag != Tag::application_constructed(26) {
        return Err(KerberosError::Malformed("something else where a ticket's key should be"));
    }
    let mut part = content.sequence()?;
    let key = key(&mut part.field(0)?)?;
    part.field(1)?;
    let nonce = part.field(2)?.unsigned_32()?;
    part.optional(3)?;
    part.field(4)?;
    part.field(5)?;
    part.optional(6)?;
    let until = part.field(7)?.time()?;
    part.optional(8)?;
    let realm = part.field(9)?.string()?;
    let (kind, parts) = part.field(10)?.name()?;
    Ok(TicketPart { key, nonce, until, service: Principal::from_parts(kind, parts, realm) })
}

/// A message of error.
pub(crate) struct ErrorReply {
    pub(crate) code: i32,
    pub(crate) text: Option<String>,
    pub(crate) time: u64,
    pub(crate) service: String,
    /// What the realm wants before it answers, where that is the error.
    pub(crate) infos: Vec<EncryptionInfo>,
}

impl ErrorReply {
    pub(crate) fn refusal(self, about: String, now: Duration) -> KerberosError {
        let Self { code, text, time, .. } = self;
        KerberosError::Refused(Refusal { code, text, time, here: now.as_secs(), about })
    }
}

/// Reads a message of error.
pub(crate) fn error_reply(message: &Bytes) -> Result<ErrorReply, KerberosError> {
    let mut reader = Reader::new(message);
    let mut error = reader.constructed(Tag::application_constructed(ERROR))?.sequence()?;
    header(&mut error, 0, ERROR)?;
    error.optional(2)?;
    error.optional(3)?;
    let time = error.field(4)?.time()?;
    error.field(5)?;
    let code = error.field(6)?.integer_32()?;
    error.optional(7)?;
    error.optional(8)?;
    let realm = error.field(9)?.string()?;
    let (_, parts) = error.field(10)?.name()?;
    let text = error.optional(11)?.map(|mut field| field.string()).transpose()?;
    let infos = match error.optional(12)? {
        Some(mut field) if code == KerberosError::PASSWORD_WANTED => {
            let data = field.octets()?;
            encryption_infos(Reader::new(&data))?
        }
        _ => Vec::new(),
    };
    // Control characters are no business of whoever reads the message.
    let text = text.map(|text| text.chars().filter(|one| !one.is_control()).take(200).collect());
    Ok(ErrorReply { code, text, time, service: format!("{}@{realm}", parts.join("/")), infos })
}

/// Version and kind of a message, in fields of these numbers.
fn header(message: &mut Reader<'_>, first: u8, tag: u8) -> Result<(), KerberosError> {
    if message.field(first)?.integer()? != VERSION || message.field(first + 1)?.integer()? != i64::from(tag) {
        return Err(KerberosError::Malformed("a message of another version or kind"));
    }
    Ok(())
}

/// The encryption types in what goes before, those that are known here.
fn encryption_infos(mut field: Reader<'_>) -> Result<Vec<EncryptionInfo>, KerberosError> {
    let mut infos = Vec::new();
    let mut list = field.sequence()?;
    for _ in 0..MOST_ENTRIES {
        if list.is_empty() {
            break;
        }
        let mut entry = list.sequence()?;
        let kind = entry.field(1)?.integer_32()?;
        let value = entry.field(2)?.octets()?;
        if kind != PA_ENCRYPTION_INFO {
            continue;
        }
        let mut source = Reader::new(&value);
        let mut kinds = source.sequence()?;
        while !kinds.is_empty() && infos.len() < MOST_ENTRIES {
            let mut info = kinds.sequence()?;
            let kind = info.field(0)?.integer_32()?;
            let salt = info.optional(1)?.map(|mut field| field.string()).transpose()?;
            let iterations = match info.optional(2)? {
                // Four octets for the types there are here (RFC 3962 §4, RFC 8009 §4).
                Some(mut field) => <[u8; 4]>::try_from(&field.octets()?[..]).ok().map(u32::from_be_bytes),
                None => None,
            };
            if let Some(kind) = EncryptionType::numbered(kind) {
                infos.push(EncryptionInfo { kind, salt: salt.map(String::into_bytes), iterations });
            }
        }
    }
    Ok(infos)
}

fn key(field: &mut Reader<'_>) -> Result<Key, KerberosError> {
    let mut key = field.sequence()?;
    let number = key.field(0)?.integer_32()?;
    let octets = key.field(1)?.octets()?;
    let kind = EncryptionType::numbered(number)
        .ok_or_else(|| KerberosError::NoCommonEncryption(format!("the session (type {number})")))?;
    Key::new(kind, &octets)
}

/// What proves that a request is of now, and of whoever has the ticket's key (RFC 4120 §5.5.1).
pub(crate) struct Authenticator<'a> {
    pub(crate) client: &'a Principal,
    pub(crate) checksum: (i32, &'a [u8]),
    pub(crate) now: Duration,
    pub(crate) subkey: Option<&'a Key>,
    pub(crate) sequence: Option<u32>,
}

impl Authenticator<'_> {
    fn encode(&self) -> Writer {
        let mut writer = Writer::with_room(1 << 10);
        writer.constructed(Tag::application_constructed(2), |writer| {
            writer.sequence(|part| {
                part.field(0, |field| field.integer(VERSION));
                part.field(1, |field| field.string(self.client.realm()));
                part.field(2, |field| field.name(self.client.kind(), self.client.parts()));
                part.field(3, |field| {
                    field.sequence(|checksum| {
                        checksum.field(0, |field| field.integer(self.checksum.0.into()));
                        checksum.field(1, |field| field.octets(self.checksum.1));
                    });
                });
                part.field(4, |field| field.integer(self.now.subsec_micros().into()));
                part.field(5, |field| field.time(self.now.as_secs()));
                if let Some(subkey) = self.subkey {
                    part.field(6, |field| {
                        field.sequence(|key| {
                            key.field(0, |field| field.integer(subkey.kind().number().into()));
                            key.field(1, |field| field.octets(subkey.expose()));
                        });
                    });
                }
                if let Some(sequence) = self.sequence {
                    part.field(7, |field| field.integer(sequence.into()));
                }
            });
        });
        writer
    }
}

/// A ticket with an authenticator (RFC 4120 §5.5.1).
pub(crate) fn ap_request(
    credential: &Credential,
    authenticator: &Authenticator<'_>,
    options: u32,
    usage: u32,
) -> Result<Bytes, KerberosError> {
    let mut clear = authenticator.encode();
    let cipher = credential.key.sealer(usage).seal(&[clear.as_slice()]);
    clear.wipe();
    let cipher = cipher?;
    let mut writer = Writer::new();
    writer.constructed(Tag::application_constructed(AP_REQUEST), |writer| {
        writer.sequence(|request| {
            request.field(0, |field| field.integer(VERSION));
            request.field(1, |field| field.integer(AP_REQUEST.into()));
            request.field(2, |field| field.flags(options));
            request.field(3, |field| field.raw(&credential.ticket));
            request.field(4, |field| field.encrypted(credential.key.kind(), &cipher));
        });
    });
    Ok(writer.take())
}

/// What a service answers to a ticket (RFC 4120 §5.5.2): its cipher.
pub(crate) fn ap_reply(message: &Bytes) -> Result<(i32, Bytes), KerberosError> {
    let mut reader = Reader::new(message);
    let mut reply = reader.constructed(Tag::application_constructed(AP_REPLY))?.sequence()?;
    header(&mut reply, 0, AP_REPLY)?;
    reply.field(2)?.encrypted()
}

/// What only the client can read in that.
pub(crate) struct ApReplyPart {
    /// Seconds and microseconds, as the authenticator had them.
    pub(crate) time: (u64, u32),
    pub(crate) subkey: Option<Key>,
    pub(crate) sequence: Option<u32>,
}

pub(crate) fn ap_reply_part(text: &[u8]) -> Result<ApReplyPart, KerberosError> {
    let text = Bytes::copy_from_slice(text);
    let mut reader = Reader::new(&text);
    let mut part = reader.constructed(Tag::application_constructed(27))?.sequence()?;
    let seconds = part.field(0)?.time()?;
    let micros = part.field(1)?.unsigned_32()?;
    let subkey = part.optional(2)?.map(|mut field| key(&mut field)).transpose()?;
    let sequence = part.optional(3)?.map(|mut field| field.unsigned_32()).transpose()?;
    Ok(ApReplyPart { time: (seconds, micros), subkey, sequence })
}

/// The time, for a password to be proved by (RFC 4120 §5.2.7.2).
pub(crate) fn timestamp(key: &Key, now: Duration) -> Result<Bytes, KerberosError> {
    let mut clear = Writer::new();
    clear.sequence(|time| {
        time.field(0, |field| field.time(now.as_secs()));
        time.field(1, |field| field.integer(now.subsec_micros().into()));
    });
    let cipher = key.sealer(1).seal(&[clear.as_slice()])?;
    let mut writer = Writer::new();
    writer.encrypted(key.kind(), &cipher);
    Ok(writer.take())
}
