//! Candidates, looked at one after another: whether they are in scope, may be known, match, and what of them is written.

use std::sync::Arc;

use flext_ldap_directory::{AttributeRight, EntryRight};
use flext_ldap_proto::{
    control::{Controls, Subentries},
    dn::Dn,
    filter::{Matcher, Truth},
    message::Scope,
    result::{LdapResult, ResultCode},
};
use roaring::RoaringBitmap;
use tokio::time::Instant;

use super::{
    BATCH_ITEMS, BATCH_OCTETS, SLICE, Searching, Stage,
    persistent::Following,
    sort::Gathered,
    source::{Candidate, Candidates, Source, Within},
    start::after,
    too_much,
};
use crate::{
    constraint::member_of,
    context::{Access, Context},
    long_work,
    page::Token,
    project::{View, computed},
    read::Climbed,
    row::{Id, Node},
    special,
    tables::{Failure, Snapshot},
};

/// Parts of a filter that are evaluated between two looks at the clock, and candidates at the most.
const PARTS: usize = 256;
const STRIDE: usize = 16;
/// A subtree of at most so many entries is gathered by walking it, whatever there is besides.
const GATHERED: u64 = 10_000;

impl Searching {
    pub(super) fn write(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        view: &View,
        controls: &Controls,
    ) -> Result<(), Failure> {
        let meter = Arc::clone(&self.meter);
        let projection = &mut self.projection;
        projection.check_size(context, access, view)?;
        let mut written = Ok(());
        self.writer.entry(&view.named.dn, controls, |writer| {
            written = projection.write(context, access, tables, view, &meter, writer);
        });
        let written = written.and_then(|()| access.settled());
        // An entry that could not be written as a whole is in the way of all: the search fails.
        if written.is_err() {
            self.writer.take_back();
        } else {
            self.items += 1;
        }
        written
    }

    #[expect(clippy::too_many_arguments, reason = "what the stage has, and what every step has")]
    pub(super) fn gather(
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
            if self.is_large(tables, ids.len(), candidates.as_ref())? {
                return self.climb(access, tables, base, candidates);
            }
            let children = tables.children(parent, name.as_deref(), ROWS)?;
            if children.len() == ROWS
                && let Some((name, _)) = children.last()
            {
                stack.push((parent, Some(name.clone())));
            }
            for (_, id) in children {
                ids.insert(id);
                if tables.has_children(id)? {
                    stack.push((id, None));
                }
            }
            if candidates.is_none() {
                self.judge_unindexed(access, ids.len())?;
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

    /// Whether a subtree of so many entries is found by climbing from the candidates rather than by walking it, which is
    /// as much work for each of its entries as climbing is for each there is. Pages would walk all of it each.
    pub(super) fn is_large(
        &self,
        tables: &Snapshot,
        entries: u64,
        candidates: Option<&RoaringBitmap>,
    ) -> Result<bool, Failure> {
        if candidates.is_some_and(|candidates| entries > candidates.len()) {
            return Ok(true);
        }
        Ok(entries > GATHERED && (self.controls.paged.is_some() || entries > tables.entries()? / 2))
    }

    /// Finds what is in scope of a large subtree among the candidates, or among all, by climbing.
    pub(super) fn climb(
        &mut self,
        access: &Access<'_>,
        tables: &Snapshot,
        base: Id,
        candidates: Option<RoaringBitmap>,
    ) -> Result<(), Failure> {
        if candidates.is_none() {
            self.judge_unindexed(access, tables.entries()?)?;
        }
        let from = after(self.last.as_ref());
        let source = candidates.map_or(Source::All(from), |ids| Source::Ids(ids, from));
        let scope = self.below(base);
        self.look_at(source, scope);
        Ok(())
    }

    /// Looks at candidates, writing those that match.
    pub(super) fn look(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        started: Instant,
        mut source: Source,
        scope: Within,
    ) -> Result<(), Failure> {
        let matcher = self.matcher(context);
        let csn = if self.needs_computed { tables.context_csn()? } else { String::new() };
        let mut climbed = Climbed::new();
        let mut candidates = Candidates::new(tables, scope);
        let stride = (PARTS / self.search.filter.nodes().len().max(1)).clamp(1, STRIDE) as u64;
        while let Some(Candidate { token, id, node }) = candidates.next(&source)? {
            self.looked += 1;
            if self.looked > self.lookthrough {
                self.finish(too_much());
                return Ok(());
            }
            if let Some(node) = node {
                let goes_on =
                    self.candidate(context, access, tables, &matcher, &csn, &mut climbed, id, &node, &token);
                match goes_on {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    Err(failure) => {
                        if self.meter.needs_more() {
                            // It is looked at anew where there is time for it.
                            self.looked -= 1;
                            self.stage = Stage::Look { source, scope };
                        }
                        return Err(failure);
                    }
                }
            }
            source.pass(token);
            let full = self.items >= BATCH_ITEMS || self.writer.size() >= BATCH_OCTETS;
            if full
                || self.meter.is_well_spent()
                || (self.looked.is_multiple_of(stride) && started.elapsed() > SLICE)
            {
                self.stage = Stage::Look { source, scope };
                return Ok(());
            }
        }
        self.after_candidates(context, access, tables)
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
        access.settled()?;
        if !disclosed {
            return Ok(true);
        }
        if self.referrals.contains(id) && self.search.scope != Scope::Base {
            if self.following.as_ref().is_some_and(Following::is_silent) {
                return Ok(true);
            }
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
        let meter = Arc::clone(&self.meter);
        let is_long = long_work::is_long(&self.search.filter, &view.stored);
        let truth = context.long_work.run(is_long, || {
            if self.reach.is_empty() {
                let on = access.on(&view.named, &view.stored);
                let readable = |attribute: &str| on.attribute(attribute, AttributeRight::Search);
                view.truth(context, tables, matcher, &dn, &meter, &readable)
            } else {
                self.reach.evaluate(context, access, tables, matcher, id, &dn, &view, &meter)
            }
        })?;
        access.settled()?;
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

    /// RFC 3672 §3: by default a search of more than one entry sees no subentries; with the control it sees them and
    /// nothing else, or everything but them.
    pub(super) fn sees(&self, id: Id) -> bool {
        let is_subentry = self.subentries.contains(id);
        match self.controls.subentries {
            Some(Subentries { visible }) => is_subentry == visible,
            None => !is_subentry || self.search.scope == Scope::Base,
        }
    }
}
