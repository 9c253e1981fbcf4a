//! The exchanges with a key distribution centre: for a first ticket (RFC 4120 §3.1), and for a service (§3.3).

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flext_ldap_proto::secret::Secret;

use crate::{
    Credential, EncryptionType, KerberosError, Key, Principal,
    message::{self, Authenticator, EncryptionInfo, RequestBody, TicketPart, TicketReply},
    random,
    time::since_1970,
};

/// Realms that are gone through for one ticket.
const MOST_REALMS: u32 = 8;

/// Rounds of a password's key that are not gone below, as nobody has proved to be the realm yet: the default of RFC 3962,
/// and less than that of RFC 8009.
const LEAST_ITERATIONS: u32 = 4_096;

/// KDC option `canonicalize` (RFC 6806): the realm may answer with the way to another.
const CANONICALIZE: u32 = 0x0001_0000;

/// What comes next in an exchange.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "an exchange goes on or has ended")]
pub enum Step {
    /// This is to be sent, and its answer read.
    Send(Bytes),
    /// It has ended well.
    Done(Box<Credential>),
}

/// What a principal proves itself by.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "RFC 4120 has passwords and keys made of them")]
pub enum LongTerm {
    /// A password.
    Password(Secret),
    /// Its keys, as a keytab has them.
    Keys(Vec<Key>),
}

/// Getting a first ticket: the one for asking for others.
///
/// The password is proved once. A key distribution centre that counts wrong ones counts one.
#[derive(Debug)]
pub struct AsExchange {
    client: Principal,
    service: Principal,
    secret: LongTerm,
    nonce: u32,
    /// The key that the password was proved by.
    proved: Option<Key>,
}

impl AsExchange {
    /// For this client, by this secret.
    ///
    /// # Errors
    ///
    /// [`KerberosError::NoCommonEncryption`]: there are keys, and none that is of use. [`KerberosError::NoRandomness`].
    pub fn new(client: Principal, secret: LongTerm) -> Result<Self, KerberosError> {
        if matches!(&secret, LongTerm::Keys(keys) if keys.is_empty()) {
            return Err(KerberosError::NoCommonEncryption(client.to_string()));
        }
        let service = Principal::ticket_granting(client.realm(), client.realm());
        Ok(Self { client, service, secret, nonce: nonce()?, proved: None })
    }

    /// The realm that is to be asked.
    #[must_use]
    pub fn realm(&self) -> &str {
        self.client.realm()
    }

    /// The first message: it proves nothing yet, so that the realm says how the password is salted.
    #[must_use]
    pub fn first(&self) -> Bytes {
        message::request(message::AS_REQUEST, &[], &self.body())
    }

    /// Whether a message was given that proves the password: whoever sends it anew may have it counted anew.
    #[must_use]
    pub const fn has_proved(&self) -> bool {
        self.proved.is_some()
    }

    /// Takes an answer. It may take up to a second of work.
    ///
    /// # Errors
    ///
    /// [`KerberosError::Refused`] for what the realm says, and others for what it should not have said.
    pub fn answer(&mut self, answer: &Bytes, now: SystemTime) -> Result<Step, KerberosError> {
        let now = since_1970(now);
        let reply = match message::ticket_reply(answer, message::AS_REPLY)? {
            Ok(reply) => reply,
            Err(error) if error.code == KerberosError::PASSWORD_WANTED && self.proved.is_none() => {
                let key = self.key(&error.infos)?;
                let proof = (message::PA_TIMESTAMP, message::timestamp(&key, now)?);
                self.proved = Some(key);
                return Ok(Step::Send(message::request(message::AS_REQUEST, &[proof], &self.body())));
            }
            Err(error) => return Err(error.refusal(self.client.to_string(), now)),
        };
        if reply.client != self.client {
            return Err(KerberosError::WrongAnswer("the ticket is somebody else's"));
        }
        let key = match self.proved.take() {
            Some(key) if key.kind().number() == reply.kind => key,
            _ => {
                let fits = |info: &&EncryptionInfo| info.kind.number() == reply.kind;
                let usual = EncryptionType::numbered(reply.kind).map(|kind| EncryptionInfo {
                    kind,
                    salt: None,
                    iterations: None,
                });
                let info = reply.infos.iter().find(fits).cloned().or(usual);
                self.key(info.as_slice())?
            }
        };
        let part = match key.sealer(3).open(&reply.cipher) {
            Err(KerberosError::WrongKey) => return Err(KerberosError::WrongSecret(self.client.to_string())),
            opened => message::ticket_part(&opened?)?,
        };
        if part.nonce != self.nonce || part.service != self.service {
            return Err(KerberosError::WrongAnswer("it belongs to another request"));
        }
        Ok(Step::Done(Box::new(reply.with(part))))
    }

    fn body(&self) -> Bytes {
        let kinds: Vec<_> = match &self.secret {
            LongTerm::Password(_) => EncryptionType::ALL.to_vec(),
            LongTerm::Keys(keys) => keys.iter().map(Key::kind).collect(),
        };
        let (client, service) = (Some(&self.client), &self.service);
        RequestBody { options: 0, client, service, nonce: self.nonce, kinds: &kinds }.encode()
    }

