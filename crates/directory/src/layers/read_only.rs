//! Refuses every write, so that what is behind it cannot be changed by mistake.

use flext_ldap_proto::result::{LdapResult, ResultCode};

use crate::{Directory, Layer, Outcome, Reply, Request};

/// Answers `unwillingToPerform` to all but search, compare and Who Am I.
///
/// An extended operation it does not know may write, so it is refused too.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has nothing to set")]
pub struct ReadOnly;

impl Layer for ReadOnly {
    fn call(&self, request: Request, next: &dyn Directory) -> Reply {
        if request.op.is_read() {
            return next.call(request);
        }
        Reply::ready(Ok(Outcome::new(LdapResult::with_diagnostic(
            ResultCode::UNWILLING_TO_PERFORM,
            "this access is read-only",
        ))))
    }
}
