//! Why somebody was not signed in: what they may be told, and what only the log may.

use std::{error::Error as StdError, fmt};

use flext_ldap_directory::{Error, ErrorKind};
use flext_ldap_proto::{dn::Dn, result::ResultCode};

use crate::InputError;

/// Why somebody was not signed in.
///
/// `Display`, [`told`](Self::told) and [`public`](RefusalKind::public) are for whoever tried; [`kind`](Self::kind),
/// [`reason`](Self::reason) and [`log`](Self::log) are for the program and its log.
#[derive(Debug)]
pub struct Refusal(Box<Inner>);

#[derive(Debug)]
struct Inner {
    reason: Reason,
    account: Option<Dn>,
    diagnostic: String,
    tells_state: bool,
}

/// What became of somebody who was not signed in: what a program decides by.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// Wrong: the name, the password, or both.
    Rejected,
    /// The password has expired; only who gave the right one is answered so. It is to be set anew: by an administrator,
    /// or, where the directory lets it be, [changed](crate::Authenticator::change_password).
    PasswordExpired,
    /// The password was right, and is to be [changed](crate::Authenticator::change_password) before anything else.
    MustChange,
    /// The account is locked, after too many wrong passwords or by an administrator.
    Locked,
    /// The account is not to be used: switched off, expired, not at this hour or from this place.
    Disabled,
    /// The directory could not be asked, or not as it demands: nothing is known about the password.
    Unavailable,
}

/// What happened, as finely as the directory told it: for the log, never for whoever tried.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reason {
    /// What was typed is not sent anywhere.
    Input(InputError),
    /// Nobody has this name.
    UnknownUser,
    /// Several entries have this name, so that nobody can tell whose password it should be.
    Ambiguous,
    /// The name is somebody's, the password is not theirs.
    WrongPassword,
    /// The directory said success and took whoever it was for nobody.
    Anonymous,
    /// The directory said no with this code, which tells nothing finer.
    Refused(ResultCode),
    /// The password has expired.
    PasswordExpired,
    /// The password is right, and must be changed first.
    MustChange,
    /// The account is locked.
    Locked,
    /// The account is switched off.
    Disabled,
    /// The account is past its end (Active Directory: 701).
    AccountExpired,
    /// Not at this hour (530).
    OutsideHours,
    /// Not from this machine (531).
    OtherWorkstation,
    /// A restriction on the account forbids it (52f), or this kind of logon is not granted (534).
    Restricted,
    /// The account is in more groups than the server can carry (568).
    TooManyGroups,
    /// The server demands TLS channel bindings, or others than these (80090346).
    ChannelBinding,
    /// The directory could not be asked.
    Directory(Error),
}

impl Reason {
    /// What a program decides by.
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        match self {
            Self::Input(_)
            | Self::UnknownUser
            | Self::Ambiguous
            | Self::WrongPassword
            | Self::Anonymous
            | Self::Refused(_) => RefusalKind::Rejected,
            Self::PasswordExpired => RefusalKind::PasswordExpired,
            Self::MustChange => RefusalKind::MustChange,
            Self::Locked => RefusalKind::Locked,
            Self::Disabled
            | Self::AccountExpired
            | Self::OutsideHours
            | Self::OtherWorkstation
            | Self::Restricted
            | Self::TooManyGroups => RefusalKind::Disabled,
            Self::ChannelBinding | Self::Directory(_) => RefusalKind::Unavailable,
        }
    }

    /// A directory that does not keep to the protocol.
    pub(crate) fn protocol(message: &'static str) -> Self {
        Self::Directory(Error::new(ErrorKind::Protocol, message))
    }
}

