//! What can be wrong with an entry, and the search for it (RFC 4512 §2).

use std::{borrow::Cow, collections::HashSet};

use super::{AttributeType, ClassKind, Schema, Syntax, names};
use crate::{attribute::AttributeRef, dn::Dn, result::ResultCode};

/// One thing that is wrong with an entry.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// An object class the schema does not have.
    #[error("object class `{0}` is not defined")]
    UnknownClass(String),
    /// No structural object class.
    #[error("no structural object class")]
    NoStructuralClass,
    /// More than one structural chain.
    #[error("structural object classes `{0}` and `{1}` do not inherit from each other")]
    TwoStructuralClasses(String, String),
    /// A required attribute is missing.
    #[error("object class `{class}` requires attribute `{attribute}`")]
    MissingAttribute {
        /// The class that requires it.
        class: String,
        /// The attribute.
        attribute: String,
    },
    /// An attribute no class of the entry allows.
    #[error("attribute `{0}` is not allowed by the entry's object classes")]
    AttributeNotAllowed(String),
    /// An attribute the schema does not have.
    #[error("attribute type `{0}` is not defined")]
    UnknownAttribute(String),
    /// An attribute that only the directory sets.
    #[error("attribute `{0}` is set by the directory only")]
    NoUserModification(String),
    /// More than one value of a single-valued attribute.
    #[error("attribute `{0}` takes one value only")]
    TooManyValues(String),
    /// A value that does not fit its syntax.
    #[error("value {index} of `{attribute}` is not a valid {syntax}")]
    InvalidSyntax {
        /// The attribute.
        attribute: String,
        /// Which value, from 1.
        index: usize,
        /// The description of the syntax.
        syntax: &'static str,
    },
    /// The same value twice.
    #[error("value {index} of `{attribute}` is there twice")]
    DuplicateValue {
        /// The attribute.
        attribute: String,
        /// Which value, from 1.
        index: usize,
    },
    /// A value of the name that is not among the attributes.
    #[error("the name has `{0}`, the entry does not")]
    NameValueMissing(String),
}

impl Violation {
    /// The result code a server answers with.
    #[must_use]
    pub fn result_code(&self) -> ResultCode {
        match self {
            Self::UnknownClass(_)
            | Self::NoStructuralClass
            | Self::TwoStructuralClasses(..)
            | Self::MissingAttribute { .. }
            | Self::AttributeNotAllowed(_) => ResultCode::OBJECT_CLASS_VIOLATION,
            Self::UnknownAttribute(_) => ResultCode::UNDEFINED_ATTRIBUTE_TYPE,
            Self::NoUserModification(_) | Self::TooManyValues(_) => ResultCode::CONSTRAINT_VIOLATION,
            Self::InvalidSyntax { .. } => ResultCode::INVALID_ATTRIBUTE_SYNTAX,
            Self::DuplicateValue { .. } => ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
            Self::NameValueMissing(_) => ResultCode::NAMING_VIOLATION,
        }
    }
}

/// See [`Schema::violations`].
pub(super) fn violations<'a>(
    schema: &Schema,
    dn: &Dn,
    attributes: impl Iterator<Item = AttributeRef<'a>>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let known = known_attributes(schema, attributes, &mut violations);
    check_classes(schema, &known, &mut violations);
    check_values(schema, &known, &mut violations);
    check_name(schema, dn, &known, &mut violations);
    violations
}

/// An attribute of the entry whose type the schema has.
struct Known<'a, 's> {
    number: u32,
    attribute_type: &'s AttributeType,
    /// What comes after the type in the description.
    options: &'a str,
    attribute: AttributeRef<'a>,
}

/// The attributes that are known, ordered by type and options.
fn known_attributes<'a, 's>(
    schema: &'s Schema,
    attributes: impl Iterator<Item = AttributeRef<'a>>,
    violations: &mut Vec<Violation>,
) -> Vec<Known<'a, 's>> {
    let mut known = Vec::with_capacity(32);
    for attribute in attributes {
        let description = attribute.description();
        let (name, options) = description.split_once(';').unwrap_or((description, ""));
        let number = schema.attribute_index.find(name);
        match number.and_then(|number| Some((number, schema.attribute_types.get(number as usize)?))) {
            Some((number, attribute_type)) => {
                known.push(Known { number, attribute_type, options, attribute })
            }
            None => violations.push(Violation::UnknownAttribute(description.to_owned())),
        }
    }
    known.sort_by(|a, b| a.number.cmp(&b.number).then_with(|| lower(a.options).cmp(lower(b.options))));
    known
}

fn lower(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().map(|octet| octet.to_ascii_lowercase())
}

