//! The parts of a filter that other entries decide: `(memberOf=…)`, and `…:1.2.840.113556.1.4.1941:=`
//! (LDAP_MATCHING_RULE_IN_CHAIN).
//!
//! Membership is one look at an index for each candidate. Chains are followed once, before candidates are looked at. Both
//! say which entries can match, so that they are found without looking at all.

use std::cell::RefCell;

use flext_ldap_directory::AttributeRight;
use flext_ldap_proto::{
    attribute::AttributeDescription,
    dn::Dn,
    filter::{Extensible, Filter, Matcher, Node, Truth},
    result::ResultCode,
    schema::MatchingRule,
};
use roaring::RoaringBitmap;
use tokio::time::Instant;

use super::{
    chain::Walk,
    member_of::{Membership, is_member, tells},
    names_entries,
};
use crate::{
    context::{Access, Context},
    index::Asked,
    meter::Meter,
    project::View,
    read::Resolved,
    row::Id,
    tables::{Failure, Snapshot},
};

/// LDAP_MATCHING_RULE_IN_CHAIN.
const IN_CHAIN: &str = "1.2.840.113556.1.4.1941";

/// Chains of one filter: each may lead to every entry.
const CHAINS: usize = 16;

/// Groups of one filter whose members are looked up; with more, candidates come from elsewhere.
const GROUPS: usize = 64;

/// With so many candidates, members of a group are looked up to leave some out.
const MANY: u64 = 10_000;

/// What a group that is looked up costs, in octets looked at.
const LOOKED_UP: usize = 2_048;

/// So few candidates are followed to a group rather than a group to all its members.
const FEW: u64 = 1_000;

/// What other entries decide of one filter. Empty for most.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// By their places in the filter, in order.
    leaves: Vec<(usize, Leaf)>,
    /// Whether values of `memberOf` are compared in other ways.
    pub(crate) shows: bool,
}

#[derive(Debug)]
enum Leaf {
    /// In this group, by these attributes; in none, where there is no group that one may know of.
    Member { group: Option<(Id, Vec<AttributeDescription>)>, members: Option<Walk> },
    /// In this group, or in one in it.
    Nested { group: Option<Id>, walk: Option<Walk> },
    /// Referring by this attribute, over others.
    Holder { attribute: AttributeDescription, walk: Walk },
}

impl Reach {
    /// Whether the filter asks for values of `memberOf`, in any way.
    pub(crate) fn asks_member_of(context: &Context, filter: &Filter) -> bool {
        let Some(membership) = &context.constraints.membership else { return false };
        filter.nodes().iter().any(|node| match node {
            Node::Extensible(Extensible { attribute: None, .. }) => true,
            node => attribute_of(node).is_some_and(|attribute| membership.is_it(attribute.as_str())),
        })
    }

