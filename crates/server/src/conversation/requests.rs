//! What comes in: messages are taken while there is room, and what they ask for is started.

use std::{
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use flext_ldap_directory::{
    Actor, Deadline, Directory as _, Op, OpKind, Outcome, Request as DirectoryRequest,
};
use flext_ldap_proto::{
    ber::frame_length,
    control::Controls,
    extended::{Cancel, ExtendedOperation as _, StartTls},
    message::{Envelope, Limits, MessageId, Request},
    result::{LdapResult, ResultCode},
};
use tokio::{io::AsyncReadExt as _, time::Instant};

use super::{Binding, Conversation, End, Polled, Running, Stage, persistent, sealed::sealed};
use crate::{
    What, answer, monitor,
    root_dse::{self, MONITOR_CONTEXT},
    what::describe,
};

/// Octets asked for when nothing is known about what comes.
const READ: usize = 4096;

impl Conversation<'_> {
    /// Whether another message may be taken: nothing is ending, no bind is under way, and no bound is reached.
    fn may_take(&self) -> bool {
        self.closing.is_none()
            && self.stopping.is_none()
            && self.binding.is_none()
            && self.in_flight() < self.shared.limits.operations.max(1)
            && self.has_room()
    }

    pub(super) fn has_room(&self) -> bool {
        self.outbox.queued() < self.shared.limits.unread.max(1)
    }

    fn message_limit(&self) -> usize {
        self.decoder().message
    }

    fn decoder(&self) -> Limits {
        self.shared.limits.decoder(matches!(self.actor, Actor::User(_)))
    }

    /// Reads what has arrived, if more may be taken and what is there already is not a whole message.
    pub(super) fn receive(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if !self.may_take() {
            self.partial = None;
            return Ok(false);
        }
        let want = match frame_length(&self.received, self.message_limit()) {
            Ok(Some(length)) if length <= self.received.len() => return Ok(false),
            // No more is reserved than has come already: a false length costs the peer as much as us.
            Ok(Some(length)) => (length - self.received.len()).min(self.received.len().max(READ)),
            Ok(None) => READ,
            Err(_) => return Ok(false),
        };
        self.received.reserve(want);
        let read = pin!(self.stream.read_buf(&mut self.received)).poll(cx);
        match read {
            Poll::Pending => {
                if self.received.is_empty() {
                    self.partial = None;
                } else {
                    self.partial.get_or_insert_with(Instant::now);
                }
                Ok(false)
            }
            Poll::Ready(Ok(0)) => Err(End::Closed),
            Poll::Ready(Ok(octets)) => {
                self.shared.core.statistics.octets_received.add(octets);
                Ok(true)
            }
            Poll::Ready(Err(error)) => {
                tracing::debug!(connection = self.connection.number, %error, "reading failed");
                Err(End::Closed)
            }
        }
    }

    /// Starts what whole messages ask for.
    pub(super) fn take_requests(&mut self, cx: &mut Context<'_>, until: Instant) -> bool {
        let mut progress = false;
        // Each can have worked for a while already.
        while self.may_take() && !(progress && Instant::now() >= until) {
            match frame_length(&self.received, self.message_limit()) {
                Ok(Some(length)) if length <= self.received.len() => {
                    let message = sealed(self.received.split_to(length));
                    self.partial = None;
                    self.last_active = Instant::now();
                    self.take_message(message, cx);
                }
                Ok(_) => break,
                Err(error) => self.malformed(error),
            }
            progress = true;
        }
        progress
    }

    fn take_message(&mut self, message: Bytes, cx: &mut Context<'_>) {
        let limits = self.decoder();
        self.shared.core.statistics.messages_received.add(1);
        let envelope = match Envelope::decode(message, &limits) {
            Ok(envelope) => envelope,
            Err(error) => return self.malformed(error),
        };
        let id = envelope.id;
        if id == MessageId::UNSOLICITED {
            return self.notice(ResultCode::PROTOCOL_ERROR, "message id 0 is not for requests");
        }
        if self.running.iter().any(|running| running.id == id) {
            return self.notice(ResultCode::PROTOCOL_ERROR, "message id of an operation that is under way");
        }
        let decoded = envelope
            .controls(&limits)
            .and_then(|controls| envelope.request(&limits).map(|request| (request, controls)));
        match decoded {
            Ok((request, controls)) => self.take_request(id, request, controls, cx),
            Err(error) => {
                let refused = answer::contents(error.kind).and_then(|code| {
                    let diagnostic = error.to_string();
                    answer::refusal(envelope.tag, LdapResult::with_diagnostic(code, diagnostic))
                        .map(|(operation, response)| (code, operation, response))
                });
                let Some((code, operation, response)) = refused else {
                    return self.malformed(error);
                };
                let story = self.story(operation, What::default());
                self.answer(id, &story, &response, code, &Controls::none(), 0);
            }
        }
    }

    fn take_request(&mut self, id: MessageId, request: Request, controls: Controls, cx: &mut Context<'_>) {
        let what = if self.shared.access_log.is_some() { describe(&request) } else { What::default() };
        if self.exchanging && !matches!(request, Request::Bind(_) | Request::Unbind | Request::Abandon(_)) {
            // RFC 4511 §4.2.1: nothing else while a bind of several steps is under way.
            let result = LdapResult::with_diagnostic(ResultCode::OPERATIONS_ERROR, "a bind is under way");
            return self.refuse_unasked(id, &request, what, result);
        }
        if let Some(busy) = self.refuse_rated(&request) {
            return self.refuse_unasked(id, &request, what, busy);
        }
        let op = match request {
            Request::Bind(request) => {
                let story = self.story("bind", what);
                self.binding = Some(Binding { id, story, stage: Stage::Waiting(request, controls) });
                return;
            }
            Request::Unbind => {
                self.closing = Some(End::Unbind);
                self.connection.count();
                self.count_unanswered("unbind");
                return;
            }
            Request::Abandon(target) => return self.abandon(target),
            Request::Extended(extended) if extended.oid == StartTls::OID => {
                return self.start_tls(id, &extended, &controls, what);
            }
            Request::Extended(extended) if extended.oid == Cancel::OID => {
                return self.cancel(id, &extended, &controls, what);
            }
            Request::Search(search) => Op::Search(search),
            Request::Compare(compare) => Op::Compare(compare),
            Request::Add(add) => Op::Add(add),
            Request::Modify(modify) => Op::Modify(modify),
            Request::Delete(delete) => Op::Delete(delete),
            Request::Rename(rename) => Op::Rename(rename),
            Request::Extended(extended) => Op::Extended(extended),
        };
        self.start(id, op, controls, what, cx);
    }

    /// Asks the directory, and polls: a write that the peer does not wait for must have started, and what is found at once
    /// is answered at once.
    fn start(&mut self, id: MessageId, op: Op, controls: Controls, what: What, cx: &mut Context<'_>) {
        let kind = op.kind();
        let story = self.story(kind.name(), what);
        let Some(session) = &self.session else {
            return self.notice(ResultCode::OTHER, "internal error"); // Unreachable: no bind is under way here.
        };
        let persistent = persistent::is_asked(&op, &controls);
        if persistent && let Some(refusal) = self.refuse_persistent() {
            let code = refusal.code;
            let (response, controls) = answer::last(kind, Outcome::new(refusal));
            return self.answer(id, &story, &response, code, &controls, 0);
        }
        let limits = &self.shared.limits;
        let time = match &op {
            Op::Search(search) if search.time_limit > 0 => {
                limits.search.min(Duration::from_secs(search.time_limit.into()))
            }
            Op::Search(_) => limits.search,
            _ => limits.operation,
        };
        let root_dse = matches!(&op, Op::Search(search) if root_dse::is_read_by(search));
        let asks_monitor = matches!(&op, Op::Search(search) if root_dse && monitor::is_selected(&search.attributes, MONITOR_CONTEXT));
        let deadline = Deadline::after(time);
        let request = DirectoryRequest { op, controls, actor: self.actor.clone(), deadline };
        let monitor = self.shared.monitor.as_ref();
        let reply = monitor
            .and_then(|monitor| monitor.answer(&request, &self.connection.peer, &self.shared.core))
            .unwrap_or_else(|| session.call(request));
        self.running.push(Running { id, kind, root_dse, asks_monitor, persistent, reply, entries: 0, story });
        let last = self.running.len().saturating_sub(1);
        if let Polled::Items = self.poll_one(last, cx)
            && self.has_room()
        {
            // Most often that was all, and the end can go out with it.
            let _ = self.poll_one(last, cx);
        }
    }

    fn refuse_unasked(&mut self, id: MessageId, request: &Request, what: What, result: LdapResult) {
        let code = result.code;
        let kind = match request {
            Request::Search(_) => OpKind::Search,
            Request::Compare(_) => OpKind::Compare,
            Request::Add(_) => OpKind::Add,
            Request::Modify(_) => OpKind::Modify,
            Request::Delete(_) => OpKind::Delete,
            Request::Rename(_) => OpKind::Rename,
            Request::Extended(_) => OpKind::Extended,
            Request::Bind(_) | Request::Unbind | Request::Abandon(_) => return,
        };
        let story = self.story(kind.name(), what);
        let (response, controls) = answer::last(kind, Outcome::new(result));
        self.answer(id, &story, &response, code, &controls, 0);
    }
}
