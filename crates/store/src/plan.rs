//! Which entries can match a filter, as far as the indexes tell.

use flext_ldap_proto::filter::{Filter, Node};
use roaring::RoaringBitmap;

use crate::{
    context::Context,
    index::Asked,
    tables::{Failure, Rows, Tables},
};

/// Counting a key's entries stops here: so many are as good as all.
const ENOUGH: u64 = 1_000_000;

/// Sets that are worth intersecting with a smaller one.
const INTERSECTED: u64 = 50_000;

/// Keys of one estimate; a disjunction of more is not looked up.
const KEYS: usize = 10_000;

/// The entries under any of `keys`, and under any of each of `also`.
#[derive(Debug)]
struct Estimate {
    count: u64,
    keys: Vec<Vec<u8>>,
    also: Vec<Vec<Vec<u8>>>,
}

/// Every entry that can match `filter` is among those returned; `None` where no index helps.
pub(crate) fn candidates<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    filter: &Filter,
) -> Result<Option<RoaringBitmap>, Failure> {
    let Some(estimate) = estimate(context, tables, filter)? else { return Ok(None) };
    let mut ids = tables.candidates(&estimate.keys)?;
    for keys in &estimate.also {
        ids &= tables.candidates(keys)?;
    }
    Ok(Some(ids))
}

/// Filters are lists of nodes in prefix order: read from the end, every node finds its children on the stack.
fn estimate<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    filter: &Filter,
) -> Result<Option<Estimate>, Failure> {
    let mut stack: Vec<Option<Estimate>> = Vec::new();
    for node in filter.nodes().iter().rev() {
        let estimate = match node {
            Node::And { children } => {
                let children = take(&mut stack, *children);
                // A conjunction of nothing is true of everything.
                conjunction(children.into_iter().flatten().collect())
            }
            Node::Or { children } => disjunction(take(&mut stack, *children)),
            Node::Not => {
                stack.pop();
                None
            }
            Node::Equality(attribute, value) | Node::Approximate(attribute, value) => {
                leaf(context, tables, attribute.as_str(), Asked::Equality(value))?
            }
            Node::Present(attribute) => leaf(context, tables, attribute.as_str(), Asked::Presence)?,
            Node::Substrings(attribute, _)
            | Node::GreaterOrEqual(attribute, _)
            | Node::LessOrEqual(attribute, _) => {
                // Whatever matches has the attribute.
                leaf(context, tables, attribute.as_str(), Asked::Presence)?
            }
            _ => None,
        };
        stack.push(estimate);
    }
    Ok(stack.pop().flatten())
}

fn take(stack: &mut Vec<Option<Estimate>>, count: usize) -> Vec<Option<Estimate>> {
    stack.split_off(stack.len().saturating_sub(count))
}

fn leaf<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    attribute: &str,
    asked: Asked<'_>,
) -> Result<Option<Estimate>, Failure> {
    if context.is_password(attribute) || context.constraints.computes(attribute) {
        return Ok(None);
    }
    let Some(keys) = context.indexes.lookup(&context.schema, attribute, asked) else { return Ok(None) };
    let count = tables.count(&keys, ENOUGH)?;
    Ok(Some(Estimate { count, keys, also: Vec::new() }))
}

fn conjunction(mut children: Vec<Estimate>) -> Option<Estimate> {
    children.sort_by_key(|child| child.count);
    let mut children = children.into_iter();
    let mut smallest = children.next()?;
    for child in children {
        // Reading a large set costs more than looking at a few entries too many.
        if child.count <= INTERSECTED && child.count <= smallest.count.saturating_mul(100) {
            smallest.also.push(child.keys);
        }
    }
    Some(smallest)
}

fn disjunction(children: Vec<Option<Estimate>>) -> Option<Estimate> {
    let mut sum = Estimate { count: 0, keys: Vec::new(), also: Vec::new() };
    for child in children {
        let child = child?;
        sum.count = sum.count.saturating_add(child.count);
        sum.keys.extend(child.keys);
        if sum.keys.len() > KEYS {
            return None;
        }
    }
    Some(sum)
}
