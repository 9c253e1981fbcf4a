//! What is built from a configuration, in front of directories of its own.

#[cfg(test)]
mod stack;
