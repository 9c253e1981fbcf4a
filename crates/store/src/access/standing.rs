//! What the one who asks may do: the policy's answers, with what the store knows of entries and groups.
//!
//! What does not depend on an entry is settled once for an operation ([`Standing`]). What the policy wants to know of an
//! entry is found out when it asks.

use std::{
    cell::{Cell, OnceCell, RefCell},
    ops::ControlFlow,
    sync::Arc,
};

use flext_ldap_directory::{
    AccessPolicy, Actor, AttributeRight, Entry, EntryRight, Error, ErrorKind, Group, Lookup, Requester,
    Rights, Target,
};
use flext_ldap_proto::{
    attribute::AttributeDescription,
    dn::{Dn, DnKey},
    filter::{Matcher, Truth},
    message::{Change, ChangeKind},
};

use super::membership;
use crate::{
    context::{Caller, Context, base},
    meter::{Meter, ROW},
    read::{Named, Resolved},
    row::Stored,
    tables::{Failure, Rows, Tables},
    values::{self, Large, ValueRows},
};

/// What is settled of a caller for the whole of an operation, however many commits it sees.
#[derive(Clone)]
pub(crate) struct Standing {
    /// The name of the one who asks.
    pub(super) key: Option<Arc<DnKey>>,
    /// What the policy says; none where it is not asked.
    pub(super) rights: Option<(Arc<dyn AccessPolicy>, Arc<dyn Rights>)>,
}

/// The rights of one caller in one state of the store.
pub(crate) struct Access<'a> {
    context: &'a Context,
    pub(crate) caller: &'a Caller,
    pub(crate) key: Option<Arc<DnKey>>,
    /// Whether the policy need not be asked.
    pub(crate) all: bool,
    rights: Option<(Arc<dyn AccessPolicy>, Arc<dyn Rights>)>,
    entries: &'a dyn Entries,
    /// The policy's filters, made ready when they are used.
    matchers: Vec<OnceCell<Matcher<'a>>>,
    /// What looking at entries for the policy may cost.
    meter: RefCell<Arc<Meter>>,
    /// Why something could not be found out. From then on everything is denied.
    failure: RefCell<Option<Failure>>,
}

/// Where entries and groups are looked up.
pub(crate) trait Entries {
    fn find(&self, context: &Context, key: &DnKey) -> Result<Option<Stored>, Failure>;
    /// Where values of large attributes are.
    fn rows(&self) -> &dyn ValueRows;
    fn memberships(
        &self,
        context: &Context,
        member: &DnKey,
        name: &Dn,
        groups: &[Group],
    ) -> Result<Vec<bool>, Failure>;
}

impl<T: Rows> Entries for Tables<T> {
    fn find(&self, context: &Context, key: &DnKey) -> Result<Option<Stored>, Failure> {
        let Resolved::Found(id) = context.resolve(self, key)? else { return Ok(None) };
        self.stored(id)
    }

    fn rows(&self) -> &dyn ValueRows {
        self
    }

    fn memberships(
        &self,
        context: &Context,
        member: &DnKey,
        name: &Dn,
        groups: &[Group],
    ) -> Result<Vec<bool>, Failure> {
        membership::of(context, self, None, member, name, groups)
    }
}

/// Answers a policy about the caller.
pub(super) struct About<'a> {
    pub(super) context: &'a Context,
    pub(super) entries: &'a dyn Entries,
    pub(super) caller: &'a Caller,
    pub(super) key: Option<&'a DnKey>,
}

impl Lookup for About<'_> {
    fn memberships(&self, groups: &[Group]) -> Result<Vec<bool>, Error> {
        let Actor::User(identity) = &self.caller.actor else { return Ok(vec![false; groups.len()]) };
        let (Some(name), Some(key)) = (identity.dn(), self.key) else { return Ok(vec![false; groups.len()]) };
        self.entries.memberships(self.context, key, name, groups).map_err(|failure| match failure {
            Failure::Failed(error) => error,
            Failure::Refused(result) => Error::new(ErrorKind::Bug, "a group cannot be looked up")
                .with_source(std::io::Error::other(result.diagnostic)),
        })
    }
}

impl Context {
    /// The name of a caller, and whether they may do everything.
    pub(crate) fn is_unrestricted(&self, caller: &Caller) -> (Option<Arc<DnKey>>, bool) {
        let key = caller.key.clone().or_else(|| self.key_of(&caller.actor));
        let all = match &caller.actor {
            Actor::Service => true,
            Actor::Anonymous => false,
            Actor::User(_) => {
                key.is_some() && self.administrator.as_ref().map(|one| &one.key) == key.as_deref()
            }
        };
        (key, all)
    }

    /// The name of an actor as it is compared. What the schema is changed to later makes no other one of it.
    pub(crate) fn key_of(&self, actor: &Actor) -> Option<Arc<DnKey>> {
        let Actor::User(identity) = actor else { return None };
        self.schema.dn_key(identity.dn()?).ok().map(Arc::new)
    }

