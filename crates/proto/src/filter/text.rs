//! The string form (RFC 4515).

use std::fmt;

use super::{Filter, FilterError};

pub(super) fn parse(text: &str) -> Result<Filter, FilterError> {
    todo!("{text}")
}

pub(super) fn print(filter: &Filter, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let _ = (filter, f);
    todo!()
}
