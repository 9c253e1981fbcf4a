//! What entries of an import have in common: thousands have the same classes and attributes, and then much of what is to
//! be found out about one was found out about another.
//!
//! A pattern is taken from an entry that [`NewEntry`] made, and kept only if it makes the same of that entry. Of an entry
//! that fits one, nothing is worked out again that depends on its classes and descriptions alone; its values are checked
//! and its keys made as ever. What does not fit, or has anything wrong with it, is for [`NewEntry`] to deal with: nothing
//! is refused here.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use flext_ldap_proto::{
    attribute::{AttributeRef, AttributesRef},
    dn::{Dn, RdnKey},
    message::Add,
    schema::AttributeType,
};

use super::{
    Bundle, LastParent, Prepared, Write, WriteOp,
    bundle::Bundled,
    new_entry::{NewEntry, STAMPED, may_be_large},
};
use crate::{
    context::{Context, base},
    index::{Index, Keys},
    ppolicy::history,
    row::put_octets,
};

/// Patterns that are kept. A directory has some dozens.
const MOST: usize = 1_000;

/// Values of one attribute, from which on they are left to [`NewEntry`].
const MANY: usize = 16;

/// The patterns of one context.
pub(crate) struct Patterns {
    context: Arc<Context>,
    /// By what [`Given::key`] says of their entries. None where no pattern can be had.
    patterns: HashMap<Box<[u8]>, Option<Pattern>>,
    uuids: Uuids,
    /// Of the entry at hand.
    keys: Keys,
}

/// What entries of the same classes with the same attributes have in common.
struct Pattern {
    /// One for each attribute that is given, in their order.
    columns: Vec<Column>,
    uuid: Uuid,
    /// Operational attributes that are not given, as they are stored.
    added: Vec<u8>,
    /// The keys of what is the same for all.
    keys: Arc<Keys>,
    stamped: [bool; STAMPED.len()],
}

/// What becomes of an attribute that is given.
enum Column {
    /// It is stored as it is, if its values are right.
    Own(Box<Own>),
    /// All entries have the same values.
    Same { given: Vec<u8>, stored: Vec<u8>, is_operational: bool },
    /// It is not stored.
    Dropped,
}

/// An attribute that has other values in every entry.
struct Own {
    kind: AttributeType,
    indexes: Vec<Index>,
    /// Whether it can be what the entry is named by.
    may_name: bool,
}

/// Where the entryUUID comes from.
enum Uuid {
    /// From the column at this place.
    Given(usize),
    /// It is made, and stands here among what is added.
    Made { at: usize, indexes: Vec<Index> },
}

/// The attributes of a request, each with the octets it is in wire form.
struct Given<'a>(Vec<(AttributeRef<'a>, &'a [u8])>);

const CLASSES: &str = "objectClass";
const STRUCTURAL: &str = "structuralObjectClass";
const UUID: &str = "entryUUID";

impl Patterns {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, patterns: HashMap::new(), uuids: Uuids::default(), keys: Keys::with_room() }
    }

    /// Puts a new entry into a bundle of the same context, or gives it back where it fits no pattern.
    pub(crate) fn take(&mut self, write: Write, bundle: &mut Bundle, last: &LastParent) -> Option<Write> {
        let before = bundle.octets.len();
        let Some((entry, shared)) = self.entry(&write, bundle, last) else {
            bundle.octets.truncate(before);
            return Some(write);
        };
        bundle.push(entry, &self.keys, Some(&shared));
        None
    }

    /// Learns from an entry that was made, unless its like is known.
    pub(crate) fn learn(&mut self, write: &Write, prepared: &Prepared) {
        let (WriteOp::Add(add), Ok(entry)) = (&write.op, &prepared.entry) else { return };
        let given = Given::of(add);
        let key = given.key(write);
        if self.patterns.len() >= MOST || entry.split.is_some() || self.patterns.contains_key(&*key) {
            return;
        }
        let pattern = Pattern::of(&self.context, &given, entry);
        let pattern = pattern.filter(|pattern| pattern.makes(&self.context, &given, entry));
        self.patterns.insert(key.into(), pattern);
    }

    /// Appends the octets of an entry to the bundle and has its keys ready; answers with those it shares with others.
    fn entry(&mut self, write: &Write, bundle: &mut Bundle, last: &LastParent) -> Option<(Bundled, Arc<Keys>)> {
        let Self { context, patterns, uuids, keys } = self;
        let WriteOp::Add(add) = &write.op else { return None };
        let given = Given::of(add);
        let pattern = patterns.get(&*given.key(write))?.as_ref()?;
        if bundle.asks(write) || write.secrets.len() > 1 {
            return None;
        }
        let own = pattern.own_key(context, &add.dn, &given)?;
        let parent = last.of(&add.dn)?;
        let made;
        let uuid = match pattern.uuid {
            Uuid::Given(place) => given.0.get(place)?.0.first()?,
            Uuid::Made { .. } => {
                made = uuids.next()?;
                &made
            }
        };
        let mut entry = bundle.begin(&own, parent, write, uuid);
        keys.clear();
        pattern.row(context, &given, uuid, &mut bundle.octets, keys)?;
        bundle.finish(&mut entry, pattern.stamped);
        Some((entry, Arc::clone(&pattern.keys)))
    }
}

