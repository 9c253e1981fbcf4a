//! Persistent search (draft-ietf-ldapext-psearch-03).

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use flext_ldap_directory::{
    AccessPolicy, AttributeRight, BindReply, BindStep, Deadline, EntryRight, Error, ErrorKind, Event, Lookup,
    Reply, Requester, Rights, Target,
};
use flext_ldap_proto::{
    batch::Item,
    control::{
        ChangeTypes, EntryChangeNotification, PagedResults, PersistentSearch, ServerSideSort, SortKey,
    },
    filter::Filter,
    message::{Delete, Scope},
};
use flext_ldap_store::{Limits as StoreLimits, Store};

use super::*;

const ANNA: &str = "uid=anna,ou=people,dc=harbourlane,dc=example";

/// A search under way, and what it has delivered and was not asked for yet.
struct Followed {
    reply: Reply,
    told: Vec<Told>,
}

/// An entry, what happened to it, and its name before.
type Told = (String, Option<(ChangeTypes, Option<String>)>);

impl Followed {
    async fn begin(store: &Store, search: Search, asked: PersistentSearch, actor: Actor) -> Self {
        let request = Request::new(search, actor).critical(&asked);
        let mut followed = Self { reply: store.call(request.into_any()), told: Vec::new() };
        followed.look().await;
        followed
    }

    /// The first look settles which change is the next.
    async fn look(&mut self) {
        poll_fn(|cx| {
            if let Poll::Ready(event) = self.reply.poll_next(cx) {
                self.take(event.unwrap());
            }
            Poll::Ready(())
        })
        .await;
    }

    fn take(&mut self, event: Event) {
        let Event::Batch(batch) = event else { panic!("a persistent search ended: {event:?}") };
        for item in batch.iter() {
            let Item::Entry(entry) = item.get() else { panic!("not an entry") };
            let control = item.controls().get::<EntryChangeNotification>(&Limits::DEFAULT).unwrap();
            let told = control.map(|one| (one.change_type, one.previous_dn));
            self.told.push((entry.dn_str().to_owned(), told));
        }
    }

    async fn next(&mut self) -> Told {
        while self.told.is_empty() {
            let event = self.reply.next().await.unwrap();
            self.take(event);
        }
        self.told.remove(0)
    }

    async fn end(mut self) -> Outcome {
        loop {
            match self.reply.next().await.unwrap() {
                Event::Done(outcome) => return outcome,
                event => self.take(event),
            }
        }
    }
}

fn asked(change_types: ChangeTypes, changes_only: bool) -> PersistentSearch {
    PersistentSearch { change_types, changes_only, return_ecs: true }
}

fn people() -> Search {
    Search::new(dn(&format!("ou=people,{SUFFIX}")), Scope::Subtree, filter("(sn=Quay)"))
}

fn told(name: &str, kind: ChangeTypes) -> Told {
    (name.to_owned(), Some((kind, None)))
}

fn name(uid: &str) -> String {
    format!("uid={uid},ou=people,{SUFFIX}")
}

#[tokio::test]
async fn changes_come_in_their_order() {
    let store = small().await;
    let mut followed = Followed::begin(&store, people(), asked(ChangeTypes::ANY, true), Actor::Service).await;
    ok(&store, person("dora")).await;
    // Neither in scope nor matching: not told.
    ok(&store, replace(&format!("ou=groups,{SUFFIX}"), "description", &["x"])).await;
    ok(&store, replace(&format!("ou=people,{SUFFIX}"), "description", &["x"])).await;
    ok(&store, replace(ANNA, "title", &["Pilot"])).await;
    assert_eq!(followed.next().await, told(&name("dora"), ChangeTypes::ADD));
    assert_eq!(followed.next().await, told(ANNA, ChangeTypes::MODIFY));
    ok(&store, rename(ANNA, "uid=ann", None)).await;
    let renamed = Some((ChangeTypes::MOD_DN, Some(ANNA.to_owned())));
    assert_eq!(followed.next().await, (name("ann"), renamed));
    ok(&store, Delete { dn: dn(&name("ann")) }).await;
    assert_eq!(followed.next().await, told(&name("ann"), ChangeTypes::DELETE));
    // One that matches from now on, and one that does not any more.
    ok(&store, replace(&name("bert"), "sn", &["Harker"])).await;
    ok(&store, replace(&name("cleo"), "title", &["Clerk"])).await;
    assert_eq!(followed.next().await, told(&name("cleo"), ChangeTypes::MODIFY));
    ok(&store, Delete { dn: dn(&name("bert")) }).await;
    // Moved out of scope, deleted there: not told. Moved into it: told.
    ok(&store, rename(&name("cleo"), "uid=cleo", Some(&format!("ou=groups,{SUFFIX}")))).await;
    ok(&store, replace(&name("dora"), "title", &["Clerk"])).await;
    assert_eq!(followed.next().await, told(&name("dora"), ChangeTypes::MODIFY));
    ok(&store, Delete { dn: dn(&format!("uid=cleo,ou=groups,{SUFFIX}")) }).await;
    let elsewhere = format!("cn=finn,ou=groups,{SUFFIX}");
    ok(&store, entry(&elsewhere, &["objectClass: person", "sn: Quay"])).await;
    ok(&store, replace(&name("dora"), "title", &["Pilot"])).await;
    assert_eq!(followed.next().await, told(&name("dora"), ChangeTypes::MODIFY));
    ok(&store, rename(&elsewhere, "cn=finn", Some(&format!("ou=people,{SUFFIX}")))).await;
    let moved = Some((ChangeTypes::MOD_DN, Some(elsewhere)));
    assert_eq!(followed.next().await, (format!("cn=finn,ou=people,{SUFFIX}"), moved));
}

