//! The definitions every directory starts with.
