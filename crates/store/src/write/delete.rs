//! Delete (RFC 4511 §4.8).

use flext_ldap_directory::EntryRight;
use flext_ldap_proto::{message::Delete, result::ResultCode};

use super::{ChangeRowKind, Departed, Effect, Target, Work, Write};
use crate::{
    context::Access,
    ppolicy::PasswordPolicy,
    row::{ROOT, put_octets, take_octets, tree_key},
    tables::{Failure, Name, Rows, Tables},
};

/// The row of `meta` that has the naming contexts whose top entry was deleted.
const FORMER_ROW: &[u8] = b"former-suffixes";

/// The naming contexts whose top entry was deleted at some time, whether or not it is there again.
pub(crate) fn former_suffixes<T: Rows>(tables: &Tables<T>) -> Result<Vec<String>, Failure> {
    let Some(row) = tables.meta.get(FORMER_ROW)? else { return Ok(Vec::new()) };
    let (mut rest, mut names) = (row.value(), Vec::new());
    while !rest.is_empty() {
        let name = take_octets(&mut rest).and_then(|name| std::str::from_utf8(name).ok());
        names.push(name.ok_or_else(|| Failure::damaged("a naming context"))?.to_owned());
    }
    Ok(names)
}

impl Work<'_> {
    pub(super) fn delete(&self, op: &Delete, write: &Write, access: &Access<'_>) -> Result<Effect, Failure> {
        let target = self.target(&op.dn, write, access)?;
        if !access.on(&target.view.named, &target.view.stored).entry(EntryRight::Delete) {
            return Err(Failure::refused(
                ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                "no right to delete this entry",
            ));
        }
        if target.node.children > 0 {
            return Err(Failure::refused(
                ResultCode::NOT_ALLOWED_ON_NON_LEAF,
                format!("{} entries stand below it; delete them first", target.node.children),
            ));
        }
        let mut effect = self.removal(&target)?;
        self.pre_read(&mut effect, write, access, &target.view)?;
        Ok(effect)
    }

    /// What deleting an entry without children does. Whether it may be deleted is for the caller to know.
    pub(super) fn removal(&self, target: &Target) -> Result<Effect, Failure> {
        let (id, node, stored) = (target.id, &target.node, &target.view.stored);
        PasswordPolicy::keep_default(self.context, self.tables, &target.view.named.key)?;
        let mut effect = Effect::new(ChangeRowKind::Delete, id, node, stored.operational());
        self.entry_rows(&mut effect, id, Some(stored), None)?;
        if self.tables.has_secrets(id)? {
            effect.rows.push((Name::Secret, id.to_be_bytes().to_vec(), None));
        }
        if node.parent == ROOT {
            self.remember_suffix(&mut effect, &node.name)?;
        }
        effect.rows.push((Name::Node, id.to_be_bytes().to_vec(), None));
        effect.rows.push((Name::Tree, tree_key(node.parent, &node.key), None));
        self.count_child(&mut effect, node.parent, false)?;
        effect.departed =
            Some(Departed { id, old: target.view.named.clone(), new: None, has_children: false });
        Ok(effect)
    }

    /// Has a naming context stay one of the store when its top entry goes.
    fn remember_suffix(&self, effect: &mut Effect, name: &str) -> Result<(), Failure> {
        let mut names = former_suffixes(self.tables)?;
        if names.iter().any(|one| one == name) {
            return Ok(());
        }
        names.push(name.to_owned());
        let mut row = Vec::new();
        names.iter().for_each(|name| put_octets(&mut row, name.as_bytes()));
        effect.rows.push((Name::Meta, FORMER_ROW.to_vec(), Some(row)));
        Ok(())
    }
}
