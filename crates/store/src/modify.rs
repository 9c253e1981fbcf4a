//! Changing a list of attributes: the four kinds of change (RFC 4511 §4.6, RFC 4525), all or none. What becomes of the
//! rows of large attributes is worked out here and made elsewhere.
//!
//! Work grows with the values an attribute has and the changes of it, never with one times the other: what values there
//! are by their normal forms is worked out once and kept from change to change.

mod inline;

use std::{collections::HashSet, ops::ControlFlow};

use bytes::Bytes;
use flext_ldap_proto::{
    attribute::{Attributes, AttributesRef},
    message::{Change, ChangeKind},
    result::ResultCode,
};

use self::inline::{Inline, normalize};
use crate::{
    context::Context,
    row::{Id, Stored},
    tables::Failure,
    values::{
        Large, ValueRows,
        changes::{Beneath, Changes},
        normal_key, stays_inline,
    },
    write::bound::fits_row,
};

/// Attributes that are being changed.
///
/// Values of a large attribute are neither read nor kept here, only what changes of them.
#[derive(Clone, Default)]
pub(crate) struct Draft<'t> {
    attributes: Vec<Attribute>,
    /// Where large attributes are looked up; nowhere for an entry that is not stored yet.
    rows: Option<&'t dyn ValueRows>,
    /// Large attributes that went: one that comes back takes the place of its rows.
    gone: Vec<(String, Large)>,
}

#[derive(Clone)]
struct Attribute {
    /// As the schema spells it, with the options as they were spelt first.
    description: String,
    /// One text for all spellings.
    canonical: String,
    values: Values,
    /// What is large of it in the stored entry.
    stored: Option<Large>,
}

#[derive(Clone)]
enum Values {
    /// All of them.
    Inline(Inline),
    /// What changes of many.
    Many(Changes),
}

impl Values {
    fn inline(values: impl IntoIterator<Item = Bytes>) -> Self {
        Self::Inline(values.into_iter().collect())
    }
}

impl<'t> Draft<'t> {
    /// The attributes of an entry that is not stored.
    pub(crate) fn new(context: &Context, attributes: AttributesRef<'_>) -> Self {
        Self::over(context, None, attributes, std::iter::empty())
    }

    /// The user attributes of a stored entry.
    pub(crate) fn user(context: &Context, rows: &'t dyn ValueRows, stored: &Stored) -> Self {
        Self::over(context, Some(rows), stored.user(), stored.large().iter().filter(|one| !one.operational))
    }

    /// The operational attributes of a stored entry.
    pub(crate) fn operational(context: &Context, rows: &'t dyn ValueRows, stored: &Stored) -> Self {
        Self::over(
            context,
            Some(rows),
            stored.operational(),
            stored.large().iter().filter(|one| one.operational),
        )
    }

