//! Paged searches (RFC 2696), page after page without the caller seeing it.
//!
//! A cookie is good on the connection it came from only, so paging is offered on a [`Session`], not on a directory that
//! may send the next page's request elsewhere.

use std::fmt;

use bytes::Bytes;
use flext_ldap_proto::{
    batch::Batch,
    control::{ControlValue, PagedResults},
    line::OneLine,
    message::{Limits, Search},
    result::ResultCode,
};

use crate::{Entries, Error, ErrorKind, Event, Reply, Request, Session};

/// What only a conversation can do.
pub trait SessionExt: Session {
    /// Searches in pages of `size` entries: past a server's size limit, and with an end in sight for both sides.
    ///
    /// The deadline of `request` bounds the wait for each page.
    fn search_pages(&self, request: Request<Search>, size: u32) -> Entries<'_>;
}

impl<S: Session> SessionExt for S {
    fn search_pages(&self, request: Request<Search>, size: u32) -> Entries<'_> {
        Entries::paged(Pages::new(self, request, size))
    }
}

/// Pages without entries in a row after which a server is taken to be going round in circles.
const EMPTY_PAGES: u32 = 1_000;

pub(crate) struct Pages<'a> {
    session: &'a dyn Session,
    request: Request<Search>,
    wait: std::time::Duration,
    size: u32,
    cookie: Bytes,
    reply: Reply,
    items_on_page: usize,
    empty_pages: u32,
    /// The names of the first entries of this page and of the one before.
    first: [Option<String>; 2],
}

impl<'a> Pages<'a> {
    fn new(session: &'a dyn Session, request: Request<Search>, size: u32) -> Self {
        let wait = request.deadline.remaining();
        let cookie = Bytes::new();
        let reply = ask(session, &request, size, &cookie, wait);
        Self {
            session,
            request,
            wait,
            size,
            cookie,
            reply,
            items_on_page: 0,
            empty_pages: 0,
            first: [None, None],
        }
    }

    /// The next event; `Done` after the last page only.
    pub(crate) async fn next(&mut self) -> Result<Event, Error> {
        loop {
            let mut outcome = match self.reply.next().await? {
                Event::Batch(batch) => {
                    self.items_on_page += batch.len();
                    self.is_new(&batch)?;
                    return Ok(Event::Batch(batch));
                }
                Event::Done(outcome) => outcome,
            };
            if outcome.result.code != ResultCode::SUCCESS {
                return Ok(Event::Done(outcome));
            }
            let page = outcome.controls.get::<PagedResults>(&Limits::DEFAULT).map_err(|error| {
                Error::new(ErrorKind::Protocol, "the server's paging control is malformed").with_source(error)
            })?;
            // A server that ignored the control has sent everything at once.
            let Some(page) = page.filter(|page| !page.cookie.is_empty()) else {
                outcome.controls.remove(&PagedResults::OID);
                return Ok(Event::Done(outcome));
            };
            self.empty_pages = if self.items_on_page == 0 { self.empty_pages + 1 } else { 0 };
            if self.empty_pages > EMPTY_PAGES {
                return Err(Error::new(
                    ErrorKind::Protocol,
                    "the server sent 1000 pages without entries in a row and still promises more",
                ));
            }
            self.items_on_page = 0;
            self.first.rotate_right(1);
            self.first[0] = None;
            self.cookie = page.cookie;
            self.reply = ask(self.session, &self.request, self.size, &self.cookie, self.wait);
        }
    }
}

impl Pages<'_> {
    /// That this is not the page before once more: no entry is found twice, so a server that sends it again will never
    /// come to an end. Its cookie does not tell, since honest ones may be the same on each page.
    fn is_new(&mut self, batch: &Batch) -> Result<(), Error> {
        let [first, before] = &mut self.first;
        if first.is_none() {
            *first = batch.entries().next().map(|entry| entry.dn_str().to_owned());
            if first.is_some() && first == before {
                let message = format!(
                    "the server sends a page again, from `{}` on",
                    OneLine(first.as_deref().unwrap_or_default())
                );
                return Err(Error::new(ErrorKind::Protocol, message));
            }
        }
        Ok(())
    }
}

fn ask(
    session: &dyn Session,
    request: &Request<Search>,
    size: u32,
    cookie: &Bytes,
    wait: std::time::Duration,
) -> Reply {
    let page = request.clone().within(wait).critical(&PagedResults { size, cookie: cookie.clone() });
    session.call(page.into_any())
}

impl fmt::Debug for Pages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("size", &self.size).finish_non_exhaustive()
    }
}
