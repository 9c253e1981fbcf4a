//! The client against a scripted server, both ends in one test: no real directory, no time that passes by itself.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails panics, helpers included"
)]

mod alone;
mod answers;
mod binds;
mod cancel;
mod capabilities;
mod deadlines;
mod endings;
mod hostile;
mod opening;
mod parallel;
mod pool;
mod sasl;
mod servers;
mod support;
mod tls;
mod unread;
mod writes;
