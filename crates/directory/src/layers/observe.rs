//! Tells an observer how each operation went: the base of logs, metrics and statistics.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use flext_ldap_proto::result::ResultCode;
use tokio::time::Instant;

use crate::{Actor, Directory, Error, Event, Events, Layer, OpKind, Reply, Request};

/// Hears how operations went. Called once for each, on the task that reads the reply: be quick.
pub trait Observer: Send + Sync + 'static {
    /// An operation has ended, one way or another.
    fn finished(&self, observation: &Observation<'_>);
}

/// How an operation went.
#[derive(Debug)]
#[non_exhaustive]
pub struct Observation<'a> {
    /// Which operation.
    pub kind: OpKind,
    /// On whose behalf.
    pub actor: &'a Actor,
    /// The directory's answer; `None` if there was none: see `error`, or the caller stopped reading.
    pub code: Option<ResultCode>,
    /// Why there was no answer.
    pub error: Option<&'a Error>,
    /// Items delivered.
    pub items: u64,
    /// Octets delivered in items.
    pub octets: u64,
    /// From the call to the end, the caller's own time included.
    pub elapsed: Duration,
}

/// The layer.
#[derive(Debug)]
pub struct Observe<O>(Arc<O>);

impl<O: Observer> Observe<O> {
    /// Tells `observer`.
    pub fn new(observer: Arc<O>) -> Self {
        Self(observer)
    }
}

impl<O: Observer> Layer for Observe<O> {
    fn call(&self, request: Request, next: &dyn Directory) -> Reply {
        Reply::events(Watch {
            kind: request.op.kind(),
            actor: request.actor.clone(),
            started: Instant::now(),
            items: 0,
            octets: 0,
            reply: next.call(request),
            observer: self.0.clone(),
            told: false,
        })
    }
}

struct Watch<O: Observer> {
    kind: OpKind,
    actor: Actor,
    started: Instant,
    items: u64,
    octets: u64,
    reply: Reply,
    observer: Arc<O>,
    told: bool,
}

impl<O: Observer> Watch<O> {
    fn tell(&mut self, code: Option<ResultCode>, error: Option<&Error>) {
        self.told = true;
        self.observer.finished(&Observation {
            kind: self.kind,
            actor: &self.actor,
            code,
            error,
            items: self.items,
            octets: self.octets,
            elapsed: self.started.elapsed(),
        });
    }
}

impl<O: Observer> Events for Watch<O> {
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        let this = self.get_mut();
        let event = ready!(this.reply.poll_next(cx));
        match &event {
            Ok(Event::Batch(batch)) => {
                this.items = this.items.saturating_add(batch.len() as u64);
                this.octets = this.octets.saturating_add(batch.size() as u64);
            }
            Ok(Event::Done(outcome)) => this.tell(Some(outcome.result.code), None),
            Err(error) => this.tell(None, Some(error)),
        }
        Poll::Ready(event)
    }
}

impl<O: Observer> Drop for Watch<O> {
    fn drop(&mut self) {
        if !self.told {
            self.tell(None, None);
        }
    }
}
