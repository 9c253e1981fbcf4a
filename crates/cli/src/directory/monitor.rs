//! What `cn=Monitor` of a served directory shows of its store, and to whom.

use std::collections::HashSet;

use flext_ldap_directory::{
    Actor,
    proto::{dn::Dn, schema::Schema},
};
use flext_ldap_server::Monitor;
use flext_ldap_store::{Counters, Store};

/// Shown to these entries and no others.
pub(super) fn monitor<'a>(store: &Store, readers: impl Iterator<Item = &'a Dn>) -> Monitor {
    let readers: HashSet<_> = readers.filter_map(|dn| Schema::standard().dn_key(dn).ok()).collect();
    let accounts = store.clone();
    let may_read = move |actor: &Actor, _: &_| match actor {
        Actor::User(identity) => {
            let key = identity.dn().and_then(|dn| Schema::standard().dn_key(dn).ok());
            // Not before they have changed a password that was set for them; nor where that cannot be told.
            key.is_some_and(|key| readers.contains(&key))
                && accounts.must_change(actor).is_ok_and(|must| !must)
        }
        _ => false,
    };
    let store = store.clone();
    Monitor::new(may_read).source("Store", move || {
        let Counters { entries_read, rows_written, commits, writes, passwords_verified, .. } =
            store.counters();
        [
            ("Entries Read", entries_read),
            ("Rows Written", rows_written),
            ("Commits", commits),
            ("Writes", writes),
            ("Passwords Verified", passwords_verified),
        ]
        .map(|(name, value)| (name, value.to_string()))
        .into()
    })
}
