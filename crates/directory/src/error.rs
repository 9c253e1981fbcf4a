//! Errors: what happened, to what, whose fault it is, whether the operation was applied, and what to do.

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc};

use flext_ldap_proto::{
    line::OneLine,
    result::{LdapResult, ResultCode},
};

use crate::Outcome;

/// An operation, or a conversation, that failed.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    applied: Applied,
    outcome: Option<Outcome>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What happened.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The directory answered, and its answer was no: see [`Error::outcome`].
    Rejected,
    /// The server could not be reached.
    Unreachable,
    /// TLS could not be agreed on, or the certificate is not to be trusted.
    Tls,
    /// The conversation ended before the answer.
    Closed,
    /// The deadline passed before the answer.
    Timeout,
    /// The peer sent what it must not.
    Protocol,
    /// A limit of this program was reached: operations in flight, memory, connections.
    Overloaded,
    /// A password would have gone out in clear.
    Confidentiality,
    /// A bind with a name and an empty password, which some servers take for success (RFC 4513 §5.1.2).
    EmptyPassword,
    /// The directory cannot act for this actor.
    NotCarried,
    /// One entry was asked for; there is none.
    NoEntry,
    /// One entry was asked for; there are more.
    MoreThanOne,
    /// Storage failed: full, read-only, damaged.
    Storage,
    /// The caller asked for what makes no sense.
    Misuse,
    /// This program is wrong.
    Bug,
}

impl ErrorKind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Rejected,
        Self::Unreachable,
        Self::Tls,
        Self::Closed,
        Self::Timeout,
        Self::Protocol,
        Self::Overloaded,
        Self::Confidentiality,
        Self::EmptyPassword,
        Self::NotCarried,
        Self::NoEntry,
        Self::MoreThanOne,
        Self::Storage,
        Self::Misuse,
        Self::Bug,
    ];

    /// A short name for logs and labels, e.g. `unreachable`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Overloaded => "overloaded",
            Self::Confidentiality => "confidentiality",
            Self::EmptyPassword => "empty_password",
            Self::NotCarried => "not_carried",
            Self::NoEntry => "no_entry",
            Self::MoreThanOne => "more_than_one",
            Self::Storage => "storage",
            Self::Misuse => "misuse",
            Self::Bug => "bug",
        }
    }
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "who else could it be")]
pub enum Blame {
    /// The one that was asked.
    Peer,
    /// The one who asked.
    Caller,
    /// Network, disk, configuration.
    Environment,
    /// This program.
    Bug,
}

/// Whether the operation has changed anything.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth")]
pub enum Applied {
    /// Certainly not: sending it again is safe.
    No,
    /// Nobody can tell: look before it is sent again.
    Unknown,
    /// Certainly.
    Yes,
}

