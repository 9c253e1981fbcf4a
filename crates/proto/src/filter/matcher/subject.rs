//! What an attribute description in a filter stands for: its type and all subtypes, under all their names.

use std::{collections::HashMap, rc::Rc};

use crate::{
    attribute::AttributeDescription,
    schema::{AttributeType, Schema},
};

/// An attribute description, resolved.
pub(super) struct Subject<'s> {
    pub(super) attribute: &'s AttributeType,
    /// Every name and OID of the type and of its subtypes, with the preferred name of each; the type first. An entry is
    /// nearly always spelt with the first.
    names: Vec<(&'s str, &'s str)>,
    /// What an attribute of an entry must have too.
    options: Vec<Box<str>>,
}

/// Resolves descriptions, each once.
pub(super) struct Resolver<'s> {
    schema: &'s Schema,
    resolved: HashMap<AttributeDescription, Option<Rc<Subject<'s>>>>,
}

impl<'s> Resolver<'s> {
    pub(super) fn new(schema: &'s Schema) -> Self {
        Self { schema, resolved: HashMap::new() }
    }

    /// `None` if the schema does not know the type.
    pub(super) fn resolve(&mut self, description: &AttributeDescription) -> Option<Rc<Subject<'s>>> {
        if let Some(known) = self.resolved.get(description) {
            return known.clone();
        }
        let subject = Subject::new(description, self.schema).map(Rc::new);
        self.resolved.insert(description.clone(), subject.clone());
        subject
    }
}

impl<'s> Subject<'s> {
    fn new(description: &AttributeDescription, schema: &'s Schema) -> Option<Self> {
        let attribute = schema.attribute_type(description.attribute_type())?;
        let mut types = vec![attribute];
        let mut next = 0;
        // Superiors are given by preferred name.
        while let Some(superior) = types.get(next).map(|superior| superior.name()) {
            types.extend(schema.attribute_types().filter(|candidate| {
                candidate.superior.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(superior))
            }));
            next += 1;
        }
        let names = types.into_iter().flat_map(|attribute| {
            let names = attribute.names.iter().chain([&attribute.oid]);
            names.map(|name| (&**name, attribute.name()))
        });
        Some(Self { attribute, names: names.collect(), options: description.options().map(Box::from).collect() })
    }

    /// The preferred name of the type.
    pub(super) fn name(&self) -> &'s str {
        self.attribute.name()
    }

    /// The preferred name of the type that `description` has, if that is this one or a subtype (RFC 4512 §2.5.2).
    pub(super) fn find(&self, description: &str) -> Option<&'s str> {
        self.names.iter().find_map(|(name, preferred)| {
            let (start, options) = description.split_at_checked(name.len())?;
            let is_it = (options.is_empty() || options.starts_with(';'))
                && start.eq_ignore_ascii_case(name)
                && self.options.iter().all(|option| has_option(options, option));
            is_it.then_some(*preferred)
        })
    }
}

fn has_option(options: &str, wanted: &str) -> bool {
    options.split(';').any(|option| option.eq_ignore_ascii_case(wanted))
}
