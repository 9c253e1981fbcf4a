//! What an add makes of its request alone: the attributes as they are stored, that they are right, and the keys they are
//! found under.
//!
//! Nothing here looks at what is stored, so it is done on whatever thread has time: an import does it beside the
//! writer. Where the entry is to stand, who may put it there, and when it came are for [`Work::add`](super::Work).

use std::{borrow::Cow, collections::HashSet, fmt, sync::Arc};

use flext_ldap_proto::{
    attribute::{AttributeRef, Attributes, AttributesBuilder},
    dn::{Dn, DnKey, RdnKey},
    message::Add,
    result::ResultCode,
    schema::{AttributeType, ObjectClass},
};

use super::{Write, actor_name, bound, can_name, check_segments, no_user_modification, relax};
use crate::{
    clock::Stamp,
    context::{Context, base},
    index::Keys,
    row::Stored,
    tables::Failure,
};

/// An add that was made ready beside the writer.
pub(crate) struct Prepared {
    /// What it was made ready by. Where another one is in force by now, it is done again.
    pub(super) context: Arc<Context>,
    pub(super) key: DnKey,
    pub(super) entry: Result<NewEntry, Failure>,
}

/// The name that was made ready last, without its first component: most often the next one stands in the same place.
/// Of one context only.
#[derive(Debug, Default)]
pub(crate) struct LastParent {
    /// As spelt, with the separator before it.
    spelt: String,
    rdns: Vec<RdnKey>,
    /// Whether what stands below is in a suffix and is none itself.
    is_inner: bool,
}

impl LastParent {
    fn key(&mut self, context: &Context, dn: &Dn) -> Result<DnKey, Failure> {
        let Some((own, rest)) = dn.rdns().next().and_then(|own| {
            let rest = dn.as_str().strip_prefix(own.as_str())?;
            Some((own, rest)).filter(|_| !rest.is_empty())
        }) else {
            return context.key(dn);
        };
        if rest != self.spelt {
            let key = context.key(dn)?;
            self.remember(context, rest, &key.parent().unwrap_or_default());
            return Ok(key);
        }
        let own = context
            .schema
            .rdn_key(own)
            .map_err(|error| Failure::refused(ResultCode::INVALID_DN_SYNTAX, error.to_string()))?;
        let mut rdns = Vec::with_capacity(1 + self.rdns.len());
        rdns.push(own);
        rdns.extend_from_slice(&self.rdns);
        Ok(DnKey::from_rdns(rdns))
    }

    fn remember(&mut self, context: &Context, spelt: &str, key: &DnKey) {
        let is_above = |(_, suffix): &(Dn, DnKey)| suffix.is_child_of(key);
        self.is_inner = context.suffix_levels(key).is_some() && !context.suffixes.iter().any(is_above);
        spelt.clone_into(&mut self.spelt);
        self.rdns = key.rdns().to_vec();
    }

    /// The key of the last parent, if the name stands below it, is in a suffix and is none.
    pub(super) fn of(&self, dn: &Dn) -> Option<&[RdnKey]> {
        let own = dn.rdns().next()?;
        let is_same = dn.as_str().strip_prefix(own.as_str()) == Some(&*self.spelt);
        (is_same && self.is_inner).then_some(&*self.rdns)
    }
}

/// A new entry.
#[derive(Debug)]
pub(super) struct NewEntry {
    /// What was given and what does not depend on when the entry is added.
    pub(super) whole: Stored,
    /// The same with what is large apart, where something is.
    pub(super) split: Option<Stored>,
    pub(super) keys: Keys,
    /// Which attributes that say when were not given, in the order of [`STAMPED`].
    pub(super) stamped: [bool; STAMPED.len()],
}

/// What a stamp says.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    Csn,
    Time,
}

/// What is computed and not stored, even if another directory's export has it.
const NOT_STORED: [&str; 5] =
    ["entryDN", "hasSubordinates", "subschemaSubentry", "contextCSN", "numSubordinates"];

