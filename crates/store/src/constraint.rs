//! What must hold between entries, and is computed from them: unique values, references to names, membership.
//!
//! Everything here looks names and values up by equality indexes, and refuses to be configured without them. What must
//! hold within one entry (its schema) is checked where entries are written.

mod ahead;
mod chain;
mod inspect;
pub(crate) mod member_of;
pub(crate) mod reach;
pub(crate) mod refint;
mod unique;

use std::collections::HashSet;

use flext_ldap_directory::{Error, ErrorKind};
use flext_ldap_proto::{attribute::AttributeDescription, dn::Dn, schema::Schema};
use roaring::RoaringBitmap;

pub(crate) use self::inspect::inspect;
pub use self::{
    ahead::BrokenConstraint, member_of::MemberOf, refint::ReferentialIntegrity, unique::UniqueValues,
};
use self::{member_of::Membership, refint::References, unique::Unique};
use crate::{
    access::MEMBERS,
    context::{Access, Context},
    index::{Asked, Indexes, Recent},
    read::Named,
    row::{Id, Stored},
    tables::{Failure, Rows, Tables},
    write::Work,
};

/// The constraints as they are configured.
#[derive(Clone, Debug)]
pub(crate) struct ConstraintOptions {
    pub(crate) references: Option<ReferentialIntegrity>,
    pub(crate) unique: Vec<UniqueValues>,
    pub(crate) member_of: Option<MemberOf>,
}

impl Default for ConstraintOptions {
    fn default() -> Self {
        Self {
            references: Some(ReferentialIntegrity::default()),
            unique: Vec::new(),
            member_of: Some(MemberOf::default()),
        }
    }
}

/// The constraints of a store, resolved against its schema and indexes.
#[derive(Clone, Debug)]
pub(crate) struct Constraints {
    pub(crate) options: ConstraintOptions,
    pub(crate) references: Option<References>,
    pub(crate) unique: Vec<Unique>,
    pub(crate) membership: Option<Membership>,
    /// OIDs of attributes that are looked up while writing.
    looked_up: HashSet<Box<[u8]>>,
}

impl Constraints {
    pub(crate) fn new(
        options: ConstraintOptions,
        schema: &Schema,
        indexes: &Indexes,
    ) -> Result<Self, Failure> {
        let references = match &options.references {
            Some(options) => Some(References::new(options, schema, indexes)?),
            None => None,
        };
        let unique = options
            .unique
            .iter()
            .map(|one| Unique::new(one, schema, indexes))
            .collect::<Result<Vec<_>, _>>()?;
        let membership = match &options.member_of {
            Some(options) => Membership::new(options, schema, indexes)?,
            None => None,
        };
        let mut looked_up = HashSet::new();
        // Rights follow from membership, whatever else does. Who relaxes rules may give an entryUUID.
        for name in MEMBERS.into_iter().chain(["entryUUID"]) {
            if let Some(attribute) = indexed(name, false, "entries", schema, indexes)? {
                look_up(schema, &attribute, &mut looked_up);
            }
        }
        let members = membership.iter().flat_map(|membership| &membership.attributes);
        let references_to = references.iter().flat_map(|references| &references.attributes);
        for attribute in
            references_to.chain(members).chain(unique.iter().flat_map(|unique| &unique.attributes))
        {
            look_up(schema, attribute, &mut looked_up);
        }
        Ok(Self { options, references, unique, membership, looked_up })
    }