    /// On whose behalf, and what that allows, as of this state of the store.
    pub(crate) fn standing(&self, caller: &Caller, entries: &dyn Entries) -> Result<Standing, Failure> {
        let (key, all) = self.is_unrestricted(caller);
        if all {
            return Ok(Standing { key, rights: None });
        }
        let who = Requester { actor: &caller.actor, dn: key.as_deref(), peer: &caller.peer };
        let about = About { context: self, entries, caller, key: key.as_deref() };
        let rights = self.policy.rights_of(who, &about)?;
        Ok(Standing { key, rights: Some((Arc::clone(&self.policy), rights)) })
    }

    /// The rights of a caller whose standing was settled before.
    pub(crate) fn access_of<'a>(
        &'a self,
        caller: &'a Caller,
        entries: &'a dyn Entries,
        standing: Standing,
    ) -> Access<'a> {
        let Standing { key, rights } = standing;
        let filters = rights.as_ref().map_or(0, |(policy, _)| policy.filters().len());
        Access {
            context: self,
            caller,
            key,
            all: rights.is_none(),
            rights,
            entries,
            matchers: (0..filters).map(|_| OnceCell::new()).collect(),
            meter: RefCell::new(Arc::new(Meter::budget())),
            failure: RefCell::new(None),
        }
    }

    /// The rights of a caller, for an operation that looks at one state of the store.
    pub(crate) fn access<'a>(
        &'a self,
        caller: &'a Caller,
        entries: &'a dyn Entries,
    ) -> Result<Access<'a>, Failure> {
        let standing = self.standing(caller, entries)?;
        Ok(self.access_of(caller, entries, standing))
    }
}

impl<'a> Access<'a> {
    /// The same without limits, for what everybody may see.
    pub(crate) fn unrestricted(&self) -> Self {
        Self {
            context: self.context,
            caller: self.caller,
            key: self.key.clone(),
            all: true,
            rights: None,
            entries: self.entries,
            matchers: Vec::new(),
            meter: RefCell::new(Arc::new(Meter::budget())),
            failure: RefCell::new(None),
        }
    }

    /// Whether the entry is better read before its rights are asked for.
    pub(crate) fn looks_at_entries(&self) -> bool {
        self.rights.as_ref().is_some_and(|(_, rights)| rights.look_at_entries())
    }

    /// A right to an entry that was not read. See [`at`](Self::at).
    pub(crate) fn entry(&self, named: &Named, right: EntryRight) -> bool {
        self.at(named).entry(right)
    }

    /// A right to an attribute of an entry that was not read. See [`at`](Self::at) and [`On::attribute`].
    pub(crate) fn attribute(&self, named: &Named, description: &str, right: AttributeRight) -> bool {
        self.at(named).attribute(description, right)
    }

    /// Rights to an entry as it is looked at.
    pub(crate) fn on<'x>(&'x self, named: &'x Named, stored: &'x Stored) -> On<'x, 'a> {
        self.to(named, Some(stored))
    }

    /// Rights to an entry that was not read; it is if the policy looks at it.
    pub(crate) fn at<'x>(&'x self, named: &'x Named) -> On<'x, 'a> {
        self.to(named, None)
    }

    fn to<'x>(&'x self, named: &'x Named, stored: Option<&'x Stored>) -> On<'x, 'a> {
        On { access: self, named, stored, found: OnceCell::new(), held: Cell::new((0, 0)) }
    }

    /// Has what the policy's filters cost counted here from now on.
    pub(crate) fn spend_from(&self, meter: Arc<Meter>) {
        self.meter.replace(meter);
    }

    fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter.borrow())
    }

    fn fail(&self, failure: Failure) {
        self.failure.borrow_mut().get_or_insert(failure);
    }

    /// Fails if the policy could not find out something it wanted to know. What it said is then not worth anything.
    pub(crate) fn settled(&self) -> Result<(), Failure> {
        self.failure.borrow_mut().take().map_or(Ok(()), Err)
    }
}

/// The rights of a caller to one entry.
pub(crate) struct On<'x, 'a> {
    access: &'x Access<'a>,
    named: &'x Named,
    stored: Option<&'x Stored>,
    found: OnceCell<Option<Stored>>,
    /// Of the policy's first 64 filters: which were tried, which are true.
    held: Cell<(u64, u64)>,
}

impl On<'_, '_> {
    pub(crate) fn entry(&self, right: EntryRight) -> bool {
        self.ask(|rights, target| rights.entry(target, right))
    }

    /// Passwords are neither searched nor read nor compared, whoever asks.
    pub(crate) fn attribute(&self, description: &str, right: AttributeRight) -> bool {
        let looks = matches!(right, AttributeRight::Search | AttributeRight::Read | AttributeRight::Compare);
        let (context, name) = (self.access.context, base(description));
        if looks && context.is_password_type(name) {
            return false;
        }
        self.ask(|rights, target| rights.attribute(target, context.preferred_type(name), right))
    }

