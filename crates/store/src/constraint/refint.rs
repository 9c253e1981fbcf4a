//! Referential integrity: values that name an entry go with it, and change with its name.
//!
//! Done within the operation that deletes or renames, found by the equality indexes of the attributes, each entry that
//! refers changed once and with its own row in the change log. Nobody's rights on the referring entries are asked for:
//! whoever may delete an entry may not thereby keep its name in use.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use flext_ldap_directory::Actor;
use flext_ldap_proto::{
    attribute::AttributeDescription,
    dn::Dn,
    result::ResultCode,
    schema::{Schema, Violation},
};

use super::{indexed, misuse, names_entries, nobody};
use crate::{
    context::{Context, base},
    index::{Asked, Indexes},
    modify::Draft,
    read::{Named, Resolved},
    row::{Id, Stored},
    tables::{Failure, Rows, Tables},
    values::{Large, normal_key},
    write::{Departed, Effect, Work},
};

/// Which values follow the entries they name.
///
/// By default those of `member`, `uniqueMember`, `manager` and `owner`, as far as they are indexed: a name that is left
/// behind in a group gives the group's rights to whoever gets the name next.
#[derive(Clone, Debug)]
pub struct ReferentialIntegrity {
    /// Absent: the default ones.
    attributes: Option<Vec<String>>,
    pub(super) must_exist: bool,
    placeholder: Dn,
}

impl Default for ReferentialIntegrity {
    fn default() -> Self {
        Self { attributes: None, must_exist: false, placeholder: nobody() }
    }
}

impl ReferentialIntegrity {
    /// For these attributes, each of names and with an index for equality.
    #[must_use]
    pub fn of<S: Into<String>>(attributes: impl IntoIterator<Item = S>) -> Self {
        Self { attributes: Some(attributes.into_iter().map(Into::into).collect()), ..Self::default() }
    }

    /// Refuses values that are written from now on and name no entry, if they name one of a naming context served here.
    #[must_use]
    pub fn must_exist(mut self) -> Self {
        self.must_exist = true;
        self
    }

    /// What an attribute is left with that a class requires and that would lose its last value: a group without members.
    /// Unless it is set, `cn=nobody`.
    #[must_use]
    pub fn placeholder(mut self, name: Dn) -> Self {
        self.placeholder = name;
        self
    }

    /// One for each attribute that was asked for, to be looked at on its own.
    pub(super) fn each(&self) -> Vec<Self> {
        self.attributes.iter().flatten().map(|attribute| Self::of([attribute])).collect()
    }

    /// What is left of it.
    pub(super) fn without_attributes(&self) -> Self {
        Self { attributes: None, ..self.clone() }
    }
}

/// The attributes whose values are names that ought to lead somewhere.
const DEFAULT: [&str; 4] = ["member", "uniqueMember", "manager", "owner"];

/// Referential integrity, resolved.
#[derive(Clone, Debug)]
pub(crate) struct References {
    pub(super) attributes: Vec<AttributeDescription>,
    pub(super) must_exist: bool,
    placeholder: Dn,
}

impl References {
    pub(super) fn new(
        options: &ReferentialIntegrity,
        schema: &Schema,
        indexes: &Indexes,
    ) -> Result<Self, Failure> {
        const WHAT: &str = "referential integrity";
        let names: Vec<&str> = match &options.attributes {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => DEFAULT.to_vec(),
        };
        let must = options.attributes.is_some();
        let mut attributes = Vec::with_capacity(names.len());
        for name in names {
            let Some(attribute) = indexed(name, must, WHAT, schema, indexes)? else { continue };
            if !names_entries(schema, name) {
                return Err(misuse(format!("{WHAT}: values of attribute `{name}` are not names")));
            }
            attributes.push(attribute);
        }
        if schema.dn_key(&options.placeholder).is_err() {
            return Err(misuse(format!("{WHAT}: `{}` cannot be a value", options.placeholder)));
        }
        Ok(Self { attributes, must_exist: options.must_exist, placeholder: options.placeholder.clone() })
    }
}

/// What becomes of the values that name one entry: its new name as written, or nothing.
type Names = HashMap<Vec<u8>, Option<String>>;

/// The entries to be changed, each with what it refers to.
pub(crate) type Edits = BTreeMap<Id, Names>;

