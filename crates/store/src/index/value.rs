//! Keys of entries with large attributes: by what changes of these, not by comparing all of them.
//!
//! An entry is under the keys of each value, of presence and of parts as any other. But the parts of many values are
//! shared by many, and none could be taken away with a value without a look at all: so for parts a large attribute is what
//! a long value is, under the one key that is added to every answer. Keys of order are cut where values are long; such a
//! key goes with a value when no other value has it too ([`Indexes::is_shared`]).

use std::collections::BTreeSet;

use flext_ldap_proto::schema::{AttributeType, Schema};

use super::{Index, IndexKind, Indexes, Keys, gram, key};
use crate::{context::base, row::Stored};

impl Indexes {
    /// The keys an entry is under for what its row says: of its attributes there, and of its large ones those that do not
    /// depend on their values. `wanted` tells indexes, by what their keys start with.
    pub(crate) fn row_keys(&self, schema: &Schema, stored: &Stored, wanted: &dyn Fn(&[u8]) -> bool) -> Keys {
        let mut keys = Keys::with_room();
        self.add_keys_of(schema, [stored.user(), stored.operational()], wanted, &mut keys);
        for large in stored.large() {
            let indexes = self.indexes_of(schema, &large.description).iter();
            for index in indexes.filter(|index| wanted(&index.prefix)) {
                match index.kind {
                    IndexKind::Presence => keys.push_with(|key| key::put_presence(key, &index.prefix)),
                    IndexKind::Substring => keys.push_grams(&index.prefix, |grams| grams.push(gram::LONG)),
                    IndexKind::Equality | IndexKind::Ordering => {}
                }
            }
        }
        keys
    }

    /// Whether there are keys of single values of an attribute.
    pub(crate) fn looks_at_values(&self, schema: &Schema, description: &str) -> bool {
        let of_values = |index: &Index| matches!(index.kind, IndexKind::Equality | IndexKind::Ordering);
        self.indexes_of(schema, description).iter().any(of_values)
    }

    /// The keys an entry is under for one value of a large attribute.
    pub(crate) fn value_keys(&self, schema: &Schema, description: &str, value: &[u8]) -> BTreeSet<Vec<u8>> {
        self.value_keys_of(schema, description, value, &|_| true)
    }

    /// Adds those keys of a value of `kind` whose normal form is known, if it has one.
    pub(crate) fn add_value_keys(
        &self,
        schema: &Schema,
        kind: &AttributeType,
        value: &[u8],
        normal: Option<&[u8]>,
        keys: &mut Keys,
    ) {
        for index in self.types.get(&kind.oid).into_iter().flatten() {
            match (index.kind, normal) {
                (IndexKind::Equality, Some(normal)) => index.push_equality(schema, normal, keys),
                // Sorted by another rule.
                (IndexKind::Ordering, _) => index.add_keys(schema, std::iter::once(value), keys),
                _ => {}
            }
        }
    }

    /// Those of indexes that `wanted` is true of, by what their keys start with.
    pub(crate) fn value_keys_of(
        &self,
        schema: &Schema,
        description: &str,
        value: &[u8],
        wanted: &dyn Fn(&[u8]) -> bool,
    ) -> BTreeSet<Vec<u8>> {
        let mut keys = Keys::default();
        for index in self.indexes_of(schema, description) {
            if matches!(index.kind, IndexKind::Equality | IndexKind::Ordering) && wanted(&index.prefix) {
                index.add_keys(schema, std::iter::once(value), &mut keys);
            }
        }
        keys.to_set()
    }

    /// Whether values that are not equal can have this key.
    pub(crate) fn is_shared(key: &[u8]) -> bool {
        key::prefix_of(key).ends_with(b"\0>")
    }

    pub(crate) fn indexes_of(&self, schema: &Schema, description: &str) -> &[Index] {
        let kind = schema.attribute_type(base(description));
        kind.and_then(|kind| self.types.get(&kind.oid)).map_or(&[], Vec::as_slice)
    }
}
