//! Bundles of new entries, put: names looked up and taken, numbers and stamps filled in, rows stored table by table.

use std::sync::Arc;

use flext_ldap_directory::Actor;

use super::{
    Bundle, ChangeRowKind, actor_name,
    bundle::Bundled,
    new_entry::STAMPED,
    operation::{GATHERED, Operation},
    put_change,
};
use crate::{
    clock::Stamp,
    context::Context,
    index::{Index, Keys},
    names::Parent,
    read::{Resolved, Size},
    row::{Id, put_node},
    tables::{Failure, Name},
};

/// Entries of a bundle that are numbered and stamped, and whose rows are not stored yet.
#[derive(Default)]
struct Run {
    /// Places in the bundle, with the ids.
    entries: Vec<(usize, Id)>,
    /// Rows of `node` and `change`, one after another.
    octets: Vec<u8>,
    /// Where those of `node` end, and those of `change`, which follow each.
    ends: Vec<(usize, usize)>,
    first_change: u64,
}

/// What is needed for each entry of a bundle.
struct Loading {
    context: Arc<Context>,
    /// The indexes of what entries are stamped with, in the order of [`STAMPED`].
    stamps: [Vec<Index>; STAMPED.len()],
    keys: Keys,
    /// The bundle's parents, as far as they were found.
    parents: Vec<Option<Parent>>,
}

impl Loading {
    fn new(context: Arc<Context>, bundle: &Bundle) -> Self {
        let stamps = STAMPED.map(|(name, _)| context.indexes.indexes_of(&context.schema, name).to_vec());
        Self { context, stamps, keys: Keys::default(), parents: vec![None; bundle.parents.len()] }
    }
}

impl Operation<'_, '_> {
    /// Adds the entries of a bundle; what needs more than its rows is added as any other entry is. `done` hears of each in
    /// turn and says whether to go on.
    ///
    /// # Errors
    ///
    /// When storage failed: then all that is open has.
    pub(crate) fn load(
        &mut self,
        mut bundle: Bundle,
        done: &mut dyn FnMut(Result<(), Failure>) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let is_plain = std::ptr::eq(&raw const *bundle.context, &raw const *self.context) && !self.is_asked();
        self.tables.begin_names()?;
        let mut ids = vec![None; bundle.entries.len()];
        let mut run = Run::default();
        let mut loading = Loading::new(Arc::clone(&self.context), &bundle);
        for (place, place_id) in ids.iter_mut().enumerate() {
            let id = if is_plain { self.take(&mut bundle, place, &mut run, &mut loading)? } else { None };
            *place_id = id;
            let result = match id {
                Some(_) => Ok(()),
                None => self.add_whole(&bundle, place, &mut run)?,
            };
            if !done(result)? {
                break;
            }
        }
        self.put(&bundle, &mut run)?;
        self.pending.absorb(bundle.keys, &ids);
        for (keys, places) in bundle.shared {
            self.pending.share(&keys, places.into_iter().filter_map(|place| *ids.get(place as usize)?));
        }
        if self.pending.octets() >= GATHERED {
            return self.flush();
        }
        self.tables.ease_load()
    }

    /// Adds an entry as any other is.
    fn add_whole(
        &mut self,
        bundle: &Bundle,
        place: usize,
        run: &mut Run,
    ) -> Result<Result<(), Failure>, Failure> {
        self.put(bundle, run)?;
        self.tables.settle_load()?;
        let Some(entry) = bundle.entries.get(place) else { return Ok(Ok(())) };
        let added = self.write(&bundle.write_of(entry)?, None);
        self.tables.begin_names()?;
        Ok(added.map(drop))
    }

