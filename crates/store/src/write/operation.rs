//! One operation in the open transaction: of one part, or of several that are kept together or not at all.
//!
//! A write of one part is computed and put. One of several (an entry and the references to it, a subtree, a transaction)
//! stages its rows: each part is computed from what the parts before it left, has its own row in the change log and its own
//! CSN, and when all are right they are stored together. What a part may do is decided where it is computed, not here.

use std::sync::Arc;

use flext_ldap_directory::{Actor, Outcome};
use flext_ldap_proto::result::ResultCode;

use super::{Departed, Effect, Prepared, Work, Write, WriteOp};
use crate::{
    clock::Stamp,
    constraint::refint,
    context::Context,
    index::{Keyed, Pending, Recent},
    row::Id,
    staged::Staged,
    tables::{Failure, Writable},
    writer::State,
};

/// Octets of changes of index rows that are gathered before they are written, at the most: commits end before, but what
/// one operation brings can be more than is to be held.
pub(super) const GATHERED: usize = 80 << 20;

/// The open transaction, and what its commit carries on.
pub(crate) struct Operation<'a, 't> {
    pub(crate) context: Arc<Context>,
    /// Whether `context` has another schema than the one that readers have.
    pub(crate) schema_changed: bool,
    pub(crate) tables: &'a mut Writable<'t>,
    pub(crate) pending: Pending,
    recent: Recent,
    /// Whether `recent` knows all that `pending` has: nobody asks while entries are loaded.
    noted: bool,
    /// Whether it is to know.
    noting: bool,
    pub(crate) state: &'a mut State,
}

/// An operation of several parts under way.
pub(crate) struct Parts<'p, 'a, 't> {
    operation: &'p mut Operation<'a, 't>,
    actor: &'p Actor,
    state: State,
    index: Vec<(Vec<u8>, Id, bool)>,
    /// Names that lead nowhere since, and that others may still refer to.
    deleted: Vec<Departed>,
}

/// What an operation carries on from one transaction to the next, where several are stored as one.
pub(crate) struct Carried {
    context: Arc<Context>,
    schema_changed: bool,
    staged: Staged,
    pending: Pending,
    recent: Recent,
    noted: bool,
    noting: bool,
}

impl Carried {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        let (staged, pending, recent) = (Staged::default(), Pending::default(), Recent::default());
        Self { context, schema_changed: false, staged, pending, recent, noted: true, noting: false }
    }
}

impl<'a, 't> Operation<'a, 't> {
    pub(crate) fn new(carried: Carried, tables: &'a mut Writable<'t>, state: &'a mut State) -> Self {
        let Carried { context, schema_changed, staged, pending, recent, noted, noting } = carried;
        tables.staged = staged;
        Self { context, schema_changed, tables, pending, recent, noted, noting, state }
    }

    /// Leaves the transaction.
    pub(crate) fn carry(self) -> Carried {
        let Self { context, schema_changed, tables, pending, recent, noted, noting, .. } = self;
        let staged = std::mem::take(&mut tables.staged);
        Carried { context, schema_changed, staged, pending, recent, noted, noting }
    }

    /// Has what is put into indexes known to what comes next, if that asks: it is written, or noted from now on.
    pub(crate) fn ask(&mut self, asks: bool) -> Result<(), Failure> {
        self.noting |= asks;
        if self.noting && !self.noted {
            self.flush()?;
        }
        self.noted = self.noting;
        Ok(())
    }

    /// Whether what is put into indexes is to be known to what comes next.
    pub(super) const fn is_asked(&self) -> bool {
        self.noted
    }

    /// Writes what is gathered for indexes. It need not be known besides.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.recent = Recent::default();
        std::mem::take(&mut self.pending).flush_after(self.tables, Writable::settle_load)
    }

    /// Does one write, or nothing; `prepared` is what was made of an add on the way here.
    pub(crate) fn write(&mut self, write: &Write, prepared: Option<Prepared>) -> Result<Outcome, Failure> {
        if let WriteOp::Delete(op) = &write.op
            && write.controls.tree_delete
        {
            return self.delete_tree(op, write);
        }
        if let WriteOp::Modify(op) = &write.op
            && Work::is_of_schema(&self.context, op)?
        {
            // What is in use is looked up.
            std::mem::take(&mut self.pending).flush(self.tables)?;
        }
        let (mut state, stamp) = next(&self.context, self.state)?;
        let work = Work {
            context: &self.context,
            tables: self.tables,
            recent: &self.recent,
            stamp: &stamp,
            next_id: state.next_id,
        };
        let mut effect = work.effect(write, prepared)?;
        if let Some(departed) = &effect.departed
            && !refint::edits(&work, std::slice::from_ref(departed))?.is_empty()
        {
            return self.together(&write.caller.actor, |parts| parts.part(|work| work.effect(write, None)));
        }
        let Self { context, tables, pending, recent, noted, .. } = self;
        let mut index = |tables: &mut Writable<'_>, keyed: Keyed<'_>, id, present| {
            // Nobody looks up parts of values while writing.
            if let Keyed::One(key) = keyed
                && *noted
                && context.constraints.look_up(key)
            {
                recent.set(key, id, present);
            }
            match keyed {
                Keyed::One(key) => pending.set(key, id, present),
                Keyed::Grams(..) => pending.gain(keyed, id),
            }
            if pending.octets() < GATHERED {
                return Ok(());
            }
            // What is written need not be known besides.
            *recent = Recent::default();
            std::mem::take(pending).flush_after(tables, Writable::settle_load)
        };
        effect.apply(context, tables, &mut index, state.next_change, &stamp, &write.caller.actor)?;
        pass(&mut state, stamp, &effect);
        *self.state = state;
        if let Some(context) = effect.context {
            self.context = context;
            self.schema_changed = true;
        }
        Ok(effect.outcome)
    }

    /// Does several parts on behalf of `actor`, or nothing: when `parts` fails, it is as if none had been done.
    pub(crate) fn together<R>(
        &mut self,
        actor: &Actor,
        parts: impl FnOnce(&mut Parts<'_, 'a, 't>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        self.tables.stage();
        self.recent.stage();
        let state = self.state.clone();
        let mut inside = Parts { operation: self, actor, state, index: Vec::new(), deleted: Vec::new() };
        let done = parts(&mut inside).and_then(|done| inside.settle().map(|()| done));
        let Parts { state, index, .. } = inside;
        match done {
            Ok(done) => {
                self.tables.keep()?;
                self.recent.keep();
                for (key, id, present) in index {
                    self.pending.set(&key, id, present);
                }
                *self.state = state;
                Ok(done)
            }
            Err(failure) => {
                self.tables.discard();
                self.recent.discard();
                Err(failure)
            }
        }
    }
}

