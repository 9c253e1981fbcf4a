//! Searches: found through indexes where they help, walked where they do not, delivered in batches.
//!
//! Each poll works for a millisecond or two on the last commit and then lets others have the thread. Between polls
//! nothing is held but where to go on, so a slow reader keeps no page in use. Entries that change while a search runs
//! are delivered as they were or as they are.

mod apart;
mod look;
mod persistent;
mod sort;
mod source;
mod start;
mod view;

use std::{
    pin::pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use bytes::Bytes;
use flext_ldap_directory::{Deadline, Error, Event, Outcome};
use flext_ldap_proto::{
    batch::{Batch, BatchWriter},
    control::{Controls, PagedResults},
    filter::{Matcher, Node as FilterNode, Prepared},
    message::Search,
    result::{LdapResult, ResultCode},
};
use roaring::RoaringBitmap;
use tokio::{task::yield_now, time::Instant};

pub(crate) use self::apart::SearchEvents;
use self::{
    persistent::Following,
    sort::Sorting,
    source::{Source, Within},
};
use crate::{
    access::Standing,
    constraint::reach::Reach,
    context::{Caller, Context},
    controls::{SearchControls, check_assertion, check_parts},
    known::Place,
    meter::{Aside, Meter},
    options::SchemaHandle,
    page::{self, Token},
    plan::{Explanation, Note, ScopeStrategy},
    project::{Projection, looks_at_computed},
    row::Id,
    store::Store,
    tables::Failure,
};

/// Work of one poll.
pub(crate) const SLICE: Duration = Duration::from_millis(1);
/// Items and octets of one batch.
const BATCH_ITEMS: usize = 256;
const BATCH_OCTETS: usize = 64 << 10;

/// Parts of the filter of a persistent search.
const FOLLOWED: usize = 1_000;

/// A search under way.
pub(crate) struct Searching {
    pub(crate) store: Store,
    pub(crate) search: Search,
    caller: Arc<Caller>,
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
    referrals: Arc<RoaringBitmap>,
    /// What the planner found of each part of the filter, and how many candidates it left.
    notes: Vec<Note>,
    candidates: Option<u64>,
    strategy: ScopeStrategy,
    pub(crate) is_judged: bool,
    pub(crate) is_noted: bool,
    /// Whether it is done to see how, and not for what it finds.
    pub(crate) is_explained: bool,
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
    subentries: Arc<RoaringBitmap>,
    /// The filter made ready, with the schema it was made ready for.
    prepared: Option<(SchemaHandle, Prepared)>,
    /// What the step under way may spend.
    meter: Arc<Meter>,
    /// Whether a turn was not enough for the next step.
    needs_more: bool,
    /// While it is worked on apart.
    apart: Option<Aside>,
}

enum Stage {
    /// Nothing was looked at yet.
    Start,
    /// What other entries decide of the filter is being found out.
    Reach { base: Arc<Place>, candidates: Option<RoaringBitmap>, token: Option<Token> },
    /// A subtree is being walked, as long as that is less work than climbing.
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

impl Searching {
    pub(crate) fn new(
        store: Store,
        search: Search,
        controls: &Controls,
        caller: Caller,
        deadline: Deadline,
    ) -> Result<Self, Failure> {
        let context = &*store.context();
        let controls = SearchControls::read(controls)?;
        let caller = Arc::new(caller);
        let (_, all) = context.is_unrestricted(&caller);
        let limits = &context.limits;
        let least = |asked: u64, allowed: u64| if asked == 0 { allowed } else { asked.min(allowed) };
        let (size, time, lookthrough) = if all {
            (u64::MAX, Duration::MAX, u64::MAX)
        } else {
            (u64::from(limits.size), limits.time, limits.lookthrough)
        };
        check_parts(context, &caller, search.filter.nodes().len())?;
        check_assertion(context, &caller, controls.assertion.as_ref())?;
        check_parts(context, &caller, controls.matched_values.as_ref().map_or(0, |one| one.items().len()))?;
        if controls.persistent.is_some() && !all && search.filter.nodes().len() > FOLLOWED {
            return Err(Failure::refused(
                ResultCode::ADMIN_LIMIT_EXCEEDED,
                format!(
                    "the filter of a persistent search may have {FOLLOWED} parts; it is evaluated for each change"
                ),
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
        let following = controls.persistent.map(|asked| Following::new(&store, asked));
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
            referrals: Arc::default(),
            notes: Vec::new(),
            candidates: None,
            strategy: ScopeStrategy::Base,
            is_judged: false,
            is_noted: false,
            is_explained: false,
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
            subentries: Arc::default(),
            prepared: None,
            meter: Arc::new(Meter::turn(None)),
            needs_more: false,
            apart: None,
            store,
            search,
            caller,
            controls,
        })
    }

    /// How the search is done, as far as is known yet.
    pub(crate) fn explanation(&self, context: &Context) -> Explanation {
        let Search { base, scope, filter, .. } = &self.search;
        Explanation::new(context, (base, *scope, filter), &self.notes, self.candidates, self.strategy)
    }

    /// Who asked.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
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

    /// Does what is next, and what comes after that as long as `goes_on` says so.
    fn step(&mut self, started: Instant, goes_on: impl Fn(&Self) -> bool) -> Result<(), Failure> {
        let store = self.store.clone();
        let context = &*store.context();
        let caller = Arc::clone(&self.caller);
        let tables = store.snapshot()?;
        let standing = match &self.standing {
            Some(standing) => standing.clone(),
            None => self.standing.insert(context.standing(&caller, &*tables)?).clone(),
        };
        let access = context.access_of(&caller, &*tables, standing);
        loop {
            let starts = matches!(self.stage, Stage::Start);
            // What is done anew where there is time for it, and what has a budget for all of a step.
            access.spend_from(match self.stage {
                Stage::Start | Stage::Look { .. } => Arc::clone(&self.meter),
                _ => Arc::new(Meter::budget()),
            });
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
            let done = access.settled().and(done);
            if starts && done.is_err() && self.meter.needs_more() {
                self.stage = Stage::Start;
            }
            done?;
            if !goes_on(self) {
                return Ok(());
            }
        }
    }

    /// Whether there is neither anything to deliver nor somebody else's turn.
    fn works_on(&self, started: Instant) -> bool {
        self.outcome.is_none()
            && self.items == 0
            && !matches!(self.stage, Stage::Follow)
            && !self.meter.is_well_spent()
            && started.elapsed() <= SLICE
    }

    /// The filter made ready, once for as long as the schema stays the same.
    fn matcher<'c>(&mut self, context: &'c Context) -> Matcher<'c> {
        match &self.prepared {
            Some((schema, prepared)) if schema.is(&context.schema) => prepared.matcher(&context.schema),
            _ => {
                self.store.count_prepared();
                let matcher = Matcher::new(&self.search.filter, &context.schema);
                self.prepared = Some((context.schema.clone(), matcher.prepared()));
                matcher
            }
        }
    }

    /// Settles what the steps to come may spend.
    fn begin_step(&mut self) {
        let until = self.until();
        self.meter = Arc::new(match &self.apart {
            Some(aside) => Meter::apart(until, aside.clone()),
            None => Meter::turn(until),
        });
    }

    /// When time is up, counting from now on without a pause. Following changes has no end.
    fn until(&self) -> Option<Instant> {
        if matches!(self.stage, Stage::Follow) {
            return None;
        }
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

impl Searching {
    /// The next event. Where `needs_more` is set, it is not there, and the next step is to be done apart.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<Event, Error>> {
        let this = self;
        if matches!(this.stage, Stage::Follow) {
            return this.poll_following(cx);
        }
        let started = Instant::now();
        let since = *this.since.get_or_insert(started);
        if this.outcome.is_none() {
            if this.worked + since.elapsed() >= this.time_limit {
                this.finish(LdapResult::new(ResultCode::TIME_LIMIT_EXCEEDED));
            }
            this.begin_step();
            if this.works_on(started) {
                let store = this.store.clone();
                let worked = store.reading("a search", || this.step(started, |this| this.works_on(started)));
                match worked {
                    Ok(()) => {}
                    Err(Failure::Refused(_)) if this.meter.needs_more() => {
                        this.needs_more = true;
                        return Poll::Pending;
                    }
                    Err(Failure::Refused(result)) => this.finish(result),
                    Err(Failure::Failed(error)) => return Poll::Ready(Err(error)),
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
