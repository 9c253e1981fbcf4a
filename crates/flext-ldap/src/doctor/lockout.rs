//! After how many wrong passwords the directory locks an account, and whether a program could come to that by itself.
//!
//! Each product keeps it in another place, and all are looked at: who may not read them is not told.

use std::time::Duration;

use flext_ldap_client::Pool;
use flext_ldap_directory::{
    DirectoryExt as _, Request,
    proto::{
        dn::Dn,
        entry::Entry,
        filter::Filter,
        message::{Scope, Search},
    },
};

use super::{Finding, LONGEST_VALUE, View, What, cut, server::span};

/// Policies that are looked at.
const MOST_POLICIES: usize = 10;

/// The policy of draft-behera-ldap-password-policy, in an entry somewhere below the base.
const POLICY: &str = "(objectClass=pwdPolicy)";

/// A rule for locking.
#[derive(Debug, Eq, PartialEq)]
struct Rule {
    /// Where it stands.
    place: String,
    /// Wrong passwords, 0 for none.
    most: u32,
    /// In which time; zero where they are never forgotten.
    window: Duration,
    /// How long it is locked then; zero for until somebody unlocks it.
    locked: Duration,
}

pub(super) async fn look(view: &View<'_>, base: &Dn, findings: &mut Vec<Finding>) {
    let mut rules = Vec::new();
    if let Some(entry) =
        read(view, base, ["lockoutThreshold", "lockOutObservationWindow", "lockoutDuration"]).await
    {
        rules.extend(of_domain(&entry));
    }
    if let Ok(config) = "cn=config".parse()
        && let Some(entry) = read(
            view,
            &config,
            [
                "passwordLockout",
                "passwordMaxFailure",
                "passwordResetFailureCount",
                "passwordLockoutDuration",
                "passwordUnlock",
            ],
        )
        .await
    {
        rules.extend(of_config(&entry));
    }
    if let Ok(filter) = POLICY.parse::<Filter>() {
        let search = Search::new(base.clone(), Scope::Subtree, filter)
            .attributes(["pwdLockout", "pwdMaxFailure", "pwdFailureCountInterval", "pwdLockoutDuration"])
            .size_limit(MOST_POLICIES as u32);
        let mut entries = view.connection.search(Request::new(search, view.actor.clone()).until(view.by()));
        // That policies cannot be read, or not all of them, is told below.
        while rules.len() < MOST_POLICIES
            && let Ok(Some(entry)) = entries.next().await
        {
            rules.push(of_policy(&entry));
        }
    }
    if rules.is_empty() {
        let cause = format!("when accounts are locked cannot be read as {}", view.who);
        let mend = "ask who runs it; a program that repeats a wrong password of somebody locks them out";
        findings.push(Finding::note(What::Lockout, format!("base `{base}`"), cause).mend(mend));
    }
    findings.extend(rules.iter().map(judge));
}

fn judge(rule: &Rule) -> Finding {
    let Rule { place, most, window, locked } = rule;
    let about = format!("policy `{}`", cut(place, LONGEST_VALUE));
    if *most == 0 {
        return Finding::good(What::Lockout, about, "wrong passwords lock no account");
    }
    let within = if window.is_zero() { "in a row".to_owned() } else { format!("within {}", span(*window)) };
    let until = match locked.is_zero() {
        true => "until somebody unlocks it".to_owned(),
        false => format!("for {}", span(*locked)),
    };
    let cause = format!("{most} wrong passwords {within} lock an account, {until}");
    // Where they are never forgotten they add up for as long as nobody looks: a day.
    let time = if window.is_zero() { Duration::from_secs(86_400) } else { *window };
    let sent = Pool::most_refusals_within(time);
    let evidence = format!(
        "a pool sends a password that is refused {sent} times within {} at most; several programs that share an account \
         add up",
        span(time)
    );
    if sent >= *most {
        let mend = "change the password of a service account where programs read it first, or except it from the policy";
        return Finding::warning(What::Lockout, about, cause).evidence(evidence).mend(mend);
    }
    if *most <= 3 {
        let mend =
            "send what somebody typed once, and never again by yourself; 5 or more leave room for mistakes";
        return Finding::warning(What::Lockout, about, cause).evidence(evidence).mend(mend);
    }
    Finding::good(What::Lockout, about, cause).evidence(evidence)
}

async fn read<const N: usize>(view: &View<'_>, dn: &Dn, attributes: [&str; N]) -> Option<Entry> {
    let search = Search::new(dn.clone(), Scope::Base, Filter::any()).attributes(attributes);
    view.connection
        .search_optional(Request::new(search, view.actor.clone()).until(view.by()))
        .await
        .ok()
        .flatten()
}

fn number(entry: &Entry, attribute: &str) -> Option<i64> {
    entry.as_ref().text(attribute)?.trim().parse().ok()
}

