//! Searches: found through indexes where they help, walked where they do not, delivered in batches.
//!
//! Each poll works for a millisecond or two on the last commit and then lets others have the thread. Between polls
//! nothing is held but where to go on, so a slow reader keeps no page in use. Entries that change while a search runs
//! are delivered as they were or as they are.

mod persistent;
mod sort;
mod view;

use std::{
    collections::HashMap,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use bytes::Bytes;
use flext_ldap_directory::{AttributeRight, EntryRight, Error, Event, Events, Outcome, Peer, Request};
use flext_ldap_proto::{
    batch::{Batch, BatchWriter},
    control::{Controls, PagedResults, Subentries},
    dn::Dn,
    filter::{Matcher, Node as FilterNode, Truth},
    message::{DerefAliases, Scope, Search},
    result::{LdapResult, ResultCode},
};
use roaring::RoaringBitmap;
use tokio::{task::yield_now, time::Instant};

use self::{
    persistent::Following,
    sort::{Gathered, Sorting},
};
use crate::{
    access::Standing,
    constraint::{member_of, reach::Reach},
    context::{Access, Caller, Context},
    controls::SearchControls,
    index::Asked,
    lists::ListId,
    long_work,
    page::{self, Token},
    plan::{self, Explanation, Note, Planned, ScopeStrategy},
    project::{Projection, View, computed, looks_at_computed},
    read::{Climbed, Resolved},
    row::{Id, Node, ROOT},
    special,
    store::Store,
    tables::{Failure, Snapshot},
};

/// Work of one poll.
pub(crate) const SLICE: Duration = Duration::from_millis(1);
/// Parts of a filter that are evaluated between two looks at the clock, and candidates at the most.
const PARTS: usize = 256;
const STRIDE: usize = 16;
/// Items and octets of one batch.
const BATCH_ITEMS: usize = 256;
const BATCH_OCTETS: usize = 64 << 10;
/// A subtree of at most so many entries is gathered by walking it; a larger one is found among all by climbing.
const GATHERED: u64 = 10_000;
/// So few candidates are climbed from rather than walked to.
const CLIMBED: u64 = 1_000;

/// A search under way.
pub(crate) struct Searching {
    pub(crate) store: Store,
    pub(crate) search: Search,
    caller: Caller,
    /// Settled with the first look at the store.
    standing: Option<Standing>,
    controls: SearchControls,
    size_limit: u64,
    time_limit: Duration,
    lookthrough: u64,
    stage: Stage,
    projection: Projection,
    needs_computed: bool,
    needs_dn: bool,
    /// Whether `memberOf` is returned.
    member_of: bool,
    reach: Reach,
    referrals: RoaringBitmap,
    /// What the planner found of each part of the filter, and how many candidates it left.
    notes: Vec<Note>,
    candidates: Option<u64>,
    strategy: ScopeStrategy,
    pub(crate) is_judged: bool,
    pub(crate) is_noted: bool,
    pub(crate) has_ended: bool,
    pub(crate) sent: u64,
    pub(crate) looked: u64,
    /// Time worked, and since when the reader waits.
    pub(crate) worked: Duration,
    since: Option<Instant>,
    last: Option<Token>,
    outcome: Option<Outcome>,
    writer: BatchWriter,
    items: usize,
    sorting: Option<Sorting>,
    following: Option<Following>,
    /// Entries that are seen with the subentries control, or not seen without it (RFC 3672).
    subentries: RoaringBitmap,
}

enum Stage {
    /// Nothing was looked at yet.
    Start,
    /// What other entries decide of the filter is being found out.
    Reach { base: Id, candidates: Option<RoaringBitmap>, token: Option<Token> },
    /// A subtree is being walked, as long as it is small.
    Gather {
        base: Id,
        stack: Vec<(Id, Option<Vec<u8>>)>,
        ids: RoaringBitmap,
        candidates: Option<RoaringBitmap>,
    },
    /// Candidates are looked at one after another.
    Look { source: Source, scope: Within },
    /// The outcome is due.
    End,
    /// Changes are due.
    Follow,
}

/// Where candidates come from.
enum Source {
    /// A set, from this id on.
    Ids(RoaringBitmap, Id),
    /// The children of one entry, in the order of their names.
    Children(Id, Option<Vec<u8>>),
    /// All entries, from this id on.
    All(Id),
    /// A sorted list, from one place up to another.
    List { ids: Arc<[Id]>, list: ListId, order: [u8; 8], at: u32, end: u32 },
}

/// What has still to be checked of a candidate's place.
#[derive(Clone, Copy)]
enum Within {
    /// Nothing: it is in scope.
    Exactly,
    /// Anything but this entry.
    Other(Id),
    ChildOf(Id),
    Below(Id),
    /// Without the base itself.
    StrictlyBelow(Id),
}

impl Searching {
    pub(crate) fn new(store: Store, request: Request<Search>, peer: Peer) -> Result<Self, Failure> {
        let context = &*store.context();
        let controls = SearchControls::read(&request.controls)?;
        let Request { op: search, actor, deadline, .. } = request;
        let caller = Caller { actor, peer };
        let (_, all) = context.is_unrestricted(&caller);
        let limits = &context.limits;
        let least = |asked: u64, allowed: u64| if asked == 0 { allowed } else { asked.min(allowed) };
        let (size, time, lookthrough) = if all {
            (u64::MAX, Duration::MAX, u64::MAX)
        } else {
            (u64::from(limits.size), limits.time, limits.lookthrough)
        };
        if !all && search.filter.nodes().len() > limits.filter {
            return Err(Failure::refused(
                ResultCode::ADMIN_LIMIT_EXCEEDED,
                format!("the filter has more than {} parts; ask in several searches", limits.filter),
            ));
        }
        let asked = match search.time_limit {
            0 => Duration::MAX,
            seconds => Duration::from_secs(seconds.into()),
        };
        let mut projection = Projection::new(context, &search.attributes, search.types_only)
            .matching(controls.matched_values.as_ref());
        let member_of = projection.wants_member_of(context);
        let sorting = Sorting::new(context, &controls, store.lists().hold());
        let following = controls.persistent.map(|asked| Following::new(&store, asked)).transpose()?;
        let needs_computed = projection.needs_computed(context)
            || looks_at_computed(context, &search.filter)
            || sorting.as_ref().is_some_and(|sorting| sorting.needs_computed(context));
        let needs_dn = search
            .filter
            .nodes()
            .iter()
            .any(|node| matches!(node, FilterNode::Extensible(extensible) if extensible.dn_attributes));
        let size_limit = least(u64::from(search.size_limit), size);
        Ok(Self {
            standing: None,
            size_limit,
            time_limit: asked.min(time).min(deadline.remaining()),
            lookthrough,
            stage: Stage::Start,
            projection,
            needs_computed,
            needs_dn,
            member_of,
            reach: Reach::default(),
            referrals: RoaringBitmap::new(),
            notes: Vec::new(),
            candidates: None,
            strategy: ScopeStrategy::Base,
            is_judged: false,
            is_noted: false,
            has_ended: false,
            sent: 0,
            looked: 0,
            worked: Duration::ZERO,
            since: None,
            last: None,
            outcome: None,
            writer: BatchWriter::new(),
            items: 0,
            sorting,
            following,
            subentries: RoaringBitmap::new(),
            store,
            search,
            caller,
            controls,
        })
    }

    /// Plans, and does nothing yet.
    pub(crate) fn prepare(&mut self) -> Result<(), Failure> {
        while self.outcome.is_none() && matches!(self.stage, Stage::Start | Stage::Reach { .. }) {
            self.step(Instant::now())?;
        }
        Ok(())
    }

    /// How the search is done, as far as is known yet.
    pub(crate) fn explanation(&self, context: &Context) -> Explanation {
        let Search { base, scope, filter, .. } = &self.search;
        Explanation::new(context, (base, *scope, filter), &self.notes, self.candidates, self.strategy)
    }

    /// Entries looked at and returned so far.
    pub(crate) fn counted(&self) -> (u64, u64) {
        (self.looked, self.sent)
    }

    /// Goes on to look at candidates.
    fn look_at(&mut self, source: Source, scope: Within) {
        self.strategy = match (&source, scope) {
            (Source::Children(..), _) => ScopeStrategy::Children,
            (Source::Ids(..), Within::Exactly | Within::Other(_)) | (Source::List { .. }, _) => {
                ScopeStrategy::Candidates
            }
            (Source::Ids(..), Within::ChildOf(_)) => ScopeStrategy::CandidateChildren,
            (Source::Ids(..), _) => ScopeStrategy::ClimbedCandidates,
            (Source::All(_), Within::Exactly | Within::Other(_)) => ScopeStrategy::All,
            (Source::All(_), _) => ScopeStrategy::ClimbedAll,
        };
        self.stage = Stage::Look { source, scope };
    }

    /// Works until a batch is full, the slice is over, or all is done.
    fn step(&mut self, started: Instant) -> Result<(), Failure> {
        let store = self.store.clone();
        let context = &*store.context();
        let caller = self.caller.clone();
        let tables = store.snapshot()?;
        let standing = match &self.standing {
            Some(standing) => standing.clone(),
            None => self.standing.insert(context.standing(&caller, &tables)?).clone(),
        };
        let access = context.access_of(&caller, &*tables, standing);
        let done = match std::mem::replace(&mut self.stage, Stage::End) {
            Stage::Start => self.start(context, &access, &tables),
            Stage::Reach { base, candidates, token } => {
                self.reach(context, &access, &tables, started, base, candidates, token)
            }
            Stage::Gather { base, stack, ids, candidates } => {
                self.gather(&access, &tables, started, base, stack, ids, candidates)
            }
            Stage::Look { source, scope } => self.look(context, &access, &tables, started, source, scope),
            Stage::End if self.following.is_some() => {
                self.stage = Stage::Follow;
                Ok(())
            }
            Stage::End | Stage::Follow => {
                self.finish(LdapResult::success());
                Ok(())
            }
        };
        access.settled()?;
        done
    }

    fn start(&mut self, context: &Context, access: &Access<'_>, tables: &Snapshot) -> Result<(), Failure> {
        let token = match &self.controls.paged {
            Some(PagedResults { cookie, .. }) if !cookie.is_empty() => {
                Some(page::open(&context.page_key, &self.search, &self.caller.actor, cookie)?)
            }
            _ => None,
        };
        self.check_order(token.as_ref())?;
        if self.controls.paged.as_ref().is_some_and(|paged| paged.size == 0) {
            // An end of paging, or a question for an estimate.
            self.finish(LdapResult::success());
            return Ok(());
        }
        if self.search.base.is_root() && self.search.scope == Scope::Base {
            self.refuse_to_follow("what is asked for is not stored")?;
            let view = special::root_dse(context, &self.caller.peer);
            return self.only(context, access, tables, &view);
        }
        let key = context.key(&self.search.base)?;
        if special::is_subschema(context, &key) {
            self.refuse_to_follow("what is asked for is not stored")?;
            if matches!(self.search.scope, Scope::Base | Scope::Subtree) {
                return self.only(context, access, tables, &special::subschema(context));
            }
            self.finish(LdapResult::success());
            return Ok(());
        }
        let base = self.base(context, access, tables, &key)?;
        self.referrals = if self.controls.manage_dsa_it {
            RoaringBitmap::new()
        } else {
            special::referral_objects(context, tables)?
        };
        self.refuse_aliases(context, tables)?;
        self.subentries = special::subentries(context, tables)?;
        if let Some(following) = &mut self.following {
            following.begin(base, tables)?;
        }
        let candidates = if self.search.scope == Scope::Base {
            Some(RoaringBitmap::from_iter([base]))
        } else {
            let Planned { candidates, notes } = plan::candidates(context, tables, &self.search.filter)?;
            self.candidates = candidates.as_ref().map(RoaringBitmap::len);
            self.notes = notes;
            candidates
        };
        self.reach = Reach::new(context, access, tables, &self.search.filter)?;
        if !self.reach.is_empty() {
            self.refuse_to_follow("what the filter asks for depends on other entries")?;
        }
        self.reach.begin(context, tables, candidates.as_ref())?;
        self.stage = Stage::Reach { base, candidates, token };
        Ok(())
    }

    /// Finds out what other entries decide, a slice at a time.
    #[expect(clippy::too_many_arguments, reason = "what a stage holds, and what every stage is given")]
    fn reach(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        started: Instant,
        base: Id,
        candidates: Option<RoaringBitmap>,
        token: Option<Token>,
    ) -> Result<(), Failure> {
        let at_end = self.reach.step(context, access, tables, started, &mut self.looked)?;
        if self.looked > self.lookthrough {
            self.finish(too_much());
        } else if at_end {
            if self.resume(context, access, tables, base, token.as_ref())? {
                return Ok(());
            }
            let candidates = self.reach.narrow(&self.search.filter, candidates);
            self.begin(context, access, tables, base, candidates, token)?;
        } else {
            self.stage = Stage::Reach { base, candidates, token };
        }
        Ok(())
    }

    /// Settles where candidates are looked for.
    fn begin(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        base: Id,
        mut candidates: Option<RoaringBitmap>,
        token: Option<Token>,
    ) -> Result<(), Failure> {
        if self.search.scope == Scope::Base {
            let ids = RoaringBitmap::from_iter([base]);
            let from = after(token.as_ref());
            self.stage = Stage::Look { source: Source::Ids(ids, from), scope: Within::Exactly };
            return Ok(());
        }
        if let Some(candidates) = &mut candidates {
            *candidates |= &self.referrals;
        }
        // A page goes on in the order the one before it had.
        let from = after(token.as_ref());
        let by_id = |candidates: Option<RoaringBitmap>| {
            candidates.map_or(Source::All(from), |ids| Source::Ids(ids, from))
        };
        if self.search.scope == Scope::One {
            let children = if base == ROOT { 0 } else { tables.existing_node(base)?.children };
            if candidates.is_none() {
                self.judge_unindexed(access, children.into())?;
            }
            let (source, scope) = match (candidates, token) {
                (_, Some(Token::Child(name))) => (Source::Children(base, Some(name)), Within::Exactly),
                (candidates, Some(Token::Id(_))) => (by_id(candidates), Within::ChildOf(base)),
                (_, Some(Token::Place { .. })) => (Source::Children(base, None), Within::Exactly),
                (Some(ids), None) if ids.len() <= u64::from(children) => {
                    (by_id(Some(ids)), Within::ChildOf(base))
                }
                (_, None) => (Source::Children(base, None), Within::Exactly),
            };
            self.look_at(source, scope);
            return Ok(());
        }
        // The only naming context holds everything, so nothing is out of scope.
        let whole =
            base == ROOT || (context.suffixes.len() == 1 && tables.existing_node(base)?.parent == ROOT);
        match candidates {
            candidates if whole => {
                if candidates.is_none() {
                    self.judge_unindexed(access, tables.entries()?)?;
                }
                let children = self.search.scope == Scope::Children;
                let scope = if children { Within::Other(base) } else { Within::Exactly };
                self.look_at(by_id(candidates), scope);
            }
            Some(ids) if ids.len() <= CLIMBED => {
                let scope = self.below(base);
                self.look_at(by_id(Some(ids)), scope);
            }
            candidates => {
                self.last = token;
                self.strategy = ScopeStrategy::Walk;
                self.stage =
                    Stage::Gather { base, stack: vec![(base, None)], ids: RoaringBitmap::new(), candidates };
            }
        }
        Ok(())
    }

    fn below(&self, base: Id) -> Within {
        match self.search.scope {
            Scope::Children => Within::StrictlyBelow(base),
            _ => Within::Below(base),
        }
    }

    /// The entry a search starts from.
    fn base(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        key: &flext_ldap_proto::dn::DnKey,
    ) -> Result<Id, Failure> {
        if key.is_root() {
            return Ok(ROOT);
        }
        let manage = self.controls.manage_dsa_it;
        let id = match context.resolve(tables, key)? {
            Resolved::Found(id) => id,
            Resolved::Missing(last) => {
                special::refer(context, tables, last, &self.search.base, manage)?;
                return Err(special::missing(context, tables, access, last)?);
            }
        };
        let named = tables.named(id)?;
        if !access.entry(&named, EntryRight::Disclose) {
            let parent = tables.existing_node(id)?.parent;
            return Err(special::missing(context, tables, access, Some(parent))?);
        }
        special::refer(context, tables, Some(id), &self.search.base, manage)?;
        if let Some(filter) = &self.controls.assertion {
            let node = tables.existing_node(id)?;
            let stored = tables.stored(id)?.ok_or_else(|| Failure::damaged("an entry"))?;
            let mut view = View { computed: computed(&node, &named, ""), named, stored };
            if Reach::asks_member_of(context, filter) {
                member_of::complete(context, tables, None, access, &mut Climbed::new(), &mut view)?;
            }
            if crate::write::holds(context, tables, filter, access, &view)? != Truth::True {
                return Err(Failure::refused(
                    ResultCode::ASSERTION_FAILED,
                    "the assertion is not true of the base",
                ));
            }
        }
        Ok(id)
    }

    /// Aliases are not followed. Where there are none that makes no difference; where there are, it is said.
    fn refuse_aliases(&self, context: &Context, tables: &Snapshot) -> Result<(), Failure> {
        if self.search.deref == DerefAliases::Never {
            return Ok(());
        }
        let keys = context.indexes.lookup(&context.schema, "objectClass", Asked::Equality(b"alias"));
        if tables.count(&keys.unwrap_or_default(), 0)? == 0 {
            return Ok(());
        }
        Err(Failure::refused(
            ResultCode::ALIAS_DEREFERENCING_PROBLEM,
            "aliases are not followed here; search without dereferencing them",
        ))
    }

    /// Answers with an entry that is not stored, if the filter wants it.
    fn only(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        view: &View,
    ) -> Result<(), Failure> {
        // Everybody may read what a directory says of itself; anything secret is not in there.
        let truth = Matcher::new(&self.search.filter, &context.schema).evaluate(
            &Dn::root(),
            &view.segments(),
            &|attribute| !context.is_password(attribute),
        );
        if truth == Truth::True {
            let open = access.unrestricted();
            self.write(context, &open, tables, view, &Controls::none())?;
        }
        self.finish(LdapResult::success());
        Ok(())
    }

    fn write(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        view: &View,
        controls: &Controls,
    ) -> Result<(), Failure> {
        let until = self.until();
        let projection = &mut self.projection;
        projection.check_size(context, access, view)?;
        let mut written = Ok(());
        self.writer.entry(&view.named.dn, controls, |writer| {
            written = projection.write(context, access, tables, view, until, writer);
        });
        // An entry that could not be written as a whole is in the way of all: the search fails.
        if written.is_err() {
            self.writer.take_back();
        } else {
            self.items += 1;
        }
        written
    }

    /// Walks a subtree for its ids, a slice at a time.
    #[expect(clippy::too_many_arguments, reason = "what the stage has, and what every step has")]
    fn gather(
        &mut self,
        access: &Access<'_>,
        tables: &Snapshot,
        started: Instant,
        base: Id,
        mut stack: Vec<(Id, Option<Vec<u8>>)>,
        mut ids: RoaringBitmap,
        candidates: Option<RoaringBitmap>,
    ) -> Result<(), Failure> {
        const ROWS: usize = 256;
        while let Some((parent, name)) = stack.pop() {
            if ids.len() > GATHERED || candidates.as_ref().is_some_and(|some| ids.len() > some.len()) {
                // Large: what is in scope is found among the candidates, or among all, by climbing.
                if candidates.is_none() {
                    self.judge_unindexed(access, tables.entries()?)?;
                }
                let from = after(self.last.as_ref());
                let source = candidates.map_or(Source::All(from), |ids| Source::Ids(ids, from));
                let scope = self.below(base);
                self.look_at(source, scope);
                return Ok(());
            }
            if candidates.is_none() {
                self.judge_unindexed(access, ids.len())?;
            }
            let children = tables.children(parent, name.as_deref(), ROWS)?;
            if children.len() == ROWS
                && let Some((name, _)) = children.last()
            {
                stack.push((parent, Some(name.clone())));
            }
            for (_, id) in children {
                ids.insert(id);
                stack.push((id, None));
            }
            if started.elapsed() > SLICE {
                self.stage = Stage::Gather { base, stack, ids, candidates };
                return Ok(());
            }
        }
        if self.search.scope == Scope::Subtree {
            ids.insert(base);
        }
        if let Some(candidates) = candidates {
            ids &= candidates;
        }
        let source = Source::Ids(ids, after(self.last.as_ref()));
        self.stage = Stage::Look { source, scope: Within::Exactly };
        Ok(())
    }

    /// Looks at candidates, writing those that match.
    fn look(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        started: Instant,
        mut source: Source,
        scope: Within,
    ) -> Result<(), Failure> {
        let matcher = Matcher::new(&self.search.filter.clone(), &context.schema);
        let csn = if self.needs_computed { tables.context_csn()? } else { String::new() };
        let mut climbed = Climbed::new();
        let mut known = HashMap::new();
        let stride = (PARTS / self.search.filter.nodes().len().max(1)).clamp(1, STRIDE) as u64;
        loop {
            let found = source.next(tables)?;
            if found.is_empty() {
                return self.after_candidates(context, access, tables);
            }
            for (token, id) in found {
                self.looked += 1;
                if self.looked > self.lookthrough {
                    self.finish(too_much());
                    return Ok(());
                }
                if let Some(node) = scope.admits(tables, id, &mut known)?
                    && !self.candidate(
                        context,
                        access,
                        tables,
                        &matcher,
                        &csn,
                        &mut climbed,
                        id,
                        &node,
                        &token,
                    )?
                {
                    return Ok(());
                }
                source.pass(token);
                let full = self.items >= BATCH_ITEMS || self.writer.size() >= BATCH_OCTETS;
                if full || (self.looked.is_multiple_of(stride) && started.elapsed() > SLICE) {
                    self.stage = Stage::Look { source, scope };
                    return Ok(());
                }
            }
        }
    }

    /// Looks at one candidate. Says whether the search goes on.
    #[expect(clippy::too_many_arguments, reason = "all of it is settled once for a batch")]
    fn candidate(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        matcher: &Matcher<'_>,
        csn: &str,
        climbed: &mut Climbed,
        id: Id,
        node: &Node,
        token: &Token,
    ) -> Result<bool, Failure> {
        let named = tables.named_below(node, climbed)?;
        // Read first only if the policy looks at it; otherwise what must not be seen is not read.
        let early = if access.looks_at_entries() { tables.stored(id)? } else { None };
        let disclosed = match &early {
            Some(stored) => access.on(&named, stored).entry(EntryRight::Disclose),
            None => access.entry(&named, EntryRight::Disclose),
        };
        if !disclosed {
            return Ok(true);
        }
        if self.referrals.contains(id) && self.search.scope != Scope::Base {
            let name: Dn = named.dn.parse().map_err(|_| Failure::damaged("the name of an entry"))?;
            let urls = special::referral_urls(tables, id, &named, &name)?;
            if !urls.is_empty() {
                self.writer.reference(&urls, &Controls::none());
                self.items += 1;
            }
            return Ok(true);
        }
        let Some(stored) = early.map_or_else(|| tables.stored(id), |stored| Ok(Some(stored)))? else {
            return Ok(true);
        };
        let computed = if self.needs_computed { computed(node, &named, csn) } else { Default::default() };
        let mut view = View { named, stored, computed };
        if self.reach.shows {
            member_of::complete(context, tables, None, access, climbed, &mut view)?;
        }
        let dn = if self.needs_dn { view.named.dn.parse().ok() } else { None };
        let dn = dn.unwrap_or_else(Dn::root);
        let until = self.until();
        let is_long = long_work::is_long(&self.search.filter, &view.stored);
        let truth = context.long_work.run(is_long, || {
            if self.reach.is_empty() {
                let on = access.on(&view.named, &view.stored);
                let readable = |attribute: &str| on.attribute(attribute, AttributeRight::Search);
                view.truth(context, tables, matcher, &dn, until, &readable)
            } else {
                self.reach.evaluate(context, access, tables, matcher, id, &dn, &view, until)
            }
        })?;
        if truth != Truth::True || !self.sees(id) {
            return Ok(true);
        }
        let gathered =
            context.long_work.run(is_long, || self.gather_found(context, access, tables, &view, id))?;
        match gathered {
            Gathered::No => {}
            Gathered::Yes => return Ok(true),
            Gathered::StartAgain => return Ok(false),
        }
        if self.following.as_mut().is_some_and(|following| !following.found(id)) {
            return Ok(true);
        }
        let page = self.page_size();
        if page.is_some_and(|size| self.sent >= size) {
            self.finish_page(context);
            return Ok(false);
        }
        if self.sent >= self.size_limit {
            self.finish(LdapResult::new(ResultCode::SIZE_LIMIT_EXCEEDED));
            return Ok(false);
        }
        if self.member_of && !self.reach.shows {
            member_of::complete(context, tables, None, access, climbed, &mut view)?;
        }
        context.long_work.run(is_long, || self.write(context, access, tables, &view, &Controls::none()))?;
        self.sent += 1;
        self.last = Some(token.clone());
        Ok(true)
    }

    /// When time is up, counting from now on without a pause. Following changes has no end.
    fn until(&self) -> Option<Instant> {
        if matches!(self.stage, Stage::Follow) {
            return None;
        }
        self.since?.checked_add(self.time_limit.saturating_sub(self.worked))
    }

    /// RFC 3672 §3: by default a search of more than one entry sees no subentries; with the control it sees them and
    /// nothing else, or everything but them.
    fn sees(&self, id: Id) -> bool {
        let is_subentry = self.subentries.contains(id);
        match self.controls.subentries {
            Some(Subentries { visible }) => is_subentry == visible,
            None => !is_subentry || self.search.scope == Scope::Base,
        }
    }

    /// Entries of one page; a page that the size limit cuts short is no page (RFC 2696 §3).
    fn page_size(&self) -> Option<u64> {
        let paged = self.controls.paged.as_ref()?;
        let limit = u64::from(self.search.size_limit);
        (limit == 0 || u64::from(paged.size) < limit).then_some(u64::from(paged.size))
    }

    fn finish_page(&mut self, context: &Context) {
        let cookie = self
            .last
            .as_ref()
            .map(|token| page::seal(&context.page_key, &self.search, &self.caller.actor, token))
            .unwrap_or_default();
        let mut controls = Controls::none().optional(&PagedResults { size: 0, cookie: Bytes::from(cookie) });
        if let Some(sorting) = &mut self.sorting {
            controls = sorting.answer(ResultCode::SUCCESS, controls);
        }
        self.outcome = Some(Outcome { controls, ..Outcome::success() });
    }

    fn finish(&mut self, result: LdapResult) {
        let mut outcome = Outcome::new(result);
        if self.controls.paged.is_some() {
            outcome.controls = Controls::none().optional(&PagedResults { size: 0, cookie: Bytes::new() });
        }
        if let Some(sorting) = &mut self.sorting {
            outcome.controls = sorting.answer(outcome.result.code, outcome.controls);
        }
        self.outcome = Some(outcome);
    }

    fn take(&mut self) -> Batch {
        self.items = 0;
        self.writer.take()
    }
}

fn too_much() -> LdapResult {
    LdapResult::with_diagnostic(
        ResultCode::ADMIN_LIMIT_EXCEEDED,
        "the search looks at too many entries; narrow it, or use an indexed attribute",
    )
}

/// The first id after a page.
fn after(token: Option<&Token>) -> Id {
    match token {
        Some(Token::Id(id)) => id.saturating_add(1),
        _ => ROOT + 1,
    }
}

impl Within {
    /// The place of a candidate, if it is in scope.
    fn admits(
        self,
        tables: &Snapshot,
        id: Id,
        known: &mut HashMap<Id, bool>,
    ) -> Result<Option<Node>, Failure> {
        let Some(node) = tables.node(id)? else { return Ok(None) };
        let admitted = match self {
            Self::Exactly => true,
            Self::Other(base) => id != base,
            Self::ChildOf(base) => node.parent == base,
            Self::Below(base) => id == base || tables.is_within(node.parent, base, known)?,
            Self::StrictlyBelow(base) => tables.is_within(node.parent, base, known)?,
        };
        Ok(admitted.then_some(node))
    }
}

impl Source {
    /// The next candidates; none at the end.
    fn next(&self, tables: &Snapshot) -> Result<Vec<(Token, Id)>, Failure> {
        const SOME: usize = 256;
        match self {
            Self::Ids(ids, from) => Ok(ids.range(*from..).take(SOME).map(|id| (Token::Id(id), id)).collect()),
            Self::Children(parent, name) => Ok(tables
                .children(*parent, name.as_deref(), SOME)?
                .into_iter()
                .map(|(name, id)| (Token::Child(name), id))
                .collect()),
            Self::List { ids, list, order, at, end } => {
                let places = (*at..*end).take(SOME);
                Ok(places
                    .filter_map(|at| {
                        let id = *ids.get(at as usize)?;
                        Some((Token::Place { list: *list, order: *order, at, id }, id))
                    })
                    .collect())
            }
            Self::All(from) => {
                Ok(tables.ids(*from, SOME)?.into_iter().map(|id| (Token::Id(id), id)).collect())
            }
        }
    }

    /// Goes on after a candidate.
    fn pass(&mut self, token: Token) {
        match (self, token) {
            (Self::Ids(_, from) | Self::All(from), Token::Id(id)) => *from = id.saturating_add(1),
            (Self::Children(_, name), Token::Child(child)) => *name = Some(child),
            (Self::List { at, .. }, Token::Place { at: place, .. }) => *at = place.saturating_add(1),
            _ => {}
        }
    }
}

impl Events for Searching {
    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<Event, Error>> {
        let this = self.get_mut();
        if matches!(this.stage, Stage::Follow) {
            return this.poll_following(cx);
        }
        let started = Instant::now();
        let since = *this.since.get_or_insert(started);
        if this.outcome.is_none() {
            if this.worked + since.elapsed() >= this.time_limit {
                this.finish(LdapResult::new(ResultCode::TIME_LIMIT_EXCEEDED));
            }
            while this.outcome.is_none()
                && this.items == 0
                && !matches!(this.stage, Stage::Follow)
                && started.elapsed() <= SLICE
            {
                let store = this.store.clone();
                if let Err(failure) = store.reading("a search", || this.step(started)) {
                    match failure {
                        Failure::Refused(result) => this.finish(result),
                        Failure::Failed(error) => return Poll::Ready(Err(error)),
                    }
                }
            }
        }
        if this.items > 0 {
            this.worked += since.elapsed();
            this.since = None;
            return Poll::Ready(Ok(Event::Batch(this.take())));
        }
        if let Some(outcome) = this.outcome.take() {
            this.has_ended = true;
            this.note_if_slow(this.worked + since.elapsed(), Some(outcome.result.code));
            return Poll::Ready(Ok(Event::Done(outcome)));
        }
        if matches!(this.stage, Stage::Follow) {
            return this.poll_following(cx);
        }
        // Everybody who is ready has a turn first, and the sockets are looked at: a task that wakes itself at once keeps
        // tokio from both for some sixty slices.
        let _ = pin!(yield_now()).poll(cx);
        Poll::Pending
    }
}
