//! Changing one's own password: by RFC 3062, or in Active Directory by a modify of `unicodePwd`.

use std::{error::Error as StdError, fmt};

use bytes::Bytes;
use flext_ldap_directory::{Actor, Applied, Blame, Deadline, Directory, DirectoryExt as _, Error, Request};
use flext_ldap_proto::{
    control::{PasswordPolicyError, PasswordPolicyRequest, PasswordPolicyResponse},
    dn::Dn,
    extended::{ExtendedOperation as _, PasswordModify},
    message::{Change, ChangeKind, Limits, Modify},
    result::ResultCode,
    secret::Secret,
};

use crate::{
    Authenticator, InputError, Reason, Refusal, RefusalKind, active_directory,
    authenticator::{Bound, Inner, Unbound, late},
    input,
    locator::{Located, description},
    refusal::write_causes,
};

/// Why a password was not changed.
///
/// `Display` and [`told`](Self::told) are for whoever tried; [`reason`](Self::reason) and [`log`](Self::log) are for the
/// log.
#[derive(Debug)]
pub struct ChangeRefusal(Box<Refused>);

#[derive(Debug)]
struct Refused {
    reason: ChangeReason,
    account: Option<Dn>,
}

/// What was wrong with a change of a password.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChangeReason {
    /// The old password did not show who it is: as when signing in.
    NotSignedIn(Refusal),
    /// The new password is not sent anywhere.
    New(InputError),
    /// The new password is too short.
    TooShort,
    /// The new password is too long.
    TooLong,
    /// The new password is too easily guessed.
    TooWeak,
    /// The old password was changed too recently.
    TooYoung,
    /// The new password was used before.
    InHistory,
    /// The new password does not keep to the rules, and the directory does not say to which: length, quality, age or
    /// history.
    AgainstRules,
    /// People may not change this password.
    NotAllowed,
    /// The directory refused with this code, which tells nothing finer.
    Refused(ResultCode),
    /// The change was sent, and no answer came: the new password may be in force already. Trying to sign in with it
    /// tells.
    Unknown(Error),
    /// The directory could not be asked. Nothing was changed.
    Directory(Error),
}

impl Authenticator {
    /// Sets a new password for whoever shows the old one: somebody who wants to, or who must
    /// ([`RefusalKind::MustChange`], or [`RefusalKind::PasswordExpired`] where the directory lets them).
    ///
    /// The old password is sent in one bind, and once more with the new one on the same conversation.
    ///
    /// # Errors
    ///
    /// [`ChangeRefusal`] says what is wrong, and with which password.
    ///
    /// # Cancel safety
    ///
    /// Not cancel-safe: when the future is dropped after the change was sent, it may have been made.
    pub async fn change_password(&self, name: &str, old: Secret, new: Secret) -> Result<(), ChangeRefusal> {
        let by = Deadline::after(self.0.timeout);
        input::check_password(&new).map_err(ChangeReason::New)?;
        // Written once it is known whose password it is; everything before it may be given up.
        let ready = tokio::time::timeout_at(by.instant(), self.0.prepare(name, old.clone(), by)).await;
        let ready = ready.unwrap_or_else(|_| Err(ChangeReason::Directory(late()).into()))?;
        let change = async {
            if self.0.offers.unicode_password {
                modify(&ready, &old, &new, by).await
            } else {
                password_modify(&ready, old, new, by).await
            }
        };
        let changed = tokio::time::timeout_at(by.instant(), change).await;
        let changed = changed.unwrap_or_else(|_| Err(ChangeReason::Unknown(late())));
        changed.map_err(|reason| ChangeRefusal(Box::new(Refused { reason, account: ready.dn })))
    }
}

/// Where a change is sent, and whose password it is.
struct Ready {
    bound: Bound,
    /// Absent where the one who has bound is named by nothing else.
    dn: Option<Dn>,
}

