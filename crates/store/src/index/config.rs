//! Which attributes are indexed, and how: what a configuration says, and what holds without one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

/// What an index tells of an attribute. The names are OpenLDAP's.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum IndexKind {
    /// Which entries have it: `(mail=*)`.
    Presence,
    /// Which entries have a value: `(uid=anna)`, and approximate matches, which are equality here.
    Equality,
    /// Which entries have a value at or after, or at or before another: `(uidNumber>=1000)`. Tells equality too.
    Ordering,
    /// Which entries have values with parts: `(cn=jo*)`, `(cn=*son)`, `(cn=*ohn*)`.
    Substring,
}

impl IndexKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Presence, Self::Equality, Self::Ordering, Self::Substring];

    /// The word a configuration uses: `pres`, `eq`, `ord` or `sub`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Presence => "pres",
            Self::Equality => "eq",
            Self::Ordering => "ord",
            Self::Substring => "sub",
        }
    }
}

impl fmt::Display for IndexKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Presence => "presence",
            Self::Equality => "equality",
            Self::Ordering => "ordering",
            Self::Substring => "substring",
        })
    }
}

/// A word that names no kind of index.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is no kind of index; expected `pres`, `eq`, `ord` or `sub`")]
pub struct UnknownIndexKind(pub String);

impl FromStr for IndexKind {
    type Err = UnknownIndexKind;

    /// Reads OpenLDAP's word. `approx` is `eq`; `subinitial`, `subany` and `subfinal` are `sub`.
    fn from_str(word: &str) -> Result<Self, UnknownIndexKind> {
        match word.to_ascii_lowercase().as_str() {
            "pres" => Ok(Self::Presence),
            "eq" | "approx" => Ok(Self::Equality),
            "ord" => Ok(Self::Ordering),
            "sub" | "subinitial" | "subany" | "subfinal" => Ok(Self::Substring),
            _ => Err(UnknownIndexKind(word.to_owned())),
        }
    }
}

/// Which attributes are indexed, and how.
///
/// A new store starts with [`IndexConfig::default`], and one that is opened without a configuration keeps what it has. What is added to it or taken from it is built or removed while the
/// store serves. `objectClass` is always indexed: the directory itself asks for it.
///
/// ```
/// use flext_ldap_store::{IndexConfig, IndexKind};
///
/// let config = IndexConfig::default()
///     .index("departmentNumber", [IndexKind::Equality])
///     .index("cn", "eq,sub".split(',').map(|word| word.parse()).collect::<Result<Vec<_>, _>>()?)
///     .index("memberUid", []);
/// assert!(config.kinds("departmentnumber").eq([IndexKind::Equality]));
/// assert_eq!(config.kinds("memberUid").count(), 0);
/// # Ok::<(), flext_ldap_store::UnknownIndexKind>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "give it to `StoreOptions::indexes`"]
pub struct IndexConfig {
    /// By name or OID as given, in lower case.
    attributes: BTreeMap<String, Asked>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Asked {
    kinds: BTreeSet<IndexKind>,
    /// Whether somebody asked for it, so that a schema that does not allow it is an error.
    explicit: bool,
}

/// What is indexed unless a configuration says otherwise. Presence is left out where nearly every entry has the
/// attribute; parts and order only where people and programs ask for them (DESIGN.md has the cost).
const DEFAULT: [(&str, &str); 29] = [
    ("entryUUID", "eq"),
    ("uid", "pres eq sub"),
    ("cn", "eq sub"),
    ("sn", "eq sub"),
    ("givenName", "eq sub"),
    ("displayName", "eq sub"),
    ("mail", "pres eq sub"),
    ("employeeNumber", "pres eq"),
    ("telephoneNumber", "eq"),
    ("ou", "pres eq"),
    ("o", "pres eq"),
    ("c", "pres eq"),
    ("dc", "pres eq"),
    ("member", "pres eq"),
    ("uniqueMember", "pres eq"),
    ("memberOf", "pres eq"),
    ("memberUid", "pres eq"),
    ("manager", "pres eq"),
    ("owner", "pres eq"),
    ("seeAlso", "pres eq"),
    ("uidNumber", "pres ord"),
    ("gidNumber", "pres eq"),
    ("krbPrincipalName", "pres eq"),
    ("sAMAccountName", "pres eq"),
    ("userPrincipalName", "pres eq"),
    ("entryCSN", "ord"),
    ("modifyTimestamp", "ord"),
    ("createTimestamp", "ord"),
    ("objectClass", "eq"),
];

impl Default for IndexConfig {
    /// Equality for what names and joins entries, presence where it is rare, parts of names and addresses of people,
    /// the order of time stamps and of `uidNumber`. What the schema does not know is passed over.
    fn default() -> Self {
        let kinds = |words: &str| words.split(' ').filter_map(|word| word.parse().ok()).collect();
        let attributes = DEFAULT
            .iter()
            .map(|(name, words)| (name.to_ascii_lowercase(), Asked { kinds: kinds(words), explicit: false }));
        Self { attributes: attributes.collect() }
    }
}

impl IndexConfig {
    /// Nothing but `objectClass`.
    pub fn none() -> Self {
        Self { attributes: BTreeMap::new() }.with("objectclass", [IndexKind::Equality], false)
    }

