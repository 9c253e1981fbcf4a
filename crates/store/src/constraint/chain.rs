//! Who is reached by following references from entry to entry: nested groups, a manager's managers.
//!
//! A walk keeps what it found as a set, so that circles end and no entry is looked at twice, and what is still open as a
//! list, so that depth costs nothing. It works for as long as it is let and goes on where it stopped. It goes through an
//! entry only for those who may know of it and may search the attribute that is followed: what one could not find by
//! asking step by step is not found in a chain.

use flext_ldap_proto::attribute::AttributeDescription;
use roaring::RoaringBitmap;
use tokio::time::Instant;

use super::{
    member_of::{is_member, tells},
    under,
};
use crate::{
    context::{Access, Context},
    index::Asked,
    read::Resolved,
    row::Id,
    search::SLICE,
    tables::{Failure, Snapshot},
    values::Large,
};

/// Members of a large attribute that are read at once.
const AT_ONCE: usize = 256;

/// A walk under way.
#[derive(Debug)]
pub(super) struct Walk {
    way: Way,
    /// Found, and to be gone on from.
    open: Vec<Id>,
    found: RoaringBitmap,
}

/// What leads from one entry to the next.
#[derive(Debug)]
enum Way {
    /// To the entries that have its name as a value of this attribute.
    Holders(AttributeDescription),
    /// From a group to its members.
    Members {
        /// To those of the groups among them too.
        nested: bool,
        /// Entries that have members; absent where no index tells.
        groups: Option<RoaringBitmap>,
        /// Members whose entries were not looked up yet.
        names: Vec<Vec<u8>>,
        /// Large attributes whose members were not all read yet, each with the key of the last that was.
        rest: Vec<(Large, Option<Vec<u8>>)>,
    },
    /// From each of these to the groups that have it as a member, until one is the group asked for.
    Among {
        group: Id,
        waiting: RoaringBitmap,
        /// From whom the walk goes, and the groups it met.
        from: Option<(Id, RoaringBitmap)>,
        /// Groups that do not lead there.
        astray: RoaringBitmap,
    },
}

impl Walk {
    /// To all that have `value` in `attribute`, or that have one of those in it, and so on.
    pub(super) fn holders(
        context: &Context,
        tables: &Snapshot,
        attribute: AttributeDescription,
        value: &[u8],
    ) -> Result<Self, Failure> {
        let found = under(context, tables, None, attribute.as_str(), Asked::Equality(value))?;
        Ok(Self { way: Way::Holders(attribute), open: found.iter().collect(), found })
    }

    /// To the members of a group, and of the groups in it where `nested` says so.
    pub(super) fn members(
        context: &Context,
        tables: &Snapshot,
        group: Id,
        nested: bool,
    ) -> Result<Self, Failure> {
        let mut groups = nested.then(RoaringBitmap::new);
        for attribute in context.constraints.membership.iter().flat_map(|one| &one.attributes) {
            let keys = context.indexes.lookup(
                &context.schema,
                &tables.standing,
                attribute.as_str(),
                Asked::Presence,
            );
            groups = match (groups, keys) {
                (Some(groups), Some(keys)) => Some(groups | tables.candidates(&keys)?),
                _ => None,
            };
        }
        let way = Way::Members { nested, groups, names: Vec::new(), rest: Vec::new() };
        Ok(Self { way, open: vec![group], found: RoaringBitmap::new() })
    }

    /// To those among `candidates` that are in a group, or in one of those in it.
    pub(super) fn among(candidates: RoaringBitmap, group: Id) -> Self {
        let way = Way::Among { group, waiting: candidates, from: None, astray: RoaringBitmap::new() };
        Self { way, open: Vec::new(), found: RoaringBitmap::new() }
    }

    /// All that was found.
    pub(super) fn found(&self) -> &RoaringBitmap {
        &self.found
    }

