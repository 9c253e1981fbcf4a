//! A small company in the embedded directory, and a count of the binds that reach it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use flext_ldap_directory::{
    Actor, BindReply, BindStep, BoxFuture, Deadline, Directory, DirectoryExt, Error, Peer, Reply, Request,
    Session, Sessions,
};
use flext_ldap_identity::{Authenticator, AuthenticatorBuilder, GroupSearch, UserSearch};
use flext_ldap_proto::{
    attribute::Attributes,
    dn::Dn,
    message::{Add, Change, ChangeKind, Modify},
    secret::Secret,
};
use flext_ldap_store::{PasswordPolicy, Store, StoreOptions};

pub(crate) const SUFFIX: &str = "dc=harbourlane,dc=example";
pub(crate) const RIGHT: &str = "low water 7";

/// The directory, its clock, and the binds it was sent.
pub(crate) struct World {
    pub(crate) store: Store,
    clock: Arc<AtomicU64>,
    binds: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

/// Opens conversations with the store and counts what is bound on them.
#[derive(Clone)]
pub(crate) struct Counted {
    store: Store,
    binds: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

struct CountedSession(Box<dyn Session>, Counted);

pub(crate) fn dn(text: &str) -> Dn {
    text.parse().unwrap()
}

pub(crate) fn person(uid: &str) -> String {
    format!("uid={uid},ou=people,{SUFFIX}")
}

pub(crate) fn group(cn: &str) -> String {
    format!("cn={cn},ou=groups,{SUFFIX}")
}

pub(crate) fn people() -> UserSearch {
    UserSearch::new(dn(&format!("ou=people,{SUFFIX}")), "uid".parse().unwrap())
}

pub(crate) fn groups() -> GroupSearch {
    GroupSearch::new(dn(&format!("ou=groups,{SUFFIX}")))
}

impl World {
    pub(crate) async fn new(set: impl FnOnce(&mut PasswordPolicy)) -> Self {
        let mut policy = PasswordPolicy::default();
        set(&mut policy);
        let clock = Arc::new(AtomicU64::new(1_800_000_000));
        let hand = Arc::clone(&clock);
        let options = StoreOptions::memory()
            .suffix(dn(SUFFIX))
            .password_policy(policy)
            .tell_lockout()
            .clock(move || UNIX_EPOCH + Duration::from_secs(hand.load(Ordering::SeqCst)));
        let world =
            Self { store: Store::open(options).unwrap(), clock, binds: Arc::default(), open: Arc::default() };
        world.add(SUFFIX, &[("objectClass", &["domain"]), ("dc", &["harbourlane"])]).await;
        for unit in ["people", "groups"] {
            world.add(&format!("ou={unit},{SUFFIX}"), &[("objectClass", &["organizationalUnit"])]).await;
        }
        for uid in ["anna", "bert"] {
            world.person(uid).await;
        }
        world
    }

    pub(crate) async fn add(&self, name: &str, attributes: &[(&str, &[&str])]) {
        let mut list = Attributes::builder();
        for (name, values) in attributes {
            list.push(name, *values);
        }
        self.store.add(Request::new(Add::new(dn(name), list.build()), Actor::Service)).await.unwrap();
    }

    pub(crate) async fn person(&self, uid: &str) {
        let mail = format!("{uid}@harbourlane.example");
        let cn = format!("{uid} Quay");
        let attributes: &[(&str, &[&str])] = &[
            ("objectClass", &["inetOrgPerson"]),
            ("uid", &[uid]),
            ("cn", &[&cn]),
            ("sn", &["Quay"]),
            ("mail", &[&mail]),
        ];
        self.add(&person(uid), attributes).await;
        self.set(uid, "userPassword", &[RIGHT]).await;
        // The program has set it, which is a reset.
        self.set(uid, "pwdReset", &[]).await;
    }

    pub(crate) async fn group(&self, cn: &str, members: &[&str]) {
        self.add(&group(cn), &[("objectClass", &["groupOfNames"]), ("member", members)]).await;
    }

    pub(crate) async fn set(&self, uid: &str, attribute: &str, values: &[&str]) {
        let values = values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect();
        let change = Change { kind: ChangeKind::Replace, attribute: attribute.parse().unwrap(), values };
        let modify = Modify { dn: dn(&person(uid)), changes: vec![change] };
        self.store.modify(Request::new(modify, Actor::Service)).await.unwrap();
    }

    pub(crate) fn forward(&self, time: Duration) {
        self.clock.fetch_add(time.as_secs(), Ordering::SeqCst);
    }

    pub(crate) fn sessions(&self) -> Counted {
        let (binds, open) = (Arc::clone(&self.binds), Arc::clone(&self.open));
        Counted { store: self.store.clone(), binds, open }
    }

    /// People by their uid, groups by their members.
    pub(crate) fn builder(&self) -> AuthenticatorBuilder {
        Authenticator::builder(self.sessions(), self.store.clone(), people())
            .groups(groups())
            .attributes(["cn"])
    }

    /// Conversations that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Binds that were sent since this was asked last.
    pub(crate) fn binds(&self) -> usize {
        self.binds.swap(0, Ordering::SeqCst)
    }
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::from(text)
}

impl Sessions for Counted {
    fn open(&self, peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        Box::pin(async {
            let session = Sessions::open(&self.store, peer).await?;
            self.open.fetch_add(1, Ordering::SeqCst);
            Ok(Box::new(CountedSession(session, self.clone())) as Box<dyn Session>)
        })
    }
}

impl Directory for CountedSession {
    fn call(&self, request: Request) -> Reply {
        self.0.call(request)
    }
}

impl Session for CountedSession {
    fn bind(&mut self, step: BindStep, by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        self.1.binds.fetch_add(1, Ordering::SeqCst);
        self.0.bind(step, by)
    }
}

impl Drop for CountedSession {
    fn drop(&mut self) {
        self.1.open.fetch_sub(1, Ordering::SeqCst);
    }
}