impl Inner {
    async fn prepare(&self, name: &str, old: Secret, by: Deadline) -> Result<Ready, ChangeRefusal> {
        let located = self.locate(name, &old, by).await?;
        let found = located.dn().cloned();
        match self.bind(located.bind_name(), old, by).await {
            Ok(mut bound) => {
                // Let in for this and nothing else.
                if let Err(reason) = &mut bound.standing
                    && reason.kind() != RefusalKind::MustChange
                {
                    let reason = std::mem::replace(reason, Reason::MustChange);
                    return Err(self.refusal(reason).of_account(found).into());
                }
                Ok(Ready { dn: self.changed(name, located, by).await?, bound })
            }
            Err(Unbound(reason, text)) => {
                let for_them =
                    matches!(reason.kind(), RefusalKind::MustChange | RefusalKind::PasswordExpired);
                let refusal = self.refusal(reason).of_account(found).with_diagnostic(text);
                match &self.changer {
                    Some((changer, password)) if for_them && self.offers.unicode_password => {
                        let bound = self.bind(changer.clone(), password.clone(), by).await;
                        let bound = bound.map_err(|Unbound(reason, _)| {
                            tracing::error!(%reason, "who changes passwords could not bind");
                            refusal
                        })?;
                        Ok(Ready { dn: self.changed(name, located, by).await?, bound })
                    }
                    _ => Err(refusal.into()),
                }
            }
        }
    }

    /// Whose password is changed, where the request must say so.
    async fn changed(&self, name: &str, located: Located, by: Deadline) -> Result<Option<Dn>, Refusal> {
        match located.dn() {
            Some(dn) => Ok(Some(dn.clone())),
            None if !self.offers.unicode_password => Ok(None),
            None => Ok(Some(self.account(name, located, by).await?.dn)),
        }
    }
}

/// RFC 3062, of whoever has bound.
async fn password_modify(ready: &Ready, old: Secret, new: Secret, by: Deadline) -> Result<(), ChangeReason> {
    let change = PasswordModify { user: None, old: Some(old), new: Some(new) };
    let actor = Actor::User(ready.bound.identity.clone());
    let request = Request::new(change.request(), actor).until(by).optional(&PasswordPolicyRequest);
    done(ready.session().extended::<PasswordModify>(request).await.map(|_none_made_up| ()))
}

/// The old value out and the new one in, which is what anybody may do who knows the old one.
async fn modify(ready: &Ready, old: &Secret, new: &Secret, by: Deadline) -> Result<(), ChangeReason> {
    let encoded = |password| {
        active_directory::unicode_password(password).ok_or(ChangeReason::New(InputError::PasswordNotText))
    };
    let attribute = || description("unicodePwd").map_err(bug);
    let change = |kind, value: Bytes| {
        Ok::<_, ChangeReason>(Change { kind, attribute: attribute()?, values: vec![value] })
    };
    let changes = vec![change(ChangeKind::Delete, encoded(old)?)?, change(ChangeKind::Add, encoded(new)?)?];
    let Some(dn) = ready.dn.clone() else { return Err(bug(Reason::UnknownUser)) };
    let actor = Actor::User(ready.bound.identity.clone());
    let request = Request::new(Modify { dn, changes }, actor).until(by).optional(&PasswordPolicyRequest);
    done(ready.session().modify(request).await.map(|_outcome| ()))
}

impl Ready {
    fn session(&self) -> &dyn Directory {
        &*self.bound.session
    }
}

fn bug(reason: Reason) -> ChangeReason {
    match reason {
        Reason::Directory(error) => ChangeReason::Directory(error),
        other => ChangeReason::Directory(Error::new(flext_ldap_directory::ErrorKind::Bug, other.to_string())),
    }
}

