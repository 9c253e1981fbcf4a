//! What waits to be sent on one connection. All that is ready goes out in one write.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use flext_ldap_proto::{
    batch::Batch,
    ber::Writer,
    control::Controls,
    message::{MessageId, Response, encode_item},
};
use tokio::{io::AsyncWrite, time::Instant};

/// Answers on their way out. It holds what it is given; whoever gives looks at [`queued`](Self::queued) first.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    writer: Writer,
    sending: Bytes,
    unflushed: bool,
    stalled: Option<Instant>,
    /// The latest operations whose last answer is in here.
    answered: VecDeque<MessageId>,
}

/// Operations whose answers are known to be in an outbox.
const REMEMBERED: usize = 64;

impl Outbox {
    /// Octets that wait.
    pub(crate) fn queued(&self) -> usize {
        self.writer.len().saturating_add(self.sending.len())
    }

    /// Whether all has gone out.
    pub(crate) fn is_empty(&self) -> bool {
        self.queued() == 0 && !self.unflushed
    }

    /// Since when the peer has taken nothing of what waits for it.
    pub(crate) fn stalled(&self) -> Option<Instant> {
        self.stalled
    }

    /// Whether the last answer of this operation is known to be in here.
    pub(crate) fn holds_answer(&self, id: MessageId) -> bool {
        self.answered.contains(&id)
    }

    /// Adds the last answer of an operation.
    pub(crate) fn answer(&mut self, id: MessageId, response: &Response, controls: &Controls) {
        response.encode(id, controls, &mut self.writer);
        if self.answered.len() == REMEMBERED {
            self.answered.pop_front();
        }
        self.answered.push_back(id);
    }

    /// Adds the items of a search.
    pub(crate) fn items(&mut self, id: MessageId, batch: &Batch) {
        for item in batch.iter() {
            encode_item(id, item, &mut self.writer);
        }
    }

    /// Sends as much as the peer takes now. Returns whether it took any.
    pub(crate) fn send(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> io::Result<bool> {
        let mut progress = false;
        loop {
            if self.sending.is_empty() {
                if self.writer.is_empty() {
                    break;
                }
                self.sending = self.writer.take();
            }
            match Pin::new(&mut *stream).poll_write(cx, &self.sending) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(taken)) => {
                    self.sending.advance(taken.min(self.sending.len()));
                    self.unflushed = true;
                    self.stalled = None;
                    progress = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.stalled.get_or_insert_with(Instant::now);
                    return Ok(progress);
                }
            }
        }
        if self.unflushed {
            match Pin::new(stream).poll_flush(cx) {
                Poll::Ready(flushed) => {
                    flushed?;
                    self.unflushed = false;
                    self.stalled = None;
                    self.answered.clear();
                    progress = true;
                }
                Poll::Pending => {
                    self.stalled.get_or_insert_with(Instant::now);
                }
            }
        }
        Ok(progress)
    }
}
