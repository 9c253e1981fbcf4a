//! Kerberos 5 (RFC 4120) and its GSS-API mechanism (RFC 4121), as a client has them, without I/O.
//!
//! Each exchange takes the octets of one message and gives those of the next, and is told what time it is. This crate knows
//! no socket, no clock, no runtime, no files and no LDAP: who carries messages to a key distribution centre, and where
//! tickets are kept, stands around it. It accepts nobody: there is no server's end.
//!
//! - [`AsExchange`] and [`TgsExchange`]: tickets from a password or a key, and tickets for services.
//! - [`Initiator`] and [`Context`]: proving who one is to a service, and then signing and sealing what is said.
//! - [`spnego`]: the same inside the negotiation of RFC 4178.
//! - [`Ccache`], [`Keytab`] and [`Krb5Conf`]: the files in which the system's Kerberos keeps tickets, keys and settings.
//!
//! The encryption types are those of AES (RFC 3962, RFC 8009). There is no RC4 and no DES: both can be guessed.

mod ccache;
mod conf;
mod context;
mod crypto;
mod der;
mod error;
mod exchange;
mod keytab;
mod message;
mod principal;
pub mod spnego;
mod time;

pub use self::{
    ccache::Ccache,
    conf::Krb5Conf,
    context::{Context, ContextOptions, Initiator},
    crypto::{EncryptionType, Key},
    error::{KerberosError, Refusal},
    exchange::{AsExchange, LongTerm, Step, TgsExchange},
    keytab::Keytab,
    message::Credential,
    principal::Principal,
};

/// The octets of a message from a key distribution centre that are read at most: tickets with many groups have tens of
/// thousands.
pub const LONGEST_MESSAGE: usize = 1 << 20;

fn random<const N: usize>() -> Result<[u8; N], KerberosError> {
    use ring::rand::{SecureRandom as _, SystemRandom};
    let mut octets = [0; N];
    SystemRandom::new().fill(&mut octets).map_err(|_| KerberosError::NoRandomness)?;
    Ok(octets)
}
