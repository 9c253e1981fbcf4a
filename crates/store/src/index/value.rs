//! Keys of single values: large attributes are indexed by what changes of them, not by comparing all of it.

use flext_ldap_proto::schema::Schema;

use super::{Asked, Indexes, key};
use crate::context::base;

impl Indexes {
    /// The key of an attribute's presence, if that is indexed.
    pub(crate) fn presence_key(&self, schema: &Schema, description: &str) -> Option<Vec<u8>> {
        let kind = schema.attribute_type(base(description))?;
        self.indexed.get(&kind.oid)?.then(|| key(&kind.oid, Asked::Presence))
    }

    /// The keys under which an entry is found by one value of an attribute.
    pub(crate) fn value_keys(&self, schema: &Schema, description: &str, value: &[u8]) -> Vec<Vec<u8>> {
        let kind = schema.attribute_type(base(description));
        let indexed = kind.filter(|kind| self.indexed.contains_key(&kind.oid));
        indexed.and_then(|kind| self.equality_key(schema, kind, value)).into_iter().collect()
    }
}