/// Attributes that say when.
pub(super) const STAMPED: [(&str, When); 3] =
    [("entryCSN", When::Csn), ("createTimestamp", When::Time), ("modifyTimestamp", When::Time)];

impl Prepared {
    /// Makes an add ready.
    ///
    /// # Errors
    ///
    /// When its name is none that an entry can have. What else is wrong is said when the add is done, for where the
    /// entry is to stand is looked at first.
    pub(crate) fn new(
        context: &Arc<Context>,
        op: &Add,
        write: &Write,
        last: &mut LastParent,
    ) -> Result<Self, Failure> {
        let key = last.key(context, &op.dn)?;
        Ok(Self { entry: NewEntry::new(context, op, write, false), key, context: Arc::clone(context) })
    }

    /// The name and the entry, if they are what `context` would make of them.
    pub(super) fn take(self, context: &Context) -> Option<(DnKey, Result<NewEntry, Failure>)> {
        std::ptr::eq(&raw const *self.context, context).then_some((self.key, self.entry))
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("entry", &self.entry).finish_non_exhaustive()
    }
}

impl NewEntry {
    /// `relaxed` tells that what the directory sets may be set.
    pub(super) fn new(context: &Context, op: &Add, write: &Write, relaxed: bool) -> Result<Self, Failure> {
        let mut draft = Draft::of_request(context, op, write, relaxed)?;
        for rdn in op.dn.rdns().take(1) {
            can_name(context, rdn)?;
            for ava in rdn.avas() {
                draft.ensure(context, ava.attribute_type(), ava.value());
            }
        }
        let class = draft.complete_classes(context);
        let room = op.attributes.as_ref().as_bytes().len();
        let user = draft.build(room + 128, |part| !part.is_operational());
        draft.check_operational(context)?;
        let given = draft.build(0, Part::is_operational);
        check_segments(context, &op.dn, &[user.as_ref(), given.as_ref()], &write.secrets)?;

        let actor = actor_name(&write.caller.actor);
        for name in ["creatorsName", "modifiersName"] {
            draft.default(context, name, || actor.as_bytes().into());
        }
        draft.default(context, "entryUUID", || {
            uuid::Uuid::new_v4().hyphenated().to_string().into_bytes().into()
        });
        draft.replace(context, "structuralObjectClass", class.map(ObjectClass::name).unwrap_or_default());
        let room = given.as_ref().as_bytes().len();
        let operational = draft.build(room + 400, Part::is_operational);
        let stamped = STAMPED.map(|(name, _)| !draft.has(context, name));
        let whole = Stored::new(user, operational);
        let (split, keys) = if draft.0.iter().any(|part| part.may_be_large(context)) {
            split(context, &whole)
        } else {
            let mut keys = Keys::with_room();
            for part in &draft.0 {
                let Some(kind) = part.kind else { continue };
                context.indexes.add_keys_of_type(&context.schema, kind, || part.values(), &mut keys);
            }
            (None, keys)
        };
        Ok(Self { whole, split, keys, stamped })
    }

    /// The entry that is added now: as it is, the same with what is large apart, where something is, and all keys.
    pub(super) fn finish(self, context: &Context, stamp: &Stamp) -> (Stored, Option<Stored>, Keys) {
        let Self { whole, split, mut keys, stamped } = self;
        let late = STAMPED.into_iter().zip(stamped).filter(|(_, missing)| *missing);
        let late = late.map(|((name, when), _)| (name, when.of(stamp)));
        for (name, value) in late.clone() {
            context.indexes.add_keys(&context.schema, name, value, &mut keys);
        }
        let mut add =
            |list: &mut AttributesBuilder| late.clone().for_each(|(name, value)| list.push(name, [value]));
        let split = split.map(|split| split.with_operational(&mut add));
        (whole.with_operational(&mut add), split, keys)
    }
}

