//! Indexes: which entries have an attribute, and which have a value of it.
//!
//! Each key has one row for every 4,096 ids that has any. A row is at most 512 octets, so adding an entry rewrites a
//! few small rows within a page however many entries share the value.

mod chunk;
mod inspect;
mod pending;
mod recent;
mod value;

use std::collections::{BTreeSet, HashMap};

use flext_ldap_proto::{
    attribute::AttributesRef,
    schema::{AttributeType, Schema},
};
use roaring::RoaringBitmap;
use sha2::{Digest, Sha256};

use self::chunk::{CHUNK_BITS, Chunk};
pub(crate) use self::{
    inspect::{describe, entries, split},
    pending::Pending,
    recent::Recent,
};
use crate::{
    row::Id,
    tables::{Failure, Rows, Tables},
};

/// Attributes with an index for equality, and whether there is one for presence: it is left out where nearly every
/// entry has the attribute.
const INDEXED: [(&str, bool); 26] = [
    ("objectClass", false),
    ("entryUUID", false),
    ("uid", true),
    ("cn", false),
    ("sn", false),
    ("givenName", false),
    ("displayName", false),
    ("mail", true),
    ("employeeNumber", true),
    ("telephoneNumber", false),
    ("ou", true),
    ("o", true),
    ("c", true),
    ("dc", true),
    ("member", true),
    ("uniqueMember", true),
    ("memberOf", true),
    ("memberUid", true),
    ("manager", true),
    ("owner", true),
    ("seeAlso", true),
    ("uidNumber", true),
    ("gidNumber", true),
    ("krbPrincipalName", true),
    ("sAMAccountName", true),
    ("userPrincipalName", true),
];

/// Counts up when the same value comes to be normalised to another key, or another set of attributes is indexed.
const VERSION: u32 = 1;

/// Values longer than this are indexed by their hash.
const LONGEST: usize = 200;

/// What a store indexes, resolved against its schema.
#[derive(Clone, Debug)]
pub(crate) struct Indexes {
    /// By OID. Whether presence is indexed.
    indexed: HashMap<Box<str>, bool>,
    /// By OID: the type itself and its subtypes, by OID; absent where one of them is not indexed.
    families: HashMap<Box<str>, Vec<Box<str>>>,
    object_class: Box<str>,
}

/// What a leaf of a filter asks an index.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked<'a> {
    Presence,
    Equality(&'a [u8]),
}

impl Indexes {
    pub(crate) fn new(schema: &Schema) -> Self {
        let mut indexed = HashMap::new();
        for (name, presence) in INDEXED {
            if let Some(attribute) = schema.attribute_type(name) {
                indexed.insert(attribute.oid.clone(), presence);
            }
        }
        let mut families: HashMap<Box<str>, Vec<Box<str>>> = HashMap::new();
        for attribute in schema.attribute_types() {
            let mut up = Some(attribute);
            // A schema's types do not inherit in circles; the bound is for those that would.
            for _ in 0..100 {
                let Some(one) = up else { break };
                families.entry(one.oid.clone()).or_default().push(attribute.oid.clone());
                up = one.superior.as_deref().and_then(|name| schema.attribute_type(name));
            }
        }
        families.retain(|_, family| family.iter().all(|oid| indexed.contains_key(oid)));
        let object_class =
            schema.attribute_type("objectClass").map_or_else(|| "".into(), |one| one.oid.clone());
        Self { indexed, families, object_class }
    }

    /// A hash that differs where the same entries would have other keys, in the indexes or as names.
    pub(crate) fn definition(&self, schema: &Schema) -> Vec<u8> {
        let indexed: BTreeSet<_> = self.indexed.iter().collect();
        let types: BTreeSet<_> = schema
            .attribute_types()
            .map(|one| (&one.oid, &one.names, one.equality.map(|rule| rule.name()), one.syntax.oid()))
            .collect();
        let classes: BTreeSet<_> = schema.object_classes().map(|one| (&one.oid, &one.names)).collect();
        Sha256::digest(format!("{VERSION} {indexed:?} {types:?} {classes:?}")).to_vec()
    }

