//! A Singer tap over any directory: what is in it becomes SCHEMA, RECORD and STATE messages, one JSON object a line.
//!
//! [`Tap::over`] works over anything that answers operations, [`Tap::over_session`] over one conversation, where
//! searches can be paged. Types come from the directory's own schema; entries go from their wire form to JSON with
//! nothing in between.
//!
//! A value is a boolean, an integer, a `date-time`, text or base64 by its syntax; an attribute is an array unless the
//! schema says SINGLE-VALUE, and null where an entry does not have it. Subtypes (`cn;lang-en`) are values of what was
//! asked for. Attributes that hold passwords are extracted only if they are selected.
//!
//! There is no connection, no file and no command line here; those are the program's.

mod catalog;
mod config;
mod error;
mod json;
mod property;
mod record;
mod stream;
mod tap;
mod time;

pub use self::{
    catalog::{Catalog, CatalogStream, Metadata},
    config::{Config, ConfigError, Naming, StreamConfig},
    error::{StreamSummary, Summary, TapError},
    tap::Tap,
};

#[cfg(test)]
mod tests;