/// The structural class of entries with these classes.
///
/// # Errors
///
/// The violation when there is no structural chain or more than one.
pub(super) fn structural(schema: &Schema, classes: impl Iterator<Item = u32>) -> Result<u32, Violation> {
    let name = |number: u32| {
        schema.object_classes.get(number as usize).map(|class| class.name().to_owned()).unwrap_or_default()
    };
    let is_structural = |number: &u32| {
        schema.object_classes.get(*number as usize).is_some_and(|class| class.kind == ClassKind::Structural)
    };
    let mut lowest: Option<(u32, Cow<'_, [u32]>)> = None;
    for class in classes.filter(is_structural) {
        match &lowest {
            Some((_, chain)) if chain.contains(&class) => {}
            previous => {
                let chain = schema.lineage(class);
                if let Some((previous, _)) = previous
                    && !chain.contains(previous)
                {
                    return Err(Violation::TwoStructuralClasses(name(*previous), name(class)));
                }
                lowest = Some((class, chain));
            }
        }
    }
    lowest.map(|(class, _)| class).ok_or(Violation::NoStructuralClass)
}

fn check_classes(schema: &Schema, known: &[Known<'_, '_>], violations: &mut Vec<Violation>) {
    const EXTENSIBLE_OBJECT: &str = "1.3.6.1.4.1.1466.101.120.111";
    let object_class = schema.attribute_index.find("objectClass");
    let values = known
        .iter()
        // With options it is another attribute, which says nothing of classes.
        .filter(|known| Some(known.number) == object_class && known.options.is_empty())
        .flat_map(|known| known.attribute.values());
    let mut given = Vec::new();
    for value in values {
        match std::str::from_utf8(value).ok().and_then(|name| schema.class_index.find(name)) {
            Some(class) => given.push(class),
            None => violations.push(Violation::UnknownClass(String::from_utf8_lossy(value).into_owned())),
        }
    }
    if let Err(violation) = structural(schema, given.iter().copied()) {
        violations.push(violation);
    }
    let mut allowed = vec![false; schema.attribute_types.len()];
    let mut allow = |number: u32| {
        if let Some(allowed) = allowed.get_mut(number as usize) {
            *allowed = true;
        }
    };
    let mut missing: HashSet<u32> = HashSet::new();
    let mut anything = false;
    let has = |number: u32| known.binary_search_by_key(&number, |known| known.number).is_ok();
    for number in schema.class_closure(given) {
        let definition = schema.object_classes.get(number as usize);
        let Some((class, references)) = definition.zip(schema.class_references.get(number as usize)) else {
            continue;
        };
        anything = anything || &*class.oid == EXTENSIBLE_OBJECT;
        for (&number, name) in references.must.iter().zip(&class.must) {
            allow(number);
            // Two classes may require the same; it is missing once.
            if !has(number) && missing.insert(number) {
                let (class, attribute) = (class.name().to_owned(), name.to_string());
                violations.push(Violation::MissingAttribute { class, attribute });
            }
        }
        for number in &references.may {
            allow(*number);
        }
    }
    if !anything {
        let is_allowed = |number: u32| allowed.get(number as usize) == Some(&true);
        let refused =
            known.iter().filter(|known| !known.attribute_type.is_operational() && !is_allowed(known.number));
        violations.extend(
            refused.map(|known| Violation::AttributeNotAllowed(known.attribute.description().to_owned())),
        );
    }
}

fn check_values(schema: &Schema, known: &[Known<'_, '_>], violations: &mut Vec<Violation>) {
    let same = |a: &Known<'_, '_>, b: &Known<'_, '_>| {
        a.number == b.number && a.options.eq_ignore_ascii_case(b.options)
    };
    for group in known.chunk_by(same) {
        let Some(Known { attribute_type, options, attribute: first, .. }) = group.first() else { continue };
        let is_binary = options.split(';').any(|option| option.eq_ignore_ascii_case("binary"));
        let total: usize = group.iter().map(|known| known.attribute.values().count()).sum();
        if attribute_type.single_value && total > 1 {
            violations.push(Violation::TooManyValues(first.description().to_owned()));
        }
        let mut seen = Seen::default();
        let mut normalizer = schema.normalizer(attribute_type);
        // What has a normal form as a name is one.
        let are_names = normalizer.is_of_names() && attribute_type.syntax == Syntax::DN;
        for attribute in group.iter().map(|known| known.attribute) {
            for (index, value) in (1..).zip(attribute.values()) {
                let name = || attribute.description().to_owned();
                let normal = if is_binary || total == 1 { None } else { normalizer.normalize(value).ok() };
                if !is_binary
                    && (!are_names || normal.is_none())
                    && let Err(error) = attribute_type.syntax.check(value)
                {
                    violations.push(Violation::InvalidSyntax {
                        attribute: name(),
                        index,
                        syntax: error.syntax,
                    });
                }
                // A value that does not fit was reported above; it is still only itself.
                if total > 1 && !seen.insert(normal.unwrap_or(Cow::Borrowed(value))) {
                    violations.push(Violation::DuplicateValue { attribute: name(), index });
                }
            }
        }
    }
}

/// Values that were seen: a list while there are few.
#[derive(Default)]
struct Seen<'a> {
    few: Vec<Cow<'a, [u8]>>,
    many: HashSet<Cow<'a, [u8]>>,
}

impl<'a> Seen<'a> {
    /// Whether it is seen for the first time.
    fn insert(&mut self, value: Cow<'a, [u8]>) -> bool {
        const FEW: usize = 16;
        if self.few.len() < FEW {
            let is_new = !self.few.contains(&value);
            if is_new {
                self.few.push(value);
            }
            return is_new;
        }
        !self.few.contains(&value) && self.many.insert(value)
    }
}

fn check_name(schema: &Schema, dn: &Dn, known: &[Known<'_, '_>], violations: &mut Vec<Violation>) {
    let Some(rdn) = dn.rdns().next() else { return };
    for ava in rdn.avas() {
        let name = ava.attribute_type();
        let Some(number) = schema.attribute_index.find(name) else {
            violations.push(Violation::UnknownAttribute(name.to_owned()));
            continue;
        };
        let value = ava.value();
        let is_there = known.iter().filter(|known| known.number == number).any(|known| {
            let normal = |value| schema.normalize(known.attribute_type, value);
            let wanted = normal(&value);
            known.attribute.values().any(|own| own == &*value || wanted.is_ok() && normal(own) == wanted)
        });
        if !is_there {
            violations.push(Violation::NameValueMissing(names::spelling(ava)));
        }
    }
}

#[cfg(test)]
mod tests;
