//! One operation as its caller sees it: waits for its turn, is sent, delivers.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use flext_ldap_directory::{
    BoxFuture, Deadline, Error, ErrorKind, Event, Events, Op, OpKind, Request,
    proto::{control::Controls, message::Request as Message},
};
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, TryAcquireError, mpsc},
    time::{Sleep, sleep_until},
};

use super::{
    Connection, Shared,
    slot::Slot,
    task::{Call, Command},
};
use crate::exposure;

/// What an operation is, as far as the connection cares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Bind,
    Op(OpKind),
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Op(kind) => kind.name(),
        }
    }

    /// Whether it may have changed something when its answer is lost.
    pub(super) const fn is_write(self) -> bool {
        match self {
            Self::Bind => true,
            Self::Op(kind) => kind.is_write(),
        }
    }
}

/// The reply of an operation on a connection.
pub(crate) struct Operation {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    stage: Stage,
    /// Whether whoever polls this moves the connection: it is alone there.
    is_lone: bool,
}

enum Stage {
    /// All permits are taken.
    Queued(BoxFuture<'static, Result<OwnedSemaphorePermit, AcquireError>>, Box<Unsent>),
    InFlight,
    /// It could not even begin.
    Failed(Option<Error>),
    Over,
}

struct Unsent {
    kind: Kind,
    message: Message,
    controls: Controls,
    holds_secret: bool,
    deadline: Deadline,
    /// Set when the caller first waits: only then is there a runtime for sure.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Operation {
    /// Starts an operation at once, if there is room.
    pub(super) fn call(connection: &Connection, request: Request) -> Self {
        let Request { op, controls, actor: _, deadline } = request;
        let kind = Kind::Op(op.kind());
        let holds_secret = exposure::holds_password(&op);
        let message = match op {
            Op::Search(search) => Message::Search(search),
            Op::Compare(compare) => Message::Compare(compare),
            Op::Add(add) => Message::Add(add),
            Op::Modify(modify) => Message::Modify(modify),
            Op::Delete(delete) => Message::Delete(delete),
            Op::Rename(rename) => Message::Rename(rename),
            Op::Extended(extended) => Message::Extended(extended),
        };
        Self::start(connection, kind, message, controls, holds_secret, deadline)
    }

    /// Starts a bind.
    pub(super) fn bind(connection: &Connection, message: Message, controls: Controls, by: Deadline) -> Self {
        Self::start(connection, Kind::Bind, message, controls, true, by)
    }

    fn start(
        connection: &Connection,
        kind: Kind,
        message: Message,
        controls: Controls,
        holds_secret: bool,
        deadline: Deadline,
    ) -> Self {
        let mut operation = Self {
            commands: connection.commands.clone(),
            shared: Arc::clone(&connection.shared),
            slot: Arc::new(Slot::new(deadline)),
            stage: Stage::InFlight,
            is_lone: false,
        };
        let permits = Arc::clone(&operation.shared.permits);
        match Arc::clone(&permits).try_acquire_owned() {
            Ok(permit) => operation.send(kind, message, controls, holds_secret, permit),
            Err(TryAcquireError::Closed) => {
                operation.stage = Stage::Failed(Some(operation.shared.error_later()));
            }
            Err(TryAcquireError::NoPermits) => {
                let unsent =
                    Box::new(Unsent { kind, message, controls, holds_secret, deadline, timer: None });
                operation.stage = Stage::Queued(Box::pin(permits.acquire_owned()), unsent);
            }
        }
        operation
    }

    fn send(
        &mut self,
        kind: Kind,
        message: Message,
        controls: Controls,
        holds_secret: bool,
        permit: OwnedSemaphorePermit,
    ) {
        let call = Call { kind, message, controls, holds_secret, slot: Arc::clone(&self.slot), permit };
        let Some(call) = self.shared.helm.start(call) else {
            self.is_lone = true;
            self.stage = Stage::InFlight;
            return;
        };
        self.stage = match self.commands.try_send(Command::Call(Box::new(call))) {
            Ok(()) => {
                self.end_if_unheard();
                Stage::InFlight
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Stage::Failed(Some(self.shared.error_later())),
            // The queue has room for everyone with a permit.
            Err(mpsc::error::TrySendError::Full(_)) => {
                Stage::Failed(Some(Error::new(ErrorKind::Bug, "the connection's queue is full")))
            }
        };
    }

    /// A connection that ended meanwhile may have looked through its queue before the call was in it. What has no id then
    /// never gets one, and nothing of it was sent.
    fn end_if_unheard(&self) {
        if let Some(ending) = self.shared.ending.get() {
            let mut state = self.slot.lock();
            if state.id.is_none() && !state.has_news() {
                state.finish(Err(ending.error_later()));
            }
        }
    }

    fn tell(&self) {
        // If the task has ended there is nobody to tell, and the slot has its end already.
        let _ = self.commands.try_send(Command::Look(Arc::clone(&self.slot)));
    }
}

impl Events for Operation {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        loop {
            let this = &mut *self;
            match &mut this.stage {
                Stage::Queued(turn, unsent) => {
                    let permit = match turn.as_mut().poll(cx) {
                        Poll::Ready(Ok(permit)) => permit,
                        Poll::Ready(Err(_)) => {
                            this.stage = Stage::Failed(Some(this.shared.error_later()));
                            continue;
                        }
                        Poll::Pending => {
                            let deadline = unsent.deadline.instant();
                            let timer = unsent.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                            ready!(timer.as_mut().poll(cx));
                            let error = this.shared.timeout(unsent.kind, "it waited for its turn, since the most operations this connection may have in flight are in flight");
                            this.stage = Stage::Failed(Some(error));
                            continue;
                        }
                    };
                    if let Stage::Queued(_, unsent) = std::mem::replace(&mut this.stage, Stage::Over) {
                        let Unsent { kind, message, controls, holds_secret, deadline: _, timer: _ } = *unsent;
                        this.send(kind, message, controls, holds_secret, permit);
                    }
                }
                Stage::InFlight => {
                    if this.is_lone && !this.slot.lock().has_news() {
                        this.is_lone = this.shared.helm.drive(&this.slot, cx);
                    }
                    let look = this.slot.look(cx);
                    if look.read > 0 {
                        this.shared.unread.fetch_sub(look.read, Ordering::Relaxed);
                    }
                    if look.tell {
                        this.tell();
                    }
                    if matches!(look.event, Poll::Ready(Ok(Event::Done(_)) | Err(_))) {
                        this.stage = Stage::Over;
                    }
                    return look.event;
                }
                Stage::Failed(error) => {
                    let error = error.take();
                    this.stage = Stage::Over;
                    return Poll::Ready(Err(error.unwrap_or_else(|| this.shared.error_later())));
                }
                Stage::Over => {
                    return Poll::Ready(Err(Error::new(ErrorKind::Misuse, "a reply was read after its end")));
                }
            }
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::InFlight) {
            let (unread, tell) = self.slot.leave();
            self.shared.unread.fetch_sub(unread, Ordering::Relaxed);
            if tell {
                self.tell();
            }
        }
    }
}
