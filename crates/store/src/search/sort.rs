//! Sorted searches (RFC 2891): what is found is gathered as keys and ids, in order, then delivered like any other
//! candidates, so that rights, filter and scope hold when an entry is delivered.
//!
//! An attribute that whoever asks may not search by counts as absent, so an order tells no more than filters do. Keys
//! take memory, which is bounded (`Limits::sort_memory`); the list of ids that is left is kept for the next page or view
//! ([`crate::lists`]) and made again when it is gone.

use std::{
    collections::{BTreeSet, HashMap},
    ops::ControlFlow,
    sync::Arc,
};

use flext_ldap_directory::AttributeRight;
use flext_ldap_proto::{
    attribute::AttributeDescription,
    ber::Writer,
    control::{
        ControlValue, Controls, SORT_CONTROL_MISSING, ServerSideSort, ServerSideSortResponse, SortKey,
        VirtualListView,
    },
    message::Scope,
    result::ResultCode,
    schema::{MatchingRule, RuleKind},
};
use sha2::{Digest, Sha256};

use super::{
    Searching, Stage,
    source::{Source, Within},
    view::Window,
};
use crate::{
    access::Access,
    context::Context,
    controls::SearchControls,
    lists::{Held, ListId, NoMemory},
    meter::{Meter, ROW},
    page::Token,
    project::{View, is_computed},
    row::{Id, ROOT},
    tables::{Failure, Snapshot},
    values::ValueRows,
};

/// Keys of one order.
const KEYS: usize = 10;

/// Octets of a normalised value that are compared. Values that differ only further on are in no order.
const COMPARED: usize = 256;

/// What a found entry takes besides its key, in a tree of them.
const OVERHEAD: usize = 64;

/// A sorted search under way.
pub(super) struct Sorting {
    keys: Vec<Key>,
    is_critical: bool,
    requested: bool,
    pub(super) view: Option<VirtualListView>,
    /// Names the order: a page is no page of a list in another one.
    pub(super) order: [u8; 8],
    /// What has to be checked of the place of an entry that is delivered.
    pub(super) scope: Within,
    phase: Phase,
    /// How it goes.
    code: ResultCode,
    attribute: Option<String>,
    pub(super) window: Window,
    /// Where the page before ended: at which place, with which entry.
    after: Option<(u32, Id)>,
}

enum Phase {
    /// Nothing is in order, and nothing will be.
    Off,
    /// What is found is gathered.
    Gather { found: BTreeSet<(Box<[u8]>, Id)>, held: Held },
    /// All is found.
    Deliver,
}

/// One key, made ready.
struct Key {
    attribute: AttributeDescription,
    rule: MatchingRule,
    reverse: bool,
    /// Whether an attribute spelt so is meant.
    known: HashMap<Box<str>, bool>,
}

/// Spellings remembered for a key.
const REMEMBERED: usize = 4_096;

impl Sorting {
    /// What a request asks for, if it asks for an order or a view.
    pub(super) fn new(context: &Context, controls: &SearchControls, held: Held) -> Option<Self> {
        if controls.sort.is_none() && controls.view.is_none() {
            return None;
        }
        let mut sorting = Self {
            keys: Vec::new(),
            is_critical: controls.sort_is_critical,
            requested: controls.sort.is_some(),
            view: controls.view.clone(),
            order: controls.sort.as_ref().map(order_name).unwrap_or_default(),
            scope: Within::Exactly,
            phase: Phase::Gather { found: BTreeSet::new(), held },
            code: ResultCode::SUCCESS,
            attribute: None,
            window: Window::default(),
            after: None,
        };
        for key in controls.sort.iter().flat_map(|ServerSideSort(keys)| keys) {
            let code = match Key::new(context, key) {
                _ if sorting.keys.len() >= KEYS => ResultCode::ADMIN_LIMIT_EXCEEDED,
                Ok(key) if sorting.keys.iter().any(|one| one.is_by_same(context, &key)) => {
                    ResultCode::UNWILLING_TO_PERFORM
                }
                Ok(key) => {
                    sorting.keys.push(key);
                    continue;
                }
                Err(code) => code,
            };
            sorting.attribute = Some(key.attribute.as_str().to_owned());
            sorting.fail(code);
            break;
        }
        Some(sorting)
    }

