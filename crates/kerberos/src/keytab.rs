//! Files of keys, as `ktutil` and `kadmin` write them: keytabs of version 2.

use crate::{
    EncryptionType, KerberosError, Key, Principal,
    ccache::{Octets, text},
    principal::MOST_PARTS,
};

/// The keys of some principals.
#[derive(Clone, Debug)]
pub struct Keytab {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    principal: Principal,
    version: u32,
    key: Key,
}

impl Keytab {
    /// Octets of a file that are worth reading.
    pub const LONGEST: usize = 16 << 20;

    /// Reads a file. Keys of other encryption types than those known here are passed over.
    ///
    /// # Errors
    ///
    /// [`KerberosError::Malformed`].
    pub fn parse(file: &[u8]) -> Result<Self, KerberosError> {
        let mut octets = Octets { rest: file };
        if octets.u16()? != 0x0502 {
            return Err(KerberosError::Malformed("a keytab of another version than 2, or none"));
        }
        let mut entries = Vec::new();
        while !octets.rest.is_empty() {
            let length = octets.u32()?.cast_signed();
            let octets = octets.take(usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX))?;
            // What is negative is the place of an entry that was removed.
            if length > 0 {
                entries.extend(entry(&mut Octets { rest: octets })?);
            }
        }
        Ok(Self { entries })
    }

    /// Whose key is the first.
    #[must_use]
    pub fn first(&self) -> Option<&Principal> {
        self.entries.first().map(|entry| &entry.principal)
    }

    /// The keys of a principal, those of the newest version, the best first.
    #[must_use]
    pub fn keys(&self, of: &Principal) -> Vec<Key> {
        let its = || self.entries.iter().filter(|entry| entry.principal == *of);
        let newest = its().map(|entry| entry.version).max();
        let key = |kind| its().find(|entry| Some(entry.version) == newest && entry.key.kind() == kind);
        EncryptionType::ALL.into_iter().filter_map(key).map(|entry| entry.key.clone()).collect()
    }
}

fn entry(octets: &mut Octets<'_>) -> Result<Option<Entry>, KerberosError> {
    let count = usize::from(octets.u16()?);
    if count > MOST_PARTS {
        return Err(KerberosError::Malformed("a name of too many parts"));
    }
    let mut name = || {
        let length = octets.u16()?;
        text(octets.take(length.into())?)
    };
    let realm = name()?;
    let parts = (0..count).map(|_| name()).collect::<Result<_, _>>()?;
    let kind = octets.u32()?.cast_signed();
    // When it was made.
    octets.u32()?;
    let short = octets.u8()?;
    let number = i32::from(octets.u16()?);
    let length = octets.u16()?;
    let key = octets.take(length.into())?;
    // A version above 255 follows in full.
    let version = octets.u32().ok().filter(|version| *version != 0).unwrap_or_else(|| short.into());
    let Some(encryption) = EncryptionType::numbered(number) else { return Ok(None) };
    let key = Key::new(encryption, key)?;
    Ok(Some(Entry { principal: Principal::from_parts(kind, parts, realm), version, key }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(octets: &[u8]) -> Vec<u8> {
        [&u16::try_from(octets.len()).unwrap().to_be_bytes()[..], octets].concat()
    }

    fn entry(user: &str, version: u32, number: u16, key: &[u8]) -> Vec<u8> {
        let short = u8::try_from(version & 0xff).unwrap();
        let parts = [
            &[0, 1][..],
            &counted(b"R"),
            &counted(user.as_bytes()),
            &[0, 0, 0, 1, 0, 0, 0, 0, short],
            &number.to_be_bytes(),
            &counted(key),
            &version.to_be_bytes(),
        ];
        let entry = parts.concat();
        [&u32::try_from(entry.len()).unwrap().to_be_bytes()[..], &entry].concat()
    }

    #[test]
    fn the_newest_keys_are_used_and_removed_ones_are_not() {
        let removed = [&(-4_i32).to_be_bytes()[..], b"gone"].concat();
        let file = [
            vec![5, 2],
            entry("ada", 1, 18, &[1; 32]),
            removed,
            entry("ada", 300, 17, &[2; 16]),
            entry("ada", 300, 18, &[3; 32]),
            entry("ada", 300, 23, &[4; 16]),
            entry("ben", 2, 23, &[5; 16]),
        ];
        let file = file.concat();
        let keytab = Keytab::parse(&file).unwrap();
        let who = |name: &str| Principal::parse(name, Some("R")).unwrap();
        assert_eq!(keytab.first(), Some(&who("ada")));
        let key = |kind, octet: u8, length: usize| Key::new(kind, &vec![octet; length]).unwrap();
        let want = [key(EncryptionType::Aes256Sha1, 3, 32), key(EncryptionType::Aes128Sha1, 2, 16)];
        assert_eq!(keytab.keys(&who("ada")), want);
        assert!(keytab.keys(&who("ben")).is_empty() && keytab.keys(&who("cai")).is_empty());
        for length in [0, 1, 3, 10, file.len() - 1] {
            assert!(Keytab::parse(&file[..length]).is_err(), "{length}");
        }
        assert!(Keytab::parse(&[5, 1]).is_err());
    }
}
