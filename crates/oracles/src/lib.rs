//! What must hold of any input: one function for each fuzz target. Never published.
//!
//! A fuzz target hands its octets to one of these functions, and the tests of this crate hand it the seeds under
//! `fuzz/seeds` and octets from a random generator: what fuzzing has found is tried again by every `cargo test`. A
//! function panics where the property does not hold, and returns whether the input was one that is accepted.
//!
//! - [`decoder`]: what a decoder accepts is the same after it is written and read again.
//! - [`config`]: what is wrong with a configuration is told where it stands; what is read shows itself as a file that says the same.
//! - [`control`]: the same of the values of controls and extended operations.
//! - [`dns`]: nothing but names that hosts can have comes of what a name server answers.
//! - [`kerberos`]: no service and no realm is believed that does not have the key.
//! - [`sasl`]: no peer is believed that does not know the password.
//! - [`search`]: the store finds what a plain list and a [`naive`] evaluator find.
//! - [`session`]: a listener over the store answers as a plain map does.
//!
//! The last two read the octets as choices ([`Draw`]), so that any octets are a case and a similar input is a similar
//! case.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "an oracle says that something does not hold by panicking"
)]

pub mod config;
pub mod control;
pub mod decoder;
pub mod dns;
mod draw;
pub mod kerberos;
pub mod naive;
pub mod sasl;
pub mod search;
pub mod session;

pub use self::draw::Draw;
