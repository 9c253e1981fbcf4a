//! Add (RFC 4511 §4.7).

use bytes::Bytes;
use flext_ldap_directory::EntryRight;
use flext_ldap_proto::{
    attribute::{Attributes, AttributesRef},
    dn::Dn,
    message::Add,
    result::ResultCode,
};

use super::{ChangeRowKind, Effect, Work, Write, actor_name, no_user_modification, own_key, relax, too_long};
use crate::{
    access::On,
    constraint,
    context::{Access, Context, base},
    modify::Draft,
    ppolicy::history,
    project::{View, computed},
    read::{Named, Resolved, Size},
    row::{Id, Node, ROOT, Stored, tree_key},
    special,
    tables::{Failure, Name},
};

impl Work<'_> {
    pub(super) fn add(&self, op: &Add, write: &Write, access: &Access<'_>) -> Result<Effect, Failure> {
        let context = self.context;
        let key = context.key(&op.dn)?;
        let Some(levels) = context.suffix_levels(&key) else {
            return Err(Failure::refused(ResultCode::NO_SUCH_OBJECT, "no naming context holds this name"));
        };
        let (parent, above) = self.place(op, &key, levels, write, access)?;
        let node = Node {
            parent,
            children: 0,
            key: own_key(&key, levels),
            name: name_below(&op.dn, key.rdns().len() == levels),
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
        let (mut user, mut operational) = self.split(op, write, &on)?;
        for rdn in op.dn.rdns().take(1) {
            self.can_name(rdn)?;
            for ava in rdn.avas() {
                user.ensure(context, ava.attribute_type(), &ava.value())?;
            }
        }
        if !Size::of(&named.dn).fits() {
            return Err(too_long());
        }
        user.complete_classes(context);
        self.check(&op.dn, &user, &operational, &write.secrets)?;
        let former = history::take(context, &mut operational);
        if !write.secrets.is_empty() && !write.keep_operational {
            self.account_added(&mut operational)?;
        }
        self.complete(&user, &mut operational, write);

        let id = self.next_id;
        let whole = Stored::new(user.whole(), operational.whole());
        constraint::check(self, access, id, None, (&whole, &named))?;
        let stored = whole.clone().split(context, id)?;
        let mut effect = Effect::new(ChangeRowKind::Add, id, &node, stored.operational());
        effect.takes_id = true;
        self.entry_rows(&mut effect, id, None, Some(&stored))?;
        if let Some(row) = history::encode(&write.secrets, &former) {
            effect.rows.push((Name::Secret, id.to_be_bytes().to_vec(), Some(row)));
        }
        effect.rows.push((Name::Node, id.to_be_bytes().to_vec(), Some(node.encode())));
        effect.rows.push((Name::Tree, tree_key(parent, &node.key), Some(id.to_be_bytes().to_vec())));
        self.count_child(&mut effect, parent, true)?;
        let view = View { computed: computed(&node, &named, ""), named, stored };
        self.assert(write, access, &view)?;
        self.post_read(&mut effect, write, access, &view)?;
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
        special::refer(self.context, self.tables, last, &op.dn, write.controls.manage_dsa_it)?;
        if let Some(id) = last {
            let above = self.tables.named(id)?;
            if Some(&above.key) == key.parent().as_ref() {
                if !access.entry(&above, EntryRight::Disclose) {
                    return Err(special::missing(self.context, self.tables, access, last)?);
                }
                return Ok((id, above));
            }
        }
        Err(special::missing(self.context, self.tables, access, last)?)
    }

    /// User attributes and operational ones, each allowed to be given.
    fn split(
        &self,
        op: &Add,
        write: &Write,
        on: &On<'_, '_>,
    ) -> Result<(Draft<'static>, Draft<'static>), Failure> {
        let context = self.context;
        let (mut user, mut operational) = (Draft::default(), Draft::default());
        let relaxed = self.relaxed(write, on)?;
        for attribute in op.attributes.as_ref().iter() {
            let name = attribute.description();
            let values: Vec<Bytes> = attribute.values().map(Bytes::copy_from_slice).collect();
            if values.is_empty() {
                return Err(Failure::refused(
                    ResultCode::PROTOCOL_ERROR,
                    format!("attribute `{name}` has no values"),
                ));
            }
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
            self.may_add(on, name)?;
            let draft =
                if kind.is_some_and(|kind| kind.is_operational()) { &mut operational } else { &mut user };
            if draft.is_present(context, name) {
                return Err(Failure::refused(
                    ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
                    format!("attribute `{name}` is given twice"),
                ));
            }
            draft.set(context, name, values);
        }
        if write.keep_operational {
            // What is computed is not stored, even if another directory's export has it.
            for name in ["entryDN", "hasSubordinates", "subschemaSubentry", "contextCSN", "numSubordinates"] {
                operational.set(context, name, Vec::new());
            }
        }
        Ok((user, operational))
    }

    /// The operational attributes of a new entry; an import's own are kept.
    fn complete(&self, user: &Draft<'_>, operational: &mut Draft<'_>, write: &Write) {
        let context = self.context;
        let class = context
            .schema
            .structural_class(user.values(context, "objectClass").iter().map(|value| &**value))
            .map(|class| class.name().to_owned())
            .unwrap_or_default();
        let actor = actor_name(&write.caller.actor);
        let uuid = uuid::Uuid::new_v4().to_string();
        let Self { stamp, .. } = self;
        let defaults = [
            ("entryUUID", uuid.as_str()),
            ("entryCSN", &stamp.csn),
            ("createTimestamp", &stamp.time),
            ("creatorsName", &actor),
            ("modifyTimestamp", &stamp.time),
            ("modifiersName", &actor),
        ];
        for (name, value) in defaults {
            if !operational.is_present(context, name) {
                operational.set(context, name, vec![Bytes::copy_from_slice(value.as_bytes())]);
            }
        }
        operational.set(context, "structuralObjectClass", vec![Bytes::from(class)]);
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
fn name_below(dn: &Dn, suffix: bool) -> String {
    match dn.rdn() {
        Some(rdn) if !suffix => rdn.as_str().to_owned(),
        _ => dn.as_str().to_owned(),
    }
}