    /// These indexes, by OID.
    pub(super) fn of<'a>(indexes: impl Iterator<Item = (&'a str, IndexKind)>) -> Self {
        let mut config = Self::none();
        for (oid, kind) in indexes {
            let none = || Asked { kinds: BTreeSet::new(), explicit: false };
            config.attributes.entry(oid.to_owned()).or_insert_with(none).kinds.insert(kind);
        }
        config
    }

    /// Indexes `attribute`, by name or OID, in these ways and no others; with none, not at all. A store does not open
    /// if its schema does not know the attribute or has no rule for a way.
    pub fn index(self, attribute: &str, kinds: impl IntoIterator<Item = IndexKind>) -> Self {
        self.with(attribute, kinds, true)
    }

    fn with(mut self, attribute: &str, kinds: impl IntoIterator<Item = IndexKind>, explicit: bool) -> Self {
        let asked = Asked { kinds: kinds.into_iter().collect(), explicit };
        self.attributes.insert(attribute.to_ascii_lowercase(), asked);
        self
    }

    /// How `attribute` is indexed, by the name it was configured with.
    pub fn kinds(&self, attribute: &str) -> impl Iterator<Item = IndexKind> {
        let asked = self.attributes.get(&attribute.to_ascii_lowercase());
        asked.into_iter().flat_map(|asked| asked.kinds.iter().copied())
    }

    /// Each attribute, how, and whether somebody asked for it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &BTreeSet<IndexKind>, bool)> {
        self.attributes.iter().map(|(name, asked)| (name.as_str(), &asked.kinds, asked.explicit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openldaps_words_are_read() {
        for (word, kind) in [
            ("pres", IndexKind::Presence),
            ("eq", IndexKind::Equality),
            ("approx", IndexKind::Equality),
            ("ORD", IndexKind::Ordering),
            ("sub", IndexKind::Substring),
            ("subinitial", IndexKind::Substring),
        ] {
            assert_eq!(word.parse(), Ok(kind), "{word}");
        }
        let error = "equality".parse::<IndexKind>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`equality` is no kind of index; expected `pres`, `eq`, `ord` or `sub`"
        );
        for kind in IndexKind::ALL {
            assert_eq!(kind.word().parse(), Ok(kind));
        }
    }

    #[test]
    fn the_defaults_are_as_documented() {
        let text = include_str!("../../../../docs/server.md");
        let (_, text) = text.split_once("## Indexes that a directory has").unwrap();
        let (text, _) = text.split_once("\n## ").unwrap();
        let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let mut told = vec![("objectClass".to_owned(), "eq".to_owned())];
        for row in text.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = row.split('|').map(words).collect();
            told.extend(cells[2].iter().map(|name| (name.clone(), cells[1].join(" "))));
        }
        told.sort();
        let mut known = DEFAULT.map(|(name, words)| (name.to_owned(), words.to_owned()));
        known.sort();
        assert_eq!(told, known);
    }

    #[test]
    fn every_default_has_kinds() {
        let config = IndexConfig::default();
        for (name, words) in DEFAULT {
            assert_eq!(config.kinds(name).count(), words.split(' ').count(), "{name}");
        }
    }
}
