//! A directory that answers by a script, so that the seam's own behaviour can be seen on its own.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use flext_ldap_directory::{
    BindReply, BindStep, BoxFuture, Deadline, Directory, Error, ErrorKind, Event, Events, Outcome, Reply,
    Request, Session,
    proto::{
        attribute::Attributes,
        batch::{Batch, BatchWriter},
        control::Controls,
        result::{LdapResult, ResultCode},
    },
};

/// What one call delivers.
pub(crate) type Answer = Vec<Result<Event, Error>>;

/// Answers each call with the next answer of its script and keeps the requests.
#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Inner>);

#[derive(Default)]
struct Inner {
    answers: Mutex<Vec<Answer>>,
    requests: Mutex<Vec<Request>>,
    dropped_early: AtomicUsize,
}

impl Script {
    pub(crate) fn new(answers: Vec<Answer>) -> Self {
        let mut answers = answers;
        answers.reverse();
        Self(Arc::new(Inner { answers: Mutex::new(answers), ..Inner::default() }))
    }

    /// Adds the answer of a call that comes after all those that have one.
    pub(crate) fn then(&self, answer: Answer) {
        self.0.answers.lock().unwrap().insert(0, answer);
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.0.requests.lock().unwrap().clone()
    }

    /// Replies that were dropped before their end.
    pub(crate) fn dropped_early(&self) -> usize {
        self.0.dropped_early.load(Ordering::SeqCst)
    }
}

struct Playing {
    steps: std::vec::IntoIter<Result<Event, Error>>,
    pending: bool,
    ended: bool,
    script: Script,
}

impl Events for Playing {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        // Every second poll is pending, as over a network.
        self.pending = !self.pending;
        if self.pending {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let event =
            self.steps.next().unwrap_or_else(|| Err(Error::new(ErrorKind::Closed, "the script ended early")));
        self.ended = !matches!(event, Ok(Event::Batch(_)));
        Poll::Ready(event)
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        if !self.ended {
            self.script.0.dropped_early.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Directory for Script {
    fn call(&self, request: Request) -> Reply {
        self.0.requests.lock().unwrap().push(request);
        let steps = self.0.answers.lock().unwrap().pop().unwrap_or_default();
        Reply::events(Playing {
            steps: steps.into_iter(),
            pending: false,
            ended: false,
            script: self.clone(),
        })
    }
}

impl Session for Script {
    fn bind(&mut self, _step: BindStep, _by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        Box::pin(async { Ok(BindReply::Refused(LdapResult::new(ResultCode::INVALID_CREDENTIALS).into())) })
    }
}

/// A batch of entries with these names and no attributes.
pub(crate) fn entries(names: &[&str]) -> Batch {
    let mut writer = BatchWriter::new();
    for name in names {
        writer.entry(name, &Controls::none(), |_| {});
    }
    writer.take()
}

pub(crate) fn batch(names: &[&str]) -> Result<Event, Error> {
    Ok(Event::Batch(entries(names)))
}

pub(crate) fn done(code: ResultCode) -> Result<Event, Error> {
    Ok(Event::Done(Outcome::new(LdapResult::new(code))))
}

pub(crate) fn no_attributes() -> Attributes {
    Attributes::builder().build()
}
