//! Candidates and plans that take more than a turn, done on a thread apart.
//!
//! A turn's worth of octets is done where everybody is served. What takes more (a filter of many parts on one long
//! value, a search for parts of values in a group of a million) is begun anew on a thread of its own, with the clock,
//! the time limit and abandonment looked at as it goes on. Few such threads work at a time, nobody has more than half of
//! them, and each gives way after a while to those who wait: time waiting counts as time of the search.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as TaskContext, Poll, ready},
};

use flext_ldap_directory::{BoxFuture, Error, ErrorKind, Event, Events};
use flext_ldap_proto::result::{LdapResult, ResultCode};
use tokio::time::{Instant, timeout_at};

use super::{Searching, Stage};
use crate::{
    meter::{Aside, Meter},
    tables::Failure,
};

/// A search, wherever it is worked on.
pub(crate) struct SearchEvents {
    here: Option<Searching>,
    apart: Option<Apart>,
}

/// A search that is worked on apart.
struct Apart {
    done: BoxFuture<'static, Result<Box<Searching>, Error>>,
    is_abandoned: Arc<AtomicBool>,
}

impl SearchEvents {
    pub(crate) fn new(searching: Searching) -> Self {
        Self { here: Some(searching), apart: None }
    }

    /// The search, if it is not worked on apart.
    pub(crate) fn searching(&self) -> Option<&Searching> {
        self.here.as_ref()
    }
}

impl Apart {
    /// Has `work` done apart.
    fn new(mut searching: Box<Searching>, work: fn(&mut Searching) -> Result<(), Error>) -> Self {
        let is_abandoned = Arc::new(AtomicBool::new(false));
        let waiting = Arc::clone(&is_abandoned);
        let done = async move {
            let store = searching.store.clone();
            let context = store.context();
            let place = store.apart().take(&context, &searching.caller);
            let place = match searching.until() {
                Some(until) => timeout_at(until, place).await.ok(),
                None => Some(place.await),
            };
            let Some(place) = place else {
                searching.finish(LdapResult::new(ResultCode::TIME_LIMIT_EXCEEDED));
                return Ok(searching);
            };
            searching.apart = Some(Aside { is_abandoned: waiting, place: Some(Arc::new(place)) });
            let done = tokio::task::spawn_blocking(move || work(&mut searching).map(|()| searching));
            done.await.map_err(|error| {
                Error::new(ErrorKind::Bug, "a search ended on a thread apart").with_source(error)
            })?
        };
        Self { done: Box::pin(done), is_abandoned }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.is_abandoned.store(true, Ordering::Relaxed);
    }
}

impl Searching {
    /// Plans, and does nothing yet. It ends once the future is dropped.
    pub(crate) async fn planned(self) -> Result<Self, Error> {
        let mut apart = Apart::new(Box::new(self), |searching| {
            let store = searching.store.clone();
            store.reading("a plan", || searching.plan()).map_err(Failure::into_error)
        });
        apart.done.as_mut().await.map(|searching| *searching)
    }

    /// Goes on until it is known where entries are to be looked for, however long it takes.
    fn plan(&mut self) -> Result<(), Failure> {
        while self.outcome.is_none() && matches!(self.stage, Stage::Start | Stage::Reach { .. }) {
            if self.apart.as_ref().is_some_and(|aside| aside.is_abandoned.load(Ordering::Relaxed)) {
                break;
            }
            self.begin_step();
            self.step(Instant::now(), |_| false)?;
        }
        self.leave_apart();
        Ok(())
    }

    /// Leaves the place where it was worked on.
    fn leave_apart(&mut self) {
        self.apart = None;
        self.meter = Arc::new(Meter::turn(None));
        self.store.count_apart();
    }

    /// One step, however long it takes.
    fn work_apart(&mut self) -> Result<(), Error> {
        let store = self.store.clone();
        let now = Instant::now();
        let done = store.reading("a search", || match self.stage {
            Stage::Follow => self.follow(now).map(|_| ()),
            _ => {
                self.begin_step();
                self.step(now, |_| false)
            }
        });
        self.leave_apart();
        match done {
            Ok(()) => Ok(()),
            Err(Failure::Refused(result)) => {
                self.finish(result);
                Ok(())
            }
            Err(Failure::Failed(error)) => Err(error),
        }
    }
}

impl Events for SearchEvents {
    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<Event, Error>> {
        let this = self.get_mut();
        loop {
            if let Some(apart) = &mut this.apart {
                let done = ready!(apart.done.as_mut().poll(cx));
                this.apart = None;
                this.here = Some(*done?);
            }
            let Some(here) = &mut this.here else {
                return Poll::Ready(Err(Error::new(
                    ErrorKind::Bug,
                    "a search that has failed was asked again",
                )));
            };
            let event = here.poll(cx);
            if !std::mem::take(&mut here.needs_more) {
                return event;
            }
            let here = this.here.take();
            this.apart = here.map(|searching| Apart::new(Box::new(searching), Searching::work_apart));
        }
    }
}