    /// The keys under which an entry with these attributes is found.
    pub(crate) fn keys<'a>(
        &self,
        schema: &Schema,
        segments: impl IntoIterator<Item = AttributesRef<'a>>,
    ) -> BTreeSet<Vec<u8>> {
        let mut keys = BTreeSet::new();
        for attribute in segments.into_iter().flat_map(AttributesRef::iter) {
            let name = attribute.description().split(';').next().unwrap_or_default();
            let Some(kind) = schema.attribute_type(name) else { continue };
            let Some(presence) = self.indexed.get(&kind.oid) else { continue };
            if *presence {
                keys.insert(key(&kind.oid, Asked::Presence));
            }
            for value in attribute.values() {
                if let Some(key) = self.equality_key(schema, kind, value) {
                    keys.insert(key);
                }
            }
        }
        keys
    }

    fn equality_key(&self, schema: &Schema, kind: &AttributeType, value: &[u8]) -> Option<Vec<u8>> {
        if kind.oid == self.object_class {
            // A class has several names; entries of one class are found under all of them. Every entry is a `top`.
            let name = std::str::from_utf8(value).ok()?.to_ascii_lowercase();
            let name = schema.object_class(&name).map_or(name, |class| class.oid.to_string());
            return (name != "2.5.6.0").then(|| key(&kind.oid, Asked::Equality(name.as_bytes())));
        }
        let normalized = schema.normalize(kind, value);
        let value = normalized.as_deref().unwrap_or(value);
        Some(key(&kind.oid, Asked::Equality(value)))
    }

    /// The keys whose entries together are all that can match, or `None` where no index tells.
    pub(crate) fn lookup(
        &self,
        schema: &Schema,
        description: &str,
        asked: Asked<'_>,
    ) -> Option<Vec<Vec<u8>>> {
        let name = description.split(';').next().unwrap_or_default();
        let Some(kind) = schema.attribute_type(name) else {
            // Undefined for every entry (RFC 4511 §4.5.1.7).
            return Some(Vec::new());
        };
        let family = self.families.get(&kind.oid)?;
        let mut keys = Vec::with_capacity(family.len());
        for oid in family {
            match asked {
                Asked::Presence => {
                    if !*self.indexed.get(oid)? {
                        return None;
                    }
                    keys.push(key(oid, asked));
                }
                Asked::Equality(value) => {
                    if schema.normalize(kind, value).is_err() {
                        return Some(Vec::new());
                    }
                    let kind = schema.attribute_type(oid)?;
                    keys.push(self.equality_key(schema, kind, value)?);
                }
            }
        }
        Some(keys)
    }
}

fn key(oid: &str, asked: Asked<'_>) -> Vec<u8> {
    let mut key = Vec::with_capacity(oid.len() + 48);
    key.extend_from_slice(oid.as_bytes());
    match asked {
        Asked::Presence => key.extend_from_slice(b"\0*\0"),
        Asked::Equality(value) => {
            key.extend_from_slice(b"\0=");
            match u8::try_from(value.len()) {
                Ok(length) if value.len() <= LONGEST => {
                    key.push(length);
                    key.extend_from_slice(value);
                }
                _ => {
                    key.push(u8::MAX);
                    key.extend_from_slice(&Sha256::digest(value));
                }
            }
        }
    }
    key
}

/// The attribute a key is of, by its OID.
pub(crate) fn attribute_of(key: &[u8]) -> &[u8] {
    key.split(|octet| *octet == 0).next().unwrap_or_default()
}

fn row_key(key: &[u8], chunk: u32) -> Vec<u8> {
    let mut row = Vec::with_capacity(key.len() + 4);
    row.extend_from_slice(key);
    row.extend_from_slice(&chunk.to_be_bytes());
    row
}

impl<T: Rows> Tables<T> {
    /// How many entries are under these keys; counting stops beyond `enough`.
    pub(crate) fn count(&self, keys: &[Vec<u8>], enough: u64) -> Result<u64, Failure> {
        let mut count = 0;
        for key in keys {
            let (first, last) = (row_key(key, 0), row_key(key, u32::MAX));
            for row in self.index.range::<&[u8]>(first.as_slice()..=last.as_slice())? {
                count += Chunk::decode(row?.1.value()).len();
                if count > enough {
                    return Ok(count);
                }
            }
        }
        Ok(count)
    }

    /// Whether an entry is under any of these keys.
    pub(crate) fn has(&self, keys: &[Vec<u8>], id: Id) -> Result<bool, Failure> {
        let low = u16::try_from(id & ((1 << CHUNK_BITS) - 1)).unwrap_or_default();
        for key in keys {
            let row = self.index.get(&row_key(key, id >> CHUNK_BITS))?;
            if row.is_some_and(|row| Chunk::decode(row.value()).has(low)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The entries under these keys.
    pub(crate) fn candidates(&self, keys: &[Vec<u8>]) -> Result<RoaringBitmap, Failure> {
        let mut ids = RoaringBitmap::new();
        for key in keys {
            let (first, last) = (row_key(key, 0), row_key(key, u32::MAX));
            for row in self.index.range::<&[u8]>(first.as_slice()..=last.as_slice())? {
                let (key, row) = row?;
                let Some(chunk) = key.value().last_chunk() else { continue };
                let base = u32::from_be_bytes(*chunk) << CHUNK_BITS;
                ids.extend(Chunk::decode(row.value()).ids().map(|id| base | Id::from(id)));
            }
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_run_into_each_other() {
        let short = key("1.2", Asked::Equality(b"ab"));
        let long = key("1.2", Asked::Equality(b"ab\0\0\0\0"));
        assert!(!long.starts_with(&short));
        let hashed = key("1.2", Asked::Equality(&[b'x'; 4_000]));
        assert_eq!(hashed.len(), 3 + 2 + 1 + 32);
        assert_ne!(hashed, key("1.2", Asked::Equality(&[b'x'; 4_001])));
    }
}
