//! What `cn=Monitor` of a served directory shows of its store, and to whom.

use std::{
    collections::HashSet,
    str::FromStr,
    sync::{Arc, PoisonError, RwLock},
};

use flext_ldap_directory::{
    Actor, Peer,
    proto::{
        dn::{Dn, DnError, DnKey},
        schema::Schema,
    },
};
use flext_ldap_server::Monitor;
use flext_ldap_store::{
    Counters, Store,
    access::{AccessRules, AllowConfig, RuleConfig, Words},
};

use crate::exit::Usage;

/// Somebody who may read it: an entry by its name, or those in a group, in the words of access rules.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) dn: Dn,
    /// `group` or `nested-group`.
    group: Option<&'static str>,
}

impl FromStr for Reader {
    type Err = DnError;

    fn from_str(text: &str) -> Result<Self, DnError> {
        let group = ["group", "nested-group"]
            .into_iter()
            .find_map(|word| Some((word, text.strip_prefix(word)?.strip_prefix(' ')?)));
        let (group, dn) = group.map_or((None, text), |(word, dn)| (Some(word), dn));
        Ok(Self { dn: dn.parse()?, group })
    }
}

/// Those who may read it at present.
#[derive(Clone, Default)]
pub(super) struct Readers(Arc<RwLock<Arc<Known>>>);

#[derive(Default)]
pub(super) struct Known {
    entries: HashSet<DnKey>,
    /// A rule that lets members read.
    groups: Option<AccessRules>,
}

impl Known {
    /// These readers, as the schema of the store has their names.
    ///
    /// # Errors
    ///
    /// A group whose name the schema cannot compare.
    pub(super) fn new(store: &Store, readers: &[Reader], administrator: Option<&Dn>) -> anyhow::Result<Self> {
        let entries = readers.iter().filter(|reader| reader.group.is_none()).map(|reader| &reader.dn);
        let entries =
            entries.chain(administrator).filter_map(|dn| Schema::standard().dn_key(dn).ok()).collect();
        let mut rule = RuleConfig::default();
        for Reader { dn, group } in readers {
            let Some(word) = group else { continue };
            let mut allow = AllowConfig::default();
            (allow.who, allow.rights) = (format!("{word} {dn}"), Words(vec!["read".to_owned()]));
            rule.allow.push(allow);
        }
        let groups = if rule.allow.is_empty() {
            None
        } else {
            let rules = store.with_schema(|schema| AccessRules::from_config(&[rule], schema));
            Some(rules.map_err(|problems| {
                let problems: Vec<_> = problems.into_iter().map(|problem| problem.message).collect();
                Usage(format!("`monitor.readers` cannot be used: {}", problems.join("; ")))
            })?)
        };
        Ok(Self { entries, groups })
    }
}

impl Readers {
    /// Lets these read, and nobody else.
    pub(super) fn set(&self, known: Known) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }

    fn have(&self, store: &Store, dn: &Dn, peer: &Peer) -> bool {
        let known = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let is_named = || Schema::standard().dn_key(dn).is_ok_and(|key| known.entries.contains(&key));
        let is_member = |rules: &AccessRules| {
            // What cannot be looked up gives nothing.
            store.explain_access(rules, Some(dn), peer, &Dn::root(), None).is_ok_and(|told| {
                told.rights.iter().any(|verdict| verdict.right == "disclose" && verdict.allowed)
            })
        };
        is_named() || known.groups.as_ref().is_some_and(is_member)
    }
}

/// Shown to these readers and no others.
pub(super) fn monitor(store: &Store, readers: Readers) -> Monitor {
    let accounts = store.clone();
    let may_read = move |actor: &Actor, peer: &Peer| match actor {
        Actor::User(identity) => {
            identity.dn().is_some_and(|dn| readers.have(&accounts, dn, peer))
                // Not before they have changed a password that was set for them; nor where that cannot be told.
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
