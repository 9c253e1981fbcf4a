//! What the directory keeps of one account, and what follows from it and from the policy. Nothing is read or written
//! here, and the time is given.

use bytes::Bytes;
use flext_ldap_proto::{
    attribute::AttributesRef,
    control::{PasswordPolicyError, PasswordPolicyResponse, PasswordPolicyWarning},
    schema::GeneralizedTime,
};

use super::{Micros, SECOND, policy::PasswordPolicy, policy::micros};
use crate::{context::Context, modify::Draft};

/// The operational attributes of the draft's §5.3.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Account {
    pub(crate) changed: Option<Micros>,
    pub(crate) locked: Option<Micros>,
    /// Failed binds, oldest first.
    pub(crate) failures: Vec<Micros>,
    /// Binds with the expired password, oldest first.
    pub(crate) grace_uses: Vec<Micros>,
    pub(crate) reset: bool,
    pub(crate) last_success: Option<Micros>,
    start: Option<Micros>,
    end: Option<Micros>,
}

/// `000001010000Z`: locked until an administrator unlocks it, whatever the policy says.
const FOR_GOOD: Micros = -62_167_219_200 * SECOND;

/// Whether an attribute is one of those that hold an account to its policy (§5.3), by its name in the schema.
pub(crate) fn is_of_account(attribute: &str) -> bool {
    const ALL: [&str; 10] = [
        "pwdPolicySubentry",
        "pwdChangedTime",
        "pwdAccountLockedTime",
        "pwdFailureTime",
        "pwdHistory",
        "pwdGraceUseTime",
        "pwdReset",
        "pwdStartTime",
        "pwdEndTime",
        "pwdLastSuccess",
    ];
    ALL.iter().any(|one| one.eq_ignore_ascii_case(attribute))
}

/// What a bind with the right password comes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Entered {
    /// Whether it is let in.
    pub(crate) allowed: bool,
    pub(crate) response: PasswordPolicyResponse,
    /// The account afterwards.
    pub(crate) account: Account,
}

impl Account {
    pub(crate) fn read(operational: AttributesRef<'_>) -> Self {
        let times = |name: &str| {
            let values =
                operational.get(name).map(|one| one.values().collect::<Vec<_>>()).unwrap_or_default();
            let mut times: Vec<_> = values.into_iter().filter_map(moment).collect();
            times.sort_unstable();
            times
        };
        let time = |name: &str| times(name).last().copied();
        Self {
            changed: time("pwdChangedTime"),
            // One that cannot be read still locks.
            locked: operational
                .get("pwdAccountLockedTime")
                .map(|one| one.first().and_then(moment).unwrap_or(FOR_GOOD)),
            failures: times("pwdFailureTime"),
            grace_uses: times("pwdGraceUseTime"),
            reset: operational.get("pwdReset").and_then(|one| one.first()) == Some(b"TRUE".as_slice()),
            last_success: time("pwdLastSuccess"),
            start: time("pwdStartTime"),
            end: time("pwdEndTime"),
        }
    }

    /// Writes what differs from `before`.
    pub(crate) fn write(&self, before: &Self, context: &Context, operational: &mut Draft<'_>) {
        let mut set = |name: &str, before: &[Micros], after: &[Micros], exact: bool| {
            if before != after {
                let values = after.iter().map(|time| text(*time, exact)).collect();
                operational.set(context, name, values);
            }
        };
        set("pwdChangedTime", before.changed.as_slice(), self.changed.as_slice(), false);
        set("pwdAccountLockedTime", before.locked.as_slice(), self.locked.as_slice(), false);
        set("pwdFailureTime", &before.failures, &self.failures, true);
        set("pwdGraceUseTime", &before.grace_uses, &self.grace_uses, true);
        set("pwdLastSuccess", before.last_success.as_slice(), self.last_success.as_slice(), false);
        if before.reset != self.reset {
            let value = self.reset.then(|| Bytes::from_static(b"TRUE"));
            operational.set(context, "pwdReset", value.into_iter().collect());
        }
    }

    /// The names of the attributes that differ from `before`, in lower case.
    pub(crate) fn changes(&self, before: &Self) -> Vec<String> {
        let table = [
            ("pwdchangedtime", self.changed != before.changed),
            ("pwdaccountlockedtime", self.locked != before.locked),
            ("pwdfailuretime", self.failures != before.failures),
            ("pwdgraceusetime", self.grace_uses != before.grace_uses),
            ("pwdlastsuccess", self.last_success != before.last_success),
            ("pwdreset", self.reset != before.reset),
        ];
        table.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
    }

    /// Whether nobody is let in, whatever password they have (§7.1).
    pub(crate) fn is_locked(&self, policy: Option<&PasswordPolicy>, now: Micros) -> bool {
        if self.locked == Some(FOR_GOOD)
            || self.start.is_some_and(|start| now < start)
            || self.end.is_some_and(|end| now >= end)
        {
            return true;
        }
        let Some(policy) = policy else { return false };
        let locked = policy.lockout
            && self.locked.is_some_and(|since| {
                policy.lockout_duration.is_zero()
                    || now < since.saturating_add(micros(policy.lockout_duration))
            });
        let idle = !policy.max_idle.is_zero()
            && self.last_success.is_some_and(|last| now > last.saturating_add(micros(policy.max_idle)));
        locked || idle || self.is_held(policy, now)
    }