    pub(crate) fn new(
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        filter: &Filter,
        meter: &Meter,
    ) -> Result<Self, Failure> {
        let mut reach = Self::default();
        let membership = context.constraints.membership.as_ref();
        let is_member_of = |attribute: &AttributeDescription| {
            membership.filter(|one| one.is_it(attribute.as_str()) && attribute.options().next().is_none())
        };
        let mut chains = 0;
        for (place, node) in filter.nodes().iter().enumerate() {
            let leaf = match node {
                Node::Extensible(Extensible {
                    attribute: Some(attribute), rule: Some(rule), value, ..
                }) if &**rule == IN_CHAIN => {
                    chains += 1;
                    if let Some(membership) = is_member_of(attribute) {
                        let group = group(context, access, tables, membership, value)?;
                        group.map(|group| Leaf::Nested { group: group.map(|(id, _)| id), walk: None })
                    } else {
                        holder(context, tables, attribute, value)?
                    }
                }
                Node::Equality(attribute, value) | Node::Approximate(attribute, value) => {
                    match is_member_of(attribute) {
                        Some(membership) => group(context, access, tables, membership, value)?
                            .map(|group| Leaf::Member { group, members: None }),
                        None => None,
                    }
                }
                Node::Extensible(Extensible {
                    attribute: Some(attribute),
                    rule,
                    value,
                    dn_attributes: false,
                }) if is_equality(rule.as_deref()) => match is_member_of(attribute) {
                    Some(membership) => group(context, access, tables, membership, value)?
                        .map(|group| Leaf::Member { group, members: None }),
                    None => None,
                },
                Node::Extensible(Extensible { attribute: None, .. }) => {
                    reach.shows |= membership.is_some();
                    None
                }
                node => {
                    reach.shows |= attribute_of(node)
                        .is_some_and(|attribute| membership.is_some_and(|one| one.is_it(attribute.as_str())));
                    None
                }
            };
            if leaf.is_some() {
                meter.look(LOOKED_UP)?;
            }
            reach.leaves.extend(leaf.map(|leaf| (place, leaf)));
        }
        if chains > CHAINS {
            return Err(Failure::refused(
                ResultCode::ADMIN_LIMIT_EXCEEDED,
                format!("the filter has more than {CHAINS} matches in chain; ask in several searches"),
            ));
        }
        Ok(reach)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// Settles what is to be followed, by the candidates that indexes gave.
    pub(crate) fn begin(
        &mut self,
        context: &Context,
        tables: &Snapshot,
        candidates: Option<&RoaringBitmap>,
    ) -> Result<(), Failure> {
        let groups = self.leaves.iter().filter(|(_, leaf)| matches!(leaf, Leaf::Member { .. })).count();
        let count = candidates.map_or(u64::MAX, RoaringBitmap::len);
        for (_, leaf) in &mut self.leaves {
            match leaf {
                Leaf::Member { group: Some((group, _)), members } if count > MANY && groups <= GROUPS => {
                    *members = Some(Walk::members(context, tables, *group, false)?);
                }
                Leaf::Nested { group: Some(group), walk } => {
                    *walk = Some(match candidates.filter(|_| count <= FEW) {
                        Some(candidates) => Walk::among(candidates.clone(), *group),
                        None => Walk::members(context, tables, *group, true)?,
                    });
                }
                Leaf::Member { .. } | Leaf::Nested { .. } | Leaf::Holder { .. } => {}
            }
        }
        Ok(())
    }

    /// Follows chains for a slice. Says whether all are at their ends, and counts the entries looked at in `looked`.
    pub(crate) fn step(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        started: Instant,
        looked: &mut u64,
    ) -> Result<bool, Failure> {
        for (_, leaf) in &mut self.leaves {
            let walk = match leaf {
                Leaf::Member { members: walk, .. } | Leaf::Nested { walk, .. } => walk.as_mut(),
                Leaf::Holder { walk, .. } => Some(walk),
            };
            if let Some(walk) = walk
                && !walk.step(context, access, tables, started, looked)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The candidates that are left of `candidates`, or of all entries.
    pub(crate) fn narrow(&self, filter: &Filter, candidates: Option<RoaringBitmap>) -> Option<RoaringBitmap> {
        if self.is_empty() {
            return candidates;
        }
        // Read from the end, every node finds its children on the stack.
        let mut stack: Vec<Option<RoaringBitmap>> = Vec::new();
        for (place, node) in filter.nodes().iter().enumerate().rev() {
            let children = stack.split_off(stack.len().saturating_sub(node.children()));
            stack.push(match node {
                Node::And { .. } => children.into_iter().flatten().reduce(|one, other| one & other),
                Node::Or { .. } => {
                    children.into_iter().try_fold(RoaringBitmap::new(), |all, one| Some(all | one?))
                }
                Node::Not => None,
                _ => self.leaf(place).and_then(Leaf::set),
            });
        }
        match (candidates, stack.pop().flatten()) {
            (Some(one), Some(other)) => Some(one & other),
            (one, other) => one.or(other),
        }
    }

    fn leaf(&self, place: usize) -> Option<&Leaf> {
        let found = self.leaves.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        self.leaves.get(found).map(|(_, leaf)| leaf)
    }

    /// Evaluates the filter on an entry.
    #[expect(
        clippy::too_many_arguments,
        reason = "all of it is settled once for a batch, or is of the entry"
    )]
    pub(crate) fn evaluate(
        &self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        matcher: &Matcher<'_>,
        id: Id,
        dn: &Dn,
        view: &View,
        meter: &Meter,
    ) -> Result<Truth, Failure> {
        let on = access.on(&view.named, &view.stored);
        let readable = |attribute: &str| on.attribute(attribute, AttributeRight::Search);
        let failed = RefCell::new(None);
        let known = |place: usize| {
            let leaf = self.leaf(place)?;
            if !meter.spend(LOOKED_UP) || !readable(leaf.attribute()) {
                return Some(Truth::Undefined);
            }
            let holds = match leaf {
                Leaf::Member { group: None, .. } => Ok(false),
                Leaf::Member { group: Some((group, attributes)), .. } => {
                    is_member(context, tables, *group, attributes, &view.named)
                }
                Leaf::Nested { walk, .. } => Ok(walk.as_ref().is_some_and(|walk| walk.found().contains(id))),
                Leaf::Holder { walk, .. } => Ok(walk.found().contains(id)),
            };
            match holds {
                Ok(true) => Some(Truth::True),
                Ok(false) => Some(Truth::False),
                Err(failure) => {
                    failed.replace(Some(failure));
                    Some(Truth::Undefined)
                }
            }
        };
        let truth = view.truth_knowing(context, tables, matcher, dn, meter, &readable, &known)?;
        failed.into_inner().map_or(Ok(truth), Err)
    }
}

impl Leaf {
    /// The attribute of a candidate that is asked about.
    fn attribute(&self) -> &str {
        match self {
            Self::Member { .. } | Self::Nested { .. } => "memberOf",
            Self::Holder { attribute, .. } => attribute.as_str(),
        }
    }

