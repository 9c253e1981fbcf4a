//! The change log: every row from the first to the last, and what it says.

use super::{Check, Remedy};
use crate::{
    row::{take_octets, take_u32},
    tables::{Failure, Rows},
    writer::State,
};

impl<T: Rows> Check<'_, T> {
    pub(super) fn changes(&mut self, state: &State) -> Result<(), Failure> {
        let tables = self.tables;
        let mut expected = state.first_change;
        let mut csn = String::new();
        for row in tables.change.range::<&[u8]>(..)? {
            self.pass()?;
            let (key, row) = row?;
            let Ok(number) = <[u8; 8]>::try_from(key.value()).map(u64::from_be_bytes) else {
                let octets = key.value().len();
                self.of_table("change", format!("a key has {octets} octets instead of 8"), Remedy::Restore);
                continue;
            };
            self.report.changes += 1;
            if number < state.first_change || number >= state.next_change {
                let what = format!(
                    "change {number} is outside of what the log holds, {} to {}",
                    state.first_change,
                    state.next_change.saturating_sub(1)
                );
                self.of_table("change", what, Remedy::Rebuild);
                continue;
            }
            if number != expected {
                self.missing(expected, number);
            }
            expected = number.saturating_add(1);
            match read(row.value()) {
                Some(stamp) if stamp > csn.as_str() => stamp.clone_into(&mut csn),
                Some(stamp) => {
                    let what = format!("change {number} has `{stamp}`, which is not after `{csn}`");
                    self.of_table("change", what, Remedy::Restore);
                }
                None => {
                    self.of_table("change", format!("change {number} cannot be read"), Remedy::Restore);
                }
            }
        }
        if expected != state.next_change {
            self.missing(expected, state.next_change);
        }
        if csn > state.csn {
            let what = format!("the last change is `{csn}`, and the state says `{}`", state.csn);
            self.of_table("meta", what, Remedy::Rebuild);
        }
        Ok(())
    }

    fn missing(&mut self, from: u64, to: u64) {
        let last = to.saturating_sub(1);
        let what = if from == last {
            format!("change {from} is missing")
        } else {
            format!("changes {from} to {last} are missing")
        };
        self.of_table("change", what, Remedy::Restore);
    }
}

/// The change sequence number of a row, if all of the row can be read.
fn read(mut row: &[u8]) -> Option<&str> {
    let (kind, rest) = row.split_first()?;
    row = rest;
    if !(1..=4).contains(kind) {
        return None;
    }
    let csn = std::str::from_utf8(take_octets(&mut row)?).ok()?;
    take_u32(&mut row)?;
    take_octets(&mut row)?;
    take_u32(&mut row)?;
    while !row.is_empty() {
        std::str::from_utf8(take_octets(&mut row)?).ok()?;
    }
    Some(csn)
}