/// What refers to names that lead elsewhere or nowhere from now on.
///
/// # Errors
///
/// `adminLimitExceeded` where more entries would have to be looked for, or changed, than the limits allow.
pub(crate) fn edits(work: &Work<'_>, departed: &[Departed]) -> Result<Edits, Failure> {
    let mut edits = Edits::new();
    let Some(references) = &work.context.constraints.references else { return Ok(edits) };
    let mut attributes = Vec::new();
    for attribute in &references.attributes {
        if is_used(work, attribute)? {
            attributes.push(attribute.as_str());
        }
    }
    if attributes.is_empty() {
        return Ok(edits);
    }
    let mut budget = work.context.limits.renamed;
    for one in departed {
        let mut stack = vec![(one.id, one.old.clone(), one.new.clone(), one.has_children)];
        if one.new.is_none()
            && matches!(work.context.resolve(work.tables, &one.old.key)?, Resolved::Found(id) if id != one.id)
        {
            // Another entry has the name already.
            continue;
        }
        while let Some((id, old, new, has_children)) = stack.pop() {
            budget = budget.checked_sub(1).ok_or_else(|| {
                limit(format!(
                    "more than {} names would change, and what refers to them with them; move it in parts",
                    work.context.limits.renamed
                ))
            })?;
            refer(work, &attributes, &old, new.as_ref(), &mut edits)?;
            if !has_children {
                continue;
            }
            for (_, child) in work.tables.children(id, None, budget.saturating_add(1))? {
                let node = work.tables.existing_node(child)?;
                let below = new.as_ref().map(|new| new.child(&node));
                stack.push((child, old.child(&node), below, node.children > 0));
            }
        }
    }
    for one in departed.iter().filter(|one| one.new.is_none()) {
        edits.remove(&one.id);
    }
    Ok(edits)
}

/// Notes the entries that have `old` as a value.
fn refer(
    work: &Work<'_>,
    attributes: &[&str],
    old: &Named,
    new: Option<&Named>,
    edits: &mut Edits,
) -> Result<(), Failure> {
    for attribute in attributes {
        for id in work.under(attribute, Asked::Equality(old.dn.as_bytes()))? {
            let name = normal(&work.context.schema, attribute, old.dn.as_bytes());
            edits.entry(id).or_default().insert(name, new.map(|new| new.dn.clone()));
            if edits.len() > work.context.limits.references {
                return Err(limit(format!(
                    "more than {} entries refer to it; remove it from them first",
                    work.context.limits.references
                )));
            }
        }
    }
    Ok(())
}

fn limit(diagnostic: String) -> Failure {
    Failure::refused(ResultCode::ADMIN_LIMIT_EXCEEDED, diagnostic)
}

/// Whether any entry has the attribute, as far as an index tells.
fn is_used(work: &Work<'_>, attribute: &AttributeDescription) -> Result<bool, Failure> {
    let context = work.context;
    let keys =
        context.indexes.lookup(&context.schema, &work.tables.standing, attribute.as_str(), Asked::Presence);
    match keys {
        Some(keys) => {
            Ok(work.tables.count(&keys, 0)? > 0
                || !work.under(attribute.as_str(), Asked::Presence)?.is_empty())
        }
        None => Ok(true),
    }
}

fn normal(schema: &Schema, attribute: &str, value: &[u8]) -> Vec<u8> {
    schema
        .attribute_type(base(attribute))
        .and_then(|kind| schema.normalize(kind, value).ok())
        .map_or_else(|| value.to_vec(), |normal| normal.into_owned())
}

/// One entry without the names that lead nowhere, and with the new ones.
pub(crate) fn edit(work: &Work<'_>, id: Id, names: &Names, actor: &Actor) -> Result<Effect, Failure> {
    let context = work.context;
    let node = work.tables.existing_node(id)?;
    let stored = work.tables.stored(id)?.ok_or_else(|| Failure::damaged("an entry"))?;
    let mut user = Draft::user(context, work.tables, &stored);
    let mut operational = Draft::operational(context, work.tables, &stored);
    let mut effect = Effect::modify(id, &node, stored.operational());
    let placeholder = context.constraints.references.as_ref().map(|references| &references.placeholder);
    for draft in [&mut user, &mut operational] {
        let given: Vec<String> = draft.iter().map(|(description, ..)| description.to_owned()).collect();
        for description in given.iter().filter(|one| is_reference(context, one)) {
            if replace(context, draft, description, names)? {
                effect.changes(context, description);
            }
        }
    }
    let dn: Dn = work.tables.named(id)?.dn.parse().map_err(|_| Failure::damaged("the name of an entry"))?;
    let missing: Vec<String> = context
        .schema
        .violations(&dn, user.whole().as_ref())
        .into_iter()
        .filter_map(|violation| match violation {
            Violation::MissingAttribute { attribute, .. } => Some(attribute),
            _ => None,
        })
        .collect();
    for attribute in missing.iter().filter(|one| effect.has_changed(context, one)) {
        let value = placeholder.map(|name| Bytes::copy_from_slice(name.as_str().as_bytes()));
        user.set(context, attribute, value.into_iter().collect());
    }
    work.stamped(&mut operational, actor);
    let new = work.settled(id, user, operational)?;
    work.entry_rows(&mut effect, id, Some(&stored), Some(&new))?;
    Ok(effect)
}

