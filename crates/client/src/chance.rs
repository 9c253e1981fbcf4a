//! Chance, for choices and pauses. Not for secrets.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Throws numbers from any thread.
#[derive(Debug)]
pub(crate) struct Dice(AtomicU64);

impl Dice {
    /// Seeded by the operating system, through the hash maps of the standard library.
    pub(crate) fn new() -> Self {
        Self::seeded(RandomState::new().hash_one(0_u64))
    }

    pub(crate) const fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next number: splitmix64.
    pub(crate) fn throw(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Some time from nothing to `most`: full jitter.
    pub(crate) fn up_to(&self, most: Duration) -> Duration {
        // 53 bits are what a float holds.
        #[expect(clippy::cast_precision_loss, reason = "the low bits do not matter")]
        let share = (self.throw() >> 11) as f64 / (1_u64 << 53) as f64;
        most.mul_f64(share)
    }

    /// Between nine and eleven tenths of `time`; never wraps.
    pub(crate) fn around(&self, time: Duration) -> Duration {
        let fifth = time / 5;
        (time - fifth / 2).saturating_add(self.up_to(fifth))
    }

    /// Some time from half of `time` to all of it: what is repeated spreads out, and still happens.
    pub(crate) fn about(&self, time: Duration) -> Duration {
        time / 2 + self.up_to(time / 2)
    }
}

/// The longest pause before the attempt after `failed` ones, doubling from a few milliseconds to a second.
pub(crate) fn longest_pause(failed: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(4);
    const LONGEST: Duration = Duration::from_secs(1);
    FIRST.saturating_mul(2_u32.saturating_pow(failed.min(16))).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stay_within_bounds() {
        let table = [(0, 4), (1, 8), (4, 64), (7, 512), (8, 1_000), (9, 1_000), (u32::MAX, 1_000)];
        for (failed, most) in table {
            assert_eq!(longest_pause(failed), Duration::from_millis(most), "after {failed}");
        }
        let dice = Dice::seeded(7);
        let (second, mut least, mut most) = (Duration::from_secs(1), Duration::MAX, Duration::ZERO);
        for _ in 0..10_000 {
            let pause = dice.up_to(second);
            (least, most) = (least.min(pause), most.max(pause));
            let about = dice.about(second);
            assert!(about >= second / 2 && about <= second, "{about:?}");
            let around = dice.around(second);
            assert!((second * 9 / 10..=second * 11 / 10).contains(&around), "{around:?}");
        }
        assert_eq!(dice.about(Duration::ZERO), Duration::ZERO);
        assert!(dice.around(Duration::MAX) > second);
        assert!(least < second / 100 && most > second / 100 * 99 && most <= second, "{least:?} to {most:?}");
    }
}
