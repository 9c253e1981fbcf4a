//! Indexes: which entries have an attribute, a value of it, values in an order, values with parts.
//!
//! Each key has one row for every 4,096 ids that has any. A row is at most 512 octets, so adding an entry rewrites a
//! few small rows within a page however many entries share the value.
//!
//! [`Indexes`] is what is wanted, from a configuration and a schema. How far each is, is the [`Standing`] of a
//! snapshot; searches ask only what is ready there. What is wanted and not there is built by the writer between other
//! work ([`build`]).

mod batch;
mod build;
mod chunk;
mod config;
mod deferred;
mod gram;
mod grams;
mod inspect;
mod key;
mod keys;
mod lookup;
mod pending;
mod progress;
mod read;
mod recent;
mod standing;
mod value;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use flext_ldap_proto::{
    attribute::AttributesRef,
    schema::{AttributeType, MatchingRule, Schema},
};
use sha2::{Digest, Sha256};

pub(crate) use self::{
    build::{Maintenance, Reindex, clear, reconcile, settle_all, settle_needed},
    deferred::{Deferred, is_deferred},
    inspect::{describe, entries, split},
    keys::{Keyed, Keys},
    lookup::{Answer, Asked, Part, Span, Told, Untold},
    pending::Pending,
    progress::Listener,
    read::{Budget, Count},
    recent::Recent,
    standing::Standing,
};
pub use self::{
    config::{IndexConfig, IndexKind, UnknownIndexKind},
    progress::{IndexProgress, IndexStage},
};
use crate::{access::unknown_attribute, context::base};

/// Counts up when the same value comes to be normalised to another key.
const VERSION: u32 = 2;

/// The index of classes, which the directory needs itself.
const OBJECT_CLASS: &[u8] = b"2.5.4.0\0=";

/// By what rules the keys of an index are made: differs where the same entries would have others.
pub(crate) type Definition = [u8; 16];

/// What a store indexes, resolved against its schema.
#[derive(Clone, Debug)]
pub(crate) struct Indexes {
    /// What was asked for.
    config: IndexConfig,
    /// By OID.
    types: HashMap<Box<str>, Vec<Index>>,
    /// By OID: the type itself and its subtypes, by OID.
    families: HashMap<Box<str>, Vec<Box<str>>>,
}

/// One index.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    kind: IndexKind,
    /// How values are normalised; none for presence.
    rule: Option<MatchingRule>,
    /// What its keys start with.
    prefix: Arc<[u8]>,
    definition: Definition,
    /// Whether the directory itself asks it, so that nothing is answered before it is ready.
    is_needed: bool,
}

impl Indexes {
    /// What `config` asks for by `schema`; `is_apart` tells attributes that are not stored with their entries.
    ///
    /// # Errors
    ///
    /// A sentence on what of the configuration the schema does not allow.
    pub(crate) fn new(
        schema: &Schema,
        config: &IndexConfig,
        is_apart: &dyn Fn(&str) -> bool,
    ) -> Result<Self, String> {
        let names = Self::names_definition(schema);
        let mut types: HashMap<Box<str>, Vec<Index>> = HashMap::new();
        for (name, kinds, explicit) in config.iter() {
            let wrong = |reason| format!("the index of `{name}`: {reason}");
            let of = Self::of(schema, name, kinds, explicit, is_apart, &names).map_err(wrong)?;
            // Under another of its names it may have been configured before; the last one counts.
            types.extend(of.map(|(attribute, indexes)| (attribute.oid.clone(), indexes)));
        }
        if let Some(class) = schema.attribute_type("objectClass") {
            types.insert(
                class.oid.clone(),
                Index::new(class, IndexKind::Equality, &names).into_iter().collect(),
            );
        }
        types.retain(|_, indexes| !indexes.is_empty());
        let mut indexes = Self { config: config.clone(), types, families: families(schema) };
        indexes.need(schema, "objectClass");
        Ok(indexes)
    }

