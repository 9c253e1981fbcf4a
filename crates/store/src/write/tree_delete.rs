//! Tree delete (draft-armijo-ldap-treedelete): an entry with all that stands below it, in one operation.
//!
//! All of it goes or none of it: the right to delete each entry is looked at before the first one is. Every entry is a
//! change of its own in the log, leaves first, and references to any of them go with the last. A tree that is larger than
//! an operation may be is refused as a whole, so that nobody's writes wait long for it.

use flext_ldap_directory::{EntryRight, Outcome};
use flext_ldap_proto::{message::Delete, result::ResultCode};

use super::{Operation, Target, Work, Write, bound::Bound};
use crate::{
    project::{View, computed},
    row::Id,
    tables::Failure,
};

impl Operation<'_, '_> {
    /// Deletes a tree, or nothing.
    pub(super) fn delete_tree(&mut self, op: &Delete, write: &Write) -> Result<Outcome, Failure> {
        self.together(&write.caller.actor, |parts| {
            let mut doomed = Vec::new();
            let last = parts.look(|work| {
                let access = work.access(&write.caller)?;
                let target = work.target(&op.dn, write, &access)?;
                doomed = work.tree(target.id)?;
                let bound = Bound::of(work.context, write, &access);
                let mut values = 0_u64;
                for id in &doomed {
                    let target = work.standing(*id)?;
                    let on = access.on(&target.view.named, &target.view.stored);
                    if !on.entry(EntryRight::Delete) {
                        return Err(Failure::refused(
                            ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                            "no right to delete this entry and all that stands below it",
                        ));
                    }
                    for large in target.view.stored.large() {
                        values = values.saturating_add(large.count);
                    }
                    bound.admit(values)?;
                }
                access.settled()?;
                Ok(target.id)
            })?;
            let mut outcome = Outcome::success();
            for id in doomed {
                outcome = parts.part(|work| {
                    let target = work.standing(id)?;
                    let mut effect = work.removal(&target)?;
                    if id == last {
                        let access = work.access(&write.caller)?;
                        work.pre_read(&mut effect, write, &access, &target.view)?;
                        access.settled()?;
                    }
                    Ok(effect)
                })?;
            }
            Ok(outcome)
        })
    }
}

impl Work<'_> {
    /// An entry and all that stands below it, what stands deepest first.
    fn tree(&self, top: Id) -> Result<Vec<Id>, Failure> {
        const ROWS: usize = 256;
        let most = self.context.limits.tree_delete;
        let mut found = vec![top];
        let mut next = 0;
        // Level after level: whatever stands below an entry comes after it.
        while let Some(parent) = found.get(next).copied() {
            next += 1;
            let mut after: Option<Vec<u8>> = None;
            loop {
                let children = self.tables.children(parent, after.as_deref(), ROWS)?;
                let Some((name, _)) = children.last() else { break };
                after = Some(name.clone());
                found.extend(children.iter().map(|(_, id)| *id));
                if found.len() > most {
                    return Err(Failure::refused(
                        ResultCode::ADMIN_LIMIT_EXCEEDED,
                        format!("the tree has more than {most} entries; delete branches of it first"),
                    ));
                }
            }
        }
        found.reverse();
        Ok(found)
    }

    /// An entry that is known to be there.
    fn standing(&self, id: Id) -> Result<Target, Failure> {
        let node = self.tables.existing_node(id)?;
        let named = self.tables.named(id)?;
        let stored = self.tables.stored(id)?.ok_or_else(|| Failure::damaged("an entry"))?;
        let computed = computed(&node, &named, "");
        Ok(Target { id, node, view: View { named, stored, computed } })
    }
}
