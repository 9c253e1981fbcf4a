//! Lookup by name or OID, without regard to ASCII case and without allocation.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// Numbers of definitions by their names and OIDs.
#[derive(Clone, Debug, Default)]
pub(super) struct NameIndex(HashMap<Box<[u8]>, u32, BuildHasherDefault<Mixed>>);

/// A hash for keys that nobody hostile chooses: names a peer sends are looked up here, never put in.
#[derive(Clone, Debug, Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn write(&mut self, octets: &[u8]) {
        // An odd number whose bits look random: the golden ratio's.
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let (words, rest) = octets.as_chunks::<8>();
        let mut mix = |word: u64| self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(ODD);
        for word in words {
            mix(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            mix(rest.iter().fold(0, |word, octet| word << 8 | u64::from(*octet)));
        }
    }

    fn finish(&self) -> u64 {
        // Tables take their places from the low bits and from the high ones.
        self.0 ^ self.0.rotate_right(32)
    }
}

/// Names up to this length are looked up without allocation.
const SHORT: usize = 64;

impl NameIndex {
    /// Numbers definitions from 0, each with its keys in lower case. The first of equal keys counts.
    pub(super) fn new(definitions: impl Iterator<Item = impl Iterator<Item = String>>) -> Self {
        let mut numbers = HashMap::default();
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
