//! A pool against a scripted server that remembers every octet of every connection.

mod keeping;
mod secrets;
mod server;
mod traffic;
mod users;
