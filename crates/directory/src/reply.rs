//! Replies: what a directory delivers, one event after another, until it is done.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use flext_ldap_proto::{batch::Batch, control::Controls, oid::Oid, result::LdapResult};

use crate::{BoxFuture, Error, ErrorKind};

/// The answer to one operation: any number of batches, then the outcome.
///
/// It ends with [`Event::Done`] or with an error, never by just stopping, so a lost connection cannot look like the end
/// of a result.
#[must_use = "an operation may start only when its reply is polled, and its outcome is in the reply"]
pub struct Reply(State);

enum State {
    Ready(Result<Outcome, Error>),
    Pending(BoxFuture<'static, Result<Outcome, Error>>),
    Events(Pin<Box<dyn Events>>),
    Finished,
}

/// One step of a reply.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing else in a reply")]
pub enum Event {
    /// Items of a search, in wire order.
    Batch(Batch),
    /// The end: the directory has answered. Its answer may be no.
    Done(Outcome),
}

/// How an operation ended: the directory's own answer.
#[derive(Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "layers take it apart and put it together")]
pub struct Outcome {
    /// The result.
    pub result: LdapResult,
    /// What came with it.
    pub controls: Controls,
    /// Which extended response it is, if it is one and says so.
    pub oid: Option<Oid>,
    /// The value of an extended response. Can hold a password; `Debug` does not show it.
    pub value: Option<Bytes>,
}

impl Outcome {
    /// This result and nothing else.
    #[must_use]
    pub const fn new(result: LdapResult) -> Self {
        Self { result, controls: Controls::none(), oid: None, value: None }
    }

    /// `success` and nothing else.
    #[must_use]
    pub const fn success() -> Self {
        Self::new(LdapResult::success())
    }
}

impl From<LdapResult> for Outcome {
    fn from(result: LdapResult) -> Self {
        Self::new(result)
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("result", &self.result)
            .field("controls", &self.controls)
            .field("oid", &self.oid)
            .finish_non_exhaustive()
    }
}

/// A source of events: what a directory that answers with more than an outcome implements.
///
/// Dropping it before the end abandons the operation.
pub trait Events: Send {
    /// The next event. Not called again after [`Event::Done`] or an error.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>>;
}

impl Reply {
    /// A reply that is there already.
    pub fn ready(outcome: Result<Outcome, Error>) -> Self {
        Self(State::Ready(outcome))
    }

    /// A reply without items: a write, a compare, an extended operation.
    pub fn pending(outcome: impl Future<Output = Result<Outcome, Error>> + Send + 'static) -> Self {
        Self(State::Pending(Box::pin(outcome)))
    }

    /// A reply that delivers.
    pub fn events(events: impl Events + 'static) -> Self {
        Self(State::Events(Box::pin(events)))
    }

    /// The next event, for those who poll.
    ///
    /// After the end every further call is an error of kind [`ErrorKind::Misuse`].
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        let event = match &mut self.0 {
            State::Ready(_) => match std::mem::replace(&mut self.0, State::Finished) {
                State::Ready(outcome) => outcome.map(Event::Done),
                _ => Err(Error::new(ErrorKind::Bug, "a ready reply was not ready")),
            },
            State::Pending(outcome) => std::task::ready!(outcome.as_mut().poll(cx)).map(Event::Done),
            State::Events(events) => std::task::ready!(events.as_mut().poll_next(cx)),
            State::Finished => Err(Error::new(ErrorKind::Misuse, "a reply was read after its end")),
        };
        if !matches!(event, Ok(Event::Batch(_))) {
            self.0 = State::Finished;
        }
        Poll::Ready(event)
    }

    /// The next event.
    ///
    /// # Errors
    ///
    /// When the directory could not answer. That it answered no is [`Event::Done`] with another code than success.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: if it does not resolve, no event is lost.
    pub async fn next(&mut self) -> Result<Event, Error> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Waits for the outcome, passing over items.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the reply: a search or compare is abandoned, a write goes on unseen.
    pub async fn outcome(mut self) -> Result<Outcome, Error> {
        loop {
            if let Event::Done(outcome) = self.next().await? {
                return Ok(outcome);
            }
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply(..)")
    }
}
