//! Entries in wire form: a name and attributes, borrowed from a buffer or kept.

use bytes::Bytes;

use crate::{
    attribute::{Attributes, AttributesRef},
    dn::{Dn, DnError},
};

/// An entry, borrowed. Checked when it was decoded, so reading it cannot fail.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct EntryRef<'a> {
    dn: &'a str,
    attributes: AttributesRef<'a>,
}

impl<'a> EntryRef<'a> {
    /// An entry of these parts.
    #[must_use]
    pub const fn new(dn: &'a str, attributes: AttributesRef<'a>) -> Self {
        Self { dn, attributes }
    }

    /// The name as the server spelt it.
    #[must_use]
    pub const fn dn_str(self) -> &'a str {
        self.dn
    }

    /// The name, parsed.
    ///
    /// # Errors
    ///
    /// When the server sent a name that is not well formed.
    pub fn dn(self) -> Result<Dn, DnError> {
        self.dn.parse()
    }

    /// The attributes.
    #[must_use]
    pub const fn attributes(self) -> AttributesRef<'a> {
        self.attributes
    }

    /// The first value of the attribute spelt `description`, if that value is UTF-8.
    #[must_use]
    pub fn text(self, description: &str) -> Option<&'a str> {
        self.attributes.text(description)
    }

    /// A copy that shares no buffer.
    #[must_use]
    pub fn to_entry(self) -> Entry {
        let attributes = self.attributes.as_bytes();
        let mut octets = Vec::with_capacity(self.dn.len() + attributes.len());
        octets.extend_from_slice(self.dn.as_bytes());
        octets.extend_from_slice(attributes);
        let mut dn = Bytes::from(octets);
        let attributes = dn.split_off(self.dn.len());
        Entry::from_checked(dn, Attributes::from_checked(attributes))
    }
}

/// An entry that is kept. It may share the buffer it was received in; [`detach`](Self::detach) ends that.
#[derive(Clone, Eq, PartialEq)]
pub struct Entry {
    dn: Bytes,
    attributes: Attributes,
}

impl Entry {
    /// An entry of these parts.
    #[must_use]
    pub fn new(dn: &Dn, attributes: Attributes) -> Self {
        Self { dn: Bytes::copy_from_slice(dn.as_str().as_bytes()), attributes }
    }

    /// An entry whose name is known to be UTF-8.
    pub(crate) const fn from_checked(dn: Bytes, attributes: Attributes) -> Self {
        Self { dn, attributes }
    }

    /// The entry, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> EntryRef<'_> {
        EntryRef::new(std::str::from_utf8(&self.dn).unwrap_or_default(), self.attributes.as_ref())
    }

    /// The name as the server spelt it.
    #[must_use]
    pub fn dn_str(&self) -> &str {
        self.as_ref().dn_str()
    }

    /// The name, parsed.
    ///
    /// # Errors
    ///
    /// When the server sent a name that is not well formed.
    pub fn dn(&self) -> Result<Dn, DnError> {
        self.as_ref().dn()
    }

    /// The attributes.
    #[must_use]
    pub fn attributes(&self) -> AttributesRef<'_> {
        self.attributes.as_ref()
    }

    /// The first value of the attribute spelt `description`, if that value is UTF-8.
    #[must_use]
    pub fn text(&self, description: &str) -> Option<&str> {
        self.as_ref().text(description)
    }

    /// A copy that shares no buffer, so that keeping it keeps nothing else alive.
    #[must_use]
    pub fn detach(&self) -> Self {
        self.as_ref().to_entry()
    }
}

impl std::fmt::Debug for EntryRef<'_> {
    /// Prints the name and the counts of values, never the values: they may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("dn", &self.dn).field("attributes", &self.attributes).finish()
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_ref().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detached_entry_is_equal_and_shares_nothing() {
        let mut builder = Attributes::builder();
        builder.push("cn", ["Ada Byrne"]);
        let attributes = builder.build();
        let name = "cn=Ada Byrne,dc=harbourlane,dc=example";
        let entry = EntryRef::new(name, attributes.as_ref()).to_entry();
        assert_eq!(entry.dn_str(), name);
        assert_eq!(entry.text("CN"), Some("Ada Byrne"));
        assert_eq!(entry.attributes(), attributes.as_ref());
        let detached = entry.detach();
        assert_eq!(detached, entry);
        assert_ne!(detached.dn_str().as_ptr(), entry.dn_str().as_ptr());
        assert_eq!(format!("{entry:?}"), format!("Entry {{ dn: {name:?}, attributes: {{\"cn\": 1}} }}"));
    }
}
