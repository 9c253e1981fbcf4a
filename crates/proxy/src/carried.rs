//! One operation on its way: on which conversation, and whether it may go on on another one.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use flext_ldap_directory::{
    Applied, BoxFuture, Deadline, Error, ErrorKind, Event, Events, Outcome, Reply, Request,
};
use flext_ldap_proto::{
    batch::Batch,
    control::{ControlScope, ControlValue as _, PagedResults, PersistentSearch, VirtualListView, scope_of},
    result::{LdapResult, ResultCode},
};
use tokio::time::{Instant, Sleep};

use crate::{
    mark::{self, Cookies},
    password, root_dse,
    talk::{Conversation, Talk},
};

/// Conversations one operation is tried on.
const TRIES: u32 = 4;

/// An operation on its way.
pub(crate) struct Carried {
    talk: Arc<Talk>,
    /// What to send to the next conversation; `None` once it cannot be sent again.
    request: Option<Request>,
    deadline: Deadline,
    cookies: Cookies,
    is_write: bool,
    /// Whether it gives who asks another password, and has not been refused.
    changes_password: bool,
    /// Of who reads the root DSE: whether their connection is protected.
    root_dse: Option<bool>,
    tries: u32,
    state: State,
}

enum State {
    Obtaining(BoxFuture<'static, Result<Arc<Conversation>, Error>>),
    Asking(Asking),
    /// All items are delivered; how it ended is still to be told, or is told too.
    Ended(Option<Result<Outcome, Error>>),
}

struct Asking {
    reply: Reply,
    conversation: Arc<Conversation>,
    /// Whether something was delivered, and no more was asked for since.
    holds: bool,
    /// When to look whether the server still says anything.
    timer: Option<Pin<Box<Sleep>>>,
    probe: Option<BoxFuture<'static, bool>>,
    first: First,
}

/// The first items of a read. Once they are delivered it cannot go on elsewhere, so they wait for what comes after them, as
/// long as a conversation may say nothing: after a lookup that is its end, most often in the same segment.
#[derive(Default)]
enum First {
    /// They have not come, or are delivered.
    #[default]
    None,
    /// How long is known once nothing has come with them.
    Waits(Batch, Option<Pin<Box<Sleep>>>),
    /// They are delivered, and these came after them.
    Followed(Batch),
}

impl First {
    /// The items, when they have waited for this time.
    fn poll(&mut self, time: Duration, cx: &mut Context<'_>) -> Option<Batch> {
        let Self::Waits(_, timer) = self else { return None };
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        if timer.as_mut().poll(cx).is_pending() {
            return None;
        }
        match std::mem::take(self) {
            Self::Waits(batch, _) => Some(batch),
            _ => None,
        }
    }
}

impl Carried {
    /// Starts an operation of a session on its conversation.
    pub(crate) fn start(talk: &Arc<Talk>, request: Request, cookies: Cookies, is_protected: bool) -> Reply {
        let is_write = !request.op.is_read();
        let root_dse = root_dse::is_read_by(&request.op).then_some(is_protected);
        let mut carried = Self {
            deadline: request.deadline,
            cookies,
            changes_password: password::is_changed_by(&request.op, &request.actor),
            is_write,
            root_dse,
            tries: 0,
            state: State::Ended(None),
            request: Some(request),
            talk: Arc::clone(talk),
        };
        match talk.current() {
            // What is there is asked at once: a write that nobody waits for must have started.
            Some(conversation) => {
                if let Some(refusal) = carried.ask(conversation) {
                    return Reply::ready(Ok(refusal));
                }
            }
            None => carried.state = State::Obtaining(talk.obtain(carried.deadline)),
        }
        Reply::events(carried)
    }

    /// Asks this conversation. The answer, if it must not be asked.
    fn ask(&mut self, conversation: Arc<Conversation>) -> Option<Outcome> {
        if self.cookies.of.is_some_and(|mark| mark != conversation.mark) {
            return Some(foreign());
        }
        let request = match self.may_repeat() {
            true => self.request.clone(),
            false => self.request.take(),
        }?;
        self.tries += 1;
        let reply = conversation.call(request);
        self.state = State::Asking(Asking {
            reply,
            conversation,
            holds: false,
            timer: None,
            probe: None,
            first: First::None,
        });
        None
    }

