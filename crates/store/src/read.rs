//! Reading names, entries and secrets, in a snapshot or inside a write transaction.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use flext_ldap_proto::dn::{DnKey, RdnKey};

use crate::{
    row::{Id, Node, ROOT, Stored, children_of, decode_secret, tree_key},
    tables::{Failure, Rows, Tables},
};

/// Levels a name can have: what [`flext_ldap_proto::dn::Dn`] parses, and a bound where stored rows are climbed.
const LEVELS: usize = 1_000;

/// Octets a name can have: what [`flext_ldap_proto::dn::Dn`] parses.
const OCTETS: usize = 64 << 10;

/// How large a name is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    octets: usize,
    /// Attributes with values; at least as many as there are.
    parts: usize,
}

impl Size {
    pub(crate) fn of(name: &str) -> Self {
        let separators = name.bytes().filter(|octet| matches!(octet, b',' | b'+')).count();
        Self { octets: name.len(), parts: separators.saturating_add(1) }
    }

    pub(crate) fn fits(self) -> bool {
        self.octets <= OCTETS && self.parts <= LEVELS
    }

    fn child(self, name: &str) -> Self {
        self.below(Self::of(name))
    }

    /// Of a name below this one with such a component of its own.
    pub(crate) fn below(self, own: Self) -> Self {
        Self {
            octets: self.octets.saturating_add(own.octets).saturating_add(1),
            parts: self.parts.saturating_add(own.parts),
        }
    }
}

/// The name of an entry, as written and as compared.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Named {
    pub(crate) dn: String,
    pub(crate) key: DnKey,
}

/// How far a name leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Resolved {
    /// To an entry.
    Found(Id),
    /// Not to an entry; the last one on the way, if one is.
    Missing(Option<Id>),
}

/// Names climbed before: within one batch most entries share their parents.
#[derive(Default)]
pub(crate) struct Climbed {
    /// The first of them; there is often no other.
    first: Option<(Id, Arc<Named>)>,
    others: HashMap<Id, Arc<Named>>,
}

impl Climbed {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn get(&self, id: Id) -> Option<Arc<Named>> {
        match &self.first {
            Some((first, named)) if *first == id => Some(Arc::clone(named)),
            _ => self.others.get(&id).cloned(),
        }
    }

    fn put(&mut self, id: Id, named: &Arc<Named>) {
        if self.first.is_none() {
            self.first = Some((id, Arc::clone(named)));
        } else {
            self.others.insert(id, Arc::clone(named));
        }
    }
}

impl<T: Rows> Tables<T> {
    pub(crate) fn node(&self, id: Id) -> Result<Option<Node>, Failure> {
        self.node.get(id.to_be_bytes().as_slice())?.map(|row| Node::decode(row.value())).transpose()
    }

    /// Whether entries stand below this one.
    pub(crate) fn has_children(&self, id: Id) -> Result<bool, Failure> {
        let row = self.node.get(id.to_be_bytes().as_slice())?;
        row.map_or(Ok(false), |row| Ok(children_of(row.value())? > 0))
    }

    /// The place of an entry that something else says is there.
    pub(crate) fn existing_node(&self, id: Id) -> Result<Node, Failure> {
        self.node(id)?.ok_or_else(|| Failure::damaged("the place of an entry"))
    }

    pub(crate) fn child(&self, parent: Id, key: &[RdnKey]) -> Result<Option<Id>, Failure> {
        let row = self.tree.get(tree_key(parent, key).as_slice())?;
        row.map(|row| read_id(row.value())).transpose()
    }

    pub(crate) fn stored(&self, id: Id) -> Result<Option<Stored>, Failure> {
        let row = self.entry.get(id.to_be_bytes().as_slice())?;
        self.counts.entries_read.fetch_add(1, Ordering::Relaxed);
        row.map(|row| Stored::decode(id, row.value())).transpose()
    }

    pub(crate) fn secrets(&self, id: Id) -> Result<Vec<Vec<u8>>, Failure> {
        let row = self.secret.get(id.to_be_bytes().as_slice())?;
        row.map_or_else(|| Ok(Vec::new()), |row| decode_secret(row.value()))
    }

    /// Climbs from an entry to its suffix.
    pub(crate) fn named(&self, id: Id) -> Result<Named, Failure> {
        if let Some(named) = self.staged.last_named(id) {
            return Ok(named);
        }
        let node = self.existing_node(id)?;
        let named = self.named_below(&node, &mut Climbed::new())?;
        self.staged.remember(id, &named);
        Ok(named)
    }

    /// The name of an entry whose place is known, by the names of its ancestors, which are remembered.
    pub(crate) fn named_below(&self, node: &Node, climbed: &mut Climbed) -> Result<Named, Failure> {
        let (root, parent) = (Named::default(), self.ancestor(node.parent, climbed)?);
        Ok(parent.as_deref().unwrap_or(&root).child(node))
    }

    /// The name of an entry with others below it; none for the root.
    fn ancestor(&self, mut id: Id, climbed: &mut Climbed) -> Result<Option<Arc<Named>>, Failure> {
        let mut path = Vec::new();
        let mut named = loop {
            if id == ROOT {
                break None;
            }
            if let Some(named) = climbed.get(id) {
                break Some(named);
            }
            if let Some(named) = self.known.as_ref().and_then(|known| known.named(id)) {
                climbed.put(id, &named);
                break Some(named);
            }
            if path.len() >= LEVELS {
                return Err(Failure::damaged("the name of an entry"));
            }
            let node = self.existing_node(id)?;
            let parent = node.parent;
            path.push((id, node));
            id = parent;
        };
        let root = Named::default();
        while let Some((id, node)) = path.pop() {
            let child = Arc::new(named.as_deref().unwrap_or(&root).child(&node));
            climbed.put(id, &child);
            if let Some(known) = &self.known {
                known.remember_named(id, &child);
            }
            named = Some(child);
        }
        Ok(named)
    }

