//! What the answer to a bind means: codes, password-policy controls, Active Directory's texts. Pure.

use std::time::Duration;

use flext_ldap_directory::{Blame, Error, ErrorKind, Outcome};
use flext_ldap_proto::{
    ber::DecodeError,
    control::{
        ControlValue, PasswordExpired, PasswordExpiring, PasswordPolicyError, PasswordPolicyResponse,
        PasswordPolicyWarning,
    },
    message::Limits,
    result::ResultCode,
};

use crate::{Reason, Warnings, active_directory};

impl Reason {
    /// What the answer to a bind means, as [`Authenticator`](crate::Authenticator) reads it: for programs that bind by
    /// themselves.
    ///
    /// # Errors
    ///
    /// Why it lets nobody in, or only to change the password.
    pub fn of_bind(outcome: &Outcome) -> Result<Warnings, Self> {
        match outcome.result.code {
            ResultCode::SUCCESS => of_success(outcome),
            _ => Err(of_refusal(outcome)),
        }
    }
}

/// What a bind that the directory took means: in, with warnings, or in for a change of the password only.
pub(crate) fn of_success(outcome: &Outcome) -> Result<Warnings, Reason> {
    let Policy { error, warnings, expired } = Policy::read(outcome)?;
    match error {
        Some(PasswordPolicyError::CHANGE_AFTER_RESET) => Err(Reason::MustChange),
        Some(PasswordPolicyError::PASSWORD_EXPIRED) => Err(Reason::PasswordExpired),
        Some(PasswordPolicyError::ACCOUNT_LOCKED) => Err(Reason::Locked),
        // 389-ds says that it has expired also of one that is good for a few more binds. The other errors are about
        // changes.
        _ if expired && warnings.grace_left.is_none() => Err(Reason::MustChange),
        _ => Ok(warnings),
    }
}

/// What a bind that the directory refused means.
pub(crate) fn of_refusal(outcome: &Outcome) -> Reason {
    let Policy { error, expired, .. } = match Policy::read(outcome) {
        Ok(policy) => policy,
        Err(reason) => return reason,
    };
    let code = outcome.result.code;
    match error {
        // 389-ds, of an account that an administrator has switched off.
        Some(PasswordPolicyError::ACCOUNT_LOCKED) if code == ResultCode::UNWILLING_TO_PERFORM => {
            return Reason::Disabled;
        }
        Some(PasswordPolicyError::ACCOUNT_LOCKED) => return Reason::Locked,
        Some(PasswordPolicyError::PASSWORD_EXPIRED) => return Reason::PasswordExpired,
        Some(PasswordPolicyError::CHANGE_AFTER_RESET) => return Reason::MustChange,
        _ if expired => return Reason::PasswordExpired,
        _ => {}
    }
    match code {
        ResultCode::INVALID_CREDENTIALS => {
            active_directory::reason(&outcome.result.diagnostic).unwrap_or(Reason::WrongPassword)
        }
        ResultCode::NO_SUCH_OBJECT | ResultCode::INVALID_DN_SYNTAX => Reason::UnknownUser,
        // 389-ds and its kin, where the control was not asked for in their form: too many wrong passwords.
        ResultCode::CONSTRAINT_VIOLATION => Reason::Locked,
        // The program, or whoever has set it up, is at fault, and not whoever signs in. A referral is not followed: it
        // would take the password to whom it names.
        ResultCode::REFERRAL
        | ResultCode::AUTH_METHOD_NOT_SUPPORTED
        | ResultCode::STRONGER_AUTH_REQUIRED
        | ResultCode::CONFIDENTIALITY_REQUIRED
        | ResultCode::PROTOCOL_ERROR
        | ResultCode::ADMIN_LIMIT_EXCEEDED
        | ResultCode::UNAVAILABLE_CRITICAL_EXTENSION => Reason::Directory(Error::rejected(outcome.clone())),
        code => {
            let error = Error::rejected(outcome.clone());
            if error.blame() == Blame::Peer { Reason::Directory(error) } else { Reason::Refused(code) }
        }
    }
}

/// What controls say about a password, of whichever kind they are.
struct Policy {
    error: Option<PasswordPolicyError>,
    warnings: Warnings,
    expired: bool,
}

impl Policy {
    fn read(outcome: &Outcome) -> Result<Self, Reason> {
        let PasswordPolicyResponse { warning, error } = control(outcome)?.unwrap_or_default();
        let expired = control::<PasswordExpired>(outcome)?.is_some();
        let mut warnings = Warnings::default();
        match warning {
            Some(PasswordPolicyWarning::TimeBeforeExpiration(seconds)) => {
                warnings.expires_in = Some(Duration::from_secs(seconds.into()));
            }
            Some(PasswordPolicyWarning::GraceAuthNsRemaining(binds)) => warnings.grace_left = Some(binds),
            None => {}
        }
        if let Some(PasswordExpiring(seconds)) = control(outcome)? {
            warnings.expires_in.get_or_insert_with(|| Duration::from_secs(seconds.into()));
        }
        Ok(Self { error, warnings, expired })
    }
}

