//! Searches that do not end by themselves (draft-ietf-ldapext-psearch): they are counted for themselves, so that they
//! leave the places of other operations alone, and end with a result when the conversation cannot carry them any more.

use flext_ldap_directory::{Op, Outcome};
use flext_ldap_proto::{
    control::{ControlValue as _, Controls, PersistentSearch},
    result::{LdapResult, ResultCode},
};

use super::Conversation;

/// Whether an operation goes on until somebody ends it.
pub(super) fn is_asked(op: &Op, controls: &Controls) -> bool {
    matches!(op, Op::Search(_)) && controls.iter().any(|control| control.oid == PersistentSearch::OID)
}

impl Conversation<'_> {
    /// Operations that hold a place others wait for.
    pub(super) fn in_flight(&self) -> usize {
        self.running.iter().filter(|running| !running.persistent).count()
    }

    /// The answer to one persistent search too many.
    pub(super) fn refuse_persistent(&self) -> Option<LdapResult> {
        let under_way = self.running.iter().filter(|running| running.persistent).count();
        let most = self.shared.limits.persistent_searches;
        (under_way >= most).then(|| {
            let text = format!("this connection may have {most} persistent searches; abandon one first");
            LdapResult::with_diagnostic(ResultCode::ADMIN_LIMIT_EXCEEDED, text)
        })
    }

    /// Ends those under way, each with this result. Says whether there were any.
    pub(super) fn end_persistent(&mut self, code: ResultCode, why: &'static str) -> bool {
        let mut ended = false;
        while let Some(index) = self.running.iter().position(|running| running.persistent) {
            let running = self.running.remove(index);
            self.finish(running, Outcome::new(LdapResult::with_diagnostic(code, why)));
            ended = true;
        }
        ended
    }
}
