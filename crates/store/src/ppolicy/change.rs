//! Whether a password may be changed, and whether the new one is good enough (draft-behera-10 §8.2).
//!
//! Owners are held to all of it. Whoever else may write the password is held to its quality and history, as with
//! OpenLDAP; the administrator and the program itself to nothing.

use bytes::Bytes;
use flext_ldap_directory::AttributeRight;
use flext_ldap_proto::{
    attribute::Attributes, control::PasswordPolicyError, dn::Dn, message::Add, result::ResultCode,
};

use super::{Account, Candidate, Micros, PasswordPolicy, QualityCheck, history, refused};
use crate::{
    context::{Caller, Context},
    credentials,
    extended::check_password,
    hashing::Origin,
    read::Resolved,
    store::Store,
    tables::Failure,
};

/// A change of a password that the policy has a say in.
pub(crate) struct Change {
    policy: PasswordPolicy,
    dn: Dn,
    attributes: Attributes,
    /// Present and former passwords, hashed, that the new one must not be.
    used: Vec<Vec<u8>>,
}

impl Store {
    /// Whether the policy lets this caller change the password of an entry at all; `None` if it does not care. Whether
    /// access rules do is asked by others.
    pub(crate) fn begin_change(
        &self,
        dn: &Dn,
        caller: &Caller,
        gives_old: bool,
    ) -> Result<Option<Change>, Failure> {
        let context = &*self.context();
        let key = context.key(dn)?;
        let tables = self.snapshot()?;
        let access = context.access(caller, &*tables)?;
        let Resolved::Found(id) = context.resolve(&tables, &key)? else { return Ok(None) };
        let named = tables.named(id)?;
        let right = |right| access.attribute(&named, "userPassword", right);
        let writes = right(AttributeRight::Write);
        let may = writes || right(AttributeRight::DeleteValues);
        access.settled()?;
        if access.all || !may {
            return Ok(None);
        }
        let stored = tables.stored(id)?.ok_or_else(|| Failure::damaged("an entry"))?;
        let Some(policy) = PasswordPolicy::of_account(context, &tables, stored.operational())? else {
            return Ok(None);
        };
        let passwords = tables.secrets(id)?;
        if access.key.as_deref() == Some(&key) {
            if !policy.allow_user_change {
                return Err(refused(
                    ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                    PasswordPolicyError::PASSWORD_MOD_NOT_ALLOWED,
                    "the password policy does not let users change their passwords",
                ));
            }
            if policy.safe_modify && !gives_old && !passwords.is_empty() {
                return Err(refused(
                    ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                    PasswordPolicyError::MUST_SUPPLY_OLD_PASSWORD,
                    "the old password must be given with the new one",
                ));
            }
            check_age(&policy, &Account::read(stored.operational()), context.now())?;
        }
        if !writes {
            // A new one is refused for want of rights: what was used before is not told.
            return Ok(None);
        }
        let mut used = Vec::new();
        if policy.history() > 0 {
            let former = tables.history(id)?;
            let newest = former.iter().rev().take(policy.history());
            used = passwords;
            used.extend(newest.filter_map(|value| history::hash_of(value)).map(<[u8]>::to_vec));
        }
        let mut attributes = Attributes::builder();
        for attribute in stored.user().iter() {
            attributes.push(attribute.description(), attribute.values());
        }
        let dn = named.dn.parse().map_err(|_| Failure::damaged("the name of an entry"))?;
        Ok(Some(Change { policy, dn, attributes: attributes.build(), used }))
    }

    /// As [`begin_change`](Self::begin_change), for the passwords of an entry that is added.
    pub(crate) fn begin_add(&self, op: &Add, caller: &Caller) -> Result<Option<Change>, Failure> {
        let context = &*self.context();
        if context.is_unrestricted(caller).1 {
            return Ok(None);
        }
        let tables = self.snapshot()?;
        let policy = PasswordPolicy::of_account(context, &tables, op.attributes.as_ref())?;
        Ok(policy.map(|policy| Change {
            policy,
            dn: op.dn.clone(),
            attributes: op.attributes.clone(),
            used: Vec::new(),
        }))
    }

    /// Checks new passwords, hashes among them, before they are hashed.
    pub(crate) async fn check_new(
        &self,
        change: &Change,
        passwords: &[Bytes],
        from: Origin,
    ) -> Result<(), Failure> {
        for password in passwords {
            check_quality(&self.context(), change, password)?;
        }
        if change.used.is_empty() {
            return Ok(());
        }
        for password in passwords.iter().filter(|password| !credentials::is_hash(password)) {
            let (used, password) = (change.used.clone(), password.clone());
            let verify = move || credentials::verify(&used, &password);
            if self.hashers().run(from, verify).await?.is_some() {
                return Err(refused(
                    ResultCode::CONSTRAINT_VIOLATION,
                    PasswordPolicyError::PASSWORD_IN_HISTORY,
                    "the password was used before",
                ));
            }
        }
        Ok(())
    }
}

impl Change {
    /// Characters of a password that the directory makes up: as many as it likes to, unless the policy wants more or
    /// fewer.
    pub(crate) fn generated_length(&self, usual: usize) -> usize {
        if self.policy.check_quality == QualityCheck::Never {
            return usual;
        }
        let most = if self.policy.max_length == 0 { credentials::LONGEST } else { self.policy.max_length };
        usual.max(self.policy.min_length).min(most).clamp(1, credentials::LONGEST)
    }
}

/// Whether the present password may be changed by its owner already.
pub(crate) fn check_age(policy: &PasswordPolicy, account: &Account, now: Micros) -> Result<(), Failure> {
    if account.is_too_young(policy, now) {
        return Err(refused(
            ResultCode::CONSTRAINT_VIOLATION,
            PasswordPolicyError::PASSWORD_TOO_YOUNG,
            "the password was changed a short while ago; the policy wants it to be kept for longer",
        ));
    }
    Ok(())
}

fn check_quality(context: &Context, change: &Change, password: &[u8]) -> Result<(), Failure> {
    let Change { policy, dn, attributes, .. } = change;
    let poor = |error, why: &str| Err(refused(ResultCode::CONSTRAINT_VIOLATION, error, why));
    if policy.check_quality == QualityCheck::Never {
        return Ok(());
    }
    if credentials::is_hash(password) {
        return match policy.check_quality {
            QualityCheck::Always => poor(
                PasswordPolicyError::INSUFFICIENT_PASSWORD_QUALITY,
                "the password policy wants the password itself, for a hash cannot be checked",
            ),
            _ => Ok(()),
        };
    }
    check_password(password)?;
    let Ok(password) = std::str::from_utf8(password) else {
        return poor(PasswordPolicyError::INSUFFICIENT_PASSWORD_QUALITY, "the password is not text (UTF-8)");
    };
    let characters = password.chars().count();
    if characters < policy.min_length {
        return poor(
            PasswordPolicyError::PASSWORD_TOO_SHORT,
            &format!("the password is shorter than the {} characters the policy wants", policy.min_length),
        );
    }
    if policy.max_length > 0 && characters > policy.max_length {
        return poor(
            PasswordPolicyError::PASSWORD_TOO_LONG,
            &format!("the password is longer than the {} characters the policy allows", policy.max_length),
        );
    }
    let candidate = Candidate { password, dn, attributes: attributes.as_ref() };
    context
        .ppolicy
        .quality
        .check(&candidate)
        .or_else(|why| poor(PasswordPolicyError::INSUFFICIENT_PASSWORD_QUALITY, &why))
}
