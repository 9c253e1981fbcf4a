//! Values of large attributes: each has the key of its normal form and fits its syntax, the entry's row counts them and
//! their octets right, and none stands where no entry has a large attribute.

use std::ops::ControlFlow;

use super::{Check, Remedy};
use crate::{
    context::base,
    read::read_id,
    row::{Id, Stored},
    tables::{Failure, Rows},
    values::{Large, encoded_length, value_key},
};

/// Values of one attribute whose faults are told one by one; of those beyond, the number is told.
const TOLD: u64 = 10;

impl<T: Rows> Check<'_, T> {
    /// Looks at the rows of one large attribute.
    pub(super) fn large(&mut self, id: Id, dn: &str, large: &Large) -> Result<(), Failure> {
        let context = self.context;
        let name = &large.description;
        let kind = context.schema.attribute_type(base(name));
        let (mut count, mut octets) = (0_u64, 0_u64);
        let (mut faults, mut wrong) = (Vec::new(), 0_u64);
        large.visit(self.tables, None, &mut |key, value| {
            count += 1;
            octets = octets.saturating_add(encoded_length(value.len() as u64));
            let fits = kind.is_none_or(|kind| kind.syntax.check(value).is_ok());
            let what = if value_key(context, name, value) != key {
                "is not under the key of its normal form"
            } else if !fits {
                "does not fit its syntax"
            } else {
                return Ok(ControlFlow::Continue(()));
            };
            wrong += 1;
            if wrong <= TOLD {
                faults.push(format!("value {count} of `{name}` {what}"));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if wrong > TOLD {
            faults.push(format!("{} more values of `{name}` are wrong", wrong - TOLD));
        }
        if (count, octets) != (large.count, large.octets) {
            faults.push(format!(
                "`{name}` has {count} values in {octets} octets, and the entry counts {} in {}",
                large.count, large.octets
            ));
        }
        for what in faults {
            self.of_entry("value", id, Some(dn), what, Remedy::Restore);
        }
        Ok(())
    }

    /// Looks for rows of attributes that no entry has among its large ones: one row of each attribute is looked at.
    pub(super) fn strays(&mut self) -> Result<(), Failure> {
        let tables = self.tables;
        let mut from: Vec<u8> = Vec::new();
        loop {
            let Some(row) = tables.value.range::<&[u8]>(from.as_slice()..)?.next() else { return Ok(()) };
            let key = row?.0.value().to_vec();
            let end = key.iter().skip(4).position(|octet| *octet == 0);
            let (Ok(id), Some(prefix)) = (read_id(&key), end.and_then(|end| key.get(..end + 5))) else {
                self.of_table("value", "a key cannot be read", Remedy::Restore);
                from = [key.as_slice(), b"\0"].concat();
                continue;
            };
            let entry = tables.entry.get(id.to_be_bytes().as_slice())?;
            let stored = entry.and_then(|row| Stored::decode(id, row.value()).ok()).unwrap_or_default();
            if !stored.large().iter().any(|large| large.prefix() == prefix) {
                let dn = self.shown(id)?;
                let what = "values of an attribute that is not among its large ones";
                self.of_entry("value", id, dn.as_deref(), what, Remedy::Restore);
            }
            from = prefix.to_vec();
            if let Some(last) = from.last_mut() {
                *last = 1;
            }
        }
    }
}
