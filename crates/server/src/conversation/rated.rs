//! Requests that come too often from one address: `busy`, before anything is done for them.

use flext_ldap_proto::{
    message::Request,
    result::{LdapResult, ResultCode},
};

use super::Conversation;
use crate::rate::Rated;

impl Conversation<'_> {
    /// The answer to a request too many. What ends something is never too much, and a bind is refused where binds are:
    /// whoever was bound is not any more, whatever comes of it.
    pub(super) fn refuse_rated(&self, request: &Request) -> Option<LdapResult> {
        if matches!(request, Request::Bind(_) | Request::Unbind | Request::Abandon(_)) {
            return None;
        }
        let (rates, peer) = (&self.shared.limits.rates, &self.connection.peer);
        if self.shared.core.rates.allow(rates, peer, Rated::Operation) {
            return None;
        }
        self.shared.core.statistics.operations_rated.add(1);
        let text = "too many operations from this address; wait a moment";
        Some(LdapResult::with_diagnostic(ResultCode::BUSY, text))
    }

    /// The answer to a bind too many.
    pub(super) fn refuse_rated_bind(&self) -> Option<LdapResult> {
        // The further steps of one exchange are one bind.
        let rates = &self.shared.limits.rates;
        if self.exchanging || self.shared.core.rates.allow(rates, &self.connection.peer, Rated::Bind) {
            return None;
        }
        self.shared.core.statistics.binds_rated.add(1);
        let text = "too many binds from this address; wait a moment";
        Some(LdapResult::with_diagnostic(ResultCode::BUSY, text))
    }

    /// Counts what has no answer.
    pub(super) fn count_unanswered(&self, operation: &str) {
        self.shared.core.statistics.initiated(operation);
        self.shared.core.statistics.completed(operation);
    }
}