    fn over<'l>(
        context: &Context,
        rows: Option<&'t dyn ValueRows>,
        attributes: AttributesRef<'_>,
        large: impl Iterator<Item = &'l Large>,
    ) -> Self {
        let inline = attributes.iter().map(|attribute| Attribute {
            description: attribute.description().to_owned(),
            canonical: context.canonical(attribute.description()),
            values: Values::inline(attribute.values().map(Bytes::copy_from_slice)),
            stored: None,
        });
        let large = large.map(|large| Attribute {
            description: large.description.clone(),
            canonical: context.canonical(&large.description),
            values: Values::Many(Changes::of(large)),
            stored: Some(large.clone()),
        });
        Self { attributes: inline.chain(large).collect(), rows, gone: Vec::new() }
    }

    /// The attributes as the schema spells them, each with how many values it has and those of them that have to be
    /// looked at: all, or of a large attribute those that are new.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64, Box<dyn Iterator<Item = &Bytes> + '_>)> {
        self.attributes.iter().map(|one| {
            let values: Box<dyn Iterator<Item = &Bytes> + '_> = match &one.values {
                Values::Inline(values) => Box::new(values.iter()),
                Values::Many(changes) => Box::new(changes.put()),
            };
            (one.description.as_str(), one.count(), values)
        })
    }

    /// The entry's part as it is to be stored: what stays in its row, and what is large.
    pub(crate) fn build(
        mut self,
        context: &Context,
        id: Id,
        operational: bool,
    ) -> Result<(Attributes, Vec<Large>), Failure> {
        let rows = self.rows;
        let (mut attributes, mut large) = (Attributes::builder(), Vec::new());
        for mut attribute in std::mem::take(&mut self.attributes) {
            attribute.part(context, rows)?;
            attribute.rejoin(context, rows)?;
            match attribute.values {
                Values::Inline(values) => attributes.push(&attribute.description, values.iter()),
                // Nothing of it changes.
                Values::Many(changes) if changes.over && changes.rows.is_empty() => {
                    large.extend(attribute.stored);
                }
                Values::Many(changes) => {
                    let stored = attribute
                        .stored
                        .unwrap_or_else(|| Large::new(context, id, &attribute.description, operational));
                    large.push(stored.with(changes));
                }
            }
        }
        Ok((attributes.build(), large))
    }

    /// All of a new entry's part, whatever is large of it. Of what is large in a stored entry, only values that are new.
    pub(crate) fn whole(&self) -> Attributes {
        let mut attributes = Attributes::builder();
        for (description, _, values) in self.iter() {
            attributes.push(description, values);
        }
        attributes.build()
    }

    fn find(&self, canonical: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|one| one.canonical == canonical)
    }

    /// The values of an attribute, whatever spelling it has; none if it is not there, and none of one that is
    /// [many](Self::is_present).
    pub(crate) fn values(&self, context: &Context, description: &str) -> Vec<Bytes> {
        match self.find(&context.canonical(description)).map(|one| &one.values) {
            Some(Values::Inline(values)) => values.iter().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// How many values the attribute has, large or not.
    pub(crate) fn count(&self, context: &Context, description: &str) -> u64 {
        self.find(&context.canonical(description)).map_or(0, Attribute::count)
    }

    /// Whether the attribute is there, large or not.
    pub(crate) fn is_present(&self, context: &Context, description: &str) -> bool {
        self.find(&context.canonical(description)).is_some()
    }

    /// Makes these the values, whatever was there.
    pub(crate) fn set(&mut self, context: &Context, description: &str, values: Vec<Bytes>) {
        if values.is_empty() && self.attributes.is_empty() {
            return;
        }
        let canonical = context.canonical(description);
        if values.is_empty() {
            self.drop_attribute(&canonical);
        } else {
            self.with(context, description, canonical, |one| one.values = Values::inline(values));
        }
    }

    /// Does something to the attribute, which is made if it is not there: without values, so it must get some.
    fn with<R>(
        &mut self,
        context: &Context,
        description: &str,
        canonical: String,
        work: impl FnOnce(&mut Attribute) -> R,
    ) -> R {
        if let Some(one) = self.attributes.iter_mut().find(|one| one.canonical == canonical) {
            return work(one);
        }
        let back = self.gone.iter().position(|(gone, _)| *gone == canonical);
        let stored = back.map(|place| self.gone.swap_remove(place).1);
        let values = Values::inline([]);
        let mut made = Attribute { description: context.spelt(description), canonical, values, stored };
        let done = work(&mut made);
        self.attributes.push(made);
        done
    }

    fn drop_attribute(&mut self, canonical: &str) {
        let Some(place) = self.attributes.iter().position(|one| one.canonical == canonical) else { return };
        let attribute = self.attributes.remove(place);
        if let Some(stored) = attribute.stored {
            self.gone.push((attribute.canonical, stored));
        }
    }

    /// Adds a value that may be there already. Says whether it was not.
    pub(crate) fn ensure(
        &mut self,
        context: &Context,
        description: &str,
        value: &[u8],
    ) -> Result<bool, Failure> {
        let rows = self.rows;
        let canonical = context.canonical(description);
        let value = Bytes::copy_from_slice(value);
        self.with(context, description, canonical, |one| one.insert(context, rows, std::iter::once(&value)))
    }

    /// Whether there is a value equal to this one.
    pub(crate) fn has(&self, context: &Context, description: &str, value: &[u8]) -> Result<bool, Failure> {
        let Some(one) = self.find(&context.canonical(description)) else { return Ok(false) };
        let normal = normalize(context, description, value);
        match &one.values {
            Values::Inline(values) => Ok(values.has(context, description, &normal)),
            Values::Many(changes) => {
                Ok(changes.get(&one.beneath(self.rows), &normal_key(&normal))?.is_some())
            }
        }
    }

    /// Whether the attribute is large and has this value, and not only since now.
    pub(crate) fn is_known(
        &self,
        context: &Context,
        description: &str,
        value: &[u8],
    ) -> Result<bool, Failure> {
        let Some(one) = self.find(&context.canonical(description)) else { return Ok(false) };
        let Values::Many(changes) = &one.values else { return Ok(false) };
        let key = normal_key(&normalize(context, description, value));
        Ok(!changes.rows.contains_key(&key) && changes.get(&one.beneath(self.rows), &key)?.is_some())
    }

    /// Removes a value that may not be there. Says whether it was.
    pub(crate) fn remove(
        &mut self,
        context: &Context,
        description: &str,
        value: &[u8],
    ) -> Result<bool, Failure> {
        self.remove_by(context, description, |one, rows| {
            one.remove(context, rows, std::iter::once(&Bytes::copy_from_slice(value)))
        })
    }

    /// Removes the value with this normal form from a large attribute. Says whether it was there.
    pub(crate) fn remove_normal(
        &mut self,
        context: &Context,
        description: &str,
        normal: &[u8],
    ) -> Result<bool, Failure> {
        self.remove_by(context, description, |one, rows| {
            let Values::Many(changes) = &mut one.values else { return Ok(false) };
            changes.remove(&Beneath { large: one.stored.as_ref(), rows }, &normal_key(normal))
        })
    }

    /// Has a value removed from an attribute if that is there, and the attribute with its last value. Says what `remove`
    /// says.
    fn remove_by(
        &mut self,
        context: &Context,
        description: &str,
        remove: impl FnOnce(&mut Attribute, Option<&'t dyn ValueRows>) -> Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        let canonical = context.canonical(description);
        let Some(one) = self.attributes.iter_mut().find(|one| one.canonical == canonical) else {
            return Ok(false);
        };
        let removed = remove(one, self.rows)?;
        if one.count() == 0 {
            self.drop_attribute(&canonical);
        }
        Ok(removed)
    }

    /// Makes one change.
    pub(crate) fn apply(&mut self, context: &Context, change: &Change) -> Result<(), Failure> {
        let description = change.attribute.as_str();
        let canonical = context.canonical(description);
        let rows = self.rows;
        match change.kind {
            ChangeKind::Add | ChangeKind::Replace => {
                let replaces = change.kind == ChangeKind::Replace;
                if replaces && change.values.is_empty() {
                    self.drop_attribute(&canonical);
                    return Ok(());
                }
                if change.values.is_empty() {
                    return Err(Failure::refused(
                        ResultCode::PROTOCOL_ERROR,
                        format!("`{description}` is to be added without a value"),
                    ));
                }
                let added = self.with(context, description, canonical, |one| {
                    if replaces {
                        one.values = Values::inline([]);
                    }
                    one.insert(context, rows, change.values.iter())
                })?;
                if !added {
                    return Err(Failure::refused(
                        ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
                        format!("`{description}` has a value that is to be added, or gets it twice"),
                    ));
                }
            }
            ChangeKind::Delete => {
                let Some(attribute) = self.attributes.iter_mut().find(|one| one.canonical == canonical)
                else {
                    return Err(no_such(description));
                };
                if !change.values.is_empty() && !attribute.remove(context, rows, change.values.iter())? {
                    return Err(Failure::refused(
                        ResultCode::NO_SUCH_ATTRIBUTE,
                        format!("`{description}` does not have a value that is to be deleted"),
                    ));
                }
                if change.values.is_empty() || attribute.count() == 0 {
                    self.drop_attribute(&canonical);
                }
            }
            ChangeKind::Increment => {
                let [by] = change.values.as_slice() else {
                    return Err(Failure::refused(
                        ResultCode::PROTOCOL_ERROR,
                        format!("`{description}` is to be incremented by other than one value"),
                    ));
                };
                let Some(attribute) = self.attributes.iter_mut().find(|one| one.canonical == canonical)
                else {
                    return Err(no_such(description));
                };
                let values = attribute
                    .all(rows)?
                    .iter()
                    .map(|value| Some(Bytes::from(integer(value)?.checked_add(integer(by)?)?.to_string())))
                    .collect::<Option<Vec<_>>>()
                    .ok_or_else(|| {
                        Failure::refused(
                            ResultCode::CONSTRAINT_VIOLATION,
                            format!("`{description}` is not a number that can be incremented so"),
                        )
                    })?;
                attribute.values = Values::inline(values);
            }
            _ => {
                return Err(Failure::refused(ResultCode::PROTOCOL_ERROR, "unknown kind of change"));
            }
        }
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
                    let mut values = self.values(context, "objectClass");
                    values.push(Bytes::copy_from_slice(superior.name().as_bytes()));
                    self.set(context, "objectClass", values);
                    classes.push(superior.name().to_owned());
                }
            }
        }
    }
}

