//! Sets of attributes that rules name, so that which rules are about an attribute is known by one look at its name.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    hash::{BuildHasherDefault, Hasher},
};

use flext_ldap_proto::schema::{AttributeType, Schema};

/// One word of a rule's `attributes`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Word {
    /// By OID.
    Type(String),
    /// A type that the schema does not know, in lower case.
    Unknown(String),
    /// All attributes of a class.
    Class(String),
    User,
    Operational,
    Entry,
}

/// All sets. Attributes that are in the same sets are of one class.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes {
    sets: Vec<Vec<Word>>,
    numbers: HashMap<Vec<Word>, usize>,
    /// The class of each type, by the name the schema prefers.
    classes: HashMap<Box<str>, u32, BuildHasherDefault<Fnv>>,
    /// The class of types that the schema does not know but rules name, in lower case.
    unknown: HashMap<Box<str>, u32>,
    /// By set, by class: whether the set has it.
    members: Vec<Vec<bool>>,
}

/// FNV-1a: every attribute of every entry is looked up, and the keys are a schema's, not a peer's.
#[derive(Clone, Copy, Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = (self.0 ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// What access is asked to: an entry, or attributes of one class.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Class(u32);

impl Class {
    pub(super) const ENTRY: Self = Self(0);
    /// Attributes that no rule names.
    const OTHER: Self = Self(1);
}

impl Attributes {
    /// The number of a set.
    pub(super) fn number(&mut self, mut words: Vec<Word>) -> usize {
        words.sort_unstable();
        words.dedup();
        let next = self.sets.len();
        let number = *self.numbers.entry(words.clone()).or_insert(next);
        if number == next {
            self.sets.push(words);
        }
        number
    }

    /// Sorts the attributes of a schema into classes, instead of those of another.
    pub(super) fn settle(&mut self, schema: &Schema) {
        self.classes.clear();
        self.unknown.clear();
        let mut by_type: HashMap<String, BTreeSet<usize>> = HashMap::new();
        let mut by_unknown: HashMap<String, BTreeSet<usize>> = HashMap::new();
        let (mut user, mut operational, mut entry) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (number, words) in self.sets.iter().enumerate() {
            for word in words {
                match word {
                    Word::Type(oid) => drop(by_type.entry(oid.clone()).or_default().insert(number)),
                    Word::Unknown(name) => {
                        // Another schema can know it.
                        let oid = schema.attribute_type(name).map(|kind| kind.oid.to_string());
                        let names = if oid.is_some() { &mut by_type } else { &mut by_unknown };
                        names.entry(oid.unwrap_or_else(|| name.clone())).or_default().insert(number);
                    }
                    Word::Class(class) => {
                        for oid in class_types(schema, class) {
                            by_type.entry(oid).or_default().insert(number);
                        }
                    }
                    Word::User => drop(user.insert(number)),
                    Word::Operational => drop(operational.insert(number)),
                    Word::Entry => drop(entry.insert(number)),
                }
            }
        }
        let mut classes: Vec<BTreeSet<usize>> = vec![entry, user.clone()];
        let mut numbers: HashMap<BTreeSet<usize>, u32> = HashMap::from([(user.clone(), Class::OTHER.0)]);
        let mut number = |sets: BTreeSet<usize>| {
            *numbers.entry(sets).or_insert_with_key(|sets| {
                classes.push(sets.clone());
                u32::try_from(classes.len() - 1).unwrap_or(Class::OTHER.0)
            })
        };
        if !self.sets.is_empty() {
            for kind in schema.attribute_types() {
                let mut sets = if kind.is_operational() { operational.clone() } else { user.clone() };
                for oid in line_of(schema, kind) {
                    sets.extend(by_type.get(oid).into_iter().flatten());
                }
                self.classes.insert(kind.name().into(), number(sets));
            }
        }
        for (name, mut sets) in by_unknown {
            sets.extend(&user);
            self.unknown.insert(name.into(), number(sets));
        }
        self.members = (0..self.sets.len())
            .map(|set| classes.iter().map(|sets| sets.contains(&set)).collect())
            .collect();
    }

    /// The class of an attribute, by the name the schema prefers.
    pub(super) fn class(&self, name: &str) -> Class {
        if self.sets.is_empty() {
            return Class::OTHER;
        }
        if let Some(class) = self.classes.get(name) {
            return Class(*class);
        }
        if self.unknown.is_empty() {
            return Class::OTHER;
        }
        self.unknown.get(name.to_ascii_lowercase().as_str()).map_or(Class::OTHER, |class| Class(*class))
    }

    /// Whether a set has what is of this class.
    pub(super) fn has(&self, set: usize, class: Class) -> bool {
        let classes = self.members.get(set).map(Vec::as_slice).unwrap_or_default();
        usize::try_from(class.0).ok().and_then(|class| classes.get(class)).copied().unwrap_or(false)
    }
}

/// A type and those it comes from, by OID.
fn line_of<'s>(schema: &'s Schema, kind: &'s AttributeType) -> Vec<&'s str> {
    // A schema's types do not inherit in circles; the bound is for those that would.
    const GENERATIONS: usize = 100;
    let mut line = Vec::new();
    let mut up = Some(kind);
    while let Some(one) = up.filter(|_| line.len() < GENERATIONS) {
        line.push(&*one.oid);
        up = one.superior.as_deref().and_then(|name| schema.attribute_type(name));
    }
    line
}

/// The attributes of a class and of those it inherits from, by OID.
fn class_types(schema: &Schema, class: &str) -> HashSet<String> {
    let mut seen = HashSet::new();
    let mut types = HashSet::new();
    let mut classes = vec![class.to_owned()];
    while let Some(name) = classes.pop() {
        let Some(class) = schema.object_class(&name) else { continue };
        if !seen.insert(class.oid.clone()) {
            continue;
        }
        classes.extend(class.superiors.iter().map(|name| name.to_string()));
        let names = class.must.iter().chain(&class.may);
        types.extend(names.filter_map(|name| schema.attribute_type(name)).map(|kind| kind.oid.to_string()));
    }
    types
}
