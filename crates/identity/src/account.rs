//! Whose account it is: its name, and what it is remembered by.

use std::{fmt, time::Duration};

use flext_ldap_directory::Identity;
use flext_ldap_proto::{
    dn::Dn,
    entry::{Entry, EntryRef},
};

use crate::{Groups, active_directory, name::NameKey};

/// Who has signed in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignedIn {
    /// Whose account it is.
    pub account: Account,
    /// Who the directory takes them for: to ask it on their behalf.
    pub identity: Identity,
    /// The groups they are in, those of groups among them.
    pub groups: Groups,
    /// What will be wrong before long.
    pub warnings: Warnings,
}

/// An entry that somebody signs in with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Account {
    /// Its name, as the directory spells it.
    pub dn: Dn,
    /// What to remember it by.
    pub id: AccountId,
    /// The attributes that were asked for; `None` where the directory did not let the program see the entry.
    pub entry: Option<Entry>,
}

/// What to remember an account by: the key of whatever a program keeps about somebody.
///
/// `entryUUID:…`, `objectGUID:…` or `objectSid:…` where the entry shows one, which stay when it is renamed; otherwise
/// `dn:…`, the name in the form in which equal names are equal. However a name was typed, the same account has the same
/// id.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AccountId(Box<str>);

/// What will be wrong before long. Nothing, mostly.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Warnings {
    /// The password expires in so long.
    pub expires_in: Option<Duration>,
    /// The password has expired, and is good for so many more binds.
    pub grace_left: Option<u32>,
}

/// Attributes that an id is made of.
pub(crate) const ID_ATTRIBUTES: [&str; 3] = ["entryUUID", "objectGUID", "objectSid"];

impl Account {
    pub(crate) fn new(dn: Dn, entry: Option<Entry>) -> Self {
        let id = AccountId::of(&dn, entry.as_ref().map(Entry::as_ref));
        Self { dn, id, entry }
    }

    /// The first value of an attribute that was asked for, if it is there and is text.
    #[must_use]
    pub fn text(&self, attribute: &str) -> Option<&str> {
        self.entry.as_ref()?.text(attribute)
    }
}

impl AccountId {
    fn of(dn: &Dn, entry: Option<EntryRef<'_>>) -> Self {
        let from_entry = |entry: EntryRef<'_>| {
            let octets = |name| entry.attributes().get(name).and_then(|attribute| attribute.first());
            let [uuid, guid, sid] = ID_ATTRIBUTES;
            let uuid = || Some(format!("{uuid}:{}", uuid_text(octets(uuid)?)?));
            let guid = || Some(format!("{guid}:{}", active_directory::guid(octets(guid)?)?));
            let sid = || Some(format!("{sid}:{}", active_directory::sid(octets(sid)?)?));
            uuid().or_else(guid).or_else(sid)
        };
        let id = entry.and_then(from_entry).unwrap_or_else(|| format!("dn:{}", NameKey::of(dn)));
        Self(id.into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 4530: a UUID in lower case. `None` for what is none.
fn uuid_text(octets: &[u8]) -> Option<String> {
    let fits = |(at, octet): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *octet == b'-',
        _ => octet.is_ascii_hexdigit(),
    };
    let is_uuid = octets.len() == 36 && octets.iter().enumerate().all(fits);
    is_uuid.then(|| String::from_utf8_lossy(octets).to_ascii_lowercase())
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use flext_ldap_proto::attribute::Attributes;

    use super::*;

    #[test]
    fn what_an_account_is_remembered_by() {
        let guid =
            [0x86, 0xf1, 0xc9, 0xd7, 0xc5, 0xdb, 0xa9, 0x4d, 0xb0, 0x73, 0xd4, 0x43, 0x2a, 0x89, 0xca, 0x43];
        let sid = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
        let uuid = b"5D1C2F70-0B2A-4E1C-9B7B-6E0A1C2D3E4F";
        let all: [(&str, &[u8]); 3] = [("objectSid", &sid), ("objectGUID", &guid), ("entryUUID", uuid)];
        let wants = [
            "objectSid:S-1-5-18",
            "objectGUID:d7c9f186-dbc5-4da9-b073-d4432a89ca43",
            "entryUUID:5d1c2f70-0b2a-4e1c-9b7b-6e0a1c2d3e4f",
        ];
        let dn: Dn = "UID=Ada,OU=People,dc=harbourlane,dc=example".parse().unwrap();
        for (number, want) in wants.iter().enumerate() {
            let mut attributes = Attributes::builder();
            for (name, value) in &all[..=number] {
                attributes.push(name, [value]);
            }
            let account = Account::new(dn.clone(), Some(Entry::new(&dn, attributes.build())));
            assert_eq!(account.id.as_str(), *want);
        }
        // What is malformed is passed over.
        let mut attributes = Attributes::builder();
        attributes.push("entryUUID", ["not-a-uuid"]);
        attributes.push("objectGUID", ["short"]);
        let odd = Account::new(dn.clone(), Some(Entry::new(&dn, attributes.build())));
        let other: Dn = "uid=ada , ou=people,dc=HARBOURLANE,dc=example".parse().unwrap();
        let unseen = Account::new(other, None);
        assert_eq!(odd.id, unseen.id);
        assert!(unseen.id.as_str().starts_with("dn:0.9.2342.19200300.100.1.1=ada,"), "{}", unseen.id);
    }
}
