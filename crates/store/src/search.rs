//! Searches: found through indexes where they help, walked where they do not, delivered in batches.
//!
//! Each poll works for a millisecond or two on the last commit and then lets others have the thread. Between polls
//! nothing is held but where to go on, so a slow reader keeps no page in use. Entries that change while a search runs
//! are delivered as they were or as they are.

use std::{
    collections::HashMap,
    pin::{Pin, pin},
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use bytes::Bytes;
use flext_ldap_directory::{AttributeRight, EntryRight, Error, Event, Events, Outcome, Peer, Request};
use flext_ldap_proto::{
    batch::{Batch, BatchWriter},
    control::{Controls, PagedResults},
    dn::Dn,
    filter::{Matcher, Node as FilterNode, Truth},
    message::{DerefAliases, Scope, Search},
    result::{LdapResult, ResultCode},
};
use roaring::RoaringBitmap;
use tokio::{task::yield_now, time::Instant};

use crate::{
    access::Standing,
    context::{Access, Caller, Context},
    controls::SearchControls,
    index::Asked,
    page::{self, Token},
    plan,
    project::{Projection, View, computed, looks_at_computed},
    read::{Climbed, Resolved},
    row::{Id, Node, ROOT},
    special,
    store::Store,
    tables::{Failure, Snapshot},
};

/// Work of one poll.
const SLICE: Duration = Duration::from_millis(1);
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
    store: Store,
    search: Search,
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
    referrals: RoaringBitmap,
    sent: u64,
    looked: u64,
    /// Time worked, and since when the reader waits.
    worked: Duration,
    since: Option<Instant>,
    last: Option<Token>,
    outcome: Option<Outcome>,
    writer: BatchWriter,
    items: usize,
}

enum Stage {
    /// Nothing was looked at yet.
    Start,
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
}

