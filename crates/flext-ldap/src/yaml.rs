//! Files of YAML for people: everything in them knows its place, and all that is wrong is told at once.
//!
//! [`parse`] makes a tree of a text; a [`Section`] is a map of keys in it that is read key by key, and collects
//! [`Problems`]: values of a wrong kind, and keys that nobody asked for. The configuration of programs
//! (the ones) and of served directories is read by it. It is no general reader of YAML: there are no
//! tags, and a text costs no more than a configuration may.

mod node;
mod section;

pub use self::{
    node::{Key, LARGEST, Node, Place, Value, parse},
    section::{Problem, Problems, Section, is_unlimited, meant, suggestion, text_of, time},
};
