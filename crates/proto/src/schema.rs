//! Schema (RFC 4512 §4): what attributes and classes mean, how values compare, and whether an entry is right.
//!
//! A [`Schema`] is built once from definitions (subschema entries, OpenLDAP `.schema` files, LDIF) and then only read.

mod definition;
mod matching;
mod parse;
mod prepare;
mod standard;
mod syntax;
mod validate;

use std::borrow::Cow;

pub use self::{
    definition::{AttributeType, AttributeUsage, ClassKind, ObjectClass},
    matching::{MatchingRule, RuleKind},
    parse::{SchemaError, SchemaErrorKind},
    syntax::{Syntax, SyntaxError},
    validate::Violation,
};
use crate::{
    attribute::{AttributeDescription, AttributesRef},
    dn::{Dn, DnKey, RdnKey, RdnRef},
};

/// A set of definitions that agree with each other.
#[derive(Clone, Debug)]
pub struct Schema {
    attribute_types: Vec<AttributeType>,
    object_classes: Vec<ObjectClass>,
}

/// Collects definitions into a [`Schema`].
#[derive(Debug, Default)]
#[must_use = "call `build` to get the schema"]
pub struct SchemaBuilder {
    errors: Vec<SchemaError>,
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
        todo!()
    }

    /// Starts from nothing but the matching rules and syntaxes this project knows.
    pub fn builder() -> SchemaBuilder {
        SchemaBuilder::default()
    }

    /// Starts from these definitions.
    pub fn to_builder(&self) -> SchemaBuilder {
        todo!()
    }

    /// The attribute type with this name or OID, without regard to case; options are not part of it.
    #[must_use]
    pub fn attribute_type(&self, name: &str) -> Option<&AttributeType> {
        todo!("{name}")
    }

    /// The object class with this name or OID, without regard to case.
    #[must_use]
    pub fn object_class(&self, name: &str) -> Option<&ObjectClass> {
        todo!("{name}")
    }

    /// All attribute types, in the order they were defined.
    pub fn attribute_types(&self) -> impl Iterator<Item = &AttributeType> {
        self.attribute_types.iter()
    }

    /// All object classes, in the order they were defined.
    pub fn object_classes(&self) -> impl Iterator<Item = &ObjectClass> {
        self.object_classes.iter()
    }

    /// Whether `description` means `selected` or a subtype of it, options included (RFC 4512 §2.5.2): `cn` is within
    /// `name`, `cn;lang-en` within `cn`. Types the schema does not know compare by spelling without regard to case.
    #[must_use]
    pub fn is_within(&self, description: &str, selected: &AttributeDescription) -> bool {
        todo!("{description} {selected}")
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
        todo!("{}", rdn.as_str())
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
        todo!("{attribute:?} {value:?}")
    }

    /// Everything that is wrong with an entry; empty if nothing is.
    ///
    /// Checked: classes known, exactly one structural chain, required and allowed attributes (auxiliary classes and
    /// `extensibleObject` included), attribute types known, single values, syntaxes, values not twice, values of the
    /// name present. `operational` attributes are not asked for by classes.
    #[must_use]
    pub fn violations(&self, dn: &Dn, attributes: AttributesRef<'_>) -> Vec<Violation> {
        todo!("{dn} {:?}", attributes.as_bytes())
    }

    /// The structural class of an entry with these classes: the lowest of the one chain, or `None` if there is no chain
    /// or more than one.
    #[must_use]
    pub fn structural_class<'s, 'v>(
        &'s self,
        classes: impl Iterator<Item = &'v [u8]>,
    ) -> Option<&'s ObjectClass> {
        let _ = classes;
        todo!()
    }

    /// The subschema entry's attributes: `attributeTypes`, `objectClasses`, `matchingRules`, `ldapSyntaxes`, printed.
    #[must_use]
    pub fn to_subschema(&self) -> crate::attribute::Attributes {
        todo!()
    }
}

impl SchemaBuilder {
    /// Adds the definitions of an OpenLDAP `.schema` file: `attributetype (…)`, `objectclass (…)`, `objectidentifier`
    /// macros, comments.
    pub fn add_openldap(&mut self, text: &str) -> &mut Self {
        let _ = (text, &self.errors);
        todo!()
    }

    /// Adds the definitions of an LDIF file: subschema entries or OpenLDAP's `olcAttributeTypes`.
    pub fn add_ldif(&mut self, text: &str) -> &mut Self {
        todo!("{text}")
    }

    /// Adds the definitions of a subschema entry as a server sent it, with the quirks of OpenLDAP, 389-ds and Active
    /// Directory.
    pub fn add_subschema(&mut self, attributes: AttributesRef<'_>) -> &mut Self {
        todo!("{:?}", attributes.as_bytes())
    }

    /// The schema.
    ///
    /// # Errors
    ///
    /// Every definition that could not be parsed or contradicts another, with where it stood.
    pub fn build(self) -> Result<Schema, Vec<SchemaError>> {
        todo!()
    }

    /// The schema of all that could be used, and what could not: for a server's own schema, which is never perfect.
    pub fn build_lenient(self) -> (Schema, Vec<SchemaError>) {
        todo!()
    }
}
