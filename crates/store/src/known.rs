//! What a reader of one commit found out that other readers of it need again: which entries are referrals, subentries
//! or aliases, where the bases of searches stand, and the names of entries that have others below them.
//!
//! It belongs to a snapshot and goes with it, so it is never older than what is read. All of it can be found out again;
//! what it holds is bounded, and nothing stands for the absence of something.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use flext_ldap_proto::dn::Dn;
use roaring::RoaringBitmap;

use crate::{
    context::Context,
    options::SchemaHandle,
    read::Named,
    row::{Id, Node, ROOT},
};

/// Names of each kind that are remembered. When there are more, all are forgotten.
const NAMES: usize = 1_024;

/// Octets of a name that is remembered.
const OCTETS: usize = 512;

/// What is known of one snapshot.
#[derive(Default)]
pub(crate) struct Known {
    by_schema: OnceLock<(SchemaHandle, BySchema)>,
    /// Entries with others below them.
    names: Remembered<Id, Named>,
}

/// What a schema decides, by that of whoever asked first: another one can be put in force with the next commit.
#[derive(Default)]
struct BySchema {
    classes: [OnceLock<Arc<RoaringBitmap>>; Class::ALL.len()],
    /// By name as it was spelt. Entries without any below them are not remembered: there are too many.
    bases: Remembered<Box<str>, Place>,
}

/// Classes whose entries are not like others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Class {
    /// RFC 3296.
    Referral,
    /// RFC 3672.
    Subentry,
    Alias,
}

/// Where an entry stands.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) id: Id,
    pub(crate) node: Node,
    pub(crate) named: Named,
}

impl Place {
    /// Of what is no entry.
    pub(crate) fn root() -> Self {
        let node = Node { parent: ROOT, children: 0, key: Vec::new(), name: String::new() };
        Self { id: ROOT, node, named: Named::default() }
    }
}

impl Class {
    const ALL: [Self; 3] = [Self::Referral, Self::Subentry, Self::Alias];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Referral => "referral",
            Self::Subentry => "subentry",
            Self::Alias => "alias",
        }
    }
}

impl Known {
    /// `None` for whoever still works with another schema than the others.
    fn by_schema(&self, context: &Context) -> Option<&BySchema> {
        let (schema, known) = self.by_schema.get_or_init(|| (context.schema.clone(), BySchema::default()));
        schema.is(&context.schema).then_some(known)
    }

    /// The entries of a class, found out by `find` if they are not known.
    pub(crate) fn of_class<E>(
        &self,
        context: &Context,
        class: Class,
        find: impl FnOnce() -> Result<RoaringBitmap, E>,
    ) -> Result<Arc<RoaringBitmap>, E> {
        let known = self.by_schema(context).and_then(|known| known.classes.get(class as usize));
        if let Some(ids) = known.and_then(OnceLock::get) {
            return Ok(Arc::clone(ids));
        }
        let found = Arc::new(find()?);
        if let Some(known) = known {
            // Whoever was earlier found the same.
            let _ = known.set(Arc::clone(&found));
        }
        Ok(found)
    }

    /// Where the entry stands that is named so.
    pub(crate) fn base(&self, context: &Context, dn: &Dn) -> Option<Arc<Place>> {
        self.by_schema(context)?.bases.get(dn.as_str())
    }

    pub(crate) fn remember_base(&self, context: &Context, dn: &Dn, place: &Arc<Place>) {
        if place.node.children > 0
            && dn.as_str().len() <= OCTETS
            && place.named.dn.len() <= OCTETS
            && let Some(known) = self.by_schema(context)
        {
            known.bases.put(dn.as_str().into(), Arc::clone(place));
        }
    }

    /// The name of an entry with others below it.
    pub(crate) fn named(&self, id: Id) -> Option<Arc<Named>> {
        self.names.get(&id)
    }

    pub(crate) fn remember_named(&self, id: Id, named: &Arc<Named>) {
        if named.dn.len() <= OCTETS {
            self.names.put(id, Arc::clone(named));
        }
    }
}

/// Up to [`NAMES`] of something.
struct Remembered<K, V>(RwLock<HashMap<K, Arc<V>>>);

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash, V> Remembered<K, V> {
    fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: K, value: Arc<V>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= NAMES {
            known.clear();
        }
        known.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_the_latest_is_there() {
        let remembered = Remembered::<usize, usize>::default();
        for number in 0..3 * NAMES {
            remembered.put(number, Arc::new(number));
            assert_eq!(remembered.get(&number).as_deref(), Some(&number));
            assert!(remembered.0.read().unwrap().len() <= NAMES);
        }
        assert_eq!(remembered.get(&0), None);
    }
}
