//! What a bind, or a change of a password, writes about an account (draft-behera-10 §5.3): computed inside the writer,
//! so that each sees what the one before has left.

use flext_ldap_proto::{control::PasswordPolicyError, message::Modify, result::ResultCode};

use super::{ChangeRowKind, Effect, Target, Work};
use crate::{
    context::{Access, base},
    modify::Draft,
    ppolicy::{self, Account, PasswordPolicy, history},
    row::Id,
    tables::Failure,
};

/// A bind to be noted: one with a wrong password, or one that the policy has something to say about.
#[derive(Debug)]
pub(crate) struct SignIn {
    pub(crate) id: Id,
    pub(crate) succeeded: bool,
}

/// Passwords of an entry before and after a change, as stored.
pub(super) struct Secrets<'a> {
    pub(super) before: &'a [Vec<u8>],
    pub(super) after: &'a [Vec<u8>],
}

impl Work<'_> {
    /// Notes a bind. Who changed the entry last, and when, stays as it was.
    pub(super) fn sign_in(&self, op: &SignIn) -> Result<Effect, Failure> {
        let (context, now) = (self.context, self.context.now());
        let gone = || Failure::refused(ResultCode::INVALID_CREDENTIALS, "");
        let node = self.tables.node(op.id)?.ok_or_else(gone)?;
        let stored = self.tables.stored(op.id)?.ok_or_else(gone)?;
        let before = Account::read(stored.operational());
        let policy =
            PasswordPolicy::of_account(context, self.tables, stored.operational())?.unwrap_or_default();
        let mut effect = Effect::new(ChangeRowKind::Modify, op.id, &node, stored.operational());
        let after = if op.succeeded {
            let entered = before.entered(&policy, now);
            effect.outcome.controls = ppolicy::said(entered.response);
            if !entered.allowed {
                let error = entered.response.error.unwrap_or(PasswordPolicyError::PASSWORD_EXPIRED);
                return Err(ppolicy::refused(ResultCode::INVALID_CREDENTIALS, error, ""));
            }
            entered.account
        } else {
            before.failed(&policy, now)
        };
        effect.change.attributes = after.changes(&before);
        let mut operational = Draft::operational(context, self.tables, &stored);
        after.write(&before, context, &mut operational);
        let new = self.settled(op.id, Draft::user(context, self.tables, &stored), operational)?;
        self.entry_rows(&mut effect, op.id, Some(&stored), Some(&new))?;
        Ok(effect)
    }

    /// What a modify does to the account of an entry: unlocking it forgets its failed binds, and a new password begins
    /// a new life. Answers with the row for `secret`, if that changes.
    pub(super) fn account_modified(
        &self,
        op: &Modify,
        access: &Access<'_>,
        target: &Target,
        secrets: &Secrets<'_>,
        operational: &mut Draft<'_>,
    ) -> Result<Option<Option<Vec<u8>>>, Failure> {
        let (context, stored) = (self.context, &target.view.stored);
        let was_locked = stored.operational().get("pwdAccountLockedTime").is_some();
        if was_locked && operational.values(context, "pwdAccountLockedTime").is_empty() {
            operational.set(context, "pwdFailureTime", Vec::new());
        }
        if secrets.before == secrets.after {
            return Ok(None);
        }
        let now = context.now();
        let policy = PasswordPolicy::of_account(context, self.tables, stored.operational())?;
        let own = !access.all && access.key.as_deref() == Some(&target.view.named.key);
        let before = Account::read(stored.operational());
        if let Some(policy) = policy.as_ref().filter(|_| !access.all) {
            if own {
                ppolicy::check_age(policy, &before, now)?;
            }
            if secrets.after.len() > secrets.before.len().max(1) {
                return Err(Failure::refused(
                    ResultCode::CONSTRAINT_VIOLATION,
                    "the password policy allows one password",
                ));
            }
        }
        // As it is with what else this modify does.
        let current = Account::read(operational.whole().as_ref());
        let mut after = current.changed(policy.as_ref(), own, now);
        if op
            .changes
            .iter()
            .any(|change| context.preferred(base(change.attribute.as_str())).eq_ignore_ascii_case("pwdReset"))
        {
            after.reset = current.reset;
        }
        // Taking a password away is no change of it.
        if own && secrets.after.iter().all(|one| secrets.before.contains(one)) {
            after.reset = current.reset;
        }
        after.write(&current, context, operational);

        let mut history = self.tables.history(target.id)?;
        if let Some(policy) = &policy {
            let former: Vec<_> =
                secrets.before.iter().filter(|one| !secrets.after.contains(one)).cloned().collect();
            history = history::appended(history, &former, now, policy.history());
        }
        Ok(Some(history::encode(secrets.after, &history)))
    }

    /// The account of an entry that is added with a password.
    pub(super) fn account_added(&self, operational: &mut Draft<'_>) -> Result<(), Failure> {
        let given = operational.whole();
        let policy = PasswordPolicy::of_account(self.context, self.tables, given.as_ref())?;
        let before = Account::read(given.as_ref());
        let mut after = before.changed(policy.as_ref(), false, self.context.now());
        after.locked = before.locked;
        if given.as_ref().get("pwdReset").is_some() {
            after.reset = before.reset;
        }
        after.write(&before, self.context, operational);
        Ok(())
    }
}
