//! Names as a directory compares them.
//!
//! A schema makes keys ([`Schema::dn_key`](crate::schema::Schema::dn_key)); this module only holds and compares them.

use std::sync::Arc;

/// One component, normalised by a schema: types by OID, values by their equality rules, multi-valued ones sorted. Cheap
/// to copy.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RdnKey(Arc<[u8]>);

/// A name normalised by a schema: the only form that is looked up or compared. Leaf first.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct DnKey(Vec<RdnKey>);

impl RdnKey {
    /// A key of octets that a schema made.
    #[must_use]
    pub fn from_normalized(octets: impl Into<Arc<[u8]>>) -> Self {
        Self(octets.into())
    }

    /// The octets; they sort and compare as keys of a table.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl DnKey {
    /// The key of these components, leaf first.
    #[must_use]
    pub fn from_rdns(rdns: Vec<RdnKey>) -> Self {
        Self(rdns)
    }

    /// The components, leaf first.
    #[must_use]
    pub fn rdns(&self) -> &[RdnKey] {
        &self.0
    }

    /// Whether this is the key of the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of components.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.len()
    }

    /// Whether this name is `base` or below it.
    #[must_use]
    pub fn is_within(&self, base: &Self) -> bool {
        self.0.ends_with(&base.0)
    }

    /// Whether this name is below `base`, not `base` itself.
    #[must_use]
    pub fn is_below(&self, base: &Self) -> bool {
        self.0.len() > base.0.len() && self.is_within(base)
    }

    /// Whether this name is directly below `base`.
    #[must_use]
    pub fn is_child_of(&self, base: &Self) -> bool {
        self.0.split_first().is_some_and(|(_, parent)| parent == base.0)
    }

    /// The key of the parent, or `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_first()?;
        Some(Self(rest.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(rdns: &[&str]) -> DnKey {
        DnKey::from_rdns(rdns.iter().map(|rdn| RdnKey::from_normalized(rdn.as_bytes())).collect())
    }

    #[test]
    fn places_in_the_tree() {
        /// Name, base, within, below, child.
        type Row<'a> = (&'a [&'a str], &'a [&'a str], bool, bool, bool);
        let table: &[Row<'_>] = &[
            (&[], &[], true, false, false),
            (&["a"], &[], true, true, true),
            (&["b", "a"], &[], true, true, false),
            (&["b", "a"], &["a"], true, true, true),
            (&["b", "a"], &["b", "a"], true, false, false),
            (&["a"], &["b", "a"], false, false, false),
            // A component that ends with the same octets is another component.
            (&["xa"], &["a"], false, false, false),
            (&["b", "xa"], &["a"], false, false, false),
        ];
        for (name, base, within, below, child) in table {
            let (name, base) = (key(name), key(base));
            assert_eq!(name.is_within(&base), *within, "{name:?} within {base:?}");
            assert_eq!(name.is_below(&base), *below, "{name:?} below {base:?}");
            assert_eq!(name.is_child_of(&base), *child, "{name:?} child of {base:?}");
        }
        assert_eq!(key(&["b", "a"]).parent(), Some(key(&["a"])));
        assert_eq!(key(&[]).parent(), None);
        assert_eq!(key(&["b", "a"]).depth(), 2);
    }
}
