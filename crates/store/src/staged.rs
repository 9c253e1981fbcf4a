//! Rows of a load on their way to their tables.
//!
//! Entries that are added in great number give rows that a tree would rather have in the order of their keys and many at
//! once. So while adding goes on, they are kept here, where reading by key sees them, and are written together. Whatever
//! is not an add wants them in their tables first: ranges of a table do not see what is staged.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use flext_ldap_proto::dn::RdnKey;

use crate::{
    read::Named,
    row::Id,
    tables::{Failure, Name, Writable},
};

/// Rows that are staged: nothing unless it was [begun](Writable::stage).
#[derive(Debug, Default)]
pub(crate) struct Staged {
    tables: Option<Box<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    node: Rows,
    tree: Rows,
    entry: Rows,
    secret: Rows,
    change: Rows,
    octets: usize,
    /// The entry that was climbed to last: most often the parent of what is added next. Adding renames nothing.
    last: Mutex<Option<(Id, Named)>>,
}

/// A row's key, and its value unless it is deleted.
type Row = (Vec<u8>, Option<Vec<u8>>);

/// Rows by their keys; `None` deletes.
type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

impl Staged {
    /// Takes a row, or gives it back if it is not one that is staged now.
    pub(crate) fn put(&mut self, name: Name, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<(), Row> {
        let Some(waiting) = &mut self.tables else { return Err((key, value)) };
        let rows = match name {
            Name::Node => &mut waiting.node,
            Name::Tree => &mut waiting.tree,
            Name::Entry => &mut waiting.entry,
            Name::Secret => &mut waiting.secret,
            Name::Change => &mut waiting.change,
            Name::Meta | Name::Index => return Err((key, value)),
        };
        waiting.octets = waiting.octets.saturating_add(key.len() + value.as_ref().map_or(0, Vec::len));
        rows.insert(key, value);
        Ok(())
    }

    /// Whether rows are staged now.
    pub(crate) fn is_on(&self) -> bool {
        self.tables.is_some()
    }

    /// What is staged under a key: a row, or that there is none any more.
    pub(crate) fn get(&self, name: Name, key: &[u8]) -> Option<Option<&[u8]>> {
        let waiting = self.tables.as_ref()?;
        let rows = match name {
            Name::Node => &waiting.node,
            Name::Tree => &waiting.tree,
            Name::Entry => &waiting.entry,
            Name::Secret => &waiting.secret,
            Name::Change => &waiting.change,
            Name::Meta | Name::Index => return None,
        };
        rows.get(key).map(Option::as_deref)
    }

    /// Octets of the rows.
    pub(crate) fn octets(&self) -> usize {
        self.tables.as_ref().map_or(0, |waiting| waiting.octets)
    }

    /// The name of the entry that was climbed to last, if it is this one.
    pub(crate) fn last_named(&self, id: Id) -> Option<Named> {
        let last = self.tables.as_ref()?.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(last, _)| *last == id).map(|(_, named)| named.clone())
    }

    /// The entry that was climbed to last, if it has this name.
    pub(crate) fn last_id(&self, name: &[RdnKey]) -> Option<Id> {
        let last = self.tables.as_ref()?.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(_, named)| named.key.rdns() == name).map(|(id, _)| *id)
    }

    pub(crate) fn remember(&self, id: Id, named: &Named) {
        if let Some(waiting) = &self.tables {
            *waiting.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, named.clone()));
        }
    }
}

impl Writable<'_> {
    /// Keeps rows back from now on, until they are [settled](Self::settle).
    pub(crate) fn stage(&mut self) {
        self.staged.tables.get_or_insert_default();
    }

    /// Writes what is staged, and keeps nothing back any more.
    pub(crate) fn settle(&mut self) -> Result<(), Failure> {
        let Some(waiting) = self.staged.tables.take() else { return Ok(()) };
        let Waiting { node, tree, entry, secret, change, .. } = *waiting;
        let tables = [
            (Name::Node, node),
            (Name::Tree, tree),
            (Name::Entry, entry),
            (Name::Secret, secret),
            (Name::Change, change),
        ];
        for (name, rows) in tables {
            let rows: Vec<_> = rows.into_iter().collect();
            self.put_in_order(
                name,
                &rows,
                |(key, _)| key,
                |(_, value), _| value.as_deref().map(Cow::Borrowed),
            )?;
        }
        Ok(())
    }
}
