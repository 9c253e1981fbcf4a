//! Signing in against the embedded directory with its real password policy, and against scripted answers of others.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod groups;
mod injection;
mod password;
mod recorded;
mod script;
mod sign_in;
mod world;
