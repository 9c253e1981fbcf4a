//! The client against a scripted server, both ends in one test: no real directory, no time that passes by itself.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that fails panics, helpers included"
)]

mod alone;
mod answers;
mod binds;
mod cancel;
mod deadlines;
mod endings;
mod hostile;
mod opening;
mod sasl;
mod support;
mod tls;
mod unread;
mod writes;
