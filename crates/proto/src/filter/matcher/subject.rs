//! What an attribute description in a filter stands for: its type and all subtypes, under all their names.

use std::{collections::HashMap, sync::Arc};

use crate::{
    attribute::AttributeDescription,
    schema::{AttributeType, Schema},
};

/// An attribute description, resolved.
pub(super) struct Subject<'s> {
    pub(super) attribute: &'s AttributeType,
    names: Names<'s>,
    /// What an attribute of an entry must have too.
    options: Vec<Box<str>>,
}

/// Every name and OID of a type and of its subtypes, with the preferred name of each; the type first. An entry is nearly
/// always spelt with the first.
type Names<'s> = Arc<[(&'s str, &'s str)]>;

/// Resolves descriptions, each once, and looks for the subtypes of a type once, so that a filter of many leaves costs no
/// more than their number.
pub(super) struct Resolver<'s> {
    schema: &'s Schema,
    resolved: HashMap<AttributeDescription, Option<Arc<Subject<'s>>>>,
    /// By preferred name.
    names: HashMap<&'s str, Names<'s>>,
}

impl<'s> Resolver<'s> {
    pub(super) fn new(schema: &'s Schema) -> Self {
        Self { schema, resolved: HashMap::new(), names: HashMap::new() }
    }

    /// `None` if the schema does not know the type.
    pub(super) fn resolve(&mut self, description: &AttributeDescription) -> Option<Arc<Subject<'s>>> {
        if let Some(known) = self.resolved.get(description) {
            return known.clone();
        }
        let subject = self.schema.attribute_type(description.attribute_type()).map(|attribute| {
            let names = self.names.entry(attribute.name()).or_insert_with(|| names(attribute, self.schema));
            let options = description.options().map(Box::from).collect();
            Arc::new(Subject { attribute, names: Arc::clone(names), options })
        });
        self.resolved.insert(description.clone(), subject.clone());
        subject
    }
}

fn names<'s>(attribute: &'s AttributeType, schema: &'s Schema) -> Names<'s> {
    let names = schema.subtypes(attribute).into_iter().flat_map(|attribute| {
        let names = attribute.names.iter().chain([&attribute.oid]);
        names.map(|name| (&**name, attribute.name()))
    });
    names.collect()
}

impl<'s> Subject<'s> {
    /// The preferred name of the type.
    pub(super) fn name(&self) -> &'s str {
        self.attribute.name()
    }

    /// The preferred name of the type that `description` has, if that is this one or a subtype (RFC 4512 §2.5.2).
    pub(super) fn find(&self, description: &str) -> Option<&'s str> {
        self.names.iter().find_map(|(name, preferred)| {
            // Most names differ in length, so this is looked at before any letter is.
            let options = match description.as_bytes().get(name.len()) {
                None if description.len() == name.len() => "",
                Some(b';') => description.get(name.len()..)?,
                _ => return None,
            };
            let is_it = description.get(..name.len())?.eq_ignore_ascii_case(name)
                && self.options.iter().all(|option| has_option(options, option));
            is_it.then_some(*preferred)
        })
    }
}

fn has_option(options: &str, wanted: &str) -> bool {
    options.split(';').any(|option| option.eq_ignore_ascii_case(wanted))
}
