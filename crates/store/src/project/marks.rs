//! Where parts of large attributes ended, so that the next part goes on there: without it, reading a group in parts
//! would pass all values before each part. What is forgotten, or not true any more, is found again by passing them.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

/// Marks that are kept, some hundred octets each.
const MOST: usize = 512;

/// The latest ends of parts.
#[derive(Debug, Default)]
pub(crate) struct Marks(Mutex<VecDeque<Mark>>);

#[derive(Debug)]
struct Mark {
    /// Of which attribute of which entry: what the keys of its rows start with.
    prefix: Vec<u8>,
    /// The entry's change sequence number: an entry that was changed since may have other values before this one.
    csn: Vec<u8>,
    /// How many values come before the next one.
    place: u64,
    /// The key of the last one.
    key: Vec<u8>,
}

impl Marks {
    /// The last mark at or before `place`: how many values are passed there, and the key of the last one of them.
    pub(super) fn before(&self, prefix: &[u8], csn: &[u8], place: u64) -> Option<(u64, Vec<u8>)> {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = marks.iter().filter(|one| one.prefix == prefix && one.csn == csn && one.place <= place);
        known.max_by_key(|one| one.place).map(|one| (one.place, one.key.clone()))
    }

    pub(super) fn set(&self, prefix: &[u8], csn: &[u8], place: u64, key: Vec<u8>) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.retain(|one| !(one.prefix == prefix && (one.place == place || one.csn != csn)));
        if marks.len() >= MOST {
            marks.pop_front();
        }
        marks.push_back(Mark { prefix: prefix.to_vec(), csn: csn.to_vec(), place, key });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_of_one_state_of_one_attribute_and_are_bounded() {
        let marks = Marks::default();
        marks.set(b"a", b"1", 100, b"k".to_vec());
        marks.set(b"a", b"1", 200, b"l".to_vec());
        marks.set(b"b", b"1", 150, b"m".to_vec());
        assert_eq!(marks.before(b"a", b"1", 99), None);
        assert_eq!(marks.before(b"a", b"1", 199), Some((100, b"k".to_vec())));
        assert_eq!(marks.before(b"a", b"1", 900), Some((200, b"l".to_vec())));
        assert_eq!(marks.before(b"a", b"2", 900), None);
        marks.set(b"a", b"2", 300, b"n".to_vec());
        assert_eq!(marks.before(b"a", b"1", 900), None);
        assert_eq!(marks.before(b"b", b"1", 900), Some((150, b"m".to_vec())));
        for place in 0..2 * MOST as u64 {
            marks.set(b"c", b"1", place, Vec::new());
        }
        assert_eq!(marks.0.lock().unwrap().len(), MOST);
        assert_eq!(marks.before(b"b", b"1", 900), None);
    }
}