fn seconds(entry: &Entry, attribute: &str) -> Duration {
    Duration::from_secs(number(entry, attribute).and_then(|one| u64::try_from(one).ok()).unwrap_or_default())
}

/// Active Directory and Samba: on the domain's root. Times are negative, in units of 100 ns; the smallest number is for
/// ever.
fn of_domain(entry: &Entry) -> Option<Rule> {
    let most = u32::try_from(number(entry, "lockoutThreshold")?).ok()?;
    let time = |attribute| match number(entry, attribute) {
        None | Some(i64::MIN) => Duration::ZERO,
        Some(ticks) => Duration::from_secs(ticks.unsigned_abs() / 10_000_000),
    };
    let (window, locked) = (time("lockOutObservationWindow"), time("lockoutDuration"));
    Some(Rule { place: entry.dn_str().to_owned(), most, window, locked })
}

/// 389-ds.
fn of_config(entry: &Entry) -> Option<Rule> {
    let is_on =
        |attribute| entry.as_ref().text(attribute).is_some_and(|text| text.eq_ignore_ascii_case("on"));
    let most = u32::try_from(number(entry, "passwordMaxFailure")?).ok()?;
    Some(Rule {
        place: entry.dn_str().to_owned(),
        most: if is_on("passwordLockout") { most } else { 0 },
        window: seconds(entry, "passwordResetFailureCount"),
        locked: if is_on("passwordUnlock") {
            seconds(entry, "passwordLockoutDuration")
        } else {
            Duration::ZERO
        },
    })
}

/// OpenLDAP, ours and others.
fn of_policy(entry: &Entry) -> Rule {
    let is_on = entry.as_ref().text("pwdLockout").is_some_and(|text| text.eq_ignore_ascii_case("TRUE"));
    let most = number(entry, "pwdMaxFailure").and_then(|most| u32::try_from(most).ok()).unwrap_or_default();
    Rule {
        place: entry.dn_str().to_owned(),
        most: if is_on { most } else { 0 },
        window: seconds(entry, "pwdFailureCountInterval"),
        locked: seconds(entry, "pwdLockoutDuration"),
    }
}

#[cfg(test)]
mod tests {
    use flext_ldap_directory::proto::attribute::Attributes;

    use super::*;
    use crate::doctor::Severity;

    fn entry(attributes: &[(&str, &str)]) -> Entry {
        let mut list = Attributes::builder();
        for (name, value) in attributes {
            list.push(name, [value]);
        }
        Entry::new(&"dc=harbourlane,dc=example".parse().unwrap(), list.build())
    }

    #[test]
    fn rules_are_read_as_each_product_keeps_them() {
        let rule = |most, window, locked| Rule {
            place: "dc=harbourlane,dc=example".to_owned(),
            most,
            window: Duration::from_secs(window),
            locked: Duration::from_secs(locked),
        };
        let domain = [
            ("lockoutThreshold", "5"),
            ("lockOutObservationWindow", "-18000000000"),
            ("lockoutDuration", "-9223372036854775808"),
        ];
        assert_eq!(of_domain(&entry(&domain)), Some(rule(5, 1_800, 0)));
        assert_eq!(of_domain(&entry(&[("dc", "harbourlane")])), None);
        let config = [
            ("passwordLockout", "on"),
            ("passwordMaxFailure", "3"),
            ("passwordResetFailureCount", "600"),
            ("passwordLockoutDuration", "3600"),
            ("passwordUnlock", "on"),
        ];
        assert_eq!(of_config(&entry(&config)), Some(rule(3, 600, 3_600)));
        assert_eq!(of_config(&entry(&config[1..])), Some(rule(0, 600, 3_600)));
        let policy = [("pwdLockout", "TRUE"), ("pwdMaxFailure", "6")];
        assert_eq!(of_policy(&entry(&policy)), rule(6, 0, 0));
    }

    #[test]
    fn a_rule_that_a_program_could_break_by_itself_is_a_warning() {
        let judged = |most, window| {
            let (window, locked) = (Duration::from_secs(window), Duration::from_secs(900));
            judge(&Rule { place: "cn=default".to_owned(), most, window, locked })
        };
        let table = [
            (0, 600, Severity::Good),
            (2, 600, Severity::Warning),
            (3, 600, Severity::Warning),
            (5, 600, Severity::Good),
            (10, 0, Severity::Warning),
            (20, 0, Severity::Good),
        ];
        for (most, window, severity) in table {
            assert_eq!(judged(most, window).severity, severity, "{most} {window}");
        }
        assert_eq!(
            judged(5, 600).to_string(),
            "policy `cn=default`: 5 wrong passwords within 10 min lock an account, for 15 min; a pool sends a password that \
             is refused 2 times within 10 min at most; several programs that share an account add up"
        );
    }
}
