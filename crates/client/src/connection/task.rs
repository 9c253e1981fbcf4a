//! The task that owns the socket: writes all that is queued, reads all that is there, and hands answers out.
//!
//! One future, polled by one waker. Each round takes what callers have sent, writes it in one go, reads once, hands
//! out what that read brought, and looks at the clock; it ends when a round changed nothing. Callers are woken after
//! all locks are given back. Nothing here waits for a caller.

mod receive;

use std::{
    collections::{BTreeSet, VecDeque},
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use flext_ldap_directory::{
    Applied, Error, ErrorKind, OpKind, Outcome,
    proto::{
        batch::BatchBuilder,
        control::Controls,
        extended::{Cancel, ExtendedOperation as _},
        message::{Limits, MessageId, Request as Message},
    },
};
use flext_ldap_sasl::gssapi::SecurityLayer;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::{Instant, Sleep},
};

use super::{
    Bounds, Shared,
    helm::{Hold, Lone},
    inbox::Inbox,
    operation::Kind,
    outbox::Outbox,
    slot::Slot,
    table::Table,
};
use crate::{ending::Ending, layered::Layered, transport::Transport};

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// What callers tell the task.
pub(super) enum Command {
    /// Here is an operation.
    Call(Box<Call>),
    /// The caller of this operation has gone, waits again, or has read enough: look.
    Look(Arc<Slot>),
}

/// An operation to be sent.
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) message: Message,
    pub(super) controls: Controls,
    pub(super) holds_secret: bool,
    pub(super) slot: Arc<Slot>,
    pub(super) permit: OwnedSemaphorePermit,
}

/// The task of one connection.
pub(super) struct Task {
    pub(super) transport: Layered,
    commands: mpsc::Receiver<Command>,
    stopped: oneshot::Receiver<()>,
    pub(super) shared: Arc<Shared>,
    limits: Limits,
    /// Octets unread of one operation from which on the connection is not read.
    unread: usize,
    /// How long a late write may take to be settled.
    settling: Duration,
    table: Table<InFlight>,
    unsent: VecDeque<Unsent>,
    outbox: Outbox,
    inbox: Inbox,
    /// Operations that are written, or about to be.
    on_wire: usize,
    /// The bind on the wire: nothing else is sent until it is answered (RFC 4511 §4.2.1).
    binding: Option<MessageId>,
    /// Operations with too much unread.
    full: usize,
    /// A bind has succeeded, and what comes after it may be inside a security layer.
    is_held: bool,
    pub(super) timers: BTreeSet<(Instant, MessageId)>,
    alarm: Pin<Box<Sleep>>,
    alarm_at: Option<Instant>,
    /// Operations for which the present read has brought items.
    touched: Vec<MessageId>,
    wakers: Vec<Waker>,
    unflushed: bool,
    /// The message ids have run out.
    is_retiring: bool,
    pub(super) lone: Lone,
    /// When the task looks after lone callers.
    pub(super) tick: Pin<Box<Sleep>>,
}

struct InFlight {
    kind: Kind,
    slot: Arc<Slot>,
    /// Its entry among the timers.
    timer: Option<Instant>,
    is_unsent: bool,
    is_full: bool,
    /// It was late, and the server has been asked to cancel it.
    is_settling: bool,
    /// Nobody reads the answer any more.
    is_gone: bool,
    items: Option<BatchBuilder>,
    /// When the first items came.
    since: Option<Instant>,
    /// Given back when the operation is over.
    _permit: OwnedSemaphorePermit,
}

struct Unsent {
    id: MessageId,
    kind: Kind,
    message: Message,
    controls: Controls,
    holds_secret: bool,
}