/// A new entry with what is large apart, where something is, and the keys it is found under.
pub(super) fn split(context: &Context, whole: &Stored) -> (Option<Stored>, Keys) {
    let mut values = Keys::default();
    let split = whole.split(context, &mut values);
    let keys = context.indexes.row_keys(&context.schema, split.as_ref().unwrap_or(whole), &|_| true);
    (split, keys.with_values(values))
}

/// The attributes of a new entry: those of the request where they stand, and what is added to them.
struct Draft<'a>(Vec<Part<'a>>);

struct Part<'a> {
    /// As it was given.
    description: &'a str,
    kind: Option<&'a AttributeType>,
    given: Option<AttributeRef<'a>>,
    more: Vec<Cow<'a, [u8]>>,
}

impl<'a> Draft<'a> {
    fn of_request(context: &'a Context, op: &'a Add, write: &Write, relaxed: bool) -> Result<Self, Failure> {
        let attributes = op.attributes.as_ref();
        let mut draft = Self(Vec::with_capacity(32));
        let mut odd = HashSet::new();
        for attribute in attributes.iter() {
            let name = attribute.description();
            if attribute.values().next().is_none() {
                return Err(Failure::refused(
                    ResultCode::PROTOCOL_ERROR,
                    format!("attribute `{name}` has no values"),
                ));
            }
            bound::given_fits_row(context, attribute)?;
            let kind = context.schema.attribute_type(base(name));
            let computes = context.constraints.computes(name);
            let settable =
                write.keep_operational || (relaxed && !computes && kind.is_some_and(relax::may_be_set));
            if (computes || kind.is_some_and(|kind| kind.no_user_modification)) && !settable {
                return Err(no_user_modification(name));
            }
            if computes {
                // Another directory's export has it as that directory computed it.
                continue;
            }
            // Of one type there can be thousands with options, and of no type as many: these are not looked for among
            // each other.
            let is_there = if kind.is_none() || name.contains(';') {
                !odd.insert(context.canonical(name))
            } else {
                draft.find(context, name, kind).is_some()
            };
            if is_there {
                return Err(Failure::refused(
                    ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
                    format!("attribute `{name}` is given twice"),
                ));
            }
            draft.0.push(Part { description: name, kind, given: Some(attribute), more: Vec::new() });
        }
        if write.keep_operational {
            draft.0.retain(|part| {
                let is_computed = |name: &&str| {
                    !part.description.contains(';') && part.kind.is_some_and(|kind| kind.name() == *name)
                };
                !(part.is_operational() && NOT_STORED.iter().any(is_computed))
            });
        }
        Ok(draft)
    }

    /// Where an attribute is, whatever spelling it has.
    fn find(&self, context: &Context, description: &str, kind: Option<&AttributeType>) -> Option<usize> {
        self.0.iter().position(|part| match (part.kind, kind) {
            (Some(one), Some(other)) if !std::ptr::eq(one, other) => false,
            (Some(_), Some(_)) if !part.description.contains(';') && !description.contains(';') => true,
            (None, Some(_)) | (Some(_), None) => false,
            _ => context.canonical(part.description) == context.canonical(description),
        })
    }