/// What the answer to a change means.
fn done(answer: Result<(), Error>) -> Result<(), ChangeReason> {
    let error = match answer {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    match error.applied() {
        // What came with the answer could not be read, and nothing in it is needed.
        Applied::Yes => return Ok(()),
        Applied::Unknown => return Err(ChangeReason::Unknown(error)),
        Applied::No => {}
    }
    let Some(outcome) = error.outcome() else { return Err(ChangeReason::Directory(error)) };
    let policy: Option<PasswordPolicyResponse> = outcome.controls.get(&Limits::DEFAULT).ok().flatten();
    let (code, diagnostic) = (outcome.result.code, &outcome.result.diagnostic);
    let of_policy = match policy.and_then(|policy| policy.error) {
        Some(PasswordPolicyError::PASSWORD_TOO_SHORT) => Some(ChangeReason::TooShort),
        Some(PasswordPolicyError::PASSWORD_TOO_LONG) => Some(ChangeReason::TooLong),
        Some(PasswordPolicyError::INSUFFICIENT_PASSWORD_QUALITY) => Some(ChangeReason::TooWeak),
        Some(PasswordPolicyError::PASSWORD_TOO_YOUNG) => Some(ChangeReason::TooYoung),
        Some(PasswordPolicyError::PASSWORD_IN_HISTORY) => Some(ChangeReason::InHistory),
        Some(PasswordPolicyError::PASSWORD_MOD_NOT_ALLOWED) => Some(ChangeReason::NotAllowed),
        _ => None,
    };
    let of_text = || match active_directory::win32_error(diagnostic)? {
        // ERROR_PASSWORD_RESTRICTION
        0x52d => Some(ChangeReason::AgainstRules),
        // ERROR_INVALID_PASSWORD: between the bind and this somebody else has changed it.
        0x56 => Some(ChangeReason::NotSignedIn(Refusal::new(Reason::WrongPassword, false))),
        // ERROR_ACCESS_DENIED
        0x5 => Some(ChangeReason::NotAllowed),
        _ => None,
    };
    Err(of_policy.or_else(of_text).unwrap_or_else(|| match code {
        ResultCode::CONSTRAINT_VIOLATION => ChangeReason::AgainstRules,
        ResultCode::INSUFFICIENT_ACCESS_RIGHTS => ChangeReason::NotAllowed,
        ResultCode::INVALID_CREDENTIALS => {
            ChangeReason::NotSignedIn(Refusal::new(Reason::WrongPassword, false))
        }
        ResultCode::CONFIDENTIALITY_REQUIRED | ResultCode::STRONGER_AUTH_REQUIRED | ResultCode::REFERRAL => {
            ChangeReason::Directory(error)
        }
        _ if error.blame() == Blame::Peer => ChangeReason::Directory(error),
        code => ChangeReason::Refused(code),
    }))
}

impl ChangeReason {
    /// What to tell whoever tried, as a sentence.
    #[must_use]
    pub fn public(&self) -> &'static str {
        match self {
            Self::NotSignedIn(refusal) if refusal.told() == RefusalKind::Rejected => {
                "The name or the old password is wrong."
            }
            Self::NotSignedIn(refusal) => refusal.told().public(),
            Self::New(InputError::EmptyPassword) => "The new password is empty.",
            Self::New(InputError::LongPassword) | Self::TooLong => "The new password is too long.",
            Self::New(_) => "The new password has characters in it that cannot be used.",
            Self::TooShort => "The new password is too short.",
            Self::TooWeak => "The new password is too easily guessed.",
            Self::TooYoung => "Your password was changed too recently to be changed again.",
            Self::InHistory => "You have used this password before. Please choose another.",
            Self::AgainstRules => "The new password does not keep to the rules for passwords here.",
            Self::NotAllowed | Self::Refused(_) => "Your password cannot be changed here.",
            Self::Unknown(_) => {
                "Your password may have been changed. Please try to sign in with the new one."
            }
            Self::Directory(_) => "Passwords cannot be changed at present. Please try again later.",
        }
    }
}

impl ChangeRefusal {
    /// What happened. For the program and its log.
    #[must_use]
    pub fn reason(&self) -> &ChangeReason {
        &self.0.reason
    }

    /// What to tell whoever tried, as a sentence.
    #[must_use]
    pub fn told(&self) -> &'static str {
        self.0.reason.public()
    }

    /// One line for the log.
    pub fn log(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| {
            match &self.0.reason {
                ChangeReason::NotSignedIn(refusal) => return write!(f, "{}", refusal.log()),
                ChangeReason::New(error) => write!(f, "the new password: {error}")?,
                ChangeReason::Unknown(error) | ChangeReason::Directory(error) => write_causes(f, error)?,
                ChangeReason::Refused(code) => write!(f, "the directory answered the change with {code}")?,
                other => write!(f, "the change was refused: {other:?}")?,
            }
            match &self.0.account {
                Some(account) => write!(f, ", account={:?}", account.as_str()),
                None => Ok(()),
            }
        })
    }
}

impl fmt::Display for ChangeRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.told())
    }
}

/// Without a source, as [`Refusal`] is.
impl StdError for ChangeRefusal {}

impl From<ChangeReason> for ChangeRefusal {
    fn from(reason: ChangeReason) -> Self {
        Self(Box::new(Refused { reason, account: None }))
    }
}

impl From<Refusal> for ChangeRefusal {
    fn from(refusal: Refusal) -> Self {
        ChangeReason::NotSignedIn(refusal).into()
    }
}
