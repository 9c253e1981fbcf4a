//! Schema (RFC 4512 §4): what attributes and classes mean, how values compare, and whether an entry is right.
//!
//! A [`Schema`] is built once from definitions (subschema entries, OpenLDAP `.schema` files, LDIF) and then only read.
//!
//! Attribute types and object classes are what is read. Matching rules and syntaxes are those this project has code for;
//! definitions of others, and DIT content rules, structure rules and name forms, are passed over and enforce nothing.

mod build;
mod definition;
mod index;
mod matching;
mod names;
mod normalizer;
mod parse;
mod prepare;
mod source;
mod standard;
mod syntax;
mod time;
mod validate;

use std::{borrow::Cow, collections::HashSet};

use self::index::NameIndex;
pub use self::{
    build::SchemaBuilder,
    definition::{AttributeType, AttributeUsage, ClassKind, ObjectClass},
    matching::{MatchingRule, RuleKind},
    normalizer::Normalizer,
    parse::{SchemaError, SchemaErrorKind},
    syntax::{Syntax, SyntaxError},
    time::{GeneralizedTime, InvalidGeneralizedTime},
    validate::Violation,
};
use crate::{
    attribute::{AttributeDescription, Attributes, AttributesRef},
    dn::{Dn, DnKey, RdnKey, RdnRef},
};

/// A set of definitions that agree with each other.
#[derive(Clone, Debug)]
pub struct Schema {
    attribute_types: Vec<AttributeType>,
    /// For each attribute type its supertype.
    attribute_superiors: Vec<Option<u32>>,
    /// For each attribute type its direct subtypes.
    attribute_subtypes: Vec<Box<[u32]>>,
    attribute_index: NameIndex,
    object_classes: Vec<ObjectClass>,
    /// For each object class what it refers to.
    class_references: Vec<ClassReferences>,
    /// See [`lineages`].
    class_lineages: Vec<Option<Box<[u32]>>>,
    class_index: NameIndex,
}

/// An attribute type, by its place in one schema.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct TypeNumber(u32);

/// What an object class refers to, by number.
#[derive(Clone, Debug, Default)]
struct ClassReferences {
    superiors: Box<[u32]>,
    must: Box<[u32]>,
    may: Box<[u32]>,
}

/// A name whose value does not fit the attribute's syntax, or whose attribute type is unknown.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{attribute}: {reason}")]
pub struct NameError {
    /// The attribute type in the name.
    pub attribute: String,
    /// What is wrong with it or its value.
    pub reason: String,
}

