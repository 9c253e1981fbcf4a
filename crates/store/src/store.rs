//! The store: opening, closing, and answering requests.

use std::{fmt, sync::Arc};

use flext_ldap_directory::{BoxFuture, Directory, Error, Peer, Reply, Request, Session, Sessions};
use redb::StorageBackend;

use crate::options::StoreOptions;

/// An embedded directory. Cheap to copy; all copies are the same store.
///
/// When the last copy is dropped, all accepted writes are finished and the threads are joined.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

pub(crate) struct Inner {}

/// What a store has done since it was opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// Entries read from storage.
    pub entries_read: u64,
    /// Rows written or deleted.
    pub rows_written: u64,
    /// Commits.
    pub commits: u64,
    /// Operations that changed something.
    pub writes: u64,
}

impl Store {
    /// Opens a store.
    ///
    /// # Errors
    ///
    /// When the folder cannot be used, another process has it open, it was written by a newer version, or the options
    /// contradict each other.
    pub fn open(options: StoreOptions) -> Result<Self, Error> {
        let _ = options;
        todo!()
    }

    /// Opens a store on storage of the caller's own; the location in `options` is not looked at. For tests that want
    /// storage to fail.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_on(backend: impl StorageBackend, options: StoreOptions) -> Result<Self, Error> {
        let _ = (backend, options);
        todo!()
    }

    /// Refuses writes from now on, finishes those accepted, and joins the threads. Dropping the last copy does the same.
    pub fn close(&self) {
        todo!()
    }

    /// What the store has done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        todo!()
    }
}

impl Directory for Store {
    fn call(&self, request: Request) -> Reply {
        let _ = request;
        todo!()
    }
}

impl Sessions for Store {
    fn open(&self, peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        let _ = peer;
        todo!()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
