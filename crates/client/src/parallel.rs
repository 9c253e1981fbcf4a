//! A large read over several connections at a time: a search of a whole tree, taken apart by the branches of its base.
//!
//! What is taken apart are names and not values: ranges of a value (`entryUUID`, say) lose what the reader may not
//! compare, and where a server has no order for it, everything. Nothing is gathered here: parts are read as they are asked
//! for. Which connection a part goes onto is for whoever is below to say.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use flext_ldap_directory::{
    Directory, Error, Event, Events, Op, Outcome, Reply, Request,
    proto::{
        attribute::Selection,
        batch::{Batch, Item},
        control::{ControlValue as _, ManageDsaIt},
        dn::Dn,
        filter::Filter,
        message::{DerefAliases, Scope, Search},
        result::ResultCode,
    },
};

/// Branches of one base at most. With more it is no tree of a few large branches, and a search for each would cost more
/// than it gains. A pool takes a search for so many to be a short one.
const BRANCHES: u32 = 100;

/// How far down an only branch is followed to find several.
const DEPTH: usize = 16;

/// A directory whose searches of whole trees are done in parts, several at a time.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use flext_ldap_client::{Parallel, Pool};
/// use flext_ldap_directory::{
///     Actor, DirectoryExt, Request,
///     proto::message::{Scope, Search},
/// };
///
/// # async fn example(pool: Pool) -> Result<(), Box<dyn std::error::Error>> {
/// let everything = Search::new("dc=harbourlane,dc=example".parse()?, Scope::Subtree, "(objectClass=*)".parse()?);
/// let mut entries = Parallel::new(Arc::new(pool), 8).search(Request::new(everything, Actor::Service));
/// while let Some(entry) = entries.next().await? {
///     println!("{}", entry.dn_str());
/// }
/// # Ok(())
/// # }
/// ```
///
/// First the names of the children of the base are read; of an only child, those of its children, and so on. Then each
/// branch is searched for itself, and each base by itself. Over a [`Pool`](crate::Pool) the parts get connections of their own,
/// as far as it has them: it keeps one for short operations, so its maximum is to be one more than `parts`. Good numbers of parts
/// are the processors the server has to spare, or eight where that is not known: it works on each part with one of them, and more
/// cost nothing but connections. The directory of this project is not to be asked in parts: it reads all of itself for less.
///
/// Done as it is, in one part, is every other operation, and a search
///
/// - whose base has more than 100 children, or none below an only child: nothing is won by taking it apart;
/// - with a size limit, that follows aliases, or has controls other than `ManageDsaIT`: their meaning is for the whole;
/// - with a referral among the children, or whose children cannot be read: the server answers as it does.
///
/// # What is different
///
/// - Entries come in no order: one may come before its parent.
/// - Each part sees its own moment. An entry that is moved from branch to branch meanwhile may be missed, or come
///   twice; one that is deleted may be missed with no word about it.
/// - What is below an entry that the reader may not know of is not found. Read with an account that may see all there is, as
///   readers of whole trees do. Deleted entries that 389-ds keeps (`nsTombstone`) are not looked for among the branches.
/// - A limit of time or of size the server imposes is that of each part.
///
/// The first answer that is no, or error, ends all parts; dropping the reply abandons them. Batches are passed on
/// as they come and kept nowhere, so memory is that of `parts` connections with a result nobody reads, each of which has its bound.
pub struct Parallel {
    inner: Arc<dyn Directory>,
    parts: usize,
}

impl Parallel {
    /// Reads at most so many parts at a time from `inner`, at least one.
    #[must_use]
    pub fn new(inner: Arc<dyn Directory>, parts: usize) -> Self {
        Self { inner, parts: parts.max(1) }
    }
}

impl Directory for Parallel {
    fn call(&self, request: Request) -> Reply {
        match &request.op {
            Op::Search(search) if self.parts > 1 && is_divisible(search, &request) => {
                let level = Level::of(search.base.clone(), &request, &*self.inner);
                let search = search.clone();
                let parts = Parts {
                    inner: Arc::clone(&self.inner),
                    search,
                    most: self.parts,
                    is_divided: false,
                    ahead: VecDeque::new(),
                    at_work: Vec::new(),
                    turn: 0,
                    last: None,
                    request,
                };
                Reply::events(Divided { level: Some(level), parts })
            }
            _ => self.inner.call(request),
        }
    }
}

impl fmt::Debug for Parallel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parallel").field("parts", &self.parts).finish_non_exhaustive()
    }
}

/// Whether the results of its parts are the result of the whole.
fn is_divisible(search: &Search, request: &Request) -> bool {
    search.scope == Scope::Subtree
        && search.deref == DerefAliases::Never
        && search.size_limit == 0
        && request.controls.iter().all(|control| control.oid == ManageDsaIt::OID)
}

