//! Modify (RFC 4511 §4.6).

use flext_ldap_directory::EntryRight;
use flext_ldap_proto::{
    dn::Dn,
    message::{Change, ChangeKind, Modify},
    result::ResultCode,
};

use super::{
    ChangeRowKind, Effect, Work, Write, account::Secrets, bound::Bound, no_user_modification, permissive,
    relax,
};
use crate::{
    constraint,
    context::{Access, Context, base},
    modify::Draft,
    ppolicy::{self, PasswordPolicy},
    project::View,
    row::Stored,
    tables::{Failure, Name},
};

impl Work<'_> {
    pub(super) fn modify(&self, op: &Modify, write: &Write, access: &Access<'_>) -> Result<Effect, Failure> {
        let context = self.context;
        let target = self.target(&op.dn, write, access)?;
        let stored = &target.view.stored;
        let mut user = Draft::user(context, self.tables, stored);
        let mut operational = Draft::operational(context, self.tables, stored);
        let before = self.tables.secrets(target.id)?;
        let mut secrets = before.clone();
        let mut effect = Effect::new(ChangeRowKind::Modify, target.id, &target.node, stored.operational());

        // Decided on the entry as it was, so that no change can give the right to the next.
        let on = access.on(&target.view.named, stored);
        let relaxed = self.relaxed(write, &on)?;
        let own = access.key.as_deref() == Some(&target.view.named.key) && !on.entry(EntryRight::Manage);
        let bound = Bound::of(context, write, access);
        let mut incremented = 0_u64;
        for change in &op.changes {
            let name = change.attribute.as_str();
            self.may_write(&on, change)?;
            if own && ppolicy::is_of_account(context.preferred(base(name))) {
                return Err(Failure::refused(
                    ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                    format!(
                        "`{name}` says how an account is held to the password policy, which is not for its owner"
                    ),
                ));
            }
            effect.change.attributes.push(context.canonical(name));
            if context.is_password(name) {
                if let Some(change) = permissive::secrets(write, change, &secrets)? {
                    change_secrets(&mut secrets, &change)?;
                }
                continue;
            }
            let Some(kind) = context.schema.attribute_type(base(name)) else {
                return Err(Failure::refused(
                    ResultCode::UNDEFINED_ATTRIBUTE_TYPE,
                    format!("attribute type `{name}` is not defined"),
                ));
            };
            let computes = context.constraints.computes(name);
            if computes || (kind.no_user_modification && !(relaxed && relax::may_be_set(kind))) {
                return Err(no_user_modification(name));
            }
            let draft = if kind.is_operational() { &mut operational } else { &mut user };
            if change.kind == ChangeKind::Increment {
                // One change of all its values.
                incremented = incremented.saturating_add(draft.count(context, name));
                bound.admit(incremented)?;
            }
            if let Some(change) = permissive::values(context, write, change, draft)? {
                draft.apply(context, &change)?;
            }
        }

        let dn: Dn = target.view.named.dn.parse().map_err(|_| Failure::damaged("the name of an entry"))?;
        keeps_name(context, &dn, &user)?;
        self.keeps_class(stored, &mut user)?;
        self.check(&dn, &user, &operational, &secrets)?;
        let set = if relaxed { relax::stamps(context, op, &operational) } else { Vec::new() };
        let passwords = Secrets { before: &before, after: &secrets };
        let secret = self.account_modified(op, access, &target, &passwords, &mut operational)?;
        self.stamped(&mut operational, &write.caller.actor);
        for (name, values) in set {
            operational.set(context, name, values);
        }

        let new = self.settled(target.id, user, operational)?;
        let named = &target.view.named;
        PasswordPolicy::stay_default(context, &named.key, stored.user(), new.user())?;
        constraint::check(self, access, target.id, Some((stored, named)), (&new, named))?;
        if relaxed {
            self.uuid_is_free(access, target.id, Some(stored), &new)?;
        }
        self.entry_rows(&mut effect, target.id, Some(stored), Some(&new))?;
        if let Some(row) = secret {
            effect.rows.push((Name::Secret, target.id.to_be_bytes().to_vec(), row));
        }
        self.pre_read(&mut effect, write, access, &target.view)?;
        let after = View { stored: new, ..target.view };
        self.post_read(&mut effect, write, access, &after)?;
        Ok(effect)
    }

    /// The structural class of an entry stays what it was (RFC 4512 §2.4.2).
    fn keeps_class(&self, old: &Stored, user: &mut Draft<'_>) -> Result<(), Failure> {
        let context = self.context;
        let classes = user.values(context, "objectClass");
        let old: Vec<&[u8]> =
            old.user().get("objectClass").map(|one| one.values().collect()).unwrap_or_default();
        if classes.iter().map(|class| &**class).eq(old.iter().copied()) {
            return Ok(());
        }
        user.complete_classes(context);
        let structural = |classes: Vec<&[u8]>| context.schema.structural_class(classes.into_iter());
        let before = structural(old);
        let completed = user.values(context, "objectClass");
        let after = structural(completed.iter().map(|class| &**class).collect());
        match (before, after) {
            (Some(before), Some(after)) if before.oid != after.oid => Err(Failure::refused(
                ResultCode::OBJECT_CLASS_MODS_PROHIBITED,
                format!("the structural class cannot change from `{}` to `{}`", before.name(), after.name()),
            )),
            _ => Ok(()),
        }
    }
}

/// The values of an entry's name stay among its attributes (RFC 4511 §4.6).
fn keeps_name(context: &Context, dn: &Dn, user: &Draft<'_>) -> Result<(), Failure> {
    for ava in dn.rdns().take(1).flat_map(|rdn| rdn.avas().collect::<Vec<_>>()) {
        let name = ava.attribute_type();
        if !context.is_password(name) && !user.has(context, name, &ava.value())? {
            return Err(Failure::refused(
                ResultCode::NOT_ALLOWED_ON_RDN,
                format!("`{name}` names the entry; rename it instead"),
            ));
        }
    }
    Ok(())
}

/// Changes password hashes. New values are hashed and old ones found before they come here: they are compared by
/// their octets.
fn change_secrets(secrets: &mut Vec<Vec<u8>>, change: &Change) -> Result<(), Failure> {
    let values = || change.values.iter().map(|value| value.to_vec());
    match change.kind {
        ChangeKind::Add if change.values.is_empty() => {
            return Err(Failure::refused(
                ResultCode::PROTOCOL_ERROR,
                "`userPassword` is to be added without a value",
            ));
        }
        ChangeKind::Add => {
            for value in values() {
                if secrets.contains(&value) {
                    return Err(Failure::refused(
                        ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
                        "`userPassword` has a value that is to be added",
                    ));
                }
                secrets.push(value);
            }
        }
        ChangeKind::Replace => *secrets = values().collect(),
        ChangeKind::Delete => {
            if secrets.is_empty() {
                return Err(Failure::refused(ResultCode::NO_SUCH_ATTRIBUTE, "there is no `userPassword`"));
            }
            if change.values.is_empty() {
                secrets.clear();
            }
            for value in values() {
                let Some(place) = secrets.iter().position(|secret| *secret == value) else {
                    return Err(Failure::refused(
                        ResultCode::NO_SUCH_ATTRIBUTE,
                        "`userPassword` does not have a value that is to be deleted",
                    ));
                };
                secrets.remove(place);
            }
        }
        _ => {
            return Err(Failure::refused(
                ResultCode::CONSTRAINT_VIOLATION,
                "`userPassword` cannot be changed so",
            ));
        }
    }
    Ok(())
}