    fn fail(&mut self, code: ResultCode) {
        self.code = code;
        self.phase = Phase::Off;
    }

    pub(super) fn is_on(&self) -> bool {
        !matches!(self.phase, Phase::Off)
    }

    /// Whether an order looks at what is computed.
    pub(super) fn needs_computed(&self, context: &Context) -> bool {
        self.keys.iter().any(|key| is_computed(context, key.attribute.as_str()))
    }

    /// The key of an entry: what it is compared by, octet by octet.
    pub(super) fn key(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        rows: &dyn ValueRows,
        view: &View,
        meter: &Meter,
    ) -> Result<Box<[u8]>, Failure> {
        let mut out = Vec::new();
        for key in &mut self.keys {
            let least = key.least(context, access, rows, view, meter)?;
            put_part(&mut out, least.as_deref(), key.reverse);
        }
        Ok(out.into())
    }

    /// What the keys of entries start with, or come after, whose most important value is not before this one.
    pub(super) fn bound(&self, context: &Context, value: &[u8]) -> Option<Vec<u8>> {
        let key = self.keys.first()?;
        let mut normal = context.schema.normalize_by(key.rule, value).ok()?.into_owned();
        normal.truncate(COMPARED);
        let mut out = Vec::new();
        put_part(&mut out, Some(&normal), key.reverse);
        Some(out)
    }

    /// The controls that go with the end of the search.
    pub(super) fn answer(&mut self, code: ResultCode, mut controls: Controls) -> Controls {
        if matches!(self.phase, Phase::Gather { .. }) && code != ResultCode::SUCCESS {
            // It ended before anything was in order.
            self.code = code;
        }
        if self.requested {
            let response = ServerSideSortResponse { code: self.code, attribute: self.attribute.clone() };
            controls = controls.optional(&response);
        }
        if self.view.is_some() {
            controls = controls.optional(&self.window.answer(self.code));
        }
        controls
    }
}

/// A part of a key, such that no part is the start of another: the value with its zeros marked, or after all values
/// that it is not there (RFC 2891 §2.2).
fn put_part(out: &mut Vec<u8>, value: Option<&[u8]>, reverse: bool) {
    let start = out.len();
    match value {
        Some(value) => {
            out.push(0);
            for octet in value {
                out.push(*octet);
                if *octet == 0 {
                    out.push(0xff);
                }
            }
            out.extend_from_slice(&[0, 0]);
        }
        None => out.push(1),
    }
    if reverse {
        out.iter_mut().skip(start).for_each(|octet| *octet = !*octet);
    }
}

fn order_name(sort: &ServerSideSort) -> [u8; 8] {
    let mut writer = Writer::new();
    sort.encode(&mut writer);
    let digest = Sha256::digest(writer.as_slice());
    digest.first_chunk().copied().unwrap_or_default()
}

impl Key {
    /// The code is what RFC 2891 §1.2 has for a key that is not to be used.
    fn new(context: &Context, key: &SortKey) -> Result<Self, ResultCode> {
        let kind = context
            .schema
            .attribute_type(key.attribute.attribute_type())
            .ok_or(ResultCode::NO_SUCH_ATTRIBUTE)?;
        let rule = match &key.ordering_rule {
            Some(name) => MatchingRule::find(name).filter(|rule| rule.kind() == RuleKind::Ordering),
            // Most attributes of text have no ordering rule of their own; in the form that is compared for equality
            // their values sort as people expect.
            None => kind.ordering.or(kind.equality),
        };
        let rule = rule.ok_or(ResultCode::INAPPROPRIATE_MATCHING)?;
        Ok(Self { attribute: key.attribute.clone(), rule, reverse: key.reverse, known: HashMap::new() })
    }

    fn is_by_same(&self, context: &Context, other: &Self) -> bool {
        context.canonical(self.attribute.as_str()) == context.canonical(other.attribute.as_str())
    }

