//! Tests of the crate's public face: messages on the wire, and what hostile peers send.

mod corpus;
mod hostile;
mod protos;
mod round_trip;
mod wire;
