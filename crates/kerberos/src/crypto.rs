//! Encryption types: AES with SHA-1 (RFC 3961, RFC 3962) and with SHA-2 (RFC 8009).
//!
//! What differs between the two families is how keys are derived from one another, and whether what is authenticated is
//! the text or its cipher. The rest is one.

mod cts;

use std::num::NonZeroU32;

use aes::{
    Aes128, Aes256,
    cipher::{Block, BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _},
};
use flext_ldap_proto::secret::Secret;
use ring::{hmac, pbkdf2};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{KerberosError, random};

/// Octets of a block, and of the random ones before every text.
pub(crate) const BLOCK: usize = 16;

/// Iterations by which a key distribution centre may have a password be strengthened: more are a way to keep us busy.
const MOST_ITERATIONS: u32 = 1 << 20;

/// How things are encrypted and authenticated.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum EncryptionType {
    /// `aes256-cts-hmac-sha384-192`.
    Aes256Sha384,
    /// `aes128-cts-hmac-sha256-128`.
    Aes128Sha256,
    /// `aes256-cts-hmac-sha1-96`.
    Aes256Sha1,
    /// `aes128-cts-hmac-sha1-96`.
    Aes128Sha1,
}

impl EncryptionType {
    /// Those there are, in the order in which they are asked for. What Active Directory has is the third and fourth.
    pub const ALL: [Self; 4] = [Self::Aes256Sha384, Self::Aes128Sha256, Self::Aes256Sha1, Self::Aes128Sha1];

    /// The number in messages.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Aes128Sha1 => 17,
            Self::Aes256Sha1 => 18,
            Self::Aes128Sha256 => 19,
            Self::Aes256Sha384 => 20,
        }
    }

    /// As RFC 8009 and krb5.conf call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Sha1 => "aes128-cts-hmac-sha1-96",
            Self::Aes256Sha1 => "aes256-cts-hmac-sha1-96",
            Self::Aes128Sha256 => "aes128-cts-hmac-sha256-128",
            Self::Aes256Sha384 => "aes256-cts-hmac-sha384-192",
        }
    }

    /// The one of this number.
    #[must_use]
    pub fn numbered(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.number() == number)
    }

    /// The number of its checksum.
    pub(crate) const fn checksum_number(self) -> i32 {
        match self {
            Self::Aes128Sha1 => 15,
            Self::Aes256Sha1 => 16,
            Self::Aes128Sha256 => 19,
            Self::Aes256Sha384 => 20,
        }
    }

    /// Octets of a key.
    #[must_use]
    pub const fn key_length(self) -> usize {
        match self {
            Self::Aes128Sha1 | Self::Aes128Sha256 => 16,
            Self::Aes256Sha1 | Self::Aes256Sha384 => 32,
        }
    }

    /// Octets of a checksum.
    #[must_use]
    pub const fn checksum_length(self) -> usize {
        match self {
            Self::Aes128Sha1 | Self::Aes256Sha1 => 12,
            Self::Aes128Sha256 => 16,
            Self::Aes256Sha384 => 24,
        }
    }

    const fn is_sha1(self) -> bool {
        matches!(self, Self::Aes128Sha1 | Self::Aes256Sha1)
    }

    const fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Aes128Sha1 | Self::Aes256Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Aes128Sha256 => hmac::HMAC_SHA256,
            Self::Aes256Sha384 => hmac::HMAC_SHA384,
        }
    }

    const fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Aes128Sha1 | Self::Aes256Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Aes128Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Aes256Sha384 => pbkdf2::PBKDF2_HMAC_SHA384,
        }
    }

    const fn usual_iterations(self) -> u32 {
        if self.is_sha1() { 4_096 } else { 32_768 }
    }
}

/// What a key is used for, besides which message it is: the last octet from which keys are derived (RFC 3961 §5.3).
#[derive(Clone, Copy)]
enum Purpose {
    Checksum = 0x99,
    Encryption = 0xaa,
    Integrity = 0x55,
}

/// A key, of one encryption type. Wiped when dropped, never printed.
#[derive(Clone, Debug)]
pub struct Key {
    kind: EncryptionType,
    octets: Secret,
}

impl Key {
    /// The key of these octets.
    ///
    /// # Errors
    ///
    /// [`KerberosError::Malformed`]: there are too many or too few.
    pub fn new(kind: EncryptionType, octets: &[u8]) -> Result<Self, KerberosError> {
        if octets.len() != kind.key_length() {
            return Err(KerberosError::Malformed("a key of another length than its encryption type has"));
        }
        Ok(Self { kind, octets: Secret::new(octets) })
    }

    /// A new key.
    ///
    /// # Errors
    ///
    /// [`KerberosError::NoRandomness`].
    pub(crate) fn generate(kind: EncryptionType) -> Result<Self, KerberosError> {
        let octets = Zeroizing::new(random::<32>()?);
        Self::new(kind, octets.get(..kind.key_length()).unwrap_or_default())
    }

