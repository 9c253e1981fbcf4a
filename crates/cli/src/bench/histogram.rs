//! How long operations took, in a fixed number of counters.
//!
//! As HdrHistogram has it: 32 counters for each power of two, so that whatever is read from it is within 3 % of what was
//! put in, from a nanosecond to centuries, in 15 KiB.

use std::time::Duration;

/// Counters for each power of two, and how many bits number them.
const STEPS: usize = 32;
const BITS: u32 = STEPS.trailing_zeros();
/// As many as the largest number of nanoseconds needs.
const COUNTERS: usize = STEPS * (64 - BITS as usize + 1);

/// Counts times.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counters: Box<[u64]>,
    count: u64,
    sum: u128,
    least: u64,
    most: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counters: vec![0; COUNTERS].into(), count: 0, sum: 0, least: u64::MAX, most: 0 }
    }
}

impl Histogram {
    pub(super) fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(counter) = self.counters.get_mut(place(nanos)) {
            *counter += 1;
        }
        self.count += 1;
        self.sum += u128::from(nanos);
        self.least = self.least.min(nanos);
        self.most = self.most.max(nanos);
    }

    /// Adds what another has counted.
    pub(super) fn add(&mut self, other: &Self) {
        for (counter, more) in self.counters.iter_mut().zip(&other.counters) {
            *counter += more;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn least(&self) -> Duration {
        Duration::from_nanos(if self.count == 0 { 0 } else { self.least })
    }

    pub(super) const fn most(&self) -> Duration {
        Duration::from_nanos(self.most)
    }

    pub(super) fn mean(&self) -> Duration {
        let mean = self.sum.checked_div(u128::from(self.count)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The time that so many in a thousand did not exceed; of the nearest rank, as `ping` has it.
    pub(super) fn per_mille(&self, share: u64) -> Duration {
        let rank = (self.count.saturating_mul(share)).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (place, counter) in self.counters.iter().enumerate() {
            seen += counter;
            if seen >= rank {
                return Duration::from_nanos(highest(place).clamp(self.least, self.most));
            }
        }
        self.most()
    }
}

/// The counter for a number: the place of its highest bit, and the five bits behind it.
#[expect(clippy::cast_possible_truncation, reason = "places are below two thousand")]
const fn place(nanos: u64) -> usize {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(BITS + 1);
    shift as usize * STEPS + (nanos >> shift) as usize
}

/// The highest number that this counter counts.
const fn highest(place: usize) -> u64 {
    let shift = (place / STEPS).saturating_sub(1);
    let lead = (place - shift * STEPS) as u128;
    (((lead + 1) << shift) - 1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_counter_that_is_near_to_it() {
        let mut last = 0;
        for nanos in (0..200).chain((0..64).flat_map(|bit| [1 << bit, (1 << bit) + 1, u64::MAX >> bit])) {
            let place = place(nanos);
            assert!(place < COUNTERS, "{nanos}: {place}");
            let highest = highest(place);
            assert!(highest >= nanos && highest - nanos <= nanos / 32, "{nanos}: up to {highest}");
            last = last.max(place);
        }
        assert_eq!(last, COUNTERS - 1);
        assert!((1..COUNTERS).all(|place| highest(place) > highest(place - 1)));
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank_and_within_what_was_seen() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.per_mille(500), histogram.mean()), (Duration::ZERO, Duration::ZERO));
        for millis in 1..=1_000 {
            histogram.record(Duration::from_millis(millis));
        }
        let mut twice = histogram.clone();
        twice.add(&histogram);
        assert_eq!((histogram.count(), twice.count()), (1_000, 2_000));
        for histogram in [histogram, twice] {
            for (share, millis) in [(1, 1), (500, 500), (990, 990), (999, 999), (1_000, 1_000)] {
                let (found, exact) = (histogram.per_mille(share), Duration::from_millis(millis));
                assert!(found >= exact && found <= exact.mul_f64(1.0 + 1.0 / 32.0), "{share}: {found:?}");
            }
            assert_eq!(
                (histogram.least(), histogram.most()),
                (Duration::from_millis(1), Duration::from_secs(1))
            );
            assert_eq!(histogram.mean(), Duration::from_micros(500_500));
        }
    }
}