impl<'a> Given<'a> {
    fn of(add: &'a Add) -> Self {
        let mut given = Vec::with_capacity(32);
        let mut list = add.attributes.as_ref();
        while let Some((first, rest)) = list.split_first() {
            given.push((first, octets_of_first(list, rest)));
            list = rest;
        }
        Self(given)
    }

    /// Differs where other classes or attributes are given.
    fn key(&self, write: &Write) -> Vec<u8> {
        let mut key = Vec::with_capacity(512);
        key.push(u8::from(write.secrets.is_empty()));
        for (attribute, octets) in &self.0 {
            let description = attribute.description();
            // Octets in wire form say where they end, and no description has a zero in it.
            key.extend_from_slice(if description == CLASSES { octets } else { description.as_bytes() });
            key.push(0);
        }
        key
    }
}

impl Pattern {
    /// The pattern of an entry, if nothing about it is too odd.
    fn of(context: &Context, given: &Given<'_>, entry: &NewEntry) -> Option<Self> {
        let (user, operational) = (entry.whole.user(), entry.whole.operational());
        let mut keys = Keys::default();
        let mut columns = Vec::with_capacity(given.0.len());
        for (attribute, octets) in &given.0 {
            let description = attribute.description();
            let kind = context.schema.attribute_type(base(description))?;
            if kind.name() != description || description == history::ATTRIBUTE {
                return None;
            }
            let is_operational = kind.is_operational();
            let indexes = context.indexes.of_type(kind);
            columns.push(match find(if is_operational { operational } else { user }, description) {
                None => Column::Dropped,
                Some((stored, as_stored)) if matches!(description, CLASSES | STRUCTURAL) => {
                    add_keys(context, indexes, stored, &mut keys);
                    Column::Same { given: octets.to_vec(), stored: as_stored.to_vec(), is_operational }
                }
                Some(_) => {
                    let (same, indexes): (Vec<_>, _) =
                        indexes.iter().cloned().partition(Index::is_of_presence);
                    add_keys(context, &same, *attribute, &mut keys);
                    let may_name = !is_operational && !context.is_password(description);
                    Column::Own(Box::new(Own { kind: kind.clone(), indexes, may_name }))
                }
            });
        }
        let mut uuid = given.0.iter().position(|(attribute, _)| attribute.description() == UUID).map(Uuid::Given);
        let (mut added, mut list) = (Vec::new(), operational);
        while let Some((first, rest)) = list.split_first() {
            let description = first.description();
            if given.0.iter().all(|(attribute, _)| attribute.description() != description) {
                added.extend_from_slice(octets_of_first(list, rest));
                let indexes = context.indexes.of_type(context.schema.attribute_type(description)?);
                if description == UUID {
                    // Its only value ends it.
                    let at = added.len().checked_sub(first.first()?.len())?;
                    uuid = Some(Uuid::Made { at, indexes: indexes.to_vec() });
                } else {
                    add_keys(context, indexes, first, &mut keys);
                }
            }
            list = rest;
        }
        Some(Self { columns, uuid: uuid?, added, keys: keys.into(), stamped: entry.stamped })
    }

    /// Whether it makes of an entry what was made of it.
    fn makes(&self, context: &Context, given: &Given<'_>, entry: &NewEntry) -> bool {
        let (mut row, mut expected, mut keys) = (Vec::new(), Vec::new(), Keys::default());
        entry.whole.encode_into(&mut expected);
        let uuid = entry.whole.operational().get(UUID).and_then(AttributeRef::first).unwrap_or_default();
        self.row(context, given, uuid, &mut row, &mut keys).is_some()
            && row == expected
            && &keys.to_set() | &self.keys.to_set() == entry.keys.to_set()
    }

    /// The key of the entry's own component, if its only value is one of the entry's as it is spelt.
    fn own_key(&self, context: &Context, dn: &Dn, given: &Given<'_>) -> Option<RdnKey> {
        let rdn = dn.rdns().next()?;
        let mut avas = rdn.avas();
        let (ava, None) = (avas.next()?, avas.next()) else { return None };
        let (name, value) = (ava.attribute_type(), ava.value());
        let place = given.0.iter().position(|(attribute, _)| attribute.description() == name)?;
        let Column::Own(own) = self.columns.get(place)? else { return None };
        let mut values = given.0.get(place)?.0.values();
        (own.may_name && values.any(|one| *one == *value)).then(|| context.schema.rdn_key(rdn).ok()).flatten()
    }

