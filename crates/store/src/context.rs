//! What is settled when a store is opened: schema, suffixes, indexes, policy, administrator.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use flext_ldap_directory::{AccessPolicy, Actor, External, Peer};
use flext_ldap_proto::{
    dn::{Dn, DnKey},
    result::ResultCode,
    schema::Schema,
};

pub(crate) use crate::access::Access;
use crate::{
    certificates::CertificateRule,
    clock::TimeSource,
    constraint::Constraints,
    credentials::Form,
    index::{Indexes, Listener},
    long_work::LongWork,
    options::{Limits, SchemaHandle},
    ppolicy::{Micros, Settings},
    project::Marks,
    read::Resolved,
    row::Id,
    session::gone,
    subschema::Subschema,
    tables::{Failure, Rows, Tables},
    unindexed::Unindexed,
};

#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) schema: SchemaHandle,
    /// What the schema is made of.
    pub(crate) subschema: Subschema,
    pub(crate) suffixes: Vec<(Dn, DnKey)>,
    pub(crate) indexes: Indexes,
    pub(crate) index_listener: Listener,
    pub(crate) constraints: Constraints,
    pub(crate) policy: Arc<dyn AccessPolicy>,
    pub(crate) administrator: Option<Administrator>,
    pub(crate) peer_administrators: Vec<u32>,
    pub(crate) certificate_rules: Vec<CertificateRule>,
    pub(crate) limits: Limits,
    pub(crate) unindexed: Unindexed,
    /// What a search may work without being noted as slow.
    pub(crate) slow: Option<Duration>,
    /// What page cookies are sealed with.
    pub(crate) page_key: Vec<u8>,
    /// Where parts of large attributes ended.
    pub(crate) marks: Arc<Marks>,
    /// Names and OIDs of attribute types whose values are passwords, in lower case.
    pub(crate) passwords: Vec<String>,
    /// How new passwords are kept.
    pub(crate) form: Form,
    pub(crate) ppolicy: Settings,
    pub(crate) time: TimeSource,
    pub(crate) long_work: LongWork,
}

/// The context in force. Whoever begins an operation takes it and keeps to it.
pub(crate) struct Current(RwLock<Arc<Context>>);

impl Current {
    pub(crate) fn new(context: Context) -> Self {
        Self(RwLock::new(Arc::new(context)))
    }

    pub(crate) fn get(&self) -> Arc<Context> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts something else in force.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Context)) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut context = Context::clone(&current);
        change(&mut context);
        *current = Arc::new(context);
    }

    /// Puts a policy in force.
    pub(crate) fn set_policy(&self, policy: Arc<dyn AccessPolicy>) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let policy = policy.for_schema(&current.schema).unwrap_or(policy);
        *current = Arc::new(Context { policy, ..Context::clone(&current) });
    }
}

impl Current {
    /// Puts the schema of `from` in force, and what depends on it.
    pub(crate) fn set_schema(&self, from: &Context) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Context { schema, subschema, indexes, constraints, passwords, .. } = from.clone();
        // Not that of `from`: another may have been put in force since.
        let policy = current.policy.for_schema(&schema).unwrap_or_else(|| Arc::clone(&current.policy));
        *current = Arc::new(Context {
            schema,
            subschema,
            indexes,
            constraints,
            passwords,
            policy,
            ..Context::clone(&current)
        });
    }
}

/// Who asks: on whose behalf, and how they are connected.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) actor: Actor,
    pub(crate) peer: Peer,
    /// The actor's name as it is compared, where it is known already.
    pub(crate) key: Option<Arc<DnKey>>,
    /// The entry that has the actor's name, where they are that entry and not whoever has the name when a write is done.
    pub(crate) account: Option<Id>,
    /// Whoever acts for the actor (RFC 4370).
    pub(crate) proxy: Option<Box<Self>>,
}

impl Caller {
    pub(crate) const fn new(actor: Actor, peer: Peer) -> Self {
        Self { actor, peer, key: None, account: None, proxy: None }
    }

    /// The program itself, with all rights.
    pub(crate) const fn service() -> Self {
        Self::new(Actor::Service, Peer::in_process())
    }

    /// The same for later: names may be compared otherwise by then.
    pub(crate) fn without_keys(self) -> Self {
        let proxy = self.proxy.map(|proxy| Box::new(proxy.without_keys()));
        Self { key: None, proxy, ..self }
    }
}

/// Who may do everything.
#[derive(Clone)]
pub(crate) struct Administrator {
    pub(crate) dn: Dn,
    pub(crate) key: DnKey,
    pub(crate) salt: Vec<u8>,
    /// Of salt and password. It is never stored, so it need not be slow.
    pub(crate) digest: Vec<u8>,
}

