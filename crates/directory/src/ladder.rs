//! The ladder on a directory: typed operations, and on a search stream, all, optional, exactly one.
//!
//! On these rungs an answer that is no is an [`Error`]; below them, at [`Directory::call`], it is an outcome.

use std::future::Future;

use flext_ldap_proto::{
    batch::{Batch, Item},
    entry::Entry,
    extended::{ExtendedOperation, WhoAmI},
    message::{Add, Compare, Delete, ExtendedRequest, ExtendedResponse, Modify, Rename, Scope, Search},
    result::ResultCode,
};

use crate::{Actor, Applied, Directory, Error, ErrorKind, Event, Outcome, Reply, Request, pages::Pages};

/// The entries of one search, in the order the directory sent them.
///
/// Dropping it early abandons the search. While it is not read, the directory behind it may hold back: over a
/// connection, other answers on that connection wait too.
#[derive(Debug)]
#[must_use = "entries arrive only while this is read"]
pub struct Entries<'a> {
    source: Source<'a>,
    batch: Batch,
    read: usize,
    references: Vec<String>,
    /// Octets of the references remembered.
    remembered: usize,
    passed_over: u64,
    outcome: Option<Outcome>,
}

#[derive(Debug)]
enum Source<'a> {
    One(Reply),
    Paged(Box<Pages<'a>>),
}

/// References remembered by [`Entries`]; further ones are counted only.
const REMEMBERED_REFERENCES: usize = 1_000;

/// Octets of all of them: a URL may be as long as a message.
const REMEMBERED_OCTETS: usize = 1 << 20;

impl<'a> Entries<'a> {
    pub(crate) fn new(reply: Reply) -> Self {
        Self::over(Source::One(reply))
    }

    pub(crate) fn paged(pages: Pages<'a>) -> Self {
        Self::over(Source::Paged(Box::new(pages)))
    }

    fn over(source: Source<'a>) -> Self {
        Self {
            source,
            batch: Batch::default(),
            read: 0,
            references: Vec::new(),
            remembered: 0,
            passed_over: 0,
            outcome: None,
        }
    }

    /// The next entry, or `None` once the directory has said that there are no more.
    ///
    /// The entry shares the buffer it was received in; [`Entry::detach`] what is kept for long.
    ///
    /// # Errors
    ///
    /// When the directory could not answer, or answered no; what came before was delivered. Not to be called after that.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: if it does not resolve, no entry is lost.
    pub async fn next(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            while let Some(item) = self.batch.item(self.read) {
                self.read += 1;
                if let Some(entry) = item.to_entry() {
                    return Ok(Some(entry));
                }
                if let Item::Reference(urls) = item.get() {
                    for url in urls {
                        let remembered = self.remembered.saturating_add(url.len());
                        if self.references.len() < REMEMBERED_REFERENCES && remembered <= REMEMBERED_OCTETS {
                            self.remembered = remembered;
                            self.references.push(url.to_owned());
                        } else {
                            self.passed_over += 1;
                        }
                    }
                }
            }
            match self.next_batch().await? {
                Some(batch) => (self.batch, self.read) = (batch, 0),
                None => return Ok(None),
            }
        }
    }

    /// The next batch whole: entries, references and intermediate responses as they came. Faster than one by one; do
    /// not mix the two.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: if it does not resolve, no batch is lost.
    pub async fn next_batch(&mut self) -> Result<Option<Batch>, Error> {
        if self.outcome.is_some() {
            return Ok(None);
        }
        let event = match &mut self.source {
            Source::One(reply) => reply.next().await?,
            Source::Paged(pages) => pages.next().await?,
        };
        match event {
            Event::Batch(batch) => Ok(Some(batch)),
            Event::Done(outcome) => {
                let outcome = checked(outcome, &[ResultCode::SUCCESS])?;
                self.outcome = Some(outcome);
                Ok(None)
            }
        }
    }

    /// The references met by [`next`](Self::next) so far, oldest first: LDAP URLs as sent, at most 1,000, of 1 MiB
    /// together.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.references.iter().map(String::as_str)
    }

    /// References met but not remembered.
    #[must_use]
    pub const fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// The directory's answer, once [`next`](Self::next) has returned `None`.
    #[must_use]
    pub const fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// All entries that are left, detached from the buffers they came in. Memory grows with the result.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next); what came before is lost.
    pub async fn all(mut self) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        while let Some(entry) = self.next().await? {
            entries.push(entry.detach());
        }
        Ok(entries)
    }
}

/// An outcome with one of these codes, or the error that it is.
pub(crate) fn checked(outcome: Outcome, good: &[ResultCode]) -> Result<Outcome, Error> {
    if good.contains(&outcome.result.code) { Ok(outcome) } else { Err(Error::rejected(outcome)) }
}

