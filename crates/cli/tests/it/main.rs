//! The binaries as a user runs them.

#[cfg(test)]
mod tap;
