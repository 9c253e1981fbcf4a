//! One operation that follows where it is sent.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use flext_ldap_directory::{
    BoxFuture, Deadline, Directory as _, Error, ErrorKind, Event, Events, Op, Outcome, Reply, Request,
    proto::{
        batch::{Batch, Item},
        dn::Dn,
        message::Scope,
        result::ResultCode,
        url::LdapUrl,
    },
};

use super::{Settings, target::Target};
use crate::Server as _;

/// References of one operation that are followed. Beyond, they are handed on.
const MOST: usize = 100;

/// URLs of one referral that are looked at.
const MOST_URLS: usize = 8;

pub(super) struct Following {
    settings: Arc<Settings>,
    /// Whom it has been sent to already, and for what: nobody is asked the same twice (RFC 4511 §4.1.10).
    seen: Vec<Visit>,
    next: VecDeque<Hop>,
    /// Entries that may still be handed out, if there is a limit.
    room: Option<u32>,
    /// How it will end.
    outcome: Option<Outcome>,
    state: State,
}

type Visit = (Target, Dn, Option<Scope>);

/// A referral that will be followed: places that can say the same.
struct Hop {
    choices: Vec<(Target, Request)>,
    depth: usize,
}

enum State {
    Reaching(BoxFuture<'static, Result<Asking, Error>>),
    Asking(Box<Asking>),
    Ended,
}

struct Asking {
    reply: Reply,
    /// As it was sent.
    request: Request,
    /// Who is asked; `None` for the directory below the layer.
    target: Option<Target>,
    /// Referrals on the way there.
    depth: usize,
}

impl Following {
    pub(super) fn new(settings: Arc<Settings>, request: Request, reply: Reply) -> Self {
        let room = match &request.op {
            Op::Search(search) if search.size_limit > 0 => Some(search.size_limit),
            _ => None,
        };
        let first = Asking { reply, request, target: None, depth: 0 };
        Self {
            settings,
            seen: Vec::new(),
            next: VecDeque::new(),
            room,
            outcome: None,
            state: State::Asking(Box::new(first)),
        }
    }

    /// What following these URLs is, if they may be followed. `is_reference`: they stood among the entries of a search.
    fn hop(&mut self, from: &Asking, urls: &[&str], is_reference: bool) -> Option<Hop> {
        let depth = from.depth + 1;
        if depth > self.settings.hops || self.seen.len() >= MOST {
            return None;
        }
        let mut choices: Vec<(Target, Request)> = Vec::new();
        for url in urls.iter().take(MOST_URLS) {
            let Ok(url) = url.parse::<LdapUrl>() else { continue };
            let critical = url.extensions.iter().any(|extension| extension.starts_with('!'));
            let Some(target) = Target::of(&url).filter(|_| !critical) else { continue };
            if !self.settings.targets.allows(&target) {
                continue;
            }
            let request = redirected(&from.request, url, is_reference);
            let visit = visit(&target, &request);
            if self.seen.contains(&visit) {
                // Another name of where it has been.
                return None;
            }
            choices.push((target, request));
        }
        self.seen.extend(choices.iter().map(|(target, request)| visit(target, request)));
        (!choices.is_empty()).then_some(Hop { choices, depth })
    }

    /// Takes out of a batch what will be followed.
    fn sift(&mut self, from: &Asking, batch: &mut Batch) {
        batch.retain(|item| {
            let Item::Reference(urls) = item.get() else {
                if item.entry().is_some()
                    && let Some(room) = &mut self.room
                {
                    *room = room.saturating_sub(1);
                }
                return true;
            };
            match self.hop(from, &urls, true) {
                Some(hop) => {
                    self.next.push_back(hop);
                    false
                }
                None => true,
            }
        });
    }

    /// What an answer makes of the whole.
    fn answered(&mut self, from: &Asking, outcome: Outcome) {
        if outcome.result.code == ResultCode::REFERRAL {
            let urls: Vec<&str> = outcome.result.referrals.iter().map(String::as_str).collect();
            if let Some(hop) = self.hop(from, &urls, false) {
                self.next.push_front(hop);
                return;
            }
        }
        if outcome.result.code != ResultCode::SUCCESS {
            // The first answer that is no is the answer of the whole.
            self.next.clear();
            self.outcome = Some(outcome);
        } else if self.outcome.is_none() {
            self.outcome = Some(outcome);
        }
    }

