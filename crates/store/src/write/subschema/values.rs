//! That values which name something are still found under their keys by another schema.
//!
//! A name in a value may have attribute types in it that are not defined, for it may be of another directory: they are
//! compared by their spelling. Keys of indexes, and of the values of large attributes, are made so; a definition of such
//! a type would have others made. That is looked for where keys are read in one go: in indexes, and in large attributes
//! that have none.

use std::collections::HashSet;

use flext_ldap_proto::{
    attribute::AttributeRef,
    dn::Dn,
    result::ResultCode,
    schema::{AttributeType, MatchingRule, Schema},
};
use roaring::RoaringBitmap;

use super::Work;
use crate::{
    context::base,
    index::{entries, looks_at_schema, normal_of, split},
    read::read_id,
    row::Id,
    tables::Failure,
};

/// What is compared otherwise by another schema.
struct Changed<'s> {
    old: &'s Schema,
    new: &'s Schema,
    /// Attribute types that are, as they stand in normalised names: OIDs of those that are defined, others as they are
    /// spelt; in lower case.
    types: HashSet<Vec<u8>>,
}

impl Work<'_> {
    /// Refuses a schema by which a value that names something would be compared otherwise.
    pub(super) fn keeps_values(&self, new: &Schema) -> Result<(), Failure> {
        let old = &self.context.schema;
        let changed = Changed::between(old, new);
        for kind in old.attribute_types().filter(|kind| changed.concerns(kind)) {
            self.keeps_index(&changed, kind)?;
        }
        self.keeps_large(&changed)
    }

    fn keeps_index(&self, changed: &Changed<'_>, kind: &AttributeType) -> Result<(), Failure> {
        let prefix = [kind.oid.as_bytes(), b"\0="].concat();
        if self.tables.standing.is_under_way(&prefix) {
            let name = kind.name();
            return Err(Failure::refused(
                ResultCode::BUSY,
                format!(
                    "the index of `{name}` is being built or removed; change the schema once that is done"
                ),
            ));
        }
        // Those that are under the hash of a long value.
        let mut hashed = RoaringBitmap::new();
        for row in self.tables.index.range::<&[u8]>(prefix.as_slice()..)? {
            let (key, row) = row?;
            let Some((key, chunk)) = split(key.value()).filter(|(key, _)| key.starts_with(&prefix)) else {
                break;
            };
            let ids = || entries(chunk, row.value()).into_iter().flatten();
            match normal_of(key, &prefix) {
                Some(normal) if changed.is_of(kind, normal) => {
                    return Err(self.would_change(kind, ids().next())?);
                }
                Some(_) => {}
                None => hashed.extend(ids()),
            }
        }
        for id in hashed {
            let Some(stored) = self.tables.stored(id)? else { continue };
            let is_it = |description: &str| {
                let own = self.context.schema.attribute_type(base(description));
                own.is_some_and(|own| own.oid == kind.oid)
            };
            let inline = stored.user().iter().chain(stored.operational().iter());
            let mut inline = inline.filter(|one| is_it(one.description())).flat_map(AttributeRef::values);
            if inline.any(|value| changed.has(kind, value)) {
                return Err(self.would_change(kind, Some(id))?);
            }
            for large in stored.large().iter().filter(|large| is_it(&large.description)) {
                self.keeps_rows(changed, kind, id, large.prefix())?;
            }
        }
        Ok(())
    }

    /// Looks at large attributes without an index.
    fn keeps_large(&self, changed: &Changed<'_>) -> Result<(), Failure> {
        let context = self.context;
        let mut from: Vec<u8> = Vec::new();
        while let Some(row) = self.tables.value.range::<&[u8]>(from.as_slice()..)?.next() {
            let key = row?.0.value().to_vec();
            let end = key.iter().skip(4).position(|octet| *octet == 0).map(|end| end + 4);
            let name = end.and_then(|end| std::str::from_utf8(key.get(4..end)?).ok());
            let (Some(end), Some(name)) = (end, name) else { return Err(Failure::damaged("a value")) };
            let prefix = key.get(..=end).unwrap_or_default();
            if let Some(kind) = context.schema.attribute_type(base(name))
                && changed.concerns(kind)
                && !context.indexes.has_equality(&context.schema, kind.name())
            {
                self.keeps_rows(changed, kind, read_id(&key)?, prefix)?;
            }
            from = prefix.to_vec();
            if let Some(last) = from.last_mut() {
                *last = 1;
            }
        }
        Ok(())
    }

    /// Looks at the values of one large attribute.
    fn keeps_rows(
        &self,
        changed: &Changed<'_>,
        kind: &AttributeType,
        id: Id,
        prefix: &[u8],
    ) -> Result<(), Failure> {
        for row in self.tables.value.range::<&[u8]>(prefix..)? {
            let (key, value) = row?;
            if !key.value().starts_with(prefix) {
                break;
            }
            if changed.has(kind, value.value()) {
                return Err(self.would_change(kind, Some(id))?);
            }
        }
        Ok(())
    }

    fn would_change(&self, kind: &AttributeType, id: Option<Id>) -> Result<Failure, Failure> {
        let of = match id {
            Some(id) => format!(" of `{}`", self.tables.named(id)?.dn),
            None => String::new(),
        };
        Ok(Failure::refused(
            ResultCode::UNWILLING_TO_PERFORM,
            format!(
                "a value of `{}`{of} names something by what would be defined otherwise; take it away, change the \
                 schema, and put it back",
                kind.name()
            ),
        ))
    }
}

