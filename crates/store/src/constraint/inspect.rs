//! What `check` says of entries that break a constraint: values that were there before it was configured, or that got past
//! it because an index was damaged.

use std::ops::ControlFlow;

use super::{
    refint::{self, References},
    under,
};
use crate::{
    context::Context,
    index::Asked,
    meter::Meter,
    read::Named,
    row::{Id, Stored},
    tables::{Failure, Rows, Tables},
};

/// Faults of one entry that are told, at the most.
const TOLD: usize = 100;

/// What is wrong with an entry in view of the others.
pub(crate) fn inspect<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    id: Id,
    named: &Named,
    stored: &Stored,
) -> Result<Vec<String>, Failure> {
    // Whoever checks a store waits, however long it takes.
    let (mut faults, meter) = (Vec::new(), Meter::unbounded());
    for unique in &context.constraints.unique {
        if !unique.has_values(context, stored)
            || !unique.is_about(context, tables, id, named, stored, &meter)?
        {
            continue;
        }
        unique.visit(context, tables, stored, &mut |description, value| {
            for attribute in &unique.attributes {
                for other in under(context, tables, None, attribute.as_str(), Asked::Equality(value))? {
                    // Of those that share a value each is told but the first.
                    if other >= id || faults.len() >= TOLD {
                        break;
                    }
                    // One that cannot be read has a fault of its own.
                    let Ok(Some(twin)) = tables.stored(other) else { continue };
                    let Ok(name) = tables.named(other) else { continue };
                    if unique.is_about(context, tables, other, &name, &twin, &meter)? {
                        faults.push(format!("it has a value of `{description}` that `{}` has too", name.dn));
                        break;
                    }
                }
            }
            Ok(if faults.len() < TOLD { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
    }
    let Some(references) = context.constraints.references.as_ref().filter(|one| one.must_exist) else {
        return Ok(faults);
    };
    dangling(context, tables, references, named, stored, &mut |description, value| {
        let value = String::from_utf8_lossy(value);
        faults.push(format!("its `{description}` names `{value}`, which is not there"));
        if faults.len() < TOLD { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(faults)
}

/// Shows each value of an entry that ought to name another and names none, with the attribute it is in.
pub(super) fn dangling<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    references: &References,
    named: &Named,
    stored: &Stored,
    show: &mut dyn FnMut(&str, &[u8]) -> ControlFlow<()>,
) -> Result<(), Failure> {
    let mut look = |description: &str, value: &[u8]| -> Result<ControlFlow<()>, Failure> {
        Ok(if refint::dangles(context, tables, references, value, named)? {
            show(description, value)
        } else {
            ControlFlow::Continue(())
        })
    };
    for attribute in stored.user().iter().chain(stored.operational().iter()) {
        let description = attribute.description();
        if !refint::is_reference(context, description) {
            continue;
        }
        for value in attribute.values() {
            if look(description, value)?.is_break() {
                return Ok(());
            }
        }
    }
    for large in stored.large().iter().filter(|one| refint::is_reference(context, &one.description)) {
        large.visit(tables, None, &mut |_, value| look(&large.description, value))?;
    }
    Ok(())
}
