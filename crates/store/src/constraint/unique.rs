//! Unique values: what one entry has no other may get.
//!
//! Asked of the equality indexes, in the order of the writes: of two in one commit the second is refused. An entry is
//! looked at when it gets a value, when it comes into the part of the tree that a constraint is about, and when it comes to
//! match its filter. Values that are there twice when a constraint is configured stay; nobody gets them a third time.

use std::{collections::HashSet, ops::ControlFlow};

use flext_ldap_directory::{AttributeRight, EntryRight};
use flext_ldap_proto::{
    attribute::{AttributeDescription, AttributesRef},
    dn::{Dn, DnKey},
    filter::{Filter, Matcher, Truth},
    result::ResultCode,
    schema::Schema,
};

use super::{indexed, misuse};
use crate::{
    context::{Access, Context, base},
    index::{Asked, Indexes},
    meter::Meter,
    project::computed,
    read::Named,
    row::{Id, Stored},
    tables::{Failure, Rows, Tables},
    values::{Large, evaluate, normal_key},
    write::Work,
};

/// Attributes whose values no two entries share, as OpenLDAP's `unique` and 389-ds's Attribute Uniqueness have it.
///
/// A value counts whichever of the attributes it is in: with `mail` and `mailAlternateAddress`, nobody gets another's
/// address as an alternate one. Nobody is exempt, not even administrators or an import.
///
/// ```
/// use flext_ldap_store::{StoreOptions, UniqueValues};
///
/// let options = StoreOptions::memory()
///     .unique(UniqueValues::of(["uid"]).below("ou=people,dc=harbourlane,dc=example".parse()?))
///     .unique(UniqueValues::of(["mail"]));
/// # Ok::<(), flext_ldap_proto::dn::DnError>(())
/// ```
#[derive(Clone, Debug)]
pub struct UniqueValues {
    attributes: Vec<String>,
    bases: Vec<Dn>,
    filter: Option<Filter>,
}

impl UniqueValues {
    /// Values of these attributes, each with an index for equality, among all entries.
    #[must_use]
    pub fn of<S: Into<String>>(attributes: impl IntoIterator<Item = S>) -> Self {
        Self { attributes: attributes.into_iter().map(Into::into).collect(), bases: Vec::new(), filter: None }
    }

    /// Among `base` and what is below it, and below other bases given so. For bases that are to be told apart, give
    /// several constraints.
    #[must_use]
    pub fn below(mut self, base: Dn) -> Self {
        self.bases.push(base);
        self
    }

    /// Among entries for which this filter is true. It sees stored attributes and `entryDN`.
    #[must_use]
    pub fn among(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Where values are told apart; everywhere if there is none.
    #[must_use]
    pub fn bases(&self) -> &[Dn] {
        &self.bases
    }

    /// One for each attribute, to be looked at on its own.
    pub(super) fn each(&self) -> Vec<Self> {
        let one = |attribute: &String| Self { attributes: vec![attribute.clone()], ..self.clone() };
        self.attributes.iter().map(one).collect()
    }
}

/// A constraint, resolved.
#[derive(Clone, Debug)]
pub(crate) struct Unique {
    pub(super) attributes: Vec<AttributeDescription>,
    bases: Vec<DnKey>,
    filter: Option<Filter>,
}

/// What looks at an attribute and a value, and says whether to go on.
type VisitNamed<'v> = &'v mut dyn FnMut(&str, &[u8]) -> Result<ControlFlow<()>, Failure>;

/// A subtree on its way: names below `old` are looked at as if they were below `new`.
#[derive(Clone, Copy)]
pub(crate) struct Moved<'a> {
    pub(crate) old: &'a Named,
    pub(crate) new: &'a Named,
}

impl Unique {
    pub(super) fn new(options: &UniqueValues, schema: &Schema, indexes: &Indexes) -> Result<Self, Failure> {
        const WHAT: &str = "unique values";
        if options.attributes.is_empty() {
            return Err(misuse(format!("{WHAT}: no attribute is named")));
        }
        let mut attributes = Vec::with_capacity(options.attributes.len());
        for name in &options.attributes {
            attributes.extend(indexed(name, true, WHAT, schema, indexes)?);
        }
        let key =
            |dn: &Dn| schema.dn_key(dn).map_err(|error| misuse(format!("{WHAT}: the base `{dn}`: {error}")));
        let bases = options.bases.iter().map(key).collect::<Result<_, _>>()?;
        Ok(Self { attributes, bases, filter: options.filter.clone() })
    }

