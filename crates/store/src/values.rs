//! Attributes with many values: a group of a million members is changed by one row.
//!
//! An attribute with more values or octets than [`Limits`](crate::Limits) keeps in an entry's row lives in the table
//! `value`, one row for each value under the entry's id, the attribute and the value's normal form. The entry's row
//! keeps a [`Large`] in its place: how many values there are and how long they are in wire form. So to find, add or
//! remove one takes a look at one row, whatever their number, and an answer is written from the rows as they are read.
//!
//! Values come in the order of their normal forms. They are a set (RFC 4512 §2.2), so this order is nobody's to rely
//! on; it is the same from one reading to the next.
//!
//! What must hold between the tables:
//!
//! - a [`Large`] counts exactly the rows under its prefix, and the octets of their values as elements of a `SET OF`;
//! - the key of each row is the one that [`value_key`] makes of its value;
//! - no row stands under an entry and attribute without a [`Large`];
//! - an attribute is in the segments of an entry or large, never both; `objectClass`, `ref` and `pwd…` are never large.
//!
//! Which attributes are large is no invariant: it depends on limits that can be set anew, and takes effect when an entry
//! is next written.

pub(crate) mod changes;
mod rekey;
mod see;
mod split;
mod write;

use std::{
    ops::{Bound, ControlFlow},
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use self::changes::{Changed, Changes};
pub(crate) use self::{rekey::rekey, see::evaluate, write::encoded_length};
use crate::{
    context::{Context, base},
    row::{Id, put_octets, take_octets, take_u64},
    tables::{Failure, Rows, Tables},
};

/// Normal forms longer than this are replaced by their hash in keys.
const LONGEST: usize = 200;

/// An attribute of an entry whose values are rows of `value`.
#[derive(Clone, Debug)]
pub(crate) struct Large {
    /// As the schema spells it, options included.
    pub(crate) description: String,
    /// Whether `+` returns it rather than `*`.
    pub(crate) operational: bool,
    /// How many values there are.
    pub(crate) count: u64,
    /// How long they are as elements of a `SET OF`, headers included.
    pub(crate) octets: u64,
    /// What all keys of its rows start with.
    prefix: Vec<u8>,
    /// What is about to be done to the rows: reading goes through it.
    changes: Option<Arc<Changes>>,
}

/// Where rows of `value` are read: a snapshot or the open transaction.
pub(crate) trait ValueRows {
    /// The value under a whole key.
    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, Failure>;

    /// Shows the rows under a prefix in the order of their keys, each key without the prefix, beginning after `after`
    /// (without the prefix too), until `visit` breaks.
    fn visit(&self, prefix: &[u8], after: Option<&[u8]>, visit: Visit<'_>) -> Result<(), Failure>;
}

/// What looks at a key and a value, and says whether to go on.
pub(crate) type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Failure>;

impl<T: Rows> ValueRows for Tables<T> {
    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, Failure> {
        self.counts.values_read.fetch_add(1, Ordering::Relaxed);
        Ok(self.value.get(key)?.map(|row| Bytes::copy_from_slice(row.value())))
    }

    fn visit(&self, prefix: &[u8], after: Option<&[u8]>, visit: Visit<'_>) -> Result<(), Failure> {
        let start = after.map(|after| [prefix, after].concat());
        let lower = start.as_deref().map_or(Bound::Included(prefix), Bound::Excluded);
        let mut read = 0;
        for row in self.value.range::<&[u8]>((lower, Bound::Unbounded))? {
            let (key, value) = row?;
            let Some(key) = key.value().strip_prefix(prefix) else { break };
            read += 1;
            if visit(key, value.value())?.is_break() {
                break;
            }
        }
        self.counts.values_read.fetch_add(read, Ordering::Relaxed);
        Ok(())
    }
}

impl Large {
    /// A large attribute of `id` without values so far.
    pub(crate) fn new(context: &Context, id: Id, description: &str, operational: bool) -> Self {
        Self {
            description: context.spelt(description),
            operational,
            count: 0,
            octets: 0,
            prefix: prefix(id, &attribute_key(context, description)),
            changes: None,
        }
    }

    /// Makes it one of the entry `id`.
    pub(crate) fn number(&mut self, id: Id) {
        if let Some(own) = self.prefix.first_chunk_mut() {
            *own = id.to_be_bytes();
        }
    }

    /// What all keys of its rows start with.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// What is about to be done to its rows.
    pub(crate) fn changes(&self) -> Option<&Arc<Changes>> {
        self.changes.as_ref()
    }

    /// As it will be once `changes` are made.
    pub(crate) fn with(mut self, changes: Changes) -> Self {
        (self.count, self.octets) = (changes.count, changes.octets);
        self.changes = Some(Arc::new(changes));
        self
    }

    /// The value with this key, as it was given.
    pub(crate) fn get(&self, rows: &dyn ValueRows, key: &[u8]) -> Result<Option<Bytes>, Failure> {
        if let Some(changes) = &self.changes {
            match changes.rows.get(key) {
                Some(Changed::Put(value)) => return Ok(Some(value.clone())),
                Some(Changed::Removed(_)) => return Ok(None),
                None if !changes.over => return Ok(None),
                None => {}
            }
        }
        rows.value(&[&self.prefix, key].concat())
    }

    /// Shows each value with its key in the order of keys, after one, until `visit` breaks.
    pub(crate) fn visit(
        &self,
        rows: &dyn ValueRows,
        after: Option<&[u8]>,
        visit: Visit<'_>,
    ) -> Result<(), Failure> {
        let Some(changes) = &self.changes else {
            return rows.visit(&self.prefix, after, visit);
        };
        let lower = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut changed = changes.rows.range::<[u8], _>((lower, Bound::Unbounded)).peekable();
        let mut ended = false;
        if changes.over {
            rows.visit(&self.prefix, after, &mut |key, value| {
                while let Some((new, change)) = changed.next_if(|(new, _)| new.as_slice() < key) {
                    if let Changed::Put(value) = change
                        && visit(new, value)?.is_break()
                    {
                        ended = true;
                        return Ok(ControlFlow::Break(()));
                    }
                }
                let flow = match changed.next_if(|(new, _)| new.as_slice() == key) {
                    Some((_, Changed::Put(value))) => visit(key, value)?,
                    Some((_, Changed::Removed(_))) => ControlFlow::Continue(()),
                    None => visit(key, value)?,
                };
                ended = flow.is_break();
                Ok(flow)
            })?;
        }
        for (key, change) in changed {
            if ended {
                break;
            }
            if let Changed::Put(value) = change {
                ended = visit(key, value)?.is_break();
            }
        }
        Ok(())
    }

    /// Up to `limit` values with their keys, in the order of keys, after one: to go through them all in bounded memory.
    pub(crate) fn page(
        &self,
        rows: &dyn ValueRows,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Bytes)>, Failure> {
        let mut page = Vec::new();
        if limit == 0 {
            return Ok(page);
        }
        self.visit(rows, after, &mut |key, value| {
            page.push((key.to_vec(), Bytes::copy_from_slice(value)));
            Ok(if page.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(page)
    }

    /// Adds what an entry's row keeps of it.
    pub(crate) fn encode(&self, row: &mut Vec<u8>) {
        put_octets(row, self.prefix.get(4..).unwrap_or_default());
        put_octets(row, self.description.as_bytes());
        row.push(u8::from(self.operational));
        row.extend_from_slice(&self.count.to_be_bytes());
        row.extend_from_slice(&self.octets.to_be_bytes());
    }

    /// Takes one off what an entry's row keeps.
    pub(crate) fn decode(id: Id, row: &mut &[u8]) -> Option<Self> {
        let attribute = take_octets(row)?;
        let description = std::str::from_utf8(take_octets(row)?).ok()?.to_owned();
        let (kind, rest) = row.split_first()?;
        *row = rest;
        let (count, octets) = (take_u64(row)?, take_u64(row)?);
        let attribute = attribute.strip_suffix(b"\0")?;
        let operational = match kind {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self { description, operational, count, octets, prefix: prefix(id, attribute), changes: None })
    }
}

/// What names an attribute in keys: its type by OID, its options sorted. Other names for it make no difference.
pub(crate) fn attribute_key(context: &Context, description: &str) -> Vec<u8> {
    let name = base(description);
    let canonical = context.canonical(description);
    let options = canonical.find(';').and_then(|at| canonical.get(at..)).unwrap_or_default();
    let own = context.schema.attribute_type(name).map_or_else(|| base(&canonical), |kind| &kind.oid);
    [own.as_bytes(), options.as_bytes()].concat()
}

fn prefix(id: Id, attribute: &[u8]) -> Vec<u8> {
    // No attribute description has a zero octet, so none is the beginning of another.
    [&id.to_be_bytes(), attribute, b"\0"].concat()
}

/// What names a value among those of its attribute: its normal form, or the hash of one that is long.
pub(crate) fn value_key(context: &Context, description: &str, value: &[u8]) -> Vec<u8> {
    let kind = context.schema.attribute_type(base(description));
    match kind.and_then(|kind| context.schema.normalize(kind, value).ok()) {
        Some(normal) => normal_key(&normal),
        // Equal to itself only.
        None => normal_key(value),
    }
}

/// The key of the value with this normal form.
pub(crate) fn normal_key(normal: &[u8]) -> Vec<u8> {
    if normal.len() <= LONGEST {
        [b"=", normal].concat()
    } else {
        [b"#".as_slice(), &Sha256::digest(normal)].concat()
    }
}

/// Whether an attribute's values stay in the entry's row however many they are: those the store itself reads with
/// every entry, and what a password policy says or keeps of an account.
pub(crate) fn stays_inline(context: &Context, description: &str) -> bool {
    let name = context.preferred(base(description));
    let is_of_policy = name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("pwd"));
    is_of_policy || ["objectClass", "ref"].iter().any(|one| one.eq_ignore_ascii_case(name))
}
