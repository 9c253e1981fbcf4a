//! Where a search starts: its base, what the planner finds, and from where candidates come.

use std::sync::Arc;

use flext_ldap_directory::EntryRight;
use flext_ldap_proto::{
    control::{Controls, PagedResults},
    dn::{Dn, DnKey},
    filter::{Matcher, Truth},
    message::{DerefAliases, Scope},
    result::{LdapResult, ResultCode},
};
use roaring::RoaringBitmap;
use tokio::time::Instant;

use super::{
    Searching, Stage,
    source::{Source, Within},
    too_much,
};
use crate::{
    constraint::{member_of, reach::Reach},
    context::{Access, Context},
    known::{Class, Place},
    page::{self, Token},
    plan::{self, Planned, ScopeStrategy},
    project::{View, computed},
    read::{Climbed, Resolved},
    row::{Id, ROOT},
    special,
    tables::{Failure, Snapshot},
};

/// So few candidates are climbed from rather than walked to.
const CLIMBED: u64 = 1_000;

impl Searching {
    pub(super) fn start(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
    ) -> Result<(), Failure> {
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
        let base = match tables.known.as_ref().and_then(|known| known.base(context, &self.search.base)) {
            Some(base) => base,
            None => {
                let key = context.key(&self.search.base)?;
                if special::is_subschema(context, &key) {
                    self.refuse_to_follow("what is asked for is not stored")?;
                    if matches!(self.search.scope, Scope::Base | Scope::Subtree) {
                        return self.only(context, access, tables, &special::subschema(context));
                    }
                    self.assert_of(context, tables, &special::subschema(context))?;
                    self.finish(LdapResult::success());
                    return Ok(());
                }
                self.find_base(context, access, tables, &key)?
            }
        };
        self.check_base(context, access, tables, &base)?;
        self.referrals = if self.controls.manage_dsa_it {
            Arc::default()
        } else {
            special::of_class(context, tables, Class::Referral)?
        };
        self.refuse_aliases(context, tables)?;
        self.subentries = special::of_class(context, tables, Class::Subentry)?;
        if let Some(following) = &mut self.following {
            following.begin(&self.store, context, access, &self.caller, base.id, tables)?;
        }
        let candidates = if self.search.scope == Scope::Base {
            Some(RoaringBitmap::from_iter([base.id]))
        } else {
            let Planned { candidates, notes } =
                plan::candidates(context, tables, &self.search.filter, &self.meter)?;
            self.candidates = candidates.as_ref().map(RoaringBitmap::len);
            self.notes = notes;
            candidates
        };
        self.reach = Reach::new(context, access, tables, &self.search.filter, &self.meter)?;
        if !self.reach.is_empty() {
            self.refuse_to_follow("what the filter asks for depends on other entries")?;
        }
        self.reach.begin(context, tables, candidates.as_ref())?;
        self.stage = Stage::Reach { base, candidates, token };
        Ok(())
    }

