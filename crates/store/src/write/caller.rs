//! Who asks for a write, at its turn: an entry that was renamed, deleted or demoted since is asked for nothing, also where
//! that was done in the same commit.

use flext_ldap_directory::{Actor, Group};
use flext_ldap_proto::dn::{Dn, DnKey};

use super::Work;
use crate::{
    access::{Entries, memberships},
    context::{Access, Caller, Context},
    proxied::{denied, may_act_for},
    read::Named,
    row::Stored,
    tables::Failure,
    values::ValueRows,
};

impl Work<'_> {
    /// The rights of a caller, if they still are who they were when they asked, and still may act for whom they do.
    pub(super) fn access<'w>(&'w self, caller: &'w Caller) -> Result<Access<'w>, Failure> {
        self.context.check_caller(caller, self.tables)?;
        if let Some(proxy) = &caller.proxy
            && let Some(named) = self.named(caller)
        {
            let access = self.context.access(proxy, self)?;
            let may = may_act_for(self.context, &access, &named);
            access.settled()?;
            if !may {
                return Err(denied());
            }
        }
        self.context.access(caller, self)
    }

    /// The name of a caller; none of one who is nobody.
    fn named(&self, caller: &Caller) -> Option<Named> {
        let Actor::User(identity) = &caller.actor else { return None };
        let (dn, key) = (identity.dn()?, self.context.key_of(&caller.actor)?);
        Some(Named { dn: dn.to_string(), key: DnKey::clone(&key) })
    }
}

impl Entries for Work<'_> {
    fn find(&self, context: &Context, key: &DnKey) -> Result<Option<Stored>, Failure> {
        self.tables.find(context, key)
    }

    fn rows(&self) -> &dyn ValueRows {
        self.tables
    }

    fn memberships(
        &self,
        context: &Context,
        member: &DnKey,
        name: &Dn,
        groups: &[Group],
    ) -> Result<Vec<bool>, Failure> {
        memberships(context, self.tables, Some(self.recent), member, name, groups)
    }
}