    /// Goes on for a slice. Says whether it is at its end, and counts the entries looked at in `looked`.
    pub(super) fn step(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        started: Instant,
        looked: &mut u64,
    ) -> Result<bool, Failure> {
        while started.elapsed() <= SLICE {
            let more = match &self.way {
                Way::Holders(_) => self.holder(context, access, tables)?,
                Way::Members { .. } => self.member(context, access, tables)?,
                Way::Among { .. } => self.candidate(context, access, tables)?,
            };
            if !more {
                return Ok(true);
            }
            *looked += 1;
        }
        Ok(false)
    }

    fn holder(&mut self, context: &Context, access: &Access<'_>, tables: &Snapshot) -> Result<bool, Failure> {
        let Way::Holders(attribute) = &self.way else { return Ok(false) };
        let Some(id) = self.open.pop() else { return Ok(false) };
        if tables.node(id)?.is_none() {
            return Ok(true);
        }
        let named = tables.named(id)?;
        if tells(access, &named, attribute) {
            let asked = Asked::Equality(named.dn.as_bytes());
            let new = under(context, tables, None, attribute.as_str(), asked)? - &self.found;
            self.open.extend(&new);
            self.found |= new;
        }
        Ok(true)
    }

    fn member(&mut self, context: &Context, access: &Access<'_>, tables: &Snapshot) -> Result<bool, Failure> {
        let Way::Members { nested, groups, names, rest } = &mut self.way else { return Ok(false) };
        if let Some(name) = names.pop() {
            let name = std::str::from_utf8(&name).ok().and_then(|name| name.parse().ok());
            let Some(key) = name.and_then(|name| context.schema.dn_key(&name).ok()) else { return Ok(true) };
            let Resolved::Found(id) = context.resolve(tables, &key)? else { return Ok(true) };
            let is_group = groups.as_ref().is_none_or(|groups| groups.contains(id));
            if self.found.insert(id) && *nested && is_group {
                self.open.push(id);
            }
            return Ok(true);
        }
        if let Some((large, after)) = rest.pop() {
            let page = large.page(tables, after.as_deref(), AT_ONCE)?;
            let last = page.last().map(|(key, _)| key.clone());
            names.extend(page.into_iter().map(|(_, value)| value.to_vec()));
            rest.extend(last.map(|last| (large, Some(last))));
            return Ok(true);
        }
        let Some(id) = self.open.pop() else { return Ok(false) };
        let Some(stored) = tables.stored(id)? else { return Ok(true) };
        let named = tables.named(id)?;
        for attribute in context.constraints.membership.iter().flat_map(|one| &one.attributes) {
            if !tells(access, &named, attribute) {
                continue;
            }
            for own in stored.user().iter().chain(stored.operational().iter()) {
                if context.schema.is_within(own.description(), attribute) {
                    names.extend(own.values().map(<[u8]>::to_vec));
                }
            }
            for large in stored.large() {
                if context.schema.is_within(&large.description, attribute) {
                    rest.push((large.clone(), None));
                }
            }
        }
        Ok(true)
    }

    fn candidate(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
    ) -> Result<bool, Failure> {
        let Way::Among { group, waiting, from, astray } = &mut self.way else { return Ok(false) };
        let Some((first, met)) = from else {
            let Some(next) = waiting.min() else { return Ok(false) };
            waiting.remove(next);
            *from = Some((next, RoaringBitmap::new()));
            self.open = vec![next];
            return Ok(true);
        };
        let Some(id) = self.open.pop() else {
            // Whatever was met on the way leads nowhere either.
            *astray |= &*met;
            *from = None;
            return Ok(true);
        };
        if tables.node(id)?.is_none() {
            return Ok(true);
        }
        let named = tables.named(id)?;
        for attribute in context.constraints.membership.iter().flat_map(|one| &one.attributes) {
            if is_member(context, tables, *group, std::slice::from_ref(attribute), &named)?
                && tells(access, &tables.named(*group)?, attribute)
            {
                self.found.insert(*first);
                *from = None;
                return Ok(true);
            }
            let asked = Asked::Equality(named.dn.as_bytes());
            let above = under(context, tables, None, attribute.as_str(), asked)?;
            for id in (above - &*met) - &*astray {
                if tells(access, &tables.named(id)?, attribute) {
                    met.insert(id);
                    self.open.push(id);
                }
            }
        }
        Ok(true)
    }
}
