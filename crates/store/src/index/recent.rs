//! What the open commit has done to indexes, by key: their rows are written at its end, and some operations must look up
//! what those before them did.

use std::collections::HashMap;

use roaring::RoaringBitmap;

use crate::row::Id;

/// Changes under the keys that somebody looks up while writing, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    changes: HashMap<Vec<u8>, Vec<(Id, bool)>>,
    /// The keys changed since [`stage`](Self::stage).
    staged: Option<Vec<Vec<u8>>>,
}

impl Recent {
    pub(crate) fn set(&mut self, key: &[u8], id: Id, present: bool) {
        match self.changes.get_mut(key) {
            Some(changes) => changes.push((id, present)),
            None => drop(self.changes.insert(key.to_vec(), vec![(id, present)])),
        }
        if let Some(staged) = &mut self.staged {
            staged.push(key.to_vec());
        }
    }

    /// What stands under a key, given what did before the commit.
    pub(crate) fn correct(&self, key: &[u8], ids: &mut RoaringBitmap) {
        for (id, present) in self.changes.get(key).into_iter().flatten() {
            if *present {
                ids.insert(*id);
            } else {
                ids.remove(*id);
            }
        }
    }

    /// Remembers what is changed from now on.
    pub(crate) fn stage(&mut self) {
        self.staged = Some(Vec::new());
    }

    pub(crate) fn keep(&mut self) {
        self.staged = None;
    }

    /// Takes back what was changed since [`stage`](Self::stage).
    pub(crate) fn discard(&mut self) {
        for key in self.staged.take().unwrap_or_default() {
            if let Some(changes) = self.changes.get_mut(&key) {
                changes.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_changes_count_and_discarded_ones_do_not() {
        let under = |recent: &Recent| {
            let mut ids = RoaringBitmap::from_iter([1, 2]);
            recent.correct(b"k", &mut ids);
            ids.iter().collect::<Vec<_>>()
        };
        let mut recent = Recent::default();
        recent.set(b"k", 3, true);
        recent.set(b"k", 1, false);
        assert_eq!(under(&recent), [2, 3]);
        recent.stage();
        recent.set(b"k", 3, false);
        recent.set(b"k", 1, true);
        recent.set(b"k", 1, false);
        recent.set(b"k", 4, true);
        assert_eq!(under(&recent), [2, 4]);
        recent.discard();
        assert_eq!(under(&recent), [2, 3]);
        recent.stage();
        recent.set(b"k", 4, true);
        recent.keep();
        recent.discard();
        assert_eq!(under(&recent), [2, 3, 4]);
    }
}