    /// Whether an entry is one of those the constraint is about.
    pub(super) fn is_about<T: Rows>(
        &self,
        context: &Context,
        tables: &Tables<T>,
        id: Id,
        named: &Named,
        stored: &Stored,
        meter: &Meter,
    ) -> Result<bool, Failure> {
        if !self.bases.is_empty() && !self.bases.iter().any(|base| named.key.is_within(base)) {
            return Ok(false);
        }
        let Some(filter) = &self.filter else { return Ok(true) };
        let dn: Dn = named.dn.parse().map_err(|_| Failure::damaged("the name of an entry"))?;
        let computed = match tables.node(id)? {
            Some(node) => computed(&node, named, ""),
            None => Default::default(),
        };
        let segments: [AttributesRef<'_>; 3] = [stored.user(), stored.operational(), computed.as_ref()];
        let matcher = Matcher::new(filter, &context.schema);
        let readable = |attribute: &str| !context.is_password(attribute);
        let large = stored.large();
        let truth = evaluate(context, tables, &matcher, &dn, &segments, large, meter, &readable, &|_| None)?;
        Ok(truth == Truth::True)
    }

    /// The values an entry has of the attributes in its row: attribute, value as written, value as compared.
    fn values<'e>(&self, context: &Context, stored: &'e Stored) -> Vec<(&'e str, &'e [u8], Vec<u8>)> {
        let mut values = Vec::new();
        for attribute in stored.user().iter().chain(stored.operational().iter()) {
            let description = attribute.description();
            if !self.attributes.iter().any(|one| context.schema.is_within(description, one)) {
                continue;
            }
            for value in attribute.values() {
                values.push((description, value, normal(context, description, value)));
            }
        }
        values
    }

