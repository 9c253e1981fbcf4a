//! Persistent search (draft-ietf-ldapext-psearch-03): once what is there has been looked at, the change log is followed.
//!
//! The log is on disk and numbered, so nothing is queued for a reader: one that is slow reads on where it was, and one
//! that is too slow, so that what it has not read has been deleted from the log, is told by an error instead of missing
//! something. Each commit wakes whoever waits.
//!
//! What is kept of a search is which entries it has found, one bit each: that is how a deletion is known to be of an
//! entry that matched; what came and went before the reader looked is not told. Rights, filter and scope are looked at
//! when a change is delivered, on the entry as it is then.
//! The limits of a search bound its first part; following takes as long as the client wants.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use flext_ldap_directory::{AttributeRight, BoxFuture, EntryRight, Error, Event};
use flext_ldap_proto::{
    control::{ChangeTypes, Controls, EntryChangeNotification, PersistentSearch},
    dn::Dn,
    filter::{Matcher, Truth},
    message::Scope,
    result::{LdapResult, ResultCode},
};
use roaring::RoaringBitmap;
use tokio::{sync::watch, time::Instant};

use super::{
    BATCH_ITEMS, BATCH_OCTETS, SLICE, Searching,
    source::{Candidates, Within},
};
use crate::{
    access::Access,
    change_log::{Logged, LoggedKind},
    constraint::member_of,
    context::{Caller, Context},
    known::Class,
    long_work,
    project::{View, computed},
    read::{Climbed, Named},
    row::{Id, ROOT},
    shares::Place,
    special,
    store::Store,
    tables::{Failure, Snapshot},
    writer::State,
};

/// Changes read at once.
const ROWS: usize = 256;

/// What a search that goes on remembers.
pub(super) struct Following {
    asked: PersistentSearch,
    base: Id,
    /// The number of the next change to look at.
    next: u64,
    /// Entries that matched when they were last looked at.
    found: RoaringBitmap,
    commits: Commits,
    place: Option<Place>,
}

/// Commits to come.
enum Commits {
    Idle(watch::Receiver<()>),
    Awaited(BoxFuture<'static, watch::Receiver<()>>),
    Lost,
}

impl Following {
    pub(super) fn new(store: &Store, asked: PersistentSearch) -> Self {
        Self {
            asked,
            base: ROOT,
            next: 0,
            found: RoaringBitmap::new(),
            commits: Commits::Idle(store.commits()),
            place: None,
        }
    }

    /// Says where the search starts and which change is the next, for one who may know of the base.
    pub(super) fn begin(
        &mut self,
        store: &Store,
        context: &Context,
        access: &Access<'_>,
        caller: &Caller,
        base: Id,
        tables: &Snapshot,
    ) -> Result<(), Failure> {
        // Nobody's rights are asked of the root, which is no entry: one of those below it has to be known of.
        if base == ROOT && !access.all && !special::knows_a_suffix(context, access, tables)? {
            return Err(Failure::refused(ResultCode::NO_SUCH_OBJECT, ""));
        }
        if self.place.is_none() {
            let place = store.followers().try_take(context, caller);
            self.place = Some(place.ok_or_else(|| {
                Failure::refused(
                    ResultCode::BUSY,
                    "too many persistent searches are under way; end one first",
                )
            })?);
        }
        self.base = base;
        self.next = State::read(tables)?.next_change;
        Ok(())
    }

    /// Whether nothing is delivered of what is there already.
    pub(super) const fn is_silent(&self) -> bool {
        self.asked.changes_only
    }

    /// Remembers an entry that matches. Says whether it is delivered.
    pub(super) fn found(&mut self, id: Id) -> bool {
        self.found.insert(id);
        !self.asked.changes_only
    }
}

impl Commits {
    /// What is committed from here on ends the next wait.
    fn look(&mut self) {
        if let Self::Idle(receiver) = self {
            receiver.borrow_and_update();
        }
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        if let Self::Idle(_) = self
            && let Self::Idle(mut receiver) = std::mem::replace(self, Self::Lost)
        {
            *self = Self::Awaited(Box::pin(async move {
                // The sender is part of the store, which the search has a copy of.
                let _ = receiver.changed().await;
                receiver
            }));
        }
        let Self::Awaited(wait) = self else { return Poll::Ready(()) };
        let receiver = std::task::ready!(Pin::new(wait).poll(cx));
        *self = Self::Idle(receiver);
        Poll::Ready(())
    }
}

impl Searching {
    /// What does not change by a change of its own is in no change log.
    pub(super) fn refuse_to_follow(&self, why: &str) -> Result<(), Failure> {
        match self.following {
            None => Ok(()),
            Some(_) => Err(Failure::refused(
                ResultCode::UNWILLING_TO_PERFORM,
                format!("{why}, so its changes cannot be followed"),
            )),
        }
    }

