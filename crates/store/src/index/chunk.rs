//! One row of an index: some of 4,096 ids, as a sorted list or as a bitmap. A row is at most 512 octets.

/// Ids a chunk covers, as a power of two.
pub(super) const CHUNK_BITS: u32 = 12;
/// Ids in a row from which on it is a bitmap.
const DENSE: usize = 256;
const WORDS: usize = 64;

/// Some of 4,096 ids.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Chunk {
    Sparse(Vec<u16>),
    Dense(Box<[u64; WORDS]>),
}

impl Chunk {
    pub(super) fn decode(row: &[u8]) -> Self {
        if row.len() == WORDS * 8 {
            let mut words = Box::new([0_u64; WORDS]);
            for (word, octets) in words.iter_mut().zip(row.as_chunks::<8>().0) {
                *word = u64::from_be_bytes(*octets);
            }
            return Self::Dense(words);
        }
        Self::Sparse(row.as_chunks::<2>().0.iter().map(|octets| u16::from_be_bytes(*octets)).collect())
    }

    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        match self {
            Self::Sparse(ids) if ids.is_empty() => None,
            Self::Sparse(ids) => Some(ids.iter().flat_map(|id| id.to_be_bytes()).collect()),
            Self::Dense(words) => Some(words.iter().flat_map(|word| word.to_be_bytes()).collect()),
        }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Sparse(ids) => ids.len() as u64,
            Self::Dense(words) => words.iter().map(|word| u64::from(word.count_ones())).sum(),
        }
    }

    pub(super) fn has(&self, id: u16) -> bool {
        match self {
            Self::Sparse(ids) => ids.binary_search(&id).is_ok(),
            Self::Dense(words) => {
                words.get(usize::from(id >> 6)).is_some_and(|word| word >> (id & 63) & 1 == 1)
            }
        }
    }

    pub(super) fn set(&mut self, id: u16, present: bool) {
        match self {
            Self::Sparse(ids) => match (ids.binary_search(&id), present) {
                (Err(place), true) => {
                    ids.insert(place, id);
                    if ids.len() >= DENSE {
                        let mut words = Box::new([0_u64; WORDS]);
                        for id in ids.iter() {
                            flip(&mut words, *id, true);
                        }
                        *self = Self::Dense(words);
                    }
                }
                (Ok(place), false) => {
                    ids.remove(place);
                }
                _ => {}
            },
            Self::Dense(words) => {
                flip(words, id, present);
                // Not at once below the bound, so that a value that comes and goes does not convert each time.
                if !present && self.len() < DENSE as u64 / 2 {
                    *self = Self::Sparse(self.ids().collect());
                }
            }
        }
    }

    pub(super) fn ids(&self) -> Box<dyn Iterator<Item = u16> + '_> {
        match self {
            Self::Sparse(ids) => Box::new(ids.iter().copied()),
            Self::Dense(words) => Box::new((0..1 << CHUNK_BITS).filter(|id| {
                words.get(usize::from(*id >> 6)).is_some_and(|word| word >> (*id & 63) & 1 == 1)
            })),
        }
    }
}

fn flip(words: &mut [u64; WORDS], id: u16, present: bool) {
    if let Some(word) = words.get_mut(usize::from(id >> 6)) {
        let bit = 1_u64 << (id & 63);
        *word = if present { *word | bit } else { *word & !bit };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_chunk_is_a_set() {
        let mut chunk = Chunk::Sparse(Vec::new());
        let mut model = BTreeSet::new();
        for step in 0..6_000_u32 {
            let id = u16::try_from(step.wrapping_mul(2_654_435) % 4_096).unwrap();
            let present = step < 2_000 || step % 7 == 0;
            chunk.set(id, present);
            if present {
                model.insert(id);
            } else {
                model.remove(&id);
            }
            if step % 97 == 0 {
                assert!(chunk.ids().eq(model.iter().copied()), "step {step}");
                assert_eq!(chunk.len(), model.len() as u64);
                assert!((0..4_096).all(|id| chunk.has(id) == model.contains(&id)), "step {step}");
                let encoded = chunk.encode().unwrap_or_default();
                assert!(encoded.len() <= 512);
                assert_eq!(Chunk::decode(&encoded), chunk);
            }
        }
    }
}
