//! The rules of the house, as tests that need no server: which crate may see which, what may come from outside, and
//! that the files are tidy.
//!
//! `deny.toml` says the same of licences, bans and duplicates for cargo-deny, which also knows the advisories; here it
//! is checked with nothing but cargo, for the platform of this machine.

#[cfg(test)]
mod edges;
#[cfg(test)]
mod outside;
#[cfg(test)]
mod security;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod workspace;
