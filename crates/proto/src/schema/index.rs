//! Lookup by name or OID, without regard to ASCII case and without allocation.

use std::collections::HashMap;

/// Numbers of definitions by their names and OIDs.
#[derive(Clone, Debug, Default)]
pub(super) struct NameIndex(HashMap<Box<[u8]>, u32>);

/// Names up to this length are looked up without allocation.
const SHORT: usize = 64;

impl NameIndex {
    /// Numbers definitions from 0, each with its keys in lower case. The first of equal keys counts.
    pub(super) fn new(definitions: impl Iterator<Item = impl Iterator<Item = String>>) -> Self {
        let mut numbers = HashMap::new();
        for (number, keys) in (0_u32..).zip(definitions) {
            for key in keys {
                numbers.entry(key.into_bytes().into_boxed_slice()).or_insert(number);
            }
        }
        Self(numbers)
    }

    /// The number of the definition with this name or OID.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        let mut buffer = [0; SHORT];
        match buffer.get_mut(..name.len()) {
            Some(lower) => {
                lower.copy_from_slice(name.as_bytes());
                lower.make_ascii_lowercase();
                self.0.get(&*lower).copied()
            }
            None => self.0.get(name.to_ascii_lowercase().as_bytes()).copied(),
        }
    }
}
