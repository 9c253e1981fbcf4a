//! One operation on its way through a set: which member has it, and whether it may go on to another one.
//!
//! An operation moves only where nothing can have been done by the one before: a read until its first event, a write
//! only while no octet of it left. All within the caller's deadline and the set's budget. What a lookup brings is kept back
//! until its end, which is there at the same moment unless the connection is lost in between: so it is whole or goes on.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use flext_ldap_directory::{
    Applied, BoxFuture, Deadline, Error, ErrorKind, Event, Events, Op, Outcome, Reply, Request,
    layers::Traces,
    proto::{
        batch::Batch,
        control::{ControlScope, scope_of},
        message::Scope,
        result::ResultCode,
    },
};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    WhenDown,
    member::{InFlight, Member},
    shared::Shared,
    tag::Tag,
};
use crate::{chance::longest_pause, trace::Step};

/// Failures that are told of one operation.
const TOLD: usize = 4;
/// Entries a search may ask for and still be a lookup.
const FEW: u32 = 100;

/// An operation on its way.
pub(super) struct Routed {
    shared: Arc<Shared>,
    /// What to send to the next member; `None` once it can not be sent again.
    request: Option<Request>,
    deadline: Deadline,
    is_write: bool,
    is_lookup: bool,
    /// What a lookup has brought, and nobody has seen: while there is a request to send, it can be asked for again.
    held: Option<Batch>,
    /// Whether the caller has seen anything.
    has_delivered: bool,
    /// Whether the answer may hold a cookie.
    has_cookies: bool,
    /// The member whose cookie this is.
    bound_to: Option<u32>,
    /// Members that this round has tried.
    tried: Vec<u32>,
    failures: Vec<Error>,
    attempts: u32,
    /// Whether the next attempt is not a retry: a server has come back meanwhile.
    is_free: bool,
    /// Whether the budget has to bear a retry before the next attempt.
    owes_retry: bool,
    state: State,
}

enum State {
    Choosing,
    Waiting(BoxFuture<'static, ()>),
    Asking(Asking),
    /// The end has come, and is told after what is held.
    Answered(Outcome),
    Ended,
}

struct Asking {
    reply: Reply,
    member: InFlight,
    since: Instant,
    has_answered: bool,
    /// Whether the member was down when it was asked, as the last resort.
    was_down: bool,
    /// Ready when the member is given up.
    given_up: Option<BoxFuture<'static, ()>>,
}

/// Whether an operation that failed so may be sent to another server.
pub(super) fn may_move(is_write: bool, error: &Error) -> bool {
    let of_the_way = matches!(
        error.kind(),
        ErrorKind::Unreachable
            | ErrorKind::Tls
            | ErrorKind::Closed
            | ErrorKind::Timeout
            | ErrorKind::Overloaded
    );
    match is_write {
        true => of_the_way && error.applied() == Applied::No,
        // What a server made of a read changes nothing; that it is busy it may say while connecting, too.
        false => of_the_way || error.kind() == ErrorKind::Protocol || is_busy(error.result_code()),
    }
}

/// Whether all that a search brings is little, and soon there.
fn is_lookup(request: &Request) -> bool {
    let Op::Search(search) = &request.op else { return false };
    let is_small = search.scope == Scope::Base || (1..=FEW).contains(&search.size_limit);
    is_small && !request.controls.iter().any(|control| scope_of(&control.oid) == ControlScope::Connection)
}

fn is_busy(code: Option<ResultCode>) -> bool {
    matches!(code, Some(ResultCode::BUSY | ResultCode::UNAVAILABLE))
}

impl Routed {
    /// Starts `request` on a member of the set.
    pub(super) fn start(shared: &Arc<Shared>, mut request: Request) -> Reply {
        shared.budget.earn();
        let has_cookies = Tag::concerns(&request);
        let bound_to = match shared.tag.take(&shared.name, &mut request) {
            Ok(member) => member,
            Err(error) => return Reply::ready(Err(error)),
        };
        let mut routed = Self {
            shared: Arc::clone(shared),
            deadline: request.deadline,
            is_write: request.op.kind().is_write(),
            is_lookup: is_lookup(&request),
            held: None,
            has_delivered: false,
            request: Some(request),
            has_cookies,
            bound_to,
            tried: Vec::new(),
            failures: Vec::new(),
            attempts: 0,
            is_free: false,
            owes_retry: false,
            state: State::Choosing,
        };
        match routed.attempt() {
            Ok(()) => Reply::events(routed),
            Err(error) => Reply::ready(Err(error)),
        }
    }