impl Error {
    /// An error of this kind. The message says what happened to what, and what to do: a lower-case fragment without a
    /// full stop and without secrets. Applied: no, until [`with_applied`](Self::with_applied) says otherwise.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            applied: Applied::No,
            outcome: None,
            source: None,
        }))
    }

    /// The error for an answer that is no.
    #[must_use]
    pub fn rejected(outcome: Outcome) -> Self {
        let mut error = Self::new(ErrorKind::Rejected, "");
        error.0.outcome = Some(outcome);
        error
    }

    /// With what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// With whether the operation was applied.
    #[must_use]
    pub fn with_applied(mut self, applied: Applied) -> Self {
        self.0.applied = applied;
        self
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the operation has changed anything.
    #[must_use]
    pub fn applied(&self) -> Applied {
        self.0.applied
    }

    /// The directory's answer, if it was that.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.0.outcome.as_ref()
    }

    /// The code of the directory's answer, if it was that.
    #[must_use]
    pub fn result_code(&self) -> Option<ResultCode> {
        self.outcome().map(|outcome| outcome.result.code)
    }

    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self.0.kind {
            ErrorKind::Rejected => match self.result_code() {
                Some(
                    ResultCode::BUSY
                    | ResultCode::UNAVAILABLE
                    | ResultCode::OTHER
                    | ResultCode::OPERATIONS_ERROR
                    | ResultCode::LOOP_DETECT
                    | ResultCode::TIME_LIMIT_EXCEEDED,
                ) => Blame::Peer,
                _ => Blame::Caller,
            },
            ErrorKind::Protocol => Blame::Peer,
            ErrorKind::Unreachable
            | ErrorKind::Tls
            | ErrorKind::Closed
            | ErrorKind::Timeout
            | ErrorKind::Overloaded
            | ErrorKind::Storage => Blame::Environment,
            ErrorKind::Confidentiality
            | ErrorKind::EmptyPassword
            | ErrorKind::NotCarried
            | ErrorKind::NoEntry
            | ErrorKind::MoreThanOne
            | ErrorKind::Misuse => Blame::Caller,
            ErrorKind::Bug => Blame::Bug,
        }
    }

    /// Whether the same request may succeed later or elsewhere, and certainly was not applied here.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.0.kind {
            ErrorKind::Rejected => {
                matches!(self.result_code(), Some(ResultCode::BUSY | ResultCode::UNAVAILABLE))
            }
            ErrorKind::Unreachable | ErrorKind::Closed | ErrorKind::Timeout | ErrorKind::Overloaded => {
                self.0.applied == Applied::No
            }
            _ => false,
        }
    }

    /// Whether the conversation the error came from can go on.
    #[must_use]
    pub fn is_connection_usable(&self) -> bool {
        match self.0.kind {
            ErrorKind::Unreachable | ErrorKind::Tls | ErrorKind::Closed | ErrorKind::Protocol => false,
            ErrorKind::Rejected => !matches!(
                self.result_code(),
                Some(ResultCode::UNAVAILABLE | ResultCode::BUSY | ResultCode::OTHER)
            ),
            _ => true,
        }
    }

    /// The answer owed to a peer whose operation failed so: nothing in it that the peer must not know.
    ///
    /// Where nobody can tell whether a change was made it is `other`: programs repeat what is answered with `busy`,
    /// `unavailable` or `timeLimitExceeded`.
    #[must_use]
    pub fn answer(&self) -> LdapResult {
        if self.0.applied == Applied::Unknown && self.0.kind != ErrorKind::Rejected {
            let text = "the answer of the directory behind this server was lost, so it is unknown whether the change was \
                        made: look before sending it again";
            return LdapResult::with_diagnostic(ResultCode::OTHER, text);
        }
        let (code, text) = match self.0.kind {
            ErrorKind::Rejected => {
                return self
                    .outcome()
                    .map_or_else(|| LdapResult::new(ResultCode::OTHER), |outcome| outcome.result.clone());
            }
            ErrorKind::Unreachable | ErrorKind::Tls | ErrorKind::Closed | ErrorKind::Protocol => {
                (ResultCode::UNAVAILABLE, "the directory behind this server cannot be reached")
            }
            ErrorKind::Timeout => (ResultCode::TIME_LIMIT_EXCEEDED, "the time allowed has passed"),
            ErrorKind::Overloaded => (ResultCode::BUSY, "too much to do at present; try again"),
            ErrorKind::Confidentiality => {
                (ResultCode::CONFIDENTIALITY_REQUIRED, "use TLS before sending a password")
            }
            ErrorKind::EmptyPassword => {
                (ResultCode::UNWILLING_TO_PERFORM, "a name without a password proves nothing")
            }
            ErrorKind::NotCarried => {
                (ResultCode::AUTHORIZATION_DENIED, "the directory behind this server cannot act for you")
            }
            ErrorKind::Storage => (ResultCode::UNAVAILABLE, "the directory's storage failed"),
            ErrorKind::NoEntry | ErrorKind::MoreThanOne | ErrorKind::Misuse | ErrorKind::Bug => {
                (ResultCode::OTHER, "internal error")
            }
        };
        LdapResult::with_diagnostic(code, text)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.outcome {
            Some(outcome) => {
                let LdapResult { code, matched_dn, diagnostic, .. } = &outcome.result;
                write!(f, "the directory answered {code}")?;
                if !diagnostic.is_empty() {
                    write!(f, ": {}", OneLine(diagnostic))?;
                }
                if !matched_dn.is_empty() {
                    write!(f, " (matched `{}`)", OneLine(matched_dn))?;
                }
            }
            None => f.write_str(&self.0.message)?,
        }
        match self.0.applied {
            Applied::Unknown => {
                f.write_str("; whether it was applied is unknown, look before sending it again")
            }
            Applied::No | Applied::Yes => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("applied", &self.0.applied)
            .field("outcome", &self.0.outcome)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