    /// Whether the delay after a failed bind lasts (§7.3): until it is over no password is looked at.
    fn is_held(&self, policy: &PasswordPolicy, now: Micros) -> bool {
        if policy.min_delay.is_zero() {
            return false;
        }
        let failures = self.failures_in_force(policy, now);
        failures.last().is_some_and(|last| now < last.saturating_add(policy.delay(failures.len())))
    }

    /// Failed binds that are not forgotten yet.
    pub(crate) fn failures_in_force(&self, policy: &PasswordPolicy, now: Micros) -> Vec<Micros> {
        let interval = micros(policy.failure_count_interval);
        let in_force = |time: &Micros| interval == 0 || now < time.saturating_add(interval);
        self.failures.iter().copied().filter(in_force).collect()
    }

    /// The account after a bind with a wrong password.
    pub(crate) fn failed(&self, policy: &PasswordPolicy, now: Micros) -> Self {
        let mut after = self.clone();
        after.failures = self.failures_in_force(policy, now);
        push(&mut after.failures, now);
        let surplus = after.failures.len().saturating_sub(policy.recorded());
        after.failures.drain(..surplus);
        if self.locked != Some(FOR_GOOD) {
            let locks =
                policy.lockout && policy.max_failure > 0 && after.failures.len() >= policy.max_failure;
            after.locked = locks.then(|| whole_second(now));
        }
        after
    }

    /// What a bind with the right password, to an account that is not locked, comes to (§7.1, §7.4).
    pub(crate) fn entered(&self, policy: &PasswordPolicy, now: Micros) -> Entered {
        let mut account = self.clone();
        let mut response = PasswordPolicyResponse::default();
        let expires = (!policy.max_age.is_zero())
            .then(|| self.changed.map(|changed| changed.saturating_add(micros(policy.max_age))))
            .flatten();
        if policy.must_change && self.reset {
            response.error = Some(PasswordPolicyError::CHANGE_AFTER_RESET);
        } else if let Some(expired) = expires.filter(|expires| now >= *expires) {
            let left = policy.grace_authn_limit.saturating_sub(self.grace_uses.len());
            let in_time =
                policy.grace_expiry.is_zero() || now < expired.saturating_add(micros(policy.grace_expiry));
            if left == 0 || !in_time {
                response.error = Some(PasswordPolicyError::PASSWORD_EXPIRED);
                return Entered { allowed: false, response, account };
            }
            push(&mut account.grace_uses, now);
            response.warning =
                Some(PasswordPolicyWarning::GraceAuthNsRemaining(count(left.saturating_sub(1))));
        } else if let Some(expires) = expires
            && !policy.expire_warning.is_zero()
        {
            let left = expires.saturating_sub(now);
            if left <= micros(policy.expire_warning) {
                let seconds = usize::try_from(left / SECOND).unwrap_or_default();
                response.warning = Some(PasswordPolicyWarning::TimeBeforeExpiration(count(seconds)));
            }
        }
        account.failures.clear();
        account.locked = None;
        if !policy.max_idle.is_zero() {
            account.last_success = Some(whole_second(now));
        }
        Entered { allowed: true, response, account }
    }

    /// Whether the password is too young for its owner to change it (§7.5).
    pub(crate) fn is_too_young(&self, policy: &PasswordPolicy, now: Micros) -> bool {
        !policy.min_age.is_zero()
            && !self.reset
            && self.changed.is_some_and(|changed| now < changed.saturating_add(micros(policy.min_age)))
    }

    /// The account after its password was changed (§8.2): by its owner, or by somebody else.
    pub(crate) fn changed(&self, policy: Option<&PasswordPolicy>, own: bool, now: Micros) -> Self {
        let mut after = Self { failures: Vec::new(), grace_uses: Vec::new(), ..self.clone() };
        after.changed = Some(whole_second(now));
        if own {
            after.reset = false;
        } else {
            after.reset = policy.map_or(self.reset, |policy| policy.must_change);
            after.last_success = None;
            if self.locked != Some(FOR_GOOD) {
                after.locked = None;
            }
        }
        after
    }
}

/// Appends a time that must differ from those before.
fn push(times: &mut Vec<Micros>, now: Micros) {
    let next = times.last().map_or(now, |last| now.max(last.saturating_add(1)));
    times.push(next);
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX).min(i32::MAX.cast_unsigned())
}

pub(super) const fn whole_second(time: Micros) -> Micros {
    time.div_euclid(SECOND).saturating_mul(SECOND)
}

fn moment(value: &[u8]) -> Option<Micros> {
    let time: GeneralizedTime = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some(time.unix_seconds.saturating_mul(SECOND).saturating_add(i64::from(time.nanoseconds / 1_000)))
}

/// As OpenLDAP writes it: to the second, or to the microsecond.
pub(super) fn text(time: Micros, exact: bool) -> Bytes {
    if time == FOR_GOOD {
        return Bytes::from_static(b"000001010000Z");
    }
    let whole = GeneralizedTime { unix_seconds: time.div_euclid(SECOND), nanoseconds: 0 }.to_string();
    if !exact {
        return Bytes::from(whole);
    }
    Bytes::from(format!("{}.{:06}Z", whole.trim_end_matches('Z'), time.rem_euclid(SECOND)))
}