    /// Goes on to the next referral, or ends.
    fn go_on(&mut self) -> Option<Outcome> {
        let Some(mut hop) = self.next.pop_front() else {
            self.state = State::Ended;
            return Some(self.outcome.take().unwrap_or_else(Outcome::success));
        };
        if self.room == Some(0) {
            self.state = State::Ended;
            let mut outcome = Outcome::success();
            outcome.result.code = ResultCode::SIZE_LIMIT_EXCEEDED;
            return Some(outcome);
        }
        for (_, request) in &mut hop.choices {
            if let (Op::Search(search), Some(room)) = (&mut request.op, self.room) {
                search.size_limit = room;
            }
        }
        self.state = State::Reaching(Box::pin(reach(Arc::clone(&self.settings), hop)));
        None
    }
}

impl Events for Following {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        let this = &mut *self;
        loop {
            match std::mem::replace(&mut this.state, State::Ended) {
                State::Reaching(mut reaching) => match reaching.as_mut().poll(cx) {
                    Poll::Pending => {
                        this.state = State::Reaching(reaching);
                        return Poll::Pending;
                    }
                    Poll::Ready(reached) => this.state = State::Asking(Box::new(reached?)),
                },
                State::Asking(mut asking) => {
                    let Poll::Ready(event) = asking.reply.poll_next(cx) else {
                        this.state = State::Asking(asking);
                        return Poll::Pending;
                    };
                    match event.map_err(|error| told(asking.target.as_ref(), error))? {
                        Event::Batch(mut batch) => {
                            this.sift(&asking, &mut batch);
                            this.state = State::Asking(asking);
                            if !batch.is_empty() {
                                return Poll::Ready(Ok(Event::Batch(batch)));
                            }
                        }
                        Event::Done(outcome) => {
                            this.answered(&asking, outcome);
                            if let Some(outcome) = this.go_on() {
                                return Poll::Ready(Ok(Event::Done(outcome)));
                            }
                        }
                    }
                }
                State::Ended => {
                    let error = Error::new(ErrorKind::Bug, "a reply that follows was read after its end");
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

/// The same operation, as the URL of a referral has it.
fn redirected(request: &Request, url: LdapUrl, is_reference: bool) -> Request {
    let mut request = request.clone();
    // Without a name in it, the URL leaves the one there is (RFC 4511 §4.1.10).
    let dn = (!url.dn.is_root()).then_some(url.dn);
    let place = match &mut request.op {
        Op::Search(search) => {
            search.scope = match (url.scope, search.scope) {
                (Some(scope), _) => scope,
                // The reference is the entry below, or the root of all that is below (RFC 4511 §4.5.3).
                (None, Scope::One) if is_reference => Scope::Base,
                (None, Scope::Children) if is_reference => Scope::Subtree,
                (None, scope) => scope,
            };
            if let Some(filter) = url.filter {
                search.filter = filter;
            }
            Some(&mut search.base)
        }
        Op::Compare(compare) => Some(&mut compare.dn),
        Op::Add(add) => Some(&mut add.dn),
        Op::Modify(modify) => Some(&mut modify.dn),
        Op::Delete(delete) => Some(&mut delete.dn),
        Op::Rename(rename) => Some(&mut rename.dn),
        Op::Extended(_) => None,
    };
    if let (Some(place), Some(dn)) = (place, dn) {
        *place = dn;
    }
    request.actor = flext_ldap_directory::Actor::Service;
    request
}

fn visit(target: &Target, request: &Request) -> Visit {
    let (dn, scope) = match &request.op {
        Op::Search(search) => (search.base.clone(), Some(search.scope)),
        Op::Compare(compare) => (compare.dn.clone(), None),
        Op::Add(add) => (add.dn.clone(), None),
        Op::Modify(modify) => (modify.dn.clone(), None),
        Op::Delete(delete) => (delete.dn.clone(), None),
        Op::Rename(rename) => (rename.dn.clone(), None),
        Op::Extended(_) => (Dn::root(), None),
    };
    (target.clone(), dn, scope)
}

/// Asks the first of the places that is well, or the last.
async fn reach(settings: Arc<Settings>, hop: Hop) -> Result<Asking, Error> {
    let Hop { choices, depth } = hop;
    let mut left = u32::try_from(choices.len()).unwrap_or(u32::MAX);
    for (target, request) in choices {
        let pool = settings.targets.pool(&target)?;
        let share = Deadline::after(request.deadline.remaining() / left.max(1));
        left = left.saturating_sub(1);
        if left > 0
            && let Err(error) = pool.check(share).await
        {
            tracing::debug!(%target, %error, "a referral goes on to the next of its servers");
            continue;
        }
        tracing::debug!(%target, "following a referral");
        let reply = pool.call(request.clone());
        return Ok(Asking { reply, request, target: Some(target), depth });
    }
    Err(Error::new(ErrorKind::Bug, "a referral without a server"))
}

/// An error, with where it happened.
fn told(target: Option<&Target>, error: Error) -> Error {
    let Some(target) = target else { return error };
    let applied = error.applied();
    let kind = if error.kind() == ErrorKind::Rejected { ErrorKind::Unreachable } else { error.kind() };
    Error::new(kind, format!("a referral to {target} could not be followed"))
        .with_applied(applied)
        .with_source(error)
}
