//! A load in the open transaction: rows of new entries on their way to their tables.
//!
//! Entries that are added in great number give rows that a tree would rather have in the order of their keys and many at
//! once. So while adding goes on, rows are held back, where reading sees them, and are stored together. Whatever is not
//! an add wants them stored first: operations of several parts hold rows back too.

use std::{
    borrow::Cow,
    sync::{Mutex, PoisonError},
};

use flext_ldap_proto::dn::RdnKey;

use crate::{
    names::Names,
    read::Named,
    row::Id,
    tables::{Failure, Name, Writable},
};

/// Octets of rows that are held back before they go to their tables.
const ROWS: usize = 4 << 20;

/// The same of rows of `tree`: some 200,000 names, which take three times as much memory.
const TREE: usize = 8 << 20;

/// What is known of a load: nothing unless one was [begun](Writable::begin_load).
#[derive(Debug, Default)]
pub(crate) struct Staged {
    written: usize,
    loading: Option<Box<Loading>>,
    /// Those of bundles, whose other rows are stored at once.
    names: Option<Box<Names>>,
}

#[derive(Debug, Default)]
struct Loading {
    /// Octets of the rows that are held back, those of `tree` aside.
    octets: usize,
    /// Octets of those of `tree`.
    tree: usize,
    /// The entry that was climbed to last: most often the parent of what is added next. Adding renames nothing.
    last: Mutex<Option<(Id, Named)>>,
}

impl Staged {
    /// Octets of all rows that were written in the transaction, those of indexes aside.
    pub(crate) fn written(&self) -> usize {
        self.written
    }

    /// Counts the octets of rows that go to their table at once.
    pub(crate) fn count_written(&mut self, octets: usize) {
        self.written = self.written.saturating_add(octets);
    }

    /// Counts the octets of a row that may be held back.
    pub(crate) fn count(&mut self, name: Name, octets: usize) {
        self.count_written(octets);
        if let Some(loading) = &mut self.loading {
            let count = if name == Name::Tree { &mut loading.tree } else { &mut loading.octets };
            *count = count.saturating_add(octets);
        }
    }

    /// The name of the entry that was climbed to last, if it is this one.
    pub(crate) fn last_named(&self, id: Id) -> Option<Named> {
        let last = self.loading.as_ref()?.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(last, _)| *last == id).map(|(_, named)| named.clone())
    }

    /// The entry that was climbed to last, if it has this name.
    pub(crate) fn last_id(&self, name: &[RdnKey]) -> Option<Id> {
        let last = self.loading.as_ref()?.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(_, named)| named.key.rdns() == name).map(|(id, _)| *id)
    }

    pub(crate) fn remember(&self, id: Id, named: &Named) {
        if let Some(loading) = &self.loading {
            *loading.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, named.clone()));
        }
    }
}

impl Writable<'_> {
    /// Holds rows back from now on, until the load is [settled](Self::settle_load).
    pub(crate) fn begin_load(&mut self) -> Result<(), Failure> {
        if self.staged.loading.is_none() {
            self.settle_load()?;
            self.stage();
            self.staged.loading = Some(Box::default());
        }
        Ok(())
    }

    /// Holds names back from now on, until the load is [settled](Self::settle_load); other rows are not.
    pub(crate) fn begin_names(&mut self) -> Result<(), Failure> {
        if self.staged.names.is_none() {
            self.settle_load()?;
            self.staged.names = Some(Box::default());
        }
        Ok(())
    }

    /// The names that are held back.
    pub(crate) fn names(&mut self) -> Option<&mut Names> {
        self.staged.names.as_deref_mut()
    }

    /// Notes the name of a new entry below a parent, unless it is taken or that cannot be told.
    pub(crate) fn take_name(&mut self, parent: Id, own: &[u8], id: Id) -> Result<bool, Failure> {
        if self.tree.len()? > 0 && self.tree.get(&[&parent.to_be_bytes(), own].concat())?.is_some() {
            return Ok(false);
        }
        Ok(self.names().is_some_and(|names| names.take(parent, own, id)))
    }

    /// Stores the names that are held back, and goes on holding back.
    pub(crate) fn store_names(&mut self) -> Result<(), Failure> {
        let Some(mut names) = self.staged.names.take() else { return Ok(()) };
        names.store(self)?;
        self.staged.names = Some(names);
        Ok(())
    }

    /// Stores what a load has held back where that is much, and goes on holding back. Rows of `tree`, which are small and
    /// come in no order, wait longer than others.
    pub(crate) fn ease_load(&mut self) -> Result<(), Failure> {
        if self.staged.names.as_ref().is_some_and(|names| names.is_full()) {
            self.store_names()?;
        }
        let Some(loading) = &mut self.staged.loading else { return Ok(()) };
        let (others, tree) = (loading.octets >= ROWS, loading.tree >= TREE);
        if !others && !tree {
            return Ok(());
        }
        if others {
            loading.octets = 0;
        }
        if tree {
            loading.tree = 0;
        }
        for name in Name::ALL.into_iter().filter(|name| if *name == Name::Tree { tree } else { others }) {
            self.store_staged(name)?;
            self.table(name).stage();
        }
        Ok(())
    }

    /// Stores what a load has held back, and holds nothing back any more.
    pub(crate) fn settle_load(&mut self) -> Result<(), Failure> {
        self.store_names()?;
        self.staged.names = None;
        if self.staged.loading.take().is_none() {
            return Ok(());
        }
        Name::ALL.into_iter().try_for_each(|name| self.store_staged(name))
    }

    fn store_staged(&mut self, name: Name) -> Result<(), Failure> {
        let table = self.table(name);
        let rows = table.take_staged();
        Ok(table.put_in_order(&rows, |(key, _)| key, |(_, value), _| value.as_deref().map(Cow::Borrowed))?)
    }
}
