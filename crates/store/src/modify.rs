//! Changing a list of attributes: the four kinds of change (RFC 4511 §4.6, RFC 4525), all or none.

use std::collections::HashSet;

use bytes::Bytes;
use flext_ldap_proto::{
    attribute::{Attributes, AttributesRef},
    message::{Change, ChangeKind},
    result::ResultCode,
};

use crate::{
    context::{Context, base},
    tables::Failure,
};

/// Attributes that are being changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft(Vec<Attribute>);

#[derive(Clone, Debug)]
struct Attribute {
    /// As the schema spells it, with the options as they were spelt first.
    description: String,
    /// One text for all spellings.
    canonical: String,
    values: Vec<Bytes>,
}

impl Draft {
    pub(crate) fn new(context: &Context, attributes: AttributesRef<'_>) -> Self {
        Self(
            attributes
                .iter()
                .map(|attribute| Attribute {
                    description: attribute.description().to_owned(),
                    canonical: context.canonical(attribute.description()),
                    values: attribute.values().map(Bytes::copy_from_slice).collect(),
                })
                .collect(),
        )
    }

    /// The attributes, as the schema spells them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[Bytes])> {
        self.0.iter().map(|one| (one.description.as_str(), one.values.as_slice()))
    }

    pub(crate) fn build(&self) -> Attributes {
        let mut attributes = Attributes::builder();
        for attribute in &self.0 {
            attributes.push(&attribute.description, &attribute.values);
        }
        attributes.build()
    }

    /// The values of an attribute, whatever spelling it has; none if it is not there.
    pub(crate) fn values(&self, context: &Context, description: &str) -> &[Bytes] {
        let canonical = context.canonical(description);
        self.0.iter().find(|one| one.canonical == canonical).map_or(&[], |one| &one.values)
    }

    /// Makes these the values, whatever was there.
    pub(crate) fn set(&mut self, context: &Context, description: &str, values: Vec<Bytes>) {
        if values.is_empty() && self.0.is_empty() {
            return;
        }
        let canonical = context.canonical(description);
        if values.is_empty() {
            self.0.retain(|one| one.canonical != canonical);
        } else if let Some(one) = self.0.iter_mut().find(|one| one.canonical == canonical) {
            one.values = values;
        } else {
            self.0.push(Attribute { description: context.spelt(description), canonical, values });
        }
    }

    /// Adds a value that may be there already. Says whether it was not.
    pub(crate) fn ensure(&mut self, context: &Context, description: &str, value: &[u8]) -> bool {
        let normal = normalize(context, description, value);
        let values = self.values(context, description);
        if values.iter().any(|one| normalize(context, description, one) == normal) {
            return false;
        }
        let mut values = values.to_vec();
        values.push(Bytes::copy_from_slice(value));
        self.set(context, description, values);
        true
    }

    /// Whether there is a value equal to this one.
    pub(crate) fn has(&self, context: &Context, description: &str, value: &[u8]) -> bool {
        let normal = normalize(context, description, value);
        self.values(context, description).iter().any(|one| normalize(context, description, one) == normal)
    }

    /// Removes a value that may not be there.
    pub(crate) fn remove(&mut self, context: &Context, description: &str, value: &[u8]) {
        let normal = normalize(context, description, value);
        let mut values = self.values(context, description).to_vec();
        values.retain(|one| normalize(context, description, one) != normal);
        self.set(context, description, values);
    }

    /// Makes one change.
    pub(crate) fn apply(&mut self, context: &Context, change: &Change) -> Result<(), Failure> {
        let description = change.attribute.as_str();
        let normal = |value: &Bytes| normalize(context, description, value);
        let mut values = self.values(context, description).to_vec();
        match change.kind {
            ChangeKind::Add | ChangeKind::Replace => {
                if change.kind == ChangeKind::Replace {
                    values.clear();
                } else if change.values.is_empty() {
                    return Err(Failure::refused(
                        ResultCode::PROTOCOL_ERROR,
                        format!("`{description}` is to be added without a value"),
                    ));
                }
                let mut known: HashSet<Vec<u8>> = values.iter().map(normal).collect();
                for value in &change.values {
                    if !known.insert(normal(value)) {
                        return Err(Failure::refused(
                            ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
                            format!("`{description}` has a value that is to be added, or gets it twice"),
                        ));
                    }
                    values.push(value.clone());
                }
            }
            ChangeKind::Delete => {
                if values.is_empty() {
                    return Err(no_such(description));
                }
                if change.values.is_empty() {
                    values.clear();
                }
                let mut gone: HashSet<Vec<u8>> = change.values.iter().map(normal).collect();
                values.retain(|value| !gone.remove(&normal(value)));
                if !gone.is_empty() {
                    return Err(Failure::refused(
                        ResultCode::NO_SUCH_ATTRIBUTE,
                        format!("`{description}` does not have a value that is to be deleted"),
                    ));
                }
            }
            ChangeKind::Increment => {
                let [by] = change.values.as_slice() else {
                    return Err(Failure::refused(
                        ResultCode::PROTOCOL_ERROR,
                        format!("`{description}` is to be incremented by other than one value"),
                    ));
                };
                if values.is_empty() {
                    return Err(no_such(description));
                }
                values = values
                    .iter()
                    .map(|value| Some(Bytes::from(integer(value)?.checked_add(integer(by)?)?.to_string())))
                    .collect::<Option<_>>()
                    .ok_or_else(|| {
                        Failure::refused(
                            ResultCode::CONSTRAINT_VIOLATION,
                            format!("`{description}` is not a number that can be incremented so"),
                        )
                    })?;
            }
            _ => {
                return Err(Failure::refused(ResultCode::PROTOCOL_ERROR, "unknown kind of change"));
            }
        }
        self.set(context, description, values);
        Ok(())
    }

    /// Adds the classes that the entry's classes inherit from, so that a filter finds it by each.
    pub(crate) fn complete_classes(&mut self, context: &Context) {
        let mut classes: Vec<String> = self
            .values(context, "objectClass")
            .iter()
            .filter_map(|value| std::str::from_utf8(value).ok().map(str::to_owned))
            .collect();
        let mut seen: HashSet<String> = HashSet::new();
        for name in &classes {
            if let Some(class) = context.schema.object_class(name) {
                seen.insert(class.oid.to_string());
            }
        }
        while let Some(name) = classes.pop() {
            let Some(class) = context.schema.object_class(&name) else { continue };
            for superior in &class.superiors {
                let Some(superior) = context.schema.object_class(superior) else { continue };
                if seen.insert(superior.oid.to_string()) {
                    let mut values = self.values(context, "objectClass").to_vec();
                    values.push(Bytes::copy_from_slice(superior.name().as_bytes()));
                    self.set(context, "objectClass", values);
                    classes.push(superior.name().to_owned());
                }
            }
        }
    }
}

fn normalize(context: &Context, description: &str, value: &[u8]) -> Vec<u8> {
    match context.schema.attribute_type(base(description)) {
        Some(kind) => {
            context.schema.normalize(kind, value).map_or_else(|_| value.to_vec(), |one| one.into_owned())
        }
        None => value.to_vec(),
    }
}

fn integer(value: &Bytes) -> Option<i128> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn no_such(description: &str) -> Failure {
    Failure::refused(ResultCode::NO_SUCH_ATTRIBUTE, format!("there is no `{description}`"))
}