impl Task {
    pub(super) fn new(
        transport: Transport,
        commands: mpsc::Receiver<Command>,
        stopped: oneshot::Receiver<()>,
        shared: Arc<Shared>,
        bounds: Bounds,
    ) -> Self {
        Self {
            transport: Layered::over(transport),
            commands,
            stopped,
            shared,
            limits: bounds.limits,
            unread: bounds.unread,
            settling: bounds.settling,
            table: Table::new(),
            unsent: VecDeque::new(),
            outbox: Outbox::default(),
            inbox: Inbox::new(bounds.limits.message),
            on_wire: 0,
            binding: None,
            full: 0,
            is_held: false,
            timers: BTreeSet::new(),
            alarm: Box::pin(tokio::time::sleep_until(Instant::now())),
            alarm_at: None,
            touched: Vec::new(),
            wakers: Vec::new(),
            unflushed: false,
            is_retiring: false,
            lone: Lone::default(),
            tick: Box::pin(tokio::time::sleep_until(Instant::now())),
        }
    }

    /// Serves the connection whose state is at the helm until it ends.
    pub(super) async fn run(hold: Hold) {
        let ending = poll_fn(|cx| hold.poll(cx)).await;
        let Some(mut task) = hold.take() else { return };
        task.end(&ending);
        if ending.polite {
            task.say_goodbye().await;
        }
    }