    /// Whether these values may be put in or taken out.
    pub(crate) fn may_change(&self, change: &Change) -> bool {
        let name = change.attribute.as_str();
        if self.attribute(name, AttributeRight::Write) {
            return true;
        }
        let right = match change.kind {
            ChangeKind::Add => AttributeRight::AddValues,
            ChangeKind::Delete => AttributeRight::DeleteValues,
            _ => return false,
        };
        let schema = &self.access.context.schema;
        let own = || {
            !change.values.is_empty()
                && self.access.key.is_some()
                && change
                    .values
                    .iter()
                    .all(|value| membership::key_of(schema, value).as_ref() == self.access.key.as_deref())
        };
        self.attribute(name, right) || (own() && self.attribute(name, AttributeRight::WriteOwnName))
    }

    fn ask(&self, ask: impl FnOnce(&dyn Rights, Target<'_>) -> bool) -> bool {
        let Some((_, rights)) = &self.access.rights else { return self.access.all };
        let dn = &self.named.key;
        let target = Target { dn, is_self: self.access.key.as_deref() == Some(dn), entry: self };
        ask(&**rights, target) && self.access.failure.borrow().is_none()
    }

    /// The entry, read if it was not. What is not there (yet) has no attributes.
    pub(super) fn seen(&self) -> Option<&Stored> {
        if let Some(stored) = self.stored {
            return Some(stored);
        }
        let found = self.found.get_or_init(|| {
            self.access.entries.find(self.access.context, &self.named.key).unwrap_or_else(|failure| {
                self.access.fail(failure);
                None
            })
        });
        found.as_ref()
    }

    fn evaluate(&self, filter: usize) -> bool {
        let Some(((policy, _), matcher)) = self.access.rights.as_ref().zip(self.access.matchers.get(filter))
        else {
            return false;
        };
        let (Some(filter), Some(stored)) = (policy.filters().get(filter), self.seen()) else { return false };
        let matcher = matcher.get_or_init(|| Matcher::new(filter, &self.access.context.schema));
        let dn = if matcher.looks_at_name() { self.named.dn.parse().ok() } else { None };
        let Access { context, entries, .. } = self.access;
        let segments = [stored.user(), stored.operational()];
        let (dn, rows) = (dn.unwrap_or_else(Dn::root), entries.rows());
        let truth = values::evaluate(
            context,
            rows,
            matcher,
            &dn,
            &segments,
            stored.large(),
            &self.access.meter(),
            &|_| true,
            &|_| None,
        );
        match truth {
            Ok(truth) => truth == Truth::True,
            Err(failure) => {
                self.access.fail(failure);
                false
            }
        }
    }

    /// Whether a large attribute has the name as a value. That of the one who asks is looked up; any other one is
    /// looked for.
    fn names_among(&self, large: &Large, dn: &DnKey) -> Result<bool, Failure> {
        let Access { context, entries, caller, key, .. } = self.access;
        let rows = entries.rows();
        let kind = context.schema.attribute_type(base(&large.description));
        let is_name =
            kind.and_then(|kind| kind.equality).is_some_and(|rule| rule.name() == "distinguishedNameMatch");
        if is_name
            && key.as_deref() == Some(dn)
            && let Actor::User(identity) = &caller.actor
            && let Some(name) = identity.dn()
        {
            let key = values::value_key(context, &large.description, name.as_str().as_bytes());
            return Ok(large.get(rows, &key)?.is_some());
        }
        let (mut found, meter) = (false, self.access.meter());
        large.visit(rows, None, &mut |_, value| {
            meter.look(value.len().saturating_add(ROW))?;
            found = membership::key_of(&context.schema, value).as_ref() == Some(dn);
            Ok(if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(found)
    }
}

impl Entry for On<'_, '_> {
    fn matches(&self, filter: usize) -> bool {
        let bit = u32::try_from(filter).ok().and_then(|filter| 1_u64.checked_shl(filter)).unwrap_or(0);
        let (tried, held) = self.held.get();
        if tried & bit != 0 {
            return held & bit != 0;
        }
        let holds = self.evaluate(filter);
        self.held.set((tried | bit, if holds { held | bit } else { held }));
        holds
    }

    fn names(&self, attribute: &str, dn: &DnKey) -> bool {
        let (Some(stored), Ok(wanted)) = (self.seen(), attribute.parse::<AttributeDescription>()) else {
            return false;
        };
        let schema = &self.access.context.schema;
        let named = stored.user().iter().chain(stored.operational().iter()).any(|one| {
            schema.is_within(one.description(), &wanted)
                && one.values().any(|value| membership::key_of(schema, value).as_ref() == Some(dn))
        });
        let mut large = stored.large().iter().filter(|one| schema.is_within(&one.description, &wanted));
        named
            || large.any(|one| {
                self.names_among(one, dn).unwrap_or_else(|failure| {
                    self.access.fail(failure);
                    false
                })
            })
    }
}