    /// The large attributes whose values count.
    fn large<'e>(&self, context: &Context, stored: &'e Stored) -> impl Iterator<Item = &'e Large> {
        let is_meant = |one: &&Large| {
            self.attributes.iter().any(|attribute| context.schema.is_within(&one.description, attribute))
        };
        stored.large().iter().filter(is_meant)
    }

    /// Whether an entry has any value that counts.
    pub(super) fn has_values(&self, context: &Context, stored: &Stored) -> bool {
        !self.values(context, stored).is_empty() || self.large(context, stored).next().is_some()
    }

    /// Shows each value of an entry that counts, with the attribute it is in.
    pub(super) fn visit<T: Rows>(
        &self,
        context: &Context,
        tables: &Tables<T>,
        stored: &Stored,
        visit: VisitNamed<'_>,
    ) -> Result<(), Failure> {
        for (description, value, _) in self.values(context, stored) {
            if visit(description, value)?.is_break() {
                return Ok(());
            }
        }
        for large in self.large(context, stored) {
            let mut flow = ControlFlow::Continue(());
            large.visit(tables, None, &mut |_, value| {
                flow = visit(&large.description, value)?;
                Ok(flow)
            })?;
            if flow.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn check(
        &self,
        work: &Work<'_>,
        access: &Access<'_>,
        id: Id,
        old: Option<(&Stored, &Named)>,
        new: (&Stored, &Named),
        moved: Option<Moved<'_>>,
    ) -> Result<(), Failure> {
        let Work { context, tables, .. } = work;
        // The one writer is held meanwhile.
        let meter = Meter::budget();
        if !self.has_values(context, new.0) || !self.is_about(context, tables, id, new.1, new.0, &meter)? {
            return Ok(());
        }
        let before = match old {
            Some((stored, named)) if self.is_about(context, tables, id, named, stored, &meter)? => {
                Some(stored)
            }
            _ => None,
        };
        let had: HashSet<Vec<u8>> = before
            .into_iter()
            .flat_map(|stored| self.values(context, stored))
            .map(|(.., normal)| normal)
            .collect();
        let new_value = |description: &str, value: &[u8], normal: &[u8]| {
            if had.contains(normal) {
                return Ok(());
            }
            for large in before.into_iter().flat_map(|stored| self.large(context, stored)) {
                if large.get(*tables, &normal_key(normal))?.is_some() {
                    return Ok(());
                }
            }
            for attribute in &self.attributes {
                for other in work.under(attribute.as_str(), Asked::Equality(value))? {
                    if other == id {
                        continue;
                    }
                    let Some(stored) = work.tables.stored(other)? else { continue };
                    let named = place(work, other, moved)?;
                    if self.is_about(work.context, work.tables, other, &named, &stored, &meter)? {
                        return Err(taken(access, description, attribute, &named));
                    }
                }
            }
            Ok(())
        };
        for (description, value, normal) in self.values(context, new.0) {
            new_value(description, value, &normal)?;
        }
        for large in self.large(context, new.0) {
            let name = &large.description;
            let stays = before.is_some_and(|stored| {
                self.large(context, stored).any(|other| other.prefix() == large.prefix())
            });
            match large.changes() {
                // All others were there before.
                Some(changes) if stays || !changes.over => {
                    for value in changes.put() {
                        new_value(name, value, &normal(context, name, value))?;
                    }
                }
                None if stays => {}
                _ => large.visit(*tables, None, &mut |_, value| {
                    new_value(name, value, &normal(context, name, value))?;
                    Ok(ControlFlow::Continue(()))
                })?,
            }
        }
        Ok(())
    }

    /// Whether what stands below an entry comes among those the constraint is about when the entry is moved.
    fn takes_in(&self, moved: Moved<'_>) -> bool {
        let reaches = |base: &DnKey| {
            (moved.new.key.is_within(base) || base.is_within(&moved.new.key))
                && !moved.old.key.is_within(base)
        };
        self.bases.iter().any(reaches)
    }
}

/// A value as it is compared.
pub(super) fn normal(context: &Context, description: &str, value: &[u8]) -> Vec<u8> {
    let kind = context.schema.attribute_type(base(description));
    let normal = kind.and_then(|kind| context.schema.normalize(kind, value).ok());
    normal.map_or_else(|| value.to_vec(), |one| one.into_owned())
}

/// The name of an entry, after the move if there is one.
fn place(work: &Work<'_>, id: Id, moved: Option<Moved<'_>>) -> Result<Named, Failure> {
    let named = work.tables.named(id)?;
    let Some(Moved { old, new }) = moved else { return Ok(named) };
    let own = named.key.depth().saturating_sub(old.key.depth());
    if !named.key.is_within(&old.key) {
        return Ok(named);
    }
    let rdns = named.key.rdns().iter().take(own).chain(new.key.rdns()).cloned().collect();
    let dn: Dn = named.dn.parse().map_err(|_| Failure::damaged("the name of an entry"))?;
    let below = dn.rdns().take(own).map(|rdn| rdn.as_str());
    let dn = below.chain([new.dn.as_str()]).collect::<Vec<_>>().join(",");
    Ok(Named { dn, key: DnKey::from_rdns(rdns) })
}

/// The refusal. Who has the value is told to those who could find it out by a search.
fn taken(access: &Access<'_>, description: &str, attribute: &AttributeDescription, other: &Named) -> Failure {
    let shown = access.entry(other, EntryRight::Disclose)
        && access.attribute(other, attribute.as_str(), AttributeRight::Search);
    let who = if shown { format!("`{}`", other.dn) } else { "another entry".to_owned() };
    Failure::refused(
        ResultCode::CONSTRAINT_VIOLATION,
        format!(
            "{who} has a value of `{description}` that this entry would get, and no two may have the same"
        ),
    )
}

/// Checks an entry against every constraint.
pub(crate) fn check(
    work: &Work<'_>,
    access: &Access<'_>,
    id: Id,
    old: Option<(&Stored, &Named)>,
    new: (&Stored, &Named),
) -> Result<(), Failure> {
    for unique in &work.context.constraints.unique {
        let moved = match old {
            Some((_, old)) if old.key != new.1.key => Some(Moved { old, new: new.1 }),
            _ => None,
        };
        unique.check(work, access, id, old, new, moved)?;
        if let Some(moved) = moved
            && unique.takes_in(moved)
        {
            descend(unique, work, access, id, moved)?;
        }
    }
    Ok(())
}

/// Checks what comes along with a moved entry.
fn descend(
    unique: &Unique,
    work: &Work<'_>,
    access: &Access<'_>,
    id: Id,
    moved: Moved<'_>,
) -> Result<(), Failure> {
    let limit = work.context.limits.renamed;
    let mut budget = limit;
    let mut stack = vec![(id, moved.old.clone(), moved.new.clone())];
    while let Some((parent, old, new)) = stack.pop() {
        for (_, child) in work.tables.children(parent, None, budget.saturating_add(1))? {
            budget = budget.checked_sub(1).ok_or_else(|| {
                Failure::refused(
                    ResultCode::ADMIN_LIMIT_EXCEEDED,
                    format!("more than {limit} entries would have to be checked for unique values; move it in parts"),
                )
            })?;
            let node = work.tables.existing_node(child)?;
            let (old, new) = (old.child(&node), new.child(&node));
            let stored = work.tables.stored(child)?.ok_or_else(|| Failure::damaged("an entry"))?;
            unique.check(work, access, child, Some((&stored, &old)), (&stored, &new), Some(moved))?;
            if node.children > 0 {
                stack.push((child, old, new));
            }
        }
    }
    Ok(())
}
