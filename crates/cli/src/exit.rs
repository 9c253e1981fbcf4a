//! Exit codes: part of the interface, documented in `flext-ldap --help`.
//!
//! 0 is success; 1 to 123 are LDAP result codes as themselves; 124 stands for result codes above 123; from 200 on are
//! errors of this side of the wire. That no entry was found is success, as with ldapsearch.

use std::{fmt, process::ExitCode};

use flext_ldap::{ConfigError, PasswordError};
use flext_ldap_directory::{
    Error, ErrorKind,
    proto::{ldif::LdifErrorKind, result::ResultCode},
};
use flext_ldap_server::{StartError, TlsError};
use flext_ldap_store::{ImportError, ImportFailure};

/// The result code for an entry that is not there.
pub(crate) const NO_SUCH_OBJECT: u8 = 32;
/// An LDAP result code above 123.
const OTHER_RESULT: u8 = 124;
/// Wrong flags or arguments, or input that cannot be understood.
pub(crate) const USAGE: u8 = 201;
/// The server could not be reached.
const UNREACHABLE: u8 = 202;
/// TLS could not be agreed on, or the certificate is not to be trusted.
const TLS: u8 = 203;
/// The connection was lost.
const CLOSED: u8 = 204;
/// A deadline passed.
const TIMEOUT: u8 = 205;
/// The server sent what it must not.
const PROTOCOL: u8 = 206;
/// Refused on this side before anything was sent: a password in clear, an empty password.
const REFUSED: u8 = 207;
/// Files, sockets or storage of this machine failed.
pub(crate) const STORAGE: u8 = 208;
/// `directory check` found faults.
pub(crate) const FAULTS: u8 = 209;
/// Anything else, a defect of this program among it.
pub(crate) const INTERNAL: u8 = 210;

/// What the tail of `--help` says.
pub(crate) const HELP: &str = "\
Exit codes:
  0        success; that no entry was found is success
  1-123    the server's LDAP result code, e.g. 32 noSuchObject, 49 invalidCredentials
  124      an LDAP result code above 123
  201      wrong arguments, or input that cannot be understood
  202      the server cannot be reached
  203      TLS failed: refused, untrusted, wrong name, expired
  204      the connection was lost before the answer
  205      a time limit of this side passed
  206      the server broke the protocol
  207      refused on this side: a password in clear, an empty password
  208      a file, a socket or storage of this machine failed
  209      `directory check` found faults
  210      anything else";

/// An error of the user's making: bad arguments or bad input.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The exit code for an error: that of the first cause that has one.
pub(crate) fn of(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(error.chain().find_map(of_cause).unwrap_or(INTERNAL))
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(error) = cause.downcast_ref::<Error>() {
        return Some(of_directory(error));
    }
    if cause.is::<Usage>() || cause.is::<flext_ldap_directory::proto::ldif::LdifError>() {
        return Some(USAGE);
    }
    let is_faulty = cause
        .downcast_ref::<ConfigError>()
        .is_some_and(|error| !matches!(error, ConfigError::Unreadable { .. }));
    if is_faulty || matches!(cause.downcast_ref(), Some(PasswordError::Missing(_))) {
        return Some(USAGE);
    }
    if let Some(error) = cause.downcast_ref::<ImportError>() {
        let is_unread =
            matches!(&error.reason, ImportFailure::Ldif(error) if matches!(error.kind, LdifErrorKind::Io(_)));
        let is_of_storage = is_unread || matches!(error.reason, ImportFailure::Storage(_));
        return Some(if is_of_storage { STORAGE } else { USAGE });
    }
    if let Some(error) = cause.downcast_ref::<StartError>() {
        use StartError::{NoAddress, NoCertificate, NotAnAddress};
        let wrong = matches!(error, NoAddress | NotAnAddress(_) | NoCertificate(_));
        return Some(if wrong { USAGE } else { STORAGE });
    }
    if cause.is::<TlsError>() {
        return Some(USAGE);
    }
    cause.is::<std::io::Error>().then_some(STORAGE)
}

/// The exit code for what a directory, or the way to it, said.
pub(crate) fn of_directory(error: &Error) -> u8 {
    of_kind(error.kind(), error.result_code())
}

/// The exit code for an error of this kind, with the result code of a server that said no.
pub(crate) fn of_kind(kind: ErrorKind, code: Option<ResultCode>) -> u8 {
    match kind {
        ErrorKind::Rejected => match code.map(|code| code.0) {
            Some(code @ 1..=123) => u8::try_from(code).unwrap_or(OTHER_RESULT),
            _ => OTHER_RESULT,
        },
        ErrorKind::Unreachable => UNREACHABLE,
        ErrorKind::Tls => TLS,
        ErrorKind::Closed => CLOSED,
        ErrorKind::Timeout => TIMEOUT,
        ErrorKind::Protocol => PROTOCOL,
        ErrorKind::Confidentiality | ErrorKind::EmptyPassword => REFUSED,
        ErrorKind::Storage => STORAGE,
        ErrorKind::Misuse | ErrorKind::NoEntry | ErrorKind::MoreThanOne => USAGE,
        _ => INTERNAL,
    }
}