    /// The key that a password gives. With the usual parameters this takes some milliseconds of work, and at most a second.
    ///
    /// # Errors
    ///
    /// [`KerberosError::TooManyIterations`].
    pub fn of_password(
        kind: EncryptionType,
        password: &[u8],
        salt: &[u8],
        iterations: Option<u32>,
    ) -> Result<Self, KerberosError> {
        let iterations = iterations.unwrap_or_else(|| kind.usual_iterations());
        let rounds = NonZeroU32::new(iterations).filter(|rounds| rounds.get() <= MOST_ITERATIONS);
        let rounds = rounds.ok_or(KerberosError::TooManyIterations(iterations))?;
        let salt = match kind.is_sha1() {
            true => salt.to_vec(),
            false => [kind.name().as_bytes(), &[0], salt].concat(),
        };
        let mut octets = Zeroizing::new(vec![0; kind.key_length()]);
        pbkdf2::derive(kind.pbkdf2(), rounds, &salt, password, &mut octets);
        let between = Self { kind, octets: Secret::new(octets.as_slice()) };
        Ok(Self { kind, octets: between.derive(b"kerberos", kind.key_length()) })
    }

    /// Its encryption type.
    #[must_use]
    pub const fn kind(&self) -> EncryptionType {
        self.kind
    }

    pub(crate) fn expose(&self) -> &[u8] {
        self.octets.expose()
    }

    /// What encrypts messages of one usage (RFC 4120 §7.5.1) with this key.
    pub(crate) fn sealer(&self, usage: u32) -> Sealer {
        let encryption = self.derived(usage, Purpose::Encryption);
        let integrity = self.derived(usage, Purpose::Integrity);
        Sealer {
            kind: self.kind,
            cipher: Cipher::new(encryption.expose()),
            integrity: hmac::Key::new(self.kind.hmac(), integrity.expose()),
        }
    }

    /// What makes checksums of messages of one usage.
    pub(crate) fn signer(&self, usage: u32) -> Signer {
        let key = self.derived(usage, Purpose::Checksum);
        Signer { kind: self.kind, key: hmac::Key::new(self.kind.hmac(), key.expose()) }
    }

    fn derived(&self, usage: u32, purpose: Purpose) -> Secret {
        let [a, b, c, d] = usage.to_be_bytes();
        let length = match (self.kind, purpose) {
            // RFC 8009 §3: keys for authentication are as long as what they make.
            (EncryptionType::Aes256Sha384, Purpose::Checksum | Purpose::Integrity) => 24,
            _ => self.kind.key_length(),
        };
        self.derive(&[a, b, c, d, purpose as u8], length)
    }

    /// The key that is derived by a constant: DK of RFC 3961 §5.1, or KDF-HMAC-SHA2 of RFC 8009 §3.
    fn derive(&self, constant: &[u8], length: usize) -> Secret {
        let mut octets = Zeroizing::new(Vec::with_capacity(length + BLOCK));
        if self.kind.is_sha1() {
            let cipher = Cipher::new(self.expose());
            let mut block = Block::<Aes128>::from(n_fold(constant));
            while octets.len() < length {
                cipher.encrypt(&mut block);
                octets.extend_from_slice(&block);
            }
        } else {
            let bits = u32::try_from(length.saturating_mul(8)).unwrap_or(u32::MAX);
            let input = [&1_u32.to_be_bytes()[..], constant, &[0], &bits.to_be_bytes()].concat();
            let key = hmac::Key::new(self.kind.hmac(), self.expose());
            octets.extend_from_slice(hmac::sign(&key, &input).as_ref());
        }
        Secret::new(octets.get(..length).unwrap_or_default())
    }
}

/// Encrypts and authenticates messages of one usage.
pub(crate) struct Sealer {
    kind: EncryptionType,
    cipher: Cipher,
    integrity: hmac::Key,
}

impl Sealer {
    pub(crate) fn seal(&self, text: &[&[u8]]) -> Result<Vec<u8>, KerberosError> {
        Ok(self.seal_after(random()?, text))
    }

    /// Encrypts parts of a text one after another.
    fn seal_after(&self, random: [u8; BLOCK], text: &[&[u8]]) -> Vec<u8> {
        let length = BLOCK + text.iter().map(|part| part.len()).sum::<usize>();
        // With room for the last block and the checksum, so that what is still clear is not copied about.
        let mut octets = Vec::with_capacity(length + BLOCK + self.kind.checksum_length());
        octets.extend_from_slice(&random);
        text.iter().for_each(|part| octets.extend_from_slice(part));
        let mut tag = hmac::Context::with_key(&self.integrity);
        if self.kind.is_sha1() {
            tag.update(&octets);
            cts::encrypt(&self.cipher, &mut octets);
        } else {
            cts::encrypt(&self.cipher, &mut octets);
            tag.update(&[0; BLOCK]);
            tag.update(&octets);
        }
        let tag = tag.sign();
        octets.extend_from_slice(tag.as_ref().get(..self.kind.checksum_length()).unwrap_or_default());
        octets
    }

