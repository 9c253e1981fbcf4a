//! How rows are encoded. Lengths before contents; nothing is trusted on the way back.

use bytes::Bytes;
use flext_ldap_proto::{
    attribute::{Attributes, AttributesBuilder, AttributesRef},
    dn::RdnKey,
    message::Limits,
};

use crate::{tables::Failure, values::Large};

/// Names an entry. 0 is the root, which is no entry.
pub(crate) type Id = u32;

/// The id of the root: what suffixes stand below.
pub(crate) const ROOT: Id = 0;

/// What stored rows may hold: they were checked when they came in, so nothing but a bound on memory.
pub(crate) const STORED: Limits = {
    let mut limits = Limits::DEFAULT.with_message(usize::MAX);
    limits.attributes = usize::MAX;
    limits.values = usize::MAX;
    limits
};

/// A row of `node`: where an entry stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Node {
    pub(crate) parent: Id,
    pub(crate) children: u32,
    /// The normalised name below the parent: one component, for a suffix all of them, leaf first.
    pub(crate) key: Vec<RdnKey>,
    /// The same as written.
    pub(crate) name: String,
}

impl Node {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut key = Vec::new();
        encode_key(&self.key, &mut key);
        let mut row = Vec::with_capacity(12 + key.len() + self.name.len());
        put_node(&mut row, self.parent, self.children, &key, self.name.as_bytes());
        row
    }

    pub(crate) fn decode(mut row: &[u8]) -> Result<Self, Failure> {
        let node = (|| {
            let parent = take_u32(&mut row)?;
            let children = take_u32(&mut row)?;
            let mut key = take_octets(&mut row)?;
            let mut rdns = Vec::with_capacity(1);
            while !key.is_empty() {
                rdns.push(RdnKey::from_normalized(take_octets(&mut key)?));
            }
            Some(Self { parent, children, key: rdns, name: std::str::from_utf8(row).ok()?.to_owned() })
        })();
        node.ok_or_else(|| Failure::damaged("the place of an entry"))
    }
}

/// Appends a row of `node`; the normalised name is encoded already.
pub(crate) fn put_node(row: &mut Vec<u8>, parent: Id, children: u32, key: &[u8], name: &[u8]) {
    row.extend_from_slice(&parent.to_be_bytes());
    row.extend_from_slice(&children.to_be_bytes());
    put_octets(row, key);
    row.extend_from_slice(name);
}

/// The parent of a row of `node`, without reading the rest.
pub(crate) fn parent_of(mut row: &[u8]) -> Result<Id, Failure> {
    take_u32(&mut row).ok_or_else(|| Failure::damaged("the place of an entry"))
}

/// How many children a row of `node` has, without reading the rest.
pub(crate) fn children_of(row: &[u8]) -> Result<u32, Failure> {
    let children = row.get(4..).and_then(|mut row| take_u32(&mut row));
    children.ok_or_else(|| Failure::damaged("the place of an entry"))
}

/// The key in `tree` of what is named `key` below `parent`.
pub(crate) fn tree_key(parent: Id, key: &[RdnKey]) -> Vec<u8> {
    let mut tree = parent.to_be_bytes().to_vec();
    encode_key(key, &mut tree);
    tree
}

/// Appends a normalised name below a parent.
pub(crate) fn encode_key(key: &[RdnKey], out: &mut Vec<u8>) {
    for rdn in key {
        put_octets(out, rdn.as_bytes());
    }
}

/// Set in the first number of a row of `entry` that has large attributes. Rows of format 1 have none, and no list of
/// attributes is as long as this number.
const HAS_LARGE: u32 = 1 << 31;

/// A row of `entry`: the attributes in wire form, in one buffer, and what stands there for those that are
/// [large](crate::values).
///
/// A row starts with the length of the user attributes, then come these, then the operational ones. Where there are
/// large ones, all that has before it the length of what they keep here, with its first bit set, and that.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    user: Attributes,
    operational: Attributes,
    large: Vec<Large>,
}

impl Stored {
    pub(crate) fn new(user: Attributes, operational: Attributes) -> Self {
        Self { user, operational, large: Vec::new() }
    }

    /// With these attributes besides.
    pub(crate) fn with_large(self, large: Vec<Large>) -> Self {
        Self { large, ..self }
    }

    /// The same as the entry `id`.
    pub(crate) fn numbered(mut self, id: Id) -> Self {
        self.large.iter_mut().for_each(|large| large.number(id));
        self
    }