impl Schema {
    /// The definitions of RFC 4512, 4519, 4524, 2798, 3045, 4530, 5020, 2307bis and what directories add for
    /// operation: what the embedded directory starts with.
    ///
    /// Parsed on first use, then shared.
    #[must_use]
    pub fn standard() -> &'static Self {
        standard::schema()
    }

    /// Starts from nothing but the matching rules and syntaxes this project knows.
    pub fn builder() -> SchemaBuilder {
        SchemaBuilder::default()
    }

    /// Starts from these definitions. They give way to added ones with the same name or OID, so that a schema file that
    /// repeats standard definitions in its own way can be loaded.
    pub fn to_builder(&self) -> SchemaBuilder {
        SchemaBuilder::starting_from(self)
    }

    /// The attribute type with this name or OID, without regard to case; options are not part of it.
    #[must_use]
    pub fn attribute_type(&self, name: &str) -> Option<&AttributeType> {
        self.attribute_types.get(self.attribute_index.find(name)? as usize)
    }

    /// The type with this name or OID, as long as this schema is in force.
    pub(crate) fn type_number(&self, name: &str) -> Option<TypeNumber> {
        self.attribute_index.find(name).map(TypeNumber)
    }

    pub(crate) fn type_of(&self, number: TypeNumber) -> Option<&AttributeType> {
        self.attribute_types.get(number.0 as usize)
    }

    /// The object class with this name or OID, without regard to case.
    #[must_use]
    pub fn object_class(&self, name: &str) -> Option<&ObjectClass> {
        self.object_classes.get(self.class_index.find(name)? as usize)
    }

    /// A type, its subtypes, theirs, and so on, the type first.
    pub(crate) fn subtype_numbers(&self, attribute: TypeNumber) -> Vec<TypeNumber> {
        let mut numbers = vec![attribute];
        let mut next = 0;
        while let Some(number) = numbers.get(next) {
            let subtypes = self.attribute_subtypes.get(number.0 as usize).into_iter().flatten();
            numbers.extend(subtypes.map(|number| TypeNumber(*number)));
            next += 1;
        }
        numbers
    }

    /// All attribute types, in the order they were defined.
    pub fn attribute_types(&self) -> impl Iterator<Item = &AttributeType> {
        self.attribute_types.iter()
    }

    /// All object classes, in the order they were defined.
    pub fn object_classes(&self) -> impl Iterator<Item = &ObjectClass> {
        self.object_classes.iter()
    }

    /// The class, its superclasses, theirs, and so on, each once, the class first.
    pub fn superclasses<'s>(
        &'s self,
        class: &ObjectClass,
    ) -> impl Iterator<Item = &'s ObjectClass> + use<'s> {
        let lineage = self.class_index.find(&class.oid).map(|class| self.lineage(class)).unwrap_or_default();
        (0..lineage.len()).filter_map(move |place| self.object_classes.get(*lineage.get(place)? as usize))
    }

    /// The attribute types an object class and its superclasses require or allow, each once.
    pub fn class_attributes<'s>(
        &'s self,
        class: &ObjectClass,
    ) -> impl Iterator<Item = &'s AttributeType> + use<'s> {
        let closure = self.class_closure(self.class_index.find(&class.oid));
        let mut numbers: Vec<u32> = closure
            .into_iter()
            .filter_map(|number| self.class_references.get(number as usize))
            .flat_map(|class| class.must.iter().chain(&class.may).copied())
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().filter_map(|number| self.attribute_types.get(number as usize))
    }

    /// Whether `description` means `selected` or a subtype of it, options included (RFC 4512 §2.5.2): `cn` is within
    /// `name`, `cn;lang-en` within `cn`. Types the schema does not know compare by spelling without regard to case.
    #[must_use]
    pub fn is_within(&self, description: &str, selected: &AttributeDescription) -> bool {
        if description.eq_ignore_ascii_case(selected.as_str()) {
            return true;
        }
        let name = description.split(';').next().unwrap_or_default();
        let has = |option: &str| description.split(';').skip(1).any(|own| own.eq_ignore_ascii_case(option));
        if !selected.options().all(has) {
            return false;
        }
        let wanted = selected.attribute_type();
        match (self.attribute_index.find(name), self.attribute_index.find(wanted)) {
            (Some(own), Some(wanted)) => self.supertypes(own).any(|number| number == wanted),
            (None, None) => name.eq_ignore_ascii_case(wanted),
            _ => false,
        }
    }

    /// The key by which a name is looked up and compared.
    ///
    /// # Errors
    ///
    /// When an attribute type is unknown or a value does not fit its syntax.
    pub fn dn_key(&self, dn: &Dn) -> Result<DnKey, NameError> {
        dn.rdns().map(|rdn| self.rdn_key(rdn)).collect::<Result<_, _>>().map(DnKey::from_rdns)
    }

    /// The key of one component.
    ///
    /// # Errors
    ///
    /// As [`dn_key`](Self::dn_key).
    pub fn rdn_key(&self, rdn: RdnRef<'_>) -> Result<RdnKey, NameError> {
        names::rdn_key(self, rdn, names::Unknown::Refused).map(RdnKey::from_normalized)
    }

    /// A value in the form in which equal values have equal octets, by the attribute's equality rule (its syntax where
    /// it has no rule, the octets where neither is known).
    ///
    /// # Errors
    ///
    /// When the value does not fit the syntax.
    pub fn normalize<'v>(
        &self,
        attribute: &AttributeType,
        value: &'v [u8],
    ) -> Result<Cow<'v, [u8]>, SyntaxError> {
        match attribute.equality.or_else(|| attribute.syntax.usual_rule()) {
            Some(rule) => self.normalize_by(rule, value),
            None => Ok(Cow::Borrowed(value)),
        }
    }

    /// As [`MatchingRule::normalize`], with this schema where names or object identifiers are compared.
    ///
    /// # Errors
    ///
    /// When the value does not fit the rule's syntax.
    pub fn normalize_by<'v>(
        &self,
        rule: MatchingRule,
        value: &'v [u8],
    ) -> Result<Cow<'v, [u8]>, SyntaxError> {
        rule.normalize_in(Some(self), value)
    }

    /// As [`MatchingRule::matches`], with this schema where names or object identifiers are compared.
    ///
    /// # Errors
    ///
    /// When the value or the assertion does not fit its syntax.
    pub fn matches(&self, rule: MatchingRule, value: &[u8], assertion: &[u8]) -> Result<bool, SyntaxError> {
        rule.matches_in(Some(self), value, assertion)
    }

    /// Everything that is wrong with an entry; empty if nothing is.
    ///
    /// Checked: classes known, exactly one structural chain, required and allowed attributes (auxiliary classes and
    /// `extensibleObject` included), attribute types known, single values, syntaxes, values not twice, values of the
    /// name present. Superclasses may be left out. Operational attributes need no class that allows them, and whether a
    /// user may set them is for the caller to ask: here a directory's own entries are right too. Values with the option
    /// `;binary` are not checked (RFC 4522).
    #[must_use]
    pub fn violations(&self, dn: &Dn, attributes: AttributesRef<'_>) -> Vec<Violation> {
        validate::violations(self, dn, attributes.iter())
    }

    /// As [`violations`](Self::violations), of an entry whose attributes are in several lists.
    #[must_use]
    pub fn violations_in(&self, dn: &Dn, segments: &[AttributesRef<'_>]) -> Vec<Violation> {
        validate::violations(self, dn, segments.iter().flat_map(|segment| segment.iter()))
    }

    /// The structural class of an entry with these classes: the lowest of the one chain, or `None` if there is no chain
    /// or more than one.
    #[must_use]
    pub fn structural_class<'s, 'v>(
        &'s self,
        classes: impl Iterator<Item = &'v [u8]>,
    ) -> Option<&'s ObjectClass> {
        let numbers = classes.filter_map(|name| self.class_index.find(std::str::from_utf8(name).ok()?));
        let number = validate::structural(self, numbers).ok()?;
        self.object_classes.get(number as usize)
    }

    /// The subschema entry's attributes: `attributeTypes`, `objectClasses`, `matchingRules`, `ldapSyntaxes`, printed.
    #[must_use]
    pub fn to_subschema(&self) -> Attributes {
        let mut attributes = Attributes::builder();
        attributes.push("ldapSyntaxes", Syntax::all().map(|syntax| syntax.to_string()));
        attributes.push("matchingRules", MatchingRule::all().map(|rule| rule.to_string()));
        attributes.push("attributeTypes", self.attribute_types.iter().map(ToString::to_string));
        attributes.push("objectClasses", self.object_classes.iter().map(ToString::to_string));
        attributes.build()
    }

    /// The type with this number, its supertype, and so on. The chain has an end: `build` saw to that.
    fn supertypes(&self, number: u32) -> impl Iterator<Item = u32> {
        std::iter::successors(Some(number), |number| *self.attribute_superiors.get(*number as usize)?)
    }

    /// The classes, all their superclasses, and `top`; each once, the given ones first.
    fn class_closure(&self, classes: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut closure: Vec<u32> = Vec::with_capacity(16);
        // A handful, but whoever adds an entry may give all there are.
        let mut seen = vec![0_u64; self.object_classes.len().div_ceil(64)];
        let mut add = |number: u32| {
            if let Some(word) = seen.get_mut(number as usize / 64)
                && *word & 1 << (number % 64) == 0
            {
                *word |= 1 << (number % 64);
                closure.push(number);
            }
        };
        for class in classes {
            self.lineage(class).iter().for_each(|number| add(*number));
        }
        if let Some(top) = self.class_index.find("top") {
            add(top);
        }
        closure
    }

    /// A class, its superclasses, theirs, and so on.
    fn lineage(&self, class: u32) -> Cow<'_, [u32]> {
        match self.class_lineages.get(class as usize) {
            Some(Some(lineage)) => Cow::Borrowed(lineage),
            Some(None) => Cow::Owned(lineage(&self.class_references, class, usize::MAX).unwrap_or_default()),
            None => Cow::Borrowed(&[]),
        }
    }
}

/// Classes in one lineage, from which on it is not kept: nobody's schema has so many, but a text could make each class inherit
/// from all others.
const LINEAGE: usize = 256;

/// For each class itself, its superclasses, theirs, and so on, unless they are very many.
fn lineages(references: &[ClassReferences]) -> Vec<Option<Box<[u32]>>> {
    let of = |class: u32| lineage(references, class, LINEAGE).map(Vec::into_boxed_slice);
    (0_u32..).take(references.len()).map(of).collect()
}

/// A class, its superclasses, theirs, and so on, if they are no more than `most`.
fn lineage(references: &[ClassReferences], class: u32, most: usize) -> Option<Vec<u32>> {
    let mut lineage = vec![class];
    let mut seen = HashSet::from([class]);
    let mut next = 0;
    while let Some(number) = lineage.get(next).copied() {
        let superiors = references.get(number as usize).map(|class| &class.superiors);
        lineage.extend(superiors.into_iter().flatten().filter(|superior| seen.insert(**superior)));
        if lineage.len() > most {
            return None;
        }
        next += 1;
    }
    Some(lineage)
}