#[tokio::test]
async fn what_is_there_comes_first_without_a_notification() {
    let store = small().await;
    let mut followed =
        Followed::begin(&store, people(), asked(ChangeTypes::DELETE, false), Actor::Service).await;
    let mut found = Vec::new();
    for _ in 0..3 {
        found.push(followed.next().await);
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(found, ["anna", "bert", "cleo"].map(|uid| (name(uid), None)));
    // Only deletions are asked for.
    ok(&store, replace(ANNA, "title", &["Pilot"])).await;
    ok(&store, Delete { dn: dn(ANNA) }).await;
    assert_eq!(followed.next().await, told(ANNA, ChangeTypes::DELETE));
    ok(&store, person("dora")).await;
    // What came and went before anybody looked was never delivered, so its end is not either.
    ok(&store, person("emil")).await;
    ok(&store, Delete { dn: dn(&name("emil")) }).await;
    ok(&store, Delete { dn: dn(&name("bert")) }).await;
    assert_eq!(followed.next().await, told(&name("bert"), ChangeTypes::DELETE));
    ok(&store, Delete { dn: dn(&name("dora")) }).await;
    assert_eq!(followed.next().await, told(&name("dora"), ChangeTypes::DELETE));
    // Without notifications.
    let silent = PersistentSearch { return_ecs: false, ..asked(ChangeTypes::ANY, true) };
    let mut silent = Followed::begin(&store, people(), silent, Actor::Service).await;
    ok(&store, replace(&name("cleo"), "title", &["Pilot"])).await;
    assert_eq!(silent.next().await, (name("cleo"), None));
}

#[tokio::test]
async fn one_entry_and_one_level() {
    let store = small().await;
    let any = asked(ChangeTypes::ANY, true);
    let base = Search::new(dn(ANNA), Scope::Base, Filter::any());
    let level = Search::new(dn(&format!("ou=people,{SUFFIX}")), Scope::One, Filter::any());
    let mut base = Followed::begin(&store, base, any, Actor::Service).await;
    let mut level = Followed::begin(&store, level, any, Actor::Service).await;
    ok(&store, replace(&name("bert"), "title", &["x"])).await;
    ok(&store, replace(&format!("ou=people,{SUFFIX}"), "description", &["x"])).await;
    ok(&store, replace(ANNA, "title", &["x"])).await;
    assert_eq!(base.next().await, told(ANNA, ChangeTypes::MODIFY));
    assert_eq!(level.next().await, told(&name("bert"), ChangeTypes::MODIFY));
    assert_eq!(level.next().await, told(ANNA, ChangeTypes::MODIFY));
    // With its base a search ends, after the deletion was told.
    ok(&store, Delete { dn: dn(ANNA) }).await;
    assert_eq!(base.next().await, told(ANNA, ChangeTypes::DELETE));
    assert_eq!(base.end().await.result.code, ResultCode::NO_SUCH_OBJECT);
    assert_eq!(level.next().await, told(ANNA, ChangeTypes::DELETE));
}

/// One that reads late reads all, in order, with the names that what is gone had.
#[tokio::test]
async fn a_slow_reader_misses_nothing() {
    let store = small().await;
    let all = Search::new(dn(SUFFIX), Scope::Subtree, Filter::any());
    let mut followed = Followed::begin(&store, all, asked(ChangeTypes::ANY, false), Actor::Service).await;
    for _ in 0..6 {
        assert_eq!(followed.next().await.1, None);
    }
    for number in 0..600 {
        ok(&store, replace(ANNA, "title", &[&number.to_string()])).await;
    }
    let people = format!("ou=people,{SUFFIX}");
    for uid in ["anna", "bert", "cleo"] {
        ok(&store, Delete { dn: dn(&name(uid)) }).await;
    }
    ok(&store, Delete { dn: dn(&people) }).await;
    // The changes of an entry that is gone come to its deletion.
    for uid in ["anna", "bert", "cleo"] {
        assert_eq!(followed.next().await, told(&name(uid), ChangeTypes::DELETE));
    }
    assert_eq!(followed.next().await, told(&people, ChangeTypes::DELETE));
}

/// Lets people see what is below the unit of people, or nothing.
#[derive(Clone)]
struct Curtain(Arc<AtomicBool>);

impl AccessPolicy for Curtain {
    fn rights_of(&self, _: Requester<'_>, _: &dyn Lookup) -> Result<Arc<dyn Rights>, Error> {
        Ok(Arc::new(self.clone()))
    }
}

impl Rights for Curtain {
    fn look_at_entries(&self) -> bool {
        false
    }

    fn entry(&self, target: Target<'_>, right: EntryRight) -> bool {
        right == EntryRight::Disclose && (target.dn.rdns().len() < 4 || self.0.load(Ordering::SeqCst))
    }

    fn attribute(&self, _: Target<'_>, attribute: &str, _: AttributeRight) -> bool {
        attribute != "title"
    }
}

#[tokio::test]
async fn rights_hold_when_a_change_is_delivered() {
    let open = Arc::new(AtomicBool::new(true));
    let store = Store::open(options().policy(Arc::new(Curtain(Arc::clone(&open))))).unwrap();
    fill(&store).await;
    let any = asked(ChangeTypes::ANY, true);
    let hidden = Search::new(dn(SUFFIX), Scope::Subtree, filter("(title=*)"));
    let mut hidden = Followed::begin(&store, hidden, any, user("bert")).await;
    let mut followed = Followed::begin(&store, people(), any, user("bert")).await;
    ok(&store, replace(ANNA, "title", &["x"])).await;
    assert_eq!(followed.next().await, told(ANNA, ChangeTypes::MODIFY));
    open.store(false, Ordering::SeqCst);
    ok(&store, replace(ANNA, "title", &["y"])).await;
    ok(&store, Delete { dn: dn(ANNA) }).await;
    let nothing = poll_fn(|cx| Poll::Ready(followed.reply.poll_next(cx).is_pending())).await;
    assert!(nothing);
    open.store(true, Ordering::SeqCst);
    ok(&store, replace(&name("cleo"), "description", &["y"])).await;
    assert_eq!(followed.next().await, told(&name("cleo"), ChangeTypes::MODIFY));
    // What may not be searched by has not told anything all the while.
    let nothing = poll_fn(|cx| Poll::Ready(hidden.reply.poll_next(cx).is_pending())).await;
    assert!(nothing && hidden.told.is_empty());
}

#[tokio::test]
async fn it_ends_with_the_store() {
    let store = small().await;
    let mut followed = Followed::begin(&store, people(), asked(ChangeTypes::ANY, true), Actor::Service).await;
    store.close();
    let error = loop {
        match followed.reply.next().await {
            Ok(event) => followed.take(event),
            Err(error) => break error,
        }
    };
    assert_ne!(error.kind(), ErrorKind::Bug);
}

#[tokio::test]
async fn there_are_so_many_and_no_more() {
    let mut limits = StoreLimits::default();
    limits.persistent_searches = 2;
    let store = Store::open(options().limits(limits)).unwrap();
    fill(&store).await;
    let any = asked(ChangeTypes::ANY, true);
    let one = Followed::begin(&store, people(), any, Actor::Service).await;
    let _two = Followed::begin(&store, people(), any, Actor::Service).await;
    let controls = || Controls::none().critical(&any);
    assert_eq!(code_with(&store, people(), controls(), Actor::Service).await, ResultCode::BUSY);
    drop(one);
    let _three = Followed::begin(&store, people(), any, Actor::Service).await;
    // What cannot be followed, and what does not go together with it.
    let root = Search::new(dn(""), Scope::Base, Filter::any());
    let store = small().await;
    let code = code_with(&store, root, controls(), Actor::Service).await;
    assert_eq!(code, ResultCode::UNWILLING_TO_PERFORM);
    let nowhere = Search::new(dn(&name("nobody")), Scope::Base, Filter::any());
    let code = code_with(&store, nowhere, controls(), Actor::Service).await;
    assert_eq!(code, ResultCode::NO_SUCH_OBJECT);
    let sort = ServerSideSort(vec![SortKey::new(attribute("uid"))]);
    let page = PagedResults { size: 5, cookie: Bytes::new() };
    for controls in [controls().critical(&sort), controls().critical(&page)] {
        let code = code_with(&store, people(), controls, Actor::Service).await;
        assert_eq!(code, ResultCode::PROTOCOL_ERROR);
    }
}

/// A stranger must not make every write dear, nor take everybody's places.
#[tokio::test]
async fn it_needs_a_base_that_may_be_known_of_and_has_a_share_of_the_places() {
    let mut limits = StoreLimits::default();
    limits.persistent_searches = 16;
    let store = Store::open(options().limits(limits)).unwrap();
    fill(&store).await;
    let any = asked(ChangeTypes::ANY, true);
    let controls = || Controls::none().critical(&any);
    let all = || Search::new(dn(""), Scope::Subtree, Filter::any());
    for scope in [Scope::Subtree, Scope::One] {
        let search = Search::new(dn(""), scope, Filter::any());
        let code = code_with(&store, search, controls(), Actor::Anonymous).await;
        assert_eq!(code, ResultCode::NO_SUCH_OBJECT, "{scope:?}");
    }
    // An eighth is two.
    let user = |name: &str| Actor::User(Identity::from_successful_bind(dn(name)));
    let _one = Followed::begin(&store, all(), any, user(ANNA)).await;
    let two = Followed::begin(&store, people(), any, user(ANNA)).await;
    let spelt_otherwise = user(&ANNA.replace("uid=anna", "userid=ANNA"));
    assert_eq!(code_with(&store, people(), controls(), spelt_otherwise.clone()).await, ResultCode::BUSY);
    let _another = Followed::begin(&store, people(), any, user(&name("bert"))).await;
    drop(two);
    let _three = Followed::begin(&store, people(), any, spelt_otherwise).await;
    // One that is refused has taken no place.
    for _ in 0..20 {
        code_with(&store, all(), controls(), Actor::Anonymous).await;
    }
    let mut followed = Followed::begin(&store, people(), any, Actor::Service).await;
    // The filter was made ready at the start, and is not for each change.
    let before = store.counters().filters_prepared;
    for title in ["Pilot", "Mate", "Master"] {
        ok(&store, replace(ANNA, "title", &[title])).await;
        assert_eq!(followed.next().await, told(ANNA, ChangeTypes::MODIFY));
    }
    assert_eq!(store.counters().filters_prepared - before, 0);
    let mut many = people();
    many.filter = filter(&format!("(|{})", "(sn=Quay)".repeat(1_000)));
    let code = code_with(&store, many, controls(), user(&name("cleo"))).await;
    assert_eq!(code, ResultCode::ADMIN_LIMIT_EXCEEDED);
}

/// draft-ietf-ldapext-psearch-03 §3: with `changesOnly` nothing is returned of what is there, referrals neither.
#[tokio::test]
async fn changes_only_delivers_no_referral_of_what_is_there() {
    let store = small().await;
    let object = format!("ou=branch,ou=people,{SUFFIX}");
    add_branch(&store, &object).await;
    let mut all = people();
    all.filter = Filter::any();
    // Which fails on anything that is no entry.
    let mut followed = Followed::begin(&store, all, asked(ChangeTypes::ANY, true), Actor::Service).await;
    ok(&store, replace(ANNA, "title", &["Pilot"])).await;
    assert_eq!(followed.next().await, told(ANNA, ChangeTypes::MODIFY));
}

/// What is followed is followed by the entry that asked, not by whoever has its name since.
#[tokio::test]
async fn it_ends_with_the_entry_that_asked() {
    let store = small().await;
    ok(&store, replace(ANNA, "userPassword", &["spring tide"])).await;
    let mut session = session(&store).await;
    let by = Deadline::after(Duration::from_secs(60));
    let bound = session.bind(BindStep::simple(ANNA, "spring tide".into()), by).await.unwrap();
    let BindReply::Done { actor, .. } = bound else { panic!("{bound:?}") };
    let request = Request::new(people(), actor).critical(&asked(ChangeTypes::ANY, true));
    let mut followed = Followed { reply: session.call(request.into_any()), told: Vec::new() };
    followed.look().await;
    ok(&store, person("dora")).await;
    assert_eq!(followed.next().await, told(&name("dora"), ChangeTypes::ADD));
    ok(&store, rename(ANNA, "uid=anne", None)).await;
    ok(&store, rename(&name("bert"), "uid=anna", None)).await;
    assert_eq!(followed.end().await.result.code, ResultCode::INSUFFICIENT_ACCESS_RIGHTS);
}