    /// All of `options` that the schema and the indexes do not allow, with the keys that docs/server.md calls them by.
    pub(crate) fn problems(
        options: &ConstraintOptions,
        schema: &Schema,
        indexes: &Indexes,
    ) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut of = |key: String, found: Option<Failure>| {
            problems.extend(found.map(|failure| (key, failure.into_error().to_string())));
        };
        let numbered = |key: &str, index: usize| format!("{key}.attributes[{}]", index + 1);
        for (index, unique) in options.unique.iter().enumerate() {
            let key = format!("unique[{}]", index + 1);
            for (index, one) in unique.each().into_iter().enumerate() {
                of(numbered(&key, index), Unique::new(&one, schema, indexes).err());
            }
        }
        if let Some(references) = &options.references {
            let key = "referential_integrity";
            for (index, one) in references.each().into_iter().enumerate() {
                of(numbered(key, index), References::new(&one, schema, indexes).err());
            }
            let rest = references.without_attributes();
            of(format!("{key}.placeholder"), References::new(&rest, schema, indexes).err());
        }
        for (index, one) in options.member_of.iter().flat_map(MemberOf::each).enumerate() {
            of(numbered("member_of", index), Membership::new(&one, schema, indexes).err());
        }
        problems
    }

    /// Has the indexes ready that are looked up.
    pub(crate) fn need(&self, schema: &Schema, indexes: &mut Indexes) {
        for oid in self.looked_up.iter().filter_map(|oid| std::str::from_utf8(oid).ok()) {
            indexes.need(schema, oid);
        }
    }

    /// Whether these hold all that others held: nothing was left out because an index is missing.
    pub(crate) fn cover(&self, others: &Self) -> bool {
        let references = |one: &Self| one.references.as_ref().map_or(0, |one| one.attributes.len());
        let members = |one: &Self| one.membership.as_ref().map_or(0, |one| one.attributes.len());
        references(self) >= references(others) && members(self) >= members(others)
    }

    /// Whether values of this attribute are computed from other entries.
    pub(crate) fn computes(&self, description: &str) -> bool {
        self.membership.as_ref().is_some_and(|membership| membership.is_it(description))
    }

    /// Whether adds are looked at: what is there already says whether they may be.
    pub(crate) fn look_at_adds(&self) -> bool {
        self.ask_of_adds() || self.references.as_ref().is_some_and(|references| references.must_exist)
    }

    /// Whether adds look up what those before them did.
    pub(crate) fn ask_of_adds(&self) -> bool {
        !self.unique.is_empty()
    }

    /// Whether what a commit does under this key of an index is asked for before its end.
    pub(crate) fn look_up(&self, key: &[u8]) -> bool {
        // There are a handful.
        self.looked_up.iter().any(|oid| key.strip_prefix(&**oid).is_some_and(|rest| rest.first() == Some(&0)))
    }
}

/// The entries an index has for what is asked of an attribute, `recent` changes included; none where no index tells.
/// While writing, the attribute must be one that [`Constraints::look_up`] is true of.
pub(crate) fn under<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    recent: Option<&Recent>,
    attribute: &str,
    asked: Asked<'_>,
) -> Result<RoaringBitmap, Failure> {
    let keys =
        context.indexes.lookup(&context.schema, &tables.standing, attribute, asked).unwrap_or_default();
    let Some(recent) = recent else { return tables.candidates(&keys) };
    let mut all = RoaringBitmap::new();
    for key in keys {
        let mut ids = tables.candidates(std::slice::from_ref(&key))?;
        recent.correct(&key, &mut ids);
        all |= ids;
    }
    Ok(all)
}

/// Checks an entry as it would be against what others have: `old` is what it was, and its name then.
pub(crate) fn check(
    work: &Work<'_>,
    access: &Access<'_>,
    id: Id,
    old: Option<(&Stored, &Named)>,
    new: (&Stored, &Named),
) -> Result<(), Failure> {
    refint::check(work, old.map(|(stored, _)| stored), new.0, new.1)?;
    unique::check(work, access, id, old, new)
}

/// Notes an attribute and its subtypes.
fn look_up(schema: &Schema, attribute: &AttributeDescription, looked_up: &mut HashSet<Box<[u8]>>) {
    for kind in schema.attribute_types() {
        if schema.is_within(kind.name(), attribute) {
            looked_up.insert(kind.oid.as_bytes().into());
        }
    }
}

/// An attribute a constraint is about: known, and with an index for equality. `None` where it may be left out and is
/// not so.
fn indexed(
    name: &str,
    must: bool,
    what: &str,
    schema: &Schema,
    indexes: &Indexes,
) -> Result<Option<AttributeDescription>, Failure> {
    let wrong = |reason: &str| {
        if must { Err(misuse(format!("{what}: attribute `{name}` {reason}"))) } else { Ok(None) }
    };
    let attribute: AttributeDescription = match name.parse() {
        Ok(attribute) => attribute,
        Err(_) => return wrong("is not the name of one"),
    };
    if attribute.options().next().is_some() || schema.attribute_type(name).is_none() {
        return wrong("is not defined");
    }
    if !indexes.has_equality(schema, name) {
        return wrong("has no index for equality; add one");
    }
    Ok(Some(attribute))
}

fn misuse(message: String) -> Failure {
    Failure::Failed(Error::new(ErrorKind::Misuse, message))
}

/// Whether values of an attribute are names: of entries, or of entries and a bit string.
fn names_entries(schema: &Schema, name: &str) -> bool {
    const NAME: &str = "1.3.6.1.4.1.1466.115.121.1.12";
    const NAME_AND_UID: &str = "1.3.6.1.4.1.1466.115.121.1.34";
    schema.attribute_type(name).is_some_and(|kind| matches!(kind.syntax.oid(), NAME | NAME_AND_UID))
}

/// The name of nobody, where a class asks for one.
fn nobody() -> Dn {
    "cn=nobody".parse().unwrap_or_else(|_| Dn::root())
}
