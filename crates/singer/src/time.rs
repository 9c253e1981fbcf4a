//! Moments as RFC 3339 spells them, which is what Singer's `date-time` means.

use std::io::Write;

/// The first second that RFC 3339 can spell: the start of year 0.
pub(crate) const FIRST: i64 = -62_167_219_200;

/// The last second that RFC 3339 can spell: the end of year 9999.
pub(crate) const LAST: i64 = 253_402_300_799;

/// Appends a moment in UTC, with as many digits of a second as it needs. From [`FIRST`] to [`LAST`].
pub(crate) fn push_rfc3339(out: &mut Vec<u8>, unix_seconds: i64, nanoseconds: u32) {
    let (year, month, day) = civil_from_days(unix_seconds.div_euclid(86_400));
    let second = unix_seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    // Writing into a vector cannot fail.
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if nanoseconds != 0 {
        let _ = write!(out, ".{nanoseconds:09}");
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    out.push(b'Z');
}

/// The day of the proleptic Gregorian calendar that is so many days after 1970-01-01: year, month, day.
///
/// The year is taken to begin in March, so that the leap day is its last.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // From 0000-03-01.
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year_of_era + era * 400 + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let table = [
            (0, 0, "1970-01-01T00:00:00Z"),
            (-1, 999_000_000, "1969-12-31T23:59:59.999Z"),
            (951_782_400, 0, "2000-02-29T00:00:00Z"),
            (951_868_800, 0, "2000-03-01T00:00:00Z"),
            (4_107_542_399, 1, "2100-02-28T23:59:59.000000001Z"),
            (-11_644_473_600, 0, "1601-01-01T00:00:00Z"),
            (253_402_300_799, 100_000_000, "9999-12-31T23:59:59.1Z"),
            (-62_167_219_200, 0, "0000-01-01T00:00:00Z"),
        ];
        for (seconds, nanoseconds, want) in table {
            let mut out = Vec::new();
            push_rfc3339(&mut out, seconds, nanoseconds);
            assert_eq!(str::from_utf8(&out).unwrap(), want);
        }
    }
}
