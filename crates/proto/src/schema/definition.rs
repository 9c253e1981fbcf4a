//! Attribute types and object classes (RFC 4512 §4.1.1, §4.1.2), with what they inherit filled in.

use std::fmt::{self, Write};

use super::{MatchingRule, Syntax};

/// An attribute type.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
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
    /// The OID of the syntax as defined, where it is not one this project knows; inherited.
    pub unknown_syntax: Option<Box<str>>,
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
#[derive(Clone, Debug, Default, Eq, PartialEq)]
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
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "closed in RFC 4512")]
pub enum ClassKind {
    /// Only to be inherited from.
    Abstract,
    /// What an entry is.
    #[default]
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

    /// The OID of the syntax, known or not; `None` where the definition has none.
    #[must_use]
    pub fn syntax_oid(&self) -> Option<&str> {
        match &self.unknown_syntax {
            Some(oid) => Some(oid),
            None => (self.syntax != Syntax::UNKNOWN).then(|| self.syntax.oid()),
        }
    }

    /// Whether both define the same, descriptions and extensions aside.
    pub(super) fn means_the_same(&self, other: &Self) -> bool {
        let Self {
            oid,
            names,
            description: _,
            obsolete,
            superior,
            equality,
            ordering,
            substrings,
            syntax,
            unknown_syntax,
            length,
            single_value,
            collective,
            no_user_modification,
            usage,
            extensions: _,
        } = self;
        *oid == other.oid
            && *names == other.names
            && *obsolete == other.obsolete
            && *superior == other.superior
            && *equality == other.equality
            && *ordering == other.ordering
            && *substrings == other.substrings
            && *syntax == other.syntax
            && *unknown_syntax == other.unknown_syntax
            && *length == other.length
            && *single_value == other.single_value
            && *collective == other.collective
            && *no_user_modification == other.no_user_modification
            && *usage == other.usage
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
    /// Prints the definition as RFC 4512 §4.1.2 spells it, with what it inherits spelt out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "( {}", self.oid)?;
        print_head(f, &self.names, self.description.as_deref(), self.obsolete)?;
        if let Some(superior) = &self.superior {
            write!(f, " SUP {superior}")?;
        }
        let rules = [("EQUALITY", self.equality), ("ORDERING", self.ordering), ("SUBSTR", self.substrings)];
        for (field, rule) in rules {
            if let Some(rule) = rule {
                write!(f, " {field} {}", rule.name())?;
            }
        }
        if let Some(syntax) = self.syntax_oid() {
            write!(f, " SYNTAX {syntax}")?;
            if let Some(length) = self.length {
                write!(f, "{{{length}}}")?;
            }
        }
        let flags = [
            ("SINGLE-VALUE", self.single_value),
            ("COLLECTIVE", self.collective),
            ("NO-USER-MODIFICATION", self.no_user_modification),
        ];
        for (field, set) in flags {
            if set {
                write!(f, " {field}")?;
            }
        }
        if self.usage != AttributeUsage::UserApplications {
            write!(f, " USAGE {}", self.usage)?;
        }
        print_extensions(f, &self.extensions)?;
        f.write_str(" )")
    }
}

impl fmt::Display for ObjectClass {
    /// Prints the definition as RFC 4512 §4.1.1 spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "( {}", self.oid)?;
        print_head(f, &self.names, self.description.as_deref(), self.obsolete)?;
        print_oids(f, "SUP", &self.superiors)?;
        write!(f, " {}", self.kind)?;
        print_oids(f, "MUST", &self.must)?;
        print_oids(f, "MAY", &self.may)?;
        print_extensions(f, &self.extensions)?;
        f.write_str(" )")
    }
}

impl fmt::Display for AttributeUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserApplications => "userApplications",
            Self::DirectoryOperation => "directoryOperation",
            Self::DistributedOperation => "distributedOperation",
            Self::DsaOperation => "dSAOperation",
        })
    }
}

impl fmt::Display for ClassKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Abstract => "ABSTRACT",
            Self::Structural => "STRUCTURAL",
            Self::Auxiliary => "AUXILIARY",
        })
    }
}

fn print_head(
    f: &mut fmt::Formatter<'_>,
    names: &[Box<str>],
    description: Option<&str>,
    obsolete: bool,
) -> fmt::Result {
    if !names.is_empty() {
        f.write_str(" NAME")?;
        print_quoted(f, names)?;
    }
    if let Some(description) = description {
        f.write_str(" DESC ")?;
        print_quotation(f, description)?;
    }
    if obsolete { f.write_str(" OBSOLETE") } else { Ok(()) }
}

fn print_extensions(f: &mut fmt::Formatter<'_>, extensions: &[(Box<str>, Vec<Box<str>>)]) -> fmt::Result {
    for (name, values) in extensions {
        write!(f, " {name}")?;
        print_quoted(f, values)?;
    }
    Ok(())
}

/// ` 'one'`, or ` ( 'one' 'two' )`.
fn print_quoted(f: &mut fmt::Formatter<'_>, texts: &[Box<str>]) -> fmt::Result {
    if let [text] = texts {
        f.write_str(" ")?;
        return print_quotation(f, text);
    }
    f.write_str(" (")?;
    for text in texts {
        f.write_str(" ")?;
        print_quotation(f, text)?;
    }
    f.write_str(" )")
}

/// RFC 4512 §4.1: `dstring`, in which a quotation mark and a backslash are escaped.
fn print_quotation(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("'")?;
    for c in text.chars() {
        match c {
            '\'' => f.write_str("\\27")?,
            '\\' => f.write_str("\\5C")?,
            c => f.write_char(c)?,
        }
    }
    f.write_str("'")
}

/// ` FIELD one`, or ` FIELD ( one $ two )`; nothing for none.
fn print_oids(f: &mut fmt::Formatter<'_>, field: &str, oids: &[Box<str>]) -> fmt::Result {
    match oids {
        [] => Ok(()),
        [oid] => write!(f, " {field} {oid}"),
        [first, rest @ ..] => {
            write!(f, " {field} ( {first}")?;
            rest.iter().try_for_each(|oid| write!(f, " $ {oid}"))?;
            f.write_str(" )")
        }
    }
}