    /// Delivers changes, or waits for some.
    pub(super) fn poll_following(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<Event, Error>> {
        let started = Instant::now();
        loop {
            // What was done apart comes first.
            if self.items > 0 {
                return Poll::Ready(Ok(Event::Batch(self.take())));
            }
            if let Some(outcome) = self.outcome.take() {
                return Poll::Ready(Ok(Event::Done(outcome)));
            }
            if let Some(following) = &mut self.following {
                following.commits.look();
            }
            let store = self.store.clone();
            let more = match store.reading("a persistent search", || self.follow(started)) {
                Ok(more) => more,
                Err(Failure::Refused(_)) if self.meter.needs_more() => {
                    self.needs_more = true;
                    return Poll::Pending;
                }
                Err(Failure::Refused(result)) => {
                    self.finish(result);
                    false
                }
                Err(Failure::Failed(error)) => return Poll::Ready(Err(error)),
            };
            if self.items > 0 || self.outcome.is_some() {
                continue;
            }
            if more {
                if started.elapsed() > SLICE {
                    let _ = std::pin::pin!(tokio::task::yield_now()).poll(cx);
                    return Poll::Pending;
                }
                continue;
            }
            let Some(following) = &mut self.following else { return Poll::Pending };
            std::task::ready!(following.commits.poll(cx));
        }
    }

    /// Looks at changes until a batch is full, the slice is over, or there are no more. Says whether there are.
    pub(super) fn follow(&mut self, started: Instant) -> Result<bool, Failure> {
        let Some(mut following) = self.following.take() else { return Ok(false) };
        self.begin_step();
        let more = self.follow_log(&mut following, started);
        self.following = Some(following);
        more
    }

    fn follow_log(&mut self, following: &mut Following, started: Instant) -> Result<bool, Failure> {
        let store = self.store.clone();
        let tables = store.snapshot()?;
        let end = State::read(&tables)?;
        if following.next >= end.next_change {
            return Ok(false);
        }
        if following.next < end.first_change {
            return Err(lost("changes that were not delivered yet are not in the change log any more"));
        }
        let context = &*store.context();
        let caller = self.caller.clone();
        context.check_caller(&caller, &tables)?;
        let access = context.access(&caller, &*tables)?;
        access.spend_from(Arc::clone(&self.meter));
        let is_there = following.base == ROOT || tables.node(following.base)?.is_some();
        let pass = Pass {
            base: following.base,
            context,
            access: &access,
            tables: &tables,
            matcher: self.matcher(context),
            scope: if is_there {
                Some(self.place_of_entries(context, &tables, following.base)?)
            } else {
                None
            },
            csn: if self.needs_computed { tables.context_csn()? } else { String::new() },
        };
        if !self.controls.manage_dsa_it {
            self.referrals = special::of_class(context, &tables, Class::Referral)?;
        }
        self.subentries = special::of_class(context, &tables, Class::Subentry)?;
        for (number, change) in tables.changes(following.next, ROWS)? {
            if number != following.next || change.kind == LoggedKind::Other {
                return Err(lost("entries were changed many at once, without a record of each"));
            }
            self.changed(following, &pass, &change)?;
            following.next = following.next.saturating_add(1);
            let full = self.items >= BATCH_ITEMS || self.writer.size() >= BATCH_OCTETS;
            if full || self.meter.is_well_spent() || started.elapsed() > SLICE {
                break;
            }
        }
        access.settled()?;
        let more = following.next < end.next_change;
        if !more && !is_there {
            return Err(Failure::refused(ResultCode::NO_SUCH_OBJECT, "the base of the search was deleted"));
        }
        Ok(more)
    }

    /// Delivers one change, if it is asked for.
    fn changed(
        &mut self,
        following: &mut Following,
        pass: &Pass<'_>,
        change: &Logged,
    ) -> Result<(), Failure> {
        let PersistentSearch { change_types, return_ecs, .. } = following.asked;
        let kind = match change.kind {
            LoggedKind::Add => ChangeTypes::ADD,
            LoggedKind::Modify => ChangeTypes::MODIFY,
            LoggedKind::Rename => ChangeTypes::MOD_DN,
            LoggedKind::Delete | LoggedKind::Other => return self.deleted(following, pass, change),
        };
        let Some(mut view) = self.matching(pass, change.id)? else {
            // One that is gone by now is forgotten when the log says so.
            if pass.tables.node(change.id)?.is_some() {
                following.found.remove(change.id);
            }
            return Ok(());
        };
        following.found.insert(change.id);
        if !change_types.contains(kind) {
            return Ok(());
        }
        if self.member_of {
            member_of::complete(
                pass.context,
                pass.tables,
                None,
                pass.access,
                &mut Climbed::new(),
                &mut view,
            )?;
        }
        let mut controls = Controls::none();
        if return_ecs {
            let previous = match change.kind {
                LoggedKind::Rename => pass.name_of(following.next, change)?,
                _ => None,
            };
            let previous = previous.filter(|named| pass.access.entry(named, EntryRight::Disclose));
            controls = controls.optional(&notification(kind, previous.map(|named| named.dn)));
        }
        self.write(pass.context, pass.access, pass.tables, &view, &controls)
    }

    /// Delivers the name of an entry that was deleted, if it was among those found. Nothing else is left of it.
    fn deleted(
        &mut self,
        following: &mut Following,
        pass: &Pass<'_>,
        change: &Logged,
    ) -> Result<(), Failure> {
        let PersistentSearch { change_types, return_ecs, .. } = following.asked;
        if !following.found.contains(change.id) {
            return Ok(());
        }
        let named = pass.name_of(following.next, change)?;
        let named = named.filter(|named| pass.access.entry(named, EntryRight::Disclose));
        pass.access.settled()?;
        following.found.remove(change.id);
        if !change_types.contains(ChangeTypes::DELETE) || !pass.held(change)? {
            return Ok(());
        }
        let Some(named) = named else { return Ok(()) };
        let mut controls = Controls::none();
        if return_ecs {
            controls = controls.optional(&notification(ChangeTypes::DELETE, None));
        }
        self.writer.entry(&named.dn, &controls, |_| {});
        self.items += 1;
        Ok(())
    }

    /// The entry, if it is there, in scope, seen, and matches.
    fn matching(&self, pass: &Pass<'_>, id: Id) -> Result<Option<View>, Failure> {
        let Pass { context, access, tables, matcher, scope, csn, .. } = pass;
        let Some(scope) = scope else { return Ok(None) };
        let Some(node) = Candidates::new(tables, *scope).place(id)? else { return Ok(None) };
        if self.search.scope == Scope::Base && pass.base != id {
            return Ok(None);
        }
        let named = tables.named_below(&node, &mut Climbed::new())?;
        let Some(stored) = tables.stored(id)? else { return Ok(None) };
        let disclosed = access.on(&named, &stored).entry(EntryRight::Disclose);
        access.settled()?;
        if !disclosed || !self.sees(id) || self.referrals.contains(id) {
            return Ok(None);
        }
        let computed = if self.needs_computed { computed(&node, &named, csn) } else { Default::default() };
        let view = View { named, stored, computed };
        let dn = if self.needs_dn { view.named.dn.parse().ok() } else { None };
        let on = access.on(&view.named, &view.stored);
        let readable = |attribute: &str| on.attribute(attribute, AttributeRight::Search);
        let dn = dn.unwrap_or_else(Dn::root);
        let is_long = long_work::is_long(&self.search.filter, &view.stored);
        let ask = || view.truth(context, *tables, matcher, &dn, &self.meter, &readable);
        let truth = context.long_work.run(is_long, ask)?;
        drop(on);
        access.settled()?;
        Ok((truth == Truth::True).then_some(view))
    }
}

/// What is settled once for some changes.
struct Pass<'a> {
    base: Id,
    context: &'a Context,
    access: &'a Access<'a>,
    tables: &'a Snapshot,
    matcher: Matcher<'a>,
    /// None once the base is gone.
    scope: Option<Within>,
    csn: String,
}

impl Pass<'_> {
    /// Whether the scope held an entry that was deleted.
    fn held(&self, change: &Logged) -> Result<bool, Failure> {
        // What it stood below may be gone too; then it counts as when it was found.
        if change.parent == ROOT || self.tables.node(change.parent)?.is_none() {
            return Ok(true);
        }
        match self.scope {
            None | Some(Within::Exactly | Within::Other(_)) => Ok(true),
            Some(Within::ChildOf(parent)) => Ok(change.parent == parent),
            Some(Within::Below(_) | Within::StrictlyBelow(_)) => Ok(change.id == self.base
                || self.tables.is_within(change.parent, self.base, &mut HashMap::new())?),
        }
    }

