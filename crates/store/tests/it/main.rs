//! The store through its public face.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod access;
mod bulk;
mod durability;
mod operations;
mod passwords;
mod searching;
mod support;
