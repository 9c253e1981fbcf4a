//! What the listener answers itself: Abandon, Cancel (RFC 3909) and StartTLS belong to the connection.

use flext_ldap_directory::{OpKind, Outcome};
use flext_ldap_proto::{
    control::Controls,
    extended::{Cancel, ExtendedOperation as _, StartTls},
    message::{ExtendedRequest, MessageId, Response},
    result::{LdapResult, ResultCode},
};

use super::{Conversation, End};
use crate::{What, answer, stream::Stream};

impl Conversation<'_> {
    /// RFC 4511 §4.11: no answer to either. Only what changes nothing can be abandoned.
    pub(super) fn abandon(&mut self, target: MessageId) {
        self.connection.count();
        self.count_unanswered("abandon");
        if let Some(index) = self.abandonable(target) {
            let running = self.running.swap_remove(index);
            self.tell(&running.story, None, running.entries);
        }
    }

    fn abandonable(&self, id: MessageId) -> Option<usize> {
        self.running
            .iter()
            .position(|running| running.id == id && matches!(running.kind, OpKind::Search | OpKind::Compare))
    }

    /// RFC 3909.
    pub(super) fn cancel(
        &mut self,
        id: MessageId,
        request: &ExtendedRequest,
        controls: &Controls,
        what: What,
    ) {
        let story = self.story("cancel", what);
        let code = match Cancel::decode(request) {
            _ if has_critical(controls) => ResultCode::UNAVAILABLE_CRITICAL_EXTENSION,
            Err(_) => ResultCode::PROTOCOL_ERROR,
            Ok(Cancel(target)) => {
                if let Some(index) = self.abandonable(target) {
                    let running = self.running.swap_remove(index);
                    let canceled = Outcome::new(LdapResult::new(ResultCode::CANCELED));
                    self.finish(running, canceled);
                    ResultCode::SUCCESS
                } else if self.running.iter().any(|running| running.id == target) {
                    ResultCode::CANNOT_CANCEL
                } else if self.outbox.holds_answer(target) {
                    ResultCode::TOO_LATE
                } else {
                    ResultCode::NO_SUCH_OPERATION
                }
            }
        };
        let response = answer::extended(LdapResult::new(code));
        self.answer(id, &story, &response, code, &Controls::none(), 0);
    }

    /// RFC 4511 §4.14. What was received after the request was sent in clear by whoever, so it ends the connection.
    pub(super) fn start_tls(
        &mut self,
        id: MessageId,
        request: &ExtendedRequest,
        controls: &Controls,
        what: What,
    ) {
        let story = self.story("starttls", what);
        let (code, text) = if has_critical(controls) {
            (ResultCode::UNAVAILABLE_CRITICAL_EXTENSION, "")
        } else if StartTls::decode(request).is_err() {
            (ResultCode::PROTOCOL_ERROR, "StartTLS takes no value")
        } else if matches!(self.stream, Stream::Tls(_)) {
            (ResultCode::OPERATIONS_ERROR, "TLS is on already")
        } else if !self.running.is_empty() {
            (ResultCode::OPERATIONS_ERROR, "operations are under way")
        } else if self.shared.tls.is_none() {
            (ResultCode::PROTOCOL_ERROR, "TLS is not offered here")
        } else if !self.received.is_empty() {
            self.tell(&story, None, 0);
            return self.notice(ResultCode::PROTOCOL_ERROR, "octets in clear after StartTLS");
        } else {
            self.closing = Some(End::StartTls);
            (ResultCode::SUCCESS, "")
        };
        let mut response = answer::extended(LdapResult::with_diagnostic(code, text));
        if let Response::Extended(extended) = &mut response {
            extended.oid = Some(StartTls::OID);
        }
        self.answer(id, &story, &response, code, &Controls::none(), 0);
    }
}

/// Whether there is a control that must be understood: what the listener answers itself understands none.
fn has_critical(controls: &Controls) -> bool {
    controls.iter().any(|control| control.critical)
}
