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
    let version = octets.u32().ok().filter(|version| *version != 0).unwrap_or(short.into());
    let Some(encryption) = EncryptionType::numbered(number) else { return Ok(None) };
    let key = Key::new(encryption, key)?;
    Ok(Some(Entry { principal: Principal::from_parts(kind, parts, realm), version, key }))
}
