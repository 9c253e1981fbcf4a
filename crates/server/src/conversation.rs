//! One conversation: requests in, answers out, over one stream and one session of the directory.
//!
//! All of it happens in one poll function on one task, so nothing is shared. Each pass reads what has arrived, starts
//! what was asked, collects what is ready, and sends all of it in one write. Where a bound is reached (operations in
//! flight, answers unread, a bind under way) the stream is simply not read, which holds back the peer.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use flext_ldap_directory::{
    Actor, BindReply, BindStep, BoxFuture, Deadline, Directory as _, Error, ErrorKind, Event, Op, OpKind,
    Outcome, PeerAddress, Protection, Reply, Request as DirectoryRequest, Session,
};
use flext_ldap_proto::{
    ber::{DecodeError, frame_length},
    control::Controls,
    extended::{Cancel, ExtendedOperation as _, StartTls},
    message::{
        Authentication, BindRequest, BindResponse, Envelope, ExtendedRequest, MessageId, Request, Response,
    },
    result::{LdapResult, ResultCode},
};
use tokio::{
    io::AsyncReadExt as _,
    time::{Instant, Sleep},
};

use crate::{
    What,
    accept::{Shared, Stop},
    access_log::Finished,
    answer,
    connection::Connection,
    outbox::Outbox,
    stream::Stream,
    what::describe,
};

/// Passes over a conversation before other tasks get their turn.
const PASSES: usize = 64;
/// Octets asked for when nothing is known about what comes.
const READ: usize = 4096;
/// How much longer than its deadline a bind may take before the directory is taken to be stuck.
const BIND_GRACE: Duration = Duration::from_secs(5);

/// Why a conversation ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The peer said so.
    Unbind,
    /// The peer closed its side, or the connection broke.
    Closed,
    /// The peer took nothing for too long.
    Stalled,
    /// This server ended it, and says why in a notice.
    Notice(ResultCode),
    /// This server stops.
    Stopped,
    /// The answer to StartTLS has been sent: the handshake is next.
    StartTls,
}

/// A conversation under way.
pub(crate) struct Conversation<'c> {
    shared: &'c Arc<Shared>,
    connection: &'c mut Connection,
    stream: &'c mut Stream,
    stop: &'c mut Stop,
    received: BytesMut,
    outbox: Outbox,
    /// `None` while a bind has it.
    session: Option<Box<dyn Session>>,
    actor: Actor,
    /// Whether the session has taken a bind since it was opened or last reset.
    touched: bool,
    /// Whether a SASL exchange is under way.
    exchanging: bool,
    binding: Option<Binding>,
    running: Vec<Running>,
    /// Whose turn it is among those running.
    turn: usize,
    closing: Option<End>,
    /// Until when what is running may go on, once the server stops.
    stopping: Option<Instant>,
    last_active: Instant,
    /// Since when part of a message is waited for.
    partial: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

/// An operation the directory has not finished.
struct Running {
    id: MessageId,
    kind: OpKind,
    reply: Reply,
    entries: u64,
    story: Story,
}

/// A bind: first waiting for what is running, then under way.
struct Binding {
    id: MessageId,
    story: Story,
    stage: Stage,
}

enum Stage {
    Waiting(BindRequest, Controls),
    Stepping {
        future: BoxFuture<'static, (Box<dyn Session>, Result<BindReply, Error>)>,
        by: Deadline,
        /// What is answered whatever the session says: it is only being reset.
        refusal: Option<LdapResult>,
    },
}

/// What the access log will tell about an operation.
struct Story {
    number: u64,
    operation: &'static str,
    what: What,
    started: Instant,
}

impl<'c> Conversation<'c> {
    pub(crate) fn new(
        shared: &'c Arc<Shared>,
        connection: &'c mut Connection,
        stream: &'c mut Stream,
        stop: &'c mut Stop,
        session: Box<dyn Session>,
    ) -> Self {
        let now = Instant::now();
        Self {
            shared,
            connection,
            stream,
            stop,
            received: BytesMut::new(),
            outbox: Outbox::default(),
            session: Some(session),
            actor: Actor::Anonymous,
            touched: false,
            exchanging: false,
            binding: None,
            running: Vec::new(),
            turn: 0,
            closing: None,
            stopping: None,
            last_active: now,
            partial: None,
            timer: Box::pin(tokio::time::sleep_until(now)),
        }
    }

