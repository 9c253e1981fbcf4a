//! The receiving half of the task: messages found in what was read, matched with who asked, and handed out.

use std::{
    future::Future,
    ops::Range,
    pin::pin,
    sync::atomic::Ordering,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use flext_ldap_directory::{
    OpKind, Outcome,
    proto::{
        batch::BatchBuilder,
        ber::Tag,
        extended::NOTICE_OF_DISCONNECTION,
        message::{Envelope, MessageId, Response},
        result::ResultCode,
    },
};
use tokio::{io::AsyncReadExt, time::Instant};

use super::{
    super::{Shared, operation::Kind, slot::State, table::Found},
    Task,
};
use crate::ending::Ending;

/// Octets a read must bring for gathering to pay.
const BULK_READ: usize = 4 << 10;

impl Task {
    /// Reads once, and hands out what it brought.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        let octets = {
            // This future keeps nothing of its own, so it can be dropped and made anew.
            let read = pin!(self.transport.read_buf(self.inbox.room()));
            match ready!(read.poll(cx)) {
                Ok(octets) => octets,
                Err(error) => return Poll::Ready(Err(Ending::lost(&self.shared.server, error))),
            }
        };
        if octets == 0 {
            return Poll::Ready(Err(Ending::by_server(&self.shared.server)));
        }
        self.inbox.learn(octets);
        // What follows a success of a bind may be no message, but inside the layer that begins there.
        while self.shared.awaits_layer.load(Ordering::Relaxed) {
            let cut = self.inbox.cut_first();
            cut.map_err(|error| Ending::malformed(&self.shared.server, error))?;
            match self.inbox.take() {
                Some((octets, ends)) => self.receive(&octets, &ends)?,
                None => return Poll::Ready(Ok(())),
            }
            if self.is_held {
                return Poll::Ready(Ok(()));
            }
        }
        let cut = self.inbox.cut();
        let received = match self.inbox.take() {
            Some((octets, ends)) => self.receive(&octets, &ends),
            None => Ok(()),
        };
        let cut = cut.map_err(|error| Ending::malformed(&self.shared.server, error));
        Poll::Ready(received.and(cut))
    }

    fn receive(&mut self, octets: &Bytes, ends: &[usize]) -> Result<(), Ending> {
        let mut start = 0;
        let received = ends.iter().try_for_each(|end| {
            let message = std::mem::replace(&mut start, *end)..*end;
            self.message(octets, message.start, message.end)
        });
        let search = self.touched.last().copied();
        self.deliver();
        self.adapt_reading(octets.len(), search);
        received
    }

    fn message(&mut self, octets: &Bytes, start: usize, end: usize) -> Result<(), Ending> {
        let server = &self.shared.server;
        let malformed = |error| Ending::malformed(server, error);
        let envelope = Envelope::decode(octets.slice(start..end), &self.limits).map_err(malformed)?;
        if envelope.id == MessageId::UNSOLICITED {
            return self.notice(&envelope);
        }
        let operation = match self.table.find(envelope.id) {
            Found::InFlight(operation) if !operation.is_unsent => operation,
            Found::Over => {
                self.shared.late.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            Found::InFlight(_) | Found::Never => {
                return Err(Ending::protocol(server, "an answer to a request that was never made"));
            }
        };
        if is_item(operation.kind, envelope.tag) {
            if operation.is_gone {
                return Ok(());
            }
            if operation.items.is_none() {
                self.touched.push(envelope.id);
            }
            let shifted = |range: Range<usize>| range.start + start..range.end + start;
            return operation
                .items
                .get_or_insert_with(|| BatchBuilder::over(octets.clone()))
                .add(shifted(envelope.op_range()), shifted(envelope.controls_range()), &self.limits)
                .map_err(malformed);
        }
        let response = envelope.response(&self.limits).map_err(malformed)?;
        let Some(mut outcome) = outcome_of(operation.kind, response) else {
            let what = format_args!(
                "a wrong kind of answer to a {} (tag 0x{:02x})",
                operation.kind.name(),
                envelope.tag.0
            );
            return Err(Ending::protocol(server, what));
        };
        outcome.controls = envelope.controls(&self.limits).map_err(malformed)?;
        let kind = operation.kind;
        self.is_held = kind == Kind::Bind
            && outcome.result.code == ResultCode::SUCCESS
            && self.shared.awaits_layer.load(Ordering::Relaxed);
        let end = match operation.is_settling && outcome.result.code == ResultCode::CANCELED {
            true => Err(self.shared.timeout(kind, "the server took longer, and cancelled it when asked to")),
            false => Ok(outcome),
        };
        self.finish(envelope.id, end);
        Ok(())
    }

    /// A message nobody asked for (RFC 4511 §4.4). Notices other than that of disconnection are to be ignored.
    fn notice(&self, envelope: &Envelope) -> Result<(), Ending> {
        let server = &self.shared.server;
        match envelope.response(&self.limits).map_err(|error| Ending::malformed(server, error))? {
            // Active Directory puts the name where controls go, so to us it has none.
            Response::Extended(notice)
                if notice.oid.as_ref().is_none_or(|oid| *oid == NOTICE_OF_DISCONNECTION) =>
            {
                Err(Ending::notice(server, &notice))
            }
            Response::Extended(_) => Ok(()),
            _ => Err(Ending::protocol(server, "an answer with message id 0")),
        }
    }

    /// Hands out the items of one read.
    fn deliver(&mut self) {
        for id in self.touched.drain(..) {
            let Some(operation) = self.table.get_mut(id) else { continue };
            let Some(items) = operation.items.take() else { continue };
            let mut state = operation.slot.lock();
            if state.gone {
                continue;
            }
            let unread = put(&mut state, items, &self.shared);
            if unread >= self.unread && !operation.is_full {
                operation.is_full = true;
                state.tell_when_below = Some(self.unread / 2);
                self.full += 1;
            }
            self.wakers.extend(state.waker());
        }
    }

    /// Reads in large pieces while one bulk search is alone on the connection, and eagerly otherwise.
    fn adapt_reading(&mut self, octets: usize, search: Option<MessageId>) {
        let Some(operation) = search.and_then(|id| self.table.get_mut(id)) else { return };
        let since = *operation.since.get_or_insert_with(Instant::now);
        if octets >= BULK_READ
            && operation.kind == Kind::Op(OpKind::Search)
            && self.table.len() == 1
            && let Some(tick) = tick_after(since.elapsed())
        {
            self.transport.gather(tick);
        }
    }
}

