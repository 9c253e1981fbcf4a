//! What a check says when something is not as it should be: every row that is wrong, not only the first.

use std::fmt::{Debug, Display};

use anyhow::{Result, bail};

/// The rows of a table of cases, those that went wrong kept with what was seen.
#[derive(Default)]
pub(super) struct Rows(Vec<String>);

impl Rows {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Compares one row.
    #[expect(clippy::needless_pass_by_value, reason = "rows are written as values")]
    pub(super) fn same<T: PartialEq + Debug>(&mut self, row: impl Display, seen: T, wanted: T) {
        if seen != wanted {
            self.0.push(format!("{row}\n    seen   {}\n    wanted {}", shown(&seen), shown(&wanted)));
        }
    }

    /// Compares one row for which several answers are right.
    pub(super) fn one_of<T: PartialEq + Debug>(&mut self, row: impl Display, seen: &T, wanted: &[T]) {
        if !wanted.contains(seen) {
            self.0.push(format!("{row}\n    seen   {}\n    wanted one of {wanted:?}", shown(seen)));
        }
    }

    /// Takes the failure of one row.
    pub(super) fn take(&mut self, row: impl Display, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.0.push(format!("{row}\n    {error:#}"));
        }
    }

    /// The failure of every row that was wrong.
    pub(super) fn finish(self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        bail!("{}", self.0.join("\n"))
    }
}

/// Compares one thing.
pub(super) fn same<T: PartialEq + Debug>(what: impl Display, seen: T, wanted: T) -> Result<()> {
    let mut rows = Rows::new();
    rows.same(what, seen, wanted);
    rows.finish()
}

/// Compares one thing for which several answers are right.
pub(super) fn one_of<T: PartialEq + Debug>(what: impl Display, seen: &T, wanted: &[T]) -> Result<()> {
    let mut rows = Rows::new();
    rows.one_of(what, seen, wanted);
    rows.finish()
}

/// A value as text, cut where it is long.
fn shown(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(600) {
        Some((cut, _)) => format!("{}… ({} octets)", text.get(..cut).unwrap_or_default(), text.len()),
        None => text,
    }
}
