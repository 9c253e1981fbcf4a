//! Tells an observer how each operation went: the base of logs, metrics and statistics.

use std::{sync::Arc, time::Duration};

use flext_ldap_proto::{batch::Batch, result::ResultCode};
use tokio::time::Instant;

use super::watch::{End, Witness, watch};
use crate::{Actor, Directory, Error, Layer, OpKind, Reply, Request};

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
        let seen = Seen {
            kind: request.op.kind(),
            actor: request.actor.clone(),
            started: Instant::now(),
            items: 0,
            octets: 0,
            observer: self.0.clone(),
        };
        watch(next.call(request), seen)
    }
}

struct Seen<O: Observer> {
    kind: OpKind,
    actor: Actor,
    started: Instant,
    items: u64,
    octets: u64,
    observer: Arc<O>,
}

impl<O: Observer> Witness for Seen<O> {
    fn delivered(&mut self, batch: &Batch) {
        self.items = self.items.saturating_add(batch.len() as u64);
        self.octets = self.octets.saturating_add(batch.size() as u64);
    }

    fn ended(&mut self, end: End<'_>) {
        let (code, error) = match end {
            End::Answered(outcome) => (Some(outcome.result.code), None),
            End::Failed(error) => (None, Some(error)),
            End::Left { .. } => (None, None),
        };
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
