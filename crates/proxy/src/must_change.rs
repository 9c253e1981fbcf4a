//! Whether a bind holds who has bound to changing their password first (draft-behera-ldap-password-policy). The server
//! remembers that for the connection, so it would not hold for operations on others.

use flext_ldap_directory::{BindStep, Outcome};
use flext_ldap_proto::{
    control::{ControlValue as _, PasswordPolicyError, PasswordPolicyRequest, PasswordPolicyResponse},
    message::Limits,
    oid::Oid,
};

/// What some servers say in place of it without being asked (draft-vchu-ldap-pwd-policy).
const EXPIRED: Oid = Oid::from_static("2.16.840.1.113730.3.4.4");

/// By whom the server was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asked {
    ByClient,
    ByProxy,
}

/// Has a bind ask for it.
pub(crate) fn ask(step: &mut BindStep) -> Asked {
    let (BindStep::Simple { controls, .. } | BindStep::Sasl { controls, .. }) = step else {
        return Asked::ByClient;
    };
    if controls.iter().any(|control| control.oid == PasswordPolicyRequest::OID) {
        return Asked::ByClient;
    }
    *controls = std::mem::take(controls).optional(&PasswordPolicyRequest);
    Asked::ByProxy
}

/// Whether the answer says so, or cannot be read. What the client has not asked for is taken out.
pub(crate) fn is_said(outcome: &mut Outcome, asked: Asked) -> bool {
    let is_said = match outcome.controls.get::<PasswordPolicyResponse>(&Limits::DEFAULT) {
        Ok(response) => {
            response.is_some_and(|response| response.error == Some(PasswordPolicyError::CHANGE_AFTER_RESET))
        }
        Err(_) => true,
    };
    let is_expired = outcome.controls.iter().any(|control| control.oid == EXPIRED);
    if asked == Asked::ByProxy {
        outcome.controls.remove(&PasswordPolicyResponse::OID);
    }
    is_said || is_expired
}
