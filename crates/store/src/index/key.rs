//! Keys of index rows: attribute, kind, what of the value; then the chunk of ids, four octets.
//!
//! | kind | after the attribute's OID and a zero |
//! |---|---|
//! | presence | `*` |
//! | equality | `=`, length, normalised value; longer ones by their hash |
//! | ordering | `>`, the normalised value such that keys sort as values do, cut where it is long |
//! | substring | `~`, three octets of the normalised value (see [`grams`](super::grams)) |
//!
//! No key is the start of another of its kind, so the rows of one key stand together and apart from all others. Keys
//! that start with a zero are no attribute's: they are the changes of substring indexes that wait (see
//! [`deferred`](super::deferred)).

use sha2::{Digest, Sha256};

use super::config::IndexKind;

/// Values longer than this are indexed by their hash.
const LONGEST: usize = 200;

/// Octets of a value that count for its place in the order. What is the same up to here is looked at.
const ORDERED: usize = 100;

/// Octets of a row's key after the key proper.
const CHUNK: usize = 4;

/// What all keys of one index start with.
pub(super) fn prefix(oid: &str, kind: IndexKind) -> Box<[u8]> {
    let mut prefix = Vec::with_capacity(oid.len() + 2);
    prefix.extend_from_slice(oid.as_bytes());
    prefix.push(0);
    prefix.push(match kind {
        IndexKind::Presence => b'*',
        IndexKind::Equality => b'=',
        IndexKind::Ordering => b'>',
        IndexKind::Substring => b'~',
    });
    prefix.into()
}

/// The attribute, by OID, and the kind of an index whose keys start so.
pub(super) fn index_of(prefix: &[u8]) -> Option<(&str, IndexKind)> {
    let oid = std::str::from_utf8(prefix.split(|octet| *octet == 0).next()?).ok()?;
    let kind = IndexKind::ALL.into_iter().find(|kind| *prefix == *self::prefix(oid, *kind))?;
    Some((oid, kind))
}

/// What sorts after all keys of an index and before those of any other.
pub(super) fn after(prefix: &[u8]) -> Vec<u8> {
    let mut after = prefix.to_vec();
    if let Some(kind) = after.last_mut() {
        *kind += 1;
    }
    after
}

/// The part of a key that says which index it is of.
pub(super) fn prefix_of(key: &[u8]) -> &[u8] {
    let end = key.iter().position(|octet| *octet == 0).map_or(0, |zero| zero + 2);
    key.get(..end).unwrap_or(key)
}

pub(super) fn is_substring(key: &[u8]) -> bool {
    prefix_of(key).ends_with(b"\0~")
}

/// The key that `put` appends.
pub(super) fn made(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    put(&mut key);
    key
}

pub(super) fn put_presence(key: &mut Vec<u8>, prefix: &[u8]) {
    key.extend_from_slice(prefix);
    key.push(0);
}

pub(super) fn put_equality(key: &mut Vec<u8>, prefix: &[u8], value: &[u8]) {
    key.extend_from_slice(prefix);
    match u8::try_from(value.len()) {
        Ok(length) if value.len() <= LONGEST => {
            key.push(length);
            key.extend_from_slice(value);
        }
        _ => {
            key.push(u8::MAX);
            key.extend_from_slice(&Sha256::digest(value));
        }
    }
}

/// Zeros are written as `00 ff` and the end as `00 01`, so that what is shorter comes first.
pub(super) fn put_ordering(key: &mut Vec<u8>, prefix: &[u8], value: &[u8]) {
    let value = value.get(..ORDERED).unwrap_or(value);
    key.extend_from_slice(prefix);
    for &octet in value {
        key.push(octet);
        if octet == 0 {
            key.push(0xff);
        }
    }
    key.extend_from_slice(&[0, 1]);
}

/// Whether an ordering key does not tell this value from all others.
pub(super) fn is_cut(value: &[u8]) -> bool {
    value.len() >= ORDERED
}

pub(super) fn substring(prefix: &[u8], gram: [u8; 3]) -> Vec<u8> {
    let mut key = Vec::with_capacity(prefix.len() + gram.len() + CHUNK);
    key.extend_from_slice(prefix);
    key.extend_from_slice(&gram);
    key
}

/// The key of one row.
pub(super) fn row(key: &[u8], chunk: u32) -> Vec<u8> {
    let mut row = Vec::with_capacity(key.len() + CHUNK);
    row.extend_from_slice(key);
    row.extend_from_slice(&chunk.to_be_bytes());
    row
}

/// A row's key without the chunk, and the chunk.
pub(super) fn split(row: &[u8]) -> Option<(&[u8], u32)> {
    let (key, chunk) = row.split_last_chunk::<CHUNK>()?;
    Some((key, u32::from_be_bytes(*chunk)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn equality(prefix: &[u8], value: &[u8]) -> Vec<u8> {
        made(|key| put_equality(key, prefix, value))
    }

    fn ordering(prefix: &[u8], value: &[u8]) -> Vec<u8> {
        made(|key| put_ordering(key, prefix, value))
    }

    #[test]
    fn keys_do_not_run_into_each_other() {
        let prefix = prefix("1.2", IndexKind::Equality);
        let short = equality(&prefix, b"ab");
        let long = equality(&prefix, b"ab\0\0\0\0");
        assert!(!long.starts_with(&short));
        let hashed = equality(&prefix, &[b'x'; 4_000]);
        assert_eq!(hashed.len(), 3 + 2 + 1 + 32);
        assert_ne!(hashed, equality(&prefix, &[b'x'; 4_001]));
        assert_eq!(prefix_of(&hashed), &*prefix);
        assert_eq!(split(&row(&short, 7)), Some((short.as_slice(), 7)));
    }

    proptest! {
        /// Whole keys sort as values, as long as these are not cut; then keys are equal or in order.
        #[test]
        fn ordering_keys_sort_as_values(
            one in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(255), any::<u8>()], 0..120),
            other in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(255), any::<u8>()], 0..120),
        ) {
            let (first, second) = (ordering(b"1\0>", &one), ordering(b"1\0>", &other));
            if one <= other {
                prop_assert!(first <= second);
            }
            if one != other && one.len().max(other.len()) <= ORDERED {
                prop_assert_ne!(&first, &second);
                prop_assert!(!first.starts_with(&second) && !second.starts_with(&first));
            }
        }
    }
}
