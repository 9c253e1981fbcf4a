//! Attribute types and object classes (RFC 4512 §4.1.1, §4.1.2), with what they inherit filled in.

use std::fmt;

use super::{MatchingRule, Syntax};

/// An attribute type.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AttributeType {
    /// The dotted-decimal identifier (some servers use a text with `-oid` at the end).
    pub oid: Box<str>,
    /// The short names, the preferred one first.
    pub names: Vec<Box<str>>,
    /// For people.
    pub description: Option<Box<str>>,
    /// Whether it should not be used any more.
    pub obsolete: bool,
    /// The direct supertype, by its preferred name.
    pub superior: Option<Box<str>>,
    /// How values are compared for equality; inherited.
    pub equality: Option<MatchingRule>,
    /// How values are ordered; inherited.
    pub ordering: Option<MatchingRule>,
    /// How parts of values are compared; inherited.
    pub substrings: Option<MatchingRule>,
    /// The syntax; inherited.
    pub syntax: Syntax,
    /// The suggested upper bound on the length of values.
    pub length: Option<u32>,
    /// At most one value.
    pub single_value: bool,
    /// Options are subtypes collected under it (RFC 3671).
    pub collective: bool,
    /// Only the directory sets it.
    pub no_user_modification: bool,
    /// Who it is for.
    pub usage: AttributeUsage,
    /// `X-…` extensions as given.
    pub extensions: Vec<(Box<str>, Vec<Box<str>>)>,
}

/// Who an attribute is for (RFC 4512 §4.1.2).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "closed in RFC 4512")]
pub enum AttributeUsage {
    /// Users.
    #[default]
    UserApplications,
    /// The directory as a whole.
    DirectoryOperation,
    /// All servers that share the data.
    DistributedOperation,
    /// One server.
    DsaOperation,
}

/// An object class.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ObjectClass {
    /// The dotted-decimal identifier.
    pub oid: Box<str>,
    /// The short names, the preferred one first.
    pub names: Vec<Box<str>>,
    /// For people.
    pub description: Option<Box<str>>,
    /// Whether it should not be used any more.
    pub obsolete: bool,
    /// The direct superclasses, by preferred name.
    pub superiors: Vec<Box<str>>,
    /// Its kind.
    pub kind: ClassKind,
    /// Attributes an entry must have; what superclasses ask is not repeated.
    pub must: Vec<Box<str>>,
    /// Attributes an entry may have; what superclasses allow is not repeated.
    pub may: Vec<Box<str>>,
    /// `X-…` extensions as given.
    pub extensions: Vec<(Box<str>, Vec<Box<str>>)>,
}

/// The kind of an object class (RFC 4512 §2.4).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "closed in RFC 4512")]
pub enum ClassKind {
    /// Only to be inherited from.
    Abstract,
    /// What an entry is.
    Structural,
    /// What an entry has besides.
    Auxiliary,
}

impl AttributeType {
    /// The preferred name, or the identifier if there is none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.names.first().unwrap_or(&self.oid)
    }

    /// Whether it is operational: returned only when asked for (RFC 4512 §3.4).
    #[must_use]
    pub fn is_operational(&self) -> bool {
        self.usage != AttributeUsage::UserApplications
    }
}

impl ObjectClass {
    /// The preferred name, or the identifier if there is none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.names.first().unwrap_or(&self.oid)
    }
}

impl fmt::Display for AttributeType {
    /// Prints the definition as RFC 4512 §4.1.2 spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}

impl fmt::Display for ObjectClass {
    /// Prints the definition as RFC 4512 §4.1.1 spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}
