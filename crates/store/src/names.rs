//! Names of new entries on their way to `tree`, and how many children came below whom.
//!
//! Entries that are loaded come in no order of their names, and a tree would rather have them in order and many at once.
//! So names wait here, where the load finds them; nothing else is looked at before they are stored.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState},
};

use flext_ldap_proto::dn::DnKey;

use crate::{
    read::Size,
    row::{Id, ROOT},
    tables::{Failure, Name, Writable},
};

/// Octets of names that wait: some 300,000 of them.
const NAMES: usize = 16 << 20;

/// Names that wait.
#[derive(Debug, Default)]
pub(crate) struct Names {
    hasher: RandomState,
    /// Of the keys.
    hashes: HashSet<u64, BuildHasherDefault<Hashed>>,
    /// Keys of `tree`, one after another.
    keys: Vec<u8>,
    /// Where each key ends, and the id of what is named so.
    rows: Vec<(usize, Id)>,
    /// How many came below each.
    children: HashMap<Id, u32>,
    /// Parents that were found.
    parents: HashMap<DnKey, Parent>,
}

/// Hashes numbers that are hashes already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        // Nothing but whole numbers is hashed here.
        octets.iter().for_each(|octet| self.0 = self.0.rotate_left(8) ^ u64::from(*octet));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// An entry with others below it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parent {
    pub(crate) id: Id,
    /// Of its name.
    pub(crate) size: Size,
}

impl Names {
    pub(crate) fn parent(&self, name: &DnKey) -> Option<Parent> {
        self.parents.get(name).copied()
    }

    pub(crate) fn remember(&mut self, name: &DnKey, parent: Parent) {
        self.parents.insert(name.clone(), parent);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.keys.len() >= NAMES
    }

    /// Notes a name: the parent, the rest of its key in `tree`, and the id it leads to. Not one that is there, or
    /// has the same hash as one.
    pub(crate) fn take(&mut self, parent: Id, own: &[u8], id: Id) -> bool {
        let start = self.keys.len();
        self.keys.extend_from_slice(&parent.to_be_bytes());
        self.keys.extend_from_slice(own);
        let key = self.keys.get(start..).unwrap_or_default();
        let hash = self.hasher.hash_one(key);
        if !self.hashes.insert(hash) {
            self.keys.truncate(start);
            return false;
        }
        self.rows.push((self.keys.len(), id));
        let children = self.children.entry(parent).or_default();
        *children = children.saturating_add(1);
        true
    }

    /// Stores what waits.
    pub(crate) fn store(&mut self, tables: &mut Writable<'_>) -> Result<(), Failure> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut start = 0;
        let mut rows: Vec<(&[u8], [u8; 4])> = Vec::with_capacity(self.rows.len());
        for (end, id) in &self.rows {
            rows.push((self.keys.get(start..*end).unwrap_or_default(), id.to_be_bytes()));
            start = *end;
        }
        rows.sort_unstable();
        tables.put_all(Name::Tree, &rows, |(key, _)| key, |(_, id)| id)?;
        let children: Vec<_> = std::mem::take(&mut self.children).into_iter().collect();
        for (parent, count) in children.into_iter().filter(|(parent, _)| *parent != ROOT) {
            let mut node = tables.existing_node(parent)?;
            node.children = node.children.saturating_add(count);
            tables.put(Name::Node, &parent.to_be_bytes(), Some(&node.encode()))?;
        }
        self.hashes.clear();
        self.keys.clear();
        self.rows.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_once_below_each_parent() {
        let mut names = Names::default();
        assert!(names.take(1, b"uid=ada", 7));
        assert!(names.take(2, b"uid=ada", 8));
        assert!(!names.take(1, b"uid=ada", 9));
        assert!(names.take(1, b"uid=ad", 9));
        assert_eq!(names.rows, [(11, 7), (22, 8), (32, 9)]);
        assert_eq!(names.children, HashMap::from([(1, 2), (2, 1)]));
    }
}
