//! The rules: from the options, from a `pwdPolicy` entry, and which of them hold for an account.

use std::{sync::atomic::Ordering, time::Duration};

use flext_ldap_proto::{
    attribute::AttributesRef,
    dn::{Dn, DnKey},
    result::ResultCode,
};

use super::{Micros, SECOND};
use crate::{
    context::Context,
    index::Asked,
    read::Resolved,
    tables::{Failure, Rows, Tables},
};

/// The rules for passwords, by the names of the draft (§5.2) without `pwd`. A zero means that there is no such rule.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PasswordPolicy {
    /// How long a password must be kept before its owner may change it again. 0.
    pub min_age: Duration,
    /// How long a password may be used. 0: for ever.
    pub max_age: Duration,
    /// Former passwords that may not be used again; 50 at the most. 0.
    pub in_history: usize,
    /// Whether length and quality of a new password are checked. Not.
    pub check_quality: QualityCheck,
    /// Characters at the least. 0.
    pub min_length: usize,
    /// Characters at the most. 0: as many as the store takes, which is 4,096 octets.
    pub max_length: usize,
    /// How long before its expiry who binds is warned. 0.
    pub expire_warning: Duration,
    /// Binds that an expired password is still good for. 0.
    pub grace_authn_limit: usize,
    /// How long after its expiry it is good for those. 0: for ever.
    pub grace_expiry: Duration,
    /// Whether failed binds lock an account. Not.
    pub lockout: bool,
    /// How long it stays locked. 0: until an administrator unlocks it.
    pub lockout_duration: Duration,
    /// Failed binds that lock it. 0: none do.
    pub max_failure: usize,
    /// After what time a failed bind is forgotten. 0: with the next bind that succeeds.
    pub failure_count_interval: Duration,
    /// Failed binds that are remembered. 0: as many as lock the account, or 5.
    pub max_recorded_failure: usize,
    /// Whether a password that somebody else has set must be changed before anything else is done. Not.
    pub must_change: bool,
    /// Whether users may change their own passwords, if access rules let them. They may.
    pub allow_user_change: bool,
    /// Whether they must give the old password with the new one. Not.
    pub safe_modify: bool,
    /// How long an account is held after a failed bind; twice as long after each further one. 0.
    pub min_delay: Duration,
    /// How long it is held at the most. 0: a day.
    pub max_delay: Duration,
    /// How long an account may be left unused before it is locked. 0: for ever.
    pub max_idle: Duration,
}

/// `pwdCheckQuality`: whether new passwords are checked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the draft has these three")]
pub enum QualityCheck {
    /// 0: they are not.
    #[default]
    Never,
    /// 1: those given in clear text are; hashes are taken.
    IfPossible,
    /// 2: they are, and hashes are refused.
    Always,
}

/// The policy of accounts that do not name one by `pwdPolicySubentry`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum DefaultPasswordPolicy {
    /// None.
    #[default]
    None,
    /// That of this `pwdPolicy` entry, read anew each time. While it is not there, none.
    Entry(Dn),
    /// These rules.
    Rules(Box<PasswordPolicy>),
}

impl From<Dn> for DefaultPasswordPolicy {
    fn from(dn: Dn) -> Self {
        Self::Entry(dn)
    }
}

impl From<PasswordPolicy> for DefaultPasswordPolicy {
    fn from(rules: PasswordPolicy) -> Self {
        Self::Rules(Box::new(rules))
    }
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            min_age: Duration::ZERO,
            max_age: Duration::ZERO,
            in_history: 0,
            check_quality: QualityCheck::Never,
            min_length: 0,
            max_length: 0,
            expire_warning: Duration::ZERO,
            grace_authn_limit: 0,
            grace_expiry: Duration::ZERO,
            lockout: false,
            lockout_duration: Duration::ZERO,
            max_failure: 0,
            failure_count_interval: Duration::ZERO,
            max_recorded_failure: 0,
            must_change: false,
            allow_user_change: true,
            safe_modify: false,
            min_delay: Duration::ZERO,
            max_delay: Duration::ZERO,
            max_idle: Duration::ZERO,
        }
    }
}

/// Former passwords that are kept at the most: each costs as much to compare with as a bind.
const MOST_IN_HISTORY: usize = 50;

/// Failed binds that are remembered where the policy does not say; OpenLDAP's number.
const RECORDED: usize = 5;

/// How long an account is held where the policy does not say.
const LONGEST_DELAY: Micros = 86_400 * SECOND;

