//! Tests of the crate's public face: messages on the wire, and what hostile peers send.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod controls;
mod corpus;
mod hostile;
mod protos;
mod round_trip;
mod wire;