    /// The key by the first of these that can be used.
    fn key(&self, infos: &[EncryptionInfo]) -> Result<Key, KerberosError> {
        let none = || KerberosError::NoCommonEncryption(self.client.to_string());
        match &self.secret {
            LongTerm::Password(password) => {
                let EncryptionInfo { kind, salt, iterations } = infos.first().ok_or_else(none)?;
                if let Some(few) = iterations.filter(|rounds| (1..LEAST_ITERATIONS).contains(rounds)) {
                    return Err(KerberosError::TooFewIterations(few));
                }
                let usual = || self.client.usual_salt();
                let salt = salt.clone().unwrap_or_else(usual);
                Key::of_password(*kind, password.expose(), &salt, *iterations)
            }
            LongTerm::Keys(keys) => {
                let of = |info: &EncryptionInfo| keys.iter().find(|key| key.kind() == info.kind);
                infos.iter().find_map(of).cloned().ok_or_else(none)
            }
        }
    }
}

/// Getting a ticket for a service, by a ticket for asking: through other realms, where they say so.
#[derive(Debug)]
pub struct TgsExchange {
    with: Credential,
    service: Principal,
    nonce: u32,
    realms: u32,
}

impl TgsExchange {
    /// For this service, by this ticket.
    ///
    /// # Errors
    ///
    /// [`KerberosError::NoRandomness`].
    pub fn new(with: Credential, service: Principal) -> Result<Self, KerberosError> {
        Ok(Self { with, service, nonce: nonce()?, realms: 0 })
    }

    /// The realm that is to be asked next.
    #[must_use]
    pub fn realm(&self) -> &str {
        self.with.service.grants_for().unwrap_or_else(|| self.with.service.realm())
    }

    /// What is to be sent to it.
    ///
    /// # Errors
    ///
    /// [`KerberosError::NoRandomness`].
    pub fn message(&self, now: SystemTime) -> Result<Bytes, KerberosError> {
        let service = self.wanted();
        let body = RequestBody {
            options: CANONICALIZE,
            client: None,
            service: &service,
            nonce: self.nonce,
            kinds: &EncryptionType::ALL,
        };
        let body = body.encode();
        let key = &self.with.key;
        let checksum = key.signer(6).sign(&[&body]);
        let authenticator = Authenticator {
            client: &self.with.client,
            checksum: (key.kind().checksum_number(), &checksum),
            now: since_1970(now),
            subkey: None,
            sequence: None,
        };
        let proof = message::ap_request(&self.with, &authenticator, 0, 7)?;
        Ok(message::request(message::TGS_REQUEST, &[(message::PA_TGS_REQUEST, proof)], &body))
    }

    /// Takes the answer.
    ///
    /// # Errors
    ///
    /// As [`AsExchange::answer`], and [`KerberosError::TooManyRealms`].
    pub fn answer(&mut self, answer: &Bytes, now: SystemTime) -> Result<Step, KerberosError> {
        let wanted = self.wanted();
        let reply = match message::ticket_reply(answer, message::TGS_REPLY)? {
            Ok(reply) => reply,
            Err(error) => {
                // Of these the ticket that was sent is the matter.
                let about = match error.code {
                    KerberosError::TICKET_EXPIRED | KerberosError::BAD_INTEGRITY => {
                        self.with.service.to_string()
                    }
                    _ => wanted.to_string(),
                };
                return Err(error.refusal(about, since_1970(now)));
            }
        };
        if reply.client != self.with.client {
            return Err(KerberosError::WrongAnswer("the ticket is somebody else's"));
        }
        let key = &self.with.key;
        if reply.kind != key.kind().number() {
            return Err(KerberosError::WrongAnswer("it is encrypted by another key"));
        }
        let part = message::ticket_part(&key.sealer(8).open(&reply.cipher)?)?;
        if part.nonce != self.nonce {
            return Err(KerberosError::WrongAnswer("it belongs to another request"));
        }
        let got = reply.with(part);
        let is_way_there = got.service.grants_for().is_some() && got.service.parts() != self.service.parts();
        if !is_way_there {
            // Its realm may call it otherwise than it was asked for; what it is for is in the ticket.
            return match got.service.parts() == self.service.parts() {
                true => Ok(Step::Done(Box::new(got))),
                false => Err(KerberosError::WrongAnswer("the ticket is for another service")),
            };
        }
        self.realms += 1;
        if self.realms >= MOST_REALMS {
            return Err(KerberosError::TooManyRealms(self.service.to_string()));
        }
        if let Some(realm) = got.service.grants_for() {
            let (kind, parts) = (self.service.kind(), self.service.parts().to_vec());
            // Who refers elsewhere knows better than krb5.conf where it is.
            if realm != wanted.grants_for().unwrap_or_default() {
                self.service = Principal::from_parts(kind, parts, realm.to_owned());
            }
        }
        (self.with, self.nonce) = (got, nonce()?);
        Ok(Step::Send(self.message(now)?))
    }

    /// The service, or the way to its realm, as the realm that is asked next knows it.
    fn wanted(&self) -> Principal {
        let realm = self.realm();
        match realm == self.service.realm() {
            true => self.service.clone(),
            false => Principal::ticket_granting(self.service.realm(), realm),
        }
    }
}

impl TicketReply {
    fn with(self, part: TicketPart) -> Credential {
        let Self { client, ticket, .. } = self;
        Credential { client, service: part.service, key: part.key, ticket, until: part.until }
    }
}

/// 31 random bits: some take more for a negative number.
fn nonce() -> Result<u32, KerberosError> {
    Ok(u32::from_be_bytes(random()?) >> 1)
}

impl Credential {
    /// Whether it is still good for so long.
    #[must_use]
    pub fn lasts(&self, now: SystemTime, time: Duration) -> bool {
        since_1970(now).saturating_add(time).as_secs() < self.until
    }
}

#[cfg(test)]
mod tests;