/// A control of an answer. One that cannot be read lets nobody in: it may say that the account is locked.
fn control<C: ControlValue>(outcome: &Outcome) -> Result<Option<C>, Reason> {
    outcome.controls.get(&Limits::DEFAULT).map_err(|error: DecodeError| {
        let message = "the answer to the bind has a malformed password-policy control";
        Reason::Directory(Error::new(ErrorKind::Protocol, message).with_source(error))
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use flext_ldap_proto::{
        control::{Control, Controls},
        result::LdapResult,
    };

    use super::*;
    use crate::RefusalKind;

    fn with(code: ResultCode, text: &str, controls: Controls) -> Outcome {
        Outcome { controls, ..Outcome::new(LdapResult::with_diagnostic(code, text)) }
    }

    fn policy(warning: Option<PasswordPolicyWarning>, error: Option<PasswordPolicyError>) -> Controls {
        Controls::none().optional(&PasswordPolicyResponse { warning, error })
    }

    #[test]
    fn what_a_success_means() {
        use PasswordPolicyError as Code;
        use PasswordPolicyWarning::{GraceAuthNsRemaining, TimeBeforeExpiration};
        let day = Warnings { expires_in: Some(Duration::from_secs(86_400)), grace_left: None };
        let grace = Warnings { expires_in: None, grace_left: Some(2) };
        let table: [(Controls, Result<Warnings, &str>); 12] = [
            (Controls::none(), Ok(Warnings::default())),
            (policy(None, None), Ok(Warnings::default())),
            (policy(Some(TimeBeforeExpiration(86_400)), None), Ok(day)),
            (policy(Some(GraceAuthNsRemaining(2)), None), Ok(grace)),
            (policy(None, Some(Code::CHANGE_AFTER_RESET)), Err("MustChange")),
            (policy(None, Some(Code::PASSWORD_EXPIRED)), Err("PasswordExpired")),
            (policy(None, Some(Code::ACCOUNT_LOCKED)), Err("Locked")),
            (policy(None, Some(Code::PASSWORD_TOO_YOUNG)), Ok(Warnings::default())),
            (Controls::none().optional(&PasswordExpiring(86_400)), Ok(day)),
            (policy(None, None).optional(&PasswordExpired), Err("MustChange")),
            (policy(Some(GraceAuthNsRemaining(2)), None).optional(&PasswordExpired), Ok(grace)),
            (policy(Some(TimeBeforeExpiration(86_400)), None).optional(&PasswordExpiring(9)), Ok(day)),
        ];
        for (controls, want) in table {
            let got = of_success(&with(ResultCode::SUCCESS, "", controls.clone()));
            assert_eq!(
                got.as_ref().map_err(|reason| format!("{reason:?}")),
                want.as_ref().map_err(|text| (*text).to_owned()),
                "{controls:?}"
            );
        }
    }

    #[test]
    fn a_control_that_cannot_be_read_lets_nobody_in() {
        for oid in [PasswordPolicyResponse::OID, PasswordExpiring::OID] {
            let mut controls = Controls::none();
            controls.push_raw(Control { oid, critical: false, value: Some(Bytes::from_static(b"\x30\x7f")) });
            for code in [ResultCode::SUCCESS, ResultCode::INVALID_CREDENTIALS] {
                let outcome = with(code, "", controls.clone());
                let reason = if code == ResultCode::SUCCESS {
                    of_success(&outcome).unwrap_err()
                } else {
                    of_refusal(&outcome)
                };
                assert_eq!(reason.kind(), RefusalKind::Unavailable, "{reason:?}");
            }
        }
    }

    /// Answers as Active Directory and Samba have given them, by number and text.
    #[test]
    fn what_active_directory_means() {
        let table = [
            (
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 525, v1db1",
                "UnknownUser",
                RefusalKind::Rejected,
            ),
            (
                "80090308: LdapErr: DSID-0C09030B, comment: AcceptSecurityContext error, data 52e, v893",
                "WrongPassword",
                RefusalKind::Rejected,
            ),
            (
                "8009030C: LdapErr: DSID-0C090569, comment: AcceptSecurityContext error, data 52e, v4563",
                "WrongPassword",
                RefusalKind::Rejected,
            ),
            (
                "80090308: LdapErr: DSID-0C09042A, comment: AcceptSecurityContext error, data 52f, v3839",
                "Restricted",
                RefusalKind::Disabled,
            ),
            (
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 530, v1db1",
                "OutsideHours",
                RefusalKind::Disabled,
            ),
            (
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 531, v1db1",
                "OtherWorkstation",
                RefusalKind::Disabled,
            ),
            (
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 532, v1db1",
                "PasswordExpired",
                RefusalKind::PasswordExpired,
            ),
            (
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 533, v1db1",
                "Disabled",
                RefusalKind::Disabled,
            ),
            (
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 534, v1db1",
                "Restricted",
                RefusalKind::Disabled,
            ),
            (
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 568, v1db1",
                "TooManyGroups",
                RefusalKind::Disabled,
            ),
            (
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 701, v1db1",
                "AccountExpired",
                RefusalKind::Disabled,
            ),
            (
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 773, v1db1",
                "MustChange",
                RefusalKind::MustChange,
            ),
            (
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 775, v1db1",
                "Locked",
                RefusalKind::Locked,
            ),
            (
                "80090346: LdapErr: DSID-0C090569, comment: AcceptSecurityContext error, data 80090346, v4563",
                "ChannelBinding",
                RefusalKind::Unavailable,
            ),
            (
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 999, v1db1\0",
                "WrongPassword",
                RefusalKind::Rejected,
            ),
            // What only looks alike is a wrong password.
            ("data 533", "WrongPassword", RefusalKind::Rejected),
            ("AcceptSecurityContext error, data , v", "WrongPassword", RefusalKind::Rejected),
            (
                "AcceptSecurityContext error, data fffffffffffffffff, v",
                "WrongPassword",
                RefusalKind::Rejected,
            ),
            ("", "WrongPassword", RefusalKind::Rejected),
        ];
        for (text, want, kind) in table {
            let reason = of_refusal(&with(ResultCode::INVALID_CREDENTIALS, text, Controls::none()));
            assert_eq!((format!("{reason:?}").as_str(), reason.kind()), (want, kind), "{text}");
        }
        // Such texts mean nothing with other codes.
        let text = "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 533, v1db1";
        let reason = of_refusal(&with(ResultCode::BUSY, text, Controls::none()));
        assert_eq!(reason.kind(), RefusalKind::Unavailable);
    }

    #[test]
    fn what_other_refusals_mean() {
        use PasswordPolicyError as Code;
        let table = [
            (ResultCode::INVALID_CREDENTIALS, policy(None, Some(Code::ACCOUNT_LOCKED)), RefusalKind::Locked),
            (
                ResultCode::INVALID_CREDENTIALS,
                policy(None, Some(Code::PASSWORD_EXPIRED)),
                RefusalKind::PasswordExpired,
            ),
            (ResultCode::INVALID_CREDENTIALS, policy(None, Some(Code(77))), RefusalKind::Rejected),
            (
                ResultCode::INVALID_CREDENTIALS,
                Controls::none().optional(&PasswordExpired),
                RefusalKind::PasswordExpired,
            ),
            (ResultCode::CONSTRAINT_VIOLATION, policy(None, Some(Code::ACCOUNT_LOCKED)), RefusalKind::Locked),
            (ResultCode::CONSTRAINT_VIOLATION, Controls::none(), RefusalKind::Locked),
            (
                ResultCode::UNWILLING_TO_PERFORM,
                policy(None, Some(Code::ACCOUNT_LOCKED)),
                RefusalKind::Disabled,
            ),
            (ResultCode::UNWILLING_TO_PERFORM, Controls::none(), RefusalKind::Rejected),
            (ResultCode::INAPPROPRIATE_AUTHENTICATION, Controls::none(), RefusalKind::Rejected),
            (ResultCode::NO_SUCH_OBJECT, Controls::none(), RefusalKind::Rejected),
            (ResultCode::REFERRAL, Controls::none(), RefusalKind::Unavailable),
            (ResultCode::CONFIDENTIALITY_REQUIRED, Controls::none(), RefusalKind::Unavailable),
            (ResultCode::STRONGER_AUTH_REQUIRED, Controls::none(), RefusalKind::Unavailable),
            (ResultCode::BUSY, Controls::none(), RefusalKind::Unavailable),
            (ResultCode::UNAVAILABLE, Controls::none(), RefusalKind::Unavailable),
            (ResultCode::OPERATIONS_ERROR, Controls::none(), RefusalKind::Unavailable),
            (ResultCode(9_999), Controls::none(), RefusalKind::Rejected),
        ];
        for (code, controls, want) in table {
            assert_eq!(of_refusal(&with(code, "", controls)).kind(), want, "{code}");
        }
    }
}