    /// Follows a name down from the suffix it is in. The caller has found the suffix: `levels` of the name's
    /// components are the suffix's own.
    pub(crate) fn resolve(&self, key: &DnKey, levels: usize) -> Result<Resolved, Failure> {
        let rdns = key.rdns();
        if let Some((own, above)) = rdns.split_first()
            && let Some(parent) = self.staged.last_id(above)
        {
            let child = self.child(parent, std::slice::from_ref(own))?;
            return Ok(child.map_or(Resolved::Missing(Some(parent)), Resolved::Found));
        }
        let Some((below, suffix)) = rdns.split_at_checked(rdns.len().saturating_sub(levels)) else {
            return Ok(Resolved::Missing(None));
        };
        let Some(mut id) = self.child(ROOT, suffix)? else {
            return Ok(Resolved::Missing(None));
        };
        for rdn in below.iter().rev() {
            match self.child(id, std::slice::from_ref(rdn))? {
                Some(child) => id = child,
                None => return Ok(Resolved::Missing(Some(id))),
            }
        }
        Ok(Resolved::Found(id))
    }

    /// Whether an entry is `base` or below it.
    pub(crate) fn is_within(&self, id: Id, base: Id, known: &mut HashMap<Id, bool>) -> Result<bool, Failure> {
        let mut climbed = Vec::new();
        let mut at = id;
        let within = loop {
            if at == base {
                break true;
            }
            if at == ROOT {
                break false;
            }
            if let Some(within) = known.get(&at) {
                break *within;
            }
            if climbed.len() >= LEVELS {
                return Err(Failure::damaged("the name of an entry"));
            }
            climbed.push(at);
            match self.node.get(at.to_be_bytes().as_slice())? {
                Some(row) => at = crate::row::parent_of(row.value())?,
                None => break false,
            }
        };
        known.extend(climbed.into_iter().map(|id| (id, within)));
        Ok(within)
    }

    /// Whether all names below an entry can still be asked for when `old`, its name, becomes `new`. They are looked at
    /// only if it grows.
    pub(crate) fn fits(&self, id: Id, old: &str, new: &str) -> Result<bool, Failure> {
        const ROWS: usize = 256;
        let (old, new) = (Size::of(old), Size::of(new));
        if !new.fits() {
            return Ok(false);
        }
        if new.octets <= old.octets && new.parts <= old.parts {
            return Ok(true);
        }
        let mut stack = vec![(id, new, None)];
        while let Some((parent, size, after)) = stack.pop() {
            let children = self.children(parent, after.as_deref(), ROWS)?;
            if children.len() == ROWS
                && let Some((name, _)) = children.last()
            {
                stack.push((parent, size, Some(name.clone())));
            }
            for (_, child) in children {
                let node = self.existing_node(child)?;
                let size = size.child(&node.name);
                if !size.fits() {
                    return Ok(false);
                }
                if node.children > 0 {
                    stack.push((child, size, None));
                }
            }
        }
        Ok(true)
    }

    /// Up to `limit` children of `parent` in the order of their names, after the one named `after`: name and id.
    pub(crate) fn children(
        &self,
        parent: Id,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Id)>, Failure> {
        use std::ops::Bound;
        let start = parent.to_be_bytes();
        let lower = after.map_or(Bound::Included(start.as_slice()), Bound::Excluded);
        let end = parent.checked_add(1).map(u32::to_be_bytes);
        let upper = end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(end.as_slice()));
        let mut children = Vec::new();
        for row in self.tree.range::<&[u8]>((lower, upper))?.take(limit) {
            let (key, id) = row?;
            children.push((key.value().to_vec(), read_id(id.value())?));
        }
        Ok(children)
    }

    /// Up to `limit` ids from `from` on.
    pub(crate) fn ids(&self, from: Id, limit: usize) -> Result<Vec<Id>, Failure> {
        let from = from.to_be_bytes();
        let rows = self.node.range::<&[u8]>(from.as_slice()..)?;
        rows.take(limit).map(|row| read_id(row?.0.value())).collect()
    }

    /// How many entries there are.
    pub(crate) fn entries(&self) -> Result<u64, Failure> {
        Ok(self.node.len()?)
    }

    /// The highest id of an entry.
    pub(crate) fn last_id(&self) -> Result<Id, Failure> {
        self.node.last()?.map_or(Ok(ROOT), |(id, _)| read_id(id.value()))
    }

    /// The CSN of the last change.
    pub(crate) fn context_csn(&self) -> Result<String, Failure> {
        Ok(crate::writer::State::read(self)?.csn)
    }
}

impl Named {
    /// The name of what stands at `node` below this.
    pub(crate) fn child(&self, node: &Node) -> Self {
        let key = [&*node.key, self.key.rdns()].concat();
        let dn = if self.dn.is_empty() { node.name.clone() } else { [&node.name, ",", &self.dn].concat() };
        Self { dn, key: DnKey::from_rdns(key) }
    }
}

pub(crate) fn read_id(row: &[u8]) -> Result<Id, Failure> {
    row.first_chunk().map(|id| Id::from_be_bytes(*id)).ok_or_else(|| Failure::damaged("the name of an entry"))
}
