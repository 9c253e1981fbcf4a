//! Passwords as they are stored: argon2id for new ones, and what other directories write verified.
//!
//! Schemes (RFC 2307 and its successors): `{ARGON2}`, `{CRYPT}` with `$5$` and `$6$`, `{SSHA}`, `{SHA}`, and both with
//! 256, 384 and 512; `{SCRAM-SHA-1}`, 256 and 512 with what RFC 5803 keeps, by which one signs in by SCRAM too.
//! Comparison takes constant time.

use std::{cell::RefCell, num::NonZeroU32};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{
        PasswordVerifier,
        phc::{Output, ParamsString, PasswordHash, Salt},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use flext_ldap_directory::{Error, ErrorKind};
use flext_ldap_proto::result::ResultCode;
use flext_ldap_sasl::scram::{self, ScramHash, ScramKeys};
use sha_crypt::ShaCrypt;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use crate::tables::Failure;

/// What is verified where there is nothing to verify, so that a name that does not exist takes as long as a wrong
/// password. Its parameters are those of [`Form::hash`].
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGlzIGhlcmU$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// More than this is not a password but an attack on whoever hashes it.
pub(crate) const LONGEST: usize = 4096;

/// Passwords of one entry. Each is tried at a bind, so many would be a way to keep others waiting.
const MOST: usize = 10;

/// Iterations of SCRAM's keys: what a client has to work at each sign-in, and whoever has got hold of the keys at each
/// guess. They are the weakest form a password is kept in, and clients of today take no more than 65,536.
const SCRAM_ITERATIONS: NonZeroU32 = match NonZeroU32::new(16_384) {
    Some(count) => count,
    None => NonZeroU32::MIN,
};

/// The hashes that keys are kept for.
const SCRAM_HASHES: [ScramHash; 2] = [ScramHash::Sha256, ScramHash::Sha512];

/// How a hash and the keys behind it are told apart. No hash has it in it.
const BEFORE_KEYS: &str = " SCRAM-SHA-";

/// Costs a stored hash may ask for; a hash that asks for more never verifies. They leave room for what is advised
/// elsewhere (RFC 9106 §4: 64 MiB, three passes), and none for a hash that keeps a thread for seconds.
const MEMORY_KIB: u32 = 256 << 10;
/// Of memory filled in all passes.
const FILLED_KIB: u64 = 1 << 20;
const LANES: u32 = 16;
const ROUNDS: u32 = 2_000_000;

thread_local! {
    /// What argon2 fills. Kept by the few threads that hash: 19 MiB that come and go with every sign-in leave the
    /// allocator of each thread with several times as much.
    static BLOCKS: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

/// In what form passwords that are set are kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Form {
    /// As a hash: argon2id, 19 MiB, two passes, one lane (OWASP's first choice).
    #[default]
    Hash,
    /// Behind the hash, with a space before each, are SCRAM's keys (RFC 5803). They never leave the store: see
    /// [`without_keys`].
    HashAndKeys,
}

impl Form {
    /// Hashes a password for storage.
    pub(crate) fn hash(self, password: &[u8]) -> Result<Vec<u8>, Error> {
        let mut stored = argon2id(password)?;
        if self == Self::Hash {
            return Ok(stored);
        }
        for hash in SCRAM_HASHES {
            let keys = ScramKeys::make(hash, password, SCRAM_ITERATIONS).map_err(|error| {
                Error::new(ErrorKind::Bug, "a password's SCRAM keys cannot be made").with_source(error)
            })?;
            stored.push(b' ');
            stored.extend_from_slice(keys.to_text().as_bytes());
        }
        Ok(stored)
    }
}

/// A stored password as others know it: the hash.
pub(crate) fn without_keys(stored: &[u8]) -> &[u8] {
    let at = stored.windows(BEFORE_KEYS.len()).position(|part| part == BEFORE_KEYS.as_bytes());
    at.and_then(|at| stored.get(..at)).unwrap_or(stored)
}

/// SCRAM's keys of a stored password: those behind its hash, or what it is itself.
fn keys_of(stored: &[u8], hash: ScramHash) -> Option<ScramKeys> {
    if let Some(Stored::Scram(keys)) = Stored::parse(stored) {
        return Some(keys).filter(|keys| keys.hash() == hash);
    }
    let behind = stored.get(without_keys(stored).len()..)?;
    let mut keys = std::str::from_utf8(behind).ok()?.split(' ').filter_map(ScramKeys::parse);
    keys.find(|keys| keys.hash() == hash)
}

/// SCRAM's keys for one who says that they are somebody with these passwords, and whether they are of one of these: or
/// else of a name that nobody has, in one form for all ways to write it.
pub(crate) fn scram_keys(
    stored: &[Vec<u8>],
    hash: ScramHash,
    secret: &[u8],
    name: &[u8],
) -> (ScramKeys, bool) {
    // Made whether needed or not, so that it is not told by time which it is.
    let nobody = ScramKeys::of_nobody(hash, secret, name, SCRAM_ITERATIONS);
    match stored.iter().find_map(|stored| keys_of(stored, hash)) {
        Some(keys) => (keys, true),
        None => (nobody, false),
    }
}

/// Which of the stored passwords has these keys.
pub(crate) fn place_of(stored: &[Vec<u8>], keys: &ScramKeys) -> Option<usize> {
    stored.iter().position(|one| keys_of(one, keys.hash()).is_some_and(|kept| kept.is_same(keys)))
}

fn argon2id(password: &[u8]) -> Result<Vec<u8>, Error> {
    let params = Params::default();
    let mut octets = [0; Params::DEFAULT_OUTPUT_LEN];
    let made = (|| {
        let salt = Salt::new(uuid::Uuid::new_v4().as_bytes())?;
        fill(Algorithm::Argon2id, Version::V0x13, &params, password, &salt, &mut octets)?;
        Ok(PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params)?,
            salt: Some(salt),
            hash: Some(Output::new(&octets)?),
        })
    })();
    made.map(|hash| format!("{{ARGON2}}{hash}").into_bytes()).map_err(
        |error: argon2::password_hash::Error| {
            Error::new(ErrorKind::Bug, "a password cannot be hashed").with_source(error)
        },
    )
}

