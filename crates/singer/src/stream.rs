//! Streams: from settings and the directory's schema to searches and properties.

use flext_ldap_proto::{
    attribute::AttributeDescription,
    dn::Dn,
    filter::Filter,
    message::Scope,
    schema::{ObjectClass, Schema},
};
use serde_json::{Map, Value, json};

use crate::{Config, StreamConfig, TapError, property::Property};

/// One stream, ready to be searched for.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) base: Dn,
    pub(crate) scope: Scope,
    pub(crate) filter: Filter,
    /// The key first.
    pub(crate) properties: Vec<Property>,
}

/// Attributes that identify an entry for ever, the best first: RFC 4530, Active Directory, 389-ds.
const KEYS: [&str; 3] = ["entryUUID", "objectGUID", "nsUniqueId"];

/// What is extracted besides the attributes of classes, where the schema has it.
const OPERATIONAL: [&str; 3] = ["memberOf", "createTimestamp", "modifyTimestamp"];

/// Classes of people and their accounts.
const USERS: [&str; 5] = ["inetOrgPerson", "organizationalPerson", "person", "posixAccount", "shadowAccount"];

/// Classes of groups.
const GROUPS: [&str; 6] =
    ["groupOfNames", "groupOfUniqueNames", "posixGroup", "groupOfMembers", "groupOfEntries", "group"];

/// The streams of a configuration in a directory with this schema.
pub(crate) fn streams(
    config: &Config,
    schema: &Schema,
    context: Option<&Dn>,
) -> Result<Vec<Stream>, TapError> {
    let configured = match &config.streams {
        Some(streams) => streams.clone(),
        None => defaults(schema)?,
    };
    let mut streams: Vec<Stream> = Vec::with_capacity(configured.len());
    for one in &configured {
        if streams.iter().any(|other| other.name == one.name) {
            return Err(mistake(one, "there are two streams of this name"));
        }
        streams.push(stream(one, config, schema, context)?);
    }
    Ok(streams)
}

/// Users and groups, by what the schema has.
fn defaults(schema: &Schema) -> Result<Vec<StreamConfig>, TapError> {
    let known = |classes: &[&str]| -> Vec<String> {
        classes
            .iter()
            .filter(|class| schema.object_class(class).is_some())
            .map(|class| (*class).to_owned())
            .collect()
    };
    let mut streams = Vec::new();
    // In Active Directory computers are users too, but not persons.
    let is_active_directory = schema.attribute_type("objectCategory").is_some();
    let users = if is_active_directory { known(&["user"]) } else { known(&USERS) };
    let filter = if is_active_directory { "(objectCategory=person)".parse().ok() } else { None };
    for (name, object_classes, filter) in [("users", users, filter), ("groups", known(&GROUPS), None)] {
        if !object_classes.is_empty() {
            streams.push(StreamConfig {
                name: name.to_owned(),
                base: None,
                scope: Scope::Subtree,
                filter,
                object_classes,
                attributes: None,
            });
        }
    }
    if streams.is_empty() {
        return Err(TapError::Undiscoverable(
            "the directory's schema has no class of users or groups that is known here; set `streams`",
        ));
    }
    Ok(streams)
}

fn stream(
    one: &StreamConfig,
    config: &Config,
    schema: &Schema,
    context: Option<&Dn>,
) -> Result<Stream, TapError> {
    let mut classes = Vec::with_capacity(one.object_classes.len());
    for name in &one.object_classes {
        let class = schema.object_class(name);
        classes.push(class.ok_or_else(|| mistake(one, format!("the directory has no class `{name}`")))?);
    }
    let base = one.base.as_ref().or(config.base.as_ref()).or(context).ok_or_else(|| {
        mistake(one, "the directory does not name one naming context; set `base`, here or for the whole tap")
    })?;
    Ok(Stream {
        name: one.name.clone(),
        base: base.clone(),
        scope: one.scope,
        filter: filter(one, &classes),
        properties: properties(one, config, schema, &classes)?,
    })
}

