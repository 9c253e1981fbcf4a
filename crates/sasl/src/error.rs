//! What goes wrong in an exchange.

use flext_ldap_kerberos::KerberosError;
use thiserror::Error;

/// An exchange that cannot go on. No message holds a secret, or text of the peer's that could be one.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SaslError {
    /// The peer's message is not what the mechanism wants.
    #[error("the peer sent a malformed message of this mechanism: {0}")]
    Malformed(&'static str),
    /// The peer went on where the mechanism has ended, or ended where it goes on.
    #[error("the peer sent {0}")]
    OutOfTurn(&'static str),
    /// The server wants a password to be strengthened so little that whoever is in its place could guess it.
    #[error("the server asks for {0} iterations, and fewer than {least} make guessing too cheap", least = crate::scram::FEWEST)]
    TooFewIterations(u32),
    /// The server wants more work than is reasonable.
    #[error("the server asks for {0} iterations, and more than {most} are not done", most = crate::scram::MOST)]
    TooManyIterations(u32),
    /// The nonce of the peer does not go on from ours: the message belongs to another exchange.
    #[error("the peer's nonce does not go on from the one it was sent")]
    WrongNonce,
    /// The server says no in words of the mechanism.
    #[error("the server refused the exchange ({0})")]
    Refused(String),
    /// The server has not shown that it knows the password (RFC 5802 §3): somebody else may be in its place.
    #[error("the server has not shown that it knows the password")]
    ServerNotProven,
    /// Channel binding is wanted, and there is nothing to bind to.
    #[error("there is no TLS to bind to, or not of the kind asked for")]
    NothingToBind,
    /// The two ends do not see the same TLS: somebody is between them.
    #[error("the two ends do not see the same TLS connection")]
    WrongBinding,
    /// One end was led to believe that the other cannot do channel binding.
    #[error("the peer thinks that channel binding is not offered here, though it is")]
    Downgraded,
    /// There is no security layer that both ends want.
    #[error(
        "the server and this client have no security layer in common that is as strong as it must be, and no stronger than it may be"
    )]
    NoLayer,
    /// Kerberos has failed.
    #[error("{0}")]
    Kerberos(#[source] KerberosError),
    /// A name or password that cannot be sent by this mechanism.
    #[error("{0} cannot be sent by this mechanism")]
    Unsendable(&'static str),
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
}
