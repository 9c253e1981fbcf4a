//! What a filter costs is bounded, and what takes long leaves others their turn.
//!
//! Work is counted in octets looked at, so nothing here depends on how fast a machine is.

use std::{
    future::poll_fn,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use flext_ldap_directory::{Actor, Directory, Event, Identity, Op, Outcome, Request};
use flext_ldap_proto::{
    control::{Assertion, Controls, MatchedValues, ServerSideSort, SortKey},
    filter::Filter,
    message::{Change, ChangeKind, Compare, Modify, Scope, Search},
    result::ResultCode,
    schema::Schema,
};
use flext_ldap_store::{Limits, PartUse, StandardPolicy, Store, UniqueValues, access::AccessRules};

use crate::support::*;

const ANNA: &str = "uid=anna,ou=people,dc=harbourlane,dc=example";
const BERT: &str = "uid=bert,ou=people,dc=harbourlane,dc=example";

fn anna() -> Actor {
    Actor::User(Identity::from_successful_bind(dn(ANNA)))
}

fn replace(values: Vec<Bytes>) -> Modify {
    let change = Change { kind: ChangeKind::Replace, attribute: attribute("description"), values };
    Modify { dn: dn(ANNA), changes: vec![change] }
}

/// A directory in which an entry has a value of 2 MiB.
async fn with_long_value(limits: Limits) -> Store {
    let store = Store::open(options().limits(limits).policy(Arc::new(StandardPolicy::default()))).unwrap();
    fill(&store).await;
    ok(&store, replace(vec![Bytes::from("ab".repeat(1 << 20))])).await;
    store
}

/// True of nothing, each part after looking at all of the value.
fn bomb(parts: usize) -> Filter {
    filter(&format!("(|{})", "(description=*abd*)".repeat(parts)))
}

async fn with(store: &Store, op: impl Into<Op>, controls: Controls, actor: Actor) -> Outcome {
    let mut request = Request::new(op.into(), actor);
    request.controls = controls;
    let mut reply = store.call(request);
    loop {
        if let Event::Done(outcome) = reply.next().await.unwrap() {
            return outcome;
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn many_parts_on_a_long_value_leave_others_their_turn() {
    let store = with_long_value(Limits::default()).await;
    let search = Search::new(dn(ANNA), Scope::Base, bomb(20));
    let mut slow = store.call(Request::new(search, anna()).into_any());
    let pending = poll_fn(|cx| Poll::Ready(slow.poll_next(cx).is_pending())).await;
    assert!(pending, "a turn is not enough, and no more is done in it");
    let before = store.counters().steps_apart;
    let (names, _) = find(&store, Search::new(dn(BERT), Scope::Base, Filter::any()), anna()).await;
    assert_eq!((names.len(), before), (1, 0));
    let Event::Done(outcome) = slow.next().await.unwrap() else { panic!("nothing matches") };
    assert_eq!(outcome.result.code, ResultCode::SUCCESS);
    assert_eq!(store.counters().steps_apart, 1);
    // What it finds is the same wherever it is looked for, in a subtree among others too.
    let long = format!("(|{}(description=*ab*))", "(description=*abd*)".repeat(3));
    let (names, _) = find(&store, subtree(&format!("(|{long}(uid=bert))")), Actor::Service).await;
    assert_eq!(names, [ANNA, BERT]);
    assert_eq!(store.counters().steps_apart, 2, "the others were looked at where they were");
}

/// RFC 4511 §4.5.1.5: the limit of time is looked at while one entry is evaluated.
#[tokio::test(flavor = "current_thread")]
async fn the_limit_of_time_ends_one_evaluation_and_so_does_abandoning_it() {
    let store = with_long_value(Limits::default()).await;
    let mut search = Search::new(dn(ANNA), Scope::Base, bomb(9_000));
    search.time_limit = 1;
    let (_, outcome) = find(&store, search.clone(), anna()).await;
    assert_eq!(outcome.result.code, ResultCode::TIME_LIMIT_EXCEEDED);
    // As many as there are places, and more, abandoned: whoever comes after them has a place.
    search.time_limit = 0;
    for _ in 0..100 {
        let mut slow = store.call(Request::new(search.clone(), anna()).into_any());
        let _ = poll_fn(|cx| Poll::Ready(slow.poll_next(cx).is_pending())).await;
        tokio::task::yield_now().await;
    }
    let (names, outcome) = find(&store, Search::new(dn(ANNA), Scope::Base, bomb(2)), anna()).await;
    assert_eq!((names.len(), outcome.result.code), (0, ResultCode::SUCCESS));
}

/// Searches that fill all places leave turns to whoever comes after them.
#[tokio::test(flavor = "current_thread")]
async fn those_who_ask_much_give_way_to_each_other() {
    let store = with_long_value(Limits::default()).await;
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().max(2));
    let mut greedy = tokio::task::JoinSet::new();
    for account in 0..threads {
        let actor =
            Actor::User(Identity::from_successful_bind(dn(&format!("uid=crew{account},ou=people,{SUFFIX}"))));
        for _ in 0..2 {
            let (store, actor) = (store.clone(), actor.clone());
            let search = Search::new(dn(ANNA), Scope::Base, bomb(9_000));
            greedy.spawn(async move { find(&store, search, actor).await });
        }
    }
    let begun = store.counters().entries_read;
    while store.counters().entries_read < begun + threads as u64 {
        tokio::task::yield_now().await;
    }
    let search = || Search::new(dn(ANNA), Scope::Base, bomb(3));
    for _ in 0..3 {
        let found = tokio::time::timeout(Duration::from_secs(60), find(&store, search(), anna())).await;
        let (names, outcome) = found.unwrap_or_else(|_| panic!("whoever comes later has no turn"));
        assert_eq!((names.len(), outcome.result.code), (0, ResultCode::SUCCESS));
    }
    assert!(greedy.try_join_next().is_none(), "the others still search");
    assert_eq!(store.counters().steps_apart, 3);
}

/// RFC 4528: the writer is held while it evaluates an assertion, so that has a budget, and so have compares.
#[tokio::test(flavor = "current_thread")]
async fn assertions_have_a_budget() {
    let store = with_long_value(Limits::default()).await;
    let asserting = |filter: Filter| Controls::none().critical(&Assertion(filter));
    let modify = || Modify { dn: dn(ANNA), changes: Vec::new() };
    let compare =
        || Compare { dn: dn(ANNA), attribute: attribute("uid"), value: Bytes::from_static(b"anna") };
    for (parts, want) in [(2, ResultCode::ASSERTION_FAILED), (40, ResultCode::ADMIN_LIMIT_EXCEEDED)] {
        let outcome = with(&store, modify(), asserting(bomb(parts)), Actor::Service).await;
        assert_eq!(outcome.result.code, want, "{parts} parts before a write");
        let outcome = with(&store, compare(), asserting(bomb(parts)), Actor::Service).await;
        assert_eq!(outcome.result.code, want, "{parts} parts before a compare");
    }
    // Before a search they are done apart, as the search is.
    let search = Search::new(dn(ANNA), Scope::Base, Filter::any());
    let outcome = with(&store, search, asserting(bomb(40)), Actor::Service).await;
    assert_eq!(outcome.result.code, ResultCode::ASSERTION_FAILED);
    assert_eq!(store.counters().steps_apart, 1);
}

/// Filters of access rules are asked of everybody's entries, whatever these hold.
#[tokio::test(flavor = "current_thread")]
async fn filters_of_access_rules_are_counted() {
    let under = |parts: usize| {
        let rules = format!("- to: {{filter: '{}'}}\n  allow: []\n- allow: [users: manage]\n", bomb(parts));
        AccessRules::from_config(&serde_saphyr::from_str::<Vec<_>>(&rules).unwrap(), Schema::standard())
            .unwrap()
    };
    let store = with_long_value(Limits::default()).await;
    store.set_policy(Arc::new(under(3)));
    for (search, steps) in [
        (Search::new(dn(ANNA), Scope::Base, Filter::any()), 2),
        (subtree("(uid=anna)"), 1),
        (Search::new(dn(&format!("ou=people,{SUFFIX}")), Scope::One, filter("(description=ab*)")), 1),
    ] {
        let before = store.counters().steps_apart;
        let mut slow = store.call(Request::new(search.clone(), anna()).into_any());
        let pending = poll_fn(|cx| Poll::Ready(slow.poll_next(cx).is_pending())).await;
        assert!(pending, "{search:?}: a turn is not enough, and no more is done in it");
        let (names, _) = find(&store, Search::new(dn(BERT), Scope::Base, Filter::any()), anna()).await;
        assert_eq!((names.len(), store.counters().steps_apart), (1, before));
        let Event::Batch(batch) = slow.next().await.unwrap() else { panic!("{search:?}: it is not found") };
        let found: Vec<_> = batch.entries().map(|entry| entry.dn_str().to_owned()).collect();
        assert_eq!(found, [ANNA]);
        assert!(batch.entries().all(|entry| entry.attributes().get("mail").is_some()), "all of it");
        let Event::Done(outcome) = slow.next().await.unwrap() else { panic!("it is found twice") };
        assert_eq!(outcome.result.code, ResultCode::SUCCESS);
        assert_eq!(store.counters().steps_apart, before + steps, "{search:?}");
    }
    let sorted = Controls::none().critical(&ServerSideSort(vec![SortKey {
        attribute: attribute("uid"),
        ordering_rule: None,
        reverse: false,
    }]));
    let outcome = with(&store, subtree("(objectClass=person)"), sorted, anna()).await;
    assert_eq!(outcome.result.code, ResultCode::SUCCESS);
    // What is answered at once, or holds the writer, has a budget.
    let title = || Change { kind: ChangeKind::Replace, attribute: attribute("title"), values: Vec::new() };
    for (parts, want) in [(3, ResultCode::SUCCESS), (40, ResultCode::ADMIN_LIMIT_EXCEEDED)] {
        store.set_policy(Arc::new(under(parts)));
        let modify = Modify { dn: dn(ANNA), changes: vec![title()] };
        let outcome = with(&store, modify, Controls::none(), anna()).await;
        assert_eq!(outcome.result.code, want, "{parts} parts");
    }
}

/// A constraint's filter is evaluated by the one writer, on entries that others have filled.
#[tokio::test(flavor = "current_thread")]
async fn filters_of_constraints_have_a_budget() {
    for (parts, want) in [(3, ResultCode::SUCCESS), (40, ResultCode::ADMIN_LIMIT_EXCEEDED)] {
        let among = Filter::not(bomb(parts));
        let store = Store::open(options().unique(UniqueValues::of(["uid"]).among(among))).unwrap();
        fill(&store).await;
        let long = replace(vec![Bytes::from("ab".repeat(1 << 20))]);
        assert_eq!(code(&store, long).await, want, "{parts} parts");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn every_filter_has_the_same_bound_of_parts() {
    let mut limits = Limits::default();
    limits.filter = 5;
    let store = with_long_value(limits).await;
    let six = || filter("(|(uid=a)(uid=b)(uid=c)(uid=d)(uid=e))");
    let asserting = || Controls::none().critical(&Assertion(six()));
    let items =
        six().nodes().iter().skip(1).cycle().take(6).cloned().filter_map(Filter::leaf).collect::<Vec<_>>();
    let values = Controls::none().critical(&MatchedValues::new(items).unwrap());
    let modify = Modify { dn: dn(ANNA), changes: Vec::new() };
    let compare = Compare { dn: dn(ANNA), attribute: attribute("uid"), value: Bytes::from_static(b"anna") };
    let search = Search::new(dn(ANNA), Scope::Base, Filter::any());
    let cases: [(Op, Controls); 4] = [
        (modify.into(), asserting()),
        (compare.into(), asserting()),
        (search.clone().into(), asserting()),
        (search.into(), values),
    ];
    for (op, controls) in cases {
        let kind = op.kind();
        let outcome = with(&store, op, controls, anna()).await;
        assert_eq!(outcome.result.code, ResultCode::ADMIN_LIMIT_EXCEEDED, "{kind:?}");
    }
}

/// Planning reads indexes before any right is asked: it is counted too, and few of many ranges are looked at.
#[tokio::test(flavor = "current_thread")]
async fn planning_is_counted_and_reads_few_of_many_ranges() {
    let store = small().await;
    for number in 0..400 {
        ok(&store, person(&format!("crew{number}"))).await;
    }
    let ranges = |count: usize| {
        let one = |day| {
            format!("(entryCSN>=2020{:02}{:02}000000.000000Z#000000#000#000000)", 1 + day % 12, 1 + day / 12)
        };
        format!("(|{})", (0..count).map(one).collect::<String>())
    };
    // Everything under 60 ranges is more than a turn.
    let mut slow = store.call(Request::new(subtree(&ranges(60)), anna()).into_any());
    let pending = poll_fn(|cx| Poll::Ready(slow.poll_next(cx).is_pending())).await;
    let (names, _) = find(&store, Search::new(dn(BERT), Scope::Base, Filter::any()), anna()).await;
    assert_eq!((pending, names.len(), store.counters().steps_apart), (true, 1, 0));
    while !matches!(slow.next().await.unwrap(), Event::Done(_)) {}
    assert_eq!(store.counters().steps_apart, 1);
    // Of more than 64 the others tell nothing, so nothing of a union is read.
    let plan = store.explain(&subtree(&ranges(300)), &Actor::Service).await.unwrap();
    assert_eq!((plan.parts.len(), plan.candidates), (301, None));
    assert_eq!(plan.parts.iter().filter(|part| part.part_use == PartUse::Read).count(), 0);
    let intersection = format!("(&(uid=crew7){})", ranges(300));
    let plan = store.explain(&subtree(&intersection), &Actor::Service).await.unwrap();
    assert_eq!(plan.candidates, Some(1));
}

/// A thread that works on behalf of somebody who went away ends soon: a runtime that ends waits for it.
#[test]
fn planning_that_nobody_waits_for_ends() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let store = runtime.block_on(small());
    runtime.block_on(async {
        for number in 0..400 {
            ok(&store, person(&format!("crew{number}"))).await;
        }
    });
    let parts = "(&(cn=*crew*quay*)(|(cn=crew*)(sn=*uay*)))".repeat(9_000);
    let planned = runtime.block_on(async {
        let search = subtree(&format!("(|{parts})"));
        let planned = store.explain(&search, &Actor::Service);
        tokio::time::timeout(Duration::from_millis(20), planned).await.is_ok()
    });
    let since = Instant::now();
    drop(runtime);
    assert!(!planned && since.elapsed() < Duration::from_millis(500), "{planned} {:?}", since.elapsed());
}
