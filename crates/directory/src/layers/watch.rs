//! Follows a reply to its end, for the layers that look at how operations go and change nothing.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use flext_ldap_proto::{
    batch::Batch,
    control::{ControlValue as _, PersistentSearch},
    oid::Oid,
};

use crate::{Error, Event, Events, Outcome, Reply, Request};

/// Hears of one reply.
pub(super) trait Witness: Send + Unpin + 'static {
    /// What the reply is read in, if it is to be in anything.
    fn scope(&self) -> Option<tracing::span::Entered<'_>> {
        None
    }

    /// Items have come.
    fn delivered(&mut self, batch: &Batch);

    /// It has ended. Called once, unless the reply is leaked.
    fn ended(&mut self, end: End<'_>);
}

/// How a reply ended.
#[derive(Clone, Copy)]
pub(super) enum End<'a> {
    /// The directory answered.
    Answered(&'a Outcome),
    /// There was no answer.
    Failed(&'a Error),
    /// Whoever asked stopped reading before the end, or never began.
    Left {
        /// Whether they had waited at all.
        waited: bool,
    },
}

/// The same reply, with `witness` beside it.
pub(super) fn watch(reply: Reply, witness: impl Witness) -> Reply {
    Reply::events(Watched { reply, witness, waited: false, ended: false })
}

/// Whether it is in order that nothing comes for long: the search waits for changes.
pub(super) fn waits_for_changes(request: &Request) -> bool {
    /// Content synchronisation (RFC 4533).
    const SYNC: &str = "1.3.6.1.4.1.4203.1.9.1.1";
    /// Change notification ([MS-ADTS] 3.1.1.3.4.1.9).
    const NOTIFICATION: &str = "1.2.840.113556.1.4.528";
    let oids = [PersistentSearch::OID, Oid::from_static(SYNC), Oid::from_static(NOTIFICATION)];
    request.controls.iter().any(|control| oids.contains(&control.oid))
}

struct Watched<W: Witness> {
    reply: Reply,
    witness: W,
    waited: bool,
    ended: bool,
}

impl<W: Witness> Events for Watched<W> {
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        let this = self.get_mut();
        this.waited = true;
        let event = {
            let _scope = this.witness.scope();
            ready!(this.reply.poll_next(cx))
        };
        match &event {
            Ok(Event::Batch(batch)) => this.witness.delivered(batch),
            Ok(Event::Done(outcome)) => this.end(End::Answered(outcome)),
            Err(error) => this.end(End::Failed(error)),
        }
        Poll::Ready(event)
    }
}

impl<W: Witness> Watched<W> {
    fn end(&mut self, end: End<'_>) {
        self.ended = true;
        self.witness.ended(end);
    }
}

impl<W: Witness> Drop for Watched<W> {
    fn drop(&mut self) {
        if !self.ended {
            self.end(End::Left { waited: self.waited });
        }
    }
}
