//! The keys under which one entry is found.

use std::{collections::BTreeSet, sync::Arc};

use super::key;

/// Keys, one after another in one buffer. One may be there twice.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Keys {
    octets: Vec<u8>,
    /// Where each key ends.
    ends: Vec<usize>,
    /// Keys of substring indexes: what they start with, and how many of `grams` they end in.
    blocks: Vec<(Arc<[u8]>, usize)>,
    grams: Vec<[u8; 3]>,
}

/// Keys of one entry.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keyed<'k> {
    One(&'k [u8]),
    /// What keys of a substring index start with, and what each ends in.
    Grams(&'k [u8], &'k [[u8; 3]]),
}

impl Keys {
    /// With room for what most entries have.
    pub(crate) fn with_room() -> Self {
        Self {
            octets: Vec::with_capacity(768),
            ends: Vec::with_capacity(32),
            // Those of parts take room where there are some.
            ..Self::default()
        }
    }

    /// Without keys, with the same room.
    pub(crate) fn clear(&mut self) {
        self.octets.clear();
        self.ends.clear();
        self.blocks.clear();
        self.grams.clear();
    }

    /// Adds the key that `put` appends to what it is given.
    pub(super) fn push_with(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        put(&mut self.octets);
        self.ends.push(self.octets.len());
    }

    /// Adds keys of a substring index: what `put` appends to what it is given.
    pub(super) fn push_grams(&mut self, prefix: &Arc<[u8]>, put: impl FnOnce(&mut Vec<[u8; 3]>)) {
        if self.grams.is_empty() {
            self.blocks.reserve(8);
            self.grams.reserve(240);
        }
        let before = self.grams.len();
        put(&mut self.grams);
        let count = self.grams.len().saturating_sub(before);
        if count > 0 {
            self.blocks.push((Arc::clone(prefix), count));
        }
    }

    /// With these keys of single values, which may be very many, besides.
    pub(crate) fn with_values(self, values: Self) -> Self {
        if values.ends.is_empty() {
            return self;
        }
        let before = values.octets.len();
        let Self { mut octets, mut ends, .. } = values;
        octets.extend_from_slice(&self.octets);
        ends.extend(self.ends.iter().map(|end| before.saturating_add(*end)));
        Self { octets, ends, ..self }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Keyed<'_>> {
        let mut start = 0;
        let ones = self.ends.iter().map(move |end| {
            let key = self.octets.get(start..*end).unwrap_or_default();
            start = *end;
            Keyed::One(key)
        });
        let mut grams = self.grams.as_slice();
        let blocks = self.blocks.iter().map(move |(prefix, count)| {
            let (own, rest) = grams.split_at_checked(*count).unwrap_or((grams, &[]));
            grams = rest;
            Keyed::Grams(prefix, own)
        });
        ones.chain(blocks)
    }

    /// Each key once.
    pub(crate) fn to_set(&self) -> BTreeSet<Vec<u8>> {
        let mut set = BTreeSet::new();
        for keyed in self.iter() {
            keyed.each(|key| {
                set.insert(key);
            });
        }
        set
    }
}

impl Keyed<'_> {
    /// Calls `f` with each key.
    pub(crate) fn each(self, mut f: impl FnMut(Vec<u8>)) {
        match self {
            Self::One(key) => f(key.to_vec()),
            Self::Grams(prefix, grams) => grams.iter().for_each(|gram| f(key::substring(prefix, *gram))),
        }
    }
}
