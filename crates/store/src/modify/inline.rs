//! Values of an attribute that is in its entry's row while it is changed. Found by their normal forms, which are worked
//! out when the first value is looked for and kept up to date from then on; what comes and goes leaves the order of the
//! others.

use std::{
    cell::OnceCell,
    collections::{HashMap, hash_map},
};

use bytes::Bytes;

use crate::context::{Context, base};

#[derive(Clone, Default)]
pub(super) struct Inline {
    /// As they came; nothing is where one was removed.
    slots: Vec<Option<Bytes>>,
    count: usize,
    /// Of the values, without what surrounds them.
    octets: usize,
    /// By normal form, where it is. Of equal values the first: there are such only where they differed by the schema that
    /// they were stored with.
    known: OnceCell<HashMap<Vec<u8>, usize>>,
}

impl FromIterator<Bytes> for Inline {
    fn from_iter<I: IntoIterator<Item = Bytes>>(values: I) -> Self {
        let slots: Vec<_> = values.into_iter().map(Some).collect();
        let octets = slots.iter().flatten().map(Bytes::len).sum();
        Self { count: slots.len(), slots, octets, known: OnceCell::new() }
    }
}

impl Inline {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.slots.iter().flatten()
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    pub(super) fn has(&self, context: &Context, description: &str, normal: &[u8]) -> bool {
        self.known(context, description).contains_key(normal)
    }

    /// The values with their normal forms, in no order; of equal ones the first.
    pub(super) fn normals(
        &self,
        context: &Context,
        description: &str,
    ) -> impl Iterator<Item = (&[u8], &Bytes)> {
        let known = self.known(context, description).iter();
        known.filter_map(|(normal, slot)| Some((&**normal, self.slots.get(*slot)?.as_ref()?)))
    }

    /// Adds a value, unless there is an equal one. Says whether there was none.
    pub(super) fn insert(
        &mut self,
        context: &Context,
        description: &str,
        normal: Vec<u8>,
        value: Bytes,
    ) -> bool {
        self.known(context, description);
        if let Some(known) = self.known.get_mut() {
            match known.entry(normal) {
                hash_map::Entry::Occupied(_) => return false,
                hash_map::Entry::Vacant(place) => place.insert(self.slots.len()),
            };
        }
        self.count += 1;
        self.octets += value.len();
        self.slots.push(Some(value));
        true
    }

    /// Removes the value with this normal form. Says whether there was one.
    pub(super) fn remove(&mut self, context: &Context, description: &str, normal: &[u8]) -> bool {
        self.known(context, description);
        let slot = self.known.get_mut().and_then(|known| known.remove(normal));
        let Some(value) = slot.and_then(|slot| self.slots.get_mut(slot)).and_then(Option::take) else {
            return false;
        };
        self.count -= 1;
        self.octets -= value.len();
        // An equal one may be left, which nothing knows of.
        if self.known.get().is_some_and(|known| known.len() != self.count) {
            self.known.take();
        }
        true
    }

    fn known(&self, context: &Context, description: &str) -> &HashMap<Vec<u8>, usize> {
        self.known.get_or_init(|| {
            let mut known = HashMap::with_capacity(self.count);
            for (slot, value) in self.slots.iter().enumerate() {
                let Some(value) = value else { continue };
                known.entry(normalize(context, description, value)).or_insert(slot);
            }
            known
        })
    }
}

