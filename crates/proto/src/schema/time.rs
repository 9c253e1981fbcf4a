//! Generalized Time (RFC 4517 §3.3.13) and UTC Time (§3.3.34) as moments. There is no clock here.

use std::{fmt, str::FromStr};

/// A moment: what a value of syntax Generalized Time means.
///
/// Prints as `20260131120000Z`, or `20260131120000.25Z` where there is a fraction.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "a moment has no other parts")]
pub struct GeneralizedTime {
    /// Seconds since 1970-01-01T00:00:00Z, without leap seconds. Years 0 to 9999 can be printed as the syntax wants.
    pub unix_seconds: i64,
    /// Nanoseconds of that second; under 1,000,000,000.
    pub nanoseconds: u32,
}

/// Text that is not a Generalized Time.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a generalized time (`YYYYMMDDHHMMSSZ`) at offset {offset}")]
pub struct InvalidGeneralizedTime {
    /// Octets from the start of the text.
    pub offset: usize,
}

const NANOSECONDS: u64 = 1_000_000_000;

impl GeneralizedTime {
    /// As RFC 3339 has it, in UTC with microseconds: `2026-01-31T12:00:00.250000Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let (year, month, day) = civil_from_days(self.unix_seconds.div_euclid(86_400));
        let second = self.unix_seconds.rem_euclid(86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let micros = self.nanoseconds / 1_000;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }

    /// Twelve octets that sort as the moments do.
    pub(super) fn key(self) -> [u8; 12] {
        let [a, b, c, d, e, f, g, h] = (self.unix_seconds.cast_unsigned() ^ (1 << 63)).to_be_bytes();
        let [i, j, k, l] = self.nanoseconds.to_be_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }
}

impl FromStr for GeneralizedTime {
    type Err = InvalidGeneralizedTime;

    /// Parses any form of the syntax. Fractions (of seconds, minutes or hours) are kept to the nanosecond, and a leap
    /// second is the first of the next minute.
    fn from_str(text: &str) -> Result<Self, InvalidGeneralizedTime> {
        let mut digits = Digits { rest: text.as_bytes(), offset: 0 };
        parse_generalized(&mut digits).ok_or(InvalidGeneralizedTime { offset: digits.offset })
    }
}

fn parse_generalized(digits: &mut Digits<'_>) -> Option<GeneralizedTime> {
    let year = digits.number(4, 0, 9999)?;
    let month = digits.number(2, 1, 12)?;
    let day = digits.number(2, 1, days_in_month(year, month))?;
    let hour = digits.number(2, 0, 23)?;
    let (mut minute, mut second, mut unit) = (0, 0, 3600);
    if digits.is_digit() {
        minute = digits.number(2, 0, 59)?;
        unit = 60;
        if digits.is_digit() {
            second = digits.number(2, 0, 60)?;
            unit = 1;
        }
    }
    let fraction = digits.fraction(unit)?;
    let offset = digits.zone(true)?;
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    let whole = i64::try_from(fraction / NANOSECONDS).ok()?;
    let nanoseconds = u32::try_from(fraction % NANOSECONDS).ok()?;
    digits.rest.is_empty().then_some(GeneralizedTime { unix_seconds: seconds + whole, nanoseconds })
}

/// UTC Time. Years 50 to 99 are of the twentieth century; without a zone it is UTC.
pub(super) fn utc_time_from_str(text: &str) -> Option<GeneralizedTime> {
    let mut digits = Digits { rest: text.as_bytes(), offset: 0 };
    let year = digits.number(2, 0, 99)?;
    let year = if year < 50 { 2000 + year } else { 1900 + year };
    let month = digits.number(2, 1, 12)?;
    let day = digits.number(2, 1, days_in_month(year, month))?;
    let hour = digits.number(2, 0, 23)?;
    let minute = digits.number(2, 0, 59)?;
    let second = if digits.is_digit() { digits.number(2, 0, 59)? } else { 0 };
    let offset = if digits.rest.is_empty() { 0 } else { digits.zone(false)? };
    let unix_seconds =
        days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    digits.rest.is_empty().then_some(GeneralizedTime { unix_seconds, nanoseconds: 0 })
}

impl fmt::Display for GeneralizedTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.unix_seconds.div_euclid(86_400));
        let second = self.unix_seconds.rem_euclid(86_400);
        write!(
            f,
            "{year:04}{month:02}{day:02}{:02}{:02}{:02}",
            second / 3600,
            second / 60 % 60,
            second % 60
        )?;
        if self.nanoseconds != 0 {
            let fraction = format!("{:09}", self.nanoseconds);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

struct Digits<'t> {
    rest: &'t [u8],
    offset: usize,
}