    /// The least of the values that whoever asks may search by (RFC 2891 §2.2).
    fn least(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        rows: &dyn ValueRows,
        view: &View,
        meter: &Meter,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let mut least: Option<Vec<u8>> = None;
        let rule = self.rule;
        let mut consider = |value: &[u8]| {
            let Ok(normal) = context.schema.normalize_by(rule, value) else { return };
            let normal = normal.get(..COMPARED).unwrap_or(&normal);
            if least.as_deref().is_none_or(|least| normal < least) {
                least = Some(normal.to_vec());
            }
        };
        let on = access.on(&view.named, &view.stored);
        for segment in view.segments() {
            for attribute in segment.iter() {
                let name = attribute.description();
                if !self.is_meant(context, name) || !on.attribute(name, AttributeRight::Search) {
                    continue;
                }
                attribute.values().for_each(&mut consider);
            }
        }
        for large in view.stored.large() {
            let name = &large.description;
            if self.is_meant(context, name) && on.attribute(name, AttributeRight::Search) {
                // The rows are in the order of another rule.
                large.visit(rows, None, &mut |_, value| {
                    meter.look(value.len().saturating_add(ROW))?;
                    consider(value);
                    Ok(ControlFlow::Continue(()))
                })?;
            }
        }
        Ok(least)
    }

    fn is_meant(&mut self, context: &Context, description: &str) -> bool {
        if let Some(known) = self.known.get(description) {
            return *known;
        }
        let is_meant = context.schema.is_within(description, &self.attribute);
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(description.into(), is_meant);
        is_meant
    }
}

impl Searching {
    /// Refuses what cannot be sorted, and pages of another order.
    pub(super) fn check_order(&mut self, token: Option<&Token>) -> Result<(), Failure> {
        let place = match token {
            Some(Token::Place { order, at, id, .. }) => Some((*order, (*at, *id))),
            _ => None,
        };
        if let Some(sorting) = &mut self.sorting {
            if sorting.view.is_some() && !sorting.requested {
                return Err(sorting.no_view(SORT_CONTROL_MISSING, "a virtual list view needs a sort control"));
            }
            if !sorting.is_on() && sorting.is_critical {
                return Err(cannot_sort(sorting.code));
            }
            sorting.after = place.map(|(_, after)| after);
        }
        let on = self.sorting.as_ref().filter(|sorting| sorting.is_on());
        if token.is_some() && on.map(|sorting| sorting.order) != place.map(|(order, _)| order) {
            return Err(Failure::refused(
                ResultCode::UNWILLING_TO_PERFORM,
                "the paging cookie is of a search in another order; start again without one",
            ));
        }
        Ok(())
    }

    /// Goes on with a list that was kept. Says whether there is one.
    pub(super) fn resume(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        base: Id,
        token: Option<&Token>,
    ) -> Result<bool, Failure> {
        if !self.sorting.as_ref().is_some_and(Sorting::is_on) {
            return Ok(false);
        }
        let scope = self.place_of_entries(context, tables, base)?;
        let Some(sorting) = &mut self.sorting else { return Ok(false) };
        sorting.scope = scope;
        let list = match token {
            Some(Token::Place { list, .. }) => Some(*list),
            _ => super::view::list_of(context, &self.search, &self.caller.actor, sorting)?,
        };
        let Some(list) = list else { return Ok(false) };
        let Some(ids) = self.store.lists().get(&list) else { return Ok(false) };
        // Nothing is gathered, and it is the list that the cookie is of.
        sorting.phase = Phase::Deliver;
        let from = sorting.after.map_or(0, |(at, _)| at.saturating_add(1));
        self.deliver(context, access, tables, ids, list, from)?;
        Ok(true)
    }

    /// What has to be checked of an entry of a list: much may have changed since it was made.
    pub(super) fn place_of_entries(
        &self,
        context: &Context,
        tables: &Snapshot,
        base: Id,
    ) -> Result<Within, Failure> {
        Ok(match self.search.scope {
            Scope::Base => Within::Exactly,
            Scope::One => Within::ChildOf(base),
            scope => {
                let is_suffix = base == ROOT
                    || (context.suffixes.len() == 1 && tables.existing_node(base)?.parent == ROOT);
                match (is_suffix, scope) {
                    (true, Scope::Children) => Within::Other(base),
                    (true, _) => Within::Exactly,
                    (false, _) => self.below(base),
                }
            }
        })
    }

