//! Add (RFC 4511 §4.7).

use std::sync::Arc;

use flext_ldap_directory::EntryRight;
use flext_ldap_proto::{
    attribute::{Attributes, AttributesRef},
    dn::Dn,
    message::Add,
    result::ResultCode,
};

use super::{
    ChangeRowKind, Effect, NewEntry, Prepared, Work, Write, new_entry, own_key, too_long,
    values::ValueRowsEffect,
};
use crate::{
    constraint,
    context::{Access, Context},
    modify::Draft,
    ppolicy::history,
    project::{View, computed},
    read::{Named, Resolved, Size},
    row::{Id, Node, ROOT, Stored, tree_key},
    special,
    tables::{Failure, Name},
};

impl Work<'_> {
    pub(super) fn add(
        &self,
        op: &Add,
        write: &Write,
        prepared: Option<Prepared>,
        access: &Access<'_>,
    ) -> Result<Effect, Failure> {
        let context = self.context;
        let (key, entry) = match prepared.and_then(|prepared| prepared.take(context)) {
            Some((key, entry)) => (key, Some(entry)),
            None => (context.key(&op.dn)?, None),
        };
        let Some(levels) = context.suffix_levels(&key) else {
            let there: Vec<_> = context.suffixes.iter().map(|(dn, _)| format!("`{dn}`")).collect();
            return Err(Failure::refused(
                ResultCode::NO_SUCH_OBJECT,
                format!("no naming context holds this name; names here end in {}", there.join(" or ")),
            ));
        };
        let (parent, above) = self.place(op, &key, levels, write, access)?;
        let node = Node {
            parent,
            children: 0,
            key: own_key(&key, levels),
            name: name_below(&op.dn, key.rdns().len() == levels).to_owned(),
        };
        let named = above.child(&node);
        // Nobody asks what the policy is not asked about.
        let asked =
            if access.all { Stored::default() } else { would_be(context, &op.dn, op.attributes.as_ref()) };
        let on = access.on(&named, &asked);
        if !on.entry(EntryRight::Add) {
            return Err(Failure::refused(
                ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                "no right to add this entry",
            ));
        }
        let relaxed = self.relaxed(write, &on)?;
        if !access.all {
            let given = op.attributes.as_ref();
            for attribute in given.iter().filter(|one| !context.constraints.computes(one.description())) {
                self.may_add(&on, attribute.description())?;
            }
        }
        if !Size::of(&named.dn).fits() {
            return Err(too_long());
        }
        let entry = match entry {
            Some(entry) => entry?,
            None => NewEntry::new(context, op, write, relaxed)?,
        };
        let (mut whole, mut split, mut keys) = entry.finish(context, self.stamp);
        let mut former = Vec::new();
        let account = !write.secrets.is_empty() && !write.keep_operational;
        if account || whole.operational().get(history::ATTRIBUTE).is_some() {
            let mut draft = Draft::new(context, whole.operational());
            former = history::take(context, &mut draft);
            if account {
                self.account_added(&mut draft)?;
            }
            whole = Stored::new(whole.user().to_attributes(), draft.whole());
            (split, keys) = new_entry::split(context, &whole);
        }

        let id = self.next_id;
        constraint::check(self, access, id, None, (&whole, &named))?;
        if relaxed {
            self.uuid_is_free(access, id, None, &whole)?;
        }
        let stored = split.map_or(whole, |split| split.numbered(id));
        let mut effect = Effect::new(ChangeRowKind::Add, id, &node, stored.operational());
        effect.takes_id = true;
        effect.keys = keys;
        let values = self.value_rows(id, None, Some(&stored), &Arc::default());
        effect.values = values.into_iter().map(ValueRowsEffect::keyed).collect();
        self.entry_row(&mut effect, id, Some(&stored));
        if let Some(row) = history::encode(&write.secrets, &former) {
            effect.rows.push((Name::Secret, id.to_be_bytes().to_vec(), Some(row)));
        }
        effect.rows.push((Name::Node, id.to_be_bytes().to_vec(), Some(node.encode())));
        effect.rows.push((Name::Tree, tree_key(parent, &node.key), Some(id.to_be_bytes().to_vec())));
        self.count_child(&mut effect, parent, true)?;
        if write.controls.assertion.is_some() || write.controls.post_read.is_some() {
            let view = View { computed: computed(&node, &named, ""), named, stored };
            self.assert(write, access, &view)?;
            self.post_read(&mut effect, write, access, &view)?;
        }
        Ok(effect)
    }

    /// The parent of a new entry, which is there while the entry is not.
    fn place(
        &self,
        op: &Add,
        key: &flext_ldap_proto::dn::DnKey,
        levels: usize,
        write: &Write,
        access: &Access<'_>,
    ) -> Result<(Id, Named), Failure> {
        let last = match self.tables.resolve(key, levels)? {
            Resolved::Found(id) => {
                let named = self.tables.named(id)?;
                if !access.entry(&named, EntryRight::Disclose) && !access.entry(&named, EntryRight::Add) {
                    // As it is answered where the entry is not there.
                    let parent = self.tables.existing_node(id)?.parent;
                    if parent != ROOT && !access.entry(&self.tables.named(parent)?, EntryRight::Disclose) {
                        return Err(special::missing(self.context, self.tables, access, Some(parent))?);
                    }
                    return Err(Failure::refused(
                        ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                        "no right to add this entry",
                    ));
                }
                return Err(Failure::refused(ResultCode::ENTRY_ALREADY_EXISTS, "the entry is there already"));
            }
            Resolved::Missing(last) => last,
        };
        if key.rdns().len() == levels {
            return Ok((ROOT, Named::default()));
        }
        special::refer(self.context, self.tables, access, last, &op.dn, write.controls.manage_dsa_it)?;
        if let Some(id) = last {
            let above = self.tables.named(id)?;
            if key.is_child_of(&above.key) {
                if !access.entry(&above, EntryRight::Disclose) {
                    return Err(special::missing(self.context, self.tables, access, last)?);
                }
                return Ok((id, above));
            }
        }
        Err(special::missing(self.context, self.tables, access, last)?)
    }
}

/// An entry as a request to add it has it, with the values of its name: what access to it is decided on.
pub(crate) fn would_be(context: &Context, dn: &Dn, attributes: AttributesRef<'_>) -> Stored {
    let mut user = Draft::new(context, attributes);
    for ava in dn.rdns().take(1).flat_map(|rdn| rdn.avas().collect::<Vec<_>>()) {
        // Nothing is looked up that could fail.
        let _ = user.ensure(context, ava.attribute_type(), &ava.value());
    }
    user.complete_classes(context);
    Stored::new(user.whole(), Attributes::default())
}

/// A name as written: its first component, or all of it for a suffix.
pub(super) fn name_below(dn: &Dn, suffix: bool) -> &str {
    match dn.rdns().next() {
        Some(rdn) if !suffix => rdn.as_str(),
        _ => dn.as_str(),
    }
}
