//! `memberOf`: the groups that name an entry as a member, computed when it is asked for and never stored.
//!
//! It tells nobody more than a search for `(member=…)` would tell them: of a group that its reader may not know of, or
//! whose members they may not search, nothing is said. Nested groups are not in it; [`chain`](super::chain) follows those.

use flext_ldap_directory::{AttributeRight, EntryRight};
use flext_ldap_proto::{
    attribute::{AttributeDescription, Attributes, AttributesRef},
    schema::Schema,
};
use roaring::RoaringBitmap;

use super::{indexed, misuse, names_entries, under};
use crate::{
    context::{Access, Context, base},
    index::{Asked, Indexes, Recent},
    project::View,
    read::{Climbed, Named},
    row::{Id, Stored},
    tables::{Failure, Rows, Tables},
};

/// Where the values of `memberOf` come from.
///
/// By default from `member` and `uniqueMember`, as far as they are indexed.
#[derive(Clone, Debug, Default)]
pub struct MemberOf {
    /// Absent: the default ones.
    attributes: Option<Vec<String>>,
}

impl MemberOf {
    /// From these attributes of groups, each of names and with an index for equality.
    #[must_use]
    pub fn of<S: Into<String>>(attributes: impl IntoIterator<Item = S>) -> Self {
        Self { attributes: Some(attributes.into_iter().map(Into::into).collect()) }
    }

    /// One for each attribute that was asked for, to be looked at on its own.
    pub(super) fn each(&self) -> Vec<Self> {
        self.attributes.iter().flatten().map(|attribute| Self::of([attribute])).collect()
    }
}

/// What membership is read from, resolved.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    /// The attributes of groups that name members.
    pub(super) attributes: Vec<AttributeDescription>,
    /// The names and the OID of `memberOf`.
    names: Vec<Box<str>>,
}

/// The attribute that is computed.
const MEMBER_OF: &str = "memberOf";

impl Membership {
    pub(super) fn new(
        options: &MemberOf,
        schema: &Schema,
        indexes: &Indexes,
    ) -> Result<Option<Self>, Failure> {
        let given = options.attributes.as_deref();
        let names: Vec<&str> = match given {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => vec!["member", "uniqueMember"],
        };
        let mut attributes = Vec::with_capacity(names.len());
        for name in names {
            let Some(attribute) = indexed(name, given.is_some(), MEMBER_OF, schema, indexes)? else {
                continue;
            };
            if !names_entries(schema, name) {
                return Err(misuse(format!("{MEMBER_OF}: values of attribute `{name}` are not names")));
            }
            attributes.push(attribute);
        }
        let Some(kind) = schema.attribute_type(MEMBER_OF).filter(|_| !attributes.is_empty()) else {
            return Ok(None);
        };
        let names = kind.names.iter().chain([&kind.oid]).cloned().collect();
        Ok(Some(Self { attributes, names }))
    }

    /// Whether this attribute is the one computed.
    pub(crate) fn is_it(&self, description: &str) -> bool {
        let given = base(description);
        self.names.iter().any(|name| name.eq_ignore_ascii_case(given))
    }
}

/// Whether somebody may find out whom a group has as members by this attribute.
pub(super) fn tells(access: &Access<'_>, group: &Named, attribute: &AttributeDescription) -> bool {
    access.entry(group, EntryRight::Disclose)
        && access.attribute(group, attribute.as_str(), AttributeRight::Search)
}

/// The names of the groups that an entry is directly in.
fn groups<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    recent: Option<&Recent>,
    access: &Access<'_>,
    member: &Named,
    climbed: &mut Climbed,
) -> Result<Vec<String>, Failure> {
    let Some(membership) = &context.constraints.membership else { return Ok(Vec::new()) };
    let mut told = RoaringBitmap::new();
    let mut names = Vec::new();
    for attribute in &membership.attributes {
        let asked = Asked::Equality(member.dn.as_bytes());
        for id in under(context, tables, recent, attribute.as_str(), asked)? {
            if told.contains(id) {
                continue;
            }
            let Some(node) = tables.node(id)? else { continue };
            let group = tables.named_below(&node, climbed)?;
            if tells(access, &group, attribute) {
                told.insert(id);
                names.push(group.dn);
            }
        }
    }
    Ok(names)
}

/// Adds `memberOf` to what is computed of an entry. Values that were stored under that name, by an import of before
/// they were computed, are not shown.
pub(crate) fn complete<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    recent: Option<&Recent>,
    access: &Access<'_>,
    climbed: &mut Climbed,
    view: &mut View,
) -> Result<(), Failure> {
    let Some(membership) = &context.constraints.membership else { return Ok(()) };
    let is_stored =
        |segment: AttributesRef<'_>| segment.iter().any(|one| membership.is_it(one.description()));
    let is_large = view.stored.large().iter().any(|one| membership.is_it(&one.description));
    if is_large || is_stored(view.stored.user()) || is_stored(view.stored.operational()) {
        let (user, operational) = (view.stored.user(), view.stored.operational());
        let without = |segment| but(segment, |one| membership.is_it(one));
        let large = view.stored.large().iter().filter(|one| !membership.is_it(&one.description)).cloned();
        view.stored =
            Stored::new(without(user).build(), without(operational).build()).with_large(large.collect());
    }
    let names = groups(context, tables, recent, access, &view.named, climbed)?;
    if !names.is_empty() {
        let mut computed = but(view.computed.as_ref(), |_| false);
        computed.push(MEMBER_OF, names);
        view.computed = computed.build();
    }
    Ok(())
}

/// A segment without some of its attributes.
fn but(
    segment: AttributesRef<'_>,
    out: impl Fn(&str) -> bool,
) -> flext_ldap_proto::attribute::AttributesBuilder {
    let mut rest = Attributes::builder();
    for attribute in segment.iter().filter(|attribute| !out(attribute.description())) {
        rest.push(attribute.description(), attribute.values());
    }
    rest
}

/// Whether a group has an entry as a member, by any of these attributes.
pub(super) fn is_member<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    group: Id,
    attributes: &[AttributeDescription],
    member: &Named,
) -> Result<bool, Failure> {
    for attribute in attributes {
        let asked = Asked::Equality(member.dn.as_bytes());
        let keys = context
            .indexes
            .lookup(&context.schema, &tables.standing, attribute.as_str(), asked)
            .unwrap_or_default();
        if tables.has(&keys, group)? {
            return Ok(true);
        }
    }
    Ok(false)
}
