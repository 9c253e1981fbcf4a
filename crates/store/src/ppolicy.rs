//! Password policy (draft-behera-ldap-password-policy-10), as administrators of OpenLDAP's overlay know it.
//!
//! - `policy`: the rules, from a `pwdPolicy` entry or from the options.
//! - `account`: what the directory keeps of one account (`pwdFailureTime` and its like), and what follows from it. Pure.
//! - `attempts`: how many passwords of one account may be tried at the same time.
//! - `bind`: verifying a password with all of that around it.
//! - `change`: whether a new password may be set; `quality` and `history` say of what kind it must not be.
//!
//! What is written along with a bind or a change is computed in `write::account`. The administrator and the program
//! itself are exempt.

mod account;
mod attempts;
mod bind;
mod change;
pub(crate) mod history;
mod policy;
mod quality;

use std::sync::{Arc, atomic::AtomicBool};

use flext_ldap_directory::{Error, Outcome};
use flext_ldap_proto::{
    control::{ControlValue, Controls, PasswordPolicyError, PasswordPolicyRequest, PasswordPolicyResponse},
    message::Limits,
    result::{LdapResult, ResultCode},
};

pub(crate) use self::{
    account::{Account, is_of_account},
    attempts::Attempts,
    bind::{Proven, Purpose, Shown, invalid_credentials},
    change::check_age,
};
pub use self::{
    policy::{DefaultPasswordPolicy, PasswordPolicy, QualityCheck},
    quality::{Candidate, PasswordQuality, StandardQuality},
};
use crate::tables::Failure;

/// What the options say about password policy.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) default: DefaultPasswordPolicy,
    pub(crate) quality: Arc<dyn PasswordQuality>,
    /// Whether who is locked out is told so.
    pub(crate) tells_lockout: bool,
    /// Whether it was said that the default is not there.
    pub(crate) missed: Arc<AtomicBool>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default: DefaultPasswordPolicy::None,
            quality: Arc::new(StandardQuality),
            tells_lockout: false,
            missed: Arc::default(),
        }
    }
}

/// A moment: microseconds since 1970-01-01T00:00:00Z.
pub(crate) type Micros = i64;

pub(crate) const SECOND: Micros = 1_000_000;

/// A refusal with what the control says about it.
pub(crate) fn refused(
    code: ResultCode,
    error: PasswordPolicyError,
    diagnostic: impl Into<String>,
) -> Failure {
    let response = PasswordPolicyResponse { warning: None, error: Some(error) };
    let result = LdapResult::with_diagnostic(code, diagnostic);
    Failure::Failed(Error::rejected(Outcome { controls: said(response), ..Outcome::new(result) }))
}

/// The controls of an answer.
pub(crate) fn said(response: PasswordPolicyResponse) -> Controls {
    Controls::none().optional(&response)
}

/// What the controls of an answer say.
pub(crate) fn heard(controls: &Controls) -> PasswordPolicyResponse {
    controls.get(&Limits::DEFAULT).ok().flatten().unwrap_or_default()
}

/// Whether a request asks for the policy's word.
pub(crate) fn is_asked(controls: &Controls) -> bool {
    controls.iter().any(|control| control.oid == PasswordPolicyRequest::OID)
}

/// An answer for one who has asked for the policy's word, or has not.
pub(crate) fn told(mut outcome: Outcome, asked: bool) -> Outcome {
    if !asked {
        outcome.controls.remove(&PasswordPolicyResponse::OID);
    }
    outcome
}
