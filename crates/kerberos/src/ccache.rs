//! Files of tickets, as `kinit` writes them (`FILE:`), of version 4.

use bytes::Bytes;

use crate::{Credential, EncryptionType, KerberosError, Key, Principal, principal::MOST_PARTS};

/// Tickets read of one file at most.
const MOST_TICKETS: usize = 4_096;

/// The tickets of one person.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ccache {
    /// Whose they are.
    pub principal: Principal,
    /// The tickets whose keys are of a known encryption type.
    pub credentials: Vec<Credential>,
}

impl Ccache {
    /// Octets of a file that are worth reading.
    pub const LONGEST: usize = 16 << 20;

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`KerberosError::Malformed`].
    pub fn parse(file: &[u8]) -> Result<Self, KerberosError> {
        let mut octets = Octets { rest: file };
        if octets.u16()? != 0x0504 {
            return Err(KerberosError::Malformed("a file of tickets of another version than 4, or none"));
        }
        let header = octets.u16()?;
        octets.take(header.into())?;
        let principal = octets.principal()?;
        let mut credentials = Vec::new();
        for _ in 0..MOST_TICKETS {
            if octets.rest.is_empty() {
                break;
            }
            credentials.extend(octets.credential()?);
        }
        Ok(Self { principal, credentials })
    }
}

/// What is left of a file of Kerberos's.
pub(crate) struct Octets<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Octets<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], KerberosError> {
        const CUT: KerberosError = KerberosError::Malformed("a file that ends too early");
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CUT)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], KerberosError> {
        self.take(N).map(|octets| octets.try_into().unwrap_or([0; N]))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, KerberosError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, KerberosError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, KerberosError> {
        self.array().map(u32::from_be_bytes)
    }

    fn counted(&mut self) -> Result<&'a [u8], KerberosError> {
        let length = self.u32()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn text(&mut self) -> Result<String, KerberosError> {
        text(self.counted()?)
    }

    fn principal(&mut self) -> Result<Principal, KerberosError> {
        let (kind, count) = (self.u32()?, self.u32()?);
        if usize::try_from(count).is_ok_and(|count| count > MOST_PARTS) {
            return Err(KerberosError::Malformed("a name of too many parts"));
        }
        let realm = self.text()?;
        let parts = (0..count).map(|_| self.text()).collect::<Result<_, _>>()?;
        Ok(Principal::from_parts(kind.cast_signed(), parts, realm))
    }

    /// A ticket, unless it is no ticket, or of an encryption type that is not known here.
    fn credential(&mut self) -> Result<Option<Credential>, KerberosError> {
        let (client, service) = (self.principal()?, self.principal()?);
        let number = i32::from(self.u16()?);
        let key = self.counted()?;
        // When it was got, and from when on it is good.
        self.take(8)?;
        let until = self.u32()?;
        // Until when it can be renewed; whether it is encrypted by another session's key; flags.
        self.take(9)?;
        for _ in ["addresses", "authorization data"] {
            for _ in 0..self.u32()? {
                self.u16()?;
                self.counted()?;
            }
        }
        let ticket = self.counted()?;
        // A second ticket.
        self.counted()?;
        // Settings are kept as tickets of a realm that cannot be.
        if service.realm() == "X-CACHECONF:" {
            return Ok(None);
        }
        let Some(kind) = EncryptionType::numbered(number) else { return Ok(None) };
        Ok(Some(Credential {
            client,
            service,
            key: Key::new(kind, key)?,
            ticket: Bytes::copy_from_slice(ticket),
            until: until.into(),
        }))
    }
}

pub(crate) fn text(octets: &[u8]) -> Result<String, KerberosError> {
    std::str::from_utf8(octets)
        .map(str::to_owned)
        .map_err(|_| KerberosError::Malformed("a name that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(octets: &[u8]) -> Vec<u8> {
        [&u32::try_from(octets.len()).unwrap().to_be_bytes()[..], octets].concat()
    }

    fn name(parts: &[&str], realm: &str) -> Vec<u8> {
        let count = u32::try_from(parts.len()).unwrap().to_be_bytes();
        let head = [&1_u32.to_be_bytes()[..], &count, &counted(realm.as_bytes())].concat();
        parts.iter().fold(head, |all, part| [all, counted(part.as_bytes())].concat())
    }

    fn ticket(service: &[u8], number: u16, key: &[u8]) -> Vec<u8> {
        let times = [1_u32, 2, 1_900_000_000, 4].map(u32::to_be_bytes).concat();
        let address = [&1_u32.to_be_bytes()[..], &2_u16.to_be_bytes(), &counted(&[127, 0, 0, 1])].concat();
        let parts = [
            &name(&["ada"], "R")[..],
            service,
            &number.to_be_bytes(),
            &counted(key),
            &times,
            &[0, 0, 0, 0, 0],
            &address,
            &0_u32.to_be_bytes(),
            &counted(b"ticket"),
            &counted(b""),
        ];
        parts.concat()
    }

    #[test]
    fn caches_are_read_to_the_end_or_not_at_all() {
        let head = [&[5, 4, 0, 12, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0][..], &name(&["ada"], "R")].concat();
        let granting = name(&["krbtgt", "R"], "R");
        let setting = name(&["krb5_ccache_conf_data", "fast_avail"], "X-CACHECONF:");
        let tickets = [
            ticket(&granting, 18, &[1; 32]),
            ticket(&setting, 0, b""),
            ticket(&name(&["ldap", "a"], "R"), 23, &[1; 16]),
        ];
        let file = [&head[..], &tickets.concat()].concat();
        let cache = Ccache::parse(&file).unwrap();
        assert_eq!(cache.principal, Principal::parse("ada@R", None).unwrap());
        let [only] = cache.credentials.as_slice() else { panic!("{:?}", cache.credentials) };
        assert_eq!((only.service.clone(), only.until), (Principal::ticket_granting("R", "R"), 1_900_000_000));
        assert_eq!((&only.ticket[..], only.key.kind()), (&b"ticket"[..], EncryptionType::Aes256Sha1));

        let whole =
            [head.len(), head.len() + tickets[0].len(), head.len() + tickets[0].len() + tickets[1].len()];
        for length in 0..file.len() {
            assert_eq!(Ccache::parse(&file[..length]).is_ok(), whole.contains(&length), "{length}");
        }
        assert!(Ccache::parse(&[&[5, 3][..], &file[2..]].concat()).is_err());
    }
}
