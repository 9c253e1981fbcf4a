//! Rights as a set, and the words for them.

use flext_ldap_directory::{AttributeRight, EntryRight};

/// A set of rights to an entry or an attribute.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Grant(u16);

impl Grant {
    pub(super) const NONE: Self = Self(0);
    const AUTHENTICATE: Self = Self(1);
    const DISCLOSE: Self = Self(1 << 1);
    const COMPARE: Self = Self(1 << 2);
    const SEARCH: Self = Self(1 << 3);
    const READ: Self = Self(1 << 4);
    const ADD_VALUES: Self = Self(1 << 5);
    const DELETE_VALUES: Self = Self(1 << 6);
    const OWN_NAME: Self = Self(1 << 7);
    const ADD: Self = Self(1 << 8);
    const DELETE: Self = Self(1 << 9);
    const RENAME: Self = Self(1 << 10);
    const PROXY: Self = Self(1 << 11);
    const RELAX: Self = Self(1 << 12);
    const MANAGE: Self = Self(u16::MAX);

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn add(&mut self, other: Self) {
        *self = self.and(other);
    }

    pub(super) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) const fn of_entry(right: EntryRight) -> Self {
        match right {
            EntryRight::Disclose => Self::DISCLOSE,
            EntryRight::Add => Self::ADD,
            EntryRight::Delete => Self::DELETE,
            EntryRight::Rename => Self::RENAME,
            EntryRight::Proxy => Self::PROXY,
            EntryRight::Manage => Self::RELAX,
        }
    }

    pub(super) const fn of_attribute(right: AttributeRight) -> Self {
        match right {
            AttributeRight::Authenticate => Self::AUTHENTICATE,
            AttributeRight::Search => Self::SEARCH,
            AttributeRight::Read => Self::READ,
            AttributeRight::Compare => Self::COMPARE,
            AttributeRight::Write => Self::ADD_VALUES.and(Self::DELETE_VALUES),
            AttributeRight::AddValues => Self::ADD_VALUES,
            AttributeRight::DeleteValues => Self::DELETE_VALUES,
            AttributeRight::WriteOwnName => Self::OWN_NAME,
        }
    }
}

/// The words for rights, and what each stands for. The first ones are levels: each includes those before it.
pub(super) const WORDS: [(&str, Grant); 15] = {
    const AUTH: Grant = Grant::AUTHENTICATE;
    const DISCLOSE: Grant = AUTH.and(Grant::DISCLOSE);
    const COMPARE: Grant = DISCLOSE.and(Grant::COMPARE);
    const SEARCH: Grant = COMPARE.and(Grant::SEARCH);
    const READ: Grant = SEARCH.and(Grant::READ);
    const WRITE: Grant = READ.and(Grant::ADD_VALUES).and(Grant::DELETE_VALUES).and(Grant::OWN_NAME);
    [
        ("none", Grant::NONE),
        ("auth", AUTH),
        ("disclose", DISCLOSE),
        ("compare", COMPARE),
        ("search", SEARCH),
        ("read", READ),
        ("write", WRITE),
        ("manage", Grant::MANAGE),
        ("add", Grant::ADD),
        ("delete", Grant::DELETE),
        ("rename", Grant::RENAME),
        ("proxy", Grant::PROXY),
        ("add-values", Grant::ADD_VALUES),
        ("delete-values", Grant::DELETE_VALUES),
        ("selfwrite", Grant::OWN_NAME),
    ]
};

/// Rights to an entry, by the names explanations give them.
pub(super) const ENTRY_RIGHTS: [(&str, EntryRight); 6] = [
    ("disclose", EntryRight::Disclose),
    ("add", EntryRight::Add),
    ("delete", EntryRight::Delete),
    ("rename", EntryRight::Rename),
    ("proxy", EntryRight::Proxy),
    ("relax", EntryRight::Manage),
];

/// Rights to an attribute, by the names explanations give them.
pub(super) const ATTRIBUTE_RIGHTS: [(&str, AttributeRight); 7] = [
    ("auth", AttributeRight::Authenticate),
    ("compare", AttributeRight::Compare),
    ("search", AttributeRight::Search),
    ("read", AttributeRight::Read),
    ("add-values", AttributeRight::AddValues),
    ("delete-values", AttributeRight::DeleteValues),
    ("selfwrite", AttributeRight::WriteOwnName),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_include_those_before_them() {
        let levels: Vec<_> = WORDS.iter().take(8).collect();
        for (weaker, stronger) in levels.iter().zip(levels.iter().skip(1)) {
            assert!(stronger.1.contains(weaker.1), "{} {}", stronger.0, weaker.0);
            assert!(!weaker.1.contains(stronger.1), "{} {}", weaker.0, stronger.0);
        }
    }

    /// Changing values never makes, takes away or renames an entry: `self: write` would be a way to become another.
    #[test]
    fn write_is_about_values_only() {
        let (_, write) = WORDS[6];
        for (name, right) in ENTRY_RIGHTS.iter().skip(1) {
            assert!(!write.contains(Grant::of_entry(*right)), "{name}");
        }
        for (name, right) in ATTRIBUTE_RIGHTS {
            assert!(write.contains(Grant::of_attribute(right)), "{name}");
        }
        assert!(write.contains(Grant::of_attribute(AttributeRight::Write)));
        assert!(!Grant::ADD_VALUES.contains(Grant::of_attribute(AttributeRight::Write)));
    }
}
