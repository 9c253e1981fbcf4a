//! How far servers that hold the same are behind each other, by the change numbers in their `contextCSN` (as OpenLDAP and
//! this project's directory keep it).
//!
//! What counts is not how old the last change of a server is, for in a quiet directory that may be days, but for how long
//! a change has been known elsewhere that it has not. Numbers of Active Directory (`highestCommittedUSN`) are each server's
//! own and cannot be compared.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

/// Servers that write, of which changes are remembered.
const MOST_WRITERS: usize = 64;
/// Changes of each that are remembered.
const MOST_CHANGES: usize = 64;

/// Follows servers that hold the same. Numbered from 0.
///
/// ```
/// use std::time::Duration;
/// use flext_ldap_directory::health::ReplicationLag;
/// use tokio::time::Instant;
///
/// let (mut lag, now) = (ReplicationLag::default(), Instant::now());
/// lag.observe(0, ["20261122100000.000000Z#000000#001#000000"], now);
/// lag.observe(1, ["20261122095959.000000Z#000000#001#000000"], now);
/// assert_eq!(lag.of(1, now + Duration::from_secs(2)), Some(Duration::from_secs(2)));
/// assert_eq!(lag.of(0, now + Duration::from_secs(2)), Some(Duration::ZERO));
/// assert_eq!(lag.of(2, now), None, "nothing is known of it");
/// ```
#[derive(Clone, Debug, Default)]
pub struct ReplicationLag {
    /// The last change of each writer that a server has.
    servers: BTreeMap<usize, BTreeMap<String, String>>,
    /// Of each writer its last changes, with when they were first seen anywhere.
    changes: BTreeMap<String, VecDeque<(String, Instant)>>,
}

impl ReplicationLag {
    /// Takes in what a server's `contextCSN` says. What is no change number is passed over.
    pub fn observe<'a>(&mut self, server: usize, csns: impl IntoIterator<Item = &'a str>, now: Instant) {
        let mut has = BTreeMap::new();
        for csn in csns {
            let Some(writer) = writer(csn) else { continue };
            if has.len() < MOST_WRITERS {
                has.insert(writer.to_owned(), csn.to_owned());
            }
            if !self.changes.contains_key(writer) && self.changes.len() >= MOST_WRITERS {
                continue;
            }
            let changes = self.changes.entry(writer.to_owned()).or_default();
            if changes.back().is_none_or(|(last, _)| last.as_str() < csn) {
                changes.push_back((csn.to_owned(), now));
                if changes.len() > MOST_CHANGES {
                    changes.pop_front();
                }
            }
        }
        self.servers.insert(server, has);
    }

    /// For how long a server has been without a change that another one has; `None` where it says nothing of changes.
    #[must_use]
    pub fn of(&self, server: usize, now: Instant) -> Option<Duration> {
        let has = self.servers.get(&server).filter(|has| !has.is_empty())?;
        let missing = self.changes.iter().filter_map(|(writer, changes)| {
            let last = has.get(writer);
            changes.iter().find(|(csn, _)| last.is_none_or(|last| last < csn)).map(|(_, since)| *since)
        });
        let oldest = missing.min();
        Some(oldest.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)))
    }
}

/// The server whose change it is: `time#count#server#mod`, each part of a fixed length, so that as texts they compare as
/// they do in time.
fn writer(csn: &str) -> Option<&str> {
    let mut parts = csn.split('#');
    let (time, count, writer, change) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_one = time.ends_with('Z')
        && [count.len(), writer.len(), change.len()] == [6, 3, 6]
        && parts.next().is_none()
        && csn.len() == 40
        && csn.is_ascii();
    is_one.then_some(writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csn(second: u32, writer: u32) -> String {
        format!("202611221000{second:02}.000000Z#000000#{writer:03}#000000")
    }

    #[test]
    fn a_server_is_behind_since_the_first_change_it_lacks() {
        let (mut lag, start) = (ReplicationLag::default(), Instant::now());
        let at = |second: u64| start + Duration::from_secs(second);
        let mut say = |server, seconds: &[(u32, u32)], now| {
            let csns: Vec<_> = seconds.iter().map(|(second, writer)| csn(*second, *writer)).collect();
            lag.observe(server, csns.iter().map(String::as_str), now);
            [lag.of(0, now), lag.of(1, now)].map(|lag| lag.map(|lag| lag.as_secs()))
        };
        assert_eq!(say(0, &[(1, 1), (1, 2)], at(0)), [Some(0), None]);
        assert_eq!(say(1, &[(1, 1), (1, 2)], at(0)), [Some(0), Some(0)]);
        // A long silence is no lag, and neither is a change that has just been made.
        assert_eq!(say(0, &[(5, 1), (1, 2)], at(1_000)), [Some(0), Some(0)]);
        // More changes do not make it less late with the first of them.
        assert_eq!(say(0, &[(9, 1), (1, 2)], at(1_007)), [Some(0), Some(7)]);
        // It has the first of them by now, not the second.
        assert_eq!(say(1, &[(5, 1), (1, 2)], at(1_010)), [Some(0), Some(3)]);
        // Each can lack what the other wrote.
        assert_eq!(say(1, &[(5, 1), (8, 2)], at(1_010)), [Some(0), Some(3)]);
        assert_eq!(say(0, &[(9, 1), (1, 2)], at(1_012)), [Some(2), Some(5)]);
        assert_eq!(say(1, &[(9, 1), (8, 2)], at(1_013)), [Some(3), Some(0)]);
    }

    #[test]
    fn what_is_no_change_number_is_passed_over() {
        let (mut lag, now) = (ReplicationLag::default(), Instant::now());
        let good = csn(1, 1);
        for bad in [
            "",
            "#",
            "20261122#0#0#0",
            "a#b#c#d#e",
            &format!("{good}#"),
            &good.replace('Z', "z"),
            "é#000000#001#000000",
        ] {
            lag.observe(0, [bad], now);
            assert_eq!(lag.of(0, now), None, "{bad}");
        }
        let many: Vec<_> = (0..500).map(|writer| csn(1, writer)).collect();
        for second in 0..60 {
            let csns: Vec<_> =
                many.iter().map(|one| one.replace("221000", &format!("2210{second:02}"))).collect();
            lag.observe(0, csns.iter().map(String::as_str), now);
        }
        assert!(
            lag.changes.len() <= MOST_WRITERS
                && lag.changes.values().all(|changes| changes.len() <= MOST_CHANGES)
        );
    }
}
