//! Why a connection ended: kept once, told to everyone who waits on it.

use std::{error::Error as StdError, fmt, io, sync::Arc};

use flext_ldap_directory::{
    Applied, Error, ErrorKind,
    proto::{
        ber::{DecodeError, DecodeErrorKind, Tag},
        line::OneLine,
        message::ExtendedResponse,
    },
};

/// Why a connection ended. `Error` cannot be cloned, and each waiting operation needs one with its own [`Applied`].
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    kind: ErrorKind,
    message: Arc<str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    /// Whether the server is still owed an unbind.
    pub(crate) polite: bool,
}

impl Ending {
    fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string().into(), source: None, polite: false }
    }

    /// The owner wanted it so.
    pub(crate) fn by_owner(server: &str) -> Self {
        Self {
            polite: true,
            ..Self::new(ErrorKind::Closed, format_args!("the connection to {server} was closed"))
        }
    }

    /// The server closed the connection without a word.
    pub(crate) fn by_server(server: &str) -> Self {
        Self::new(ErrorKind::Closed, format_args!("{server} closed the connection"))
    }

    /// The socket failed.
    pub(crate) fn lost(server: &str, error: io::Error) -> Self {
        let mut ending = Self::new(ErrorKind::Closed, format_args!("the connection to {server} was lost"));
        ending.source = Some(Arc::new(error));
        ending
    }

    /// The server sent bytes that are no answer.
    pub(crate) fn malformed(server: &str, error: DecodeError) -> Self {
        // What a server with TLS sends to who speaks without: an alert, or a part of the handshake.
        let hint = match error.kind {
            DecodeErrorKind::UnexpectedTag { found: Tag(0x15 | 0x16), .. } if error.offset == 0 => {
                " (it may speak TLS on this port: ldaps://)"
            }
            _ => "",
        };
        let mut ending = Self::new(
            ErrorKind::Protocol,
            format_args!("{server} sent a malformed message{hint}, connection ended"),
        );
        ending.source = Some(Arc::new(error));
        ending
    }

    /// The server sent an answer that nobody asked for.
    pub(crate) fn protocol(server: &str, what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Protocol, format_args!("{server} sent {what}, connection ended"))
    }

    /// The server said goodbye (RFC 4511 §4.4.1).
    pub(crate) fn notice(server: &str, notice: &ExtendedResponse) -> Self {
        let code = notice.result.code;
        let text = OneLine(&notice.result.diagnostic);
        let colon = if text.0.is_empty() { "" } else { ": " };
        Self::new(
            ErrorKind::Closed,
            format_args!("{server} ended the connection with a Notice of Disconnection, {code}{colon}{text}"),
        )
    }

    /// A bind was left half-way.
    pub(crate) fn half_bound(server: &str) -> Self {
        let message = format_args!(
            "a bind on the connection to {server} was given up half-way, so it was closed: nobody can tell who is bound"
        );
        Self { polite: true, ..Self::new(ErrorKind::Closed, message) }
    }

    /// All message ids have been used.
    pub(crate) fn retired(server: &str) -> Self {
        let message = format_args!("the connection to {server} has used up its message ids; open another");
        Self { polite: true, ..Self::new(ErrorKind::Closed, message) }
    }

    /// The task was dropped with its runtime.
    pub(crate) fn runtime_gone(server: &str) -> Self {
        Self::new(ErrorKind::Closed, format_args!("the runtime of the connection to {server} was shut down"))
    }

    /// The error for an operation that waited when it happened.
    pub(crate) fn error(&self, applied: Applied) -> Error {
        let error = Error::new(self.kind, self.message.to_string()).with_applied(applied);
        match &self.source {
            Some(source) => error.with_source(Arc::clone(source)),
            None => error,
        }
    }

    /// The error for an operation that was asked for afterwards.
    pub(crate) fn error_later(&self) -> Error {
        let error = Error::new(ErrorKind::Closed, format!("the connection has ended: {}", self.message));
        match &self.source {
            Some(source) => error.with_source(Arc::clone(source)),
            None => error,
        }
    }
}