    /// What is asked for of one attribute; nothing where the schema does not know it and nobody asked.
    fn of<'s>(
        schema: &'s Schema,
        name: &str,
        kinds: &BTreeSet<IndexKind>,
        explicit: bool,
        is_apart: &dyn Fn(&str) -> bool,
        names: &[u8],
    ) -> Result<Option<(&'s AttributeType, Vec<Index>)>, String> {
        let Some(attribute) = schema.attribute_type(name) else {
            return if explicit && !kinds.is_empty() {
                Err(unknown_attribute(schema, name))
            } else {
                Ok(None)
            };
        };
        if is_apart(attribute.name()) && !kinds.is_empty() {
            return Err("the attribute is not stored with its entry, so it cannot have one".to_owned());
        }
        let mut indexes = Vec::new();
        for &kind in kinds {
            match Index::new(attribute, kind, names) {
                Some(index) => indexes.push(index),
                None if explicit => {
                    let possible = IndexKind::ALL
                        .into_iter()
                        .filter(|kind| Index::new(attribute, *kind, names).is_some());
                    let possible: Vec<_> = possible.map(|kind| format!("`{}`", kind.word())).collect();
                    let (kind, possible) = (kind.word(), possible.join(", "));
                    return Err(format!("the attribute has no rule for `{kind}`; it can have {possible}"));
                }
                None => {}
            }
        }
        Ok(Some((attribute, indexes)))
    }

    /// All of `config` that the schema does not allow: the attribute as it was named, and why.
    pub(crate) fn problems(
        schema: &Schema,
        config: &IndexConfig,
        is_apart: &dyn Fn(&str) -> bool,
    ) -> Vec<(String, String)> {
        let problem = |(name, kinds, explicit): (&str, &BTreeSet<IndexKind>, bool)| {
            let reason = Self::of(schema, name, kinds, explicit, is_apart, &[]).err()?;
            Some((name.to_owned(), reason))
        };
        config.iter().filter_map(problem).collect()
    }

    /// The same by another schema.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub(crate) fn by(&self, schema: &Schema, is_apart: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        Self::new(schema, &self.config, is_apart)
    }

    /// Has the indexes of an attribute and its subtypes, those of parts aside, ready whenever the store is open: the directory itself asks
    /// them. They are built when it opens.
    pub(crate) fn need(&mut self, schema: &Schema, attribute: &str) {
        let Some(attribute) = schema.attribute_type(attribute) else { return };
        for oid in self.families.get(&attribute.oid).map(Vec::as_slice).unwrap_or_default() {
            for index in self.types.get_mut(oid).map(Vec::as_mut_slice).unwrap_or_default() {
                index.is_needed |= index.kind != IndexKind::Substring;
            }
        }
    }

    /// A hash that differs where names would have other keys.
    pub(crate) fn names_definition(schema: &Schema) -> Vec<u8> {
        let types: BTreeSet<_> = schema
            .attribute_types()
            .map(|one| (&one.oid, &one.names, one.equality.map(|rule| rule.name()), one.syntax.oid()))
            .collect();
        let classes: BTreeSet<_> = schema.object_classes().map(|one| (&one.oid, &one.names)).collect();
        Sha256::digest(format!("{VERSION} {types:?} {classes:?}")).to_vec()
    }

    /// Adds the keys under which an entry is found by a value.
    pub(crate) fn add_keys(&self, schema: &Schema, description: &str, value: &[u8], keys: &mut Keys) {
        for index in self.indexes_of(schema, description) {
            index.add_keys(schema, std::iter::once(value), keys);
        }
    }

    /// Adds the keys under which an entry is found by the values of an attribute of this type.
    pub(crate) fn add_keys_of_type<'a, V: Iterator<Item = &'a [u8]>>(
        &self,
        schema: &Schema,
        kind: &AttributeType,
        values: impl Fn() -> V,
        keys: &mut Keys,
    ) {
        for index in self.of_type(kind) {
            index.add_keys(schema, values(), keys);
        }
    }

    /// The indexes of an attribute of this type.
    pub(crate) fn of_type(&self, kind: &AttributeType) -> &[Index] {
        self.types.get(&kind.oid).map_or(&[], Vec::as_slice)
    }

    /// Adds the keys of those indexes that `wanted` is true of, by what their keys start with.
    fn add_keys_of<'a>(
        &self,
        schema: &Schema,
        segments: impl IntoIterator<Item = AttributesRef<'a>>,
        wanted: &dyn Fn(&[u8]) -> bool,
        keys: &mut Keys,
    ) {
        for attribute in segments.into_iter().flat_map(AttributesRef::iter) {
            let Some(kind) = schema.attribute_type(base(attribute.description())) else { continue };
            let Some(indexes) = self.types.get(&kind.oid) else { continue };
            for index in indexes.iter().filter(|index| wanted(&index.prefix)) {
                index.add_keys(schema, attribute.values(), keys);
            }
        }
    }

    /// Whether the directory itself asks the same indexes here and there.
    pub(crate) fn needs_as_much(&self, other: &Self) -> bool {
        let needed = |indexes: &Self| -> BTreeSet<_> {
            let needed = indexes.all().filter(|index| index.is_needed);
            needed.map(|index| (Arc::clone(&index.prefix), index.definition)).collect()
        };
        needed(self) == needed(other)
    }

    fn all(&self) -> impl Iterator<Item = &Index> {
        self.types.values().flatten()
    }
}