impl Attribute {
    fn count(&self) -> u64 {
        match &self.values {
            Values::Inline(values) => values.count() as u64,
            Values::Many(changes) => changes.count,
        }
    }

    fn beneath<'a>(&'a self, rows: Option<&'a dyn ValueRows>) -> Beneath<'a> {
        Beneath { large: self.stored.as_ref(), rows }
    }

    /// Adds values. Says whether none of them was there; some may have been added where one was.
    fn insert<'v>(
        &mut self,
        context: &Context,
        rows: Option<&dyn ValueRows>,
        values: impl Iterator<Item = &'v Bytes>,
    ) -> Result<bool, Failure> {
        let beneath = Beneath { large: self.stored.as_ref(), rows };
        for value in values {
            let normal = normalize(context, &self.description, value);
            let is_new = match &mut self.values {
                Values::Inline(held) => held.insert(context, &self.description, normal, value.clone()),
                Values::Many(changes) => changes.insert(&beneath, normal_key(&normal), value.clone())?,
            };
            if !is_new {
                return Ok(false);
            }
        }
        if let Values::Inline(held) = &self.values {
            fits_row(context, &self.description, held.count())?;
        }
        self.part(context, rows)?;
        Ok(true)
    }

    /// Removes values, each named once or more often. Says whether all of them were there; some may have been removed
    /// where one was not.
    fn remove<'v>(
        &mut self,
        context: &Context,
        rows: Option<&dyn ValueRows>,
        values: impl Iterator<Item = &'v Bytes>,
    ) -> Result<bool, Failure> {
        let beneath = Beneath { large: self.stored.as_ref(), rows };
        let named: HashSet<_> = values.map(|value| normalize(context, &self.description, value)).collect();
        for normal in named {
            let was_there = match &mut self.values {
                Values::Inline(held) => held.remove(context, &self.description, &normal),
                Values::Many(changes) => changes.remove(&beneath, &normal_key(&normal))?,
            };
            if !was_there {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives values rows of their own, if they are many.
    fn part(&mut self, context: &Context, rows: Option<&dyn ValueRows>) -> Result<(), Failure> {
        let Values::Inline(held) = &self.values else { return Ok(()) };
        let limits = &context.limits;
        if (held.count() <= limits.inline_values && held.octets() <= limits.inline_octets)
            || stays_inline(context, &self.description)
        {
            return Ok(());
        }
        let mut changes = Changes::anew();
        let beneath = Beneath { large: self.stored.as_ref(), rows };
        for (normal, value) in held.normals(context, &self.description) {
            changes.insert(&beneath, normal_key(normal), value.clone())?;
        }
        if changes.count != held.count() as u64 {
            return Err(Failure::refused(
                ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
                format!("`{}` would have a value twice", self.description),
            ));
        }
        self.values = Values::Many(changes);
        Ok(())
    }

    /// Takes values back into the entry's row, if they are few: not at once below the bound, so that a value that comes
    /// and goes does not move all of them each time.
    fn rejoin(&mut self, context: &Context, rows: Option<&dyn ValueRows>) -> Result<(), Failure> {
        let Values::Many(changes) = &self.values else { return Ok(()) };
        let limits = &context.limits;
        let few = changes.count <= limits.inline_values as u64 / 2
            && changes.octets <= limits.inline_octets as u64 / 2;
        if few || stays_inline(context, &self.description) {
            self.values = Values::inline(self.all(rows)?);
        }
        Ok(())
    }

    /// All values.
    fn all(&self, rows: Option<&dyn ValueRows>) -> Result<Vec<Bytes>, Failure> {
        let changes = match &self.values {
            Values::Inline(values) => return Ok(values.iter().cloned().collect()),
            Values::Many(changes) => changes,
        };
        let (Some(stored), Some(rows)) = (&self.stored, rows) else {
            return Ok(changes.put().cloned().collect());
        };
        let mut values = Vec::new();
        stored.clone().with(changes.clone()).visit(rows, None, &mut |_, value| {
            values.push(Bytes::copy_from_slice(value));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(values)
    }
}

fn integer(value: &Bytes) -> Option<i128> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn no_such(description: &str) -> Failure {
    Failure::refused(ResultCode::NO_SUCH_ATTRIBUTE, format!("there is no `{description}`"))
}
