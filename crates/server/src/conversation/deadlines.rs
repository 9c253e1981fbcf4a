//! How long is waited, for what.

use std::{task::Context, time::Duration};

use flext_ldap_proto::result::ResultCode;
use tokio::time::Instant;

use super::{Binding, Conversation, End, Stage};

/// How much longer than its deadline a bind may take before the directory is taken to be stuck.
const BIND_GRACE: Duration = Duration::from_secs(5);

impl Conversation<'_> {
    /// Acts on deadlines that have passed, and sets the timer for the next. Returns whether anything happened.
    pub(super) fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> bool {
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
}

#[derive(Clone, Copy)]
enum Overdue {
    Write,
    Stop,
    Bind,
    Message,
    Idle,
}