    /// Gathers an entry that was found.
    pub(super) fn gather_found(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        view: &View,
        id: Id,
    ) -> Result<Gathered, Failure> {
        let meter = Arc::clone(&self.meter);
        let Some(sorting) = &mut self.sorting else { return Ok(Gathered::No) };
        if !matches!(sorting.phase, Phase::Gather { .. }) {
            return Ok(Gathered::No);
        }
        let key = sorting.key(context, access, tables, view, &meter)?;
        access.settled()?;
        let Phase::Gather { found, held } = &mut sorting.phase else { return Ok(Gathered::No) };
        let code = match held.take(key.len().saturating_add(OVERHEAD)) {
            Ok(()) => {
                found.insert((key, id));
                return Ok(Gathered::Yes);
            }
            Err(NoMemory::ForOne) => ResultCode::ADMIN_LIMIT_EXCEEDED,
            Err(NoMemory::ForAll) => ResultCode::BUSY,
        };
        sorting.fail(code);
        if sorting.view.is_some() {
            return Err(sorting.no_view(code, "there is too much to sort for a view; narrow the search"));
        }
        if sorting.is_critical || self.controls.paged.as_ref().is_some_and(|paged| !paged.cookie.is_empty()) {
            return Err(cannot_sort(code));
        }
        // As it comes, then, from the start.
        self.looked = 0;
        self.stage = Stage::Start;
        Ok(Gathered::StartAgain)
    }

    /// What comes after the last candidate.
    pub(super) fn after_candidates(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
    ) -> Result<(), Failure> {
        self.stage = Stage::End;
        let Some(sorting) = &mut self.sorting else { return Ok(()) };
        if !matches!(sorting.phase, Phase::Gather { .. }) {
            return Ok(());
        }
        let gathered = std::mem::replace(&mut sorting.phase, Phase::Deliver);
        let Phase::Gather { found, held } = gathered else { return Ok(()) };
        let ids: Arc<[Id]> = found.into_iter().map(|(_, id)| id).collect();
        drop(held);
        let list: ListId = uuid::Uuid::new_v4().into_bytes();
        // The list that a page was of is gone: it goes on after the entry that was the last.
        let from = sorting.after.map_or(0, |(at, last)| {
            let place = ids.iter().position(|id| *id == last).and_then(|place| u32::try_from(place).ok());
            place.unwrap_or(at).saturating_add(1)
        });
        let page = self.controls.paged.as_ref().map(|paged| u64::from(paged.size));
        if self.controls.view.is_some() || page.is_some_and(|page| page < ids.len() as u64) {
            self.store.lists().keep(list, Arc::clone(&ids));
        }
        self.deliver(context, access, tables, ids, list, from)
    }

    fn deliver(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        ids: Arc<[Id]>,
        list: ListId,
        from: u32,
    ) -> Result<(), Failure> {
        let Some(mut sorting) = self.sorting.take() else { return Ok(()) };
        let settled = sorting.settle_window(context, access, tables, self, &ids, list);
        let (order, scope) = (sorting.order, sorting.scope);
        let window = sorting.window.range();
        self.sorting = Some(sorting);
        settled?;
        let end = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let (at, end) = window.unwrap_or((from, end));
        self.looked = 0;
        self.stage = Stage::Look { source: Source::List { ids, list, order, at, end }, scope };
        Ok(())
    }
}

/// What became of an entry that was found.
pub(super) enum Gathered {
    /// It is to be delivered.
    No,
    /// It is delivered later.
    Yes,
    /// There is no order, and the search starts again without one.
    StartAgain,
}

fn cannot_sort(code: ResultCode) -> Failure {
    Failure::refused(
        ResultCode::UNAVAILABLE_CRITICAL_EXTENSION,
        format!("the entries cannot be sorted as asked ({code}), and the sort control is critical"),
    )
}
