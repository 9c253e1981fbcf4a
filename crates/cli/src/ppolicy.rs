//! What a password policy says (draft-behera-ldap-password-policy-10), for people.

use flext_ldap_directory::{
    Outcome,
    proto::{
        control::{PasswordPolicyError, PasswordPolicyResponse, PasswordPolicyWarning},
        message::Limits,
    },
};

/// Prints what the policy says in an answer, on standard error.
pub(crate) fn tell(outcome: &Outcome) {
    match outcome.controls.get::<PasswordPolicyResponse>(&Limits::DEFAULT) {
        Ok(Some(response)) => {
            for line in lines(response) {
                crate::say(format_args!("flext-ldap: {line}"));
            }
        }
        Ok(None) => {}
        Err(error) => {
            crate::say(format_args!("flext-ldap: the answer to -e ppolicy cannot be read: {error}"));
        }
    }
}

fn lines(response: PasswordPolicyResponse) -> Vec<String> {
    let warning = response.warning.map(|warning| match warning {
        PasswordPolicyWarning::TimeBeforeExpiration(seconds) => {
            format!("password expires in {}", span(seconds))
        }
        PasswordPolicyWarning::GraceAuthNsRemaining(0) => {
            "password has expired; this was the last bind with it".to_owned()
        }
        PasswordPolicyWarning::GraceAuthNsRemaining(1) => {
            "password has expired; one more bind with it is allowed".to_owned()
        }
        PasswordPolicyWarning::GraceAuthNsRemaining(left) => {
            format!("password has expired; {left} more binds with it are allowed")
        }
    });
    let error = response.error.map(|error| match error {
        PasswordPolicyError::PASSWORD_EXPIRED => {
            "password has expired; an administrator can set it".to_owned()
        }
        PasswordPolicyError::ACCOUNT_LOCKED => "account is locked".to_owned(),
        PasswordPolicyError::CHANGE_AFTER_RESET => {
            "password must be changed before anything else is done: flext-ldap passwd".to_owned()
        }
        PasswordPolicyError::PASSWORD_MOD_NOT_ALLOWED => "users may not change this password".to_owned(),
        PasswordPolicyError::MUST_SUPPLY_OLD_PASSWORD => "the old password must be given too".to_owned(),
        PasswordPolicyError::INSUFFICIENT_PASSWORD_QUALITY => {
            "the new password is too easily guessed, or cannot be checked".to_owned()
        }
        PasswordPolicyError::PASSWORD_TOO_SHORT => "the new password is too short".to_owned(),
        PasswordPolicyError::PASSWORD_TOO_YOUNG => {
            "the present password is too young to be changed".to_owned()
        }
        PasswordPolicyError::PASSWORD_IN_HISTORY => "the new password was used before".to_owned(),
        PasswordPolicyError::PASSWORD_TOO_LONG => "the new password is too long".to_owned(),
        other => other.to_string(),
    });
    warning.into_iter().chain(error).collect()
}

/// A time in the largest unit of which there are at least two, rounded down.
fn span(seconds: u32) -> String {
    for (unit, name) in [(86_400, "days"), (3_600, "hours"), (60, "minutes")] {
        if seconds / unit >= 2 {
            return format!("{} {name}", seconds / unit);
        }
    }
    format!("{seconds} seconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_their_largest_unit() {
        for (seconds, text) in [
            (0, "0 seconds"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7_199, "119 minutes"),
            (7_200, "2 hours"),
            (172_799, "47 hours"),
            (259_200, "3 days"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn warning_and_error_are_told() {
        let response = PasswordPolicyResponse {
            warning: Some(PasswordPolicyWarning::GraceAuthNsRemaining(1)),
            error: Some(PasswordPolicyError::CHANGE_AFTER_RESET),
        };
        assert_eq!(
            lines(response),
            [
                "password has expired; one more bind with it is allowed",
                "password must be changed before anything else is done: flext-ldap passwd"
            ]
        );
        assert_eq!(lines(PasswordPolicyResponse::default()), Vec::<String>::new());
    }
}
