//! SCRAM (RFC 5802, RFC 7677): a password is proved, and never sent; the server proves that it knows it too.
//!
//! [`ScramClient`] and [`ScramServer`] are the two ends. A server keeps [`ScramKeys`], from which nobody can sign in
//! anywhere without guessing the password.

mod client;
mod message;
mod server;

use std::{fmt, num::NonZeroU32};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{digest, hmac, pbkdf2};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

pub(crate) use self::message::escape;
pub use self::{
    client::{ClientBinding, ScramClient},
    server::{Asked, Proof, ScramServer},
};
use crate::{SaslError, saslprep};

/// Iterations below which a client does not go on (RFC 7677 §4).
pub const FEWEST: u32 = 4096;

/// Iterations above which a client does not go on: somewhat less than a second of work.
pub const MOST: u32 = 1_000_000;

/// Octets a message of the mechanism may have.
const LONGEST: usize = 4096;

/// The hash that a mechanism is named after.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ScramHash {
    /// SHA-1 (RFC 5802).
    Sha1,
    /// SHA-256 (RFC 7677).
    Sha256,
    /// SHA-512.
    Sha512,
}

impl ScramHash {
    const ALL: [Self; 3] = [Self::Sha1, Self::Sha256, Self::Sha512];

    const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    fn digest(self, octets: &[u8]) -> Zeroizing<Vec<u8>> {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        };
        Zeroizing::new(digest::digest(algorithm, octets).as_ref().to_vec())
    }

    fn hmac(self, key: &[u8], text: &[u8]) -> Zeroizing<Vec<u8>> {
        let algorithm = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        };
        Zeroizing::new(hmac::sign(&hmac::Key::new(algorithm, key), text).as_ref().to_vec())
    }

    /// `Hi` of RFC 5802 §2.2.
    fn salted(self, password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Zeroizing<Vec<u8>> {
        let (algorithm, length) = match self {
            Self::Sha1 => (pbkdf2::PBKDF2_HMAC_SHA1, digest::SHA1_OUTPUT_LEN),
            Self::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, digest::SHA256_OUTPUT_LEN),
            Self::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, digest::SHA512_OUTPUT_LEN),
        };
        let mut salted = Zeroizing::new(vec![0; length]);
        pbkdf2::derive(algorithm, iterations, salt, password, &mut salted);
        salted
    }
}

/// A password as the mechanism takes it. One that SASLprep does not take is used as it is, as PostgreSQL does: passwords
/// that need not be text can be proved too.
fn prepared(password: &[u8]) -> Zeroizing<Vec<u8>> {
    let text = std::str::from_utf8(password).ok().and_then(saslprep);
    Zeroizing::new(text.map_or_else(|| password.to_vec(), |text| text.into_owned().into_bytes()))
}

/// What a server keeps of a password. Whoever has it can pretend to be the server, and can guess passwords at the cost of
/// the iterations; nobody can sign in with it.
#[derive(Clone)]
pub struct ScramKeys {
    hash: ScramHash,
    iterations: NonZeroU32,
    salt: Vec<u8>,
    stored: Zeroizing<Vec<u8>>,
    server: Zeroizing<Vec<u8>>,
}

impl ScramKeys {
    /// Derives the keys of a password. The work is proportional to the iterations.
    #[must_use]
    pub fn derive(hash: ScramHash, password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Self {
        let salted = hash.salted(&prepared(password), salt, iterations);
        Self::of_salted(hash, &salted, salt, iterations)
    }

    /// As [`derive`](Self::derive), with a random salt of 16 octets.
    ///
    /// # Errors
    ///
    /// [`SaslError::NoRandomness`].
    pub fn make(hash: ScramHash, password: &[u8], iterations: NonZeroU32) -> Result<Self, SaslError> {
        Ok(Self::derive(hash, password, &crate::random::<16>()?, iterations))
    }

    /// Keys of nobody, which no password fits: always the same for the same name, so that one who is told their salt
    /// cannot tell that there is no such account. `secret` must be known to nobody else, and last.
    #[must_use]
    pub fn of_nobody(hash: ScramHash, secret: &[u8], name: &[u8], iterations: NonZeroU32) -> Self {
        let made = |of: &str| {
            let text = [format!("{of} {} ", hash.name()).as_bytes(), name].concat();
            ScramHash::Sha512.hmac(secret, &text)
        };
        let mut salt = made("salt").to_vec();
        salt.truncate(16);
        Self::of_salted(hash, &made("keys"), &salt, iterations)
    }

    fn of_salted(hash: ScramHash, salted: &[u8], salt: &[u8], iterations: NonZeroU32) -> Self {
        let stored = hash.digest(&hash.hmac(salted, b"Client Key"));
        let server = hash.hmac(salted, b"Server Key");
        Self { hash, iterations, salt: salt.to_vec(), stored, server }
    }

    /// By which hash they are.
    #[must_use]
    pub const fn hash(&self) -> ScramHash {
        self.hash
    }

    /// What a guess costs.
    #[must_use]
    pub const fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// Whether they are those of this password. The work is proportional to the iterations.
    #[must_use]
    pub fn are_of(&self, password: &[u8]) -> bool {
        Self::derive(self.hash, password, &self.salt, self.iterations).is_same(self)
    }

    /// As they are stored (RFC 5803): `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let [salt, stored, server] =
            [&self.salt, &*self.stored, &*self.server].map(|part| STANDARD.encode(part));
        Zeroizing::new(format!("{}${}:{salt}${stored}:{server}", self.hash.name(), self.iterations))
    }

    /// Reads what [`to_text`](Self::to_text) writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('$')?;
        let hash = ScramHash::ALL.into_iter().find(|hash| hash.name() == name)?;
        let (info, values) = rest.split_once('$')?;
        let (iterations, salt) = info.split_once(':')?;
        let (stored, server) = values.split_once(':')?;
        let decode = |part| STANDARD.decode(part).ok();
        let [stored, server] = [decode(stored)?, decode(server)?].map(Zeroizing::new);
        let length = hash.digest(b"").len();
        let keys = Self { hash, iterations: iterations.parse().ok()?, salt: decode(salt)?, stored, server };
        (keys.stored.len() == length && keys.server.len() == length && !keys.salt.is_empty()).then_some(keys)
    }

    /// Whether both are the same, in constant time.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let same = self.stored.ct_eq(&other.stored) & self.server.ct_eq(&other.server);
        self.hash == other.hash
            && self.salt == other.salt
            && self.iterations == other.iterations
            && same.into()
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramKeys")
            .field("hash", &self.hash)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