/// The normal form of a value; its own octets where it has none.
pub(super) fn normalize(context: &Context, description: &str, value: &[u8]) -> Vec<u8> {
    #[cfg(test)]
    tests::NORMALIZED.set(tests::NORMALIZED.get() + 1);
    match context.schema.attribute_type(base(description)) {
        Some(kind) => {
            context.schema.normalize(kind, value).map_or_else(|_| value.to_vec(), |one| one.into_owned())
        }
        None => value.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use flext_ldap_proto::{
        attribute::Attributes,
        message::{Change, ChangeKind},
    };

    use super::*;
    use crate::{Limits, Store, StoreOptions, modify::Draft};

    thread_local! {
        /// Values that were normalised by this thread.
        pub(super) static NORMALIZED: Cell<u64> = const { Cell::new(0) };
    }

    fn change(kind: ChangeKind, description: &str, value: &str) -> Change {
        let values = vec![Bytes::copy_from_slice(value.as_bytes())];
        Change { kind, attribute: description.parse().unwrap(), values }
    }

    /// Values that are normalised for so many pairs of changes, one that adds a value and one that deletes it, of an
    /// attribute with so many values.
    fn work(context: &Context, description: &str, values: u32, pairs: u32) -> u64 {
        let mut attributes = Attributes::builder();
        attributes.push(description, (0..values).map(|number| format!("ldap://h/{number}")));
        let attributes = attributes.build();
        let mut draft = Draft::new(context, attributes.as_ref());
        NORMALIZED.set(0);
        for pair in 0..pairs {
            let value = format!("ldap://new/{pair}");
            draft.apply(context, &change(ChangeKind::Add, description, &value)).unwrap();
            assert!(draft.has(context, description, value.as_bytes()).unwrap());
            draft.apply(context, &change(ChangeKind::Delete, description, &value)).unwrap();
            assert!(!draft.has(context, description, value.as_bytes()).unwrap());
        }
        let whole = draft.whole();
        let left = whole.as_ref().get(description).unwrap();
        assert_eq!(left.values().count(), values as usize);
        NORMALIZED.get()
    }

    #[test]
    fn work_grows_with_values_and_changes_not_with_their_product() {
        let limits = Limits { kept_inline: 100_000, ..Limits::default() };
        let store = Store::open(StoreOptions::memory().limits(limits)).unwrap();
        let context = &*store.context();
        // Each value once, and four for each pair: to add it, to delete it, and twice to ask for it.
        assert_eq!(work(context, "ref", 20_000, 2_000), 28_000);
        assert_eq!(work(context, "ref", 20_000, 4_000), 36_000);
        assert_eq!(work(context, "ref", 40_000, 2_000), 48_000);
        // One that is not kept in the row is looked through once, where it leaves it.
        assert_eq!(work(context, "description", 20_000, 2_000), 28_000);
    }

    #[test]
    fn what_comes_and_goes_leaves_the_others_in_their_order() {
        let store = Store::open(StoreOptions::memory()).unwrap();
        let context = &*store.context();
        let normal = |value: &str| normalize(context, "cn", value.as_bytes());
        let mut values: Inline = ["One", "Two", "Three"].map(Bytes::from).into_iter().collect();
        assert!(!values.insert(context, "cn", normal("two"), Bytes::from("two")));
        assert!(values.remove(context, "cn", &normal("TWO")));
        assert!(!values.remove(context, "cn", &normal("two")));
        assert!(values.insert(context, "cn", normal("two"), Bytes::from("two")));
        assert!(values.remove(context, "cn", &normal("one")));
        assert_eq!(values.iter().collect::<Vec<_>>(), ["Three", "two"]);
        assert_eq!((values.count(), values.octets()), (2, 8));
    }

    #[test]
    fn of_values_that_have_become_equal_each_is_removed_for_itself() {
        let store = Store::open(StoreOptions::memory()).unwrap();
        let context = &*store.context();
        let mut values: Inline = ["One", "ONE", "Two"].map(Bytes::from).into_iter().collect();
        let one = normalize(context, "cn", b"one");
        assert!(values.remove(context, "cn", &one));
        assert_eq!(values.iter().collect::<Vec<_>>(), ["ONE", "Two"]);
        assert!(!values.insert(context, "cn", one.clone(), Bytes::from("one")));
        assert!(values.remove(context, "cn", &one));
        assert!(!values.remove(context, "cn", &one));
        assert_eq!(values.count(), 1);
    }
}