/// Where candidates come from.
enum Source {
    /// A set, from this id on.
    Ids(RoaringBitmap, Id),
    /// The children of one entry, in the order of their names.
    Children(Id, Option<Vec<u8>>),
    /// All entries, from this id on.
    All(Id),
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
        let projection = Projection::new(context, &search.attributes, search.types_only);
        let needs_computed = projection.needs_computed(context) || looks_at_computed(context, &search.filter);
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
            referrals: RoaringBitmap::new(),
            sent: 0,
            looked: 0,
            worked: Duration::ZERO,
            since: None,
            last: None,
            outcome: None,
            writer: BatchWriter::new(),
            items: 0,
            store,
            search,
            caller,
            controls,
        })
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
            Stage::Gather { base, stack, ids, candidates } => {
                self.gather(&tables, started, base, stack, ids, candidates)
            }
            Stage::Look { source, scope } => self.look(context, &access, &tables, started, source, scope),
            Stage::End => {
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
        if self.controls.paged.as_ref().is_some_and(|paged| paged.size == 0) {
            // An end of paging, or a question for an estimate.
            self.finish(LdapResult::success());
            return Ok(());
        }
        if self.search.base.is_root() && self.search.scope == Scope::Base {
            let view = special::root_dse(context, &self.caller.peer);
            return self.only(context, access, tables, &view);
        }
        let key = context.key(&self.search.base)?;
        if special::is_subschema(context, &key) {
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
        if self.search.scope == Scope::Base {
            let ids = RoaringBitmap::from_iter([base]);
            let from = after(token.as_ref());
            self.stage = Stage::Look { source: Source::Ids(ids, from), scope: Within::Exactly };
            return Ok(());
        }
        let mut candidates = plan::candidates(context, tables, &self.search.filter)?;
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
            self.stage = match (candidates, token) {
                (_, Some(Token::Child(name))) => {
                    Stage::Look { source: Source::Children(base, Some(name)), scope: Within::Exactly }
                }
                (candidates, Some(Token::Id(_))) => {
                    Stage::Look { source: by_id(candidates), scope: Within::ChildOf(base) }
                }
                (Some(ids), None) if ids.len() <= u64::from(children) => {
                    Stage::Look { source: by_id(Some(ids)), scope: Within::ChildOf(base) }
                }
                (_, None) => Stage::Look { source: Source::Children(base, None), scope: Within::Exactly },
            };
            return Ok(());
        }
        // The only naming context holds everything, so nothing is out of scope.
        let whole =
            base == ROOT || (context.suffixes.len() == 1 && tables.existing_node(base)?.parent == ROOT);
        self.stage = match candidates {
            candidates if whole => {
                let children = self.search.scope == Scope::Children;
                let scope = if children { Within::Other(base) } else { Within::Exactly };
                Stage::Look { source: by_id(candidates), scope }
            }
            Some(ids) if ids.len() <= CLIMBED => {
                Stage::Look { source: by_id(Some(ids)), scope: self.below(base) }
            }
            candidates => {
                self.last = token;
                Stage::Gather { base, stack: vec![(base, None)], ids: RoaringBitmap::new(), candidates }
            }
        };
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
            let view = View { computed: computed(&node, &named, ""), named, stored };
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
            self.write(context, &open, tables, view)?;
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
    ) -> Result<(), Failure> {
        let projection = &mut self.projection;
        projection.check_size(context, access, view)?;
        let mut written = Ok(());
        self.writer.entry(&view.named.dn, &Controls::none(), |writer| {
            written = projection.write(context, access, tables, view, writer);
        });
        // An entry that could not be written as a whole is in the way of all: the search fails.
        written?;
        self.items += 1;
        Ok(())
    }

    /// Walks a subtree for its ids, a slice at a time.
    fn gather(
        &mut self,
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
                let from = after(self.last.as_ref());
                let source = candidates.map_or(Source::All(from), |ids| Source::Ids(ids, from));
                self.stage = Stage::Look { source, scope: self.below(base) };
                return Ok(());
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
                self.stage = Stage::End;
                return Ok(());
            }
            for (token, id) in found {
                self.looked += 1;
                if self.looked > self.lookthrough {
                    self.finish(LdapResult::with_diagnostic(
                        ResultCode::ADMIN_LIMIT_EXCEEDED,
                        "the search looks at too many entries; narrow it, or use an indexed attribute",
                    ));
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
        let view = View { named, stored, computed };
        let dn = if self.needs_dn { view.named.dn.parse().ok() } else { None };
        let on = access.on(&view.named, &view.stored);
        let readable = |attribute: &str| on.attribute(attribute, AttributeRight::Search);
        let dn = dn.unwrap_or_else(Dn::root);
        let truth = view.truth(context, tables, matcher, &dn, self.until(), &readable)?;
        if truth != Truth::True {
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
        self.write(context, access, tables, &view)?;
        self.sent += 1;
        self.last = Some(token.clone());
        Ok(true)
    }

    /// When time is up, counting from now on without a pause.
    fn until(&self) -> Option<Instant> {
        self.since?.checked_add(self.time_limit.saturating_sub(self.worked))
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
        let controls = Controls::none().optional(&PagedResults { size: 0, cookie: Bytes::from(cookie) });
        self.outcome = Some(Outcome { controls, ..Outcome::success() });
    }

    fn finish(&mut self, result: LdapResult) {
        let mut outcome = Outcome::new(result);
        if self.controls.paged.is_some() {
            outcome.controls = Controls::none().optional(&PagedResults { size: 0, cookie: Bytes::new() });
        }
        self.outcome = Some(outcome);
    }

    fn take(&mut self) -> Batch {
        self.items = 0;
        self.writer.take()
    }
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
            _ => {}
        }
    }
}

impl Events for Searching {
    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<Event, Error>> {
        let this = self.get_mut();
        let started = Instant::now();
        let since = *this.since.get_or_insert(started);
        if this.outcome.is_none() {
            if this.worked + since.elapsed() >= this.time_limit {
                this.finish(LdapResult::new(ResultCode::TIME_LIMIT_EXCEEDED));
            }
            while this.outcome.is_none() && this.items == 0 && started.elapsed() <= SLICE {
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
            return Poll::Ready(Ok(Event::Done(outcome)));
        }
        // Everybody who is ready has a turn first, and the sockets are looked at: a task that wakes itself at once keeps
        // tokio from both for some sixty slices.
        let _ = pin!(yield_now()).poll(cx);
        Poll::Pending
    }
}
