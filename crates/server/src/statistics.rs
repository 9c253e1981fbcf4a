//! What a server counts of itself, for `cn=monitor` and its own log.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use tokio::time::Instant;

/// The operations that are counted, by OpenLDAP's names in `cn=monitor`, and by those of the access log.
const OPERATIONS: [(&str, &[&str]); 10] = [
    ("Bind", &["bind"]),
    ("Unbind", &["unbind"]),
    ("Search", &["search"]),
    ("Compare", &["compare"]),
    ("Modify", &["modify"]),
    ("Modrdn", &["modrdn"]),
    ("Add", &["add"]),
    ("Delete", &["delete"]),
    ("Abandon", &["abandon"]),
    ("Extended", &["extended", "cancel", "starttls"]),
];

/// Something that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, number: usize) {
        self.0.fetch_add(number as u64, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a server has done since it was started.
#[derive(Debug)]
pub(crate) struct Statistics {
    pub(crate) started: (SystemTime, Instant),
    pub(crate) octets_received: Counter,
    pub(crate) octets_sent: Counter,
    pub(crate) messages_received: Counter,
    pub(crate) messages_sent: Counter,
    /// Entries and references sent.
    pub(crate) items: Counter,
    /// Connections refused because there are too many.
    pub(crate) refused: Counter,
    /// Connections refused because an address opened them too often.
    pub(crate) connections_rated: Counter,
    pub(crate) binds_rated: Counter,
    pub(crate) operations_rated: Counter,
    operations: [(Counter, Counter); OPERATIONS.len()],
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            started: (SystemTime::now(), Instant::now()),
            octets_received: Counter::default(),
            octets_sent: Counter::default(),
            messages_received: Counter::default(),
            messages_sent: Counter::default(),
            items: Counter::default(),
            refused: Counter::default(),
            connections_rated: Counter::default(),
            binds_rated: Counter::default(),
            operations_rated: Counter::default(),
            operations: Default::default(),
        }
    }
}

impl Statistics {
    /// An operation was asked for; by its name in the access log.
    pub(crate) fn initiated(&self, operation: &str) {
        if let Some((initiated, _)) = self.operation(operation) {
            initiated.add(1);
        }
    }

    /// An operation has ended, one way or another.
    pub(crate) fn completed(&self, operation: &str) {
        if let Some((_, completed)) = self.operation(operation) {
            completed.add(1);
        }
    }

    fn operation(&self, operation: &str) -> Option<&(Counter, Counter)> {
        let index = OPERATIONS.iter().position(|(_, names)| names.contains(&operation))?;
        self.operations.get(index)
    }

    /// Each operation by OpenLDAP's name: how many were asked for, and how many have ended.
    pub(crate) fn operations(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        OPERATIONS
            .iter()
            .zip(&self.operations)
            .map(|((name, _), (initiated, completed))| (*name, initiated.get(), completed.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_counted_by_what_they_are() {
        let statistics = Statistics::default();
        for operation in ["search", "search", "cancel", "starttls", "extended", "nonsense"] {
            statistics.initiated(operation);
        }
        statistics.completed("search");
        let counted: Vec<_> = statistics.operations().filter(|(_, initiated, _)| *initiated > 0).collect();
        assert_eq!(counted, [("Search", 2, 1), ("Extended", 3, 0)]);
    }
}