impl Parts<'_, '_, '_> {
    /// Does one part: `compute` sees what the parts before it left. References to what a part renames change with it;
    /// those to what is deleted go when all parts are done.
    pub(crate) fn part(
        &mut self,
        compute: impl FnOnce(&Work<'_>) -> Result<Effect, Failure>,
    ) -> Result<Outcome, Failure> {
        let mut effect = self.put(compute)?;
        match effect.departed.take() {
            Some(renamed @ Departed { new: Some(_), .. }) => {
                self.settle()?;
                self.follow(&[renamed])?;
            }
            Some(deleted) => self.deleted.push(deleted),
            None => {}
        }
        Ok(effect.outcome)
    }

    /// Looks at what the parts so far left, and changes nothing.
    pub(super) fn look<R>(&self, look: impl FnOnce(&Work<'_>) -> Result<R, Failure>) -> Result<R, Failure> {
        let (state, stamp) = next(&self.operation.context, &self.state)?;
        let Operation { context, tables, recent, .. } = &*self.operation;
        look(&Work { context, tables, recent, stamp: &stamp, next_id: state.next_id })
    }

    /// Changes what refers to deleted entries.
    fn settle(&mut self) -> Result<(), Failure> {
        let deleted = std::mem::take(&mut self.deleted);
        if deleted.is_empty() { Ok(()) } else { self.follow(&deleted) }
    }

    fn follow(&mut self, departed: &[Departed]) -> Result<(), Failure> {
        let (state, stamp) = next(&self.operation.context, &self.state)?;
        let Operation { context, tables, recent, .. } = &*self.operation;
        let work = Work { context, tables, recent, stamp: &stamp, next_id: state.next_id };
        let actor = self.actor;
        for (id, names) in refint::edits(&work, departed)? {
            self.put(|work| refint::edit(work, id, &names, actor))?;
        }
        Ok(())
    }

    fn put(&mut self, compute: impl FnOnce(&Work<'_>) -> Result<Effect, Failure>) -> Result<Effect, Failure> {
        let (mut state, stamp) = next(&self.operation.context, &self.state)?;
        let Operation { context, tables, recent, .. } = &mut *self.operation;
        let work = Work { context, tables, recent, stamp: &stamp, next_id: state.next_id };
        let mut effect = compute(&work)?;
        if effect.context.is_some() {
            return Err(Failure::refused(
                ResultCode::UNWILLING_TO_PERFORM,
                "the schema cannot be changed together with entries",
            ));
        }
        let mut index = |_: &mut Writable<'_>, keyed: Keyed<'_>, id, present| {
            if let Keyed::One(key) = keyed
                && context.constraints.look_up(key)
            {
                recent.set(key, id, present);
            }
            keyed.each(|key| self.index.push((key, id, present)));
            Ok(())
        };
        effect.apply(context, tables, &mut index, state.next_change, &stamp, self.actor)?;
        pass(&mut state, stamp, &effect);
        self.state = state;
        Ok(effect)
    }
}

/// The state and the stamp of the next part.
fn next(context: &Context, state: &State) -> Result<(State, Stamp), Failure> {
    if state.next_id == u32::MAX {
        return Err(Failure::refused(
            ResultCode::UNWILLING_TO_PERFORM,
            "the store has given out all its ids; export it and import it into a new one",
        ));
    }
    let mut state = state.clone();
    let stamp = state.clock.next(&context.time);
    Ok((state, stamp))
}

/// The state after a part.
fn pass(state: &mut State, stamp: Stamp, effect: &Effect) {
    state.csn = stamp.csn;
    state.next_change += 1;
    if effect.takes_id {
        state.next_id += 1;
    }
}
