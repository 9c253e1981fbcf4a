//! Work that cannot be done in slices: evaluating, sorting by and writing one entry that is very large, or that a very
//! large filter is asked of. It would keep the thread from everybody else who is served on it, so whoever opens the store
//! can say how such work is run.

use std::{fmt, sync::Arc};

use flext_ldap_proto::filter::Filter;

use crate::row::Stored;

/// Octets of an entry times parts of a filter from which on it is long: a millisecond, about.
const LONG: u64 = 1 << 20;

/// How long work is run.
#[derive(Clone)]
pub(crate) struct LongWork(Arc<Run>);

type Run = dyn Fn(&mut dyn FnMut()) + Send + Sync;

impl LongWork {
    pub(crate) fn new(run: impl Fn(&mut dyn FnMut()) + Send + Sync + 'static) -> Self {
        Self(Arc::new(run))
    }

    /// Does some work, in the way of whoever opened the store if it is long.
    pub(crate) fn run<R>(&self, is_long: bool, mut work: impl FnMut() -> R) -> R {
        if !is_long {
            return work();
        }
        let mut done = None;
        (self.0)(&mut || done = Some(work()));
        // A way that does nothing is no excuse.
        done.unwrap_or_else(work)
    }
}

impl Default for LongWork {
    fn default() -> Self {
        Self::new(|work| work())
    }
}

impl fmt::Debug for LongWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LongWork")
    }
}

/// Whether asking this filter of an entry takes long, as one that is sorted by or written too.
pub(crate) fn is_long(filter: &Filter, stored: &Stored) -> bool {
    let inline = stored.user().as_bytes().len().saturating_add(stored.operational().as_bytes().len()) as u64;
    let octets = stored.large().iter().fold(inline, |sum, large| sum.saturating_add(large.octets));
    octets.saturating_mul(filter.nodes().len() as u64) >= LONG
}
