//! Test directories as a test uses them: over sockets, without a client of ours.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of tests fails the test"
)]

mod client;
mod directory;
