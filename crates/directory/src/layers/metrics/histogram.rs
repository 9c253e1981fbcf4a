//! Counts by size, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often values up to each bound were seen, and their sum. Values have one unit, the bounds' too.
#[derive(Debug)]
pub(super) struct Histogram<const BOUNDS: usize> {
    bounds: &'static [u64; BOUNDS],
    /// Values up to a bound and above the one before.
    counts: [AtomicU64; BOUNDS],
    above: AtomicU64,
    sum: AtomicU64,
}

/// What a histogram held at one moment; several can be added up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted<const BOUNDS: usize> {
    counts: [u64; BOUNDS],
    pub(super) count: u64,
    pub(super) sum: u64,
}

impl<const BOUNDS: usize> Histogram<BOUNDS> {
    /// Nothing seen. The bounds are ascending.
    pub(super) const fn new(bounds: &'static [u64; BOUNDS]) -> Self {
        Self {
            bounds,
            counts: [const { AtomicU64::new(0) }; BOUNDS],
            above: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    pub(super) fn record(&self, value: u64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.counts.get(at).unwrap_or(&self.above).fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Counted<BOUNDS> {
        let counts = self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        let count = counts.iter().sum::<u64>().wrapping_add(self.above.load(Ordering::Relaxed));
        Counted { counts, count, sum: self.sum.load(Ordering::Relaxed) }
    }
}

impl<const BOUNDS: usize> Counted<BOUNDS> {
    pub(super) const fn none() -> Self {
        Self { counts: [0; BOUNDS], count: 0, sum: 0 }
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.wrapping_add(more);
        }
        self.count = self.count.wrapping_add(other.count);
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// The values up to each bound.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().scan(0_u64, |sum, count| {
            *sum = sum.wrapping_add(*count);
            Some(*sum)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_below_their_bound() {
        static BOUNDS: [u64; 3] = [1, 10, 100];
        let histogram = Histogram::new(&BOUNDS);
        [0, 1, 2, 10, 11, 100, 101, 5_000].into_iter().for_each(|value| histogram.record(value));
        let mut read = histogram.read();
        assert_eq!(read.cumulative().collect::<Vec<_>>(), [2, 4, 6]);
        assert_eq!((read.count, read.sum), (8, 5_225));
        read.add(&histogram.read());
        assert_eq!((read.cumulative().last(), read.count, read.sum), (Some(12), 16, 10_450));
    }
}
