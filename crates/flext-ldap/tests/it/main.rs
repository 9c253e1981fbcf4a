//! What is built from a configuration, in front of directories of its own.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[cfg(test)]
mod stack;