    /// Whether the request may be sent again, should nothing come of it: one with a cookie belongs to its conversation, a
    /// search that stays would miss what happens between, and of a control that is not known nobody can tell.
    fn may_repeat(&self) -> bool {
        let is_free = |request: &Request| {
            request.controls.iter().all(|control| {
                let first = [PagedResults::OID, VirtualListView::OID].contains(&control.oid);
                let belongs = scope_of(&control.oid) == ControlScope::Connection && !first;
                !belongs && control.oid != PersistentSearch::OID
            })
        };
        self.cookies.of.is_none()
            && self.tries + 1 < TRIES
            && (self.is_write || self.request.as_ref().is_some_and(is_free))
    }

    /// The conversation failed. It is tried on another one, if it may be.
    fn failed(&mut self, error: Error) -> Result<(), Error> {
        let State::Asking(asking) = std::mem::replace(&mut self.state, State::Ended(None)) else {
            return Err(error);
        };
        if self.changes_password && error.applied() == Applied::Unknown {
            self.talk.forget_proof(&asking.conversation);
        }
        if matches!(
            error.kind(),
            ErrorKind::Closed | ErrorKind::Unreachable | ErrorKind::Tls | ErrorKind::Protocol
        ) {
            self.talk.lost(&asking.conversation);
        } else {
            return Err(error);
        }
        let is_safe = !self.is_write || error.applied() == Applied::No;
        if !is_safe || self.request.is_none() || self.deadline.has_passed() || self.talk.has_ended() {
            return Err(error);
        }
        self.state = State::Obtaining(self.talk.obtain(self.deadline));
        Ok(())
    }

    /// From here on they would be delivered twice.
    fn deliver(&mut self, batch: Batch) -> Event {
        self.request = None;
        if let State::Asking(asking) = &mut self.state {
            asking.hold(true);
        }
        Event::Batch(batch)
    }

    /// How it ends: with this, and with the items before it that still wait.
    fn end(&mut self, first: First, end: Result<Outcome, Error>) -> Result<Event, Error> {
        match first {
            First::Waits(batch, _) => {
                self.state = State::Ended(Some(end));
                Ok(Event::Batch(batch))
            }
            _ => {
                self.state = State::Ended(None);
                end.map(Event::Done)
            }
        }
    }
}

impl Asking {
    /// Ready when the server says nothing at all.
    fn poll_silence(&mut self, talk: &Talk, cx: &mut Context<'_>) -> Poll<()> {
        let settings = talk.shared.settings;
        loop {
            if self.conversation.is_lost() {
                return Poll::Ready(());
            }
            if let Some(probe) = &mut self.probe {
                if !ready!(probe.as_mut().poll(cx)) {
                    return Poll::Ready(());
                }
                self.probe = None;
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(settings.silence)));
            ready!(timer.as_mut().poll(cx));
            timer.as_mut().reset(Instant::now() + settings.silence);
            if self.conversation.silence() >= settings.silence {
                self.probe = self.conversation.probe(settings.probe);
            }
        }
    }

    fn hold(&mut self, holds: bool) {
        match (self.holds, holds) {
            (false, true) => self.conversation.held.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.conversation.held.fetch_sub(1, Ordering::Relaxed),
            _ => return,
        };
        self.holds = holds;
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.hold(false);
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        // Who has gone does not stop a write.
        if self.changes_password
            && let State::Asking(asking) = &self.state
        {
            self.talk.forget_proof(&asking.conversation);
        }
    }
}

