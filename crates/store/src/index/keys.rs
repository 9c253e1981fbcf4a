//! The keys under which one entry is found.

/// Keys, one after another in one buffer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Keys {
    octets: Vec<u8>,
    /// Where each key ends.
    ends: Vec<usize>,
}

impl Keys {
    pub(crate) fn push(&mut self, key: &[u8]) {
        self.octets.extend_from_slice(key);
        self.ends.push(self.octets.len());
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let key = self.octets.get(start..*end).unwrap_or_default();
            start = *end;
            key
        })
    }
}

impl<K: AsRef<[u8]>> Extend<K> for Keys {
    fn extend<I: IntoIterator<Item = K>>(&mut self, keys: I) {
        keys.into_iter().for_each(|key| self.push(key.as_ref()));
    }
}
