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
    std::str::from_utf8(octets).map(str::to_owned).map_err(|_| KerberosError::Malformed("a name that is not UTF-8"))
}
