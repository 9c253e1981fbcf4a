//! One conversation: requests in, answers out, over one stream and one session of the directory.
//!
//! All of it happens in one poll function on one task, so nothing is shared. Each pass reads what has arrived, starts
//! what was asked, collects what is ready, and sends all of it in one write. Where a bound is reached (operations in
//! flight, answers unread, a bind under way) the stream is simply not read, which holds back the peer.

mod bind;
mod deadlines;
mod own;
mod persistent;
mod rated;
mod requests;
mod sealed;

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use flext_ldap_directory::{
    Actor, BindReply, BoxFuture, Deadline, Error, ErrorKind, Event, OpKind, Outcome, Reply, Session,
};
use flext_ldap_proto::{
    ber::{DecodeError, DecodeErrorKind},
    control::Controls,
    message::{BindRequest, MessageId, Response},
    result::{LdapResult, ResultCode},
};
use tokio::{
    task::yield_now,
    time::{Instant, Sleep},
};

use crate::{
    What,
    accept::{Shared, Stop},
    access_log::Finished,
    answer,
    connection::Connection,
    outbox::Outbox,
    root_dse,
    stream::Stream,
};

/// Passes over a conversation before other tasks get their turn.
const PASSES: usize = 16;

/// How long a conversation keeps a thread, however much it has to do.
const TURN: Duration = Duration::from_millis(4);

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
    /// The directory's session ended it, and says why in a notice.
    BySession,
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
    /// Whether it reads the root DSE, part of which is the listener's.
    root_dse: bool,
    /// Whether it asks for the name of `cn=Monitor` there.
    asks_monitor: bool,
    /// Whether it goes on until somebody ends it.
    persistent: bool,
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
        let until = Instant::now() + TURN;
        for _ in 0..PASSES {
            let mut progress = self.poll_stop(cx);
            match self.receive(cx) {
                Ok(received) => progress |= received,
                Err(end) => return Poll::Ready(self.end(end)),
            }
            progress |= self.take_requests(cx, until);
            progress |= self.poll_binding(cx);
            progress |= self.poll_running(cx, until);
            progress |= self.poll_session(cx);
            progress |= self.drain();
            let queued = self.outbox.queued();
            let sent = self.outbox.send(self.stream, cx);
            self.shared.core.statistics.octets_sent.add(queued.saturating_sub(self.outbox.queued()));
            match sent {
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
            if Instant::now() >= until {
                break;
            }
        }
        // Others who are ready come first, and the sockets are looked at.
        let _ = pin!(yield_now()).poll(cx);
        Poll::Pending
    }

    /// Collects what is ready, each in its turn, until there is enough to send.
    fn poll_running(&mut self, cx: &mut Context<'_>, until: Instant) -> bool {
        let mut progress = false;
        let mut left = self.running.len();
        while left > 0 && self.has_room() {
            if Instant::now() >= until {
                // The others have not been asked: this is not the time to wait.
                return true;
            }
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
                let batch = if running.root_dse {
                    let monitor = self.shared.monitor.is_some() && running.asks_monitor;
                    root_dse::completed(batch, self.shared.tls.is_some(), monitor)
                } else {
                    batch
                };
                let counted = &self.shared.core.statistics;
                counted.items.add(batch.len());
                counted.messages_sent.add(batch.len());
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
        self.shared.core.statistics.messages_sent.add(1);
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
                if let Some(left_out) = self.shared.core.failures.count(Instant::now()) {
                    tracing::error!(connection, operation = number, %error, cause, left_out, "an operation failed");
                }
            }
            ErrorKind::Unreachable | ErrorKind::Tls | ErrorKind::Closed | ErrorKind::Protocol => {
                if let Some(left_out) = self.shared.core.failures.count(Instant::now()) {
                    tracing::warn!(connection, operation = number, %error, cause, left_out, "an operation failed");
                }
            }
            // Peers can bring these about as often as they like.
            _ => tracing::debug!(connection, operation = number, %error, cause, "an operation failed"),
        }
        error.answer()
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>) -> bool {
        if self.stopping.is_some() {
            return false;
        }
        let Poll::Ready(until) = Pin::new(&mut *self.stop).poll(cx) else { return false };
        self.stopping = Some(until);
        self.end_persistent(ResultCode::UNAVAILABLE, "this server stops");
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
            DecodeErrorKind::MessageTooLarge => "message larger than the limit",
            _ => "malformed message",
        };
        self.notice(ResultCode::PROTOCOL_ERROR, text);
    }

    /// Ends the conversation with a Notice of Disconnection.
    fn notice(&mut self, code: ResultCode, why: &'static str) {
        self.say_goodbye(LdapResult::with_diagnostic(code, why), End::Notice(code));
    }

    fn say_goodbye(&mut self, result: LdapResult, end: End) {
        self.abandon_all();
        self.outbox.answer(MessageId::UNSOLICITED, &answer::notice(result), &Controls::none());
        self.closing = Some(end);
    }

    /// Whether the directory ends the conversation. What it has answered goes out first.
    fn poll_session(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(session) = &mut self.session else { return false };
        if self.closing.is_some() {
            return false;
        }
        let Poll::Ready(result) = session.poll_end(cx) else { return false };
        self.say_goodbye(result, End::BySession);
        true
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

    fn story(&mut self, operation: &'static str, what: What) -> Story {
        self.shared.core.statistics.initiated(operation);
        Story { number: self.connection.count(), operation, what, started: Instant::now() }
    }

    fn tell(&self, story: &Story, result: Option<ResultCode>, entries: u64) {
        self.shared.core.statistics.completed(story.operation);
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
