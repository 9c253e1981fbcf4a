//! Which groups somebody is in: values of `member` and `uniqueMember` (RFC 4519 §2.17, §2.40).
//!
//! Where both are indexed, as they are by default, the answer is found through the index, which is exact: it takes the
//! same time however large a group is. Names are compared as the schema says and in no other way, so a group is its
//! entry, not its `cn`.

use std::{collections::HashSet, ops::ControlFlow};

use flext_ldap_directory::Group;
use flext_ldap_proto::{
    dn::{Dn, DnKey},
    schema::Schema,
};
use roaring::RoaringBitmap;

use crate::{
    constraint::under,
    context::{Context, base},
    index::{Asked, Recent},
    read::Resolved,
    row::Id,
    tables::{Failure, Rows, Tables},
};

/// Attributes whose values are members.
pub(crate) const MEMBERS: [&str; 2] = ["member", "uniqueMember"];

/// How deep groups in groups are followed, and how many groups in all. What is beyond is not found, so it gives nothing;
/// a circle of groups ends where it began.
const DEPTH: usize = 20;
const GROUPS: u64 = 10_000;

/// Of which of `groups` the one named `member` is a member; `recent` is what the open commit did to indexes.
pub(crate) fn of<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    recent: Option<&Recent>,
    member: &DnKey,
    name: &Dn,
    groups: &[Group],
) -> Result<Vec<bool>, Failure> {
    let Some(direct) = containing(context, tables, recent, name.as_str())? else {
        return groups.iter().map(|group| climb(context, tables, member, group)).collect();
    };
    if direct.is_empty() {
        return Ok(vec![false; groups.len()]);
    }
    let all = if groups.iter().any(|group| group.nested) {
        closure(context, tables, recent, direct.clone())?
    } else {
        direct.clone()
    };
    let within = |group: &Group, id| if group.nested { all.contains(id) } else { direct.contains(id) };
    if groups.len() as u64 <= all.len() {
        return groups
            .iter()
            .map(|group| match context.resolve(tables, &group.dn)? {
                Resolved::Found(id) => Ok(within(group, id)),
                Resolved::Missing(_) => Ok(false),
            })
            .collect();
    }
    let mut names: HashSet<(DnKey, bool)> = HashSet::new();
    for id in &all {
        // An index can know an entry that this very transaction has taken away.
        if tables.node(id)?.is_some() {
            names.insert((tables.named(id)?.key, direct.contains(id)));
        }
    }
    let contains = |group: &Group, direct| names.contains(&(group.dn.clone(), direct));
    Ok(groups.iter().map(|group| contains(group, true) || (group.nested && contains(group, false))).collect())
}

/// The entries that name `name` as a member; `None` where no index tells.
fn containing<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    recent: Option<&Recent>,
    name: &str,
) -> Result<Option<RoaringBitmap>, Failure> {
    let mut ids = RoaringBitmap::new();
    for attribute in MEMBERS {
        let asked = Asked::Equality(name.as_bytes());
        if context.indexes.lookup(&context.schema, &tables.standing, attribute, asked).is_none() {
            return Ok(None);
        }
        ids |= under(context, tables, recent, attribute, asked)?;
    }
    Ok(Some(ids))
}

/// `direct`, and the groups these are members of, and so on.
fn closure<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    recent: Option<&Recent>,
    direct: RoaringBitmap,
) -> Result<RoaringBitmap, Failure> {
    let mut all = direct.clone();
    let mut last = direct;
    for _ in 0..DEPTH {
        let mut found = RoaringBitmap::new();
        for id in &last {
            if tables.node(id)?.is_none() {
                continue;
            }
            found |= containing(context, tables, recent, &tables.named(id)?.dn)?.unwrap_or_default();
            if found.len() + all.len() > GROUPS {
                break;
            }
        }
        found -= &all;
        if found.is_empty() {
            break;
        }
        all |= &found;
        if all.len() > GROUPS {
            break;
        }
        last = found;
    }
    Ok(all)
}

/// Looks through a group's own values, and those of the groups in it: where there is no index.
fn climb<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    member: &DnKey,
    group: &Group,
) -> Result<bool, Failure> {
    let Resolved::Found(first) = context.resolve(tables, &group.dn)? else { return Ok(false) };
    let mut seen: HashSet<Id> = HashSet::from([first]);
    let mut level = vec![first];
    for _ in 0..=DEPTH {
        let mut below = Vec::new();
        for id in level {
            let Some(stored) = tables.stored(id)? else { continue };
            let is_member = |description: &str| {
                let kind = context.preferred(base(description));
                MEMBERS.iter().any(|one| one.eq_ignore_ascii_case(kind))
            };
            let mut look = |value: &[u8]| -> Result<bool, Failure> {
                let Some(key) = key_of(&context.schema, value) else { return Ok(false) };
                if key == *member {
                    return Ok(true);
                }
                if group.nested
                    && (seen.len() as u64) < GROUPS
                    && let Resolved::Found(id) = context.resolve(tables, &key)?
                    && seen.insert(id)
                {
                    below.push(id);
                }
                Ok(false)
            };
            for attribute in stored.user().iter().filter(|one| is_member(one.description())) {
                for value in attribute.values() {
                    if look(value)? {
                        return Ok(true);
                    }
                }
            }
            for large in stored.large().iter().filter(|one| is_member(&one.description)) {
                let mut found = false;
                large.visit(tables, None, &mut |_, value| {
                    found = look(value)?;
                    Ok(if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
                })?;
                if found {
                    return Ok(true);
                }
            }
        }
        if below.is_empty() {
            return Ok(false);
        }
        level = below;
    }
    Ok(false)
}

/// The name a value is, as names are compared.
pub(super) fn key_of(schema: &Schema, value: &[u8]) -> Option<DnKey> {
    let dn: Dn = std::str::from_utf8(value).ok()?.parse().ok()?;
    schema.dn_key(&dn).ok()
}