    /// Rounds, until one changes nothing, unless a lone caller has the socket.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.note_waker(cx);
        if let Some(ending) = self.ended_under_caller() {
            return Poll::Ready(ending);
        }
        match self.hear(cx) {
            Ok(false) if self.is_left_to_callers(cx) => return Poll::Pending,
            Ok(_) => self.take_over(),
            Err(ending) => return Poll::Ready(ending),
        }
        loop {
            match self.round(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(ending) => return Poll::Ready(ending),
            }
        }
    }

    /// One round. Returns whether it changed anything.
    fn round(&mut self, cx: &mut Context<'_>) -> Result<bool, Ending> {
        let heard = self.hear(cx)?;
        Ok(self.turn(cx)? || heard)
    }

    /// Takes what callers and the owner have said. Returns whether that was anything.
    fn hear(&mut self, cx: &mut Context<'_>) -> Result<bool, Ending> {
        if Pin::new(&mut self.stopped).poll(cx).is_ready() {
            return Err(Ending::by_owner(&self.shared.server));
        }
        let mut changed = false;
        while let Poll::Ready(command) = self.commands.poll_recv(cx) {
            changed = true;
            match command {
                Some(Command::Call(call)) => self.admit(*call),
                Some(Command::Look(slot)) => self.look(&slot)?,
                None => return Err(Ending::by_owner(&self.shared.server)),
            }
        }
        Ok(changed)
    }

    /// Writes, reads once, hands out what that brought, and looks at the clock. Returns whether it changed anything.
    pub(super) fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, Ending> {
        let mut changed = false;
        if self.table.len() != 1 {
            self.transport.be_eager();
        }
        self.write(cx)?;
        if self.is_reading()
            && let Poll::Ready(read) = self.poll_read(cx)
        {
            changed = true;
            read?;
        }
        changed |= self.look_at_the_clock(cx)?;
        self.wake();
        if self.is_retiring && self.table.len() == 0 {
            return Err(Ending::retired(&self.shared.server));
        }
        Ok(changed)
    }

    /// Whether nothing is in flight, queued or half written.
    pub(super) fn is_idle(&self) -> bool {
        self.table.len() == 0 && self.is_written() && !self.is_retiring && self.commands.is_empty()
    }

    /// Whether what the server says can be taken in.
    const fn is_reading(&self) -> bool {
        self.full == 0 && !self.is_held
    }

    /// Goes on after a success of a bind, inside `layer` from there on.
    pub(super) fn go_on(&mut self, layer: Option<SecurityLayer>) {
        self.is_held = false;
        if let Some(layer) = layer {
            self.transport.wrap(layer, self.inbox.take_rest());
        }
    }

    /// Whether nothing is half written.
    pub(super) fn is_written(&self) -> bool {
        self.outbox.waiting().is_empty() && !self.unflushed
    }

    pub(super) fn wake(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }

    /// Takes an operation in: gives it an id and watches its deadline from now on.
    pub(super) fn admit(&mut self, call: Call) {
        let Call { kind, message, controls, holds_secret, slot, permit } = call;
        let mut state = slot.lock();
        // A write goes on when its caller goes.
        let is_gone = state.gone;
        if is_gone && (kind == Kind::Bind || !kind.is_write()) {
            return;
        }
        let timer = state.deadline;
        let in_flight = InFlight {
            kind,
            slot: Arc::clone(&slot),
            timer: Some(timer),
            is_unsent: true,
            is_full: false,
            is_settling: false,
            is_gone,
            items: None,
            since: None,
            _permit: permit,
        };
        match self.table.insert(in_flight) {
            Ok(id) => {
                state.id = Some(id);
                self.timers.insert((timer, id));
                self.unsent.push_back(Unsent { id, kind, message, controls, holds_secret });
            }
            Err(_) => {
                self.is_retiring = true;
                state.finish(Err(Ending::retired(&self.shared.server).error_later()));
                self.wakers.extend(state.waker());
            }
        }
    }

    /// Looks at an operation whose caller has done something.
    fn look(&mut self, slot: &Slot) -> Result<(), Ending> {
        let mut state = slot.lock();
        state.told = false;
        let Some(id) = state.id else { return Ok(()) };
        let Some(operation) = self.table.get_mut(id) else { return Ok(()) };
        if operation.is_full && state.unread <= self.unread / 2 {
            operation.is_full = false;
            state.tell_when_below = None;
            self.full -= 1;
        }
        if state.tell_when_waiting && state.standing_since.is_none() {
            state.tell_when_waiting = false;
            operation.timer = Some(state.deadline);
            self.timers.insert((state.deadline, id));
        }
        let gone = state.gone;
        drop(state);
        if gone { self.caller_gone(id) } else { Ok(()) }
    }

    fn caller_gone(&mut self, id: MessageId) -> Result<(), Ending> {
        let Some(operation) = self.table.get_mut(id) else { return Ok(()) };
        operation.is_gone = true;
        match operation.kind {
            Kind::Op(OpKind::Search | OpKind::Compare) => {
                self.abandon(id);
                self.forget(id);
            }
            Kind::Bind => {
                if !operation.is_unsent && !self.outbox.retract(id) {
                    return Err(Ending::half_bound(&self.shared.server));
                }
                self.forget(id);
            }
            // A write goes on; nothing it brings is kept any more.
            Kind::Op(_) => {}
        }
        Ok(())
    }

    /// Sees to it that the server stops working on `id` (RFC 4511 §4.11), if it may have heard of it.
    fn abandon(&mut self, id: MessageId) {
        let is_sent = self.table.get_mut(id).is_some_and(|operation| !operation.is_unsent);
        if !is_sent || self.outbox.retract(id) {
            return;
        }
        // Without an id left, the connection is about to end anyway.
        if let Some(own) = self.table.spend() {
            self.outbox
                .push(own, false, |writer| Message::Abandon(id).encode(own, &Controls::none(), writer));
        }
    }

    /// Asks the server to cancel a late write (RFC 3909), once, and gives it a little longer to say what became of it.
    fn settle(&mut self, id: MessageId) -> bool {
        let Some(operation) = self.table.get_mut(id) else { return false };
        if self.settling.is_zero() || std::mem::replace(&mut operation.is_settling, true) {
            return false;
        }
        let until = Instant::now() + self.settling;
        operation.timer = Some(until);
        self.timers.insert((until, id));
        // Without an id left, the connection is about to end anyway. What the server says to this is in the write's answer.
        if let Some(own) = self.table.spend() {
            let cancel = Message::Extended(Cancel(id).request());
            self.outbox.push(own, false, |writer| cancel.encode(own, &Controls::none(), writer));
        }
        true
    }

    /// Ends what is in flight under `id`, without a word to its caller.
    fn forget(&mut self, id: MessageId) -> Option<InFlight> {
        let operation = self.table.remove(id)?;
        if let Some(timer) = operation.timer {
            self.timers.remove(&(timer, id));
        }
        self.lone.forget(&operation.slot);
        if operation.is_unsent {
            self.unsent.retain(|unsent| unsent.id != id);
        } else {
            self.on_wire -= 1;
        }
        if self.binding == Some(id) {
            self.binding = None;
        }
        if operation.is_full {
            self.full -= 1;
        }
        Some(operation)
    }

    /// Ends what is in flight under `id`.
    fn finish(&mut self, id: MessageId, end: Result<Outcome, Error>) {
        let Some(mut operation) = self.forget(id) else { return };
        // What comes next may be a lone lookup, which would wait for the tick.
        self.transport.be_eager();
        let mut state = operation.slot.lock();
        if let Some(items) = operation.items.take()
            && !state.gone
        {
            receive::put(&mut state, items, &self.shared);
        }
        state.tell_when_below = None;
        state.finish(end);
        self.wakers.extend(state.waker());
    }

    /// Writes all that is queued, as far as the transport takes it.
    pub(super) fn write(&mut self, cx: &mut Context<'_>) -> Result<(), Ending> {
        loop {
            self.fill_outbox();
            let step = if !self.outbox.waiting().is_empty() {
                Pin::new(&mut self.transport).poll_write(cx, self.outbox.waiting())
            } else if self.unflushed {
                Pin::new(&mut self.transport).poll_flush(cx).map_ok(|()| 0)
            } else {
                return Ok(());
            };
            match step {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) if self.outbox.waiting().is_empty() => self.unflushed = false,
                Poll::Ready(Ok(0)) => return Err(self.write_failed(cx, io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(octets)) => {
                    self.outbox.advance(octets);
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) => return Err(self.write_failed(cx, error)),
            }
        }
    }

    /// The server's last words, if there are any, say more than the error of a write.
    fn write_failed(&mut self, cx: &mut Context<'_>, error: io::Error) -> Ending {
        if self.transport.keeps_bytes() {
            self.outbox.suspect_all();
        }
        while self.is_reading() {
            match self.poll_read(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(ending)) => return ending,
                Poll::Pending => break,
            }
        }
        Ending::lost(&self.shared.server, error)
    }

    fn fill_outbox(&mut self) {
        while !self.outbox.is_full() && self.binding.is_none() {
            let is_bind = match self.unsent.front() {
                None => return,
                Some(Unsent { kind: Kind::Bind, .. }) if self.on_wire > 0 => return,
                Some(unsent) => unsent.kind == Kind::Bind,
            };
            let Some(Unsent { id, message, controls, holds_secret, .. }) = self.unsent.pop_front() else {
                return;
            };
            let Some(operation) = self.table.get_mut(id) else { continue };
            operation.is_unsent = false;
            self.on_wire += 1;
            if is_bind {
                self.binding = Some(id);
            }
            self.outbox.push(id, holds_secret, |writer| message.encode(id, &controls, writer));
        }
    }

    /// Ends what is late. Returns whether anything was.
    fn look_at_the_clock(&mut self, cx: &mut Context<'_>) -> Result<bool, Ending> {
        let mut changed = false;
        while let Some((first, _)) = self.timers.first().copied() {
            // An alarm that comes too early does no harm, so one that is set is left alone.
            if self.alarm_at.is_none_or(|set| first < set) {
                self.alarm.as_mut().reset(first);
                self.alarm_at = Some(first);
            }
            // Only the alarm says that time is up, not the clock: it goes off in the turn of the runtime that also looks
            // at the socket. So where the thread was kept busy beyond a deadline, an answer that is there is heard first.
            if self.alarm.as_mut().poll(cx).is_pending() {
                break;
            }
            self.alarm_at = None;
            let now = Instant::now();
            while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
                self.timers.remove(&(at, id));
                changed = true;
                self.expire(id)?;
            }
        }
        Ok(changed)
    }

    fn expire(&mut self, id: MessageId) -> Result<(), Ending> {
        let Some(operation) = self.table.get_mut(id) else { return Ok(()) };
        operation.timer = None;
        let mut state = operation.slot.lock();
        if state.standing_since.is_some() {
            // The caller has something to read, so nobody waits for the server.
            state.tell_when_waiting = true;
            return Ok(());
        }
        if state.deadline > Instant::now() {
            operation.timer = Some(state.deadline);
            self.timers.insert((state.deadline, id));
            return Ok(());
        }
        drop(state);
        let (kind, is_unsent) = (operation.kind, operation.is_unsent);
        let never_left = is_unsent || self.outbox.retract(id);
        if matches!(kind, Kind::Op(_)) && kind.is_write() && !never_left && self.settle(id) {
            return Ok(());
        }
        let why = match () {
            () if self.full > 0 => {
                "answers wait behind an unread search on this connection; read it, drop it, or give it a connection of its own"
            }
            () if is_unsent && kind == Kind::Bind => "operations before it have not ended",
            () if is_unsent && self.binding.is_some() => "a bind before it has not ended",
            () if never_left => "the server does not read what is sent to it",
            () => "the server did not answer",
        };
        let applied = if never_left || !kind.is_write() { Applied::No } else { Applied::Unknown };
        if !never_left && !kind.is_write() {
            self.abandon(id);
        }
        self.finish(id, Err(self.shared.timeout(kind, why).with_applied(applied)));
        match kind {
            Kind::Bind if !never_left => Err(Ending::half_bound(&self.shared.server)),
            _ => Ok(()),
        }
    }

    /// Tells everyone. Safe to call twice.
    pub(super) fn end(&mut self, ending: &Ending) {
        if self.shared.ending.set(ending.clone()).is_err() {
            return;
        }
        self.commands.close();
        self.shared.permits.close();
        for (id, operation) in self.table.drain() {
            let never_left = operation.is_unsent || self.outbox.is_untouched(id);
            let applied =
                if never_left || !operation.kind.is_write() { Applied::No } else { Applied::Unknown };
            let mut state = operation.slot.lock();
            state.tell_when_below = None;
            state.finish(Err(ending.error(applied)));
            self.wakers.extend(state.waker());
        }
        self.unsent.clear();
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Call(call) = command {
                let mut state = call.slot.lock();
                state.finish(Err(ending.error_later()));
                self.wakers.extend(state.waker());
            }
        }
        self.wake();
    }

    /// Unbind (RFC 4511 §4.3), after the rest of what was begun.
    async fn say_goodbye(&mut self) {
        self.outbox.retract_all();
        let id = self.table.spend().unwrap_or(MessageId::MAX);
        self.outbox.push(id, false, |writer| Message::Unbind.encode(id, &Controls::none(), writer));
        let goodbye = async {
            self.transport.write_all(self.outbox.waiting()).await?;
            self.transport.shutdown().await
        };
        let server = &self.shared.server;
        match tokio::time::timeout(GOODBYE, goodbye).await {
            Ok(Ok(())) => {}
            // The connection is over either way.
            Ok(Err(error)) => tracing::debug!(server, %error, "could not say goodbye"),
            Err(_) => tracing::debug!(server, "the server did not take the goodbye in time"),
        }
    }
}

impl Drop for Task {
    /// When the runtime is shut down under the task, nobody may wait for ever.
    fn drop(&mut self) {
        self.end(&Ending::runtime_gone(&self.shared.server.clone()));
    }
}

impl Shared {
    /// The error for an operation whose deadline has passed.
    pub(super) fn timeout(&self, kind: Kind, why: &str) -> Error {
        Error::new(ErrorKind::Timeout, format!("the {} on {} timed out: {why}", kind.name(), self.server))
    }
}
