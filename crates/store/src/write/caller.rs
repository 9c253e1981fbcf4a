//! Who asks for a write, at its turn: an entry that was renamed, deleted or demoted since is asked for nothing, also where
//! that was done in the same commit.

use flext_ldap_directory::{Actor, Group};
use flext_ldap_proto::dn::{Dn, DnKey};

use super::Work;
use crate::{
    access::{Entries, memberships},
    context::{Access, Caller, Context},
    proxied::{denied, may_act_for},
    read::{Named, Resolved},
    row::Stored,
    session::gone,
    tables::Failure,
    values::ValueRows,
};

impl Work<'_> {
    /// The rights of a caller, if they still are who they were when they asked.
    pub(super) fn access<'w>(&'w self, caller: &'w Caller) -> Result<Access<'w>, Failure> {
        self.admit(caller)?;
        self.context.access(caller, self)
    }

    fn admit(&self, caller: &Caller) -> Result<(), Failure> {
        let named = self.still_named(caller)?;
        let Some(proxy) = &caller.proxy else { return Ok(()) };
        let access = self.access(proxy)?;
        let may = named.is_none_or(|named| may_act_for(self.context, &access, &named));
        access.settled()?;
        if may { Ok(()) } else { Err(denied()) }
    }

    /// The name of a caller; none of one who is nobody.
    fn still_named(&self, caller: &Caller) -> Result<Option<Named>, Failure> {
        let Actor::User(identity) = &caller.actor else { return Ok(None) };
        let (Some(dn), Some(key)) = (identity.dn(), self.context.key_of(&caller.actor)) else {
            return Ok(None);
        };
        if let Some(account) = caller.account
            && !matches!(self.context.resolve(self.tables, &key)?, Resolved::Found(id) if id == account)
        {
            return Err(gone());
        }
        Ok(Some(Named { dn: dn.to_string(), key: DnKey::clone(&key) }))
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