impl PasswordPolicy {
    /// The rules of a `pwdPolicy` entry; `None` if it is none.
    fn of_entry(attributes: AttributesRef<'_>) -> Option<Self> {
        let text = |name: &str| {
            attributes.get(name).and_then(|one| one.first()).and_then(|one| std::str::from_utf8(one).ok())
        };
        let is_policy = attributes.get("objectClass").is_some_and(|classes| {
            classes.values().any(|class| {
                class.eq_ignore_ascii_case(b"pwdPolicy") || class == b"1.3.6.1.4.1.42.2.27.8.2.1"
            })
        });
        // What is negative is as good as nothing; what is too large is as good as for ever.
        let number = |name: &str| match text(name) {
            Some(text) if text.starts_with('-') => 0,
            Some(text) => text.parse::<u32>().unwrap_or(u32::MAX),
            None => 0,
        };
        let time = |name: &str| Duration::from_secs(number(name).into());
        let count = |name: &str| usize::try_from(number(name)).unwrap_or(usize::MAX);
        let truth = |name: &str, absent: bool| text(name).map_or(absent, |text| text == "TRUE");
        is_policy.then(|| Self {
            min_age: time("pwdMinAge"),
            max_age: time("pwdMaxAge"),
            in_history: count("pwdInHistory"),
            check_quality: match number("pwdCheckQuality") {
                0 => QualityCheck::Never,
                1 => QualityCheck::IfPossible,
                _ => QualityCheck::Always,
            },
            min_length: count("pwdMinLength"),
            max_length: count("pwdMaxLength"),
            expire_warning: time("pwdExpireWarning"),
            grace_authn_limit: count("pwdGraceAuthNLimit"),
            grace_expiry: time("pwdGraceExpiry"),
            lockout: truth("pwdLockout", false),
            lockout_duration: time("pwdLockoutDuration"),
            max_failure: count("pwdMaxFailure"),
            failure_count_interval: time("pwdFailureCountInterval"),
            max_recorded_failure: count("pwdMaxRecordedFailure"),
            must_change: truth("pwdMustChange", false),
            allow_user_change: truth("pwdAllowUserChange", true),
            safe_modify: truth("pwdSafeModify", false),
            min_delay: time("pwdMinDelay"),
            max_delay: time("pwdMaxDelay"),
            max_idle: time("pwdMaxIdle"),
        })
    }

    /// The policy of an account with these operational attributes: the one it names, or else the default.
    pub(crate) fn of_account<T: Rows>(
        context: &Context,
        tables: &Tables<T>,
        operational: AttributesRef<'_>,
    ) -> Result<Option<Self>, Failure> {
        let own = operational
            .get("pwdPolicySubentry")
            .and_then(|one| one.first())
            .and_then(|one| std::str::from_utf8(one).ok())
            .and_then(|one| one.parse::<Dn>().ok());
        if let Some(own) = own
            && let Some(policy) = Self::at(context, tables, &own)?
        {
            return Ok(Some(policy));
        }
        match &context.ppolicy.default {
            DefaultPasswordPolicy::None => Ok(None),
            DefaultPasswordPolicy::Entry(dn) => Self::at(context, tables, dn),
            DefaultPasswordPolicy::Rules(rules) => Ok(Some((**rules).clone())),
        }
    }

    /// Whether wrong passwords of anybody may be counted in this store.
    pub(crate) fn may_count<T: Rows>(context: &Context, tables: &Tables<T>) -> Result<bool, Failure> {
        if let DefaultPasswordPolicy::Rules(rules) = &context.ppolicy.default
            && rules.counts_failures()
        {
            return Ok(true);
        }
        let asked = Asked::Equality(b"pwdPolicy");
        let policies = context.indexes.lookup(&context.schema, &tables.standing, "objectClass", asked);
        // Without the index, which there always is when a store is open, it cannot be told.
        policies.map_or(Ok(true), |policies| Ok(tables.count(&policies, 0)? > 0))
    }

    /// The policy at this name. That there is none is said once, until there is one again.
    fn at<T: Rows>(context: &Context, tables: &Tables<T>, dn: &Dn) -> Result<Option<Self>, Failure> {
        let policy = Self::find(context, tables, dn)?;
        let is_default = matches!(&context.ppolicy.default, DefaultPasswordPolicy::Entry(one) if one == dn);
        if policy.is_some() {
            if is_default {
                context.ppolicy.missed.store(false, Ordering::Relaxed);
            }
        } else if !is_default {
            tracing::warn!(%dn, "there is no password policy at this name; accounts that refer to it have the default");
        } else if tables.entries()? > 0 && !context.ppolicy.missed.swap(true, Ordering::Relaxed) {
            tracing::error!(
                %dn,
                "the default password policy is not there: passwords are held to no rule, and no wrong one locks an \
                 account, until there is an entry of the class pwdPolicy at this name"
            );
        }
        Ok(policy)
    }

    fn find<T: Rows>(context: &Context, tables: &Tables<T>, dn: &Dn) -> Result<Option<Self>, Failure> {
        let found = match context.schema.dn_key(dn) {
            Ok(key) => context.resolve(tables, &key)?,
            Err(_) => Resolved::Missing(None),
        };
        match found {
            Resolved::Found(id) => Ok(tables.stored(id)?.and_then(|stored| Self::of_entry(stored.user()))),
            Resolved::Missing(_) => Ok(None),
        }
    }

