//! Times that differ a little, so that what began together does not go on together. Not for secrets.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

/// A small generator of numbers that look random (`SplitMix64`), seeded by the standard library.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Between half of `time` and all of it.
    pub(super) fn below(&mut self, time: Duration) -> Duration {
        let half = time / 2;
        let thousandths = u32::try_from(self.next() % 1_001).unwrap_or_default();
        half + half / 1_000 * thousandths
    }

    /// Between nine and eleven tenths of `time`; never wraps.
    pub(super) fn around(&mut self, time: Duration) -> Duration {
        let fifth = time / 5;
        let thousandths = u32::try_from(self.next() % 1_001).unwrap_or_default();
        (time - fifth / 2).saturating_add(fifth / 1_000 * thousandths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stay_in_their_bounds_and_differ() {
        let mut jitter = Jitter::new();
        let hour = Duration::from_secs(3_600);
        let around: Vec<_> = (0..1_000).map(|_| jitter.around(hour)).collect();
        assert!(around.iter().all(|time| (hour * 9 / 10..=hour * 11 / 10).contains(time)));
        assert!(around.iter().collect::<std::collections::BTreeSet<_>>().len() > 400);
        assert!((0..1_000).all(|_| (hour / 2..=hour).contains(&jitter.below(hour))));
        assert_eq!(jitter.below(Duration::ZERO), Duration::ZERO);
        assert!(jitter.around(Duration::MAX) > hour);
    }
}