    /// Asks the next member, or begins to wait for one.
    fn attempt(&mut self) -> Result<(), Error> {
        if self.shared.is_closing() {
            return Err(self.shared.closed());
        }
        if self.owes_retry && !self.may_retry() {
            let longest = longest_pause(u32::MAX).min(self.shared.settings.longest_pause);
            let (pause, deadline) = (self.shared.dice.up_to(longest), self.deadline);
            self.state = State::Waiting(Box::pin(async move {
                let _: Result<(), _> = timeout_at(deadline.instant(), sleep(pause)).await;
            }));
            return Ok(());
        }
        self.owes_retry = false;
        let member = match self.bound_to {
            Some(number) => Some(self.shared.member(number).ok_or_else(|| {
                let message = format!(
                    "the server whose cookie the search goes on with is not in the set `{}` any more: start the search again",
                    self.shared.name
                );
                Error::new(ErrorKind::Closed, message)
            })?),
            None => self.shared.choose(&self.tried, self.is_write),
        };
        let Some(member) = member else {
            // Who the servers are is being looked up, or that has failed and is tried again.
            let can_wait = !self.shared.is_known() || self.shared.settings.when_down == WhenDown::Wait;
            if !can_wait || self.deadline.has_passed() {
                return Err(self.shared.none_answered(&mut self.failures, ""));
            }
            let (shared, deadline) = (Arc::clone(&self.shared), self.deadline);
            self.state = State::Waiting(Box::pin(async move {
                let changed = shared.changed.notified();
                if shared.members().is_empty() && !shared.is_closing() {
                    // That it did not change in time is seen at the next attempt.
                    let _: Result<(), _> = timeout_at(deadline.instant(), changed).await;
                }
            }));
            return Ok(());
        };
        let can_repeat = self.bound_to.is_none()
            && self.may_repeat()
            && (self.shared.settings.when_down == WhenDown::Wait
                || self.shared.settings.attempts.is_some()
                || self.shared.members().len() > 1);
        let taken = if can_repeat { self.request.clone() } else { self.request.take() };
        let Some(request) = taken else {
            return Err(Error::new(ErrorKind::Bug, "an operation was to be sent again and was not kept"));
        };
        self.attempts += 1;
        // The next member brings all of it.
        self.held = None;
        if self.attempts > 1 {
            tracing::debug!(set = self.shared.name, server = member.server.name(), "operation goes on");
            // That of the layer around the set, if there is one.
            tracing::Span::current().record("flext_ldap.retries", self.attempts - 1);
        }
        let was_down = member.is_down();
        let in_flight = member.begin();
        let since = Instant::now();
        let reply = member.server.call(request);
        self.state = State::Asking(Asking {
            reply,
            member: in_flight,
            since,
            has_answered: false,
            was_down,
            given_up: None,
        });
        Ok(())
    }

