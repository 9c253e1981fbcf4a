//! What a store holds that constraints would not let be written, before it is opened with them: what is there stays, so
//! whoever configures them ought to know.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher as _, RandomState},
    ops::ControlFlow,
};

use flext_ldap_directory::Error;

use super::{
    Constraints,
    inspect::dangling,
    misuse,
    unique::{Unique, normal},
};
use crate::{
    Store, StoreOptions,
    context::Context,
    index::Indexes,
    meter::Meter,
    read::Named,
    row::{Id, ROOT, Stored},
    tables::{Failure, Rows, Tables},
};

/// Ids looked up at once, and told of.
const AT_ONCE: usize = 1_000;

const MUST_EXIST: &str = "referential_integrity.must_exist";

/// Values that are there against a constraint.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct BrokenConstraint {
    /// Which constraint, by the keys of a configuration file: `unique[1]`, `referential_integrity.must_exist`.
    pub key: String,
    /// Values. Of those that several entries share, each counts but the first.
    pub values: u64,
    /// The first of them, and the entries that have it.
    pub first: String,
}

impl Store {
    /// Which constraints of `options` what is stored breaks: nothing else of them is looked at. What is there already stays
    /// if the store is opened with them, but no entry gets such a value any more, and [`check`](Self::check) finds fault
    /// with it. `progress` is told how many entries have been looked at.
    ///
    /// Reads every entry, on this thread. For each unique value it takes some 30 octets of memory meanwhile.
    ///
    /// # Errors
    ///
    /// When the schema of the store does not allow the constraints, or rows cannot be read.
    pub fn broken_constraints(
        &self,
        options: &StoreOptions,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Vec<BrokenConstraint>, Error> {
        let look = || {
            let mut context = Context::clone(&self.context());
            let tables = self.snapshot()?;
            let wanted = options.indexes.clone().unwrap_or_else(|| tables.standing.config());
            let indexes = Indexes::new(&context.schema, &wanted, &|_| false).map_err(misuse)?;
            context.constraints = Constraints::new(options.constraints.clone(), &context.schema, &indexes)?;
            look(&context, &*tables, progress)
        };
        self.reading("the look at constraints", look).map_err(Failure::into_error)
    }
}

impl StoreOptions {
    /// The constraints that stored values can break, by the keys of a configuration file.
    #[must_use]
    pub fn constraints_on_values(&self) -> Vec<String> {
        let unique = (1..=self.constraints.unique.len()).map(|number| format!("unique[{number}]"));
        let references = self.constraints.references.iter().filter(|one| one.must_exist);
        unique.chain(references.map(|_| MUST_EXIST.to_owned())).collect()
    }
}

/// What is found of one constraint.
#[derive(Default)]
struct Found {
    values: u64,
    first: String,
}

impl Found {
    fn add(&mut self, what: impl FnOnce() -> String) {
        if self.values == 0 {
            self.first = what();
        }
        self.values += 1;
    }
}

/// The entry that was found first to have a value, by a hash of the value.
type Owners = HashMap<u64, Id>;

fn look<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<BrokenConstraint>, Failure> {
    let constraints = &context.constraints;
    let mut unique: Vec<(&Unique, Owners, Found)> =
        constraints.unique.iter().map(|one| (one, Owners::new(), Found::default())).collect();
    let references = constraints.references.as_ref().filter(|one| one.must_exist);
    let mut missing = Found::default();
    let hasher = RandomState::new();
    let (mut from, mut count) = (ROOT + 1, 0_u64);
    loop {
        let ids = tables.ids(from, AT_ONCE)?;
        let Some(last) = ids.last() else { break };
        from = last.saturating_add(1);
        count += ids.len() as u64;
        for id in ids {
            // One that cannot be read is a fault of its own, which `check` tells.
            let (Ok(Some(stored)), Ok(named)) = (tables.stored(id), tables.named(id)) else { continue };
            for (unique, owners, found) in &mut unique {
                shared(context, tables, unique, &hasher, owners, (id, &named, &stored), found)?;
            }
            if let Some(references) = references {
                dangling(context, tables, references, &named, &stored, &mut |description, value| {
                    let value = String::from_utf8_lossy(value);
                    missing.add(|| format!("`{description}` of `{}` names `{value}`", named.dn));
                    ControlFlow::Continue(())
                })?;
            }
        }
        progress(count);
    }
    let numbered =
        unique.into_iter().enumerate().map(|(index, (.., found))| (format!("unique[{}]", index + 1), found));
    let all = numbered.chain([(MUST_EXIST.to_owned(), missing)]);
    let broken = all.filter(|(_, found)| found.values > 0);
    Ok(broken.map(|(key, Found { values, first })| BrokenConstraint { key, values, first }).collect())
}

/// Notes the values of an entry, and finds those that one before it has.
fn shared<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    unique: &Unique,
    hasher: &RandomState,
    owners: &mut Owners,
    (id, named, stored): (Id, &Named, &Stored),
    found: &mut Found,
) -> Result<(), Failure> {
    // Whoever looks waits, however long it takes.
    let meter = Meter::unbounded();
    if !unique.has_values(context, stored) || !unique.is_about(context, tables, id, named, stored, &meter)? {
        return Ok(());
    }
    unique.visit(context, tables, stored, &mut |description, value| {
        let value = normal(context, description, value);
        match owners.entry(hasher.hash_one(&value)) {
            Entry::Vacant(free) => {
                free.insert(id);
            }
            Entry::Occupied(owner)
                if *owner.get() != id && has(context, tables, unique, *owner.get(), &value)? =>
            {
                let other = tables.named(*owner.get())?;
                found.add(|| format!("`{}` and `{}` have the same `{description}`", other.dn, named.dn));
            }
            Entry::Occupied(_) => {}
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Whether an entry has a value, and not one with the same hash.
fn has<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    unique: &Unique,
    id: Id,
    wanted: &[u8],
) -> Result<bool, Failure> {
    let (Some(stored), mut found) = (tables.stored(id)?, false) else { return Ok(false) };
    unique.visit(context, tables, &stored, &mut |description, value| {
        found = normal(context, description, value) == wanted;
        Ok(if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(found)
}