/// The name under which the schema is read.
pub(crate) const SUBSCHEMA: &str = "cn=subschema";

impl Context {
    /// `userPassword` and its subtypes.
    pub(crate) fn password_types(schema: &Schema) -> Vec<String> {
        let mut names = HashSet::from(["userpassword".to_owned(), "2.5.4.35".to_owned()]);
        for attribute in schema.attribute_types() {
            let mut up = Some(attribute);
            for _ in 0..100 {
                let Some(one) = up else { break };
                if &*one.oid == "2.5.4.35" {
                    names.insert(attribute.oid.to_ascii_lowercase());
                    names.extend(attribute.names.iter().map(|name| name.to_ascii_lowercase()));
                }
                up = one.superior.as_deref().and_then(|name| schema.attribute_type(name));
            }
        }
        names.into_iter().collect()
    }

    /// The time, as password policy counts it.
    pub(crate) fn now(&self) -> Micros {
        Micros::try_from(self.time.micros()).unwrap_or(Micros::MAX)
    }

    /// Whether values of this attribute are passwords, which live apart.
    pub(crate) fn is_password(&self, description: &str) -> bool {
        self.is_password_type(base(description))
    }

    /// The same of a description without options.
    pub(crate) fn is_password_type(&self, name: &str) -> bool {
        // There are a handful of names.
        self.passwords.iter().any(|password| password.eq_ignore_ascii_case(name))
    }

    /// The name the schema prefers for the type of an attribute.
    pub(crate) fn preferred<'a>(&'a self, description: &'a str) -> &'a str {
        self.preferred_type(base(description))
    }

    /// The same of a description without options.
    pub(crate) fn preferred_type<'a>(&'a self, name: &'a str) -> &'a str {
        self.schema.attribute_type(name).map_or(name, |kind| kind.name())
    }

    /// An attribute as the schema spells it, its options as given (RFC 4512 §2.5): what answers say, whatever name an
    /// entry was written with.
    pub(crate) fn spelt(&self, description: &str) -> String {
        let mut spelt = self.preferred(description).to_owned();
        if let Some((_, options)) = description.split_once(';') {
            spelt.push(';');
            spelt.push_str(options);
        }
        spelt
    }

    /// One text for all spellings of an attribute, options included.
    pub(crate) fn canonical(&self, description: &str) -> String {
        let mut canonical = self.preferred(description).to_ascii_lowercase();
        let mut options: Vec<_> = description.split(';').skip(1).map(str::to_ascii_lowercase).collect();
        options.sort_unstable();
        for option in options {
            canonical.push(';');
            canonical.push_str(&option);
        }
        canonical
    }

    pub(crate) fn key(&self, dn: &Dn) -> Result<DnKey, Failure> {
        self.schema
            .dn_key(dn)
            .map_err(|error| Failure::refused(ResultCode::INVALID_DN_SYNTAX, error.to_string()))
    }

    /// The suffix a name is in: how many components it has.
    pub(crate) fn suffix_levels(&self, key: &DnKey) -> Option<usize> {
        self.suffixes.iter().find(|(_, suffix)| key.is_within(suffix)).map(|(_, suffix)| suffix.rdns().len())
    }

    pub(crate) fn resolve<T: Rows>(&self, tables: &Tables<T>, key: &DnKey) -> Result<Resolved, Failure> {
        match self.suffix_levels(key) {
            Some(levels) => tables.resolve(key, levels),
            None => Ok(Resolved::Missing(None)),
        }
    }

    /// Fails where a caller is an entry that is gone, or has another name, as of this state of the store.
    pub(crate) fn check_caller<T: Rows>(&self, caller: &Caller, tables: &Tables<T>) -> Result<(), Failure> {
        let mut next = Some(caller);
        while let Some(caller) = next {
            if let Some(account) = caller.account {
                let key = caller.key.clone().or_else(|| self.key_of(&caller.actor));
                let found = key.map(|key| self.resolve(tables, &key)).transpose()?;
                if !matches!(found, Some(Resolved::Found(id)) if id == account) {
                    return Err(gone());
                }
            }
            next = caller.proxy.as_deref();
        }
        Ok(())
    }

    /// Whether SASL EXTERNAL would be taken from this peer.
    pub(crate) fn offers_external(&self, peer: &Peer) -> bool {
        match peer.external {
            Some(External::UnixUser { .. }) => self.administrator.is_some(),
            Some(External::Certificate(_)) => !self.certificate_rules.is_empty(),
            _ => false,
        }
    }
}

/// The type in an attribute description.
pub(crate) fn base(description: &str) -> &str {
    // A search for one octet in a few is slower than this.
    let end = description.bytes().position(|octet| octet == b';');
    end.and_then(|end| description.get(..end)).unwrap_or(description)
}