    /// Appends the row of an entry, without what the writer stamps it with, and the keys of its own. None where it does not fit, or
    /// something is wrong with it.
    fn row(
        &self,
        context: &Context,
        given: &Given<'_>,
        uuid: &[u8],
        row: &mut Vec<u8>,
        keys: &mut Keys,
    ) -> Option<()> {
        let start = row.len();
        put_octets(row, &[]);
        let mut operational = Vec::new();
        for (column, (attribute, octets)) in self.columns.iter().zip(&given.0) {
            let (stored, is_operational) = match column {
                Column::Dropped => continue,
                Column::Same { given, stored, is_operational } => {
                    (given == octets).then_some((stored.as_slice(), *is_operational))?
                }
                Column::Own(own) => (*octets, own.check(context, *attribute, keys)?.kind.is_operational()),
            };
            let list = if is_operational { &mut operational } else { &mut *row };
            list.extend_from_slice(stored);
        }
        let (_, user) = row.get_mut(start..)?.split_at_mut_checked(4)?;
        let length = u32::try_from(user.len()).ok()?;
        row.get_mut(start..start.checked_add(4)?)?.copy_from_slice(&length.to_be_bytes());
        row.extend_from_slice(&operational);
        let before = row.len();
        row.extend_from_slice(&self.added);
        if let Uuid::Made { at, indexes } = &self.uuid {
            let made = row.get_mut(before.checked_add(*at)?..)?;
            made.get_mut(..uuid.len())?.copy_from_slice(uuid);
            indexes.iter().for_each(|index| index.add_keys(&context.schema, std::iter::once(uuid), keys));
        }
        Some(())
    }
}

impl Own {
    /// Checks values as [`violations`](flext_ldap_proto::schema::Schema::violations) does those of one attribute, and adds
    /// their keys. None where they are not right, or many.
    fn check(&self, context: &Context, attribute: AttributeRef<'_>, keys: &mut Keys) -> Option<&Self> {
        let Self { kind, indexes, .. } = self;
        let values = attribute.values();
        let count = values.clone().take(MANY).count();
        if count == 0
            || count == MANY
            || count > 1 && kind.single_value
            || may_be_large(context, values.as_bytes().len())
            || values.clone().any(|value| kind.syntax.check(value).is_err())
        {
            return None;
        }
        if count > 1 {
            let mut normalizer = context.schema.normalizer(kind);
            let mut seen: Vec<Cow<'_, [u8]>> = Vec::with_capacity(count);
            for value in values.clone() {
                let normal = normalizer.normalize(value).unwrap_or(Cow::Borrowed(value));
                if seen.contains(&normal) {
                    return None;
                }
                seen.push(normal);
            }
        }
        add_keys(context, indexes, attribute, keys);
        Some(self)
    }
}

fn add_keys(context: &Context, indexes: &[Index], attribute: AttributeRef<'_>, keys: &mut Keys) {
    indexes.iter().for_each(|index| index.add_keys(&context.schema, attribute.values(), keys));
}

/// The octets of the first attribute of a list, by the list of the others.
fn octets_of_first<'a>(list: AttributesRef<'a>, rest: AttributesRef<'a>) -> &'a [u8] {
    let octets = list.as_bytes();
    octets.get(..octets.len().saturating_sub(rest.as_bytes().len())).unwrap_or_default()
}

/// An attribute of a list by its description as it is spelt, and its octets.
fn find<'a>(mut list: AttributesRef<'a>, description: &str) -> Option<(AttributeRef<'a>, &'a [u8])> {
    while let Some((first, rest)) = list.split_first() {
        if first.description() == description {
            return Some((first, octets_of_first(list, rest)));
        }
        list = rest;
    }
    None
}

/// Random UUIDs (RFC 9562 §5.4), for which the kernel is asked for many at once.
#[derive(Default)]
struct Uuids(Vec<u8>);

impl Uuids {
    /// In the form of RFC 4530 §2.1. None where the kernel has nothing to give.
    fn next(&mut self) -> Option<[u8; uuid::fmt::Hyphenated::LENGTH]> {
        if self.0.is_empty() {
            self.0 = vec![0; 256 * size_of::<uuid::Bytes>()];
            getrandom::fill(&mut self.0).inspect_err(|_| self.0.clear()).ok()?;
        }
        let random = *self.0.last_chunk()?;
        self.0.truncate(self.0.len().saturating_sub(random.len()));
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        uuid::Builder::from_random_bytes(random).into_uuid().hyphenated().encode_lower(&mut text);
        Some(text)
    }
}