impl<'s> Changed<'s> {
    fn between(old: &'s Schema, new: &'s Schema) -> Self {
        let stays = |kind: &AttributeType| {
            new.attribute_type(&kind.oid).is_some_and(|after| {
                after.oid == kind.oid && after.equality == kind.equality && after.syntax == kind.syntax
            }) && kind
                .names
                .iter()
                .all(|name| new.attribute_type(name).is_some_and(|one| one.oid == kind.oid))
        };
        let gone = old.attribute_types().filter(|kind| !stays(kind)).map(|kind| &kind.oid);
        let spelt = new.attribute_types().flat_map(|kind| kind.names.iter().chain([&kind.oid]));
        let come = spelt.filter(|name| old.attribute_type(name).is_none());
        let types = gone.chain(come).map(|name| name.to_ascii_lowercase().into_bytes()).collect();
        Self { old, new, types }
    }

    /// Whether values of a type may have other normal forms. Those of `objectClass` have OIDs in their keys, and
    /// definitions are not stored as values.
    fn concerns(&self, kind: &AttributeType) -> bool {
        const DEFINITIONS: &str = "objectIdentifierFirstComponentMatch";
        let looks = |rule: MatchingRule| looks_at_schema(rule) && rule.name() != DEFINITIONS;
        kind.name() != "objectClass"
            && kind.equality.is_some_and(looks)
            && (names_definitions(kind) || !self.types.is_empty())
    }

    /// Whether a value would have another normal form than this.
    fn is_of(&self, kind: &AttributeType, normal: &[u8]) -> bool {
        if names_definitions(kind) {
            return self.new.normalize(kind, normal).ok().as_deref() != Some(normal);
        }
        types(normal).any(|one| self.types.contains(one))
    }

    /// Whether a value would have another normal form.
    fn has(&self, kind: &AttributeType, value: &[u8]) -> bool {
        let name = std::str::from_utf8(value).ok().filter(|_| !names_definitions(kind));
        let Some(dn) = name.and_then(|name| name.parse::<Dn>().ok()) else {
            return self.old.normalize(kind, value).ok() != self.new.normalize(kind, value).ok();
        };
        dn.rdns().flat_map(|rdn| rdn.avas()).any(|ava| {
            let spelt = ava.attribute_type();
            let known = self.old.attribute_type(spelt).map_or(spelt, |kind| &kind.oid);
            self.types.contains(known.to_ascii_lowercase().as_bytes())
        })
    }
}

/// Whether values name definitions, and not entries.
fn names_definitions(kind: &AttributeType) -> bool {
    kind.equality.is_some_and(|rule| rule.name() == "objectIdentifierMatch")
}

/// The attribute types in a normalised name.
fn types(normal: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_escaped = false;
    let components = normal.split(move |octet| {
        let ends = !is_escaped && matches!(octet, b',' | b'+');
        is_escaped = !is_escaped && *octet == b'\\';
        ends
    });
    components.filter_map(|component| component.split(|octet| *octet == b'=').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_what_stands_before_values() {
        let normal = br"2.5.4.3=a\,berth\=b\\,berth=c\+d+2.5.4.11=e,o=f#'01'b";
        assert_eq!(types(normal).collect::<Vec<_>>(), [&b"2.5.4.3"[..], b"berth", b"2.5.4.11", b"o"]);
        assert_eq!(types(b"").collect::<Vec<_>>(), [b""]);
    }
}
