//! `ModifyDNRequest` (RFC 4511 §4.9).

use super::Spelt;
use crate::{
    ber::{DecodeError, Reader, Tag, Writer},
    dn::{Dn, Rdn},
};

const NEW_SUPERIOR: Tag = Tag::context(0);

/// Renames an entry, moves it with all below it, or both.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the request of RFC 4511")]
pub struct Rename {
    /// The entry.
    pub dn: Dn,
    /// Its name among its siblings from now on.
    pub new_rdn: Rdn,
    /// Whether values of the old name that are not in the new one are removed from the entry.
    pub delete_old_rdn: bool,
    /// The new parent; absent, the entry stays where it is.
    pub new_superior: Option<Dn>,
}

impl Rename {
    pub(super) fn decode(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let dn = Spelt::read(&mut reader, Tag::OCTET_STRING)?;
        let new_rdn = Spelt::read(&mut reader, Tag::OCTET_STRING)?;
        let delete_old_rdn = reader.boolean()?;
        let new_superior = match reader.peek() {
            Some(NEW_SUPERIOR) => Some(Spelt::read(&mut reader, NEW_SUPERIOR)?),
            _ => None,
        };
        reader.finish_extensible()?;
        Ok(Self {
            dn: dn.dn()?,
            new_rdn: new_rdn.rdn()?,
            delete_old_rdn,
            new_superior: new_superior.map(Spelt::dn).transpose()?,
        })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.octets(self.dn.as_str().as_bytes());
        writer.octets(self.new_rdn.as_str().as_bytes());
        writer.boolean(self.delete_old_rdn);
        if let Some(superior) = &self.new_superior {
            writer.primitive(NEW_SUPERIOR, superior.as_str().as_bytes());
        }
    }
}