    /// Gives an entry its id, its stamp and its name; none where that is not all there is to it.
    fn take(
        &mut self,
        bundle: &mut Bundle,
        place: usize,
        run: &mut Run,
        loading: &mut Loading,
    ) -> Result<Option<Id>, Failure> {
        let Some(entry) = bundle.entries.get(place) else { return Ok(None) };
        let Some(parent) = self.parent(bundle, entry, run, loading)? else { return Ok(None) };
        let id = self.state.next_id;
        let entry = *entry;
        let own = bundle.part(entry.start, entry.name);
        if id == Id::MAX
            || !parent.size.below(entry.size).fits()
            || !self.tables.take_name(parent.id, own, id)?
        {
            return Ok(None);
        }
        let stamp = self.state.clock.next(&self.context.time);
        if run.entries.is_empty() {
            run.first_change = self.state.next_change;
        }
        run.push(bundle, (place, &entry), id, parent.id, &stamp);
        let Loading { context, stamps, keys, .. } = loading;
        keys.clear();
        let missing = entry.stamps.into_iter().zip(STAMPED).zip(stamps).filter(|((at, _), _)| *at > 0);
        for ((at, (_, when)), indexes) in missing {
            let value = when.of(&stamp);
            let blank = bundle.octets.get_mut(at..).unwrap_or_default();
            blank.iter_mut().zip(value).for_each(|(to, from)| *to = *from);
            for index in indexes {
                index.add_keys(&context.schema, std::iter::once(value), keys);
            }
        }
        for keyed in keys.iter() {
            self.pending.gain(keyed, id);
        }
        self.state.csn = stamp.csn;
        self.state.next_id += 1;
        self.state.next_change += 1;
        Ok(Some(id))
    }

    /// The parent of an entry.
    fn parent(
        &mut self,
        bundle: &Bundle,
        entry: &Bundled,
        run: &mut Run,
        loading: &mut Loading,
    ) -> Result<Option<Parent>, Failure> {
        let Some((key, known)) = bundle.parents.get(entry.parent).zip(loading.parents.get_mut(entry.parent))
        else {
            return Ok(None);
        };
        if known.is_some() {
            return Ok(*known);
        }
        *known = self.tables.names().and_then(|names| names.parent(key));
        if known.is_some() {
            return Ok(*known);
        }
        // It may have come just now.
        self.put(bundle, run)?;
        self.tables.store_names()?;
        let Resolved::Found(id) = self.context.resolve(self.tables, key)? else { return Ok(None) };
        let parent = Parent { id, size: Size::of(&self.tables.named(id)?.dn) };
        if let Some(names) = self.tables.names() {
            names.remember(key, parent);
        }
        Ok(Some(parent))
    }

    /// Stores the rows of a run.
    fn put(&mut self, bundle: &Bundle, run: &mut Run) -> Result<(), Failure> {
        let Run { entries, octets, ends, first_change } = run;
        if entries.is_empty() {
            return Ok(());
        }
        let (mut rows, mut secrets) = (Vec::with_capacity(entries.len()), Vec::new());
        for (place, id) in entries.iter() {
            let Some(entry) = bundle.entries.get(*place) else { continue };
            rows.push((id.to_be_bytes(), bundle.part(entry.row, entry.end)));
            if entry.secret < entry.row {
                secrets.push((id.to_be_bytes(), bundle.part(entry.secret, entry.row)));
            }
        }
        self.tables.put_all(Name::Entry, &rows, |row| &row.0, |row| row.1)?;
        self.tables.put_all(Name::Secret, &secrets, |row| &row.0, |row| row.1)?;
        let (mut changes, mut start) = (Vec::with_capacity(entries.len()), 0);
        rows.clear();
        for ((node, change), ((_, id), sequence)) in ends.iter().zip(entries.iter().zip(*first_change..)) {
            rows.push((id.to_be_bytes(), octets.get(start..*node).unwrap_or_default()));
            changes.push((sequence.to_be_bytes(), octets.get(*node..*change).unwrap_or_default()));
            start = *change;
        }
        self.tables.put_all(Name::Node, &rows, |row| &row.0, |row| row.1)?;
        self.tables.put_all(Name::Change, &changes, |row| &row.0, |row| row.1)?;
        entries.clear();
        octets.clear();
        ends.clear();
        Ok(())
    }
}

impl Run {
    fn push(
        &mut self,
        bundle: &Bundle,
        (place, entry): (usize, &Bundled),
        id: Id,
        parent: Id,
        stamp: &Stamp,
    ) {
        let (own, name) = (bundle.part(entry.start, entry.name), bundle.part(entry.name, entry.above));
        put_node(&mut self.octets, parent, 0, own, name);
        let node = self.octets.len();
        let uuid = bundle.part(entry.uuid, entry.secret);
        let actor = actor_name(&Actor::Service);
        let kind = ChangeRowKind::Add;
        put_change(&mut self.octets, kind, stamp, id, uuid, parent, name, &actor);
        self.ends.push((node, self.octets.len()));
        self.entries.push((place, id));
    }
}
