//! What goes wrong with Kerberos.

use flext_ldap_proto::ber::DecodeError;
use thiserror::Error;

use crate::time;

/// An exchange that cannot go on, or a file that is of no use. No message holds a secret.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum KerberosError {
    /// Octets that are not what they must be.
    #[error("there is {0}")]
    Malformed(&'static str),
    /// A message that cannot be decoded.
    #[error("a Kerberos message is malformed: {0}")]
    Undecodable(#[from] DecodeError),
    /// What is encrypted is of another key, or was changed on the way.
    #[error("what is encrypted does not open with this key")]
    WrongKey,
    /// What is signed is of another key, or was changed on the way.
    #[error("what is signed was signed by another key, or changed on the way")]
    WrongChecksum,
    /// The reply belongs to another request, or is of somebody else's making.
    #[error("the answer is not one to what was asked: {0}")]
    WrongAnswer(&'static str),
    /// A ticket came without a proof being asked for, and the secret does not open it.
    #[error("the password, or key, of {0} is wrong: what the realm sent does not open with it")]
    WrongSecret(String),
    /// A message that came twice, was left out, or came out of turn.
    #[error("a protected message was repeated, left out or put in another place")]
    OutOfSequence,
    /// The password is to be strengthened by more work than is reasonable, or by none.
    #[error("the key distribution centre asks for {0} iterations, which are none or too many")]
    TooManyIterations(u32),
    /// The password is to be strengthened by less work than is usual: whoever asks for that may want to guess it.
    #[error(
        "the key distribution centre asks for {0} iterations, fewer than any should: what answers may be no key distribution centre, and a password that is proved so is easily guessed"
    )]
    TooFewIterations(u32),
    /// The key distribution centre, or the service, has said no.
    #[error("{}", refusal(.0))]
    Refused(Refusal),
    /// There is no key, or ticket, of an encryption type that is known here.
    #[error(
        "{0} has no key of an encryption type that is used here (AES with SHA-1 or SHA-2; RC4 and DES are not): have AES keys made for it"
    )]
    NoCommonEncryption(String),
    /// The principal's name cannot be read.
    #[error("`{0}` is not the name of a principal, like `ada@EXAMPLE.COM`")]
    BadPrincipal(String),
    /// There is no realm for a name.
    #[error("`{0}` is without a realm: add @REALM, or set default_realm in krb5.conf")]
    NoRealm(String),
    /// A ticket for a service leads from realm to realm.
    #[error("the realms refer from one to another and to no ticket for {0}")]
    TooManyRealms(String),
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

/// A message of error (RFC 4120 §5.9.1).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Refusal {
    /// Its code (RFC 4120 §7.5.9).
    pub code: i32,
    /// What it says in words, if anything.
    pub text: Option<String>,
    /// The time there, in seconds since 1970.
    pub time: u64,
    /// The time here when it was read, in seconds since 1970.
    pub here: u64,
    /// About whom or which service it is, as far as is known.
    pub about: String,
}

impl KerberosError {
    /// KDC_ERR_C_PRINCIPAL_UNKNOWN.
    pub const CLIENT_UNKNOWN: i32 = 6;
    /// KDC_ERR_S_PRINCIPAL_UNKNOWN.
    pub const SERVICE_UNKNOWN: i32 = 7;
    /// KDC_ERR_ETYPE_NOSUPP.
    pub const NO_ENCRYPTION: i32 = 14;
    /// KDC_ERR_CLIENT_REVOKED.
    pub const CLIENT_REVOKED: i32 = 18;
    /// KDC_ERR_KEY_EXPIRED.
    pub const KEY_EXPIRED: i32 = 23;
    /// KDC_ERR_PREAUTH_FAILED.
    pub const WRONG_PASSWORD: i32 = 24;
    /// KDC_ERR_PREAUTH_REQUIRED.
    pub(crate) const PASSWORD_WANTED: i32 = 25;
    /// KRB_AP_ERR_BAD_INTEGRITY.
    pub const BAD_INTEGRITY: i32 = 31;
    /// KRB_AP_ERR_TKT_EXPIRED.
    pub const TICKET_EXPIRED: i32 = 32;
    /// KRB_AP_ERR_SKEW.
    pub const SKEW: i32 = 37;

    /// The code of a refusal.
    #[must_use]
    pub const fn code(&self) -> Option<i32> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }
}

/// What it is, and what to do about it.
fn refusal(refusal: &Refusal) -> String {
    let Refusal { code, text, time, here, about } = refusal;
    let said = text.as_deref().filter(|text| !text.is_empty()).map(|text| format!(" ({text})"));
    let said = said.unwrap_or_default();
    match *code {
        KerberosError::CLIENT_UNKNOWN => {
            format!("the realm knows no {about}{said}: check the name and its realm")
        }
        KerberosError::SERVICE_UNKNOWN => format!(
            "the realm knows no service {about}{said}: name the server as its key is named, by its full host name, or have \
             that key made"
        ),
        KerberosError::NO_ENCRYPTION => format!(
            "the realm has no encryption type for {about} that is used here{said}: have AES keys made for it"
        ),
        KerberosError::CLIENT_REVOKED => format!("{about} is locked, disabled or expired{said}"),
        KerberosError::KEY_EXPIRED => format!("the password of {about} has expired{said}: change it"),
        KerberosError::WRONG_PASSWORD => format!("the password, or key, of {about} is wrong{said}"),
        KerberosError::BAD_INTEGRITY => format!(
            "the ticket does not open with the key of {about}{said}: its keytab is older or newer than the realm's key"
        ),
        KerberosError::TICKET_EXPIRED => format!("the ticket has expired{said}: get a new one with `kinit`"),
        KerberosError::SKEW => format!(
            "the clocks differ too much: it is {} there and {} here: set the one that is wrong",
            time::readable(*time),
            time::readable(*here)
        ),
        code => format!("Kerberos error {code} about {about}{said}"),
    }
}