/// The children of one entry, while their names are read.
struct Level {
    base: Dn,
    children: Vec<Dn>,
    reply: Reply,
}

impl Level {
    fn of(base: Dn, request: &Request, directory: &dyn Directory) -> Self {
        // 389-ds shows subentries only to those who ask for them by name.
        let filter = "(|(objectClass=*)(objectClass=ldapSubEntry))".parse().unwrap_or_else(|_| Filter::any());
        let mut names = Search::new(base.clone(), Scope::One, filter).size_limit(BRANCHES);
        names.attributes = Selection::none();
        let reply = directory.call(Request { op: names.into(), ..request.clone() });
        Self { base, children: Vec::new(), reply }
    }

    /// Notes what came, as long as all of it are names.
    fn note(&mut self, batch: &Batch) -> bool {
        batch.iter().all(|item| match item.get() {
            Item::Entry(entry) => entry.dn().is_ok_and(|child| {
                self.children.push(child);
                true
            }),
            _ => false,
        })
    }
}

/// A reply in parts: first `level` is read, then the parts are.
struct Divided {
    level: Option<Level>,
    parts: Parts,
}

struct Parts {
    inner: Arc<dyn Directory>,
    /// The whole, as it was asked for.
    request: Request,
    search: Search,
    most: usize,
    /// Whether there are several.
    is_divided: bool,
    /// Parts that have not begun.
    ahead: VecDeque<(Dn, Scope)>,
    at_work: Vec<Reply>,
    /// Which of them is looked at first.
    turn: usize,
    /// The last answer of a part that went well.
    last: Option<Outcome>,
}

impl Divided {
    /// Reads names until it is known what the parts are, and begins them.
    fn poll_plan(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while let Some(level) = &mut self.level {
            let event = std::task::ready!(level.reply.poll_next(cx))?;
            let outcome = match event {
                Event::Batch(batch) if level.note(&batch) => continue,
                Event::Batch(_) => None,
                Event::Done(outcome) => Some(outcome),
            };
            let has_all = outcome.is_some_and(|outcome| outcome.result.code == ResultCode::SUCCESS);
            let Some(Level { base, mut children, .. }) = self.level.take() else { break };
            let Parts { inner, request, ahead, .. } = &mut self.parts;
            let depth = ahead.len();
            if !has_all || children.is_empty() || (children.len() == 1 && depth == DEPTH) {
                // From here on down it is one part, and if nothing is above it, the whole.
                ahead.push_back((base, Scope::Subtree));
            } else {
                ahead.push_back((base, Scope::Base));
                if children.len() == 1
                    && let Some(only) = children.pop()
                {
                    self.level = Some(Level::of(only, request, &**inner));
                } else {
                    ahead.extend(children.into_iter().map(|child| (child, Scope::Subtree)));
                }
            }
            self.parts.is_divided = self.parts.ahead.len() > 1;
        }
        Poll::Ready(Ok(()))
    }
}

impl Parts {
    fn begin(&mut self) {
        while self.at_work.len() < self.most
            && let Some((base, scope)) = self.ahead.pop_front()
        {
            let mut part = self.search.clone();
            (part.base, part.scope) = (base, scope);
            self.at_work.push(self.inner.call(Request { op: part.into(), ..self.request.clone() }));
        }
    }

    /// The next batch of any of them, each in its turn, or the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        loop {
            self.begin();
            let count = self.at_work.len();
            if count == 0 {
                return Poll::Ready(Ok(Event::Done(self.last.take().unwrap_or_else(Outcome::success))));
            }
            let mut ended = None;
            for step in 0..count {
                let index = (self.turn + step) % count;
                let Some(reply) = self.at_work.get_mut(index) else { continue };
                match reply.poll_next(cx) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(Event::Batch(batch))) => {
                        self.turn = index + 1;
                        return Poll::Ready(Ok(Event::Batch(batch)));
                    }
                    Poll::Ready(Ok(Event::Done(outcome))) => {
                        ended = Some((index, outcome));
                        break;
                    }
                    Poll::Ready(Err(error)) => return self.fail(Err(error)),
                }
            }
            let Some((index, outcome)) = ended else { return Poll::Pending };
            drop(self.at_work.swap_remove(index));
            match outcome.result.code {
                ResultCode::SUCCESS => self.last = Some(outcome),
                // A branch that was deleted since its name was read.
                ResultCode::NO_SUCH_OBJECT if self.is_divided => {}
                _ => return self.fail(Ok(Event::Done(outcome))),
            }
        }
    }

    /// Ends all parts.
    fn fail(&mut self, end: Result<Event, Error>) -> Poll<Result<Event, Error>> {
        self.ahead.clear();
        self.at_work.clear();
        Poll::Ready(end)
    }
}

impl Events for Divided {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        std::task::ready!(self.poll_plan(cx))?;
        self.parts.poll_next(cx)
    }
}