    /// With the operational attributes that `more` adds.
    pub(crate) fn with_operational(self, more: &mut dyn FnMut(&mut AttributesBuilder)) -> Self {
        let mut operational = self.operational.into_builder();
        more(&mut operational);
        Self { operational: operational.build(), ..self }
    }

    /// The attributes that are not large: those of users and the operational ones.
    pub(crate) fn segments(&self) -> [&Attributes; 2] {
        [&self.user, &self.operational]
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let octets = self.segments().map(|segment| segment.as_ref().as_bytes().len());
        let mut row = Vec::with_capacity(octets.iter().sum::<usize>().saturating_add(4));
        self.encode_into(&mut row);
        row
    }

    /// Appends the row. Operational attributes that follow it are part of it.
    pub(crate) fn encode_into(&self, row: &mut Vec<u8>) {
        let (user, operational) = (self.user.as_ref().as_bytes(), self.operational.as_ref().as_bytes());
        let start = row.len();
        if !self.large.is_empty() {
            let mut large = Vec::new();
            for one in &self.large {
                one.encode(&mut large);
            }
            put_octets(row, &large);
            if let Some(first) = row.get_mut(start) {
                *first |= 0x80;
            }
        }
        put_octets(row, user);
        row.extend_from_slice(operational);
    }

    /// Reads the row of the entry `id`.
    pub(crate) fn decode(id: Id, row: &[u8]) -> Result<Self, Failure> {
        let parts = (|| {
            let (large, row) = take_large(id, row)?;
            let bytes = Bytes::copy_from_slice(row);
            let mut rest = row;
            let split = take_octets(&mut rest).map(|user| 4 + user.len())?;
            let user = Attributes::check(bytes.slice(4..split), &STORED).ok()?;
            let operational = Attributes::check(bytes.slice(split..), &STORED).ok()?;
            Some(Self { user, operational, large })
        })();
        parts.ok_or_else(|| Failure::damaged("an entry"))
    }

    /// What `*` returns.
    pub(crate) fn user(&self) -> AttributesRef<'_> {
        self.user.as_ref()
    }

    /// What `+` returns, without what is computed.
    pub(crate) fn operational(&self) -> AttributesRef<'_> {
        self.operational.as_ref()
    }

    /// The attributes whose values are rows of their own, of both kinds.
    pub(crate) fn large(&self) -> &[Large] {
        &self.large
    }
}

/// Splits what stands for large attributes off a row, if there is any.
fn take_large(id: Id, row: &[u8]) -> Option<(Vec<Large>, &[u8])> {
    let mut rest = row;
    let length = take_u32(&mut rest)?;
    if length & HAS_LARGE == 0 {
        return Some((Vec::new(), row));
    }
    let (mut stubs, rest) = rest.split_at_checked(usize::try_from(length & !HAS_LARGE).ok()?)?;
    let mut large = Vec::with_capacity(1);
    while !stubs.is_empty() {
        large.push(Large::decode(id, &mut stubs)?);
    }
    Some((large, rest))
}

/// The password hashes in a row of `secret`, without what `ppolicy::history` keeps behind them.
pub(crate) fn decode_secret(mut row: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
    let mut values = Vec::new();
    while !row.is_empty() {
        let value = take_octets(&mut row).ok_or_else(|| Failure::damaged("a password hash"))?;
        if value.is_empty() {
            break; // Former ones follow.
        }
        values.push(value.to_vec());
    }
    Ok(values)
}

pub(crate) fn put_octets(row: &mut Vec<u8>, octets: &[u8]) {
    // Nothing that comes in is larger than a message, which is far below 4 GiB.
    let length = u32::try_from(octets.len()).unwrap_or(u32::MAX);
    row.extend_from_slice(&length.to_be_bytes());
    row.extend_from_slice(octets);
}

pub(crate) fn take_octets<'a>(row: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_u32(row)?).ok()?;
    let (octets, rest) = row.split_at_checked(length)?;
    *row = rest;
    Some(octets)
}

pub(crate) fn take_u32(row: &mut &[u8]) -> Option<u32> {
    let (number, rest) = row.split_first_chunk()?;
    *row = rest;
    Some(u32::from_be_bytes(*number))
}

pub(crate) fn take_u64(row: &mut &[u8]) -> Option<u64> {
    let (number, rest) = row.split_first_chunk()?;
    *row = rest;
    Some(u64::from_be_bytes(*number))
}
