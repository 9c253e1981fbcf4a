use std::collections::{BTreeMap, HashSet};

use super::*;

fn ldif_of(people: u32, seed: u64) -> String {
    let mut out = Vec::new();
    company(people, seed).write_ldif(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Entries as lists of `name: value` lines, unfolded.
fn entries(ldif: &str) -> Vec<Vec<String>> {
    let unfolded = ldif.replace("\n ", "");
    unfolded.split_terminator("\n\n").map(|entry| entry.lines().map(str::to_owned).collect()).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_does_not() {
    let one = ldif_of(500, 42);
    assert_eq!(one, ldif_of(500, 42));
    assert_ne!(one, ldif_of(500, 43));
}

#[test]
fn a_larger_company_begins_with_the_smaller_one() {
    let small: Vec<_> = company(50, 9).people().collect();
    let large: Vec<_> = company(5_000, 9).people().take(50).collect();
    assert_eq!(small, large);
}

#[test]
fn user_names_are_unique_ascii_and_name_the_entry() {
    // More people than whole names, so that numbers behind them are needed.
    for seed in [0, 1, 7, 36, 4_799, u64::MAX] {
        let people = u32::try_from(NAMES * 2 + 500).unwrap();
        let mut seen = HashSet::new();
        for person in company(people, seed).people() {
            assert!(person.uid.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'.' | b'0'..=b'9')));
            assert_eq!(person.dn, format!("uid={},ou=people,{SUFFIX}", person.uid));
            assert!(seen.insert(person.uid), "a user name twice with seed {seed}");
        }
    }
}

#[test]
fn the_counts_are_those_of_the_ldif() {
    for people in [0, 1, 3, 39, 40, 41, 2_000] {
        let company = company(people, 5);
        let counts = company.counts();
        let ldif = ldif_of(people, 5);
        let all = entries(&ldif);
        let with = |line: &str| all.iter().filter(|entry| entry.iter().any(|l| l == line)).count() as u64;
        assert_eq!(counts.entries, all.len() as u64, "people {people}");
        assert_eq!(counts.people, with("objectClass: inetOrgPerson"));
        assert_eq!(counts.people, u64::from(people));
        assert_eq!(counts.groups, with("objectClass: groupOfNames"));
        assert_eq!(counts.disabled, with("shadowExpire: 1"));
        assert_eq!(counts.never_seen, with("shadowLastChange: 0"));
        assert_eq!(counts.expired, with("employeeType: contractor"));
        assert_eq!(counts.departments, 40);
    }
    let counts = company(2_000, 5).counts();
    assert!(counts.disabled > 20 && counts.expired > 20 && counts.never_seen > 20, "{counts:?}");
}

#[test]
fn every_parent_and_every_member_stands_before_the_entry_that_names_it() {
    let mut seen = HashSet::new();
    for entry in entries(&ldif_of(300, 11)) {
        let mut lines = entry.iter();
        let dn = lines.next().unwrap();
        if dn.starts_with("dn: ") && !dn.contains(r"\,") && dn != &format!("dn: {SUFFIX}") {
            let parent = dn.split_once(',').unwrap().1;
            assert!(seen.contains(parent), "{dn} before its parent");
        }
        for line in lines {
            if let Some(member) = line.strip_prefix("member: ") {
                assert!(seen.contains(member), "{dn} names {member}, which is not there yet");
            }
        }
        seen.insert(dn.strip_prefix("dn: ").map(str::to_owned).unwrap_or_default());
    }
}

#[test]
fn every_group_has_members_and_groups_nest_three_deep() {
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in entries(&ldif_of(400, 3)) {
        if !entry.iter().any(|line| line == "objectClass: groupOfNames") {
            continue;
        }
        let dn = entry[0].trim_start_matches("dn: ").to_owned();
        let of = entry.iter().filter_map(|line| line.strip_prefix("member: ").map(str::to_owned)).collect();
        members.insert(dn, of);
    }
    assert_eq!(members.len(), 40 + 8 + 4);
    assert!(members.values().all(|of| !of.is_empty()));
    let everyone = &members[&format!("cn=everyone,ou=groups,{SUFFIX}")];
    let division = &members[&everyone[0]];
    let department = &members[&division[0]];
    assert!(department[0].starts_with("uid="), "{department:?}");
}

#[test]
fn a_handful_have_passwords_and_are_active() {
    let people = company(1_000, 1).with_passwords();
    assert_eq!(people.len(), 6);
    let mut seen = HashSet::new();
    for person in &people {
        let password = person.password.as_deref().unwrap();
        assert!(password.chars().count() >= 10, "{password} is too short for any policy");
        assert!(seen.insert(password.to_owned()));
        assert_eq!(person.standing, Standing::Active);
    }
    assert!(people.iter().any(|person| !person.password.as_deref().unwrap().is_ascii()));
    assert_eq!(ldif_of(1_000, 1).matches("\nuserPassword").count(), 6);
    assert_eq!(company(2, 1).with_passwords().len(), 2);
    assert_eq!(company(0, 1).with_passwords(), []);
}

#[test]
fn the_awkward_kinds_of_value_are_all_there() {
    let ldif = ldif_of(1_000, 1);
    for needle in [
        "\ncn:: ",
        "\njpegPhoto:: /9j/4AAQSkZJRgAB",
        "\ndn: ou=Research\\, Optics,ou=departments,",
        "\ndn: ou=Tides \\+ Currents,",
        "\ndn: ou=Exports \\<Licensed\\>,",
        "\ndn:: ",
        "\n ",
    ] {
        assert!(ldif.contains(needle), "no {needle:?}");
    }
    assert!(ldif.lines().all(|line| line.len() <= 76));
}

#[test]
fn names_are_unique_and_their_number_suits_the_walk() {
    let firsts: HashSet<_> = FIRST_NAMES.iter().map(|name| name.1).collect();
    let lasts: HashSet<_> = LAST_NAMES.iter().map(|name| name.1).collect();
    assert_eq!((firsts.len(), lasts.len()), (FIRST_NAMES.len(), LAST_NAMES.len()));
    let mut rest = NAMES;
    for prime in [2, 3, 5] {
        while rest.is_multiple_of(prime) {
            rest /= prime;
        }
    }
    assert_eq!(rest, 1, "the stride is coprime to 2, 3 and 5 only");
    assert_eq!(DEPARTMENT_NAMES.len() % DIVISION_NAMES.len(), 0);
}
