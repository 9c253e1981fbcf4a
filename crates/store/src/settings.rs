//! What can be settled anew while a store is open, besides its access policy and its schema.

use std::time::Duration;

use flext_ldap_proto::schema::Schema;

use crate::{Limits, Store, Unindexed};

impl Store {
    /// Holds searches and changes that begin from now on to these limits. Those on memory, threads and queues
    /// (`sort_memory`, `persistent_searches`, `cache`, `write_queue`, `hashing_threads`, `hashing_queue`) stay as they were
    /// when the store was opened.
    pub fn set_limits(&self, limits: &Limits) {
        self.change_context(|context| {
            let Limits {
                sort_memory,
                persistent_searches,
                cache,
                write_queue,
                hashing_threads,
                hashing_queue,
                ..
            } = context.limits;
            context.limits = Limits {
                sort_memory,
                persistent_searches,
                cache,
                write_queue,
                hashing_threads,
                hashing_queue,
                ..limits.clone()
            };
        });
    }

    /// Does this from now on about searches that no index narrows.
    pub fn set_unindexed(&self, unindexed: Unindexed) {
        self.change_context(|context| context.unindexed = unindexed);
    }

    /// Leaves a warning from now on for searches that work longer than this; with `None`, for none.
    pub fn set_slow(&self, slow: Option<Duration>) {
        self.change_context(|context| context.slow = slow);
    }

    /// Gives `look` the schema in force: that of the options with what was changed since.
    pub fn with_schema<T>(&self, look: impl FnOnce(&Schema) -> T) -> T {
        look(&self.context().schema)
    }
}