impl Index {
    /// `None` where the attribute has no rule for it.
    fn new(attribute: &AttributeType, kind: IndexKind, names: &[u8]) -> Option<Self> {
        let rule = match kind {
            IndexKind::Presence => None,
            IndexKind::Equality => Some(attribute.equality?),
            IndexKind::Ordering => Some(attribute.ordering?),
            IndexKind::Substring => Some(attribute.substrings?),
        };
        let mut hash = Sha256::new();
        hash.update(format!("{VERSION} {kind:?} {:?}", rule.map(MatchingRule::name)));
        if rule.is_some_and(looks_at_schema) {
            hash.update(names);
        }
        let definition = *hash.finalize().first_chunk::<16>()?;
        Some(Self {
            kind,
            rule,
            prefix: key::prefix(&attribute.oid, kind).into(),
            definition,
            is_needed: false,
        })
    }

    /// Whether its key is the same whatever the values are.
    pub(crate) fn is_of_presence(&self) -> bool {
        self.kind == IndexKind::Presence
    }

    /// Adds the keys under which an entry is found by these values.
    pub(crate) fn add_keys<'a>(
        &self,
        schema: &Schema,
        values: impl Iterator<Item = &'a [u8]>,
        keys: &mut Keys,
    ) {
        let Some(rule) = self.rule else {
            return keys.push_with(|key| key::put_presence(key, &self.prefix));
        };
        // A value that does not fit its rule fulfils no assertion.
        let normal = values.filter_map(|value| schema.normalize_by(rule, value).ok());
        match self.kind {
            IndexKind::Presence => {}
            IndexKind::Equality => {
                for normal in normal {
                    self.push_equality(schema, &normal, keys);
                }
            }
            IndexKind::Ordering => {
                for normal in normal {
                    keys.push_with(|key| key::put_ordering(key, &self.prefix, &normal));
                }
            }
            IndexKind::Substring => {
                keys.push_grams(&self.prefix, |grams| {
                    normal.for_each(|normal| gram::of_value(&normal, grams));
                });
            }
        }
    }

    fn push_equality(&self, schema: &Schema, normal: &[u8], keys: &mut Keys) {
        if let Some(value) = self.equal(schema, normal) {
            keys.push_with(|key| key::put_equality(key, &self.prefix, value));
        }
    }

    /// The key of a normalised value; none for a class that every entry has.
    fn equality(&self, schema: &Schema, normal: &[u8]) -> Option<Vec<u8>> {
        let value = self.equal(schema, normal)?;
        Some(key::made(|key| key::put_equality(key, &self.prefix, value)))
    }

    /// What stands in the key for a normalised value.
    fn equal<'v>(&self, schema: &'v Schema, normal: &'v [u8]) -> Option<&'v [u8]> {
        if *self.prefix != *OBJECT_CLASS {
            return Some(normal);
        }
        // A class may be called otherwise by a schema to come.
        let class = std::str::from_utf8(normal).ok().and_then(|name| schema.object_class(name));
        let value = class.map_or(normal, |class| class.oid.as_bytes());
        (value != b"2.5.6.0").then_some(value)
    }
}

/// The attribute a key is of, by its OID.
pub(crate) fn attribute_of(key: &[u8]) -> &[u8] {
    key.split(|octet| *octet == 0).next().unwrap_or_default()
}

/// Whether the normal form of a value depends on what else the schema defines.
fn looks_at_schema(rule: MatchingRule) -> bool {
    matches!(
        rule.name(),
        "distinguishedNameMatch"
            | "uniqueMemberMatch"
            | "objectIdentifierMatch"
            | "objectIdentifierFirstComponentMatch"
    )
}

/// For each type itself and its subtypes.
fn families(schema: &Schema) -> HashMap<Box<str>, Vec<Box<str>>> {
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
    families
}