/// Entries of any of the classes that match the filter as well.
fn filter(one: &StreamConfig, classes: &[&ObjectClass]) -> Filter {
    let mut parts = Vec::new();
    if let Ok(object_class) = "objectClass".parse::<AttributeDescription>() {
        let mut classes = classes.iter().map(|class| Filter::equality(object_class.clone(), class.name()));
        match (classes.next(), classes.len()) {
            (None, _) => {}
            (Some(class), 0) => parts.push(class),
            (Some(class), _) => parts.push(Filter::or(std::iter::once(class).chain(classes))),
        }
    }
    parts.extend(one.filter.clone());
    match parts.len() {
        1 => parts.pop().unwrap_or_else(Filter::any),
        0 => Filter::any(),
        _ => Filter::and(parts),
    }
}

fn properties(
    one: &StreamConfig,
    config: &Config,
    schema: &Schema,
    classes: &[&ObjectClass],
) -> Result<Vec<Property>, TapError> {
    let mut attributes: Vec<AttributeDescription> = Vec::new();
    let mut add = |name: &str| -> Result<(), TapError> {
        let description: AttributeDescription =
            name.parse().map_err(|error| mistake(one, format!("`{name}` is {error}")))?;
        // Named as the schema prefers, so that a synonym is no second property.
        let preferred = schema.attribute_type(description.attribute_type()).map(|known| known.name());
        let description = match preferred {
            Some(preferred) if description.options().next().is_none() => {
                preferred.parse().unwrap_or(description)
            }
            _ => description,
        };
        if !attributes.iter().any(|known| known.as_str().eq_ignore_ascii_case(description.as_str())) {
            attributes.push(description);
        }
        Ok(())
    };
    let key = match &config.key_attribute {
        Some(key) => Some(key.as_str()),
        None => KEYS.into_iter().find(|key| schema.attribute_type(key).is_some()),
    };
    let key = key.filter(|key| !key.eq_ignore_ascii_case("dn"));
    if let Some(key) = key {
        add(key)?;
    }
    match &one.attributes {
        Some(names) => {
            names.iter().filter(|name| !name.eq_ignore_ascii_case("dn")).try_for_each(|name| add(name))?
        }
        None if classes.is_empty() => {
            return Err(mistake(one, "say what to extract: set `object_classes` or `attributes`"));
        }
        None => {
            attributes_of(classes, schema).into_iter().try_for_each(&mut add)?;
            let there = |name: &&str| schema.attribute_type(name).is_some();
            OPERATIONAL.into_iter().filter(there).try_for_each(add)?;
        }
    }

    let mut properties: Vec<Property> = Vec::with_capacity(attributes.len().saturating_add(1));
    for attribute in attributes {
        let mut property = Property::attribute(attribute, schema, config.attribute_naming);
        // Two names can become one in snake case.
        while property.name == "dn" || properties.iter().any(|known| known.name == property.name) {
            property.name.push('_');
        }
        properties.push(property);
    }
    properties.insert(usize::from(key.is_some()), Property::dn());
    if let Some(first) = properties.first_mut() {
        first.is_key = true;
        first.single = true;
    }
    Ok(properties)
}

/// What entries of these classes must and may have, in the order of the definitions.
fn attributes_of<'s>(classes: &[&'s ObjectClass], schema: &'s Schema) -> Vec<&'s str> {
    let mut attributes = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    let mut open: Vec<&ObjectClass> = classes.iter().rev().copied().collect();
    while let Some(class) = open.pop() {
        if seen.contains(&&*class.oid) {
            continue;
        }
        seen.push(&class.oid);
        attributes.extend(class.must.iter().chain(&class.may).map(|name| &**name));
        open.extend(class.superiors.iter().rev().filter_map(|name| schema.object_class(name)));
    }
    attributes
}

impl Stream {
    /// The name of the property that identifies a record.
    pub(crate) fn key(&self) -> &str {
        self.properties.first().map_or("dn", |property| &property.name)
    }

    /// The JSON Schema of records with these properties.
    pub(crate) fn json_schema<'p>(properties: impl IntoIterator<Item = &'p Property>) -> Value {
        let properties: Map<String, Value> =
            properties.into_iter().map(|property| (property.name.clone(), property.json_schema())).collect();
        json!({"type": "object", "properties": properties, "additionalProperties": false})
    }
}

fn mistake(stream: &StreamConfig, reason: impl Into<String>) -> TapError {
    TapError::Stream { stream: stream.name.clone(), reason: reason.into() }
}