    /// Begins to send the operation to another member, or to any after a pause; or says why it may not be sent again.
    fn move_on(&mut self, failed: &Arc<Member>, was_unreachable: bool) -> Result<(), &'static str> {
        if self.request.is_none() || self.shared.is_closing() || !self.may_repeat() {
            return Err("");
        }
        if self.deadline.has_passed() {
            return Err(" in time");
        }
        self.tried.push(failed.number);
        let has_another = self.shared.has_another(&self.tried);
        let waits = self.shared.settings.when_down == WhenDown::Wait;
        let can_wait = waits || (self.shared.settings.attempts.is_some() && !self.shared.all_are_down());
        // While all are down the last resort has been asked, and probes find out when one is back.
        let for_recovery = can_wait && self.shared.all_are_down();
        if !has_another && !can_wait {
            return Err("");
        }
        let is_free = std::mem::take(&mut self.is_free);
        if was_unreachable && has_another {
            // It has cost no server anything: what goes to the next one is the first that any of them sees of it.
            self.shared.retries.fetch_add(1, Ordering::Relaxed);
        } else if !for_recovery && !is_free && !self.may_retry() {
            if !can_wait {
                return Err(", and too much is being tried again already");
            }
            self.owes_retry = true;
        }
        failed.left();
        if !has_another || for_recovery {
            self.tried.clear();
            self.is_free = for_recovery;
        } else if self.attempts < 2 {
            self.state = State::Choosing;
            return Ok(());
        }
        let longest = longest_pause(self.attempts).min(self.shared.settings.longest_pause);
        let pause = self.shared.dice.up_to(longest);
        let (shared, deadline) = (Arc::clone(&self.shared), self.deadline);
        let span = Step::Pause.span(&self.shared.name);
        self.state = State::Waiting(Box::pin(async move {
            let changed = shared.changed.notified();
            let rest = async {
                if for_recovery && shared.all_are_down() && !shared.is_closing() {
                    changed.await;
                }
                sleep(pause).await;
            };
            // That the time is over is seen at the next attempt.
            let _: Result<(), _> = timeout_at(deadline.instant(), rest).await;
            Traces::end(&span, None);
        }));
        Ok(())
    }

    /// Whether it may be sent once more, after all the times it was.
    fn may_repeat(&self) -> bool {
        self.shared.settings.attempts.is_none_or(|most| self.attempts < most)
    }

    /// Takes a retry from the budget.
    fn may_retry(&self) -> bool {
        let may = self.shared.budget.spend();
        let counter = if may { &self.shared.retries } else { &self.shared.refused_retries };
        counter.fetch_add(1, Ordering::Relaxed);
        may
    }

    /// An attempt has failed: goes on, or gives the error.
    fn failed(&mut self, error: Error) -> Result<(), Error> {
        let State::Asking(asking) = std::mem::replace(&mut self.state, State::Ended) else {
            return Err(error);
        };
        let member = Arc::clone(&asking.member.0);
        let (took, has_answered) = (asking.since.elapsed(), asking.has_answered);
        drop(asking);
        match error.kind() {
            ErrorKind::Unreachable | ErrorKind::Tls | ErrorKind::Closed | ErrorKind::Protocol => {
                member.failed(&error);
            }
            // A caller in a hurry says nothing about the server.
            ErrorKind::Timeout if took >= self.shared.settings.slow && !has_answered => member.late(&error),
            ErrorKind::Rejected if is_busy(error.result_code()) => member.busy(&error),
            _ => member.not_answered(),
        }
        if self.bound_to.is_some() && may_move(false, &error) {
            let message = format!(
                "the search goes on with a cookie of {}, which is good there only: start the search again",
                member.server.name()
            );
            return Err(Error::new(error.kind(), message).with_source(error));
        }
        if self.has_delivered || !may_move(self.is_write, &error) {
            return Err(error);
        }
        let was_unreachable = error.kind() == ErrorKind::Unreachable;
        self.note(error);
        self.move_on(&member, was_unreachable)
            .map_err(|why_not| self.shared.none_answered(&mut self.failures, why_not))
    }

    /// The answer is that the server is busy: goes on, or gives the answer back.
    fn is_busy(&mut self, outcome: Outcome) -> Option<Outcome> {
        let State::Asking(asking) = &self.state else { return Some(outcome) };
        let member = Arc::clone(&asking.member.0);
        let error = Error::rejected(outcome);
        member.busy(&error);
        let outcome = error.outcome().cloned();
        if self.is_write || self.has_delivered {
            return outcome;
        }
        self.note(error);
        match self.move_on(&member, false) {
            Ok(()) => None,
            Err(_) => outcome,
        }
    }

    /// Keeps an error, to be told if no other member answers.
    fn note(&mut self, error: Error) {
        if self.failures.len() >= TOLD {
            self.failures.remove(0);
        }
        self.failures.push(error);
    }
}

impl Asking {
    /// The first answer has come.
    fn first(&mut self, is_write: bool) {
        let member = &self.member.0;
        match std::mem::replace(&mut self.has_answered, true) {
            false if !is_write => member.answered(self.since.elapsed()),
            _ => member.heard(),
        }
    }

