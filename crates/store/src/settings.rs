//! What can be settled anew while a store is open, besides its access policy and its schema; and what of the settings a
//! schema does not allow.

use std::{path::Path, sync::mpsc::sync_channel, time::Duration};

use flext_ldap_directory::{Error, ErrorKind};
use flext_ldap_proto::{dn::Dn, schema::Schema};

use crate::{
    IndexConfig, Limits, Store, StoreOptions, Unindexed,
    constraint::Constraints,
    context::Context,
    folder::{self, DATA_FILE, is_locked},
    index::{Indexes, Reindex},
    project::is_computed_name,
    read::Resolved,
    tables::Failure,
};

/// Something that a schema does not allow.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct OptionProblem {
    /// Which setting, by the keys of a configuration file: `indexes.mail`, `unique[1].attributes[2]`.
    pub key: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl StoreOptions {
    /// All that keeps a store from being opened with these options where `schema` is its schema: indexes, unique values,
    /// references and membership.
    #[must_use]
    pub fn problems(&self, schema: &Schema) -> Vec<OptionProblem> {
        let passwords = Context::password_types(schema);
        let is_apart = |name: &str| is_computed_name(name) || passwords.contains(&name.to_ascii_lowercase());
        let mut config = self.indexes.clone().unwrap_or_default();
        let mut problems = Vec::new();
        for (name, message) in Indexes::problems(schema, &config, &is_apart) {
            config = config.index(&name, []);
            problems.push((format!("indexes.{name}"), message));
        }
        if let Ok(indexes) = Indexes::new(schema, &config, &is_apart) {
            problems.extend(Constraints::problems(&self.constraints, schema, &indexes));
        }
        problems.into_iter().map(|(key, message)| OptionProblem { key, message }).collect()
    }
}

impl Context {
    /// Other indexes, and the constraints that ask them; nothing where these would ask others than they do.
    pub(crate) fn with_indexes(
        &self,
        config: &IndexConfig,
    ) -> Result<Option<(Indexes, Constraints)>, Failure> {
        let is_apart = |name: &str| is_computed_name(name) || self.is_password_type(name);
        let mut indexes = Indexes::new(&self.schema, config, &is_apart)
            .map_err(|wrong| Failure::Failed(Error::new(ErrorKind::Misuse, wrong)))?;
        let before = &self.constraints;
        let Ok(constraints) = Constraints::new(before.options.clone(), &self.schema, &indexes) else {
            return Ok(None);
        };
        constraints.need(&self.schema, &mut indexes);
        let is_same = constraints.cover(before) && before.cover(&constraints);
        Ok((is_same && indexes.needs_as_much(&self.indexes)).then_some((indexes, constraints)))
    }
}

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

    /// Has these indexes from now on, as if the store had been opened with them: they are built and removed while it
    /// serves. Says whether they are in force. They are not, and nothing is changed, where the directory itself would ask
    /// others than it does (those of `objectClass`, `entryUUID`, and attributes with constraints): then the store is to be opened
    /// anew.
    ///
    /// Waits for the commit under way, so it is not for a thread that others wait for.
    ///
    /// # Errors
    ///
    /// What the schema does not allow; when the store is closed or storage fails. If that was in the commit, they are in
    /// force or not when the store writes again.
    pub fn set_indexes(&self, config: &IndexConfig) -> Result<bool, Error> {
        let (answer, answered) = sync_channel(1);
        self.reindex(Reindex { config: config.clone(), answer })?;
        let unwritten = || {
            Error::new(ErrorKind::Storage, "nothing is written at present: the indexes are what they were")
        };
        answered.recv().map_err(|_| unwritten())?
    }

    /// Does this from now on about searches that no index narrows.
    pub fn set_unindexed(&self, unindexed: Unindexed) {
        self.change_context(|context| context.unindexed = unindexed);
    }

    /// Leaves a warning from now on for searches that work longer than this; with `None`, for none.
    pub fn set_slow(&self, slow: Option<Duration>) {
        self.change_context(|context| context.slow = slow);
    }

    /// Whether there is an entry of this name.
    ///
    /// # Errors
    ///
    /// A name that the schema cannot compare, or when the store is closed or storage fails.
    pub fn has_entry(&self, dn: &Dn) -> Result<bool, Error> {
        let look = || {
            let context = self.context();
            let found = context.resolve(&*self.snapshot()?, &context.key(dn)?)?;
            Ok(matches!(found, Resolved::Found(_)))
        };
        look().map_err(Failure::into_error)
    }

    /// Whether this folder holds a store.
    #[must_use]
    pub fn is_in(folder: &Path) -> bool {
        folder.join(DATA_FILE).symlink_metadata().is_ok_and(|data| data.len() > 0)
    }

    /// Removes the files of a store that nobody needs, and the folder unless something else is in it. For one that was
    /// opened by this process, in a folder that was made by it, and is closed.
    ///
    /// # Errors
    ///
    /// When something cannot be removed.
    pub fn remove_from(folder: &Path) -> Result<(), Error> {
        folder::remove(folder)
    }

    /// Whether a process has the store in this folder open.
    #[must_use]
    pub fn is_in_use(folder: &Path) -> bool {
        is_locked(folder)
    }

    /// Gives `look` the schema in force: that of the options with what was changed since.
    pub fn with_schema<T>(&self, look: impl FnOnce(&Schema) -> T) -> T {
        look(&self.context().schema)
    }
}
