//! The numbers that take the place of `{n}`.

use std::{
    hash::{BuildHasher as _, RandomState},
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
};

/// What stands for a number in a filter or a name.
const PLACE: &str = "{n}";

/// From the first to the last, both included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Range {
    first: u64,
    /// How many there are, less one.
    more: u64,
}

impl FromStr for Range {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected two numbers like 1-100000, the smaller one first";
        let (first, last) = text.split_once('-').ok_or(wrong)?;
        let (first, last): (u64, u64) = (first.parse().map_err(|_| wrong)?, last.parse().map_err(|_| wrong)?);
        Ok(Self { first, more: last.checked_sub(first).ok_or(wrong)? })
    }
}

/// Gives one number after the other, to any number of tasks.
#[derive(Debug)]
pub(super) struct Numbers {
    range: Option<Range>,
    is_random: bool,
    seed: u64,
    given: AtomicU64,
}

impl Numbers {
    /// 0, 1, 2, …
    pub(super) fn counting() -> Self {
        Self { range: None, is_random: false, seed: 0, given: AtomicU64::new(0) }
    }

    /// Those of a range in turn, over and over.
    pub(super) fn in_turn(range: Range) -> Self {
        Self { range: Some(range), ..Self::counting() }
    }

    /// Those of a range at random.
    pub(super) fn random(range: Range) -> Self {
        Self { is_random: true, seed: RandomState::new().hash_one(0_u64), ..Self::in_turn(range) }
    }

    pub(super) fn next(&self) -> u64 {
        let turn = self.given.fetch_add(1, Ordering::Relaxed);
        let Some(Range { first, more }) = self.range else { return turn };
        let number = if self.is_random { mixed(self.seed.wrapping_add(turn)) } else { turn };
        // Of a range of all numbers there are, any will do.
        first + more.checked_add(1).map_or(number, |count| number % count)
    }
}

/// splitmix64.
const fn mixed(turn: u64) -> u64 {
    let mut mixed = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A filter or a name with a place for a number.
#[derive(Clone, Debug)]
pub(super) struct Template<T> {
    text: String,
    /// What it is where no number is in it.
    fixed: Option<T>,
}

impl<T: Clone + FromStr> Template<T> {
    /// # Errors
    ///
    /// It is none, whatever number is in it: digits have no meaning of their own in filters and names.
    pub(super) fn new(text: &str) -> Result<Self, T::Err> {
        let first: T = text.replace(PLACE, "0").parse()?;
        let fixed = (!text.contains(PLACE)).then_some(first);
        Ok(Self { text: text.to_owned(), fixed })
    }

    pub(super) const fn is_fixed(&self) -> bool {
        self.fixed.is_some()
    }

    pub(super) fn with(&self, number: u64) -> Result<T, T::Err> {
        match &self.fixed {
            Some(fixed) => Ok(fixed.clone()),
            None => self.text.replace(PLACE, &number.to_string()).parse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use flext_ldap_directory::proto::{dn::Dn, filter::Filter};

    use super::*;

    #[test]
    fn numbers_count_go_round_and_are_drawn() {
        let take = |numbers: &Numbers, count: usize| (0..count).map(|_| numbers.next()).collect::<Vec<_>>();
        assert_eq!(take(&Numbers::counting(), 3), [0, 1, 2]);
        let range: Range = "7-9".parse().unwrap();
        assert_eq!(take(&Numbers::in_turn(range), 5), [7, 8, 9, 7, 8]);
        let drawn = take(&Numbers::random(range), 200);
        assert_eq!(drawn.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([7, 8, 9]));
        assert_ne!(drawn, take(&Numbers::random(range), 200));
        let all: Range = "0-18446744073709551615".parse().unwrap();
        assert_eq!(take(&Numbers::in_turn(all), 2), [0, 1]);
        for text in ["", "1", "9-7", "a-b", "1-2-3", "-1-2"] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_takes_its_place() {
        let filter = Template::<Filter>::new("(&(objectClass=person)(uid=user{n}))").unwrap();
        assert!(!filter.is_fixed());
        assert_eq!(filter.with(12).unwrap().to_string(), "(&(objectClass=person)(uid=user12))");
        let name = Template::<Dn>::new("uid=user{n},ou=people,dc=example,dc=com").unwrap();
        assert_eq!(name.with(3).unwrap().to_string(), "uid=user3,ou=people,dc=example,dc=com");
        let fixed = Template::<Filter>::new("(uid=ada)").unwrap();
        assert!(fixed.is_fixed());
        assert_eq!(fixed.with(3).unwrap().to_string(), "(uid=ada)");
        assert!(Template::<Filter>::new("(uid={n}").is_err());
    }
}