impl Events for Carried {
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        let this = self.get_mut();
        loop {
            let asking = match &mut this.state {
                State::Asking(asking) => asking,
                State::Obtaining(obtaining) => match ready!(obtaining.as_mut().poll(cx)) {
                    Ok(conversation) => {
                        if let Some(refusal) = this.ask(conversation) {
                            this.state = State::Ended(None);
                            return Poll::Ready(Ok(Event::Done(refusal)));
                        }
                        continue;
                    }
                    Err(error) => {
                        this.state = State::Ended(None);
                        return Poll::Ready(Err(error));
                    }
                },
                State::Ended(end) => {
                    let misuse = || Err(Error::new(ErrorKind::Misuse, "a reply was read after its end"));
                    return Poll::Ready(end.take().unwrap_or_else(misuse).map(Event::Done));
                }
            };
            match std::mem::take(&mut asking.first) {
                First::Followed(batch) => return Poll::Ready(Ok(this.deliver(batch))),
                first => asking.first = first,
            }
            match asking.reply.poll_next(cx) {
                Poll::Ready(Ok(Event::Batch(batch))) => {
                    asking.conversation.heard();
                    let batch = match this.root_dse {
                        Some(is_protected) => root_dse::carried(batch, is_protected),
                        None => batch,
                    };
                    let batch = match std::mem::take(&mut asking.first) {
                        First::Waits(first, _) => {
                            asking.first = First::Followed(batch);
                            first
                        }
                        _ if this.request.is_some() => {
                            asking.first = First::Waits(batch, None);
                            continue;
                        }
                        _ => batch,
                    };
                    return Poll::Ready(Ok(this.deliver(batch)));
                }
                Poll::Ready(Ok(Event::Done(mut outcome))) => {
                    asking.conversation.heard();
                    let first = std::mem::take(&mut asking.first);
                    // It is about to go, so the read goes on elsewhere. Where nobody else is, its answer is as good as any.
                    if outcome.result.code == ResultCode::UNAVAILABLE
                        && !this.is_write
                        && this.tries == 1
                        && !asking.conversation.is_last()
                        && this.failed(Error::new(ErrorKind::Closed, "the server is unavailable")).is_ok()
                    {
                        continue;
                    }
                    if outcome.result.code != ResultCode::SUCCESS {
                        this.changes_password = false;
                    }
                    if this.changes_password
                        && let State::Asking(asking) = &this.state
                    {
                        this.talk.forget_proof(&asking.conversation);
                    }
                    if this.cookies.are_asked_for
                        && let State::Asking(asking) = &this.state
                    {
                        mark::put(asking.conversation.mark, &mut outcome);
                    }
                    return Poll::Ready(this.end(first, Ok(outcome)));
                }
                Poll::Ready(Err(error)) => {
                    let first = std::mem::take(&mut asking.first);
                    if let Err(error) = this.failed(error) {
                        return Poll::Ready(this.end(first, Err(error)));
                    }
                }
                Poll::Pending => {
                    asking.hold(false);
                    if let Some(first) = asking.first.poll(this.talk.shared.settings.silence, cx) {
                        return Poll::Ready(Ok(this.deliver(first)));
                    }
                    if this.is_write || this.request.is_none() {
                        return Poll::Pending;
                    }
                    ready!(asking.poll_silence(&this.talk, cx));
                    let first = std::mem::take(&mut asking.first);
                    let message = "the server says nothing, and an operation waited for its answer";
                    if let Err(error) = this.failed(Error::new(ErrorKind::Closed, message)) {
                        return Poll::Ready(this.end(first, Err(error)));
                    }
                }
            }
        }
    }
}

/// A reply of the upstream's own connections.
pub(crate) fn over_service(reply: Reply, root_dse: Option<bool>) -> Reply {
    match root_dse {
        Some(is_protected) => Reply::events(RootDse { reply, is_protected }),
        None => reply,
    }
}

struct RootDse {
    reply: Reply,
    is_protected: bool,
}

impl Events for RootDse {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        let event = ready!(self.reply.poll_next(cx))?;
        Poll::Ready(Ok(match event {
            Event::Batch(batch) => Event::Batch(root_dse::carried(batch, self.is_protected)),
            done => done,
        }))
    }
}

/// The answer to a search that goes on with a cookie of another conversation.
fn foreign() -> Outcome {
    Outcome::new(LdapResult::with_diagnostic(
        ResultCode::UNWILLING_TO_PERFORM,
        "the server that gave the cookie is gone, or was asked on another connection, and no other knows it: start the search again",
    ))
}

/// The reply to a search with a cookie that no conversation has given.
pub(crate) fn cookie_is_foreign() -> Reply {
    Reply::ready(Ok(foreign()))
}
