//! Lookup by name or OID, without regard to ASCII case and without allocation.

/// Numbers of definitions by their names and OIDs.
#[derive(Clone, Debug, Default)]
pub(super) struct NameIndex {
    /// Keys in lower case, with the numbers.
    keys: Vec<(Box<[u8]>, u32)>,
    /// One more than the place of a key, at the place that its hash gives or in one of the next; 0 where none is. There are
    /// a power of two, at least twice as many as keys.
    slots: Vec<u32>,
}

/// A hash for keys that nobody hostile chooses: names a peer sends are looked up here, never put in. Letters of either case
/// are the same to it.
fn hash(name: &[u8]) -> usize {
    // An odd number whose bits look random: the golden ratio's.
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    const LOWER: u64 = 0x2020_2020_2020_2020;
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ (word | LOWER)).wrapping_mul(ODD);
    let mut hash = name.len() as u64;
    if let Some(last) = name.last_chunk() {
        for word in name.as_chunks::<8>().0 {
            hash = mix(hash, u64::from_le_bytes(*word));
        }
        hash = mix(hash, u64::from_le_bytes(*last));
    } else if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        hash = mix(hash, u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last)));
    } else {
        hash = mix(hash, name.iter().fold(0, |word, octet| word << 8 | u64::from(*octet)));
    }
    // Places are taken from the low bits, and multiplication mixes the high ones best.
    usize::try_from(hash >> 32).unwrap_or_default()
}

/// Whether a name is this key, which is in lower case: as [`slice::eq_ignore_ascii_case`], eight octets at a time.
fn is(key: &[u8], name: &[u8]) -> bool {
    if key.len() != name.len() {
        return false;
    }
    let same = |key: &[u8; 8], name: &[u8; 8]| u64::from_ne_bytes(*key) == lower(u64::from_ne_bytes(*name));
    match (key.last_chunk(), name.last_chunk()) {
        (Some(key_end), Some(name_end)) => {
            same(key_end, name_end)
                && key.as_chunks().0.iter().zip(name.as_chunks().0).all(|(key, name)| same(key, name))
        }
        _ => key.eq_ignore_ascii_case(name),
    }
}

/// Eight octets, letters of ASCII in lower case.
const fn lower(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    // Without its first bit an octet is below 128, so that no sum runs into the next one.
    let rest = word & (ONES * 0x7f);
    let from_a = rest + ONES * (0x80 - b'A' as u64);
    let after_z = rest + ONES * (0x7f - b'Z' as u64);
    let upper = (from_a ^ after_z) & !word & (ONES * 0x80);
    word | (upper >> 2)
}

impl NameIndex {
    /// Numbers definitions from 0, each with its keys in lower case. The first of equal keys counts.
    pub(super) fn new(definitions: impl Iterator<Item = impl Iterator<Item = String>>) -> Self {
        let numbered =
            (0_u32..).zip(definitions).flat_map(|(number, keys)| keys.map(move |key| (key, number)));
        let keys: Vec<_> =
            numbered.map(|(key, number)| (key.into_bytes().into_boxed_slice(), number)).collect();
        let mut index = Self { slots: vec![0; keys.len().saturating_mul(2).next_power_of_two()], keys };
        for (place, (key, _)) in (1_u32..).zip(&index.keys) {
            // What is free first is found first, so a second equal key is never found.
            let free = index.places(key).find(|slot| index.slots.get(*slot) == Some(&0));
            if let Some(slot) = free.and_then(|slot| index.slots.get_mut(slot)) {
                *slot = place;
            }
        }
        index
    }

    /// The number of the definition with this name or OID.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        let name = name.as_bytes();
        for slot in self.places(name) {
            let place = self.slots.get(slot)?.checked_sub(1)?;
            let (key, number) = self.keys.get(place as usize)?;
            if is(key, name) {
                return Some(*number);
            }
        }
        None
    }

    /// The places at which a key can be, in their order.
    fn places(&self, name: &[u8]) -> impl Iterator<Item = usize> + use<> {
        let (first, count) = (hash(name), self.slots.len());
        (0..count).map(move |next| first.wrapping_add(next) & count.wrapping_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_lowered_and_nothing_else() {
        for octet in 0..=u8::MAX {
            let others = u64::from_ne_bytes([b'A', octet, 0, 0xff, octet, b'Z', b'[', b'@']);
            assert_eq!(lower(others).to_ne_bytes(), others.to_ne_bytes().map(|one| one.to_ascii_lowercase()));
        }
        let key = b"structuralobjectclass";
        for length in 0..=key.len() {
            let key = &key[..length];
            assert!(is(key, &key.to_ascii_uppercase()));
            for place in 0..length {
                let mut other = key.to_vec();
                other[place] ^= 0x60;
                assert!(!is(key, &other), "{length}, {place}");
            }
        }
    }

    #[test]
    fn names_are_found_whatever_their_case() {
        let long = "x".repeat(300);
        let names = ["c", "cn", "uid", "mail", "2.5.4.3", "sn\u{e9}", "objectclass", "creatorsname", &long];
        let numbered = names.map(|name| std::iter::once(name.to_owned()));
        let index = NameIndex::new(numbered.into_iter());
        for (number, name) in (0..).zip(names) {
            assert_eq!(index.find(name), Some(number), "{name}");
            assert_eq!(index.find(&name.to_ascii_uppercase()), Some(number), "{name}");
            assert_eq!(index.find(&format!("{name}x")), None, "{name}");
        }
        assert_eq!(index.find(""), None);
        assert_eq!(NameIndex::default().find("cn"), None);
        let twice = [["cn", "commonname"], ["name", "cn"]].map(|keys| keys.into_iter().map(str::to_owned));
        let index = NameIndex::new(twice.into_iter());
        assert_eq!(["cn", "CommonName", "name"].map(|name| index.find(name)), [Some(0), Some(0), Some(1)]);
    }
}
