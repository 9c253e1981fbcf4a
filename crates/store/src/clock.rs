//! Time stamps and change sequence numbers.
//!
//! A CSN is what OpenLDAP writes: `20261121212143.123456Z#000000#000#000000`, that is microseconds, a count within
//! them, the server, and a count within the operation. CSNs only grow, whatever the machine's clock does.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Gives CSNs, each greater than the one before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    micros: u64,
    count: u32,
    /// The second last spelt, and how: a thousand stamps fall into each.
    second: (u64, [u8; 14]),
}

/// The most CSNs in one microsecond: six hexadecimal digits.
const COUNTS: u32 = 0xff_ffff;

impl Clock {
    /// Goes on after `csn`; from the start where it is none.
    pub(crate) fn after(csn: &str) -> Self {
        parse(csn).unwrap_or_default()
    }

    /// The stamp of a change made now.
    pub(crate) fn next(&mut self, time: &TimeSource) -> Stamp {
        self.next_at(time.micros())
    }

    fn next_at(&mut self, now: u64) -> Stamp {
        if now > self.micros {
            (self.micros, self.count) = (now, 0);
        } else if self.count < COUNTS {
            self.count += 1;
        } else {
            (self.micros, self.count) = (self.micros + 1, 0);
        }
        let seconds = self.micros / 1_000_000;
        if self.second.0 != seconds || self.second.1 == [0; 14] {
            let spelt = digits(seconds);
            self.second = (seconds, spelt.as_bytes().first_chunk().copied().unwrap_or_default());
        }
        let spelt = self.second.1.map(char::from);
        let mut csn = String::with_capacity(40);
        csn.extend(spelt);
        csn.push('.');
        push_digits(&mut csn, self.micros % 1_000_000, 10);
        csn.push_str("Z#");
        push_digits(&mut csn, u64::from(self.count), 16);
        csn.push_str("#000#000000");
        let mut time = String::with_capacity(15);
        time.extend(spelt);
        time.push('Z');
        Stamp { csn, time }
    }
}

impl Stamp {
    /// As long as any other.
    pub(crate) fn blank() -> Self {
        Clock::default().next_at(0)
    }
}

/// Six digits to this base.
fn push_digits(text: &mut String, number: u64, base: u64) {
    for place in (0..6).rev() {
        let digit = u32::try_from(number / base.pow(place) % base).unwrap_or_default();
        text.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
}

/// When a change was made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    pub(crate) csn: String,
    /// Generalized Time, to the second.
    pub(crate) time: String,
}

/// Where the store has the time from: the machine, unless a test says otherwise.
#[derive(Clone)]
pub(crate) struct TimeSource(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl TimeSource {
    pub(crate) fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Microseconds since 1970.
    pub(crate) fn micros(&self) -> u64 {
        let since = (self.0)().duration_since(UNIX_EPOCH);
        since.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
    }
}

impl Default for TimeSource {
    fn default() -> Self {
        Self::new(SystemTime::now)
    }
}

impl fmt::Debug for TimeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TimeSource(..)")
    }
}

fn parse(csn: &str) -> Option<Clock> {
    let (time, rest) = csn.split_once('.')?;
    let (fraction, rest) = rest.split_once("Z#")?;
    let (count, _) = rest.split_once('#')?;
    let part = |range: std::ops::Range<usize>| time.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, second) = (part(8..10)?, part(10..12)?, part(12..14)?);
    let seconds = ((days(year, month, day)? * 24 + hour) * 60 + minute) * 60 + second;
    let micros = seconds * 1_000_000 + fraction.parse::<u64>().ok()?;
    Some(Clock { micros, count: u32::from_str_radix(count, 16).ok()?, ..Clock::default() })
}

/// Days from 1970-01-01 in the Gregorian calendar (years from March, so that leap days come last).
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    days.checked_sub(719_469)
}

/// `YYYYMMDDhhmmss` of seconds from 1970-01-01.
fn digits(seconds: u64) -> String {
    let (mut day, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let era = day / 146_097;
    day %= 146_097;
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year_of_era + carry;
    format!(
        "{year:04}{month:02}{day_of_month:02}{:02}{:02}{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar() {
        let table = [
            (0, "19700101000000"),
            (951_782_400, "20000229000000"),
            (951_868_800, "20000301000000"),
            (1_709_164_799, "20240228235959"),
            (1_795_296_103, "20261121212143"),
            (4_107_542_400, "21000301000000"),
        ];
        for (seconds, text) in table {
            assert_eq!(digits(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn numbers_grow_whatever_the_clock_does() {
        let mut clock = Clock::default();
        let first = clock.next_at(1_795_296_103_123_456);
        assert_eq!(first.csn, "20261121212143.123456Z#000000#000#000000");
        assert_eq!(first.time, "20261121212143Z");
        let second = clock.next_at(1_795_296_103_123_456);
        assert_eq!(second.csn, "20261121212143.123456Z#000001#000#000000");
        let back = clock.next_at(5);
        assert_eq!(back.csn, "20261121212143.123456Z#000002#000#000000");
        let mut again = Clock::after(&back.csn);
        assert_eq!(again.next_at(5).csn, "20261121212143.123456Z#000003#000#000000");
        clock.count = COUNTS;
        assert_eq!(clock.next_at(5).csn, "20261121212143.123457Z#000000#000#000000");
    }

    #[test]
    fn what_is_no_csn_starts_afresh() {
        for text in ["", "x", "2026", "20261121212143.Z#0#", "00000000000000.000000Z#000000#000#000000"] {
            assert_eq!(Clock::after(text).micros, 0, "{text}");
        }
    }
}
