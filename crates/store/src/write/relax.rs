//! Relax rules (draft-zeilenga-ldap-relax): who may manage an entry sets what otherwise only the directory sets.

use bytes::Bytes;
use flext_ldap_directory::EntryRight;
use flext_ldap_proto::{message::Modify, result::ResultCode, schema::AttributeType};

use super::{Work, Write};
use crate::{
    access::On,
    context::{Access, Context},
    index::Asked,
    modify::Draft,
    row::{Id, Stored},
    tables::Failure,
};

/// What is computed, or what the directory itself relies on.
const NEVER: [&str; 9] = [
    "structuralObjectClass",
    "entryDN",
    "entryCSN",
    "contextCSN",
    "hasSubordinates",
    "numSubordinates",
    "subschemaSubentry",
    "memberOf",
    "pwdHistory",
];

/// Whether an attribute that users may not modify can be given with relaxed rules.
pub(super) fn may_be_set(kind: &AttributeType) -> bool {
    !NEVER.iter().any(|name| name.eq_ignore_ascii_case(kind.name()))
}

/// Who changed an entry last and when, where the change itself says so.
pub(super) fn stamps(
    context: &Context,
    op: &Modify,
    operational: &Draft<'_>,
) -> Vec<(&'static str, Vec<Bytes>)> {
    ["modifyTimestamp", "modifiersName"]
        .into_iter()
        .filter(|name| {
            let canonical = context.canonical(name);
            op.changes.iter().any(|change| context.canonical(change.attribute.as_str()) == canonical)
        })
        .map(|name| (name, operational.values(context, name)))
        .filter(|(_, values)| !values.is_empty())
        .collect()
}

impl Work<'_> {
    /// Whether the rules are relaxed for a write to an entry. Whoever asks for it without the right is told.
    pub(super) fn relaxed(&self, write: &Write, on: &On<'_, '_>) -> Result<bool, Failure> {
        if write.controls.relax && !on.entry(EntryRight::Manage) {
            return Err(Failure::refused(
                ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                "no right to relax the rules for this entry",
            ));
        }
        Ok(write.controls.relax)
    }

    /// Refuses an entryUUID that another entry has, where it is given and not what it was.
    pub(super) fn uuid_is_free(
        &self,
        access: &Access<'_>,
        id: Id,
        old: Option<&Stored>,
        new: &Stored,
    ) -> Result<(), Failure> {
        const UUID: &str = "entryUUID";
        let of = |stored: &'_ Stored| stored.operational().get(UUID)?.first().map(<[u8]>::to_vec);
        let Some(uuid) = of(new).filter(|uuid| old.and_then(of).as_ref() != Some(uuid)) else {
            return Ok(());
        };
        let Some(other) = self.under(UUID, Asked::Equality(&uuid))?.into_iter().find(|other| *other != id)
        else {
            return Ok(());
        };
        let named = self.tables.named(other)?;
        let who = if access.entry(&named, EntryRight::Disclose) {
            format!("`{}`", named.dn)
        } else {
            "another entry".to_owned()
        };
        Err(Failure::refused(
            ResultCode::CONSTRAINT_VIOLATION,
            format!("{who} has this entryUUID, and no two may have the same; leave it out to get a new one"),
        ))
    }
}
