//! The few forms of ASN.1 that Kerberos has and LDAP has not: everything in it is tagged explicitly.

use bytes::Bytes;
use flext_ldap_proto::ber::{DecodeError, Reader, Tag, Writer};

use crate::{KerberosError, crypto::EncryptionType, principal::MOST_PARTS, time};

const BIT_STRING: Tag = Tag(0x03);
pub(crate) const OBJECT_IDENTIFIER: Tag = Tag(0x06);
const GENERALIZED_TIME: Tag = Tag(0x18);
const GENERAL_STRING: Tag = Tag(0x1b);

/// What reads, of fields with numbers.
pub(crate) trait ReadFields<'a>: Sized {
    /// The field of this number, which must be next.
    fn field(&mut self, number: u8) -> Result<Self, DecodeError>;

    /// The field of this number, if it is next.
    fn optional(&mut self, number: u8) -> Result<Option<Self>, DecodeError>;

    /// A number of 32 bits that counts as unsigned: some write it as if it were negative.
    fn unsigned_32(&mut self) -> Result<u32, KerberosError>;

    fn integer_32(&mut self) -> Result<i32, KerberosError>;

    fn string(&mut self) -> Result<String, KerberosError>;

    fn time(&mut self) -> Result<u64, KerberosError>;

    /// The kind and the parts of a name.
    fn name(&mut self) -> Result<(i32, Vec<String>), KerberosError>;

    /// What is encrypted: the number of its encryption type, and the cipher.
    fn encrypted(&mut self) -> Result<(i32, Bytes), KerberosError>;
}

impl<'a> ReadFields<'a> for Reader<'a> {
    fn field(&mut self, number: u8) -> Result<Self, DecodeError> {
        self.constructed(Tag::context_constructed(number))
    }

    fn optional(&mut self, number: u8) -> Result<Option<Self>, DecodeError> {
        match self.peek() == Some(Tag::context_constructed(number)) {
            true => self.field(number).map(Some),
            false => Ok(None),
        }
    }

    fn unsigned_32(&mut self) -> Result<u32, KerberosError> {
        let value = self.integer()?;
        let wrapped = u32::try_from(value).or_else(|_| i32::try_from(value).map(i32::cast_unsigned));
        wrapped.map_err(|_| KerberosError::Malformed("a number of more than 32 bits"))
    }

    fn integer_32(&mut self) -> Result<i32, KerberosError> {
        i32::try_from(self.integer()?).map_err(|_| KerberosError::Malformed("a number of more than 32 bits"))
    }

    fn string(&mut self) -> Result<String, KerberosError> {
        Ok(self.text_tagged(GENERAL_STRING)?.to_owned())
    }

    fn time(&mut self) -> Result<u64, KerberosError> {
        time::read(self.text_tagged(GENERALIZED_TIME)?)
    }

    fn name(&mut self) -> Result<(i32, Vec<String>), KerberosError> {
        let mut name = self.sequence()?;
        let kind = name.field(0)?.integer_32()?;
        let mut list = name.field(1)?.sequence()?;
        let mut parts = Vec::new();
        while !list.is_empty() {
            if parts.len() == MOST_PARTS {
                return Err(KerberosError::Malformed("a name of too many parts"));
            }
            parts.push(list.string()?);
        }
        Ok((kind, parts))
    }

    fn encrypted(&mut self) -> Result<(i32, Bytes), KerberosError> {
        let mut data = self.sequence()?;
        let kind = data.field(0)?.integer_32()?;
        // The version of the key.
        data.optional(1)?;
        Ok((kind, data.field(2)?.octets()?))
    }
}

/// What writes fields with numbers.
pub(crate) trait WriteFields {
    fn field(&mut self, number: u8, body: impl FnOnce(&mut Self));
    fn string(&mut self, text: &str);
    fn time(&mut self, seconds: u64);
    /// A set of 32 flags, the first of which is the highest bit.
    fn flags(&mut self, flags: u32);
    fn name(&mut self, kind: i32, parts: &[String]);
    fn encrypted(&mut self, kind: EncryptionType, cipher: &[u8]);
}

impl WriteFields for Writer {
    fn field(&mut self, number: u8, body: impl FnOnce(&mut Self)) {
        self.constructed(Tag::context_constructed(number), body);
    }

    fn string(&mut self, text: &str) {
        self.primitive(GENERAL_STRING, text.as_bytes());
    }

    fn time(&mut self, seconds: u64) {
        self.primitive(GENERALIZED_TIME, time::write(seconds).as_bytes());
    }

    fn flags(&mut self, flags: u32) {
        let [a, b, c, d] = flags.to_be_bytes();
        self.primitive(BIT_STRING, &[0, a, b, c, d]);
    }

    fn name(&mut self, kind: i32, parts: &[String]) {
        self.sequence(|name| {
            name.field(0, |field| field.integer(kind.into()));
            name.field(1, |field| field.sequence(|list| parts.iter().for_each(|part| list.string(part))));
        });
    }

    fn encrypted(&mut self, kind: EncryptionType, cipher: &[u8]) {
        self.sequence(|data| {
            data.field(0, |field| field.integer(kind.number().into()));
            data.field(2, |field| field.octets(cipher));
        });
    }
}