    /// Says in the log if the default is not there, so that it is not found out by the first who guesses passwords.
    pub(crate) fn seek_default<T: Rows>(context: &Context, tables: &Tables<T>) -> Result<(), Failure> {
        match &context.ppolicy.default {
            DefaultPasswordPolicy::Entry(dn) => Self::at(context, tables, dn).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Refuses that the name `from` and those below it are given up while the default policy is there: from then on
    /// nobody would be held to anything.
    pub(crate) fn keep_default<T: Rows>(
        context: &Context,
        tables: &Tables<T>,
        from: &DnKey,
    ) -> Result<(), Failure> {
        let DefaultPasswordPolicy::Entry(dn) = &context.ppolicy.default else { return Ok(()) };
        let is_there = context.schema.dn_key(dn).is_ok_and(|key| key.is_within(from));
        match is_there && Self::find(context, tables, dn)?.is_some() {
            true => Err(is_in_use(dn)),
            false => Ok(()),
        }
    }

    /// Refuses a change by which the entry of the default policy would be none any more.
    pub(crate) fn stay_default(
        context: &Context,
        of: &DnKey,
        before: AttributesRef<'_>,
        after: AttributesRef<'_>,
    ) -> Result<(), Failure> {
        let DefaultPasswordPolicy::Entry(dn) = &context.ppolicy.default else { return Ok(()) };
        let ends = context.schema.dn_key(dn).is_ok_and(|key| key == *of)
            && Self::of_entry(before).is_some()
            && Self::of_entry(after).is_none();
        if ends { Err(is_in_use(dn)) } else { Ok(()) }
    }

    /// Whether failed binds have to be remembered.
    pub(crate) fn counts_failures(&self) -> bool {
        (self.lockout && self.max_failure > 0) || !self.min_delay.is_zero()
    }

    /// How many failed binds that lock an account are left, after so many.
    pub(crate) fn attempts_left(&self, failures: usize) -> usize {
        if !self.min_delay.is_zero() || self.max_failure == 0 {
            return 1;
        }
        self.max_failure.saturating_sub(failures).max(1)
    }

    /// How many failed binds are remembered.
    pub(super) fn recorded(&self) -> usize {
        match self.max_recorded_failure.max(self.max_failure) {
            0 => RECORDED,
            most => most,
        }
    }

    /// How many former passwords are remembered.
    pub(crate) fn history(&self) -> usize {
        self.in_history.min(MOST_IN_HISTORY)
    }

    /// How long an account is held after so many failed binds.
    pub(super) fn delay(&self, failures: usize) -> Micros {
        let most = if self.max_delay.is_zero() { LONGEST_DELAY } else { micros(self.max_delay) };
        let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let times = 2_i64.checked_pow(doublings).unwrap_or(i64::MAX);
        micros(self.min_delay).saturating_mul(times).min(most.max(micros(self.min_delay)))
    }
}

pub(super) fn micros(time: Duration) -> Micros {
    Micros::try_from(time.as_micros()).unwrap_or(Micros::MAX)
}

fn is_in_use(dn: &Dn) -> Failure {
    Failure::refused(
        ResultCode::UNWILLING_TO_PERFORM,
        format!(
            "`{dn}` is the password policy of all accounts that name no other; configure another one first"
        ),
    )
}

#[cfg(test)]
mod tests {
    use flext_ldap_proto::attribute::Attributes;

    use super::*;

    #[test]
    fn rules_of_an_entry() {
        let mut builder = Attributes::builder();
        builder.push("objectClass", ["device", "pwdPolicy"]);
        for (name, value) in [
            ("pwdMaxAge", "7776000"),
            ("pwdMinAge", "-5"),
            ("pwdInHistory", "99999999999"),
            ("pwdCheckQuality", "2"),
            ("pwdGraceAuthNLimit", "3"),
            ("pwdLockout", "TRUE"),
            ("pwdAllowUserChange", "FALSE"),
        ] {
            builder.push(name, [value]);
        }
        let rules = PasswordPolicy::of_entry(builder.build().as_ref()).unwrap();
        let want = PasswordPolicy {
            max_age: Duration::from_secs(7_776_000),
            in_history: usize::try_from(u32::MAX).unwrap(),
            check_quality: QualityCheck::Always,
            grace_authn_limit: 3,
            lockout: true,
            allow_user_change: false,
            ..PasswordPolicy::default()
        };
        assert_eq!(rules, want);
        assert_eq!(rules.history(), 50);
        let mut builder = Attributes::builder();
        builder.push("objectClass", ["device"]);
        builder.push("pwdMaxAge", ["1"]);
        assert_eq!(PasswordPolicy::of_entry(builder.build().as_ref()), None);
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        let rules = PasswordPolicy {
            min_delay: Duration::from_secs(2),
            max_delay: Duration::from_secs(30),
            ..PasswordPolicy::default()
        };
        let delays: Vec<_> =
            [1, 2, 3, 4, 5, 6, 1_000_000].map(|failures| rules.delay(failures) / SECOND).to_vec();
        assert_eq!(delays, [2, 4, 8, 16, 30, 30, 30]);
    }
}
