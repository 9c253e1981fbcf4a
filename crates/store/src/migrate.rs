//! Formats of the tables, and the way from each to the next.
//!
//! A store says which format it has. One of an older format is brought to today's when it is opened, step by step, all
//! in the one transaction that opening is: it has either the old format or the new one, whatever happens. One of a newer
//! format is refused, so an older program never writes what it does not understand; the way back is an export.
//!
//! Who changes what the tables hold adds one to [`FORMAT`] and a step to [`STEPS`], and a store of the format before it to
//! `tests/fixtures`. Rows that can be derived (indexes, normal forms) need no step: their definition is kept in a row of
//! its own, and they are made anew when it differs.

use crate::tables::{Failure, Name, Writable};
use flext_ldap_directory::{Error, ErrorKind};

/// What the tables look like today.
pub(crate) const FORMAT: u32 = 2;

/// The row of `meta` that says it.
pub(crate) const FORMAT_ROW: &[u8] = b"format";

/// From one format to the next.
struct Step {
    from: u32,
    /// What becomes of the store, as the log says it.
    what: &'static str,
    run: fn(&mut Writable<'_>) -> Result<(), Failure>,
}

/// In the order of formats, without a gap. Tables are made by being opened.
const STEPS: &[Step] = &[
    // Entries of format 1 mean the same in 2: what is large of one gets its rows when the entry is next written.
    Step {
        from: 1,
        what: "attributes with many values get rows of their own as they are changed",
        run: |_| Ok(()),
    },
];

/// Brings a store to today's format, or refuses it.
pub(crate) fn migrate(tables: &mut Writable<'_>) -> Result<(), Failure> {
    let Some(found) = tables.meta.get(FORMAT_ROW)?.map(|row| row.value().to_vec()) else {
        return tables.put(Name::Meta, FORMAT_ROW, Some(&FORMAT.to_be_bytes()));
    };
    let found = <[u8; 4]>::try_from(found.as_slice())
        .map(u32::from_be_bytes)
        .map_err(|_| Failure::damaged("the format of the store"))?;
    for step in way(STEPS, found, FORMAT)? {
        tracing::info!(
            from = step.from,
            to = step.from + 1,
            "the store is brought to a newer format: {}",
            step.what
        );
        (step.run)(tables)?;
    }
    if found == FORMAT { Ok(()) } else { tables.put(Name::Meta, FORMAT_ROW, Some(&FORMAT.to_be_bytes())) }
}

/// The steps from one format to another.
fn way(steps: &[Step], found: u32, wanted: u32) -> Result<&[Step], Failure> {
    let refused = |message: String| Err(Failure::Failed(Error::new(ErrorKind::Storage, message)));
    if found > wanted {
        return refused(format!(
            "the store has format {found} and this version knows up to {wanted}; use a newer version, or export with \
             the one that wrote it and import here"
        ));
    }
    let count = usize::try_from(wanted - found).unwrap_or(usize::MAX);
    match steps.len().checked_sub(count).and_then(|first| steps.get(first..)) {
        Some(way) if way.first().is_none_or(|step| step.from == found) => Ok(way),
        _ => refused(format!(
            "the store has format {found}, which this version cannot bring to its own, {wanted}; export it with the \
             version that wrote it and import here"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_lead_from_each_format_to_the_next_and_end_at_todays() {
        for (step, from) in STEPS.iter().zip(FORMAT - u32::try_from(STEPS.len()).unwrap()..) {
            assert_eq!(step.from, from, "{}", step.what);
        }
    }

    #[test]
    fn a_store_takes_the_steps_it_lacks() {
        let step = |from| Step { from, what: "", run: |_| Ok(()) };
        let steps = [step(1), step(2), step(3)];
        let taken =
            |found| way(&steps, found, 4).map(|way| way.iter().map(|step| step.from).collect::<Vec<_>>());
        assert_eq!(taken(4).unwrap(), [0; 0]);
        assert_eq!(taken(3).unwrap(), [3]);
        assert_eq!(taken(1).unwrap(), [1, 2, 3]);
        for (found, said) in [(5, "format 5"), (0, "format 0")] {
            let Err(Failure::Failed(error)) = taken(found) else { panic!("format {found} is taken") };
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
