//! Rows of the index as `check` looks at them: strictly, and shown to people.

use std::fmt::Write as _;

use super::chunk::{CHUNK_BITS, Chunk};
use crate::{context::Context, row::Id};

/// Octets of a value that are shown.
const SHOWN: usize = 60;

/// A row's key as the key entries are found by, and the chunk.
pub(crate) fn split(row_key: &[u8]) -> Option<(&[u8], u32)> {
    let (key, chunk) = row_key.split_last_chunk()?;
    Some((key, u32::from_be_bytes(*chunk)))
}

/// The entries of a row; nothing unless it is exactly what is written for them.
pub(crate) fn entries(chunk: u32, row: &[u8]) -> Option<Vec<Id>> {
    if chunk >> (Id::BITS - CHUNK_BITS) != 0 {
        return None;
    }
    let base = chunk << CHUNK_BITS;
    let decoded = Chunk::decode(row);
    if decoded.encode().as_deref() != Some(row) {
        return None;
    }
    let ids: Vec<Id> = decoded.ids().map(|id| base | Id::from(id)).collect();
    let within = ids.last().is_some_and(|last| last >> CHUNK_BITS == chunk);
    (within && ids.is_sorted_by(|one, next| one < next)).then_some(ids)
}

/// The normalised value in a key of equality that starts with `prefix`; nothing where the key has its hash.
pub(crate) fn normal_of<'k>(key: &'k [u8], prefix: &[u8]) -> Option<&'k [u8]> {
    let (length, normal) = key.strip_prefix(prefix)?.split_first()?;
    (usize::from(*length) == normal.len()).then_some(normal)
}

/// What a key says, for people: attribute, kind, and the start of the value, as in a filter.
pub(crate) fn describe(context: &Context, key: &[u8]) -> String {
    let mut parts = key.splitn(2, |octet| *octet == 0);
    let oid = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let name = context.schema.attribute_type(&oid).map_or(oid.as_str(), |kind| kind.name());
    let rest = parts.next().unwrap_or_default();
    let (kind, value) = match rest.split_first() {
        Some((b'*', _)) => return format!("`{name}=*`"),
        // A length and the value, or a hash of a long one.
        Some((b'=', value)) => ('=', value.get(1..).unwrap_or_default()),
        Some((kind, value)) => (char::from(*kind), value),
        None => return format!("`{name}`"),
    };
    let mut shown = String::new();
    for octet in value.iter().take(SHOWN) {
        if (0x20..0x7f).contains(octet) && *octet != b'\\' {
            shown.push(char::from(*octet));
        } else {
            // Writing to a string does not fail.
            let _ = write!(shown, "\\{octet:02x}");
        }
    }
    if value.len() > SHOWN {
        shown.push('…');
    }
    format!("`{name}{kind}{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_what_is_written_or_nothing() {
        type Case<'a> = (&'a str, u32, &'a [u8], Option<&'a [Id]>);
        let table: &[Case<'_>] = &[
            ("one", 0, &[0, 1], Some(&[1])),
            ("two in the second chunk", 1, &[0, 1, 0x0f, 0xff], Some(&[4_097, 8_191])),
            ("none", 0, &[], None),
            ("half of one", 0, &[0], None),
            ("not in order", 0, &[0, 2, 0, 1], None),
            ("twice", 0, &[0, 2, 0, 2], None),
            ("beyond the chunk", 0, &[0x10, 0], None),
            ("no such chunk", 1 << 20, &[0, 1], None),
            ("a bitmap of none", 0, &[0; 512], None),
        ];
        for (name, chunk, row, expected) in table {
            assert_eq!(entries(*chunk, row).as_deref(), *expected, "{name}");
        }
        let mut dense = [0; 512];
        dense[..32].fill(0xff);
        assert_eq!(entries(2, &dense).map(|ids| ids.len()), Some(256));
    }
}