    /// What an entry was called before a change: below its parent's name of today, or below the name that the parent had
    /// when it was deleted itself, which is further on in the log.
    fn name_of(&self, from: u64, change: &Logged) -> Result<Option<Named>, Failure> {
        /// Changes looked through for a parent that is gone.
        const FURTHER: usize = 4_096;
        let mut names = vec![change.name.clone()];
        let mut parent = change.parent;
        let mut further = None;
        while parent != ROOT {
            if self.tables.node(parent)?.is_some() {
                names.push(self.tables.named(parent)?.dn);
                break;
            }
            if further.is_none() {
                further = Some(self.tables.changes(from, FURTHER)?);
            }
            let deleted = further.iter().flatten().find(|(_, later)| {
                later.kind == LoggedKind::Delete && later.id == parent && later.parent != parent
            });
            let Some((_, deleted)) = deleted else { return Ok(None) };
            if names.len() > 1_000 {
                return Ok(None);
            }
            names.push(deleted.name.clone());
            parent = deleted.parent;
        }
        let dn = names.join(",");
        let key = dn.parse::<Dn>().ok().and_then(|dn| self.context.schema.dn_key(&dn).ok());
        Ok(key.map(|key| Named { dn, key }))
    }
}

fn notification(change_type: ChangeTypes, previous_dn: Option<String>) -> EntryChangeNotification {
    EntryChangeNotification { change_type, previous_dn, change_number: None }
}

fn lost(why: &str) -> Failure {
    Failure::Refused(LdapResult::with_diagnostic(
        ResultCode::UNWILLING_TO_PERFORM,
        format!("{why}; search again to see what is there now"),
    ))
}