    fn part(&mut self, context: &Context, description: &str) -> Option<&mut Part<'a>> {
        let kind = context.schema.attribute_type(base(description));
        let place = self.find(context, description, kind)?;
        self.0.get_mut(place)
    }

    fn push(&mut self, context: &'a Context, description: &'a str, value: Cow<'a, [u8]>) {
        let kind = context.schema.attribute_type(base(description));
        self.0.push(Part { description, kind, given: None, more: vec![value] });
    }

    fn has(&mut self, context: &Context, description: &str) -> bool {
        self.part(context, description).is_some()
    }

    /// Adds a value, unless there is an equal one.
    fn ensure(&mut self, context: &'a Context, description: &'a str, value: Cow<'a, [u8]>) {
        let Some(part) = self.part(context, description) else {
            return self.push(context, description, value);
        };
        let normal = |value: &[u8]| match part.kind {
            Some(kind) => {
                context.schema.normalize(kind, value).map_or_else(|_| value.to_vec(), Cow::into_owned)
            }
            None => value.to_vec(),
        };
        if part.values().any(|one| *one == *value) {
            return;
        }
        let wanted = normal(&value);
        if !part.values().any(|one| normal(one) == wanted) {
            part.more.push(value);
        }
    }

    /// Gives an attribute that is not there this value.
    fn default(&mut self, context: &'a Context, description: &'a str, value: impl FnOnce() -> Cow<'a, [u8]>) {
        if !self.has(context, description) {
            self.push(context, description, value());
        }
    }

    /// Gives an attribute this value and no other.
    fn replace(&mut self, context: &'a Context, description: &'a str, value: &'a str) {
        let value = Cow::Borrowed(value.as_bytes());
        match self.part(context, description) {
            Some(part) => (part.given, part.more) = (None, vec![value]),
            None => self.push(context, description, value),
        }
    }

    /// Adds the classes that the entry's classes inherit from, so that a filter finds it by each. The structural class,
    /// if there is one and only one.
    fn complete_classes(&mut self, context: &'a Context) -> Option<&'a ObjectClass> {
        let schema = &*context.schema;
        let kind = schema.attribute_type("objectClass");
        let part = self.find(context, "objectClass", kind).and_then(|place| self.0.get_mut(place))?;
        let class = |value: &[u8]| std::str::from_utf8(value).ok().and_then(|name| schema.object_class(name));
        let mut seen: Vec<&ObjectClass> = part.values().filter_map(class).collect();
        for given in (0..seen.len()).rev() {
            let Some(class) = seen.get(given).copied() else { continue };
            for superior in schema.superclasses(class) {
                if !seen.iter().any(|class| std::ptr::eq(*class, superior)) {
                    seen.push(superior);
                    part.more.push(Cow::Borrowed(superior.name().as_bytes()));
                }
            }
        }
        schema.structural_class(part.values())
    }

    /// Operational attributes that were given: the classes say nothing of them.
    fn check_operational(&self, context: &Context) -> Result<(), Failure> {
        for part in self.0.iter().filter(|part| part.is_operational()) {
            super::check_operational(context, part.description, part.values())?;
        }
        Ok(())
    }

    fn build(&self, room: usize, wanted: impl Fn(&Part<'a>) -> bool) -> Attributes {
        let mut attributes = Attributes::builder_with_room(room);
        for part in self.0.iter().filter(|part| wanted(part)) {
            match (part.kind, part.description.split_once(';')) {
                (Some(kind), None) => attributes.push(kind.name(), part.values()),
                (Some(kind), Some((_, options))) => {
                    attributes.push(&format!("{};{options}", kind.name()), part.values());
                }
                (None, _) => attributes.push(part.description, part.values()),
            }
        }
        attributes.build()
    }
}

/// Whether values of so many octets in wire form may be large enough to leave the row of their entry. They are looked at
/// closer then.
pub(super) fn may_be_large(context: &Context, octets: usize) -> bool {
    let limits = &context.limits;
    // A value takes two octets at least.
    octets > limits.inline_values.saturating_mul(2).min(limits.inline_octets)
}

impl Part<'_> {
    fn may_be_large(&self, context: &Context) -> bool {
        let given = self.given.map_or(0, |given| given.values().as_bytes().len());
        let more = self.more.iter().map(|value| value.len().saturating_add(2)).sum();
        may_be_large(context, given.saturating_add(more))
    }

    fn is_operational(&self) -> bool {
        self.kind.is_some_and(AttributeType::is_operational)
    }

    fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.given.iter().flat_map(|given| given.values()).chain(self.more.iter().map(|value| &**value))
    }
}
