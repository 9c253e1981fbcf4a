//! Times as Kerberos writes them: seconds of UTC, in 15 characters (RFC 4120 §5.2.3).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::KerberosError;

const DAY: u64 = 86_400;

/// The time since 1970. Before it there is none.
pub(crate) fn since_1970(now: SystemTime) -> Duration {
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Seconds since 1970 as a time.
pub(crate) fn write(seconds: u64) -> String {
    let (year, month, day, rest) = split(seconds);
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Seconds since 1970 as people read them.
pub(crate) fn readable(seconds: u64) -> String {
    let (year, month, day, rest) = split(seconds);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", rest / 3600, rest / 60 % 60, rest % 60)
}

/// A time as seconds since 1970. One before that is the beginning of 1970.
pub(crate) fn read(text: &str) -> Result<u64, KerberosError> {
    const BAD: KerberosError = KerberosError::Malformed("a time that is none");
    let digits = text.strip_suffix('Z').filter(|digits| digits.len() == 14).ok_or(BAD)?;
    let number = |from: usize, to: usize| -> Result<u64, KerberosError> {
        let part = digits.get(from..to).filter(|part| part.bytes().all(|octet| octet.is_ascii_digit()));
        part.and_then(|part| part.parse().ok()).ok_or(BAD)
    };
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return Err(BAD);
    }
    // Days of a year that begins in March, so that the day that may be missing is the last.
    let (shifted, march) = if month > 2 { (year, month - 3) } else { (year.saturating_sub(1), month + 9) };
    let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + (153 * march + 2) / 5 + day - 1;
    Ok(days.saturating_sub(719_468) * DAY + hour * 3600 + minute * 60 + second)
}

fn split(seconds: u64) -> (u64, u64, u64, u64) {
    let days = seconds / DAY + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march = (5 * day + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    (year, month, day - (153 * march + 2) / 5 + 1, seconds % DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read() {
        let table = [
            (0, "19700101000000Z"),
            (951_782_400, "20000229000000Z"),
            (951_868_799, "20000229235959Z"),
            (1_795_363_200, "20261122160000Z"),
            (4_107_542_400, "21000301000000Z"),
        ];
        for (seconds, text) in table {
            assert_eq!((write(seconds), read(text)), (text.to_owned(), Ok(seconds)), "{text}");
        }
        for bad in
            ["", "20261122160000", "20261322160000Z", "20261122240000Z", "2026112216000éZ", "+0261122160000Z"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read("19690101000000Z"), Ok(0));
        assert_eq!(readable(951_868_799), "2000-02-29 23:59:59 UTC");
    }
}