impl Digits<'_> {
    fn is_digit(&self) -> bool {
        self.rest.first().is_some_and(u8::is_ascii_digit)
    }

    fn octet(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        self.offset += 1;
        Some(*first)
    }

    fn number(&mut self, length: usize, least: i64, most: i64) -> Option<i64> {
        let mut number = 0;
        for _ in 0..length {
            if !self.is_digit() {
                return None;
            }
            number = number * 10 + i64::from(self.octet()? - b'0');
        }
        (least..=most).contains(&number).then_some(number)
    }

    /// The nanoseconds of a fraction of `unit` seconds; 0 where there is no fraction.
    fn fraction(&mut self, unit: u64) -> Option<u64> {
        if !matches!(self.rest.first(), Some(b'.' | b',')) {
            return Some(0);
        }
        self.octet();
        if !self.is_digit() {
            return None;
        }
        let (mut value, mut scale) = (0_u64, unit * NANOSECONDS);
        // A digit is worth nothing once the scale has run out, however many follow.
        while self.is_digit() {
            scale /= 10;
            value += u64::from(self.octet()? - b'0') * scale;
        }
        Some(value)
    }

    /// Seconds east of Greenwich.
    fn zone(&mut self, short: bool) -> Option<i64> {
        let sign = match self.octet()? {
            b'Z' => return Some(0),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let hours = self.number(2, 0, 23)?;
        let minutes = if short && !self.is_digit() { 0 } else { self.number(2, 0, 59)? };
        Some(sign * (hours * 3600 + minutes * 60))
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar. Years run from March, so that a leap day is the last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The reverse of [`days_from_civil`]: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = (shifted + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc3339() {
        let table = [
            ("19700101000000Z", "1970-01-01T00:00:00.000000Z"),
            ("20000229120000.25Z", "2000-02-29T12:00:00.250000Z"),
            ("19691231235959.999999999Z", "1969-12-31T23:59:59.999999Z"),
        ];
        for (time, want) in table {
            assert_eq!(time.parse::<GeneralizedTime>().unwrap().to_rfc3339(), want);
        }
    }

    #[test]
    fn texts_are_the_moments_they_say() {
        for (text, unix_seconds, nanoseconds, printed) in [
            ("19700101000000Z", 0, 0, "19700101000000Z"),
            ("19691231235959.25Z", -1, 250_000_000, "19691231235959.25Z"),
            ("20260131120000+0130", 1_769_855_400, 0, "20260131103000Z"),
            ("2026013112-02", 1_769_868_000, 0, "20260131140000Z"),
            ("2026013112.5Z", 1_769_862_600, 0, "20260131123000Z"),
            ("202601311200,1Z", 1_769_860_806, 0, "20260131120006Z"),
            ("20260131120000.1234567899Z", 1_769_860_800, 123_456_789, "20260131120000.123456789Z"),
            ("20240229235960Z", 1_709_251_200, 0, "20240301000000Z"),
            ("00000101000000Z", -62_167_219_200, 0, "00000101000000Z"),
            ("99991231235959Z", 253_402_300_799, 0, "99991231235959Z"),
        ] {
            let time: GeneralizedTime = text.parse().unwrap();
            assert_eq!(time, GeneralizedTime { unix_seconds, nanoseconds }, "{text}");
            assert_eq!(time.to_string(), printed);
        }
    }

    #[test]
    fn errors_say_where() {
        for (text, offset) in [
            ("", 0),
            ("202x", 3),
            ("20260230120000Z", 8),
            ("20261331120000Z", 6),
            ("20260131120000", 14),
            ("20260131120000.Z", 15),
            ("20260131120000ZZ", 15),
            ("20260131120000+2500", 17),
        ] {
            assert_eq!(text.parse::<GeneralizedTime>(), Err(InvalidGeneralizedTime { offset }), "{text}");
        }
    }

    #[test]
    fn two_digits_of_a_year_are_of_the_nearer_century() {
        let printed = |text| utc_time_from_str(text).unwrap().to_string();
        assert_eq!(printed("500101000000Z"), "19500101000000Z");
        assert_eq!(printed("4912312359Z"), "20491231235900Z");
        assert_eq!(printed("260131120000-0130"), "20260131133000Z");
        assert_eq!(printed("2601311200"), "20260131120000Z");
    }

    proptest! {
        #[test]
        fn moments_print_and_parse_back(
            unix_seconds in -62_167_219_200_i64..=253_402_300_799,
            nanoseconds in 0_u32..1_000_000_000,
        ) {
            let time = GeneralizedTime { unix_seconds, nanoseconds };
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }

        #[test]
        fn keys_sort_as_moments(a: (i64, u32), b: (i64, u32)) {
            let time = |(unix_seconds, nanoseconds)| GeneralizedTime { unix_seconds, nanoseconds };
            prop_assert_eq!(time(a).key().cmp(&time(b).key()), time(a).cmp(&time(b)));
        }

        #[test]
        fn every_moment_prints_without_panic(unix_seconds: i64, nanoseconds: u32) {
            let time = GeneralizedTime { unix_seconds, nanoseconds };
            prop_assert!(time.to_string().ends_with('Z'));
        }
    }
}
