//! The listener, seen from the wire, over a small directory that does what tests need.

#![allow(missing_docs, reason = "tests")]

mod binds;
mod limits;
mod log;
mod operations;
mod peer;
mod protocol;
mod shutdown;
mod tls;
mod toy;
mod unix;