/// Typed operations on any directory.
pub trait DirectoryExt: Directory {
    /// Searches: a stream of entries.
    fn search(&self, request: Request<Search>) -> Entries<'static> {
        Entries::new(self.call(request.into_any()))
    }

    /// Searches, and collects the entries. Memory grows with the result.
    ///
    /// # Errors
    ///
    /// When the directory could not answer, or answered no.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the search.
    fn search_all(&self, request: Request<Search>) -> impl Future<Output = Result<Vec<Entry>, Error>> + Send {
        self.search(request).all()
    }

    /// Searches for an entry that may not be there. That a base does not exist counts as not there for a search of the
    /// base alone.
    ///
    /// # Errors
    ///
    /// When there is more than one ([`ErrorKind::MoreThanOne`]), or the directory could not answer, or answered no.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the search.
    fn search_optional(
        &self,
        mut request: Request<Search>,
    ) -> impl Future<Output = Result<Option<Entry>, Error>> + Send {
        let is_base = request.op.scope == Scope::Base;
        // Two are enough to know that there is more than one.
        if request.op.size_limit == 0 {
            request.op.size_limit = 2;
        }
        let mut entries = self.search(request);
        async move {
            let mut found: Option<Entry> = None;
            loop {
                match entries.next().await {
                    Ok(Some(entry)) if found.is_none() => found = Some(entry.detach()),
                    Ok(Some(_)) => {
                        return Err(Error::new(
                            ErrorKind::MoreThanOne,
                            "expected one entry, found more; make the filter or the base narrower",
                        ));
                    }
                    Ok(None) => return Ok(found),
                    Err(error) if is_base && error.result_code() == Some(ResultCode::NO_SUCH_OBJECT) => {
                        return Ok(None);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Searches for an entry that must be there.
    ///
    /// # Errors
    ///
    /// When there is none ([`ErrorKind::NoEntry`]) or more than one ([`ErrorKind::MoreThanOne`]), or the directory
    /// could not answer, or answered no.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the search.
    fn search_one(&self, request: Request<Search>) -> impl Future<Output = Result<Entry, Error>> + Send {
        let found = self.search_optional(request);
        async move {
            found.await?.ok_or_else(|| {
                Error::new(
                    ErrorKind::NoEntry,
                    "expected one entry, found none; check the base and the filter",
                )
            })
        }
    }

    /// Asks whether an entry has a value.
    ///
    /// # Errors
    ///
    /// When the directory could not answer, or answered neither true nor false.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the compare.
    fn compare(&self, request: Request<Compare>) -> impl Future<Output = Result<bool, Error>> + Send {
        let reply = self.call(request.into_any());
        async move {
            let good = [ResultCode::COMPARE_TRUE, ResultCode::COMPARE_FALSE];
            Ok(checked(reply.outcome().await?, &good)?.result.code == ResultCode::COMPARE_TRUE)
        }
    }

    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// When the directory could not answer, or answered no. [`Error::applied`] tells whether it may have been done.
    ///
    /// # Cancel safety
    ///
    /// Not cancel-safe: a write that has begun goes on when its future is dropped, and its answer is lost.
    fn add(&self, request: Request<Add>) -> impl Future<Output = Result<Outcome, Error>> + Send {
        success(self.call(request.into_any()))
    }

    /// Changes an entry.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    ///
    /// # Cancel safety
    ///
    /// As [`add`](Self::add).
    fn modify(&self, request: Request<Modify>) -> impl Future<Output = Result<Outcome, Error>> + Send {
        success(self.call(request.into_any()))
    }

    /// Deletes an entry.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    ///
    /// # Cancel safety
    ///
    /// As [`add`](Self::add).
    fn delete(&self, request: Request<Delete>) -> impl Future<Output = Result<Outcome, Error>> + Send {
        success(self.call(request.into_any()))
    }

    /// Renames or moves an entry.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    ///
    /// # Cancel safety
    ///
    /// As [`add`](Self::add).
    fn rename(&self, request: Request<Rename>) -> impl Future<Output = Result<Outcome, Error>> + Send {
        success(self.call(request.into_any()))
    }

    /// Does an extended operation: `Request::new(operation.request(), actor)`, typed by `E`.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add), or when the answer is not what the operation's syntax says.
    ///
    /// # Cancel safety
    ///
    /// As [`add`](Self::add).
    fn extended<E: ExtendedOperation>(
        &self,
        request: Request<ExtendedRequest>,
    ) -> impl Future<Output = Result<E::Response, Error>> + Send {
        let reply = self.call(request.into_any());
        async move {
            let Outcome { result, oid, value, .. } = success(reply).await?;
            E::decode_response(&ExtendedResponse { result, oid, value }).map_err(|error| {
                Error::new(ErrorKind::Protocol, "the directory's answer is malformed")
                    .with_applied(Applied::Yes)
                    .with_source(error)
            })
        }
    }

    /// Asks who the directory takes `actor` for (RFC 4532): empty for anonymous, `dn:…` or `u:…`.
    ///
    /// # Errors
    ///
    /// When the directory could not answer, or does not offer the operation.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing, so nothing is lost when the future is dropped.
    fn who_am_i(&self, actor: Actor) -> impl Future<Output = Result<String, Error>> + Send {
        self.extended::<WhoAmI>(Request::new(WhoAmI.request(), actor))
    }
}

impl<D: Directory + ?Sized> DirectoryExt for D {}

async fn success(reply: Reply) -> Result<Outcome, Error> {
    checked(reply.outcome().await?, &[ResultCode::SUCCESS])
}
