//! What an attribute description in a filter stands for: its type and all subtypes, under all their names.

use std::{collections::HashMap, sync::Arc};

use crate::{
    attribute::AttributeDescription,
    schema::{AttributeType, Schema, TypeNumber},
};

/// An attribute description, resolved. By numbers, so that it can be kept for as long as its schema is in force.
pub(super) struct Subject {
    attribute: TypeNumber,
    family: Family,
    /// What an attribute of an entry must have too.
    options: Vec<Box<str>>,
}

/// A type and its subtypes, the type first. An entry is nearly always spelt with that one's first name.
type Family = Arc<[TypeNumber]>;

/// Resolves descriptions, each once, and looks for the subtypes of a type once, so that a filter of many leaves costs no
/// more than their number.
pub(super) struct Resolver<'s> {
    schema: &'s Schema,
    resolved: HashMap<AttributeDescription, Option<Arc<Subject>>>,
    families: HashMap<TypeNumber, Family>,
}

impl<'s> Resolver<'s> {
    pub(super) fn new(schema: &'s Schema) -> Self {
        Self { schema, resolved: HashMap::new(), families: HashMap::new() }
    }

    /// `None` if the schema does not know the type.
    pub(super) fn resolve(&mut self, description: &AttributeDescription) -> Option<Arc<Subject>> {
        if let Some(known) = self.resolved.get(description) {
            return known.clone();
        }
        let schema = self.schema;
        let subject = schema.type_number(description.attribute_type()).map(|attribute| {
            let family = self.families.entry(attribute).or_insert_with(|| family(attribute, schema));
            let options = description.options().map(Box::from).collect();
            Arc::new(Subject { attribute, family: Arc::clone(family), options })
        });
        self.resolved.insert(description.clone(), subject.clone());
        subject
    }
}

fn family(attribute: TypeNumber, schema: &Schema) -> Family {
    schema.subtype_numbers(attribute).into()
}

impl Subject {
    /// The type, in the schema it was resolved by.
    pub(super) fn attribute<'s>(&self, schema: &'s Schema) -> Option<&'s AttributeType> {
        schema.type_of(self.attribute)
    }

    /// Whether this is the type itself, and no subtype.
    pub(super) fn is(&self, schema: &Schema, attribute: &AttributeType) -> bool {
        self.attribute(schema).is_some_and(|own| std::ptr::eq(own, attribute))
    }

    /// The type that `description` has, if that is this one or a subtype (RFC 4512 §2.5.2).
    pub(super) fn find<'s>(&self, schema: &'s Schema, description: &str) -> Option<&'s AttributeType> {
        self.family.iter().filter_map(|number| schema.type_of(*number)).find(|attribute| {
            let mut names = attribute.names.iter().chain([&attribute.oid]);
            names.any(|name| self.is_spelt(name, description))
        })
    }

    fn is_spelt(&self, name: &str, description: &str) -> bool {
        // Most names differ in length, so this is looked at before any letter is.
        let options = match description.as_bytes().get(name.len()) {
            None if description.len() == name.len() => "",
            Some(b';') => description.get(name.len()..).unwrap_or_default(),
            _ => return false,
        };
        description.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
            && self.options.iter().all(|option| has_option(options, option))
    }
}

fn has_option(options: &str, wanted: &str) -> bool {
    options.split(';').any(|option| option.eq_ignore_ascii_case(wanted))
}
