//! What becomes of the rows of large attributes, and of their index rows.
//!
//! Work and memory grow with what changes. Where all values go, their rows are read and deleted a page at a time, so
//! removing a million values takes time but no memory to speak of, unless the entry is one that others refer to: what an
//! operation of several parts deletes is held until all of them are right. It is one transaction, and other writes wait.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ops::ControlFlow,
    sync::Arc,
};

use super::Work;
use crate::{
    context::{Context, base},
    index::{Indexes, Keyed, attribute_of},
    row::{Id, Stored},
    tables::{Failure, Name, Writable},
    values::{
        Large, ValueRows,
        changes::{Changed, Changes},
    },
};

/// Rows that are held at a time where all of an attribute goes.
const AT_ONCE: usize = 10_000;

/// Where changes of index rows go: keys, an entry, and whether it comes under them or goes. It may write what has
/// gathered.
pub(super) type IndexSink<'s> =
    &'s mut dyn FnMut(&mut Writable<'_>, Keyed<'_>, Id, bool) -> Result<(), Failure>;

/// What becomes of one large attribute.
#[derive(Debug)]
pub(super) struct ValueRowsEffect {
    id: Id,
    description: String,
    /// The rows that are there now; all of them go, save those in `changes`, if there is one.
    cleared: Option<Large>,
    /// As it will be. Absent where nothing of it will be large.
    new: Option<(Large, Arc<Changes>)>,
    /// Whether the index keys of what is put are among the entry's own.
    is_keyed: bool,
    /// Index keys that the entry keeps whatever goes here.
    kept: Arc<BTreeSet<Vec<u8>>>,
    /// Large attributes of the same type, whatever options they have, as they will be: a value that goes here may stay
    /// there.
    same: Arc<[Large]>,
    /// Index keys of values that went, which values that stay may have too.
    shared: BTreeSet<Vec<u8>>,
}

impl Work<'_> {
    /// What becomes of the large attributes of an entry. `inline` are the index keys that what stays in its row gives.
    pub(super) fn value_rows(
        &self,
        id: Id,
        old: Option<&Stored>,
        new: Option<&Stored>,
        inline: &Arc<BTreeSet<Vec<u8>>>,
    ) -> Vec<ValueRowsEffect> {
        let (old, new) = (old.map_or(&[][..], Stored::large), new.map_or(&[][..], Stored::large));
        let types = self.by_type(new);
        let before: HashMap<&[u8], &Large> = old.iter().map(|one| (one.prefix(), one)).collect();
        let after: HashSet<&[u8]> = new.iter().map(Large::prefix).collect();
        let mut effects = Vec::new();
        let mut add =
            |description: &str, cleared: Option<&Large>, changed: Option<(&Large, &Arc<Changes>)>| {
                effects.push(ValueRowsEffect {
                    id,
                    description: description.to_owned(),
                    cleared: cleared.cloned(),
                    new: changed.map(|(large, changes)| (large.clone(), Arc::clone(changes))),
                    is_keyed: false,
                    kept: Arc::clone(inline),
                    same: types.get(&self.type_of(description)).cloned().unwrap_or_default(),
                    shared: BTreeSet::new(),
                });
            };
        for one in old {
            if !after.contains(one.prefix()) {
                add(&one.description, Some(one), None);
            }
        }
        for one in new {
            let Some(changes) = one.changes() else { continue };
            let cleared = before.get(one.prefix()).copied().filter(|_| !changes.over);
            add(&one.description, cleared, Some((one, changes)));
        }
        effects
    }

    /// Leaves those index keys out of `lost` that values have which are not in the entry's row any more and are in a large
    /// attribute of the same type.
    pub(super) fn keep_those_of_large(
        &self,
        old: Option<&Stored>,
        new: Option<&Stored>,
        lost: &mut BTreeSet<Vec<u8>>,
    ) -> Result<(), Failure> {
        let (Some(old), Some(new)) = (old, new) else { return Ok(()) };
        if new.large().is_empty() || lost.is_empty() {
            return Ok(());
        }
        let types = self.by_type(new.large());
        for attribute in old.user().iter().chain(old.operational().iter()) {
            let Some(same) = types.get(&self.type_of(attribute.description())) else { continue };
            for value in attribute.values() {
                let Context { schema, indexes, .. } = self.context;
                let keys = indexes.value_keys(schema, attribute.description(), value);
                if !keys.iter().any(|key| lost.contains(key)) {
                    continue;
                }
                let row = crate::values::value_key(self.context, attribute.description(), value);
                for large in &**same {
                    if large.get(self.tables, &row)?.is_some() {
                        keys.iter().for_each(|key| _ = lost.remove(key));
                        break;
                    }
                }
            }
        }
        let mut shared = lost.iter().filter(|key| Indexes::is_shared(key)).cloned().collect();
        leave_held(self.context, self.tables, new.large(), &mut shared)?;
        lost.retain(|key| !Indexes::is_shared(key) || shared.contains(key));
        Ok(())
    }

    /// Large attributes by their types: there can be thousands, of one type with other options each.
    fn by_type(&self, large: &[Large]) -> HashMap<String, Arc<[Large]>> {
        let mut types: HashMap<String, Vec<Large>> = HashMap::new();
        for one in large {
            types.entry(self.type_of(&one.description)).or_default().push(one.clone());
        }
        types.into_iter().map(|(name, large)| (name, large.into())).collect()
    }

    fn type_of(&self, description: &str) -> String {
        self.context.preferred(description).to_ascii_lowercase()
    }
}

