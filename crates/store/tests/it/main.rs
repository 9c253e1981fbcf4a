//! The store through its public face.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod access;
mod backup;
mod bounds;
mod bulk;
mod check;
mod controls;
mod durability;
mod explaining;
mod failing;
mod indexes;
mod large;
mod large_model;
mod large_others;
mod loading;
mod loading_model;
mod membership;
mod model;
mod operations;
mod passwords;
mod planning;
mod ppolicy;
mod references;
mod rules;
mod sasl;
mod schema;
mod searching;
mod support;
mod unique;
mod work;