/// Whether a password fits an argon2 hash whose costs can be afforded.
fn fits(password: &[u8], hash: &PasswordHash) -> bool {
    let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else { return false };
    let Ok(params) = Params::try_from(hash) else { return false };
    let filled = u64::from(params.m_cost()).saturating_mul(u64::from(params.t_cost()));
    if params.m_cost() > MEMORY_KIB || filled > FILLED_KIB || params.p_cost() > LANES {
        return false;
    }
    let Ok(algorithm) = Algorithm::try_from(hash.algorithm.as_str()) else { return false };
    let Ok(version) = hash.version.map_or(Ok(Version::V0x10), Version::try_from) else { return false };
    let mut octets = vec![0; expected.len()];
    fill(algorithm, version, &params, password, salt, &mut octets).is_ok()
        && bool::from(octets.ct_eq(expected.as_ref()))
}

/// Computes argon2 in memory that this thread keeps.
fn fill(
    algorithm: Algorithm,
    version: Version,
    params: &Params,
    password: &[u8],
    salt: &[u8],
    octets: &mut [u8],
) -> argon2::Result<()> {
    BLOCKS.with_borrow_mut(|blocks| {
        let wanted = params.block_count();
        if blocks.len() < wanted {
            blocks.resize(wanted, Block::default());
        }
        let argon2 = Argon2::new(algorithm, version, params.clone());
        let filled = argon2.hash_password_into_with_memory(password, salt, octets, &mut *blocks);
        // A stored hash that asks for more than ours must not keep it.
        let usual = Params::default().block_count();
        if blocks.len() > usual {
            blocks.truncate(usual);
            blocks.shrink_to_fit();
        }
        filled
    })
}

/// Whether an entry may have so many passwords.
pub(crate) fn check_count(count: usize) -> Result<(), Failure> {
    if count > MOST {
        return Err(Failure::refused(
            ResultCode::CONSTRAINT_VIOLATION,
            format!("an entry has at most {MOST} passwords"),
        ));
    }
    Ok(())
}

/// Whether a value is a hash of a scheme that is known here.
pub(crate) fn is_hash(value: &[u8]) -> bool {
    Stored::parse(value).is_some()
}

/// Whether a value says that it is a hash, by a scheme known here or not.
pub(crate) fn claims_to_be_hash(value: &[u8]) -> bool {
    scheme(value).is_some_and(|(scheme, _)| {
        scheme
            .bytes()
            .all(|octet| octet.is_ascii_uppercase() || octet.is_ascii_digit() || b"-_./".contains(&octet))
    })
}

/// Which of the stored values the password fits, if any. Takes as long if there are none.
pub(crate) fn verify(stored: &[Vec<u8>], password: &[u8]) -> Option<usize> {
    let mut found = None;
    let mut slow = false;
    for (place, value) in stored.iter().enumerate() {
        let stored = Stored::parse(without_keys(value));
        slow |= matches!(stored, Some(Stored::Argon2(_)));
        if found.is_none() && stored.is_some_and(|stored| stored.verify(password)) {
            found = Some(place);
        }
    }
    if !slow && let Ok(nobody) = PasswordHash::new(NOBODY) {
        std::hint::black_box(fits(password, &nobody));
    }
    found
}