impl ValueRowsEffect {
    /// Of a new entry whose own index keys have those of what is put.
    pub(super) fn keyed(self) -> Self {
        Self { is_keyed: true, ..self }
    }

    /// Values that are put or removed, each as often as rows are looked at for it: one that goes may be in any of the large
    /// attributes of its type.
    pub(super) fn looks(&self) -> u64 {
        let rows = self.new.iter().flat_map(|(_, changes)| changes.rows.values());
        let (mut put, mut removed) = (0_u64, self.cleared.as_ref().map_or(0, |cleared| cleared.count));
        for change in rows {
            match change {
                Changed::Put(_) => put += 1,
                Changed::Removed(_) => removed += 1,
            }
        }
        put.saturating_add(removed.saturating_mul(self.same.len().max(1) as u64))
    }

    /// Writes it all.
    pub(super) fn apply(
        mut self,
        context: &Context,
        tables: &mut Writable<'_>,
        index: IndexSink<'_>,
    ) -> Result<(), Failure> {
        let new = self.new.take();
        let cleared = self.cleared.take();
        if let Some(cleared) = &cleared {
            self.clear(context, tables, index, cleared, new.as_ref().map(|(_, changes)| &**changes))?;
        }
        if let Some((large, changes)) = new {
            self.change(context, tables, index, &large, &changes, cleared.is_some())?;
        }
        leave_held(context, tables, &self.same, &mut self.shared)?;
        for key in self.shared {
            index(tables, Keyed::One(&key), self.id, false)?;
        }
        Ok(())
    }

    /// Puts and removes the rows that are named.
    fn change(
        &mut self,
        context: &Context,
        tables: &mut Writable<'_>,
        index: IndexSink<'_>,
        large: &Large,
        changes: &Changes,
        is_there: bool,
    ) -> Result<(), Failure> {
        for (key, change) in &changes.rows {
            let row = [large.prefix(), key].concat();
            match change {
                // What is there already need not be written.
                Changed::Put(value) if is_there && tables.value(&row)?.as_ref() == Some(value) => {}
                Changed::Put(value) => {
                    tables.put(Name::Value, &row, Some(value))?;
                    if self.is_keyed {
                        continue;
                    }
                    for key in context.indexes.value_keys(&context.schema, &self.description, value) {
                        index(tables, Keyed::One(&key), self.id, true)?;
                    }
                }
                Changed::Removed(value) => {
                    tables.put(Name::Value, &row, None)?;
                    self.lose(context, tables, index, large, key, value)?;
                }
            }
        }
        Ok(())
    }

    /// Removes the rows of all values that are not to be put.
    fn clear(
        &mut self,
        context: &Context,
        tables: &mut Writable<'_>,
        index: IndexSink<'_>,
        cleared: &Large,
        changes: Option<&Changes>,
    ) -> Result<(), Failure> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = cleared.page(tables, after.as_deref(), AT_ONCE)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for (key, value) in &page {
                if changes.is_some_and(|changes| matches!(changes.rows.get(key), Some(Changed::Put(_)))) {
                    continue;
                }
                tables.put(Name::Value, &[cleared.prefix(), key].concat(), None)?;
                self.lose(context, tables, index, cleared, key, value)?;
            }
        }
    }

    /// The entry is not found by a value any more, unless it has it elsewhere.
    fn lose(
        &mut self,
        context: &Context,
        tables: &mut Writable<'_>,
        index: IndexSink<'_>,
        large: &Large,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Failure> {
        for other in self.same.iter().filter(|other| other.prefix() != large.prefix()) {
            if other.get(tables, key)?.is_some() {
                return Ok(());
            }
        }
        for key in context.indexes.value_keys(&context.schema, &self.description, value) {
            if self.kept.contains(&key) {
                continue;
            }
            if Indexes::is_shared(&key) {
                self.shared.insert(key);
            } else {
                index(tables, Keyed::One(&key), self.id, false)?;
            }
        }
        Ok(())
    }
}

/// Takes those index keys out of `keys` that a value of these attributes has. Each value is looked at: hardly an attribute
/// with many values is indexed so that values share keys.
fn leave_held(
    context: &Context,
    rows: &dyn ValueRows,
    large: &[Large],
    keys: &mut BTreeSet<Vec<u8>>,
) -> Result<(), Failure> {
    let Context { schema, indexes, .. } = context;
    for large in large {
        let Some(kind) = schema.attribute_type(base(&large.description)) else { continue };
        if !keys.iter().any(|key| attribute_of(key) == kind.oid.as_bytes()) {
            continue;
        }
        large.visit(rows, None, &mut |_, value| {
            for key in indexes.value_keys(schema, &large.description, value) {
                keys.remove(&key);
            }
            Ok(if keys.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
    }
    Ok(())
}