    /// Ready when the member is not to be waited for any longer.
    fn poll_given_up(&mut self, shared: &Arc<Shared>, cx: &mut Context<'_>) -> Poll<()> {
        let given_up = self.given_up.get_or_insert_with(|| match self.was_down {
            // The last resort may have come back, but is not waited for as if it had.
            true => Box::pin(sleep(shared.settings.check_timeout)),
            false => Box::pin(Arc::clone(shared).when_given_up(Arc::clone(&self.member.0))),
        });
        given_up.as_mut().poll(cx)
    }
}

impl Events for Routed {
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        let this = self.get_mut();
        loop {
            if this.request.is_none()
                && let Some(batch) = this.held.take()
            {
                this.has_delivered = true;
                return Poll::Ready(Ok(Event::Batch(batch)));
            }
            let asking = match &mut this.state {
                State::Asking(asking) => asking,
                State::Choosing => {
                    if let Err(error) = this.attempt() {
                        this.state = State::Ended;
                        return Poll::Ready(Err(error));
                    }
                    continue;
                }
                State::Waiting(wait) => {
                    ready!(wait.as_mut().poll(cx));
                    this.state = State::Choosing;
                    if this.deadline.has_passed() && !this.failures.is_empty() {
                        this.state = State::Ended;
                        let error = this.shared.none_answered(&mut this.failures, " in time");
                        return Poll::Ready(Err(error));
                    }
                    continue;
                }
                State::Answered(_) | State::Ended => {
                    return Poll::Ready(match std::mem::replace(&mut this.state, State::Ended) {
                        State::Answered(outcome) => Ok(Event::Done(outcome)),
                        _ => Err(Error::new(ErrorKind::Misuse, "a reply was read after its end")),
                    });
                }
            };
            match asking.reply.poll_next(cx) {
                Poll::Ready(Ok(Event::Batch(batch))) => {
                    asking.first(this.is_write);
                    asking.given_up = None;
                    if this.is_lookup && this.request.is_some() && this.held.is_none() {
                        this.held = Some(batch);
                        continue;
                    }
                    // From here on it would be delivered twice.
                    (this.request, this.has_delivered) = (None, true);
                    let first = match this.held.take() {
                        Some(first) => {
                            this.held = Some(batch);
                            first
                        }
                        None => batch,
                    };
                    return Poll::Ready(Ok(Event::Batch(first)));
                }
                Poll::Ready(Ok(Event::Done(outcome))) if is_busy(Some(outcome.result.code)) => {
                    if let Some(outcome) = this.is_busy(outcome) {
                        this.request = None;
                        this.state = State::Answered(outcome);
                    }
                }
                Poll::Ready(Ok(Event::Done(mut outcome))) => {
                    asking.first(this.is_write);
                    if this.has_cookies {
                        this.shared.tag.put(asking.member.0.number, &mut outcome);
                    }
                    this.request = None;
                    this.state = State::Answered(outcome);
                }
                Poll::Ready(Err(error)) => {
                    if let Err(error) = this.failed(error) {
                        this.state = State::Ended;
                        return Poll::Ready(Err(error));
                    }
                }
                Poll::Pending => {
                    if this.is_write || this.request.is_none() {
                        return Poll::Pending;
                    }
                    // A read that waits on a server that is found to be down goes on elsewhere.
                    ready!(asking.poll_given_up(&this.shared, cx));
                    let name = asking.member.0.server.name();
                    let message = format!("{name} is down, and an operation waited for its answer");
                    if let Err(error) = this.failed(Error::new(ErrorKind::Closed, message)) {
                        this.state = State::Ended;
                        return Poll::Ready(Err(error));
                    }
                }
            }
        }
    }
}

impl Drop for Routed {
    fn drop(&mut self) {
        let State::Asking(asking) = &self.state else { return };
        let waited: Duration = asking.since.elapsed();
        if !asking.has_answered && waited >= self.shared.settings.slow {
            asking
                .member
                .0
                .late(&format_args!("an operation was given up after {waited:?} without an answer"));
        }
    }
}