    /// Finds out what other entries decide, a slice at a time.
    #[expect(clippy::too_many_arguments, reason = "what a stage holds, and what every stage is given")]
    pub(super) fn reach(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        started: Instant,
        base: Arc<Place>,
        candidates: Option<RoaringBitmap>,
        token: Option<Token>,
    ) -> Result<(), Failure> {
        let at_end = self.reach.step(context, access, tables, started, &mut self.looked)?;
        if self.looked > self.lookthrough {
            self.finish(too_much());
        } else if at_end {
            if self.resume(context, access, tables, base.id, token.as_ref())? {
                return Ok(());
            }
            let candidates = self.reach.narrow(&self.search.filter, candidates);
            self.begin(context, access, tables, &base, candidates, token)?;
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
        base: &Place,
        mut candidates: Option<RoaringBitmap>,
        token: Option<Token>,
    ) -> Result<(), Failure> {
        if self.search.scope == Scope::Base {
            let ids = RoaringBitmap::from_iter([base.id]);
            let from = after(token.as_ref());
            self.stage = Stage::Look { source: Source::Ids(ids, from), scope: Within::Exactly };
            return Ok(());
        }
        if let Some(candidates) = &mut candidates {
            *candidates |= &*self.referrals;
        }
        // A page goes on in the order the one before it had.
        let from = after(token.as_ref());
        let by_id = |candidates: Option<RoaringBitmap>| {
            candidates.map_or(Source::All(from), |ids| Source::Ids(ids, from))
        };
        if self.search.scope == Scope::One {
            let children = base.node.children;
            if candidates.is_none() {
                self.judge_unindexed(access, children.into())?;
            }
            let (source, scope) = match (candidates, token) {
                (_, Some(Token::Child(name))) => (Source::Children(base.id, Some(name)), Within::Exactly),
                (candidates, Some(Token::Id(_))) => (by_id(candidates), Within::ChildOf(base.id)),
                (_, Some(Token::Place { .. })) => (Source::Children(base.id, None), Within::Exactly),
                (Some(ids), None) if ids.len() <= u64::from(children) => {
                    (by_id(Some(ids)), Within::ChildOf(base.id))
                }
                (_, None) => (Source::Children(base.id, None), Within::Exactly),
            };
            self.look_at(source, scope);
            return Ok(());
        }
        // The only naming context holds everything, so nothing is out of scope.
        let whole = base.id == ROOT || (context.suffixes.len() == 1 && base.node.parent == ROOT);
        match candidates {
            candidates if whole => {
                if candidates.is_none() {
                    self.judge_unindexed(access, tables.entries()?)?;
                }
                let children = self.search.scope == Scope::Children;
                let scope = if children { Within::Other(base.id) } else { Within::Exactly };
                self.look_at(by_id(candidates), scope);
            }
            Some(ids) if ids.len() <= CLIMBED => {
                let scope = self.below(base.id);
                self.look_at(by_id(Some(ids)), scope);
            }
            candidates => {
                self.last = token;
                if self.is_large(tables, base.node.children.into(), candidates.as_ref())? {
                    return self.climb(access, tables, base.id, candidates);
                }
                self.strategy = ScopeStrategy::Walk;
                let base = base.id;
                self.stage =
                    Stage::Gather { base, stack: vec![(base, None)], ids: RoaringBitmap::new(), candidates };
            }
        }
        Ok(())
    }

    pub(super) fn below(&self, base: Id) -> Within {
        match self.search.scope {
            Scope::Children => Within::StrictlyBelow(base),
            _ => Within::Below(base),
        }
    }

    /// The entry a search starts from.
    fn find_base(
        &self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        key: &DnKey,
    ) -> Result<Arc<Place>, Failure> {
        if key.is_root() {
            return Ok(Arc::new(Place::root()));
        }
        let id = match context.resolve(tables, key)? {
            Resolved::Found(id) => id,
            Resolved::Missing(last) => {
                let manage = self.controls.manage_dsa_it;
                special::refer(context, tables, access, last, &self.search.base, manage)?;
                return Err(special::missing(context, tables, access, last)?);
            }
        };
        let node = tables.existing_node(id)?;
        let named = tables.named_below(&node, &mut Climbed::new())?;
        let place = Arc::new(Place { id, node, named });
        if let Some(known) = &tables.known {
            known.remember_base(context, &self.search.base, &place);
        }
        Ok(place)
    }

    /// Whether a search may start there.
    fn check_base(
        &self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        base: &Place,
    ) -> Result<(), Failure> {
        let Place { id, node, named } = base;
        if *id == ROOT {
            return self.assert_of(context, tables, &special::root_dse(context, &self.caller.peer));
        }
        if !access.entry(named, EntryRight::Disclose) {
            return Err(special::missing(context, tables, access, Some(node.parent))?);
        }
        special::refer(context, tables, access, Some(*id), &self.search.base, self.controls.manage_dsa_it)?;
        if let Some(filter) = &self.controls.assertion {
            let stored = tables.stored(*id)?.ok_or_else(|| Failure::damaged("an entry"))?;
            let mut view = View { computed: computed(node, named, ""), named: named.clone(), stored };
            if Reach::asks_member_of(context, filter) {
                member_of::complete(context, tables, None, access, &mut Climbed::new(), &mut view)?;
            }
            if crate::write::holds(context, tables, filter, access, &view, &self.meter)? != Truth::True {
                return Err(assertion_failed());
            }
        }
        Ok(())
    }

    /// Aliases are not followed. Where there are none that makes no difference; where there are, it is said.
    fn refuse_aliases(&self, context: &Context, tables: &Snapshot) -> Result<(), Failure> {
        if self.search.deref == DerefAliases::Never {
            return Ok(());
        }
        if special::of_class(context, tables, Class::Alias)?.is_empty() {
            return Ok(());
        }
        Err(Failure::refused(
            ResultCode::ALIAS_DEREFERENCING_PROBLEM,
            "aliases are not followed here; search without dereferencing them",
        ))
    }

    /// What a filter says of an entry that is not stored. Everybody may read what a directory says of itself; anything
    /// secret is not in there.
    fn truth_of(
        &self,
        context: &Context,
        tables: &Snapshot,
        view: &View,
        matcher: &Matcher<'_>,
    ) -> Result<Truth, Failure> {
        let readable = |attribute: &str| !context.is_password(attribute);
        view.truth(context, tables, matcher, &Dn::root(), &self.meter, &readable)
    }

    /// The assertion control on an entry that is not stored (RFC 4528 §3).
    fn assert_of(&self, context: &Context, tables: &Snapshot, view: &View) -> Result<(), Failure> {
        let Some(filter) = &self.controls.assertion else { return Ok(()) };
        let matcher = Matcher::new(filter, &context.schema);
        match self.truth_of(context, tables, view, &matcher)? {
            Truth::True => Ok(()),
            Truth::False | Truth::Undefined => Err(assertion_failed()),
        }
    }

    /// Answers with an entry that is not stored, if the filter wants it.
    pub(super) fn only(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        view: &View,
    ) -> Result<(), Failure> {
        self.assert_of(context, tables, view)?;
        let matcher = Matcher::new(&self.search.filter, &context.schema);
        let truth = self.truth_of(context, tables, view, &matcher)?;
        if truth == Truth::True {
            let open = access.unrestricted();
            self.write(context, &open, tables, view, &Controls::none())?;
        }
        self.finish(LdapResult::success());
        Ok(())
    }
}

/// RFC 4528 §3.
fn assertion_failed() -> Failure {
    Failure::refused(ResultCode::ASSERTION_FAILED, "the assertion is not true of the base")
}

/// The first id after a page.
pub(super) fn after(token: Option<&Token>) -> Id {
    match token {
        Some(Token::Id(id)) => id.saturating_add(1),
        _ => ROOT + 1,
    }
}
