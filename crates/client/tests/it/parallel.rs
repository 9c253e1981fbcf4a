//! Searches in parts, over a directory that remembers what it was asked and answers as it is told.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use flext_ldap_client::Parallel;
use flext_ldap_directory::{
    Actor, Directory, DirectoryExt as _, Error, ErrorKind, Event, Events, Op, Outcome, Reply, Request,
    proto::{
        batch::BatchWriter,
        control::{Controls, ManageDsaIt, PagedResults},
        message::{Scope, Search},
        result::{LdapResult, ResultCode},
    },
};

const BASE: &str = "dc=example";

/// How a search ends.
type Ending = fn() -> Result<Outcome, Error>;

/// A tree of names, each with what is answered to a search of all below it.
#[derive(Default)]
struct Tree {
    names: Vec<String>,
    /// Sent when the children of the base are read.
    reference: bool,
    /// Where a search from here on down ends otherwise.
    trouble: Option<(&'static str, Ending)>,
    asked: Mutex<Vec<(String, Scope)>>,
    open: Arc<AtomicUsize>,
    most_open: AtomicUsize,
}

/// One entry at a time, then the end; counted as long as it lives.
struct Answer {
    events: std::vec::IntoIter<Result<Event, Error>>,
    open: Arc<AtomicUsize>,
    waits: bool,
}

impl Events for Answer {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        self.waits = !self.waits;
        if self.waits {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.events.next().expect("read after its end"))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tree {
    fn new(names: &[&str]) -> Self {
        Self { names: names.iter().map(|name| (*name).to_owned()).collect(), ..Self::default() }
    }

    fn is_child(name: &str, base: &str) -> bool {
        name.strip_suffix(base).and_then(|rest| rest.strip_suffix(',')).is_some_and(|rdn| !rdn.contains(','))
    }
}

impl Directory for Tree {
    fn call(&self, request: Request) -> Reply {
        let Op::Search(search) = request.op else { panic!("nothing but searches") };
        let base = search.base.to_string();
        self.asked.lock().unwrap().push((base.clone(), search.scope));
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_open.fetch_max(open, Ordering::Relaxed);
        let mut end = Ok(Outcome::success());
        let mut events = Vec::new();
        for name in &self.names {
            let is_in = match search.scope {
                Scope::Base => *name == base,
                Scope::One => Self::is_child(name, &base),
                _ => *name == base || name.ends_with(&format!(",{base}")),
            };
            if !is_in {
                continue;
            }
            if search.size_limit > 0 && events.len() == search.size_limit as usize {
                end = Ok(LdapResult::new(ResultCode::SIZE_LIMIT_EXCEEDED).into());
                break;
            }
            let mut writer = BatchWriter::new();
            writer.entry(name, &Controls::none(), |_| {});
            events.push(Ok(Event::Batch(writer.take())));
        }
        if self.reference && search.scope != Scope::Base && base == BASE {
            let mut writer = BatchWriter::new();
            writer.reference(&["ldap://elsewhere.example/".to_owned()], &Controls::none());
            events.push(Ok(Event::Batch(writer.take())));
        }
        if let Some((name, trouble)) = self.trouble
            && name == base
            && search.scope == Scope::Subtree
        {
            events.clear();
            end = trouble();
        }
        events.push(end.map(Event::Done));
        Reply::events(Answer { events: events.into_iter(), open: Arc::clone(&self.open), waits: false })
    }
}

fn everything() -> Search {
    Search::new(BASE.parse().unwrap(), Scope::Subtree, "(objectClass=*)".parse().unwrap())
}

/// What comes of a search in three parts, and what the directory was asked.
async fn read(
    tree: &Arc<Tree>,
    request: Request<Search>,
) -> (Result<Vec<String>, Error>, Vec<(String, Scope)>) {
    let parallel = Parallel::new(Arc::<Tree>::clone(tree), 3);
    let found = parallel.search_all(request).await;
    let found = found.map(|entries| entries.iter().map(|entry| entry.dn_str().to_owned()).collect());
    assert_eq!(tree.open.load(Ordering::Relaxed), 0, "a search was left open");
    (found, std::mem::take(&mut tree.asked.lock().unwrap()))
}

fn request() -> Request<Search> {
    Request::new(everything(), Actor::Service)
}

/// Each once, in whatever order.
fn assert_all(tree: &Tree, found: Vec<String>) {
    assert_eq!(found.len(), tree.names.len());
    assert_eq!(BTreeSet::from_iter(found), tree.names.iter().cloned().collect());
}

fn at(name: &str, scope: Scope) -> (String, Scope) {
    (name.to_owned(), scope)
}

const COMPANY: [&str; 9] = [
    "dc=example",
    "ou=a,dc=example",
    "ou=b,dc=example",
    "ou=c,dc=example",
    "ou=d,dc=example",
    "uid=1,ou=a,dc=example",
    "uid=2,ou=a,dc=example",
    "uid=3,ou=b,dc=example",
    "cn=x,uid=3,ou=b,dc=example",
];

#[tokio::test]
async fn the_parts_are_the_base_and_its_branches() {
    let tree = Arc::new(Tree::new(&COMPANY));
    let (found, asked) = read(&tree, request()).await;
    assert_all(&tree, found.unwrap());
    let mut wanted = vec![at(BASE, Scope::One), at(BASE, Scope::Base)];
    wanted.extend(["a", "b", "c", "d"].map(|name| at(&format!("ou={name},{BASE}"), Scope::Subtree)));
    assert_eq!(asked, wanted);
    assert_eq!(tree.most_open.load(Ordering::Relaxed), 3, "parts at a time");
}

#[tokio::test]
async fn an_only_child_is_followed_down() {
    let names = ["dc=example", "o=x,dc=example", "ou=a,o=x,dc=example", "ou=b,o=x,dc=example"];
    let tree = Arc::new(Tree::new(&names));
    let (found, asked) = read(&tree, request()).await;
    assert_all(&tree, found.unwrap());
    assert_eq!(asked[1], at("o=x,dc=example", Scope::One));
    assert_eq!(asked[2..4], [at(BASE, Scope::Base), at("o=x,dc=example", Scope::Base)]);

    let chain: Vec<String> = (0..20)
        .scan(BASE.to_owned(), |name, number| {
            *name = format!("ou={number},{name}");
            Some(name.clone())
        })
        .collect();
    let tree = Arc::new(Tree { names: [vec![BASE.to_owned()], chain].concat(), ..Tree::default() });
    let (found, asked) = read(&tree, request()).await;
    assert_all(&tree, found.unwrap());
    assert_eq!(asked.iter().filter(|(_, scope)| *scope == Scope::One).count(), 17, "and not for ever");
}

#[tokio::test]
async fn what_gains_nothing_or_cannot_be_divided_is_one_search() {
    let whole = [at(BASE, Scope::One), at(BASE, Scope::Subtree)];
    let wide: Vec<String> = (0..101).map(|number| format!("uid={number},{BASE}")).collect();
    let tree = Arc::new(Tree { names: [vec![BASE.to_owned()], wide].concat(), ..Tree::default() });
    let (found, asked) = read(&tree, request()).await;
    assert_all(&tree, found.unwrap());
    assert_eq!(asked, whole, "a wide base");

    let tree = Arc::new(Tree { reference: true, ..Tree::new(&COMPANY) });
    let (found, asked) = read(&tree, request()).await;
    assert_all(&tree, found.unwrap());
    assert_eq!(asked, whole, "a referral among the children");

    let tree = Arc::new(Tree::new(&[BASE]));
    let (found, asked) = read(&tree, request()).await;
    assert_all(&tree, found.unwrap());
    assert_eq!(asked, whole, "no children");

    let tree = Arc::new(Tree::new(&COMPANY));
    let mut paged = request();
    paged.controls = Controls::none().critical(&PagedResults { size: 5, cookie: Default::default() });
    let limited = Request::new(everything().size_limit(50), Actor::Service);
    for request in [paged, limited] {
        let (found, asked) = read(&tree, request).await;
        assert_all(&tree, found.unwrap());
        assert_eq!(asked, [at(BASE, Scope::Subtree)]);
    }
    let mut as_entries = request();
    as_entries.controls = Controls::none().critical(&ManageDsaIt);
    assert_eq!(read(&tree, as_entries).await.1.len(), 6, "this control is for each part");
}

#[tokio::test]
async fn trouble_with_one_part_ends_all() {
    let denied = || Ok(LdapResult::new(ResultCode::TIME_LIMIT_EXCEEDED).into());
    let tree = Arc::new(Tree { trouble: Some(("ou=b,dc=example", denied)), ..Tree::new(&COMPANY) });
    let (found, asked) = read(&tree, request()).await;
    assert_eq!(found.unwrap_err().result_code(), Some(ResultCode::TIME_LIMIT_EXCEEDED));
    assert!(!asked.contains(&at("ou=d,dc=example", Scope::Subtree)), "nothing is begun after it");

    let lost = || Err(Error::new(ErrorKind::Closed, "the connection was lost"));
    let tree = Arc::new(Tree { trouble: Some(("ou=a,dc=example", lost)), ..Tree::new(&COMPANY) });
    assert_eq!(read(&tree, request()).await.0.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_branch_deleted_meanwhile_is_no_trouble_but_a_base_that_is_not_there_is() {
    let gone = || Ok(LdapResult::new(ResultCode::NO_SUCH_OBJECT).into());
    let tree = Arc::new(Tree { trouble: Some(("ou=a,dc=example", gone)), ..Tree::new(&COMPANY) });
    assert_eq!(read(&tree, request()).await.0.unwrap().len(), COMPANY.len() - 3);
    let tree = Arc::new(Tree { trouble: Some((BASE, gone)), ..Tree::new(&[BASE]) });
    let error = read(&tree, request()).await.0.unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::NO_SUCH_OBJECT));
}

#[tokio::test]
async fn dropping_the_reply_ends_all_parts() {
    let tree = Arc::new(Tree::new(&COMPANY));
    let mut entries = Parallel::new(Arc::<Tree>::clone(&tree), 3).search(request());
    assert!(entries.next().await.unwrap().is_some());
    assert!(tree.open.load(Ordering::Relaxed) > 1);
    drop(entries);
    assert_eq!(tree.open.load(Ordering::Relaxed), 0);
}