    /// All entries that fulfil it, if they are known.
    fn set(&self) -> Option<RoaringBitmap> {
        match self {
            Self::Member { group: None, .. } | Self::Nested { group: None, .. } => Some(RoaringBitmap::new()),
            Self::Member { members: walk, .. } | Self::Nested { walk, .. } => {
                walk.as_ref().map(|walk| walk.found().clone())
            }
            Self::Holder { walk, .. } => Some(walk.found().clone()),
        }
    }
}

fn is_equality(rule: Option<&str>) -> bool {
    rule.is_none_or(|rule| {
        MatchingRule::find(rule).is_some_and(|rule| rule.name() == "distinguishedNameMatch")
    })
}

/// The group a value names, with the attributes that tell of its members; `None` where the value is no name.
type Group = Option<(Id, Vec<AttributeDescription>)>;

fn group(
    context: &Context,
    access: &Access<'_>,
    tables: &Snapshot,
    membership: &Membership,
    value: &[u8],
) -> Result<Option<Group>, Failure> {
    let name: Option<Dn> = std::str::from_utf8(value).ok().and_then(|name| name.parse().ok());
    // What is no name is undefined, and the matcher says so.
    let Some(name) = name else { return Ok(None) };
    let Ok(key) = context.schema.dn_key(&name) else { return Ok(Some(None)) };
    let Resolved::Found(id) = context.resolve(tables, &key)? else { return Ok(Some(None)) };
    let named = tables.named(id)?;
    let attributes: Vec<_> =
        membership.attributes.iter().filter(|attribute| tells(access, &named, attribute)).cloned().collect();
    Ok(Some((!attributes.is_empty()).then_some((id, attributes))))
}

fn holder(
    context: &Context,
    tables: &Snapshot,
    attribute: &AttributeDescription,
    value: &[u8],
) -> Result<Option<Leaf>, Failure> {
    let name = attribute.attribute_type();
    if attribute.options().next().is_some()
        || context.is_password(name)
        || !names_entries(&context.schema, name)
    {
        return Ok(None);
    }
    if context.indexes.lookup(&context.schema, &tables.standing, name, Asked::Equality(value)).is_none() {
        return Err(Failure::refused(
            ResultCode::UNWILLING_TO_PERFORM,
            format!("matching in chain needs an index for equality of `{name}`"),
        ));
    }
    let walk = Walk::holders(context, tables, attribute.clone(), value)?;
    Ok(Some(Leaf::Holder { attribute: attribute.clone(), walk }))
}

fn attribute_of(node: &Node) -> Option<&AttributeDescription> {
    match node {
        Node::Equality(attribute, _)
        | Node::Substrings(attribute, _)
        | Node::GreaterOrEqual(attribute, _)
        | Node::LessOrEqual(attribute, _)
        | Node::Present(attribute)
        | Node::Approximate(attribute, _) => Some(attribute),
        Node::Extensible(extensible) => extensible.attribute.as_ref(),
        _ => None,
    }
}
