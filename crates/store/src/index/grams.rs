//! Changes of rows of substring indexes.
//!
//! An entry comes under some eighty keys, so a change is one word: what the key ends in, then the entry, then whether it
//! is to be there.

use std::collections::BTreeMap;

use super::{batch::Batch, chunk::CHUNK_BITS, key};
use crate::row::Id;

/// Changes in one index.
#[derive(Debug, Default)]
pub(super) struct Grams(Vec<u64>);

/// Changes in several indexes, by what their keys start with.
#[derive(Debug, Default)]
pub(super) struct GramsOf(pub(super) BTreeMap<Box<[u8]>, Grams>);

fn word(gram: [u8; 3], id: Id, present: bool) -> u64 {
    let [one, two, three] = gram;
    u64::from_be_bytes([one, two, three, 0, 0, 0, 0, 0]) | u64::from(id) << 8 | u64::from(present)
}

fn gram(word: u64) -> [u8; 3] {
    let [one, two, three, ..] = word.to_be_bytes();
    [one, two, three]
}

fn id(word: u64) -> Id {
    let [_, _, _, a, b, c, d, _] = word.to_be_bytes();
    Id::from_be_bytes([a, b, c, d])
}

impl GramsOf {
    pub(super) fn set(&mut self, prefix: &[u8], gram: [u8; 3], id: Id, present: bool) {
        self.add(prefix, std::iter::once(word(gram, id, present)));
    }

    fn add(&mut self, prefix: &[u8], words: impl Iterator<Item = u64>) {
        let Grams(all) = match self.0.get_mut(prefix) {
            Some(grams) => grams,
            None => self.0.entry(prefix.into()).or_default(),
        };
        all.extend(words);
    }
}

impl Grams {
    /// The rows, some at a time in the order of their keys, as long as `put` is true.
    pub(super) fn batches(self, prefix: &[u8], put: &mut dyn FnMut(Batch) -> bool) -> bool {
        let Self(mut words) = self;
        // Of one key and entry the later change comes later.
        words.sort_by_key(|word| word >> 8);
        let mut rows = Batch::default();
        for row in words.chunk_by(|one, other| one >> (8 + CHUNK_BITS) == other >> (8 + CHUNK_BITS)) {
            let Some(first) = row.first() else { continue };
            let ids = row.iter().map(|word| (id(*word), word & 1 == 1));
            rows.add(&[prefix, &gram(*first)], id(*first), ids);
            if rows.is_full() && !put(std::mem::take(&mut rows)) {
                return false;
            }
        }
        put(rows)
    }
}

/// Keys that entries come under.
#[derive(Debug, Default)]
pub(super) struct Gained {
    pub(super) grams: GramsOf,
    /// How many entries, each counted as often as others came between.
    pub(super) entries: usize,
    last: Option<Id>,
    count: usize,
}

impl Gained {
    pub(super) fn put(&mut self, prefix: &[u8], grams: &[[u8; 3]], id: Id) {
        if self.last.replace(id) != Some(id) {
            self.entries = self.entries.saturating_add(1);
        }
        self.count = self.count.saturating_add(grams.len());
        self.grams.add(prefix, grams.iter().map(|gram| word(*gram, id, true)));
    }

    /// Takes over what others come under, whose ids `id` tells.
    pub(super) fn absorb(&mut self, other: Self, id: &dyn Fn(Id) -> Option<Id>) {
        for (prefix, Grams(words)) in other.grams.0 {
            let Grams(to) = self.grams.0.entry(prefix).or_default();
            let with_id = |from: &u64| Some(word(gram(*from), id(self::id(*from))?, true));
            to.extend(words.iter().filter_map(with_id));
        }
        self.entries = self.entries.saturating_add(other.entries);
        self.count = self.count.saturating_add(other.count);
        self.last = None;
    }

    /// Octets of memory that are used.
    pub(super) fn octets(&self) -> usize {
        self.count.saturating_mul(size_of::<u64>())
    }

    /// Calls `f` with each key and entry.
    pub(super) fn each(self, mut f: impl FnMut(Vec<u8>, Id)) {
        for (prefix, Grams(words)) in self.grams.0 {
            for word in words {
                f(key::substring(&prefix, gram(word)), id(word));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_holds_a_change() {
        for (octets, entry) in
            [([0, 0, 0], 0), ([0xfe, b'a', 0], 1), ([0xff; 3], u32::MAX), (*b"ann", 70_000)]
        {
            for present in [true, false] {
                let word = word(octets, entry, present);
                assert_eq!((gram(word), id(word), word & 1 == 1), (octets, entry, present));
            }
        }
        assert!(word(*b"ann", u32::MAX, true) < word(*b"ano", 0, false), "keys come first in the order");
    }
}
