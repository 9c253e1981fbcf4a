//! The tap over the embedded directory: a test without a mock.

#[cfg(test)]
mod store;