/// Puts other names in the places of those that are values of an attribute. Says whether that changes anything.
fn replace(
    context: &Context,
    draft: &mut Draft<'_>,
    description: &str,
    names: &Names,
) -> Result<bool, Failure> {
    let inline = draft.values(context, description);
    if !inline.is_empty() {
        let Some(values) = replaced(&context.schema, &inline, description, names) else { return Ok(false) };
        draft.set(context, description, values);
        return Ok(true);
    }
    // Of a large attribute no other value is read.
    let mut new = Vec::new();
    let mut changed = false;
    for (old, name) in names {
        if draft.remove_normal(context, description, old)? {
            changed = true;
            new.extend(name.as_deref());
        }
    }
    for name in new {
        draft.ensure(context, description, name.as_bytes())?;
    }
    Ok(changed)
}

pub(super) fn is_reference(context: &Context, description: &str) -> bool {
    let references = context.constraints.references.as_ref();
    references.is_some_and(|references| {
        references.attributes.iter().any(|one| context.schema.is_within(description, one))
    })
}

/// Whether a value names nothing in a naming context that is served here.
pub(super) fn dangles<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    references: &References,
    value: &[u8],
    own: &Named,
) -> Result<bool, Failure> {
    let name = std::str::from_utf8(value).ok().and_then(|text| text.parse::<Dn>().ok());
    let Some(key) = name.as_ref().and_then(|name| context.schema.dn_key(name).ok()) else { return Ok(false) };
    let elsewhere = context.suffix_levels(&key).is_none() || name.as_ref() == Some(&references.placeholder);
    if elsewhere || key == own.key {
        return Ok(false);
    }
    Ok(!matches!(context.resolve(tables, &key)?, Resolved::Found(_)))
}

/// The values with other names in their places, if that changes anything.
fn replaced(schema: &Schema, values: &[Bytes], description: &str, names: &Names) -> Option<Vec<Bytes>> {
    let mut changed = false;
    let mut seen: HashSet<Vec<u8>> = HashSet::with_capacity(values.len());
    let mut kept = Vec::with_capacity(values.len());
    for value in values {
        let own = normal(schema, description, value);
        let (own, value) = match names.get(&own) {
            None => (own, value.clone()),
            Some(new) => {
                changed = true;
                let Some(new) = new else { continue };
                (normal(schema, description, new.as_bytes()), Bytes::copy_from_slice(new.as_bytes()))
            }
        };
        // The new name may be there already.
        if seen.insert(own) {
            kept.push(value);
        }
    }
    changed.then_some(kept)
}

/// That values which are new in an entry name something, where that is asked for.
pub(crate) fn check(work: &Work<'_>, old: Option<&Stored>, new: &Stored, own: &Named) -> Result<(), Failure> {
    let context = work.context;
    let Some(references) = context.constraints.references.as_ref().filter(|one| one.must_exist) else {
        return Ok(());
    };
    let schema = &context.schema;
    let look = |before: &Values<'_>, description: &str, value: &[u8]| -> Result<(), Failure> {
        if before.has(work, &normal(schema, description, value))?
            || !dangles(context, work.tables, references, value, own)?
        {
            return Ok(());
        }
        Err(Failure::refused(
            ResultCode::CONSTRAINT_VIOLATION,
            format!("a value of `{description}` names no entry; add the entry first"),
        ))
    };
    for attribute in new.user().iter().chain(new.operational().iter()) {
        let description = attribute.description();
        if !is_reference(context, description) {
            continue;
        }
        let before = Values::of(context, old, description);
        for value in attribute.values() {
            look(&before, description, value)?;
        }
    }
    for large in new.large() {
        let description = &large.description;
        // Without changes, nothing is new.
        let Some(changes) = large.changes().filter(|_| is_reference(context, description)) else { continue };
        let before = Values::of(context, old, description);
        for value in changes.put() {
            look(&before, description, value)?;
        }
    }
    Ok(())
}

/// What an entry had of one attribute.
struct Values<'e> {
    inline: HashSet<Vec<u8>>,
    large: Option<&'e Large>,
}

impl<'e> Values<'e> {
    fn of(context: &Context, old: Option<&'e Stored>, description: &str) -> Self {
        let canonical = context.canonical(description);
        let inline = old
            .into_iter()
            .flat_map(|old| old.user().iter().chain(old.operational().iter()))
            .filter(|one| context.canonical(one.description()) == canonical)
            .flat_map(|one| one.values())
            .map(|value| normal(&context.schema, description, value))
            .collect();
        let mut large = old.into_iter().flat_map(Stored::large);
        Self { inline, large: large.find(|one| context.canonical(&one.description) == canonical) }
    }

    fn has(&self, work: &Work<'_>, normal: &[u8]) -> Result<bool, Failure> {
        if self.inline.contains(normal) {
            return Ok(true);
        }
        let Some(large) = self.large else { return Ok(false) };
        Ok(large.get(work.tables, &normal_key(normal))?.is_some())
    }
}
