//! Former passwords. They live in `secret` behind the present ones, and leave it only by an export with hashes.
//!
//! A row of `secret` is the hashes in force, and, if there is a history, an empty value and then the history: values of
//! `pwdHistory` as OpenLDAP writes them, `time#syntax#length#hash`, oldest first.

use super::Micros;
use crate::{
    context::Context,
    credentials,
    modify::Draft,
    row::{Id, put_octets, take_octets},
    tables::{Failure, Rows, Tables},
};

/// The attribute they have in LDIF.
pub(crate) const ATTRIBUTE: &str = "pwdHistory";

/// Octet String (RFC 4517 §3.3.25): what `userPassword` is.
const SYNTAX: &str = "1.3.6.1.4.1.1466.115.121.1.40";

/// A row of `secret`; `None` if there is nothing to keep.
pub(crate) fn encode(passwords: &[Vec<u8>], history: &[Vec<u8>]) -> Option<Vec<u8>> {
    if passwords.is_empty() && history.is_empty() {
        return None;
    }
    let mut row = Vec::new();
    for password in passwords {
        put_octets(&mut row, password);
    }
    if !history.is_empty() {
        put_octets(&mut row, b"");
        for value in history {
            put_octets(&mut row, value);
        }
    }
    Some(row)
}

/// Whether a row of `secret` holds former passwords.
pub(crate) fn is_kept(mut row: &[u8]) -> bool {
    while let Some(value) = take_octets(&mut row) {
        if value.is_empty() {
            return !row.is_empty();
        }
    }
    false
}

impl<T: Rows> Tables<T> {
    /// The former passwords of an entry, oldest first.
    pub(crate) fn history(&self, id: Id) -> Result<Vec<Vec<u8>>, Failure> {
        let Some(row) = self.secret.get(id.to_be_bytes().as_slice())? else { return Ok(Vec::new()) };
        let mut row = row.value();
        let mut history = Vec::new();
        let mut behind = false;
        while !row.is_empty() {
            let value = take_octets(&mut row).ok_or_else(|| Failure::damaged("a password hash"))?;
            if behind {
                history.push(value.to_vec());
            }
            behind |= value.is_empty();
        }
        Ok(history)
    }

    /// Whether there is a row with passwords, or former ones, of an entry.
    pub(crate) fn has_secrets(&self, id: Id) -> Result<bool, Failure> {
        Ok(self.secret.get(id.to_be_bytes().as_slice())?.is_some())
    }
}

/// The hash in a value.
pub(crate) fn hash_of(value: &[u8]) -> Option<&[u8]> {
    let mut parts = value.splitn(4, |octet| *octet == b'#');
    parts.nth(3)
}

/// The history once `former` have been replaced: the newest `most` of all.
pub(crate) fn appended(
    mut history: Vec<Vec<u8>>,
    former: &[Vec<u8>],
    now: Micros,
    most: usize,
) -> Vec<Vec<u8>> {
    let time = super::account::text(super::account::whole_second(now), false);
    for hash in former.iter().map(|stored| credentials::without_keys(stored)) {
        let mut value = time.to_vec();
        value.extend_from_slice(format!("#{SYNTAX}#{}#", hash.len()).as_bytes());
        value.extend_from_slice(hash);
        history.push(value);
    }
    let surplus = history.len().saturating_sub(most);
    history.drain(..surplus);
    history
}

/// Takes the history out of the attributes of an entry that is imported.
pub(crate) fn take(context: &Context, operational: &mut Draft<'_>) -> Vec<Vec<u8>> {
    let values = operational.values(context, ATTRIBUTE);
    let mut history: Vec<Vec<u8>> =
        values.iter().filter(|value| !value.is_empty()).map(|value| value.to_vec()).collect();
    // Each begins with its time.
    history.sort();
    operational.set(context, ATTRIBUTE, Vec::new());
    history
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept() {
        let one = |name: &str| vec![format!("{{SSHA}}{name}").into_bytes()];
        let mut history = Vec::new();
        for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
            history = appended(history, &one(name), (1_000 + number as i64) * 1_000_000, 2);
        }
        let hashes: Vec<_> = history.iter().filter_map(|value| hash_of(value)).collect();
        assert_eq!(hashes, [b"{SSHA}b".as_slice(), b"{SSHA}c"]);
        assert_eq!(history[1], b"19700101001642Z#1.3.6.1.4.1.1466.115.121.1.40#7#{SSHA}c");
        assert_eq!(appended(history, &[], 0, 0), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn what_is_no_value_of_a_history_has_no_hash() {
        for value in [b"".as_slice(), b"x", b"a#b#c"] {
            assert_eq!(hash_of(value), None);
        }
        assert_eq!(hash_of(b"a#b#3#x#y"), Some(b"x#y".as_slice()));
    }
}
