//! The listener, seen from the wire, over a small directory that does what tests need.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of tests fails the test"
)]

mod binds;
mod limits;
mod log;
mod monitor;
mod operations;
mod peer;
mod persistent;
mod protocol;
mod rates;
mod shutdown;
mod tls;
mod toy;
mod unix;
