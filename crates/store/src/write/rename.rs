//! Modify DN (RFC 4511 §4.9): whatever stands below moves without being touched.

use std::collections::HashMap;

use flext_ldap_directory::EntryRight;
use flext_ldap_proto::{
    dn::{Ava, Dn, DnKey},
    message::{Change, ChangeKind, Rename},
    result::ResultCode,
};

use super::{ChangeRowKind, Departed, Effect, Target, Work, Write, too_long};
use crate::{
    constraint,
    context::Access,
    modify::Draft,
    ppolicy::PasswordPolicy,
    project::{View, computed},
    read::{Named, Resolved},
    row::{Id, Node, ROOT, Stored, tree_key},
    special,
    tables::{Failure, Name},
};

impl Work<'_> {
    pub(super) fn rename(&self, op: &Rename, write: &Write, access: &Access<'_>) -> Result<Effect, Failure> {
        let context = self.context;
        let target = self.target(&op.dn, write, access)?;
        if !access.on(&target.view.named, &target.view.stored).entry(EntryRight::Rename) {
            return Err(Failure::refused(
                ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                "no right to rename this entry",
            ));
        }
        if target.node.parent == ROOT {
            return Err(Failure::refused(
                ResultCode::UNWILLING_TO_PERFORM,
                "the entry of a naming context keeps its name; export it and import it under another",
            ));
        }
        let (parent, above) = self.new_parent(op, &target, write, access)?;
        let rdn = context
            .schema
            .rdn_key(op.new_rdn.as_ref())
            .map_err(|error| Failure::refused(ResultCode::INVALID_DN_SYNTAX, error.to_string()))?;
        let node = Node {
            parent,
            children: target.node.children,
            key: vec![rdn],
            name: op.new_rdn.as_str().to_owned(),
        };
        let named = above.child(&node);
        // A name can be what gives rights, to the entry or to its owner, so it takes the right to both names.
        if !access.on(&named, &target.view.stored).entry(EntryRight::Rename) {
            return Err(Failure::refused(
                ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                "no right to rename this entry to the new name",
            ));
        }
        if self.tables.child(parent, &node.key)?.is_some_and(|id| id != target.id) {
            return Err(Failure::refused(
                ResultCode::ENTRY_ALREADY_EXISTS,
                "there is an entry with the new name already",
            ));
        }

        if !self.tables.fits(target.id, &target.view.named.dn, &named.dn)? {
            return Err(too_long());
        }
        self.may_name(op, &target, access)?;
        let stored = self.renamed(op, &target, write, &named)?;
        let id = target.id;
        let before = (&target.view.stored, &target.view.named);
        constraint::check(self, access, id, Some(before), (&stored, &named))?;
        let mut effect =
            Effect::new(ChangeRowKind::Rename, id, &target.node, target.view.stored.operational());
        self.entry_rows(&mut effect, id, Some(&target.view.stored), Some(&stored))?;
        let (old_key, new_key) =
            (tree_key(target.node.parent, &target.node.key), tree_key(parent, &node.key));
        if old_key != new_key {
            effect.rows.push((Name::Tree, old_key, None));
            effect.rows.push((Name::Tree, new_key, Some(id.to_be_bytes().to_vec())));
        }
        effect.rows.push((Name::Node, id.to_be_bytes().to_vec(), Some(node.encode())));
        if parent != target.node.parent {
            self.count_child(&mut effect, target.node.parent, false)?;
            self.count_child(&mut effect, parent, true)?;
        }
        if named.key != target.view.named.key {
            PasswordPolicy::keep_default(context, self.tables, &target.view.named.key)?;
            effect.departed = Some(Departed {
                id,
                old: target.view.named.clone(),
                new: Some(named.clone()),
                has_children: node.children > 0,
            });
        }
        self.pre_read(&mut effect, write, access, &target.view)?;
        let after = View { computed: computed(&node, &named, ""), named, stored };
        self.post_read(&mut effect, write, access, &after)?;
        Ok(effect)
    }

    /// The right to rename is one to give the attributes that name the entry another value. Attributes that did not name
    /// it before, or do not any more, are written as by a modify.
    fn may_name(&self, op: &Rename, target: &Target, access: &Access<'_>) -> Result<(), Failure> {
        let old: Dn = target.view.named.dn.parse().map_err(|_| Failure::damaged("the name of an entry"))?;
        let old: Vec<_> = old.rdns().take(1).flat_map(|rdn| rdn.avas().collect::<Vec<_>>()).collect();
        let new: Vec<_> = op.new_rdn.as_ref().avas().collect();
        let names = |avas: &[Ava<'_>], one: &Ava<'_>| {
            let canonical = self.context.canonical(one.attribute_type());
            avas.iter().any(|ava| self.context.canonical(ava.attribute_type()) == canonical)
        };
        let on = access.on(&target.view.named, &target.view.stored);
        let changed = |kind, ava: &Ava<'_>| {
            let attribute = ava.attribute_type().parse().map_err(|_| Failure::damaged("a name"))?;
            let change = Change { kind, attribute, values: vec![ava.value().into_owned().into()] };
            self.may_write(&on, &change)
        };
        let user = Draft::user(self.context, self.tables, &target.view.stored);
        for ava in new.iter().filter(|ava| !names(&old, ava)) {
            if !user.has(self.context, ava.attribute_type(), &ava.value())? {
                changed(ChangeKind::Add, ava)?;
            }
        }
        for ava in old.iter().filter(|ava| op.delete_old_rdn && !names(&new, ava)) {
            changed(ChangeKind::Delete, ava)?;
        }
        Ok(())
    }

    /// Where the entry stands from now on. It cannot stand below itself.
    fn new_parent(
        &self,
        op: &Rename,
        target: &Target,
        write: &Write,
        access: &Access<'_>,
    ) -> Result<(Id, Named), Failure> {
        let Some(superior) = &op.new_superior else {
            return Ok((target.node.parent, self.tables.named(target.node.parent)?));
        };
        let key: DnKey = self.context.key(superior)?;
        let id = match self.context.resolve(self.tables, &key)? {
            Resolved::Found(id) => id,
            Resolved::Missing(last) => {
                return Err(special::missing(self.context, self.tables, access, last)?);
            }
        };
        let above = self.tables.named(id)?;
        if !access.entry(&above, EntryRight::Disclose) {
            return Err(special::missing(self.context, self.tables, access, None)?);
        }
        special::refer(self.context, self.tables, access, Some(id), superior, write.controls.manage_dsa_it)?;
        if self.tables.is_within(id, target.id, &mut HashMap::new())? {
            return Err(Failure::refused(
                ResultCode::UNWILLING_TO_PERFORM,
                "an entry cannot be moved below itself",
            ));
        }
        Ok((id, above))
    }

    /// The entry with the values of its new name, and without those of its old one if that is wanted.
    fn renamed(&self, op: &Rename, target: &Target, write: &Write, named: &Named) -> Result<Stored, Failure> {
        let context = self.context;
        let damaged = || Failure::damaged("the name of an entry");
        let mut user = Draft::user(context, self.tables, &target.view.stored);
        let mut operational = Draft::operational(context, self.tables, &target.view.stored);
        if op.delete_old_rdn {
            let old: Dn = target.view.named.dn.parse().map_err(|_| damaged())?;
            for ava in old.rdns().take(1).flat_map(|rdn| rdn.avas().collect::<Vec<_>>()) {
                user.remove(context, ava.attribute_type(), &ava.value())?;
            }
        }
        self.can_name(op.new_rdn.as_ref())?;
        for ava in op.new_rdn.as_ref().avas() {
            user.ensure(context, ava.attribute_type(), &ava.value())?;
        }
        let dn: Dn = named.dn.parse().map_err(|_| too_long())?;
        // What stands below keeps its attributes, so only this entry is checked.
        self.check(&dn, &user, &operational, &self.tables.secrets(target.id)?)?;
        self.stamped(&mut operational, &write.caller.actor);
        self.settled(target.id, user, operational)
    }
}
