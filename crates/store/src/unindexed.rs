//! Searches that no index narrows: allowed, warned of, or refused.
//!
//! What counts is not that an index is missing but how many entries would be looked at for want of one: a search of a
//! small subtree is fine whatever it asks.

use flext_ldap_proto::result::ResultCode;

use crate::{context::Access, plan, search::Searching, tables::Failure};

/// What becomes of searches that no index narrows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Unindexed {
    /// What is done about them. Warn.
    pub policy: UnindexedPolicy,
    /// Entries such a search may have in scope and be left alone. 10,000.
    pub threshold: u64,
}

impl Default for Unindexed {
    fn default() -> Self {
        Self { policy: UnindexedPolicy::Warn, threshold: 10_000 }
    }
}

/// What is done about searches that no index narrows. Those of administrators are left alone.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum UnindexedPolicy {
    /// Nothing.
    Allow,
    /// They are done, and leave a warning (target `flext_ldap::unindexed`).
    Warn,
    /// They are answered `unwillingToPerform`, as 389-ds does where an index is required.
    Refuse,
}

impl Searching {
    /// Decides on going on with a search that no index narrows and that has at least so many entries to look at.
    pub(crate) fn judge_unindexed(&mut self, access: &Access<'_>, entries: u64) -> Result<(), Failure> {
        let store = self.store.clone();
        let context = store.context();
        let Unindexed { policy, threshold } = context.unindexed;
        if access.all || entries <= threshold || policy == UnindexedPolicy::Allow || self.is_judged {
            return Ok(());
        }
        self.is_judged = true;
        if policy == UnindexedPolicy::Warn {
            let (who, from) = self.asker();
            tracing::warn!(
                target: "flext_ldap::unindexed",
                who,
                from,
                base = self.search.base.as_str(),
                scope = ?self.search.scope,
                filter = plan::one_line(&context, &self.search.filter),
                entries,
                "a search is not narrowed by an index"
            );
            return Ok(());
        }
        Err(Failure::refused(
            ResultCode::UNWILLING_TO_PERFORM,
            format!(
                "no index narrows the search, and more than {threshold} entries are in its scope; ask for an indexed \
                 attribute, or search a smaller subtree"
            ),
        ))
    }
}