    /// Carries the conversation on until it ends. What was still running is told to the access log as unanswered.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        for _ in 0..PASSES {
            let mut progress = self.poll_stop(cx);
            match self.receive(cx) {
                Ok(received) => progress |= received,
                Err(end) => return Poll::Ready(self.end(end)),
            }
            progress |= self.take_requests(cx);
            progress |= self.poll_binding(cx);
            progress |= self.poll_running(cx);
            progress |= self.drain();
            match self.outbox.send(self.stream, cx) {
                Ok(sent) => progress |= sent,
                Err(error) => {
                    tracing::debug!(connection = self.connection.number, %error, "writing failed");
                    return Poll::Ready(self.end(End::Closed));
                }
            }
            if self.outbox.is_empty()
                && let Some(end) = self.closing.take()
            {
                return Poll::Ready(self.end(end));
            }
            if !progress && !self.poll_deadlines(cx) {
                if let Some(End::Stalled) = self.closing {
                    return Poll::Ready(self.end(End::Stalled));
                }
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    // --- In.

    /// Whether another message may be taken: nothing is ending, no bind is under way, and no bound is reached.
    fn may_take(&self) -> bool {
        self.closing.is_none()
            && self.stopping.is_none()
            && self.binding.is_none()
            && self.running.len() < self.shared.limits.operations.max(1)
            && self.outbox.queued() < self.shared.limits.unread
    }

    fn message_limit(&self) -> usize {
        self.decoder().message
    }

    fn decoder(&self) -> flext_ldap_proto::message::Limits {
        self.shared.limits.decoder(matches!(self.actor, Actor::User(_)))
    }

    /// Reads what has arrived, if more may be taken and what is there already is not a whole message.
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
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
            Poll::Ready(Ok(_)) => Ok(true),
            Poll::Ready(Err(error)) => {
                tracing::debug!(connection = self.connection.number, %error, "reading failed");
                Err(End::Closed)
            }
        }
    }

    /// Starts what whole messages ask for.
    fn take_requests(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while self.may_take() {
            match frame_length(&self.received, self.message_limit()) {
                Ok(Some(length)) if length <= self.received.len() => {
                    let message = self.received.split_to(length).freeze();
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
            return self.refuse_unasked(id, &request, what);
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

    /// Asks the directory, and polls once: a write that the peer does not wait for must have started.
    fn start(&mut self, id: MessageId, op: Op, controls: Controls, what: What, cx: &mut Context<'_>) {
        let kind = op.kind();
        let story = self.story(kind.name(), what);
        let Some(session) = &self.session else {
            return self.notice(ResultCode::OTHER, "internal error"); // Unreachable: no bind is under way here.
        };
        let limits = &self.shared.limits;
        let time = match &op {
            Op::Search(search) if search.time_limit > 0 => {
                limits.search.min(Duration::from_secs(search.time_limit.into()))
            }
            Op::Search(_) => limits.search,
            _ => limits.operation,
        };
        let deadline = Deadline::after(time);
        let reply = session.call(DirectoryRequest { op, controls, actor: self.actor.clone(), deadline });
        self.running.push(Running { id, kind, reply, entries: 0, story });
        let _ = self.poll_one(self.running.len().saturating_sub(1), cx);
    }

    /// RFC 4511 §4.11: no answer to either. Only what changes nothing can be abandoned.
    fn abandon(&mut self, target: MessageId) {
        self.connection.count();
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
    fn cancel(&mut self, id: MessageId, request: &ExtendedRequest, controls: &Controls, what: What) {
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
    fn start_tls(&mut self, id: MessageId, request: &ExtendedRequest, controls: &Controls, what: What) {
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

    fn refuse_unasked(&mut self, id: MessageId, request: &Request, what: What) {
        let result = LdapResult::with_diagnostic(ResultCode::OPERATIONS_ERROR, "a bind is under way");
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
        self.answer(id, &story, &response, ResultCode::OPERATIONS_ERROR, &controls, 0);
    }

    // --- Bind.

    fn poll_binding(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(mut binding) = self.binding.take() else { return false };
        match binding.stage {
            Stage::Waiting(request, controls) => {
                if !self.running.is_empty() {
                    binding.stage = Stage::Waiting(request, controls);
                    self.binding = Some(binding);
                    return false;
                }
                self.begin_bind(binding.id, binding.story, request, controls);
                true
            }
            Stage::Stepping { mut future, by, refusal } => match future.as_mut().poll(cx) {
                Poll::Pending => {
                    binding.stage = Stage::Stepping { future, by, refusal };
                    self.binding = Some(binding);
                    false
                }
                Poll::Ready((session, reply)) => {
                    self.session = Some(session);
                    self.last_active = Instant::now();
                    self.end_bind(binding.id, &binding.story, refusal, reply);
                    true
                }
            },
        }
    }

    fn begin_bind(&mut self, id: MessageId, story: Story, request: BindRequest, controls: Controls) {
        // Whoever was bound is not any more, whatever comes of this (RFC 4511 §4.2.1).
        self.actor = Actor::Anonymous;
        let (step, refusal) = match self.refuse_bind(&request) {
            Some(refusal) => {
                self.exchanging = false;
                if !self.touched {
                    let code = refusal.code;
                    let response = answer::bind(refusal);
                    return self.answer(id, &story, &response, code, &Controls::none(), 0);
                }
                (BindStep::anonymous(), Some(refusal))
            }
            None => {
                let step = match request.authentication {
                    Authentication::Sasl { mechanism, credentials } => {
                        BindStep::Sasl { mechanism, credentials, controls }
                    }
                    Authentication::Simple(password) => {
                        BindStep::Simple { name: request.name, password, controls }
                    }
                    _ => BindStep::anonymous(), // Refused before.
                };
                (step, None)
            }
        };
        let Some(mut session) = self.session.take() else {
            return self.notice(ResultCode::OTHER, "internal error"); // Unreachable: one bind at a time.
        };
        self.touched = refusal.is_none();
        let by = Deadline::after(self.shared.limits.bind);
        let future = Box::pin(async move {
            let reply = session.bind(step, by).await;
            (session, reply)
        });
        self.binding = Some(Binding { id, story, stage: Stage::Stepping { future, by, refusal } });
    }

    /// What is refused before the directory sees it.
    fn refuse_bind(&self, request: &BindRequest) -> Option<LdapResult> {
        let refused = |code, why: &str| Some(LdapResult::with_diagnostic(code, why));
        if request.version != 3 {
            return refused(ResultCode::PROTOCOL_ERROR, "only LDAP version 3 is spoken here");
        }
        let (carries_password, needs_name) = match &request.authentication {
            Authentication::Simple(password) => {
                (!password.is_empty(), password.is_empty() && !request.name.is_empty())
            }
            Authentication::Sasl { mechanism, .. } => {
                (mechanism.eq_ignore_ascii_case("PLAIN") || mechanism.eq_ignore_ascii_case("LOGIN"), false)
            }
            _ => return refused(ResultCode::AUTH_METHOD_NOT_SUPPORTED, "only simple and SASL binds"),
        };
        if needs_name {
            // RFC 4513 §5.1.2: some would take it for success.
            return refused(ResultCode::UNWILLING_TO_PERFORM, "a name without a password proves nothing");
        }
        if carries_password && !self.is_confidential() {
            return refused(ResultCode::CONFIDENTIALITY_REQUIRED, "use TLS before sending a password");
        }
        None
    }

    /// Whether what the peer sends stays between the two: TLS, or it never leaves the machine.
    fn is_confidential(&self) -> bool {
        match (self.connection.peer.protection, self.connection.peer.address) {
            (Protection::Tls | Protection::Local, _) => true,
            (_, PeerAddress::Tcp(address)) => address.ip().is_loopback(),
            _ => false,
        }
    }

    fn end_bind(
        &mut self,
        id: MessageId,
        story: &Story,
        refusal: Option<LdapResult>,
        reply: Result<BindReply, Error>,
    ) {
        self.exchanging = false;
        let (outcome, credentials) = match (refusal, reply) {
            (Some(refusal), _) => (Outcome::new(refusal), None),
            (None, Ok(BindReply::Done { actor, outcome, credentials })) => {
                // A peer never acts as the program itself, whatever a session says.
                self.actor = if actor == Actor::Service { Actor::Anonymous } else { actor };
                (outcome, credentials)
            }
            (None, Ok(BindReply::Continue { credentials, outcome })) => {
                self.exchanging = true;
                (outcome, credentials)
            }
            (None, Ok(BindReply::Refused(outcome))) => (outcome, None),
            (None, Err(error)) => (Outcome::new(self.answer_to(&error, story.number)), None),
        };
        let code = outcome.result.code;
        let response =
            Response::Bind(BindResponse { result: outcome.result, server_credentials: credentials });
        self.answer(id, story, &response, code, &outcome.controls, 0);
    }

    // --- Out.

    /// Collects what is ready, each in its turn, until there is enough to send.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        let mut left = self.running.len();
        while left > 0 && self.outbox.queued() < self.shared.limits.unread {
            left -= 1;
            if self.turn >= self.running.len() {
                self.turn = 0;
            }
            match self.poll_one(self.turn, cx) {
                Polled::Nothing => self.turn += 1,
                Polled::Items => {
                    self.turn += 1;
                    progress = true;
                }
                Polled::Ended => progress = true,
            }
        }
        progress
    }

    fn poll_one(&mut self, index: usize, cx: &mut Context<'_>) -> Polled {
        let Some(running) = self.running.get_mut(index) else { return Polled::Nothing };
        let Poll::Ready(event) = running.reply.poll_next(cx) else { return Polled::Nothing };
        let outcome = match event {
            Ok(Event::Batch(batch)) if running.kind == OpKind::Search => {
                running.entries = running.entries.saturating_add(batch.len() as u64);
                self.outbox.items(running.id, &batch);
                return Polled::Items;
            }
            Ok(Event::Batch(_)) => {
                Err(Error::new(ErrorKind::Bug, "items in the answer to what is not a search"))
            }
            Ok(Event::Done(outcome)) => Ok(outcome),
            Err(error) => Err(error),
        };
        let running = self.running.remove(index);
        let outcome =
            outcome.unwrap_or_else(|error| Outcome::new(self.answer_to(&error, running.story.number)));
        self.finish(running, outcome);
        self.last_active = Instant::now();
        Polled::Ended
    }

    fn finish(&mut self, running: Running, outcome: Outcome) {
        let Running { id, kind, story, entries, .. } = running;
        let code = outcome.result.code;
        let (response, controls) = answer::last(kind, outcome);
        self.answer(id, &story, &response, code, &controls, entries);
    }

    fn answer(
        &mut self,
        id: MessageId,
        story: &Story,
        response: &Response,
        code: ResultCode,
        controls: &Controls,
        entries: u64,
    ) {
        self.outbox.answer(id, response, controls);
        self.tell(story, Some(code), entries);
    }

    /// The result for the peer; the cause is for us alone.
    fn answer_to(&self, error: &Error, number: u64) -> LdapResult {
        let connection = self.connection.number;
        let cause = std::error::Error::source(error);
        match error.kind() {
            ErrorKind::Rejected => {}
            ErrorKind::Bug | ErrorKind::Storage | ErrorKind::Misuse => {
                tracing::error!(connection, operation = number, %error, cause, "an operation failed");
            }
            _ => tracing::warn!(connection, operation = number, %error, cause, "an operation failed"),
        }
        error.answer()
    }

    // --- Ends.

    fn poll_stop(&mut self, cx: &mut Context<'_>) -> bool {
        if self.stopping.is_some() {
            return false;
        }
        let Poll::Ready(until) = Pin::new(&mut *self.stop).poll(cx) else { return false };
        self.stopping = Some(until);
        true
    }

    /// Once the server stops and nothing runs any more, says so to the peer.
    fn drain(&mut self) -> bool {
        if self.stopping.is_none()
            || self.closing.is_some()
            || !self.running.is_empty()
            || self.binding.is_some()
        {
            return false;
        }
        self.notice(ResultCode::UNAVAILABLE, "this server stops");
        self.closing = Some(End::Stopped);
        true
    }

    fn malformed(&mut self, error: DecodeError) {
        tracing::debug!(connection = self.connection.number, %error, "malformed message");
        let text = match error.kind {
            flext_ldap_proto::ber::DecodeErrorKind::MessageTooLarge => "message larger than the limit",
            _ => "malformed message",
        };
        self.notice(ResultCode::PROTOCOL_ERROR, text);
    }

    /// Ends the conversation with a Notice of Disconnection.
    fn notice(&mut self, code: ResultCode, why: &'static str) {
        self.abandon_all();
        self.outbox.answer(MessageId::UNSOLICITED, &answer::notice(code, why), &Controls::none());
        self.closing = Some(End::Notice(code));
    }

    fn end(&mut self, end: End) -> End {
        self.abandon_all();
        end
    }

    /// Drops what is running. Writes go on; nobody hears of them.
    fn abandon_all(&mut self) {
        for running in std::mem::take(&mut self.running) {
            self.tell(&running.story, None, running.entries);
        }
        if let Some(binding) = self.binding.take() {
            self.tell(&binding.story, None, 0);
        }
    }

    /// Acts on deadlines that have passed, and sets the timer for the next. Returns whether anything happened.
    fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let now = Instant::now();
            let Some((at, what)) = self.next_deadline() else { return false };
            if at <= now {
                self.overdue(what);
                return !matches!(self.closing, Some(End::Stalled));
            }
            // A timer that is set too early is left alone: when it fires, it is set anew.
            let set_for = self.timer.deadline();
            if set_for <= now || set_for > at {
                self.timer.as_mut().reset(at);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return false;
            }
        }
    }

    fn next_deadline(&self) -> Option<(Instant, Overdue)> {
        let limits = &self.shared.limits;
        let after = |start: Instant, time: Duration| start.checked_add(time);
        let mut next: Option<(Instant, Overdue)> = None;
        let mut add = |at: Option<Instant>, what: Overdue| {
            if let Some(at) = at
                && next.is_none_or(|(soonest, _)| at < soonest)
            {
                next = Some((at, what));
            }
        };
        if let Some(since) = self.outbox.stalled() {
            add(after(since, limits.stall), Overdue::Write);
        }
        if self.closing.is_some() {
            return next;
        }
        if let Some(until) = self.stopping {
            add(Some(until), Overdue::Stop);
        }
        if let Some(Binding { stage: Stage::Stepping { by, .. }, .. }) = &self.binding {
            add(after(by.instant(), BIND_GRACE), Overdue::Bind);
        } else if let Some(since) = self.partial {
            add(after(since, limits.receive), Overdue::Message);
        } else if self.running.is_empty() && self.binding.is_none() && self.outbox.is_empty() {
            add(after(self.last_active, limits.idle), Overdue::Idle);
        }
        next
    }

    fn overdue(&mut self, what: Overdue) {
        match what {
            Overdue::Write => self.closing = Some(End::Stalled),
            Overdue::Stop => {
                self.abandon_all();
                self.notice(ResultCode::UNAVAILABLE, "this server stops");
                self.closing = Some(End::Stopped);
            }
            Overdue::Bind => {
                tracing::error!(connection = self.connection.number, "a bind did not end by its deadline");
                self.notice(ResultCode::UNAVAILABLE, "the bind took too long");
            }
            Overdue::Message => {
                self.notice(ResultCode::ADMIN_LIMIT_EXCEEDED, "the message took too long to arrive");
            }
            Overdue::Idle => self.notice(ResultCode::ADMIN_LIMIT_EXCEEDED, "nothing was asked for too long"),
        }
    }

    // --- The access log.

    fn story(&mut self, operation: &'static str, what: What) -> Story {
        Story { number: self.connection.count(), operation, what, started: Instant::now() }
    }

    fn tell(&self, story: &Story, result: Option<ResultCode>, entries: u64) {
        if let Some(log) = &self.shared.access_log {
            log.finished(&Finished {
                connection: self.connection.number,
                number: story.number,
                operation: story.operation,
                actor: &self.actor,
                what: &story.what,
                result,
                elapsed: story.started.elapsed(),
                entries,
            });
        }
    }
}

enum Polled {
    Nothing,
    Items,
    Ended,
}

#[derive(Clone, Copy)]
enum Overdue {
    Write,
    Stop,
    Bind,
    Message,
    Idle,
}

/// Whether there is a control that must be understood: what the listener answers itself understands none.
fn has_critical(controls: &Controls) -> bool {
    controls.iter().any(|control| control.critical)
}
