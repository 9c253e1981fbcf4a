//! One operation on a pool as its caller sees it: waits for a place, runs on its connection, and gives the place back.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use flext_ldap_directory::{
    Error, ErrorKind, Event, Events, Op, Reply, Request,
    proto::{
        control::{ControlScope, Controls, PagedResults, VirtualListView, scope_of},
        message::{Limits, Scope},
    },
};

use super::{
    check,
    seats::Class,
    shared::{Fared, Lease, Shared, Taken, Waiting},
};
use crate::connection::Operation;

/// Octets of a result from which on it counts as long.
const LONG: usize = 64 << 10;

/// Starts an operation, or has it wait for its turn.
pub(super) fn call(shared: &Arc<Shared>, request: Request) -> Reply {
    let class = match classify(&request, shared.settings.short) {
        Ok(class) => class,
        Err(error) => return Reply::ready(Err(error)),
    };
    let is_write = request.op.kind().is_write();
    let stage = match shared.take(class, is_write, request.deadline) {
        Taken::Lease(lease) => Stage::start(lease, request),
        Taken::Later(waiting) => Stage::Waiting(Box::new((waiting, request))),
        Taken::Refused(error) => return Reply::ready(Err(error)),
    };
    Reply::events(PoolReply(stage))
}

/// Starts an operation on a connection that is taken already. The connection is not given back before it has ended.
pub(super) fn call_on(lease: &Lease, request: Request) -> Reply {
    match lease.member.connection.start_operation(request) {
        Ok(operation) => Reply::events(PinnedReply { operation, lease: lease.again() }),
        Err(error) => Reply::ready(Err(error)),
    }
}

/// What an operation may be to its neighbours.
fn classify(request: &Request, short: u32) -> Result<Class, Error> {
    let controls = &request.controls;
    if !controls.is_empty() {
        refuse_cookies(controls)?;
    }
    let Op::Search(search) = &request.op else { return Ok(Class::Short) };
    // A search may stay for ever, or change what the connection remembers.
    let stays = controls.iter().any(|control| scope_of(&control.oid) == ControlScope::Connection);
    Ok(match search.size_limit {
        _ if stays => Class::Alone,
        _ if search.scope == Scope::Base => Class::Short,
        limit if (1..=short).contains(&limit) => Class::Short,
        _ => Class::Broad,
    })
}

/// A cookie is good on the connection it came from, and nobody knows any more which that was.
fn refuse_cookies(controls: &Controls) -> Result<(), Error> {
    let malformed =
        |error| Error::new(ErrorKind::Misuse, "a control of the search is malformed").with_source(error);
    let page = controls.get::<PagedResults>(&Limits::DEFAULT).map_err(malformed)?;
    let view = controls.get::<VirtualListView>(&Limits::DEFAULT).map_err(malformed)?;
    let has_cookie = page.is_some_and(|page| !page.cookie.is_empty());
    let has_context = view.is_some_and(|view| view.context.is_some());
    if has_cookie || has_context {
        return Err(Error::new(
            ErrorKind::Misuse,
            "a search with the cookie of an earlier one can only go on on its own connection: take one with `Server::pin`",
        ));
    }
    Ok(())
}

struct PoolReply(Stage);

enum Stage {
    Waiting(Box<(Box<Waiting>, Request)>),
    Running(Running),
    Failed(Option<Error>),
}

struct Running {
    /// Dropped before the place is given back.
    operation: Operation,
    lease: Option<Lease>,
    /// Octets delivered so far, until they are many.
    delivered: usize,
}

impl Stage {
    fn start(lease: Lease, request: Request) -> Self {
        match lease.member.connection.start_operation(request) {
            Ok(operation) => Self::Running(Running { operation, lease: Some(lease), delivered: 0 }),
            Err(error) => Self::Failed(Some(error)),
        }
    }
}

impl Events for PoolReply {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        loop {
            match &mut self.0 {
                Stage::Waiting(waiting) => {
                    let turn = ready!(Pin::new(&mut waiting.0).poll(cx));
                    let Stage::Waiting(waiting) = std::mem::replace(&mut self.0, Stage::Failed(None)) else {
                        continue;
                    };
                    let (_, request) = *waiting;
                    self.0 = match turn {
                        Ok(lease) => Stage::start(lease, request),
                        Err(error) => Stage::Failed(Some(error)),
                    };
                }
                Stage::Running(running) => {
                    let event = ready!(Pin::new(&mut running.operation).poll_next(cx));
                    running.note(&event);
                    return Poll::Ready(event);
                }
                Stage::Failed(error) => {
                    let after = || Error::new(ErrorKind::Misuse, "a reply was read after its end");
                    return Poll::Ready(Err(error.take().unwrap_or_else(after)));
                }
            }
        }
    }
}

struct PinnedReply {
    operation: Operation,
    lease: Lease,
}

impl Events for PinnedReply {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        let event = ready!(Pin::new(&mut self.operation).poll_next(cx));
        if let Err(error) = &event {
            note_error(&self.lease, error);
        }
        Poll::Ready(event)
    }
}

impl Running {
    /// Learns from an event what there is to learn about the connection, and gives it back at the end.
    fn note(&mut self, event: &Result<Event, Error>) {
        match event {
            Ok(Event::Batch(batch)) => {
                if self.delivered < LONG {
                    self.delivered += batch.size();
                    if self.delivered >= LONG
                        && let Some(lease) = &mut self.lease
                    {
                        Arc::clone(lease.shared()).reveal(lease);
                    }
                }
            }
            Ok(Event::Done(outcome)) => {
                if let Some(lease) = self.lease.take()
                    && check::is_trouble(outcome.result.code)
                {
                    lease.shared().fared(&lease, Fared::Badly);
                }
            }
            Err(error) => {
                if let Some(lease) = self.lease.take() {
                    note_error(&lease, error);
                }
            }
        }
    }
}

/// Learns from an error what there is to learn about the connection.
fn note_error(lease: &Lease, error: &Error) {
    match error.kind() {
        ErrorKind::Closed | ErrorKind::Protocol => lease.shared().fared(lease, Fared::Lost),
        // The server may only be slow with this, or be silent altogether.
        ErrorKind::Timeout => lease.shared().fared(lease, Fared::Badly),
        _ => {}
    }
}