    /// Checks and decrypts. What comes back is the text without the random octets before it.
    pub(crate) fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KerberosError> {
        let split = sealed.len().checked_sub(self.kind.checksum_length()).filter(|at| *at >= BLOCK);
        let Some((cipher, tag)) = split.and_then(|at| sealed.split_at_checked(at)) else {
            return Err(KerberosError::Malformed("something encrypted that is too short"));
        };
        let mut text = Zeroizing::new(cipher.to_vec());
        cts::decrypt(&self.cipher, &mut text);
        let mut expected = hmac::Context::with_key(&self.integrity);
        if self.kind.is_sha1() {
            expected.update(&text);
        } else {
            expected.update(&[0; BLOCK]);
            expected.update(cipher);
        }
        let expected = expected.sign();
        let expected = expected.as_ref().get(..self.kind.checksum_length()).unwrap_or_default();
        if !bool::from(expected.ct_eq(tag)) {
            return Err(KerberosError::WrongKey);
        }
        text.drain(..BLOCK);
        Ok(text)
    }
}

/// Makes checksums of messages of one usage.
pub(crate) struct Signer {
    kind: EncryptionType,
    key: hmac::Key,
}

impl Signer {
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut tag = hmac::Context::with_key(&self.key);
        parts.iter().for_each(|part| tag.update(part));
        tag.sign().as_ref().get(..self.kind.checksum_length()).unwrap_or_default().to_vec()
    }

    pub(crate) fn verify(&self, parts: &[&[u8]], checksum: &[u8]) -> Result<(), KerberosError> {
        match bool::from(self.sign(parts).ct_eq(checksum)) {
            true => Ok(()),
            false => Err(KerberosError::WrongChecksum),
        }
    }
}

/// AES with a key of either length.
enum Cipher {
    Aes128(Box<Aes128>),
    Aes256(Box<Aes256>),
}

impl Cipher {
    /// Keys are of one of the two lengths: [`Key::new`] sees to it.
    fn new(key: &[u8]) -> Self {
        let mut long = Zeroizing::new([0; 32]);
        match <[u8; 16]>::try_from(key) {
            Ok(short) => Self::Aes128(Box::new(Aes128::new(
                &Zeroizing::new(short).as_slice().try_into().unwrap_or_default(),
            ))),
            Err(_) => {
                long.iter_mut().zip(key).for_each(|(place, octet)| *place = *octet);
                Self::Aes256(Box::new(Aes256::new(&(*long).into())))
            }
        }
    }

    fn encrypt(&self, block: &mut Block<Aes128>) {
        match self {
            Self::Aes128(cipher) => cipher.encrypt_block(block),
            Self::Aes256(cipher) => cipher.encrypt_block(block),
        }
    }

    fn decrypt(&self, block: &mut Block<Aes128>) {
        match self {
            Self::Aes128(cipher) => cipher.decrypt_block(block),
            Self::Aes256(cipher) => cipher.decrypt_block(block),
        }
    }
}

/// n-fold of RFC 3961 §5.1, to one block: copies of the input, each turned 13 bits further, are added up in ones'
/// complement.
fn n_fold(input: &[u8]) -> [u8; BLOCK] {
    let bits = input.len() * 8;
    let bit = |place: usize| -> u16 {
        let (copy, within) = (place / bits, place % bits);
        let place = (within + copy * (bits - 13 % bits)) % bits;
        input.get(place / 8).map_or(0, |octet| u16::from(octet >> (7 - place % 8) & 1))
    };
    let all = least_common_multiple(input.len(), BLOCK) * 8;
    let mut sums = [0_u16; BLOCK];
    for place in 0..all {
        if let Some(sum) = sums.get_mut(place / 8 % BLOCK) {
            *sum += bit(place) << (7 - place % 8);
        }
    }
    let mut carry = 0;
    // What is carried out of the first octet comes in at the last, twice at most.
    for _ in 0..3 {
        for sum in sums.iter_mut().rev() {
            *sum += carry;
            carry = *sum >> 8;
            *sum &= 0xff;
        }
    }
    sums.map(|sum| sum.to_be_bytes()[1])
}

fn least_common_multiple(one: usize, other: usize) -> usize {
    (1..=other).map(|times| one * times).find(|product| product % other == 0).unwrap_or(one * other)
}

#[cfg(test)]
mod tests;
