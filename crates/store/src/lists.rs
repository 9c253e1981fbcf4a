//! Sorted results that are kept for whoever reads them page by page or view by view: ids in order, nothing else.
//!
//! They only save sorting again. A list that is gone (too old, or pushed out by others) is made anew from its search, so
//! what is kept can be bounded: octets, lists, age.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::row::Id;

/// Names a list. Nobody can guess one, and it is only given out sealed.
pub(crate) type ListId = [u8; 16];

/// Lists that are kept at the most.
const COUNT: usize = 256;

/// How long a list is good: entries added since it was made are not in it.
const AGE: Duration = Duration::from_secs(600);

/// The lists of a store, and the memory that all its sorted searches share.
#[derive(Debug)]
pub(crate) struct Lists {
    kept: Mutex<Kept>,
    held: Arc<AtomicUsize>,
    memory: usize,
}

#[derive(Debug, Default)]
struct Kept {
    lists: HashMap<ListId, List>,
    octets: usize,
    /// Counts uses, to tell which list was not used for longest.
    tick: u64,
}

#[derive(Debug)]
struct List {
    ids: Arc<[Id]>,
    made: Instant,
    used: u64,
}

/// Memory that a search holds while it sorts; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    all: Arc<AtomicUsize>,
    octets: usize,
    most: usize,
    most_of_all: usize,
}

/// Why there is no more memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoMemory {
    /// This search has all that one may have.
    ForOne,
    /// All searches together do.
    ForAll,
}

impl Lists {
    /// Of this much memory, a quarter is for lists that are kept, and a quarter is what one search may sort in.
    pub(crate) fn new(memory: usize) -> Self {
        Self { kept: Mutex::default(), held: Arc::default(), memory }
    }

    /// Memory to sort in: none yet.
    pub(crate) fn hold(&self) -> Held {
        Held {
            all: Arc::clone(&self.held),
            octets: 0,
            most: self.memory / 4,
            most_of_all: self.memory / 4 * 3,
        }
    }

    /// Keeps a list, if it fits.
    pub(crate) fn keep(&self, id: ListId, ids: Arc<[Id]>) {
        let most = self.memory / 4;
        let octets = size_of_val::<[Id]>(&ids);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.drop_old();
        while kept.octets.saturating_add(octets) > most || kept.lists.len() >= COUNT {
            let oldest = kept.lists.iter().min_by_key(|(_, list)| list.used).map(|(id, _)| *id);
            let Some(oldest) = oldest else { return };
            kept.remove(&oldest);
        }
        kept.tick += 1;
        let list = List { ids, made: Instant::now(), used: kept.tick };
        kept.octets = kept.octets.saturating_add(octets);
        kept.lists.insert(id, list);
    }

    pub(crate) fn get(&self, id: &ListId) -> Option<Arc<[Id]>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.drop_old();
        kept.tick += 1;
        let tick = kept.tick;
        let list = kept.lists.get_mut(id)?;
        list.used = tick;
        Some(Arc::clone(&list.ids))
    }
}

impl Kept {
    fn drop_old(&mut self) {
        let old: Vec<_> =
            self.lists.iter().filter(|(_, list)| list.made.elapsed() > AGE).map(|(id, _)| *id).collect();
        for id in old {
            self.remove(&id);
        }
    }

    fn remove(&mut self, id: &ListId) {
        if let Some(list) = self.lists.remove(id) {
            self.octets = self.octets.saturating_sub(size_of_val::<[Id]>(&list.ids));
        }
    }
}

impl Held {
    /// Takes more.
    pub(crate) fn take(&mut self, octets: usize) -> Result<(), NoMemory> {
        if self.octets.saturating_add(octets) > self.most {
            return Err(NoMemory::ForOne);
        }
        let before = self.all.fetch_add(octets, Ordering::Relaxed);
        self.octets = self.octets.saturating_add(octets);
        if before.saturating_add(octets) > self.most_of_all { Err(NoMemory::ForAll) } else { Ok(()) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_push_each_other_out() {
        let lists = Lists::new(4 * 40);
        let ids = |count: u32| (0..count).collect::<Vec<_>>().into();
        lists.keep([1; 16], ids(4));
        lists.keep([2; 16], ids(4));
        assert_eq!(lists.get(&[1; 16]).map(|ids| ids.len()), Some(4));
        // 40 octets are kept: the list that was not used for longest goes.
        lists.keep([3; 16], ids(4));
        let there = [1, 2, 3].map(|number| lists.get(&[number; 16]).is_some());
        assert_eq!(there, [true, false, true]);
        lists.keep([4; 16], ids(11));
        assert!(lists.get(&[4; 16]).is_none());
    }

    #[test]
    fn memory_is_shared_and_given_back() {
        let lists = Lists::new(400);
        let mut held: Vec<_> = (0..3).map(|_| lists.hold()).collect();
        for one in &mut held {
            assert_eq!(one.take(100), Ok(()));
            assert_eq!(one.take(1), Err(NoMemory::ForOne));
        }
        assert_eq!(lists.hold().take(1), Err(NoMemory::ForAll));
        held.pop();
        assert_eq!(lists.hold().take(100), Ok(()));
    }
}