/// A stored password, taken apart.
enum Stored<'a> {
    Argon2(&'a str),
    Crypt(&'a str),
    Digest(fn(&[u8], &[u8]) -> Vec<u8>, Vec<u8>, Vec<u8>),
    Scram(ScramKeys),
}

impl<'a> Stored<'a> {
    fn parse(value: &'a [u8]) -> Option<Self> {
        let (scheme, rest) = scheme(value)?;
        let digest = |octets: usize, salted: bool, function: fn(&[u8], &[u8]) -> Vec<u8>| {
            let decoded = STANDARD.decode(rest).ok()?;
            let (digest, salt) = decoded.split_at_checked(octets)?;
            (salt.is_empty() != salted).then(|| Self::Digest(function, digest.to_vec(), salt.to_vec()))
        };
        match scheme.to_ascii_uppercase().as_str() {
            "ARGON2" => PasswordHash::new(rest).is_ok().then_some(Self::Argon2(rest)),
            "CRYPT" => (rest.starts_with("$5$") || rest.starts_with("$6$")).then_some(Self::Crypt(rest)),
            "SHA" => digest(20, false, digest_of::<Sha1>),
            "SSHA" => digest(20, true, digest_of::<Sha1>),
            "SHA256" => digest(32, false, digest_of::<Sha256>),
            "SSHA256" => digest(32, true, digest_of::<Sha256>),
            "SHA384" => digest(48, false, digest_of::<Sha384>),
            "SSHA384" => digest(48, true, digest_of::<Sha384>),
            "SHA512" => digest(64, false, digest_of::<Sha512>),
            "SSHA512" => digest(64, true, digest_of::<Sha512>),
            name if name.starts_with("SCRAM-") => scram_of(name, rest).map(Self::Scram),
            _ => None,
        }
    }

    fn verify(&self, password: &[u8]) -> bool {
        match self {
            Self::Argon2(text) => PasswordHash::new(text).is_ok_and(|hash| fits(password, &hash)),
            Self::Crypt(text) => {
                let rounds = text.split('$').find_map(|field| field.strip_prefix("rounds="));
                let affordable =
                    rounds.is_none_or(|rounds| rounds.parse::<u32>().is_ok_and(|rounds| rounds <= ROUNDS));
                affordable && ShaCrypt::default().verify_password(password, *text).is_ok()
            }
            Self::Digest(function, digest, salt) => function(password, salt).ct_eq(digest).into(),
            Self::Scram(keys) => keys.iterations().get() <= scram::MOST && keys.are_of(password),
        }
    }
}

/// Iterations, salt and the two keys, between them what RFC 5803 writes (`4096:salt$StoredKey:ServerKey`), or commas as
/// Dovecot does.
fn scram_of(name: &str, text: &str) -> Option<ScramKeys> {
    let mut parts = text.split([':', '$', ',']);
    let [iterations, salt, stored, server] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let text = format!("{name}${iterations}:{salt}${stored}:{server}");
    ScramKeys::parse(&text).filter(|_| parts.next().is_none())
}

fn scheme(value: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(value)
        .ok()?
        .strip_prefix('{')?
        .split_once('}')
        .filter(|(scheme, _)| !scheme.is_empty())
}

fn digest_of<D: Digest>(password: &[u8], salt: &[u8]) -> Vec<u8> {
    D::new().chain_update(password).chain_update(salt).finalize().to_vec()
}

/// Characters of a password made up here, if nobody wants more or fewer: 100 random bits.
pub(crate) const GENERATED: usize = 20;

/// A password of `length` random characters, without those that look alike.
pub(crate) fn generate(length: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    // The octets that hold a UUID's version and variant are not random; they are left out.
    let random = std::iter::repeat_with(uuid::Uuid::new_v4).flat_map(|uuid| {
        uuid.into_bytes().into_iter().enumerate().filter(|(place, _)| !matches!(place, 6 | 8))
    });
    random.filter_map(|(_, octet)| ALPHABET.get(usize::from(octet & 31)).copied()).take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_of_the_field_are_verified() {
        // Made with slappasswd, openssl passwd and python's hashlib for the password `seagull-42`.
        let digest = |scheme: &str, digest: Vec<u8>, salt: &[u8]| {
            let mut octets = digest;
            octets.extend_from_slice(salt);
            format!("{{{scheme}}}{}", STANDARD.encode(octets)).into_bytes()
        };
        let password = b"seagull-42";
        let salted = |salt: &[u8]| [password.as_slice(), salt].concat();
        let table: Vec<(&str, Vec<u8>)> = vec![
            ("sha", digest("SHA", Sha1::digest(password).to_vec(), b"")),
            ("ssha", digest("SSHA", Sha1::digest(salted(b"salt")).to_vec(), b"salt")),
            ("ssha, scheme in lower case", digest("ssha", Sha1::digest(salted(b"x")).to_vec(), b"x")),
            ("sha256", digest("SHA256", Sha256::digest(password).to_vec(), b"")),
            ("ssha256", digest("SSHA256", Sha256::digest(salted(b"12345678")).to_vec(), b"12345678")),
            ("sha512", digest("SHA512", Sha512::digest(password).to_vec(), b"")),
            ("ssha512", digest("SSHA512", Sha512::digest(salted(b"12345678")).to_vec(), b"12345678")),
            ("argon2", Form::Hash.hash(password).unwrap()),
            (
                "scram-sha-1",
                b"{SCRAM-SHA-1}4096:c2l4dGVlbiAgb2N0ZXRzIQ==$799FXBlW2A6hQGa9m5cRK/3C5T8=:ygFLK+4VzC2tsVZ4x34tYY1jQb0="
                    .to_vec(),
            ),
            (
                "scram-sha-256, as Dovecot writes it",
                b"{SCRAM-SHA-256}4096,c2l4dGVlbiAgb2N0ZXRzIQ==,kvK8k8Kz88o4avO9TbmtoMOBQyrlTcQgNsPMDjsGeJQ=,d2xfPO/UV/paAdG2/rIEJ1wVHqr3BIy95oMEcDs3xRU="
                    .to_vec(),
            ),
        ];
        for (name, stored) in table {
            assert!(is_hash(&stored), "{name}");
            assert_eq!(verify(std::slice::from_ref(&stored), password), Some(0), "{name}");
            assert_eq!(verify(std::slice::from_ref(&stored), b"seagull-43"), None, "{name}");
            assert_eq!(verify(std::slice::from_ref(&stored), b""), None, "{name}");
        }
    }

    #[test]
    fn keys_stand_behind_the_hash_and_are_none_of_it() {
        let stored = Form::HashAndKeys.hash(b"seagull-42").unwrap();
        assert!(!is_hash(&stored), "nobody sets such a value from outside");
        assert_eq!(verify(std::slice::from_ref(&stored), b"seagull-42"), Some(0));
        assert_eq!(verify(std::slice::from_ref(&stored), b"seagull-43"), None);
        let before = without_keys(&stored);
        assert!(is_hash(before) && !before.contains(&b' '));
        assert_eq!(without_keys(before), before);
        for hash in SCRAM_HASHES {
            let (keys, found) = scram_keys(std::slice::from_ref(&stored), hash, b"secret", b"ada");
            assert!(found);
            assert_eq!(place_of(&[before.to_vec(), stored.clone()], &keys), Some(1));
            let (nobody, found) = scram_keys(&[before.to_vec()], hash, b"secret", b"ada");
            assert!(!found);
            assert_eq!(place_of(&[before.to_vec(), stored.clone()], &nobody), None);
        }
    }

    #[test]
    fn crypt_is_verified() {
        // The first test vectors of the scheme's specification; `openssl passwd` gives the same.
        let table: [(&[u8], &[u8]); 2] = [
            (
                b"Hello world!",
                b"{CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
            ),
            (
                b"Hello world!",
                b"{CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
            ),
        ];
        for (password, stored) in table {
            assert_eq!(verify(&[stored.to_vec()], password), Some(0));
            assert_eq!(verify(&[stored.to_vec()], b"hello world!"), None);
        }
    }

    #[test]
    fn crafted_values_verify_nothing() {
        let table: [&[u8]; 16] = [
            // Dear in rounds, and of too many parts.
            b"{SCRAM-SHA-1}4294967295:c2FsdA==$799FXBlW2A6hQGa9m5cRK/3C5T8=:ygFLK+4VzC2tsVZ4x34tYY1jQb0=",
            b"{SCRAM-SHA-1}4096:c2FsdA==$799FXBlW2A6hQGa9m5cRK/3C5T8=:ygFLK+4VzC2tsVZ4x34tYY1jQb0=,",
            // Dear in memory, and in passes.
            b"{ARGON2}$argon2id$v=19$m=1048576,t=3,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
            b"{ARGON2}$argon2id$v=19$m=19456,t=100,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
            b"",
            b"{",
            b"{}",
            b"{SSHA}",
            b"{SSHA}AAAA",
            b"{SSHA}!!!!",
            b"{SHA}",
            b"{ARGON2}",
            b"{ARGON2}$argon2id$v=19$m=4294967295,t=4294967295,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
            b"{CRYPT}$6$rounds=999999999$saltstring$x",
            b"{CRYPT}xx",
            b"{SSHA512}\xff",
        ];
        for stored in table {
            for password in [b"".as_slice(), b"x", stored] {
                assert_eq!(verify(&[stored.to_vec()], password), None, "{stored:?}");
            }
        }
    }

    #[test]
    fn generated_passwords_differ() {
        let (one, two) = (generate(GENERATED), generate(33));
        assert_eq!((one.len(), two.len()), (20, 33));
        assert_ne!(one, two);
    }
}