impl From<Error> for Reason {
    fn from(error: Error) -> Self {
        Self::Directory(error)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) => error.fmt(f),
            Self::UnknownUser => f.write_str("nobody has this name"),
            Self::Ambiguous => f.write_str("several entries have this name: make the filter or the base narrower"),
            Self::WrongPassword => f.write_str("the password is wrong"),
            Self::Anonymous => f.write_str("the directory said success, but took them for nobody"),
            Self::Refused(code) => write!(f, "the directory answered the bind with {code}"),
            Self::PasswordExpired => f.write_str("the password has expired"),
            Self::MustChange => f.write_str("the password must be changed first"),
            Self::Locked => f.write_str("the account is locked"),
            Self::Disabled => f.write_str("the account is disabled"),
            Self::AccountExpired => f.write_str("the account has expired"),
            Self::OutsideHours => f.write_str("the account may not be used at this hour"),
            Self::OtherWorkstation => f.write_str("the account may not be used from this machine"),
            Self::Restricted => f.write_str("a restriction on the account forbids it"),
            Self::TooManyGroups => f.write_str("the account is in more groups than the server can carry"),
            Self::ChannelBinding => f.write_str(
                "the server demands TLS channel bindings: connect by TLS, and straight to it instead of through a \
                 proxy that ends TLS",
            ),
            Self::Directory(error) => error.fmt(f),
        }
    }
}

impl RefusalKind {
    /// What to tell whoever tried, as a sentence. The same for a wrong name and a wrong password.
    #[must_use]
    pub const fn public(self) -> &'static str {
        match self {
            Self::Rejected => "The name or the password is wrong.",
            Self::PasswordExpired => "Your password has expired.",
            Self::MustChange => "Your password must be changed before you can sign in.",
            Self::Locked => "Your account is locked.",
            Self::Disabled => "Your account cannot be used.",
            Self::Unavailable => "Signing in is not possible at present. Please try again later.",
        }
    }
}

impl Refusal {
    pub(crate) fn new(reason: impl Into<Reason>, tells_state: bool) -> Self {
        let reason = reason.into();
        Self(Box::new(Inner { reason, account: None, diagnostic: String::new(), tells_state }))
    }

    pub(crate) fn of_account(mut self, account: Option<Dn>) -> Self {
        self.0.account = account;
        self
    }

    pub(crate) fn with_diagnostic(mut self, diagnostic: String) -> Self {
        self.0.diagnostic = diagnostic;
        self
    }

    /// What a program decides by. Not all of it is for whoever tried: see [`told`](Self::told).
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        self.0.reason.kind()
    }

    /// What whoever tried may be told. That an account is locked or disabled is told as a wrong password, unless the
    /// authenticator [tells it](crate::AuthenticatorBuilder::tell_state): servers say so to those who have not shown the
    /// password, and then it tells which names are there.
    #[must_use]
    pub fn told(&self) -> RefusalKind {
        match self.kind() {
            RefusalKind::Locked | RefusalKind::Disabled if !self.0.tells_state => RefusalKind::Rejected,
            kind => kind,
        }
    }

    /// What happened. For the log.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        &self.0.reason
    }

    /// Whose account it was about, where one was found. For the log.
    #[must_use]
    pub fn account(&self) -> Option<&Dn> {
        self.0.account.as_ref()
    }

    /// The text that came with the directory's answer. For the log.
    #[must_use]
    pub fn diagnostic(&self) -> &str {
        &self.0.diagnostic
    }

    /// One line for the log. The name that was typed is not in it: people type passwords there.
    pub fn log(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| {
            match &self.0.reason {
                Reason::Directory(error) => write_causes(f, error)?,
                reason => write!(f, "{reason}")?,
            }
            if let Some(account) = &self.0.account {
                write!(f, ", account={:?}", account.as_str())?;
            }
            if !self.0.diagnostic.is_empty() {
                write!(f, ", the directory says {:?}", self.0.diagnostic)?;
            }
            Ok(())
        })
    }
}

/// An error and its causes on one line, whatever a server has put into them.
pub(crate) fn write_causes(f: &mut fmt::Formatter<'_>, error: &Error) -> fmt::Result {
    let mut cause: Option<&dyn StdError> = Some(error);
    let mut separator = "";
    while let Some(error) = cause {
        f.write_str(separator)?;
        for one in error.to_string().chars() {
            if one.is_control() {
                write!(f, "{}", one.escape_default())?;
            } else {
                write!(f, "{one}")?;
            }
        }
        separator = ": ";
        cause = error.source();
    }
    Ok(())
}

impl fmt::Display for Refusal {
    /// What whoever tried may be told, and nothing more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.told().public())
    }
}

/// Without a source: chains of errors end up in answers, and the cause is for the log.
impl StdError for Refusal {}
