//! Explaining a search: what the planner found, and what a run of it looked at.

use std::{future::poll_fn, pin::Pin};

use flext_ldap_directory::{Actor, Error, ErrorKind, Event, Events, Peer, Request};
use flext_ldap_proto::message::Search;

use crate::{
    context::Caller,
    plan::{ExplainedRun, Explanation},
    search::{SearchEvents, Searching},
    store::Store,
    tables::Failure,
};

impl Store {
    /// Says how `search` would be done on behalf of `actor`, without doing it: which indexes tell of which part of the
    /// filter, what is read, and how entries out of scope are told.
    ///
    /// # Errors
    ///
    /// What the search would be refused for, as [`Rejected`](flext_ldap_directory::ErrorKind::Rejected), or when storage
    /// fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the planning, which changes nothing.
    pub async fn explain(&self, search: &Search, actor: &Actor) -> Result<Explanation, Error> {
        let searching = self.searching(search, actor)?.planned().await?;
        Ok(searching.explanation(&self.context()))
    }

    /// Does `search` on behalf of `actor`, throws what it finds away, and says how it was done. Warnings about it say that it
    /// was asked `from="explain"`.
    ///
    /// # Errors
    ///
    /// As [`explain`](Self::explain). A search that ends early, by a limit, is explained.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the search, which changes nothing.
    pub async fn explain_run(&self, search: &Search, actor: &Actor) -> Result<Explanation, Error> {
        let searching = self.searching(search, actor)?.planned().await?;
        let mut events = SearchEvents::new(searching);
        loop {
            match poll_fn(|cx| Pin::new(&mut events).poll_next(cx)).await? {
                Event::Batch(_) => {}
                Event::Done(outcome) => {
                    let Some(searching) = events.searching() else {
                        return Err(Error::new(ErrorKind::Bug, "a search ended while it was worked on"));
                    };
                    let mut explanation = searching.explanation(&self.context());
                    let (looked_at, returned) = searching.counted();
                    explanation.run = Some(ExplainedRun { looked_at, returned, code: outcome.result.code });
                    return Ok(explanation);
                }
            }
        }
    }

    fn searching(&self, search: &Search, actor: &Actor) -> Result<Searching, Error> {
        let Request { op, controls, actor, deadline } = Request::new(search.clone(), actor.clone());
        let caller = Caller::new(actor, Peer::in_process());
        let searching = Searching::new(self.clone(), op, &controls, caller, deadline);
        let mut searching = searching.map_err(Failure::into_error)?;
        searching.is_explained = true;
        Ok(searching)
    }
}