/// How long octets may gather for a search that has been delivering for so long: a sixteenth of that, so that nobody
/// waits long for the end of a short result, and at most 4 ms. Timers have a resolution of a millisecond.
fn tick_after(delivering: Duration) -> Option<Duration> {
    let tick = delivering / 16;
    (tick >= Duration::from_millis(1)).then(|| tick.min(Duration::from_millis(4)))
}

/// Leaves items for their caller. Returns the octets that are unread now.
pub(super) fn put(state: &mut State, items: BatchBuilder, shared: &Shared) -> usize {
    let batch = items.build();
    shared.unread.fetch_add(batch.size(), Ordering::Relaxed);
    state.put(batch)
}

/// Whether a message with this tag comes before the end of such an operation.
fn is_item(kind: Kind, tag: Tag) -> bool {
    const ENTRY: Tag = Tag::application_constructed(4);
    const REFERENCE: Tag = Tag::application_constructed(19);
    const INTERMEDIATE: Tag = Tag::application_constructed(25);
    match kind {
        Kind::Op(OpKind::Search) => tag == ENTRY || tag == REFERENCE || tag == INTERMEDIATE,
        Kind::Op(_) => tag == INTERMEDIATE,
        Kind::Bind => false,
    }
}

/// The end of such an operation, if the answer is one.
fn outcome_of(kind: Kind, response: Response) -> Option<Outcome> {
    let result = match (kind, response) {
        (Kind::Op(OpKind::Search), Response::SearchDone(result))
        | (Kind::Op(OpKind::Compare), Response::Compare(result))
        | (Kind::Op(OpKind::Add), Response::Add(result))
        | (Kind::Op(OpKind::Modify), Response::Modify(result))
        | (Kind::Op(OpKind::Delete), Response::Delete(result))
        | (Kind::Op(OpKind::Rename), Response::Rename(result)) => result,
        (Kind::Op(OpKind::Extended), Response::Extended(response)) => {
            let mut outcome = Outcome::new(response.result);
            (outcome.oid, outcome.value) = (response.oid, response.value);
            return Some(outcome);
        }
        (Kind::Bind, Response::Bind(response)) => {
            let mut outcome = Outcome::new(response.result);
            outcome.value = response.server_credentials;
            return Some(outcome);
        }
        // Samba refuses with the answer to an extended operation, whatever was asked, where it has not looked at what
        // that was: because of a critical control it does not know, for one. So no success can be told.
        (Kind::Op(_), Response::Extended(response)) if refuses(response.result.code) => response.result,
        _ => return None,
    };
    Some(Outcome::new(result))
}

/// Whether nothing has been done, and nothing else is to be.
fn refuses(code: ResultCode) -> bool {
    !matches!(
        code,
        ResultCode::SUCCESS
            | ResultCode::COMPARE_FALSE
            | ResultCode::COMPARE_TRUE
            | ResultCode::REFERRAL
            | ResultCode::SASL_BIND_IN_PROGRESS
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_results_are_read_eagerly_and_no_tick_is_long() {
        let tick = |delivering| tick_after(Duration::from_millis(delivering)).map(|tick| tick.as_micros());
        assert_eq!([0, 1, 15].map(tick), [None; 3]);
        assert_eq!([16, 40, 64, 3_600_000].map(tick), [1_000, 2_500, 4_000, 4_000].map(Some));
    }
}
